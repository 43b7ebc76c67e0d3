//! Runs rules: one query each, over the run's range plus the rule's window.

use super::{Params, Rule, RuleSet};
use crate::alert::{Entity, Level};
use crate::query::output::json_lines;
use crate::query::{Cost, Deadline, QueryError, Session, Share, TimeRange};
use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampMicrosecondType};
use futures::StreamExt as _;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::time::Duration;

/// Findings of one rule in one run before it counts as broken: nobody reads more, and memory is bounded.
const MAX_FINDINGS: usize = 100_000;

/// In how many shares of the sessions a rule is tried that has run out of memory.
const SHARES: [usize; 3] = [4, 16, 64];

/// What one rule saw. Times are microseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct RawFinding {
    pub rule_id: String,
    pub entity: Entity,
    /// `None` where the calls have no time.
    pub first_seen: Option<i64>,
    pub last_seen: Option<i64>,
    /// The evidence, sorted, each once.
    pub call_ids: Vec<String>,
    /// The row's level, or else the rule's.
    pub level: Level,
    pub score: Option<f64>,
    pub message: Option<String>,
    /// Every other column that is not NULL.
    pub evidence: Map<String, Value>,
}

/// What a run of one rule gave.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    pub findings: Vec<RawFinding>,
    /// Names of the stored tables that the rule reads: where none of them has news, it would find the same.
    pub reads: BTreeSet<String>,
    pub cost: Cost,
}

/// Why a rule gave no findings.
#[derive(Debug, thiserror::Error)]
#[error("rule {rule_id}: {cause}")]
pub struct RuleError {
    pub rule_id: String,
    pub cause: RuleFault,
}

impl RuleError {
    /// Whether it ran out of memory.
    pub fn is_memory(&self) -> bool {
        matches!(self.cause, RuleFault::Query(QueryError::Memory(_)))
    }
}

/// What was wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum RuleFault {
    #[error(transparent)]
    Query(QueryError),
    #[error("not done after {0:?}: narrow the rule, or the range with --since, or raise `rule_timeout` under [detect]")]
    TimedOut(Duration),
    #[error("{0}")]
    Contract(String),
    #[error("more than {MAX_FINDINGS} findings: narrow the rule, or the range with --since")]
    TooMany,
}

impl From<QueryError> for RuleFault {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::TimedOut(limit) => Self::TimedOut(limit),
            error => Self::Query(error),
        }
    }
}

/// Runs every rule on its own: what stops one does not stop the others.
pub async fn run_all(
    rules: &RuleSet,
    session: &Session,
    range: TimeRange,
    params: &Params,
) -> Vec<(String, Result<Vec<RawFinding>, RuleError>)> {
    let mut results = Vec::with_capacity(rules.len());
    for rule in rules.rules() {
        results.push((rule.header.id.clone(), run(rule, session, range, params).await));
    }
    results
}

/// Runs one rule. Findings that ended before the range belonged to an earlier run and are left out.
///
/// # Errors
/// The query fails, or its result lacks a column that every finding has.
pub async fn run(
    rule: &Rule,
    session: &Session,
    range: TimeRange,
    params: &Params,
) -> Result<Vec<RawFinding>, RuleError> {
    Ok(measured(rule, session, range, params).await?.findings)
}

/// As [`run`], and says what it cost.
///
/// # Errors
/// As for [`run`].
pub async fn measured(rule: &Rule, session: &Session, range: TimeRange, params: &Params) -> Result<Ran, RuleError> {
    let result = findings(rule, session, range, params).await;
    result.map_err(|cause| RuleError { rule_id: rule.header.id.clone(), cause })
}

async fn findings(rule: &Rule, session: &Session, range: TimeRange, params: &Params) -> Result<Ran, RuleFault> {
    let seen = range.widened(rule.header.window);
    let whole = session.for_rule(seen).await?;
    let limit = whole.rule_ends();
    let mut ran = found(rule, &whole, range, params, limit).await;
    for of in SHARES {
        let Err(RuleFault::Query(QueryError::Memory(_))) = &ran else { break };
        let shares = session.shares(&whole, &rule.sql, &params.of(rule), of).await?;
        if shares.is_empty() {
            break;
        }
        tracing::debug!(rule = %rule.header.id, of, "out of memory; in shares of the sessions");
        ran = in_shares(rule, session, seen, shares, range, params, limit).await;
    }
    ran
}

/// What a rule finds in shares of the sessions that together are all of them.
async fn in_shares(
    rule: &Rule,
    session: &Session,
    seen: TimeRange,
    shares: Vec<Share>,
    range: TimeRange,
    params: &Params,
    limit: Option<Deadline>,
) -> Result<Ran, RuleFault> {
    let mut all = Ran::default();
    for share in shares {
        let part = session.for_share(seen, Some(share)).await?;
        let ran = found(rule, &part, range, params, limit).await?;
        all.findings.extend(ran.findings);
        if all.findings.len() > MAX_FINDINGS {
            return Err(RuleFault::TooMany);
        }
        all.reads.extend(ran.reads);
        all.cost = all.cost.plus(ran.cost);
    }
    Ok(all)
}

/// What a rule finds in what its session sees.
async fn found(
    rule: &Rule,
    session: &Session,
    range: TimeRange,
    params: &Params,
    limit: Option<Deadline>,
) -> Result<Ran, RuleFault> {
    let mut running = session.run_rule(&rule.sql, params.of(rule), limit, rule.builtin).await?;
    let mut found = Vec::new();
    while let Some(batch) = running.rows.next().await {
        let batch = batch.map_err(QueryError::from)?;
        found.extend(
            read(rule, &batch)?.into_iter().filter(|f| f.last_seen.is_none_or(|t| range.since.is_none_or(|s| t >= s))),
        );
        if found.len() > MAX_FINDINGS {
            return Err(RuleFault::TooMany);
        }
    }
    let cost = Cost { peak_bytes: session.peak_bytes(), ..running.cost() };
    Ok(Ran { findings: found, reads: running.reads, cost })
}

/// Reads findings from the rows of a rule's result.
fn read(rule: &Rule, batch: &RecordBatch) -> Result<Vec<RawFinding>, RuleFault> {
    let first_seen = times(batch, "first_seen")?;
    let last_seen = times(batch, "last_seen")?;
    let call_ids = texts(batch, "call_ids")?;
    let scores =
        batch.column_by_name("score").map(|c| cast(c, &DataType::Float64)).transpose().map_err(QueryError::from)?;
    let lines = json_lines(batch)?;
    let mut findings = Vec::with_capacity(batch.num_rows());
    for (row, line) in lines.lines().enumerate() {
        let mut columns: Map<String, Value> =
            serde_json::from_str(line).map_err(|e| RuleFault::Contract(format!("a row is no JSON object: {e}")))?;
        let mut text = |name: &str| match columns.shift_remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let entity = Entity {
            session_id: text("session_id"),
            agent: text("agent"),
            user_id: text("user_id"),
            server: text("server"),
            tool: text("tool"),
        };
        let level = text("level").and_then(|level| Level::parse(&level)).unwrap_or(rule.header.level);
        let message = text("message");
        columns.retain(|name, value| {
            !value.is_null() && !["first_seen", "last_seen", "call_ids", "score"].contains(&name.as_str())
        });
        let score = scores.as_ref().map(|s| s.as_primitive::<Float64Type>());
        findings.push(RawFinding {
            rule_id: rule.header.id.clone(),
            entity,
            first_seen: first_seen.is_valid(row).then(|| micros(&first_seen, row)),
            last_seen: last_seen.is_valid(row).then(|| micros(&last_seen, row)),
            call_ids: call_ids(row),
            level,
            score: score.and_then(|s| s.is_valid(row).then(|| s.value(row))).filter(|s| s.is_finite()),
            message,
            evidence: columns,
        });
    }
    Ok(findings)
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, RuleFault> {
    batch.column_by_name(name).ok_or_else(|| RuleFault::Contract(format!("the result has no column `{name}`")))
}

fn times(batch: &RecordBatch, name: &str) -> Result<ArrayRef, RuleFault> {
    let column = column(batch, name)?;
    if !matches!(column.data_type(), DataType::Timestamp(..)) {
        return Err(RuleFault::Contract(format!("`{name}` must be a timestamp, not {}", column.data_type())));
    }
    Ok(cast(column, &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))).map_err(QueryError::from)?)
}

fn micros(times: &ArrayRef, row: usize) -> i64 {
    times.as_primitive::<TimestampMicrosecondType>().value(row)
}

/// The texts of one row's list. Sorted, because `array_agg` has no order and a finding must be the same every time.
fn texts(batch: &RecordBatch, name: &str) -> Result<impl Fn(usize) -> Vec<String>, RuleFault> {
    let column = column(batch, name)?;
    let DataType::List(field) = column.data_type() else {
        return Err(RuleFault::Contract(format!("`{name}` must be a list of texts, not {}", column.data_type())));
    };
    let plain = DataType::List(std::sync::Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8)));
    let lists = cast(column, &plain).map_err(QueryError::from)?;
    Ok(move |row| {
        let list = lists.as_list::<i32>();
        if list.is_null(row) {
            return Vec::new();
        }
        let values = list.value(row);
        let mut texts: Vec<String> = values.as_string::<i32>().iter().flatten().map(str::to_owned).collect();
        texts.sort();
        texts.dedup();
        texts
    })
}
