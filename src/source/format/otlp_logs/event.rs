//! What agents' own events say: Claude Code (`claude_code.*`), Codex (`codex.*`), Gemini CLI and its forks.
//!
//! The end of a tool's run and the decision about it are events of their own with the same id. A decision in favour becomes an
//! open call, which the event of its end completes; a refusal is all that there is of a call that was refused.

use super::super::otlp_traces::{call, outcome, span::Attributes};
use super::{ID, LogRecord, cut, duration};
use crate::call::{Approval, Call, DurationSource, EventKind, Flag, Observer, Outcome, PayloadState, Prompt};
use crate::call::{SessionSource, Text, TimeSource};
use crate::source::json::Object;
use crate::source::{Decoded, Event, Lane};
use std::borrow::Cow;

/// Prefixes of the events' names, and what the agents are called in their other logs.
const AGENTS: &[(&str, &str)] =
    &[("claude_code", "claude-code"), ("codex", "codex"), ("gemini_cli", "gemini-cli"), ("qwen-code", "qwen-code")];
/// What stands in place of a prompt that is not logged.
const REDACTED: &[&str] = &["<REDACTED>", "[REDACTED]"];

const SESSION: &[&str] = &["session.id", "conversation.id", "conversation_id", "gen_ai.conversation.id"];
const CALL_ID: &[&str] = &["tool_use_id", "call_id", "gen_ai.tool.call.id"];
const TOOL: &[&str] = &["tool_name", "function_name"];
const SERVER: &[&str] = &["mcp_server_name", "mcp_server", "server_name"];
const USER: &[&str] = &["enduser.id", "user.id", "user.account_uuid", "user.account_id"];
const EMAIL: &[&str] = &["user.email"];
/// Which uses of tools are asked about.
const MODE: &[&str] = &["active_approval_mode", "permission_mode"];
/// What has no column.
const EXTRA: &[&str] = &[
    "mcp_server_scope",
    "mcp_server_origin",
    "server_scope",
    "status",
    "is_plugin",
    "plugin.name",
    "extension_name",
    "organization.id",
    "terminal.type",
    "prompt.id",
    "prompt_id",
    "agent_name",
    "from_mode",
    "workflow.run_id",
];
const EXTRA_VALUE_MAX: usize = 256;

/// An agent's event.
pub(super) struct Producer {
    agent: &'static str,
    /// The event's name without the agent.
    event: String,
}

impl Producer {
    /// Which agent's which event the record is; `None` if it is no agent's that we know.
    pub(super) fn of(record: &LogRecord<'_>, resource: &Attributes<'_>) -> Option<Self> {
        let named = record.attributes.string(&["event.name"]);
        let names = [named.as_deref(), record.name.as_deref(), record.body.as_deref()];
        for name in names.into_iter().flatten() {
            let parts = name.split_once('.');
            if let Some((agent, event)) = parts.and_then(|(prefix, event)| Some((agent(prefix)?, event))) {
                return Some(Self { agent, event: event.to_owned() });
            }
        }
        // The event alone, and the agent as the service.
        let service = resource.string(&["service.name"])?;
        let (_, agent) = AGENTS.iter().find(|(_, agent)| service == *agent)?;
        Some(Self { agent, event: named?.into_owned() })
    }

    pub(super) fn emit(&self, record: &LogRecord<'_>, resource: &Attributes<'_>, out: &mut Decoded) {
        match self.event.as_str() {
            "tool_result" | "tool_call" => self.ended(record, resource, out),
            "tool_decision" => self.decided(record, resource, out),
            "user_prompt" => self.prompt(record, out),
            "mcp_server_connection" => self.connection(record, resource, out),
            "permission_mode_changed" => self.mode(record, resource, out),
            _ => {}
        }
    }

    /// A call of this agent with everything that all of its events have.
    fn blank(&self, record: &LogRecord<'_>, resource: &Attributes<'_>) -> Box<Call> {
        let attributes = &record.attributes;
        let mut call = Box::new(Call {
            source_format: Text::const_new(ID),
            observer: Observer::HostTranscript,
            session_id: attributes.text(SESSION).or_else(|| resource.text(SESSION)),
            session_source: SessionSource::Conversation,
            agent: Some(Text::const_new(self.agent)),
            client_name: Some(Text::const_new(self.agent)),
            client_version: attributes.text(&["app.version"]).or_else(|| resource.text(&["service.version"])),
            user_id: [USER, EMAIL].into_iter().find_map(|keys| attributes.text(keys).or_else(|| resource.text(keys))),
            trace_id: record.trace_id.clone(),
            // The event stands in the span, but is not it.
            parent_span_id: record.span_id.clone(),
            ..Call::default()
        });
        if call.session_id.is_none() {
            call.session_id.clone_from(&call.trace_id);
            call.session_source = SessionSource::Trace;
        }
        let extra: serde_json::Map<_, _> = EXTRA
            .iter()
            .filter_map(|key| Some((key, attributes.string(&[key])?)))
            .filter(|(_, value)| value.len() <= EXTRA_VALUE_MAX)
            .map(|(key, value)| ((*key).to_owned(), serde_json::Value::from(value.into_owned())))
            .collect();
        let more = call.more();
        more.user_email = attributes.text(EMAIL).or_else(|| resource.text(EMAIL));
        more.approval_policy = attributes.text(MODE).or_else(|| resource.text(MODE));
        more.auth_method = attributes.text(&["auth_mode"]);
        more.gen_ai_request_model = attributes.text(&["model"]);
        more.host_name = resource.text(&["host.name"]);
        more.extra_json = (!extra.is_empty()).then(|| serde_json::Value::Object(extra).to_string());
        call
    }

    /// The request side of a tool event, if the tool is one of an MCP server.
    fn requested(&self, record: &LogRecord<'_>, resource: &Attributes<'_>) -> Option<Box<Call>> {
        let attributes = &record.attributes;
        let parameters = attributes.string(&["tool_parameters"]).unwrap_or(Cow::Borrowed(""));
        let parameters = Object::parse(&parameters).unwrap_or_default();
        let raw = attributes.text(TOOL);
        let server = parameters.text("mcp_server_name").or_else(|| attributes.text(SERVER));
        let split = raw.as_deref().and_then(|raw| raw.strip_prefix("mcp__")).and_then(|rest| rest.split_once("__"));
        let is = |key: &str, value: &str| attributes.string(&[key]).is_some_and(|text| text == value);
        let ours = server.is_some()
            || split.is_some()
            || raw.as_deref() == Some(UNNAMED)
            || attributes.get("mcp_server_scope").is_some()
            || is("tool_type", "mcp")
            || is("mcp_tool", "true");
        if !ours || is("tool_type", "native") {
            return None;
        }
        let mut call = self.blank(record, resource);
        call.method = Text::const_new("tools/call");
        call.tool_call_id = attributes.text(CALL_ID);
        call.tool = parameters.text("mcp_tool_name");
        if call.tool.is_none() {
            call.tool = match split {
                Some((_, tool)) if !tool.is_empty() => {
                    call.flag(Flag::NameSplit);
                    Some(Text::from(tool))
                }
                _ => raw.as_deref().filter(|raw| *raw != UNNAMED).map(|raw| unprefixed(raw, server.as_deref())),
            };
        }
        call.server =
            server.or_else(|| split.map(|(server, _)| Text::from(server)).filter(|server| !server.is_empty()));
        call.tool_raw = raw;
        call.arguments_state = PayloadState::NotLogged;
        call.arguments_bytes = size(attributes, "tool_input_size_bytes");
        if let Some(value) = ["tool_input", "arguments", "function_args"].iter().find_map(|key| attributes.get(key)) {
            let (arguments, state, bytes) = call::payload(value, PayloadState::Summarised);
            (call.arguments, call.arguments_state) = (arguments, state);
            // Claude Code cuts long values inside the JSON, which then is shorter than it says.
            if call.arguments_bytes.is_some_and(|full| bytes.is_some_and(|bytes| full > bytes)) {
                call.arguments_state = call.arguments_state.min(PayloadState::Truncated);
            }
            if call.arguments_state == PayloadState::Truncated {
                cut(&mut call);
            }
            call.arguments_bytes = call.arguments_bytes.or(bytes);
        }
        Some(call)
    }

    /// A tool has ended.
    fn ended(&self, record: &LogRecord<'_>, resource: &Attributes<'_>, out: &mut Decoded) {
        let Some(mut call) = self.requested(record, resource) else { return };
        let attributes = &record.attributes;
        let (decision, source) =
            (attributes.string(&["decision_type", "decision"]), attributes.string(&["decision_source", "source"]));
        approve(&mut call, decision.as_deref(), source);
        result(&mut call, attributes);
        times(&mut call, record);
        if call.outcome == Outcome::Denied {
            // It measures how long somebody thought about it.
            (call.duration_ns, call.duration_source, call.time_end) = (None, None, None);
        } else {
            ending(&mut call, attributes);
        }
        emit(call, out);
    }

    /// Somebody or something has decided whether a tool may run.
    fn decided(&self, record: &LogRecord<'_>, resource: &Attributes<'_>, out: &mut Decoded) {
        let Some(mut call) = self.requested(record, resource) else { return };
        let attributes = &record.attributes;
        approve(&mut call, attributes.string(&["decision"]).as_deref(), attributes.string(&["source"]));
        call.time = record.time;
        call.time_source = TimeSource::Record;
        if call.outcome != Outcome::Denied {
            // Without an id and a session nothing would find the event of its end.
            if call.tool_call_id.is_none() || call.session_source != SessionSource::Conversation {
                return;
            }
            call.outcome = Outcome::NoResponse;
        }
        emit(call, out);
    }

    fn prompt(&self, record: &LogRecord<'_>, out: &mut Decoded) {
        let attributes = &record.attributes;
        let text = attributes.string(&["prompt"]).unwrap_or_default();
        let text = text.trim();
        if text.is_empty() || REDACTED.contains(&text) {
            return;
        }
        out.events.push(Event::Prompt(Box::new(Prompt {
            session_id: attributes.text(SESSION),
            time: record.time,
            text: text.to_owned(),
            native_id: attributes.text(&["prompt.id", "prompt_id"]),
            agent: Some(Text::const_new(self.agent)),
            client_name: Some(Text::const_new(self.agent)),
            source_format: Text::const_new(ID),
            ..Prompt::default()
        })));
    }

    /// The agent has connected to a server, has failed to, or has lost it.
    fn connection(&self, record: &LogRecord<'_>, resource: &Attributes<'_>, out: &mut Decoded) {
        let attributes = &record.attributes;
        let mut call = self.blank(record, resource);
        call.event_kind = EventKind::Connection;
        call.server = attributes.text(SERVER);
        call.transport = attributes.string(&["transport_type"]).map(|transport| match transport.as_ref() {
            "streamable-http" | "streamable_http" | "streamableHttp" => Text::const_new("http"),
            other => Text::from(other),
        });
        match attributes.string(&["status"]).unwrap_or_default().as_ref() {
            "connected" => call.outcome = Outcome::Success,
            "failed" => {
                call.outcome = Outcome::TransportError;
                call.error_type = attributes.text(&["error_code"]).or(Some(Text::const_new("transport_error")));
                call.error_message = attributes.string(&["error"]).map(Cow::into_owned);
            }
            _ => {}
        }
        times(&mut call, record);
        emit(call, out);
    }

    /// Which uses of tools are asked about from now on.
    fn mode(&self, record: &LogRecord<'_>, resource: &Attributes<'_>, out: &mut Decoded) {
        let mut call = self.blank(record, resource);
        call.event_kind = EventKind::Decision;
        call.time = record.time;
        call.time_source = TimeSource::Record;
        let more = call.more();
        more.approval_policy = record.attributes.text(&["to_mode"]);
        more.approval_source = record.attributes.text(&["trigger"]);
        emit(call, out);
    }
}

/// The name of every MCP tool where names are not logged.
const UNNAMED: &str = "mcp_tool";

fn agent(prefix: &str) -> Option<&'static str> {
    AGENTS.iter().find(|(name, _)| *name == prefix).map(|(_, agent)| *agent)
}

fn emit(call: Box<Call>, out: &mut Decoded) {
    // Two events of one moment that have no id differ in these.
    let mut lane = call.session_id.clone().unwrap_or_default();
    for part in [&call.server, &call.tool_raw, &call.error_type] {
        lane.push('|');
        lane.push_str(part.as_deref().unwrap_or_default());
    }
    out.events.push(Event::Call { lane: Lane::from(lane), call });
}

/// A tool's name without what Gemini CLI puts in front of it.
fn unprefixed(raw: &str, server: Option<&str>) -> Text {
    let rest = raw.strip_prefix("mcp_").unwrap_or(raw);
    let rest = server.and_then(|server| rest.strip_prefix(server));
    let tool = rest.and_then(|rest| rest.strip_prefix("__").or_else(|| rest.strip_prefix('_')));
    Text::from(tool.filter(|tool| !tool.is_empty()).unwrap_or(raw))
}

fn size(attributes: &Attributes<'_>, key: &str) -> Option<i64> {
    attributes.string(&[key]).and_then(|text| text.parse().ok()).filter(|bytes| *bytes >= 0)
}

/// Who decided what. The words differ: `accept`, `approved_for_session`, `auto_accept`, `modify`; `reject`, `denied`, `abort`.
fn approve(call: &mut Call, decision: Option<&str>, source: Option<Cow<'_, str>>) {
    let Some(decision) = decision else { return };
    let has = |words: &[&str]| words.iter().any(|word| decision.contains(word));
    let (allowed, denied) = (has(&["accept", "approve", "modify"]), has(&["reject", "denied", "abort"]));
    // Gemini CLI names no source: whatever is not automatic was the user's.
    let by_user = match source.as_deref() {
        Some(source) => source.contains("user"),
        None => !decision.contains("auto"),
    };
    call.approval = match (allowed, denied, by_user) {
        (_, true, true) => Approval::UserDenied,
        (_, true, false) => Approval::PolicyDenied,
        (true, false, true) => Approval::UserAllowed,
        (true, false, false) => Approval::AutoAllowed,
        (false, false, _) => return,
    };
    if denied {
        call.outcome = Outcome::Denied;
    }
    call.more().approval_source = source.map(Text::from);
}

fn result(call: &mut Call, attributes: &Attributes<'_>) {
    let denied = call.outcome == Outcome::Denied;
    call.result_state = if denied { PayloadState::None } else { PayloadState::NotLogged };
    call.result_bytes = size(attributes, "tool_result_size_bytes").or_else(|| size(attributes, "content_length"));
    let output = ["output", "function_response"].iter().find_map(|key| attributes.get(key));
    if let Some(output) = output.filter(|_| !denied) {
        let (result, state, bytes) = call::payload(output, PayloadState::Present);
        (call.result, call.result_state) = (result, state);
        if attributes.string(&["output_truncated"]).is_some_and(|text| text == "true") {
            call.result_state = PayloadState::Truncated;
            cut(call);
        }
        call.result_bytes = call.result_bytes.or(bytes);
    }
}

/// The event is written when the call has ended; some hold both ends.
fn times(call: &mut Call, record: &LogRecord<'_>) {
    let attributes = &record.attributes;
    let stamp = |key: &str| {
        let millis = attributes.string(&[key])?.parse::<f64>().ok().filter(|millis| *millis > 1e9 && *millis < 1e16)?;
        Some(crate::source::time::epoch(millis as i64))
    };
    call.duration_ns = duration(attributes);
    call.duration_source = call.duration_ns.map(|_| DurationSource::Measured);
    call.time_end = stamp("end_time").or(record.time);
    (call.time, call.time_source) = match (stamp("start_time"), call.time_end, call.duration_ns) {
        (Some(start), ..) => (Some(start), TimeSource::Record),
        (None, Some(end), Some(duration)) => (end.checked_sub(duration), TimeSource::EndMinusDuration),
        (None, end, _) => (end, TimeSource::Record),
    };
}

/// How the call ended. The events say that it failed, and why only in the words of the error.
fn ending(call: &mut Call, attributes: &Attributes<'_>) {
    match attributes.string(&["success"]).as_deref() {
        Some("true") => call.outcome = Outcome::Success,
        Some("false") => {
            let kind = attributes.string(&["error_type"]);
            let message = attributes.string(&["error", "error_message"]);
            outcome::told(call, kind.as_deref(), message.as_deref());
        }
        _ => {}
    }
}
