//! What hook scripts of Claude Code store: the JSON object that Claude Code hands to a hook, one a line. Codex hands out the same.
//!
//! `PreToolUse` asks whether a tool may run, `PostToolUse` and `PostToolUseFailure` tell of the end and hold the call whole. The ids
//! are those of the session's transcript, so that both are views of one call; without an id the question is a decision of its own. The
//! object has no time of its own; scripts add one.

use super::shared::gateway;
use super::shared::host::{self, hosted};
use super::{Decoded, LogFormat, cursor_hooks};
use crate::call::{Approval, Call, DurationSource, EventKind, Flag, IdType, Nanos, Outcome, PayloadState, Prompt};
use crate::call::{Side, Text, TimeSource};
use crate::source::json::Object;
use crate::source::{Event, Hints, Id, Lane, PairKey, Record, Reject, time};

#[cfg(test)]
mod tests;

const ID: &str = "claude_code_hooks";
/// Events that other agents' hooks do not have, or that say nothing of tools.
const EVENTS: [&str; 13] = [
    "PreToolUse",
    "PostToolUse",
    "PostToolUseFailure",
    "PermissionRequest",
    "PermissionDenied",
    "UserPromptSubmit",
    "Notification",
    "Stop",
    "SubagentStart",
    "SubagentStop",
    "PreCompact",
    "SessionStart",
    "SessionEnd",
];
/// How scripts call the time that they add.
const TIMES: [&str; 6] = ["timestamp", "ts", "time", "@timestamp", "logged_at", "datetime"];

/// Logs of Claude Code's hooks.
pub struct ClaudeCodeHooks;

impl LogFormat for ClaudeCodeHooks {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "Claude Code hook events, as stored by a hook script"
    }
    fn evidence(&self) -> &'static str {
        "documentation of Claude Code's hooks; no production log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|object| {
            object.str("hook_event_name").is_some_and(|name| EVENTS.contains(&name.as_ref()))
                && object.has("session_id")
                && object.has("transcript_path")
                && !["type", "jsonrpc"].iter().any(|key| object.has(key))
                && !cursor_hooks::is_hook(object)
        })
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(event) = record.json else { return Err(Reject::new("not a json object")) };
        let time = TIMES.iter().find_map(|key| time::member(event, key));
        match event.str("hook_event_name").unwrap_or_default().as_ref() {
            "PreToolUse" => asked(event, time, record.hints, out),
            "PostToolUse" => ended(event, time, record.hints, out, result),
            "PostToolUseFailure" => ended(event, time, record.hints, out, failure),
            "PermissionDenied" => ended(event, time, record.hints, out, denied),
            "UserPromptSubmit" => prompt(event, time, out),
            _ => {}
        }
        Ok(())
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|object| object.has("hook_event_name"))
    }
}

/// Ids are unique in a session. The transcript's halves have the same ones, and must not take these for theirs.
fn key(call: &Call) -> Option<PairKey> {
    let lane = call.session_id.clone().unwrap_or_default();
    let id = Id { kind: IdType::String, text: call.tool_call_id.clone()? };
    Some(PairKey::JsonRpc { lane, side: Side::Client, id })
}

/// Whose hook it is.
fn agent(event: &Object<'_>) -> Text {
    let path = event.str("transcript_path").unwrap_or_default();
    let is_codex = path.contains("/.codex/") || path.contains("\\.codex\\");
    Text::const_new(if is_codex { "codex" } else { "claude-code" })
}

/// Who was asked what, by whom; `None` for the agent's own tools.
fn named(event: &Object<'_>, time: Option<(Nanos, bool)>) -> Option<Box<Call>> {
    let name = event.text("tool_name")?;
    let input = event.object("tool_input");
    let mut call = hosted(ID);
    match name.as_str() {
        "ListMcpResourcesTool" => call.method = Text::const_new("resources/list"),
        "ReadMcpResourceTool" => call.method = Text::const_new("resources/read"),
        _ => host::split_tool(&mut call, name.strip_prefix("mcp__")?, "__"),
    }
    if call.method != "tools/call" {
        call.server = input.text("server");
        call.more().mcp_resource_uri = input.text("uri");
    }
    call.tool_raw = Some(name);
    call.tool_call_id = event.text("tool_use_id");
    host::in_session(&mut call, event.text("session_id"));
    host::arguments(&mut call, event.get("tool_input"));
    let agent_id = event.text("agent_id");
    call.agent = agent_id.clone().or_else(|| Some(agent(event)));
    call.client_name = Some(agent(event));
    if time.is_some_and(|(_, zone_assumed)| zone_assumed) {
        call.flag(Flag::ZoneAssumed);
        call.more().time_zone_assumed = true;
    }
    let more = call.more();
    more.agent_is_subagent = agent_id.is_some().then_some(true);
    more.gen_ai_agent_id = agent_id;
    more.gen_ai_request_model = event.text("model");
    more.cwd = event.text("cwd");
    more.approval_policy = event.text("permission_mode");
    Some(call)
}

/// May the tool run? The answer is the script's, and not in the object.
fn asked(event: &Object<'_>, time: Option<(Nanos, bool)>, hints: &Hints, out: &mut Decoded) {
    let Some(mut call) = named(event, time) else { return };
    host::started_or_file(&mut call, time.map(|(nanos, _)| nanos), hints);
    out.events.push(match key(&call) {
        Some(key) => {
            call.outcome = Outcome::NoResponse;
            Event::Begins { key, call }
        }
        None => {
            call.event_kind = EventKind::Decision;
            Event::Call { lane: Lane::default(), call }
        }
    });
}

/// The call has ended, or will not be made.
fn ended(
    event: &Object<'_>,
    time: Option<(Nanos, bool)>,
    hints: &Hints,
    out: &mut Decoded,
    how: fn(&mut Call, &Object<'_>),
) {
    let Some(mut call) = named(event, time) else { return };
    let end = time.map(|(nanos, _)| nanos);
    host::ended(&mut call, end);
    call.duration_ns = gateway::milliseconds(event, "duration_ms");
    call.duration_source = call.duration_ns.map(|_| DurationSource::Measured);
    if let (Some(end), Some(duration)) = (end, call.duration_ns) {
        call.time = end.checked_sub(duration);
        call.time_source = TimeSource::EndMinusDuration;
    } else if end.is_none() {
        host::started_or_file(&mut call, None, hints);
    }
    how(&mut call, event);
    out.events.push(match key(&call) {
        Some(key) => Event::Ends { key, call },
        None => Event::Call { lane: Lane::default(), call },
    });
}

fn result(call: &mut Call, event: &Object<'_>) {
    let raw = ["tool_response", "tool_output"].iter().find_map(|key| event.get(key)).filter(|raw| *raw != "null");
    match raw {
        Some(raw) => host::answered(call, host::container(raw).unwrap_or_else(|| raw.to_owned())),
        None => {
            call.outcome = Outcome::Success;
            call.result_state = PayloadState::NotLogged;
        }
    }
}

fn failure(call: &mut Call, event: &Object<'_>) {
    let message = event.str("error").unwrap_or_default();
    host::failed(call, &message);
    if event.bool("is_interrupt") == Some(true) {
        (call.outcome, call.error_type) = (Outcome::Cancelled, None);
    }
}

/// The classifier of auto mode refused.
fn denied(call: &mut Call, event: &Object<'_>) {
    (call.outcome, call.approval) = (Outcome::Denied, Approval::PolicyDenied);
    call.error_message = host::excerpt(&event.str("reason").unwrap_or_default());
}

fn prompt(event: &Object<'_>, time: Option<(Nanos, bool)>, out: &mut Decoded) {
    let text = event.str("prompt").unwrap_or_default();
    if text.trim().is_empty() {
        return;
    }
    out.events.push(Event::Prompt(Box::new(Prompt {
        session_id: event.text("session_id"),
        time: time.map(|(nanos, _)| nanos),
        text: text.trim().to_owned(),
        agent: Some(agent(event)),
        client_name: Some(agent(event)),
        source_format: Text::const_new(ID),
        ..Prompt::default()
    })));
}
