//! opencode and what came from it (Kilo CLI): files below `storage/message` and `storage/part` (until early 2026), rows of
//! `opencode.db` (since then) as `source::sqlite` gives them, `opencode export`, and `opencode run --format json`.
//!
//! A call is a part of a message, whole, with the last state that it had. Where a part is written again when its state changes, each
//! writing is a view of the same call. A tool's name is `SERVER_TOOL`; nothing else tells an MCP server's tool from a plugin's.

use super::shared::host::{self, hosted};
use super::{Decoded, LogFormat};
use crate::call::{Approval, Call, DurationSource, Outcome, PayloadState, Prompt, Text, TimeSource};
use crate::source::json::Object;
use crate::source::{Event, Lane, Record, Reject, time};

#[cfg(test)]
mod tests;

const ID: &str = "opencode_session";
const AGENT: Text = Text::const_new("opencode");
/// opencode's own tools with an underscore in their name.
const OWN: [&str; 6] = ["apply_patch", "plan_enter", "plan_exit", "lsp_diagnostics", "lsp_hover", "codebase_search"];

/// opencode's sessions.
pub struct OpencodeSession;

impl LogFormat for OpencodeSession {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "opencode sessions (storage files, rows of opencode.db, exports) and run --format json"
    }
    fn evidence(&self) -> &'static str {
        "source code of anomalyco/opencode (2025 to 2026); no production log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|line| {
            is_part(line) || is_message(line) || is_event(line) || is_row(line) || is_export(line) || is_session(line)
        })
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(line) = record.json else { return Err(Reject::new("not a json object")) };
        if is_row(line) {
            if line.has("omitted_bytes") {
                return Err(Reject::new("row longer than 64 MiB"));
            }
            part(&line.object("data"), line.text("session_id"), line.text("id"), &line.object("message"), out);
        } else if is_export(line) {
            for message in line.array("messages").into_iter().map(Object::trusted) {
                let info = message.object("info");
                for raw in message.array("parts") {
                    own_part(&Object::trusted(raw), &info, out);
                }
            }
        } else if is_part(line) {
            own_part(line, &Object::default(), out);
        } else if line.has("part") {
            own_part(&line.object("part"), &Object::default(), out);
        } else if line.has("properties") {
            own_part(&line.object("properties").object("part"), &Object::default(), out);
        }
        Ok(())
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|line| line.has("sessionID") || line.has("type"))
    }
}

/// A file below `storage/part`.
fn is_part(line: &Object<'_>) -> bool {
    ["id", "sessionID", "messageID"].iter().all(|key| line.has(key)) && line.str("type").is_some()
}

/// A file below `storage/message`. It holds no call.
fn is_message(line: &Object<'_>) -> bool {
    ["id", "sessionID", "role"].iter().all(|key| line.has(key)) && line.object("time").has("created")
}

/// A file below `storage/session`. It holds no call.
fn is_session(line: &Object<'_>) -> bool {
    ["id", "projectID", "directory"].iter().all(|key| line.has(key)) && line.object("time").has("created")
}

/// A printed line, or an event of the server.
fn is_event(line: &Object<'_>) -> bool {
    let Some(kind) = line.str("type") else { return false };
    if kind == "message.part.updated" {
        return is_part(&line.object("properties").object("part"));
    }
    line.has("timestamp")
        && line.has("sessionID")
        && match kind.as_ref() {
            "tool_use" | "step_start" | "step_finish" | "text" | "reasoning" => line.object("part").has("messageID"),
            "error" => line.has("error"),
            "done" => line.has("reason"),
            _ => false,
        }
}

fn is_row(line: &Object<'_>) -> bool {
    line.str("table").is_some_and(|table| table == "part")
        && ["session_id", "message_id", "data"].iter().all(|key| line.has(key))
}

fn is_export(line: &Object<'_>) -> bool {
    line.object("info").has("directory") && line.get("messages").is_some_and(|raw| raw.starts_with('['))
}

fn own_part(line: &Object<'_>, message: &Object<'_>, out: &mut Decoded) {
    part(line, line.text("sessionID"), line.text("id"), message, out);
}

/// One part of a message, of which all is known that stands beside it.
fn part(part: &Object<'_>, session: Option<Text>, id: Option<Text>, message: &Object<'_>, out: &mut Decoded) {
    match part.str("type").unwrap_or_default().as_ref() {
        "tool" => {
            let Some(mut call) = tool(part) else { return };
            host::in_session(&mut call, session);
            let more = call.more();
            more.gen_ai_request_model = message.text("modelID");
            more.cwd = message.object("path").text("cwd");
            out.events.push(Event::Call { lane: Lane::default(), call });
        }
        "text" if message.str("role").is_some_and(|role| role == "user") => prompt(part, session, id, message, out),
        _ => {}
    }
}

/// A call; `None` for opencode's own tools.
fn tool(part: &Object<'_>) -> Option<Box<Call>> {
    let name = part.text("tool").filter(|name| !OWN.contains(&name.as_str()))?;
    let state = part.object("state");
    // Its own tools say in a few words what they did.
    if state.str("title").is_some_and(|title| !title.is_empty()) {
        return None;
    }
    let mut call = hosted(ID);
    host::split_tool(&mut call, &name, "_");
    call.server.as_ref()?;
    call.tool_raw = Some(name);
    call.tool_call_id = part.text("callID");
    call.agent = Some(AGENT);
    call.client_name = Some(AGENT);
    let input = state.get("input");
    host::arguments(&mut call, input);
    timed(&mut call, &state.object("time"));
    match state.str("status").unwrap_or_default().as_ref() {
        "completed" => completed(&mut call, &state),
        "error" => failed(&mut call, &state.str("error").unwrap_or_default()),
        "pending" => {
            // The model is still writing.
            call.outcome = Outcome::NoResponse;
            if input == Some("{}") {
                (call.arguments, call.arguments_state) = (None, PayloadState::NotLogged);
            }
        }
        "running" => call.outcome = Outcome::NoResponse,
        _ => call.result_state = PayloadState::NotLogged,
    }
    Some(call)
}

/// Start and end in milliseconds. The user is asked in between.
fn timed(call: &mut Call, times: &Object<'_>) {
    let time = |key: &str| time::member(times, key).map(|(nanos, _)| nanos);
    (call.time, call.time_end) = (time("start"), time("end"));
    if call.time.is_some() {
        call.time_source = TimeSource::Record;
    }
    let duration = call.time.zip(call.time_end).and_then(|(start, end)| end.checked_sub(start));
    call.duration_ns = duration.filter(|nanos| *nanos >= 0);
    call.duration_source = call.duration_ns.map(|_| DurationSource::Measured);
    call.more().duration_includes_approval = true;
}

fn completed(call: &mut Call, state: &Object<'_>) {
    call.outcome = Outcome::Success;
    call.result = state.get("output").filter(|raw| *raw != "null").map(str::to_owned);
    call.result_state = match &call.result {
        None => PayloadState::NotLogged,
        // What is too long goes to a file, and its start stays.
        Some(_) if state.object("metadata").bool("truncated") == Some(true) => PayloadState::Truncated,
        Some(_) => PayloadState::Present,
    };
}

fn failed(call: &mut Call, error: &str) {
    const BY_RULE: [&str; 3] =
        ["Rule prevents tool usage", "Permission denied by ruleset", "The user has specified a rule which prevents"];
    if error.starts_with("The user rejected permission") {
        (call.outcome, call.approval) = (Outcome::Denied, Approval::UserDenied);
    } else if BY_RULE.iter().any(|start| error.starts_with(start)) {
        (call.outcome, call.approval) = (Outcome::Denied, Approval::PolicyDenied);
    } else if error.starts_with("Tool execution aborted") {
        call.outcome = Outcome::Cancelled;
    } else {
        return host::failed(call, error);
    }
    call.error_message = host::excerpt(error);
}

/// What the user typed; files that it names are texts of their own, which opencode marks as made by itself.
fn prompt(part: &Object<'_>, session: Option<Text>, id: Option<Text>, message: &Object<'_>, out: &mut Decoded) {
    let text = part.str("text").unwrap_or_default();
    let text = text.trim();
    if text.is_empty() || part.bool("synthetic") == Some(true) {
        return;
    }
    out.events.push(Event::Prompt(Box::new(Prompt {
        session_id: session,
        time: time::member(&message.object("time"), "created").map(|(nanos, _)| nanos),
        text: text.to_owned(),
        native_id: id,
        agent: Some(AGENT),
        client_name: Some(AGENT),
        source_format: Text::const_new(ID),
        ..Prompt::default()
    })));
}
