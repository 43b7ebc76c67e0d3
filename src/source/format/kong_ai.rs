//! MCP traffic in the logs of Kong's AI MCP Proxy plugin: `ai.mcp` inside the log object that `http-log`, `file-log`
//! and others write.
//!
//! One object is one HTTP request; `rpc[]` holds its messages, with payloads as JSON strings if they are logged, and
//! `audit[]` (3.13) what access control said. A denied call has an audit entry and no message. Each converted call
//! writes a second object without `ai` for the request behind it. Batches of `http-log` are arrays.

use super::{Decoded, LogFormat, Record, Reject, jsonrpc, shared::gateway};
use crate::call::{Approval, Call, EventKind, Flag, Outcome, PayloadState, Text};
use crate::source::json::{self, Object};
use crate::source::time;
use std::borrow::Cow;

const ID: &str = "kong_ai";

/// Messages of one record. A request holds one, or a small batch.
const MAX_MESSAGES: usize = 20_000;
/// Verdicts that are looked through for each message.
const MAX_VERDICTS: usize = 200;
/// A longer name is none: every message of the record gets a copy.
const MAX_NAME: usize = 1_000;

/// Kong's AI MCP Proxy.
pub struct KongAi;

impl LogFormat for KongAi {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "Kong AI MCP Proxy in http-log and file-log objects (JSON)"
    }
    fn evidence(&self) -> &'static str {
        "Kong's documentation of the log format and a public script that reads it; no log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        match record.json {
            Some(log) => log.get("ai").is_some_and(|ai| has_mcp(ai.as_bytes()) && mcp(log).is_some()),
            None => record.text.starts_with("[{") && record.text.contains("\"ai\"") && has_mcp(record.text.as_bytes()),
        }
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        match record.json {
            Some(log) => request(log, out),
            None => json::elements(record.text).into_iter().try_for_each(|log| request(&Object::trusted(log), out)),
        }
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        // Other requests through the gateway.
        record.json.is_some_and(|log| ["latencies", "request", "response"].iter().all(|key| log.has(key)))
    }
}

fn has_mcp(text: &[u8]) -> bool {
    memchr::memmem::find(text, b"\"mcp\"").is_some()
}

fn mcp<'a>(log: &Object<'a>) -> Option<Object<'a>> {
    log.object("ai").get("mcp").filter(|mcp| mcp.starts_with('{')).map(Object::trusted)
}

/// What access control said of one tool, prompt or resource.
struct Verdict<'a> {
    entry: Object<'a>,
    name: Option<Text>,
    taken: bool,
}

impl<'a> Verdict<'a> {
    fn read(raw: &'a str) -> Self {
        let entry = Object::trusted(raw);
        let name = entry.text("primitive_name");
        Self { entry, name, taken: false }
    }

    fn denies(&self) -> bool {
        self.entry.str("action").is_some_and(|action| action == "deny")
    }

    fn method(&self) -> Option<Text> {
        let method = match self.entry.str("primitive")?.as_ref() {
            "tool" => "tools/call",
            "prompt" => "prompts/get",
            "resource" => "resources/read",
            _ => return None,
        };
        Some(Text::const_new(method))
    }

    /// Without a name it is about a list.
    fn is_about(&self, call: &Call) -> bool {
        match &self.name {
            Some(_) => self.name == call.tool,
            None => {
                let kind = self.entry.str("primitive").unwrap_or_default();
                call.method.strip_suffix("s/list").is_some_and(|listed| listed == kind)
            }
        }
    }

    fn apply(&self, call: &mut Call) {
        call.approval = if self.denies() { Approval::PolicyDenied } else { Approval::AutoAllowed };
        if self.denies() {
            call.outcome = Outcome::Denied;
        }
        let consumer = self.entry.object("consumer");
        let group = consumer.str("identifier").is_some_and(|kind| kind == "consumer_group");
        let name = consumer.text("name");
        if !group && call.user_id.is_none() {
            call.user_id.clone_from(&name);
        }
        // An allowed call names the group whose rule let it through, a denied one the caller.
        call.more().approval_source = name.filter(|_| group).or_else(|| self.entry.text("scope"));
    }
}

fn request(log: &Object<'_>, out: &mut Decoded) -> Result<(), Reject> {
    let Some(mcp) = mcp(log) else { return Ok(()) };
    let mut verdicts: Vec<_> =
        mcp.array("audit").into_iter().filter(|raw| raw.starts_with('{')).map(Verdict::read).collect();
    let messages: Vec<_> = mcp.array("rpc").into_iter().filter(|raw| raw.starts_with('{')).collect();
    if out.events.len() + messages.len() + verdicts.len() > MAX_MESSAGES {
        return Err(Reject::new("more messages than a request can hold"));
    }
    let around = surroundings(log, &mcp);
    for rpc in messages.into_iter().map(Object::trusted) {
        let mut call = named(&around, rpc.text("method"));
        let started = call.time;
        gateway::started(&mut call, started, gateway::milliseconds(&rpc, "latency"));
        message(&mut call, &rpc);
        // The first verdict that fits and that no other message took is its own.
        let fits = |verdict: &&mut Verdict<'_>| !verdict.taken && verdict.is_about(&call);
        if let Some(verdict) = verdicts.iter_mut().take(MAX_VERDICTS).find(fits) {
            verdict.taken = true;
            verdict.apply(&mut call);
        }
        push(call, out);
    }
    for verdict in verdicts.iter().filter(|verdict| !verdict.taken) {
        // Without a name it is about a whole list, or about everything.
        let method = verdict.method().filter(|_| verdict.name.is_some());
        let mut call = named(&around, method);
        match call.method.as_str() {
            "tools/call" => call.tool.clone_from(&verdict.name),
            "prompts/get" => call.more().gen_ai_prompt_name.clone_from(&verdict.name),
            "resources/read" => call.more().mcp_resource_uri.clone_from(&verdict.name),
            _ => {
                call.event_kind = EventKind::Decision;
                call.outcome = Outcome::Unknown;
            }
        }
        call.tool_raw.clone_from(&call.tool);
        gateway::payloads_not_logged(&mut call);
        verdict.apply(&mut call);
        push(call, out);
    }
    Ok(())
}

/// A call with what is around it.
fn named(around: &Call, method: Option<Text>) -> Box<Call> {
    let empty = gateway::gateway_call(ID, method);
    Box::new(Call { method: empty.method, event_kind: empty.event_kind, ..around.clone() })
}

fn push(mut call: Box<Call>, out: &mut Decoded) {
    let lane = call.more().client_address.clone().filter(|_| call.session_id.is_none());
    gateway::push(call, lane.unwrap_or_default(), out);
}

/// What the log object says of all its messages.
fn surroundings(log: &Object<'_>, mcp: &Object<'_>) -> Box<Call> {
    let mut call = gateway::gateway_call(ID, None);
    let name = |object: &Object<'_>, key: &str| object.text(key).filter(|name| name.len() <= MAX_NAME);
    let at = time::member(log, "started_at");
    gateway::started(&mut call, at.map(|(nanos, _)| nanos), None);
    let headers = log.object("request").object("headers");
    gateway::mcp_session(&mut call, name(mcp, "mcp_session_id").or_else(|| name(&headers, "mcp-session-id")));
    if let Some(status) = log.object("response").int("status") {
        gateway::http_status(&mut call, status);
    }
    let (service, route, consumer) = (log.object("service"), log.object("route"), log.object("consumer"));
    call.transport = Some(Text::const_new("http"));
    call.server = name(&service, "name").or_else(|| name(&route, "name"));
    call.server_address = name(&service, "host");
    call.user_id = ["custom_id", "username", "id"].iter().find_map(|key| name(&consumer, key));
    let short = |object: &Object<'_>, key| {
        object.get(key).filter(|raw| raw.len() <= MAX_NAME).map(str::to_owned).map(Cow::Owned)
    };
    let extra = gateway::extra([
        ("service", short(&service, "name")),
        ("route", short(&route, "name")),
        ("workspace", short(log, "workspace_name")),
        // A trace of one request would pass for a session.
        ("trace", short(&log.object("trace_id"), "w3c")),
    ]);
    let more = call.more();
    more.user_name = name(&consumer, "username");
    more.principal_type = (!consumer.is_empty()).then(|| Text::const_new("user"));
    more.client_address = name(log, "client_ip");
    more.user_agent = name(&headers, "user-agent");
    more.extra_json = extra;
    call
}

/// One message and its answer.
fn message(call: &mut Call, rpc: &Object<'_>) {
    // The log writes every id as a string; the payload has it as it was.
    call.jsonrpc_request_id = rpc.text("id").or_else(|| rpc.get("id").filter(|raw| *raw != "null").map(Text::from));
    call.tool = rpc.text("tool_name");
    call.tool_raw.clone_from(&call.tool);
    if call.outcome == Outcome::Unknown {
        call.outcome = Outcome::Success;
    }
    let error = rpc.str("error").filter(|text| !text.is_empty()).map(Cow::into_owned);
    if error.is_some() && call.outcome == Outcome::Success {
        gateway::protocol_error(call, None, None);
    }
    let payload = rpc.object("payload");
    body(call, &payload, "request");
    body(call, &payload, "response");
    if call.result_state == PayloadState::NotLogged {
        call.result_bytes = rpc.int("response_body_size").filter(|bytes| *bytes >= 0);
    }
    if !matches!(call.outcome, Outcome::Success | Outcome::ToolError) {
        call.error_message = error.or_else(|| call.error_message.take());
    }
}

/// A payload, which is a JSON string that holds the whole message, or an answer's event stream.
fn body(call: &mut Call, payload: &Object<'_>, side: &str) {
    let raw = payload.get(side);
    let text = raw.map(|raw| json::string(raw).unwrap_or(Cow::Borrowed(raw)));
    let text = text.filter(|text| !text.is_empty() && text != "null");
    let message = text.as_deref().map(Object::parse);
    let mut broken = matches!(message, Some(Err(_)));
    let whole = text.as_deref().filter(|_| !broken);
    if side == "request" {
        gateway::request_body(call, whole);
        if let Some(Ok(message)) = &message {
            target(call, message);
        }
        if broken {
            (call.arguments, call.arguments_state) = (text.as_deref().map(str::to_owned), PayloadState::Unparsable);
        }
    } else {
        // A message that failed at the gateway has an answer of the gateway's.
        let failed = call.outcome == Outcome::ProtocolError;
        if failed {
            call.outcome = Outcome::Success;
        }
        gateway::response_body(call, if broken { raw } else { whole });
        broken &= call.result_state == PayloadState::Unparsable;
        if failed && call.outcome != Outcome::ProtocolError {
            gateway::protocol_error(call, None, None);
        }
        if broken {
            call.result = text.as_deref().map(str::to_owned);
        }
    }
    if broken {
        call.flag(Flag::TruncatedJson);
    }
}

fn target(call: &mut Call, message: &Object<'_>) {
    if let Some(raw) = message.get("id").filter(|raw| *raw != "null") {
        let id = jsonrpc::id(raw);
        call.jsonrpc_request_id = Some(id.text);
        call.jsonrpc_id_type = Some(id.kind);
    }
    let params = message.object("params");
    match call.method.as_str() {
        "prompts/get" => call.more().gen_ai_prompt_name = params.text("name"),
        method if method.starts_with("resources/") => call.more().mcp_resource_uri = params.text("uri"),
        "initialize" => {
            let client = params.object("clientInfo");
            call.mcp_protocol_version = params.text("protocolVersion");
            call.client_name = client.text("name");
            call.client_version = client.text("version");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
