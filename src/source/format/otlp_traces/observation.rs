//! A span as products for tracing model applications keep it: a row with a type, input, output and free metadata.
//!
//! They hold MCP by convention only. A row is a call if its metadata says so in the words of the semantic conventions, which
//! products keep from the spans they were sent, or if a tool's name, metadata or tags name MCP. Everything else is noise:
//! tools of an application are mostly its own functions.

use super::call;
use super::outcome;
use super::span::{Attributes, Kind, Span};
use crate::call::{Call, Flag, Nanos, Outcome, PayloadState, Text};
use crate::source::json::{self, Object};
use std::borrow::Cow;

/// Names of a server in metadata, beside those of spans.
const SERVER: &[&str] = &["mcp_server", "mcp_server_label", "mcp.server", "mcpServer", "mcpServerName"];
/// Hints that LangChain's adapter copies from a tool's definition; nobody else has them.
const HINTS: [&str; 4] = ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"];

/// One row.
#[derive(Default)]
pub(in crate::source::format) struct Observation<'a> {
    pub name: Option<&'a str>,
    /// The product says that it is the run of a tool.
    pub is_tool: bool,
    pub trace_id: Option<Text>,
    pub id: Option<Text>,
    pub parent: Option<Text>,
    pub start: Option<Nanos>,
    pub end: Option<Nanos>,
    pub zone_assumed: bool,
    pub failed: bool,
    pub message: Option<Cow<'a, str>>,
    /// Metadata, the innermost first.
    pub attributes: Attributes<'a>,
    pub resource: Attributes<'a>,
    /// JSON strings, members of the row.
    pub session: Option<&'a str>,
    pub user: Option<&'a str>,
    pub agent: Option<&'a str>,
    pub input: Option<&'a str>,
    pub output: Option<&'a str>,
    /// Whether one of its tags is `mcp`.
    pub tagged: bool,
}

impl Observation<'_> {
    /// The call that the row describes; `None` if it is none of an MCP server's.
    pub(in crate::source::format) fn call(mut self, format: &'static str) -> Option<Call> {
        let annotated = HINTS.iter().any(|key| self.attributes.get(key).is_some());
        let hints = HINTS.map(|key| self.attributes.string(&[key]).and_then(|text| text.parse::<bool>().ok()));
        let name = self.name.and_then(json::string).unwrap_or_default();
        let marked = self.tagged || annotated || name.starts_with("mcp__") || self.attributes.any_key(&["mcp"]);
        for (key, value) in [
            ("gen_ai.conversation.id", self.session),
            ("user.id", self.user),
            ("gen_ai.agent.name", self.agent),
            ("mcp.server.name", SERVER.iter().find_map(|key| self.attributes.get(key))),
        ] {
            if let Some(value) = value.filter(|value| *value != "null") {
                self.attributes.set(key, value);
            }
        }
        if let Some(input) = self.input.map(arguments).filter(|raw| *raw != "null") {
            self.attributes.set("gen_ai.tool.call.arguments", input);
        }
        let output = self.output.map(|raw| only(raw, "output")).filter(|raw| *raw != "null");
        if let Some(output) = output {
            self.attributes.set("gen_ai.tool.call.result", output);
        }
        let kind = match self.attributes.string(&["span.kind"]).unwrap_or_default().to_ascii_lowercase().as_str() {
            "server" => Kind::Server,
            _ => Kind::Client,
        };
        let mut span = Span {
            trace_id: self.trace_id,
            id: self.id,
            parent: self.parent,
            name,
            kind,
            start: self.start,
            end: self.end,
            failed: self.failed,
            message: self.message.filter(|text| !text.is_empty()),
            exception: None,
            attributes: self.attributes,
            resource: 0,
        };
        let method = match call::method(&span, &self.resource) {
            Some((method, _)) => method,
            None if self.is_tool && marked => Text::const_new("tools/call"),
            None => return None,
        };
        let unnamed = span.attributes.string(call::TOOL).is_none() && call::name_parts(&span.name).is_none();
        if let Some(name) = self.name.filter(|_| self.is_tool && unnamed && method == "tools/call") {
            span.attributes.set("gen_ai.tool.name", name);
        }
        let mut call = call::call(format, &span, &self.resource, &[&span.attributes], method);
        ending(&mut call, &span, output);
        if annotated {
            let more = call.more();
            [more.ann_read_only, more.ann_destructive, more.ann_idempotent, more.ann_open_world] = hints;
        }
        if self.zone_assumed {
            call.flag(Flag::ZoneAssumed);
            call.more().time_zone_assumed = true;
        }
        Some(call)
    }
}

/// Says more exactly how the call ended: by what a message of LangChain says of itself, and by the words of the error. Without
/// an end it has not ended.
fn ending(call: &mut Call, span: &Span<'_>, output: Option<&str>) {
    let message = message_of(output.unwrap_or_default());
    if call.tool_call_id.is_none() {
        let id = span.attributes.text(&["tool_call_id", "tool_use_id"]);
        call.tool_call_id = message.text("tool_call_id").or(id);
    }
    let plain = call.outcome == Outcome::ToolError && call.is_error.is_none() && call.error_type.is_none();
    if plain {
        let text = call.error_message.take();
        outcome::told(call, None, text.as_deref());
    } else if call.outcome == Outcome::Success && message.str("status").is_some_and(|status| status == "error") {
        let text = message.str("content");
        outcome::told(call, None, text.as_deref());
    } else if call.outcome == Outcome::Success && span.end.is_none() && call.result.is_none() {
        call.outcome = Outcome::NoResponse;
        call.result_state = PayloadState::None;
    }
}

/// The members of a message of LangChain, as it is or serialised.
fn message_of(output: &str) -> Object<'_> {
    let message = Object::trusted(output);
    if message.has("kwargs") && message.has("lc") { message.object("kwargs") } else { message }
}

/// The arguments in an input: alone, or what LangChain and the protocol put around them.
fn arguments(raw: &str) -> &str {
    let object = Object::trusted(raw);
    let inner = object.get("arguments").filter(|_| object.has("name") && object.members().len() <= 3);
    if let Some(inner) = inner.filter(|inner| inner.starts_with('{')) {
        return inner;
    }
    only(raw, "input")
}

/// The one member of an object, if it has this name.
fn only<'a>(raw: &'a str, key: &str) -> &'a str {
    let object = Object::trusted(raw);
    object.get(key).filter(|_| object.members().len() == 1).unwrap_or(raw)
}
