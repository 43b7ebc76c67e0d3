//! Copilot CLI events: `~/.copilot/session-state/SESSION/events.jsonl`, and the same events on standard output.
//!
//! A call is a `tool.execution_start` and a `tool.execution_complete` of one `toolCallId`; the start names the MCP server, the end
//! does not. The client's own tools are written in the same way and are no calls. A permission that was asked for is written by
//! some versions only. The wait for it lies between start and end.

use super::shared::host::{self, context, hosted};
use super::{Decoded, LogFormat};
use crate::call::{Approval, Call, Nanos, Outcome, PayloadState, Prompt, SessionSource, Text, TimeSource};
use crate::source::json::Object;
use crate::source::{Event, Lane, PairKey, Record, Reject, time};

#[cfg(test)]
mod tests;

const ID: &str = "copilot_cli";
const AGENT: Text = Text::const_new("copilot-cli");
/// The server that the client brings along; versions before `mcpServerName` only had it in front of the tool's name.
const BUNDLED: &str = "github-mcp-server";
/// Event types that are enough where an export dropped `parentId`, each with members of which its data has one.
const TYPES: [(&str, &[&str]); 6] = [
    ("session.start", &["copilotVersion", "producer", "context", "startTime"]),
    ("user.message", &["content", "transformedContent"]),
    ("tool.execution_start", &["toolCallId"]),
    ("tool.execution_complete", &["toolCallId"]),
    ("permission.requested", &["toolCallId", "permissionRequest"]),
    ("permission.completed", &["toolCallId", "result"]),
];
/// Events of the flat form, which has no `data`.
const FLAT: [&str; 4] = ["user.message", "assistant.message", "userpromptsubmitted", "assistantresponse"];

/// Copilot CLI's session events.
pub struct CopilotCli;

impl LogFormat for CopilotCli {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "Copilot CLI session events (events.jsonl)"
    }
    fn evidence(&self) -> &'static str {
        "event schema of github/copilot-sdk and tests of other readers; no production log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|line| {
            let Some(kind) = line.str("type") else { return false };
            if line.get("data").is_some_and(|data| data.starts_with('{')) {
                let alone = TYPES.iter().find(|(name, _)| *name == kind);
                let own = |keys: &[&str]| keys.iter().any(|key| line.object("data").has(key));
                // An event of the CloudEvents standard says so.
                return !line.has("specversion")
                    && (alone.is_some_and(|(_, keys)| own(keys))
                        || (line.has("parentId") && (kind.contains('.') || kind == "abort")));
            }
            FLAT.contains(&kind.as_ref()) && line.has("session_id")
        })
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(line) = record.json else { return Err(Reject::new("not a json object")) };
        let time = time::member(line, "timestamp").map(|(nanos, _)| nanos);
        let data = line.object("data");
        match line.str("type").unwrap_or_default().as_ref() {
            "session.start" | "session.resume" | "session.context_changed" => session(&data, out),
            "user.message" | "userpromptsubmitted" => prompt(line, &data, time, out),
            "tool.execution_start" => start(line, &data, time, out),
            "tool.execution_complete" => complete(line, &data, time, out),
            "permission.completed" => permission(line, &data, out),
            _ => {}
        }
        Ok(())
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|line| line.has("type"))
    }
}

/// Ids come from the model's provider and are unique; the session is named at the head of the file only.
fn key(line: &Object<'_>, id: Text) -> PairKey {
    PairKey::Global { session: line.text("session_id").unwrap_or_default(), id }
}

/// Who works where. A resumed session names its folder again, and not itself.
fn session(data: &Object<'_>, out: &mut Decoded) {
    let place = if data.has("context") { data.object("context") } else { data.clone() };
    let mut call = Call { agent: Some(AGENT), client_name: Some(AGENT), ..Call::default() };
    host::in_session(&mut call, data.text("sessionId"));
    call.client_version = data.text("copilotVersion");
    let version = call.client_version.clone();
    let more = call.more();
    more.cwd = place.text("cwd");
    more.git_branch = place.text("branch");
    more.source_format_version = version;
    announce(call, out);
}

/// Tells later records where they belong: as context of the source, and of the lane, whose connection would name the session
/// otherwise.
fn announce(call: Call, out: &mut Decoded) {
    out.events.push(Event::Context { lane: Lane::default(), whole_source: false, call: Box::new(call.clone()) });
    out.events.push(context(ID, call));
}

fn start(line: &Object<'_>, data: &Object<'_>, time: Option<Nanos>, out: &mut Decoded) {
    let id = data.text("toolCallId");
    let Some(mut call) = named(data) else {
        // A built-in tool: its end is none of ours.
        out.events.extend(id.map(|id| Event::Foreign { key: key(line, id) }));
        return;
    };
    call.tool_call_id.clone_from(&id);
    call.outcome = Outcome::NoResponse;
    call.time = time;
    call.time_source = time.map_or(TimeSource::default(), |_| TimeSource::RequestLine);
    host::arguments(&mut call, data.get("arguments"));
    let agent = line.text("agentId");
    let more = call.more();
    more.agent_is_subagent = (agent.is_some() || data.text("parentToolCallId").is_some()).then_some(true);
    more.gen_ai_agent_id = agent;
    more.gen_ai_request_model = data.text("model");
    out.events.push(Event::Request { key: id.map(|id| key(line, id)), lane: Lane::default(), call });
}

/// The call's names; `None` for the client's own tools.
fn named(data: &Object<'_>) -> Option<Box<Call>> {
    let name = data.text("toolName").or_else(|| data.text("mcpToolName"))?;
    let mut call = hosted(ID);
    if let Some(server) = data.text("mcpServerName") {
        let bare = name.strip_prefix(server.as_str()).and_then(|rest| rest.strip_prefix('-'));
        call.tool = data.text("mcpToolName").or_else(|| bare.map(Text::from)).or_else(|| Some(name.clone()));
        call.server = Some(server);
    } else if let Some(tool) = name.strip_prefix(BUNDLED).and_then(|rest| rest.strip_prefix('-')) {
        call.server = Some(Text::const_new(BUNDLED));
        call.tool = Some(tool.into());
    } else if let Some(rest) = name.strip_prefix("mcp_").filter(|_| !data.has("mcpToolName")) {
        // The same events of VS Code's chat, which calls its MCP tools so.
        host::split_tool(&mut call, rest, "_");
    } else {
        return None;
    }
    call.agent = Some(AGENT);
    call.client_name = Some(AGENT);
    call.tool_raw = Some(name);
    Some(call)
}

fn complete(line: &Object<'_>, data: &Object<'_>, time: Option<Nanos>, out: &mut Decoded) {
    let Some(id) = data.text("toolCallId") else { return };
    let mut call = hosted(ID);
    call.time_end = time;
    call.more().duration_includes_approval = true;
    let result = data.get("result").filter(|raw| *raw != "null");
    if data.bool("success") == Some(true) {
        call.outcome = Outcome::Success;
        call.result = result.map(str::to_owned);
        call.result_state = if result.is_some() { PayloadState::Present } else { PayloadState::NotLogged };
    } else if data.bool("success") == Some(false) {
        let error = data.object("error");
        let message = error.str("message").unwrap_or_default();
        match error.str("code").unwrap_or_default().as_ref() {
            code @ ("rejected" | "denied") => {
                call.outcome = Outcome::Denied;
                // The text is the client's own: a refused call has no server's words in it.
                call.approval = match message.starts_with("The user rejected") {
                    true => Approval::UserDenied,
                    false if code == "rejected" => Approval::UserDenied,
                    false => Approval::Unknown,
                };
                call.error_message = host::excerpt(&message);
            }
            "timeout" => {
                call.outcome = Outcome::Timeout;
                call.error_type = Some(Text::const_new("timeout"));
                call.error_message = host::excerpt(&message);
            }
            _ => {
                host::failed(&mut call, &message);
                if let Some(result) = result {
                    call.result = Some(result.to_owned());
                    call.result_state = PayloadState::Present;
                }
            }
        }
    } else {
        call.result_state = PayloadState::NotLogged;
    }
    out.events.push(Event::Response { key: key(line, id), lane: Lane::default(), call, maybe_foreign: true });
}

/// The answer to a permission that was asked for.
fn permission(line: &Object<'_>, data: &Object<'_>, out: &mut Decoded) {
    let Some(id) = data.text("toolCallId") else { return };
    let Some(kind) = data.object("result").text("kind") else { return };
    let mut call = hosted(ID);
    match kind.as_str() {
        "denied-interactively-by-user" => call.approval = Approval::UserDenied,
        // `approved` alone can be a rule's or a program's answer.
        kind if kind.starts_with("approved-for-") => call.approval = Approval::UserAllowed,
        kind if kind.starts_with("denied") => call.approval = Approval::PolicyDenied,
        _ => {}
    }
    if matches!(call.approval, Approval::UserDenied | Approval::PolicyDenied) {
        call.outcome = Outcome::Denied;
    }
    call.more().approval_source = Some(kind);
    out.events.push(Event::Amend { key: key(line, id), call });
}

fn prompt(line: &Object<'_>, data: &Object<'_>, time: Option<Nanos>, out: &mut Decoded) {
    const NOT_TYPED: [&str; 6] = ["system", "skill", "command", "schedule", "autopilot", "agent"];
    let text = data.str("content").or_else(|| line.str("prompt")).unwrap_or_default();
    let source = data.str("source").unwrap_or_default();
    let text = text.trim();
    if text.is_empty() || NOT_TYPED.iter().any(|start| source.starts_with(start)) {
        return;
    }
    out.events.push(Event::Prompt(Box::new(Prompt {
        session_id: line.text("session_id"),
        time,
        text: text.to_owned(),
        native_id: line.text("id"),
        agent: Some(AGENT),
        client_name: Some(AGENT),
        source_format: Text::const_new(ID),
        ..Prompt::default()
    })));
    if let Some(session) = line.text("session_id") {
        let mut call = Call { session_source: SessionSource::Conversation, ..Call::default() };
        call.session_id = Some(session);
        call.more().cwd = line.text("cwd");
        announce(call, out);
    }
}
