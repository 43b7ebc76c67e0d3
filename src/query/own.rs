//! Batches of their own for what keeps many of them: sorts, the side of a join that its table is built of, results of steps.
//!
//! An aggregation hands its result on in slices, and each of them holds all of it; a scan that picks few rows of a page hands on the whole page. What
//! keeps batches counts all that they hold, so a result of a hundred slices would count a hundred times, and a rule would spill, or run out of memory,
//! with most of it free.

use super::mapped::MappedExec;
use arrow::array::{Array as _, ArrayRef, AsArray as _, ListArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use std::sync::Arc;

/// Bytes that a batch may hold without being looked at.
const SMALL: usize = 256 << 10;

/// The plan, whose sorts and joins keep batches that hold little more than their rows.
pub(super) fn owned(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let with_own = |node: Arc<dyn ExecutionPlan>| {
        if node.downcast_ref::<SortExec>().is_none() && node.downcast_ref::<HashJoinExec>().is_none() {
            return Ok(Transformed::no(node));
        }
        // A join keeps its left side.
        let mut inputs: Vec<_> = node.children().into_iter().map(Arc::clone).collect();
        inputs[0] = MappedExec::over(Arc::clone(&inputs[0]), "OwnExec", |batch| own_batch(batch?));
        Ok(Transformed::yes(replace_children_if_necessary(node, inputs)?))
    };
    plan.transform_up(with_own).data()
}

/// The batch, copied if it holds more than twice its rows.
pub(super) fn own_batch(batch: RecordBatch) -> Result<RecordBatch> {
    let held = batch.get_array_memory_size();
    if held <= SMALL || held <= 2 * batch.columns().iter().map(size).sum::<usize>() {
        return Ok(batch);
    }
    if batch.num_rows() == 0 {
        return Ok(RecordBatch::new_empty(batch.schema()));
    }
    let columns = batch.columns().iter().map(own_array).collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(batch.schema(), columns, &options)?)
}

/// Bytes of the rows of an array, about.
fn size(array: &ArrayRef) -> usize {
    match array.data_type() {
        DataType::Utf8View => {
            let lengths = array.as_string_view().views().iter().map(|view| *view as u32 as usize);
            lengths.map(|length| if length > 12 { 16 + length } else { 16 }).sum()
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            list.len() * 4 + size(&values(list))
        }
        _ => array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size()),
    }
}

/// The values that the lists of a slice hold.
fn values(list: &ListArray) -> ArrayRef {
    let (Some(first), Some(last)) = (list.offsets().first(), list.offsets().last()) else {
        return list.values().slice(0, 0);
    };
    list.values().slice(*first as usize, (last - first) as usize)
}

/// The same values, with nothing beside them.
fn own_array(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        DataType::List(_) => {
            let (field, offsets, values, nulls) = take(array, &all(array), None)?.as_list::<i32>().clone().into_parts();
            Arc::new(ListArray::try_new(field, offsets, own_array(&values)?, nulls)?)
        }
        _ => take(array, &all(array), None)?,
    })
}

fn all(array: &ArrayRef) -> UInt32Array {
    UInt32Array::from_iter_values(0..array.len() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, ListBuilder, StringViewArray, StringViewBuilder};

    #[test]
    fn slices_hold_their_rows_alone() {
        let rows = 0..200_000_i64;
        let text = |row: i64| (row % 7 > 0).then(|| format!("a text of more than twelve bytes {row}"));
        let mut lists = ListBuilder::new(StringViewBuilder::new());
        for row in rows.clone() {
            lists.append_option((row % 5 > 0).then(|| [text(row), text(row + 1)]));
        }
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("number", Arc::new(Int64Array::from_iter(rows.clone().map(|row| (row % 3 > 0).then_some(row))))),
            ("text", Arc::new(StringViewArray::from_iter(rows.map(text)))),
            ("list", Arc::new(lists.finish())),
        ];
        let whole =
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
                .unwrap();
        for (from, length) in [(0, 8192), (100_000, 8192), (199_999, 1), (5, 0)] {
            let slice = whole.slice(from, length);
            let own = own_batch(slice.clone()).unwrap();
            assert_eq!(own, slice);
            let (held, rows) = (own.get_array_memory_size(), own.columns().iter().map(size).sum::<usize>());
            assert!(held <= 2 * rows + (64 << 10) && held * 10 < slice.get_array_memory_size(), "{held} for {rows}");
            // What holds little more than its rows is left alone.
            let again = own_batch(own.clone()).unwrap();
            assert!(length == 0 || own.column(0).to_data().ptr_eq(&again.column(0).to_data()));
        }
    }
}
