//! The tool's own events, so that a SIEM sees when the pipeline is silent or ill: a run that ended, a rule that failed, input that was rejected.
//! They are alerts of rules that do not exist, and so fit every encoding.

use crate::alert::{Alert, Entity, Finding, Kind, Level};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// Something about the tool itself.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnEvent {
    /// Stands where alerts have the id of their rule.
    pub id: &'static str,
    pub title: &'static str,
    pub level: Level,
    pub time: DateTime<Utc>,
    pub message: String,
    pub evidence: serde_json::Map<String, serde_json::Value>,
}

impl OwnEvent {
    /// As an alert, with an id of its own: these events are never the same twice.
    pub(super) fn alert(&self) -> Alert {
        let mut alert = own_alert(self.id, self.title, self.level, self.time.timestamp_micros(), &self.message);
        alert.finding.evidence = self.evidence.clone();
        // Several of a kind may happen at one time.
        let told = format!("{}{}", alert.alert_id, self.message);
        alert.alert_id = blake3::hash(told.as_bytes()).to_hex()[..32].to_owned();
        alert
    }
}

/// An event that says it is a test.
pub fn test_alert(now: DateTime<Utc>) -> Alert {
    own_alert(
        "calltrail_test",
        "Test event of calltrail, no alert",
        Level::Informational,
        now.timestamp_micros(),
        "Sent by `calltrail sinks check`. Nothing happened; please ignore it.",
    )
}

/// An alert that no rule raised.
pub(super) fn own_alert(id: &str, title: &str, level: Level, time: i64, message: &str) -> Alert {
    let finding = Finding {
        kind: Kind::Rule,
        rule_id: id.to_owned(),
        rule_title: title.to_owned(),
        rule_version: String::new(),
        rule_group: "calltrail".to_owned(),
        settings: serde_json::Map::new(),
        level,
        status: "stable".to_owned(),
        tags: Vec::new(),
        description: String::new(),
        falsepositives: Vec::new(),
        entity: Entity { agent: Some("calltrail".to_owned()), ..Entity::default() },
        first_seen: time,
        last_seen: time,
        call_ids: Vec::new(),
        score: None,
        message: Some(message.to_owned()),
        evidence: serde_json::Map::new(),
    };
    Alert::new(finding, Vec::new(), Vec::new(), BTreeMap::new())
}
