//! Parquet files of the lake: how they are written, what their Delta statistics say, how columns are read back.

use super::chain::{self, Digesting};
use super::store::Draft;
use super::{LakeError, TablePath};
use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{Date32Type, FieldRef, Int64Type, Schema, TimestampMicrosecondType};
use deltalake::kernel::Add;
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// zstd level of the lake: the fastest, because packing payloads is the floor of ingest's cost.
pub const ZSTD_LEVEL: i32 = 1;

/// Columns whose values hardly repeat: a dictionary would be built only to be thrown away.
const PLAIN: &[&str] = &[
    "call_id",
    "arguments",
    "result",
    "arguments_hash",
    "result_hash",
    "definition",
    "first_bytes",
    "text",
    "context",
    "trace_id",
    "span_id",
];

/// Columns of numbers that grow, or spread wide: differences are shorter than the numbers, and no dictionary is built in vain.
const DELTAS: &[&str] = &[
    "time",
    "time_end",
    "duration_ns",
    "arguments_bytes",
    "result_bytes",
    "source_line",
    "source_offset",
    "source_length",
    "response_line",
    "response_offset",
    "response_length",
];

/// Columns whose least and greatest value help to skip row groups and pages. Of texts they seldom do: names of servers and tools, ids and
/// payloads are spread over all files, and comparing every value costs as much as writing it. Only `observables` is ordered by two.
const STATISTICS: &[&str] = &["time", "time_end", "duration_ns", "result_bytes", "arguments_bytes"];
const ORDERED: (&str, &[&str]) = ("observables", &["origin", "type"]);
/// Rows of one page where rows are ordered: what is asked for seldom begins with a page.
const ORDERED_PAGE: usize = 2048;

/// Payloads, and the bytes of their pages: who wants a few rows unpacks a page for each of them.
const PAYLOADS: &[&str] = &["arguments", "result"];
const PAYLOAD_PAGE: usize = 128 << 10;

/// Bytes in memory after which a row group ends: what a reader decodes at once stays small, and times prune finely.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// One written file that is not in a table yet.
#[derive(Clone, Debug)]
pub struct DataFile {
    pub add: Add,
    /// Rows.
    pub rows: usize,
    /// Least and greatest `time` in microseconds, if every row has one.
    pub times: Option<(i64, i64)>,
}

/// The columns by which the rows of a file of this table are ordered before their times.
pub(super) fn ordered_by(table: &str) -> &'static [&'static str] {
    if table == ORDERED.0 { ORDERED.1 } else { &[] }
}

fn properties(table: &TablePath, zstd_level: i32) -> WriterProperties {
    // An observable repeats the id of its call, a call does not.
    let repeats = |name: &str| name == "call_id" && table.table() == "observables";
    let level = ZstdLevel::try_new(zstd_level.clamp(1, 22)).expect("the level is in zstd's range");
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(concat!("calltrail ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_statistics_enabled(EnabledStatistics::None);
    for name in PLAIN.iter().filter(|name| !repeats(name)) {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(*name), false);
    }
    for name in DELTAS {
        let path = ColumnPath::from(*name);
        properties = properties.set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED);
        properties = properties.set_column_dictionary_enabled(path, false);
    }
    let ordered = ordered_by(table.table());
    if !ordered.is_empty() {
        properties = properties.set_data_page_row_count_limit(ORDERED_PAGE);
    }
    for name in STATISTICS.iter().chain(ordered) {
        properties = properties.set_column_statistics_enabled(ColumnPath::from(*name), EnabledStatistics::Page);
    }
    for name in PAYLOADS {
        properties = properties.set_column_data_page_size_limit(ColumnPath::from(*name), PAYLOAD_PAGE);
    }
    properties.build()
}

/// Splits a batch by its `day` column (days since the epoch; `None` without a plausible time).
///
/// # Errors
/// Arrow cannot take the rows.
pub fn split_by_day(batch: &RecordBatch) -> Result<BTreeMap<Option<i32>, RecordBatch>, LakeError> {
    let Some(days) = batch.column_by_name("day") else {
        return Ok(BTreeMap::from([(None, batch.clone())]));
    };
    let days = days.as_primitive::<Date32Type>();
    let mut rows: BTreeMap<Option<i32>, Vec<u32>> = BTreeMap::new();
    for row in 0..batch.num_rows() {
        rows.entry(days.is_valid(row).then(|| days.value(row))).or_default().push(row as u32);
    }
    if rows.len() == 1 {
        return Ok(rows.into_keys().map(|day| (day, batch.clone())).collect());
    }
    rows.into_iter()
        .map(|(day, rows)| Ok((day, arrow::compute::take_record_batch(batch, &arrow::array::UInt32Array::from(rows))?)))
        .collect()
}

/// Writes rows of one partition as a new file of the table; `day` becomes the partition and leaves the file.
///
/// # Errors
/// The disk refuses; the half-written file is removed.
pub fn write(
    table: &TablePath,
    name: &str,
    day: Option<Option<i32>>,
    batches: &[RecordBatch],
    now_ms: i64,
) -> Result<DataFile, LakeError> {
    let schema = batches.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
    let mut file = GrowingFile::create(table, name, day, &schema, ZSTD_LEVEL)?;
    batches.iter().try_for_each(|batch| file.write(batch))?;
    file.finish(now_ms)
}

/// A data file that is written batch by batch. Dropped before [`Self::finish`], it is removed.
pub struct GrowingFile {
    draft: Draft,
    relative: String,
    partition: Option<Option<String>>,
    writer: ArrowWriter<Digesting>,
    rows: usize,
    /// Bytes in memory of the rows of the row group that is being written.
    group_bytes: usize,
    times: Times,
}

impl GrowingFile {
    /// Starts a file of one partition of the table. The schema is that of the batches to come.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn create(
        table: &TablePath,
        name: &str,
        day: Option<Option<i32>>,
        schema: &Schema,
        zstd_level: i32,
    ) -> Result<Self, LakeError> {
        let partition = day.map(|day| day.map(date_text));
        let folder = match &partition {
            Some(Some(date)) => format!("day={date}/"),
            Some(None) => "day=__HIVE_DEFAULT_PARTITION__/".to_owned(),
            None => String::new(),
        };
        let relative = format!("{folder}{name}.parquet");
        let draft = table.create(&relative)?;
        let is_stored = |field: &&FieldRef| partition.is_none() || field.name() != "day";
        let stored = Schema::new(schema.fields().iter().filter(is_stored).cloned().collect::<Vec<_>>());
        let writer =
            ArrowWriter::try_new(Digesting::new(draft.file()?), Arc::new(stored), Some(properties(table, zstd_level)))
                .map_err(|cause| failed(&draft, cause))?;
        Ok(Self { draft, relative, partition, writer, rows: 0, group_bytes: 0, times: Times::default() })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        self.times.add(batch);
        self.rows += batch.num_rows();
        let mut stored = batch.clone();
        if self.partition.is_some()
            && let Ok(at) = batch.schema().index_of("day")
        {
            stored.remove_column(at);
        }
        self.group_bytes += stored.get_array_memory_size();
        self.writer.write(&stored).map_err(|cause| failed(&self.draft, cause))?;
        if self.group_bytes >= ROW_GROUP_BYTES {
            self.end_group()?;
        }
        Ok(())
    }

    fn end_group(&mut self) -> Result<(), LakeError> {
        self.group_bytes = 0;
        self.writer.flush().map_err(|cause| failed(&self.draft, cause))
    }

    /// Whether the file has about so many bytes: three quarters of them at least.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn is_full(&mut self, target: u64) -> Result<bool, LakeError> {
        if ((self.writer.bytes_written() + self.writer.in_progress_size()) as u64) < target {
            return Ok(false);
        }
        // Until its row group ends, a value counts at its full length, which may be ten times what it takes.
        self.end_group()?;
        Ok(self.writer.bytes_written() as u64 >= target / 4 * 3)
    }

    /// Ends the file: it is whole, in its place, and in no table yet.
    ///
    /// # Errors
    /// The disk or the store refuses; the file is removed.
    pub fn finish(self, now_ms: i64) -> Result<DataFile, LakeError> {
        let written = self.writer.into_inner().map_err(|cause| failed(&self.draft, cause))?;
        let digest = written.hasher.finalize();
        let size = self.draft.finish(written.file)?;
        let times = self.times.range();
        let partition = self.partition.map(|date| HashMap::from([("day".to_owned(), date)]));
        let mut add = Add {
            path: self.relative,
            partition_values: partition.unwrap_or_default(),
            size: size as i64,
            modification_time: now_ms,
            data_change: true,
            stats: Some(stats(self.rows, times)),
            ..Add::default()
        };
        chain::tag(&mut add, &digest);
        Ok(DataFile { add, rows: self.rows, times })
    }
}

fn failed(draft: &Draft, cause: parquet::errors::ParquetError) -> LakeError {
    match cause {
        parquet::errors::ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
            Ok(cause) => LakeError::Io { action: "write", path: draft.name(), cause: *cause },
            Err(cause) => parquet::errors::ParquetError::External(cause).into(),
        },
        other => other.into(),
    }
}

/// Least and greatest `time` of the rows so far.
#[derive(Default)]
struct Times {
    range: Option<(i64, i64)>,
    /// Some row has no time of its own, so that nothing can be said of all.
    unknown: bool,
}

impl Times {
    fn add(&mut self, batch: &RecordBatch) {
        let times = batch.column_by_name("time").and_then(|array| array.as_primitive_opt::<TimestampMicrosecondType>());
        let Some(times) = times else {
            self.unknown = true;
            return;
        };
        // The time of a file is no time of the call: another view of it may have a quite different one.
        let sources = batch.column_by_name("time_source").and_then(|array| array.as_string_opt::<i32>());
        let guessed = sources.is_some_and(|sources| sources.iter().flatten().any(|source| source == "file_mtime"));
        self.unknown |= times.null_count() > 0 || guessed;
        for &time in times.values() {
            self.range = Some(self.range.map_or((time, time), |(low, high)| (low.min(time), high.max(time))));
        }
    }

    fn range(&self) -> Option<(i64, i64)> {
        self.range.filter(|_| !self.unknown)
    }
}

fn stats(rows: usize, times: Option<(i64, i64)>) -> String {
    let text = |micros: i64| {
        chrono::DateTime::from_timestamp_micros(micros)
            .map(|t| t.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
            .unwrap_or_default()
    };
    match times {
        Some((low, high)) => serde_json::json!({
            "numRecords": rows,
            "minValues": {"time": text(low)},
            "maxValues": {"time": text(high)},
            "nullCount": {"time": 0},
        }),
        None => serde_json::json!({"numRecords": rows}),
    }
    .to_string()
}

fn date_text(day: i32) -> String {
    chrono::DateTime::from_timestamp(i64::from(day) * 86_400, 0).map(|t| t.date_naive().to_string()).unwrap_or_default()
}

/// Reads some columns (all that it has, if none are named) of a file, batch by batch. `day` is none of them: it is in the file's path.
///
/// # Errors
/// The file is gone or damaged; the error names it.
pub fn read(
    table: &TablePath,
    add: &Add,
    columns: &[&str],
    each: impl FnMut(RecordBatch) -> Result<(), LakeError>,
) -> Result<(), LakeError> {
    read_rows(table, add, columns, None, each)
}

/// As [`read`], but only the rows of a selection.
///
/// # Errors
/// The file is gone or damaged; the error names it.
pub fn read_rows(
    table: &TablePath,
    add: &Add,
    columns: &[&str],
    rows: Option<RowSelection>,
    mut each: impl FnMut(RecordBatch) -> Result<(), LakeError>,
) -> Result<(), LakeError> {
    let path = table.name(&add.path);
    // A selection of rows is read again and again, each time a little of the file.
    let file = table.open(&add.path, add.size, columns.is_empty() && rows.is_none())?;
    let damaged =
        |cause: parquet::errors::ParquetError| LakeError::Damaged { path: path.clone(), cause: cause.to_string() };
    // With the offsets of its pages, pages without a wanted row are not even read.
    let index = if rows.is_some() { PageIndexPolicy::Optional } else { PageIndexPolicy::Skip };
    let options = ArrowReaderOptions::new().with_offset_index_policy(index);
    let mut builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).map_err(damaged)?;
    if let Some(rows) = rows {
        builder = builder.with_row_selection(rows);
    }
    let mask = if columns.is_empty() {
        ProjectionMask::all()
    } else {
        ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied())
    };
    // Whole rows may hold two payloads of 64 KiB each.
    let has_payloads = columns.is_empty() || columns.iter().any(|name| matches!(*name, "arguments" | "result"));
    let batch_rows = if has_payloads { 1024 } else { 8192 };
    let reader = builder.with_projection(mask).with_batch_size(batch_rows).build().map_err(damaged)?;
    for batch in reader {
        let batch = batch.map_err(|cause| LakeError::Damaged { path: path.clone(), cause: cause.to_string() })?;
        each(batch)?;
    }
    Ok(())
}

/// The partition that a file belongs to: days since the epoch, `None` without a time. `None` of a table without partitions.
pub fn day_of(add: &Add) -> Option<Option<i32>> {
    let day = add.partition_values.get("day")?;
    Some(day.as_ref().and_then(|text| chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()).map(|date| {
        let epoch = chrono::NaiveDate::default();
        i32::try_from(date.signed_duration_since(epoch).num_days()).unwrap_or_default()
    }))
}

/// What a data file says of itself.
pub struct Shape {
    pub rows: u64,
    /// Of all values, uncompressed.
    pub bytes: u64,
    /// Names of its columns.
    pub columns: Vec<String>,
}

/// Reads the footer of a data file.
///
/// # Errors
/// The file is gone or damaged; the error names it.
pub fn shape(table: &TablePath, add: &Add) -> Result<Shape, LakeError> {
    let path = table.name(&add.path);
    let file = table.open(&add.path, add.size, false)?;
    let footer = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
        .map_err(|cause| LakeError::Damaged { path, cause: cause.to_string() })?;
    let groups = footer.metadata().row_groups();
    Ok(Shape {
        rows: groups.iter().map(|group| group.num_rows().unsigned_abs()).sum(),
        bytes: groups.iter().map(|group| group.total_byte_size().unsigned_abs()).sum(),
        columns: footer.schema().fields().iter().map(|field| field.name().clone()).collect(),
    })
}

/// Least and greatest time of a file from its statistics, in microseconds.
pub fn times_of(add: &Add) -> Option<(i64, i64)> {
    let stats: serde_json::Value = serde_json::from_str(add.stats.as_deref()?).ok()?;
    let time = |key: &str| {
        let text = stats.get(key)?.get("time")?.as_str()?;
        Some(chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros())
    };
    Some((time("minValues")?, time("maxValues")?))
}

/// Rows of a file from its statistics.
pub fn rows_of(add: &Add) -> Option<i64> {
    serde_json::from_str::<serde_json::Value>(add.stats.as_deref()?).ok()?.get("numRecords")?.as_i64()
}

/// The integers of a column.
pub fn integers(batch: &RecordBatch, column: &str) -> Vec<Option<i64>> {
    match batch.column_by_name(column).and_then(|array| array.as_primitive_opt::<Int64Type>().cloned()) {
        Some(array) => array.iter().collect(),
        None => vec![None; batch.num_rows()],
    }
}
