//! Every unknown table, column and function of a query at once: planning alone stops at the first.
//!
//! A name that does not exist is replaced by the nearest one that does, and the query is planned again. Only names are
//! reported from then on, because what else is wrong may come from the replacement.

use super::{Session, near};
use datafusion::common::{DataFusionError, SchemaError, Span};
use std::collections::BTreeSet;

/// Unknown names of one query that are reported; with more, the text is hardly a query over these tables.
const MAX_NAMES: usize = 64;

/// A name in a query that nothing has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    /// Line of the text, from 1.
    pub line: usize,
    /// What is wrong, and the nearest name there is.
    pub message: String,
}

struct Replacement {
    span: Span,
    message: String,
    /// Stands in its place for the next attempt.
    by: String,
}

impl Session {
    /// The unknown names of a query, in the order in which planning met them. Empty if there are none, whatever else
    /// may be wrong with the text.
    pub async fn unknown_names(&self, text: &str) -> Vec<UnknownName> {
        let mut text = text.to_owned();
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        while found.len() < MAX_NAMES {
            let Err(error) = self.context.sql_with_options(&text, super::read_only()).await else { break };
            let Some(replacement) = self.replacement(&error).await else { break };
            let Some(next) = replaced(&text, replacement.span, &replacement.by) else { break };
            let line = usize::try_from(replacement.span.start.line).unwrap_or(0);
            if seen.insert((line, replacement.message.clone())) {
                found.push(UnknownName { line, message: replacement.message });
            }
            if replacement.by.is_empty() || next == text {
                break;
            }
            text = next;
        }
        found
    }

    async fn replacement(&self, error: &DataFusionError) -> Option<Replacement> {
        let span = error.diagnostic()?.span?;
        match error.find_root() {
            DataFusionError::SchemaError(schema_error, _) => {
                let SchemaError::FieldNotFound { field, valid_fields } = schema_error.as_ref() else { return None };
                if self.removed.contains(&field.name) {
                    return None;
                }
                let names: Vec<&str> = valid_fields.iter().map(|column| column.name.as_str()).collect();
                let nearest = near(&field.name, names.iter().copied());
                let qualified = nearest.and_then(|name| {
                    let of = |column: &&datafusion::common::Column| column.name == name;
                    let same = valid_fields.iter().filter(of).find(|column| column.relation == field.relation);
                    same.or_else(|| valid_fields.iter().find(of)).map(|column| column.quoted_flat_name())
                });
                let hint = qualified.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
                let message = format!("there is no column `{}`{hint}", field.flat_name());
                Some(Replacement { span, message, by: qualified.unwrap_or_else(|| "NULL".to_owned()) })
            }
            root => {
                let text = root.to_string();
                if let Some(name) = between(&text, "Invalid function '", "'") {
                    if self.removed.iter().any(|removed| removed == name) {
                        return None;
                    }
                    let functions = self.functions();
                    let nearest = near(name, functions.iter().map(String::as_str));
                    let hint = nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
                    let message = format!("there is no function `{name}`{hint}");
                    return Some(Replacement { span, message, by: nearest.unwrap_or("coalesce").to_owned() });
                }
                let name = between(&text, "table '", "' not found")?.rsplit('.').next()?;
                let tables = self.tables().await;
                let nearest = near(name, tables.iter().map(|(name, _)| name.as_str()));
                let hint = match nearest {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => {
                        let names: Vec<&str> = tables.iter().map(|(name, _)| name.as_str()).collect();
                        format!("there are {}", names.join(", "))
                    }
                };
                let message = format!("there is no table `{name}`; {hint}");
                Some(Replacement { span, message, by: nearest.unwrap_or_default().to_owned() })
            }
        }
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = &text[text.find(before)? + before.len()..];
    rest.split(after).next()
}

/// The text with another word at the span, which counts lines and characters from 1 and ends before its end.
fn replaced(text: &str, span: Span, by: &str) -> Option<String> {
    let offset = |line: u64, column: u64| {
        let start: usize =
            text.split_inclusive('\n').take(usize::try_from(line).ok()?.checked_sub(1)?).map(str::len).sum();
        let rest = text.get(start..)?;
        let skip = usize::try_from(column).ok()?.checked_sub(1)?;
        Some(start + rest.char_indices().nth(skip).map_or(rest.len(), |(at, _)| at))
    };
    let (start, end) = (offset(span.start.line, span.start.column)?, offset(span.end.line, span.end.column)?);
    (start < end).then(|| format!("{}{by}{}", &text[..start], &text[end..]))
}
