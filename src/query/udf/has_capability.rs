//! `has_capability(capabilities, name)`: whether a tool can do something.

use super::{About, Function, Strings, any_element, coerce_list, is_text};
use arrow::array::{Array as _, ArrayRef, AsArray as _};
use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::functions_nested::expr_fn::array_has;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, ScalarUDF, lit};
use std::sync::Arc;

const ABOUT: About = About {
    syntax: "has_capability(capabilities, name)",
    text: "Whether the list `capabilities` of a call or a tool holds `name`: reads_private, reads_untrusted, \
           egress, writes, destructive, executes, pays or credentials.",
    example: "SELECT tool FROM calls WHERE has_capability(capabilities, 'egress')",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::of_arrays_or("has_capability", &ABOUT, DataType::Boolean, coerce, has_text, as_array_has)
}

/// Parquet files are asked this first, before a condition on text that takes longer: of lists they are asked in DataFusion's own words alone.
fn as_array_has(args: &[Expr], info: &SimplifyContext) -> Result<Option<Expr>> {
    let [list, Expr::Literal(name, _)] = args else { return Ok(None) };
    match info.get_data_type(list)? {
        DataType::List(element) if !name.is_null() => {
            Ok(Some(array_has(list.clone(), lit(name.cast_to(element.data_type())?))))
        }
        _ => Ok(None),
    }
}

fn coerce(types: &[DataType]) -> Result<Vec<DataType>> {
    let [list, name] = types else { return plan_err!("has_capability takes a list of texts and a text") };
    match coerce_list(list) {
        Some(DataType::List(field)) if is_text(field.data_type()) && is_text(name) => {
            Ok(vec![DataType::List(field), DataType::Utf8])
        }
        _ => plan_err!("has_capability takes a list of texts and a text, found {list} and {name}"),
    }
}

/// Whether the list of texts holds the text.
pub(super) fn has_text(args: &[ArrayRef]) -> Result<ArrayRef> {
    let (list, name) = (args[0].as_list::<i32>(), Strings::of(&args[1])?);
    let elements = Strings::of(list.values())?;
    let result = any_element(list, |row| args[1].is_valid(row), |row, at| elements.get(at) == name.get(row));
    Ok(Arc::new(result))
}
