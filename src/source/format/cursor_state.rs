//! Rows of Cursor's `state.vscdb`, as `source::sqlite` gives them: `{"table":…,"key":…,"value":…}`.
//!
//! A message is a row `bubbleId:CONVERSATION:MESSAGE`; in older versions all messages stand in the row
//! `composerData:CONVERSATION`. A call is a message's `toolFormerData`, whole, with the last state that it had. Payloads are JSON
//! inside strings, an MCP call's twice. All other rows, secrets among them, are ignored.

use super::shared::host::{self, hosted};
use super::{Decoded, LogFormat, cursor_transcript};
use crate::call::{Approval, Call, Nanos, Outcome, PayloadState, Prompt, Text};
use crate::source::json::{self, Object};
use crate::source::{Event, Hints, Lane, Record, Reject, time};

#[cfg(test)]
mod tests;

const ID: &str = "cursor_state";
const AGENT: Text = Text::const_new("cursor");
/// Cursor's number for calls of MCP tools, in every version that other readers tell of.
const MCP_TOOL: i64 = 19;

/// Cursor's chat database.
pub struct CursorState;

impl LogFormat for CursorState {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "Cursor chat database (rows of state.vscdb)"
    }
    fn evidence(&self) -> &'static str {
        "notes and tests of other readers; no production log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|row| {
            row.has("key")
                && row.has("value")
                && row.str("table").is_some_and(|table| matches!(table.as_ref(), "cursorDiskKV" | "ItemTable"))
        })
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(row) = record.json else { return Err(Reject::new("not a json object")) };
        if row.has("omitted_bytes") {
            return Err(Reject::new("row longer than 64 MiB"));
        }
        let key = row.str("key").unwrap_or_default();
        let value = row.object("value");
        if let Some(rest) = key.strip_prefix("bubbleId:") {
            let (session, id) = rest.split_once(':').unwrap_or((rest, ""));
            bubble(&value, session, id, record.hints, out);
        } else if let Some(session) = key.strip_prefix("composerData:") {
            for raw in value.array("conversation") {
                let message = Object::trusted(raw);
                let id = message.text("bubbleId").unwrap_or_default();
                bubble(&message, session, &id, record.hints, out);
            }
        }
        Ok(())
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|row| row.has("table"))
    }
}

/// One message.
fn bubble(bubble: &Object<'_>, session: &str, id: &str, hints: &Hints, out: &mut Decoded) {
    let session = Some(Text::from(session)).filter(|session| !session.is_empty());
    let time = ["createdAt", "timestamp"].iter().find_map(|key| time::member(bubble, key)).map(|(nanos, _)| nanos);
    let time = time.or_else(|| timed(&bubble.object("timingInfo")));
    if bubble.int("type") == Some(1) {
        prompt(bubble, session, id, time, out);
        return;
    }
    let tool = bubble.object("toolFormerData");
    let Some(mut call) = named(&tool) else { return };
    host::in_session(&mut call, session);
    call.tool_call_id = tool.text("toolCallId");
    host::started_or_file(&mut call, time, hints);
    let more = call.more();
    more.gen_ai_request_model = bubble.object("modelInfo").text("modelName");
    more.cwd = bubble.text("workspaceProjectDir");
    ended(&mut call, &tool);
    out.events.push(Event::Call { lane: Lane::default(), call });
}

/// The time of a message in versions before the autumn of 2025, in milliseconds. Some of its members count from the start of
/// the window instead.
fn timed(timing: &Object<'_>) -> Option<Nanos> {
    const SINCE_2001: i64 = 1_000_000_000_000;
    let keys = ["clientStartTime", "clientRpcSendTime", "clientSettleTime", "clientEndTime"];
    keys.iter().find_map(|key| timing.int(key).filter(|ms| *ms > SINCE_2001)).map(time::epoch)
}

/// Names and arguments of a call; `None` for Cursor's own tools.
fn named(tool: &Object<'_>) -> Option<Box<Call>> {
    let name = tool.text("name");
    let mut call = hosted(ID);
    call.agent = Some(AGENT);
    call.client_name = Some(AGENT);
    // `{"tools":[{"name","parameters","serverName"}]}`, parameters being JSON in a string again.
    let params = inner(tool.get("params"));
    let params = Object::trusted(&params);
    let first = params.array("tools").first().map(|raw| Object::trusted(raw)).unwrap_or_default();
    if cursor_transcript::named(&mut call, name.clone(), &params) {
        return Some(call);
    }
    call.server = first.text("serverName");
    let is_mcp = name.as_deref().is_some_and(|name| cursor_transcript::prefixed(&mut call, name));
    if !is_mcp && tool.int("tool") != Some(MCP_TOOL) {
        return None;
    }
    if !is_mcp {
        call.tool_raw = name.or_else(|| first.text("name"));
        call.tool = first.text("name").or_else(|| call.tool_raw.clone());
    }
    let raw = tool.get("rawArgs").filter(|raw| *raw != "\"\"" && *raw != "null");
    host::arguments(&mut call, first.get("parameters").or(raw));
    Some(call)
}

/// The JSON inside a JSON string, or the JSON itself; empty if it is neither.
fn inner(raw: Option<&str>) -> String {
    let raw = raw.unwrap_or_default();
    let text = host::embedded(raw).unwrap_or_else(|| raw.to_owned());
    if serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok() { text } else { String::new() }
}

/// How the call ended, and what the user said to it.
fn ended(call: &mut Call, tool: &Object<'_>) {
    call.approval = match tool.str("userDecision").unwrap_or_default().as_ref() {
        "accepted" => Approval::UserAllowed,
        "rejected" => Approval::UserDenied,
        _ => Approval::Unknown,
    };
    match tool.str("status").unwrap_or_default().as_ref() {
        _ if call.approval == Approval::UserDenied => call.outcome = Outcome::Denied,
        "rejected" => {
            call.outcome = Outcome::Denied;
            call.approval = Approval::UserDenied;
        }
        "completed" => completed(call, tool.get("result")),
        "error" => {
            let error = inner(tool.get("error"));
            let error = Object::trusted(&error);
            let keys =
                ["modelVisibleErrorMessage", "clientVisibleErrorMessage", "actualErrorMessageShownToUser", "message"];
            let message = keys.iter().find_map(|key| error.str(key)).or_else(|| tool.str("error")).unwrap_or_default();
            host::failed(call, &message);
        }
        "cancelled" => call.outcome = Outcome::Cancelled,
        "loading" | "running" | "pending" => call.outcome = Outcome::NoResponse,
        _ => call.result_state = PayloadState::NotLogged,
    }
}

/// `{"selectedTool":…,"result":…}`, the result being JSON in a string again.
fn completed(call: &mut Call, raw: Option<&str>) {
    call.outcome = Outcome::Success;
    call.result_state = PayloadState::NotLogged;
    let Some(raw) = raw.filter(|raw| *raw != "null" && *raw != "\"\"") else { return };
    let outer = inner(Some(raw));
    let object = Object::trusted(&outer);
    match object.get("result").filter(|_| object.has("selectedTool") || object.members().len() == 1) {
        Some(result) => {
            let text = inner(Some(result));
            host::answered(call, if text.is_empty() { result.to_owned() } else { text });
        }
        None if outer.is_empty() => {
            // A text that was cut off, or no JSON at all.
            call.result = Some(raw.to_owned());
            call.result_state = PayloadState::Unparsable;
        }
        None => host::answered(call, outer.clone()),
    }
}

fn prompt(bubble: &Object<'_>, session: Option<Text>, id: &str, time: Option<Nanos>, out: &mut Decoded) {
    let text = ["text", "rawText", "content"].iter().find_map(|key| bubble.get(key).and_then(json::string));
    let text = text.unwrap_or_default();
    if text.trim().is_empty() {
        return;
    }
    out.events.push(Event::Prompt(Box::new(Prompt {
        session_id: session,
        time,
        text: text.trim().to_owned(),
        native_id: Some(Text::from(id)).filter(|id| !id.is_empty()),
        agent: Some(AGENT),
        client_name: Some(AGENT),
        source_format: Text::const_new(ID),
        ..Prompt::default()
    })));
}
