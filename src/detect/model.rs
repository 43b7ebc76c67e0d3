//! The behaviour model as a detector: sessions of the table `scores` whose p-values the budget lets through.
//!
//! The scores are brought up to date before detectors run, so this one is about which of them are told, and how bad they are. What is told stays: another model, or
//! other sessions to compare with, would take it back otherwise, and whoever moves what is normal could silence an alert.

use super::{Answer, Detector, Stamp};
use crate::alert::{Entity, Finding, Kind, Level};
use crate::model::{Budget, Parts, Reason};
use crate::query::{Cost, QueryError, Session, TimeRange};
use crate::rule::{RuleError, RuleFault};
use async_trait::async_trait;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Names the detector in alerts, marks and suppressions.
pub const MODEL_RULE: &str = "behaviour_model";
/// Least score of a session that is told: below it the log hardly says anything.
const LEAST: f64 = 0.1;
/// Calls in one query.
const LOOKUP: usize = 500;
/// Capabilities that make carrying out an order bad.
const GRAVE: [&str; 5] = ["egress", "pays", "destructive", "executes", "credentials"];

/// The model with what the user can afford.
#[derive(Clone, Debug)]
pub struct ModelDetector {
    pub model_id: String,
    pub budget: Budget,
    /// Sessions a day of the time that the model was trained on; `None`: those of the lake.
    pub sessions_per_day: Option<f64>,
}

#[derive(Deserialize)]
struct Row {
    session_id: String,
    call_id: Option<String>,
    source_call_id: Option<String>,
    agent: Option<String>,
    time: Option<i64>,
    score: f64,
    p_value: f64,
    reasons: Option<String>,
    message: Option<String>,
    parts: Option<String>,
}

/// What is looked up of a call.
#[derive(Clone, Debug, Default, Deserialize)]
struct Blamed {
    call_id: String,
    time: Option<i64>,
    capabilities: Option<String>,
}

#[derive(Deserialize)]
struct Carried {
    sink_call_id: String,
    source_tool: Option<String>,
    calls_between: Option<i64>,
    bytes: Option<i64>,
}

#[async_trait]
impl Detector for ModelDetector {
    fn id(&self) -> &str {
        MODEL_RULE
    }

    fn stamp(&self) -> Stamp {
        let mut settings = serde_json::Map::new();
        settings.insert("false_alarms_per_day".to_owned(), self.budget.per_day.into());
        settings.insert("false_discovery_rate".to_owned(), self.budget.false_discovery_rate.into());
        settings.insert("false_alarm_rate".to_owned(), self.budget.rate.into());
        Stamp { version: self.model_id.clone(), settings, group: "behaviour".to_owned(), source: None }
    }

    fn window(&self) -> i64 {
        0
    }

    fn takes_back(&self) -> bool {
        false
    }

    async fn detect(&self, session: &Session, range: TimeRange) -> Result<Answer, RuleError> {
        let failed = |error: QueryError| RuleError { rule_id: MODEL_RULE.to_owned(), cause: RuleFault::Query(error) };
        let sql = "SELECT session_id, call_id, source_call_id, agent, CAST(time AS BIGINT) AS time, score, coalesce(p_value, 1) AS p_value, reasons, message, parts \
                   FROM scores WHERE subject = 'session'";
        let mut rows: Vec<Row> = session.rows(sql).await.map_err(failed)?;
        rows.sort_by(|a, b| a.session_id.cmp(&b.session_id));
        let times: Vec<(Option<i64>, f64)> = rows.iter().map(|row| (row.time, row.p_value)).collect();
        let told = self.budget.told(&times, self.sessions_per_day.unwrap_or_else(|| per_day(&times)));
        let told: Vec<&Row> =
            rows.iter().zip(told).filter(|(row, told)| *told && row.score >= LEAST).map(|(row, _)| row).collect();
        let ids: Vec<&str> =
            told.iter().flat_map(|row| [&row.call_id, &row.source_call_id]).flatten().map(String::as_str).collect();
        let (mut calls, mut carried) = (BTreeMap::new(), BTreeMap::new());
        for ids in ids.chunks(LOOKUP) {
            let list = ids
                .iter()
                .filter(|id| id.bytes().all(|b| b.is_ascii_hexdigit()))
                .map(|id| format!("'{id}'"))
                .collect::<Vec<_>>()
                .join(",");
            let sql = format!(
                "SELECT call_id, CAST(time AS BIGINT) AS time, array_to_string(capabilities, ' ') AS capabilities FROM calls WHERE call_id IN ({list})"
            );
            let found: Vec<Blamed> = session.rows(&sql).await.map_err(failed)?;
            calls.extend(found.into_iter().map(|call| (call.call_id.clone(), call)));
            let sql = format!(
                "SELECT sink_call_id, source_tool, calls_between, bytes FROM flows WHERE kind <> 'directive' AND sink_call_id IN ({list}) ORDER BY bytes, flow_id"
            );
            let found: Vec<Carried> = session.rows(&sql).await.map_err(failed)?;
            // The largest comes last and stays.
            carried.extend(found.into_iter().map(|flow| (flow.sink_call_id.clone(), flow)));
        }
        let inside = |time: Option<i64>| {
            time.is_none_or(|time| {
                range.since.is_none_or(|since| since <= time) && range.until.is_none_or(|until| time <= until)
            })
        };
        let mut findings: Vec<Finding> = Vec::new();
        for row in told {
            let Some(blamed) = row.call_id.as_ref().and_then(|id| calls.get(id)) else { continue };
            let source = row.source_call_id.as_ref().and_then(|id| calls.get(id));
            if inside(blamed.time) {
                findings.push(self.finding(row, blamed, source, carried.get(&blamed.call_id)));
            }
        }
        let reads = BTreeSet::from(["scores".to_owned()]);
        Ok(Answer { findings, reads, cost: Cost::default() })
    }
}

/// Sessions a day on the days that have some.
fn per_day(times: &[(Option<i64>, f64)]) -> f64 {
    let days: BTreeSet<i64> =
        times.iter().filter_map(|(time, _)| *time).map(|time| time.div_euclid(86_400_000_000)).collect();
    times.len() as f64 / days.len().max(1) as f64
}

impl ModelDetector {
    fn finding(&self, row: &Row, blamed: &Blamed, source: Option<&Blamed>, carried: Option<&Carried>) -> Finding {
        let parts: Parts = row.parts.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let reasons: Vec<Reason> =
            row.reasons.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let capabilities = blamed.capabilities.as_deref().unwrap_or_default();
        let grave = capabilities.split(' ').any(|one| GRAVE.contains(&one));
        let is_order = source.is_some();
        let mut message = row.message.clone().unwrap_or_default();
        if let Some(flow) = carried.filter(|_| !is_order) {
            let between = flow.calls_between.unwrap_or_default() + 1;
            message.push_str(&format!(
                "; {} B of it came out of {}, {between} call{} earlier",
                flow.bytes.unwrap_or_default(),
                flow.source_tool.as_deref().unwrap_or("a result"),
                if between == 1 { "" } else { "s" }
            ));
        }
        let mut evidence = serde_json::Map::new();
        evidence.insert("p_value".to_owned(), row.p_value.into());
        evidence.insert("reasons".to_owned(), serde_json::to_value(&reasons).unwrap_or_default());
        evidence.insert("order".to_owned(), parts.order.into());
        evidence.insert("behaviour".to_owned(), parts.behaviour.into());
        let nearest = parts
            .nearest
            .iter()
            .map(|(session, cosine)| serde_json::json!({"session_id": session, "similarity": cosine}));
        evidence.insert("nearest".to_owned(), nearest.collect());
        let times = || [Some(blamed), source].into_iter().flatten().filter_map(|call| call.time);
        let text = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>();
        let order_tags = ["owasp.mcp06", "owasp.asi01", "atlas.AML.T0051.001", "atlas.AML.T0053"];
        Finding {
            kind: Kind::Model,
            rule_id: MODEL_RULE.to_owned(),
            rule_title: if is_order { "A call carries out an order that a result gave" } else { "A session unlike what the agent does" }.to_owned(),
            rule_version: self.model_id.clone(),
            rule_group: "behaviour".to_owned(),
            settings: self.stamp().settings,
            // Nothing is promised of agents that the model was not trained on.
            level: match (self.sessions_per_day.is_some(), is_order, grave) {
                (true, true, true) => Level::High,
                (true, true, false) | (true, false, true) => Level::Medium,
                (true, false, false) | (false, _, true) => Level::Low,
                (false, _, false) => Level::Informational,
            },
            status: "test".to_owned(),
            tags: if is_order { text(&order_tags) } else { text(&["owasp.asi10"]) },
            description: "The session scores so high that, among normal sessions, at most a share p_value does. What speaks for it stands in the reasons.".to_owned(),
            falsepositives: text(&["the user asked for what a page or an e-mail says, and the log has no requests", "a new task, tool or destination"]),
            entity: Entity { session_id: Some(row.session_id.clone()), agent: row.agent.clone(), ..Entity::default() },
            first_seen: times().min().or(row.time).unwrap_or_default(),
            last_seen: times().max().or(row.time).unwrap_or_default(),
            call_ids: [Some(blamed), source].into_iter().flatten().map(|call| call.call_id.clone()).collect(),
            score: Some(row.score),
            message: Some(message),
            evidence,
        }
    }
}
