//! What the Cursor CLI prints with `--output-format stream-json`.
//!
//! A call is two lines with one `call_id`: its start, and its end, which holds the call whole. A member of `tool_call` names the
//! kind of tool; only those for MCP matter. The user's words and the model's are lines that other programs print alike.

use super::shared::host::{self, context, hosted};
use super::{Decoded, LogFormat};
use crate::call::{Approval, Call, IdType, Outcome, PayloadState, Prompt, Side, Text, TimeSource};
use crate::source::json::{self, Object};
use crate::source::{Event, Hints, Id, PairKey, Record, Reject, time};

#[cfg(test)]
mod tests;

const ID: &str = "cursor_cli";
const AGENT: Text = Text::const_new("cursor");
/// Cursor's own tools that are requests to MCP servers.
const RESOURCES: [(&str, &str); 2] =
    [("listMcpResourcesToolCall", "resources/list"), ("readMcpResourceToolCall", "resources/read")];

/// The Cursor CLI's event stream.
pub struct CursorCli;

impl LogFormat for CursorCli {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "Cursor CLI stream-json output"
    }
    fn evidence(&self) -> &'static str {
        "Cursor's documentation of the output; names of MCP calls and their results from tests of other readers; no production log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|line| {
            let subtype = line.str("subtype").unwrap_or_default();
            let has = |keys: &[&str]| keys.iter().all(|key| line.has(key));
            match line.str("type").unwrap_or_default().as_ref() {
                "tool_call" => {
                    matches!(subtype.as_ref(), "started" | "completed")
                        && line.has("call_id")
                        && line.get("tool_call").is_some_and(|raw| raw.starts_with('{'))
                }
                // Claude Code prints the same and more.
                "system" => {
                    subtype == "init"
                        && has(&["session_id", "apiKeySource", "permissionMode"])
                        && !["uuid", "mcp_servers", "tools"].iter().any(|key| line.has(key))
                }
                "result" => has(&["session_id", "request_id", "duration_api_ms"]) && !line.has("num_turns"),
                "thinking" => has(&["session_id", "timestamp_ms"]) && matches!(subtype.as_ref(), "delta" | "completed"),
                _ => false,
            }
        })
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(line) = record.json else { return Err(Reject::new("not a json object")) };
        match line.str("type").unwrap_or_default().as_ref() {
            "system" => head(line, out),
            "user" => prompt(line, out),
            "tool_call" => tool_call(line, record.hints, out),
            _ => {}
        }
        Ok(())
    }
    fn claims_in_own(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|line| {
            line.has("session_id")
                && line.get("message").is_some_and(|message| message.starts_with('{'))
                && line.str("type").is_some_and(|kind| matches!(kind.as_ref(), "user" | "assistant"))
        })
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|line| line.has("type"))
    }
}

/// Who works where.
fn head(line: &Object<'_>, out: &mut Decoded) {
    let mut call = Call { agent: Some(AGENT), client_name: Some(AGENT), ..Call::default() };
    host::in_session(&mut call, line.text("session_id"));
    let more = call.more();
    more.cwd = line.text("cwd");
    more.gen_ai_request_model = line.text("model");
    more.approval_policy = line.text("permissionMode");
    out.events.push(context(ID, call));
}

fn tool_call(line: &Object<'_>, hints: &Hints, out: &mut Decoded) {
    let Some((mut call, result)) = named(&line.object("tool_call")) else { return };
    let (session, id) = (line.text("session_id"), line.text("call_id"));
    call.tool_call_id.clone_from(&id);
    host::in_session(&mut call, session.clone());
    let key = id.map(|text| PairKey::JsonRpc {
        lane: session.unwrap_or_default(),
        side: Side::Client,
        id: Id { kind: IdType::String, text },
    });
    let Some(key) = key else { return };
    // Older versions print no times.
    let time = time::member(line, "timestamp_ms").map(|(nanos, _)| nanos);
    if line.str("subtype").is_some_and(|subtype| subtype == "started") {
        host::started_or_file(&mut call, time, hints);
        if time.is_some() {
            call.time_source = TimeSource::RequestLine;
        }
        call.outcome = Outcome::NoResponse;
        out.events.push(Event::Begins { key, call });
        return;
    }
    match time {
        Some(_) => host::ended(&mut call, time),
        None => host::started_or_file(&mut call, None, hints),
    }
    call.more().duration_includes_approval = true;
    ended(&mut call, &result);
    out.events.push(Event::Ends { key, call });
}

/// The call's names and arguments, and how it ended; `None` for Cursor's own tools.
fn named<'a>(tool: &Object<'a>) -> Option<(Box<Call>, Object<'a>)> {
    let mut call = hosted(ID);
    call.agent = Some(AGENT);
    call.client_name = Some(AGENT);
    if let Some((key, method)) = RESOURCES.iter().find(|(key, _)| tool.has(key)) {
        let body = tool.object(key);
        let arguments = body.object("args");
        call.method = Text::const_new(method);
        call.server = arguments.text("server").or_else(|| arguments.text("providerIdentifier"));
        call.tool_raw = key.strip_suffix("ToolCall").map(Text::from);
        call.more().mcp_resource_uri = arguments.text("uri");
        return Some((call, body.object("result")));
    }
    let body = tool.object("mcpToolCall");
    let arguments = body.object("args");
    let name = arguments.text("name");
    call.server = arguments.text("providerIdentifier").or_else(|| arguments.text("serverIdentifier"));
    call.tool = arguments.text("toolName");
    // `SERVER-TOOL`, where one of the two does not stand by itself.
    if let Some(name) = &name {
        let server = || name.strip_suffix(call.tool.as_deref()?)?.strip_suffix('-').map(Text::from);
        let server = call.server.clone().or_else(server).filter(|server| !server.is_empty());
        let tool = || name.strip_prefix(server.as_deref()?)?.strip_prefix('-').map(Text::from);
        call.tool = call.tool.take().or_else(tool).or_else(|| Some(name.clone()));
        call.server = server;
    }
    call.tool_raw = name.or_else(|| call.tool.clone());
    call.tool_raw.as_ref()?;
    host::arguments(&mut call, arguments.get("args").or_else(|| arguments.get("arguments")));
    Some((call, body.object("result")))
}

/// `{"success":{…}}`, or another member that says what went wrong.
fn ended(call: &mut Call, result: &Object<'_>) {
    let Some((kind, raw)) = result.members().first() else {
        call.result_state = PayloadState::NotLogged;
        return;
    };
    let body = Object::trusted(raw);
    let said = ["error", "reason", "message"].iter().find_map(|key| body.str(key));
    let said = said.or_else(|| json::string(raw)).unwrap_or_default();
    match kind.as_ref() {
        "success" if call.method == "tools/call" => host::answered(call, as_result(&body)),
        "success" => host::answered(call, (*raw).to_owned()),
        "rejected" => {
            (call.outcome, call.approval) = (Outcome::Denied, Approval::UserDenied);
            call.error_message = host::excerpt(&said);
        }
        "permissionDenied" => {
            (call.outcome, call.approval) = (Outcome::Denied, Approval::PolicyDenied);
            call.error_message = host::excerpt(&said);
        }
        _ => host::failed(call, &said),
    }
}

/// The result as MCP writes it: Cursor puts the name of a block's type where its type belongs.
fn as_result(success: &Object<'_>) -> String {
    let blocks = success.array("content").into_iter().map(|raw| {
        let block = Object::trusted(raw);
        let (text, image) = (block.object("text"), block.object("image"));
        let member = |object: &Object<'_>, key: &str| object.get(key).unwrap_or("null").to_owned();
        if block.has("type") {
            raw.to_owned()
        } else if text.has("text") {
            format!(r#"{{"type":"text","text":{}}}"#, member(&text, "text"))
        } else if image.has("data") {
            let (data, mime) = (member(&image, "data"), member(&image, "mimeType"));
            format!(r#"{{"type":"image","data":{data},"mimeType":{mime}}}"#)
        } else {
            raw.to_owned()
        }
    });
    let content = blocks.collect::<Vec<_>>().join(",");
    let error = success.bool("isError").map(|is_error| format!(r#","isError":{is_error}"#)).unwrap_or_default();
    format!(r#"{{"content":[{content}]{error}}}"#)
}

fn prompt(line: &Object<'_>, out: &mut Decoded) {
    let message = line.object("message");
    let content = message.get("content").unwrap_or_default();
    let text = json::string(content).map(|text| text.into_owned());
    let text = text.unwrap_or_else(|| {
        let blocks = json::elements(content).into_iter().map(Object::trusted);
        blocks.filter_map(|block| block.str("text")).collect::<Vec<_>>().join("\n")
    });
    let text = text.trim();
    if text.is_empty() {
        return;
    }
    out.events.push(Event::Prompt(Box::new(Prompt {
        session_id: line.text("session_id"),
        time: time::member(line, "timestamp_ms").map(|(nanos, _)| nanos),
        text: text.to_owned(),
        agent: Some(AGENT),
        client_name: Some(AGENT),
        source_format: Text::const_new(ID),
        ..Prompt::default()
    })));
}
