//! The small tables' rows, and their batches.

use crate::call::{Call, Marker, Nanos, Observable, Text, hex, partition_day};
use crate::lake::{LakeError, tables};
use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Int64Builder, ListBuilder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field};
use std::sync::Arc;

/// One value of a small table.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Text(String),
    Int(i64),
    Bool(bool),
    Time(Option<Nanos>),
    Texts(Vec<String>),
    Day(Option<i32>),
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        text.map_or(Self::Null, |text| Self::Text(text.to_owned()))
    }
}

impl From<&Option<Text>> for Value {
    fn from(text: &Option<Text>) -> Self {
        text.as_deref().into()
    }
}

/// Rows of one small table, in the order of its columns.
#[derive(Debug)]
pub(super) struct Rows {
    table: &'static str,
    rows: Vec<Vec<Value>>,
    bytes: usize,
}

impl Rows {
    pub(super) fn of(table: &'static str) -> Self {
        Self { table, rows: Vec::new(), bytes: 0 }
    }

    pub(super) fn push(&mut self, row: Vec<Value>) {
        self.bytes += row
            .iter()
            .map(|value| match value {
                Value::Text(text) => text.len() + 24,
                Value::Texts(texts) => texts.iter().map(|t| t.len() + 24).sum::<usize>(),
                _ => 24,
            })
            .sum::<usize>();
        self.rows.push(row);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All rows as a batch; none are left.
    pub(super) fn take(&mut self) -> Result<RecordBatch, LakeError> {
        let schema = tables::table(self.table).expect("rows are made for a table of the lake").schema();
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let columns = schema.fields().iter().enumerate().map(|(at, field)| column(&rows, at, field));
        Ok(RecordBatch::try_new(schema.clone(), columns.collect())?)
    }
}

fn column(rows: &[Vec<Value>], at: usize, field: &Field) -> ArrayRef {
    let values = rows.iter().map(|row| row.get(at).unwrap_or(&Value::Null));
    match field.data_type() {
        DataType::Int64 => {
            let mut b = Int64Builder::new();
            values.for_each(|v| b.append_option(if let Value::Int(i) = v { Some(*i) } else { None }));
            Arc::new(b.finish())
        }
        DataType::Boolean => {
            let mut b = BooleanBuilder::new();
            values.for_each(|v| b.append_option(if let Value::Bool(x) = v { Some(*x) } else { None }));
            Arc::new(b.finish())
        }
        DataType::Date32 => {
            let mut b = Date32Builder::new();
            values.for_each(|v| b.append_option(if let Value::Day(day) = v { *day } else { None }));
            Arc::new(b.finish())
        }
        DataType::Timestamp(..) => {
            let mut b = TimestampMicrosecondBuilder::new().with_data_type(field.data_type().clone());
            values.for_each(|v| {
                b.append_option(if let Value::Time(time) = v { time.map(|t| t.div_euclid(1000)) } else { None });
            });
            Arc::new(b.finish())
        }
        DataType::List(element) => {
            let mut b = ListBuilder::new(StringBuilder::new()).with_field(element.clone());
            for value in values {
                if let Value::Texts(texts) = value {
                    texts.iter().for_each(|text| b.values().append_value(text));
                }
                b.append(true);
            }
            Arc::new(b.finish())
        }
        _ => {
            let mut b = StringBuilder::new();
            values.for_each(|v| b.append_option(if let Value::Text(text) = v { Some(text) } else { None }));
            Arc::new(b.finish())
        }
    }
}

/// A row of `observables`.
pub(super) fn observable(call: &Call, found: &Observable) -> Vec<Value> {
    vec![
        Value::Text(call.call_id.to_string()),
        (&call.session_id).into(),
        Value::Time(call.time),
        (&call.server).into(),
        (&call.tool).into(),
        Value::Text(if found.in_arguments { "argument" } else { "result" }.to_owned()),
        Value::Text(found.kind.to_string()),
        Value::Text(found.value.clone()),
        Value::Text(found.path.clone()),
        Value::Day(partition_day(call.time)),
    ]
}

/// Kinds of markers, for tables that keep no positions.
pub(super) fn marker_kinds(markers: &[Marker]) -> Value {
    let mut kinds: Vec<String> = markers.iter().map(|m| m.kind.to_string()).collect();
    kinds.sort();
    kinds.dedup();
    Value::Texts(kinds)
}

/// Hex of a hash, if there is one.
pub(super) fn hash(hash: Option<&[u8; 32]>) -> Value {
    hash.map_or(Value::Null, |hash| Value::Text(hex(hash)))
}
