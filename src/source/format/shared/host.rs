//! What the formats of several hosts' own logs have in common: calls as a host saw them, errors that are only a text, payloads
//! that are JSON inside a JSON string, prefixes of tool names, and sessions that only the file's name tells.
//!
//! No format of its own.

use crate::call::{Call, Flag, Nanos, Observer, Outcome, PayloadState, SessionSource, Text, TimeSource};
use crate::source::json::{self, Object};
use crate::source::{Event, Hints, Lane};

/// An empty call as a host's own log tells it.
pub(in crate::source::format) fn hosted(format: &'static str) -> Box<Call> {
    Box::new(Call {
        source_format: Text::const_new(format),
        observer: Observer::HostTranscript,
        method: Text::const_new("tools/call"),
        ..Call::default()
    })
}

/// A context of a format: what its later records in the source lack.
pub(in crate::source::format) fn context(format: &'static str, call: Call) -> Event {
    let call = Box::new(Call { source_format: Text::const_new(format), ..call });
    Event::Context { lane: Lane::default(), whole_source: true, call }
}

/// Names the conversation of a call.
pub(in crate::source::format) fn in_session(call: &mut Call, session: Option<Text>) {
    if session.is_some() {
        call.session_id = session;
        call.session_source = SessionSource::Conversation;
    }
}

/// The time at which a record was written about a call that had started just then.
pub(in crate::source::format) fn started(call: &mut Call, time: Option<Nanos>) {
    call.time = time;
    call.time_source = time.map_or(TimeSource::default(), |_| TimeSource::Record);
}

/// As [`started`]; without a time the file's. A call that has an id of its own then keeps its identity when the file is written
/// anew, which one that is told apart by what stands before it would not.
pub(in crate::source::format) fn started_or_file(call: &mut Call, time: Option<Nanos>, hints: &Hints) {
    started(call, time);
    if time.is_none() && call.tool_call_id.is_some() {
        call.time = hints.mtime;
        call.time_source = TimeSource::FileMtime;
    }
}

/// The time at which a record was written about a call that had ended.
pub(in crate::source::format) fn ended(call: &mut Call, time: Option<Nanos>) {
    call.time = time;
    call.time_end = time;
    call.time_source = time.map_or(TimeSource::default(), |_| TimeSource::ResponseLine);
}

/// Arguments as logged: an object, or JSON in a string.
pub(in crate::source::format) fn arguments(call: &mut Call, raw: Option<&str>) {
    (call.arguments, call.arguments_state) = match raw {
        None => (None, PayloadState::NotLogged),
        Some("null") => (None, PayloadState::None),
        Some(raw) => match embedded(raw) {
            Some(inner) if inner.trim().is_empty() => (None, PayloadState::None),
            Some(inner) if serde_json::from_str::<&serde_json::value::RawValue>(&inner).is_ok() => {
                (Some(inner), PayloadState::Present)
            }
            // Cut off while it was written, or never JSON: the text stays to be looked at.
            Some(_) => (Some(raw.to_owned()), PayloadState::Unparsable),
            None => (Some(raw.to_owned()), PayloadState::Present),
        },
    };
}

/// The text of a JSON string; `None` if the value is no string.
pub(in crate::source::format) fn embedded(raw: &str) -> Option<String> {
    json::string(raw).map(|inner| inner.into_owned())
}

/// The object or array that a JSON string holds; `None` if it holds anything else, or is no string.
pub(in crate::source::format) fn container(raw: &str) -> Option<String> {
    let inner = embedded(raw)?;
    let text = inner.trim();
    let valid = text.starts_with(['{', '[']) && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok();
    valid.then(|| text.to_owned())
}

/// A result as the server gave it: outcome by its `isError`.
pub(in crate::source::format) fn answered(call: &mut Call, result: String) {
    let answer = Object::parse(&result).unwrap_or_default();
    call.is_error = answer.bool("isError");
    if call.is_error == Some(true) {
        let texts = answer.array("content").into_iter().filter_map(|block| Object::trusted(block).str("text"));
        let message = texts.collect::<Vec<_>>().join("\n");
        tool_error(call, &message);
    } else {
        call.outcome = Outcome::Success;
    }
    call.result = Some(result);
    call.result_state = PayloadState::Present;
}

/// The tool's own error.
pub(in crate::source::format) fn tool_error(call: &mut Call, message: &str) {
    call.outcome = Outcome::ToolError;
    call.error_type = Some(Text::const_new("tool_error"));
    call.error_message = excerpt(message);
}

/// An error of which a host kept the text only. What MCP clients themselves say tells protocol, transport and time-outs
/// apart; any other text is the tool's.
pub(in crate::source::format) fn failed(call: &mut Call, message: &str) {
    // TypeScript SDK: `MCP error CODE: TEXT`; VS Code: `MPC CODE: TEXT`, its own spelling.
    let text = message.trim_start().trim_start_matches("Error: ");
    let rest = ["MCP error ", "MPC "].iter().find_map(|start| text.strip_prefix(start));
    let code = rest.and_then(|rest| rest.split_once(':')?.0.parse::<i32>().ok());
    const TRANSPORT: [&str; 5] = ["fetch failed", "Not connected", "Connection closed", "connect ECONN", "read ECONN"];
    call.error_message = excerpt(message);
    (call.outcome, call.error_type) = match code {
        // Codes that the SDKs make up for what never reached, or never came back from, the server.
        Some(-32001) => (Outcome::Timeout, Some(Text::const_new("timeout"))),
        Some(-32000) => (Outcome::TransportError, Some(Text::const_new("transport_error"))),
        Some(code) => {
            call.rpc_response_status_code = Some(code);
            (Outcome::ProtocolError, Some(Text::from(code.to_string())))
        }
        None if TRANSPORT.iter().any(|start| text.starts_with(start)) => {
            (Outcome::TransportError, Some(Text::const_new("transport_error")))
        }
        None => (Outcome::ToolError, Some(Text::const_new("tool_error"))),
    };
}

/// The start of a message; `None` if it is empty.
pub(in crate::source::format) fn excerpt(message: &str) -> Option<String> {
    (!message.is_empty()).then(|| message.chars().take(2000).collect())
}

/// `SERVER<separator>TOOL` cut at the first separator: right unless the server's name holds it. Flagged, as it is a guess.
pub(in crate::source::format) fn split_tool(call: &mut Call, name: &str, separator: &str) {
    match name.split_once(separator).filter(|(server, tool)| !server.is_empty() && !tool.is_empty()) {
        Some((server, tool)) => {
            call.server = Some(server.into());
            call.tool = Some(tool.into());
            call.flag(Flag::NameSplit);
        }
        None => call.tool = Some(name.into()),
    }
}

/// Server and tool of a name `mcp__SERVER__TOOL`, as hosts give them to models: cut at the first `__`, right unless the server's
/// name holds it.
pub(in crate::source::format) fn mcp_name(name: &str) -> Option<(Text, Text)> {
    let (server, tool) = name.strip_prefix("mcp__")?.split_once("__")?;
    (!server.is_empty() && !tool.is_empty()).then(|| (server.into(), tool.into()))
}

/// The conversation's id in a file's name: `<uuid>.jsonl`. Other names say nothing.
pub(in crate::source::format) fn session_of_file(hints: &Hints) -> Option<Text> {
    let stem = hints.file_name.split('.').next().unwrap_or_default();
    is_uuid(stem).then(|| stem.into())
}

/// Whether a text is a UUID as it is usually written.
pub(in crate::source::format) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}
