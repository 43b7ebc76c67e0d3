//! OCSF API Activity (class 6003) events that say they are MCP calls, as audit products export them.
//!
//! The schema has no place of its own for MCP, so producers differ: method and tool in `api.operation`, the tool in `resources[]`,
//! or an event that is flat but for its `class_uid`. Events of other APIs are not this format's. The profile `ai_operation` (agent,
//! model, conversation) and `trace` are read where they are. Times are milliseconds, or RFC 3339 from producers that are less strict.

mod facts;

use super::LogFormat;
use super::shared::{gateway, host};
use crate::call::{Call, Observer, Outcome, PayloadState, SessionSource, Text, TimeSource};
use crate::source::json::Object;
use crate::source::{Decoded, Event, Lane, Record, Reject, time};
use facts::Facts;

const ID: &str = "ocsf_api_activity";

/// OCSF API Activity events of MCP calls.
pub struct OcsfApiActivity;

impl LogFormat for OcsfApiActivity {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "OCSF API Activity (6003) events of MCP calls (JSONL)"
    }
    fn evidence(&self) -> &'static str {
        "OCSF 1.8.0 and 1.9.0 schemas, documentation of two producers; no production log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|event| event.int("class_uid") == Some(6003) && Facts::of(event).is_some())
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let facts = record.json.and_then(|event| Some((event, Facts::of(event)?)));
        let Some((event, facts)) = facts else { return Err(Reject::new("api activity without an mcp method")) };
        let mut call = Box::new(Call {
            source_format: Text::const_new(ID),
            observer: Observer::Gateway,
            tool_call_id: event.object("metadata").text("uid"),
            ..Call::default()
        });
        payloads(event, facts, &mut call, out);
        times(event, &mut call);
        facts::outcome(event, &mut call);
        parties(event, &mut call);
        out.events.push(Event::Call { lane: Lane::default(), call });
        Ok(())
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        // Events of other classes and other APIs in the same lake.
        record.json.is_some_and(|event| event.has("class_uid") && event.has("time"))
    }
}

/// What was asked and answered. `data` is where the schema lets a producer put bodies, as JSON or as a string that holds it.
fn payloads(event: &Object<'_>, facts: Facts, call: &mut Call, out: &mut Decoded) {
    let api = event.object("api");
    let data = |side: &str| {
        let raw = api.object(side).get("data").filter(|raw| *raw != "null")?;
        Some(host::container(raw).unwrap_or_else(|| raw.to_owned()))
    };
    let asked = data("request");
    if let Some(raw) = &asked {
        let params = Object::trusted(raw);
        // The parameters of the method, or the arguments by themselves.
        let is_params = params.has("arguments") || params.has("uri") || !facts.names_target();
        let wrapped = (!is_params).then(|| format!("{{\"arguments\":{raw}}}"));
        super::jsonrpc::request_side(&facts.method, Some(wrapped.as_deref().unwrap_or(raw)), call);
    } else {
        call.arguments_state = PayloadState::NotLogged;
    }
    facts.apply(call);
    call.result_state = PayloadState::NotLogged;
    if let Some(raw) = data("response") {
        super::jsonrpc::result_side(&raw, &Lane::default(), None, call, out);
    }
    call.jsonrpc_request_id = api.object("request").text("uid").or_else(|| event.text("request_id"));
    let version = api.text("version").filter(|text| text.len() == 10 && text.as_bytes()[4] == b'-');
    call.mcp_protocol_version = version;
}

/// The span's times, else those of the event, else the one time that every event has.
fn times(event: &Object<'_>, call: &mut Call) {
    let span = event.object("trace").object("span");
    let read = |object: &Object<'_>, key: &str| time::member(object, key);
    let (start, source) = match read(&span, "start_time") {
        Some(start) => (Some(start), TimeSource::Span),
        None => (read(event, "start_time").or_else(|| read(event, "time")), TimeSource::Record),
    };
    let end = read(&span, "end_time").or_else(|| read(event, "end_time")).map(|(end, _)| end);
    (call.time, call.time_end) = (start.map(|(start, _)| start), end);
    call.time_source = if start.is_some() { source } else { TimeSource::default() };
    gateway::zone(call, start.is_some_and(|(_, assumed)| assumed));
    let measured = gateway::milliseconds(event, "duration");
    call.duration_ns = measured.or_else(|| end?.checked_sub(call.time?).filter(|nanos| *nanos >= 0));
    call.duration_source = call.duration_ns.map(|_| crate::call::DurationSource::Measured);
}

/// Who asked, from where, in which conversation.
fn parties(event: &Object<'_>, call: &mut Call) {
    let (actor, context, agent) = (event.object("actor"), event.object("message_context"), event.object("ai_agent"));
    let (user, source) = (actor.object("user"), event.object("src_endpoint"));
    let conversation = context.text("uid").map(|id| (id, SessionSource::Conversation));
    let session = actor.object("session").text("uid").or_else(|| event.text("session_id"));
    call.mcp_session_id.clone_from(&session);
    let session = session.map(|id| (id, SessionSource::McpSession));
    if let Some((id, source)) = conversation.or(session) {
        (call.session_id, call.session_source) = (Some(id), source);
    }
    call.agent = agent.text("name").or_else(|| actor.text("app_name"));
    call.user_id = user.text("uid").or_else(|| user.text("name"));
    call.client_name = context.object("application").text("name");
    let destination = event.object("dst_endpoint");
    call.server_address = destination.text("hostname").or_else(|| destination.text("ip"));
    let trace = event.object("trace");
    let (span, hex) = (trace.object("span"), |id: &Text| id.bytes().all(|b| b.is_ascii_hexdigit()));
    call.trace_id = trace.text("uid").filter(|id| id.len() == 32 && hex(id));
    call.span_id = span.text("uid").filter(|id| id.len() == 16 && hex(id) && call.trace_id.is_some());
    let model = event.object("ai_model").text("name");
    let extra = gateway::extra([
        ("activity_name", event.get("activity_name")),
        ("product", event.object("metadata").get("product")),
        ("correlation_uid", event.object("metadata").get("correlation_uid")),
        ("denial_code", event.get("denial_code")),
        ("unmapped", event.get("unmapped")),
    ]);
    let more = call.more();
    more.gen_ai_agent_id = agent.text("uid");
    more.gen_ai_request_model = model.or_else(|| agent.object("ai_model").text("name"));
    more.user_name = user.text("name");
    more.user_email = user.text("email_addr");
    more.client_address = source.text("ip");
    more.host_name = source.text("hostname");
    more.user_agent = event.object("http_request").text("user_agent");
    more.source_format_version = event.object("metadata").text("version");
    more.extra_json = extra;
    if call.outcome == Outcome::Denied {
        let code = event.text("denial_code");
        call.more().approval_source = code;
    }
}

#[cfg(test)]
mod tests;
