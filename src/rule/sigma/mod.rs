//! Sigma rules: YAML read by rsigma, made into SQL rules over `calls`.
//!
//! A Sigma file becomes one SQL rule (or several) with header and query, and from there on it is like any other: the
//! text is hashed, kept in the lake and run again for a proof. References between files (a correlation's rules, a filter's) are
//! resolved among all files that are loaded together. See `docs/sigma.md`.

mod backend;
mod condition;
mod correlation;
mod demand;
mod document;
mod field;
mod header;
mod probe;
mod sql;
mod window;

use super::Problem;
use backend::{Calls, message};
use demand::Demand;
use document::{Document, Kind};
use field::resolve;
use rsigma_convert::ConversionState;
use rsigma_convert::backend::Backend as _;
use rsigma_parser::{FilterRuleTarget, LogSource};
use sql::joined;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What a finding has whatever a rule names.
const GIVEN: [&str; 13] = [
    "session_id",
    "agent",
    "user_id",
    "server",
    "tool",
    "time",
    "call_id",
    "first_seen",
    "last_seen",
    "call_ids",
    "level",
    "score",
    "message",
];

/// A rule made of a Sigma document.
#[derive(Clone, Debug)]
pub(super) struct Converted {
    pub(super) id: String,
    pub(super) path: PathBuf,
    /// Header and query.
    pub(super) text: String,
}

/// A detection rule's condition on a row of `calls`.
#[derive(Clone, Debug)]
struct Condition {
    sql: String,
    demand: Demand,
}

/// All documents that are loaded together.
struct Library {
    documents: Vec<Document>,
    /// By id and by name.
    known: BTreeMap<String, usize>,
    /// Of the detection rules without problems.
    conditions: BTreeMap<usize, Condition>,
}

/// What Sigma files became.
#[derive(Debug, Default)]
pub(super) struct Conversion {
    pub(super) rules: Vec<Converted>,
    /// Files whose rule is only a part of correlations, and does not run by itself.
    pub(super) idle: Vec<PathBuf>,
    /// Every problem of every file.
    pub(super) problems: Vec<Problem>,
}

/// Makes SQL rules of Sigma files.
pub(super) fn convert(files: &[(&Path, &str)]) -> Conversion {
    let (mut library, mut problems) = Library::read(files);
    problems.extend(library.convert_conditions());
    let absorbed = library.absorbed();
    let mut converted = Vec::new();
    for (at, document) in library.documents.iter().enumerate() {
        let is_rule =
            |at: usize, document: &Document| !matches!(document.kind, Kind::Filter(_)) && !absorbed.contains(&at);
        if !is_rule(at, document) {
            continue;
        }
        let of_file = library
            .documents
            .iter()
            .enumerate()
            .filter(|(at, other)| other.path == document.path && is_rule(*at, other));
        let id = match (of_file.count(), document.text("name")) {
            (1, _) => document.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned(),
            (_, Some(name)) => name,
            (_, None) => {
                problems.push(document.problem(&["title"], "`name` is missing: it tells the rules of this file apart"));
                continue;
            }
        };
        match library.rule(at, id) {
            Ok(rule) => converted.push(rule),
            Err(found) => problems.extend(found),
        }
    }
    let is_alone =
        |document: &&Document| library.documents.iter().filter(|other| other.path == document.path).count() == 1;
    let idle = absorbed.iter().map(|at| &library.documents[*at]).filter(is_alone);
    Conversion { rules: converted, idle: idle.map(|document| document.path.clone()).collect(), problems }
}

impl Library {
    fn read(files: &[(&Path, &str)]) -> (Self, Vec<Problem>) {
        let (mut documents, mut problems) = (Vec::new(), Vec::new());
        for (path, text) in files {
            let (read, found) = document::documents(path, text);
            documents.extend(read);
            problems.extend(found);
        }
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        for (at, document) in documents.iter().enumerate() {
            for key in ["id", "name"] {
                let Some(name) = document.text(key) else { continue };
                match known.get(&name).filter(|other| **other != at) {
                    Some(other) => problems.push(document.problem(
                        &[key],
                        format!("the {key} `{name}` is taken by {}", documents[*other].path.display()),
                    )),
                    None => {
                        known.insert(name, at);
                    }
                }
            }
        }
        (Self { documents, known, conditions: BTreeMap::new() }, problems)
    }

    /// Rules that are only parts of correlations.
    fn absorbed(&self) -> BTreeSet<usize> {
        let correlations = self.documents.iter().filter_map(|document| match &document.kind {
            Kind::Correlation(rule) if !rule.generate => Some(rule),
            _ => None,
        });
        correlations.flat_map(|rule| rule.rules.iter().filter_map(|name| self.known.get(name).copied())).collect()
    }

    /// Converts the conditions of all detection rules, with the filters that apply to them.
    fn convert_conditions(&mut self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut filters: Vec<(BTreeSet<usize>, Condition)> = Vec::new();
        for document in &self.documents {
            let Kind::Filter(filter) = &document.kind else { continue };
            let scope = filter.logsource.as_ref().map_or(Ok(None), scope);
            problems.extend(scope.as_ref().err().map(|error| document.problem(&["logsource"], error.clone())));
            let targets = self.targets(document, &filter.rules, filter.logsource.as_ref(), &mut problems);
            match converted(document, "filter", &filter.detection) {
                Ok(sql) => filters.push((targets, Condition { sql, demand: Demand::of(&filter.detection) })),
                Err(found) => problems.extend(found),
            }
        }
        for (at, document) in self.documents.iter().enumerate() {
            let Kind::Rule(rule) = &document.kind else { continue };
            let scope = match scope(&rule.logsource) {
                Ok(scope) => scope,
                Err(error) => {
                    problems.push(document.problem(&["logsource"], error));
                    None
                }
            };
            match converted(document, "detection", &rule.detection) {
                Ok(sql) => {
                    let of_rule = filters.iter().filter(|(targets, _)| targets.contains(&at)).map(|(_, filter)| filter);
                    let parts = scope.iter().map(|scope| (*scope).to_owned()).chain([sql]);
                    let parts: Vec<String> = parts.chain(of_rule.clone().map(|filter| filter.sql.clone())).collect();
                    let demands = of_rule.map(|filter| filter.demand.clone()).chain([Demand::of(&rule.detection)]);
                    let condition = Condition { sql: joined(&parts, "AND"), demand: Demand::all(demands.collect()) };
                    self.conditions.insert(at, condition);
                }
                Err(found) => problems.extend(found),
            }
        }
        problems
    }

    /// The rules that a filter applies to.
    fn targets(
        &self,
        document: &Document,
        target: &FilterRuleTarget,
        logsource: Option<&LogSource>,
        problems: &mut Vec<Problem>,
    ) -> BTreeSet<usize> {
        let names: Vec<&String> = match target {
            FilterRuleTarget::Specific(names) => names.iter().collect(),
            FilterRuleTarget::Any => {
                let category = logsource.and_then(|source| source.category.as_deref());
                let rules = self.documents.iter().enumerate().filter(|(_, document)| match &document.kind {
                    Kind::Rule(rule) => category.is_none() || rule.logsource.category.as_deref() == category,
                    _ => false,
                });
                return rules.map(|(at, _)| at).collect();
            }
        };
        let mut found = BTreeSet::new();
        for name in names {
            match self.known.get(name).map(|at| (*at, &self.documents[*at].kind)) {
                Some((at, Kind::Rule(_))) => {
                    found.insert(at);
                }
                Some(_) => problems.push(document.value_problem(
                    &["filter", "rules"],
                    name,
                    format!("`{name}` is no detection rule, and only these are filtered"),
                )),
                None => problems.push(document.value_problem(&["filter", "rules"], name, unknown(name))),
            }
        }
        found
    }

    /// The SQL rule that a document becomes.
    fn rule(&self, at: usize, id: String) -> Result<Converted, Vec<Problem>> {
        let document = &self.documents[at];
        let made = match &document.kind {
            Kind::Rule(rule) => match self.conditions.get(&at) {
                // What is wrong with it has been said.
                None => Err(Vec::new()),
                Some(condition) => {
                    let query = Calls::default().finalize_query(
                        rule,
                        condition.sql.clone(),
                        0,
                        &ConversionState::default(),
                        "default",
                    );
                    query.map_err(|error| vec![document.problem(&["fields"], message(error))]).map(|query| {
                        correlation::Made { query, seconds: 0, params: Vec::new(), demand: condition.demand.clone() }
                    })
                }
            },
            Kind::Correlation(rule) => correlation::convert(self, document, rule),
            Kind::Filter(_) => Err(Vec::new()),
        };
        let head = header::write(document, &id, made.as_ref().ok());
        match (head, made) {
            (Ok(head), Ok(made)) => {
                Ok(Converted { id, path: document.path.clone(), text: format!("{head}{}", made.query) })
            }
            (head, made) => Err(head.err().into_iter().chain(made.err()).flatten().collect()),
        }
    }
}

fn unknown(name: &str) -> String {
    format!("there is no rule with the id or name `{name}` among the rules that are loaded")
}

/// The condition of a detection section, or everything that is wrong with it.
fn converted(
    document: &Document,
    section: &str,
    detections: &rsigma_parser::Detections,
) -> Result<String, Vec<Problem>> {
    let backend = Calls::default();
    let condition = backend.condition(detections);
    let faults = backend.faults().into_iter();
    let mut problems: Vec<Problem> = faults
        .map(|fault| document.item_problem(section, &fault.detection, fault.item.as_ref(), fault.message))
        .collect();
    match condition {
        Ok(sql) if problems.is_empty() => return Ok(sql),
        Ok(_) => {}
        Err(error) => problems.push(document.problem(&[section, "condition"], message(error))),
    }
    Err(problems)
}

/// The rows of `calls` that a log source names.
///
/// # Errors
/// It is no log of MCP.
fn scope(source: &LogSource) -> Result<Option<&'static str>, String> {
    if source.product.as_deref() != Some("mcp") {
        let found = source.product.as_deref().unwrap_or("none");
        return Err(format!("`logsource` must say `product: mcp`; the product is {found}"));
    }
    if source.service.is_some() || !source.custom.is_empty() {
        return Err("`logsource` has `product` and `category` only: a server or format is told by the fields `server` and `source_format`".to_owned());
    }
    match source.category.as_deref() {
        None => Ok(None),
        Some("tool_call") => Ok(Some("method = 'tools/call'")),
        Some(other) => Err(format!(
            "`category: {other}` is unknown: there is `tool_call`; without a category a rule sees every message"
        )),
    }
}

/// Columns that a finding keeps beside what every finding has.
fn evidence(names: &[String]) -> Result<Vec<String>, String> {
    let mut columns = Vec::new();
    let mut seen = BTreeSet::new();
    for name in names.iter().filter(|name| seen.insert(name.as_str())) {
        let field = resolve(name)?;
        if !GIVEN.contains(&field.column.as_str()) {
            columns.push(format!("{} AS {}", field.value(), sql::quoted(name)));
        }
    }
    Ok(columns)
}

#[cfg(test)]
mod tests;
