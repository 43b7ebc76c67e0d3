//! What collectors, container runtimes and exports put around records: a prefix on the line, a JSON object with the line in it, one array around
//! all, or nothing at all between two files that were joined.
//!
//! Only records that no format knows are looked at in this way, and what is found counts only if a format knows it.

use crate::source::json::{self, Object};
use regex::Regex;
use std::borrow::Cow;
use std::sync::LazyLock;

/// What may be the records inside a record.
pub(super) enum Parts<'a> {
    None,
    /// Readings of one record, of which the first that a format knows is right.
    OneOf(Vec<Cow<'a, str>>),
    /// Records, each for itself.
    All(Vec<&'a str>),
}

/// Members in which collectors keep a line: Docker's `json-file` and Fluent Bit, journald, Filebeat and Logstash, Splunk's HEC, Loki.
const LINE_KEYS: &[&str] = &["log", "MESSAGE", "message", "event", "line"];
/// Prefixes of prefixes: `docker compose logs --timestamps` of what syslog had.
const PREFIXES: usize = 3;

/// One prefix of a line, with the space behind it.
static PREFIX: LazyLock<Regex> = LazyLock::new(|| {
    let prefixes = [
        // docker compose logs
        r"[A-Za-z0-9][\w.-]* +\| ",
        // Kubernetes' CRI, docker logs --timestamps, kubectl logs --timestamps
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d) (?:(?:stdout|stderr) [FP] )?",
        // kubectl logs --prefix
        r"\[(?:pod|container)/[^\]\s]+\] ",
        // RFC 3164, journalctl
        r"(?:<\d{1,3}>)?[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ [^\s:\[]+(?:\[\d+\])?: ",
        // RFC 5424 without structured data
        r"<\d{1,3}>1 \S+ \S+ \S+ \S+ \S+ - ",
    ];
    Regex::new(&format!("^(?:{})", prefixes.join("|"))).expect("the pattern is well formed")
});
/// Colours and other sequences for a terminal (ECMA-48 CSI).
static CSI: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\x1b\[[0-?]*[ -/]*[@-~]").expect("the pattern is well formed"));

/// What a record may hold: `json` if it is an object, `broken` if it begins as JSON and is none.
pub(super) fn parts<'a>(text: &'a str, json: Option<&Object<'a>>, broken: Option<&serde_json::Error>) -> Parts<'a> {
    if let Some(object) = json {
        let lines = LINE_KEYS.iter().filter_map(|key| object.get(key)).filter_map(line);
        return one_of(lines.collect());
    }
    if broken.is_some() && text.starts_with('{') {
        return joined(text);
    }
    if broken.is_none() && text.starts_with('[') {
        let elements = json::elements(text);
        if elements.iter().any(|element| element.starts_with('{')) {
            return Parts::All(elements);
        }
    }
    one_of(unprefixed(text))
}

fn one_of(texts: Vec<Cow<'_, str>>) -> Parts<'_> {
    if texts.is_empty() { Parts::None } else { Parts::OneOf(texts) }
}

/// The line in a member: a text, or an object by itself.
fn line(raw: &str) -> Option<Cow<'_, str>> {
    if raw.starts_with('{') {
        return Some(Cow::Borrowed(raw));
    }
    let text = json::string(raw)?;
    let line = text.trim_ascii();
    (!line.is_empty()).then(|| if line.len() == text.len() { text.clone() } else { Cow::Owned(line.to_owned()) })
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
                objects.push(value.get());
                at += gap + values.byte_offset();
            }
            // What is cut off at the end is told of like any other record that cannot be read.
            _ if objects.is_empty() => return Parts::None,
            _ => {
                objects.push(&rest[gap..]);
                break;
            }
        }
    }
    Parts::All(objects)
}

/// The line without colours, and without one prefix, two, and so on.
fn unprefixed(text: &str) -> Vec<Cow<'_, str>> {
    let plain = if text.contains('\x1b') { CSI.replace_all(text, "") } else { Cow::Borrowed(text) };
    let mut starts = Vec::new();
    let mut at = 0;
    while let Some(prefix) = PREFIX.find(&plain[at..]).filter(|_| starts.len() < PREFIXES) {
        at += prefix.end();
        starts.push(at);
    }
    let from = |at: usize| match &plain {
        Cow::Borrowed(text) => Cow::Borrowed(text[at..].trim_ascii()),
        Cow::Owned(text) => Cow::Owned(text[at..].trim_ascii().to_owned()),
    };
    let is_coloured = matches!(plain, Cow::Owned(_));
    is_coloured
        .then(|| from(0))
        .into_iter()
        .chain(starts.into_iter().map(from))
        .filter(|text| !text.is_empty())
        .collect()
}
