//! Query results as a table, JSON, JSON lines, CSV or Parquet, written batch by batch to any writer.
//!
//! Only the table needs all rows before it writes the first. Values come from logs that an attacker may have
//! written: no format lets a control character, an escape sequence or a hidden character reach a terminal raw. JSON
//! escapes them (same value, other spelling), the table shows them, CSV shows them when it goes to a terminal.

mod cells;
mod table;

use super::QueryError;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::json::{LineDelimitedWriter, WriterBuilder, writer::LineDelimited};
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt as _;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use std::io::Write;

/// How a result is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// One array of objects.
    Json,
    /// One object a line.
    Jsonl,
    Csv,
    Parquet,
}

impl Format {
    /// Every format by its name on the command line.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("table", Self::Table),
        ("json", Self::Json),
        ("jsonl", Self::Jsonl),
        ("csv", Self::Csv),
        ("parquet", Self::Parquet),
    ];

    /// Reads a format's name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }
}

/// How a result is laid out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    pub format: Format,
    /// Columns of the terminal; `None` when the output is no terminal.
    pub width: Option<u16>,
    /// Long cells of a table are written whole.
    pub full: bool,
}

/// Writes a whole result and gives its number of rows.
///
/// # Errors
/// The query stops, or the writer fails.
pub async fn write(
    mut batches: SendableRecordBatchStream,
    style: Style,
    out: &mut (dyn Write + Send),
) -> Result<u64, QueryError> {
    let mut sink = Sink::new(style, batches.schema(), out)?;
    let mut rows = 0;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        sink.write(&batch)?;
    }
    sink.finish()?;
    Ok(rows)
}

/// One result on its way out.
enum Sink<'a> {
    Table(Box<table::Table<'a>>),
    /// `array`: the lines become elements; `first`: none was written yet.
    Json {
        out: &'a mut (dyn Write + Send),
        array: bool,
        first: bool,
    },
    Csv {
        out: cells::Visible<'a>,
        schema: SchemaRef,
    },
    Parquet(Box<ArrowWriter<&'a mut (dyn Write + Send)>>),
}

impl<'a> Sink<'a> {
    fn new(style: Style, schema: SchemaRef, out: &'a mut (dyn Write + Send)) -> Result<Self, QueryError> {
        Ok(match style.format {
            Format::Table => Self::Table(Box::new(table::Table::new(style, &schema, out))),
            Format::Json => {
                out.write_all(b"[")?;
                Self::Json { out, array: true, first: true }
            }
            Format::Jsonl => Self::Json { out, array: false, first: true },
            Format::Csv => {
                let schema = cells::flat_schema(&schema);
                let mut out = cells::Visible::new(out, style.width.is_some());
                // Without rows the header would be missing.
                out.write_all(&csv_lines(&RecordBatch::new_empty(schema.clone()), true)?)?;
                Self::Csv { out, schema }
            }
            Format::Parquet => {
                let properties =
                    WriterProperties::builder().set_compression(Compression::ZSTD(Default::default())).build();
                let writer = ArrowWriter::try_new(out, schema, Some(properties)).map_err(parquet_error)?;
                Self::Parquet(Box::new(writer))
            }
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        match self {
            Self::Table(table) => table.write(batch),
            Self::Json { out, array, first } => {
                let lines = json_lines(batch)?;
                if !*array {
                    return Ok(out.write_all(lines.as_bytes())?);
                }
                for line in lines.lines() {
                    out.write_all(if std::mem::take(first) { b"\n" } else { b",\n" })?;
                    out.write_all(line.as_bytes())?;
                }
                Ok(())
            }
            Self::Csv { out, schema } => Ok(out.write_all(&csv_lines(&cells::flatten(batch, schema)?, false)?)?),
            Self::Parquet(writer) => writer.write(batch).map_err(parquet_error),
        }
    }

    fn finish(self) -> Result<(), QueryError> {
        match self {
            Self::Table(table) => table.finish(),
            Self::Json { out, array, first } => {
                if array {
                    out.write_all(if first { b"]\n" } else { b"\n]\n" })?;
                }
                Ok(out.flush()?)
            }
            Self::Csv { mut out, .. } => Ok(out.flush()?),
            Self::Parquet(writer) => {
                writer.into_inner().map_err(parquet_error)?.flush()?;
                Ok(())
            }
        }
    }
}

/// The rows as JSON objects, one a line: times in RFC 3339, binary in hex, no NULL left out, nothing hidden raw.
pub(crate) fn json_lines(batch: &RecordBatch) -> Result<String, QueryError> {
    let mut writer: LineDelimitedWriter<Vec<u8>> =
        WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    let text = String::from_utf8(writer.into_inner()).map_err(|e| QueryError::Execution(e.to_string()))?;
    Ok(crate::visible::escape_json(text))
}

/// In memory first: arrow's writer tells a reader that has gone away only in words.
fn csv_lines(batch: &RecordBatch, header: bool) -> Result<Vec<u8>, QueryError> {
    let mut writer = arrow::csv::WriterBuilder::new().with_header(header).build(Vec::new());
    writer.write(batch)?;
    Ok(writer.into_inner())
}

fn parquet_error(error: parquet::errors::ParquetError) -> QueryError {
    match error {
        parquet::errors::ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(io) => QueryError::Write(*io),
            Err(other) => QueryError::Execution(other.to_string()),
        },
        other => QueryError::Execution(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
