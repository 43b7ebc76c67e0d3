//! Runs that LangSmith exports: its API and SDK, downloads of its pages, trees of runs.
//!
//! A run is a step of an application; `session_id` is the project it belongs to, never the conversation, which metadata may name.
//! Times have no zone and are UTC. LangChain puts arguments below `input` and results below `output`, older versions as
//! Python writes them. What makes a run a call is `otlp_traces::observation`'s.

use super::LogFormat;
use super::otlp_traces::observation::Observation;
use super::otlp_traces::span::Attributes;
use crate::source::json::{self, Object};
use crate::source::{Decoded, Event, Record, Reject, time};

const ID: &str = "langsmith";
/// Names of the conversation in metadata.
const SESSION: &[&str] = &["session_id", "thread_id", "conversation_id"];
/// Runs below runs that are followed.
const MAX_DEPTH: usize = 64;
/// How far into an array the keys of its first element are looked for.
const HEAD: usize = 4096;

/// LangSmith exports.
pub struct LangSmith;

impl LogFormat for LangSmith {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "LangSmith runs (API, SDK and page exports)"
    }
    fn evidence(&self) -> &'static str {
        "types of the Python SDK 0.15, source code of langchain-mcp-adapters; no production log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        match record.json {
            Some(object) => is_run(object) || object.get("runs").is_some_and(looks_like),
            None => looks_like(record.text),
        }
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        match record.json {
            Some(object) => entry(object, out),
            None => json::elements(record.text).into_iter().for_each(|raw| entry(&Object::trusted(raw), out)),
        }
        Ok(())
    }
}

fn is_run(object: &Object<'_>) -> bool {
    object.has("run_type") && ["start_time", "dotted_order", "trace_id", "inputs"].iter().any(|key| object.has(key))
}

/// Whether the first element of an array has the keys of a run. Long inputs may stand before them.
fn looks_like(raw: &str) -> bool {
    let head = &raw.as_bytes()[..raw.len().min(HEAD)];
    raw.starts_with('[') && memchr::memmem::find(head, b"\"run_type\"").is_some()
}

/// A run, or an answer that holds some.
fn entry(object: &Object<'_>, out: &mut Decoded) {
    if is_run(object) {
        run(object, 0, out);
    } else {
        runs(object.get("runs").unwrap_or_default(), 0, out);
    }
}

fn runs(raw: &str, depth: usize, out: &mut Decoded) {
    json::elements(raw).into_iter().map(Object::trusted).filter(is_run).for_each(|object| run(&object, depth, out));
}

fn run(object: &Object<'_>, depth: usize, out: &mut Decoded) {
    let extra = object.object("extra");
    let metadata = extra.object("metadata");
    let (start, end) = (time::member(object, "start_time"), time::member(object, "end_time"));
    let error = object.str("error");
    let tags = object.array("tags");
    let failed =
        error.as_ref().is_some_and(|text| !text.is_empty()) || object.str("status").is_some_and(|s| s == "error");
    let observation = Observation {
        name: object.get("name"),
        is_tool: object.str("run_type").is_some_and(|kind| kind == "tool"),
        trace_id: object.text("trace_id").or_else(|| object.text("id")),
        id: object.text("id"),
        parent: object.text("parent_run_id"),
        start: start.map(|(nanos, _)| nanos),
        end: end.map(|(nanos, _)| nanos),
        zone_assumed: start.or(end).is_some_and(|(_, assumed)| assumed),
        failed,
        message: error,
        attributes: Attributes::members(&metadata),
        resource: Attributes::members(&extra.object("runtime")),
        session: SESSION.iter().find_map(|key| metadata.get(key)).filter(|raw| raw.starts_with('"') && *raw != "\"\""),
        user: ["user_id", "ls_user_id"].iter().find_map(|key| metadata.get(key)),
        agent: ["lc_agent_name", "agent_name", "agent"].iter().find_map(|key| metadata.get(key)),
        input: object.get("inputs"),
        output: object.get("outputs"),
        tagged: tags.iter().any(|tag| tag.eq_ignore_ascii_case("\"mcp\"")),
    };
    if let Some(call) = observation.call(ID) {
        let lane = call.session_id.clone().unwrap_or_default();
        out.events.push(Event::Call { lane, call: Box::new(call) });
    }
    if depth < MAX_DEPTH {
        runs(object.get("child_runs").unwrap_or_default(), depth + 1, out);
    }
}

#[cfg(test)]
mod tests;
