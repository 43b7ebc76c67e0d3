//! `has_marker(markers, kind [, origin])`: whether a payload holds an instruction marker.

use super::{About, Function, Strings, any_element, coerce_list, is_text};
use arrow::array::{Array as _, ArrayRef, AsArray as _};
use arrow::datatypes::{DataType, Fields};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

const ABOUT: About = About {
    syntax: "has_marker(markers, kind [, origin])",
    text: "Whether the list `markers` holds a marker of this kind (override_phrase, chat_template, hidden_unicode, \
           bidi, ansi, html_comment, …), with `origin` only one from there: argument or result. The markers of \
           `tools` and `servers` have no origin.",
    example: "SELECT call_id FROM calls WHERE has_marker(markers, 'hidden_unicode', 'result')",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::of_arrays("has_marker", &ABOUT, DataType::Boolean, coerce, has_marker)
}

fn coerce(types: &[DataType]) -> Result<Vec<DataType>> {
    const USAGE: &str = "has_marker takes a list of markers, a kind and at will an origin";
    let Some((list, texts)) = types.split_first().filter(|(_, t)| matches!(t.len(), 1 | 2)) else {
        return plan_err!("{USAGE}");
    };
    let list = match coerce_list(list) {
        Some(DataType::List(field)) if has_text_fields(field.data_type()) => DataType::List(field),
        Some(DataType::List(field)) if is_text(field.data_type()) && texts.len() == 1 => DataType::List(field),
        _ => return plan_err!("{USAGE}; found {list}"),
    };
    if let Some(other) = texts.iter().find(|t| !is_text(t)) {
        return plan_err!("{USAGE}; found {other} in place of a text");
    }
    Ok(std::iter::once(list).chain(texts.iter().map(|_| DataType::Utf8)).collect())
}

fn has_text_fields(data_type: &DataType) -> bool {
    let has = |fields: &Fields, name: &str| fields.iter().any(|f| f.name() == name && is_text(f.data_type()));
    matches!(data_type, DataType::Struct(fields) if has(fields, "kind") && has(fields, "origin"))
}

fn has_marker(args: &[ArrayRef]) -> Result<ArrayRef> {
    let list = args[0].as_list::<i32>();
    let Some(markers) = list.values().as_struct_opt() else {
        return super::has_capability::has_text(args);
    };
    // `coerce` has seen both fields.
    let field = |name: &str| markers.column_by_name(name).map_or(Ok(Strings::Null(markers.len())), |c| Strings::of(c));
    let (kinds, origins) = (field("kind")?, field("origin")?);
    let kind = Strings::of(&args[1])?;
    let origin = args.get(2).map(|a| Strings::of(a)).transpose()?;
    let result = any_element(
        list,
        |row| kind.get(row).is_some() && origin.is_none_or(|o| o.get(row).is_some()),
        |row, at| kinds.get(at) == kind.get(row) && origin.is_none_or(|o| origins.get(at) == o.get(row)),
    );
    Ok(Arc::new(result))
}
