//! JSON access log of the Envoy AI Gateway with its MCP metadata: one object per HTTP request.
//!
//! The operator chooses the keys; those of the project's examples are read, old (`mcp_method`) and new
//! (`mcp.method.name`). What a request does not have is `-` or null. Only HTTP is seen: errors in a body of status 200,
//! the tool's own included, are not. Other traffic through the same listener has empty MCP keys.

use super::{Decoded, LogFormat, Record, Reject, shared::gateway};
use crate::call::{Call, EventKind, IdType, Outcome, SessionSource, Text};
use crate::source::json::{self, Object};
use crate::source::{Event, time};

const ID: &str = "envoy_ai_gateway";

const METHOD: &[&str] = &["mcp.method.name", "mcp_method"];
const BACKEND: &[&str] = &["mcp.provider.name", "mcp_backend"];
const REQUEST_ID: &[&str] = &["jsonrpc.request.id", "mcp_request_id"];
const SESSION: &[&str] = &["mcp.session.id", "mcp_session_id"];
const START: &[&str] = &["start_time", "time", "timestamp", "@timestamp"];
/// Fields that have no column.
const EXTRA: &[&str] = &[
    "method",
    "request.path",
    "x-envoy-origin-path",
    "response_flags",
    "response_code_details",
    "bytes_received",
    "bytes_sent",
    "upstream_cluster",
    "route_name",
    "x-request-id",
    ":authority",
];

/// The Envoy AI Gateway's access log.
pub struct EnvoyAiGateway;

impl LogFormat for EnvoyAiGateway {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "Envoy AI Gateway access log with MCP fields (JSON)"
    }
    fn evidence(&self) -> &'static str {
        "access log configurations of envoyproxy/ai-gateway and of a workshop; no log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        let keys = || METHOD.iter().chain(SESSION).chain(BACKEND);
        // The log may be told to leave out what is empty, such as the method of a stream.
        record.json.is_some_and(|line| line.has("response_code") && keys().any(|key| line.dotted(key).is_some()))
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(line) = record.json else { return Err(Reject::new("not a json object")) };
        let method = text(line, METHOD);
        if method.is_none() && [BACKEND, REQUEST_ID, SESSION].iter().all(|keys| text(line, keys).is_none()) {
            return Ok(());
        }
        let mut call = gateway::gateway_call(ID, method);
        if call.method.is_empty() && line.str("method").is_some_and(|verb| verb == "GET" || verb == "DELETE") {
            call.event_kind = EventKind::Connection;
        }
        gateway::payloads_not_logged(&mut call);
        let at = START.iter().find_map(|key| time::member(line, key));
        let duration = ["duration", "duration_ms"].iter().find_map(|key| gateway::milliseconds(line, key));
        gateway::started(&mut call, at.map(|(nanos, _)| nanos), duration);
        if at.is_some_and(|(_, assumed)| assumed) {
            gateway::zone(&mut call, true);
        }
        parties(&mut call, line);
        outcome(&mut call, line);
        let lane = call.more().client_address.clone().filter(|_| call.session_id.is_none());
        out.events.push(Event::Call { lane: lane.unwrap_or_default(), call });
        Ok(())
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        match record.json {
            Some(line) => line.has("response_code") && START.iter().any(|key| line.has(key)),
            // Lines of the gateway's own logger, and of Envoy's.
            None => {
                record.text.starts_with("time=") && record.text.contains(" level=")
                    || record.text.starts_with('[') && record.text.contains("][")
            }
        }
    }
}

/// The first of these keys that has a value.
fn text(line: &Object<'_>, keys: &[&str]) -> Option<Text> {
    let value = |key: &&str| {
        let raw = line.dotted(key)?;
        if raw.starts_with(|first: char| first.is_ascii_digit()) {
            return Some(Text::from(raw));
        }
        json::string(raw).filter(|text| !text.is_empty()).map(|text| Text::from(text.as_ref()))
    };
    keys.iter().filter_map(value).find(|text| text != "-")
}

/// Who asked, from where, in which session, and which server and tool were meant.
fn parties(call: &mut Call, line: &Object<'_>) {
    call.jsonrpc_request_id = text(line, REQUEST_ID);
    let number =
        REQUEST_ID.iter().any(|key| line.dotted(key).is_some_and(|raw| raw.bytes().all(|b| b.is_ascii_digit())));
    // The metadata holds the id as a string, whatever it was.
    call.jsonrpc_id_type = (number && call.jsonrpc_request_id.is_some()).then_some(IdType::Int);
    gateway::mcp_session(call, text(line, SESSION));
    if let Some(session) = text(line, &["session.id"]) {
        call.session_id = Some(session);
        call.session_source = SessionSource::Conversation;
    }
    call.transport = Some(Text::const_new("http"));
    call.server = text(line, BACKEND);
    call.server_address = text(line, &["upstream_host"]);
    call.tool = text(line, &["mcp.tool.name", "mcp_tool_name", "gen_ai.tool.name"]);
    call.tool_raw.clone_from(&call.tool);
    // Clients see the tools of all backends, each with its backend's name in front.
    let bare = |tool: &Text| Some(tool.strip_prefix(call.server.as_deref()?)?.strip_prefix("__")?.into());
    if let Some(tool) = call.tool.as_ref().and_then(bare).filter(|tool: &Text| !tool.is_empty()) {
        call.tool = Some(tool);
    }
    let agent_id = text(line, &["agent.id", "gen_ai.agent.id"]);
    call.agent = text(line, &["agent.name", "gen_ai.agent.name"]).or_else(|| agent_id.clone());
    call.user_id = text(line, &["user.id", "enduser.id"]);
    // The last proxies append themselves.
    let forwarded =
        text(line, &["x-forwarded-for"]).and_then(|list| list.split(',').next().map(|ip| Text::from(ip.trim())));
    let remote = text(line, &["downstream_remote_address"]).map(|address| Text::from(gateway::host(&address)));
    let shown = |key: &&str| line.get(key) != Some("\"-\"");
    let keys: Vec<&str> = EXTRA.iter().copied().filter(shown).collect();
    let extra = gateway::extra(gateway::members(line, &keys));
    let more = call.more();
    more.gen_ai_agent_id = agent_id;
    more.client_address = forwarded.or(remote);
    more.user_agent = text(line, &["user-agent", "user_agent"]);
    more.gen_ai_prompt_name = text(line, &["mcp.prompt.name", "gen_ai.prompt.name"]);
    more.mcp_resource_uri = text(line, &["mcp.resource.uri"]);
    more.extra_json = extra;
}

/// The HTTP status, and why the connection broke if it did.
fn outcome(call: &mut Call, line: &Object<'_>) {
    if let Some(status) = line.int("response_code") {
        gateway::http_status(call, status);
    }
    let flags = text(line, &["response_flags"]).unwrap_or_default();
    // Envoy's flags for timeouts: of the upstream request, of the stream, of the whole request.
    if flags.split(',').any(|flag| ["UT", "SI", "DT"].contains(&flag)) {
        call.outcome = Outcome::Timeout;
    }
    if !matches!(call.outcome, Outcome::Success | Outcome::Unknown) {
        let cause = ["upstream_transport_failure_reason", "response_code_details"];
        call.error_message = text(line, &cause).map(String::from);
    }
}

#[cfg(test)]
mod tests;
