//! `json_text_at(json, path)`: the first value at a dotted path, as text.

use super::json_path::any_at;
use super::{About, Body, Function};
use datafusion::logical_expr::ScalarUDF;

const ABOUT: About = About {
    syntax: "json_text_at(json, path)",
    text: "The first text, number or boolean at a dotted path of a JSON text, as text. Arrays take no part of a path: \
           their elements are looked into. Works on truncated JSON up to where it ends. NULL if nothing is there.",
    example: "SELECT json_text_at(arguments, 'options.path') AS path FROM calls",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::of_texts("json_text_at", &ABOUT, Body::TextOfTwo(json_text_at))
}

fn json_text_at(json: &str, path: &str) -> Option<String> {
    let mut first = None;
    any_at(json, path, &mut |leaf| {
        first = leaf.text().map(String::from);
        first.is_some()
    });
    first
}
