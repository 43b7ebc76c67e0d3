//! Checks rules without data: every problem of every rule at once.
//!
//! A rule must plan against the empty lake, read nothing but its tables, use nothing that changes from day to day,
//! give the columns that a finding is made of, and have cases that show when it fires and when it does not.

use super::{Params, Problem, Rule, load, rows};
use crate::query::{QueryError, Session};
use arrow::datatypes::{DataType, Schema};
use std::collections::BTreeSet;
use std::path::PathBuf;

const ENTITY: [&str; 5] = ["session_id", "agent", "user_id", "server", "tool"];

/// Checks the rules below some folders, and the built-in ones; gives how many rules could be read, and the problems.
pub async fn check(dirs: &[PathBuf], builtin: bool) -> (usize, Vec<Problem>) {
    let (rules, mut problems) = load::read(dirs, builtin);
    match rows::empty_session().await {
        Ok(session) => {
            for rule in &rules {
                problems.extend(cases(rule));
                problems.extend(plan(rule, &session).await);
            }
        }
        Err(error) => problems.push(Problem::new("", 0, format!("the empty lake cannot be set up: {error}"))),
    }
    problems.sort();
    (rules.len(), problems)
}

/// The rule's cases: one fires, one is quiet, one is a near miss.
fn cases(rule: &Rule) -> Vec<Problem> {
    let path = rule.path.with_extension("test.toml");
    let mut problems = Vec::new();
    let mut missing = |holds: bool, message: &str| {
        if !holds {
            problems.push(Problem::new(&path, 0, message));
        }
    };
    if rule.cases.is_empty() {
        missing(false, "there are no cases: write at least one that fires, one that is quiet and one near miss");
        return problems;
    }
    missing(rule.cases.iter().any(|case| case.fires > 0), "no case fires");
    missing(rule.cases.iter().any(|case| case.fires == 0 && !case.near_miss), "no case is quiet (fires = 0)");
    missing(
        rule.cases.iter().any(|case| case.fires == 0 && case.near_miss),
        "no case is a near miss (fires = 0, near_miss = true)",
    );
    for case in rule.cases.iter().filter(|case| case.near_miss && case.fires > 0) {
        problems.push(Problem::new(&path, case.line, format!("case `{}`: a near miss must not fire", case.name)));
    }
    let mut names = BTreeSet::new();
    for case in rule.cases.iter().filter(|case| !names.insert(&case.name)) {
        problems.push(Problem::new(&path, case.line, format!("case `{}`: the name is taken", case.name)));
    }
    problems
}

/// The rule's query.
async fn plan(rule: &Rule, session: &Session) -> Vec<Problem> {
    let problem = |line: usize, message: String| Problem::new(&rule.path, line, message);
    let planned = match session.for_rule(Default::default()).await {
        Ok(session) => session.plan(&rule.sql, None).await,
        Err(error) => Err(error),
    };
    let frame = match planned {
        Ok(frame) => frame,
        Err(error) => return vec![problem(error.line(), error.to_string())],
    };
    let query_problem = |error| {
        let error = QueryError::from(error);
        problem(error.line(), error.to_string())
    };
    let used = frame.logical_plan().get_parameter_names().unwrap_or_default();
    let used: BTreeSet<&str> = used.iter().map(|name| name.trim_start_matches('$')).collect();
    let declared: BTreeSet<&str> = rule.header.params.keys().map(String::as_str).collect();
    let mut problems: Vec<Problem> = used
        .difference(&declared)
        .map(|name| problem(0, format!("`${name}` is not among the header's params")))
        .chain(
            declared
                .difference(&used)
                .map(|name| problem(0, format!("the parameter `{name}` is not used in the query"))),
        )
        .collect();
    if used.is_subset(&declared) {
        match frame.with_param_values(Params::default().of(rule)) {
            Ok(frame) => {
                problems.extend(contract(frame.schema().as_arrow()).map(|message| problem(0, message)));
                // Types are compared only when the plan becomes executable.
                problems.extend(frame.create_physical_plan().await.err().map(query_problem));
            }
            Err(error) => problems.push(query_problem(error)),
        }
    }
    problems
}

/// What the result's columns lack to be findings.
fn contract(schema: &Schema) -> impl Iterator<Item = String> {
    let has = |name: &str| schema.field_with_name(name).ok();
    let is_text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let mut problems = Vec::new();
    if !ENTITY.iter().any(|name| has(name).is_some()) {
        problems.push(format!("the result has no entity: name at least one of {}", ENTITY.join(", ")));
    }
    let mut typed = |name: &str, required: bool, fits: &dyn Fn(&DataType) -> bool, wanted: &str| match has(name) {
        None if required => problems.push(format!("the result has no column `{name}` ({wanted})")),
        Some(field) if !fits(field.data_type()) && field.data_type() != &DataType::Null => {
            problems.push(format!("column `{name}` must be {wanted}, not {}", field.data_type()));
        }
        _ => {}
    };
    for name in ENTITY {
        typed(name, false, &is_text, "a text");
    }
    for name in ["first_seen", "last_seen"] {
        typed(name, true, &|t| matches!(t, DataType::Timestamp(..)), "a timestamp");
    }
    typed(
        "call_ids",
        true,
        &|t| matches!(t, DataType::List(f) if is_text(f.data_type())),
        "a list of texts, as array_agg(call_id) gives",
    );
    typed("level", false, &is_text, "a text");
    typed("message", false, &is_text, "a text");
    typed("score", false, &DataType::is_numeric, "a number");
    let mut seen = BTreeSet::new();
    for field in schema.fields().iter().filter(|field| !seen.insert(field.name())) {
        problems.push(format!("the result has two columns `{}`", field.name()));
    }
    problems.into_iter()
}
