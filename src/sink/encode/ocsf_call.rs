//! The calls of an alert as OCSF API Activity events (class 6003) with the profile `ai_operation`, one event a call.
//!
//! A call of a tool is activity Other, since what it does is the tool's own affair; methods that list or read are Read. In version 1.9.0 the
//! profile has an object for the agent. The events name the alert in `unmapped.calltrail.alert_id`.

use super::facts::{millis, operation, risk, span};
use super::object::Attributes;
use super::{OcsfVersion, Shown, ocsf};
use crate::alert::CallEvidence;
use serde_json::{Value, json};

/// Makes the events, in the order of the alert's calls.
pub fn encode(shown: &Shown<'_>) -> Vec<Value> {
    shown.alert.calls.iter().map(|call| event(call, shown)).collect()
}

fn event(call: &CallEvidence, shown: &Shown<'_>) -> Value {
    let alert = shown.alert;
    let version = shown.options.ocsf_version;
    let (activity_id, activity) = activity(&call.method);
    let (status_id, status) = status(&call.outcome);
    let context = message_context(call);
    let agent = if version < OcsfVersion::V1_9 { Attributes::new() } else { ocsf::ai_agent(call) };
    let has_profile = !context.is_empty() || !agent.is_empty();
    let metadata = Attributes::new()
        .with("version", version.as_str())
        .with("uid", call.call_id.as_str())
        .maybe("correlation_uid", call.session_id.as_deref())
        .with("log_name", "mcp-audit")
        .maybe("log_source", call.source_file.as_deref())
        .with("profiles", if has_profile { json!(["ai_operation"]) } else { json!([]) })
        .maybe("is_truncated", shown.full_bytes.map(|_| true))
        .maybe("untruncated_size", shown.full_bytes)
        .with("product", ocsf::product());
    let mut actor = ocsf::actor(call);
    if actor.is_empty() {
        actor = actor.with("app_name", "unknown");
    }
    // Who sent the call is known by name only; addresses are in few logs and in no alert.
    let source = [&call.agent, &call.session_id].into_iter().flatten().find(|name| !name.is_empty());
    let own = Attributes::new()
        .with("alert_id", alert.alert_id.as_str())
        .maybe("arguments", call.arguments.as_deref())
        .maybe("result_text", call.result_text.as_deref())
        .with("approval", call.approval.as_str())
        .maybe("source_line", call.source_line);
    let tool = call.tool.as_deref().map(|tool| {
        let server = call.server.as_deref().unwrap_or_default();
        json!({"uid": format!("mcp-tool:{server}/{tool}"), "name": tool, "type": "MCP tool"})
    });
    Attributes::new()
        .with("metadata", metadata)
        .with("category_uid", 6)
        .with("category_name", "Application Activity")
        .with("class_uid", 6003)
        .with("class_name", "API Activity")
        .with("activity_id", activity_id)
        .with("activity_name", activity)
        .with("type_uid", 600_300 + activity_id)
        .with("type_name", format!("API Activity: {activity}"))
        .with("time", millis(call.time.unwrap_or_else(|| span(alert).0)))
        .with("timezone_offset", 0)
        .with("severity_id", 1)
        .with("severity", "Informational")
        .with("status_id", status_id)
        .with("status", status)
        .text("status_code", Some(&call.outcome))
        .with("message", format!("MCP {}", operation(call)))
        .with("actor", actor)
        .with("api", ocsf::api(call))
        .with("src_endpoint", json!({"name": source.map_or("unknown", String::as_str)}))
        .object("message_context", context)
        .object("ai_agent", agent)
        .list("resources", tool)
        .with("unmapped", json!({"calltrail": Value::from(own.with("alert_risk", risk(alert.finding.level)))}))
        .into()
}

/// The call in its conversation; the schema wants the service or the application named.
fn message_context(call: &CallEvidence) -> Attributes<'_> {
    let service = call.server.as_deref().map(named);
    let application = call.agent.as_deref().map(named);
    if service.is_none() && application.is_none() {
        return Attributes::new();
    }
    Attributes::new()
        .maybe("uid", call.session_id.as_deref())
        .with("ai_role_id", 3)
        .with("ai_role", "Tool")
        .maybe("service", service)
        .maybe("application", application)
}

fn activity(method: &str) -> (i64, &'static str) {
    match method {
        method if method.ends_with("/list") || method.ends_with("/read") || method.ends_with("/get") => (2, "Read"),
        "" | "unknown" => (0, "Unknown"),
        _ => (99, "Other"),
    }
}

fn status(outcome: &str) -> (i64, &'static str) {
    match outcome {
        "success" => (1, "Success"),
        "tool_error" | "protocol_error" | "transport_error" | "denied" | "timeout" => (2, "Failure"),
        "" | "unknown" => (0, "Unknown"),
        _ => (99, "Other"),
    }
}

fn named(name: &str) -> Attributes<'_> {
    Attributes::new().with("name", name)
}
