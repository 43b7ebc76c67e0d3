//! Detectors over a time range → alerts: what each finds, with enough of the calls to judge it, kept in the lake once.

use crate::alert::{Alert, CallEvidence, Finding, Kind, Level, Observable, Suppression, SuppressionUse, suppress};
use crate::alert::{alerts_from_batch, alerts_to_batch};
use crate::lake::{Lake, LakeError, Patience, Transaction, data_file};
use crate::query::output::json_lines;
use crate::query::{QueryError, Session, TimeRange};
use crate::rule::{Params, Rule, RuleError, RuleSet};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Calls of one finding that are looked up; an alert shows the first and last few of them.
const MAX_EVIDENCE: usize = 200;
/// Ids in one look-up query.
const LOOKUP: usize = 1000;

/// Something that finds things in a range of time: a rule, or the model.
#[async_trait]
pub trait Detector: Send + Sync {
    /// The rule's or model's id.
    fn id(&self) -> &str;
    /// What it sees in the range. An error concerns this detector only; the others run.
    async fn detect(&self, session: &Session, range: TimeRange) -> Result<Vec<Finding>, RuleError>;
}

/// A rule with the user's settings.
#[derive(Debug)]
pub struct RuleDetector {
    rule: Rule,
    params: Params,
    /// The user's level in place of the rule's.
    level: Option<Level>,
}

#[async_trait]
impl Detector for RuleDetector {
    fn id(&self) -> &str {
        &self.rule.header.id
    }

    async fn detect(&self, session: &Session, range: TimeRange) -> Result<Vec<Finding>, RuleError> {
        let header = &self.rule.header;
        let found = crate::rule::run(&self.rule, session, range, &self.params).await?;
        Ok(found
            .into_iter()
            .map(|raw| Finding {
                kind: Kind::Rule,
                rule_id: raw.rule_id,
                rule_title: header.title.clone(),
                rule_version: self.rule.version_hash.clone(),
                level: self.level.unwrap_or(raw.level),
                status: header.status.as_str().to_owned(),
                tags: header.tags.clone(),
                description: header.description.clone(),
                falsepositives: header.falsepositives.clone(),
                entity: raw.entity,
                first_seen: raw.first_seen.or(raw.last_seen).unwrap_or_default(),
                last_seen: raw.last_seen.or(raw.first_seen).unwrap_or_default(),
                call_ids: raw.call_ids,
                score: raw.score,
                message: raw.message,
                evidence: raw.evidence,
            })
            .collect())
    }
}

/// The rules as detectors.
pub fn rule_detectors(rules: &RuleSet, params: &Params, levels: &BTreeMap<String, Level>) -> Vec<Box<dyn Detector>> {
    rules
        .rules()
        .iter()
        .map(|rule| {
            let level = levels.get(&rule.header.id).copied();
            Box::new(RuleDetector { rule: rule.clone(), params: params.clone(), level }) as Box<dyn Detector>
        })
        .collect()
}

/// What a run found.
#[derive(Debug, Default)]
pub struct Detected {
    /// Every alert of the range, new or known, suppressed or not, by time.
    pub alerts: Vec<Alert>,
    /// Ids of those that the lake did not have.
    pub new: HashSet<String>,
    pub findings: u64,
    /// Detectors that gave no answer, and why.
    pub failed: Vec<RuleError>,
    pub suppressions: SuppressionUse,
}

/// Why a run stopped.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Lake(#[from] LakeError),
}

/// Runs every detector over the range and makes alerts of what they find.
///
/// # Errors
/// The calls behind the findings cannot be read. A detector that fails is in [`Detected::failed`].
pub async fn detect(
    session: &Session,
    detectors: &[Box<dyn Detector>],
    range: TimeRange,
    lake_versions: &BTreeMap<String, i64>,
    suppressions: &[Suppression],
    now: DateTime<Utc>,
) -> Result<Detected, DetectError> {
    let mut detected = Detected::default();
    let mut findings = Vec::new();
    for detector in detectors {
        match detector.detect(session, range).await {
            Ok(found) => findings.extend(found),
            Err(error) => detected.failed.push(error),
        }
    }
    detected.findings = findings.len() as u64;
    let wanted = findings.iter().flat_map(|f| f.call_ids.iter().take(MAX_EVIDENCE)).filter(|id| is_call_id(id));
    let wanted: Vec<&str> = wanted.map(String::as_str).collect::<HashSet<_>>().into_iter().collect();
    let calls = evidence(session, &wanted).await?;
    let observables = observables(session, &wanted).await?;
    let mut seen = HashSet::new();
    for finding in findings {
        let of_finding = |id: &String| calls.get(id.as_str()).cloned();
        let evidence = finding.call_ids.iter().filter_map(of_finding).collect();
        let values = finding.call_ids.iter().filter_map(|id| observables.get(id.as_str())).flatten().cloned().collect();
        let alert = Alert::new(finding, evidence, values, lake_versions.clone());
        if seen.insert(alert.alert_id.clone()) {
            detected.alerts.push(alert);
        }
    }
    detected.alerts.sort_by(|a, b| (a.time(), &a.alert_id).cmp(&(b.time(), &b.alert_id)));
    detected.suppressions = suppress(suppressions, &mut detected.alerts, now);
    Ok(detected)
}

/// Keeps the alerts that the lake does not have yet, and marks them as new.
///
/// # Errors
/// Other writers had the lake for too long, or it refuses.
pub async fn store(
    lake: &Lake,
    patience: &Patience<'_>,
    detected: &mut Detected,
    now: DateTime<Utc>,
) -> Result<(), LakeError> {
    let lock = lake.lock(patience).await?;
    store_locked(lake, detected, now).await?;
    lock.release()
}

async fn store_locked(lake: &Lake, detected: &mut Detected, now: DateTime<Utc>) -> Result<(), LakeError> {
    let known: HashSet<String> = stored(lake).await?.into_iter().map(|alert| alert.alert_id).collect();
    let fresh: Vec<Alert> = detected.alerts.iter().filter(|alert| !known.contains(&alert.alert_id)).cloned().collect();
    detected.new = fresh.iter().map(|alert| alert.alert_id.clone()).collect();
    if fresh.is_empty() {
        return Ok(());
    }
    let batch = alerts_to_batch(&fresh)?;
    let name = format!("part-{}", uuid::Uuid::new_v4().simple());
    let file = data_file::write(&lake.table_path("alerts"), &name, None, &[batch], now.timestamp_millis())?;
    let mut transaction = Transaction::default();
    transaction.add("alerts", file.add);
    transaction.commit(lake).await
}

/// Every alert of the lake, by time.
///
/// # Errors
/// The table cannot be read.
pub async fn stored(lake: &Lake) -> Result<Vec<Alert>, LakeError> {
    let table = lake.table_path("alerts");
    let mut alerts = Vec::new();
    for file in lake.files("alerts").await? {
        data_file::read(&table, &file, &[], |batch| {
            alerts.extend(alerts_from_batch(&batch)?);
            Ok(())
        })?;
    }
    alerts.sort_by(|a, b| (a.time(), &a.alert_id).cmp(&(b.time(), &b.alert_id)));
    Ok(alerts)
}

/// Call ids are hex digits; a rule may return any text, and the look-up puts ids into SQL.
fn is_call_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())
}

fn list(ids: &[&str]) -> String {
    ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(",")
}

async fn evidence(session: &Session, ids: &[&str]) -> Result<HashMap<String, CallEvidence>, QueryError> {
    let mut found = HashMap::new();
    for ids in ids.chunks(LOOKUP) {
        let sql = format!(
            "SELECT call_id, CAST(time AS BIGINT) AS time, session_id, agent, user_id, server, tool, \
             substr(arguments, 1, 4096) AS arguments, substr(result_text, 1, 4096) AS result_text, \
             coalesce(method, 'unknown') AS method, coalesce(outcome, 'unknown') AS outcome, \
             coalesce(approval, 'unknown') AS approval, source_file, source_line FROM calls WHERE call_id IN ({})",
            list(ids)
        );
        for call in rows::<CallEvidence>(session, &sql).await? {
            found.insert(call.call_id.clone(), call);
        }
    }
    Ok(found)
}

async fn observables(session: &Session, ids: &[&str]) -> Result<HashMap<String, Vec<Observable>>, QueryError> {
    #[derive(Deserialize)]
    struct Found {
        call_id: String,
        #[serde(flatten)]
        observable: Observable,
    }
    let mut found: HashMap<String, Vec<Observable>> = HashMap::new();
    for ids in ids.chunks(LOOKUP) {
        let sql = format!("SELECT DISTINCT call_id, type, value FROM observables WHERE call_id IN ({})", list(ids));
        for row in rows::<Found>(session, &sql).await? {
            found.entry(row.call_id).or_default().push(row.observable);
        }
    }
    Ok(found)
}

async fn rows<T: serde::de::DeserializeOwned>(session: &Session, sql: &str) -> Result<Vec<T>, QueryError> {
    let mut rows = Vec::new();
    for batch in session.collect(sql).await? {
        for line in json_lines(&batch)?.lines() {
            let row = serde_json::from_str(line);
            rows.push(
                row.map_err(|error| QueryError::Execution(format!("a row of the lake is not as expected: {error}")))?,
            );
        }
    }
    Ok(rows)
}
