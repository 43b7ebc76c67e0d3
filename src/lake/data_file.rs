//! Parquet files of the lake: how they are written, what their Delta statistics say, how columns are read back.

use super::LakeError;
use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{Date32Type, Int64Type, SchemaRef, TimestampMicrosecondType};
use deltalake::kernel::Add;
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

/// zstd level of the lake: the fastest, because packing payloads is the floor of ingest's cost.
const ZSTD_LEVEL: i32 = 1;

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
];

/// Columns whose least and greatest value help to skip row groups. Of texts they do not: names of servers and tools, ids and
/// payloads are spread over all files, and comparing every value costs as much as writing it.
const STATISTICS: &[&str] = &["time", "time_end", "duration_ns", "result_bytes", "arguments_bytes"];

/// One written file that is not in a table yet.
#[derive(Clone, Debug)]
pub struct DataFile {
    pub add: Add,
    /// Rows.
    pub rows: usize,
    /// Least and greatest `time` in microseconds, if every row has one.
    pub times: Option<(i64, i64)>,
}

fn properties(table: &Path) -> WriterProperties {
    // An observable repeats the id of its call, a call does not.
    let repeats = |name: &str| name == "call_id" && table.ends_with("observables");
    let level = ZstdLevel::try_new(ZSTD_LEVEL).expect("the level is in zstd's range");
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(concat!("calltrail ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_statistics_enabled(EnabledStatistics::None);
    for name in PLAIN.iter().filter(|name| !repeats(name)) {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(*name), false);
    }
    for name in STATISTICS {
        properties = properties.set_column_statistics_enabled(ColumnPath::from(*name), EnabledStatistics::Page);
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

/// Writes rows of one partition as a new file below the table's folder; `day` becomes the partition and leaves the file.
///
/// # Errors
/// The disk refuses; the half-written file is removed.
pub fn write(
    table: &Path,
    name: &str,
    day: Option<Option<i32>>,
    batches: &[RecordBatch],
    now_ms: i64,
) -> Result<DataFile, LakeError> {
    let partition = day.map(|day| day.map(date_text));
    let folder = match &partition {
        Some(Some(date)) => format!("day={date}/"),
        Some(None) => "day=__HIVE_DEFAULT_PARTITION__/".to_owned(),
        None => String::new(),
    };
    let relative = format!("{folder}{name}.parquet");
    let path = table.join(&relative);
    let written = write_file(&path, batches, day.is_some(), properties(table));
    if written.is_err() {
        // Nothing refers to the file; leaving it would only keep the disk full.
        let _ = std::fs::remove_file(&path);
    }
    let size = written?;
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    let times = time_range(batches);
    let add = Add {
        path: relative,
        partition_values: partition.map(|date| HashMap::from([("day".to_owned(), date)])).unwrap_or_default(),
        size: size as i64,
        modification_time: now_ms,
        data_change: true,
        stats: Some(stats(rows, times)),
        ..Add::default()
    };
    Ok(DataFile { add, rows, times })
}

fn write_file(
    path: &Path,
    batches: &[RecordBatch],
    drop_day: bool,
    properties: WriterProperties,
) -> Result<u64, LakeError> {
    let io = |cause| LakeError::Io { action: "write", path: path.to_path_buf(), cause };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(io)?;
    }
    let strip = |batch: &RecordBatch| -> Result<RecordBatch, LakeError> {
        let mut batch = batch.clone();
        if drop_day && let Ok(at) = batch.schema().index_of("day") {
            batch.remove_column(at);
        }
        Ok(batch)
    };
    let Some(first) = batches.first() else { return Ok(0) };
    let schema: SchemaRef = strip(first)?.schema();
    let file = File::create(path).map_err(io)?;
    let failed = |cause| match cause {
        parquet::errors::ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
            Ok(cause) => io(*cause),
            Err(cause) => parquet::errors::ParquetError::External(cause).into(),
        },
        other => other.into(),
    };
    let mut writer = ArrowWriter::try_new(&file, schema, Some(properties)).map_err(failed)?;
    for batch in batches {
        writer.write(&strip(batch)?).map_err(failed)?;
    }
    writer.close().map_err(failed)?;
    file.sync_all().map_err(io)?;
    Ok(file.metadata().map_err(io)?.len())
}

fn time_range(batches: &[RecordBatch]) -> Option<(i64, i64)> {
    let mut range: Option<(i64, i64)> = None;
    for batch in batches {
        let times = batch.column_by_name("time")?.as_primitive_opt::<TimestampMicrosecondType>()?;
        // The time of a file is no time of the call: another view of it may have a quite different one.
        let sources = batch.column_by_name("time_source").and_then(|array| array.as_string_opt::<i32>());
        let guessed = sources.is_some_and(|sources| sources.iter().flatten().any(|source| source == "file_mtime"));
        if times.null_count() > 0 || guessed {
            return None;
        }
        for &time in times.values() {
            range = Some(range.map_or((time, time), |(low, high)| (low.min(time), high.max(time))));
        }
    }
    range
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

/// Reads some columns (all, if none are named) of a file, batch by batch; the `day` column is put back.
///
/// # Errors
/// The file is gone or damaged; the error names it.
pub fn read(
    table: &Path,
    add: &Add,
    columns: &[&str],
    mut each: impl FnMut(RecordBatch) -> Result<(), LakeError>,
) -> Result<(), LakeError> {
    let path = data_path(table, add);
    let file = File::open(&path).map_err(|cause| LakeError::Io { action: "read", path: path.clone(), cause })?;
    let damaged =
        |cause: parquet::errors::ParquetError| LakeError::Damaged { path: path.clone(), cause: cause.to_string() };
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(damaged)?;
    let mask = if columns.is_empty() {
        ProjectionMask::all()
    } else {
        ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied())
    };
    let reader = builder.with_projection(mask).with_batch_size(8192).build().map_err(damaged)?;
    for batch in reader {
        let batch = batch.map_err(|cause| LakeError::Damaged { path: path.clone(), cause: cause.to_string() })?;
        each(batch)?;
    }
    Ok(())
}

/// Where a data file lies. Delta's paths are URL-encoded.
pub fn data_path(table: &Path, add: &Add) -> PathBuf {
    table.join(&add.path)
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
