//! VS Code's chat sessions: `…/workspaceStorage/HASH/chatSessions/SESSION.json` (one document, older) and `.jsonl` (newer).
//!
//! The newer form is a log of changes to that document: a first state, then values set and items appended at a path, an array being
//! cut first if the line says where. Every part of an answer is written whole, so each line that holds a call is a view of it, and
//! the views of one `toolCallId` merge. What such a line does not have, the request's time and model, is found by replaying the
//! requests: pairing keeps their list ([`Event::Turns`]). The model's own record of its calls comes last, with a time of each. A
//! call that the user took back from the conversation was still made.

use super::shared::host::{self, context, hosted};
use super::{Decoded, LogFormat};
use crate::call::{Approval, Call, Flag, Nanos, Outcome, PayloadState, Prompt, Text};
use crate::source::json::{self, Object};
use crate::source::{Event, Hints, Lane, Record, Reject, Turn, time};
use std::collections::HashMap;

#[cfg(test)]
mod tests;

const ID: &str = "vscode_chat_session";
const AGENT: Text = Text::const_new("vscode-chat");

/// VS Code's chat sessions.
pub struct VscodeChatSession;

impl LogFormat for VscodeChatSession {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "VS Code chat sessions with Copilot (JSON, and JSONL change logs)"
    }
    fn evidence(&self) -> &'static str {
        "source code of microsoft/vscode and tests of other readers; no production log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|line| match line.get("kind") {
            Some("0") => line.get("v").is_some_and(|state| Object::trusted(state).has("requests")),
            Some("1" | "2" | "3") => {
                line.get("k").is_some_and(|path| path.starts_with('['))
                    && line.members().iter().all(|(key, _)| ["kind", "k", "v", "i"].contains(&key.as_ref()))
            }
            _ => is_document(line),
        })
    }
    fn claims_in_own(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|line| {
            matches!(line.get("kind"), Some("1" | "2" | "3")) && line.get("k").is_some_and(|path| path.starts_with('['))
        })
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(line) = record.json else { return Err(Reject::new("not a json object")) };
        match line.get("kind") {
            Some("0") => {
                let state = line.object("v");
                document(&state, record.hints, out);
                turns(0, &state.array("requests"), out);
            }
            Some("1" | "2") => change(line, record.hints, out),
            Some("3") if line.array("k") == ["\"requests\""] => turns(0, &[], out),
            Some("3") => {}
            _ => document(line, record.hints, out),
        }
        Ok(())
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|line| line.has("kind"))
    }
}

fn is_document(line: &Object<'_>) -> bool {
    const OTHERS: [&str; 4] = ["responderUsername", "requesterUsername", "initialLocation", "creationDate"];
    line.get("requests").is_some_and(|requests| requests.starts_with('[')) && OTHERS.iter().any(|key| line.has(key))
}

/// The whole session.
fn document(session: &Object<'_>, hints: &Hints, out: &mut Decoded) {
    let id = session.text("sessionId").or_else(|| host::session_of_file(hints));
    if id.is_some() {
        let mut call = Call { agent: Some(AGENT), client_name: Some(AGENT), ..Call::default() };
        host::in_session(&mut call, id.clone());
        out.events.push(context(ID, call));
    }
    for raw in session.array("requests") {
        request(&Object::trusted(raw), id.as_ref(), hints, out);
    }
}

/// The user's requests from this place on.
fn turns(from: usize, requests: &[&str], out: &mut Decoded) {
    let turns = requests.iter().map(|raw| turn(&Object::trusted(raw))).collect();
    out.events.push(Event::Turns { from, turns });
}

fn turn(request: &Object<'_>) -> Turn {
    Turn { time: time::member(request, "timestamp").map(|(nanos, _)| nanos), model: request.text("modelId") }
}

/// One line of a change log: what it sets or appends, and where.
fn change(line: &Object<'_>, hints: &Hints, out: &mut Decoded) {
    let path = line.array("k");
    let value = line.get("v").unwrap_or_default();
    let appends = line.get("kind") == Some("2");
    let session = host::session_of_file(hints);
    let names: Vec<_> = path.iter().map(|step| json::string(step)).collect();
    let steps: Vec<Option<&str>> = names.iter().map(|name| name.as_deref()).collect();
    // A step without a name is the place in an array.
    let at = path.get(1).and_then(|step| step.parse::<u32>().ok());
    match (steps.as_slice(), at) {
        ([Some("requests")], _) => {
            let requests = json::elements(value);
            let cut = line.int("i").and_then(|i| usize::try_from(i).ok());
            turns(if appends { cut.unwrap_or(usize::MAX) } else { 0 }, &requests, out);
            for raw in requests {
                request(&Object::trusted(raw), session.as_ref(), hints, out);
            }
        }
        ([Some("requests"), None], Some(at)) => {
            let whole = Object::trusted(value);
            out.events.push(Event::Turn { at: at as usize, turn: turn(&whole) });
            request(&whole, session.as_ref(), hints, out);
        }
        ([Some("requests"), None, Some("response")], Some(at)) => {
            for raw in json::elements(value) {
                part(&Object::trusted(raw), &Asked::at(at, session.as_ref(), hints), out);
            }
        }
        ([Some("requests"), None, Some("response"), None], Some(at)) => {
            part(&Object::trusted(value), &Asked::at(at, session.as_ref(), hints), out);
        }
        ([Some("requests"), None, Some(key @ ("timestamp" | "modelId"))], Some(at)) => {
            let one = format!("{{\"{key}\":{value}}}");
            out.events.push(Event::Turn { at: at as usize, turn: turn(&Object::trusted(&one)) });
        }
        ([Some("requests"), None, Some("result")], Some(at)) => {
            told_by_model(&Object::trusted(value), at, session.as_ref(), out);
        }
        _ => {}
    }
}

/// The model's own record of its calls, written when the answer was complete: arguments, and when it asked. It holds calls of all
/// tools under the names that the model knows; who was asked stands in the part of the answer, another view of the call.
fn told_by_model(result: &Object<'_>, at: u32, session: Option<&Text>, out: &mut Decoded) {
    let metadata = result.object("metadata");
    for round in metadata.array("toolCallRounds").into_iter().map(Object::trusted) {
        let time = time::member(&round, "timestamp").map(|(nanos, _)| nanos);
        for asked in round.array("toolCalls").into_iter().map(Object::trusted) {
            let (Some(id), Some(name)) = (asked.text("id"), asked.text("name").filter(|n| n.starts_with("mcp_")))
            else {
                continue;
            };
            let mut call = hosted(ID);
            host::in_session(&mut call, session.cloned());
            host::started(&mut call, time);
            host::arguments(&mut call, asked.get("arguments"));
            call.tool_call_id = Some(id);
            call.tool_raw = Some(name);
            (call.agent, call.client_name) = (Some(AGENT), Some(AGENT));
            call.result_state = PayloadState::NotLogged;
            call.more().turn = Some(at);
            out.events.push(Event::Call { lane: Lane::default(), call });
        }
    }
}

/// What is known of the request that a part answers.
struct Asked<'a> {
    session: Option<&'a Text>,
    time: Option<Nanos>,
    hints: &'a Hints,
    model: Option<Text>,
    /// Its place among the requests, where the line says no more of it.
    turn: Option<u32>,
    /// The model's own record of its calls, by id: arguments and time.
    rounds: HashMap<String, (Option<&'a str>, Option<Nanos>)>,
}

impl<'a> Asked<'a> {
    /// A line of a change log names the request by its place only.
    fn at(turn: u32, session: Option<&'a Text>, hints: &'a Hints) -> Self {
        Self { session, time: None, hints, model: None, turn: Some(turn), rounds: HashMap::new() }
    }
}

fn request(request: &Object<'_>, session: Option<&Text>, hints: &Hints, out: &mut Decoded) {
    let time = time::member(request, "timestamp").map(|(nanos, _)| nanos);
    if request.bool("isSystemInitiated") != Some(true) {
        prompt(request, session, time, out);
    }
    let rounds = rounds(&request.object("result").object("metadata"));
    let asked = Asked { session, time, hints, model: request.text("modelId"), turn: None, rounds };
    for raw in request.array("response") {
        part(&Object::trusted(raw), &asked, out);
    }
}

fn rounds<'a>(metadata: &Object<'a>) -> HashMap<String, (Option<&'a str>, Option<Nanos>)> {
    let mut known = HashMap::new();
    for raw in metadata.array("toolCallRounds") {
        let round = Object::trusted(raw);
        let time = time::member(&round, "timestamp").map(|(nanos, _)| nanos);
        for raw in round.array("toolCalls") {
            let call = Object::trusted(raw);
            if let Some(id) = call.str("id") {
                known.insert(id.into_owned(), (call.get("arguments"), time));
            }
        }
    }
    known
}

/// One part of an answer; only calls of MCP tools matter.
fn part(part: &Object<'_>, asked: &Asked<'_>, out: &mut Decoded) {
    if part.str("kind").is_none_or(|kind| kind != "toolInvocationSerialized") {
        return;
    }
    let Some(mut call) = named(part) else { return };
    call.tool_call_id = part.text("toolCallId");
    host::in_session(&mut call, asked.session.cloned());
    let round = call.tool_call_id.as_deref().and_then(|id| asked.rounds.get(id));
    let time = round.and_then(|(_, time)| *time).or(asked.time);
    match asked.turn {
        Some(_) => host::started(&mut call, time),
        None => host::started_or_file(&mut call, time, asked.hints),
    }
    let details = part.object("resultDetails");
    let data = part.object("toolSpecificData");
    let raw_input = data.get("rawInput").filter(|_| data.str("kind").is_some_and(|kind| kind == "input"));
    let logged = raw_input.or(details.get("input")).or(round.and_then(|(arguments, _)| *arguments));
    host::arguments(&mut call, logged);
    let subagent = part.text("subAgentInvocationId");
    let more = call.more();
    more.turn = asked.turn;
    more.gen_ai_request_model.clone_from(&asked.model);
    more.agent_is_subagent = (subagent.is_some() || part.bool("fromSubAgent") == Some(true)).then_some(true);
    more.gen_ai_agent_id = subagent;
    ended(&mut call, part, &details);
    out.events.push(Event::Call { lane: Lane::default(), call });
}

/// The call's names; `None` for tools of VS Code and of extensions.
fn named(part: &Object<'_>) -> Option<Box<Call>> {
    let id = part.text("toolId")?;
    let source = part.object("source");
    let rest = id.strip_prefix("mcp_");
    let is_mcp = match source.str("type") {
        Some(kind) => kind == "mcp",
        None => rest.is_some(),
    };
    if !is_mcp {
        return None;
    }
    let mut call = hosted(ID);
    let rest = rest.unwrap_or(&id);
    match source.text("label") {
        Some(label) => {
            call.tool = Some(without_prefix(rest, &label).into());
            call.flag(Flag::NameSplit);
            call.server = Some(label);
        }
        // What stands in front is what was left of the server's name after 13 characters.
        None => host::split_tool(&mut call, rest, "_"),
    }
    call.server_info_name = source.text("serverLabel");
    call.agent = Some(AGENT);
    call.client_name = Some(AGENT);
    call.tool_raw = Some(id);
    Some(call)
}

/// A tool's id without what VS Code puts in front of the tool's name: 13 characters of the server's label, in small letters, other
/// characters replaced, and a number if two servers share them.
fn without_prefix<'a>(id: &'a str, label: &str) -> &'a str {
    let mut safe = String::new();
    let mut replaced = false;
    for c in label.to_lowercase().chars() {
        let plain = matches!(c, 'a'..='z' | '0'..='9' | '_' | '.' | '-');
        if plain || !replaced {
            safe.push(if plain { c } else { '_' });
        }
        replaced = !plain;
    }
    safe.truncate(13);
    let rest = id.strip_prefix(safe.as_str()).map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    let tool = rest.and_then(|rest| rest.strip_prefix('_')).or_else(|| id.split_once('_').map(|(_, tool)| tool));
    tool.filter(|tool| !tool.is_empty()).unwrap_or(id)
}

/// How the call ended, and who let it happen. Every part says that it is complete, also while it runs.
fn ended(call: &mut Call, part: &Object<'_>, details: &Object<'_>) {
    confirmed(call, part);
    call.result_state = PayloadState::NotLogged;
    let output = details.get("mcpOutput").filter(|raw| raw.starts_with('{')).map(str::to_owned);
    let output = output.or_else(|| details.get("output").map(|raw| content(raw, details.bool("isError"))));
    let error = part.str("resultError");
    if let Some(result) = output {
        host::answered(call, result);
        if call.outcome == Outcome::Success
            && (details.bool("isError") == Some(true) || part.get("resultError").is_some_and(|raw| raw == "true"))
        {
            host::tool_error(call, "");
        }
    } else if call.outcome == Outcome::Denied {
        call.result_state = PayloadState::None;
    } else if let Some(message) = error.filter(|message| !message.is_empty()) {
        host::failed(call, &message);
        call.result_state = PayloadState::None;
    }
}

/// `isConfirmed`: a boolean (before 1.104), or what kind of consent there was.
fn confirmed(call: &mut Call, part: &Object<'_>) {
    let reason = part.object("isConfirmed");
    let from = |keys: [&str; 3]| keys.iter().find_map(|key| reason.text(key));
    let (approval, source) = match part.get("isConfirmed") {
        Some("false") => (Approval::UserDenied, None),
        Some(raw) if raw.starts_with('{') => match reason.get("type") {
            // A hook that refuses names itself.
            Some("0") if reason.has("source") => (Approval::PolicyDenied, from(["source", "id", "scope"])),
            Some("0") => (Approval::UserDenied, None),
            Some("1") => (Approval::NotRequired, None),
            Some("2" | "3") => (Approval::AutoAllowed, from(["id", "scope", "source"])),
            Some("4") => (Approval::UserAllowed, None),
            Some("5") => (Approval::UserDenied, Some(Text::const_new("skipped"))),
            _ => (Approval::Unknown, None),
        },
        _ => (Approval::Unknown, None),
    };
    call.approval = approval;
    if matches!(approval, Approval::UserDenied | Approval::PolicyDenied) {
        call.outcome = Outcome::Denied;
    }
    if source.is_some() {
        call.more().approval_source = source;
    }
}

/// What the chat shows of a result, put back into the form of an MCP result.
fn content(output: &str, is_error: Option<bool>) -> String {
    let blocks = match output.as_bytes().first() {
        Some(b'"') => format!(r#"{{"type":"text","text":{output}}}"#),
        Some(b'{') => block(output),
        _ => json::elements(output).into_iter().map(block).collect::<Vec<_>>().join(","),
    };
    let is_error = is_error.map(|is| format!(r#","isError":{is}"#)).unwrap_or_default();
    format!(r#"{{"content":[{blocks}]{is_error}}}"#)
}

fn block(raw: &str) -> String {
    let item = Object::trusted(raw);
    let value = item.get("value").or(item.get("base64Data")).unwrap_or("null");
    if item.bool("isText") == Some(true) {
        return format!(r#"{{"type":"text","text":{value}}}"#);
    }
    if item.str("type").is_some_and(|kind| kind == "ref") {
        return format!(r#"{{"type":"resource_link","uri":{}}}"#, item.get("uri").unwrap_or("null"));
    }
    let mime = item.get("mimeType").unwrap_or("null");
    match ["image", "audio"].iter().find(|kind| mime.trim_start_matches('"').starts_with(**kind)) {
        Some(kind) => format!(r#"{{"type":"{kind}","data":{value},"mimeType":{mime}}}"#),
        None => format!(r#"{{"type":"resource","resource":{{"blob":{value},"mimeType":{mime}}}}}"#),
    }
}

fn prompt(request: &Object<'_>, session: Option<&Text>, time: Option<Nanos>, out: &mut Decoded) {
    let message = request.object("message");
    let text = message.str("text").or_else(|| request.str("message")).unwrap_or_default();
    if text.trim().is_empty() {
        return;
    }
    let mut prompt = Prompt {
        time,
        text: text.trim().to_owned(),
        native_id: request.text("requestId"),
        agent: Some(AGENT),
        client_name: Some(AGENT),
        source_format: Text::const_new(ID),
        ..Prompt::default()
    };
    prompt.session_id = session.cloned();
    out.events.push(Event::Prompt(Box::new(prompt)));
}
