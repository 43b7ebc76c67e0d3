//! Alerts out of rows of the `alerts` table, column by column: a million of them may wait for a sink.

use super::columns::json_error;
use super::{Alert, CallEvidence, Delivery, Entity, Finding, Kind, Level, Observable};
use arrow::array::{Array as _, ArrayRef, AsArray as _, Float64Array, Int64Array, ListArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, TimeUnit};
use arrow::error::ArrowError;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Reads alerts back, from whatever text and time types the query engine returned; unknown columns are left out.
///
/// # Errors
/// A column that every alert has is missing or NULL, or one that holds JSON does not.
pub fn alerts_from_batch(batch: &RecordBatch) -> Result<Vec<Alert>, ArrowError> {
    if batch.num_rows() == 0 {
        return Ok(Vec::new());
    }
    let columns = Columns::of(batch)?;
    (0..batch.num_rows()).map(|row| columns.alert(row)).collect()
}

/// A column as text, whatever its type. `None`: there is no such column.
pub(crate) fn texts(batch: &RecordBatch, name: &str) -> Result<Option<StringArray>, ArrowError> {
    let cast_one = |column: &ArrayRef| Ok(cast(column, &DataType::Utf8)?.as_string::<i32>().clone());
    batch.column_by_name(name).map(cast_one).transpose()
}

/// A column of times in microseconds.
pub(crate) fn micros(batch: &RecordBatch, name: &str) -> Result<Option<Int64Array>, ArrowError> {
    let in_micros = |column: &ArrayRef| match column.data_type() {
        DataType::Timestamp(_, zone) => cast(column, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone())),
        _ => Ok(column.clone()),
    };
    let cast_one = |column: &ArrayRef| Ok(cast(&in_micros(column)?, &DataType::Int64)?.as_primitive().clone());
    batch.column_by_name(name).map(cast_one).transpose()
}

/// A column of lists of texts, whatever kind of list a writer made of it.
pub(crate) fn lists(batch: &RecordBatch, name: &str) -> Result<Lists, ArrowError> {
    let Some(column) = batch.column_by_name(name) else { return Ok(Lists(None)) };
    let lists = cast(column, &DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))))?;
    let lists = lists.as_list::<i32>().clone();
    let texts = lists.values().as_string::<i32>().clone();
    Ok(Lists(Some((lists, texts))))
}

/// Texts of a column that may be missing.
struct Texts(&'static str, Option<StringArray>);

impl Texts {
    fn get(&self, row: usize) -> Option<&str> {
        self.1.as_ref().filter(|column| column.is_valid(row)).map(|column| column.value(row))
    }

    fn owned(&self, row: usize) -> Option<String> {
        self.get(row).map(str::to_owned)
    }

    fn required(&self, row: usize) -> Result<String, ArrowError> {
        self.owned(row).ok_or_else(|| missing(self.0))
    }

    /// One of a few words.
    fn word<T>(&self, row: usize, parse: impl Fn(&str) -> Option<T>) -> Result<T, ArrowError> {
        let text = self.get(row).ok_or_else(|| missing(self.0))?;
        parse(text).ok_or_else(|| ArrowError::SchemaError(format!("table alerts: `{text}` is no {}", self.0)))
    }

    fn json<T: DeserializeOwned + Default>(&self, row: usize) -> Result<T, ArrowError> {
        self.get(row).map_or_else(|| Ok(T::default()), |json| serde_json::from_str(json).map_err(json_error))
    }
}

/// Numbers of a column that every alert has.
struct Numbers(&'static str, Option<Int64Array>);

impl Numbers {
    fn get(&self, row: usize) -> Result<i64, ArrowError> {
        let value = self.1.as_ref().filter(|column| column.is_valid(row)).map(|column| column.value(row));
        value.ok_or_else(|| missing(self.0))
    }

    fn count(&self, row: usize) -> Result<u64, ArrowError> {
        self.get(row).map(|count| u64::try_from(count).unwrap_or_default())
    }
}

/// Lists of texts in a column that may be missing.
pub(crate) struct Lists(Option<(ListArray, StringArray)>);

impl Lists {
    pub(crate) fn get(&self, row: usize) -> impl Iterator<Item = &str> {
        let column = self.0.as_ref().filter(|(lists, _)| lists.is_valid(row));
        column.into_iter().flat_map(move |(lists, texts)| {
            let [from, to] = [row, row + 1].map(|at| lists.value_offsets()[at] as usize);
            (from..to).filter(|at| texts.is_valid(*at)).map(|at| texts.value(at))
        })
    }

    fn owned(&self, row: usize) -> Vec<String> {
        self.get(row).map(str::to_owned).collect()
    }
}

/// The columns of a batch.
struct Columns {
    alert_id: Texts,
    kind: Texts,
    rule_id: Texts,
    rule_title: Texts,
    rule_version: Texts,
    level: Texts,
    status: Texts,
    tags: Lists,
    description: Texts,
    falsepositives: Lists,
    session_id: Texts,
    agent: Texts,
    user_id: Texts,
    server: Texts,
    tool: Texts,
    first_seen: Numbers,
    last_seen: Numbers,
    call_ids: Lists,
    calls_total: Numbers,
    score: Option<Float64Array>,
    message: Texts,
    evidence: Texts,
    calls: Texts,
    observables: Texts,
    observables_total: Numbers,
    lake_versions: Texts,
    suppressed_by: Texts,
    delivery: Texts,
    rule_group: Texts,
    settings: Texts,
    incident_id: Texts,
    superseded_by: Texts,
    resolved: Texts,
}

impl Columns {
    fn of(batch: &RecordBatch) -> Result<Self, ArrowError> {
        let text = |name| Ok::<_, ArrowError>(Texts(name, texts(batch, name)?));
        let number = |name| Ok::<_, ArrowError>(Numbers(name, micros(batch, name)?));
        let list = |name| lists(batch, name);
        let score = batch.column_by_name("score").map(|column| cast(column, &DataType::Float64)).transpose()?;
        Ok(Self {
            alert_id: text("alert_id")?,
            kind: text("kind")?,
            rule_id: text("rule_id")?,
            rule_title: text("rule_title")?,
            rule_version: text("rule_version")?,
            level: text("level")?,
            status: text("status")?,
            tags: list("tags")?,
            description: text("description")?,
            falsepositives: list("falsepositives")?,
            session_id: text("session_id")?,
            agent: text("agent")?,
            user_id: text("user_id")?,
            server: text("server")?,
            tool: text("tool")?,
            first_seen: number("first_seen")?,
            last_seen: number("last_seen")?,
            call_ids: list("call_ids")?,
            calls_total: number("calls_total")?,
            score: score.map(|score| score.as_primitive().clone()),
            message: text("message")?,
            evidence: text("evidence")?,
            calls: text("calls")?,
            observables: text("observables")?,
            observables_total: number("observables_total")?,
            lake_versions: text("lake_versions")?,
            suppressed_by: text("suppressed_by")?,
            delivery: text("delivery")?,
            rule_group: text("rule_group")?,
            settings: text("settings")?,
            incident_id: text("incident_id")?,
            superseded_by: text("superseded_by")?,
            resolved: text("resolved")?,
        })
    }

    fn alert(&self, row: usize) -> Result<Alert, ArrowError> {
        let alert_id = self.alert_id.required(row)?;
        Ok(Alert {
            finding: Finding {
                kind: self.kind.word(row, Kind::parse)?,
                rule_id: self.rule_id.required(row)?,
                rule_title: self.rule_title.required(row)?,
                rule_version: self.rule_version.required(row)?,
                rule_group: self.rule_group.owned(row).unwrap_or_default(),
                settings: self.settings.json(row)?,
                level: self.level.word(row, Level::parse)?,
                status: self.status.required(row)?,
                tags: self.tags.owned(row),
                description: self.description.owned(row).unwrap_or_default(),
                falsepositives: self.falsepositives.owned(row),
                entity: Entity {
                    session_id: self.session_id.owned(row),
                    agent: self.agent.owned(row),
                    user_id: self.user_id.owned(row),
                    server: self.server.owned(row),
                    tool: self.tool.owned(row),
                },
                first_seen: self.first_seen.get(row)?,
                last_seen: self.last_seen.get(row)?,
                call_ids: self.call_ids.owned(row),
                score: self.score.as_ref().filter(|score| score.is_valid(row)).map(|score| score.value(row)),
                message: self.message.owned(row),
                evidence: self.evidence.json(row)?,
            },
            calls: self.calls.json::<Vec<CallEvidence>>(row)?,
            calls_total: self.calls_total.count(row)?,
            observables: self.observables.json::<Vec<Observable>>(row)?,
            observables_total: self.observables_total.count(row)?,
            lake_versions: self.lake_versions.json(row)?,
            suppressed_by: self.suppressed_by.owned(row),
            delivery: self.delivery.json::<BTreeMap<String, Delivery>>(row)?,
            // Alerts of an older version are an incident each until they are found again.
            incident_id: self.incident_id.owned(row).unwrap_or_else(|| alert_id.clone()),
            alert_id,
            superseded_by: self.superseded_by.owned(row),
            resolved: self.resolved.owned(row),
        })
    }
}

fn missing(column: &str) -> ArrowError {
    ArrowError::SchemaError(format!("table alerts: a row has no `{column}`"))
}
