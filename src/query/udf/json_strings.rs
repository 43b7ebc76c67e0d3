//! `json_strings(json)`: every string value in a JSON text, so that a rule need not know a tool's parameter names.

use super::{About, Body, Function, Strings};
use crate::source::json::{skip_space, skip_string, unescape};
use arrow::array::{ArrayRef, ListBuilder, StringBuilder};
use arrow::datatypes::{DataType, Field};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use std::borrow::Cow;
use std::sync::Arc;

const ABOUT: About = About {
    syntax: "json_strings(json)",
    text: "All string values of a JSON text at any depth, decoded, in order; keys are left out. Works on truncated \
           JSON up to where it ends, and gives an empty list for a text without strings.",
    example: "SELECT call_id, unnest(json_strings(arguments)) AS value FROM calls",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::of_texts("json_strings", &ABOUT, Body::Arrays(json_strings))
}

fn json_strings(args: &[ArrayRef]) -> Result<ArrayRef> {
    let element = Field::new("element", DataType::Utf8, true);
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(element);
    for json in Strings::of(&args[0])?.iter() {
        strings(json.unwrap_or_default(), |text| {
            lists.values().append_value(text);
            false
        });
        lists.append(json.is_some());
    }
    Ok(Arc::new(lists.finish()))
}

/// Whether `holds` for a string value of a JSON text, or for the whole of a text that is no JSON.
pub(super) fn any(text: &str, holds: &mut dyn FnMut(Cow<'_, str>) -> bool) -> bool {
    if text.trim_start().starts_with(['{', '[', '"']) { strings(text, holds) } else { holds(Cow::Borrowed(text)) }
}

/// Scans for string literals rather than parsing, so neither depth nor a cut-off end matters. Ends early, and gives true, when
/// `found` says so.
fn strings(json: &str, mut found: impl FnMut(Cow<'_, str>) -> bool) -> bool {
    let bytes = json.as_bytes();
    let mut at = 0;
    while let Some(quote) = memchr::memchr(b'"', bytes.get(at..).unwrap_or_default()) {
        let start = at + quote;
        // A truncated text can end inside an escape, which `skip_string` steps over.
        let end = skip_string(bytes, start).min(bytes.len());
        at = skip_space(bytes, end);
        if bytes.get(at) != Some(&b':') && found(unescape(&json[start..end])) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::strings;

    #[test]
    fn values_at_any_depth_but_no_keys() {
        let all = |json: &str| {
            let mut out = Vec::new();
            strings(json, |text| {
                out.push(text.into_owned());
                false
            });
            out
        };
        assert_eq!(all(r#"{"a":"x","b":["y",{"c" : "z\n\u00e4"}],"d":1}"#), ["x", "y", "z\nä"]);
        assert_eq!(all(r#""only""#), ["only"]);
        assert_eq!(all(r#"{"a":"cut of"#), ["cut of"]);
        assert_eq!(all(r#"{"a":"cut \"#), ["cut "]);
        assert_eq!(all(&format!("{}\"deep\"{}", "[".repeat(100_000), "]".repeat(100_000))), ["deep"]);
        assert!(all("no json").is_empty());
    }
}
