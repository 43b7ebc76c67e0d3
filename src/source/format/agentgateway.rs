//! Access log of agentgateway: one line per HTTP request, as text (`TIME⇥LEVEL⇥request key=value …`) or as JSON.
//!
//! Both carry the same flat keys, written when the request ended. The proxy reads the MCP message, so method, target,
//! tool and session are there, but payloads only if the operator adds them as fields of his own. Lines about other
//! traffic (A2A, models, plain HTTP) stand between them. In the text form most values are unquoted, and names that a
//! client sent can hold anything.

mod fields;

use super::{Decoded, LogFormat, Record, Reject, shared::gateway};
use crate::call::{Approval, Call, EventKind, Flag, Outcome, PayloadState, Text};
use crate::source::json::Object;
use crate::source::{Event, time};
use fields::Fields;

const ID: &str = "agentgateway";

/// Levels of the log. Requests that failed are logged as errors by newer versions.
const LEVELS: &[&str] = &["trace", "debug", "info", "warn", "error"];
/// Keys of which every request line has some, whatever the operator removed.
const REQUEST_KEYS: &[&str] = &["gateway", "listener", "route", "src.addr", "http.method", "http.status"];
/// Reasons for which the gateway itself refuses a request.
const REFUSALS: &[&str] = &["Authorization", "JwtAuth", "BasicAuth", "APIKeyAuth", "ExtAuth", "Oidc", "Guardrail"];
/// Fields that have no column.
const EXTRA: &[&str] = &[
    "gateway",
    "listener",
    "route",
    "route_rule",
    "http.method",
    "http.host",
    "http.path",
    "protocol",
    "reason",
    "retry.attempt",
    "request.id",
    "connection.id",
];

/// agentgateway's access log.
pub struct Agentgateway;

impl LogFormat for Agentgateway {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "agentgateway access log (text and JSON)"
    }
    fn evidence(&self) -> &'static str {
        "source code of agentgateway, log lines of its documentation and of public tutorials; no production log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        match record.json {
            Some(line) => {
                line.has("scope")
                    && line.str("scope").is_some_and(|scope| scope == "request")
                    && REQUEST_KEYS.iter().any(|key| line.has(key))
            }
            None => Header::read(record.text)
                .is_some_and(|line| line.scope == "request" && fields::key_end(line.rest, 0).is_some()),
        }
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let (time, fields) = match record.json {
            Some(line) => {
                let time = ["time", "timestamp", "@timestamp"].iter().find_map(|key| time::member(line, key));
                (time.map(|(nanos, _)| nanos), Fields::of_json(line))
            }
            None => {
                let Some(line) = Header::read(record.text) else { return Err(Reject::new("line without a time")) };
                (time::rfc3339(line.time), Fields::of_text(line.rest))
            }
        };
        let method = fields.text(&["mcp.method.name", "mcp.method", "mcp.methodName"]);
        if method.is_none() && !fields.has_part("mcp") && !fields.is("protocol", "mcp") {
            return Ok(());
        }
        let mut call = gateway::gateway_call(ID, method);
        if call.method.is_empty() && (fields.is("http.method", "GET") || fields.is("http.method", "DELETE")) {
            // The stream for the server's messages, or the end of a session.
            call.event_kind = EventKind::Connection;
        }
        let duration = fields.text(&["duration"]).and_then(|text| gateway::human_duration(&text));
        gateway::ended(&mut call, time, duration);
        parties(&mut call, &fields);
        target(&mut call, &fields);
        outcome(&mut call, &fields);
        payloads(&mut call, &fields);
        if fields.repeated() {
            call.flag(Flag::DuplicateKey);
        }
        // Without a session, clients are told apart by where they come from.
        let lane = call.more().client_address.clone().filter(|_| call.session_id.is_none());
        out.events.push(Event::Call { lane: lane.unwrap_or_default(), call });
        Ok(())
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        match record.json {
            Some(line) => ["level", "time", "scope"].iter().all(|key| line.has(key)),
            None => Header::read(record.text).is_some(),
        }
    }
}

/// The start that every text line of the process has.
struct Header<'a> {
    time: &'a str,
    scope: &'a str,
    rest: &'a str,
}

impl<'a> Header<'a> {
    fn read(line: &'a str) -> Option<Self> {
        // Cheap first: this is called for every line of every file.
        let bytes = line.as_bytes();
        if bytes.len() < 24 || bytes[4] != b'-' || bytes[10] != b'T' || !bytes[0].is_ascii_digit() {
            return None;
        }
        let (time, rest) = word(line);
        let (level, rest) = word(rest);
        let (scope, rest) = word(rest);
        (time.ends_with('Z') && LEVELS.contains(&level) && !scope.is_empty()).then_some(Self { time, scope, rest })
    }
}

/// The first word, and what follows it. Tabs become spaces where a log was copied from a terminal.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_at(text.find([' ', '\t']).unwrap_or(text.len()))
}

/// Who asked, from where, in which session, and which server was meant.
fn parties(call: &mut Call, fields: &Fields<'_>) {
    gateway::mcp_session(call, fields.text(&["mcp.session.id", "mcp.sessionId"]));
    call.transport = Some(Text::const_new("http"));
    call.server = fields.text(&["mcp.target", "mcp.tool.target"]);
    call.server_address = fields.text(&["endpoint"]);
    let id =
        |key, length| fields.text(&[key]).filter(|id| id.len() == length && id.bytes().all(|b| b.is_ascii_hexdigit()));
    (call.trace_id, call.span_id) = (id("trace.id", 32), id("span.id", 16));
    let subject = fields.text(&["jwt.sub"]);
    call.user_id = subject.clone().or_else(|| fields.text(&["src.identity"]));
    let extra = gateway::extra(EXTRA.iter().map(|key| (*key, fields.json(&[key]))));
    let more = call.more();
    more.auth_method = subject.as_ref().map(|_| Text::const_new("jwt"));
    more.auth_subject = subject;
    more.client_address = fields.text(&["src.addr"]).map(|address| Text::from(gateway::host(&address)));
    more.user_agent = fields.text(&["user_agent.original", "user_agent.name", "user_agent", "http.user_agent"]);
    more.extra_json = extra;
}

/// What was called. Older versions have one key for the names of tools, prompts and resources.
fn target(call: &mut Call, fields: &Fields<'_>) {
    let kind = fields.text(&["mcp.resource.type", "mcp.resource"]);
    let named = |is: &str| fields.text(&["mcp.resource.name"]).filter(|_| kind.as_deref() == Some(is));
    call.tool = fields.text(&["gen_ai.tool.name", "mcp.tool.name"]).or_else(|| named("tool"));
    call.tool_raw.clone_from(&call.tool);
    let prompt = fields.text(&["gen_ai.prompt.name", "mcp.prompt.name"]).or_else(|| named("prompt"));
    let resource = fields.text(&["mcp.resource.uri"]).or_else(|| named("resource"));
    let more = call.more();
    more.gen_ai_prompt_name = prompt;
    more.mcp_resource_uri = resource;
}

/// A JSON-RPC error, else the gateway's own reason for answering, else the HTTP status.
fn outcome(call: &mut Call, fields: &Fields<'_>) {
    let reason = fields.text(&["reason"]).unwrap_or_default();
    let message = fields.text(&["mcp.error.message"]).or_else(|| fields.text(&["error"])).map(String::from);
    if let Some(status) = fields.text(&["http.status"]).and_then(|status| status.parse().ok()) {
        gateway::http_status(call, status);
    }
    let code = fields.text(&["mcp.error.code"]);
    if code.is_some() || fields.text(&["mcp.error.message"]).is_some() {
        gateway::protocol_error(call, code.as_ref().and_then(|code| code.parse().ok()), message);
        call.error_type = code;
        return;
    }
    if REFUSALS.contains(&reason.as_str()) {
        call.outcome = Outcome::Denied;
        call.approval = Approval::PolicyDenied;
    } else if reason == "Timeout" {
        call.outcome = Outcome::Timeout;
    } else if reason == "MCP" {
        gateway::protocol_error(call, None, None);
    } else if message.is_some() && call.outcome != Outcome::Denied {
        // Older versions give no reason, and a stream that breaks off had begun with status 200.
        call.outcome = Outcome::TransportError;
    }
    if !reason.is_empty() && call.outcome != Outcome::Success {
        call.error_type = Some(reason.clone());
    }
    if call.outcome == Outcome::Denied {
        call.more().approval_source = Some(reason).filter(|reason| !reason.is_empty());
    }
    call.error_message = message.filter(|_| !matches!(call.outcome, Outcome::Success | Outcome::Unknown));
}

/// Fields that the operator added, under the names that the documentation uses.
fn payloads(call: &mut Call, fields: &Fields<'_>) {
    gateway::payloads_not_logged(call);
    if let Some((text, state)) = fields.payload(&["mcp.tool.arguments", "gen_ai.tool.call.arguments"]) {
        (call.arguments, call.arguments_state) = (Some(text), state);
    }
    if let Some((text, state)) = fields.payload(&["mcp.tool.result", "gen_ai.tool.call.result"]) {
        call.is_error =
            Some(&text).filter(|_| state == PayloadState::Present).and_then(|t| Object::trusted(t).bool("isError"));
        (call.result, call.result_state) = (Some(text), state);
    }
    if let Some((text, _)) = fields.payload(&["mcp.tool.error"]).filter(|_| call.result.is_none()) {
        (call.result, call.result_state) = (Some(text), PayloadState::Present);
        call.is_error = Some(true);
    }
    if call.is_error == Some(true) && call.outcome == Outcome::Success {
        call.outcome = Outcome::ToolError;
        call.error_type = Some(Text::const_new("tool_error"));
    }
}

#[cfg(test)]
mod tests;
