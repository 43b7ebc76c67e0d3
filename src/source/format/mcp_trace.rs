//! Traces of Contexa's mcp-trace-js, a middleware inside the server: one JSON object per HTTP request.
//!
//! A record is written when the answer was sent, so `timestamp` is its end. Any member can be switched off. The answer is the
//! body as it was sent: a JSON-RPC message, or the text of an event stream. Older versions split tools out of it (`tool_name`,
//! `tool_arguments`, `tool_response`). A record without `method` is the stream that a client listens on.

use super::jsonrpc::{self, error_side, request_side, result_side};
use super::{LogFormat, shared::gateway, shared::host};
use crate::call::{Call, EventKind, Observer, Outcome, PayloadState, SessionSource, Text};
use crate::source::frame::events;
use crate::source::json::{self, Object};
use crate::source::{Decoded, Event, Lane, Record, Reject, time};

const ID: &str = "mcp_trace";

/// Members that only this middleware writes.
const OWN: &[&str] = &["entity_name", "entity_params", "entity_response", "tool_arguments", "tool_response"];

/// Contexa mcp-trace records.
pub struct McpTrace;

impl LogFormat for McpTrace {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "Contexa mcp-trace file adapter (JSONL)"
    }
    fn evidence(&self) -> &'static str {
        "source code and documentation of ContexaAI/mcp-trace-js; no production log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|object| {
            let kind = object.str("type");
            let Some(kind @ ("request" | "notification" | "unknown")) = kind.as_deref() else { return false };
            // Requests of any web server have the first three as well.
            object.has("timestamp")
                && (OWN.iter().any(|key| object.has(key))
                    || object.has("duration") && object.has("session_id") && (kind == "unknown" || names_mcp(object)))
        })
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(trace) = record.json else { return Err(Reject::new("not a json object")) };
        let mut call = Box::new(Call {
            source_format: Text::const_new(ID),
            observer: Observer::Server,
            mcp_session_id: trace.text("session_id"),
            session_id: trace.text("session_id"),
            session_source: SessionSource::McpSession,
            client_name: trace.text("client_id"),
            transport: Some(Text::const_new("http")),
            ..Call::default()
        });
        gateway::request_id(&mut call, trace.get("request_id"));
        let (end, zone_assumed) = time::member(trace, "timestamp").unzip();
        gateway::ended(&mut call, end, gateway::milliseconds(trace, "duration"));
        gateway::zone(&mut call, zone_assumed == Some(true));
        request(trace, &mut call);
        response(trace, &mut call, out);
        failure(trace, &mut call);
        if call.event_kind == EventKind::Call && call.server_info_name.is_some() {
            // The log is one server's. Only the greeting says whose.
            let context = Call {
                source_format: Text::const_new(ID),
                server_info_name: call.server_info_name.clone(),
                server_info_version: call.server_info_version.clone(),
                ..Call::default()
            };
            out.events.push(Event::Context { lane: Lane::default(), whole_source: true, call: Box::new(context) });
        }
        out.events.push(Event::Call { lane: Lane::default(), call });
        Ok(())
    }
}

fn names_mcp(object: &Object<'_>) -> bool {
    object.str("method").is_some_and(|method| {
        let slash = method.find('/').is_some_and(|at| at > 0);
        // `GET /orders` is what other servers log.
        matches!(method.as_ref(), "initialize" | "ping") || (slash && !method.contains(' '))
    })
}

fn request(trace: &Object<'_>, call: &mut Call) {
    let method = trace.str("method").unwrap_or_default();
    let is_notification =
        method.starts_with("notifications/") || trace.str("type").is_some_and(|t| t == "notification");
    call.event_kind = match method.is_empty() {
        true => EventKind::Connection,
        false if is_notification => EventKind::Notification,
        false => EventKind::Call,
    };
    let params = trace.get("entity_params");
    request_side(&method, params, call);
    let name = trace.text("tool_name").or_else(|| trace.text("entity_name"));
    if method == "tools/call" {
        call.tool = call.tool.take().or(name);
        call.tool_raw.clone_from(&call.tool);
        if let Some(raw) = trace.get("tool_arguments").filter(|raw| *raw != "null") {
            host::arguments(call, Some(raw));
        } else if params.is_none() {
            call.arguments_state = PayloadState::NotLogged;
        }
    } else if method == "prompts/get" && params.is_none() {
        call.more().gen_ai_prompt_name = name;
        call.arguments_state = PayloadState::NotLogged;
    }
}

fn response(trace: &Object<'_>, call: &mut Call, out: &mut Decoded) {
    call.result_state = match call.event_kind {
        EventKind::Call => PayloadState::NotLogged,
        _ => PayloadState::None,
    };
    if let Some(raw) = split_response(trace) {
        call.outcome = Outcome::Success;
        gateway::own_error(call, Some(&raw));
        (call.result, call.result_state) = (Some(raw), PayloadState::Present);
    }
    let Some(body) = trace.get("entity_response").filter(|raw| *raw != "null") else { return };
    let stream = json::string(body).map(|text| events::data(&text)).unwrap_or_default();
    let streamed = stream.iter().rev().find(|data| Object::parse(data).is_ok_and(|message| is_answer(&message)));
    let batch = json::elements(body);
    let message = match (&streamed, body.as_bytes().first()) {
        (Some(data), _) => Object::trusted(data),
        (None, Some(b'[')) => batch.into_iter().map(Object::trusted).find(is_answer).unwrap_or_default(),
        _ => Object::trusted(body),
    };
    if let Some(raw) = message.get("id").filter(|raw| *raw != "null") {
        let id = jsonrpc::id(raw);
        (call.jsonrpc_request_id, call.jsonrpc_id_type) = (Some(id.text), Some(id.kind));
    }
    // Libraries write the member that does not apply as null.
    if let Some(raw) = message.get("error").filter(|raw| *raw != "null") {
        error_side(raw, call);
    } else if let Some(raw) = message.get("result") {
        let (lane, end) = (Lane::default(), call.time_end);
        result_side(raw, &lane, end, call, out);
    } else if call.event_kind == EventKind::Call && body != "\"\"" {
        (call.result, call.result_state) = (Some(body.to_owned()), PayloadState::Unparsable);
    }
}

/// The answer of older versions, which stands in two members: put together as the tool gave it.
fn split_response(trace: &Object<'_>) -> Option<String> {
    let member = |key: &str| trace.get(key).filter(|raw| *raw != "null");
    match (member("tool_response"), member("tool_response_structured")) {
        (Some(raw), Some(structured)) => {
            let result = Object::trusted(raw);
            Some(match raw.trim_end().strip_suffix('}') {
                Some(_) if result.has("structuredContent") => raw.to_owned(),
                Some(open) if result.has("content") => format!("{open},\"structuredContent\":{structured}}}"),
                _ => format!("{{\"content\":{raw},\"structuredContent\":{structured}}}"),
            })
        }
        (one, other) => one.or(other).map(str::to_owned),
    }
}

fn is_answer(message: &Object<'_>) -> bool {
    message.has("result") || message.has("error")
}

/// `HTTP 500`, or `Connection aborted`. A JSON-RPC error in the body has said more.
fn failure(trace: &Object<'_>, call: &mut Call) {
    let Some(text) = trace.str("error").filter(|text| !text.is_empty()) else { return };
    let status = text.strip_prefix("HTTP ").and_then(|code| code.parse().ok());
    call.more().http_response_status_code = status;
    if call.outcome != Outcome::ProtocolError {
        call.outcome = Outcome::TransportError;
        call.error_type = status.map(|status| Text::from(status.to_string()));
        call.error_message = Some(text.into_owned());
    }
}

#[cfg(test)]
mod tests;
