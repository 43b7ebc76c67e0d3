//! An alert as an event of PagerDuty's Events API v2. The alert's id is the `dedup_key`, so that sending twice opens one incident. Only an
//! alert that holds triggers; a superseded or resolved one resolves what it triggered.

use super::facts::{Name, PRODUCT, clip, name, names, precise, risk, says, title};
use super::object::Attributes;
use super::{Shown, jsonl};
use crate::alert::{Alert, Level};
use crate::visible::visible;
use serde_json::{Value, json};
use std::io;

/// Bytes of an event, below the 512 KB that the service takes.
pub const MAX_EVENT: usize = 500_000;
/// Characters of the summary.
const MAX_SUMMARY: usize = 1024;
/// Characters of the other fields of a payload.
const MAX_FIELD: usize = 255;

/// Makes the event.
pub fn encode(shown: &Shown<'_>) -> io::Result<Value> {
    let alert = shown.alert;
    let finding = &alert.finding;
    let summary = format!("{}: {}", title(alert), about(alert));
    let details = Attributes::new()
        .with("message", says(alert))
        .with("risk_score", risk(finding.level))
        .maybe("truncated_from_bytes", shown.full_bytes)
        .with("alert", serde_json::to_value(jsonl::Wire::shown(shown))?);
    let source = shown.options.host.as_deref().or_else(|| name(alert, Name::Agent)).unwrap_or(PRODUCT);
    let payload = Attributes::new()
        .with("summary", text(&summary, MAX_SUMMARY))
        .with("source", text(source, MAX_FIELD))
        .with("severity", severity(finding.level))
        .with("timestamp", precise(alert.time()))
        .maybe("component", name(alert, Name::Server).map(|server| text(server, MAX_FIELD)))
        .with("group", "mcp")
        .with("class", text(&finding.rule_id, MAX_FIELD))
        .with("custom_details", details);
    let key = shown.options.routing_key.as_ref().map(|key| key.0.as_str()).unwrap_or_default();
    Ok(json!({
        "routing_key": key,
        "event_action": if alert.is_current() { "trigger" } else { "resolve" },
        "dedup_key": alert.alert_id,
        "client": PRODUCT,
        "payload": Value::from(payload),
    }))
}

/// Who did it where.
fn about(alert: &Alert) -> String {
    let mut parts = Vec::new();
    parts.extend(name(alert, Name::User).or_else(|| name(alert, Name::Agent)).map(|who| clip(who, 100)));
    parts.extend(name(alert, Name::Server).map(|server| format!("via {}", clip(server, 100))));
    let tools = names(alert, Name::Tool);
    if !tools.is_empty() {
        let tools: Vec<String> = tools.into_iter().take(3).map(|tool| clip(tool, 60)).collect();
        parts.push(format!("with {}", tools.join(", ")));
    }
    if parts.is_empty() { clip(says(alert), 300) } else { parts.join(" ") }
}

/// Text of one line; an empty one would be refused.
fn text(text: &str, max: usize) -> String {
    let head: String = text.chars().take(max + 1).collect();
    let shown = clip(&visible(&head), max);
    if shown.trim().is_empty() { "unknown".to_owned() } else { shown }
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::Informational | Level::Low => "info",
        Level::Medium => "warning",
        Level::High => "error",
        Level::Critical => "critical",
    }
}
