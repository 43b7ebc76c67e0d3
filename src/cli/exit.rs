//! From any error to a message, a hint and an exit code, in one place.

use super::ui::Ui;
use crate::config::ConfigError;
use crate::detect::DetectError;
use crate::ingest::IngestError;
use crate::lake::LakeError;
use crate::model::UpdateError;
use crate::query::QueryError;
use crate::sink::deliver::ShipError;
use crate::source::input::InputError;
use std::io;
use std::process::ExitCode;

/// Exit code where nothing was there to read.
pub(super) const NO_INPUT: u8 = 3;

/// Why a command ends early.
#[derive(Debug)]
pub(super) struct CommandError {
    code: u8,
    message: String,
}

impl CommandError {
    /// Our failure, or the machine's.
    pub(super) fn failure(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }
    /// The user's to mend: options, configuration, rules, SQL.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }
    /// Nothing to read.
    pub(super) fn no_input(message: impl Into<String>) -> Self {
        Self { code: NO_INPUT, message: message.into() }
    }

    /// What went wrong.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// Prints the message and gives the exit code.
    pub(super) fn report(&self, ui: &Ui) -> ExitCode {
        if !self.message.is_empty() {
            // A path or a rule may hold anything, an SQL error quotes what the log says.
            let message = crate::lake::store::plain(&self.message);
            let lines: Vec<_> = message.lines().map(crate::alert::visible).collect();
            ui.error(lines.join("\n"));
        }
        ExitCode::from(self.code)
    }
}

impl From<LakeError> for CommandError {
    fn from(error: LakeError) -> Self {
        match error {
            LakeError::Missing(_) | LakeError::NotALake(_) | LakeError::Scheme(_) => Self::usage(error.to_string()),
            _ => Self::failure(error.to_string()),
        }
    }
}

impl From<QueryError> for CommandError {
    fn from(error: QueryError) -> Self {
        match &error {
            QueryError::Plan { line: Some(line), .. } => Self::usage(format!("line {line}: {error}")),
            QueryError::Plan { .. } => Self::usage(error.to_string()),
            QueryError::Write(cause) if cause.kind() == io::ErrorKind::BrokenPipe => {
                Self { code: 0, message: String::new() }
            }
            _ => Self::failure(error.to_string()),
        }
    }
}

impl From<IngestError> for CommandError {
    fn from(error: IngestError) -> Self {
        Self::failure(error.to_string())
    }
}

impl From<DetectError> for CommandError {
    fn from(error: DetectError) -> Self {
        match error {
            DetectError::Query(error) => error.into(),
            DetectError::Lake(error) => error.into(),
        }
    }
}

impl From<ShipError> for CommandError {
    fn from(error: ShipError) -> Self {
        match error {
            ShipError::Lake(error) => error.into(),
            ShipError::Task(_) => Self::failure(error.to_string()),
        }
    }
}

impl From<UpdateError> for CommandError {
    fn from(error: UpdateError) -> Self {
        match error {
            UpdateError::Query(error) => error.into(),
            UpdateError::Lake(error) => error.into(),
        }
    }
}

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<Vec<InputError>> for CommandError {
    fn from(problems: Vec<InputError>) -> Self {
        let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let nothing = problems.iter().all(|p| matches!(p, InputError::NothingMatches(_)));
        if nothing { Self::no_input(text.join("\n")) } else { Self::failure(text.join("\n")) }
    }
}

impl From<io::Error> for CommandError {
    /// Writing data failed. A reader that has seen enough (`| head`) is no failure.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { code: 0, message: String::new() };
        }
        Self::failure(format!("cannot write the output: {error}"))
    }
}
