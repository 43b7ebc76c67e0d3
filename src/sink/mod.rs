//! Alerts as text: [`encode`] gives the messages of one alert, [`body`] puts messages into one request, [`write()`] writes many alerts to a stream.
//!
//! An encoding turns alerts into text and does no I/O of its own; whoever calls [`write()`] owns the stream. What each format says, where and
//! how long, stands in `docs/encodings.md`.

pub mod encode;

use crate::alert::Alert;
use encode::{Options, Shown, json_text, jsonl, ocsf, table};
use std::io::{self, Write};

/// How alerts are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
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

/// How several messages become one request or one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batching {
    /// One after the other, each line ended.
    Lines,
    /// A JSON array.
    Array,
    /// Each message is an object with one list; what stands between these two texts goes into one list.
    Inside(&'static str, &'static str),
    /// Each message is a request or a document of its own.
    Single,
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

    /// How several of its messages become one request.
    pub fn batching(self) -> Batching {
        match self {
            Self::Table => Batching::Single,
            Self::Json => Batching::Array,
            Self::Jsonl | Self::Ocsf => Batching::Lines,
        }
    }
}

/// The messages of one alert: one, and with [`Options::calls`] more where the encoding has events for calls.
///
/// A message has no line end. Messages of [`Batching::Lines`] have no line break inside either, but for the one between the two lines of a
/// bulk request's item. An alert that is larger than [`Options::max_bytes`], or than the encoding's own limit, is cut and says so.
pub fn encode(alert: &Alert, encoding: Encoding, options: &Options) -> io::Result<Vec<String>> {
    let shown = Shown { alert, options, full_bytes: None };
    Ok(vec![match encoding {
        Encoding::Table => table::encode(std::slice::from_ref(alert), table::Style::default()).trim_end().to_owned(),
        Encoding::Json | Encoding::Jsonl => json_text(&jsonl::Wire::of(shown.alert))?,
        Encoding::Ocsf => json_text(&ocsf::encode(shown.alert))?,
    }])
}

/// One request of messages that [`encode`] gave; of [`Batching::Single`] messages it should be one.
pub fn body(encoding: Encoding, messages: &[impl AsRef<str>]) -> String {
    let mut out = String::new();
    let mut framed = Framed::new(encoding);
    for message in messages {
        let (before, message) = framed.next(message.as_ref());
        out.push_str(before);
        out.push_str(message);
    }
    out.push_str(framed.end());
    out
}

/// Writes alerts in one encoding. `style` matters to the table only.
pub fn write(
    alerts: &[Alert],
    encoding: Encoding,
    options: &Options,
    style: table::Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    if encoding == Encoding::Table {
        return out.write_all(table::encode(alerts, style).as_bytes());
    }
    let mut framed = Framed::new(encoding);
    for alert in alerts {
        for message in encode(alert, encoding, options)? {
            let (before, message) = framed.next(&message);
            out.write_all(before.as_bytes())?;
            out.write_all(message.as_bytes())?;
        }
    }
    out.write_all(framed.end().as_bytes())
}

/// What goes before, between and after messages.
struct Framed {
    batching: Batching,
    is_first: bool,
}

impl Framed {
    fn new(encoding: Encoding) -> Self {
        Self { batching: encoding.batching(), is_first: true }
    }

    /// What goes before the next message, and what of it is written.
    fn next<'a>(&mut self, message: &'a str) -> (&'static str, &'a str) {
        let is_first = std::mem::replace(&mut self.is_first, false);
        match self.batching {
            Batching::Lines | Batching::Single => (if is_first { "" } else { "\n" }, message),
            Batching::Array => (if is_first { "[\n" } else { ",\n" }, message),
            Batching::Inside(prefix, suffix) => {
                let inner = message.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(suffix)).unwrap_or(message);
                (if is_first { prefix } else { "," }, inner)
            }
        }
    }

    fn end(self) -> &'static str {
        match (self.batching, self.is_first) {
            (Batching::Lines | Batching::Single | Batching::Inside(..), true) => "",
            (Batching::Lines | Batching::Single, false) => "\n",
            (Batching::Array, true) => "[]\n",
            (Batching::Array, false) => "\n]\n",
            (Batching::Inside(_, suffix), false) => suffix,
        }
    }
}

#[cfg(test)]
mod tests;
