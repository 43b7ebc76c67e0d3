//! Alert → text, one file per encoding; no I/O.
//!
//! [`Options`] says what a target wants to be told beside the alert. An encoder sees a [`Shown`]: the alert as it is to be written,
//! which [`encode`](super::encode()) has cut if it would be larger than the target takes.

pub mod asim;
pub mod cef;
pub mod chat;
pub mod datadog;
pub mod ecs;
mod facts;
pub(super) mod fit;
pub mod hec;
pub mod incident;
pub mod jsonl;
pub mod leef;
mod name_based;
mod object;
pub mod ocsf;
pub mod ocsf_call;
pub mod otlp;
pub mod pagerduty;
pub mod sarif;
pub mod stix;
pub mod syslog;
pub mod table;
pub mod udm;

pub use crate::visible::visible;

use crate::alert::Alert;
use crate::visible::first_hidden;
use serde::Serialize;
use serde_json::ser::Formatter;
use std::io::{self, Write};

/// What a target wants to be told beside the alert. [`Default`] is what fits most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Version of the schema of OCSF events, also of those inside of other encodings.
    pub ocsf_version: OcsfVersion,
    /// Writes the calls of an alert as events of their own too, where the encoding has one for them.
    pub calls: bool,
    /// Splunk: the index of the event. Elasticsearch: the index of the document; without one the request's path has to name it.
    pub index: Option<String>,
    /// Splunk: source. Datadog: `ddsource`.
    pub source: Option<String>,
    /// Splunk: sourcetype. Datadog: service.
    pub sourcetype: Option<String>,
    /// The machine that reports.
    pub host: Option<String>,
    /// Private enterprise number in the names of RFC 5424's structured data; the default is the one for documentation.
    pub enterprise_id: u32,
    /// Bytes that a message may have; without it, the encoding's own limit.
    pub max_bytes: Option<usize>,
    /// PagerDuty: the integration key. It is a secret.
    pub routing_key: Option<RoutingKey>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ocsf_version: OcsfVersion::default(),
            calls: false,
            index: None,
            source: None,
            sourcetype: None,
            host: None,
            enterprise_id: 32_473,
            max_bytes: None,
            routing_key: None,
        }
    }
}

/// A secret that stands in the message itself; it does not show in debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct RoutingKey(pub String);

impl std::fmt::Debug for RoutingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RoutingKey(…)")
    }
}

/// A version of the OCSF schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum OcsfVersion {
    #[default]
    V1_8,
    V1_9,
}

impl OcsfVersion {
    /// All versions, the oldest first.
    pub const ALL: [Self; 2] = [Self::V1_8, Self::V1_9];

    /// The version as events state it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_8 => "1.8.0",
            Self::V1_9 => "1.9.0",
        }
    }

    /// Reads `1.8`, `1.8.0` and the like.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| [version.as_str(), &version.as_str()[..3]].contains(&text))
    }
}

/// An alert as it is to be written.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    pub alert: &'a Alert,
    pub options: &'a Options,
    /// If the alert was cut, the bytes that its message would have had.
    pub full_bytes: Option<usize>,
}

/// What an encoder made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub text: String,
    /// Whether a part of it is longer than the target takes, whatever the length of the whole.
    pub is_too_long: bool,
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self { text, is_too_long: false }
    }
}

/// One line of JSON in which every character that acts on a terminal or hides from a reader is a `\u` escape:
/// the value is the same, and a terminal that shows the line does nothing but show it.
pub fn json_text(value: &impl Serialize) -> io::Result<String> {
    let mut out = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Escaping))?;
    String::from_utf8(out).map_err(io::Error::other)
}

struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = first_hidden(rest) {
            let (before, from) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let mut chars = from.chars();
            if let Some(hidden) = chars.next() {
                for unit in hidden.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}
