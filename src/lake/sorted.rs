//! The rows of several data files as one stream in the order of their times, in bounded memory; where a table is ordered by something else first, in that
//! order, and the rows that are alike in it by time.
//!
//! Only the times of all rows are held at once. With them the order is known, and is then read piece by piece: of each file the
//! rows that belong to the piece. Files are written nearly in order, so a page is seldom read twice.

use super::tables::Table;
use super::{LakeError, TablePath, data_file};
use arrow::array::{
    Array as _, ArrayRef, AsArray as _, RecordBatch, RecordBatchOptions, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::compute::{cast, interleave_record_batch};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use deltalake::kernel::Add;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Where one row stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// Microseconds; rows without a time come last.
    time: i64,
    file: u32,
    row: u32,
}

/// The rows of several files of one table.
pub(super) struct Sorted<'a> {
    table: &'a TablePath,
    files: &'a [Add],
    /// What the rows are given as: columns that a file lacks are NULL.
    schema: SchemaRef,
    order: Vec<Place>,
    /// Rows of one piece, if all were of average size.
    step: usize,
    piece_bytes: usize,
}

impl<'a> Sorted<'a> {
    /// Reads the times of all rows. Pieces will hold about `piece_bytes` of values at most.
    pub(super) fn new(
        table: &'a TablePath,
        files: &'a [Add],
        columns: &Table,
        piece_bytes: usize,
    ) -> Result<Self, LakeError> {
        let schema = columns.schema();
        let time_column = ["time", "ingested_at"].into_iter().find(|name| schema.column_with_name(name).is_some());
        let is_stored = |field: &&FieldRef| !columns.by_day || field.name() != "day";
        let fields: Vec<_> = schema.fields().iter().filter(is_stored).cloned().collect();
        let ordered = data_file::ordered_by(table.table());
        let mut alike: BTreeMap<Vec<String>, Vec<Place>> = BTreeMap::new();
        let mut bytes = 0;
        for (file, add) in (0..).zip(files) {
            let shape = data_file::shape(table, add)?;
            // Encoded, a column of equal values is next to nothing; in memory every value has its place.
            bytes += shape.bytes + shape.rows * shape.columns.len() as u64 * 8;
            let has = |name: &&str| shape.columns.iter().any(|column| column == name);
            let read: Vec<&str> = time_column.into_iter().chain(ordered.iter().copied()).filter(has).collect();
            let mut row = 0;
            let mut place = |time| {
                row += 1;
                Place { time, file, row: row - 1 }
            };
            if read.is_empty() {
                alike.entry(Vec::new()).or_default().extend((0..shape.rows).map(|_| place(i64::MAX)));
                continue;
            }
            data_file::read(table, add, &read, |batch| {
                let times = time_column.and_then(|name| batch.column_by_name(name)?.as_primitive_opt());
                let time = |row: usize| {
                    let times: Option<&TimestampMicrosecondArray> = times;
                    times.filter(|times| times.is_valid(row)).map_or(i64::MAX, |times| times.value(row))
                };
                let columns = ordered.iter().map(|name| batch.column_by_name(name)?.as_string_opt::<i32>());
                let columns: Vec<Option<&StringArray>> = columns.collect();
                let key = |row: usize| columns.iter().map(move |column| column.map_or("", |column| column.value(row)));
                let mut from = 0;
                while from < batch.num_rows() {
                    let to = (from + 1..batch.num_rows()).find(|row| !key(*row).eq(key(from)));
                    let to = to.unwrap_or(batch.num_rows());
                    let rows = alike.entry(key(from).map(str::to_owned).collect()).or_default();
                    rows.extend((from..to).map(|row| place(time(row))));
                    from = to;
                }
                Ok(())
            })?;
        }
        let mut order = Vec::new();
        for mut rows in alike.into_values() {
            rows.sort_unstable();
            if order.is_empty() {
                order = rows;
            } else {
                order.append(&mut rows);
            }
        }
        let average = usize::try_from(bytes).unwrap_or(usize::MAX) / order.len().max(1);
        let step = (piece_bytes / average.max(1)).max(1);
        Ok(Self { table, files, schema: Arc::new(Schema::new(fields)), order, step, piece_bytes })
    }

    /// The columns of the pieces.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Hands over all rows, piece by piece.
    pub(super) fn each(&self, mut take: impl FnMut(RecordBatch) -> Result<(), LakeError>) -> Result<(), LakeError> {
        let pieces = (0..self.order.len()).step_by(self.step).rev();
        let mut ahead: Vec<Range<usize>> =
            pieces.map(|from| from..self.order.len().min(from.saturating_add(self.step))).collect();
        while let Some(piece) = ahead.pop() {
            match self.load(&self.order[piece.clone()])? {
                Some(batch) => take(batch)?,
                None => {
                    // Rows far above the average stand together here: in two halves, then.
                    let middle = piece.start + piece.len() / 2;
                    ahead.push(middle..piece.end);
                    ahead.push(piece.start..middle);
                }
            }
        }
        Ok(())
    }

    /// The rows of one piece in order; `None` if they are too large together.
    fn load(&self, piece: &[Place]) -> Result<Option<RecordBatch>, LakeError> {
        let mut by_file: Vec<(u32, u32, usize)> =
            piece.iter().enumerate().map(|(at, place)| (place.file, place.row, at)).collect();
        by_file.sort_unstable();
        let mut batches: Vec<RecordBatch> = Vec::new();
        let mut places = vec![(0, 0); piece.len()];
        let mut bytes = 0;
        for rows in by_file.chunk_by(|a, b| a.0 == b.0) {
            let Some(add) = rows.first().and_then(|(file, ..)| self.files.get(*file as usize)) else { continue };
            let mut wanted = rows.iter();
            data_file::read_rows(self.table, add, &[], Some(selection(rows)), |batch| {
                bytes += batch.get_array_memory_size();
                if bytes > self.piece_bytes * 4 && piece.len() > 1 {
                    // Too large: what is still to come is not kept.
                    batches.clear();
                    return Ok(());
                }
                for row in 0..batch.num_rows() {
                    if let Some((_, _, at)) = wanted.next() {
                        places[*at] = (batches.len(), row);
                    }
                }
                batches.push(conform(&batch, &self.schema)?);
                Ok(())
            })?;
            if bytes > self.piece_bytes * 4 && piece.len() > 1 {
                return Ok(None);
            }
            if wanted.next().is_some() {
                let path = self.table.name(&add.path);
                return Err(LakeError::Damaged { path, cause: "it has fewer rows than it had just now".to_owned() });
            }
        }
        Ok(Some(interleave_record_batch(&batches.iter().collect::<Vec<_>>(), &places)?))
    }
}

/// Rows of one file, ascending, as a selection.
fn selection(rows: &[(u32, u32, usize)]) -> RowSelection {
    let mut selectors: Vec<RowSelector> = Vec::new();
    let mut next = 0;
    for (_, row, _) in rows {
        let row = *row as usize;
        if row > next {
            selectors.push(RowSelector::skip(row - next));
        }
        match selectors.last_mut() {
            Some(last) if !last.skip => last.row_count += 1,
            _ => selectors.push(RowSelector::select(1)),
        }
        next = row + 1;
    }
    RowSelection::from(selectors)
}

/// The batch with exactly these columns: those that it lacks are NULL, those of an older type are converted.
pub(super) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, LakeError> {
    let columns = schema.fields().iter().map(|field| -> Result<ArrayRef, LakeError> {
        match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
            Some(column) => Ok(cast(column, field.data_type())?),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        }
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

#[cfg(test)]
mod tests;
