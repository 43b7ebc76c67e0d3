//! `json_texts_at(json, path)`: every value at a dotted path, as text.

use super::json_path::any_at;
use super::{About, Function, Strings, is_text, list_of_texts};
use arrow::array::{ArrayRef, ListBuilder, StringBuilder};
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::ScalarUDF;
use std::collections::BTreeSet;
use std::sync::Arc;

const ABOUT: About = About {
    syntax: "json_texts_at(json, path)",
    text: "Every text, number and boolean at a dotted path of a JSON text, as text, each once, sorted. Arrays take no part \
           of a path: their elements are looked into. Works on truncated JSON up to where it ends. An empty list if \
           nothing is there.",
    example: "SELECT call_id, unnest(json_texts_at(arguments, 'to.email')) AS recipient FROM calls",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::of_arrays("json_texts_at", &ABOUT, list_of_texts(), coerce, json_texts_at)
}

fn coerce(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [json, path] if is_text(json) && is_text(path) => Ok(vec![DataType::Utf8; 2]),
        _ => plan_err!("json_texts_at takes a JSON text and a path"),
    }
}

fn json_texts_at(args: &[ArrayRef]) -> Result<ArrayRef> {
    let element = Field::new("element", DataType::Utf8, true);
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(element);
    let paths = Strings::of(&args[1])?;
    for (json, path) in Strings::of(&args[0])?.iter().zip(paths.iter()) {
        let given = json.zip(path);
        if let Some((json, path)) = given {
            let mut found = BTreeSet::new();
            any_at(json, path, &mut |leaf| {
                found.extend(leaf.text().map(String::from));
                false
            });
            found.iter().for_each(|text| lists.values().append_value(text));
        }
        lists.append(given.is_some());
    }
    Ok(Arc::new(lists.finish()))
}
