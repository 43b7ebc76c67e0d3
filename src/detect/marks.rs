//! What each rule has seen already: the table `rule_runs`, one row a rule, and `rule_versions`, the text of every rule that ever ran.
//!
//! A rule runs again when its text, its settings or a table that it reads has changed since. The rows are committed in one change
//! with the alerts, so a run that is killed has not happened.

use super::Stamp;
use crate::alert::columns::{rows_from_batch, rows_to_batch};
use crate::lake::{Lake, LakeError, Transaction, data_file, tables};
use crate::query::Cost;
use arrow::array::RecordBatch;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The last run of one rule over everything new.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mark {
    pub rule_id: String,
    pub rule_version: String,
    /// JSON object: parameters, level, the rule's folder, and what SQL means to the program.
    pub settings: String,
    /// Stored tables that the rule reads.
    #[serde(default)]
    pub reads: Vec<String>,
    /// JSON object: Delta versions of these tables that it saw.
    pub lake_versions: String,
    /// Microseconds.
    pub run_at: i64,
    pub seconds: f64,
    pub rows_read: i64,
    pub findings: i64,
}

/// The text of a rule as it once ran.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RuleText {
    pub rule_version: String,
    pub rule_id: String,
    pub title: String,
    /// Where it stood.
    pub path: String,
    pub text: String,
    /// Microseconds.
    pub first_run: i64,
}

impl Mark {
    pub(super) fn new(
        id: &str,
        stamp: &Stamp,
        reads: &BTreeSet<String>,
        versions: &BTreeMap<String, i64>,
        now: DateTime<Utc>,
    ) -> Self {
        let seen: BTreeMap<&String, &i64> = versions.iter().filter(|(table, _)| reads.contains(*table)).collect();
        Self {
            rule_id: id.to_owned(),
            rule_version: stamp.version.clone(),
            settings: stamp.text(),
            reads: reads.iter().cloned().collect(),
            lake_versions: serde_json::to_string(&seen).expect("texts and numbers are JSON"),
            run_at: now.timestamp_micros(),
            seconds: 0.0,
            rows_read: 0,
            findings: 0,
        }
    }

    #[must_use]
    pub(super) fn with_cost(self, seconds: f64, cost: &Cost, findings: usize) -> Self {
        let rows_read = i64::try_from(cost.rows_read).unwrap_or(i64::MAX);
        Self { seconds, rows_read, findings: findings as i64, ..self }
    }

    /// What it saw no longer counts: the rule runs again, whether or not there is news.
    pub(super) fn reopen(&mut self) {
        "{}".clone_into(&mut self.lake_versions);
    }

    /// Versions that it saw.
    pub(super) fn versions(&self) -> BTreeMap<String, i64> {
        serde_json::from_str(&self.lake_versions).unwrap_or_default()
    }

    /// Whether the rule would find the same again: it is as it was, and nothing that it reads has news.
    pub(super) fn still_holds(
        &self,
        stamp: &Stamp,
        lake: &Lake,
        now: &BTreeMap<String, i64>,
        news: &mut BTreeMap<(String, i64), bool>,
    ) -> Result<bool, LakeError> {
        if self.rule_version != stamp.version || self.settings != stamp.text() {
            return Ok(false);
        }
        let seen = self.versions();
        for table in &self.reads {
            let Some(until) = now.get(table) else { continue };
            let Some(&after) = seen.get(table) else { return Ok(false) };
            let known = news.get(&(table.clone(), after)).copied();
            let has_news = match known {
                Some(known) => known,
                None => lake.has_news(table, after, *until)?,
            };
            news.insert((table.clone(), after), has_news);
            if has_news {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether it saw a later version of something than these.
    pub(super) fn is_ahead_of(&self, versions: &BTreeMap<String, i64>) -> bool {
        self.versions().iter().any(|(table, seen)| versions.get(table).is_some_and(|ours| seen > ours))
    }
}

/// The last run of each rule.
///
/// # Errors
/// The table cannot be read.
pub async fn marks(lake: &Lake) -> Result<BTreeMap<String, Mark>, LakeError> {
    let rows: Vec<Mark> = read(lake, "rule_runs").await?;
    Ok(rows.into_iter().map(|mark| (mark.rule_id.clone(), mark)).collect())
}

/// The text of the rule with this hash, if it ever ran over this lake.
///
/// # Errors
/// The table cannot be read.
pub async fn rule_text(lake: &Lake, version: &str) -> Result<Option<RuleText>, LakeError> {
    Ok(read::<RuleText>(lake, "rule_versions").await?.into_iter().find(|rule| rule.rule_version == version))
}

/// Where each rule stood whose text the lake keeps.
///
/// # Errors
/// The table cannot be read.
pub(super) async fn rule_paths(lake: &Lake) -> Result<BTreeMap<String, BTreeSet<PathBuf>>, LakeError> {
    #[derive(Deserialize)]
    struct Place {
        rule_id: String,
        path: PathBuf,
    }
    let mut paths: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    for Place { rule_id, path } in read(lake, "rule_versions").await? {
        paths.entry(rule_id).or_default().insert(path);
    }
    Ok(paths)
}

/// Replaces the rows of `rule_runs`.
pub(super) async fn replace(
    lake: &Lake,
    marks: &BTreeMap<String, Mark>,
    transaction: &mut Transaction,
    now_ms: i64,
) -> Result<(), LakeError> {
    for file in lake.files("rule_runs").await? {
        transaction.remove("rule_runs", &file, now_ms);
    }
    if marks.is_empty() {
        return Ok(());
    }
    add(lake, "rule_runs", &marks.values().collect::<Vec<_>>(), transaction, now_ms)
}

/// Keeps the texts of rules that the lake does not have yet.
pub(super) async fn keep_texts(
    lake: &Lake,
    texts: Vec<RuleText>,
    transaction: &mut Transaction,
    now_ms: i64,
) -> Result<(), LakeError> {
    let known: BTreeSet<String> = hashes(lake).await?;
    let fresh: Vec<RuleText> = texts.into_iter().filter(|rule| !known.contains(&rule.rule_version)).collect();
    if fresh.is_empty() { Ok(()) } else { add(lake, "rule_versions", &fresh, transaction, now_ms) }
}

async fn hashes(lake: &Lake) -> Result<BTreeSet<String>, LakeError> {
    #[derive(Deserialize)]
    struct Hash {
        rule_version: String,
    }
    Ok(read::<Hash>(lake, "rule_versions").await?.into_iter().map(|row| row.rule_version).collect())
}

fn schema_of(table: &str) -> arrow::datatypes::SchemaRef {
    tables::table(table).expect("a table of the lake").schema()
}

fn add<T: Serialize>(
    lake: &Lake,
    table: &str,
    rows: &[T],
    transaction: &mut Transaction,
    now_ms: i64,
) -> Result<(), LakeError> {
    let batch: RecordBatch = rows_to_batch(schema_of(table), rows)?;
    let name = format!("part-{}", uuid::Uuid::new_v4().simple());
    let file = data_file::write(&lake.table_path(table), &name, None, &[batch], now_ms)?;
    transaction.add(table, file.add);
    Ok(())
}

async fn read<T: DeserializeOwned>(lake: &Lake, table: &str) -> Result<Vec<T>, LakeError> {
    let (path, schema) = (lake.table_path(table), schema_of(table));
    let mut rows = Vec::new();
    for file in lake.files(table).await? {
        data_file::read(&path, &file, &[], |batch| {
            rows.extend(rows_from_batch(&schema, &batch)?);
            Ok(())
        })?;
    }
    Ok(rows)
}
