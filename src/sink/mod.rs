//! Alerts as text: [`encode`] gives the messages of one alert, [`body`] puts messages into one request, [`write()`] writes many alerts to a stream.
//!
//! An encoding turns alerts into text and does no I/O of its own; whoever calls [`write()`] owns the stream. What each format says, where and
//! how long, stands in `docs/encodings.md`.

pub mod deliver;
pub mod destination;
pub mod encode;

use crate::alert::Alert;
use encode::{
    Message, Options, Shown, asim, cef, chat, datadog, ecs, fit::fit, hec, json_text, jsonl, leef, ocsf, ocsf_call,
    otlp, pagerduty, sarif, stix, syslog, table, udm,
};
use serde_json::Value;
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
    /// OCSF Detection Finding, one a line.
    Ocsf,
    /// Elastic Common Schema, one document a line.
    Ecs,
    /// Elasticsearch and OpenSearch `_bulk`: two lines for each ECS document.
    Bulk,
    /// Splunk HTTP Event Collector, one event a line.
    Hec,
    /// Microsoft Sentinel: array of ASIM AlertEvent records.
    Asim,
    /// Google SecOps: UDM events.
    Udm,
    /// Datadog: array of log entries.
    Datadog,
    /// Sumo Logic: OCSF, one line each, at most 64 KB.
    Sumo,
    /// OpenTelemetry logs (OTLP/JSON).
    Otlp,
    /// Common Event Format.
    Cef,
    /// QRadar's Log Event Extended Format 2.0.
    Leef,
    /// RFC 5424 with structured data.
    Syslog,
    /// STIX 2.1 bundle.
    Stix,
    /// SARIF 2.1.0 log.
    Sarif,
    /// Slack webhook message.
    Slack,
    /// Teams message with an Adaptive Card.
    Teams,
    /// PagerDuty event.
    Pagerduty,
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
    pub const ALL: [Self; 20] = [
        Self::Table,
        Self::Json,
        Self::Jsonl,
        Self::Ocsf,
        Self::Ecs,
        Self::Bulk,
        Self::Hec,
        Self::Asim,
        Self::Udm,
        Self::Datadog,
        Self::Sumo,
        Self::Otlp,
        Self::Cef,
        Self::Leef,
        Self::Syslog,
        Self::Stix,
        Self::Sarif,
        Self::Slack,
        Self::Teams,
        Self::Pagerduty,
    ];

    /// The encoding's name on the command line and in the configuration.
    pub fn as_str(self) -> &'static str {
        self.names().0
    }

    /// What the encoding is, in a few words.
    pub fn title(self) -> &'static str {
        self.names().1
    }

    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Table => ("table", "for a reader at a terminal"),
            Self::Json => ("json", "one JSON array"),
            Self::Jsonl => ("jsonl", "one JSON object a line"),
            Self::Ocsf => ("ocsf", "OCSF Detection Finding, one a line"),
            Self::Ecs => ("ecs", "Elastic Common Schema, one document a line"),
            Self::Bulk => ("bulk", "Elasticsearch and OpenSearch _bulk request"),
            Self::Hec => ("hec", "Splunk HTTP Event Collector events"),
            Self::Asim => ("asim", "Microsoft Sentinel, ASIM AlertEvent records"),
            Self::Udm => ("udm", "Google SecOps UDM events"),
            Self::Datadog => ("datadog", "Datadog log entries"),
            Self::Sumo => ("sumo", "Sumo Logic, OCSF lines of at most 64 KB"),
            Self::Otlp => ("otlp", "OpenTelemetry logs (OTLP/JSON)"),
            Self::Cef => ("cef", "Common Event Format"),
            Self::Leef => ("leef", "QRadar Log Event Extended Format 2.0"),
            Self::Syslog => ("syslog", "RFC 5424 with structured data"),
            Self::Stix => ("stix", "STIX 2.1 bundle"),
            Self::Sarif => ("sarif", "SARIF 2.1.0 log"),
            Self::Slack => ("slack", "Slack webhook messages"),
            Self::Teams => ("teams", "Teams messages with an Adaptive Card"),
            Self::Pagerduty => ("pagerduty", "PagerDuty events"),
        }
    }

    /// Reads the name that [`Self::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| encoding.as_str() == text)
    }

    /// How several of its messages become one request.
    pub fn batching(self) -> Batching {
        match self {
            Self::Json | Self::Asim | Self::Datadog => Batching::Array,
            Self::Jsonl | Self::Ocsf | Self::Ecs | Self::Bulk | Self::Hec | Self::Sumo => Batching::Lines,
            Self::Cef | Self::Leef | Self::Syslog => Batching::Lines,
            Self::Udm => Batching::Inside(udm::AROUND.0, udm::AROUND.1),
            Self::Otlp => Batching::Inside(otlp::AROUND.0, otlp::AROUND.1),
            Self::Table | Self::Stix | Self::Sarif | Self::Slack | Self::Teams | Self::Pagerduty => Batching::Single,
        }
    }

    /// Whether it has events for the calls of an alert: see [`Options::calls`].
    pub fn has_calls(self) -> bool {
        matches!(self, Self::Ocsf | Self::Sumo | Self::Hec | Self::Datadog | Self::Asim)
    }

    /// Whether a message has no line break inside.
    pub fn is_one_line(self) -> bool {
        !matches!(self, Self::Table | Self::Bulk)
    }

    /// Bytes that one message may have, where the target or the format says so.
    pub fn max_bytes(self) -> Option<usize> {
        match self {
            Self::Hec => Some(1_000_000),
            Self::Asim => Some(asim::MAX_RECORD),
            Self::Udm => Some(udm::MAX_EVENT),
            Self::Datadog => Some(datadog::MAX_ENTRY),
            Self::Sumo => Some(datadog::MAX_SUMO),
            Self::Syslog => Some(syslog::MAX_FRAME),
            Self::Teams => Some(chat::MAX_CARD),
            Self::Pagerduty => Some(pagerduty::MAX_EVENT),
            Self::Table | Self::Json | Self::Jsonl | Self::Ocsf | Self::Ecs | Self::Bulk | Self::Otlp => None,
            Self::Cef | Self::Leef | Self::Stix | Self::Sarif | Self::Slack => None,
        }
    }
}

/// The messages of one alert: one, and with [`Options::calls`] more where the encoding has events for calls.
///
/// A message has no line end. Messages of [`Batching::Lines`] have no line break inside either, but for the one between the two lines of a
/// bulk request's item. An alert that is larger than [`Options::max_bytes`], or than the encoding's own limit, is cut and says so.
pub fn encode(alert: &Alert, encoding: Encoding, options: &Options) -> io::Result<Vec<String>> {
    let max_bytes = options.max_bytes.or(encoding.max_bytes()).unwrap_or(usize::MAX);
    messages(alert, encoding, options, max_bytes, &|_, message| message)
}

/// The messages of one alert for a syslog destination: those of an encoding [of one line](Encoding::is_one_line), each in a frame of RFC 5424, none
/// longer than [`Options::max_bytes`] or [`syslog::MAX_FRAME`]. [`Encoding::Syslog`] brings its own frame.
pub fn encode_for_syslog(alert: &Alert, encoding: Encoding, options: &Options) -> io::Result<Vec<String>> {
    if !encoding.is_one_line() {
        let message = format!("`{}` has several lines and cannot go by syslog", encoding.as_str());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let max_bytes = options.max_bytes.unwrap_or(syslog::MAX_FRAME);
    messages(alert, encoding, options, max_bytes, &|shown, message| match encoding {
        Encoding::Syslog => message,
        _ => Message { text: syslog::wrap(shown, &message.text), ..message },
    })
}

/// The messages of one alert, whole or cut to a size, with something put around each.
fn messages(
    alert: &Alert,
    encoding: Encoding,
    options: &Options,
    max_bytes: usize,
    around: &dyn Fn(&Shown<'_>, Message) -> Message,
) -> io::Result<Vec<String>> {
    let of_alert = |shown: &Shown<'_>| Ok(around(shown, of_alert(shown, encoding)?));
    let mut messages = vec![fit(alert, options, max_bytes, &of_alert)?];
    if options.calls && encoding.has_calls() {
        // Each call alone, so that one that is too large is cut and the others are not.
        let mut one = alert.clone();
        let of_call = |shown: &Shown<'_>| Ok(around(shown, of_call(shown, encoding)?));
        for call in &alert.calls {
            one.calls = vec![call.clone()];
            messages.push(fit(&one, options, max_bytes, &of_call)?);
        }
    }
    Ok(messages)
}

fn of_alert(shown: &Shown<'_>, encoding: Encoding) -> io::Result<Message> {
    let json = |value: Value| json_text(&value);
    let text = match encoding {
        Encoding::Table => {
            table::encode(std::slice::from_ref(shown.alert), table::Style::default()).trim_end().to_owned()
        }
        Encoding::Json | Encoding::Jsonl => json_text(&jsonl::Wire::shown(shown))?,
        Encoding::Ocsf | Encoding::Sumo => json_text(&ocsf::event(shown))?,
        Encoding::Ecs => json(ecs::encode(shown)?)?,
        Encoding::Bulk => ecs::bulk(shown)?,
        Encoding::Hec => json_text(&hec::encode(shown))?,
        Encoding::Asim => return asim::encode(shown),
        Encoding::Udm => json(udm::encode(shown))?,
        Encoding::Datadog => json(datadog::encode(shown))?,
        Encoding::Otlp => json(otlp::encode(shown)?)?,
        Encoding::Cef => cef::encode(shown),
        Encoding::Leef => leef::encode(shown),
        Encoding::Syslog => syslog::encode(shown),
        Encoding::Stix => json(stix::document([*shown]))?,
        Encoding::Sarif => json(sarif::document([*shown]))?,
        Encoding::Slack => json(chat::slack(shown))?,
        Encoding::Teams => json(chat::teams(shown))?,
        Encoding::Pagerduty => json(pagerduty::encode(shown)?)?,
    };
    Ok(text.into())
}

/// The message of the one call that the alert has.
fn of_call(shown: &Shown<'_>, encoding: Encoding) -> io::Result<Message> {
    let event = match encoding {
        Encoding::Ocsf | Encoding::Sumo => ocsf_call::encode(shown).pop(),
        Encoding::Hec => hec::calls(shown).pop().map(Value::from),
        Encoding::Datadog => datadog::calls(shown).pop(),
        Encoding::Asim => return asim::calls(shown)?.pop().ok_or_else(no_call),
        _ => None,
    };
    Ok(json_text(&event.ok_or_else(no_call)?)?.into())
}

fn no_call() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the event of a call is larger than the limit however it is cut: raise the limit",
    )
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

/// Writes alerts in one encoding, documents as one of all alerts. `style` matters to the table only.
pub fn write(
    alerts: &[Alert],
    encoding: Encoding,
    options: &Options,
    style: table::Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let shown = alerts.iter().map(|alert| Shown { alert, options, full_bytes: None });
    match encoding {
        Encoding::Table => return out.write_all(table::encode(alerts, style).as_bytes()),
        Encoding::Stix => return writeln!(out, "{}", json_text(&stix::document(shown))?),
        Encoding::Sarif => return writeln!(out, "{}", json_text(&sarif::document(shown))?),
        _ => {}
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
                let inner = message.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(suffix.trim_end()));
                let inner = inner.unwrap_or(message);
                (if is_first { prefix } else { "," }, inner)
            }
        }
    }

    /// What goes behind the last one. It ends the line: in a file, the next batch begins there, and what has no end is taken for torn.
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
