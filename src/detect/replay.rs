//! Proves an alert again: the rule of its hash, with the parameters of its run, over the lake as it was.

use super::evidence::alerts;
use super::{DetectError, Detector as _, RuleDetector, rule_text};
use crate::alert::{Alert, Kind, Level};
use crate::lake::{Lake, Lost};
use crate::query::{ENGINE, Session, SessionOptions, TimeRange};
use crate::rule::{Params, Rule, RuleError, RuleSet};
use serde::Serialize;
use serde_json::Value;
use std::path::Path;

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replay {
    pub alert_id: String,
    pub rule_id: String,
    pub rule_version: String,
    /// Where the rule's text was taken from.
    pub rule_from: RuleFrom,
    /// What SQL meant to the program that found it; `None` if the alert is of a version that did not keep it.
    pub engine: Option<String>,
    /// What it means to this program.
    pub engine_now: &'static str,
    /// Versions of the tables that the rule read.
    pub lake_versions: std::collections::BTreeMap<String, i64>,
    pub result: Proof,
}

/// Where the text of the rule was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleFrom {
    /// Among the rules of today, unchanged.
    Current,
    /// In the lake's `rule_versions`.
    Lake,
    /// Nowhere.
    Missing,
}

/// Whether the alert is proved.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "proof", rename_all = "snake_case")]
pub enum Proof {
    /// The same finding with the same evidence.
    Same,
    /// The same finding, and it says something else.
    Differs { differences: Vec<Difference> },
    /// The rule ran and does not find it.
    NotFound,
    /// It cannot be run as it was.
    Impossible { reasons: Vec<String> },
}

/// One column that came out otherwise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    pub column: String,
    pub was: Value,
    pub is: Value,
}

/// Runs the rule of an alert again as it ran then. `rules` are those of today.
///
/// # Errors
/// The lake cannot be read. What is merely gone is in [`Proof::Impossible`].
pub async fn replay(
    lake: &Lake,
    rules: &RuleSet,
    options: SessionOptions,
    alert: &Alert,
) -> Result<Replay, DetectError> {
    let finding = &alert.finding;
    let mut done = Replay {
        alert_id: alert.alert_id.clone(),
        rule_id: finding.rule_id.clone(),
        rule_version: finding.rule_version.clone(),
        rule_from: RuleFrom::Missing,
        engine: finding.settings.get("engine").and_then(Value::as_str).map(str::to_owned),
        engine_now: ENGINE,
        lake_versions: alert.lake_versions.clone(),
        result: Proof::NotFound,
    };
    let impossible = |done: Replay, reasons| Ok(Replay { result: Proof::Impossible { reasons }, ..done });
    if finding.kind != Kind::Rule {
        return impossible(done, vec!["only alerts of rules can be run again".to_owned()]);
    }
    let rule = match rules.get(&finding.rule_id).filter(|rule| rule.version_hash == finding.rule_version) {
        Some(rule) => {
            done.rule_from = RuleFrom::Current;
            rule.clone()
        }
        None => match kept(lake, alert).await? {
            Ok(rule) => {
                done.rule_from = RuleFrom::Lake;
                rule
            }
            Err(reason) => return impossible(done, vec![reason]),
        },
    };
    let (params, level, range) = match settings(&rule, alert) {
        Ok(settings) => settings,
        Err(reason) => return impossible(done, vec![reason]),
    };
    let (moment, lost) = lake.moment_at(&alert.lake_versions).await?;
    let session = Session::new(moment.providers.clone(), options).await?;
    let detector = RuleDetector::new(rule, params, level);
    let mut answer = detector.detect(&session, range).await;
    if answer.as_ref().is_err_and(RuleError::is_memory) {
        // As in a run: what needs more memory than there is gets joins that can spill.
        let alone = Session::new(moment.providers, SessionOptions { sort_joins: true, ..options }).await?;
        answer = detector.detect(&alone, range).await;
    }
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return impossible(done, vec![error.to_string()]),
    };
    done.lake_versions.retain(|table, _| answer.reads.contains(table));
    let gone: Vec<String> = lost.iter().filter(|lost| answer.reads.contains(&lost.table)).map(of_lost).collect();
    if !gone.is_empty() {
        return impossible(done, gone);
    }
    let found = alerts(&session, vec![answer.findings], &range, &alert.lake_versions).await?;
    if let Some(again) = found.iter().flatten().find(|found| found.alert_id == alert.alert_id) {
        let mut differences = Vec::new();
        let (was, is) = (columns(alert), columns(again));
        for (column, was) in was {
            let is = is.get(&column).cloned().unwrap_or_default();
            if was != is {
                differences.push(Difference { column, was, is });
            }
        }
        // Excerpts of the calls can be compared only if what they are taken from is still there.
        let excerpts = lost.iter().any(|lost| matches!(lost.table.as_str(), "calls" | "observables"));
        if excerpts {
            differences.retain(|d| d.column != "calls" && d.column != "observables");
        }
        done.result = if differences.is_empty() { Proof::Same } else { Proof::Differs { differences } };
    }
    if done.engine.as_deref() == Some(ENGINE) {
        return Ok(done);
    }
    // The same text may mean something else today: that refutes nothing.
    let outcome = match &done.result {
        Proof::Differs { differences } => {
            let columns: Vec<&str> = differences.iter().map(|difference| difference.column.as_str()).collect();
            format!("it comes out otherwise ({})", columns.join(", "))
        }
        Proof::NotFound => "it is not found".to_owned(),
        Proof::Same | Proof::Impossible { .. } => return Ok(done),
    };
    let by = done.engine.as_deref().map_or_else(|| "a version that did not keep them".to_owned(), str::to_owned);
    let reason = format!(
        "it was found with other views and functions of SQL ({by}) than those of this program ({ENGINE}), with which {outcome}"
    );
    impossible(done, vec![reason])
}

/// The rule as the lake keeps it.
async fn kept(lake: &Lake, alert: &Alert) -> Result<Result<Rule, String>, DetectError> {
    let version = &alert.finding.rule_version;
    let Some(kept) = rule_text(lake, version).await? else {
        return Ok(Err(format!(
            "the rule {} has another text today, and the lake does not keep the one with the hash {version}",
            alert.finding.rule_id
        )));
    };
    let rule = Rule::from_text(Path::new(&kept.path), &kept.text);
    Ok(rule.map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        format!("this version of the program does not read the rule as it was: {}", problems.join("; "))
    }))
}

/// What the alert says of its run.
fn settings(rule: &Rule, alert: &Alert) -> Result<(Params, Option<Level>, TimeRange), String> {
    let settings = &alert.finding.settings;
    if !settings.contains_key("params") {
        return Err("the alert is of an older version, which did not keep the parameters of its run".to_owned());
    }
    let table: toml::Table =
        serde_json::from_value(settings["params"].clone()).map_err(|error| format!("its parameters: {error}"))?;
    let params = Params::of_one(rule, &table)?;
    let level = settings.get("level").and_then(Value::as_str).and_then(Level::parse);
    let bound = |name: &str| settings.get(name).and_then(Value::as_i64);
    Ok((params, level, TimeRange { since: bound("since"), until: bound("until") }))
}

fn of_lost(lost: &Lost) -> String {
    match lost.files {
        0 => format!("version {} of `{}` is no longer in the table's log", lost.version, lost.table),
        files => format!(
            "version {} of `{}` needs {files} data files that `lake retain` or `lake compact --vacuum-older-than` removed",
            lost.version, lost.table
        ),
    }
}

/// What an alert says of what was found, by column.
fn columns(alert: &Alert) -> serde_json::Map<String, Value> {
    let mut columns = match serde_json::to_value(&alert.finding) {
        Ok(Value::Object(columns)) => columns,
        _ => serde_json::Map::new(),
    };
    let value = |value| serde_json::to_value(value).unwrap_or_default();
    // With what it was found is compared on its own.
    if let Some(Value::Object(settings)) = columns.get_mut("settings") {
        settings.remove("engine");
    }
    columns.insert("calls".to_owned(), value(&alert.calls));
    columns.insert("observables".to_owned(), serde_json::to_value(&alert.observables).unwrap_or_default());
    columns
}
