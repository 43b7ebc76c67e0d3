//! Alerts in the lake: read, brought in line with what a run found, and committed with the marks of the run in one change.

use super::gone::{Standing, gone};
use super::marks::{self, Mark, RuleText};
use super::settle::{Scope, Settled, settle};
use crate::alert::{Alert, Suppression, SuppressionUse, alerts_from_batch, alerts_to_batch, suppress};
use crate::lake::{Add, Lake, LakeError, Patience, Transaction, data_file};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What one detector found, as alerts.
pub(super) struct Answered {
    pub(super) id: String,
    pub(super) found: Vec<Alert>,
    pub(super) scope: Scope,
    /// What it has seen now, if it was everything.
    pub(super) mark: Option<Mark>,
    pub(super) text: Option<RuleText>,
}

/// Alerts after a run.
#[derive(Default)]
pub(super) struct Stored {
    /// All alerts by id.
    pub(super) alerts: BTreeMap<String, Alert>,
    pub(super) settled: Settled,
    pub(super) suppressions: SuppressionUse,
}

/// Every alert of the lake, by time; superseded and resolved ones too.
///
/// # Errors
/// The table cannot be read.
pub async fn stored(lake: &Lake) -> Result<Vec<Alert>, LakeError> {
    let mut alerts: Vec<Alert> = files(lake).await?.into_iter().flat_map(|(_, alerts)| alerts).collect();
    alerts.sort_by(|a, b| (a.time(), &a.alert_id).cmp(&(b.time(), &b.alert_id)));
    Ok(alerts)
}

/// The data files of `alerts` with their rows.
async fn files(lake: &Lake) -> Result<Vec<(Add, Vec<Alert>)>, LakeError> {
    let table = lake.table_path("alerts");
    let mut files = Vec::new();
    for file in lake.files("alerts").await? {
        let mut alerts = Vec::new();
        data_file::read(&table, &file, &[], |batch| {
            alerts.extend(alerts_from_batch(&batch)?);
            Ok(())
        })?;
        files.push((file, alerts));
    }
    Ok(files)
}

/// Marks the alerts in the lake with the suppressions that hold now, as the next run would.
///
/// # Errors
/// Other writers had the lake for too long, or it refuses.
pub async fn remark(
    lake: &Lake,
    patience: &Patience<'_>,
    suppressions: &[Suppression],
    now: DateTime<Utc>,
) -> Result<SuppressionUse, LakeError> {
    Ok(keep(lake, patience, Vec::new(), None, suppressions, now).await?.suppressions)
}

/// Keeps what a run found. Without answers it only looks whether suppressions, or the rules that there are, have changed.
pub(super) async fn keep(
    lake: &Lake,
    patience: &Patience<'_>,
    answers: Vec<Answered>,
    rules: Option<Standing<'_>>,
    suppressions: &[Suppression],
    now: DateTime<Utc>,
) -> Result<Stored, LakeError> {
    if answers.is_empty() {
        let mut stored = Stored { alerts: by_id(files(lake).await?), ..Stored::default() };
        let gone = gone(lake, rules, stored.alerts.values()).await?;
        let marked = mark_suppressed(&mut stored, suppressions, now);
        if marked.is_empty() && gone.is_empty() {
            return Ok(stored);
        }
    }
    let lock = lake.lock(patience).await?;
    let stored = keep_locked(lake, answers, rules, suppressions, now).await?;
    lock.release()?;
    Ok(stored)
}

async fn keep_locked(
    lake: &Lake,
    answers: Vec<Answered>,
    rules: Option<Standing<'_>>,
    suppressions: &[Suppression],
    now: DateTime<Utc>,
) -> Result<Stored, LakeError> {
    let now_ms = now.timestamp_millis();
    let files = files(lake).await?;
    let of_file: Vec<(_, Vec<String>)> = files
        .iter()
        .map(|(file, alerts)| (file.clone(), alerts.iter().map(|alert| alert.alert_id.clone()).collect()))
        .collect();
    let mut stored = Stored::default();
    let mut by_rule: BTreeMap<String, BTreeMap<String, Alert>> = BTreeMap::new();
    for alert in files.into_iter().flat_map(|(_, alerts)| alerts) {
        let of_rule = by_rule.entry(alert.finding.rule_id.clone()).or_default();
        of_rule.insert(alert.alert_id.clone(), alert);
    }
    let mut marks = marks::marks(lake).await?;
    let mut texts = Vec::new();
    let mut marked = false;
    for answer in answers {
        let Answered { id, found, scope, mark, text } = answer;
        // Another run saw more in the meantime, and what it says stays.
        let versions = mark.as_ref().map(Mark::versions).unwrap_or_default();
        if marks.get(&id).is_some_and(|known| known.is_ahead_of(&versions)) {
            continue;
        }
        let settled = settle(by_rule.entry(id.clone()).or_default(), found, scope);
        if scope == Scope::Part && !settled.changed.is_empty() {
            // What only a part of the lake shows has to be held against the whole of it.
            if let Some(mark) = marks.get_mut(&id) {
                mark.reopen();
                marked = true;
            }
        }
        stored.settled.new.extend(settled.new);
        stored.settled.changed.extend(settled.changed);
        stored.settled.superseded += settled.superseded;
        stored.settled.resolved += settled.resolved;
        texts.extend(text);
        marked |= mark.is_some();
        marks.extend(mark.map(|mark| (id, mark)));
    }
    for (id, why) in gone(lake, rules, by_rule.values().flat_map(BTreeMap::values)).await? {
        for alert in by_rule.get_mut(&id).into_iter().flat_map(BTreeMap::values_mut).filter(|alert| alert.is_current())
        {
            alert.resolved = Some(why.to_owned());
            stored.settled.resolved += 1;
            stored.settled.changed.insert(alert.alert_id.clone());
        }
        // If it comes back, it looks at everything again.
        marked |= marks.remove(&id).is_some();
    }
    stored.alerts = by_rule.into_values().flatten().collect();
    let suppressed = mark_suppressed(&mut stored, suppressions, now);
    stored.settled.changed.extend(suppressed);

    let mut transaction = Transaction::default();
    let changed = &stored.settled.changed;
    let mut rows: BTreeSet<&String> = changed.iter().collect();
    for (file, ids) in &of_file {
        if ids.iter().any(|id| changed.contains(id)) {
            transaction.remove("alerts", file, now_ms);
            rows.extend(ids);
        }
    }
    if !rows.is_empty() {
        let mut rows: Vec<Alert> = rows.into_iter().filter_map(|id| stored.alerts.get(id)).cloned().collect();
        // Sinks get them by time, some hundreds at once: those should stand beside each other.
        rows.sort_by(|a, b| (a.time(), &a.alert_id).cmp(&(b.time(), &b.alert_id)));
        let name = format!("part-{}", uuid::Uuid::new_v4().simple());
        let batch = alerts_to_batch(&rows)?;
        transaction.add("alerts", data_file::write(&lake.table_path("alerts"), &name, None, &[batch], now_ms)?.add);
    }
    if marked {
        marks::replace(lake, &marks, &mut transaction, now_ms).await?;
    }
    marks::keep_texts(lake, texts, &mut transaction, now_ms).await?;
    transaction.commit(lake).await?;
    Ok(stored)
}

fn by_id<T>(files: Vec<(T, Vec<Alert>)>) -> BTreeMap<String, Alert> {
    files.into_iter().flat_map(|(_, alerts)| alerts).map(|alert| (alert.alert_id.clone(), alert)).collect()
}

/// Marks current alerts with the suppressions that hold now; gives the ids of those whose mark changed.
fn mark_suppressed(stored: &mut Stored, suppressions: &[Suppression], now: DateTime<Utc>) -> HashSet<String> {
    let (mut current, history): (Vec<Alert>, Vec<Alert>) =
        std::mem::take(&mut stored.alerts).into_values().partition(Alert::is_current);
    let before: Vec<Option<String>> = current.iter().map(|alert| alert.suppressed_by.clone()).collect();
    stored.suppressions = suppress(suppressions, &mut current, now);
    let changed = current.iter().zip(before).filter(|(alert, before)| alert.suppressed_by != *before);
    let changed = changed.map(|(alert, _)| alert.alert_id.clone()).collect();
    stored.alerts = current.into_iter().chain(history).map(|alert| (alert.alert_id.clone(), alert)).collect();
    changed
}
