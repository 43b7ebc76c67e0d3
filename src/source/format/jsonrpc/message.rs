//! The meaning of a JSON-RPC message of MCP, of every protocol revision, for every format that carries one.
//!
//! [`message`] makes events of a message. Formats that log a call whole hand its parts to [`request_side`], [`result_side`] and
//! [`error_side`], so that a method, a result or an error code means the same wherever it stands.

use super::envelope::Envelope;
use crate::call::{Approval, Call, EventKind, Flag, IdType, Nanos, Outcome, PayloadState, SessionSource, Side, Text};
use crate::call::{TimeSource, ToolDefinition};
use crate::source::json::{self, Object};
use crate::source::{Decoded, Event, Id, Lane, PairKey, Reject};
use std::borrow::Cow;

/// Methods that only servers call.
const SERVER_METHODS: &[&str] = &["sampling/createMessage", "elicitation/create", "roots/list"];

/// Turns one JSON-RPC message into events.
///
/// # Errors
/// The object is neither request, notification nor response.
pub fn message(object: &Object<'_>, envelope: &Envelope<'_>, out: &mut Decoded) -> Result<(), Reject> {
    let id = object.get("id").filter(|raw| *raw != "null").map(id);
    let mut call = Box::new(Call {
        source_format: Text::const_new(envelope.format),
        observer: envelope.observer,
        server: envelope.server.clone(),
        agent: envelope.agent.clone(),
        user_id: envelope.user_id.clone(),
        transport: envelope.transport.clone(),
        mcp_session_id: envelope.mcp_session_id.clone(),
        flags: envelope.flags,
        ..Call::default()
    });
    if let Some((session, source)) = &envelope.session {
        call.session_id = Some(session.clone());
        call.session_source = *source;
    }
    if object.has_duplicate_keys() {
        call.flag(Flag::DuplicateKey);
    }
    if envelope.flags.has(Flag::ZoneAssumed as u32) {
        call.more().time_zone_assumed = true;
    }
    if let Some(method) = object.str("method") {
        request(object, &method, id, call, envelope, out);
        return Ok(());
    }
    if object.has("result") || object.has("error") {
        let Some(id) = id else {
            // The specification: an error about a message whose id could not be read carries none.
            let error = object.get("error").filter(|raw| raw.starts_with('{'));
            let error = error.ok_or_else(|| Reject::new("json-rpc response without id"))?;
            call.event_kind = EventKind::Connection;
            (call.time, call.time_source) = (envelope.time, envelope.time_source);
            error_side(error, &mut call);
            out.events.push(Event::Request { key: None, lane: envelope.lane.clone(), call });
            return Ok(());
        };
        response(object, id, call, envelope, out);
        return Ok(());
    }
    Err(Reject::new("json-rpc message with neither method nor result nor error"))
}

/// Reads an id as written: `1`, `"1"` and `1.0` are three ids.
pub fn id(raw: &str) -> Id {
    match json::string(raw) {
        Some(text) => Id { kind: IdType::String, text: Text::from(text.as_ref()) },
        None => {
            let kind = if raw.contains(['.', 'e', 'E']) { IdType::Float } else { IdType::Int };
            Id { kind, text: Text::from(raw) }
        }
    }
}

fn request(
    object: &Object<'_>,
    method: &str,
    id: Option<Id>,
    mut call: Box<Call>,
    envelope: &Envelope<'_>,
    out: &mut Decoded,
) {
    let side = envelope.sender.unwrap_or(if SERVER_METHODS.contains(&method) { Side::Server } else { Side::Client });
    call.initiator = side;
    call.time = envelope.time;
    call.time_source = envelope.time_source;
    request_of(method, object.get("params"), &object.object("params"), &mut call);
    let Some(id) = id else {
        call.event_kind = EventKind::Notification;
        call.result_state = PayloadState::None;
        call.outcome = Outcome::Unknown;
        let params = object.object("params");
        let cancelled = params.get("requestId").filter(|_| method == "notifications/cancelled").map(self::id);
        out.events.push(Event::Request { key: None, lane: envelope.lane.clone(), call });
        if let Some(id) = cancelled {
            // Whoever cancels is the one who asked.
            let key = PairKey::JsonRpc { lane: envelope.lane.clone(), side, id };
            // Clients say so, too, of a request that they have waited for too long.
            let is_late = params.str("reason").is_some_and(|reason| says_timeout(&reason));
            let outcome = if is_late { Outcome::Timeout } else { Outcome::Cancelled };
            out.events.push(Event::Cancel { key, time: envelope.time, outcome });
        }
        return;
    };
    call.outcome = Outcome::NoResponse;
    call.result_state = PayloadState::NotLogged;
    call.jsonrpc_request_id = Some(id.text.clone());
    call.jsonrpc_id_type = Some(id.kind);
    let key = PairKey::JsonRpc { lane: envelope.lane.clone(), side, id };
    out.events.push(Event::Request { key: Some(key), lane: envelope.lane.clone(), call });
}

/// What a request says: the method, what it asks for, and who asks.
pub(crate) fn request_side(method: &str, raw: Option<&str>, call: &mut Call) {
    request_of(method, raw, &raw.map(Object::trusted).unwrap_or_default(), call);
}

fn request_of(method: &str, raw: Option<&str>, params: &Object<'_>, call: &mut Call) {
    call.method = Text::from(method);
    if params.has_duplicate_keys() {
        call.flag(Flag::DuplicateKey);
    }
    request_meta(params, call);
    match method {
        "tools/call" => {
            call.tool = params.text("name");
            call.tool_raw.clone_from(&call.tool);
            set_arguments(call, params.get("arguments"));
        }
        "prompts/get" => {
            call.more().gen_ai_prompt_name = params.text("name");
            set_arguments(call, params.get("arguments"));
        }
        _ => {
            if let Some(uri) = params.text("uri") {
                call.more().mcp_resource_uri = Some(uri);
            }
            if method == "initialize" {
                call.mcp_protocol_version = params.text("protocolVersion");
                client_info(&params.object("clientInfo"), call);
            }
            let without_meta = params.has("_meta").then(|| without(params, "_meta"));
            set_arguments(call, without_meta.as_deref().or(raw));
        }
    }
    if params.has("inputResponses") {
        call.more().round_trip_index = 1;
        call.approval = answered(&params.object("inputResponses"));
    }
    if let Some(state) = params.get("requestState") {
        call.more().request_state = Some(short_hash(state));
    }
}

/// What the user answered to the questions that a multi-round-trip request carries back.
fn answered(responses: &Object<'_>) -> Approval {
    let mut approval = Approval::Unknown;
    for (_, raw) in responses.members() {
        let response = Object::trusted(raw);
        let inner = response.object("result");
        match answer(if response.has("action") { &response } else { &inner }) {
            Approval::UserDenied => return Approval::UserDenied,
            Approval::Unknown => {}
            allowed => approval = allowed,
        }
    }
    approval
}

/// What the user answered to one question (`elicitation/create`).
fn answer(result: &Object<'_>) -> Approval {
    match result.str("action").as_deref() {
        Some("decline" | "cancel") => Approval::UserDenied,
        Some("accept") => Approval::UserAllowed,
        _ => Approval::Unknown,
    }
}

fn set_arguments(call: &mut Call, raw: Option<&str>) {
    match raw {
        Some(raw) if raw != "null" => {
            call.arguments = Some(raw.to_owned());
            call.arguments_state = PayloadState::Present;
        }
        _ => call.arguments_state = PayloadState::None,
    }
}

/// `_meta` of a request: identity (2026-07-28), trace context, the host's conversation.
fn request_meta(params: &Object<'_>, call: &mut Call) {
    const PREFIX: &str = "io.modelcontextprotocol/";
    let meta = params.object("_meta");
    let mut rest = String::new();
    for (key, raw) in meta.members() {
        match key.strip_prefix(PREFIX).unwrap_or(key) {
            "protocolVersion" => call.mcp_protocol_version = json::string(raw).map(|s| Text::from(s.as_ref())),
            "clientInfo" => client_info(&Object::trusted(raw), call),
            "traceparent" => {
                let text = json::string(raw).unwrap_or_default();
                let mut parts = text.split('-').skip(1);
                if let (Some(trace), Some(span)) = (parts.next(), parts.next())
                    && trace.len() == 32
                    && span.len() == 16
                {
                    call.trace_id = Some(Text::from(trace.to_ascii_lowercase()));
                    call.span_id = Some(Text::from(span.to_ascii_lowercase()));
                }
            }
            "vscode.conversationId" if call.session_source < SessionSource::Conversation => {
                if let Some(id) = json::string(raw).filter(|s| !s.is_empty()) {
                    call.session_id = Some(Text::from(id.as_ref()));
                    call.session_source = SessionSource::Conversation;
                }
            }
            "related-task" => call.more().task_id = Object::trusted(raw).text("taskId"),
            "progressToken" | "clientCapabilities" | "tracestate" | "baggage" => {}
            _ => push_member(&mut rest, key, raw),
        }
    }
    if !rest.is_empty() {
        call.more().meta_json = Some(format!("{{{rest}}}"));
    }
    if let Some(task) = params.get("task").filter(|raw| raw.starts_with('{')) {
        let task = Object::trusted(task);
        if let Some(id) = task.text("taskId") {
            call.more().task_id = Some(id);
        }
    }
    if let Some(id) = params.text("taskId") {
        call.more().task_id = Some(id);
    }
}

fn client_info(info: &Object<'_>, call: &mut Call) {
    call.client_name = info.text("name").or_else(|| call.client_name.take());
    call.client_version = info.text("version").or_else(|| call.client_version.take());
}

fn response(object: &Object<'_>, id: Id, mut call: Box<Call>, envelope: &Envelope<'_>, out: &mut Decoded) {
    call.time_end = envelope.time;
    call.time_source = TimeSource::ResponseLine;
    call.jsonrpc_request_id = Some(id.text.clone());
    call.jsonrpc_id_type = Some(id.kind);
    let mut asked_by = envelope.sender.map(|sender| match sender {
        Side::Client => Side::Server,
        Side::Server => Side::Client,
    });
    let from = out.events.len();
    // Serialisers that keep empty members write `"error": null` beside a result.
    if let Some(raw) = object.get("result").filter(|_| object.get("error").is_none_or(|error| error == "null")) {
        let result = object.object("result");
        asked_by = asked_by.or_else(|| server_asked(&result).then_some(Side::Server));
        result_of(raw, &result, &envelope.lane, envelope.time, &mut call, out);
    } else {
        error_side(object.get("error").unwrap_or("null"), &mut call);
    }
    let side = asked_by.unwrap_or(Side::Client);
    call.initiator = side;
    let key = PairKey::JsonRpc { lane: envelope.lane.clone(), side, id };
    // Before what it offers, which is the server's that it names.
    out.events.insert(from, Event::Response { key, lane: envelope.lane.clone(), call, maybe_foreign: false });
}

/// The `error` member: code, message, and what the code says about the outcome.
pub(crate) fn error_side(raw: &str, call: &mut Call) {
    let error = Object::trusted(raw);
    call.result = Some(raw.to_owned());
    call.result_state = PayloadState::Present;
    call.error_message = error.str("message").map(Cow::into_owned).or_else(|| json::string(raw).map(Cow::into_owned));
    let code = error.int("code").and_then(|code| i32::try_from(code).ok());
    call.rpc_response_status_code = code;
    call.error_type = code.map(|code| Text::from(code.to_string()));
    let says = |word: &str| call.error_message.as_ref().is_some_and(|m| m.to_ascii_lowercase().contains(word));
    call.outcome = match code {
        Some(-32001) if call.error_message.as_deref().is_some_and(says_timeout) => Outcome::Timeout,
        Some(-32000) if says("connection closed") => Outcome::TransportError,
        Some(-32800) => Outcome::Cancelled,
        _ => Outcome::ProtocolError,
    };
}

fn says_timeout(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("timed out") || text.contains("timeout")
}

fn server_asked(result: &Object<'_>) -> bool {
    result.has("roots") || result.has("action") || (result.has("model") && result.has("role"))
}

/// The `result` member: whether the tool failed, and what it says beyond its payload: identity, result type, tool definitions,
/// instructions. A call that knows its method keeps it.
pub(crate) fn result_side(raw: &str, lane: &Lane, time: Option<Nanos>, call: &mut Call, out: &mut Decoded) {
    result_of(raw, &Object::trusted(raw), lane, time, call, out);
}

fn result_of(raw: &str, result: &Object<'_>, lane: &Lane, time: Option<Nanos>, call: &mut Call, out: &mut Decoded) {
    call.result = Some(raw.to_owned());
    call.result_state = PayloadState::Present;
    call.is_error = result.bool("isError");
    call.outcome = if call.is_error == Some(true) { Outcome::ToolError } else { Outcome::Success };
    if call.outcome == Outcome::ToolError {
        call.error_type = Some(Text::const_new("tool_error"));
    }
    let server_info = result
        .get("serverInfo")
        .map(Object::trusted)
        .or_else(|| result.object("_meta").get("io.modelcontextprotocol/serverInfo").map(Object::trusted));
    if let Some(info) = server_info {
        call.server_info_name = info.text("name");
        call.server_info_version = info.text("version");
    }
    if result.has("capabilities") {
        call.mcp_protocol_version = result.text("protocolVersion");
        if let Some(text) = result.str("instructions").filter(|text| !text.is_empty()) {
            out.events.push(Event::Instructions {
                lane: lane.clone(),
                session: call.session_id.clone(),
                server: call.server.clone(),
                time,
                text: text.into_owned(),
            });
        }
    }
    // Which request such a result answers, for lanes where several with one id are open.
    let answers = Text::const_new(match () {
        () if result.has("capabilities") && result.has("serverInfo") => "initialize",
        () if result.has("supportedVersions") => "server/discover",
        () if result.has("tools") => "tools/list",
        () if result.has("resources") => "resources/list",
        () if result.has("prompts") => "prompts/list",
        () if result.has("contents") => "resources/read",
        () if result.has("content") && !result.has("role") => "tools/call",
        () => "",
    });
    if call.method.is_empty() {
        call.method = answers;
    }
    if result.has("action") {
        call.approval = answer(result);
    }
    if let Some(kind) = result.text("resultType") {
        call.more().result_type = Some(kind);
    }
    if let Some(state) = result.get("requestState") {
        call.more().next_request_state = Some(short_hash(state));
    }
    if let Some(id) = result.object("task").text("taskId") {
        call.more().task_id = Some(id);
        call.more().result_type = Some(Text::const_new("task"));
    }
    let tools = tool_definitions(result, call.server.as_ref());
    if !tools.is_empty() {
        let session = call.session_id.clone();
        out.events.push(Event::Tools { lane: lane.clone(), session, time, tools });
    }
}

/// Definitions in a `tools/list` result: elements of `tools` with a name and a schema or description.
fn tool_definitions(result: &Object<'_>, server: Option<&Text>) -> Vec<ToolDefinition> {
    result.array("tools").into_iter().filter_map(|raw| tool_definition(raw, server)).collect()
}

/// Reads one tool definition as `tools/list` has it.
pub fn tool_definition(raw: &str, server: Option<&Text>) -> Option<ToolDefinition> {
    let object = Object::trusted(raw);
    let schema = object.get("inputSchema").or_else(|| object.get("input_schema"));
    if schema.is_none() && !object.has("description") {
        return None;
    }
    Some(ToolDefinition {
        server: server.cloned(),
        tool: object.text("name")?,
        description: object.str("description").map(Cow::into_owned),
        input_schema: schema.map(str::to_owned),
        annotations: object.get("annotations").map(str::to_owned),
        definition: raw.to_owned(),
        ..ToolDefinition::default()
    })
}

/// The object without one member, as JSON text.
fn without(object: &Object<'_>, leave_out: &str) -> String {
    let mut members = String::new();
    for (key, raw) in object.members().iter().filter(|(key, _)| key != leave_out) {
        push_member(&mut members, key, raw);
    }
    format!("{{{members}}}")
}

fn push_member(members: &mut String, key: &str, raw: &str) {
    if !members.is_empty() {
        members.push(',');
    }
    members.push_str(&serde_json::Value::from(key).to_string());
    members.push(':');
    members.push_str(raw);
}

/// A short digest to compare opaque state by, without keeping it.
fn short_hash(raw: &str) -> Text {
    Text::from(&*blake3::hash(raw.as_bytes()).to_hex().as_str()[..16].to_owned())
}
