//! Goose's sessions: `~/.local/share/goose/sessions/ID.jsonl` (until autumn 2025), rows of `sessions.db` (since then) as
//! `source::sqlite` gives them, and what `goose session export` writes.
//!
//! A message is a list of blocks. A call is a `toolRequest` of the assistant's message and the `toolResponse` of the next user's one
//! with the same id. All of Goose's tools come from extensions, which are MCP servers, its own ones too; only what it calls its
//! platform is none. Times are whole seconds.

use super::shared::host::{self, context, hosted};
use super::{Decoded, LogFormat};
use crate::call::{Approval, Call, Nanos, Outcome, PayloadState, Prompt, Text, TimeSource};
use crate::source::json::Object;
use crate::source::{Event, Hints, Lane, PairKey, Record, Reject, time};
use std::collections::HashSet;

#[cfg(test)]
mod tests;

const ID: &str = "goose_session";
const AGENT: Text = Text::const_new("goose");
/// Members of a message.
const MESSAGE: [&str; 5] = ["id", "role", "created", "content", "metadata"];
/// What Goose does itself under the name of an extension.
const PLATFORM: [&str; 3] = ["platform", "subagent", "dynamic_task"];
/// What Goose answers in place of a tool that the user did not let run.
const DECLINED: &str = "The user has declined to run this tool.";

/// Goose's sessions.
pub struct GooseSession;

impl LogFormat for GooseSession {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "Goose sessions (JSONL, rows of sessions.db, exports)"
    }
    fn evidence(&self) -> &'static str {
        "source code of block/goose (2025 to 2026) and tests of other readers; no production log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|line| is_message(line) || is_head(line) || is_row(line) || is_export(line))
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(line) = record.json else { return Err(Reject::new("not a json object")) };
        if is_row(line) {
            if line.has("omitted_bytes") {
                return Err(Reject::new("row longer than 64 MiB"));
            }
            let cwd = line.text("working_dir");
            let time = time::member(line, "created_timestamp").map(|(nanos, _)| nanos);
            message(line, &line.object("metadata_json"), "content_json", time, (line.text("session_id"), cwd), out);
        } else if is_export(line) {
            let session = line.text("id");
            head(line, session.clone(), out);
            for raw in line.array("conversation") {
                own_message(&Object::trusted(raw), session.clone(), out);
            }
            // Whose answers these are is known here, and they are no records of their own.
            let others: HashSet<PairKey> = out.events.iter().filter_map(foreign).cloned().collect();
            out.events.retain(|event| match event {
                Event::Foreign { key } | Event::Response { key, .. } => !others.contains(key),
                _ => true,
            });
        } else if is_head(line) {
            head(line, session_of_file(record.hints), out);
        } else {
            own_message(line, session_of_file(record.hints), out);
        }
        Ok(())
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        record.json.is_some()
    }
}

fn is_message(line: &Object<'_>) -> bool {
    ["role", "created", "content"].iter().all(|key| line.has(key))
        && line.members().iter().all(|(key, _)| MESSAGE.contains(&key.as_ref()))
        && line.get("content").is_some_and(|raw| raw.starts_with('['))
        && line.str("role").is_some_and(|role| matches!(role.as_ref(), "user" | "assistant"))
}

/// The first line of a file.
fn is_head(line: &Object<'_>) -> bool {
    line.has("description") && line.has("message_count") && line.has("total_tokens")
}

fn is_row(line: &Object<'_>) -> bool {
    line.str("table").is_some_and(|table| table == "messages")
        && ["session_id", "role", "created_timestamp", "content_json"].iter().all(|key| line.has(key))
}

fn is_export(line: &Object<'_>) -> bool {
    line.has("working_dir") && line.has("id") && line.get("conversation").is_some_and(|raw| raw.starts_with('['))
}

/// The session in a name as Goose makes it: `20250612_100305.jsonl`.
fn session_of_file(hints: &Hints) -> Option<Text> {
    let stem = hints.file_name.split('.').next().unwrap_or_default();
    let (day, number) = stem.split_once('_')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (day.len() == 8 && is_number(day) && is_number(number)).then(|| stem.into())
}

fn head(line: &Object<'_>, session: Option<Text>, out: &mut Decoded) {
    let mut call = Call { agent: Some(AGENT), client_name: Some(AGENT), ..Call::default() };
    host::in_session(&mut call, session);
    call.more().cwd = line.text("working_dir");
    out.events.push(context(ID, call));
}

fn foreign(event: &Event) -> Option<&PairKey> {
    if let Event::Foreign { key } = event { Some(key) } else { None }
}

fn own_message(line: &Object<'_>, session: Option<Text>, out: &mut Decoded) {
    let time = time::member(line, "created").map(|(nanos, _)| nanos);
    message(line, &line.object("metadata"), "content", time, (session, None), out);
}

/// The blocks of a message, and what the user typed in it. `place` is session and folder.
fn message(
    line: &Object<'_>,
    metadata: &Object<'_>,
    content: &str,
    time: Option<Nanos>,
    place: (Option<Text>, Option<Text>),
    out: &mut Decoded,
) {
    let (session, cwd) = place;
    let key = |id: Text| PairKey::Global { session: session.clone().unwrap_or_default(), id };
    let mut typed = Vec::new();
    for raw in line.array(content) {
        let block = Object::trusted(raw);
        let id = block.text("id");
        match block.str("type").unwrap_or_default().as_ref() {
            "text" => typed.extend(block.str("text")),
            "toolRequest" => {
                let Some(mut call) = named(&block) else {
                    out.events.extend(id.map(|id| Event::Foreign { key: key(id) }));
                    continue;
                };
                host::in_session(&mut call, session.clone());
                call.tool_call_id.clone_from(&id);
                call.outcome = Outcome::NoResponse;
                call.time = time;
                call.time_source = time.map_or(TimeSource::default(), |_| TimeSource::RequestLine);
                call.more().cwd.clone_from(&cwd);
                out.events.push(Event::Request { key: id.map(key), lane: Lane::default(), call });
            }
            "frontendToolRequest" => out.events.extend(id.map(|id| Event::Foreign { key: key(id) })),
            "toolResponse" => {
                let Some(id) = id else { continue };
                let mut call = hosted(ID);
                call.time_end = time;
                call.more().duration_includes_approval = true;
                ended(&mut call, &block.object("toolResult"));
                out.events.push(Event::Response { key: key(id), lane: Lane::default(), call, maybe_foreign: true });
            }
            _ => {}
        }
    }
    let typed = typed.join("\n");
    // Goose tells the model things under the user's name, which it does not show.
    let is_users = line.str("role").is_some_and(|role| role == "user") && metadata.bool("userVisible") != Some(false);
    if typed.trim().is_empty() || !is_users {
        return;
    }
    out.events.push(Event::Prompt(Box::new(Prompt {
        session_id: session.clone(),
        time,
        text: typed.trim().to_owned(),
        native_id: line.text("id"),
        agent: Some(AGENT),
        client_name: Some(AGENT),
        source_format: Text::const_new(ID),
        ..Prompt::default()
    })));
}

/// The call that the model asked for; `None` if it is no extension's tool, or if Goose could not read what the model wrote.
fn named(block: &Object<'_>) -> Option<Box<Call>> {
    let request = block.object("toolCall").object("value");
    let name = request.text("name")?;
    let mut call = hosted(ID);
    match block.object("_meta").text("goose_extension") {
        Some(extension) => {
            let bare = name.strip_prefix(extension.as_str()).and_then(|rest| rest.strip_prefix("__"));
            call.tool = Some(bare.map_or_else(|| name.clone(), Text::from));
            call.server = Some(extension);
        }
        None => host::split_tool(&mut call, &name, "__"),
    }
    let server = call.server.as_deref()?;
    if PLATFORM.contains(&server) {
        return None;
    }
    call.tool_raw = Some(name);
    call.agent = Some(AGENT);
    call.client_name = Some(AGENT);
    host::arguments(&mut call, request.get("arguments").or(Some("null")));
    Some(call)
}

/// `{"status":"success","value":…}` with the server's result, in older versions only its content; or an error's text.
fn ended(call: &mut Call, result: &Object<'_>) {
    match result.get("value").filter(|raw| *raw != "null") {
        Some(value) if value.starts_with('[') => host::answered(call, format!(r#"{{"content":{value}}}"#)),
        Some(value) => host::answered(call, value.to_owned()),
        None => match result.str("error") {
            Some(error) => failed(call, &error),
            None => call.result_state = PayloadState::NotLogged,
        },
    }
    if is_declined(call.result.as_deref().unwrap_or_default()) {
        (call.outcome, call.approval) = (Outcome::Denied, Approval::UserDenied);
        call.error_type = None;
    }
}

/// Whether the result is the one sentence that Goose itself gives.
fn is_declined(result: &str) -> bool {
    let content = Object::trusted(result).array("content");
    let [only] = content.as_slice() else { return false };
    Object::trusted(only).str("text").is_some_and(|text| text.starts_with(DECLINED))
}

/// `CODE: TEXT`. What was read and written again has the code of an internal error in front.
fn failed(call: &mut Call, error: &str) {
    let (mut code, mut rest) = (None, error);
    while let Some((number, text)) = rest.split_once(": ") {
        let Ok(number) = number.parse::<i32>() else { break };
        (code, rest) = (Some(number), text);
    }
    host::failed(call, rest);
    if let Some(code) = code.filter(|_| call.outcome == Outcome::ToolError) {
        call.outcome = Outcome::ProtocolError;
        call.rpc_response_status_code = Some(code);
        call.error_type = Some(code.to_string().into());
    }
}
