//! Suppressions that are kept in the lake: what `calltrail alerts suppress` writes, one row each.
//!
//! Rows are only added. A later row with the same id takes the place of the earlier one: lifting a suppression adds a row
//! that is over. So who silenced what, why and until when stays in the lake, and in its chain of changes.

use super::{Origin, Patterns, Suppression, Wildcard};
use crate::lake::{Lake, LakeError, Patience, Transaction, data_file, tables};
use arrow::array::{Array as _, AsArray as _, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

const TABLE: &str = "suppressions";

/// What fits, as JSON text in one column: SQL asks who silenced what, not how.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Matchers {
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<Vec<Wildcard>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<Vec<Wildcard>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<Vec<Wildcard>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<Vec<Wildcard>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<Vec<Wildcard>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<Vec<Wildcard>>,
}

/// Adds a suppression to the lake.
///
/// # Errors
/// Other writers had the lake for too long, or it refuses.
pub async fn keep(
    lake: &Lake,
    patience: &Patience<'_>,
    suppression: &Suppression,
    now: DateTime<Utc>,
) -> Result<(), LakeError> {
    let lock = lake.lock(patience).await?;
    let batch = row(suppression, now)?;
    let name = format!("part-{}", uuid::Uuid::new_v4().simple());
    let file = data_file::write(&lake.table_path(TABLE), &name, None, &[batch], now.timestamp_millis())?;
    let mut transaction = Transaction::default();
    transaction.add(TABLE, file.add);
    transaction.commit(lake).await?;
    lock.release()
}

/// The suppressions of the lake as they are now, by the time at which they were made.
///
/// # Errors
/// The table cannot be read.
pub async fn kept(lake: &Lake) -> Result<Vec<Suppression>, LakeError> {
    let path = lake.table_path(TABLE);
    let mut latest: BTreeMap<String, (i64, i64, Suppression)> = BTreeMap::new();
    for file in lake.files(TABLE).await? {
        data_file::read(&path, &file, &[], |batch| {
            for (written, suppression) in read(&batch)? {
                let first = latest.get(&suppression.id).map_or(written, |(first, ..)| *first).min(written);
                match latest.get_mut(&suppression.id) {
                    Some(known) if known.1 > written => known.0 = first,
                    _ => {
                        latest.insert(suppression.id.clone(), (first, written, suppression));
                    }
                }
            }
            Ok(())
        })?;
    }
    let mut all: Vec<_> = latest.into_values().collect();
    all.sort_by(|a, b| (a.0, &a.2.id).cmp(&(b.0, &b.2.id)));
    Ok(all.into_iter().map(|(.., suppression)| suppression).collect())
}

fn row(suppression: &Suppression, now: DateTime<Utc>) -> Result<RecordBatch, ArrowError> {
    let list = |patterns: &Option<Patterns>| patterns.as_ref().map(|patterns| patterns.list().to_vec());
    let matchers = Matchers {
        session_id: list(&suppression.session_id),
        agent: list(&suppression.agent),
        user_id: list(&suppression.user_id),
        server: list(&suppression.server),
        tool: list(&suppression.tool),
        destination: list(&suppression.destination),
    };
    let matchers = serde_json::to_string(&matchers).map_err(|e| ArrowError::JsonError(e.to_string()))?;
    let text = |text: Option<&str>| -> Arc<dyn arrow::array::Array> { Arc::new(StringArray::from(vec![text])) };
    let time = |time: Option<DateTime<Utc>>| -> Arc<dyn arrow::array::Array> {
        let micros = time.map(|time| time.timestamp_micros());
        Arc::new(TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC"))
    };
    let schema = tables::table(TABLE).map(tables::Table::schema);
    let schema = schema.ok_or_else(|| ArrowError::SchemaError(format!("the lake has no table {TABLE}")))?;
    RecordBatch::try_new(
        schema,
        vec![
            text(Some(&suppression.id)),
            time(Some(now)),
            text(Some(suppression.rule.as_str())),
            text(suppression.alert_id.as_deref()),
            text(Some(&matchers)),
            text(Some(&suppression.owner)),
            text(Some(&suppression.reason)),
            time(suppression.expires),
        ],
    )
}

/// Rows with the time at which they were written, in microseconds.
fn read(batch: &RecordBatch) -> Result<Vec<(i64, Suppression)>, ArrowError> {
    let column = |name: &str, kind: &DataType| match batch.column_by_name(name) {
        Some(column) => cast(column, kind),
        None => Err(ArrowError::SchemaError(format!("table {TABLE} has no column `{name}`"))),
    };
    let texts = |name: &str| column(name, &DataType::Utf8);
    let times = |name: &str| column(name, &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
    let (ids, rules, alerts) = (texts("suppression_id")?, texts("rule")?, texts("alert_id")?);
    let (matchers, owners, reasons) = (texts("matchers")?, texts("owner")?, texts("reason")?);
    let (written, expires) = (times("written_at")?, times("expires")?);
    let text = |column: &Arc<dyn arrow::array::Array>, row: usize| {
        let column = column.as_string::<i32>();
        column.is_valid(row).then(|| column.value(row).to_owned())
    };
    let micros = |column: &Arc<dyn arrow::array::Array>, row: usize| {
        let column = column.as_primitive::<TimestampMicrosecondType>();
        column.is_valid(row).then(|| column.value(row))
    };
    (0..batch.num_rows())
        .map(|row| {
            let found: Matchers = serde_json::from_str(&text(&matchers, row).unwrap_or_else(|| "{}".to_owned()))
                .map_err(|e| ArrowError::JsonError(format!("row of {TABLE}: {e}")))?;
            let suppression = Suppression {
                id: text(&ids, row).unwrap_or_default(),
                origin: Origin::Lake,
                // A row that says nothing must hide nothing.
                rule: Wildcard::new(text(&rules, row).unwrap_or_default()),
                alert_id: text(&alerts, row),
                session_id: found.session_id.map(Patterns::new),
                agent: found.agent.map(Patterns::new),
                user_id: found.user_id.map(Patterns::new),
                server: found.server.map(Patterns::new),
                tool: found.tool.map(Patterns::new),
                destination: found.destination.map(Patterns::new),
                owner: text(&owners, row).unwrap_or_default(),
                reason: text(&reasons, row).unwrap_or_default(),
                expires: Some(micros(&expires, row).and_then(DateTime::from_timestamp_micros).unwrap_or_default()),
            };
            Ok((micros(&written, row).unwrap_or_default(), suppression))
        })
        .collect()
}
