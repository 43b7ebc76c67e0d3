//! One OTLP span as it is written: ids, times, kind, status, attributes, whatever spelling the exporter chose.
//!
//! Protobuf's JSON mapping leaves much open and exporters use all of it: camelCase or snake_case names, enums as
//! numbers or names, 64-bit integers as strings or numbers, ids as hex of either case or as base64. Other products
//! write the same attributes as plain JSON, which no attribute value of OTLP is, so both are read by one code.

use super::call;
use crate::call::{Nanos, Text};
use crate::source::json::{self, Object};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::borrow::Cow;

/// Nesting of attribute values that is followed; deeper ones stay as they are written.
const MAX_DEPTH: usize = 32;

/// One span. `resource` is the index of the resource that emitted it.
pub(in crate::source::format) struct Span<'a> {
    pub trace_id: Option<Text>,
    pub id: Option<Text>,
    pub parent: Option<Text>,
    pub name: Cow<'a, str>,
    pub kind: Kind,
    pub start: Option<Nanos>,
    pub end: Option<Nanos>,
    pub failed: bool,
    pub message: Option<Cow<'a, str>>,
    /// Attributes of the first `exception` event.
    pub exception: Option<Attributes<'a>>,
    pub attributes: Attributes<'a>,
    pub resource: usize,
}

/// Which end of a request the span stands for, as far as MCP is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source::format) enum Kind {
    Internal,
    Server,
    Client,
}

impl<'a> Span<'a> {
    /// Reads a span of validated JSON. What is missing or odd stays empty.
    pub(in crate::source::format) fn read(raw: &'a str, resource: usize) -> Self {
        let span = Object::trusted(raw);
        let status = span.object("status");
        let either = |camel: &str, snake: &str| span.str(camel).or_else(|| span.str(snake));
        let time = |camel: &str, snake: &str| {
            span.int(camel).or_else(|| span.int(snake)).filter(|nanos| (1..Nanos::MAX).contains(nanos))
        };
        let mut attributes = Attributes::read(&span);
        let mut exception = None;
        for event in span.array("events").into_iter().map(Object::trusted) {
            if event.str("name").is_some_and(|name| name == "exception") {
                exception.get_or_insert_with(|| Attributes::read(&event));
            } else {
                attributes.extend_payloads(Attributes::read(&event));
            }
        }
        Self {
            trace_id: either("traceId", "trace_id").and_then(|text| id(&text, 16)),
            id: either("spanId", "span_id").and_then(|text| id(&text, 8)),
            parent: either("parentSpanId", "parent_span_id").and_then(|text| id(&text, 8)),
            name: span.str("name").unwrap_or_default(),
            kind: kind(span.get("kind").unwrap_or_default()),
            start: time("startTimeUnixNano", "start_time_unix_nano"),
            end: time("endTimeUnixNano", "end_time_unix_nano"),
            failed: matches!(
                status.get("code").unwrap_or_default().trim_matches('"'),
                "2" | "STATUS_CODE_ERROR" | "ERROR" | "Error"
            ),
            message: status.str("message").filter(|message| !message.is_empty()),
            exception,
            attributes,
            resource,
        }
    }
}

fn kind(raw: &str) -> Kind {
    match raw.trim_matches('"') {
        "2" | "SPAN_KIND_SERVER" | "SERVER" | "server" => Kind::Server,
        "3" | "SPAN_KIND_CLIENT" | "CLIENT" | "client" => Kind::Client,
        _ => Kind::Internal,
    }
}

/// An id of so many bytes as lower-case hex. `None` if it is all zero, which means unset.
pub(in crate::source::format) fn id(text: &str, bytes: usize) -> Option<Text> {
    // Some exporters pad, some do not, some use the alphabet for URLs.
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
    const URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
    if text.is_empty() || text.len() > 64 {
        return None;
    }
    let hex = if text.bytes().all(|b| b.is_ascii_hexdigit()) {
        // Tempo's search API drops leading zeros.
        format!("{:0>width$}", text.to_ascii_lowercase(), width = bytes * 2)
    } else {
        let decoded = STANDARD.decode(text).or_else(|_| URL.decode(text)).ok().filter(|id| id.len() == bytes);
        match decoded {
            Some(id) => id.iter().map(|byte| format!("{byte:02x}")).collect(),
            None => text.to_ascii_lowercase(),
        }
    };
    (!hex.bytes().all(|b| b == b'0')).then(|| Text::from(hex))
}

/// Attributes in order, values as written. Looked up by key on demand: most spans are none of ours.
#[derive(Default)]
pub(in crate::source::format) struct Attributes<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'a> Attributes<'a> {
    /// The `attributes` member of a span, an event or a resource.
    pub(in crate::source::format) fn read(owner: &Object<'a>) -> Self {
        Self(pairs(owner.get("attributes").unwrap_or_default()))
    }
    /// A list of keys and values of any other name.
    pub(in crate::source::format) fn list(raw: &'a str) -> Self {
        Self(pairs(raw))
    }
    /// The members of a plain JSON object.
    pub(in crate::source::format) fn members(object: &Object<'a>) -> Self {
        // With duplicate keys the last one, as `Object` has it; lookups take the first.
        Self(object.members().iter().rev().cloned().collect())
    }
    /// Adds an attribute, which wins over one of the same key.
    pub(in crate::source::format) fn set(&mut self, key: &'static str, value: &'a str) {
        self.0.insert(0, (Cow::Borrowed(key), value));
    }
    /// Adds the attributes of another list; those that stand here already win.
    pub(in crate::source::format) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
    /// Adds the payloads that stand in an event of the span: they are long, and some SDKs keep spans short.
    pub(in crate::source::format) fn extend_payloads(&mut self, mut event: Self) {
        event.0.retain(|(key, _)| call::is_payload(key));
        self.extend(event);
    }
    /// The attributes whose keys start with this prefix, without it.
    pub(in crate::source::format) fn below(&self, prefix: &str) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, *value)))
    }
    /// The value of one attribute, as written.
    pub(in crate::source::format) fn get(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, value)| *value)
    }
    /// The first of these attributes that holds a non-empty scalar, as text.
    pub(in crate::source::format) fn string(&self, keys: &[&str]) -> Option<Cow<'a, str>> {
        keys.iter().find_map(|key| self.get(key).and_then(scalar).filter(|text| !text.is_empty()))
    }
    /// [`Self::string`] for names and ids.
    pub(in crate::source::format) fn text(&self, keys: &[&str]) -> Option<Text> {
        self.string(keys).map(Text::from)
    }
    /// Whether a key starts with one of these prefixes.
    pub(in crate::source::format) fn any_key(&self, prefixes: &[&str]) -> bool {
        self.0.iter().any(|(key, _)| prefixes.iter().any(|prefix| key.starts_with(prefix)))
    }
}

/// The entries of a key-value list.
fn pairs(raw: &str) -> Vec<(Cow<'_, str>, &str)> {
    let entry = |raw| {
        let entry = Object::trusted(raw);
        Some((entry.str("key")?, entry.get("value")?))
    };
    json::elements(raw).into_iter().filter_map(entry).collect()
}

/// What an attribute value holds: the member's name without its suffix, and its JSON text.
fn variant(raw: &str) -> Option<(&'static str, &str)> {
    match raw.as_bytes().first()? {
        b'{' => {}
        b'"' => return Some(("string", raw)),
        b't' | b'f' => return Some(("bool", raw)),
        b'-' | b'0'..=b'9' => return Some(("double", raw)),
        _ => return None,
    }
    let value = Object::trusted(raw);
    let (key, inner) = value.members().first()?;
    let kind = match key.as_ref() {
        "stringValue" | "string_value" => "string",
        "intValue" | "int_value" => "int",
        "boolValue" | "bool_value" => "bool",
        "doubleValue" | "double_value" => "double",
        "arrayValue" | "array_value" => "array",
        "kvlistValue" | "kvlist_value" => "kvlist",
        "bytesValue" | "bytes_value" => "bytes",
        _ => return None,
    };
    Some((kind, inner))
}

/// A scalar attribute value as text.
pub(in crate::source::format) fn scalar(raw: &str) -> Option<Cow<'_, str>> {
    match variant(raw)? {
        ("array" | "kvlist", _) | (_, "null") => None,
        (_, inner) => Some(json::string(inner).unwrap_or(Cow::Borrowed(inner))),
    }
}

/// A string attribute value; `None` for every other type.
pub(in crate::source::format) fn string(raw: &str) -> Option<Cow<'_, str>> {
    variant(raw).filter(|(kind, _)| *kind == "string").and_then(|(_, inner)| json::string(inner))
}

/// Any attribute value as the JSON that it stands for.
pub(in crate::source::format) fn to_json(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    write_json(raw, 0, &mut out);
    out
}

fn write_json(raw: &str, depth: usize, out: &mut String) {
    let Some((kind, inner)) = variant(raw).filter(|_| depth < MAX_DEPTH) else {
        // An empty value means null; one that we do not know is kept.
        out.push_str(if raw.trim() == "{}" { "null" } else { raw });
        return;
    };
    match kind {
        "array" => {
            out.push('[');
            for (i, element) in Object::trusted(inner).array("values").into_iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                write_json(element, depth + 1, out);
            }
            out.push(']');
        }
        "kvlist" => {
            out.push('{');
            for (i, (key, value)) in pairs(Object::trusted(inner).get("values").unwrap_or_default()).iter().enumerate()
            {
                out.push_str(if i > 0 { "," } else { "" });
                out.push_str(&quote(key));
                out.push(':');
                write_json(value, depth + 1, out);
            }
            out.push('}');
        }
        "int" => match json::string(inner) {
            Some(text) if text.parse::<i64>().is_ok() => out.push_str(&text),
            _ => out.push_str(inner),
        },
        _ => out.push_str(inner),
    }
}

/// Text as a JSON string literal.
pub(in crate::source::format) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
