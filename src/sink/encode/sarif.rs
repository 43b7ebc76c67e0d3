//! Alerts as a SARIF 2.1.0 log: one run, each alert a result, whose code flow goes through the lines of the audit log that its calls were in.
//!
//! In a message of this format brackets are links and braces are placeholders, so both are escaped in text of logs. `guid` has to be a UUID, which
//! an alert's id is not: it is made of the id, and the id itself stands in `partialFingerprints` and in the properties.

use super::Shown;
use super::facts::{Name, PROGRAM, VERSION, attacks, name, operation, risk, says, title};
use super::name_based::{OURS, uuid};
use super::object::Attributes;
use crate::alert::{Alert, CallEvidence, Kind, Level};
use crate::visible::visible;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt::Write as _;

/// Makes one log of some alerts.
pub fn document<'a>(alerts: impl IntoIterator<Item = Shown<'a>>) -> Value {
    let mut rules: Vec<Value> = Vec::new();
    let mut indices: HashMap<&str, usize> = HashMap::new();
    let mut results = Vec::new();
    for shown in alerts {
        let index = *indices.entry(&shown.alert.finding.rule_id).or_insert_with(|| {
            rules.push(rule(shown.alert).into());
            rules.len() - 1
        });
        results.push(Value::from(result(&shown, index)));
    }
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": PROGRAM,
                "version": VERSION,
                "semanticVersion": VERSION,
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(alert: &Alert) -> Attributes<'_> {
    let finding = &alert.finding;
    let security_severity = format!("{:.1}", risk(finding.level) as f64 / 10.0);
    let mut tags = vec!["security".to_owned()];
    tags.extend(finding.tags.iter().filter(|tag| !tag.is_empty()).cloned());
    tags.sort();
    tags.dedup();
    let (_, techniques) = attacks(alert);
    let techniques = techniques.iter().map(|known| known.last().0.to_owned());
    let description = if finding.description.is_empty() { title(alert) } else { &finding.description };
    Attributes::new()
        .with("id", finding.rule_id.as_str())
        .with("shortDescription", json!({"text": sentence(title(alert))}))
        .with("fullDescription", json!({"text": sentence(description)}))
        .with("defaultConfiguration", json!({"level": level(finding.level)}))
        .with(
            "properties",
            Attributes::new()
                .with("security-severity", security_severity)
                .with("tags", tags)
                .list("techniques", techniques)
                .with("kind", if finding.kind == Kind::Model { "model" } else { "rule" })
                .list("falsepositives", finding.falsepositives.iter().map(String::as_str)),
        )
}

fn result<'a>(shown: &Shown<'a>, index: usize) -> Attributes<'a> {
    let alert = shown.alert;
    let finding = &alert.finding;
    let steps = alert.calls.iter().filter_map(|call| Some((call, physical(call)?)));
    let steps: Vec<(&CallEvidence, Attributes<'_>)> = steps.collect();
    let logical = name(alert, Name::Tool).map(|tool| match name(alert, Name::Server) {
        Some(server) => format!("{server}/{tool}"),
        None => tool.to_owned(),
    });
    let logical = logical.map(|name| json!({"fullyQualifiedName": name, "kind": "function"}));
    let place = alert.calls.iter().rev().find_map(physical);
    let place = Attributes::new().maybe("physicalLocation", place).list("logicalLocations", logical);
    let locations = (!place.is_empty()).then_some(place);
    let flow = steps.into_iter().enumerate().map(|(n, (call, place))| {
        let location = Attributes::new()
            .with("message", json!({"text": sentence(&operation(call))}))
            .with("physicalLocation", place);
        Attributes::new().with("executionOrder", n + 1).with("location", location)
    });
    let flow: Vec<Value> = flow.map(Value::from).collect();
    let code_flow = (!flow.is_empty()).then(|| json!({"threadFlows": [{"locations": flow}]}));
    let suppression = alert.suppressed_by.as_deref().map(|id| json!({"kind": "external", "justification": id}));
    Attributes::new()
        .with("ruleId", finding.rule_id.as_str())
        .with("ruleIndex", index)
        .with("level", level(finding.level))
        .with("kind", "fail")
        .with("guid", uuid(OURS, &["sarif", &alert.alert_id]).to_string())
        .with("rank", risk(finding.level) as f64)
        .with("message", json!({"text": sentence(says(alert))}))
        .with("partialFingerprints", json!({"alertId/v1": alert.alert_id}))
        .list("locations", locations)
        .list("codeFlows", code_flow)
        .list("suppressions", suppression)
        .with("properties", properties(shown))
}

fn properties<'a>(shown: &Shown<'a>) -> Attributes<'a> {
    let alert = shown.alert;
    let finding = &alert.finding;
    let mut entity = Attributes::new();
    for (name, value) in finding.entity.fields() {
        entity = entity.text(name, value);
    }
    Attributes::new()
        .with("alert_id", alert.alert_id.as_str())
        .with("incident_id", alert.incident_id.as_str())
        .with("level", finding.level.as_str())
        .object("entity", entity)
        .list("call_ids", finding.call_ids.iter().map(String::as_str))
        .with("evidence", &finding.evidence)
        .maybe("truncated_from_bytes", shown.full_bytes)
}

/// Where the call stands in its log.
fn physical(call: &CallEvidence) -> Option<Attributes<'_>> {
    let uri = uri(call.source_file.as_deref().filter(|file| !file.is_empty())?);
    let line = call.source_line.filter(|line| (1..=i64::from(i32::MAX)).contains(line));
    Some(
        Attributes::new()
            .with("artifactLocation", json!({"uri": uri}))
            .maybe("region", line.map(|line| json!({"startLine": line}))),
    )
}

/// A path or URL as a URI reference.
fn uri(file: &str) -> String {
    let is_absolute = file.split_once("://").is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    });
    let (scheme, rest) = file.split_once("://").filter(|_| is_absolute).unwrap_or(("", file));
    let mut out = if is_absolute { format!("{scheme}://") } else { String::new() };
    // `c:x` would be a scheme and `//x` a host.
    if !is_absolute && (rest.starts_with("//") || rest.split('/').next().is_some_and(|first| first.contains(':'))) {
        out.push_str(if rest.starts_with("//") { "/." } else { "./" });
    }
    for byte in rest.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:@!$&'()*+,;=".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Text as a message: nothing in it is a link or a placeholder, and it ends with a full stop.
fn sentence(text: &str) -> String {
    let shown = visible(text.trim());
    let mut out = String::with_capacity(shown.len() + 16);
    for c in shown.chars() {
        match c {
            '[' | ']' | '\\' => out.extend(['\\', c]),
            '{' | '}' => out.extend([c, c]),
            c => out.push(c),
        }
    }
    if out.is_empty() {
        out.push_str("No text");
    }
    if !out.ends_with(['.', '!', '?', '…']) {
        out.push('.');
    }
    out
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Informational | Level::Low => "note",
        Level::Medium => "warning",
        Level::High | Level::Critical => "error",
    }
}
