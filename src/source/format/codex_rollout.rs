//! Codex: the rollouts under `~/.codex/sessions`, and what `codex exec --json` prints.
//!
//! A line is `{"timestamp", "type", "payload"}`. Of the events of an MCP call only its end is kept, which holds the call whole;
//! versions before 2026 kept none, and there the model's own items (`items`) tell of the call. Who the session and the client
//! are stands in `session_meta` and `turn_context` lines. Until autumn 2025 a line was the payload alone, without a time.

use super::LogFormat;
use super::shared::host::is_uuid;
use crate::call::{Approval, Call, DurationSource, IdType, Nanos, Observer, Outcome, PayloadState, Prompt};
use crate::call::{SessionSource, Side, Text, TimeSource};
use crate::source::json::{self, Object};
use crate::source::{Decoded, Event, Hints, Id, Lane, PairKey, Record, Reject, time};

mod items;

const ID: &str = "codex_rollout";
const AGENT: &str = "codex";

/// Types of a rollout's lines.
const ROLLOUT: &[&str] = &[
    "session_meta",
    "turn_context",
    "response_item",
    "event_msg",
    "compacted",
    "world_state",
    "inter_agent_communication",
    "inter_agent_communication_metadata",
];

/// Types of the lines of `codex exec --json`, and the member that comes with each.
const EXEC: &[(&str, &str)] = &[
    ("thread.started", "thread_id"),
    ("turn.started", "type"),
    ("turn.completed", "usage"),
    ("turn.failed", "error"),
    ("item.started", "item"),
    ("item.updated", "item"),
    ("item.completed", "item"),
];

/// Types of items that were lines of their own, which other programs write alike.
const BARE: [&str; 8] = [
    "message",
    "reasoning",
    "function_call",
    "function_call_output",
    "local_shell_call",
    "custom_tool_call",
    "custom_tool_call_output",
    "web_search_call",
];

/// Members of the first line of such a rollout.
const HEAD: [&str; 8] =
    ["id", "timestamp", "instructions", "git", "cwd", "originator", "cli_version", "model_provider"];

/// Codex rollouts and event streams.
pub struct CodexRollout;

impl LogFormat for CodexRollout {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "Codex rollouts (JSONL) and codex exec --json"
    }
    fn evidence(&self) -> &'static str {
        "source code of the Codex CLI and 155 real rollouts; exec --json and rollouts before 2026 from its source code only"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        let Some(line) = record.json else { return false };
        let Some(kind) = line.str("type") else { return is_bare_head(line) || is_state(line) };
        if line.has("payload") {
            return ROLLOUT.contains(&kind.as_ref());
        }
        let exec = EXEC.iter().find(|(name, _)| *name == kind);
        exec.is_some_and(|(_, member)| line.has(member)) && !line.has("jsonrpc") && !line.has("sessionId")
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(line) = record.json else { return Err(Reject::new("not a json object")) };
        let time = line.str("timestamp").and_then(|text| time::rfc3339(&text));
        let payload = line.object("payload");
        if is_bare_head(line) {
            session(line, record.hints, out);
            return Ok(());
        }
        match line.str("type").unwrap_or_default().as_ref() {
            kind if BARE.contains(&kind) => bare(line, kind, record.hints, out),
            "session_meta" => session(&payload, record.hints, out),
            "turn_context" => turn(&payload, out),
            "event_msg" => return event(&payload, time, record.hints, out),
            "response_item" => response_item(&payload, time, record.hints, out),
            "thread.started" => thread(line, out),
            "item.started" => begins(&line.object("item"), time, out)?,
            "item.completed" => return item(&line.object("item"), time, out),
            _ => {}
        }
        Ok(())
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|line| line.has("type") && line.has("payload"))
    }
    fn claims_in_own(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|line| {
            line.has("record_type") || line.str("type").is_some_and(|kind| BARE.contains(&kind.as_ref()))
        })
    }
}

/// The first line of a rollout until autumn 2025. Nothing but its members tells it from other programs' records.
fn is_bare_head(line: &Object<'_>) -> bool {
    line.members().iter().all(|(key, _)| HEAD.contains(&key.as_ref()))
        && ["instructions", "git", "originator"].iter().any(|key| line.has(key))
        && line.has("timestamp")
        && line.str("id").is_some_and(|id| is_uuid(&id))
}

/// A mark between its items.
fn is_state(line: &Object<'_>) -> bool {
    line.members().len() == 1 && line.str("record_type").is_some_and(|kind| kind == "state")
}

/// A model's item that is a line by itself. No event repeats what the user typed.
fn bare(item: &Object<'_>, kind: &str, hints: &Hints, out: &mut Decoded) {
    match kind {
        "function_call" => items::asked(item, None, hints, out),
        "function_call_output" => items::answered(item, None, hints, out),
        "local_shell_call" => items::foreign(item, hints, out),
        "message" if item.str("role").is_some_and(|role| role == "user") => inputs(item, None, out),
        _ => {}
    }
}

fn blank() -> Box<Call> {
    Box::new(Call { source_format: Text::const_new(ID), observer: Observer::HostTranscript, ..Call::default() })
}

fn context(call: Box<Call>, out: &mut Decoded) {
    out.events.push(Event::Context { lane: Lane::default(), whole_source: true, call });
}

/// Who works where. The line stands at the head of the file, and again after a resume. A fork begins with a copy of its parent's
/// history, the parent's line included: the file's name tells whose the file is.
fn session(payload: &Object<'_>, hints: &Hints, out: &mut Decoded) {
    let mut call = blank();
    call.session_id = thread_of(hints).or_else(|| payload.text("id")).or_else(|| payload.text("session_id"));
    call.session_source = SessionSource::Conversation;
    call.agent = Some(Text::const_new(AGENT));
    call.client_name = payload.text("originator");
    call.client_version = payload.text("cli_version");
    let version = call.client_version.clone();
    let subagent = payload.object("source").has("subagent");
    let more = call.more();
    more.cwd = payload.text("cwd");
    more.git_branch = payload.object("git").text("branch");
    more.agent_is_subagent = payload.has("source").then_some(subagent);
    more.gen_ai_agent_id = payload.text("id").filter(|_| subagent);
    more.source_format_version = version;
    context(call, out);
}

/// The thread in a name `rollout-2026-11-10T09-12-33-THREAD.jsonl`.
fn thread_of(hints: &Hints) -> Option<Text> {
    let stem = hints.file_name.strip_prefix("rollout-")?.split('.').next()?;
    stem.get(stem.len().checked_sub(36)?..).filter(|id| is_uuid(id)).map(Text::from)
}

/// What holds from this turn on.
fn turn(payload: &Object<'_>, out: &mut Decoded) {
    let mut call = blank();
    let more = call.more();
    more.gen_ai_request_model = payload.text("model");
    more.cwd = payload.text("cwd");
    more.approval_policy = payload.text("approval_policy").or_else(|| {
        let policy = payload.get("approval_policy").filter(|raw| raw.starts_with('{'));
        policy.map(Text::from)
    });
    more.approval_source = payload.text("approvals_reviewer");
    if more.approval_policy.as_deref() == Some("never") {
        // Nobody is asked under this policy: every call is let through.
        call.approval = Approval::AutoAllowed;
    }
    context(call, out);
}

/// The head of an `exec --json` stream.
fn thread(line: &Object<'_>, out: &mut Decoded) {
    // Ids start over, also where a thread is resumed.
    out.events.push(Event::Connection { lane: Lane::default(), opens: false, time: None });
    let mut call = blank();
    call.session_id = line.text("thread_id");
    call.session_source = SessionSource::Conversation;
    call.agent = Some(Text::const_new(AGENT));
    call.client_name = Some(Text::const_new("codex_exec"));
    context(call, out);
}

fn event(payload: &Object<'_>, time: Option<Nanos>, hints: &Hints, out: &mut Decoded) -> Result<(), Reject> {
    match payload.str("type").unwrap_or_default().as_ref() {
        "mcp_tool_call_end" => {
            let invocation = payload.object("invocation");
            let mut call = invoked(&invocation, payload.text("call_id"))?;
            let result = payload.object("result");
            match (result.get("Ok"), result.str("Err")) {
                (Some(ok), _) => returned(&mut call, ok),
                (None, Some(message)) => failed(&mut call, &message),
                (None, None) => call.result_state = PayloadState::NotLogged,
            }
            timed(&mut call, payload, time);
            call.more().extra_json = extra(payload);
            let corrected = items::corrected(&call, hints);
            out.events.push(Event::Call { lane: Lane::default(), call });
            out.events.extend(corrected);
        }
        "item_completed" => return item(&payload.object("item"), time, out),
        "user_message" if payload.str("kind").is_none_or(|kind| kind == "plain") => {
            prompt(&payload.str("message").unwrap_or_default(), payload.text("client_id"), time, out);
        }
        _ => {}
    }
    Ok(())
}

fn is_mcp(item: &Object<'_>) -> bool {
    let kind = item.str("type").or_else(|| item.str("item_type")).unwrap_or_default();
    matches!(kind.as_ref(), "mcp_tool_call" | "McpToolCall" | "mcpToolCall")
}

/// Ids of items are unique in one stream only.
fn key(id: Text) -> PairKey {
    PairKey::JsonRpc { lane: Lane::default(), side: Side::Client, id: Id { kind: IdType::String, text: id } }
}

/// A call that runs. If the run is ended before it is, no other line tells of it.
fn begins(item: &Object<'_>, time: Option<Nanos>, out: &mut Decoded) -> Result<(), Reject> {
    let Some(id) = item.text("id").filter(|_| is_mcp(item)) else { return Ok(()) };
    let mut call = invoked(item, Some(id.clone()))?;
    call.time = time;
    call.time_source = TimeSource::RequestLine;
    call.outcome = Outcome::NoResponse;
    call.result_state = PayloadState::None;
    call.more().extra_json = extra(item);
    out.events.push(Event::Begins { key: key(id), call });
    Ok(())
}

/// A finished item; only MCP calls among them matter. `codex exec --json` and newer rollouts spell the same fields.
fn item(item: &Object<'_>, time: Option<Nanos>, out: &mut Decoded) -> Result<(), Reject> {
    if !is_mcp(item) {
        return Ok(());
    }
    let mut call = invoked(item, item.text("id"))?;
    let error = item.object("error").str("message").or_else(|| item.str("error"));
    let result = item.get("result").filter(|raw| *raw != "null");
    match (error, result) {
        (Some(message), _) => failed(&mut call, &message),
        (None, Some(result)) => {
            returned(&mut call, result);
            if item.str("status").is_some_and(|status| status == "failed") {
                tool_error(&mut call);
            }
        }
        (None, None) => {
            call.result_state = PayloadState::NotLogged;
            if item.str("status").is_some_and(|status| status == "completed") {
                call.outcome = Outcome::Success;
            }
        }
    }
    timed(&mut call, item, time);
    call.more().extra_json = extra(item);
    out.events.push(match item.text("id") {
        Some(id) => Event::Ends { key: key(id), call },
        None => Event::Call { lane: Lane::default(), call },
    });
    Ok(())
}

/// The request side: who was asked what.
fn invoked(invocation: &Object<'_>, id: Option<Text>) -> Result<Box<Call>, Reject> {
    let tool = invocation.text("tool").ok_or_else(|| Reject::new("mcp call without a tool name"))?;
    let mut call = blank();
    call.method = Text::const_new("tools/call");
    call.tool_call_id = id;
    call.agent = Some(Text::const_new(AGENT));
    call.server = invocation.text("server");
    call.tool_raw = Some(tool.clone());
    call.tool = Some(tool);
    (call.arguments, call.arguments_state) = match invocation.get("arguments") {
        None => (None, PayloadState::NotLogged),
        Some("null") => (None, PayloadState::None),
        Some(raw) => (Some(embedded(raw)), PayloadState::Present),
    };
    Ok(call)
}

/// The JSON in a JSON string (older versions), else the text as it is.
fn embedded(raw: &str) -> String {
    let inner = json::string(raw).filter(|inner| Object::parse(inner).is_ok());
    inner.map_or_else(|| raw.to_string(), |inner| inner.into_owned())
}

/// The server answered, with a result or with an error of the tool.
fn returned(call: &mut Call, result: &str) {
    call.result = Some(result.to_string());
    call.result_state = PayloadState::Present;
    let answer = Object::trusted(result);
    call.is_error = answer.bool("isError").or_else(|| answer.bool("is_error"));
    call.outcome = Outcome::Success;
    if call.is_error == Some(true) {
        tool_error(call);
        let texts = answer.array("content").into_iter().filter_map(|block| Object::trusted(block).str("text"));
        call.error_message = Some(excerpt(&texts.collect::<Vec<_>>().join("\n")));
    }
}

fn tool_error(call: &mut Call) {
    call.outcome = Outcome::ToolError;
    call.is_error = Some(true);
    call.error_type = Some(Text::const_new("tool_error"));
}

/// No answer of the server: it could not be reached, took too long, or the call was not let through.
fn failed(call: &mut Call, message: &str) {
    call.error_message = Some(excerpt(message));
    if message.starts_with("user rejected MCP tool call") {
        call.outcome = Outcome::Denied;
        call.approval = Approval::UserDenied;
    } else if blocked(message) {
        call.outcome = Outcome::Denied;
        call.approval = Approval::PolicyDenied;
    } else if message.starts_with("user cancelled MCP tool call") {
        call.outcome = Outcome::Cancelled;
    } else if message.contains("timed out awaiting tools/call") {
        call.outcome = Outcome::Timeout;
        call.error_type = Some(Text::const_new("timeout"));
    } else if let Some(code) = error_code(message) {
        call.outcome = Outcome::ProtocolError;
        call.rpc_response_status_code = Some(code);
        call.error_type = Some(Text::from(code.to_string()));
    } else {
        call.outcome = Outcome::TransportError;
        call.error_type = Some(Text::const_new("transport_error"));
    }
}

/// Whether a hook or Codex's own reviewer did not let the call happen.
fn blocked(message: &str) -> bool {
    message.contains("blocked by PreToolUse hook") || message.contains("rejected due to unacceptable risk")
}

/// The code of a JSON-RPC error in what the SDK says of it: `tool call error: … Mcp error: -32602: unknown tool`.
fn error_code(message: &str) -> Option<i32> {
    let after = ["Mcp error: ", "MCP error: ", "MCP error "].iter().find_map(|mark| message.split_once(mark))?.1;
    after.split(':').next()?.trim().parse().ok()
}

fn excerpt(message: &str) -> String {
    message.chars().take(2000).collect()
}

/// The line is written when the call ends; its start follows from the measured duration.
fn timed(call: &mut Call, payload: &Object<'_>, end: Option<Nanos>) {
    call.time_end = end;
    call.duration_ns = duration(payload);
    call.duration_source = call.duration_ns.map(|_| DurationSource::Measured);
    (call.time, call.time_source) = match (end, call.duration_ns) {
        (Some(end), Some(duration)) => (end.checked_sub(duration), TimeSource::EndMinusDuration),
        (Some(end), None) => (Some(end), TimeSource::ResponseLine),
        (None, _) => (None, TimeSource::default()),
    };
}

fn duration(payload: &Object<'_>) -> Option<i64> {
    let duration = payload.object("duration");
    let nanos = match duration.int("secs") {
        Some(secs) => secs.checked_mul(1_000_000_000)?.checked_add(duration.int("nanos").unwrap_or(0)),
        None => payload.int("duration_ms")?.checked_mul(1_000_000),
    };
    nanos.filter(|nanos| *nanos >= 0)
}

/// What the record knows of the connector behind the server, as JSON.
fn extra(payload: &Object<'_>) -> Option<String> {
    const KEYS: [&str; 7] =
        ["connector_id", "link_id", "app_name", "action_name", "plugin_id", "mcp_app_resource_uri", "read_only_hint"];
    let known = KEYS.iter().filter_map(|key| {
        let raw = payload.get(key).filter(|raw| *raw != "null")?;
        Some(format!(r#""{key}":{raw}"#))
    });
    let known: Vec<String> = known.collect();
    (!known.is_empty()).then(|| format!("{{{}}}", known.join(",")))
}

/// Codex writes every message of the user as an event and as an item. Its own items always have a type, so an item
/// without one comes from an exporter that kept nothing else.
fn response_item(payload: &Object<'_>, time: Option<Nanos>, hints: &Hints, out: &mut Decoded) {
    match payload.str("type").unwrap_or_default().as_ref() {
        "function_call" => items::asked(payload, time, hints, out),
        "function_call_output" => items::answered(payload, time, hints, out),
        "local_shell_call" => items::foreign(payload, hints, out),
        _ => {}
    }
    if !payload.has("type") && payload.str("role").is_some_and(|role| role == "user") {
        inputs(payload, time, out);
    }
}

/// The texts of a user's message.
fn inputs(message: &Object<'_>, time: Option<Nanos>, out: &mut Decoded) {
    for block in message.array("content") {
        let block = Object::trusted(block);
        if block.str("type").is_some_and(|kind| kind == "input_text") {
            prompt(&block.str("text").unwrap_or_default(), None, time, out);
        }
    }
}

fn prompt(text: &str, native_id: Option<Text>, time: Option<Nanos>, out: &mut Decoded) {
    let text = text.trim();
    if text.is_empty() || by_client(text) {
        return;
    }
    out.events.push(Event::Prompt(Box::new(Prompt {
        time,
        text: text.to_string(),
        native_id,
        agent: Some(Text::const_new(AGENT)),
        source_format: Text::const_new(ID),
        ..Prompt::default()
    })));
}

/// Whether Codex wrote the text itself: instructions from a file, or one element around all of it.
fn by_client(text: &str) -> bool {
    if text.starts_with("# AGENTS.md instructions") {
        return true;
    }
    let Some((tag, _)) = text.strip_prefix('<').and_then(|rest| rest.split_once('>')) else { return false };
    let name = tag.split(' ').next().unwrap_or_default();
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_name && text.ends_with(&format!("</{name}>"))
}

#[cfg(test)]
mod tests;
