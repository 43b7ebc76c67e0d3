//! Observations that Langfuse exports: answers of its API, rows of its exports to object storage, whole traces.
//!
//! The API writes `traceId`, the export `trace_id` and times without a zone, which are UTC. Input, output and parts of the
//! metadata are JSON or strings that hold it. What a span's attributes were is kept under `metadata.attributes`. What
//! makes an observation a call is `otlp_traces::observation`'s.

use super::LogFormat;
use super::otlp_traces::observation::Observation;
use super::otlp_traces::span::{Attributes, id};
use crate::call::{Nanos, SessionSource, Text};
use crate::source::json::{self, Object};
use crate::source::{Decoded, Event, Record, Reject, time};
use std::borrow::Cow;

const ID: &str = "langfuse";
const TYPES: &[&str] =
    &["SPAN", "EVENT", "GENERATION", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EVALUATOR", "EMBEDDING", "GUARDRAIL"];
/// How far into an array the keys of its first element are looked for.
const HEAD: usize = 4096;

/// Langfuse exports.
pub struct Langfuse;

impl LogFormat for Langfuse {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "Langfuse observations (API, object storage export, whole traces)"
    }
    fn evidence(&self) -> &'static str {
        "types of the Python SDK 5.0 and Langfuse's documentation; no production log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        match record.json {
            Some(object) => is_observation(object) || list(object).is_some(),
            None => looks_like(record.text),
        }
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(object) = record.json else {
            json::elements(record.text).into_iter().map(Object::trusted).for_each(|object| entry(&object, out));
            return Ok(());
        };
        entry(object, out);
        Ok(())
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        // Rows of the other tables of an export: scores and traces.
        record
            .json
            .is_some_and(|row| row.has("id") && (row.has("project_id") || row.has("projectId") || row.has("traceId")))
    }
}

fn is_observation(object: &Object<'_>) -> bool {
    (object.has("traceId") || object.has("trace_id"))
        && (object.has("startTime") || object.has("start_time"))
        && object.str("type").is_some_and(|kind| TYPES.contains(&kind.as_ref()))
}

/// The observations of an answer or of a trace.
fn list<'a>(object: &Object<'a>) -> Option<&'a str> {
    let answer = object.get("data").filter(|_| object.has("meta"));
    answer.or_else(|| object.get("observations")).filter(|raw| looks_like(raw))
}

/// Whether the first element of an array has the keys of an observation. Long inputs may stand before them.
fn looks_like(raw: &str) -> bool {
    if !raw.starts_with('[') {
        return false;
    }
    let bytes = &raw.as_bytes()[..raw.len().min(HEAD)];
    let has = |key: &str| memchr::memmem::find(bytes, key.as_bytes()).is_some();
    (has("\"traceId\"") || has("\"trace_id\"")) && (has("\"parentObservationId\"") || has("\"parent_observation_id\""))
}

/// An observation, or what wraps some.
fn entry(object: &Object<'_>, out: &mut Decoded) {
    let Some(observations) = list(object) else {
        if is_observation(object) {
            observation(object, out);
        }
        return;
    };
    // A trace names its session; observations of older versions do not.
    let trace = if object.has("trace") { object.object("trace") } else { object.clone() };
    let session = trace.text("sessionId").or_else(|| trace.text("session_id"));
    if let (Some(trace_id), Some(session_id)) = (trace.str("id").and_then(|text| id(&text, 16)), session) {
        out.events.push(Event::Trace { trace_id, session_id, agent: None });
    }
    for row in json::elements(observations).into_iter().map(Object::trusted).filter(is_observation) {
        observation(&row, out);
    }
}

fn observation(row: &Object<'_>, out: &mut Decoded) {
    let raw = |camel: &str, snake: &str| row.get(camel).or_else(|| row.get(snake)).filter(|raw| *raw != "null");
    let text = |camel: &str, snake: &str| raw(camel, snake).and_then(json::string);
    let kind = row.str("type").unwrap_or_default();
    let trace_id = text("traceId", "trace_id").and_then(|text| id(&text, 16));
    let name = row.get("name");
    if kind == "AGENT"
        && let (Some(trace_id), Some(agent)) = (trace_id.clone(), row.text("name"))
    {
        let session = text("sessionId", "session_id").filter(|session| !session.is_empty()).map(Text::from);
        let session_id = session.unwrap_or_else(|| trace_id.clone());
        out.events.push(Event::Trace { trace_id, session_id, agent: Some(agent) });
    }
    let member = |key: &str| time::member(row, key);
    let start = member("startTime").or_else(|| member("start_time"));
    let end = member("endTime").or_else(|| member("end_time")).or_else(|| ended(row, start?));
    let metadata = row.get("metadata").map(object_text).unwrap_or_default();
    let metadata = Object::trusted(&metadata);
    let parts = ["attributes", "resourceAttributes"].map(|key| metadata.get(key).map(object_text).unwrap_or_default());
    let [attributes, resource] = [&parts[0], &parts[1]].map(|text| Object::trusted(text));
    let mut all = Attributes::members(&attributes);
    all.extend(Attributes::members(&metadata));
    let tags = row.array("tags");
    let observation = Observation {
        name,
        is_tool: kind == "TOOL",
        trace_id,
        id: row.str("id").and_then(|text| id(&text, 8)),
        parent: text("parentObservationId", "parent_observation_id").and_then(|text| id(&text, 8)),
        start: start.map(|(nanos, _)| nanos),
        end: end.map(|(nanos, _)| nanos),
        zone_assumed: start.or(end).is_some_and(|(_, assumed)| assumed),
        failed: row.str("level").is_some_and(|level| level == "ERROR"),
        message: text("statusMessage", "status_message"),
        attributes: all,
        resource: Attributes::members(&resource),
        session: raw("sessionId", "session_id").filter(|raw| *raw != "\"\""),
        user: raw("userId", "user_id").filter(|raw| *raw != "\"\""),
        agent: ["agent", "agent_name", "lc_agent_name"].iter().find_map(|key| metadata.get(key)),
        input: row.get("input"),
        output: row.get("output"),
        tagged: tags.iter().any(|tag| tag.eq_ignore_ascii_case("\"mcp\"")),
    };
    let version = row.text("version");
    if let Some(mut call) = observation.call(ID) {
        call.client_version = call.client_version.take().or(version);
        let named = call.session_source > SessionSource::Trace;
        let lane = call.session_id.clone().filter(|_| named).unwrap_or_default();
        out.events.push(Event::Call { lane, call: Box::new(call) });
    }
}

/// The end of an observation that tells only for how many seconds it ran.
fn ended(row: &Object<'_>, (start, assumed): (Nanos, bool)) -> Option<(Nanos, bool)> {
    let raw = row.get("latency")?;
    let seconds: f64 = json::string(raw).unwrap_or(Cow::Borrowed(raw)).parse().ok()?;
    let nanos = (0.0..9e9).contains(&seconds).then_some((seconds * 1e9).round() as Nanos)?;
    Some((start.checked_add(nanos)?, assumed))
}

/// The text of an object: as it is, or what a JSON string holds.
fn object_text(raw: &str) -> Cow<'_, str> {
    match json::string(raw) {
        Some(text) if Object::parse(&text).is_ok() => text,
        Some(_) => Cow::Borrowed("{}"),
        None => Cow::Borrowed(raw),
    }
}

#[cfg(test)]
mod tests;
