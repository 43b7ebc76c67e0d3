//! Logs of iamraj064/mcpAudit: a stdio proxy's text lines, and JSON records of whole calls, in one file.
//!
//! A text line is `TIME - [PID:n] - TEXT` in local time without a zone; messages in it are cut after 1000 characters, and errors are
//! printed as Python prints them. People type separator lines into the file, which stick to the next record. Process ids
//! keep connections apart and are used again.

use super::claude_desktop_log::truncated::{Cut, Members, recover};
use super::jsonrpc::{self, Envelope, request_side};
use super::{LogFormat, shared::gateway};
use crate::call::{Bits, Call, Flag, IdType, Nanos, Observer, Outcome, PayloadState, Side, Text, TimeSource};
use crate::source::json::Object;
use crate::source::{Decoded, Event, Lane, PairKey, Record, Reject, time};
use chrono::NaiveDateTime;

const ID: &str = "mcp_proxy_mixed";

const PID: &str = " - [PID:";
const STAMP: &str = "2026-03-31 16:39:38";
const JSON_START: &str = "{\"mcpServerName\"";
const STARTS: &str = "--- STARTING PROXY FOR: ";
const REQUEST: &str = "[REQUEST] ";
const RESPONSE: &str = "[RESPONSE] ";
const STOPS: &str = "--- PROXY STOPPED ---";
/// Bytes in which a record must start: what stands before it was typed by hand.
const JUNK_MAX: usize = 256;
/// What such a separator begins with: a line of another log can hold one of this log's.
const SEPARATORS: [char; 4] = ['#', '-', '=', '*'];
/// Characters that the proxy keeps of a message, less some white space.
const KEPT: usize = 990;

/// Logs of the mcpAudit proxy.
pub struct McpProxyMixed;

impl LogFormat for McpProxyMixed {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "mcpAudit proxy log (text lines and JSON records mixed)"
    }
    fn evidence(&self) -> &'static str {
        "source code of iamraj064/mcpAudit and one real log (VS Code host)"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        match record.json {
            Some(object) => object.has("mcpServerName") && object.has("toolName") && object.has("params"),
            None => Line::read(record.text).is_some_and(|line| line.is_known()) || glued(record.text).is_some(),
        }
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        if let Some(object) = record.json {
            whole(object, out);
            return Ok(());
        }
        if let Some(line) = Line::read(record.text) {
            return line.decode(record, out);
        }
        let text = glued(record.text).unwrap_or_default();
        whole(&Object::parse(text).map_err(|_| Reject::new("record is not valid JSON"))?, out);
        Ok(())
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        // Separators without a record behind them, and what else the proxy says.
        record.text.starts_with(SEPARATORS) && !record.text.contains('{') || Line::read(record.text).is_some()
    }
}

/// A JSON record behind a separator.
fn glued(text: &str) -> Option<&str> {
    let head = &text.as_bytes()[..text.len().min(JUNK_MAX)];
    memchr::memmem::find(head, JSON_START.as_bytes())
        .filter(|at| *at > 0 && is_typed(&text[..*at]))
        .map(|at| &text[at..])
}

/// Whether what stands before a record can be a separator. Lists, and lines of the Docker gateway, begin with a dash and a space.
fn is_typed(before: &str) -> bool {
    let before = before.trim_start();
    before.chars().next().is_none_or(|first| SEPARATORS.contains(&first)) && !before.starts_with("- ")
}

/// A text line taken apart.
struct Line<'a> {
    stamp: &'a str,
    pid: &'a str,
    text: &'a str,
}

impl<'a> Line<'a> {
    /// Takes a line apart, wherever in its beginning it starts. Cheap: it runs on every line of every file.
    fn read(text: &'a str) -> Option<Self> {
        let head = &text.as_bytes()[..text.len().min(JUNK_MAX)];
        let at = memchr::memmem::find(head, PID.as_bytes())?;
        let (before, stamp) = text.get(..at)?.split_at_checked(at.checked_sub(STAMP.len())?)?;
        let mut shape = stamp.bytes().zip(STAMP.bytes());
        let fits = |(a, b): (u8, u8)| if b.is_ascii_digit() { a.is_ascii_digit() } else { a == b };
        let (pid, text) = text[at + PID.len()..].split_once("] - ")?;
        (shape.all(fits) && is_typed(before) && !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit()))
            .then_some(Self { stamp, pid, text })
    }

    /// Other programs in Python have lines of this shape.
    fn is_known(&self) -> bool {
        [STARTS, STOPS, REQUEST, RESPONSE].iter().any(|text| self.text.starts_with(text))
    }

    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let time = local(self.stamp);
        let lane = Lane::from(self.pid);
        if let Some(command) = self.text.strip_prefix(STARTS) {
            let mut call = Call { source_format: Text::const_new(ID), ..Call::default() };
            call.more().server_command = Some(command.trim_end_matches(" ---").to_owned());
            out.events.push(Event::Connection { lane: lane.clone(), opens: true, time });
            out.events.push(Event::Context { lane, whole_source: false, call: Box::new(call) });
            return Ok(());
        }
        if self.text.starts_with(STOPS) {
            out.events.push(Event::Connection { lane, opens: false, time });
            return Ok(());
        }
        let sides = [(REQUEST, Side::Client), (RESPONSE, Side::Server)];
        let sent = sides.iter().find_map(|(mark, side)| Some((self.text.strip_prefix(mark)?, *side)));
        let Some((text, sender)) = sent else { return Ok(()) };
        let mut flags = Bits::default();
        flags.add(Flag::ZoneAssumed as u32);
        if record.lossy {
            flags.add(Flag::LossyUtf8 as u32);
        }
        let envelope = Envelope {
            format: ID,
            lane,
            time,
            time_source: TimeSource::RequestLine,
            sender: Some(sender),
            server: record.hints.server.clone(),
            session: None,
            observer: Observer::Tap,
            agent: None,
            user_id: None,
            transport: Some(Text::const_new("stdio")),
            mcp_session_id: None,
            flags,
            hints: record.hints,
        };
        traffic(text, &envelope, out)?;
        out.events.iter_mut().for_each(without_id_type);
        Ok(())
    }
}

/// The clock of the proxy's machine, whose zone nobody logs.
fn local(stamp: &str) -> Option<Nanos> {
    NaiveDateTime::parse_from_str(stamp, "%Y-%m-%d %H:%M:%S").ok()?.and_utc().timestamp_nanos_opt()
}

/// `Method: M | ID: I | Payload: {…}`, `ID:I | ERROR: {…}`, or `RAW: …`.
fn traffic(text: &str, envelope: &Envelope<'_>, out: &mut Decoded) -> Result<(), Reject> {
    if let Some(raw) = text.strip_prefix("RAW: ") {
        // A batch, or something that is no message.
        let batch = if raw.starts_with('[') { serde_json::from_str::<Vec<Object<'_>>>(raw).ok() } else { None };
        return match batch {
            Some(batch) => batch.iter().try_for_each(|object| jsonrpc::message(object, envelope, out)),
            None if raw.starts_with("[{") && raw.contains("\"jsonrpc\"") => {
                Err(Reject::new("truncated json-rpc batch"))
            }
            None => Ok(()),
        };
    }
    if let Some((id, error)) = text.strip_prefix("ID:").and_then(|rest| rest.split_once(" | ERROR: ")) {
        return failed(id, error, envelope, out);
    }
    let parts = text.strip_prefix("Method: ").and_then(|rest| {
        let (head, payload) = rest.split_once(" | Payload: ")?;
        let (method, id) = head.split_once(" | ID: ")?;
        Some((method, id, payload))
    });
    let Some((method, id, payload)) = parts else { return Err(Reject::new("traffic line without payload")) };
    match Object::parse(payload) {
        Ok(object) => jsonrpc::message(&object, envelope, out),
        Err(_) if payload.chars().count() >= KEPT => {
            let mut known = Members::new();
            if method != "unknown" {
                known.push(("method".to_owned(), serde_json::Value::from(method).to_string()));
            }
            if id != "?" {
                known.push(("id".to_owned(), json_id(id)));
            }
            recover(payload, &Cut::at_end(payload), known, envelope, out)
        }
        Err(_) => Err(Reject::new("payload is not valid JSON")),
    }
}

/// An id as the proxy prints it, without its type.
fn json_id(id: &str) -> String {
    if id.parse::<i64>().is_ok() { id.to_owned() } else { serde_json::Value::from(id).to_string() }
}

/// An error, printed as a Python dictionary.
fn failed(id: &str, error: &str, envelope: &Envelope<'_>, out: &mut Decoded) -> Result<(), Reject> {
    let value = |key: &str| error.split_once(key).map(|(_, rest)| rest);
    let code = value("'code': ").and_then(|rest| rest.split([',', '}']).next()?.parse::<i32>().ok());
    let mut members = Vec::new();
    members.extend(code.map(|code| format!("\"code\":{code}")));
    let message = value("'message': ").and_then(python_string);
    members.extend(message.map(|text| format!("\"message\":{}", serde_json::Value::from(text))));
    let rebuilt = format!("{{\"id\":{},\"error\":{{{}}}}}", json_id(id), members.join(","));
    jsonrpc::message(&Object::trusted(&rebuilt), envelope, out)?;
    if let Some(Event::Response { call, .. }) = out.events.last_mut() {
        (call.result, call.result_state) = (Some(error.to_owned()), PayloadState::Unparsable);
    }
    Ok(())
}

/// The string literal at the start of what Python printed.
fn python_string(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let mut chars = text[1..].chars();
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
    Some(value)
}

/// Halves must find each other although one of them may have lost the type of its id.
fn without_id_type(event: &mut Event) {
    let key = match event {
        Event::Request { key: Some(key), .. } | Event::Response { key, .. } | Event::Cancel { key, .. } => key,
        _ => return,
    };
    if let PairKey::JsonRpc { id, .. } = key {
        id.kind = IdType::Int;
    }
}

/// A call that a JSON record holds whole. What its one time stands for is not known.
fn whole(object: &Object<'_>, out: &mut Decoded) {
    let mut call = Box::new(Call {
        source_format: Text::const_new(ID),
        observer: Observer::Tap,
        server: object.text("mcpServerName"),
        agent: object.text("agentId"),
        outcome: Outcome::Unknown,
        result_state: PayloadState::NotLogged,
        ..Call::default()
    });
    let params = format!(
        "{{\"name\":{},\"arguments\":{},\"_meta\":{}}}",
        object.get("toolName").unwrap_or("null"),
        object.get("params").unwrap_or("null"),
        object.get("_meta").unwrap_or("null")
    );
    request_side("tools/call", Some(&params), &mut call);
    let (start, zone_assumed) = time::member(object, "timestamp").unzip();
    call.time = start;
    call.time_source = if start.is_some() { TimeSource::Record } else { TimeSource::default() };
    gateway::zone(&mut call, zone_assumed == Some(true));
    // What Python leaves empty beside a result is no error.
    let error = object.get("error").filter(|raw| !matches!(*raw, "null" | "[]" | "{}" | "\"\"" | "false"));
    if let Some(raw) = error.or_else(|| object.get("result").filter(|raw| *raw != "null")) {
        (call.result, call.result_state) = (Some(raw.to_owned()), PayloadState::Present);
        let failed = error.is_some() || Object::trusted(raw).bool("isError") == Some(true);
        call.is_error = Some(failed);
        call.outcome = if failed { Outcome::ToolError } else { Outcome::Success };
        call.error_type = failed.then(|| Text::const_new("tool_error"));
    }
    let more = call.more();
    more.gen_ai_agent_id = object.text("agentId");
    more.host_name = object.text("hostName");
    more.client_address = object.text("ipAddress");
    out.events.push(Event::Call { lane: Lane::default(), call });
}

#[cfg(test)]
mod tests;
