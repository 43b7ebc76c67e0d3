//! Cursor agent transcripts: `~/.cursor/projects/PROJECT/agent-transcripts/ID/ID.jsonl` (older: `ID.json`, one array).
//!
//! A line is one message of the user or the agent. A call of an MCP tool is a `tool_use` block named `CallMcpTool`, with server,
//! tool and arguments inside. There is nothing else: no result, no outcome, mostly no id, and no time but a tag in the user's text.

use super::shared::host::{self, hosted};
use super::{Decoded, LogFormat};
use crate::call::{Call, Flag, Nanos, PayloadState, Prompt, Text};
use crate::source::json::{self, Object};
use crate::source::{Event, Lane, Record, Reject, time};

#[cfg(test)]
mod tests;

const ID: &str = "cursor_transcript";
const AGENT: Text = Text::const_new("cursor");

/// Cursor's agent transcripts.
pub struct CursorTranscript;

impl LogFormat for CursorTranscript {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "Cursor agent transcripts (JSONL)"
    }
    fn evidence(&self) -> &'static str {
        "tests and notes of other readers; no production log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        const OLDER: [&str; 5] = ["role", "text", "thinking", "toolCalls", "toolResult"];
        record.json.is_some_and(|line| {
            if line.has("type") {
                return line.members().len() <= 3
                    && line.has("status")
                    && line.str("type").is_some_and(|t| t == "turn_ended");
            }
            if !line.str("role").is_some_and(|role| matches!(role.as_ref(), "user" | "assistant" | "system" | "tool")) {
                return false;
            }
            let message = line.get("message").is_some_and(|message| message.starts_with('{'));
            (message && !["uuid", "sessionId", "jsonrpc"].iter().any(|key| line.has(key)))
                || (line.members().len() > 1 && line.members().iter().all(|(key, _)| OLDER.contains(&key.as_ref())))
        })
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(line) = record.json else { return Err(Reject::new("not a json object")) };
        let session = host::session_of_file(record.hints);
        let content = line.object("message").get("content").unwrap_or_default();
        if line.str("role").is_some_and(|role| role == "user") {
            prompt(line, content, session, out);
            return Ok(());
        }
        for raw in json::elements(content) {
            let block = Object::trusted(raw);
            if block.str("type").is_some_and(|kind| kind == "tool_use") {
                call(&block, "name", "input", session.as_ref(), out);
            }
        }
        for raw in line.array("toolCalls") {
            call(&Object::trusted(raw), "toolName", "args", session.as_ref(), out);
        }
        Ok(())
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|line| line.has("role") || line.has("type"))
    }
}

/// A block that asks for a tool, if the tool is an MCP server's.
fn call(block: &Object<'_>, name_key: &str, input_key: &str, session: Option<&Text>, out: &mut Decoded) {
    let mut call = hosted(ID);
    if !named(&mut call, block.text(name_key), &block.object(input_key)) {
        return;
    }
    call.tool_call_id = block.text("id").or_else(|| block.text("toolCallId"));
    host::in_session(&mut call, session.cloned());
    // Neither whether it was answered nor how.
    call.result_state = PayloadState::NotLogged;
    out.events.push(Event::Call { lane: Lane::default(), call });
}

/// Names, method and arguments of a call; false for Cursor's own tools.
pub(super) fn named(call: &mut Call, name: Option<Text>, input: &Object<'_>) -> bool {
    let Some(name) = name else { return false };
    let server = || input.text("server").or_else(|| input.text("namespace")).or_else(|| input.text("serverName"));
    match name.as_str() {
        "CallMcpTool" | "call_mcp_tool" | "CallDynamicTool" => {
            call.server = server();
            call.tool = input.text("toolName").or_else(|| input.text("tool_name"));
            let arguments = ["arguments", "args", "toolArgs"].iter().find_map(|key| input.get(key));
            host::arguments(call, arguments);
            if arguments.is_none() && !input.is_empty() {
                // The model left them out, which is how it calls a tool without any.
                call.arguments_state = PayloadState::None;
            }
        }
        "FetchMcpResource" | "fetch_mcp_resource" => {
            call.method = Text::const_new("resources/read");
            call.server = server();
            call.more().mcp_resource_uri = input.text("uri");
        }
        "ListMcpResources" | "list_mcp_resources" => {
            call.method = Text::const_new("resources/list");
            call.server = server();
        }
        _ => return false,
    }
    call.tool_raw = call.tool.clone().or(Some(name));
    call.agent = Some(AGENT);
    call.client_name = Some(AGENT);
    true
}

fn prompt(line: &Object<'_>, content: &str, session: Option<Text>, out: &mut Decoded) {
    let text = match json::string(content) {
        Some(text) => text.into_owned(),
        None => {
            let blocks = json::elements(content).into_iter().map(Object::trusted);
            blocks.filter_map(|block| block.str("text")).collect::<Vec<_>>().join("\n")
        }
    };
    let text = if text.is_empty() { line.str("text").unwrap_or_default().into_owned() } else { text };
    let typed = inside(&text, "user_query").unwrap_or(&text).trim();
    if typed.is_empty() {
        return;
    }
    out.events.push(Event::Prompt(Box::new(Prompt {
        session_id: session,
        time: inside(&text, "timestamp").and_then(written_time),
        text: typed.to_owned(),
        native_id: line.text("id"),
        agent: Some(AGENT),
        client_name: Some(AGENT),
        source_format: Text::const_new(ID),
        ..Prompt::default()
    })));
}

/// The text of an element that Cursor puts around a part of the user's message.
fn inside<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{tag}>"))?;
    rest.split_once(&format!("</{tag}>")).map(|(inside, _)| inside)
}

/// RFC 3339, or `Friday, Jul 17, 2026, 1:08 AM (UTC-6)`.
fn written_time(text: &str) -> Option<Nanos> {
    if let Some(nanos) = time::rfc3339(text) {
        return Some(nanos);
    }
    let (local, zone) = text.trim().rsplit_once(" (UTC")?;
    let zone = zone.strip_suffix(')')?;
    let naive = chrono::NaiveDateTime::parse_from_str(local, "%A, %b %d, %Y, %I:%M %p").ok()?;
    let (hours, minutes) = zone.split_once(':').unwrap_or((zone, "0"));
    let hours: i64 = if hours.is_empty() { 0 } else { hours.parse().ok()? };
    let minutes: i64 = minutes.parse().ok()?;
    let offset =
        hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)? * if zone.starts_with('-') { -1 } else { 1 })?;
    (offset.abs() <= 86_400).then_some(())?;
    naive.and_utc().timestamp_nanos_opt()?.checked_sub(offset * 1_000_000_000)
}

/// A call's names from a tool's name as the older client and the hooks write it: `mcp_SERVER_TOOL`, `mcp-SERVER-TOOL`,
/// `MCP:SERVER:TOOL`, `MCP:TOOL`. A server that is known otherwise tells where to cut.
pub(super) fn prefixed(call: &mut Call, name: &str) -> bool {
    let forms = [("mcp__", "__"), ("mcp_", "_"), ("mcp-", "-"), ("MCP:", ":")];
    let Some((rest, separator)) = forms.iter().find_map(|(start, cut)| Some((name.strip_prefix(start)?, *cut))) else {
        return false;
    };
    let known = call
        .server
        .clone()
        .and_then(|server| Some(rest.strip_prefix(server.as_str())?.strip_prefix(separator)?.to_owned()));
    match known {
        Some(tool) => {
            call.tool = Some(tool.into());
            call.flag(Flag::NameSplit);
        }
        None if call.server.is_some() => call.tool = Some(rest.into()),
        None => host::split_tool(call, rest, separator),
    }
    call.tool_raw = Some(name.into());
    true
}
