//! Audit events of the ToolHive gateway: `pkg/audit` of stacklok/toolhive, one JSON object per HTTP request.
//!
//! A record holds a call whole, written when it ended, with or without the keys that Go's slog puts in front. Bodies are
//! off by default; a request body over the configured size is dropped whole, and a response body can have holes. A tool's
//! own error (`isError`) is not seen by the gateway, and there is no protocol session and no JSON-RPC id.

use super::{LogFormat, shared::gateway};
use crate::call::{Approval, Call, EventKind, Observer, Outcome, PayloadState, SessionSource, Text};
use crate::source::json::Object;
use crate::source::{Decoded, Record, Reject, time};

const ID: &str = "toolhive_audit";

/// Event types and the methods they stand for.
const METHODS: &[(&str, &str)] = &[
    ("mcp_initialize", "initialize"),
    ("mcp_tool_call", "tools/call"),
    ("mcp_tools_list", "tools/list"),
    ("mcp_resource_read", "resources/read"),
    ("mcp_resources_list", "resources/list"),
    ("mcp_prompt_get", "prompts/get"),
    ("mcp_prompts_list", "prompts/list"),
    ("mcp_notification", "notifications/message"),
    ("mcp_ping", "ping"),
    ("mcp_logging", "logging/setLevel"),
    ("mcp_completion", "completion/complete"),
    ("mcp_roots_list_changed", "notifications/roots/list_changed"),
];

/// ToolHive audit events.
pub struct ToolhiveAudit;

impl LogFormat for ToolhiveAudit {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "ToolHive gateway audit events (JSONL)"
    }
    fn evidence(&self) -> &'static str {
        "source code of stacklok/toolhive and the example of its documentation; no production log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|event| {
            ["audit_id", "type", "outcome"].iter().all(|key| event.str(key).is_some())
                && (event.has("logged_at") || event.str("msg").is_some_and(|msg| msg == "audit_event"))
        })
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(event) = record.json else { return Err(Reject::new("not a json object")) };
        let mut call = Box::new(Call {
            source_format: Text::const_new(ID),
            observer: Observer::Gateway,
            tool_call_id: event.text("audit_id"),
            ..Call::default()
        });
        let metadata = event.object("metadata").object("extra");
        kind(&mut call, event);
        outcome(&mut call, event, &metadata);
        times(&mut call, event, &metadata);
        parties(&mut call, event, &metadata);
        target(&mut call, event);
        gateway::request_body(&mut call, event.object("data").get("request"));
        gateway::response_body(&mut call, event.object("data").get("response"));
        if call.result_state == PayloadState::NotLogged {
            call.result_bytes = metadata.int("response_size_bytes").filter(|bytes| *bytes > 0);
        }
        // Without a session, clients are told apart by where they come from.
        let lane = call.more().client_address.clone().filter(|_| call.session_id.is_none());
        gateway::push(call, lane.unwrap_or_default(), out);
        Ok(())
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|line| line.has("level") && line.has("msg"))
    }
}

/// What the event is, from the parsed method if the gateway had one, else from the event's type.
fn kind(call: &mut Call, event: &Object<'_>) {
    let kind = event.str("type").unwrap_or_default();
    let by_type = METHODS.iter().find(|(name, _)| *name == kind).map(|(_, method)| Text::const_new(method));
    // In place of the MCP method stands the HTTP verb if the body was not parsed.
    let parsed = event.object("target").text("method").filter(|m| !m.bytes().all(|b| b.is_ascii_uppercase()));
    call.method = parsed.or(by_type).unwrap_or_default();
    call.event_kind = match kind.as_ref() {
        "sse_connection" | "http_request" => EventKind::Connection,
        // Steps of a composite tool inside the gateway: no traffic, but the log of it.
        workflow if workflow.starts_with("vmcp_workflow_") => {
            call.method = Text::from(workflow);
            EventKind::Notification
        }
        _ if call.method.starts_with("notifications/") => EventKind::Notification,
        _ => EventKind::Call,
    };
}

fn outcome(call: &mut Call, event: &Object<'_>, metadata: &Object<'_>) {
    match event.str("outcome").unwrap_or_default().as_ref() {
        "success" => call.outcome = Outcome::Success,
        "denied" => {
            call.outcome = Outcome::Denied;
            call.approval = Approval::PolicyDenied;
        }
        "application_error" => {
            let code = metadata.int("jsonrpc_error_code").and_then(|code| i32::try_from(code).ok());
            gateway::protocol_error(call, code, metadata.str("jsonrpc_error_message").map(|text| text.into_owned()));
        }
        "failure" | "error" if call.method.ends_with("_timed_out") => call.outcome = Outcome::Timeout,
        "failure" | "error" if call.method.starts_with("vmcp_workflow_") => call.outcome = Outcome::ToolError,
        // HTTP status 4xx and 5xx.
        "failure" | "error" => call.outcome = Outcome::TransportError,
        _ => {}
    }
}

/// The event is written when the call has ended.
fn times(call: &mut Call, event: &Object<'_>, metadata: &Object<'_>) {
    let logged = ["logged_at", "time"].iter().find_map(|key| time::member(event, key));
    let duration = gateway::milliseconds(metadata, "duration_ms");
    gateway::ended(call, logged.map(|(nanos, _)| nanos), duration);
    gateway::zone(call, logged.is_some_and(|(_, is_assumed)| is_assumed));
}

/// Who asked, on whose behalf, from where, and which server was meant.
fn parties(call: &mut Call, event: &Object<'_>, metadata: &Object<'_>) {
    let source = event.object("source");
    let origin = source.object("extra");
    let subjects = event.object("subjects");
    let delegation = event.object("delegation");
    // A name of the gateway's own if no server's: better than none, and it stays in the row beside a backend's.
    call.server = metadata.text("backend_name").or_else(|| event.text("component"));
    call.transport = metadata.text("transport").map(|transport| match transport.as_str() {
        "streamable-http" => Text::const_new("http"),
        _ => transport,
    });
    call.mcp_protocol_version = metadata.text("mcp_version");
    call.client_name = subjects.text("client_name");
    call.client_version = subjects.text("client_version");
    call.mcp_session_id = origin.text("session_id");
    call.session_id.clone_from(&call.mcp_session_id);
    if call.session_id.is_some() {
        call.session_source = SessionSource::McpSession;
    }
    let user = subjects.text("user").filter(|user| user != "anonymous");
    call.user_id = subjects.text("user_id").or_else(|| user.clone());
    let principal = if call.user_id.is_some() { "user" } else { "anonymous" };
    let incomplete = ["truncated", "malformed"].iter().any(|key| delegation.bool(key) == Some(true));
    let extra = [
        ("audit_id", event.get("audit_id")),
        ("type", event.get("type")),
        ("component", event.get("component")),
        ("endpoint", event.object("target").get("endpoint")),
        ("request_id", origin.get("request_id")),
        ("delegation", event.get("delegation").filter(|_| incomplete)),
    ];
    let extra = extra.iter().filter_map(|(key, raw)| Some(format!(r#""{key}":{}"#, (*raw)?)));
    let extra: Vec<String> = extra.collect();
    let more = call.more();
    more.principal_type = (!subjects.is_empty()).then(|| Text::const_new(principal));
    more.auth_subject = subjects.text("user_id");
    more.user_email = user.clone().filter(|user| user.contains('@'));
    more.user_name = user;
    more.delegation_chain = delegation.get("chain").filter(|chain| chain.starts_with('[')).map(str::to_string);
    let address = source.text("value").filter(|_| source.str("type").is_none_or(|kind| kind == "network"));
    more.client_address = address.map(|address| Text::from(gateway::host(&address)));
    more.user_agent = origin.text("user_agent").or_else(|| metadata.text("user_agent"));
    more.extra_json = Some(format!("{{{}}}", extra.join(",")));
}

fn target(call: &mut Call, event: &Object<'_>) {
    let target = event.object("target");
    match call.method.as_str() {
        "tools/call" => {
            call.tool = target.text("name");
            call.tool_raw.clone_from(&call.tool);
        }
        "resources/read" => call.more().mcp_resource_uri = target.text("uri").or_else(|| target.text("name")),
        "prompts/get" => call.more().gen_ai_prompt_name = target.text("name"),
        workflow if workflow.starts_with("vmcp_workflow_") => {
            call.tool = target.text("tool_name").or_else(|| target.text("workflow_name"));
            call.more().task_id = target.text("workflow_id");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
