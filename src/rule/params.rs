//! Values of a rule's `$name` parameters: those of its header, overridden by the user's.
//!
//! They reach the query as values, never as text, so no value can change what the query does.

use super::{Rule, RuleSet};
use datafusion::common::{ParamValues, ScalarValue};
use std::collections::BTreeMap;
use toml::{Table, Value};

/// The user's overrides, checked against the rules: by rule id, then by name.
#[derive(Clone, Debug, Default)]
pub struct Params(BTreeMap<String, Table>);

impl RuleSet {
    /// Checks overrides (`[rules.ID] params = { … }` of the configuration).
    ///
    /// # Errors
    /// Every rule and parameter that does not exist and every value of another type.
    pub fn params(&self, overrides: &BTreeMap<String, Table>) -> Result<Params, Vec<String>> {
        let mut problems = Vec::new();
        let mut checked = BTreeMap::new();
        for (id, table) in overrides {
            let Some(rule) = self.get(id) else {
                problems.push(format!("rules.{id}: no such rule; `calltrail rules list` names them"));
                continue;
            };
            let mut kept = Table::new();
            for (name, value) in table {
                match fit(rule, name, value) {
                    Ok(value) => {
                        kept.insert(name.clone(), value);
                    }
                    Err(problem) => problems.push(format!("rules.{id}.params.{name}: {problem}")),
                }
            }
            checked.insert(id.clone(), kept);
        }
        if problems.is_empty() { Ok(Params(checked)) } else { Err(problems) }
    }
}

impl Params {
    /// Values for one rule alone, checked like a user's.
    ///
    /// # Errors
    /// A parameter that the rule does not have, or a value of another type.
    pub fn of_one(rule: &Rule, values: &Table) -> Result<Self, String> {
        let fitted = values.iter().map(|(name, value)| {
            let value = fit(rule, name, value).map_err(|problem| format!("params.{name}: {problem}"))?;
            Ok((name.clone(), value))
        });
        Ok(Self(BTreeMap::from([(rule.header.id.clone(), fitted.collect::<Result<Table, String>>()?)])))
    }

    /// The values that one rule's query gets, as JSON: what an alert keeps of them.
    pub fn values(&self, rule: &Rule) -> serde_json::Map<String, serde_json::Value> {
        let overrides = self.0.get(&rule.header.id);
        let value = |name: &String, default: &Value| {
            serde_json::to_value(overrides.and_then(|o| o.get(name)).unwrap_or(default)).unwrap_or_default()
        };
        rule.header.params.iter().map(|(name, default)| (name.clone(), value(name, default))).collect()
    }

    /// The values for one rule's query.
    pub(super) fn of(&self, rule: &Rule) -> ParamValues {
        let overrides = self.0.get(&rule.header.id);
        let value = |name: &String, default: &Value| scalar(overrides.and_then(|o| o.get(name)).unwrap_or(default));
        let values =
            rule.header.params.iter().filter_map(|(name, default)| Some((name.clone(), value(name, default)?.into())));
        ParamValues::Map(values.collect())
    }
}

/// The value in the type that the rule's own has.
fn fit(rule: &Rule, name: &str, value: &Value) -> Result<Value, String> {
    let Some(default) = rule.header.params.get(name) else {
        let known: Vec<&str> = rule.header.params.keys().map(String::as_str).collect();
        return Err(match known.as_slice() {
            [] => "the rule has no parameters".to_owned(),
            _ => format!("no such parameter; the rule has {}", known.join(", ")),
        });
    };
    let (wanted, given) = (scalar(default), scalar(value));
    match (default, value) {
        (Value::Float(_), Value::Integer(integer)) => Ok(Value::Float(*integer as f64)),
        // An empty list has no type of its own.
        (Value::Array(_), Value::Array(list)) if list.is_empty() => Ok(value.clone()),
        _ if wanted.as_ref().map(ScalarValue::data_type) == given.as_ref().map(ScalarValue::data_type) => {
            Ok(value.clone())
        }
        _ => Err(format!("expected {} like {default}, found {}", default.type_str(), value.type_str())),
    }
}

/// A TOML value as a literal of SQL.
pub(super) fn scalar(value: &Value) -> Option<ScalarValue> {
    Some(match value {
        Value::String(text) => ScalarValue::from(text.as_str()),
        Value::Integer(integer) => ScalarValue::from(*integer),
        Value::Float(float) => ScalarValue::from(*float),
        Value::Boolean(boolean) => ScalarValue::from(*boolean),
        Value::Array(list) => {
            let items: Vec<ScalarValue> = list.iter().map(scalar).collect::<Option<_>>()?;
            let item_type = items.first().map_or(arrow::datatypes::DataType::Utf8, ScalarValue::data_type);
            let flat = items.iter().all(|item| item.data_type() == item_type) && !item_type.is_nested();
            return flat.then(|| ScalarValue::List(ScalarValue::new_list_nullable(&items, &item_type)));
        }
        Value::Datetime(_) | Value::Table(_) => return None,
    })
}
