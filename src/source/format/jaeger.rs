//! Traces as Jaeger has them: what its UI downloads and its HTTP API answers, and the documents of its index.
//!
//! A record is an answer with `data`, one trace with `spans` and `processes`, or one span with its own `process`. Times
//! count microseconds, status and kind stand among the tags, and the tags are the attributes that OTLP would carry: what
//! they mean is `otlp_traces`'s. Jaeger cuts nothing, but its collector may have dropped spans (`warnings`).

use super::LogFormat;
use super::otlp_traces::Traces;
use super::otlp_traces::span::{Attributes, Kind, Span, id};
use crate::call::Nanos;
use crate::source::json::{self, Object};
use crate::source::{Decoded, Record, Reject, time};
use std::collections::HashMap;

const ID: &str = "jaeger";
/// How far into an array the keys of its first trace are looked for.
const HEAD: usize = 512;

/// Jaeger's traces.
pub struct Jaeger;

impl LogFormat for Jaeger {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "Jaeger traces (UI download, HTTP API, index documents)"
    }
    fn evidence(&self) -> &'static str {
        "two downloads of kagent's traces; index documents from the source code of Jaeger"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|object| is_answer(object) || is_trace(object) || is_span(object))
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(object) = record.json else { return Err(Reject::new("not a json object")) };
        if is_span(object) {
            let mut resource = Resources::default();
            let at = resource.add(&object.object("process"));
            let spans = vec![span(object, at)];
            Traces { format: ID, spans, resources: resource.list }.emit(out);
        } else if is_trace(object) {
            trace(object, out);
        } else {
            object.array("data").into_iter().map(Object::trusted).for_each(|object| trace(&object, out));
        }
        Ok(())
    }
}

/// An answer of the API: no traces found is one, too.
fn is_answer(object: &Object<'_>) -> bool {
    let Some(data) = object.get("data").filter(|raw| raw.starts_with('[')) else { return false };
    let head = &data.as_bytes()[..data.len().min(HEAD)];
    let has = |key: &str| memchr::memmem::find(head, key.as_bytes()).is_some();
    has("\"traceID\"")
        || has("\"processes\"")
        || (data.len() == 2 && ["total", "limit", "offset", "errors"].iter().all(|key| object.has(key)))
}

fn is_trace(object: &Object<'_>) -> bool {
    object.has("traceID") && object.has("spans") && object.has("processes")
}

fn is_span(object: &Object<'_>) -> bool {
    object.has("traceID") && object.has("spanID") && object.has("operationName")
}

/// What emitted the spans: service and tags of a process.
#[derive(Default)]
struct Resources<'a> {
    list: Vec<Attributes<'a>>,
    by_name: HashMap<String, usize>,
}

impl<'a> Resources<'a> {
    fn add(&mut self, process: &Object<'a>) -> usize {
        let mut resource = Attributes::list(process.get("tags").unwrap_or_default());
        if let Some(name) = process.get("serviceName") {
            resource.set("service.name", name);
        }
        self.list.push(resource);
        self.list.len() - 1
    }
}

fn trace(object: &Object<'_>, out: &mut Decoded) {
    let mut resources = Resources::default();
    // For spans of no process.
    resources.list.push(Attributes::default());
    for (name, process) in object.object("processes").members() {
        let at = resources.add(&Object::trusted(process));
        resources.by_name.insert(name.to_string(), at);
    }
    let spans = object.array("spans").into_iter().map(Object::trusted).map(|object| {
        let process = object.str("processID").unwrap_or_default();
        span(&object, resources.by_name.get(process.as_ref()).copied().unwrap_or(0))
    });
    Traces { format: ID, spans: spans.collect(), resources: resources.list }.emit(out);
}

fn span<'a>(object: &Object<'a>, resource: usize) -> Span<'a> {
    let mut tags = Attributes::list(object.get("tags").unwrap_or_default());
    // Indices that flatten tags have dots replaced; those that keep them in one object are read.
    tags.extend(Attributes::members(&object.object("tag")));
    logs(object).for_each(|fields| tags.extend_payloads(fields));
    let is = |key: &str, value: &str| tags.string(&[key]).is_some_and(|text| text.eq_ignore_ascii_case(value));
    let kind = match tags.string(&["span.kind"]).unwrap_or_default().as_ref() {
        "server" => Kind::Server,
        "client" => Kind::Client,
        _ => Kind::Internal,
    };
    let start = object.int("startTime").filter(|start| *start > 0).map(time::epoch);
    let duration = object.int("duration").filter(|micros| *micros >= 0).and_then(|micros| micros.checked_mul(1_000));
    let end: Option<Nanos> = start.zip(duration).and_then(|(start, duration)| start.checked_add(duration));
    let failed = is("error", "true") || is("otel.status_code", "ERROR");
    let message = tags.string(&["otel.status_description"]);
    Span {
        trace_id: object.str("traceID").and_then(|text| id(&text, 16)),
        id: object.str("spanID").and_then(|text| id(&text, 8)),
        parent: parent(object),
        name: object.str("operationName").unwrap_or_default(),
        kind,
        start,
        end,
        failed,
        message,
        exception: exception(object),
        attributes: tags,
        resource,
    }
}

/// The span above this one; links to other traces are references, too.
fn parent(object: &Object<'_>) -> Option<crate::call::Text> {
    let trace = object.str("traceID");
    let references: Vec<_> = object.array("references").into_iter().map(Object::trusted).collect();
    let of_kind = |kind: &str| {
        let fits = |r: &&Object<'_>| r.str("refType").is_some_and(|k| k == kind) && r.str("traceID") == trace;
        references.iter().find(fits).and_then(|r| r.str("spanID"))
    };
    let id_text = of_kind("CHILD_OF").or_else(|| of_kind("FOLLOWS_FROM")).or_else(|| object.str("parentSpanID"));
    id_text.and_then(|text| id(&text, 8))
}

/// The fields of each log entry.
fn logs<'a>(object: &Object<'a>) -> impl Iterator<Item = Attributes<'a>> {
    let fields = |raw: &'a str| Attributes::list(Object::trusted(raw).get("fields").unwrap_or_default());
    object.get("logs").map(json::elements).unwrap_or_default().into_iter().map(fields)
}

/// The fields of the first log entry about an exception.
fn exception<'a>(object: &Object<'a>) -> Option<Attributes<'a>> {
    logs(object).find(|fields| {
        fields.string(&["event"]).is_some_and(|event| event == "exception") || fields.get("exception.type").is_some()
    })
}

#[cfg(test)]
mod tests;
