//! Columns on their way into memory: values that repeat become keys, the others are cut into pieces.

use super::{BATCH, Column, Packed};
use arrow::array::{Array as _, ArrayRef, RecordBatch, UInt16Array, UInt32Array};
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{RowConverter, SortField};
use datafusion::error::Result;
use std::collections::HashMap;
use std::sync::Arc;

/// Columns that are being packed.
pub(super) struct Packing {
    pub(super) schema: SchemaRef,
    pub(super) columns: Vec<Open>,
    rows: usize,
}

/// A column that is being packed.
pub(super) enum Open {
    Keys {
        rows: RowConverter,
        known: HashMap<Box<[u8]>, u16, ahash::RandomState>,
        keys: Vec<u16>,
        values: Vec<ArrayRef>,
    },
    Plain(Pieces),
}

impl Packing {
    pub(super) fn new(schema: SchemaRef) -> Result<Self> {
        let columns = schema.fields().iter().map(|field| {
            let repeats = match field.data_type() {
                DataType::Utf8
                | DataType::Utf8View
                | DataType::List(_)
                | DataType::Date32
                | DataType::Int32
                | DataType::Int64 => field.name() != "call_id",
                _ => false,
            };
            Ok(match repeats {
                true => Open::Keys {
                    rows: RowConverter::new(vec![SortField::new(field.data_type().clone())])?,
                    known: HashMap::default(),
                    keys: Vec::new(),
                    values: Vec::new(),
                },
                false => Open::Plain(Pieces::default()),
            })
        });
        Ok(Self { columns: columns.collect::<Result<_>>()?, schema, rows: 0 })
    }

    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows();
        for (column, array) in self.columns.iter_mut().zip(batch.columns()) {
            let full = match column {
                Open::Keys { rows, known, keys, values } => {
                    let encoded = rows.convert_columns(std::slice::from_ref(array))?;
                    let mut fresh = Vec::new();
                    let mut full = false;
                    let before = keys.len();
                    // The same value often stands in many rows one after another.
                    let mut last: Option<(arrow::row::Row<'_>, u16)> = None;
                    for (at, row) in encoded.iter().enumerate() {
                        let same = last.filter(|(before, _)| *before == row).map(|(_, key)| key);
                        let key = match same.or_else(|| known.get(row.as_ref()).copied()) {
                            Some(key) => key,
                            None => {
                                let Ok(key) = u16::try_from(known.len()) else {
                                    full = true;
                                    break;
                                };
                                known.insert(row.as_ref().into(), key);
                                fresh.push(at as u32);
                                key
                            }
                        };
                        keys.push(key);
                        last = Some((row, key));
                    }
                    if full {
                        keys.truncate(before);
                    }
                    if !fresh.is_empty() {
                        let fresh = take(array, &UInt32Array::from(fresh), None)?;
                        values.push(cast(&fresh, &stored(fresh.data_type()))?);
                    }
                    full
                }
                Open::Plain(pieces) => {
                    pieces.add(array)?;
                    false
                }
            };
            if full {
                let Open::Keys { keys, values, .. } = column else { continue };
                // Too many distinct values after all: what is packed so far is unpacked.
                let mut pieces = Pieces::default();
                if !keys.is_empty() {
                    let unpacked = take(&joined(values)?, &UInt16Array::from(std::mem::take(keys)), None)?;
                    pieces.add(&unpacked)?;
                }
                pieces.add(array)?;
                *column = Open::Plain(pieces);
            }
        }
        Ok(())
    }

    /// Leaves a column out; `false` if it is not there.
    pub(super) fn drop(&mut self, name: Option<&str>) -> bool {
        let Some(at) = name.and_then(|name| self.schema.index_of(name).ok()) else { return false };
        let kept: Vec<usize> = (0..self.columns.len()).filter(|column| *column != at).collect();
        let Ok(schema) = self.schema.project(&kept) else { return false };
        self.schema = Arc::new(schema);
        self.columns.remove(at);
        true
    }

    /// Bytes so far, without the distinct values.
    pub(super) fn bytes(&self) -> usize {
        let of_column = |column: &Open| match column {
            Open::Keys { keys, .. } => keys.capacity() * 2,
            Open::Plain(pieces) => pieces.bytes,
        };
        self.columns.iter().map(of_column).sum()
    }

    pub(super) fn finish(self) -> Result<Arc<Packed>> {
        let Self { schema, columns, rows } = self;
        let columns = columns.into_iter().zip(schema.fields()).map(|(column, field)| {
            Ok(match column {
                Open::Keys { keys, values, .. } => {
                    let values = match values.as_slice() {
                        [] => arrow::array::new_empty_array(field.data_type()),
                        values => cast(&joined(values)?, field.data_type())?,
                    };
                    Column::Keys { keys: UInt16Array::from(keys), values }
                }
                Open::Plain(pieces) => Column::Plain(pieces.finish()?),
            })
        });
        Ok(Arc::new(Packed { columns: columns.collect::<Result<_>>()?, schema, rows }))
    }
}

/// The type in which a column is kept: text in one buffer for many values.
fn stored(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        other => other.clone(),
    }
}

/// A column cut into pieces of [`BATCH`] rows.
#[derive(Default)]
pub(super) struct Pieces {
    whole: Vec<ArrayRef>,
    waiting: Vec<ArrayRef>,
    /// Rows that wait.
    count: usize,
    bytes: usize,
}

impl Pieces {
    fn add(&mut self, array: &ArrayRef) -> Result<()> {
        // Views would keep whole pages of the file alive.
        let array = cast(array, &stored(array.data_type()))?;
        let mut from = 0;
        while from < array.len() {
            let length = (BATCH - self.count).min(array.len() - from);
            self.waiting.push(array.slice(from, length));
            (from, self.count) = (from + length, self.count + length);
            if self.count == BATCH {
                self.cut()?;
            }
        }
        Ok(())
    }

    fn cut(&mut self) -> Result<()> {
        let piece = joined(&self.waiting)?;
        self.bytes += piece.get_array_memory_size();
        self.whole.push(piece);
        self.waiting.clear();
        self.count = 0;
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<ArrayRef>> {
        if self.count > 0 {
            self.cut()?;
        }
        Ok(self.whole)
    }
}

fn joined(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    Ok(concat(&arrays.iter().map(AsRef::as_ref).collect::<Vec<_>>())?)
}
