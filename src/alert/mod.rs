//! What a detection hands on: [`Finding`], and [`Alert`] made of it.
//!
//! A finding is what one rule (or the model) saw. An alert is a finding with a fingerprint, the calls that it
//! rests on, its observables and perhaps the suppression that hides it; it is the only thing that a sink
//! knows. Plain data: no clock, no lake. All times are microseconds since the Unix epoch, UTC.

pub mod columns;
mod fingerprint;
mod incident;
pub mod kept;
pub(crate) mod rows;
mod suppress;
pub mod taxonomy;
mod wildcard;

pub use crate::visible::{shorten, visible};
pub use columns::alerts_to_batch;
pub use fingerprint::alert_id;
pub use incident::Incident;
pub use rows::alerts_from_batch;
pub use suppress::{Origin, Patterns, SilenceUse, Suppression, SuppressionUse, suppress};
pub use wildcard::Wildcard;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Calls that an alert carries along; with more, the first and the last half, where cause and effect stand.
pub const MAX_CALLS: usize = 20;
/// Observables that an alert carries along.
pub const MAX_OBSERVABLES: usize = 100;
/// Bytes kept of one payload, message or evidence text: enough to judge it, and 20 calls stay well below the
/// smallest event limit among the SIEMs (1 MB).
pub const MAX_TEXT: usize = 4096;

/// How bad it is, in Sigma's words. Ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Informational,
    Low,
    Medium,
    High,
    Critical,
}

impl Level {
    /// All levels, mildest first.
    pub const ALL: [Self; 5] = [Self::Informational, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The level's name as rules write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// Reads the name that [`Self::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == text)
    }

    /// Exit code of `detect` when this is the worst level at or above `--fail-on`: 10 to 14.
    pub fn exit_code(self) -> u8 {
        10 + self as u8
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What kind of detector saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    #[default]
    Rule,
    Model,
}

impl Kind {
    /// Reads the spelling in SQL.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Rule, Self::Model].into_iter().find(|kind| kind.as_str() == text)
    }

    /// The kind's spelling in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Model => "model",
        }
    }
}

/// Who or what a finding is about. At least one field is set by every rule that passes `rules check`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Entity {
    pub session_id: Option<String>,
    pub agent: Option<String>,
    pub user_id: Option<String>,
    pub server: Option<String>,
    pub tool: Option<String>,
}

impl Entity {
    /// The fields with their names, in a fixed order.
    pub fn fields(&self) -> [(&'static str, Option<&str>); 5] {
        [
            ("session_id", self.session_id.as_deref()),
            ("agent", self.agent.as_deref()),
            ("user_id", self.user_id.as_deref()),
            ("server", self.server.as_deref()),
            ("tool", self.tool.as_deref()),
        ]
    }
}

/// What one rule or the model saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    pub kind: Kind,
    /// Id of the rule, or of the model.
    pub rule_id: String,
    pub rule_title: String,
    /// Hash of the rule's text (or of the model's file).
    pub rule_version: String,
    /// What goes wrong, in one word: the folder that the rule stands in.
    pub rule_group: String,
    /// What else the answer depends on and an alert must name to be proved again: the rule's parameters, the user's level, the range.
    pub settings: serde_json::Map<String, serde_json::Value>,
    pub level: Level,
    /// Sigma's status of the rule: `experimental`, `test`, `stable`, `deprecated`.
    pub status: String,
    /// Taxonomy ids as the rule writes them: `attack.T1567`, `atlas.AML.T0086`, `owasp.mcp10`.
    pub tags: Vec<String>,
    pub description: String,
    pub falsepositives: Vec<String>,
    pub entity: Entity,
    pub first_seen: i64,
    pub last_seen: i64,
    /// The calls that it rests on.
    pub call_ids: Vec<String>,
    /// From 0 to 1 where the detector gives a probability-like score; other values are kept, never rescaled.
    pub score: Option<f64>,
    pub message: Option<String>,
    /// Every other column of the rule's result.
    pub evidence: serde_json::Map<String, serde_json::Value>,
}

/// Enough of one call to judge it without opening the lake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallEvidence {
    pub call_id: String,
    pub time: Option<i64>,
    pub session_id: Option<String>,
    pub agent: Option<String>,
    pub user_id: Option<String>,
    pub server: Option<String>,
    pub tool: Option<String>,
    pub method: String,
    /// JSON text, shortened.
    pub arguments: Option<String>,
    /// Text of the result, shortened.
    pub result_text: Option<String>,
    pub outcome: String,
    pub approval: String,
    pub source_file: Option<String>,
    pub source_line: Option<i64>,
}

impl CallEvidence {
    /// Names are cut too: a server can call its tool what it likes.
    fn shorten(&mut self) {
        let names = [&mut self.session_id, &mut self.agent, &mut self.user_id, &mut self.server, &mut self.tool];
        let texts = [&mut self.arguments, &mut self.result_text, &mut self.source_file];
        let texts = names.into_iter().chain(texts).flatten().chain([&mut self.method]);
        texts.for_each(|text| shorten(text, MAX_TEXT));
    }
}

/// A value to pivot on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Observable {
    /// `url`, `domain`, `email`, `ip`, `file_path`, `iban`, `phone`, `wallet`, `hash`, `secret`.
    #[serde(rename = "type")]
    pub kind: String,
    pub value: String,
}

/// Where an alert stands on its way to one sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    Pending,
    Delivered,
    Refused,
}

/// A finding with everything that a sink may need.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Deterministic, 32 hex digits: see [`alert_id`].
    pub alert_id: String,
    pub finding: Finding,
    /// At most [`MAX_CALLS`], by time.
    pub calls: Vec<CallEvidence>,
    /// Distinct calls that the finding rests on.
    pub calls_total: u64,
    /// At most [`MAX_OBSERVABLES`], sorted, without doubles.
    pub observables: Vec<Observable>,
    pub observables_total: u64,
    /// Delta version of each table that the detector saw.
    pub lake_versions: BTreeMap<String, i64>,
    /// Id of the suppression that hides it.
    pub suppressed_by: Option<String>,
    /// Delivery state by sink.
    pub delivery: BTreeMap<String, Delivery>,
    /// Same for all alerts that are one thing to look at, 32 hex digits.
    pub incident_id: String,
    /// The alert that took its place when later data showed more of the same.
    pub superseded_by: Option<String>,
    /// Why its finding is no longer true, if it is not.
    pub resolved: Option<String>,
}

impl Alert {
    /// Makes an alert of a finding: gives it its id and cuts what is too long to hand around.
    pub fn new(
        mut finding: Finding,
        mut calls: Vec<CallEvidence>,
        mut observables: Vec<Observable>,
        lake_versions: BTreeMap<String, i64>,
    ) -> Self {
        finding.call_ids = distinct(std::mem::take(&mut finding.call_ids));
        finding.score = finding.score.filter(|score| score.is_finite());
        let alert_id = alert_id(&finding);
        let incident_id = incident::incident_id(&finding, &calls);
        let entity = &mut finding.entity;
        let named =
            [&mut entity.session_id, &mut entity.agent, &mut entity.user_id, &mut entity.server, &mut entity.tool];
        for text in named.into_iter().chain([&mut finding.message]).flatten() {
            shorten(text, MAX_TEXT);
        }
        shorten_evidence(&mut finding.evidence);

        calls.sort_by(|a, b| (a.time, &a.call_id).cmp(&(b.time, &b.call_id)));
        calls.dedup_by(|a, b| a.call_id == b.call_id);
        let calls_total = calls.len().max(finding.call_ids.len()) as u64;
        if calls.len() > MAX_CALLS {
            calls.drain(MAX_CALLS / 2..calls.len() - MAX_CALLS / 2);
        }
        calls.iter_mut().for_each(CallEvidence::shorten);

        observables.iter_mut().for_each(|o| shorten(&mut o.value, MAX_TEXT));
        observables.sort();
        observables.dedup();
        let observables_total = observables.len() as u64;
        observables.truncate(MAX_OBSERVABLES);
        Self {
            alert_id,
            finding,
            calls,
            calls_total,
            observables,
            observables_total,
            lake_versions,
            suppressed_by: None,
            delivery: BTreeMap::new(),
            incident_id,
            superseded_by: None,
            resolved: None,
        }
    }

    /// Whether it holds: nothing took its place, and its finding is still true.
    pub fn is_current(&self) -> bool {
        self.superseded_by.is_none() && self.resolved.is_none()
    }

    /// When the alert counts as raised: the last thing seen. No clock, so that a re-run says the same.
    pub fn time(&self) -> i64 {
        self.finding.last_seen
    }

    /// Where data went or came from: the rule's `destination` (or `destinations`) column if it has one, else every
    /// domain, IP and e-mail address among the observables. `None` when not all of them are known.
    pub fn destinations(&self) -> Option<Vec<&str>> {
        let evidence = &self.finding.evidence;
        for name in ["destination", "destinations"] {
            match evidence.get(name) {
                None => {}
                Some(serde_json::Value::String(one)) => return Some(vec![one]),
                Some(serde_json::Value::Array(several)) if !evidence.contains_key(&omitted(name)) => {
                    return several.iter().map(serde_json::Value::as_str).collect();
                }
                Some(_) => return None,
            }
        }
        if self.observables.len() as u64 != self.observables_total {
            return None;
        }
        let places = self.observables.iter().filter(|o| matches!(o.kind.as_str(), "domain" | "ip" | "email"));
        Some(places.map(|o| o.value.as_str()).collect())
    }
}

/// Keeps the first of each value, in order.
fn distinct(values: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    values.into_iter().filter(|value| seen.insert(value.clone())).collect()
}

/// Cuts long texts and long lists; what a list lost is counted in a member of its own.
fn shorten_evidence(evidence: &mut serde_json::Map<String, serde_json::Value>) {
    let mut counts = Vec::new();
    for (name, value) in evidence.iter_mut() {
        if let serde_json::Value::Array(items) = value
            && items.len() > MAX_OBSERVABLES
        {
            counts.push((omitted(name), items.len() - MAX_OBSERVABLES));
            items.truncate(MAX_OBSERVABLES);
        }
        shorten_value(value);
    }
    evidence.extend(counts.into_iter().map(|(name, count)| (name, count.into())));
}

/// The member that counts what the list `name` lost.
fn omitted(name: &str) -> String {
    format!("{name}_omitted")
}

/// Shortens every text inside a JSON value. Rules build these values from columns, so nesting is shallow.
fn shorten_value(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) => shorten(text, MAX_TEXT),
        serde_json::Value::Array(items) => items.iter_mut().for_each(shorten_value),
        serde_json::Value::Object(members) => members.values_mut().for_each(shorten_value),
        _ => {}
    }
}

/// Text as RFC 3339 in UTC, with as many digits as the time has; far-off times stay a number.
pub fn time_text(micros: i64) -> String {
    match chrono::DateTime::from_timestamp_micros(micros) {
        Some(time) => time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
        None => micros.to_string(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
