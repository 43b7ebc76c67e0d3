//! Logged traffic of OpenAI's Responses API with its hosted MCP tool: responses, requests, items, events of a stream.
//!
//! The API calls the servers itself. An `mcp_call` item holds call and result and has no time of its own. Where approval is
//! required, an `mcp_approval_request` stands in one response, the answer in the next request, and the call, which names the
//! approval, in the response after it: the approval's id is what they share. Inputs repeat items, which count once.

mod chat;

use super::LogFormat;
use super::anthropic_api::exchange::{Exchange, bodies, has_body, has_type, mentions};
use super::anthropic_api::{definitions, texts};
use super::otlp_traces::{call::payload, outcome};
use super::shared::streamed;
use crate::call::{Approval, Call, Flag, Outcome, PayloadState, Prompt, Text};
use crate::source::frame::events;
use crate::source::json::{self, Object};
use crate::source::{Decoded, Event, Lane, PairKey, Record, Reject, time};

const ID: &str = "openai_responses";
const ITEMS: &[&str] = &["mcp_call", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response"];
/// Events of a streamed response.
const STREAM: &[&str] = &[
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.output_item.done",
    "response.completed",
    "response.incomplete",
    "response.failed",
];
const MESSAGE_MAX: usize = 2000;

/// The Responses API.
pub struct OpenAiResponses;

impl LogFormat for OpenAiResponses {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "OpenAI API traffic (Responses with hosted MCP servers, chat completions)"
    }
    fn evidence(&self) -> &'static str {
        "types of the Python SDK 3.54 and OpenAI's documentation; no production log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        let Some(object) = record.json else {
            let text = record.text;
            return text.starts_with('[') && has_type(text, ITEMS) || events::is_stream(text) && is_streamed(text);
        };
        is_item(object)
            || is_response(object)
            || is_request(object)
            || is_stream(object)
            || is_list(object)
            || is_exchange(object)
            || chat::is_completion(object)
            || chat::is_request(object)
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        match record.json {
            Some(object) => decode(object, out),
            None if events::is_stream(record.text) => {
                streamed::body(record.text).iter().for_each(|body| decode(&Object::trusted(body), out));
            }
            // Items, or an export that wraps all records in one array.
            None => {
                json::elements(record.text).into_iter().map(Object::trusted).for_each(|object| decode(&object, out))
            }
        }
        Ok(())
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        // Items of other kinds, requests and exchanges without MCP.
        record.json.is_some_and(|object| {
            has_body(object) || object.has("input") || (object.has("type") && (object.has("id") || object.has("role")))
        })
    }
}

fn is(object: &Object<'_>, key: &str, value: &str) -> bool {
    object.str(key).is_some_and(|text| text == value)
}

fn is_item(object: &Object<'_>) -> bool {
    object.str("type").is_some_and(|kind| ITEMS.contains(&kind.as_ref()))
}

fn is_response(object: &Object<'_>) -> bool {
    object.has("output") && is(object, "object", "response")
}

fn is_request(object: &Object<'_>) -> bool {
    let has =
        |key: &str, kinds: &[&str]| object.get(key).is_some_and(|raw| raw.starts_with('[') && has_type(raw, kinds));
    object.has("input") && object.has("model") && (has("tools", &["mcp"]) || has("input", ITEMS))
}

/// An event of a streamed response.
fn is_stream(object: &Object<'_>) -> bool {
    object.str("type").is_some_and(|kind| kind.starts_with("response."))
        && ["item", "response", "sequence_number", "output_index"].iter().any(|key| object.has(key))
}

/// A page of items.
fn is_list(object: &Object<'_>) -> bool {
    is(object, "object", "list") && object.get("data").is_some_and(|raw| raw.starts_with('[') && has_type(raw, ITEMS))
}

/// Events of a stream, with their data.
fn is_streamed(text: &str) -> bool {
    has_type(text, STREAM) || text.contains("\"chat.completion.chunk\"")
}

fn is_exchange(object: &Object<'_>) -> bool {
    // LiteLLM has records of its own for what it passes on.
    mentions(object, &["mcp_call", "mcp_list_tools", "mcp_approval_re", "\"mcp", "mcp__"])
        && !object.has("call_type")
        && bodies(object).iter().any(|body| {
            let body = Object::trusted(body);
            is_response(&body) || is_request(&body) || chat::is_completion(&body) || chat::is_request(&body)
        })
}

fn decode(object: &Object<'_>, out: &mut Decoded) {
    if is_item(object) {
        Api::default().item(object, false, out);
    } else if is_list(object) {
        Api::default().items(object.get("data").unwrap_or_default(), false, out);
    } else if is_stream(object) {
        match object.str("type").unwrap_or_default().as_ref() {
            "response.output_item.done" => Api::default().item(&object.object("item"), false, out),
            "response.completed" | "response.incomplete" | "response.failed" => {
                Api::default().body(&object.object("response"), out);
            }
            _ => {}
        }
    } else if is_response(object) || is_request(object) || chat::is_completion(object) || chat::is_request(object) {
        Api::default().body(object, out);
    } else {
        let mut api = Api { exchange: Exchange::of(object), ..Api::default() };
        bodies(object).iter().for_each(|text| api.body(&Object::trusted(text), out));
    }
}

/// One exchange: what it configured, and what is known around it.
#[derive(Default)]
struct Api {
    exchange: Exchange,
    /// Which calls of each server need an approval.
    policies: Vec<(Text, Text)>,
}

impl Api {
    /// The body of a request or a response.
    fn body(&mut self, object: &Object<'_>, out: &mut Decoded) {
        let exchange = &mut self.exchange;
        exchange.model = object.text("model").or(exchange.model.take());
        exchange.user =
            exchange.user.take().or_else(|| object.text("user")).or_else(|| object.text("safety_identifier"));
        let conversation = object.text("conversation").or_else(|| object.object("conversation").text("id"));
        exchange.session = exchange.session.take().or(conversation);
        self.servers(object);
        if is_response(object) {
            let created = time::member(object, "created_at").map(|(nanos, _)| nanos);
            self.exchange.time = created.or(self.exchange.time);
            self.items(object.get("output").unwrap_or_default(), false, out);
        } else if is_request(object) {
            let input = object.get("input").unwrap_or_default();
            self.items(input, true, out);
            self.prompt(input, out);
        } else if chat::is_completion(object) {
            self.completion(object, out);
        } else if chat::is_request(object) {
            self.history(object, out);
        }
    }

    /// Addresses and policies of the servers among the tools.
    fn servers(&mut self, object: &Object<'_>) {
        for tool in object.array("tools").into_iter().map(Object::trusted).filter(|tool| is(tool, "type", "mcp")) {
            let Some(label) = tool.text("server_label") else { continue };
            if let Some(url) = tool.text("server_url") {
                self.exchange.servers.push((label.clone(), url));
            }
            let policy = tool.get("require_approval").filter(|raw| *raw != "null");
            if let Some(policy) = policy.map(|raw| json::string(raw).map_or_else(|| Text::from(raw), Text::from)) {
                self.policies.push((label, policy));
            }
        }
    }

    fn items(&self, raw: &str, replayed: bool, out: &mut Decoded) {
        json::elements(raw).into_iter().map(Object::trusted).for_each(|item| self.item(&item, replayed, out));
    }

    fn item(&self, item: &Object<'_>, replayed: bool, out: &mut Decoded) {
        match item.str("type").unwrap_or_default().as_ref() {
            "mcp_call" => self.call(item, replayed, out),
            "mcp_approval_request" => {
                if let Some(id) = item.text("id") {
                    let call = self.request(item, id.clone(), replayed);
                    out.events.push(Event::Request { key: Some(key(id)), lane: self.lane(), call });
                }
            }
            "mcp_approval_response" => self.answer(item, out),
            "mcp_list_tools" => {
                let server = item.text("server_label");
                let tools = definitions(item.get("tools").unwrap_or_default(), server.as_ref());
                let (session, time) = (self.exchange.session.clone(), self.exchange.time);
                out.events.push(Event::Tools { lane: self.lane(), session, time, tools });
            }
            _ => {}
        }
    }

    fn lane(&self) -> Lane {
        self.exchange.session.clone().unwrap_or_default()
    }

    /// The request side of a call or of a question for approval.
    fn request(&self, item: &Object<'_>, id: Text, replayed: bool) -> Box<Call> {
        let mut call = self.exchange.blank(ID, replayed);
        call.method = Text::const_new("tools/call");
        call.outcome = Outcome::NoResponse;
        call.tool_call_id = Some(id);
        call.server = item.text("server_label");
        call.tool = item.text("name");
        call.tool_raw.clone_from(&call.tool);
        call.arguments_state = PayloadState::NotLogged;
        if let Some(raw) = item.get("arguments").filter(|raw| *raw != "null") {
            (call.arguments, call.arguments_state, call.arguments_bytes) = payload(raw, PayloadState::Summarised);
            if call.arguments_state == PayloadState::Truncated {
                call.flag(Flag::TruncatedJson);
            }
        }
        let url = self.exchange.url(call.server.as_ref());
        let policy = self.policies.iter().find(|(label, _)| Some(label) == call.server.as_ref());
        let more = call.more();
        more.server_url = url;
        more.approval_policy = policy.map(|(_, policy)| policy.clone());
        if more.approval_policy.as_deref() == Some("never") {
            call.approval = Approval::AutoAllowed;
        }
        call
    }

    fn call(&self, item: &Object<'_>, replayed: bool, out: &mut Decoded) {
        let approved = item.text("approval_request_id");
        let id = approved.clone().or_else(|| item.text("id"));
        let mut request = self.request(item, id.clone().unwrap_or_default(), replayed);
        let answered = answered(item);
        let Some(id) = id else {
            // Nothing to pair it by: the halves stay together.
            request.tool_call_id = None;
            if answered {
                ended(&mut request, item);
            }
            out.events.push(Event::Call { lane: self.lane(), call: request });
            return;
        };
        if approved.is_some() {
            request.approval = Approval::UserAllowed;
        }
        let approval = request.approval;
        out.events.push(Event::Request { key: Some(key(id.clone())), lane: self.lane(), call: request });
        if answered {
            let mut call = self.exchange.blank(ID, replayed);
            (call.time, call.time_end) = (None, None);
            call.approval = approval;
            ended(&mut call, item);
            out.events.push(Event::Response { key: key(id), lane: self.lane(), call, maybe_foreign: false });
        }
    }

    /// Somebody's answer to a question for approval.
    fn answer(&self, item: &Object<'_>, out: &mut Decoded) {
        let (Some(id), Some(approve)) = (item.text("approval_request_id"), item.bool("approve")) else { return };
        let mut call = self.exchange.blank(ID, true);
        call.more().duration_includes_approval = true;
        if approve {
            call.approval = Approval::UserAllowed;
            // The answer's time is not the call's.
            (call.time, call.time_end) = (None, None);
            out.events.push(Event::Amend { key: key(id), call });
        } else {
            call.approval = Approval::UserDenied;
            call.outcome = Outcome::Denied;
            call.error_message = item.str("reason").map(|text| text.chars().take(MESSAGE_MAX).collect());
            out.events.push(Event::Response { key: key(id), lane: self.lane(), call, maybe_foreign: false });
        }
    }

    /// What the user asked: the input itself, or its last message. Everything before has been said in an earlier request.
    fn prompt(&self, input: &str, out: &mut Decoded) {
        let text = match json::string(input) {
            Some(text) => text.into_owned(),
            None => {
                let last = json::elements(input).last().map(|raw| Object::trusted(raw));
                let last = last.filter(|item| is(item, "role", "user"));
                last.map(|item| texts(item.get("content").unwrap_or_default())).unwrap_or_default()
            }
        };
        self.said(&text, out);
    }

    fn said(&self, text: &str, out: &mut Decoded) {
        if !text.trim().is_empty() {
            out.events.push(Event::Prompt(Box::new(Prompt {
                session_id: self.exchange.session.clone(),
                time: self.exchange.time,
                text: text.trim().to_owned(),
                agent: self.exchange.agent.clone(),
                source_format: Text::const_new(ID),
                ..Prompt::default()
            })));
        }
    }
}

fn key(id: Text) -> PairKey {
    // Unique by themselves, whatever session a log puts them in.
    PairKey::Global { session: Text::default(), id }
}

/// Whether the call has ended: older versions name no status.
fn answered(item: &Object<'_>) -> bool {
    let some = |key: &str| item.get(key).is_some_and(|raw| raw != "null");
    match item.str("status").as_deref() {
        Some("completed" | "failed") => true,
        Some("in_progress" | "calling") => false,
        _ => some("output") || some("error"),
    }
}

/// The response side of a call.
fn ended(call: &mut Call, item: &Object<'_>) {
    call.result_state = PayloadState::NotLogged;
    if let Some(raw) = item.get("output").filter(|raw| *raw != "null") {
        (call.result, call.result_state, call.result_bytes) = payload(raw, PayloadState::Present);
    }
    match item.get("error").filter(|raw| *raw != "null") {
        Some(raw) => failed(call, raw),
        None if is(item, "status", "failed") => outcome::told(call, None, None),
        None => call.outcome = Outcome::Success,
    }
}

/// The kinds of errors have types of their own; older versions wrote a text.
fn failed(call: &mut Call, raw: &str) {
    let error = Object::trusted(raw);
    let code = error.int("code").and_then(|code| i32::try_from(code).ok());
    let message = error.str("message").map(|text| text.chars().take(MESSAGE_MAX).collect());
    match error.str("type").unwrap_or_default().as_ref() {
        "mcp_protocol_error" => {
            call.outcome = Outcome::ProtocolError;
            call.rpc_response_status_code = code;
            call.error_type = code.map(|code| Text::from(code.to_string()));
            call.error_message = message;
        }
        "http_error" => {
            call.outcome = Outcome::TransportError;
            call.more().http_response_status_code = code;
            call.error_type = code.map(|code| Text::from(code.to_string()));
            call.error_message = message;
        }
        "mcp_tool_execution_error" => {
            let content = error.get("content").filter(|raw| *raw != "null");
            call.is_error = Some(true);
            outcome::told(call, None, None);
            call.error_message = content.map(|raw| texts(raw).chars().take(MESSAGE_MAX).collect());
            if call.result.is_none() {
                call.result = content.map(str::to_owned);
                call.result_state = if content.is_some() { PayloadState::Present } else { PayloadState::NotLogged };
            }
        }
        kind => {
            let text = json::string(raw).or_else(|| error.str("message"));
            outcome::told(call, Some(kind).filter(|kind| !kind.is_empty()), text.as_deref());
        }
    }
}

#[cfg(test)]
mod tests;
