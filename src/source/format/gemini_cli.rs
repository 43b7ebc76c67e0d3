//! Gemini CLI sessions: `~/.gemini/tmp/PROJECT/chats/session-*.json` (one document, older) and `.jsonl` (newer), and what it prints with
//! `--output-format stream-json` (`stream`).
//!
//! A call stands whole inside the model's message, written when it ended. In the newer form a message is written again, with the
//! same id, whenever it changed: each writing is a view of the same call, and views are merged by the call's id. Rewinding the
//! conversation does not undo a call. MCP tools are told by their display name, `TOOL (SERVER MCP Server)`, else by their prefix;
//! the client's own tools are no calls.

use super::shared::host::{self, context, hosted};
use super::{Decoded, LogFormat};
use crate::call::{Approval, Call, Nanos, Outcome, PayloadState, Prompt, SessionSource, Text};
use crate::source::json::{self, Object};
use crate::source::{Event, Lane, Record, Reject, time};

mod stream;
#[cfg(test)]
mod tests;

const ID: &str = "gemini_cli";
/// What the client writes for the user who refused a call; the second in newer versions.
const REFUSED: [&str; 2] = ["did not allow tool call", "User denied execution"];
const AGENT: Text = Text::const_new("gemini-cli");
/// Members of a message that is not the model's.
const PLAIN: [&str; 5] = ["id", "timestamp", "type", "content", "displayContent"];
/// Members of a session's head, and of a change to it.
const HEAD: [&str; 8] =
    ["sessionId", "projectHash", "startTime", "lastUpdated", "messages", "summary", "directories", "memoryScratchpad"];

/// Gemini CLI's session files.
pub struct GeminiCli;

impl LogFormat for GeminiCli {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "Gemini CLI sessions (JSON and JSONL) and stream-json output"
    }
    fn evidence(&self) -> &'static str {
        "source code of google-gemini/gemini-cli, four session files of 2026-01; none of them holds an MCP call; stream-json from other readers' types"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|line| {
            (line.has("projectHash") && line.has("sessionId"))
                || is_message(line)
                || is_control(line)
                || stream::is_line(line)
        })
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(line) = record.json else { return Err(Reject::new("not a json object")) };
        if line.has("$set") {
            let change = line.object("$set");
            head(&change, out);
            messages(&change, out);
        } else if line.has("projectHash") {
            head(line, out);
            messages(line, out);
        } else if stream::is_line(line) || stream::is_message(line) {
            stream::decode(line, out);
        } else if !line.has("$rewindTo") {
            message(line, None, out);
        }
        Ok(())
    }
    fn claims_in_own(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|line| {
            stream::is_message(line)
                || ["id", "timestamp", "content"].iter().all(|key| line.has(key))
                    && line.str("type").is_some_and(|kind| kind == "user")
        })
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        record.json.is_some()
    }
}

fn is_message(line: &Object<'_>) -> bool {
    if !(line.has("timestamp") && line.has("content") && line.has("id")) {
        return false;
    }
    match line.str("type").unwrap_or_default().as_ref() {
        "gemini" => true,
        // Nothing but the members tells these from other programs' messages.
        "user" | "info" | "error" | "warning" => {
            line.members().iter().all(|(key, _)| PLAIN.contains(&key.as_ref()))
                && line.str("id").is_some_and(|id| host::is_uuid(&id))
        }
        _ => false,
    }
}

/// A line that changes what stands before it: a rewind, or new values of the head.
fn is_control(line: &Object<'_>) -> bool {
    match line.members() {
        [(key, _)] if key == "$rewindTo" => true,
        [(key, value)] if key == "$set" => {
            let change = Object::trusted(value);
            HEAD.iter().any(|key| change.has(key))
        }
        _ => false,
    }
}

/// Whose conversation the file is.
fn head(head: &Object<'_>, out: &mut Decoded) {
    let Some(session) = head.text("sessionId") else { return };
    let mut call = Call {
        session_id: Some(session),
        session_source: SessionSource::Conversation,
        agent: Some(AGENT),
        client_name: Some(AGENT),
        ..Call::default()
    };
    let kind = head.text("kind");
    call.more().agent_is_subagent = kind.map(|kind| kind == "subagent");
    out.events.push(context(ID, call));
}

fn messages(head: &Object<'_>, out: &mut Decoded) {
    let session = head.text("sessionId");
    for raw in head.array("messages") {
        message(&Object::trusted(raw), session.as_ref(), out);
    }
}

fn message(message: &Object<'_>, session: Option<&Text>, out: &mut Decoded) {
    let time = timestamp(message);
    match message.str("type").unwrap_or_default().as_ref() {
        "user" => prompt(message, session, time, out),
        "gemini" => {
            for raw in message.array("toolCalls") {
                let tool = Object::trusted(raw);
                let Some(mut call) = named(&tool) else { continue };
                host::in_session(&mut call, session.cloned());
                call.more().gen_ai_request_model = message.text("model");
                tool_call(&mut call, &tool, time);
                out.events.push(Event::Call { lane: Lane::default(), call });
            }
        }
        _ => {}
    }
}

/// The call's names; `None` for the client's own tools.
fn named(tool: &Object<'_>) -> Option<Box<Call>> {
    named_as(tool.text("name")?, &tool.str("displayName").unwrap_or_default(), &tool.object("args"))
}

fn named_as(name: Text, display: &str, arguments: &Object<'_>) -> Option<Box<Call>> {
    let mut call = hosted(ID);
    let display = display.strip_suffix(" MCP Server)").and_then(|rest| rest.rsplit_once(" ("));
    if let Some((tool, server)) = display.filter(|(tool, server)| !tool.is_empty() && !server.is_empty()) {
        call.server = Some(server.into());
        call.tool = Some(tool.into());
    } else if let Some(rest) = name.strip_prefix("mcp__") {
        host::split_tool(&mut call, rest, "__");
    } else if let Some(rest) = name.strip_prefix("mcp_") {
        host::split_tool(&mut call, rest, "_");
    } else if name == "read_mcp_resource" {
        call.method = Text::const_new("resources/read");
        call.more().mcp_resource_uri = arguments.text("uri");
    } else if name.contains("__") {
        // Until 2026 a tool had its server's name in front only where two servers had the same tool.
        host::split_tool(&mut call, &name, "__");
    } else {
        return None;
    }
    call.tool_raw = Some(name);
    Some(call)
}

fn tool_call(call: &mut Call, tool: &Object<'_>, message_time: Option<Nanos>) {
    call.tool_call_id = tool.text("id");
    call.agent = Some(AGENT);
    call.client_name = Some(AGENT);
    host::arguments(call, tool.get("args"));
    if let Some(agent) = tool.text("agentId") {
        let more = call.more();
        more.gen_ai_agent_id = Some(agent);
        more.agent_is_subagent = Some(true);
    }
    let time = timestamp(tool).or(message_time);
    let result = tool.get("result").filter(|raw| *raw != "null");
    match tool.str("status").unwrap_or_default().as_ref() {
        "validating" | "scheduled" | "executing" | "awaiting_approval" => {
            host::started(call, time);
            call.outcome = Outcome::NoResponse;
            return;
        }
        "success" => succeeded(call, result),
        "error" => match error_text(result) {
            Some(text) => error(call, &text),
            None => {
                host::tool_error(call, "");
                call.result_state = PayloadState::NotLogged;
            }
        },
        "cancelled" => {
            let text = error_text(result).unwrap_or_default();
            let refused = REFUSED.iter().any(|words| text.contains(words));
            (call.outcome, call.approval) = match refused {
                true => (Outcome::Denied, Approval::UserDenied),
                false => (Outcome::Cancelled, Approval::Unknown),
            };
            call.error_message = host::excerpt(&text);
        }
        _ => call.result_state = PayloadState::NotLogged,
    }
    host::ended(call, time);
}

fn succeeded(call: &mut Call, result: Option<&str>) {
    call.outcome = Outcome::Success;
    call.result_state = PayloadState::NotLogged;
    let Some(result) = result else { return };
    // One part with one text is that text; anything else stays as it is.
    let parts = json::elements(result);
    let response = parts.first().map(|part| Object::trusted(part).object("functionResponse").object("response"));
    let output = response.filter(|response| parts.len() == 1 && response.members().len() == 1);
    let output = output.and_then(|response| response.get("output"));
    call.result_state = match output.and_then(json::string) {
        // The client takes long outputs out of a long conversation and leaves a note.
        Some(text) if text.trim_start().starts_with("<tool_output_masked>") => PayloadState::Summarised,
        _ => PayloadState::Present,
    };
    call.result = Some(output.unwrap_or(result).to_owned());
}

/// What the client wrote in place of a result.
fn error_text(result: Option<&str>) -> Option<String> {
    let parts = json::elements(result?);
    let response = Object::trusted(parts.first()?).object("functionResponse").object("response");
    response.str("error").map(|text| text.into_owned())
}

fn error(call: &mut Call, text: &str) {
    if text.starts_with("Tool execution denied by policy") {
        call.outcome = Outcome::Denied;
        call.approval = Approval::PolicyDenied;
        call.error_message = host::excerpt(text);
    } else if let Some(response) = reported(text) {
        // The server's own result, or what the client's SDK said of it.
        let inner = response.object("error");
        let result = if response.has("content") { &response } else { &inner };
        match result.str("message").filter(|_| !result.has("content")) {
            Some(message) => host::failed(call, &message),
            None => {
                let members = result.members().iter().map(|(key, raw)| format!("{}:{raw}", quoted(key)));
                host::answered(call, format!("{{{}}}", members.collect::<Vec<_>>().join(",")));
                if call.outcome == Outcome::Success {
                    host::tool_error(call, "");
                }
            }
        }
    } else {
        host::failed(call, text);
    }
}

/// The response inside `MCP tool 'T' reported tool error for function call: {…} with response: […]`.
fn reported(text: &str) -> Option<Object<'_>> {
    let rest = text.strip_prefix("MCP tool '")?;
    let (_, rest) = rest.split_once("' reported tool error for function call: ")?;
    // The arguments are the model's: what they hold must not be taken for the response.
    let rest = rest.get(json::skip_value(rest.as_bytes(), 0)..)?;
    let parts = rest.strip_prefix(" with response: ")?;
    let _: &serde_json::value::RawValue = serde_json::from_str(parts).ok()?;
    let first = json::elements(parts).into_iter().next()?;
    Some(Object::trusted(first).object("functionResponse").object("response"))
}

fn quoted(key: &str) -> String {
    serde_json::Value::from(key).to_string()
}

/// What the user typed. The client appends the files that the text names to `content`.
fn prompt(message: &Object<'_>, session: Option<&Text>, time: Option<Nanos>, out: &mut Decoded) {
    let content = message.get("displayContent").or(message.get("content")).unwrap_or_default();
    let text = match json::string(content) {
        Some(text) => text.into_owned(),
        None => {
            let parts = json::elements(content).into_iter().map(Object::trusted);
            parts.filter_map(|part| part.str("text")).collect::<Vec<_>>().join("\n")
        }
    };
    let text = text.split("\n--- Content from referenced files ---").next().unwrap_or_default().trim();
    if text.is_empty() {
        return;
    }
    out.events.push(Event::Prompt(Box::new(Prompt {
        session_id: session.cloned(),
        time,
        text: text.to_owned(),
        native_id: message.text("id"),
        agent: Some(AGENT),
        client_name: Some(AGENT),
        source_format: Text::const_new(ID),
        ..Prompt::default()
    })));
}

fn timestamp(object: &Object<'_>) -> Option<Nanos> {
    time::member(object, "timestamp").map(|(nanos, _)| nanos)
}
