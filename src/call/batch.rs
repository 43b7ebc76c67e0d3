//! [`Call`] ⇄ Arrow record batch, driven by the column table in `schema`.

use super::schema::{COLUMNS, IngestColumn, Kind, calls_schema, marker, marker_fields, utc_timestamp};
use super::{Call, Nanos};
use arrow::array::{
    Array as _, ArrayRef, AsArray as _, BooleanBuilder, Date32Builder, Int32Builder, Int64Builder, ListBuilder,
    RecordBatch, StringBuilder, StructBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use std::sync::Arc;

/// Days whose calls get a partition of their own: 2000-01-01 up to 2099-12-31. A hostile log can claim any time; without
/// the bound it could make any number of folders. The `time` column keeps what the log says.
const PLAUSIBLE_DAYS: std::ops::Range<i32> = 10957..47482;

/// Nanoseconds of one day.
const DAY: i64 = 86_400_000_000_000;

/// The partition of a call: days since the epoch of its time, `None` if it has no plausible time.
pub fn partition_day(time: Option<Nanos>) -> Option<i32> {
    time.map(|t| t.div_euclid(DAY) as i32).filter(|day| PLAUSIBLE_DAYS.contains(day))
}

enum Builder {
    Text(StringBuilder),
    Int(Int64Builder),
    Int32(Int32Builder),
    Bool(BooleanBuilder),
    Time(TimestampMicrosecondBuilder),
    Texts(ListBuilder<StringBuilder>),
    Markers(ListBuilder<StructBuilder>),
    Day(Date32Builder),
}

/// Collects calls into one record batch.
pub struct CallBatchBuilder {
    builders: Vec<Builder>,
    ingest_id: String,
    ingested_at: Nanos,
    rows: usize,
    bytes: usize,
}

impl CallBatchBuilder {
    /// A builder whose rows carry this ingest's id and time.
    pub fn new(ingest_id: impl Into<String>, ingested_at: Nanos) -> Self {
        Self::with_capacity(ingest_id, ingested_at, 0, [0, 0])
    }

    /// A builder with room for so many calls and bytes of arguments and results. Payloads are most of a batch: columns that
    /// grow by doubling would copy them twice over.
    pub fn with_capacity(
        ingest_id: impl Into<String>,
        ingested_at: Nanos,
        rows: usize,
        [arguments, results]: [usize; 2],
    ) -> Self {
        let element = || Field::new("element", DataType::Utf8, true);
        let builders = COLUMNS
            .iter()
            .map(|column| match &column.kind {
                Kind::Text(..) | Kind::Hash(..) | Kind::Ingest(IngestColumn::Id) => {
                    let bytes = match column.name {
                        "arguments" => arguments,
                        "result" => results,
                        _ => 0,
                    };
                    Builder::Text(StringBuilder::with_capacity(rows, bytes))
                }
                Kind::Int(..) => Builder::Int(Int64Builder::new()),
                Kind::Int32(..) => Builder::Int32(Int32Builder::new()),
                Kind::Bool(..) => Builder::Bool(BooleanBuilder::new()),
                Kind::Time(..) | Kind::Ingest(IngestColumn::At) => {
                    Builder::Time(TimestampMicrosecondBuilder::new().with_data_type(utc_timestamp()))
                }
                Kind::Names(..) | Kind::Texts(..) => {
                    Builder::Texts(ListBuilder::new(StringBuilder::new()).with_field(element()))
                }
                Kind::Markers => {
                    let fields = marker_fields();
                    let values = StructBuilder::from_fields(fields.clone(), 0);
                    Builder::Markers(ListBuilder::new(values).with_field(Field::new(
                        "element",
                        DataType::Struct(fields),
                        true,
                    )))
                }
                Kind::Ingest(IngestColumn::Day) => Builder::Day(Date32Builder::new()),
            })
            .collect();
        Self { builders, ingest_id: ingest_id.into(), ingested_at, rows: 0, bytes: 0 }
    }

    /// Rows appended so far.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether no row was appended.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Payload bytes appended so far, to decide when a batch is large enough.
    pub fn payload_bytes(&self) -> usize {
        self.bytes
    }

    /// Appends one call.
    pub fn append(&mut self, call: &Call) {
        self.rows += 1;
        self.bytes += call.arguments.as_ref().map_or(0, String::len) + call.result.as_ref().map_or(0, String::len);
        for (builder, column) in self.builders.iter_mut().zip(COLUMNS.iter()) {
            match (builder, &column.kind) {
                (Builder::Text(b), Kind::Text(get, _)) => b.append_option(get(call)),
                (Builder::Text(b), Kind::Hash(get, _)) => b.append_option(get(call).map(hex)),
                (Builder::Text(b), Kind::Ingest(_)) => b.append_value(&self.ingest_id),
                (Builder::Int(b), Kind::Int(get, _)) => b.append_option(get(call)),
                (Builder::Int32(b), Kind::Int32(get, _)) => b.append_option(get(call)),
                (Builder::Bool(b), Kind::Bool(get, _)) => b.append_option(get(call)),
                (Builder::Time(b), Kind::Time(get, _)) => b.append_option(get(call).map(|t| t.div_euclid(1000))),
                (Builder::Time(b), _) => b.append_value(self.ingested_at.div_euclid(1000)),
                (Builder::Texts(b), Kind::Names(get, names, _)) => {
                    let bits = get(call);
                    for (bit, name) in names.iter().enumerate() {
                        if bits.has(bit as u32) {
                            b.values().append_value(name);
                        }
                    }
                    b.append(true);
                }
                (Builder::Texts(b), Kind::Texts(get, _)) => {
                    for text in get(call) {
                        b.values().append_value(text);
                    }
                    b.append(true);
                }
                (Builder::Markers(b), _) => {
                    for marker in &call.markers {
                        let values = b.values();
                        let mut text = |at: usize, value: &str| {
                            values
                                .field_builder::<StringBuilder>(at)
                                .expect("marker_fields has text there")
                                .append_value(value);
                        };
                        text(0, &marker.kind);
                        text(1, &marker.origin);
                        values
                            .field_builder::<Int64Builder>(2)
                            .expect("marker_fields has an integer there")
                            .append_value(marker.position);
                        values.append(true);
                    }
                    b.append(true);
                }
                (Builder::Day(b), _) => b.append_option(partition_day(call.time)),
                _ => unreachable!("builders are made from the same column table"),
            }
        }
    }

    /// The batch; the builder is empty afterwards.
    ///
    /// # Errors
    /// Arrow refuses the columns, which would be a fault of the column table.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let columns = self.builders.iter_mut().map(|builder| match builder {
            Builder::Text(b) => Arc::new(b.finish()) as ArrayRef,
            Builder::Int(b) => Arc::new(b.finish()),
            Builder::Int32(b) => Arc::new(b.finish()),
            Builder::Bool(b) => Arc::new(b.finish()),
            Builder::Time(b) => Arc::new(b.finish()),
            Builder::Texts(b) => Arc::new(b.finish()),
            Builder::Markers(b) => Arc::new(b.finish()),
            Builder::Day(b) => Arc::new(b.finish()),
        });
        let batch = RecordBatch::try_new(calls_schema(), columns.collect())?;
        self.rows = 0;
        self.bytes = 0;
        Ok(batch)
    }
}

/// Lower-case hex digits of a hash.
pub fn hex(hash: &[u8; 32]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = [0; 64];
    for (pair, byte) in out.chunks_exact_mut(2).zip(hash) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    std::str::from_utf8(&out).unwrap_or_default().to_owned()
}

/// Names of the capability bits that are set.
pub fn capability_names(bits: super::Bits) -> Vec<String> {
    let set = super::schema::CAPABILITIES.iter().enumerate().filter(|(bit, _)| bits.has(*bit as u32));
    set.map(|(_, name)| (*name).to_owned()).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let bytes = text.as_bytes();
    let mut out = [0; 32];
    if bytes.len() != 64 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(bytes.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

/// Reads calls back from a batch of the `calls` table; columns that are missing stay empty.
///
/// # Errors
/// A column has another type than the schema says.
pub fn calls_from_batch(batch: &RecordBatch) -> Result<Vec<Call>, ArrowError> {
    let mut calls = vec![Call::default(); batch.num_rows()];
    for column in COLUMNS.iter() {
        let Some(array) = batch.column_by_name(column.name) else { continue };
        if let Some(field) =
            calls_schema().field_with_name(column.name).ok().filter(|f| f.data_type() != array.data_type())
        {
            let array = arrow::compute::cast(array, field.data_type())?;
            read_column(&mut calls, &column.kind, &array);
        } else {
            read_column(&mut calls, &column.kind, array);
        }
    }
    Ok(calls)
}

fn read_column(calls: &mut [Call], kind: &Kind, array: &ArrayRef) {
    let present = |row: usize| array.is_valid(row);
    for (row, call) in calls.iter_mut().enumerate().filter(|(row, _)| present(*row)) {
        match kind {
            Kind::Text(_, set) => set(call, array.as_string::<i32>().value(row)),
            Kind::Hash(_, set) => {
                if let Some(hash) = unhex(array.as_string::<i32>().value(row)) {
                    set(call, hash);
                }
            }
            Kind::Int(_, set) => set(call, array.as_primitive::<Int64Type>().value(row)),
            Kind::Int32(_, set) => set(call, array.as_primitive::<Int32Type>().value(row)),
            Kind::Bool(_, set) => set(call, array.as_boolean().value(row)),
            Kind::Time(_, set) => {
                set(call, array.as_primitive::<TimestampMicrosecondType>().value(row).saturating_mul(1000));
            }
            Kind::Names(_, names, set) => {
                let list = array.as_list::<i32>().value(row);
                for value in list.as_string::<i32>().iter().flatten() {
                    if let Some(bit) = names.iter().position(|name| *name == value) {
                        set(call, bit as u32);
                    }
                }
            }
            Kind::Texts(_, set) => {
                for value in array.as_list::<i32>().value(row).as_string::<i32>().iter().flatten() {
                    set(call, value.into());
                }
            }
            Kind::Markers => {
                let list = array.as_list::<i32>().value(row);
                let fields = list.as_struct();
                let (kinds, origins) = (fields.column(0).as_string::<i32>(), fields.column(1).as_string::<i32>());
                let positions = fields.column(2).as_primitive::<Int64Type>();
                for at in 0..fields.len() {
                    call.markers.push(marker(kinds.value(at), origins.value(at), positions.value(at)));
                }
            }
            Kind::Ingest(_) => {}
        }
    }
}
