//! What Gemini CLI prints with `--output-format stream-json`: calls in two halves, and names without the display names.

use super::{AGENT, ID, context, error, hosted, named_as, prompt, timestamp};
use crate::call::{Call, Outcome, PayloadState, SessionSource, Text, TimeSource};
use crate::source::format::shared::host;
use crate::source::json::Object;
use crate::source::{Decoded, Event, Lane, PairKey};

/// Whether the line is one of a stream by itself.
pub(super) fn is_line(line: &Object<'_>) -> bool {
    let has = |keys: &[&str]| keys.iter().all(|key| line.has(key));
    line.has("timestamp")
        && match line.str("type").unwrap_or_default().as_ref() {
            "init" => has(&["session_id", "model"]),
            "tool_use" => has(&["tool_name", "tool_id", "parameters"]),
            "tool_result" => has(&["tool_id", "status"]),
            "result" => has(&["status", "stats"]),
            _ => false,
        }
}

/// Whether the line is a message of a stream: nothing tells it from other programs'.
pub(super) fn is_message(line: &Object<'_>) -> bool {
    ["timestamp", "role", "content"].iter().all(|key| line.has(key))
        && line.str("type").is_some_and(|kind| kind == "message")
}

pub(super) fn decode(line: &Object<'_>, out: &mut Decoded) {
    let id = line.text("tool_id");
    match line.str("type").unwrap_or_default().as_ref() {
        "init" => {
            let mut call = Call {
                session_id: line.text("session_id"),
                session_source: SessionSource::Conversation,
                agent: Some(AGENT),
                client_name: Some(AGENT),
                ..Call::default()
            };
            call.more().gen_ai_request_model = line.text("model");
            out.events.push(context(ID, call));
        }
        "message" if line.str("role").is_some_and(|role| role == "user") => {
            prompt(line, None, timestamp(line), out);
        }
        "tool_use" => asked(line, id, out),
        "tool_result" => out.events.extend(id.map(|id| answered(line, id))),
        _ => {}
    }
}

/// Ids are made of the tool's name, the time and a random number.
fn key(id: Text) -> PairKey {
    PairKey::Global { session: Text::default(), id }
}

fn asked(line: &Object<'_>, id: Option<Text>, out: &mut Decoded) {
    let named = line.text("tool_name").and_then(|name| named_as(name, "", &line.object("parameters")));
    let Some(mut call) = named else {
        // One of the client's own tools: its result is none of ours.
        out.events.extend(id.map(|id| Event::Foreign { key: key(id) }));
        return;
    };
    let time = timestamp(line);
    call.tool_call_id.clone_from(&id);
    call.agent = Some(AGENT);
    call.client_name = Some(AGENT);
    call.outcome = Outcome::NoResponse;
    call.time = time;
    call.time_source = time.map_or(TimeSource::default(), |_| TimeSource::RequestLine);
    host::arguments(&mut call, line.get("parameters"));
    out.events.push(Event::Request { key: id.map(key), lane: Lane::default(), call });
}

fn answered(line: &Object<'_>, id: Text) -> Event {
    let mut call = hosted(ID);
    call.time_end = timestamp(line);
    call.more().duration_includes_approval = true;
    match line.str("status").unwrap_or_default().as_ref() {
        "success" => {
            call.outcome = Outcome::Success;
            call.result = line.get("output").filter(|raw| *raw != "null").map(str::to_owned);
            call.result_state = if call.result.is_some() { PayloadState::Present } else { PayloadState::NotLogged };
        }
        "error" => {
            let message = line.object("error").str("message").or_else(|| line.str("output")).unwrap_or_default();
            error(&mut call, &message);
        }
        _ => call.result_state = PayloadState::NotLogged,
    }
    Event::Response { key: key(id), lane: Lane::default(), call, maybe_foreign: true }
}
