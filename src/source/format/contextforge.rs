//! Exports of IBM ContextForge (mcp-context-forge): rows of its audit trail, structured log and spans, and what it sends to a SIEM.
//!
//! Calls stand in three places, none of which knows another's ids: `audit_trails` (who executed which tool), `structured_log_entries`
//! (one entry when the gateway asks a server, one when it is answered), `observability_spans` (`tool.invoke`). None has arguments
//! or results by default. Rows of databases have times without a zone and columns of JSON as text. Entries of administration,
//! and of the log that are not about calls, are ignored.

mod log;
mod span;

use super::{LogFormat, shared::gateway, shared::host};
use crate::call::{Approval, Call, EventKind, Observer, Outcome, PayloadState, Text, TimeSource};
use crate::source::json::{self, Object};
use crate::source::{Decoded, Event, Lane, Record, Reject, time};

const ID: &str = "contextforge";

/// ContextForge exports.
pub struct ContextForge;

/// What a row is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    Audit,
    Log,
    Span,
    Security,
}

impl LogFormat for ContextForge {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "IBM ContextForge exports: audit trail, structured log, spans, SIEM (JSONL)"
    }
    fn evidence(&self) -> &'static str {
        "source code of IBM/mcp-context-forge; no production log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        // A payload of LiteLLM's has a type of call, and whatever members an operator adds.
        record
            .json
            .is_some_and(|object| !object.has("call_type") && (Table::of(object).is_some() || !page(object).is_empty()))
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(object) = record.json else { return Err(Reject::new("not a json object")) };
        if Table::of(object).is_some() {
            row(object, out);
        } else {
            page(object).into_iter().map(Object::trusted).for_each(|one| row(&one, out));
        }
        Ok(())
    }
    fn tolerates(&self, record: &Record<'_>) -> bool {
        // The gateway's ordinary log lines.
        record.json.is_some_and(|line| line.has("asctime") && line.has("levelname"))
    }
}

impl Table {
    fn of(object: &Object<'_>) -> Option<Self> {
        let all = |keys: &[&str]| keys.iter().all(|key| object.has(key));
        let of_gateway = || object.object("source").str("service").is_some_and(|service| service == "mcpgateway");
        match () {
            () if all(&["action", "resource_type", "success", "requires_review"]) => Some(Self::Audit),
            () if all(&["component", "message"]) && log::is_entry(object) => Some(Self::Log),
            () if all(&["span_id", "start_time", "attributes", "resource_name"]) => Some(Self::Span),
            () if all(&["event_type", "severity", "threat_score", "action_taken"]) => Some(Self::Security),
            () if all(&["schema_version", "event_id", "action_taken"]) && of_gateway() => Some(Self::Security),
            () => None,
        }
    }
}

/// The rows in an answer of the REST API.
fn page<'a>(object: &Object<'a>) -> Vec<&'a str> {
    if !object.has("total") && !object.has("log_count") {
        return Vec::new();
    }
    let lists = ["results", "logs", "audit_trails", "security_events"];
    let rows: Vec<_> = lists.iter().flat_map(|key| object.array(key)).collect();
    let known = rows.first().is_some_and(|first| Table::of(&Object::trusted(first)).is_some());
    if known { rows } else { Vec::new() }
}

fn row(object: &Object<'_>, out: &mut Decoded) {
    match Table::of(object) {
        Some(Table::Audit) => audit(object, out),
        Some(Table::Log) => log::entry(object, out),
        Some(Table::Span) => span::span(object, out),
        Some(Table::Security) => security(object, out),
        None => {}
    }
}

/// A call of this format, not yet filled.
fn new_call() -> Box<Call> {
    Box::new(Call {
        source_format: Text::const_new(ID),
        observer: Observer::Gateway,
        arguments_state: PayloadState::NotLogged,
        result_state: PayloadState::NotLogged,
        ..Call::default()
    })
}

/// A member that is an object, or the text of one.
fn nested(object: &Object<'_>, key: &str, look: impl FnOnce(&Object<'_>)) {
    match object.str(key) {
        Some(text) => look(&Object::parse(&text).unwrap_or_default()),
        None => look(&object.object(key)),
    }
}

/// The time of a row, and whether its zone was assumed.
fn stamp(object: &Object<'_>, key: &str, call: &mut Call) -> Option<i64> {
    let (time, assumed) = time::member(object, key)?;
    gateway::zone(call, assumed);
    Some(time)
}

/// Executions in the audit trail. Everything else in it is administration.
fn audit(row: &Object<'_>, out: &mut Decoded) {
    let action = row.str("action").unwrap_or_default().to_ascii_lowercase();
    let kind = row.str("resource_type").unwrap_or_default().to_ascii_lowercase();
    let method = match (action.as_str(), kind.as_str()) {
        ("execute" | "invoke" | "execute_tool" | "invoke_tool" | "call_tool", "tool") => "tools/call",
        ("execute" | "invoke" | "get_prompt" | "render_prompt", "prompt") => "prompts/get",
        ("execute" | "read_resource", "resource") => "resources/read",
        _ => return,
    };
    let mut call = new_call();
    call.method = Text::const_new(method);
    call.tool_call_id = row.text("id").or_else(|| number(row, "id"));
    call.time = stamp(row, "timestamp", &mut call);
    call.time_source = if call.time.is_some() { TimeSource::Record } else { TimeSource::default() };
    let name = row.text("resource_name").or_else(|| row.text("resource_id"));
    match method {
        "tools/call" => (call.tool, call.tool_raw) = (name.clone(), name),
        "prompts/get" => call.more().gen_ai_prompt_name = name,
        _ => call.more().mcp_resource_uri = name,
    }
    let success = row.get("success").map(|raw| matches!(raw.trim_matches('"'), "true" | "1"));
    call.outcome = match success {
        Some(true) => Outcome::Success,
        // The row does not say whether the tool, the protocol or the connection failed.
        Some(false) => Outcome::ToolError,
        None => Outcome::Unknown,
    };
    call.error_message = row.str("error_message").filter(|text| !text.is_empty()).map(|text| text.into_owned());
    nested(row, "context", |context| {
        let (details, metadata) = (context.object("details"), context.object("metadata"));
        let find = |key: &str| [context, &details, &metadata].iter().find_map(|place| place.get(key));
        if let Some(raw) = find("arguments").filter(|raw| raw.starts_with('{')) {
            (call.arguments, call.arguments_state) = (Some(raw.to_owned()), PayloadState::Present);
        }
        let server = ["gateway_name", "server_name"].iter().find_map(|key| find(key)).and_then(json::string);
        call.server = server.filter(|name| !name.is_empty()).map(|name| Text::from(name.as_ref()));
    });
    user(row, &mut call);
    let chain = row.get("delegation_chain").map(|raw| host::container(raw).unwrap_or_else(|| raw.to_owned()));
    call.more().delegation_chain = chain.filter(|raw| raw.starts_with('['));
    call.more().auth_method = row.text("auth_method");
    out.events.push(Event::Call { lane: Lane::default(), call });
}

fn number(row: &Object<'_>, key: &str) -> Option<Text> {
    row.get(key).filter(|raw| raw.bytes().all(|b| b.is_ascii_digit())).map(Text::from)
}

/// Who, and from where: the same columns in every table.
fn user(row: &Object<'_>, call: &mut Call) {
    call.user_id = row.text("user_id").or_else(|| row.text("user_email"));
    let more = call.more();
    more.user_email = row.text("user_email");
    more.client_address = row.text("client_ip");
    more.user_agent = row.text("user_agent");
    more.host_name = row.text("hostname");
    more.source_format_version = row.text("version");
    more.extra_json = gateway::extra([
        ("correlation_id", row.get("correlation_id")),
        ("request_id", row.get("request_id")),
        ("team_id", row.get("team_id")),
        ("acting_as", row.get("acting_as")),
        ("data_classification", row.get("data_classification")),
        ("resource_id", row.get("resource_id")),
        ("environment", row.get("environment")),
    ]);
}

/// A security event is a decision if it names a tool; most are about sign-in.
fn security(event: &Object<'_>, out: &mut Decoded) {
    let mut tool = None;
    for key in ["context", "metadata"] {
        nested(event, key, |place| tool = tool.take().or_else(|| place.text("tool_name")));
    }
    let Some(tool) = tool else { return };
    let actor = event.object("actor");
    let mut call = new_call();
    (call.event_kind, call.result_state) = (EventKind::Decision, PayloadState::None);
    call.method = Text::const_new("tools/call");
    (call.tool, call.tool_raw) = (Some(tool.clone()), Some(tool));
    call.tool_call_id = event.text("event_id").or_else(|| event.text("id"));
    call.time = stamp(event, "timestamp", &mut call);
    call.time_source = if call.time.is_some() { TimeSource::Record } else { TimeSource::default() };
    let action = event.str("action_taken").unwrap_or_default().to_ascii_lowercase();
    if ["block", "den", "reject"].iter().any(|word| action.starts_with(word)) {
        (call.outcome, call.approval) = (Outcome::Denied, Approval::PolicyDenied);
    }
    call.error_message = event.str("description").filter(|text| !text.is_empty()).map(|text| text.into_owned());
    user(if actor.is_empty() { event } else { &actor }, &mut call);
    call.more().approval_source = event.text("event_type");
    out.events.push(Event::Call { lane: Lane::default(), call });
}

#[cfg(test)]
mod tests;
