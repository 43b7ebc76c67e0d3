//! Names of fields in Sigma rules: columns of `calls`, their OpenTelemetry names, and paths into JSON columns.

use super::sql::{ident, literal};
use crate::call::calls_schema;
use crate::query::near;
use arrow::datatypes::{DataType, Field as ArrowField};
use std::sync::LazyLock;

/// Columns that hold JSON: a rule can name paths into them.
const JSON: [&str; 4] = ["arguments", "result", "meta_json", "extra_json"];

/// Texts that say where a row came from, not what happened: keywords do not look at them.
const BOOKKEEPING: [&str; 12] = [
    "call_id",
    "event_kind",
    "time_source",
    "session_source",
    "duration_source",
    "jsonrpc_id_type",
    "trace_observer",
    "source_format",
    "source_format_version",
    "source_file",
    "ingest_id",
    "day",
];

/// A field that a rule names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// The column of `calls`.
    pub(super) column: String,
    pub(super) shape: Shape,
}

/// What the field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    Integer,
    Boolean,
    /// A moment, or a day.
    Time,
    /// A list of texts.
    Texts,
    /// What lies at this path: in a JSON text, or in the structs of a list.
    Path(String),
}

/// What calls are grouped or counted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Values {
    pub(super) sql: String,
    /// It is a list, every element of which counts.
    pub(super) is_list: bool,
}

/// One name that a rule can use, with the column that it stands for.
struct Known {
    name: String,
    column: ArrowField,
}

/// Columns by their own and their OpenTelemetry names.
static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let schema = calls_schema();
    let mut known: Vec<Known> = Vec::new();
    for field in schema.fields() {
        let names = std::iter::once(field.name().as_str()).chain(field.metadata().values().map(String::as_str));
        known.extend(names.map(|name| Known { name: name.to_owned(), column: field.as_ref().clone() }));
    }
    known.push(Known { name: "result_text".to_owned(), column: ArrowField::new("result_text", DataType::Utf8, true) });
    known
});

/// Finds the field of a name.
///
/// # Errors
/// There is no such field, or it is of a type that no test fits.
pub(super) fn resolve(name: &str) -> Result<Field, String> {
    if let Some(known) = KNOWN.iter().find(|known| known.name == name) {
        return whole(name, &known.column);
    }
    // The longest name first: `gen_ai.tool.call.arguments.path` is a path into the arguments.
    let holder = KNOWN
        .iter()
        .filter_map(|known| Some((known, name.strip_prefix(known.name.as_str())?.strip_prefix('.')?)))
        .max_by_key(|(known, _)| known.name.len());
    match holder {
        Some((known, path)) if path.split('.').any(str::is_empty) => {
            Err(format!("`{name}`: the path into `{}` has an empty part", known.name))
        }
        Some((known, path)) if JSON.contains(&known.column.name().as_str()) => {
            Ok(Field { column: known.column.name().clone(), shape: Shape::Path(path.to_owned()) })
        }
        Some((known, path)) => match structs(&known.column) {
            Some(fields) if fields.contains(&path) => {
                Ok(Field { column: known.column.name().clone(), shape: Shape::Path(path.to_owned()) })
            }
            Some(fields) => Err(format!("`{}` has no field `{path}`; it has {}", known.name, fields.join(", "))),
            None => Err(format!("`{name}`: `{}` is no JSON; paths lead into {}", known.name, JSON.join(", "))),
        },
        None => {
            let hint = near(name, KNOWN.iter().map(|known| known.name.as_str()));
            Err(match hint {
                Some(near) => format!("unknown field `{name}`; did you mean `{near}`?"),
                None => format!(
                    "unknown field `{name}`: fields are the columns of `calls` and paths such as `arguments.path`; see docs/sigma.md"
                ),
            })
        }
    }
}

fn whole(name: &str, column: &ArrowField) -> Result<Field, String> {
    let shape = match column.data_type() {
        DataType::Utf8 => Shape::Text,
        DataType::Int32 | DataType::Int64 => Shape::Integer,
        DataType::Boolean => Shape::Boolean,
        DataType::Timestamp(..) | DataType::Date32 => Shape::Time,
        DataType::List(item) if item.data_type() == &DataType::Utf8 => Shape::Texts,
        _ => match structs(column) {
            Some(fields) => {
                return Err(format!(
                    "`{name}` is a list of objects: name one of their fields, {name}.{}",
                    fields.join(&format!(" or {name}."))
                ));
            }
            None => return Err(format!("`{name}` is of a type that rules cannot test")),
        },
    };
    Ok(Field { column: column.name().clone(), shape })
}

/// Text fields of the objects in a list.
fn structs(column: &ArrowField) -> Option<Vec<&str>> {
    let DataType::List(item) = column.data_type() else { return None };
    let DataType::Struct(fields) = item.data_type() else { return None };
    Some(
        fields.iter().filter(|field| field.data_type() == &DataType::Utf8).map(|field| field.name().as_str()).collect(),
    )
}

impl Field {
    /// The column, as SQL names it.
    pub(super) fn sql(&self) -> String {
        ident(&self.column)
    }

    /// The stored column that it reads.
    pub(super) fn stored(&self) -> &str {
        if self.column == "result_text" { "result" } else { &self.column }
    }

    /// The field as one text; `None` for lists.
    pub(super) fn text(&self) -> Option<String> {
        let column = self.sql();
        match &self.shape {
            Shape::Text => Some(column),
            Shape::Integer | Shape::Boolean | Shape::Time => Some(format!("CAST({column} AS VARCHAR)")),
            Shape::Path(path) if JSON.contains(&self.column.as_str()) => {
                Some(format!("json_text_at({column}, {})", literal(path)))
            }
            Shape::Texts | Shape::Path(_) => None,
        }
    }

    /// The field as it is: what a finding keeps of it.
    pub(super) fn value(&self) -> String {
        match &self.shape {
            Shape::Path(_) => self.text().unwrap_or_else(|| self.sql()),
            _ => self.sql(),
        }
    }

    /// All that the field holds: there may be several values at a path into JSON.
    pub(super) fn values(&self) -> Values {
        match &self.shape {
            Shape::Path(path) if JSON.contains(&self.column.as_str()) => {
                Values { sql: format!("json_texts_at({}, {})", self.sql(), literal(path)), is_list: true }
            }
            _ => Values { sql: self.value(), is_list: false },
        }
    }

    /// The field by a function of ours, which walks lists and JSON.
    pub(super) fn matched(&self, test: &str, operands: &[String]) -> String {
        let path = match &self.shape {
            Shape::Path(path) => path.as_str(),
            _ => "",
        };
        let operands: String = operands.iter().map(|operand| format!(", {}", literal(operand))).collect();
        format!("sigma_match({}, {}, {}{operands})", self.sql(), literal(path), literal(test))
    }
}

/// Text columns that keywords look at, and the JSON columns, whose texts they look at one by one.
pub(super) fn keyword_columns() -> (Vec<String>, Vec<String>) {
    let schema = calls_schema();
    let texts = schema.fields().iter().filter(|field| {
        let name = field.name().as_str();
        field.data_type() == &DataType::Utf8
            && !BOOKKEEPING.contains(&name)
            && !name.ends_with("_hash")
            && !JSON.contains(&name)
    });
    (texts.map(|field| ident(field.name())).collect(), JSON.map(ident).to_vec())
}
