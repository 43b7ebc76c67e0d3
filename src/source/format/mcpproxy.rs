//! Activity log of mcpproxy-go: exports as JSON lines or CSV, and the pages of its REST API.
//!
//! A record holds a call whole, written when it ended. Bodies are exported only on demand, and long responses are cut. The
//! proxy's own `call_tool_*` repeat the call that they pass on, so they are ignored; it puts who was authenticated into the
//! arguments as `_auth_*`. `session_id` changes with each reconnection, `work_session_id` does not.

use super::{LogFormat, shared::gateway, shared::host};
use crate::call::{Approval, Call, EventKind, Observer, Outcome, PayloadState, SessionSource, Text, TimeSource};
use crate::source::frame::csv;
use crate::source::json::{self, Object};
use crate::source::{Decoded, Event, Lane, Record, Reject, time};
use std::borrow::Cow;

const ID: &str = "mcpproxy";

/// Kinds of activity that say something about a call.
const CALLS: &[&str] = &["tool_call", "internal_tool_call", "policy_decision", "prompt_get"];
/// The other kinds: the proxy's own life and its administration.
const OTHERS: &[&str] = &[
    "quarantine_change",
    "tool_quarantine_change",
    "server_change",
    "config_change",
    "system_start",
    "system_stop",
    "security_scan",
    "credential_broker",
    "preflight",
];
/// Columns of a CSV export; the last one is newer than the others.
const COLUMNS: &[&str] = &[
    "id",
    "type",
    "source",
    "server_name",
    "tool_name",
    "status",
    "error_message",
    "duration_ms",
    "timestamp",
    "session_id",
    "request_id",
    "response_truncated",
    "parent_id",
];
/// What the errors of a time-out and of a server that cannot be reached contain.
const TIMEOUTS: &[&str] = &["deadline exceeded", "timed out", "timeout"];
const UNREACHABLE: &[&str] = &["connection refused", "connection reset", "not connected", "no such host", "EOF"];

/// mcpproxy-go activity records.
pub struct McpProxy;

impl LogFormat for McpProxy {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "mcpproxy-go activity log (JSONL, CSV, REST pages)"
    }
    fn evidence(&self) -> &'static str {
        "source code of smart-mcp-proxy/mcpproxy-go and the examples of its documentation; no production log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        let Some(object) = record.json else {
            return record.text.starts_with("id,type,source,server_name,") || is_row(record.text);
        };
        is_activity(object) || page(object).is_some()
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(object) = record.json else {
            if !is_row(record.text) {
                // The head.
                return Ok(());
            }
            let row =
                csv::fields(record.text, COLUMNS.len()).ok_or_else(|| Reject::new("csv row with an open quote"))?;
            return activity(&Object::trusted(&from_row(&row)?), out);
        };
        match page(object) {
            Some(activities) => json::elements(activities).into_iter().map(Object::trusted).try_for_each(|one| {
                if is_activity(&one) {
                    activity(&one, out)
                } else {
                    Err(Reject::new("activity without type or status"))
                }
            }),
            None => activity(object, out),
        }
    }
}

fn is_activity(object: &Object<'_>) -> bool {
    let known = |kind: &str| match kind {
        // A common name: only with its target is it this format's.
        "tool_call" => object.has("server_name") && object.has("tool_name"),
        _ => CALLS.contains(&kind) || OTHERS.contains(&kind),
    };
    object.has("status") && object.has("id") && object.has("timestamp") && object.str("type").is_some_and(|k| known(&k))
}

/// The activities in an answer of the REST API or of the command line.
fn page<'a>(object: &Object<'a>) -> Option<&'a str> {
    let activities = if object.has("success") {
        let data = object.get("data").filter(|raw| raw[1..].trim_start().starts_with("\"activities\""))?;
        Object::trusted(data).get("activities")
    } else {
        object.get("activities").filter(|_| object.has("total"))
    };
    activities.filter(|raw| raw.starts_with('['))
}

fn activity(record: &Object<'_>, out: &mut Decoded) -> Result<(), Reject> {
    let kind = record.str("type").unwrap_or_default();
    if !CALLS.contains(&kind.as_ref()) {
        return Ok(());
    }
    let metadata = record.object("metadata");
    let name = record.text("tool_name").or_else(|| metadata.text("internal_tool_name"));
    if kind == "internal_tool_call" && name.as_ref().is_some_and(|name| name.starts_with("call_tool_")) {
        return Ok(());
    }
    let mut call = Box::new(Call {
        source_format: Text::const_new(ID),
        observer: Observer::Gateway,
        tool_call_id: record.text("id"),
        server: record.text("server_name"),
        mcp_session_id: record.text("session_id"),
        session_id: record.text("work_session_id"),
        client_name: record.text("client_name").or_else(|| metadata.text("client_name")),
        client_version: metadata.text("client_version"),
        ..Call::default()
    });
    (call.session_source, call.session_id) = match call.session_id.take() {
        Some(work) => (SessionSource::Conversation, Some(work)),
        None => (SessionSource::McpSession, call.mcp_session_id.clone()),
    };
    let (end, zone_assumed) = time::member(record, "timestamp").unzip();
    gateway::ended(&mut call, end, gateway::milliseconds(record, "duration_ms"));
    if call.time_source == TimeSource::ResponseLine {
        // A duration of zero is left out of a record: the call started when it ended.
        call.time_source = TimeSource::Record;
    }
    gateway::zone(&mut call, zone_assumed == Some(true));
    if kind == "prompt_get" {
        call.method = Text::const_new("prompts/get");
        call.more().gen_ai_prompt_name = name;
    } else {
        call.method = Text::const_new("tools/call");
        (call.tool, call.tool_raw) = (name.clone(), name);
    }
    if kind == "internal_tool_call" {
        // A tool of the proxy itself. Where it names a server, that is what it was asked about.
        call.server = Some(Text::const_new("mcpproxy"));
    }
    if kind == "policy_decision" {
        call.event_kind = EventKind::Decision;
    }
    arguments(record, &mut call);
    response(record, &mut call);
    outcome(record, &metadata, &mut call);
    let more = call.more();
    // A ULID; the CSV of the same activity leaves out the session.
    more.id_is_unique = true;
    more.user_email = record.text("user_email").or_else(|| more.user_email.take());
    more.extra_json = gateway::extra([
        ("source", record.get("source")),
        ("request_id", record.get("request_id")),
        ("parent_id", record.get("parent_id")),
        ("tool_variant", record.get("tool_variant").or_else(|| metadata.get("tool_variant"))),
        ("intent", record.get("intent").or_else(|| metadata.get("intent"))),
        ("target_server", metadata.get("target_server")),
        ("profile", record.get("profile")),
    ]);
    call.user_id = record.text("user_id").or_else(|| call.user_id.take());
    call.agent = record.text("token_name").or_else(|| call.agent.take());
    out.events.push(Event::Call { lane: Lane::default(), call });
    Ok(())
}

/// The arguments, and who was authenticated, which the proxy puts beside them.
fn arguments(record: &Object<'_>, call: &mut Call) {
    let Some(raw) = record.get("arguments").filter(|raw| *raw != "null") else {
        call.arguments_state = PayloadState::NotLogged;
        return;
    };
    let opened = host::container(raw);
    let raw = opened.as_deref().unwrap_or(raw);
    let all = Object::trusted(raw);
    let (auth, own): (Vec<_>, Vec<_>) = all.members().iter().partition(|(key, _)| key.starts_with("_auth_"));
    call.arguments_state = PayloadState::Present;
    if auth.is_empty() {
        call.arguments = Some(raw.to_owned());
        return;
    }
    let own: Vec<String> =
        own.iter().map(|(k, raw)| format!("{}:{raw}", serde_json::Value::from(k.as_ref()))).collect();
    call.arguments = Some(format!("{{{}}}", own.join(",")));
    call.agent = all.text("_auth_agent_name");
    call.user_id = all.text("_auth_user_id");
    let more = call.more();
    more.auth_method = all.text("_auth_auth_type");
    more.user_email = all.text("_auth_user_email");
}

fn response(record: &Object<'_>, call: &mut Call) {
    let cut = record.bool("response_truncated") == Some(true);
    let raw = record.get("response").filter(|raw| !matches!(*raw, "null" | "\"\""));
    // The proxy keeps a text, which may be the tool's whole result.
    call.result = raw.map(|raw| host::container(raw).filter(|_| !cut).unwrap_or_else(|| raw.to_owned()));
    call.result_state = match raw {
        Some(_) if cut => PayloadState::Truncated,
        Some(_) => PayloadState::Present,
        None if call.event_kind == EventKind::Decision => PayloadState::None,
        None => PayloadState::NotLogged,
    };
    // Sizes before any cut; 0 stands for unknown in older records.
    call.result_bytes = record.int("response_bytes").filter(|bytes| *bytes > 0);
    call.arguments_bytes = record.int("request_bytes").filter(|bytes| *bytes > 0);
}

fn outcome(record: &Object<'_>, metadata: &Object<'_>, call: &mut Call) {
    let reason = metadata.str("reason").filter(|reason| !reason.is_empty());
    call.error_message = record.str("error_message").filter(|text| !text.is_empty()).map(|text| text.into_owned());
    let says = |call: &Call, words: &[&str]| {
        call.error_message.as_ref().is_some_and(|text| words.iter().any(|word| text.contains(word)))
    };
    match record.str("status").unwrap_or_default().as_ref() {
        "success" => {
            call.outcome = Outcome::Success;
            let result = call.result.take();
            gateway::own_error(call, result.as_deref());
            call.result = result;
        }
        "blocked" => {
            (call.outcome, call.approval) = (Outcome::Denied, Approval::PolicyDenied);
            call.error_message = call.error_message.take().or_else(|| reason.map(|reason| reason.into_owned()));
        }
        "rejected" => {
            // Too many calls at once: nobody judged this one.
            call.outcome = Outcome::Denied;
            call.more().approval_source = Some(Text::const_new("concurrency_limit"));
        }
        "error" if says(call, TIMEOUTS) => call.outcome = Outcome::Timeout,
        "error" if says(call, UNREACHABLE) => call.outcome = Outcome::TransportError,
        "error" => {
            call.outcome = Outcome::ToolError;
            call.error_type = Some(Text::const_new("tool_error"));
        }
        "allowed" if call.event_kind == EventKind::Decision => call.approval = Approval::AutoAllowed,
        _ => {}
    }
}

/// Whether a text is a CSV row whose second field is a kind of activity, and of no more columns than are known: those of a
/// wider table are told by its head.
fn is_row(text: &str) -> bool {
    let mut fields = text.split(',');
    let [id, kind, origin] = [(); 3].map(|()| fields.next().unwrap_or_default());
    // A ULID, or as much of it as an example shows.
    let written = (4..=26).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    let is_wider = || csv::fields(text, COLUMNS.len() + 1).is_some_and(|fields| fields.len() > COLUMNS.len());
    written
        && ["mcp", "cli", "api", "internal", ""].contains(&origin)
        && (CALLS.contains(&kind) || OTHERS.contains(&kind))
        && !is_wider()
}

/// A CSV row as the record it was made of.
fn from_row(row: &[Cow<'_, str>]) -> Result<String, Reject> {
    if row.len() + 1 < COLUMNS.len() {
        return Err(Reject::new("csv row with too few columns"));
    }
    let cut = COLUMNS.iter().position(|name| *name == "response_truncated").and_then(|at| row.get(at));
    if cut.is_some_and(|value| !matches!(value.as_ref(), "" | "true" | "false")) {
        // The last row of a file that is still being written ends anywhere.
        return Err(Reject::new("csv row with an odd value"));
    }
    let member = |(name, value): (&&str, &Cow<'_, str>)| match *name {
        "duration_ms" | "response_truncated" => {
            let plain = value.parse::<i64>().is_ok() || matches!(value.as_ref(), "true" | "false");
            plain.then(|| format!("\"{name}\":{value}"))
        }
        // The row's zero duration is the record's missing one.
        _ => (!value.is_empty()).then(|| format!("\"{name}\":{}", serde_json::Value::from(value.as_ref()))),
    };
    let columns = COLUMNS.iter().zip(row).filter(|(name, value)| **name != "duration_ms" || *value != "0");
    let members: Vec<String> = columns.filter_map(member).collect();
    Ok(format!("{{{}}}", members.join(",")))
}

#[cfg(test)]
mod tests;
