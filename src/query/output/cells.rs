//! Values as text: nested ones as JSON, hidden characters as escapes.

use super::super::QueryError;
use crate::visible::visible;
use arrow::array::{Array as _, ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, make_encoder};
use std::io::{self, Write};
use std::sync::Arc;

/// The schema with lists, structs and maps as text, for formats that have no such thing.
pub(super) fn flat_schema(schema: &Schema) -> SchemaRef {
    let flat = |field: &FieldRef| {
        if field.data_type().is_nested() {
            Arc::new(Field::new(field.name(), DataType::Utf8, true))
        } else {
            Arc::clone(field)
        }
    };
    Arc::new(Schema::new(schema.fields().iter().map(flat).collect::<Vec<_>>()))
}

/// The batch in that schema.
pub(super) fn flatten(batch: &RecordBatch, flat: &SchemaRef) -> Result<RecordBatch, QueryError> {
    let columns = batch.schema_ref().fields().iter().zip(batch.columns()).map(|(field, column)| {
        if field.data_type().is_nested() { nested_as_json(field, column) } else { Ok(Arc::clone(column)) }
    });
    Ok(RecordBatch::try_new(flat.clone(), columns.collect::<Result<Vec<_>, _>>()?)?)
}

fn nested_as_json(field: &FieldRef, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let mut encoder = make_encoder(field, column, &options)?;
    let mut buffer = Vec::new();
    let texts = (0..column.len()).map(|row| {
        buffer.clear();
        column.is_valid(row).then(|| {
            encoder.encode(row, &mut buffer);
            String::from_utf8_lossy(&buffer).into_owned()
        })
    });
    Ok(Arc::new(texts.collect::<StringArray>()))
}

/// A writer that shows hidden characters if it writes to a terminal, line ends apart.
pub(super) struct Visible<'a> {
    out: &'a mut (dyn Write + Send),
    terminal: bool,
}

impl<'a> Visible<'a> {
    pub(super) fn new(out: &'a mut (dyn Write + Send), terminal: bool) -> Self {
        Self { out, terminal }
    }
}

impl Write for Visible<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.terminal {
            return self.out.write(bytes);
        }
        // A write can end inside a character; what is cut in two is shown as U+FFFD, which only a terminal sees.
        for line in String::from_utf8_lossy(bytes).split_inclusive('\n') {
            let (text, end) = line.strip_suffix('\n').map_or((line, ""), |text| (text, "\n"));
            self.out.write_all(visible(text).as_bytes())?;
            self.out.write_all(end.as_bytes())?;
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
