//! Docker MCP Gateway: what `docker mcp gateway run` writes to standard error, and the events of its policy audit.
//!
//! A call is two lines of text without id or time: `- Calling tool NAME with arguments: …`, and `> Calling tool NAME
//! took: …` unless it failed. Since 2026 the arguments are only summarised. `docker logs --timestamps` and `docker
//! compose logs` put a time or a name in front. Lines of servers and interceptors stand between. A policy audit event
//! is a decision, not a call.

use super::{Decoded, LogFormat, Record, Reject, shared::gateway};
use crate::call::{Approval, Call, DurationSource, EventKind, IdType, Nanos, Observer, Outcome, PayloadState};
use crate::call::{Side, Text, TimeSource};
use crate::source::json::Object;
use crate::source::{Event, Id, Lane, PairKey, time};

const ID: &str = "docker_mcp_gateway";

const ASKED: &str = "- Calling tool ";
const ANSWERED: &str = "> Calling tool ";
const CLIENT: &str = "- Client initialized";
const ARGUMENTS: &str = " with arguments: ";
/// Stands for the name and the arguments of a request that the gateway could not read.
const UNKNOWN: &str = "(unknown) with method: ";

/// Docker MCP Gateway's log and policy audit.
pub struct DockerMcpGateway;

impl LogFormat for DockerMcpGateway {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "Docker MCP Gateway: log (text) and policy audit events (JSON)"
    }
    fn evidence(&self) -> &'static str {
        "source code of docker/mcp-gateway, log excerpts of tutorials; no production log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        match record.json {
            Some(event) => ["trigger", "target_type", "server_name", "result"].iter().all(|key| event.has(key)),
            None => Line::read(record.text).is_some(),
        }
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        if let Some(event) = record.json {
            return decision(event, out);
        }
        let Some(line) = Line::read(record.text) else { return Err(Reject::new("not a line about a tool call")) };
        match line.says {
            Says::Client(client) => connected(&line, client, out),
            Says::Asked(text) => asked(&line, text, out),
            Says::Answered(text) => answered(&line, text, out),
        }
        Ok(())
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        // Servers and interceptors write what they like; it is no JSON line of another log, though.
        record.json.is_none() && !record.text.starts_with('{') && !record.text.contains('\0')
    }
}

/// A line that says something about calls.
struct Line<'a> {
    /// What `docker logs --timestamps` puts in front.
    time: Option<Nanos>,
    /// What `docker compose logs` puts in front, empty without it.
    container: &'a str,
    says: Says<'a>,
}

/// What follows the fixed text.
enum Says<'a> {
    Client(&'a str),
    Asked(&'a str),
    Answered(&'a str),
}

impl<'a> Line<'a> {
    fn read(text: &'a str) -> Option<Self> {
        if let Some(says) = says(text) {
            return Some(Self { time: None, container: "", says });
        }
        // Names of containers are short; a bar far behind belongs to something else.
        let bar = text.bytes().take(100).position(|b| b == b'|');
        let (container, rest) = match bar {
            Some(at) => (text[..at].trim_end(), text[at + 1..].trim_start()),
            None => ("", text),
        };
        if container.contains(' ') {
            return None;
        }
        let stamped = rest.split_once(' ').and_then(|(first, rest)| Some((stamp(first)?, rest.trim_start())));
        let (time, rest) = stamped.map_or((None, rest), |(time, rest)| (Some(time), rest));
        Some(Self { time, container, says: says(rest)? })
    }

    fn lane(&self) -> Lane {
        Lane::from(self.container)
    }

    /// The log has no ids: calls of one tool are told apart by order alone.
    fn key(&self, tool: &str) -> PairKey {
        let id = Id { kind: IdType::String, text: Text::from(tool) };
        PairKey::JsonRpc { lane: self.tool_lane(tool), side: Side::Client, id }
    }

    fn tool_lane(&self, tool: &str) -> Lane {
        Lane::from(format!("{}|{tool}", self.container))
    }
}

fn says(text: &str) -> Option<Says<'_>> {
    if let Some(rest) = text.strip_prefix(ASKED) {
        return (rest.contains(ARGUMENTS) || rest.starts_with(UNKNOWN)).then_some(Says::Asked(rest));
    }
    if let Some(rest) = text.strip_prefix(ANSWERED) {
        return rest.contains(" took: ").then_some(Says::Answered(rest));
    }
    text.strip_prefix(CLIENT).filter(|rest| rest.is_empty() || rest.starts_with(' ')).map(Says::Client)
}

fn stamp(word: &str) -> Option<Nanos> {
    (word.len() >= 20 && word.as_bytes()[10] == b'T').then(|| time::rfc3339(word))?
}

/// A client is there: what follows is its doing. Newer versions say which one, as `NAME@VERSION TITLE`.
fn connected(line: &Line<'_>, client: &str, out: &mut Decoded) {
    out.events.push(Event::Connection { lane: line.lane(), opens: true, time: line.time });
    // A scoped npm name begins with an `@` of its own.
    let name = client.trim().rsplit_once('@').filter(|(name, _)| !name.is_empty());
    if let Some((name, version)) = name {
        let version = version.split(' ').next().unwrap_or_default();
        let call = Box::new(Call {
            client_name: Some(Text::from(name)),
            client_version: Some(Text::from(version)).filter(|version| !version.is_empty()),
            ..Call::default()
        });
        out.events.push(Event::Context { lane: line.lane(), whole_source: false, call });
    }
}

fn asked(line: &Line<'_>, text: &str, out: &mut Decoded) {
    let mut call = gateway::gateway_call(ID, Some(Text::const_new("tools/call")));
    let (tool, arguments) = match text.split_once(ARGUMENTS) {
        Some((tool, arguments)) if !text.starts_with(UNKNOWN) => (tool, Some(arguments.trim())),
        _ => ("", None),
    };
    call.tool = Some(Text::from(tool)).filter(|tool| !tool.is_empty());
    call.tool_raw.clone_from(&call.tool);
    (call.arguments, call.arguments_state) = arguments.map_or((None, PayloadState::NotLogged), payload);
    call.time = line.time;
    call.time_source = TimeSource::RequestLine;
    call.outcome = Outcome::NoResponse;
    call.result_state = PayloadState::NotLogged;
    // A call that failed has no second line, so an older open one must not take the answer of this one.
    out.events.push(Event::Connection { lane: line.tool_lane(tool), opens: false, time: line.time });
    out.events.push(Event::Request { key: Some(line.key(tool)), lane: line.lane(), call });
}

/// Arguments as JSON, or the words that newer versions put in their place.
fn payload(text: &str) -> (Option<String>, PayloadState) {
    match text {
        "none" | "null" | "" => (None, PayloadState::None),
        "raw JSON" => (None, PayloadState::Unparsable),
        _ if serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok() => {
            (Some(text.to_owned()), PayloadState::Present)
        }
        _ if is_summary(text) => (Some(serde_json::Value::from(text).to_string()), PayloadState::Summarised),
        _ => (Some(text.to_owned()), PayloadState::Unparsable),
    }
}

fn is_summary(text: &str) -> bool {
    let counted = |start: &str, end: &str| {
        let number = text.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    };
    counted("object with ", " field(s)")
        || counted("array with ", " item(s)")
        || ["string", "boolean", "number"].contains(&text)
}

/// The call came back without an error of the protocol; what the tool itself said is not in the log.
fn answered(line: &Line<'_>, text: &str, out: &mut Decoded) {
    let Some((tool, took)) = text.rsplit_once(" took: ") else { return };
    let duration = gateway::human_duration(took);
    let call = Box::new(Call {
        source_format: Text::const_new(ID),
        observer: Observer::Gateway,
        time_end: line.time,
        duration_ns: duration,
        duration_source: duration.map(|_| DurationSource::Measured),
        outcome: Outcome::Success,
        result_state: PayloadState::NotLogged,
        ..Call::default()
    });
    out.events.push(Event::Response { key: line.key(tool), lane: line.lane(), call, maybe_foreign: false });
}

/// What the policy said about one server, tool or prompt.
fn decision(event: &Object<'_>, out: &mut Decoded) -> Result<(), Reject> {
    let method = match event.str("trigger").unwrap_or_default().as_ref() {
        "prompt" => Some(Text::const_new("prompts/get")),
        "invoke" | "" => Some(Text::const_new("tools/call")),
        // Loading and listing servers is nothing that a client asked for.
        _ => None,
    };
    let mut call = gateway::gateway_call(ID, method);
    call.event_kind = EventKind::Decision;
    (call.outcome, call.approval) = match event.str("result").unwrap_or_default().as_ref() {
        "allowed" => (Outcome::Unknown, Approval::AutoAllowed),
        "denied" => (Outcome::Denied, Approval::PolicyDenied),
        _ => return Err(Reject::new("policy decision is neither allowed nor denied")),
    };
    let at = time::member(event, "timestamp");
    call.time = at.map(|(nanos, _)| nanos);
    call.time_source = at.map(|_| TimeSource::Record).unwrap_or_default();
    if at.is_some_and(|(_, assumed)| assumed) {
        gateway::zone(&mut call, true);
    }
    gateway::mcp_session(&mut call, event.text("session_id"));
    call.server = event.text("server_name");
    call.tool = event.text("tool_name");
    call.tool_raw.clone_from(&call.tool);
    call.transport = event.text("transport").map(|transport| match transport.as_str() {
        "streamable-http" | "streaming" | "streamable" => Text::const_new("http"),
        _ => transport,
    });
    call.client_name = event.text("client_name");
    call.client_version = event.text("client_version");
    call.user_id = event.text("actor_id");
    call.error_message = event.str("reason").filter(|reason| !reason.is_empty()).map(|reason| reason.into_owned());
    call.error_type = event.text("outcome_reason").filter(|_| call.outcome == Outcome::Denied);
    let rest = [
        "trigger",
        "target_type",
        "org_id",
        "org_name",
        "catalog_name",
        "working_set",
        "server_type",
        "server_source",
        "outcome_reason",
        "policy_version",
        "policy_source",
        "trace_id",
    ];
    let extra = gateway::extra(gateway::members(event, &rest));
    let more = call.more();
    more.principal_type = event.text("actor_type");
    more.user_name = event.text("actor_name");
    more.gen_ai_prompt_name = event.text("prompt_name");
    more.approval_source = event.text("policy_id").or_else(|| event.text("outcome_reason"));
    more.extra_json = extra;
    // Who talks to several servers does so in one session. The server and the target, which tell decisions of the same second
    // apart, are part of what a call that is logged whole is known by.
    out.events.push(Event::Call { lane: Lane::default(), call });
    Ok(())
}

#[cfg(test)]
mod tests;
