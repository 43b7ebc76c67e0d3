//! What became of alerts at each sink: the table `deliveries`, to which rows are only added. Of each alert and sink the last row counts.
//!
//! An alert without a row waits: it needs none, so detection does not know of sinks. Rows come in groups, once a second or so, because each group
//! is a change of the lake. What was sent and not yet written down when the program is killed is sent again.

use crate::alert::columns::rows_to_batch;
use crate::alert::{Alert, Delivery};
use crate::lake::{Lake, LakeError, Patience, Transaction, data_file, tables};
use arrow::array::{Array as _, AsArray as _};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

const TABLE: &str = "deliveries";

/// What a sink is told of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// It was raised.
    Raised,
    /// It was resolved, or another took its place.
    Resolved,
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Pending,
    Delivered,
    Refused,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    pub sink: String,
    pub alert_id: String,
    pub event: Event,
    pub state: State,
    /// Times that it was sent.
    pub attempts: i64,
    /// Of the last attempt, in microseconds.
    pub time: i64,
    /// When it is tried again, in microseconds.
    pub next_attempt: Option<i64>,
    /// What the receiver said, if it was not a plain yes.
    pub answer: Option<String>,
    /// Grows from row to row.
    pub step: i64,
}

/// A row as it is read back; what the rows before it said is forgotten.
pub(super) struct Known<'a> {
    pub(super) sink: &'a str,
    pub(super) alert_id: &'a str,
    pub(super) event: Event,
    pub(super) state: State,
    pub(super) attempts: i64,
    pub(super) next_attempt: Option<i64>,
    pub(super) step: i64,
}

/// Adds rows in one change of the lake.
///
/// # Errors
/// Other writers had the lake for too long, or it refuses.
pub(super) async fn add(
    lake: &Lake,
    patience: &Patience<'_>,
    rows: &[Row],
    now: DateTime<Utc>,
) -> Result<(), LakeError> {
    let schema = tables::table(TABLE).map(tables::Table::schema);
    let schema = schema.ok_or_else(|| ArrowError::SchemaError(format!("the lake has no table {TABLE}")))?;
    let batch = rows_to_batch(schema, rows)?;
    let now_ms = now.timestamp_millis();
    let lock = lake.lock(patience).await?;
    let name = format!("part-{}", uuid::Uuid::new_v4().simple());
    let file = data_file::write(&lake.table_path(TABLE), &name, None, &[batch], now_ms)?;
    let mut transaction = Transaction::default();
    transaction.add(TABLE, file.add);
    transaction.commit(lake).await?;
    lock.release()
}

/// Says of each alert where it stands at each sink.
///
/// # Errors
/// The table cannot be read.
pub async fn mark(lake: &Lake, alerts: &mut [Alert]) -> Result<(), LakeError> {
    let mut latest: HashMap<(String, String), (i64, Delivery)> = HashMap::new();
    read(lake, |row| {
        let state = match row.state {
            State::Pending => Delivery::Pending,
            State::Delivered => Delivery::Delivered,
            State::Refused => Delivery::Refused,
        };
        let known = latest.entry((row.alert_id.to_owned(), row.sink.to_owned())).or_insert((row.step, state));
        if row.step >= known.0 {
            *known = (row.step, state);
        }
    })
    .await?;
    let mut of_alert: HashMap<String, BTreeMap<String, Delivery>> = HashMap::new();
    for ((alert, sink), (_, state)) in latest {
        of_alert.entry(alert).or_default().insert(sink, state);
    }
    for alert in alerts {
        alert.delivery.extend(of_alert.remove(&alert.alert_id).unwrap_or_default());
    }
    Ok(())
}

/// Reads all rows, in any order.
///
/// # Errors
/// The table cannot be read.
pub(super) async fn read(lake: &Lake, mut each: impl FnMut(&Known<'_>)) -> Result<(), LakeError> {
    let path = lake.table_path(TABLE);
    for file in lake.files(TABLE).await? {
        data_file::read(
            &path,
            &file,
            &["sink", "alert_id", "event", "state", "attempts", "next_attempt", "step"],
            |batch| {
                let column = |name: &str, kind: &DataType| match batch.column_by_name(name) {
                    Some(column) => cast(column, kind),
                    None => Err(ArrowError::SchemaError(format!("table {TABLE} has no column `{name}`"))),
                };
                let texts = |name: &str| column(name, &DataType::Utf8);
                let numbers = |name: &str| column(name, &DataType::Int64);
                let (sinks, ids, events, states) =
                    (texts("sink")?, texts("alert_id")?, texts("event")?, texts("state")?);
                let (attempts, nexts, steps) = (numbers("attempts")?, numbers("next_attempt")?, numbers("step")?);
                let (sinks, ids) = (sinks.as_string::<i32>(), ids.as_string::<i32>());
                let (events, states) = (events.as_string::<i32>(), states.as_string::<i32>());
                let (attempts, nexts) = (attempts.as_primitive::<Int64Type>(), nexts.as_primitive::<Int64Type>());
                let steps = steps.as_primitive::<Int64Type>();
                for row in 0..batch.num_rows() {
                    each(&Known {
                        sink: sinks.value(row),
                        alert_id: ids.value(row),
                        event: if events.value(row) == "resolved" { Event::Resolved } else { Event::Raised },
                        state: match states.value(row) {
                            "delivered" => State::Delivered,
                            "refused" => State::Refused,
                            _ => State::Pending,
                        },
                        attempts: attempts.value(row),
                        next_attempt: nexts.is_valid(row).then(|| nexts.value(row)),
                        step: steps.value(row),
                    });
                }
                Ok(())
            },
        )?;
    }
    Ok(())
}
