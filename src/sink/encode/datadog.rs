//! An alert as an entry of Datadog's log intake, and as a line for Sumo Logic, which takes the OCSF event as it is.

use super::facts::{PROGRAM, millis, says};
use super::object::Attributes;
use super::{Shown, ocsf, ocsf_call};
use crate::alert::Level;
use serde_json::Value;

/// Bytes of an entry: a longer one would be cut by the intake, and its JSON with it.
pub const MAX_ENTRY: usize = 1_000_000;
/// Bytes of a message at Sumo Logic: a longer one would be cut in pieces.
pub const MAX_SUMO: usize = 64 * 1024;
/// Characters of a tag.
const MAX_TAG: usize = 200;

/// Makes the entry of the alert.
pub fn encode(shown: &Shown<'_>) -> Value {
    let alert = shown.alert;
    entry(shown, status(alert.finding.level), alert.time(), says(alert).to_owned(), ocsf::encode(shown))
}

/// Makes an entry of each call.
pub fn calls(shown: &Shown<'_>) -> Vec<Value> {
    let events = shown.alert.calls.iter().zip(ocsf_call::encode(shown));
    let events = events.map(|(call, event)| {
        let says = event["message"].as_str().unwrap_or_default().to_owned();
        entry(shown, "info", call.time.unwrap_or_else(|| shown.alert.time()), says, event)
    });
    events.collect()
}

fn entry(shown: &Shown<'_>, status: &str, time: i64, message: String, event: Value) -> Value {
    let finding = &shown.alert.finding;
    let tags = format!("rule:{},level:{}", tag(&finding.rule_id), finding.level);
    Attributes::new()
        .with("ddsource", shown.options.source.as_deref().unwrap_or(PROGRAM))
        .with("ddtags", tags)
        .text("hostname", shown.options.host.as_deref())
        .with("service", shown.options.sourcetype.as_deref().unwrap_or("mcp-audit"))
        .with("status", status)
        .with("timestamp", millis(time))
        .with("message", message)
        .with("alert_id", shown.alert.alert_id.as_str())
        .with("ocsf", event)
        .into()
}

fn status(level: Level) -> &'static str {
    match level {
        Level::Informational => "info",
        Level::Low => "notice",
        Level::Medium => "warning",
        Level::High => "error",
        Level::Critical => "critical",
    }
}

/// A tag's value; a comma would begin another tag.
fn tag(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    text.chars().take(MAX_TAG).map(|c| if allowed(c) { c.to_ascii_lowercase() } else { '_' }).collect()
}
