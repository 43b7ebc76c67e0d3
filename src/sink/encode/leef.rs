//! An alert as a line of QRadar's Log Event Extended Format, `LEEF:2.0`.
//!
//! The format has no escapes. Attributes are separated by `^`, which relays leave alone where they rewrite tabs; in values `^` and `|` are written as
//! `\x5e` and `\x7c`, and hidden characters, tabs and line ends among them, as in [`visible`](crate::visible::visible). A value may hold
//! `=`: the first one ends the key.

use super::Shown;
use super::facts::{
    Name, PRODUCT, VERSION, attacks, clip, line, millis, name, names, observed, percent, risk, says, severity_of_ten,
    title,
};
use std::fmt::Write as _;

/// Characters of the event id.
const MAX_EVENT_ID: usize = 255;
/// Characters of a value; the format has no limit of its own.
const MAX_VALUE: usize = 4000;
/// What the format acts on.
const ACTS: &[char] = &['^', '|'];

/// Makes the line.
pub fn encode(shown: &Shown<'_>) -> String {
    let alert = shown.alert;
    let finding = &alert.finding;
    let id = clip(line(&finding.rule_id, ACTS).trim(), MAX_EVENT_ID);
    let id = if id.is_empty() { "unknown" } else { &id };
    let mut out = format!("LEEF:2.0|{PRODUCT}|{PRODUCT}|{VERSION}|{id}|x5E|devTime={}", millis(alert.time()));
    let mut add = |key: &str, value: &str| {
        // What would be cut anyway is not escaped first.
        let head: String = value.chars().take(MAX_VALUE + 1).collect();
        let value = clip(line(head.trim(), ACTS).trim(), MAX_VALUE);
        if !value.is_empty() {
            // Writing to a String does not fail.
            let _ = write!(out, "^{key}={value}");
        }
    };
    let first = |kind: &str| observed(alert, kind).first().copied().unwrap_or_default();
    let (tactics, techniques) = attacks(alert);
    let ids: Vec<&str> = tactics.iter().chain(&techniques).map(|known| known.last().0).collect();
    let address = observed(alert, "ip").into_iter().find(|ip| ip.parse::<std::net::IpAddr>().is_ok());
    add("cat", &finding.rule_group);
    add("sev", &severity_of_ten(finding.level).to_string());
    add("usrName", name(alert, Name::User).unwrap_or_default());
    add("dst", address.unwrap_or_default());
    add("url", first("url"));
    add("resource", first("file_path"));
    add("policy", &finding.rule_id);
    add("alertId", &alert.alert_id);
    add("ruleTitle", title(alert));
    add("level", finding.level.as_str());
    add("mcpSession", name(alert, Name::Session).unwrap_or_default());
    add("mcpServer", &names(alert, Name::Server).join(","));
    add("mcpTool", &names(alert, Name::Tool).join(","));
    add("aiAgent", name(alert, Name::Agent).unwrap_or_default());
    add("dstHost", first("domain"));
    add("attack", &ids.join(","));
    add("calls", &alert.calls_total.to_string());
    add("callIds", &finding.call_ids.join(","));
    add("riskScore", &risk(finding.level).to_string());
    add("confidence", &percent(alert).map(|percent| percent.to_string()).unwrap_or_default());
    add("suppressedBy", alert.suppressed_by.as_deref().unwrap_or_default());
    add("truncatedFromBytes", &shown.full_bytes.map(|bytes| bytes.to_string()).unwrap_or_default());
    add("reason", says(alert));
    out
}
