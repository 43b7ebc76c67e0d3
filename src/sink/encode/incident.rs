//! Incidents for a reader at a terminal: the risk and its parts, and under it the alerts, as [`table`](super::table) lays them out.
//!
//! ```text
//! RISK 71   session s-204 · agent notes-agent · 6 alerts of 3 rules, 2 kinds · 2026-11-22 10:02:11Z to 10:15:30Z
//!           level 40 + kinds 8 + rules 3 + rarity 11.4 · 9b02…
//! ```

use super::table::{self, Style, clip, short_time};
use crate::alert::{Alert, Incident};
use std::fmt::Write as _;

/// Characters of a name that are shown.
const MAX_NAME: usize = 48;

/// Lays incidents out in the order given, each with those of the alerts that belong to it. Alerts of none come last.
pub fn encode(incidents: &[Incident], alerts: &[Alert], style: Style, with_alerts: bool) -> String {
    let mut out = String::new();
    let mut shown = std::collections::HashSet::new();
    for incident in incidents {
        let own: Vec<Alert> =
            alerts.iter().filter(|alert| alert.incident_id == incident.incident_id).cloned().collect();
        if with_alerts && own.is_empty() {
            continue;
        }
        if !out.is_empty() {
            out.push('\n');
        }
        head(&mut out, incident, style);
        if with_alerts {
            out.push_str(&table::encode(&own, style));
            shown.insert(incident.incident_id.as_str());
        }
    }
    let others: Vec<Alert> =
        alerts.iter().filter(|alert| !shown.contains(alert.incident_id.as_str())).cloned().collect();
    if with_alerts && !others.is_empty() {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&table::encode(&others, style));
    }
    out
}

fn head(out: &mut String, incident: &Incident, style: Style) {
    let label = format!("RISK {:.0}", incident.risk);
    let mut facts = Vec::new();
    for (name, value) in [("session", &incident.session_id), ("agent", &incident.agent), ("user", &incident.user_id)] {
        facts.extend(value.as_deref().map(|value| format!("{name} {}", clip(value, MAX_NAME))));
    }
    if facts.is_empty() {
        facts.extend(
            incident.servers.iter().flatten().take(3).map(|server| format!("server {}", clip(server, MAX_NAME))),
        );
    }
    let plural = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let alerts = usize::try_from(incident.alerts).unwrap_or(usize::MAX);
    facts.push(format!(
        "{} of {}, {}",
        plural(alerts, "alert"),
        plural(incident.rules.len(), "rule"),
        plural(incident.groups.len(), "kind")
    ));
    facts.push(format!("{} to {}", short_time(incident.first_seen), short_time(incident.last_seen)));
    let Incident { risk_level, risk_groups, risk_rules, risk_rarity, .. } = incident;
    let parts = format!(
        "level {risk_level} + kinds {risk_groups} + rules {risk_rules} + rarity {risk_rarity} · {}",
        clip(&incident.incident_id, MAX_NAME)
    );
    let (on, off) = if style.color { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    // Writing to a String does not fail.
    let _ = writeln!(out, "{on}{label:<10}{off}{}\n{:10}{parts}", facts.join(" · "), "");
}
