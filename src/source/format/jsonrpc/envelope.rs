//! What surrounds a JSON-RPC message in a log: time, direction, and what keeps one connection's messages from another's.

use crate::call::{Bits, Flag, Nanos, Observer, SessionSource, Side, Text, TimeSource};
use crate::source::json::{self, Object};
use crate::source::{Hints, Lane, Record, time};
use std::borrow::Cow;

/// What surrounds a JSON-RPC message in a log.
#[derive(Clone, Debug)]
pub struct Envelope<'a> {
    pub format: &'static str,
    pub lane: Lane,
    pub time: Option<Nanos>,
    pub time_source: TimeSource,
    /// Who sent the message, if the log says.
    pub sender: Option<Side>,
    pub server: Option<Text>,
    pub session: Option<(Text, SessionSource)>,
    pub observer: Observer,
    pub agent: Option<Text>,
    pub user_id: Option<Text>,
    pub transport: Option<Text>,
    pub mcp_session_id: Option<Text>,
    pub flags: Bits,
    pub hints: &'a Hints,
}

/// Members that tell one connection from another, in the order in which they make up a lane. In `headers` they are looked for, too.
const LANE_KEYS: &[&str] = &[
    "session_id",
    "sessionId",
    "connection_id",
    "connectionId",
    "mcp_session_id",
    "pid",
    "path",
    "server",
    "conversation_id",
    "conversationId",
    "server_name",
    "serverName",
    "mcpServerName",
    "client_id",
    "clientId",
    "process_id",
    "processId",
];
/// How taps write the header `Mcp-Session-Id`, without case.
const SESSION_KEYS: &[&str] = &["mcp_session_id", "mcp-session-id", "mcpsessionid"];

/// How taps write when they saw the message.
const TIME_KEYS: &[&str] = &[
    "timestamp",
    "ts",
    "time",
    "@timestamp",
    "datetime",
    "timestamp_ms",
    "timestampMs",
    "ts_ms",
    "Timestamp",
    "@t",
    "created_at",
    "createdAt",
    "event_time",
    "eventTime",
    "_time",
];

/// Reads the envelope from the members that a tap puts beside the message.
pub(super) fn envelope<'a>(object: &Object<'_>, record: &'a Record<'_>) -> Envelope<'a> {
    let time = TIME_KEYS.iter().find_map(|key| time::member(object, key));
    let conversation = ["session_id", "sessionId", "conversation_id"].iter().find_map(|key| object.text(key));
    let mcp_session_id = session_id_of(object).or_else(|| session_id_of(&object.object("headers")));
    let session = conversation
        .map(|id| (id, SessionSource::Conversation))
        .or_else(|| mcp_session_id.clone().map(|id| (id, SessionSource::McpSession)));
    let mut lane = Lane::default();
    let is_plain = |raw: &&str| *raw != "null" && !raw.starts_with(['{', '[']);
    let told = LANE_KEYS.iter().filter_map(|key| Some((*key, object.get(key).filter(is_plain)?)));
    let told = told.map(|(key, raw)| (key, json::string(raw).unwrap_or(Cow::Borrowed(raw))));
    let otherwise = mcp_session_id.as_deref().filter(|_| !object.has("mcp_session_id"));
    for (key, part) in told.chain(otherwise.map(|id| ("mcp_session_id", Cow::Borrowed(id)))) {
        if !lane.is_empty() {
            lane.push('|');
        }
        lane.push_str(if key == "path" { endpoint(&part) } else { &part });
    }
    let mut flags = Bits::default();
    if time.is_some_and(|(_, zone_assumed)| zone_assumed) {
        flags.add(Flag::ZoneAssumed as u32);
    }
    if record.lossy {
        flags.add(Flag::LossyUtf8 as u32);
    }
    Envelope {
        format: "jsonrpc",
        lane,
        time: time.map(|(nanos, _)| nanos),
        time_source: TimeSource::RequestLine,
        sender: ["direction", "dir", "Direction", "sender", "from"]
            .iter()
            .find_map(|key| object.str(key).and_then(|text| sender(&text))),
        server: ["server", "server_name", "mcpServerName"]
            .iter()
            .find_map(|k| object.text(k))
            .or_else(|| object.object("server").text("name"))
            .or_else(|| record.hints.server.clone()),
        session,
        observer: Observer::Tap,
        agent: ["agent", "agent_id", "agentId"].iter().find_map(|key| object.text(key)),
        user_id: ["user", "user_id", "userId"].iter().find_map(|key| object.text(key)),
        transport: object.text("transport"),
        mcp_session_id,
        flags,
        hints: record.hints,
    }
}

/// What the paths of one server have in common: HTTP with SSE (2024-11-05) asks at one path and answers at another.
fn endpoint(path: &str) -> &str {
    let bare = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    match bare.rsplit_once('/') {
        Some((server, "sse" | "message" | "messages")) => server,
        _ => path,
    }
}

/// The id that a server gave to a Streamable HTTP session.
fn session_id_of(object: &Object<'_>) -> Option<Text> {
    let (_, raw) = object.members().iter().find(|(key, raw)| {
        key.len() >= 12 && *raw != "null" && SESSION_KEYS.iter().any(|known| key.eq_ignore_ascii_case(known))
    })?;
    json::string(raw).map(|text| Text::from(text.as_ref()))
}

/// Who sent a message, from the words that taps use. `inbound` and `request` say nothing: it depends on where the tap sits. What a
/// server reads from its standard input is the client's.
fn sender(direction: &str) -> Option<Side> {
    match direction {
        "client_to_server" => return Some(Side::Client),
        "server_to_client" => return Some(Side::Server),
        _ => {}
    }
    let lower = direction.trim().to_ascii_lowercase();
    let (client, server) = (lower.find("client"), lower.find("server"));
    let (from, to) = ends(&lower);
    match (client, server) {
        (Some(client), Some(server)) => Some(if client < server { Side::Client } else { Side::Server }),
        (Some(_), None) if from.contains("client") => Some(Side::Client),
        (Some(_), None) if to.contains("client") => Some(Side::Server),
        (None, Some(_)) if from.contains("server") => Some(Side::Server),
        (None, Some(_)) if to.contains("server") => Some(Side::Client),
        _ => match lower.as_str() {
            "c2s" | "c->s" | "stdin" | ">>" | "->" | "=>" | "\u{2192}" => Some(Side::Client),
            "s2c" | "s->c" | "stdout" | "<<" | "<-" | "<=" | "\u{2190}" => Some(Side::Server),
            _ => None,
        },
    }
}

/// Where a message comes from and where it goes, as far as the words for its direction say.
fn ends(direction: &str) -> (&str, &str) {
    const BETWEEN: [&str; 6] = ["\u{2192}", "->", "=>", "_to_", "-to-", " to "];
    if let Some((from, to)) = BETWEEN.iter().find_map(|between| direction.split_once(between)) {
        return (from, to);
    }
    match direction {
        "client" | "server" => (direction, ""),
        _ if direction.starts_with("from") => (direction, ""),
        _ if direction.starts_with("to") => ("", direction),
        _ => ("", ""),
    }
}
