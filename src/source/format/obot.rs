//! Audit log of the Obot MCP gateway: its JSONL export, one event per call, in the normalised form of 2026 and the flat
//! one before.
//!
//! `mcp_call` was seen by the gateway. `local_agent_tool_call` was reported by a hook on somebody's machine and is a
//! call of ours only if the tool is an MCP server's. Payloads are there if the export includes them and the exporter
//! may see them. The body of a request is the message's `params`, that of a response its `result`. Obot takes status
//! 401 and 403 for a denial, whoever gave it.

use super::{Decoded, LogFormat, Record, Reject, shared::gateway};
use crate::call::{Approval, Call, Observer, Outcome, PayloadState, SessionSource, Text};
use crate::source::json::Object;
use crate::source::{Lane, time};
use std::borrow::Cow;

const ID: &str = "obot";

const TOOL_CALL: Text = Text::const_new("tools/call");
const EVENT_TYPES: &[&str] = &["mcp_call", "local_agent_tool_call"];

/// Obot's audit log.
pub struct Obot;

impl LogFormat for Obot {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "Obot MCP gateway audit log export (JSONL)"
    }
    fn evidence(&self) -> &'static str {
        "source code of obot-platform/obot (2025 to 2026); no log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        let Some(event) = record.json else { return false };
        is_flat(event)
            || event.has("actor")
                && event.has("outcome")
                && event.str("eventType").is_some_and(|kind| EVENT_TYPES.contains(&kind.as_ref()))
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(event) = record.json else { return Err(Reject::new("not a json object")) };
        if is_flat(event) {
            return flat(event, out);
        }
        let local = event.str("eventType").is_some_and(|kind| kind == "local_agent_tool_call");
        let target = event.object("target");
        if local && !is_mcp(&target) {
            // The agent's own tool.
            return Ok(());
        }
        let details = event.object("details");
        let operation = event.object("action").text("operation");
        // Agents that report what they do have words of their own for it.
        let operation = operation.filter(|name| !local || name.contains('/')).or(local.then_some(TOOL_CALL));
        let mut call = gateway::gateway_call(ID, operation);
        times(&mut call, event, &details);
        names(&mut call, &event.object("action"), &target);
        actor(&mut call, &event.object("actor"));
        context(&mut call, event, &details, local);
        outcome(&mut call, &event.object("outcome"), local);
        payloads(&mut call, &details, local);
        push(event, call, out);
        Ok(())
    }
}

/// The form of 2025: the columns of the database table.
fn is_flat(event: &Object<'_>) -> bool {
    event.has("callType") && event.has("mcpID") || event.has("mcpFields") && event.has("createdAt")
}

fn is_mcp(target: &Object<'_>) -> bool {
    let kind = |target: &Object<'_>| target.str("targetType").is_some_and(|kind| kind.starts_with("mcp_"));
    kind(target) || kind(&target.object("parent"))
}

/// Both kinds say when the call started; a hook may report it later.
fn times(call: &mut Call, event: &Object<'_>, details: &Object<'_>) {
    let stamps = event.object("timestamp");
    let at = time::member(details, "startedAt").or_else(|| time::member(&stamps, "occurredAt"));
    let duration = gateway::milliseconds(&event.object("outcome"), "durationMs");
    gateway::started(call, at.map(|(nanos, _)| nanos), duration);
    if at.is_some_and(|(_, assumed)| assumed) {
        gateway::zone(call, true);
    }
}

/// The server, and the tool, prompt or resource.
fn names(call: &mut Call, action: &Object<'_>, target: &Object<'_>) {
    let parent = target.object("parent");
    let server = if parent.is_empty() { target } else { &parent };
    call.server = server.text("name").or_else(|| server.text("id"));
    let name = Some(target).filter(|_| !parent.is_empty()).and_then(|target| target.text("name"));
    name_target(call, name.or_else(|| action.text("name")));
    // An agent's own name for the tool holds the server's too.
    call.tool_raw = action.text("name").filter(|_| call.tool.is_some()).or_else(|| call.tool.clone());
}

fn name_target(call: &mut Call, name: Option<Text>) {
    match call.method.as_str() {
        "tools/call" => {
            call.tool_raw.clone_from(&name);
            call.tool = name;
        }
        "prompts/get" => call.more().gen_ai_prompt_name = name,
        method if method.starts_with("resources/") => call.more().mcp_resource_uri = name,
        _ => {}
    }
}

fn actor(call: &mut Call, actor: &Object<'_>) {
    let kind = actor.text("actorType");
    let id = actor.text("id");
    if kind.as_deref() == Some("user") {
        call.user_id.clone_from(&id);
    }
    let more = call.more();
    more.principal_type = kind;
    more.auth_subject = id;
}

/// Sessions, client, agent and machine.
fn context(call: &mut Call, event: &Object<'_>, details: &Object<'_>, local: bool) {
    let trace = details.object("trace");
    let client = details.object("client");
    let agent = details.object("agent");
    if local {
        call.observer = Observer::HostTranscript;
        call.session_id = trace.text("sessionID");
        if call.session_id.is_some() {
            call.session_source = SessionSource::Conversation;
        }
        // The agent's own id, by which its transcript knows the call too.
        call.tool_call_id = trace.text("toolUseID");
        call.agent = agent.text("provider").or_else(|| event.text("client"));
    } else {
        gateway::mcp_session(call, trace.text("sessionID"));
        // A text, whatever it was in the message.
        call.jsonrpc_request_id = trace.text("requestID");
        call.transport = Some(Text::const_new("http"));
    }
    call.client_name = client.text("name").or_else(|| event.text("client"));
    call.client_version = client.text("version").or_else(|| agent.text("version"));
    let environment = details.object("environment");
    let mutated = |side: &str| details.object(side).get("mutated").filter(|raw| *raw == "true").map(Cow::Borrowed);
    let hooks = details.get("webhookStatuses").filter(|raw| *raw != "[]").map(Cow::Borrowed);
    let scope = details.object("scope");
    let extra = gateway::extra([
        ("id", event.get("id").map(Cow::Borrowed)),
        ("reason", event.object("outcome").get("reason").map(Cow::Borrowed)),
        ("request_mutated", mutated("request")),
        ("response_mutated", mutated("response")),
        ("webhook_statuses", hooks),
        ("turn_id", trace.get("turnID").map(Cow::Borrowed)),
        ("credential_id", event.object("actor").get("credentialID").map(Cow::Borrowed)),
        ("catalog_entry", scope.get("mcpServerCatalogEntryName").map(Cow::Borrowed)),
    ]);
    let more = call.more();
    more.user_email = environment.text("reportedUserEmail");
    more.client_address = details.object("network").text("clientIP");
    more.user_agent = client.text("userAgent");
    more.host_name = details.object("device").text("hostname");
    more.cwd = environment.text("cwd");
    more.git_branch = environment.text("gitBranch");
    more.gen_ai_request_model = agent.text("modelID").or_else(|| agent.text("model"));
    more.approval_policy = agent.text("permissionMode");
    more.extra_json = extra;
}

fn outcome(call: &mut Call, outcome: &Object<'_>, local: bool) {
    let status = outcome.int("httpStatus").filter(|status| *status > 0);
    let error = outcome.str("error").filter(|text| !text.is_empty()).map(Cow::into_owned);
    if let Some(status) = status {
        gateway::http_status(call, status);
    }
    match outcome.str("status").unwrap_or_default().as_ref() {
        "success" => call.outcome = Outcome::Success,
        "denied" => {
            call.outcome = Outcome::Denied;
            // A user or the agent's rules may have refused a local call; the event does not say who.
            call.approval = if local { Approval::Unknown } else { Approval::PolicyDenied };
        }
        "timeout" => call.outcome = Outcome::Timeout,
        "failure" if local => call.outcome = Outcome::ToolError,
        // An error that came with status 200 was the message's.
        "failure" if status.is_none_or(|status| status < 400) => gateway::protocol_error(call, None, None),
        "failure" => call.outcome = Outcome::TransportError,
        // No response was seen, which need not mean that there was none.
        _ => call.outcome = Outcome::Unknown,
    }
    if local && call.outcome == Outcome::ToolError {
        call.error_type = outcome.text("reason");
    }
    call.error_message = error.filter(|_| call.outcome != Outcome::Success);
}

fn payloads(call: &mut Call, details: &Object<'_>, local: bool) {
    let body = |side: &str| details.object(side).get("body").filter(|raw| !["null", "\"\"", ""].contains(raw));
    let (request, response) = (body("request"), body("response"));
    gateway::request_body(call, request);
    if local {
        // A tool's output as the agent has it: text, blocks, or a result.
        call.result = response.map(str::to_string);
        call.result_state = if response.is_some() { PayloadState::Present } else { PayloadState::NotLogged };
        if call.outcome == Outcome::Success {
            gateway::own_error(call, response);
        }
    } else {
        gateway::response_body(call, response);
    }
    if details.bool("payloadRedacted") == Some(true) {
        // Withheld from whoever made the export.
        for state in [&mut call.arguments_state, &mut call.result_state] {
            if *state == PayloadState::NotLogged {
                *state = PayloadState::Redacted;
            }
        }
    }
}

/// An event of the older form.
fn flat(event: &Object<'_>, out: &mut Decoded) -> Result<(), Reject> {
    let nested = event.object("mcpFields");
    let fields = if nested.is_empty() { event } else { &nested };
    if event.str("sourceType").is_some_and(|kind| kind.starts_with("local_agent")) {
        return Err(Reject::new("local agent event of an older export"));
    }
    let mut call = gateway::gateway_call(ID, fields.text("callType"));
    let at = time::member(event, "createdAt");
    gateway::started(&mut call, at.map(|(nanos, _)| nanos), gateway::milliseconds(fields, "processingTimeMs"));
    if at.is_some_and(|(_, assumed)| assumed) {
        gateway::zone(&mut call, true);
    }
    gateway::mcp_session(&mut call, fields.text("sessionID"));
    call.jsonrpc_request_id = fields.text("requestID");
    call.transport = Some(Text::const_new("http"));
    call.server = fields.text("mcpServerDisplayName").or_else(|| fields.text("mcpID"));
    name_target(&mut call, fields.text("callIdentifier"));
    let client = event.object("client");
    call.client_name = client.text("name").or_else(|| fields.text("clientName"));
    call.client_version = client.text("version").or_else(|| fields.text("clientVersion"));
    call.user_id = event.text("userID");
    let error = fields.str("error").filter(|text| !text.is_empty()).map(Cow::into_owned);
    match fields.int("responseStatus").filter(|status| *status > 0) {
        Some(status) => gateway::http_status(&mut call, status),
        None if error.is_some() => gateway::protocol_error(&mut call, None, None),
        None => {}
    }
    if call.outcome == Outcome::Success && error.is_some() {
        gateway::protocol_error(&mut call, None, None);
    }
    call.error_message = error;
    let body = |key: &str| fields.get(key).filter(|raw| *raw != "\"\"");
    gateway::request_body(&mut call, body("requestBody"));
    gateway::response_body(&mut call, body("responseBody"));
    let extra =
        gateway::extra(["id", "mcpID"].map(|key| (key, event.get(key).or_else(|| fields.get(key)).map(Cow::Borrowed))));
    let more = call.more();
    more.client_address = event.text("clientIP").or_else(|| fields.text("clientIP"));
    more.user_agent = fields.text("userAgent");
    more.extra_json = extra;
    push(event, call, out);
    Ok(())
}

fn push(event: &Object<'_>, call: Box<Call>, out: &mut Decoded) {
    // Rows of one deployment are numbered, and times may be whole seconds. Without a session the lane makes one.
    let row = event.get("id").filter(|id| call.session_id.is_some() && id.len() < 40);
    gateway::push(call, row.map(Lane::from).unwrap_or_default(), out);
}

#[cfg(test)]
mod tests;
