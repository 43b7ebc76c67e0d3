//! A rule's cases, `<id>.test.toml`: calls in, number of findings out.
//!
//! Each case runs its rule alone, over an empty lake with the case's rows, which go through the same enrichment as
//! ingested ones. The shipped binary runs them, so users can test their own rules.

use super::header::Fault;
use super::{Params, RawFinding, Rule, rows, run};
use crate::query::{Session, SessionOptions, TimeRange};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use toml::Spanned;

/// One case.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    pub name: String,
    /// Findings that the rule must have.
    pub fires: usize,
    /// Nearly what the rule looks for, and not it.
    pub near_miss: bool,
    /// Line of the case in its file.
    pub line: usize,
    /// JSON lines: rows of `calls`, of `tool_definitions`, `connections`, `prompts`, `rejects` and `sources`.
    pub(super) calls: Lines,
    pub(super) tools: Lines,
    pub(super) servers: Lines,
    pub(super) prompts: Lines,
    pub(super) rejects: Lines,
    pub(super) sources: Lines,
    /// Parameters as a user would set them.
    params: toml::Table,
    /// What findings must hold, one entry per finding: a subset of its columns.
    expect: Vec<toml::Table>,
}

impl Case {
    /// Names of the columns that it expects.
    pub(super) fn expected(&self) -> impl Iterator<Item = &str> {
        self.expect.iter().flat_map(toml::Table::keys).map(String::as_str)
    }
}

/// JSON lines with the line of the file at which they start.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Lines {
    pub(super) text: String,
    pub(super) line: usize,
}

/// How a case went.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseResult {
    pub rule_id: String,
    pub name: String,
    pub line: usize,
    /// Why it failed; `None`: it passed.
    pub failure: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    case: Vec<Spanned<WrittenCase>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCase {
    name: String,
    fires: usize,
    #[serde(default)]
    near_miss: bool,
    calls: Option<Spanned<String>>,
    tools: Option<Spanned<String>>,
    servers: Option<Spanned<String>>,
    prompts: Option<Spanned<String>>,
    rejects: Option<Spanned<String>>,
    sources: Option<Spanned<String>>,
    #[serde(default)]
    params: toml::Table,
    #[serde(default)]
    expect: Vec<toml::Table>,
}

/// Reads a file of cases.
pub(super) fn read(text: &str) -> (Vec<Case>, Vec<Fault>) {
    let line = |at: usize| 1 + text[..at.min(text.len())].matches('\n').count();
    let written: Written = match toml::from_str(text) {
        Ok(written) => written,
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            return (Vec::new(), vec![(line(at), error.message().replace('\n', ", "))]);
        }
    };
    let lines = |rows: Option<Spanned<String>>| match rows {
        None => Lines::default(),
        Some(rows) => {
            let start = rows.span().start;
            // TOML drops the line break right after opening quotes.
            let opening = text[start.min(text.len())..].trim_start_matches(['\'', '"']);
            let first = line(start) + usize::from(opening.starts_with(['\n', '\r']));
            Lines { text: rows.into_inner(), line: first }
        }
    };
    let mut faults = Vec::new();
    let cases = written.case.into_iter().map(|case| {
        let line = line(case.span().start);
        let case = case.into_inner();
        if case.expect.len() > case.fires {
            faults.push((
                line,
                format!("case `{}`: expects {} findings but fires {}", case.name, case.expect.len(), case.fires),
            ));
        }
        Case {
            name: case.name,
            fires: case.fires,
            near_miss: case.near_miss,
            line,
            calls: lines(case.calls),
            tools: lines(case.tools),
            servers: lines(case.servers),
            prompts: lines(case.prompts),
            rejects: lines(case.rejects),
            sources: lines(case.sources),
            params: case.params,
            expect: case.expect,
        }
    });
    (cases.collect(), faults)
}

/// Runs all cases of a rule.
pub(super) async fn test(rule: &Rule) -> Vec<CaseResult> {
    let mut results = Vec::with_capacity(rule.cases.len());
    for case in &rule.cases {
        let failure = run_case(rule, case).await.err();
        results.push(CaseResult { rule_id: rule.header.id.clone(), name: case.name.clone(), line: case.line, failure });
    }
    results
}

async fn run_case(rule: &Rule, case: &Case) -> Result<(), String> {
    let lake = rows::lake(case)?;
    // One thread: what a case tests is the query, and many small cases run faster without the exchange of batches.
    let options = SessionOptions { threads: Some(1), ..SessionOptions::default() };
    let session = Session::new(lake.tables, options).await.map_err(|e| e.to_string())?;
    let params = Params::of_one(rule, &case.params)?;
    let found = run(rule, &session, TimeRange::default(), &params).await.map_err(|error| error.cause.to_string())?;
    if found.len() != case.fires {
        let shown: String =
            found.iter().take(5).map(|finding| format!("\n  {}", shown(finding, &lake.call_ids))).collect();
        return Err(format!("expected {} findings, got {}{shown}", case.fires, found.len()));
    }
    let mut left: Vec<&RawFinding> = found.iter().collect();
    for expected in &case.expect {
        match left.iter().position(|finding| matches(finding, expected, &lake.call_ids)) {
            Some(at) => {
                left.remove(at);
            }
            None => {
                let shown: String =
                    left.iter().map(|finding| format!("\n  {}", shown(finding, &lake.call_ids))).collect();
                return Err(format!("no finding has {expected}; there are{shown}"));
            }
        }
    }
    Ok(())
}

/// Whether the finding has everything that is expected of it.
fn matches(finding: &RawFinding, expected: &toml::Table, call_ids: &[String]) -> bool {
    let columns = columns(finding, call_ids);
    expected.iter().all(|(name, value)| {
        let Ok(value) = serde_json::to_value(value) else { return false };
        match (columns.get(name), &value) {
            (Some(Value::Array(found)), Value::Array(wanted)) => {
                let set = |list: &[Value]| list.iter().map(Value::to_string).collect::<BTreeSet<_>>();
                set(found) == set(wanted)
            }
            (Some(Value::Number(found)), Value::Number(wanted)) => found.as_f64() == wanted.as_f64(),
            (found, wanted) => found == Some(wanted),
        }
    })
}

/// A finding's columns as cases write them: calls by their index, times relative to the first moment.
fn columns(finding: &RawFinding, call_ids: &[String]) -> Map<String, Value> {
    let mut columns = finding.evidence.clone();
    let mut put = |name: &str, value: Option<Value>| value.map(|value| columns.insert(name.to_owned(), value));
    for (name, value) in finding.entity.fields() {
        put(name, value.map(Value::from));
    }
    put("level", Some(finding.level.as_str().into()));
    put("score", finding.score.map(Value::from));
    put("message", finding.message.as_deref().map(Value::from));
    put("first_seen", finding.first_seen.map(|t| rows::relative(t).into()));
    put("last_seen", finding.last_seen.map(|t| rows::relative(t).into()));
    let index =
        |id: &String| call_ids.iter().position(|known| known == id).map_or(Value::from(id.as_str()), Value::from);
    put("call_ids", Some(finding.call_ids.iter().map(index).collect()));
    columns
}

fn shown(finding: &RawFinding, call_ids: &[String]) -> String {
    Value::Object(columns(finding, call_ids)).to_string()
}
