//! Where alerts go. For now: text on a stream, in one of a few encodings.
//!
//! An encoding turns alerts into text and does no I/O of its own; whoever calls [`write`] owns the stream.

pub mod encode;

use crate::alert::Alert;
use encode::{json_text, jsonl, ocsf, table};
use std::io::{self, Write};

/// How alerts are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// For a reader at a terminal.
    #[default]
    Table,
    /// One JSON array, our own fields.
    Json,
    /// One JSON object a line, our own fields.
    Jsonl,
    /// One OCSF Detection Finding a line.
    Ocsf,
}

impl Encoding {
    /// All encodings.
    pub const ALL: [Self; 4] = [Self::Table, Self::Json, Self::Jsonl, Self::Ocsf];

    /// The encoding's name on the command line and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Json => "json",
            Self::Jsonl => "jsonl",
            Self::Ocsf => "ocsf",
        }
    }

    /// Reads the name that [`Self::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| encoding.as_str() == text)
    }
}

/// Writes alerts in one encoding, each line ended. `style` matters to the table only.
pub fn write(alerts: &[Alert], encoding: Encoding, style: table::Style, out: &mut dyn Write) -> io::Result<()> {
    match encoding {
        Encoding::Table => out.write_all(table::encode(alerts, style).as_bytes()),
        Encoding::Jsonl => lines(alerts, out, |alert| json_text(&jsonl::Wire::of(alert))),
        Encoding::Ocsf => lines(alerts, out, |alert| json_text(&ocsf::encode(alert))),
        Encoding::Json => {
            let mut before = "[";
            for alert in alerts {
                write!(out, "{before}\n{}", json_text(&jsonl::Wire::of(alert))?)?;
                before = ",";
            }
            out.write_all(if alerts.is_empty() { b"[]\n" } else { b"\n]\n" })
        }
    }
}

fn lines(alerts: &[Alert], out: &mut dyn Write, encode: impl Fn(&Alert) -> io::Result<String>) -> io::Result<()> {
    alerts.iter().try_for_each(|alert| writeln!(out, "{}", encode(alert)?))
}

#[cfg(test)]
mod tests;
