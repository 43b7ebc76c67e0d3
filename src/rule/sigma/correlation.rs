//! Correlations: several calls in a span of time, as one query.
//!
//! A window ends at each matching call and reaches the time span back from it. Windows in which the condition holds and which
//! overlap are one finding, or a burst of a hundred calls would be ninety findings. A call whose group is not known belongs to none.

use super::super::Problem;
use super::demand::Demand;
use super::document::{Document, Kind};
use super::field::{Field, Shape, resolve};
use super::sql::{joined, quoted};
use super::{GIVEN, Library, unknown};
use rsigma_parser::{ConditionExpr, ConditionOperator, CorrelationCondition, CorrelationRule, CorrelationType};
use std::fmt::Write as _;
use yaml_serde::Value;

const KEYS: [&str; 8] = ["type", "rules", "group-by", "timespan", "timeframe", "condition", "aliases", "generate"];
const CONDITION_KEYS: [&str; 7] = ["gt", "gte", "lt", "lte", "eq", "neq", "field"];
const ENTITY: [&str; 5] = ["session_id", "agent", "user_id", "server", "tool"];

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

/// One of the correlated rules.
struct Part<'a> {
    name: &'a str,
    condition: &'a str,
    /// The group's keys, then the field that is counted.
    columns: Vec<String>,
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
                "`{kind}` is not supported: there are event_count, value_count, temporal and temporal_ordered; write sums and percentiles as a SQL rule"
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
                    part.columns.push(field.value());
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

fn symbol_of(name: &str) -> &'static str {
    match name {
        "lt" => "<",
        "lte" => "<=",
        "gt" => ">",
        "gte" => ">=",
        "eq" => "=",
        _ => "<>",
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

/// What the SQL is written from.
struct Query<'a> {
    parts: &'a [Part<'a>],
    keys: &'a [String],
    seconds: u64,
    kind: CorrelationType,
    thresholds: Vec<&'static str>,
    extended: Option<String>,
}

impl Query<'_> {
    fn sql(&self) -> String {
        let temporal = matches!(self.kind, CorrelationType::Temporal | CorrelationType::TemporalOrdered);
        let mut sql = String::from("WITH ");
        self.matched(&mut sql, temporal);
        match self.kind {
            CorrelationType::TemporalOrdered => self.ordered(&mut sql),
            CorrelationType::Temporal => self.together(&mut sql),
            _ => self.counted(&mut sql),
        }
        self.findings(&mut sql);
        sql
    }

    /// Names of the columns that hold the group's keys; one constant if there are none.
    fn names(&self) -> Vec<String> {
        (0..self.keys.len().max(1)).map(|at| format!("key_{at}")).collect()
    }

    fn has_value(&self) -> bool {
        self.kind == CorrelationType::ValueCount
    }

    /// The calls that any of the rules matches. With `parts` each of them once for each rule.
    fn matched(&self, sql: &mut String, parts: bool) {
        let select = |part: &Part<'_>, at: usize, condition: &str| {
            let mut columns: Vec<String> =
                ["call_id", "time", "session_id", "agent", "user_id", "server", "tool"].map(str::to_owned).to_vec();
            let mut values = part.columns.iter();
            if self.keys.is_empty() {
                columns.push("1 AS key_0".to_owned());
            }
            for name in self.names().iter().take(self.keys.len()) {
                columns.extend(values.next().map(|value| format!("{value} AS {name}")));
            }
            columns.extend(values.next().map(|value| format!("{value} AS value")));
            if parts {
                columns.push(format!("{at} AS part"));
            }
            if self.kind == CorrelationType::TemporalOrdered {
                columns.extend(["source_file", "source_line"].map(str::to_owned));
            }
            format!("    SELECT {}\n    FROM calls\n    WHERE time IS NOT NULL AND {condition}", columns.join(", "))
        };
        let same_columns = self.parts.iter().all(|part| part.columns == self.parts[0].columns);
        let selects: Vec<String> = if parts || !same_columns {
            self.parts.iter().enumerate().map(|(at, part)| select(part, at, part.condition)).collect()
        } else {
            let conditions: Vec<String> = self.parts.iter().map(|part| part.condition.to_owned()).collect();
            vec![select(&self.parts[0], 0, &joined(&conditions, "OR"))]
        };
        let union = if parts { "\n    UNION ALL\n" } else { "\n    UNION\n" };
        let mut known: Vec<String> =
            self.names().iter().take(self.keys.len()).map(|name| format!("{name} IS NOT NULL")).collect();
        if self.has_value() {
            known.push("value IS NOT NULL".to_owned());
        }
        let known = if known.is_empty() { String::new() } else { format!(" WHERE {}", known.join(" AND ")) };
        let _ = write!(
            sql,
            "each_match AS (\n{}\n),\nmatched AS (SELECT * FROM each_match{known}),\n",
            selects.join(union)
        );
    }

    fn group(&self) -> String {
        self.names().join(", ")
    }

    /// The window that ends at a row.
    fn window(&self) -> String {
        format!(
            "PARTITION BY {} ORDER BY time RANGE BETWEEN INTERVAL '{} seconds' PRECEDING AND CURRENT ROW",
            self.group(),
            self.seconds
        )
    }

    fn counted(&self, sql: &mut String) {
        let count = if self.has_value() { "count(DISTINCT value)" } else { "count(*)" };
        let _ = write!(
            sql,
            "counted AS (SELECT *, {count} OVER ({}) AS n FROM matched),\n{}",
            self.window(),
            self.hits(&format!("time - INTERVAL '{} seconds'", self.seconds), "counted", &self.threshold("n"))
        );
    }

    fn together(&self, sql: &mut String) {
        let seen = (0..self.parts.len()).map(|at| {
            format!(",\n        sum(CASE WHEN part = {at} THEN 1 ELSE 0 END) OVER ({}) AS seen_{at}", self.window())
        });
        let seen: String = seen.collect();
        let condition = match (&self.extended, self.thresholds.is_empty()) {
            (Some(extended), _) => extended.clone(),
            (None, true) => (0..self.parts.len()).map(|at| format!("seen_{at} > 0")).collect::<Vec<_>>().join(" AND "),
            (None, false) => {
                let each: Vec<String> =
                    (0..self.parts.len()).map(|at| format!("CASE WHEN seen_{at} > 0 THEN 1 ELSE 0 END")).collect();
                self.threshold(&format!("({})", each.join(" + ")))
            }
        };
        let _ = write!(
            sql,
            "seen AS (\n    SELECT *{seen}\n    FROM matched\n),\n{}",
            self.hits(&format!("time - INTERVAL '{} seconds'", self.seconds), "seen", &condition)
        );
    }

    /// For each call of a rule the latest start of a chain that leads to it: of calls of the rules before, each after the one before.
    fn ordered(&self, sql: &mut String) {
        sql.push_str("chain_0 AS (SELECT *, CASE WHEN part = 0 THEN time END AS start_0 FROM matched),\n");
        for at in 1..self.parts.len() {
            let before = at - 1;
            // Of calls with one time the log's order decides. One call does not follow itself: its later parts come first.
            let _ = write!(
                sql,
                "chain_{at} AS (\n    SELECT *, CASE WHEN part = {at} THEN max(start_{before}) OVER (\n        PARTITION BY {} \
                 ORDER BY time, source_file, source_line, call_id, part DESC\n        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) END AS start_{at}\n    FROM chain_{before}\n),\n",
                self.group()
            );
        }
        let last = self.parts.len() - 1;
        let start = format!("start_{last}");
        let condition = format!("part = {last} AND {start} >= time - INTERVAL '{} seconds'", self.seconds);
        sql.push_str(&self.hits(&start, &format!("chain_{last}"), &condition));
    }

    fn threshold(&self, value: &str) -> String {
        let each: Vec<String> =
            self.thresholds.iter().map(|name| format!("{value} {} ${name}", symbol_of(name))).collect();
        each.join(" AND ")
    }

    /// The windows in which the condition holds.
    fn hits(&self, opened: &str, from: &str, condition: &str) -> String {
        let group = self.group();
        format!(
            "hits AS (SELECT DISTINCT {group}, {opened} AS opened, time AS closed FROM {from} WHERE {condition}),\n"
        )
    }

    /// Windows that overlap are one finding; it has all calls of them.
    fn findings(&self, sql: &mut String) {
        let group = self.group();
        let names = self.names();
        let mut columns: Vec<String> = ENTITY
            .iter()
            .map(|name| format!("CASE WHEN min(m.{name}) = max(m.{name}) THEN min(m.{name}) END AS {name}"))
            .collect();
        for (key, name) in self.keys.iter().zip(&names) {
            let is_given = resolve(key)
                .is_ok_and(|field| matches!(field.shape, Shape::Text) && ENTITY.contains(&field.column.as_str()));
            if !is_given {
                columns.push(format!("e.{name} AS {}", quoted(key)));
            }
        }
        columns.extend(
            [
                "min(m.time) AS first_seen",
                "max(m.time) AS last_seen",
                "array_agg(DISTINCT m.call_id) AS call_ids",
                "count(DISTINCT m.call_id) AS event_count",
            ]
            .map(str::to_owned),
        );
        if self.has_value() {
            columns.push("count(DISTINCT m.value) AS value_count".to_owned());
        }
        let same: Vec<String> = names.iter().map(|name| format!("m.{name} = e.{name}")).collect();
        let by: Vec<String> = names.iter().map(|name| format!("e.{name}")).collect();
        let _ = write!(
            sql,
            "marked AS (\n    SELECT *, CASE WHEN opened <= max(closed) OVER (PARTITION BY {group} ORDER BY closed ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) THEN 0 ELSE 1 END AS fresh\n    FROM hits\n),\n\
             numbered AS (\n    SELECT *, sum(fresh) OVER (PARTITION BY {group} ORDER BY closed ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS episode\n    FROM marked\n),\n\
             episodes AS (SELECT {group}, episode, min(opened) AS opened, max(closed) AS closed FROM numbered GROUP BY {group}, episode)\n\
             SELECT\n    {}\nFROM episodes AS e\nJOIN matched AS m ON {} AND m.time >= e.opened AND m.time <= e.closed\nGROUP BY {}, e.episode\n",
            columns.join(",\n    "),
            same.join(" AND "),
            by.join(", ")
        );
    }
}
