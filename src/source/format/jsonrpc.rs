//! Raw JSON-RPC captures of MCP traffic, bare or wrapped by a tap, of every protocol revision.
//!
//! A tap writes one message a line: the message itself, the message spread into a line with its own keys
//! (`timestamp`, `direction`, `path`), or the message one level down (`{timestamp, direction, message}`).
//! [`message`] holds the meaning of a JSON-RPC message for every format that carries one.

use super::LogFormat;
use crate::call::{
    Approval, Bits, Call, EventKind, Flag, IdType, Nanos, Observer, Outcome, PayloadState, SessionSource, Side, Text,
    TimeSource, ToolDefinition,
};
use crate::source::json::{self, Object};
use crate::source::{Decoded, Event, Hints, Id, Lane, PairKey, Record, Reject, time};
use std::borrow::Cow;
use std::sync::LazyLock;

/// Bare and wrapped JSON-RPC captures.
pub struct JsonRpc;

/// What surrounds a JSON-RPC message in a log.
#[derive(Clone, Debug)]
pub struct Envelope<'a> {
    pub format: &'static str,
    pub lane: Lane,
    pub time: Option<Nanos>,
    pub time_source: TimeSource,
    /// Who sent the message, if the log says.
    pub sender: Option<Side>,
    pub server: Option<Text>,
    pub session: Option<(Text, SessionSource)>,
    pub observer: Observer,
    pub agent: Option<Text>,
    pub user_id: Option<Text>,
    pub transport: Option<Text>,
    pub mcp_session_id: Option<Text>,
    pub flags: Bits,
    pub hints: &'a Hints,
}

/// Members under which taps put the message.
const MESSAGE_KEYS: &[&str] = &["message", "msg", "payload", "data", "body", "request", "response", "rpc", "raw"];
/// Members that tell one connection from another, in the order in which they make up a lane.
const LANE_KEYS: &[&str] =
    &["session_id", "sessionId", "connection_id", "connectionId", "mcp_session_id", "pid", "path", "server"];
static JSONRPC: LazyLock<memchr::memmem::Finder<'static>> = LazyLock::new(|| memchr::memmem::Finder::new(b"jsonrpc"));
/// Methods that only servers call.
const SERVER_METHODS: &[&str] = &["sampling/createMessage", "elicitation/create", "roots/list"];

impl LogFormat for JsonRpc {
    fn id(&self) -> &'static str {
        "jsonrpc"
    }
    fn title(&self) -> &'static str {
        "JSON-RPC captures of MCP traffic, bare or wrapped (stdio tee, HTTP taps), all revisions"
    }
    fn evidence(&self) -> &'static str {
        "MCP specification 2024-11-05 to 2026-07-28; captures of the Python SDK 2.3.0"
    }

    fn claims(&self, record: &Record<'_>) -> bool {
        let Some(object) = record.json else {
            return record.text.starts_with('[') && record.text.contains("\"jsonrpc\"");
        };
        is_message(object) || candidate(object).is_some() || (object.has("method") && has_direction(object))
    }

    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(object) = record.json else {
            // A batch (2025-03-26), or an export that wraps all messages in one array.
            let elements = json::elements(record.text);
            if elements.is_empty() {
                return Err(Reject::new("json-rpc batch without messages"));
            }
            return elements.into_iter().try_for_each(|element| decode_object(&Object::trusted(element), record, out));
        };
        decode_object(object, record, out)
    }
}

fn decode_object(object: &Object<'_>, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
    if is_message(object) || object.has("method") && has_direction(object) {
        return message(object, &envelope(object, record), out);
    }
    let Some(inner) = candidate(object) else { return Err(Reject::new("no json-rpc message in the record")) };
    let envelope = envelope(object, record);
    match inner.as_bytes().first() {
        Some(b'[') => json::elements(inner).into_iter().try_for_each(|e| message(&Object::trusted(e), &envelope, out)),
        Some(b'"') => {
            // The message stands as a JSON string inside the record, so nothing has validated it yet.
            let text = json::unescape(inner);
            let object =
                Object::parse(&text).map_err(|_| Reject::new("json-rpc message inside a string is not valid JSON"))?;
            message(&object, &envelope, out)
        }
        _ => message(&Object::trusted(inner), &envelope, out),
    }
}

fn is_message(object: &Object<'_>) -> bool {
    object.get("jsonrpc") == Some("\"2.0\"")
}

fn has_direction(object: &Object<'_>) -> bool {
    object.has("direction") || object.has("dir")
}

/// The member of a wrapping record that holds the message, raw. Looks at the ends of the member first: this is called for every
/// record of every file, and scanning a large payload costs as much as reading it.
fn candidate<'a>(object: &Object<'a>) -> Option<&'a str> {
    let near = |text: &str| {
        let (head, tail) = (text.len().min(400), text.len().saturating_sub(400));
        let holds = |part: &[u8]| JSONRPC.find(part).is_some();
        holds(&text.as_bytes()[..head]) || holds(&text.as_bytes()[tail..])
    };
    let fits = |raw: &&str| match raw.as_bytes().first() {
        // Most taps and SDKs write `jsonrpc` first; where it stands elsewhere, only a scan tells whose member it is.
        Some(b'{') if near(raw) => {
            raw[1..].trim_start().starts_with("\"jsonrpc\"") || is_message(&Object::trusted(raw))
        }
        Some(b'[' | b'"') => near(raw),
        _ => false,
    };
    MESSAGE_KEYS.iter().filter_map(|key| object.get(key)).find(fits)
}

fn envelope<'a>(object: &Object<'_>, record: &'a Record<'_>) -> Envelope<'a> {
    let time = ["timestamp", "ts", "time", "@timestamp", "datetime"].iter().find_map(|key| time::member(object, key));
    let conversation = ["session_id", "sessionId", "conversation_id"].iter().find_map(|key| object.text(key));
    let mcp_session_id = ["mcp_session_id", "mcp-session-id"].iter().find_map(|key| object.text(key));
    let session = conversation
        .map(|id| (id, SessionSource::Conversation))
        .or_else(|| mcp_session_id.clone().map(|id| (id, SessionSource::McpSession)));
    let mut lane = Lane::default();
    for key in LANE_KEYS {
        if let Some(raw) = object.get(key).filter(|raw| !matches!(raw.as_bytes().first(), Some(b'{' | b'['))) {
            if !lane.is_empty() {
                lane.push('|');
            }
            lane.push_str(&json::string(raw).unwrap_or(Cow::Borrowed(raw)));
        }
    }
    let mut flags = Bits::default();
    if time.is_some_and(|(_, zone_assumed)| zone_assumed) {
        flags.add(Flag::ZoneAssumed as u32);
    }
    if record.lossy {
        flags.add(Flag::LossyUtf8 as u32);
    }
    Envelope {
        format: "jsonrpc",
        lane,
        time: time.map(|(nanos, _)| nanos),
        time_source: TimeSource::RequestLine,
        sender: object.str("direction").or_else(|| object.str("dir")).and_then(|d| sender(&d)),
        server: ["server", "server_name", "mcpServerName"]
            .iter()
            .find_map(|k| object.text(k))
            .or_else(|| record.hints.server.clone()),
        session,
        observer: Observer::Tap,
        agent: ["agent", "agent_id", "agentId"].iter().find_map(|key| object.text(key)),
        user_id: ["user", "user_id", "userId"].iter().find_map(|key| object.text(key)),
        transport: object.text("transport"),
        mcp_session_id,
        flags,
        hints: record.hints,
    }
}

/// Who sent a message, from the words that taps use. `inbound` and `request` say nothing: it depends on where the tap sits.
fn sender(direction: &str) -> Option<Side> {
    let lower = direction.to_ascii_lowercase();
    let (client, server) = (lower.find("client"), lower.find("server"));
    match (client, server) {
        (Some(client), Some(server)) => Some(if client < server { Side::Client } else { Side::Server }),
        (Some(_), None) if lower.starts_with("from") || lower == "client" => Some(Side::Client),
        (None, Some(_)) if lower.starts_with("from") || lower == "server" => Some(Side::Server),
        _ => match lower.as_str() {
            "c2s" | "c->s" => Some(Side::Client),
            "s2c" | "s->c" => Some(Side::Server),
            _ => None,
        },
    }
}

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
            // The specification: an error whose request id could not be read carries none.
            return Err(Reject::new("json-rpc response without id"));
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
    call.method = Text::from(method);
    call.initiator = side;
    call.time = envelope.time;
    call.time_source = envelope.time_source;
    let params = object.object("params");
    if params.has_duplicate_keys() {
        call.flag(Flag::DuplicateKey);
    }
    request_meta(&params, &mut call);
    match method {
        "tools/call" => {
            call.tool = params.text("name");
            call.tool_raw.clone_from(&call.tool);
            set_arguments(&mut call, params.get("arguments"));
        }
        "prompts/get" => {
            call.more().gen_ai_prompt_name = params.text("name");
            set_arguments(&mut call, params.get("arguments"));
        }
        _ => {
            if let Some(uri) = params.text("uri") {
                call.more().mcp_resource_uri = Some(uri);
            }
            if method == "initialize" {
                call.mcp_protocol_version = params.text("protocolVersion");
                client_info(&params.object("clientInfo"), &mut call);
            }
            let without_meta = params.has("_meta").then(|| without(&params, "_meta"));
            set_arguments(&mut call, without_meta.as_deref().or_else(|| object.get("params")));
        }
    }
    if params.has("inputResponses") {
        call.more().round_trip_index = 1;
        call.approval = answered(&params.object("inputResponses"));
    }
    if let Some(state) = params.get("requestState") {
        call.more().request_state = Some(short_hash(state));
    }
    let Some(id) = id else {
        call.event_kind = EventKind::Notification;
        call.result_state = PayloadState::None;
        call.outcome = Outcome::Unknown;
        let cancelled = (method == "notifications/cancelled").then(|| params.get("requestId").map(self::id)).flatten();
        out.events.push(Event::Request { key: None, lane: envelope.lane.clone(), call });
        if let Some(id) = cancelled {
            // Whoever cancels is the one who asked.
            let key = PairKey::JsonRpc { lane: envelope.lane.clone(), side, id };
            out.events.push(Event::Cancel { key, time: envelope.time });
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

/// What the user answered to the questions that a multi-round-trip request carries back.
fn answered(responses: &Object<'_>) -> Approval {
    let mut approval = Approval::Unknown;
    for (_, raw) in responses.members() {
        let response = Object::trusted(raw);
        let action = response.str("action").or_else(|| response.object("result").str("action"));
        match action.as_deref() {
            Some("decline" | "cancel") => return Approval::UserDenied,
            Some("accept") => approval = Approval::UserAllowed,
            _ => {}
        }
    }
    approval
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
    if let Some(raw) = object.get("result").filter(|_| !object.has("error")) {
        let result = Object::trusted(raw);
        asked_by = asked_by.or_else(|| server_asked(&result).then_some(Side::Server));
        call.result = Some(raw.to_owned());
        call.result_state = PayloadState::Present;
        call.is_error = result.bool("isError");
        call.outcome = if call.is_error == Some(true) { Outcome::ToolError } else { Outcome::Success };
        if call.outcome == Outcome::ToolError {
            call.error_type = Some(Text::const_new("tool_error"));
        }
        result_fields(&result, &mut call, envelope, out);
    } else {
        let raw = object.get("error").unwrap_or("null");
        error_fields(raw, &mut call);
    }
    let side = asked_by.unwrap_or(Side::Client);
    call.initiator = side;
    let key = PairKey::JsonRpc { lane: envelope.lane.clone(), side, id };
    out.events.push(Event::Response { key, lane: envelope.lane.clone(), call, maybe_foreign: false });
}

/// The `error` member: code, message, and what the code says about the outcome.
fn error_fields(raw: &str, call: &mut Call) {
    let error = Object::trusted(raw);
    call.result = Some(raw.to_owned());
    call.result_state = PayloadState::Present;
    call.error_message = error.str("message").map(Cow::into_owned).or_else(|| json::string(raw).map(Cow::into_owned));
    let code = error.int("code").and_then(|code| i32::try_from(code).ok());
    call.rpc_response_status_code = code;
    call.error_type = code.map(|code| Text::from(code.to_string()));
    let says = |word: &str| call.error_message.as_ref().is_some_and(|m| m.to_ascii_lowercase().contains(word));
    call.outcome = match code {
        Some(-32001) if says("timed out") || says("timeout") => Outcome::Timeout,
        Some(-32000) if says("connection closed") => Outcome::TransportError,
        Some(-32800) => Outcome::Cancelled,
        _ => Outcome::ProtocolError,
    };
}

fn server_asked(result: &Object<'_>) -> bool {
    result.has("roots") || result.has("action") || (result.has("model") && result.has("role"))
}

/// What a result says beyond its payload: identity, result type, tool definitions, instructions.
fn result_fields(result: &Object<'_>, call: &mut Call, envelope: &Envelope<'_>, out: &mut Decoded) {
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
                lane: envelope.lane.clone(),
                session: call.session_id.clone(),
                server: envelope.server.clone(),
                time: envelope.time,
                text: text.into_owned(),
            });
        }
    }
    // Which request such a result answers, for lanes where several with one id are open.
    call.method = Text::const_new(match () {
        () if result.has("capabilities") && result.has("serverInfo") => "initialize",
        () if result.has("supportedVersions") => "server/discover",
        () if result.has("tools") => "tools/list",
        () if result.has("resources") => "resources/list",
        () if result.has("prompts") => "prompts/list",
        () if result.has("contents") => "resources/read",
        () if result.has("content") && !result.has("role") => "tools/call",
        () => "",
    });
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
    let tools = tool_definitions(result, envelope.server.as_ref());
    if !tools.is_empty() {
        let session = call.session_id.clone();
        out.events.push(Event::Tools { lane: envelope.lane.clone(), session, time: envelope.time, tools });
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

#[cfg(test)]
mod tests;
