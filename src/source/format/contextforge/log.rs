//! Entries of the structured log: `mcp_call_started` when the gateway asks a server, `mcp_call_completed`, `mcp_call_failed` or
//! `tool_timeout` when it knows the answer. They belong together by correlation and name.
//!
//! What an entry is about stands in `metadata`, which the database has inside `context` and the REST API not at all: there only the
//! fixed texts of the message tell.

use super::{ID, nested, new_call, stamp, user};
use crate::call::{Call, EventKind, IdType, Outcome, PayloadState, Side, Text, TimeSource};
use crate::source::format::shared::gateway;
use crate::source::json::Object;
use crate::source::{Decoded, Event, Id, Lane, PairKey};

/// Services of the gateway that call servers, with what they call them for.
const SERVICES: &[(&str, &str)] =
    &[("tool_service", "tools/call"), ("resource_service", "resources/read"), ("prompt_service", "prompts/get")];

/// Events, and the texts that say the same.
const STARTED: &str = "mcp_call_started";
const TEXTS: &[(&str, &str)] = &[
    (" call started: ", STARTED),
    (" read started: ", STARTED),
    (" call completed: ", "mcp_call_completed"),
    (" read completed: ", "mcp_call_completed"),
    (" call failed: ", "mcp_call_failed"),
    (" read failed: ", "mcp_call_failed"),
    (" invocation timed out: ", "tool_timeout"),
];

/// Whether an object with component and message is an entry of this log.
pub(super) fn is_entry(object: &Object<'_>) -> bool {
    let level = object.has("level") || object.has("levelname");
    let of_gateway = || {
        object.has("is_security_event")
            || object.str("component").is_some_and(|name| SERVICES.iter().any(|(service, _)| *service == name))
    };
    level && (object.has("correlation_id") || object.has("operation_type")) && of_gateway()
}

pub(super) fn entry(row: &Object<'_>, out: &mut Decoded) {
    let component = row.str("component").unwrap_or_default();
    let Some((_, method)) = SERVICES.iter().find(|(service, _)| *service == component) else { return };
    let mut said = Said::default();
    said.read(&row.object("metadata"));
    nested(row, "context", |context| said.read(&context.object("metadata")));
    let message = row.str("message").unwrap_or_default();
    if said.event.is_none()
        && let Some((name, event)) = TEXTS.iter().find_map(|(text, event)| Some((message.split_once(text)?.1, *event)))
    {
        (said.event, said.name) = (Some(Text::const_new(event)), (!name.is_empty()).then(|| Text::from(name)));
    }
    let (Some(event), Some(name)) = (said.event, said.name) else { return };
    let mut call = new_call();
    call.server = said.server;
    call.transport = said.transport.map(|transport| match transport.as_str() {
        "streamablehttp" => Text::const_new("http"),
        _ => transport,
    });
    let correlation = row.str("correlation_id").unwrap_or_default();
    let lane = Lane::from(format!("{correlation}|{component}|{name}"));
    let id = Id { kind: IdType::String, text: Text::const_new(ID) };
    let key = PairKey::JsonRpc { lane, side: Side::Client, id };
    let time = stamp(row, "timestamp", &mut call).or_else(|| stamp(row, "asctime", &mut call));
    user(row, &mut call);
    if event == STARTED {
        call.method = Text::const_new(method);
        match *method {
            "tools/call" => (call.tool, call.tool_raw) = (Some(name.clone()), Some(name)),
            "prompts/get" => call.more().gen_ai_prompt_name = Some(name),
            _ => call.more().mcp_resource_uri = Some(name),
        }
        (call.time, call.time_source) = (time, TimeSource::RequestLine);
        (call.outcome, call.event_kind) = (Outcome::NoResponse, EventKind::Call);
        out.events.push(Event::Request { key: Some(key), lane: Lane::default(), call });
        return;
    }
    call.time_end = time;
    call.time_source = TimeSource::ResponseLine;
    call.duration_ns = gateway::milliseconds(row, "duration_ms");
    call.duration_source = call.duration_ns.map(|_| crate::call::DurationSource::Measured);
    ended(row, event.as_str(), said.success, &mut call);
    out.events.push(Event::Response { key, lane: Lane::default(), call, maybe_foreign: false });
}

fn ended(row: &Object<'_>, event: &str, success: Option<bool>, call: &mut Call) {
    call.result_state = PayloadState::NotLogged;
    nested(row, "error_details", |error| {
        call.error_type = error.text("error_type");
        call.error_message = error.str("error_message").filter(|text| !text.is_empty()).map(|text| text.into_owned());
    });
    call.outcome = match event {
        "mcp_call_completed" if success == Some(false) => Outcome::ToolError,
        "mcp_call_completed" => Outcome::Success,
        "tool_timeout" => Outcome::Timeout,
        // The SDK raises the server's JSON-RPC error as this; other exceptions are of the connection.
        "mcp_call_failed" if call.error_type.as_deref() == Some("McpError") => Outcome::ProtocolError,
        "mcp_call_failed" => Outcome::TransportError,
        _ => Outcome::Unknown,
    };
}

/// What the metadata of an entry says.
#[derive(Default)]
struct Said {
    event: Option<Text>,
    name: Option<Text>,
    server: Option<Text>,
    transport: Option<Text>,
    success: Option<bool>,
}

impl Said {
    fn read(&mut self, metadata: &Object<'_>) {
        let Some(event) = metadata.text("event").filter(|event| TEXTS.iter().any(|(_, known)| *known == event)) else {
            return;
        };
        self.event = Some(event);
        self.name = ["tool_name", "resource_uri", "prompt_name"].iter().find_map(|key| metadata.text(key));
        self.server = metadata.text("gateway_name").or_else(|| metadata.text("gateway_id"));
        self.transport = metadata.text("transport");
        self.success = metadata.bool("success");
    }
}
