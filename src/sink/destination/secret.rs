//! Values of the configuration that come from the environment or a file, and secrets that never show.

use std::path::{Path, PathBuf};

/// A credential. It does not show in debug output, and [`Secret::hide`] takes it out of texts that a receiver answered.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

/// Shorter values stand in any text by chance.
const MIN_HIDDEN: usize = 4;

impl Secret {
    /// A credential with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The credential itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The text without the credential: a receiver may answer with what it was sent.
    pub fn hide(&self, text: &str) -> String {
        if self.0.len() < MIN_HIDDEN { text.to_owned() } else { text.replace(&self.0, "[secret]") }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// Where a value of the configuration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// In the configuration itself: never a credential.
    Plain(String),
    /// In a variable of the environment.
    Env(String),
    /// In a file, without the line end behind it.
    File(PathBuf),
}

impl Value {
    /// Reads the value.
    ///
    /// # Errors
    /// Says which variable or file has none, never what stands in it.
    pub fn read(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
        match self {
            Self::Plain(text) => Ok(text.clone()),
            Self::Env(name) => match environment(name) {
                Some(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
                Some(_) => Err(format!("the environment variable `{name}` is empty")),
                None => Err(format!("the environment variable `{name}` is not set")),
            },
            Self::File(path) => match read_text(path)?.trim() {
                "" => Err(format!("the file `{}` is empty", path.display())),
                text => Ok(text.to_owned()),
            },
        }
    }

    /// Reads the value as a credential.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn secret(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<Secret, String> {
        self.read(environment).map(Secret)
    }
}

/// Where the value stands, for people; what stands in the environment or a file is not shown.
impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(text) => f.write_str(text),
            Self::Env(name) => write!(f, "[from ${name}]"),
            Self::File(path) => write!(f, "[from {}]", path.display()),
        }
    }
}

/// Reads a small text file that the configuration names.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|cause| format!("cannot read `{}`: {cause}", path.display()))
}
