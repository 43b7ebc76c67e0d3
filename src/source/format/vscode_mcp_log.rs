//! VS Code's log of one MCP server: output channel `MCP: SERVER`, on disk `logs/…/mcpServer.….log`.
//!
//! A line is `YYYY-MM-DD HH:MM:SS.mmm [level] text` in local time without a zone. Messages are JSON-RPC, written at the levels
//! debug or trace (info for servers in development); at other levels only the connection's states remain. A server's standard
//! error and the rest of a text of several lines stand between the lines. Other editors built on VS Code write the same.

use super::jsonrpc::{self, Envelope};
use super::{Decoded, LogFormat, Record, Reject, shared::host};
use crate::call::{Bits, Call, Flag, Nanos, Observer, Side, Text, TimeSource};
use crate::source::json::Object;
use crate::source::{Event, Lane, time};

#[cfg(test)]
mod tests;

const ID: &str = "vscode_mcp_log";

/// What stands before a message, and who sent it. The second pair is of the first versions (March 2025).
const MESSAGES: [(&str, Side); 4] = [
    ("[editor -> server] ", Side::Client),
    ("[server -> editor] ", Side::Server),
    ("[Client Says] ", Side::Client),
    ("[Server Says] ", Side::Server),
];
const STARTS: &str = "Starting server ";
const STATE: &str = "Connection state: ";
/// Other texts that are this log's and say nothing about calls.
const NOISE: [&str; 5] =
    ["Stopping server ", "[server stderr] ", "Waiting for server to respond to `", "Server command line: ", FOUND];
const FOUND: &str = "Discovered ";
const FOUND_WHAT: [&str; 4] = [" tools", " tool", " prompts", " prompt"];

/// VS Code's MCP server logs.
pub struct VscodeMcpLog;

impl LogFormat for VscodeMcpLog {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "VS Code MCP server output logs"
    }
    fn evidence(&self) -> &'static str {
        "source code of microsoft/vscode; lines of 2025-03 to 2026-10 quoted in public issues"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        // The shape of the line alone is common among loggers.
        Line::read(record.text).is_some_and(|line| {
            let messages = MESSAGES.iter().map(|(mark, _)| *mark);
            messages.chain([STARTS, STATE]).chain(NOISE).any(|text| line.text.starts_with(text))
                // Other logs of the editor count what they discover, too.
                && (!line.text.starts_with(FOUND) || FOUND_WHAT.iter().any(|what| line.text.trim_end().ends_with(what)))
        })
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(line) = Line::read(record.text) else { return Err(Reject::new("line without time and level")) };
        let lane = Lane::default();
        if let Some((text, side)) =
            MESSAGES.iter().find_map(|(mark, side)| Some((line.text.strip_prefix(mark)?, *side)))
        {
            return message(text, side, line.time, record, out);
        }
        if let Some(state) = line.text.strip_prefix(STATE) {
            if state.starts_with("Running") {
                out.events.push(Event::Connection { lane, opens: true, time: line.time });
            } else if state.starts_with("Stopped") || state.starts_with("Error") {
                out.events.push(Event::Connection { lane, opens: false, time: line.time });
            }
        } else if let Some(label) = line.text.strip_prefix(STARTS).map(str::trim)
            && !label.is_empty()
            // `Starting server from LocalProcess extension host` follows, about where it runs.
            && !(label.starts_with("from ") && label.ends_with(" extension host"))
        {
            out.events.push(host::context(ID, Call { server: Some(label.into()), ..Call::default() }));
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
    time: Option<Nanos>,
    text: &'a str,
}

impl<'a> Line<'a> {
    /// Takes a line apart; `None` for everything else. Cheap: it runs on every record of every file.
    fn read(line: &'a str) -> Option<Self> {
        const LEVELS: [&str; 6] = ["trace] ", "debug] ", "info] ", "warning] ", "warn] ", "error] "];
        let bytes = line.as_bytes();
        if bytes.len() < 30 || bytes[4] != b'-' || bytes[10] != b' ' || bytes[23] != b' ' || bytes[24] != b'[' {
            return None;
        }
        let (date, clock) = (line.get(..10)?, line.get(11..23)?);
        let rest = line.get(25..)?;
        let text = LEVELS.iter().find_map(|level| rest.strip_prefix(level))?;
        // The clock of the machine, whose zone the log does not name.
        Some(Self { time: time::rfc3339(&format!("{date}T{clock}Z")), text })
    }
}

fn message(
    text: &str,
    sender: Side,
    time: Option<Nanos>,
    record: &Record<'_>,
    out: &mut Decoded,
) -> Result<(), Reject> {
    let mut flags = Bits::default();
    flags.add(Flag::ZoneAssumed as u32);
    if record.lossy {
        flags.add(Flag::LossyUtf8 as u32);
    }
    let envelope = Envelope {
        format: ID,
        lane: Lane::default(),
        time,
        time_source: TimeSource::RequestLine,
        sender: Some(sender),
        server: None,
        session: None,
        observer: Observer::Client,
        agent: None::<Text>,
        user_id: None,
        transport: None,
        mcp_session_id: None,
        flags,
        hints: record.hints,
    };
    let text = text.trim();
    let object = Object::parse(text).map_err(|_| Reject::new("message is not valid json"))?;
    jsonrpc::message(&object, &envelope, out)
}
