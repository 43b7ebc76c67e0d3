//! Correlations, looked through: types, references, groups, conditions. Their SQL is written by `window`.

use super::super::Problem;
use super::demand::Demand;
use super::document::{Document, Kind};
use super::field::{Field, Shape, resolve};
use super::sql::joined;
use super::window::{Part, Query};
use super::{GIVEN, Library, unknown};
use rsigma_parser::{ConditionExpr, ConditionOperator, CorrelationCondition, CorrelationRule, CorrelationType};
use yaml_serde::Value;

const KEYS: [&str; 8] = ["type", "rules", "group-by", "timespan", "timeframe", "condition", "aliases", "generate"];
const CONDITION_KEYS: [&str; 7] = ["gt", "gte", "lt", "lte", "eq", "neq", "field"];

/// A query with what its header says of it.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) query: String,
    /// How far it looks back.
    pub(super) seconds: u64,
    /// Thresholds, which a user can set.
    pub(super) params: Vec<(&'static str, i64)>,
    pub(super) demand: Demand,
}

/// Makes the query of a correlation.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn convert(library: &Library, document: &Document, rule: &CorrelationRule) -> Result<Made, Vec<Problem>> {
    let mut problems = unknown_keys(document);
    let mut fault = |keys: &[&str], message: String| {
        problems.push(document.problem(&[&["correlation"], keys].concat(), message));
    };
    let ordered = rule.correlation_type == CorrelationType::TemporalOrdered;
    let temporal = ordered || rule.correlation_type == CorrelationType::Temporal;
    let counts_values = rule.correlation_type == CorrelationType::ValueCount;
    if !temporal && !counts_values && rule.correlation_type != CorrelationType::EventCount {
        let kind = rule.correlation_type.as_str();
        fault(
            &["type"],
            format!(
                "`{kind}` is not supported: there are event_count, value_count, temporal and temporal_ordered; \
             write sums and percentiles as a SQL rule"
            ),
        );
    }
    if rule.timespan.seconds == 0 || i64::try_from(rule.timespan.seconds).is_ok_and(|s| s > 3660 * 86_400) {
        let key = if document.value.get("correlation").is_some_and(|c| c.get("timespan").is_some()) {
            "timespan"
        } else {
            "timeframe"
        };
        fault(&[key], "the time span must be longer than nothing and at most ten years".to_owned());
    }
    let has_condition =
        document.value.get("correlation").is_some_and(|correlation| correlation.get("condition").is_some());
    let mut params = Vec::new();
    let mut field = None;
    match &rule.condition {
        CorrelationCondition::Extended(_) if rule.correlation_type != CorrelationType::Temporal => {
            fault(&["condition"], "an expression over rules is for `temporal` only".to_owned());
        }
        CorrelationCondition::Threshold { .. } if ordered && has_condition => {
            fault(
                &["condition"],
                "`temporal_ordered` wants all its rules in their order, and takes no condition".to_owned(),
            );
        }
        CorrelationCondition::Threshold { predicates, field: named, .. } => {
            for (operator, threshold) in predicates {
                match i64::try_from(*threshold) {
                    Ok(threshold) => params.push((name_of(*operator), threshold)),
                    Err(_) => fault(&["condition", name_of(*operator)], "a count is not negative".to_owned()),
                }
            }
            match (counts_values, named.as_deref()) {
                (true, Some([one])) => field = Some(one.as_str()),
                (true, Some(_)) => fault(
                    &["condition", "field"],
                    "values of one field are counted; count those of several fields in a SQL rule".to_owned(),
                ),
                (true, None) => {
                    fault(&["condition"], "`value_count` counts the values of a field: name it, `field:`".to_owned())
                }
                (false, Some(_)) => {
                    fault(&["condition", "field"], "a field is counted by `value_count` only".to_owned())
                }
                (false, None) => {}
            }
        }
        CorrelationCondition::Extended(_) => {}
    }
    let mut parts: Vec<Part<'_>> = Vec::new();
    let mut demands = Vec::new();
    if rule.rules.is_empty() {
        fault(&["rules"], "`rules` names none".to_owned());
    }
    for name in &rule.rules {
        let mut reference =
            |message: String| problems.push(document.value_problem(&["correlation", "rules"], name, message));
        let Some(at) = library.known.get(name) else {
            reference(unknown(name));
            continue;
        };
        match (&library.documents[*at].kind, library.conditions.get(at)) {
            (Kind::Rule(_), Some(condition)) => {
                parts.push(Part { name, condition: &condition.sql, columns: Vec::new() });
                demands.push(condition.demand.clone());
            }
            (Kind::Rule(_), None) => reference(format!("the rule `{name}` has problems of its own")),
            _ => reference(format!("`{name}` is no detection rule: correlations of correlations are not supported")),
        }
    }
    let all_needed = temporal && matches!(rule.condition, CorrelationCondition::Threshold { .. }) && !has_condition;
    let mut demand = vec![if all_needed { Demand::all(demands) } else { Demand::any(demands) }];
    let mut columns = |name: &str, keys: &[&str], parts: &mut Vec<Part<'_>>| {
        for part in parts {
            match column(library, rule, part.name, name) {
                Ok(field) => {
                    part.columns.push(field.values());
                    demand.push(Demand::of_field(&field_name(rule, library, part.name, name)));
                }
                Err(message) => problems.push(document.value_problem(keys, name, message)),
            }
        }
    };
    for name in &rule.group_by {
        columns(name, &["correlation", "group-by"], &mut parts);
    }
    if let Some(name) = field {
        columns(name, &["correlation", "condition", "field"], &mut parts);
    }
    for alias in &rule.aliases {
        let taken = GIVEN.contains(&alias.alias.as_str()) || resolve(&alias.alias).is_ok();
        if taken {
            problems.push(document.problem(
                &["correlation", "aliases", &alias.alias],
                format!("alias `{}`: that is the name of a field", alias.alias),
            ));
        }
        for unused in alias.mapping.keys().filter(|name| !refers(library, rule, name)) {
            problems.push(document.problem(
                &["correlation", "aliases", &alias.alias, unused],
                format!("`{unused}` is none of the correlation's rules"),
            ));
        }
    }
    let extended = match &rule.condition {
        CorrelationCondition::Extended(expr) => match expression(library, expr, &parts) {
            Ok(sql) => Some(sql),
            Err(message) => {
                problems.push(document.problem(&["correlation", "condition"], message));
                None
            }
        },
        CorrelationCondition::Threshold { .. } => None,
    };
    problems.dedup();
    if !problems.is_empty() {
        return Err(problems);
    }
    if temporal && !has_condition {
        params.clear();
    }
    let query = Query {
        parts: &parts,
        keys: &rule.group_by,
        seconds: rule.timespan.seconds,
        kind: rule.correlation_type,
        thresholds: params.iter().map(|(name, _)| *name).collect(),
        extended,
    };
    Ok(Made { query: query.sql(), seconds: rule.timespan.seconds, params, demand: Demand::all(demand) })
}

fn unknown_keys(document: &Document) -> Vec<Problem> {
    let section = |keys: &[&str]| {
        let mut value = document.value.get(keys[0])?;
        for key in &keys[1..] {
            value = value.get(*key)?;
        }
        value.as_mapping()
    };
    let mut problems = Vec::new();
    for (keys, known) in [(&["correlation"][..], &KEYS[..]), (&["correlation", "condition"], &CONDITION_KEYS)] {
        for key in section(keys).into_iter().flat_map(|mapping| mapping.keys()).filter_map(Value::as_str) {
            if !known.contains(&key) {
                let place = [keys, &[key]].concat();
                problems.push(document.problem(&place, format!("unknown key `{key}`; known: {}", known.join(", "))));
            }
        }
    }
    problems
}

fn name_of(operator: ConditionOperator) -> &'static str {
    match operator {
        ConditionOperator::Lt => "lt",
        ConditionOperator::Lte => "lte",
        ConditionOperator::Gt => "gt",
        ConditionOperator::Gte => "gte",
        ConditionOperator::Eq => "eq",
        ConditionOperator::Neq => "neq",
    }
}

/// Whether a name means one of the correlation's rules.
fn refers(library: &Library, rule: &CorrelationRule, name: &str) -> bool {
    rule.rules.iter().any(|known| same_rule(library, known, name))
}

/// A rule can be named by its id and by its name.
fn same_rule(library: &Library, one: &str, other: &str) -> bool {
    one == other || library.known.get(one).is_some_and(|at| library.known.get(other) == Some(at))
}

/// The field that a name means in one of the rules: an alias is another field in each.
fn field_name(rule: &CorrelationRule, library: &Library, part: &str, name: &str) -> String {
    let alias = rule.aliases.iter().find(|alias| alias.alias == name);
    let mapped = alias.and_then(|alias| alias.mapping.iter().find(|(of, _)| same_rule(library, of, part)));
    mapped.map_or_else(|| name.to_owned(), |(_, field)| field.clone())
}

fn column(library: &Library, rule: &CorrelationRule, part: &str, name: &str) -> Result<Field, String> {
    let of_part = field_name(rule, library, part, name);
    if rule.aliases.iter().any(|alias| alias.alias == name) && of_part == name {
        return Err(format!("the alias `{name}` has no field for the rule `{part}`"));
    }
    let field = resolve(&of_part)?;
    match field.shape {
        Shape::Texts => Err(format!("`{of_part}` is a list, which calls cannot be grouped or counted by")),
        Shape::Path(_) if field.text().is_none() => {
            Err(format!("`{of_part}` is in a list, which calls cannot be grouped or counted by"))
        }
        _ => Ok(field),
    }
}

/// An expression over rules, as one over how often each was seen.
fn expression(library: &Library, expr: &ConditionExpr, parts: &[Part<'_>]) -> Result<String, String> {
    let each = |exprs: &[ConditionExpr]| {
        exprs.iter().map(|expr| expression(library, expr, parts)).collect::<Result<Vec<_>, _>>()
    };
    match expr {
        ConditionExpr::And(exprs) => Ok(joined(&each(exprs)?, "AND")),
        ConditionExpr::Or(exprs) => Ok(joined(&each(exprs)?, "OR")),
        ConditionExpr::Not(inner) => Ok(format!("NOT ({})", expression(library, inner, parts)?)),
        ConditionExpr::Identifier(name) => match parts.iter().position(|part| same_rule(library, part.name, name)) {
            Some(at) => Ok(format!("seen_{at} > 0")),
            None => Err(format!("the condition names `{name}`, which is none of the correlation's rules")),
        },
        ConditionExpr::Selector { .. } => {
            Err(format!("`{expr}`: name the rules one by one, or leave the condition out to want them all"))
        }
    }
}
