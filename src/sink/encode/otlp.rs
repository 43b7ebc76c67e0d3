//! An alert as an OpenTelemetry log record, in the JSON encoding of OTLP's `ExportLogsServiceRequest`.
//!
//! 64-bit numbers are texts, as that encoding wants them. The alert as a whole is the attribute `calltrail.alert`, our own JSON.

use super::facts::{Name, PROGRAM, VERSION, clamped, name, names, observed, risk, says, title};
use super::{Shown, json_text, jsonl};
use crate::alert::Level;
use serde_json::{Value, json};
use std::io;

/// What stands around the resources of a request.
pub const AROUND: (&str, &str) = (r#"{"resourceLogs":["#, "]}\n");

/// Makes a request of one record.
pub fn encode(shown: &Shown<'_>) -> io::Result<Value> {
    let alert = shown.alert;
    let finding = &alert.finding;
    let (number, text) = severity(finding.level);
    // A signed 64-bit number of nanoseconds ends in the year 2262; the field is unsigned and holds a time until 2554.
    let micros = u64::try_from(clamped(alert.time()).timestamp_micros()).unwrap_or_default();
    let nanos = micros.saturating_mul(1000).to_string();
    let mut resource = vec![attribute("service.name", PROGRAM), attribute("service.version", VERSION)];
    resource.extend(shown.options.host.as_deref().map(|host| attribute("host.name", host)));
    let mut attributes = vec![
        attribute("calltrail.alert.id", &alert.alert_id),
        attribute("calltrail.incident.id", &alert.incident_id),
        attribute("calltrail.rule.id", &finding.rule_id),
        attribute("calltrail.rule.title", title(alert)),
        attribute("calltrail.rule.version", &finding.rule_version),
        attribute("calltrail.level", finding.level.as_str()),
        number_attribute("calltrail.risk", risk(finding.level)),
        number_attribute("calltrail.calls", i64::try_from(alert.calls_total).unwrap_or(i64::MAX)),
        list_attribute("calltrail.call.ids", finding.call_ids.iter().map(String::as_str)),
        list_attribute("calltrail.tags", finding.tags.iter().map(String::as_str)),
    ];
    let names_of = [
        ("gen_ai.conversation.id", Name::Session),
        ("gen_ai.agent.name", Name::Agent),
        ("gen_ai.tool.name", Name::Tool),
        ("user.id", Name::User),
    ];
    for (key, kind) in names_of {
        attributes.extend(name(alert, kind).map(|name| attribute(key, name)));
    }
    attributes.push(list_attribute("calltrail.servers", names(alert, Name::Server)));
    attributes.extend(observed(alert, "domain").first().map(|domain| attribute("server.address", domain)));
    attributes.extend(alert.suppressed_by.as_deref().map(|id| attribute("calltrail.suppressed_by", id)));
    let full = shown.full_bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    attributes.extend(full.map(|bytes| number_attribute("calltrail.truncated_from_bytes", bytes)));
    attributes.push(attribute("calltrail.alert", &json_text(&jsonl::Wire::shown(shown))?));
    Ok(json!({"resourceLogs": [{
        "resource": {"attributes": resource},
        "scopeLogs": [{
            "scope": {"name": "calltrail.alerts", "version": VERSION},
            "logRecords": [{
                "timeUnixNano": nanos,
                "observedTimeUnixNano": nanos,
                "severityNumber": number,
                "severityText": text,
                "eventName": "calltrail.alert",
                "body": {"stringValue": says(alert)},
                "attributes": attributes,
            }],
        }],
    }]}))
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn number_attribute(key: &str, value: i64) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}

fn list_attribute<'a>(key: &str, values: impl IntoIterator<Item = &'a str>) -> Value {
    let values: Vec<Value> = values.into_iter().map(|value| json!({"stringValue": value})).collect();
    json!({"key": key, "value": {"arrayValue": {"values": values}}})
}

/// Severity number and text of the log data model.
fn severity(level: Level) -> (u8, &'static str) {
    match level {
        Level::Informational => (9, "INFO"),
        Level::Low => (13, "WARN"),
        Level::Medium => (17, "ERROR"),
        Level::High => (18, "ERROR2"),
        Level::Critical => (21, "FATAL"),
    }
}
