//! What collectors, container runtimes and exports put around records: a prefix on the line, a JSON object with the line in it, one array around
//! all, an event stream, or nothing at all between two files that were joined.
//!
//! Only records that no format knows are looked at in this way, and what is found counts only if a format knows it.

use crate::call::{Flag, Nanos, TimeSource};
use crate::source::frame::events;
use crate::source::json::{self, Object};
use crate::source::mapping::{EpochUnit, TimeFormat};
use crate::source::{Event, time};
use regex::Regex;
use std::borrow::Cow;
use std::sync::LazyLock;

/// What may be the records inside a record.
pub(super) enum Parts<'a> {
    None,
    /// Readings of the record, of which the first that a format knows is right.
    OneOf(Vec<Cow<'a, str>>),
    /// Records, each for itself.
    All(Vec<Cow<'a, str>>),
}

/// Members in which collectors and loggers keep a line: Docker's `json-file` and Fluent Bit, journald, Filebeat and Logstash (also as `event.original`), pino and slog, Splunk's HEC, Loki; exports of
/// CloudWatch, Cloud Logging, Azure Monitor, Elasticsearch and Splunk; GELF; answers of Elasticsearch and Loki; lines that Fluent Bit, Filebeat and
/// Datadog have parsed.
const LINE_KEYS: &[&str] = &[
    "log",
    "MESSAGE",
    "message",
    "msg",
    "event",
    "line",
    "@message",
    "jsonPayload",
    "textPayload",
    "LogMessage",
    "LogEntry",
    "_source",
    EVENT,
    "result",
    "full_message",
    "short_message",
    "properties",
    "Log",
    "Log_s",
    "hits",
    "data",
    "original",
    "log_processed",
    "json",
    "attributes",
];
/// Where Splunk keeps an event as it came.
const EVENT: &str = "_raw";
/// Members in which they keep several, each in an object of its own: CloudWatch, Azure, Elasticsearch, Loki.
const LIST_KEYS: &[&str] = &["logEvents", "events", "records", "hits", "streams", "result", "values"];
/// Members in which they keep when it was written: Docker and Splunk, Logstash, Loki, Fluent Bit, journald in microseconds, Azure, Splunk.
const TIME_KEYS: &[&str] = &[
    "time",
    "@timestamp",
    "timestamp",
    "ts",
    "date",
    "_SOURCE_REALTIME_TIMESTAMP",
    "__REALTIME_TIMESTAMP",
    "TimeGenerated",
    "_time",
];
/// One prefix of a line, with the space behind it.
static PREFIX: LazyLock<Regex> = LazyLock::new(|| {
    let prefixes = [
        // docker compose logs
        r"[A-Za-z0-9][\w.-]* +\| ",
        // rsyslog with its own template, journalctl -o short-iso
        r"(?:<\d{1,3}>)?\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d) [\w.-]+ [^\s:\[]+\[\d+\]: ",
        // Kubernetes' CRI, docker logs --timestamps, kubectl logs --timestamps
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d) (?:(?:stdout|stderr) [FP] )?",
        // kubectl logs --prefix
        r"\[(?:pod|container)/[^\]\s]+\] ",
        // RFC 3164, journalctl
        r"(?:<\d{1,3}>)?[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ [^\s:\[]+(?:\[\d+\])?: ",
        // RFC 5424
        r#"<\d{1,3}>1 \S+ \S+ \S+ \S+ \S+ (?:-|(?:\[[^\s\]"]+(?: [^\s="]+="(?:[^"\\]|\\.)*")*\])+) (?:\x{feff})?"#,
    ];
    Regex::new(&format!("^(?:{})", prefixes.join("|"))).expect("the pattern is well formed")
});
/// The time of RFC 3164, which leaves the year out.
static SYSLOG_TIME: LazyLock<TimeFormat> =
    LazyLock::new(|| TimeFormat::parse("%b %e %H:%M:%S", EpochUnit::Auto).expect("the pattern is well formed"));
/// Its length.
const SYSLOG_TIME_LENGTH: usize = 15;
/// Colours and other sequences for a terminal (ECMA-48 CSI).
static CSI: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\x1b\[[0-?]*[ -/]*[@-~]").expect("the pattern is well formed"));

/// What a record may hold: `json` if it is an object, `is_array` if it is an array.
pub(super) fn parts<'a>(text: &'a str, json: Option<&Object<'a>>, is_array: bool) -> Parts<'a> {
    if let Some(object) = json {
        let lines: Vec<_> = LINE_KEYS.iter().filter_map(|key| object.get(key)).filter_map(line).collect();
        let list = LIST_KEYS.iter().filter_map(|key| object.get(key)).find(|raw| raw.starts_with('['));
        return match list {
            Some(list) if lines.is_empty() => elements(list),
            _ => Parts::OneOf(lines),
        };
    }
    if let Some((_, line)) = loki(text).filter(|_| is_array) {
        return Parts::OneOf(vec![line]);
    }
    if is_array {
        return elements(text);
    }
    if events::is_stream(text) {
        let mut data = events::data(text);
        data.retain(|data| data.trim_start().starts_with(['{', '[']));
        return Parts::All(data.into_iter().map(Cow::Owned).collect());
    }
    if text.starts_with('{') {
        return joined(text);
    }
    unprefixed(text).map_or(Parts::None, |text| Parts::OneOf(vec![text]))
}

fn elements(array: &str) -> Parts<'_> {
    Parts::All(json::elements(array).into_iter().map(Cow::Borrowed).collect())
}

/// The event beside the fields that Splunk took out of it.
pub(super) fn event<'a>(object: &Object<'a>) -> Option<Cow<'a, str>> {
    object.get(EVENT).and_then(line)
}

/// When a collector or a runtime wrote the record, and whether its zone was assumed. The file's last change lends its year.
pub(super) fn time(text: &str, json: Option<&Object<'_>>, mtime: Option<Nanos>) -> Option<(Nanos, bool)> {
    if let Some(object) = json {
        return TIME_KEYS.iter().find_map(|key| time::member(object, key));
    }
    if let Some((time, _)) = loki(text) {
        return Some((time, false));
    }
    let prefix = PREFIX.find(text)?.as_str();
    // Behind a priority, `<13>`, if there is one.
    let mut words = prefix.split(' ').map(|word| word.rsplit('>').next().unwrap_or(word));
    if let Some(time) = words.find_map(|word| time::rfc3339(&word.replace(',', "."))) {
        return Some((time, false));
    }
    let syslog = prefix.strip_prefix('<').and_then(|text| Some(text.split_once('>')?.1)).unwrap_or(prefix);
    let found = SYSLOG_TIME.read(syslog.get(..SYSLOG_TIME_LENGTH)?, None, mtime)?;
    Some((found.nanos, found.zone_assumed))
}

/// Gives events without a time that of what was around them.
pub(super) fn stamp(events: &mut [Event], (time, is_assumed): (Nanos, bool)) {
    for event in events {
        let (call, is_end) = match event {
            Event::Request { call, .. } | Event::Call { call, .. } | Event::Begins { call, .. } => (call, false),
            Event::Response { call, .. } | Event::Ends { call, .. } => (call, true),
            Event::Cancel { time: at, .. } | Event::Connection { time: at, .. } => {
                at.get_or_insert(time);
                continue;
            }
            _ => continue,
        };
        if call.time.is_some() || call.time_end.is_some() {
            continue;
        }
        if is_end {
            call.time_end = Some(time);
        } else {
            (call.time, call.time_source) = (Some(time), TimeSource::RequestLine);
        }
        if is_assumed {
            call.flag(Flag::ZoneAssumed);
        }
    }
}

/// The line in a member: a text, an object by itself, or bytes, as journald writes a line with colours.
fn line(raw: &str) -> Option<Cow<'_, str>> {
    if raw.starts_with('{') {
        return Some(Cow::Borrowed(raw));
    }
    if raw.starts_with('[') {
        let bytes: Vec<u8> = serde_json::from_str(raw).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        return Some(text.trim().to_owned()).filter(|line| !line.is_empty()).map(Cow::Owned);
    }
    let text = json::string(raw)?;
    let line = text.trim_ascii();
    (!line.is_empty()).then(|| if line.len() == text.len() { text.clone() } else { Cow::Owned(line.to_owned()) })
}

/// An entry of a stream of Loki: `["1794474002000000000","the line"]`, perhaps with labels behind them.
fn loki(text: &str) -> Option<(Nanos, Cow<'_, str>)> {
    text.strip_prefix('[').filter(|rest| rest.trim_start().starts_with('"'))?;
    let [time, line, ..] = json::elements(text)[..] else { return None };
    let text = json::string(line)?;
    // Elsewhere a line has lost what stands around it when it is cut out of its file.
    let line = if text.trim_ascii().len() == text.len() { text } else { Cow::Owned(text.trim_ascii().to_owned()) };
    Some((json::string(time)?.parse().ok()?, line))
}

/// Objects one after the other on a line: files that were joined without a line end between them.
fn joined(text: &str) -> Parts<'_> {
    let (mut objects, mut at) = (Vec::new(), 0);
    while at < text.len() {
        let rest = &text[at..];
        let gap = rest.len() - rest.trim_start_matches([' ', '\t', '\u{feff}']).len();
        let mut values = serde_json::Deserializer::from_str(&rest[gap..]).into_iter::<&serde_json::value::RawValue>();
        match values.next() {
            Some(Ok(value)) if value.get().starts_with('{') => {
                objects.push(Cow::Borrowed(value.get()));
                at += gap + values.byte_offset();
            }
            // What is cut off at the end is told of like any other record that cannot be read.
            _ if objects.is_empty() => return Parts::None,
            _ => {
                objects.push(Cow::Borrowed(&rest[gap..]));
                break;
            }
        }
    }
    Parts::All(objects)
}

/// The line without its colours, or without its first prefix. What is left may have others.
fn unprefixed(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('\x1b') {
        return match CSI.replace_all(text, "") {
            Cow::Owned(plain) => Some(Cow::Owned(plain)),
            Cow::Borrowed(_) => None,
        };
    }
    let rest = text[PREFIX.find(text)?.end()..].trim_ascii();
    (!rest.is_empty()).then_some(Cow::Borrowed(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syslog_has_the_year_of_the_files_last_change() {
        let mtime = time::rfc3339("2026-01-02T00:00:00Z");
        for (line, expected) in [
            ("Jan  2 00:00:01 gw tap[7]: {", "2026-01-02T00:00:01Z"),
            ("<134>Dec 31 23:59:59 gw tap: {", "2025-12-31T23:59:59Z"),
        ] {
            let expected = time::rfc3339(expected).map(|time| (time, true));
            assert_eq!(self::time(line, None, mtime), expected, "{line}");
            assert_eq!(self::time(line, None, None), None, "standard input has no year to lend");
        }
    }
}
