//! Aggregate functions that need all values of a group: they collect numbers, and a plain function answers at the end.
//!
//! They work as window functions too, also over frames that move forward.

use super::About;
use arrow::array::{Array as _, ArrayRef, AsArray as _, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, DocSection, Documentation, Signature, Volatility,
};
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What is answered of the collected numbers, one list for each argument.
type Finish = fn(&[Vec<f64>]) -> Option<f64>;

/// An aggregate of one or two columns, of which the first decides whether a row counts.
pub(super) struct Aggregate {
    name: &'static str,
    signature: Signature,
    /// Checks argument types and says what they are coerced to; the result casts to a double.
    coerce: fn(&[DataType]) -> Result<Vec<DataType>>,
    finish: Finish,
    documentation: Documentation,
}

pub(super) fn aggregate(
    name: &'static str,
    about: &About,
    coerce: fn(&[DataType]) -> Result<Vec<DataType>>,
    finish: Finish,
) -> AggregateUDF {
    let section = DocSection { include: true, label: "CallTrail", description: None };
    let documentation =
        Documentation::builder(section, about.text, about.syntax).with_sql_example(about.example).build();
    let signature = Signature::user_defined(Volatility::Immutable);
    AggregateUDF::new_from_impl(Aggregate { name, signature, coerce, finish, documentation })
}

impl AggregateUDFImpl for Aggregate {
    fn name(&self) -> &str {
        self.name
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        (self.coerce)(types)
    }
    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let list = DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)));
        let column = |n: usize| Arc::new(Field::new(format!("{}[{n}]", args.name), list.clone(), true));
        Ok((0..args.input_fields.len()).map(column).collect())
    }
    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return exec_err!("{} takes no DISTINCT", self.name);
        }
        Ok(Box::new(Collected { columns: vec![VecDeque::new(); args.exprs.len()], finish: self.finish }))
    }
}

// Two functions of one name are the same function; fn pointers do not compare reliably.
impl PartialEq for Aggregate {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
impl Eq for Aggregate {}
impl Hash for Aggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}
impl std::fmt::Debug for Aggregate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// The numbers so far. NaN stands for a NULL of the second column, so that rows can leave in order.
struct Collected {
    columns: Vec<VecDeque<f64>>,
    finish: Finish,
}

impl std::fmt::Debug for Collected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} values", self.columns.first().map_or(0, VecDeque::len))
    }
}

/// Columns as doubles. A timestamp becomes the number of its microseconds.
fn doubles(values: &[ArrayRef]) -> Result<Vec<Float64Array>> {
    let double = |array: &ArrayRef| {
        let array = match array.data_type() {
            DataType::Timestamp(..) => cast(array, &DataType::Int64)?,
            _ => Arc::clone(array),
        };
        Ok(cast(&array, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
    };
    values.iter().map(double).collect()
}

impl Accumulator for Collected {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let arrays = doubles(values)?;
        let Some(first) = arrays.first() else { return Ok(()) };
        for row in (0..first.len()).filter(|row| first.is_valid(*row)) {
            for (column, array) in self.columns.iter_mut().zip(&arrays) {
                column.push_back(if array.is_valid(row) { array.value(row) } else { f64::NAN });
            }
        }
        Ok(())
    }

    // A frame moves forward: what leaves it came first.
    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let left = values.first().map_or(0, |first| first.len() - first.null_count());
        for column in &mut self.columns {
            column.drain(..left.min(column.len()));
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let list = |column: &VecDeque<f64>| {
            let values: Vec<ScalarValue> = column.iter().map(|v| ScalarValue::Float64(Some(*v))).collect();
            ScalarValue::List(ScalarValue::new_list_nullable(&values, &DataType::Float64))
        };
        Ok(self.columns.iter().map(list).collect())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for (column, state) in self.columns.iter_mut().zip(states) {
            for list in state.as_list::<i32>().iter().flatten() {
                column.extend(list.as_primitive::<Float64Type>().values());
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let columns: Vec<Vec<f64>> =
            self.columns.iter().map(|column| column.iter().copied().filter(|v| !v.is_nan()).collect()).collect();
        Ok(ScalarValue::Float64((self.finish)(&columns)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.columns.iter().map(|column| column.capacity() * size_of::<f64>()).sum::<usize>()
    }
}

/// The middle of sorted numbers.
pub(super) fn median_of_sorted(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { f64::midpoint(*sorted.get(middle - 1)?, upper) })
}

/// Median, and median of the absolute deviations from it. Sorts the numbers.
pub(super) fn median_and_mad(values: &mut [f64]) -> Option<(f64, f64)> {
    values.sort_by(f64::total_cmp);
    let median = median_of_sorted(values)?;
    let mut deviations: Vec<f64> = values.iter().map(|value| (value - median).abs()).collect();
    deviations.sort_by(f64::total_cmp);
    Some((median, median_of_sorted(&deviations)?))
}
