//! An alert as a record of Microsoft Sentinel's ASIM AlertEvent 0.1, and its calls as records of AgentEvent 0.1.0, for the Logs Ingestion API.
//!
//! A request is an array of records. The service cuts a column at 64 KB without a word, so no column is larger here; the alert is cut
//! instead and says so in `AdditionalFields`. The two schemas are two tables: with calls, a destination needs a stream that takes both, or one for
//! each, told apart by `EventSchema`.

use super::facts::{Name, PRODUCT, VERSION, attacks, name, names, observed, percent, precise, risk, says, span, title};
use super::object::Attributes;
use super::{Message, Shown, json_text};
use crate::alert::{Alert, CallEvidence, Kind, Level};
use serde_json::{Value, json};
use std::io;

/// Bytes of a record, below the 1 MB that a request may have.
pub const MAX_RECORD: usize = 1_000_000;
/// Bytes of a column.
pub const MAX_COLUMN: usize = 64 * 1000;

/// Makes the record of the alert.
pub fn encode(shown: &Shown<'_>) -> io::Result<Message> {
    message(&alert_event(shown))
}

/// Makes a record of each call.
pub fn calls(shown: &Shown<'_>) -> io::Result<Vec<Message>> {
    shown.alert.calls.iter().map(|call| message(&agent_event(call, shown.alert))).collect()
}

/// The record as text, and whether a column of it would be cut.
fn message(record: &Value) -> io::Result<Message> {
    let mut is_too_long = false;
    for column in record.as_object().into_iter().flatten().map(|(_, column)| column) {
        is_too_long |= match column {
            Value::String(text) => text.len() > MAX_COLUMN,
            other => json_text(other)?.len() > MAX_COLUMN,
        };
    }
    Ok(Message { text: json_text(record)?, is_too_long })
}

fn alert_event(shown: &Shown<'_>) -> Value {
    let alert = shown.alert;
    let finding = &alert.finding;
    let (start, end) = span(alert);
    let user = name(alert, Name::User);
    let path = observed(alert, "file_path").first().copied();
    let url = observed(alert, "url").first().copied();
    let (tactics, techniques) = attacks(alert);
    let listed = |known: Vec<super::facts::Known>| {
        let texts: Vec<String> = known
            .iter()
            .map(|known| match known.last() {
                (id, Some(name)) => format!("{name} ({id})"),
                (id, None) => id.to_owned(),
            })
            .collect();
        texts.join(", ")
    };
    Attributes::new()
        .with("TimeGenerated", precise(alert.time()))
        .with("EventType", "Alert")
        .with("EventSubType", if finding.kind == Kind::Model { "Anomaly" } else { "Suspicious Activity" })
        .with("EventUid", alert.alert_id.as_str())
        .with("EventMessage", says(alert))
        .with("EventSchema", "AlertEvent")
        .with("EventSchemaVersion", "0.1")
        .with("EventCount", 1)
        .with("EventStartTime", precise(start))
        .with("EventEndTime", precise(end))
        .with("EventProduct", PRODUCT)
        .with("EventVendor", PRODUCT)
        .with("EventProductVersion", VERSION)
        .with("EventSeverity", severity(finding.level))
        .with("EventOriginalSeverity", finding.level.as_str())
        .with("AlertName", title(alert))
        .with("AlertStatus", if alert.is_current() { "Active" } else { "Closed" })
        .with("DetectionMethod", if finding.kind == Kind::Model { "Behavioral Analytics" } else { "Other" })
        .with("RuleName", finding.rule_id.as_str())
        .text("RuleDescription", Some(&finding.description))
        .with("ThreatCategory", "Unknown")
        .text("ThreatOriginalCategory", Some(&finding.rule_group))
        .with("ThreatRiskLevel", risk(finding.level))
        .maybe("ThreatConfidence", percent(alert))
        .text("AttackTactics", Some(&listed(tactics)))
        .text("AttackTechniques", Some(&listed(techniques)))
        .maybe("UserId", user)
        .maybe("UserIdType", user.map(|_| "Other"))
        .maybe("UserSessionId", name(alert, Name::Session))
        .text("DvcHostname", shown.options.host.as_deref())
        .maybe("Url", url)
        .maybe("FilePath", path)
        .with("AdditionalFields", additional(shown))
        .into()
}

/// What the schema has no column for.
fn additional<'a>(shown: &Shown<'a>) -> Attributes<'a> {
    let alert = shown.alert;
    let finding = &alert.finding;
    let calls = alert.calls.iter().map(|call| {
        Attributes::new()
            .with("callId", call.call_id.as_str())
            .text("server", call.server.as_deref())
            .text("tool", call.tool.as_deref())
            .text("arguments", call.arguments.as_deref())
            .text("result", call.result_text.as_deref())
            .with("outcome", call.outcome.as_str())
            .text("sourceFile", call.source_file.as_deref())
            .maybe("sourceLine", call.source_line)
    });
    Attributes::new()
        .list("mcpServers", names(alert, Name::Server))
        .list("mcpTools", names(alert, Name::Tool))
        .maybe("aiAgent", name(alert, Name::Agent))
        .with("ruleVersion", finding.rule_version.as_str())
        .with("incidentId", alert.incident_id.as_str())
        .list("tags", finding.tags.iter().map(String::as_str))
        .list("callIds", finding.call_ids.iter().map(String::as_str))
        .with("callsTotal", alert.calls_total)
        .list("calls", calls)
        .list("observables", alert.observables.iter().map(|o| json!({"type": o.kind, "value": o.value})))
        .with("evidence", &finding.evidence)
        .text("suppressedBy", alert.suppressed_by.as_deref())
        .maybe("truncatedFromBytes", shown.full_bytes)
}

fn agent_event(call: &CallEvidence, alert: &Alert) -> Value {
    let time = precise(call.time.unwrap_or_else(|| span(alert).0));
    let tool = call.tool.as_deref().filter(|tool| !tool.is_empty());
    let own = Attributes::new()
        .with("alertId", alert.alert_id.as_str())
        .with("outcome", call.outcome.as_str())
        .with("approval", call.approval.as_str())
        .text("arguments", call.arguments.as_deref())
        .text("result", call.result_text.as_deref())
        .text("sourceFile", call.source_file.as_deref())
        .maybe("sourceLine", call.source_line);
    let server = call.server.as_deref().unwrap_or_default();
    Attributes::new()
        .with("TimeGenerated", time.as_str())
        .with("EventType", if tool.is_some() { "ToolInvocation" } else { "Request" })
        .text("EventOriginalType", Some(&call.method))
        .with("EventSchema", "AgentEvent")
        .with("EventSchemaVersion", "0.1.0")
        .with("EventCount", 1)
        .with("EventStartTime", time.as_str())
        .with("EventEndTime", time.as_str())
        .with("EventProduct", PRODUCT)
        .with("EventVendor", PRODUCT)
        .with("EventOriginalUid", call.call_id.as_str())
        .text("EventSessionId", call.session_id.as_deref())
        .text("SrcAgentName", call.agent.as_deref())
        .text("ActorUserId", call.user_id.as_deref())
        .maybe("ToolId", tool.map(|tool| format!("{server}/{tool}")))
        .maybe("ToolName", tool)
        .maybe("ToolOriginalType", tool.map(|_| "mcp"))
        .with("AdditionalFields", own)
        .into()
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::Informational => "Informational",
        Level::Low => "Low",
        Level::Medium => "Medium",
        Level::High | Level::Critical => "High",
    }
}
