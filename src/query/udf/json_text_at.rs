//! `json_text_at(json, path)`: the first value at a dotted path, as text.

use super::json_path::any_at;
use super::{About, Function, Strings, is_text};
use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

const ABOUT: About = About {
    syntax: "json_text_at(json, path)",
    text: "The first text, number or boolean at a dotted path of a JSON text, as text. Arrays take no part of a path: \
           their elements are looked into. Works on truncated JSON up to where it ends. NULL if nothing is there.",
    example: "SELECT json_text_at(arguments, 'options.path') AS path FROM calls",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::of_arrays("json_text_at", &ABOUT, DataType::Utf8, coerce, json_text_at)
}

fn coerce(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [json, path] if is_text(json) && is_text(path) => Ok(vec![DataType::Utf8, DataType::Utf8]),
        _ => plan_err!("json_text_at takes a JSON text and a path"),
    }
}

fn json_text_at(args: &[ArrayRef]) -> Result<ArrayRef> {
    let (jsons, paths) = (Strings::of(&args[0])?, Strings::of(&args[1])?);
    let texts = jsons.iter().zip(paths.iter()).map(|(json, path)| {
        let mut first = None;
        any_at(json?, path?, &mut |leaf| {
            first = leaf.text().map(String::from);
            first.is_some()
        });
        first
    });
    Ok(Arc::new(texts.collect::<StringArray>()))
}
