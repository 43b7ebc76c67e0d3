//! An alert as an OCSF Detection Finding (class 2004), activity Create, in version 1.8.0 or 1.9.0.
//!
//! The class takes no AI profile in either version, so what is particular to MCP stands in `evidences[].api`, `.actor` and `.data`, and in
//! 1.9.0 in `evidences[].ai_agent`; what has no place at all stands under `unmapped.calltrail`. The calls as events of their own are in
//! [`ocsf_call`](super::ocsf_call). Times are epoch milliseconds. Attributes without a value are left out: the schema allows no null.

use super::facts::{PRODUCT, VERSION, millis, operation, percent, risk, span};
use super::object::{Attributes, Node};
use super::{OcsfVersion, Shown};
use crate::alert::taxonomy::{self, Tag};
use crate::alert::{Alert, CallEvidence, Kind, Level, time_text};
use serde_json::{Value, json};

/// Names of calls that a finding lists; the count says how many there are.
const MAX_RELATED: usize = 100;

/// Makes the event.
pub fn encode(shown: &Shown<'_>) -> Value {
    event(shown).into()
}

/// The event, to be put into another or written.
pub(in crate::sink) fn event<'a>(shown: &Shown<'a>) -> Attributes<'a> {
    let alert = shown.alert;
    let version = shown.options.ocsf_version;
    let finding = &alert.finding;
    let (severity_id, severity) = severity(finding.level);
    let suppressed = alert.suppressed_by.as_deref();
    let percent = percent(alert);
    let (start, end) = span(alert);
    let (confidence_id, confidence) = confidence(percent, &finding.status);
    let session = finding.entity.session_id.as_deref();

    let metadata = Attributes::new()
        .with("version", version.as_str())
        .with("uid", alert.alert_id.as_str())
        .maybe("correlation_uid", session)
        .with("event_code", finding.rule_id.as_str())
        .with("labels", finding.tags.as_slice())
        .with("log_name", "mcp-audit")
        .with("profiles", Node::List(Vec::new()))
        .maybe("is_truncated", shown.full_bytes.map(|_| true))
        .maybe("untruncated_size", shown.full_bytes)
        .with("product", product());

    Attributes::new()
        .with("metadata", metadata)
        .with("category_uid", 2)
        .with("category_name", "Findings")
        .with("class_uid", 2004)
        .with("class_name", "Detection Finding")
        .with("activity_id", 1)
        .with("activity_name", "Create")
        .with("type_uid", 200_401)
        .with("type_name", "Detection Finding: Create")
        .with("time", millis(alert.time()))
        .with("start_time", millis(start))
        .with("end_time", millis(end))
        .with("duration", millis(end).saturating_sub(millis(start)))
        .with("timezone_offset", 0)
        .with("severity_id", severity_id)
        .with("severity", severity)
        .with("status_id", if suppressed.is_some() { 3 } else { 1 })
        .with("status", if suppressed.is_some() { "Suppressed" } else { "New" })
        .maybe("status_detail", suppressed.map(|id| format!("suppressed by {id}")))
        .with("is_alert", suppressed.is_none())
        .with("confidence_id", confidence_id)
        .with("confidence", confidence)
        .maybe("confidence_score", percent)
        .with("risk_score", risk(finding.level))
        .with("risk_level_id", severity_id - 1)
        .with("risk_level", if severity_id == 1 { "Info" } else { severity })
        .with("message", finding.message.as_deref().unwrap_or(&finding.rule_title))
        .with("finding_info", finding_info(alert))
        .list("evidences", alert.calls.iter().map(|call| evidence(call, version)))
        .list("observables", observables(alert))
        .list("resources", resources(alert))
        .with("unmapped", Attributes::new().with("calltrail", unmapped(alert)))
}

/// Who made the event.
pub(super) fn product() -> Attributes<'static> {
    Attributes::new().with("name", PRODUCT).with("vendor_name", PRODUCT).with("version", VERSION)
}

/// Severity id and its caption; the risk level is the id less one.
fn severity(level: Level) -> (i64, &'static str) {
    match level {
        Level::Informational => (1, "Informational"),
        Level::Low => (2, "Low"),
        Level::Medium => (3, "Medium"),
        Level::High => (4, "High"),
        Level::Critical => (5, "Critical"),
    }
}

/// The detector's own score decides; without one, how settled the rule is.
fn confidence(percent: Option<i64>, status: &str) -> (i64, &'static str) {
    match (percent, status) {
        (Some(0..=33), _) | (None, "experimental") => (1, "Low"),
        (Some(34..=66), _) | (None, "test") => (2, "Medium"),
        (Some(_), _) | (None, "stable") => (3, "High"),
        (None, _) => (0, "Unknown"),
    }
}

fn finding_info(alert: &Alert) -> Attributes<'_> {
    let finding = &alert.finding;
    let (type_id, type_name) = match finding.kind {
        Kind::Rule => (1, "Rule"),
        Kind::Model => (4, "Learning (ML/DL)"),
    };
    let analytic = Attributes::new()
        .with("type_id", type_id)
        .with("type", type_name)
        .with("uid", finding.rule_id.as_str())
        .with("name", finding.rule_title.as_str())
        .with("version", finding.rule_version.as_str())
        .with("state_id", if finding.status == "experimental" { 3 } else { 1 })
        .with("state", if finding.status == "experimental" { "Experimental" } else { "Active" });
    let related = finding.call_ids.iter().take(MAX_RELATED);
    let related = related.map(|id| uid(id).with("type", "MCP call"));
    Attributes::new()
        .with("uid", alert.alert_id.as_str())
        .with("title", finding.rule_title.as_str())
        .with("desc", finding.description.as_str())
        .with("created_time", millis(alert.time()))
        .with("first_seen_time", millis(finding.first_seen))
        .with("last_seen_time", millis(finding.last_seen))
        .with("data_sources", Node::List(vec!["mcp-audit".into()]))
        .with("analytic", analytic)
        .list("attacks", finding.tags.iter().filter_map(|tag| attack(tag)))
        .list("tags", finding.tags.iter().filter_map(|tag| other_tag(tag)))
        .list("related_events", related)
        .with("related_events_count", alert.calls_total)
}

/// A tag of ATT&CK or ATLAS as OCSF's `attack` object.
fn attack(tag: &str) -> Option<Attributes<'_>> {
    let named = |id: String, name: Option<&'static str>| Attributes::new().with("uid", id).maybe("name", name);
    let object = match taxonomy::read(tag) {
        Tag::Tactic { version, id, name } => Attributes::new().with("version", version).with("tactic", named(id, name)),
        Tag::Technique { version, id, name } => {
            Attributes::new().with("version", version).with("technique", named(id, name))
        }
        Tag::SubTechnique { version, id, name, sub_id, sub_name } => Attributes::new()
            .with("version", version)
            .with("technique", named(id, name))
            .with("sub_technique", named(sub_id, sub_name)),
        Tag::Other { .. } => return None,
    };
    Some(object)
}

/// A tag of any other scheme as key and value.
fn other_tag(tag: &str) -> Option<Attributes<'_>> {
    match taxonomy::read(tag) {
        Tag::Other { scheme, value } if !value.is_empty() => {
            let name = if scheme.is_empty() { "tag" } else { scheme };
            Some(Attributes::new().with("name", name).with("value", value))
        }
        _ => None,
    }
}

/// One call.
fn evidence(call: &CallEvidence, version: OcsfVersion) -> Attributes<'_> {
    let name = operation(call);
    let data = Attributes::new()
        .maybe("time", call.time.map(time_text))
        .maybe("tool", call.tool.as_deref())
        .maybe("arguments", call.arguments.as_deref())
        .maybe("result_text", call.result_text.as_deref())
        .with("outcome", call.outcome.as_str())
        .with("approval", call.approval.as_str())
        .maybe("source_file", call.source_file.as_deref())
        .maybe("source_line", call.source_line);
    let agent = if version < OcsfVersion::V1_9 { Attributes::new() } else { ai_agent(call) };
    Attributes::new()
        .with("uid", call.call_id.as_str())
        .with("name", name)
        .with("api", api(call))
        .object("actor", actor(call))
        .object("ai_agent", agent)
        .with("data", data)
}

/// The operation on the server.
pub(super) fn api(call: &CallEvidence) -> Attributes<'_> {
    let service = call.server.as_deref().map(|server| Attributes::new().with("name", server));
    Attributes::new()
        .with("operation", operation(call))
        .maybe("service", service)
        .with("request", uid(&call.call_id))
        .with("response", Attributes::new().with("message", call.outcome.as_str()))
}

/// An object that is known by its id.
fn uid(id: &str) -> Attributes<'_> {
    Attributes::new().with("uid", id)
}

/// Who called.
pub(super) fn actor(call: &CallEvidence) -> Attributes<'_> {
    Attributes::new()
        .maybe("app_name", call.agent.as_deref())
        .maybe("session", call.session_id.as_deref().map(uid))
        .maybe("user", call.user_id.as_deref().map(uid))
}

/// The agent as an object of version 1.9.0; its instance is the session.
pub(super) fn ai_agent(call: &CallEvidence) -> Attributes<'_> {
    let Some(agent) = call.agent.as_deref() else { return Attributes::new() };
    Attributes::new()
        .with("name", agent)
        .maybe("instance_uid", call.session_id.as_deref())
        .with("type_id", 0)
        .with("type", "Unknown")
}

/// One thing that was seen, and in which attribute.
fn observable<'a>(name: &'static str, type_id: i64, kind: &'a str, value: &'a str) -> Attributes<'a> {
    Attributes::new().with("name", name).with("type_id", type_id).with("type", kind).with("value", value)
}

fn observables(alert: &Alert) -> Vec<Attributes<'_>> {
    let users = distinct(alert, &alert.finding.entity.user_id, |call| &call.user_id).into_iter();
    let users = users.map(|user| observable("evidences[].actor.user.uid", 31, "User Object: uid", user));
    let others = alert.observables.iter().map(|seen| {
        let (type_id, kind) = match seen.kind.as_str() {
            "domain" => (1, "Hostname"),
            "ip" => (2, "IP Address"),
            "email" => (5, "Email Address"),
            "url" => (6, "URL String"),
            "hash" => (8, "Hash"),
            "file_path" => (45, "File Path"),
            other => (99, other),
        };
        observable("evidences[].data", type_id, kind, &seen.value)
    });
    users.chain(others).collect()
}

/// The servers, and the tools on them, that the alert is about.
fn resources(alert: &Alert) -> Vec<Attributes<'_>> {
    let entity = &alert.finding.entity;
    let servers = distinct(alert, &entity.server, |call| &call.server).into_iter();
    let tools = distinct(alert, &entity.tool, |call| &call.tool).into_iter();
    let servers = servers.map(|name| {
        Attributes::new().with("uid", format!("mcp-server:{name}")).with("name", name).with("type", "MCP server")
    });
    servers.chain(tools.map(|name| Attributes::new().with("name", name).with("type", "MCP tool"))).collect()
}

/// A field's values in the entity and the calls, each once, in order of appearance.
fn distinct<'a>(
    alert: &'a Alert,
    of_entity: &'a Option<String>,
    of_call: impl Fn(&'a CallEvidence) -> &'a Option<String>,
) -> Vec<&'a str> {
    let mut values: Vec<&str> = Vec::new();
    for value in std::iter::once(of_entity).chain(alert.calls.iter().map(of_call)).flatten() {
        if !values.contains(&value.as_str()) {
            values.push(value);
        }
    }
    values
}

fn unmapped(alert: &Alert) -> Attributes<'_> {
    let finding = &alert.finding;
    let mut entity = Attributes::new();
    for (name, value) in finding.entity.fields() {
        entity = entity.maybe(name, value);
    }
    Attributes::new()
        .with("entity", entity)
        .with("evidence", &finding.evidence)
        .maybe("score", finding.score)
        .with("rule_status", finding.status.as_str())
        .with("falsepositives", finding.falsepositives.as_slice())
        .with("observables_total", alert.observables_total)
        .with("lake_versions", json!(alert.lake_versions))
        .maybe("suppressed_by", alert.suppressed_by.as_deref())
}
