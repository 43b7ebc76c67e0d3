//! Checks rules without data: every problem of every rule at once.
//!
//! A rule must plan against the empty lake, read nothing but its tables, use nothing that changes from day to day,
//! give the columns that a finding is made of, say what it needs of a log, and have cases that show when it fires and
//! when it does not.

use super::{Params, Problem, Rule, load, needs, rows};
use crate::query::{QueryError, Session, near};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::LogicalPlan;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::task::JoinSet;

const ENTITY: [&str; 5] = ["session_id", "agent", "user_id", "server", "tool"];

/// Checks the rules below some folders, as many at once as the runtime has threads; without a folder the built-in ones,
/// which else are read for their ids only. Gives how many rules were checked, and the problems. A rule whose header is broken is
/// checked as far as it can be.
pub async fn check(dirs: &[PathBuf], builtin: bool) -> (usize, Vec<Problem>) {
    let (rules, mut problems) = load::read(dirs, builtin);
    let is_meant = |rule: &Rule| dirs.is_empty() || dirs.iter().any(|dir| rule.path.starts_with(dir));
    let rules: Vec<Rule> = rules.into_iter().filter(is_meant).collect();
    let count = rules.len();
    match rows::empty_session().await {
        Ok(session) => {
            let session = Arc::new(session);
            let mut running = JoinSet::new();
            for rule in rules {
                let session = Arc::clone(&session);
                running.spawn(async move { [cases(&rule), plan(&rule, &session).await].concat() });
            }
            problems.extend(running.join_all().await.concat());
        }
        Err(error) => problems.push(Problem::new("", 0, format!("the empty lake cannot be set up: {error}"))),
    }
    problems.sort();
    problems.dedup();
    (count, problems)
}

/// The rule's cases: one fires, one is quiet, one is a near miss.
fn cases(rule: &Rule) -> Vec<Problem> {
    let path = rule.cases_path();
    let mut problems = Vec::new();
    let mut missing = |holds: bool, message: &str| {
        if !holds {
            problems.push(Problem::new(&path, usize::from(!rule.cases.is_empty()), message));
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
    for (line, message) in rule.cases.iter().flat_map(rows::problems) {
        problems.push(Problem::new(&path, line, message));
    }
    problems
}

/// The rule's query.
async fn plan(rule: &Rule, session: &Session) -> Vec<Problem> {
    // Lines of the SQL that a Sigma rule became say nothing about its file.
    let problem = |line: usize, message: String| Problem::new(&rule.path, if rule.sigma { 0 } else { line }, message);
    // The planner knows the place of few errors, but names what they are about.
    let query_problem = |error: QueryError| {
        let message = error.to_string();
        let line = if error.line() > 0 { error.line() } else { rule.line_about(&message) };
        problem(line, message)
    };
    let session = match session.for_rule(Default::default()).await {
        Ok(session) => session,
        Err(error) => return vec![problem(0, error.to_string())],
    };
    let frame = match session.plan(&rule.sql, None).await {
        Ok(frame) => frame,
        Err(error) => {
            let names = session.unknown_names(&rule.sql).await;
            if names.is_empty() {
                return vec![query_problem(error)];
            }
            return names.into_iter().map(|name| problem(name.line, name.message)).collect();
        }
    };
    let used = frame.logical_plan().get_parameter_names().unwrap_or_default();
    let used: BTreeSet<&str> = used.iter().map(|name| name.trim_start_matches('$')).collect();
    let declared: BTreeSet<&str> = rule.header.params.keys().map(String::as_str).collect();
    let undeclared = used.difference(&declared).map(|name| {
        let near = near(name, declared.iter().copied());
        let hint = near.map(|name| format!("; did you mean `${name}`?")).unwrap_or_default();
        problem(rule.line_of(&format!("${name}")), format!("`${name}` is not among the header's params{hint}"))
    });
    let unused = declared
        .difference(&used)
        .map(|name| problem(rule.line_of_key("params"), format!("the parameter `{name}` is not used in the query")));
    let mut problems: Vec<Problem> = undeclared.chain(unused).collect();
    if !used.is_subset(&declared) {
        return problems;
    }
    match frame.with_param_values(Params::default().of(rule)) {
        Ok(frame) => {
            let schema = frame.schema().as_arrow().clone();
            problems.extend(contract(&schema).map(|(column, message)| {
                let line = column.map_or(0, |name| rule.line_of(&name));
                problem(if line == 0 { rule.query_line() } else { line }, message)
            }));
            problems.extend(expected(rule, &schema));
            match reads(&frame) {
                // What a Sigma rule needs was read off its conditions.
                Ok(_) if rule.sigma => {}
                Ok(reads) => {
                    let line = ["needs", "helps"].into_iter().map(|key| rule.line_of_key(key)).find(|line| *line > 0);
                    let of_header = needs::compare(rule.header.needs.as_deref(), &rule.header.helps, &reads);
                    problems.extend(of_header.into_iter().map(|message| problem(line.unwrap_or(1), message)));
                }
                Err(error) => problems.push(query_problem(error.into())),
            }
            // Types are compared only when the plan becomes executable.
            problems.extend(frame.create_physical_plan().await.err().map(QueryError::from).map(query_problem));
        }
        Err(error) => problems.push(query_problem(error.into())),
    }
    problems
}

/// The stored columns that a query reads, as `table.column`.
fn reads(frame: &DataFrame) -> Result<BTreeSet<String>, DataFusionError> {
    let plan = frame.clone().into_optimized_plan()?;
    let mut columns = BTreeSet::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let table = scan.table_name.table();
            let fields = scan.projected_schema.fields().iter();
            columns.extend(fields.map(|field| format!("{table}.{}", field.name())));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(columns)
}

/// Columns that cases expect and the result does not have.
fn expected(rule: &Rule, schema: &Schema) -> Vec<Problem> {
    let path = rule.cases_path();
    // A finding has these whatever the query selects.
    let known = |name: &str| schema.field_with_name(name).is_ok() || matches!(name, "level" | "message" | "score");
    let mut problems = Vec::new();
    for case in &rule.cases {
        for name in case.expected().filter(|name| !known(name)).collect::<BTreeSet<_>>() {
            let hint = near(name, schema.fields().iter().map(|field| field.name().as_str()));
            let hint = hint.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
            problems.push(Problem::new(
                &path,
                case.line,
                format!("case `{}` expects `{name}`, which the result does not have{hint}", case.name),
            ));
        }
    }
    problems
}

/// What the result's columns lack to be findings, each with the column that is to blame.
fn contract(schema: &Schema) -> impl Iterator<Item = (Option<String>, String)> {
    let has = |name: &str| schema.field_with_name(name).ok();
    let is_text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let mut problems = Vec::new();
    if !ENTITY.iter().any(|name| has(name).is_some()) {
        problems.push((None, format!("the result has no entity: name at least one of {}", ENTITY.join(", "))));
    }
    let mut typed = |name: &str, required: bool, fits: &dyn Fn(&DataType) -> bool, wanted: &str| match has(name) {
        None if required => problems.push((None, format!("the result has no column `{name}` ({wanted})"))),
        Some(field) if !fits(field.data_type()) && field.data_type() != &DataType::Null => {
            let message = format!("column `{name}` must be {wanted}, not {}", field.data_type());
            problems.push((Some(name.to_owned()), message));
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
        let name = field.name();
        problems.push((Some(name.clone()), format!("the result has two columns `{name}`")));
    }
    problems.into_iter()
}
