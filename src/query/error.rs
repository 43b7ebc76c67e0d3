//! Why a query gave no answer, in words without the names of DataFusion's layers.

use super::deadline::TimeIsUp;
use datafusion::common::DataFusionError;
use std::time::Duration;

/// Why a query gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The text itself: syntax, an unknown name, a wrong type, something that is not read-only.
    #[error("{message}")]
    Plan {
        message: String,
        /// Line of the text, from 1, where known.
        line: Option<usize>,
    },
    /// The query needs more memory than it may have.
    #[error("out of memory: {0}; raise the memory limit or narrow the query")]
    Memory(String),
    /// It took longer than it may.
    #[error("not done after {0:?}")]
    TimedOut(Duration),
    /// The data, or reading it.
    #[error("query stopped: {0}")]
    Execution(String),
    /// Writing the result.
    #[error("cannot write the result: {0}")]
    Write(#[from] std::io::Error),
}

impl QueryError {
    /// Line of the query's text that is to blame, from 1; 0 where unknown.
    pub fn line(&self) -> usize {
        match self {
            Self::Plan { line: Some(line), .. } => *line,
            _ => 0,
        }
    }

    pub(super) fn internal(text: &str) -> Self {
        Self::Execution(text.to_owned())
    }
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        let text = clean(&error.to_string());
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => Self::Memory(text),
            DataFusionError::External(cause) if cause.is::<TimeIsUp>() => {
                Self::TimedOut(cause.downcast_ref().map_or(Duration::ZERO, |TimeIsUp(limit)| *limit))
            }
            DataFusionError::Plan(_)
            | DataFusionError::SQL(..)
            | DataFusionError::SchemaError(..)
            | DataFusionError::NotImplemented(_)
            | DataFusionError::Diagnostic(..)
            | DataFusionError::Configuration(_) => {
                let line = error.diagnostic().and_then(|d| d.span).map(|span| span.start.line as usize);
                Self::Plan { line: line.or_else(|| line_in(&text)), message: text }
            }
            _ => Self::Execution(text),
        }
    }
}

impl From<arrow::error::ArrowError> for QueryError {
    fn from(error: arrow::error::ArrowError) -> Self {
        match error {
            arrow::error::ArrowError::IoError(_, io) => Self::Write(io),
            other => Self::Execution(other.to_string()),
        }
    }
}

/// The line that the SQL parser names in its message.
fn line_in(message: &str) -> Option<usize> {
    let rest = &message[message.find("at Line: ")? + "at Line: ".len()..];
    rest.split(',').next()?.parse().ok()
}

/// DataFusion's message without the names of its own layers, and without a list of a hundred columns.
fn clean(message: &str) -> String {
    const LAYERS: &[&str] = &[
        "Error during planning: ",
        "Schema error: ",
        "SQL error: ",
        "Execution error: ",
        "Arrow error: ",
        "Resources exhausted: ",
    ];
    let text = message.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or_default();
    // The optimizer's step in which it was found says nothing to who wrote the query.
    let mut text = text.rsplit("\ncaused by\n").next().unwrap_or_default();
    while let Some(rest) = LAYERS.iter().find_map(|layer| text.strip_prefix(layer)) {
        text = rest;
    }
    let text = text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    match text.split_once("Valid fields are ") {
        Some((head, fields)) if fields.len() > 300 => {
            format!(
                "{}; the table has {} columns, see \\d or DESCRIBE",
                head.trim_end_matches([' ', '.', '?']),
                fields.split(", ").count()
            )
        }
        _ => text.trim_end_matches('.').to_owned(),
    }
}
