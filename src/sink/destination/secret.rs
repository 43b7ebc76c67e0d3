//! Values of the configuration that come from the environment or a file, and secrets that never show.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
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

    /// The text without the credential: a receiver may answer with what it was sent, as it stands in JSON, in a URL or in a header.
    pub fn hide(&self, text: &str) -> String {
        if self.0.len() < MIN_HIDDEN {
            return text.to_owned();
        }
        let hide =
            |text: String, form: &String| if text.contains(form) { text.replace(form, "[secret]") } else { text };
        self.forms().iter().fold(text.to_owned(), hide)
    }

    /// Ways in which it may stand in a text, the longest first, so that none leaves a part of another.
    fn forms(&self) -> Vec<String> {
        let text = &self.0;
        let json = serde_json::to_string(text).unwrap_or_default();
        let json = json.trim_matches('"').to_owned();
        let in_url: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let mut forms = vec![
            text.clone(),
            json.replace('/', "\\/"),
            json,
            in_url.replace('+', "%20"),
            in_url,
            STANDARD.encode(text),
            STANDARD_NO_PAD.encode(text),
        ];
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        forms
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_hidden_however_a_receiver_writes_it() {
        let secret = Secret::new("pa/ss \"w\u{f6}rd\"+=");
        let packed = STANDARD.encode(secret.expose());
        for text in [
            secret.expose(),
            "pa\\/ss \\\"w\u{f6}rd\\\"+=",
            "pa/ss \\\"w\u{f6}rd\\\"+=",
            "pa%2Fss+%22w%C3%B6rd%22%2B%3D",
            "pa%2Fss%20%22w%C3%B6rd%22%2B%3D",
            packed.as_str(),
            packed.trim_end_matches('='),
        ] {
            assert_eq!(secret.hide(&format!("got <{text}>.")), "got <[secret]>.", "{text}");
        }
        assert_eq!(Secret::new("abc").hide("abcd"), "abcd", "too short to be told from other text");
    }
}
