//! What hook scripts of Cursor store: the JSON object that Cursor hands to a hook, one a line, bare or as `[TIME] {…}`, which is
//! how the audit script of Cursor's documentation writes it.
//!
//! `afterMCPExecution` holds a whole call. `beforeMCPExecution` is the question whether a call may be made: it names no call by an
//! id, so it is a decision and not half a call. `postToolUseFailure` tells of calls that failed. The object has no time of its
//! own; scripts add one.

use super::shared::gateway;
use super::shared::host::{self, hosted};
use super::{Decoded, LogFormat, cursor_transcript};
use crate::call::{Call, DurationSource, EventKind, Flag, Nanos, Outcome, PayloadState, Prompt, Text, TimeSource};
use crate::source::json::Object;
use crate::source::{Event, Lane, Record, Reject, time};

#[cfg(test)]
mod tests;

const ID: &str = "cursor_hooks";
const AGENT: Text = Text::const_new("cursor");
/// Members that Cursor gives to every hook; other agents' hooks have other names for them.
const OWN: [&str; 3] = ["conversation_id", "generation_id", "cursor_version"];

/// Logs of Cursor's hooks.
pub struct CursorHooks;

impl LogFormat for CursorHooks {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "Cursor hook events, as stored by a hook script"
    }
    fn evidence(&self) -> &'static str {
        "documentation of Cursor's hooks and tests of other readers; no production log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        match record.json {
            Some(object) => is_hook(object),
            None => {
                let stamped = stamped(record.text);
                stamped.is_some_and(|(_, text)| {
                    text.contains("\"hook_event_name\"") && OWN.iter().any(|key| text.contains(key))
                })
            }
        }
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        if let Some(object) = record.json {
            let keys = ["timestamp", "ts", "time", "@timestamp", "logged_at"];
            hook(object, keys.iter().find_map(|key| time::member(object, key)), out);
            return Ok(());
        }
        let (stamp, text) = stamped(record.text).ok_or_else(|| Reject::new("no hook event"))?;
        let object = Object::parse(text).map_err(|_| Reject::new("hook event is not valid json"))?;
        // Read as a member, so that the stamp may be any time that a member may be.
        let stamp = format!("{{\"t\":{}}}", serde_json::Value::from(stamp));
        hook(&object, time::member(&Object::trusted(&stamp), "t"), out);
        Ok(())
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|object| object.has("hook_event_name"))
    }
}

/// Whether the object is one that Cursor hands to a hook.
pub(super) fn is_hook(object: &Object<'_>) -> bool {
    object.has("hook_event_name") && OWN.iter().any(|key| object.has(key))
}

/// Stamp and object of a line `[2026-11-10 09:12:33] {…}`.
fn stamped(line: &str) -> Option<(&str, &str)> {
    const LONGEST: usize = 40;
    let rest = line.strip_prefix('[').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))?;
    let end = memchr::memchr(b']', &rest.as_bytes()[..rest.len().min(LONGEST)])?;
    let text = rest[end + 1..].trim();
    text.starts_with('{').then_some((&rest[..end], text))
}

fn hook(event: &Object<'_>, time: Option<(Nanos, bool)>, out: &mut Decoded) {
    let name = event.str("hook_event_name").unwrap_or_default();
    let tool = event.str("tool_name").unwrap_or_default();
    match name.as_ref() {
        "afterMCPExecution" => {
            let mut call = named(event, time);
            result(&mut call, event);
            times(&mut call, event, time);
            out.events.push(Event::Call { lane: Lane::default(), call });
        }
        "beforeMCPExecution" => {
            let mut call = named(event, time);
            call.event_kind = EventKind::Decision;
            host::started(&mut call, time.map(|(nanos, _)| nanos));
            out.events.push(Event::Call { lane: Lane::default(), call });
        }
        // The general hooks see MCP calls too; only failures are not told by a hook of their own.
        "postToolUseFailure" if tool.starts_with("MCP:") => {
            let mut call = named(event, time);
            failure(&mut call, event);
            times(&mut call, event, time);
            out.events.push(Event::Call { lane: Lane::default(), call });
        }
        "beforeSubmitPrompt" => prompt(event, time, out),
        _ => {}
    }
}

/// Who was asked what, by whom.
fn named(event: &Object<'_>, time: Option<(Nanos, bool)>) -> Box<Call> {
    let mut call = hosted(ID);
    call.agent = Some(AGENT);
    call.client_name = Some(AGENT);
    call.client_version = event.text("cursor_version");
    host::in_session(&mut call, event.text("conversation_id"));
    call.user_id = event.text("user_email");
    call.tool_call_id = event.text("tool_use_id").or_else(|| event.text("tool_call_id"));
    call.server = event.text("mcp_server_name").or_else(|| event.text("server_name"));
    if let Some(name) = event.text("tool_name")
        && !cursor_transcript::prefixed(&mut call, &name)
    {
        call.tool = Some(name.clone());
        call.tool_raw = Some(name);
    }
    host::arguments(&mut call, event.get("tool_input"));
    if time.is_some_and(|(_, zone_assumed)| zone_assumed) {
        call.flag(Flag::ZoneAssumed);
        call.more().time_zone_assumed = true;
    }
    let url = event.text("mcp_server_url").or_else(|| event.text("url"));
    let command = event.str("command").filter(|command| !command.is_empty());
    call.transport = match (&url, &command) {
        (Some(_), _) => Some(Text::const_new("http")),
        (None, Some(_)) => Some(Text::const_new("stdio")),
        (None, None) => None,
    };
    let root = event.array("workspace_roots").first().and_then(|root| host::embedded(root));
    let more = call.more();
    more.server_url = url;
    more.server_command = command.map(|command| command.into_owned());
    more.gen_ai_request_model = event.text("model");
    more.user_email = event.text("user_email");
    more.cwd = event.text("cwd").or_else(|| root.map(Text::from));
    call
}

fn result(call: &mut Call, event: &Object<'_>) {
    let raw = ["result_json", "tool_output", "result"]
        .iter()
        .find_map(|key| event.get(key))
        .filter(|raw| !matches!(*raw, "null" | "\"\""));
    let Some(raw) = raw else {
        // The hook runs when the call has ended; how, only the result could say.
        call.result_state = PayloadState::NotLogged;
        return;
    };
    let inner = host::embedded(raw).filter(|inner| serde_json::from_str::<&serde_json::value::RawValue>(inner).is_ok());
    host::answered(call, inner.unwrap_or_else(|| raw.to_owned()));
}

fn failure(call: &mut Call, event: &Object<'_>) {
    let message = event.str("error_message").or_else(|| event.str("error")).unwrap_or_default();
    match event.str("failure_type").unwrap_or_default().as_ref() {
        "permission_denied" => {
            call.outcome = Outcome::Denied;
            call.error_message = host::excerpt(&message);
        }
        "timeout" => {
            call.outcome = Outcome::Timeout;
            call.error_type = Some(Text::const_new("timeout"));
            call.error_message = host::excerpt(&message);
        }
        _ if event.bool("is_interrupt") == Some(true) => {
            call.outcome = Outcome::Cancelled;
            call.error_message = host::excerpt(&message);
        }
        _ => host::failed(call, &message),
    }
}

/// The hook runs when the call has ended, and is told how long it took.
fn times(call: &mut Call, event: &Object<'_>, time: Option<(Nanos, bool)>) {
    let end = time.map(|(nanos, _)| nanos);
    host::ended(call, end);
    call.duration_ns = gateway::milliseconds(event, "duration");
    call.duration_source = call.duration_ns.map(|_| DurationSource::Measured);
    if let (Some(end), Some(duration)) = (end, call.duration_ns) {
        call.time = end.checked_sub(duration);
        call.time_source = TimeSource::EndMinusDuration;
    }
}

fn prompt(event: &Object<'_>, time: Option<(Nanos, bool)>, out: &mut Decoded) {
    let text = event.str("prompt").unwrap_or_default();
    if text.trim().is_empty() {
        return;
    }
    out.events.push(Event::Prompt(Box::new(Prompt {
        session_id: event.text("conversation_id"),
        time: time.map(|(nanos, _)| nanos),
        text: text.trim().to_owned(),
        native_id: event.text("generation_id"),
        agent: Some(AGENT),
        client_name: Some(AGENT),
        source_format: Text::const_new(ID),
        ..Prompt::default()
    })));
}
