//! An alert as an event of Google SecOps' Unified Data Model, as the ingestion API takes it: `{"events":[{"udm":…}]}`.

use super::Shown;
use super::facts::{
    Known, Name, PRODUCT, PROGRAM, VERSION, attacks, name, names, observed, percent, precise, risk, says, title,
};
use super::object::Attributes;
use crate::alert::{Alert, Level};
use serde_json::{Value, json};
use std::net::IpAddr;

/// What stands around the events of a request.
pub const AROUND: (&str, &str) = (r#"{"events":["#, "]}\n");
/// Bytes of an event.
pub const MAX_EVENT: usize = 1_000_000;

/// Makes a request of one event.
pub fn encode(shown: &Shown<'_>) -> Value {
    let alert = shown.alert;
    let finding = &alert.finding;
    let metadata = Attributes::new()
        .with("eventTimestamp", precise(alert.time()))
        .with("eventType", "GENERIC_EVENT")
        .with("vendorName", PRODUCT)
        .with("productName", PRODUCT)
        .with("productVersion", VERSION)
        .with("productEventType", finding.rule_id.as_str())
        .with("productLogId", alert.alert_id.as_str())
        .with("description", says(alert));
    let user = name(alert, Name::User).map(|id| json!({"userid": id}));
    let principal = Attributes::new().maybe("application", name(alert, Name::Agent)).maybe("user", user);
    let tool = name(alert, Name::Tool).map(|tool| json!({"name": tool, "resourceSubtype": "mcp-tool"}));
    let addresses = observed(alert, "ip").into_iter().filter(|ip| ip.parse::<IpAddr>().is_ok());
    let target = Attributes::new()
        .maybe("hostname", observed(alert, "domain").first().copied())
        .list("ip", addresses)
        .maybe("url", observed(alert, "url").first().copied())
        .maybe("application", name(alert, Name::Server))
        .maybe("resource", tool);
    let source = observed(alert, "file_path").first().map(|path| json!({"file": {"fullPath": path}}));
    let observer = Attributes::new().with("application", PROGRAM).text("hostname", shown.options.host.as_deref());
    let event = Attributes::new()
        .with("metadata", metadata)
        .object("principal", principal)
        .object("target", target)
        .maybe("src", source)
        .with("observer", observer)
        .maybe("network", name(alert, Name::Session).map(|id| json!({"sessionId": id})))
        .with("securityResult", vec![Value::from(result(shown))]);
    json!({"events": [{"udm": Value::from(event)}]})
}

fn result<'a>(shown: &Shown<'a>) -> Attributes<'a> {
    let alert = shown.alert;
    let finding = &alert.finding;
    let is_alerting = alert.suppressed_by.is_none() && alert.is_current();
    let tags = finding.tags.iter().map(|tag| json!({"key": "tag", "value": tag}));
    Attributes::new()
        .with("alertState", if is_alerting { "ALERTING" } else { "NOT_ALERTING" })
        .list("category", category(&finding.rule_group))
        .list("categoryDetails", Some(finding.rule_group.as_str()).filter(|group| !group.is_empty()))
        .with("ruleId", finding.rule_id.as_str())
        .with("ruleName", title(alert))
        .with("ruleVersion", finding.rule_version.as_str())
        .list("ruleLabels", tags)
        .with("severity", severity(finding.level))
        .text("severityDetails", Some(finding.level.as_str()))
        .maybe("confidence", percent(alert).map(confidence))
        .with("riskScore", risk(finding.level) as f64)
        .maybe("confidenceScore", percent(alert).map(|percent| percent as f64))
        .with("summary", title(alert))
        .with("description", says(alert))
        .object("attackDetails", attack_details(alert))
        .list("detectionFields", fields(shown))
}

/// ATT&CK and ATLAS ids, as one list each.
fn attack_details(alert: &Alert) -> Attributes<'static> {
    let (tactics, techniques) = attacks(alert);
    let named = |known: &Known| {
        let object = Attributes::new().with("id", known.id.clone()).maybe("name", known.name);
        match &known.sub {
            Some((id, name)) => object.with("subtechniqueId", id.clone()).maybe("subtechniqueName", *name),
            None => object,
        }
    };
    Attributes::new().list("tactics", tactics.iter().map(named)).list("techniques", techniques.iter().map(named))
}

/// What the model has no field for, as keys and values.
fn fields(shown: &Shown<'_>) -> Vec<Value> {
    let alert = shown.alert;
    let mut list = Vec::new();
    let mut add = |key: &str, value: &str| {
        if !value.is_empty() {
            list.push(json!({"key": key, "value": value}));
        }
    };
    alert.finding.call_ids.iter().for_each(|id| add("call_id", id));
    names(alert, Name::Server).into_iter().for_each(|server| add("mcp_server", server));
    names(alert, Name::Tool).into_iter().for_each(|tool| add("mcp_tool", tool));
    add("incident_id", &alert.incident_id);
    add("suppressed_by", alert.suppressed_by.as_deref().unwrap_or_default());
    for (name, value) in &alert.finding.evidence {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        add(&format!("evidence.{name}"), &text);
    }
    if let Some(bytes) = shown.full_bytes {
        add("truncated_from_bytes", &bytes.to_string());
    }
    list
}

/// The categories of the model that a group of rules has a name for.
fn category(group: &str) -> Option<&'static str> {
    match group {
        "exfiltration" => Some("DATA_EXFILTRATION"),
        "destruction" => Some("DATA_DESTRUCTION"),
        "privilege" => Some("ACL_VIOLATION"),
        "discovery" => Some("NETWORK_RECON"),
        _ => None,
    }
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::Informational => "INFORMATIONAL",
        Level::Low => "LOW",
        Level::Medium => "MEDIUM",
        Level::High => "HIGH",
        Level::Critical => "CRITICAL",
    }
}

fn confidence(percent: i64) -> &'static str {
    match percent {
        ..=33 => "LOW_CONFIDENCE",
        34..=66 => "MEDIUM_CONFIDENCE",
        _ => "HIGH_CONFIDENCE",
    }
}
