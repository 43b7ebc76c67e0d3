//! Alerts as rows of the lake's `alerts` table.
//!
//! What rules and users filter by is a column; what is only read as a whole (calls, observables, evidence,
//! versions, delivery) is JSON text in one, so that the table's schema does not follow every change inside.
//! They are written through [`Row`] and arrow's own JSON decoder; they are read by [`super::rows`].

use super::{Alert, Entity, Kind, Level};
use crate::lake::tables::alerts_schema;
use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::{ArrayWriter, ReaderBuilder};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Turns alerts into one batch of [`alerts_schema`].
pub fn alerts_to_batch(alerts: &[Alert]) -> Result<RecordBatch, ArrowError> {
    let rows = alerts.iter().map(Row::of).collect::<Result<Vec<_>, _>>().map_err(json_error)?;
    rows_to_batch(alerts_schema(), &rows)
}

/// Turns structs whose members are the columns of a schema into one batch; times are microseconds.
pub(crate) fn rows_to_batch<T: Serialize>(schema: SchemaRef, rows: &[T]) -> Result<RecordBatch, ArrowError> {
    if rows.is_empty() {
        return Ok(RecordBatch::new_empty(schema));
    }
    // Times pass as numbers: as text they would need a time zone database on the way back.
    let plain: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| match field.data_type() {
            DataType::Timestamp(..) => field.as_ref().clone().with_data_type(DataType::Int64),
            _ => field.as_ref().clone(),
        })
        .collect();
    let mut decoder = ReaderBuilder::new(Arc::new(Schema::new(plain))).with_batch_size(rows.len()).build_decoder()?;
    decoder.serialize(rows)?;
    let Some(batch) = decoder.flush()? else { return Ok(RecordBatch::new_empty(schema)) };
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| cast(column, field.data_type()));
    let columns = columns.collect::<Result<_, _>>()?;
    RecordBatch::try_new(schema, columns)
}

/// The reverse of [`rows_to_batch`]. Columns that are NULL or missing are members that are missing.
pub(crate) fn rows_from_batch<T: DeserializeOwned>(schema: &Schema, batch: &RecordBatch) -> Result<Vec<T>, ArrowError> {
    if batch.num_rows() == 0 {
        return Ok(Vec::new());
    }
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for wanted in schema.fields() {
        let Some(mut column) = batch.column_by_name(wanted.name()).cloned() else { continue };
        if let DataType::Timestamp(_, zone) = column.data_type() {
            let micros = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
            column = cast(&cast(&column, &micros)?, &DataType::Int64)?;
        }
        fields.push(Field::new(wanted.name(), column.data_type().clone(), true));
        columns.push(column);
    }
    let plain = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    let mut writer = ArrayWriter::new(Vec::new());
    writer.write(&plain)?;
    writer.finish()?;
    serde_json::from_slice(&writer.into_inner()).map_err(json_error)
}

pub(super) fn json_error(error: serde_json::Error) -> ArrowError {
    ArrowError::JsonError(format!("row of a table of alerts or rules: {error}"))
}

/// One row; field names are the column names.
#[derive(Serialize)]
struct Row {
    alert_id: String,
    time: i64,
    kind: Kind,
    rule_id: String,
    rule_title: String,
    rule_version: String,
    level: Level,
    status: String,
    tags: Vec<String>,
    description: String,
    falsepositives: Vec<String>,
    #[serde(flatten)]
    entity: Entity,
    first_seen: i64,
    last_seen: i64,
    call_ids: Vec<String>,
    calls_total: u64,
    score: Option<f64>,
    message: Option<String>,
    evidence: Option<String>,
    calls: Option<String>,
    observables: Option<String>,
    observables_total: u64,
    lake_versions: Option<String>,
    suppressed_by: Option<String>,
    delivery: Option<String>,
    rule_group: Option<String>,
    settings: Option<String>,
    incident_id: Option<String>,
    superseded_by: Option<String>,
    resolved: Option<String>,
}

impl Row {
    fn of(alert: &Alert) -> Result<Self, serde_json::Error> {
        let finding = alert.finding.clone();
        Ok(Self {
            alert_id: alert.alert_id.clone(),
            time: alert.time(),
            kind: finding.kind,
            rule_id: finding.rule_id,
            rule_title: finding.rule_title,
            rule_version: finding.rule_version,
            level: finding.level,
            status: finding.status,
            tags: finding.tags,
            description: finding.description,
            falsepositives: finding.falsepositives,
            entity: finding.entity,
            first_seen: finding.first_seen,
            last_seen: finding.last_seen,
            call_ids: finding.call_ids,
            calls_total: alert.calls_total,
            score: finding.score,
            message: finding.message,
            evidence: Some(serde_json::to_string(&finding.evidence)?),
            calls: Some(serde_json::to_string(&alert.calls)?),
            observables: Some(serde_json::to_string(&alert.observables)?),
            observables_total: alert.observables_total,
            lake_versions: Some(serde_json::to_string(&alert.lake_versions)?),
            suppressed_by: alert.suppressed_by.clone(),
            delivery: Some(serde_json::to_string(&alert.delivery)?),
            rule_group: Some(finding.rule_group),
            settings: Some(serde_json::to_string(&finding.settings)?),
            incident_id: Some(alert.incident_id.clone()),
            superseded_by: alert.superseded_by.clone(),
            resolved: alert.resolved.clone(),
        })
    }
}
