//! `calltrail.toml` as written: what keys there are and what type each has, nothing more.
//!
//! Every value that is checked further keeps its place in the file. [`read`] finds every problem of this
//! kind, not the first: what serde refuses is reported and taken out, and the rest is read again.

use serde::Deserialize;

use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Written {
    pub lake: Option<Spanned<String>>,
    pub chain: Chain,
    pub ingest: Ingest,
    pub detect: Detect,
    pub model: Model,
    pub rules: BTreeMap<Spanned<String>, Rule>,
    pub allow: Allow,
    pub suppress: Vec<Spanned<Suppress>>,
    pub mapping: Vec<Spanned<super::mapping::Written>>,
    pub output: Output,
    pub sinks: Vec<Spanned<super::sinks::Written>>,
    pub query: Query,
    pub storage: BTreeMap<String, Spanned<Setting>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Chain {
    pub signing_key: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Ingest {
    pub paths: Vec<Spanned<String>>,
    pub keep_secrets: bool,
    pub payload_limit: Option<Spanned<Size>>,
    pub session_gap: Option<Spanned<String>>,
    pub decompressed_limit: Option<Spanned<Size>>,
    pub ratio_limit: Option<Spanned<u64>>,
    pub mcp_audit_key: Option<String>,
    pub capabilities: Vec<Spanned<Capabilities>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Capabilities {
    pub server: Option<String>,
    pub tool: Option<String>,
    pub capabilities: Vec<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Detect {
    pub rules: Vec<Spanned<String>>,
    pub rule_timeout: Option<Spanned<String>>,
    pub min_level: Option<Spanned<String>>,
    pub fail_on: Option<Spanned<String>>,
    pub since: Option<Spanned<Moment>>,
    pub until: Option<Spanned<Moment>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Model {
    pub enabled: Option<bool>,
    pub file: Option<String>,
    pub false_alarms_per_day: Option<Spanned<f64>>,
    pub false_discovery_rate: Option<Spanned<f64>>,
    pub false_alarm_rate: Option<Spanned<f64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rule {
    pub enabled: Option<bool>,
    pub level: Option<Spanned<String>>,
    pub params: BTreeMap<Spanned<String>, toml::Value>,
    pub allow: Allow,
}

/// What is known and allowed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Allow {
    pub tools: Vec<Spanned<String>>,
    pub destinations: Vec<Spanned<String>>,
    pub agents: Vec<Spanned<String>>,
    pub servers: Vec<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Suppress {
    pub id: Option<Spanned<String>>,
    pub rule: Option<Spanned<String>>,
    pub alert_id: Option<Spanned<String>>,
    pub session_id: Option<Spanned<OneOrMore>>,
    pub agent: Option<Spanned<OneOrMore>>,
    pub user_id: Option<Spanned<OneOrMore>>,
    pub server: Option<Spanned<OneOrMore>>,
    pub tool: Option<Spanned<OneOrMore>>,
    pub destination: Option<Spanned<OneOrMore>>,
    pub owner: Option<Spanned<String>>,
    pub reason: Option<Spanned<String>>,
    pub expires: Option<Spanned<Moment>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Output {
    pub format: Option<Spanned<String>>,
    pub file: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Query {
    pub memory_limit: Option<Spanned<Size>>,
}

/// A setting of object stores: perhaps a credential, so it is not shown.
#[derive(Deserialize)]
#[serde(untagged, expecting = "text, a number, or true or false")]
pub(super) enum Setting {
    Text(String),
    Number(i64),
    Switch(bool),
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(set)")
    }
}

impl Setting {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Switch(on) => on.to_string(),
        }
    }
}

/// A size with its unit, or plain bytes.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a size like \"64KiB\", or a number of bytes")]
pub(super) enum Size {
    Bytes(u64),
    Text(String),
}

/// One text or several.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a text, or a list of texts")]
pub(super) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    pub(super) fn list(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::More(texts) => texts,
        }
    }
}

/// A date or time, quoted or TOML's own.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a date like 2027-01-31, or text")]
pub(super) enum Moment {
    Toml(toml::value::Datetime),
    Text(String),
}

impl Moment {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Toml(time) => time.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// Something wrong at a place in the file.
pub(super) type Fault = (Option<Range<usize>>, String);

/// Reads the file as far as it can be read, and says what is wrong with the rest.
pub(super) fn read(text: &str) -> (Written, Vec<Fault>) {
    let (mut document, errors) = DeTable::parse_recoverable(text);
    let mut faults: Vec<Fault> = errors.iter().map(fault).collect();
    if !faults.is_empty() {
        // Behind a syntax error any key may be in the wrong table: its complaints would mislead.
        return (Written::default(), faults);
    }
    loop {
        let error = match Written::deserialize(toml::de::Deserializer::from(document.clone())) {
            Ok(written) => return (written, faults),
            Err(error) => error,
        };
        faults.push(fault(&error));
        if !error.span().is_some_and(|span| take_out(document.get_mut(), &span)) {
            return (Written::default(), faults);
        }
    }
}

fn fault(error: &toml::de::Error) -> Fault {
    (error.span(), error.message().replace('\n', ", "))
}

/// Removes the innermost entry that holds the span; tells whether there was one.
fn take_out(table: &mut DeTable<'_>, span: &Range<usize>) -> bool {
    let within = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    let mut found = None;
    for (key, value) in table.iter_mut() {
        let inside = match value.get_mut() {
            DeValue::Table(inner) => take_out(inner, span),
            DeValue::Array(items) => items.iter_mut().any(|item| match item.get_mut() {
                DeValue::Table(inner) => take_out(inner, span),
                _ => false,
            }),
            _ => false,
        };
        if inside {
            return true;
        }
        if within(key.span()) || within(value.span()) {
            found = Some(key.clone());
        }
    }
    found.is_some_and(|key| table.remove(&key).is_some())
}
