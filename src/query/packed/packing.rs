//! Columns on their way into memory: values that repeat become keys, the others are cut into pieces.

use super::{BATCH, Column, Keys, Packed};
use arrow::array::{
    Array as _, ArrayRef, AsArray as _, FixedSizeBinaryBuilder, RecordBatch, StringViewArray, UInt8Array, UInt16Array,
    UInt32Array,
};
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{RowConverter, SortField};
use datafusion::error::Result;
use std::collections::HashMap;
use std::sync::Arc;

/// Hexadecimal texts at least as long as this are kept as the bytes that they spell: digests, which few rules read. Shorter ones are ids,
/// which most rules read, and would take longer to spell out each time.
const LONG_HEX: usize = 64;

/// Columns that are being packed.
pub(super) struct Packing {
    pub(super) schema: SchemaRef,
    pub(super) columns: Vec<Open>,
    rows: usize,
}

/// A column that is being packed.
pub(super) enum Open {
    Keys(OpenKeys),
    Plain(Pieces),
}

/// A column whose values repeat, so far.
pub(super) struct OpenKeys {
    rows: RowConverter,
    known: HashMap<Box<[u8]>, u16, ahash::RandomState>,
    keys: Codes,
    values: Vec<ArrayRef>,
}

/// Keys as wide as the greatest of them.
enum Codes {
    One(usize),
    Byte(Vec<u8>),
    Short(Vec<u16>),
}

impl Codes {
    fn push(&mut self, key: u16) {
        match self {
            Self::One(rows) if key == 0 => *rows += 1,
            Self::One(rows) => {
                *self = Self::Byte(vec![0; *rows]);
                self.push(key);
            }
            Self::Byte(keys) => match u8::try_from(key) {
                Ok(key) => keys.push(key),
                Err(_) => {
                    let mut wider: Vec<u16> = keys.iter().map(|key| u16::from(*key)).collect();
                    wider.push(key);
                    *self = Self::Short(wider);
                }
            },
            Self::Short(keys) => keys.push(key),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::One(rows) => *rows,
            Self::Byte(keys) => keys.len(),
            Self::Short(keys) => keys.len(),
        }
    }

    fn truncate(&mut self, rows: usize) {
        match self {
            Self::One(all) => *all = rows,
            Self::Byte(keys) => keys.truncate(rows),
            Self::Short(keys) => keys.truncate(rows),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::One(_) => 0,
            Self::Byte(keys) => keys.capacity(),
            Self::Short(keys) => keys.capacity() * 2,
        }
    }

    fn finish(self) -> Keys {
        match self {
            Self::One(rows) => Keys::One(rows),
            Self::Byte(mut keys) => {
                keys.shrink_to_fit();
                Keys::Byte(UInt8Array::from(keys))
            }
            Self::Short(mut keys) => {
                keys.shrink_to_fit();
                Keys::Short(UInt16Array::from(keys))
            }
        }
    }
}

impl OpenKeys {
    fn new(data_type: &DataType) -> Result<Self> {
        let rows = RowConverter::new(vec![SortField::new(data_type.clone())])?;
        Ok(Self { rows, known: HashMap::default(), keys: Codes::One(0), values: Vec::new() })
    }

    /// `false` if there are too many distinct values; then nothing was added.
    fn add(&mut self, array: &ArrayRef) -> Result<bool> {
        let encoded = self.rows.convert_columns(std::slice::from_ref(array))?;
        let mut fresh = Vec::new();
        let mut full = false;
        let before = self.keys.len();
        // The same value often stands in many rows one after another.
        let mut last: Option<(arrow::row::Row<'_>, u16)> = None;
        for (at, row) in encoded.iter().enumerate() {
            let same = last.filter(|(before, _)| *before == row).map(|(_, key)| key);
            let key = match same.or_else(|| self.known.get(row.as_ref()).copied()) {
                Some(key) => key,
                None => {
                    let Ok(key) = u16::try_from(self.known.len()) else {
                        full = true;
                        break;
                    };
                    self.known.insert(row.as_ref().into(), key);
                    fresh.push(at as u32);
                    key
                }
            };
            self.keys.push(key);
            last = Some((row, key));
        }
        if full {
            self.keys.truncate(before);
        }
        if !fresh.is_empty() {
            let fresh = take(array, &UInt32Array::from(fresh), None)?;
            self.values.push(cast(&fresh, &stored(fresh.data_type()))?);
        }
        Ok(!full)
    }

    /// What is packed so far, unpacked.
    fn unpacked(&mut self) -> Result<Pieces> {
        let mut pieces = Pieces::default();
        let keys = std::mem::replace(&mut self.keys, Codes::One(0)).finish();
        let rows = keys.len();
        if rows > 0 {
            let values = joined(&self.values)?;
            // Piece by piece: all at once would take the memory of the column a second time.
            for from in (0..rows).step_by(BATCH) {
                pieces.add(&take(&values, &keys.slice(from, BATCH.min(rows - from)), None)?)?;
            }
        }
        Ok(pieces)
    }
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
                true => Open::Keys(OpenKeys::new(field.data_type())?),
                false => Open::Plain(Pieces::default()),
            })
        });
        Ok(Self { columns: columns.collect::<Result<_>>()?, schema, rows: 0 })
    }

    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows();
        for (column, array) in self.columns.iter_mut().zip(batch.columns()) {
            match column {
                Open::Keys(keys) => {
                    if !keys.add(array)? {
                        // Too many distinct values after all.
                        let mut pieces = keys.unpacked()?;
                        pieces.add(array)?;
                        *column = Open::Plain(pieces);
                    }
                }
                Open::Plain(pieces) => pieces.add(array)?,
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
            Open::Keys(keys) => keys.keys.bytes(),
            Open::Plain(pieces) => pieces.bytes,
        };
        self.columns.iter().map(of_column).sum()
    }

    pub(super) fn finish(self) -> Result<Arc<Packed>> {
        let Self { schema, columns, rows } = self;
        let columns = columns.into_iter().zip(schema.fields()).map(|(column, field)| {
            Ok(match column {
                Open::Keys(OpenKeys { keys, values, .. }) => {
                    let values = match values.as_slice() {
                        [] => arrow::array::new_empty_array(field.data_type()),
                        values => cast(&joined(values)?, field.data_type())?,
                    };
                    Column::Keys { keys: keys.finish(), values }
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
        let piece = as_bytes(&piece)?.unwrap_or(piece);
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

/// Long hexadecimal texts of one length as the bytes that they spell; `None` if these are none.
fn as_bytes(texts: &ArrayRef) -> Result<Option<ArrayRef>> {
    let Some(texts) = texts.as_string_opt::<i32>() else { return Ok(None) };
    let length = texts.iter().flatten().next().map_or(0, str::len);
    if length < LONG_HEX || length % 2 > 0 {
        return Ok(None);
    }
    let mut bytes = FixedSizeBinaryBuilder::with_capacity(texts.len(), (length / 2) as i32);
    let mut spelt = vec![0; length / 2];
    for text in texts {
        let Some(text) = text else {
            bytes.append_null();
            continue;
        };
        if text.len() != length {
            return Ok(None);
        }
        for (byte, digits) in spelt.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let (Some(high), Some(low)) = (digit(digits[0]), digit(digits[1])) else { return Ok(None) };
            *byte = high << 4 | low;
        }
        bytes.append_value(&spelt)?;
    }
    Ok(Some(Arc::new(bytes.finish())))
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// The texts that [`as_bytes`] made bytes of; `None` if it did not.
pub(super) fn as_texts(bytes: &ArrayRef) -> Option<ArrayRef> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bytes = bytes.as_fixed_size_binary_opt()?;
    let mut text = String::new();
    let spelt = bytes.iter().map(|bytes| {
        bytes.map(|bytes| {
            text.clear();
            text.extend(
                bytes
                    .iter()
                    .flat_map(|byte| [byte >> 4, byte & 15])
                    .map(|digit| char::from(DIGITS[usize::from(digit)])),
            );
            text.clone()
        })
    });
    Some(Arc::new(StringViewArray::from_iter(spelt)))
}
