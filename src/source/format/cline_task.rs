//! Tasks of Cline and of what came from it, Roo Code and Kilo Code: `tasks/TASK/ui_messages.json`, one array.
//!
//! An element is something that the extension said or asked, with its time. A call is what was asked (or said, where the tool needs
//! no approval), and the answer said next: there are no ids, and calls of one task follow each other. What was told to the
//! model stands in `api_conversation_history.json` beside it, the same calls without times and approvals among it, and is no second view:
//! nothing in it says which call is which.

use super::shared::host::{self, hosted};
use super::{Decoded, LogFormat};
use crate::call::{Approval, Call, IdType, Nanos, Outcome, PayloadState, Prompt, Side, Text, TimeSource};
use crate::source::json::Object;
use crate::source::{Event, Id, Lane, PairKey, Record, Reject, time};

#[cfg(test)]
mod tests;

const ID: &str = "cline_task";
const CONVERSATION: &str = "api_conversation_history.json";
/// How the text of an error starts that ended a call.
const FAILED: [&str; 2] = ["Error executing MCP tool:", "Error accessing MCP resource:"];
/// What stands in front of the text of a result that the tool called an error.
const IS_ERROR: &str = "Error:\n";

/// Cline's and Roo Code's tasks.
pub struct ClineTask;

impl LogFormat for ClineTask {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "Tasks of Cline, Roo Code and Kilo Code (ui_messages.json)"
    }
    fn evidence(&self) -> &'static str {
        "source code of cline/cline and RooCodeInc/Roo-Code; no production log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|line| {
            if record.hints.file_name == CONVERSATION {
                return line.has("role") && line.has("content");
            }
            line.get("ts").is_some_and(|raw| raw.bytes().all(|byte| byte.is_ascii_digit()))
                && line
                    .str("type")
                    .is_some_and(|kind| matches!(kind.as_ref(), "ask" | "say") && line.str(kind.as_ref()).is_some())
        })
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(line) = record.json else { return Err(Reject::new("not a json object")) };
        // Written while the model was still at it, and left so when it was stopped: nothing was asked for.
        if record.hints.file_name == CONVERSATION || line.bool("partial") == Some(true) {
            return Ok(());
        }
        let time = time::member(line, "ts").map(|(nanos, _)| nanos);
        let text = line.str("text").unwrap_or_default();
        let (asks, says) = (line.str("ask"), line.str("say"));
        match (asks.as_deref(), says.as_deref()) {
            (Some("use_mcp_server"), _) => return asked(&text, time, Approval::Unknown, out),
            (_, Some("use_mcp_server")) => return asked(&text, time, Approval::AutoAllowed, out),
            (_, Some("mcp_server_response")) => answered(&text, time, out),
            (_, Some("error")) if FAILED.iter().any(|start| text.starts_with(start)) => failed(&text, time, out),
            (_, Some("task" | "user_feedback")) => prompt(&text, time, out),
            _ => {}
        }
        Ok(())
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|line| line.has("ts") || line.has("role"))
    }
}

/// One call at a time: all have the same key.
fn key() -> PairKey {
    PairKey::JsonRpc { lane: lane(), side: Side::Client, id: Id { kind: IdType::String, text: Text::const_new("mcp") } }
}

fn lane() -> Lane {
    Lane::const_new("mcp")
}

/// `{"type","serverName","toolName","arguments","uri"}` in the text, arguments being JSON in a string again.
fn asked(text: &str, time: Option<Nanos>, approval: Approval, out: &mut Decoded) -> Result<(), Reject> {
    let request = Object::parse(text).map_err(|_| Reject::new("mcp request inside a string is not valid JSON"))?;
    let mut call = hosted(ID);
    call.server = request.text("serverName");
    match request.str("type").unwrap_or_default().as_ref() {
        "access_mcp_resource" => {
            call.method = Text::const_new("resources/read");
            call.more().mcp_resource_uri = request.text("uri");
        }
        _ => {
            call.tool = request.text("toolName");
            call.tool_raw.clone_from(&call.tool);
            // Left out where the tool takes none.
            host::arguments(&mut call, request.get("arguments").or(Some("null")));
        }
    }
    call.approval = approval;
    call.outcome = Outcome::NoResponse;
    call.time = time;
    call.time_source = time.map_or(TimeSource::default(), |_| TimeSource::RequestLine);
    // A call before it that has no answer was refused or given up: it gets none, and must not take that of this one.
    out.events.push(Event::Cancel { key: key(), time: None, outcome: Outcome::Cancelled });
    out.events.push(Event::Connection { lane: lane(), opens: false, time });
    out.events.push(Event::Request { key: Some(key()), lane: lane(), call });
    Ok(())
}

fn answered(text: &str, time: Option<Nanos>, out: &mut Decoded) {
    let mut call = hosted(ID);
    match text.strip_prefix(IS_ERROR) {
        Some(message) => {
            call.is_error = Some(true);
            host::tool_error(&mut call, message);
        }
        None => call.outcome = Outcome::Success,
    }
    call.result = Some(serde_json::Value::from(text).to_string());
    call.result_state = PayloadState::Present;
    ended(call, time, out);
}

fn failed(text: &str, time: Option<Nanos>, out: &mut Decoded) {
    let mut call = hosted(ID);
    let (_, message) = text.split_once(':').unwrap_or_default();
    host::failed(&mut call, message.trim());
    ended(call, time, out);
}

fn ended(mut call: Box<Call>, time: Option<Nanos>, out: &mut Decoded) {
    call.time_end = time;
    // The time of a question is that at which it was asked.
    call.more().duration_includes_approval = true;
    out.events.push(Event::Response { key: key(), lane: lane(), call, maybe_foreign: false });
}

fn prompt(text: &str, time: Option<Nanos>, out: &mut Decoded) {
    let text = text.trim();
    if text.is_empty() {
        return;
    }
    out.events.push(Event::Prompt(Box::new(Prompt {
        time,
        text: text.to_owned(),
        source_format: Text::const_new(ID),
        ..Prompt::default()
    })));
}
