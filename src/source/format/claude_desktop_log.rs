//! Claude Desktop's MCP logs: `mcp-server-NAME.log` (one server) and `mcp.log` (all servers).
//!
//! A line is `TIME [server] [level] text` in the first and `TIME [level] [server] text` in the second; the oldest
//! have only `[level]`. Most texts are JSON-RPC messages, whole, with the middle cut out (`truncated`), or since
//! mid-2026 reduced to method, id and kind of answer. What a server writes to stderr stands between the lines,
//! without any mark, and can be anything.

#[cfg(test)]
mod tests;
pub(super) mod truncated;

use super::jsonrpc::{self, Envelope};
use super::{Decoded, LogFormat, Record, Reject};
use crate::call::{Bits, Call, Flag, Observer, Outcome, PayloadState, Side, Text, TimeSource};
use crate::source::json::{self, Object};
use crate::source::{Event, Hints, time};

/// Claude Desktop's MCP logs.
pub struct ClaudeDesktopLog;

const ID: &str = "claude_desktop_log";
const AGENT: Text = Text::const_new("claude-desktop");
const STDIO: Text = Text::const_new("stdio");
const LEVELS: &[&str] = &["info", "error", "warn", "debug"];

const FROM_CLIENT: &str = "Message from client: ";
const FROM_SERVER: &str = "Message from server: ";
const OPENS: &str = "Initializing server...";
const COMMAND: &str = "Using MCP server command: ";
const CLOSES: &[&str] = &["Client transport closed", "Server transport closed"];
/// Texts that say nothing about calls and are still this format's.
const NOISE: &[&str] =
    &["Server started and connected", "Server disconnected", "Shutting down server", "Era probe verdict"];

/// Bytes in which the brackets must stand: a server's name is one that a user typed.
const PREFIX_MAX: usize = 512;

impl LogFormat for ClaudeDesktopLog {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "Claude Desktop MCP logs (mcp-server-NAME.log, mcp.log)"
    }
    fn evidence(&self) -> &'static str {
        "real log folders of 2025, lines of 2024-11 to 2026-10 quoted in public issues"
    }

    fn claims(&self, record: &Record<'_>) -> bool {
        // The shape of the line alone is common among loggers.
        Line::read(record.text, record.hints).is_some_and(|line| line.is_known() || is_mcp_log(record.hints))
    }

    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(line) = Line::read(record.text, record.hints) else {
            return Err(Reject::new("line without time and level"));
        };
        let envelope = envelope(&line, record);
        let sent = [(FROM_CLIENT, Side::Client), (FROM_SERVER, Side::Server)];
        if let Some((text, side)) = sent.iter().find_map(|(mark, side)| Some((line.text.strip_prefix(mark)?, *side))) {
            return message(text, &Envelope { sender: Some(side), ..envelope }, out);
        }
        let Envelope { lane, time, .. } = envelope;
        if line.text.starts_with(OPENS) {
            out.events.push(Event::Connection { lane, opens: true, time });
        } else if CLOSES.iter().any(|text| line.text.starts_with(text)) {
            out.events.push(Event::Connection { lane, opens: false, time });
        } else if let Some(text) = line.text.strip_prefix(COMMAND) {
            let mut call = Call {
                source_format: Text::const_new(ID),
                server: envelope.server,
                agent: envelope.agent,
                transport: envelope.transport,
                time,
                ..Call::default()
            };
            call.more().server_command = Some(command(text));
            out.events.push(Event::Context { lane, whole_source: false, call: Box::new(call) });
        }
        Ok(())
    }

    fn tolerates(&self, record: &Record<'_>) -> bool {
        !record.text.contains('\0')
    }

    fn echoes(&self, record: &Record<'_>) -> bool {
        jsonrpc::is_only_message(record)
    }
}

/// A line taken apart.
struct Line<'a> {
    stamp: &'a str,
    server: Option<&'a str>,
    text: &'a str,
}

impl<'a> Line<'a> {
    /// Takes a line apart; `None` for stderr and for other formats. Cheap: it runs on every record of every file.
    fn read(line: &'a str, hints: &Hints) -> Option<Self> {
        let bytes = line.as_bytes();
        if bytes.len() < 24 || bytes[4] != b'-' || bytes[10] != b'T' || !bytes[..4].iter().all(u8::is_ascii_digit) {
            return None;
        }
        let end = memchr::memchr(b' ', &bytes[..bytes.len().min(36)])?;
        let (stamp, rest) = (&line[..end], line[end..].strip_prefix(" [")?);
        let (server, text) = brackets(rest, hints)?;
        Some(Self { stamp, server: server.filter(|name| !name.is_empty()), text })
    }

    fn is_known(&self) -> bool {
        let known = [FROM_CLIENT, FROM_SERVER, OPENS, COMMAND];
        known.iter().chain(CLOSES).chain(NOISE).any(|text| self.text.starts_with(text))
    }
}

/// Server and text of what follows the first opening bracket. The level tells which bracket is which; a server
/// can have the name of a level, and then only the file's name tells.
fn brackets<'a>(rest: &'a str, hints: &Hints) -> Option<(Option<&'a str>, &'a str)> {
    let level = |text: &'a str| LEVELS.iter().find_map(|level| text.strip_prefix(level)?.strip_prefix("] "));
    let window = &rest.as_bytes()[..rest.len().min(PREFIX_MAX)];
    let server_first =
        memchr::memmem::find_iter(window, b"] [").find_map(|at| level(&rest[at + 3..]).map(|text| (&rest[..at], text)));
    match (level(rest), server_first) {
        (Some(_), Some((server, text))) if LEVELS.contains(&server) && of_one_server(hints) => {
            Some((Some(server), text))
        }
        (Some(after), _) => {
            let named = after.strip_prefix('[').and_then(|after| after.split_once("] "));
            Some(named.map_or((None, after), |(server, text)| (Some(server), text)))
        }
        (None, Some((server, text))) => Some((Some(server), text)),
        (None, None) => None,
    }
}

fn of_one_server(hints: &Hints) -> bool {
    hints.server.is_some() || hints.file_name.starts_with("mcp-server")
}

fn is_mcp_log(hints: &Hints) -> bool {
    hints.file_name.starts_with("mcp") && hints.file_name.ends_with(".log")
}

fn envelope<'a>(line: &Line<'_>, record: &Record<'a>) -> Envelope<'a> {
    let server = line.server.map(Text::from).or_else(|| record.hints.server.clone());
    let mut flags = Bits::default();
    if record.lossy {
        flags.add(Flag::LossyUtf8 as u32);
    }
    Envelope {
        format: ID,
        lane: server.clone().unwrap_or_default(),
        time: time::rfc3339(line.stamp),
        time_source: TimeSource::RequestLine,
        sender: None,
        server,
        session: None,
        observer: Observer::Client,
        agent: Some(AGENT),
        user_id: None,
        transport: Some(STDIO),
        mcp_session_id: None,
        flags,
        hints: record.hints,
    }
}

/// One message in any of its forms. Newer versions append ` { metadata: undefined }`, which is not JSON, so what
/// follows the first JSON value does not matter.
fn message(text: &str, envelope: &Envelope<'_>, out: &mut Decoded) -> Result<(), Reject> {
    let text = text.trim_start();
    if text.starts_with("method=") || text.starts_with("id=") {
        return summary(text, envelope, out);
    }
    let Some(start) = text.find(['{', '[']) else { return Ok(()) };
    let text = &text[start..];
    if text.starts_with('[') {
        // A batch, which protocol 2025-03-26 had.
        let batch = first_value::<Vec<Object<'_>>>(text).ok_or_else(|| Reject::new("message is not valid json"))?;
        return batch.iter().try_for_each(|object| jsonrpc::message(object, envelope, out));
    }
    let cut = truncated::Cut::find(text);
    match (first_value::<Object<'_>>(text), cut) {
        (Some(object), None) => jsonrpc::message(&object, envelope, out),
        (Some(object), Some(cut)) => truncated::inside_a_string(&object, &cut, envelope, out),
        (None, Some(cut)) => truncated::recover(text, &cut, truncated::Members::new(), envelope, out),
        (None, None) => Err(Reject::new("message is not valid json")),
    }
}

fn first_value<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Option<T> {
    serde_json::Deserializer::from_str(text).into_iter::<T>().next()?.ok()
}

/// `method="tools/call" id=2 params`, `id=2 result(1 blocks)`, `id=9 error(code=-32603)`: all that newer versions
/// keep of a message. It is put back into a message, so that its meaning is found where that of all others is.
fn summary(text: &str, envelope: &Envelope<'_>, out: &mut Decoded) -> Result<(), Reject> {
    fn field<'a>(rest: &mut &'a str, name: &str) -> Option<&'a str> {
        let value = rest.strip_prefix(name)?;
        let end = json::skip_value(value.as_bytes(), 0);
        *rest = value[end..].trim_start();
        Some(&value[..end])
    }
    let mut rest = text;
    let (method, id) = (field(&mut rest, "method="), field(&mut rest, "id="));
    let error = rest.strip_prefix("error");
    let code = error.and_then(|error| error.split_once("code=")).map(|(_, code)| {
        let end = code.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(code.len());
        code[..end].parse().unwrap_or(0i32)
    });
    let rebuilt = match (method, id) {
        (Some(method), Some(id)) => format!("{{\"method\":{method},\"id\":{id}}}"),
        (Some(method), None) => format!("{{\"method\":{method}}}"),
        (None, Some(id)) if error.is_some() => match code.filter(|code| *code != 0) {
            Some(code) => format!("{{\"id\":{id},\"error\":{{\"code\":{code}}}}}"),
            None => format!("{{\"id\":{id},\"error\":{{}}}}"),
        },
        (None, Some(id)) => format!("{{\"id\":{id},\"result\":{{}}}}"),
        (None, None) => return Ok(()),
    };
    let object = Object::parse(&rebuilt).map_err(|_| Reject::new("message summary with odd method or id"))?;
    let from = out.events.len();
    jsonrpc::message(&object, envelope, out)?;
    for event in &mut out.events[from..] {
        match event {
            Event::Request { call, .. } if call.method == "tools/call" || rest.starts_with("params") => {
                call.arguments_state = PayloadState::NotLogged;
            }
            Event::Response { call, .. } => {
                (call.result, call.result_state) = (None, PayloadState::NotLogged);
                if error.is_none() && !rest.starts_with("result") {
                    call.outcome = Outcome::Unknown;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The launch command: `COMMAND with args and path: { metadata: { args: [ 'a', 'b' ], paths: […] } } %o`. Node breaks
/// the object over lines, which framing keeps together.
fn command(text: &str) -> String {
    let cut =
        [" with args and path: ", " with path: ", " { metadata: "].iter().filter_map(|mark| text.find(mark)).min();
    let (program, rest) = text.split_at(cut.unwrap_or(text.len()));
    let mut command = program.trim().to_owned();
    for argument in rest.split_once("args: [").map(|(_, list)| inspected(list)).unwrap_or_default() {
        command.push(' ');
        if argument.is_empty() || argument.contains(char::is_whitespace) {
            command.push_str(&serde_json::Value::from(argument).to_string());
        } else {
            command.push_str(&argument);
        }
    }
    command
}

/// The strings at the start of a list that Node's `util.inspect` printed.
fn inspected(list: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut chars = list.chars();
    while let Some(quote) = chars.find(|c| !c.is_whitespace() && *c != ',').filter(|c| matches!(c, '\'' | '"' | '`')) {
        let mut value = String::new();
        while let Some(c) = chars.next().filter(|c| *c != quote) {
            match c {
                '\\' => value.extend(chars.next().map(|escaped| match escaped {
                    'n' => '\n',
                    't' => '\t',
                    other => other,
                })),
                other => value.push(other),
            }
        }
        out.push(value);
    }
    out
}
