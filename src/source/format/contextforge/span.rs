//! Rows of `observability_spans`: one span around each call that the gateway passes on.

use super::{nested, new_call, stamp, user};
use crate::call::{DurationSource, Outcome, Text, TimeSource};
use crate::source::format::shared::gateway;
use crate::source::json::Object;
use crate::source::{Decoded, Event, Lane};

/// Spans that are calls, and the attributes that name what is called.
const SPANS: &[(&str, &str, &[&str])] = &[
    ("tool.invoke", "tools/call", &["tool.name", "mcp.tool.name", "gen_ai.tool.name"]),
    ("prompt.render", "prompts/get", &["prompt.id", "prompt.name", "gen_ai.prompt.name"]),
    ("resource.read", "resources/read", &["resource.uri", "mcp.resource.uri"]),
];

pub(super) fn span(row: &Object<'_>, out: &mut Decoded) {
    let name = row.str("name").unwrap_or_default();
    let Some((_, method, names)) = SPANS.iter().find(|(span, ..)| *span == name) else { return };
    let mut call = new_call();
    call.method = Text::const_new(method);
    call.time = stamp(row, "start_time", &mut call);
    call.time_end = stamp(row, "end_time", &mut call);
    call.time_source = if call.time.is_some() { TimeSource::Span } else { TimeSource::default() };
    call.duration_ns = gateway::milliseconds(row, "duration_ms");
    call.duration_source = call.duration_ns.map(|_| DurationSource::Measured);
    call.trace_id = row.text("trace_id");
    call.span_id = row.text("span_id");
    call.parent_span_id = row.text("parent_span_id");
    call.outcome = match row.str("status").unwrap_or_default().to_ascii_lowercase().as_str() {
        "ok" => Outcome::Success,
        "error" => Outcome::ToolError,
        _ => Outcome::Unknown,
    };
    user(row, &mut call);
    let mut target = None;
    nested(row, "attributes", |attributes| {
        target = names.iter().find_map(|key| attributes.text(key));
        let server = ["gateway.name", "tool.gateway_name", "server.name", "tool.gateway_id", "gateway.id"];
        call.server = server.iter().find_map(|key| attributes.text(key));
        call.user_id =
            call.user_id.take().or_else(|| attributes.text("user.email").or_else(|| attributes.text("user")));
        if attributes.bool("success") == Some(false) {
            call.outcome = Outcome::ToolError;
        }
        call.error_message =
            attributes.str("error.message").or_else(|| row.str("status_message")).map(|t| t.into_owned());
        if call.outcome != Outcome::Success {
            call.error_type = attributes.text("error.type");
        }
    });
    let target = target.or_else(|| row.text("resource_name"));
    match *method {
        "tools/call" => (call.tool, call.tool_raw) = (target.clone(), target),
        "prompts/get" => call.more().gen_ai_prompt_name = target,
        _ => call.more().mcp_resource_uri = target,
    }
    out.events.push(Event::Call { lane: Lane::default(), call });
}
