//! The small tables' rows, and their batches.

use super::call_file::{Id, parse_id};
use crate::call::{Call, Marker, Nanos, Observable, Text, hex, partition_day};
use crate::lake::{LakeError, tables};
use arrow::array::{
    Array as _, ArrayRef, AsArray as _, BooleanBuilder, Date32Array, Date32Builder, Int64Builder, ListBuilder,
    RecordBatch, StringBuilder, TimestampMicrosecondArray, TimestampMicrosecondBuilder,
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
        let texts = row.iter().map(|value| match value {
            Value::Text(text) => text.len(),
            Value::Texts(texts) => texts.iter().map(|text| size_of::<String>() + text.len()).sum::<usize>(),
            _ => 0,
        });
        self.bytes += size_of::<Value>() * row.len() + texts.sum::<usize>();
        self.rows.push(row);
    }

    /// Takes back the rows whose first column is this id.
    pub(super) fn remove(&mut self, id: Id) {
        self.rows.retain(|row| !matches!(row.first(), Some(Value::Text(text)) if parse_id(text) == id));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// About how much memory the rows take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All rows as a batch.
    pub(super) fn finish(self) -> Result<RecordBatch, LakeError> {
        let schema = tables::table(self.table).expect("rows are made for a table of the lake").schema();
        let columns = schema.fields().iter().enumerate().map(|(at, field)| column(&self.rows, at, field));
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

/// What an observable repeats of its call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    session_id: Option<Text>,
    server: Option<Text>,
    tool: Option<Text>,
    /// Microseconds, as the lake keeps them.
    pub(super) time: Option<i64>,
    pub(super) day: Option<i32>,
}

impl Place {
    pub(super) fn of(call: &Call) -> Self {
        Self {
            session_id: call.session_id.clone(),
            server: call.server.clone(),
            tool: call.tool.clone(),
            time: call.time.map(|time| time.div_euclid(1000)),
            day: partition_day(call.time),
        }
    }
}

/// Rows of `observables` of one day. There are ten times as many as calls, so they go straight into columns; and rows of one origin and type
/// together, because who looks for what arguments name wants none of the many more that results name.
#[derive(Debug, Default)]
pub(super) struct ObservableRows {
    kinds: Vec<OfKind>,
    bytes: usize,
}

/// Rows of one origin and type.
#[derive(Debug)]
struct OfKind {
    origin: Text,
    kind: Text,
    /// call_id, session_id, server, tool, value, path.
    texts: [StringBuilder; 6],
    times: Vec<Option<i64>>,
}

impl ObservableRows {
    pub(super) fn extend(&mut self, call: &Call, observables: &[Observable]) {
        let time = call.time.map(|t| t.div_euclid(1000));
        let of_call = [&call.session_id, &call.server, &call.tool];
        let is_alike = |a: &Observable, b: &Observable| a.in_arguments == b.in_arguments && a.kind == b.kind;
        for alike in observables.chunk_by(is_alike) {
            let origin = if alike[0].in_arguments { "argument" } else { "result" };
            let rows = self.of_kind(origin, &alike[0].kind);
            rows.of_call(&call.call_id, of_call, time, alike.len());
            self.bytes += alike.iter().map(|found| rows.found(&found.value, &found.path)).sum::<usize>();
        }
    }

    fn of_kind(&mut self, origin: &str, kind: &str) -> &mut OfKind {
        let known = self.kinds.iter().position(|rows| *rows.kind == *kind && *rows.origin == *origin);
        let at = known.unwrap_or_else(|| {
            let (texts, times) = Default::default();
            self.kinds.push(OfKind { origin: origin.into(), kind: kind.into(), texts, times });
            self.kinds.len() - 1
        });
        &mut self.kinds[at]
    }

    /// Adds rows that the table has, as those of a call that is now in another place.
    pub(super) fn move_in(&mut self, batch: &RecordBatch, row: usize, to: &Place) {
        let text = |name: &str| {
            let column = batch.column_by_name(name).and_then(|array| array.as_string_opt::<i32>());
            column.filter(|column| column.is_valid(row)).map_or("", |column| column.value(row))
        };
        let rows = self.of_kind(text("origin"), text("type"));
        rows.of_call(text("call_id"), [&to.session_id, &to.server, &to.tool], to.time, 1);
        self.bytes += rows.found(text("value"), text("path"));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All rows, a batch for each origin and type in their order; they are of this day.
    pub(super) fn finish(mut self, day: Option<i32>) -> Result<Vec<RecordBatch>, LakeError> {
        self.kinds.sort_by(|a, b| (&*a.origin, &*a.kind).cmp(&(&*b.origin, &*b.kind)));
        self.kinds.into_iter().map(|rows| rows.finish(day)).collect()
    }
}

impl OfKind {
    /// What so many rows repeat of their call.
    fn of_call(&mut self, id: &str, of_call: [&Option<Text>; 3], time: Option<i64>, rows: usize) {
        let [call_id, session_id, server, tool, ..] = &mut self.texts;
        call_id.append_value_n(id, rows);
        for (column, text) in [session_id, server, tool].into_iter().zip(of_call) {
            match text {
                Some(text) => column.append_value_n(text, rows),
                None => column.append_nulls(rows),
            }
        }
        self.times.extend(std::iter::repeat_n(time, rows));
    }

    /// Value and path of one row; gives about how much memory the row takes.
    fn found(&mut self, value: &str, path: &str) -> usize {
        let [.., values, paths] = &mut self.texts;
        values.append_value(value);
        paths.append_value(path);
        160 + value.len() + path.len()
    }

    fn finish(mut self, day: Option<i32>) -> Result<RecordBatch, LakeError> {
        let schema = tables::table("observables").expect("observables is a table").schema();
        let rows = self.times.len();
        let same = |text: &str| {
            let mut column = StringBuilder::with_capacity(rows, rows * text.len());
            column.append_value_n(text, rows);
            Arc::new(column.finish()) as ArrayRef
        };
        let (origin, kind) = (same(&self.origin), same(&self.kind));
        let [call_id, session_id, server, tool, value, path] =
            self.texts.each_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef);
        let time = Arc::new(TimestampMicrosecondArray::from(self.times).with_timezone("UTC"));
        let days = Arc::new(Date32Array::from(vec![day; rows]));
        let columns = vec![call_id, session_id, time, server, tool, origin, kind, value, path, days];
        Ok(RecordBatch::try_new(schema, columns)?)
    }
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
