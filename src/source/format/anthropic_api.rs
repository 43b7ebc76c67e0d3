//! Logged traffic of Anthropic's Messages API with its MCP connector, and events of its managed agents.
//!
//! The API calls the servers itself, so a call and its result are two blocks of one response, without times of their own. A
//! request repeats the whole conversation: the same ids stand in every later record and count once. Whoever logs decides what
//! stands around the bodies. In a stream the arguments come in pieces: the events of one response have to be one record, else
//! they are not told. Tools that the application calls are an MCP server's if their names say so (`mcp__SERVER__TOOL`).

pub(super) mod exchange;

use super::LogFormat;
use super::otlp_traces::call::payload;
use super::shared::{host, streamed};
use crate::call::{Approval, Call, Flag, Outcome, PayloadState, Prompt, Text, TimeSource, ToolDefinition};
use crate::source::frame::events;
use crate::source::json::{self, Object};
use crate::source::{Decoded, Event, Lane, PairKey, Record, Reject};
use exchange::{Exchange, bodies, has_body, has_type, mentions};

const ID: &str = "anthropic_api";
const BLOCKS: &[&str] = &["mcp_tool_use", "mcp_tool_result", "mcp_tool_listing"];
/// Calls by the application, and their results.
const OWN_BLOCKS: &[&str] = &["tool_use", "tool_result"];
const MARKS: &[&str] = &["mcp_tool_", "mcp_servers", OWN_NAME];
/// How the names of tools begin that the application has from MCP servers.
const OWN_NAME: &str = "mcp__";
/// Events of a streamed response.
const STREAM: &[&str] = &[
    "message_start",
    "message_delta",
    "message_stop",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
];
/// How the types of a managed agent's events start. Other services have users and sessions, too.
const EVENTS: &[&str] = &[
    "agent.",
    "span.",
    "session.status",
    "session.error",
    "session.deleted",
    "session.thread",
    "user.message",
    "user.interrupt",
    "user.tool_confirmation",
    "user.custom_tool_result",
    "user.define_outcome",
];
const MESSAGE_MAX: usize = 2000;
/// How far into an array the keys of its first elements are looked for.
const HEAD: usize = 2048;

/// The Messages API.
pub struct AnthropicApi;

impl LogFormat for AnthropicApi {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "Anthropic API traffic (Messages with the MCP connector, managed agents)"
    }
    fn evidence(&self) -> &'static str {
        "types of the Python SDK 2.12; no production log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        let Some(object) = record.json else {
            let text = record.text;
            return text.starts_with('[') && has_type(text, BLOCKS)
                || events::is_stream(text) && has_type(text, STREAM);
        };
        is_response(object)
            || is_request(object)
            || is_message(object)
            || is_stream(object)
            || is_event(object)
            || is_page(object)
            || is_exchange(object)
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        match record.json {
            Some(object) => decode(object, out),
            None if events::is_stream(record.text) => {
                if let Some(message) = streamed::body(record.text) {
                    let message = Object::trusted(&message);
                    body(&message, &mut Exchange::of(&message), out);
                }
            }
            // A conversation, or an export that wraps all records in one array.
            None => {
                json::elements(record.text).into_iter().map(Object::trusted).for_each(|object| decode(&object, out))
            }
        }
        Ok(())
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|object| {
            has_body(object)
                || object.has("messages")
                || (object.has("role") && object.has("content"))
                || ["ping", "error", "message_stop"].iter().any(|kind| is(object, "type", kind))
        })
    }
}

fn is(object: &Object<'_>, key: &str, value: &str) -> bool {
    object.str(key).is_some_and(|text| text == value)
}

fn is_response(object: &Object<'_>) -> bool {
    object.has("content") && object.has("model") && is(object, "type", "message") && is(object, "role", "assistant")
}

fn is_request(object: &Object<'_>) -> bool {
    let own = |raw: &str| has_type(raw, OWN_BLOCKS) && raw.contains(OWN_NAME);
    object.has("model")
        && object.get("messages").is_some_and(|raw| object.has("mcp_servers") || has_type(raw, BLOCKS) || own(raw))
}

/// One message of a conversation.
fn is_message(object: &Object<'_>) -> bool {
    object.has("role") && object.get("content").is_some_and(|raw| raw.starts_with('[') && has_type(raw, BLOCKS))
}

fn is_stream(object: &Object<'_>) -> bool {
    object.str("type").is_some_and(|kind| STREAM.contains(&kind.as_ref()))
        && ["message", "delta", "index"].iter().any(|key| object.has(key))
}

/// An event of a managed agent's session.
fn is_event(object: &Object<'_>) -> bool {
    object.has("processed_at")
        && object.str("type").is_some_and(|kind| EVENTS.iter().any(|start| kind.starts_with(start)))
}

/// A page of such events.
fn is_page(object: &Object<'_>) -> bool {
    let near = |raw: &str| {
        let head = &raw.as_bytes()[..raw.len().min(HEAD)];
        let has = |text: &str| memchr::memmem::find(head, text.as_bytes()).is_some();
        has("\"processed_at\"") && ["\"agent.", "\"user.", "\"session."].into_iter().any(has)
    };
    object.get("data").is_some_and(|raw| raw.starts_with('[') && near(raw)) && !object.has("jsonrpc")
}

fn is_exchange(object: &Object<'_>) -> bool {
    mentions(object, MARKS)
        && bodies(object).iter().any(|body| {
            let body = Object::trusted(body);
            is_response(&body) || is_request(&body)
        })
}

fn decode(object: &Object<'_>, out: &mut Decoded) {
    if is_event(object) {
        event(object, out);
    } else if is_page(object) {
        object.array("data").into_iter().map(Object::trusted).filter(is_event).for_each(|object| event(&object, out));
    } else if is_stream(object) {
        let from = out.events.len();
        blocks(&[object.get("content_block").unwrap_or_default()], &Exchange::of(object), false, out);
        out.events[from..].iter_mut().for_each(begun);
    } else if is_response(object) || is_request(object) || is_message(object) {
        body(object, &mut Exchange::default(), out);
    } else {
        let mut exchange = Exchange::of(object);
        bodies(object).iter().for_each(|text| body(&Object::trusted(text), &mut exchange, out));
    }
}

/// Where a stream begins a block its input is still empty: it comes in pieces behind it.
fn begun(event: &mut Event) {
    if let Event::Request { call, .. } | Event::Call { call, .. } = event
        && call.arguments.as_deref() == Some("{}")
    {
        (call.arguments, call.arguments_state) = (None, PayloadState::NotLogged);
    }
}

/// The body of a request or a response.
fn body(object: &Object<'_>, exchange: &mut Exchange, out: &mut Decoded) {
    exchange.model = object.text("model").or(exchange.model.take());
    if !is_request(object) {
        if is_response(object) || is_message(object) {
            blocks(&object.array("content"), exchange, is_message(object) && !is_response(object), out);
        }
        return;
    }
    exchange.user = exchange.user.take().or_else(|| object.object("metadata").text("user_id"));
    for server in object.array("mcp_servers").into_iter().map(Object::trusted) {
        if let (Some(name), Some(url)) = (server.text("name"), server.text("url")) {
            exchange.servers.push((name, url));
        }
    }
    let messages = object.array("messages");
    for message in messages.iter().map(|raw| Object::trusted(raw)) {
        blocks(&message.array("content"), exchange, true, out);
    }
    // Everything before has been said in an earlier request.
    if let Some(last) = messages.last().map(|raw| Object::trusted(raw)).filter(|last| is(last, "role", "user")) {
        prompt(&texts(last.get("content").unwrap_or_default()), exchange, out);
    }
}

/// Content blocks that are calls, results and lists of tools.
fn blocks(blocks: &[&str], exchange: &Exchange, replayed: bool, out: &mut Decoded) {
    for block in blocks.iter().map(|raw| Object::trusted(raw)) {
        match block.str("type").unwrap_or_default().as_ref() {
            "mcp_tool_use" => request(&block, "server_name", exchange, replayed, out),
            "mcp_tool_result" => response(&block, "tool_use_id", exchange, replayed, out),
            "tool_use" if block.str("name").is_some_and(|name| host::mcp_name(&name).is_some()) => {
                request(&block, "server_name", exchange, replayed, out);
            }
            // The block does not say of what tool.
            "tool_result" => {
                response(&block, "tool_use_id", exchange, replayed, out);
                if let Some(Event::Response { maybe_foreign, .. }) = out.events.last_mut() {
                    *maybe_foreign = true;
                }
            }
            "mcp_tool_listing" => listing(&block, exchange, out),
            _ => {}
        }
    }
}

fn key(id: Text) -> PairKey {
    // Unique by themselves, whatever session a log puts them in.
    PairKey::Global { session: Text::default(), id }
}

fn lane(exchange: &Exchange) -> Lane {
    exchange.session.clone().unwrap_or_default()
}

fn request(block: &Object<'_>, server: &str, exchange: &Exchange, replayed: bool, out: &mut Decoded) {
    let mut call = exchange.blank(ID, replayed);
    call.method = Text::const_new("tools/call");
    call.outcome = Outcome::NoResponse;
    call.tool_call_id = block.text("id");
    call.server = block.text(server);
    call.tool = block.text("name");
    call.tool_raw.clone_from(&call.tool);
    if let Some((server, tool)) = call.tool.as_deref().filter(|_| call.server.is_none()).and_then(host::mcp_name) {
        (call.server, call.tool) = (Some(server), Some(tool));
        call.flag(Flag::NameSplit);
    }
    let url = exchange.url(call.server.as_ref());
    call.more().server_url = url;
    call.arguments_state = PayloadState::NotLogged;
    if let Some(input) = block.get("input").filter(|raw| *raw != "null") {
        (call.arguments, call.arguments_state) = (Some(input.to_owned()), PayloadState::Present);
        if input.starts_with('"') {
            // Of a stream that was broken off.
            (call.arguments, call.arguments_state, call.arguments_bytes) = payload(input, PayloadState::Truncated);
            call.flag(Flag::TruncatedJson);
        }
    }
    let key = call.tool_call_id.clone().map(key);
    out.events.push(match key {
        Some(key) => Event::Request { key: Some(key), lane: lane(exchange), call },
        // Its result cannot be found.
        None => Event::Call { lane: lane(exchange), call },
    });
}

fn response(block: &Object<'_>, id: &str, exchange: &Exchange, replayed: bool, out: &mut Decoded) {
    let Some(id) = block.text(id) else { return };
    let mut call = exchange.blank(ID, replayed);
    // The blocks of one response share its time, which is not when the result came.
    (call.time, call.time_end) = (None, if replayed { call.time_end } else { None });
    let content = block.get("content").filter(|raw| *raw != "null");
    call.result = content.map(str::to_owned);
    call.result_state = if content.is_some() { PayloadState::Present } else { PayloadState::NotLogged };
    call.is_error = block.bool("is_error");
    call.outcome = Outcome::Success;
    if call.is_error == Some(true) {
        call.outcome = Outcome::ToolError;
        call.error_type = Some(Text::const_new("tool_error"));
        call.error_message = Some(texts(content.unwrap_or_default()).chars().take(MESSAGE_MAX).collect());
    }
    out.events.push(Event::Response { key: key(id), lane: lane(exchange), call, maybe_foreign: false });
}

/// The tools of a server, as the API fetched them.
fn listing(block: &Object<'_>, exchange: &Exchange, out: &mut Decoded) {
    let server = block.text("mcp_server_name");
    let tools = definitions(block.get("tools").unwrap_or_default(), server.as_ref());
    out.events.push(Event::Tools {
        lane: lane(exchange),
        session: exchange.session.clone(),
        time: exchange.time,
        tools,
    });
}

/// Tools as the APIs of models list them: the schema is spelled `input_schema`.
pub(super) fn definitions(raw: &str, server: Option<&Text>) -> Vec<ToolDefinition> {
    let definition = |raw: &str| {
        let tool = Object::trusted(raw);
        let member = |key: &str| tool.get(key).filter(|raw| *raw != "null").map(str::to_owned);
        Some(ToolDefinition {
            server: server.cloned(),
            tool: tool.text("name")?,
            description: tool.str("description").map(|text| text.into_owned()),
            input_schema: member("input_schema").or_else(|| member("inputSchema")),
            annotations: member("annotations"),
            definition: raw.to_owned(),
            ..ToolDefinition::default()
        })
    };
    json::elements(raw).into_iter().filter_map(definition).collect()
}

/// A content that is a text, or the texts among its blocks.
pub(super) fn texts(content: &str) -> String {
    if let Some(text) = json::string(content) {
        return text.into_owned();
    }
    let texts = json::elements(content).into_iter().filter_map(|block| Object::trusted(block).str("text"));
    texts.collect::<Vec<_>>().join("\n")
}

fn prompt(text: &str, exchange: &Exchange, out: &mut Decoded) {
    if !text.trim().is_empty() {
        out.events.push(Event::Prompt(Box::new(Prompt {
            session_id: exchange.session.clone(),
            time: exchange.time,
            text: text.trim().to_owned(),
            agent: exchange.agent.clone(),
            source_format: Text::const_new(ID),
            ..Prompt::default()
        })));
    }
}

/// One event of a managed agent: it has a time, and says who let a call happen.
fn event(object: &Object<'_>, out: &mut Decoded) {
    let mut exchange = Exchange::of(object);
    exchange.time = crate::source::time::member(object, "processed_at").map(|(nanos, _)| nanos);
    let first = out.events.len();
    match object.str("type").unwrap_or_default().as_ref() {
        "agent.mcp_tool_use" => request(object, "mcp_server_name", &exchange, false, out),
        "agent.mcp_tool_result" => response(object, "mcp_tool_use_id", &exchange, false, out),
        "user.tool_confirmation" => confirmation(object, &exchange, out),
        "user.message" => prompt(&texts(object.get("content").unwrap_or_default()), &exchange, out),
        _ => {}
    }
    match out.events.get_mut(first) {
        Some(Event::Request { call, .. } | Event::Call { call, .. }) => {
            call.time_source = TimeSource::RequestLine;
            permitted(call, object);
        }
        Some(Event::Response { call, .. }) => call.time_end = exchange.time,
        _ => {}
    }
}

/// What the policy of the session said to a call.
fn permitted(call: &mut Call, object: &Object<'_>) {
    let policy = object.object("evaluation").text("type");
    call.more().approval_policy = policy;
    match object.str("evaluated_permission").unwrap_or_default().as_ref() {
        "allow" => call.approval = Approval::AutoAllowed,
        "deny" => {
            call.approval = Approval::PolicyDenied;
            call.outcome = Outcome::Denied;
        }
        "ask" => call.more().duration_includes_approval = true,
        _ => {}
    }
}

/// The answer to a question whether a tool may be used: also asked about tools that are none of a server.
fn confirmation(object: &Object<'_>, exchange: &Exchange, out: &mut Decoded) {
    let Some(id) = object.text("tool_use_id") else { return };
    let mut call = Box::new(Call { source_format: Text::const_new(ID), ..Call::default() });
    if is(object, "result", "allow") {
        call.approval = Approval::UserAllowed;
        out.events.push(Event::Amend { key: key(id), call });
    } else if is(object, "result", "deny") {
        call.approval = Approval::UserDenied;
        call.outcome = Outcome::Denied;
        call.error_message = object.str("deny_message").map(|text| text.chars().take(MESSAGE_MAX).collect());
        out.events.push(Event::Response { key: key(id), lane: lane(exchange), call, maybe_foreign: true });
    }
}

#[cfg(test)]
mod tests;
