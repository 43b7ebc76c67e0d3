//! `result_text(result [, limit])`: what the model read of a result, as plain text.

use super::{About, Function, Strings, is_text};
use crate::enrich::result_text as text_of;
use arrow::array::{Array as _, ArrayRef, AsArray as _, StringBuilder};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

const ABOUT: About = About {
    syntax: "result_text(result [, limit])",
    text: "The text blocks of a `tools/call` result, resource or prompt, joined by line breaks, at most `limit` \
           bytes (16384 unless given). The column `result_text` of `calls` is `result_text(result)`.",
    example: "SELECT call_id, result_text(result, 200) FROM calls",
};

/// Bytes of text unless the query asks for more: enough for a rule to match on, small beside the payload limit.
const DEFAULT_LIMIT: usize = 16 * 1024;

pub(crate) fn udf() -> ScalarUDF {
    Function::of_arrays("result_text", &ABOUT, DataType::Utf8, coerce, result_text)
}

fn coerce(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [json] if is_text(json) => Ok(vec![json.clone()]),
        [json, limit] if is_text(json) && (limit.is_integer() || *limit == DataType::Null) => {
            Ok(vec![json.clone(), DataType::Int64])
        }
        _ => plan_err!("result_text takes a JSON text and at will a number of bytes"),
    }
}

fn result_text(args: &[ArrayRef]) -> Result<ArrayRef> {
    let json = Strings::of(&args[0])?;
    let limits = args.get(1).map(|limits| limits.as_primitive::<Int64Type>());
    let mut out = StringBuilder::new();
    for row in 0..json.len() {
        let limit = match limits {
            None => Some(DEFAULT_LIMIT),
            Some(limits) => limits.is_valid(row).then(|| usize::try_from(limits.value(row)).unwrap_or(0)),
        };
        out.append_option(json.get(row).zip(limit).map(|(json, limit)| text_of(json, limit)));
    }
    Ok(Arc::new(out.finish()))
}
