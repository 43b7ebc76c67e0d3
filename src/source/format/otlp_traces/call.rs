//! What a span says about an MCP call: which attribute of which SDK or gateway fills which column.
//!
//! The semantic conventions come first in every list of keys; the names that SDKs, gateways and agents really
//! emit follow. A key that nobody set leaves the column empty.

use super::offered;
use super::outcome;
use super::span::{self, Attributes, Kind, Span};
use crate::call::{Call, DurationSource, EventKind, Flag, IdType, Observer, PayloadState, SessionSource, Side};
use crate::call::{Text, TimeSource};
use crate::source::format::{jsonrpc, shared::gateway};
use crate::source::json::Object;
use serde_json::value::RawValue;

/// Names the conversation of the agent.
pub(in crate::source::format) const CONVERSATION: &[&str] = &["gen_ai.conversation.id", "gcp.vertex.agent.session_id"];
/// May name it; web applications use the same key for something else.
pub(in crate::source::format) const SESSION: &[&str] =
    &["copilot_chat.chat_session_id", "copilot_chat.session_id", "session.id"];
pub(super) const AGENT: &[&str] = &["gen_ai.agent.name"];

const METHOD: &[&str] = &["mcp.method.name", "mcp.method"];
pub(super) const TOOL: &[&str] = &["gen_ai.tool.name", "mcp.tool.name"];
const COPILOT_TOOL: &[&str] = &["github.copilot.tool.parameters.mcp_tool_name"];
const PROMPT: &[&str] = &["gen_ai.prompt.name", "mcp.prompt.name"];
const RESOURCE: &[&str] = &["mcp.resource.uri", "mcp.resource.id"];
const MCP_SESSION: &[&str] = &["mcp.session.id", "mcp.session_id"];
const REQUEST_ID: &[&str] = &["jsonrpc.request.id", "mcp.request.id", "rpc.jsonrpc.request_id"];
pub(super) const SERVER: &[&str] = &[
    "mcp.server.name",
    "mcp.target",
    "mcp.provider.name",
    "mcp.backend",
    "github.copilot.tool.parameters.mcp_server_name",
    "github.copilot.mcp.server.name",
    "mcp_server_name",
];
const ARGUMENTS: &[&str] = &[
    "gen_ai.tool.call.arguments",
    "gcp.vertex.agent.tool_call_args",
    "mcp.tool.arguments",
    "mcp.request.arguments",
    "mcp.request.argument",
];
const RESULT: &[&str] =
    &["gen_ai.tool.call.result", "gcp.vertex.agent.tool_response", "mcp.tool.result", "mcp.response.value"];
/// Arguments of a prompt, one attribute each.
const PROMPT_VARIABLE: &str = "gen_ai.prompt.variable.";
const USER: &[&str] = &["enduser.id", "user.id", "kagent.user_id", "jwt.sub", "src.identity"];
const EMAIL: &[&str] = &["user.email", "user.account_email"];
const MODEL: &[&str] = &["gen_ai.request.model"];

/// What has no column and still tells calls apart.
const EXTRA: &[&str] = &[
    "gen_ai.tool.type",
    "gen_ai.agent.version",
    "gen_ai.agent.tool.disposition",
    "gen_ai.agent.tool.tier",
    "github.copilot.tool.parameters.mcp_server_name_hash",
    "mcp.is_batch",
    "mcp.resource.type",
    "mcp.server.type",
    "mcp.server.image",
    "mcp.server.origin",
    "server.port",
    "client.port",
    "jsonrpc.protocol.version",
];
const EXTRA_VALUE_MAX: usize = 256;

/// Requests and notifications that servers send.
const FROM_SERVER: &[&str] = &[
    "sampling/createMessage",
    "elicitation/create",
    "roots/list",
    "notifications/message",
    "notifications/elicitation/complete",
    "notifications/resources/updated",
    "notifications/resources/list_changed",
    "notifications/tools/list_changed",
    "notifications/prompts/list_changed",
    "notifications/tasks/status",
];

/// Whether an attribute holds arguments, a result or definitions.
pub(super) fn is_payload(key: &str) -> bool {
    ARGUMENTS.contains(&key) || RESULT.contains(&key) || key == offered::DEFINITIONS
}

/// What made a span a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source::format) enum Role {
    /// It names a protocol method: one request over one connection.
    Protocol,
    /// The agent's own view of running a tool.
    Execution,
}

/// The MCP method of a span; `None` if it is no MCP call.
pub(in crate::source::format) fn method(span: &Span<'_>, resource: &Attributes<'_>) -> Option<(Text, Role)> {
    let attributes = &span.attributes;
    if attributes.string(&["logfire.span_type"]).is_some_and(|kind| kind == "pending_span") {
        // Written when the span began, under an id of its own.
        return None;
    }
    if let Some(method) = attributes.text(METHOD) {
        return Some((method, Role::Protocol));
    }
    let rpc_is_mcp = attributes.string(&["rpc.system", "rpc.system.name"]).is_some_and(|system| system == "mcp");
    if let Some(method) = attributes.text(&["rpc.method"]).filter(|_| rpc_is_mcp) {
        return Some((method, Role::Protocol));
    }
    if let Some((method, _)) = name_parts(&span.name) {
        return Some((Text::from(method), Role::Protocol));
    }
    if is_traceloop(attributes) {
        let is_tool = span.name.ends_with(".tool");
        let method = span.name.strip_suffix(".mcp").or_else(|| is_tool.then_some("tools/call"));
        return method.filter(|method| !method.is_empty()).map(|method| (Text::from(method), Role::Protocol));
    }
    let executes = attributes.string(&["gen_ai.operation.name"]).is_some_and(|name| name == "execute_tool");
    let named = attributes.string(TOOL).is_some() || executes && span.name.starts_with(EXECUTE);
    let ours = attributes.get("mcp.tool.name").is_some() || rpc_is_mcp || executes && !is_native(attributes, resource);
    (named && ours).then(|| (Text::const_new("tools/call"), Role::Execution))
}

const EXECUTE: &str = "execute_tool ";
/// What the Python SDK puts in front of the method, and Logfire.
const SENT: [&str; 2] = ["MCP send ", "MCP request: "];
/// What Logfire puts there at the side that was asked.
const HANDLED: [&str; 2] = ["MCP server handle request: ", "MCP client handle request: "];

/// Names the library that made a span, as Jaeger has it among the tags.
pub(super) const SCOPE: &str = "otel.scope.name";
/// OpenLLMetry's instrumentation of MCP, whose spans have nothing else to tell them by: `TOOL.tool`, `METHOD.mcp`.
pub(super) const TRACELOOP: &str = "opentelemetry.instrumentation.mcp";

fn is_traceloop(attributes: &Attributes<'_>) -> bool {
    attributes.string(&[SCOPE]).is_some_and(|name| name.starts_with(TRACELOOP))
}

/// The server that OpenLLMetry names where it stands in one.
fn traceloop_server(attributes: &Attributes<'_>) -> Option<Text> {
    let workflow = attributes.string(&["traceloop.workflow.name"])?;
    workflow.strip_suffix(".mcp").filter(|name| !name.is_empty()).map(Text::from)
}

/// Method and target of a span name, where the name alone shows that it is MCP.
pub(super) fn name_parts(name: &str) -> Option<(&str, Option<&str>)> {
    let marked = SENT.iter().chain(&HANDLED).find_map(|mark| name.strip_prefix(mark));
    let rest = marked.unwrap_or(name);
    let (method, target) = rest.split_once(' ').map_or((rest, None), |(method, target)| (method, Some(target)));
    let is_mcp = !method.is_empty() && (marked.is_some() || method == "tools/call");
    is_mcp.then_some((method, target.filter(|t| !t.is_empty())))
}

/// Whether the span says that the tool is one of the agent's own. In doubt it is not: a call that is missed is
/// worse than one too many.
fn is_native(attributes: &Attributes<'_>, resource: &Attributes<'_>) -> bool {
    let tool = attributes.string(TOOL).unwrap_or_default();
    if attributes.any_key(&["mcp.", COPILOT_TOOL[0]]) || tool.starts_with("mcp_") {
        return false;
    }
    if attributes.string(&["tool_type"]).is_some_and(|kind| kind == "native") {
        return true;
    }
    let service = resource.string(&["service.name"]).unwrap_or_default();
    match attributes.string(&["gen_ai.tool.type"]).unwrap_or_default().as_ref() {
        "" | "extension" => false,
        "datastore" => true,
        // Copilot calls its own tools so; elsewhere it also covers tools adapted from MCP.
        "function" => attributes.any_key(&["github.copilot.", "copilot_chat."]) || service.contains("copilot"),
        // Google's ADK and kagent write the name of the class.
        class => !class.to_ascii_lowercase().contains("mcp"),
    }
}

/// The call that a span in a log of `format` describes. `family` is the span's attributes followed by those of the spans
/// above it.
pub(in crate::source::format) fn call(
    format: &'static str,
    span: &Span<'_>,
    resource: &Attributes<'_>,
    family: &[&Attributes<'_>],
    method: Text,
) -> Call {
    let attributes = &span.attributes;
    let inherited = |keys: &[&str]| family.iter().find_map(|attributes| attributes.text(keys));
    let notification = method.starts_with("notifications/");
    let initiator = if FROM_SERVER.contains(&method.as_str()) { Side::Server } else { Side::Client };
    // A span of kind client stands on the side of whoever asks, and servers ask too.
    let traceloop = is_traceloop(attributes);
    let was_asked = span.kind == Kind::Server
        || HANDLED.iter().any(|mark| span.name.starts_with(mark))
        || traceloop && traceloop_server(attributes).is_some();
    let at_client = was_asked != (initiator == Side::Client);
    let service = resource.text(&["service.name"]).filter(|name| !name.starts_with("unknown_service"));
    let mut call = Call {
        event_kind: if notification { EventKind::Notification } else { EventKind::Call },
        time: span.start,
        time_end: span.end,
        time_source: TimeSource::Span,
        duration_ns: span.end.zip(span.start).and_then(|(end, start)| end.checked_sub(start)).filter(|ns| *ns >= 0),
        initiator,
        mcp_protocol_version: attributes.text(&["mcp.protocol.version"]),
        mcp_session_id: attributes.text(MCP_SESSION),
        tool_call_id: attributes.text(&["gen_ai.tool.call.id"]),
        agent: inherited(AGENT).or_else(|| resource.text(AGENT)),
        client_name: attributes.text(&["mcp.client.name"]).or_else(|| service.clone().filter(|_| at_client)),
        client_version: attributes
            .text(&["mcp.client.version"])
            .or_else(|| resource.text(&["service.version"]).filter(|_| at_client)),
        user_id: [USER, EMAIL].into_iter().find_map(|keys| inherited(keys).or_else(|| resource.text(keys))),
        server: attributes.text(SERVER).or_else(|| service.filter(|_| !at_client)),
        server_address: attributes.text(&["server.address"]),
        transport: transport(attributes),
        trace_id: span.trace_id.clone(),
        span_id: span.id.clone(),
        parent_span_id: span.parent.clone(),
        observer: if at_client { Observer::Client } else { Observer::Server },
        source_format: Text::const_new(format),
        ..Call::default()
    };
    call.duration_source = call.duration_ns.map(|_| DurationSource::Measured);
    if call.server.is_none() && at_client {
        call.server.clone_from(&call.server_address);
    }
    if let Some(id) = attributes.text(REQUEST_ID) {
        // The attribute is the id's string form; most clients count.
        let int = id.strip_prefix('-').unwrap_or(&id).bytes().all(|b| b.is_ascii_digit());
        call.jsonrpc_id_type = Some(if int { IdType::Int } else { IdType::String });
        call.jsonrpc_request_id = Some(id);
    }
    (call.session_id, call.session_source) = session(span, resource, &inherited);
    target(&mut call, span, &method);
    payloads(&mut call, attributes, &method);
    if SENT[1..].iter().chain(&HANDLED).any(|mark| span.name.starts_with(mark)) {
        messages(&mut call, attributes, &method);
    }
    if traceloop && method == "tools/call" {
        entity(&mut call, attributes);
    }
    rare(&mut call, span, resource, &inherited, at_client);
    outcome::judge(&mut call, span, method == "tools/call");
    call.method = method;
    call
}

/// The conversation, else the protocol session, else the trace. An agent that runs for one conversation names it as its resource's.
pub(super) fn session(
    span: &Span<'_>,
    resource: &Attributes<'_>,
    inherited: &impl Fn(&[&str]) -> Option<Text>,
) -> (Option<Text>, SessionSource) {
    let named = |keys: &[&str]| inherited(keys).or_else(|| resource.text(keys));
    let known = named(CONVERSATION).map(|id| (id, SessionSource::Conversation));
    let known = known.or_else(|| span.attributes.text(MCP_SESSION).map(|id| (id, SessionSource::McpSession)));
    let known = known.or_else(|| named(SESSION).map(|id| (id, SessionSource::Conversation)));
    known.map_or_else(|| (span.trace_id.clone(), SessionSource::Trace), |(id, source)| (Some(id), source))
}

fn transport(attributes: &Attributes<'_>) -> Option<Text> {
    let named = attributes.string(&["network.transport", "mcp.transport", "mcp.server.transport"])?;
    Some(Text::const_new(match named.to_ascii_lowercase().as_str() {
        "pipe" | "stdio" | "unix" => "stdio",
        "tcp" | "quic" | "http" | "https" | "streamable-http" | "streamable_http" | "streamablehttp" => "http",
        "sse" => "sse",
        "inproc" => "inproc",
        _ => return None,
    }))
}

/// Tool, prompt or resource.
fn target(call: &mut Call, span: &Span<'_>, method: &str) {
    let attributes = &span.attributes;
    let from_name = name_parts(&span.name)
        .and_then(|(_, target)| target)
        .or_else(|| span.name.strip_prefix(EXECUTE))
        .or_else(|| span.name.strip_prefix(method).map(str::trim))
        .filter(|target| !target.is_empty())
        .map(Text::from);
    match method {
        "tools/call" => {
            let raw = attributes.text(TOOL).or(from_name);
            call.tool = attributes.text(COPILOT_TOOL).or_else(|| raw.clone());
            // The one prefix that cannot be misread: `mcp__SERVER__TOOL`.
            let parts = raw.as_deref().and_then(|raw| raw.strip_prefix("mcp__")).and_then(|rest| rest.split_once("__"));
            if let Some((server, tool)) = parts.filter(|(server, tool)| !server.is_empty() && !tool.is_empty()) {
                call.tool = Some(Text::from(tool));
                call.server = attributes.text(SERVER).or_else(|| Some(Text::from(server)));
                call.flag(Flag::NameSplit);
            }
            call.tool_raw = raw.or_else(|| call.tool.clone());
        }
        "prompts/get" => call.more().gen_ai_prompt_name = attributes.text(PROMPT).or(from_name),
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => {
            call.more().mcp_resource_uri = attributes.text(RESOURCE).or(from_name);
        }
        _ => {
            if let Some(uri) = attributes.text(RESOURCE) {
                call.more().mcp_resource_uri = Some(uri);
            }
        }
    }
}

fn payloads(call: &mut Call, attributes: &Attributes<'_>, method: &str) {
    let find = |keys: &[&str]| keys.iter().find_map(|key| attributes.get(key));
    let arguments = find(ARGUMENTS).map(|value| payload(value, PayloadState::Summarised));
    let result = find(RESULT).map(|value| payload(value, PayloadState::Present));
    if matches!(arguments, Some((_, PayloadState::Truncated, _)))
        || matches!(result, Some((_, PayloadState::Truncated, _)))
    {
        call.flag(Flag::TruncatedJson);
    }
    let has_arguments = matches!(method, "tools/call" | "prompts/get");
    let unlogged = |has: bool| (None, if has { PayloadState::NotLogged } else { PayloadState::None }, None);
    let arguments = arguments.or_else(|| variables(attributes).filter(|_| method == "prompts/get"));
    (call.arguments, call.arguments_state, call.arguments_bytes) = arguments.unwrap_or(unlogged(has_arguments));
    let answered = call.event_kind == EventKind::Call;
    (call.result, call.result_state, call.result_bytes) = result.unwrap_or(unlogged(answered));
}

/// The arguments of a prompt that are attributes of their own.
fn variables(attributes: &Attributes<'_>) -> Option<(Option<String>, PayloadState, Option<i64>)> {
    let one = |(name, value): (&str, &str)| format!("{}:{}", span::quote(name), span::to_json(value));
    let members: Vec<_> = attributes.below(PROMPT_VARIABLE).map(one).collect();
    (!members.is_empty()).then(|| (Some(format!("{{{}}}", members.join(","))), PayloadState::Present, None))
}

/// Logfire records the messages themselves.
fn messages(call: &mut Call, attributes: &Attributes<'_>, method: &str) {
    let request = attributes.string(&["request"]).unwrap_or_default();
    let request = Object::parse(&request).unwrap_or_default();
    if let Some(params) = request.get("params").filter(|raw| raw.starts_with('{')) {
        jsonrpc::request_side(method, Some(params), call);
    }
    if let Some(value) = attributes.get("response") {
        (call.result, call.result_state, call.result_bytes) = payload(value, PayloadState::Present);
    }
}

/// OpenLLMetry has its own words for name, arguments and result.
fn entity(call: &mut Call, attributes: &Attributes<'_>) {
    call.tool = attributes.text(&["traceloop.entity.name"]).or_else(|| call.tool.take());
    call.tool_raw.clone_from(&call.tool);
    call.server = traceloop_server(attributes).or_else(|| call.server.take());
    if let Some(value) = attributes.get("traceloop.entity.input") {
        let (input, state, bytes) = payload(value, PayloadState::Summarised);
        let arguments =
            input.as_deref().map(Object::trusted).and_then(|input| input.get("arguments").map(str::to_owned));
        (call.arguments, call.arguments_state, call.arguments_bytes) = match arguments {
            Some(arguments) if state == PayloadState::Present => (Some(arguments), state, None),
            _ => (input, state, bytes),
        };
    }
    if let Some(value) = attributes.get("traceloop.entity.output") {
        (call.result, call.result_state, call.result_bytes) = payload(value, PayloadState::Present);
    }
}

/// A payload attribute: structured, or a string that holds JSON, perhaps cut off, perhaps only a text. `text` is
/// what a text is worth: a result may well be one, arguments are an object and a text only tells about them.
pub(in crate::source::format) fn payload(
    value: &str,
    text: PayloadState,
) -> (Option<String>, PayloadState, Option<i64>) {
    let Some(string) = span::string(value) else {
        let json = span::to_json(value);
        let bytes = json.len() as i64;
        return (Some(json), PayloadState::Present, Some(bytes));
    };
    let trimmed = string.trim();
    let bytes = Some(string.len() as i64);
    let redacted =
        ["[redacted]", "redacted", "<redacted>", "***"].iter().any(|mark| trimmed.eq_ignore_ascii_case(mark));
    if trimmed.is_empty() {
        (None, PayloadState::NotLogged, None)
    } else if redacted {
        (None, PayloadState::Redacted, None)
    } else if serde_json::from_str::<&RawValue>(trimmed).is_ok() {
        (Some(trimmed.to_owned()), PayloadState::Present, bytes)
    } else if trimmed.starts_with(['{', '[']) && !trimmed.ends_with(['}', ']']) {
        (Some(string.into_owned()), PayloadState::Truncated, bytes)
    } else if trimmed.ends_with("...") && trimmed.len() >= CUT_FROM {
        (Some(span::quote(&string)), PayloadState::Truncated, bytes)
    } else if trimmed.starts_with(['{', '[']) && text == PayloadState::Summarised {
        // Python's repr, or braces around something else.
        (Some(span::quote(&string)), PayloadState::Unparsable, bytes)
    } else {
        (Some(span::quote(&string)), text, bytes)
    }
}

/// The shortest text whose trailing dots mean that a writer cut it (ToolHive cuts at 200).
const CUT_FROM: usize = 190;

/// The columns that few spans fill.
fn rare(
    call: &mut Call,
    span: &Span<'_>,
    resource: &Attributes<'_>,
    inherited: &impl Fn(&[&str]) -> Option<Text>,
    at_client: bool,
) {
    let attributes = &span.attributes;
    let either = |keys: &[&str]| inherited(keys).or_else(|| resource.text(keys));
    let extra: serde_json::Map<_, _> = EXTRA
        .iter()
        .filter_map(|key| Some((key, attributes.string(&[key])?)))
        .filter(|(_, value)| value.len() <= EXTRA_VALUE_MAX)
        .map(|(key, value)| ((*key).to_owned(), serde_json::Value::from(value.into_owned())))
        .collect();
    let more = call.more();
    more.gen_ai_agent_id = either(&["gen_ai.agent.id"]);
    more.gen_ai_request_model = inherited(MODEL);
    more.user_name = either(&["user.name", "process.user.name"]);
    more.user_email = either(EMAIL);
    let gateways = || attributes.text(&["src.addr"]).map(|address| Text::from(gateway::host(&address)));
    more.client_address = attributes.text(&["client.address"]).or_else(gateways);
    more.user_agent = attributes.text(&["user_agent.original", "http.user_agent"]);
    more.host_name = resource.text(&["host.name"]).filter(|_| at_client);
    more.server_url = attributes.text(&["mcp.server.endpoint", "url.full"]);
    more.http_response_status_code = attributes
        .string(&["http.response.status_code", "http.status_code", "http.status"])
        .and_then(|code| code.parse().ok());
    more.extra_json = (!extra.is_empty()).then(|| serde_json::Value::Object(extra).to_string());
    if *more == Default::default() {
        call.more = None;
    }
}

/// `isError` of a result that is a whole MCP result.
pub(super) fn is_error(call: &Call) -> Option<bool> {
    let result = call.result.as_deref().filter(|_| call.result_state == PayloadState::Present)?;
    Object::trusted(result).bool("isError")
}
