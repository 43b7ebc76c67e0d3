//! The whole path on the sample logs: what is planted in them is found, and nothing else; a second run finds nothing new; alerts
//! are valid OCSF; one command does it all.

use crate::common::{Place, json_lines, repository, sample_logs, shared};
use calltrail::sink::Encoding;
use serde_json::Value;
use std::collections::BTreeSet;

/// Alerts that a planted incident may raise beside its own, as the README says below the table; no session: a derived one.
const OVERLAPS: &[(&str, &str)] = &[
    ("secret_then_egress", "2291b10a-0a06-4110-b6e5-da623145d718"),
    ("secret_written_down", "2291b10a-0a06-4110-b6e5-da623145d718"),
    ("definition_asks_for_context", ""),
    ("written_outside_workspace", "2c2e4665-f1f6-4cf5-92d9-5af6ae5c2034"),
    ("private_content_to_new_place", "ebde0b10-bf74-42b8-9105-eaaa647e360d"),
    ("unasked_effect_on_named_target", "ebde0b10-bf74-42b8-9105-eaaa647e360d"),
];

/// The sample logs in a lake.
fn ingested() -> Place {
    let place = Place::new();
    let summary = place.ingest(sample_logs());
    keys(&summary, &["files", "bytes", "lines", "calls", "duplicates", "rejects", "ignored", "seconds"]);
    assert_eq!(summary["files"], sample_logs().len());
    place.assert_nothing_lost();
    place
}

#[track_caller]
fn keys(summary: &Value, wanted: &[&str]) {
    let missing: Vec<_> = wanted.iter().filter(|key| summary.get(**key).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?} are missing in {summary}");
}

/// Rule, file and session (where the log names one) of everything planted, as the table in `sample-logs/README.md` has it.
fn planted() -> BTreeSet<(String, Option<String>)> {
    let text = std::fs::read_to_string(repository("sample-logs/README.md")).expect("README");
    let section =
        text.split("## What is planted").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the section");
    let rows = section.lines().filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit());
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let quoted = |cell: &str| cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`')).map(str::to_owned);
        (quoted(cells[cells.len() - 1]).expect("a rule"), quoted(cells[cells.len() - 2]))
    };
    rows.map(row).collect()
}

#[test]
fn what_is_planted_is_found_and_nothing_else() {
    let place = ingested();
    let said = place.run(0, ["detect", "--format", "jsonl"]);
    let alerts = said.lines();
    let summary =
        |alert: &Value| format!("{} {} {} {}", alert["level"], alert["rule_id"], alert["session_id"], alert["message"]);
    let serious: Vec<&Value> =
        alerts.iter().filter(|alert| matches!(level(alert), "medium" | "high" | "critical")).collect();
    let mut wrong = Vec::new();
    let planted = planted();
    assert_eq!(planted.len(), 12, "the README lists twelve incidents");
    for (rule, session) in &planted {
        let fits = |alert: &&&Value| {
            alert_rule(alert) == rule
                && session.as_ref().is_none_or(|session| text(alert, "session_id") == Some(session.as_str()))
        };
        match serious.iter().filter(fits).count() {
            0 => wrong.push(format!("{rule} did not fire in {session:?}")),
            1 => {}
            n => wrong.push(format!("{rule} fired {n} times in {session:?}")),
        }
    }
    for alert in &serious {
        let session = text(alert, "session_id").unwrap_or_default();
        let overlaps = OVERLAPS
            .iter()
            .any(|(rule, planted)| *rule == alert_rule(alert) && (planted.is_empty() || *planted == session));
        let expected = overlaps
            || planted.iter().any(|(rule, session)| {
                rule == alert_rule(alert)
                    && session.as_ref().is_none_or(|session| text(alert, "session_id") == Some(session.as_str()))
            });
        if !expected {
            wrong.push(format!("not planted: {}", summary(alert)));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nall alerts:\n{}",
        wrong.join("\n"),
        alerts.iter().map(summary).collect::<Vec<_>>().join("\n")
    );

    let again = place.run(0, ["detect", "--format", "json"]).json();
    keys(&again, &["rules", "failed_rules", "findings", "alerts", "new_alerts", "suppressed", "seconds"]);
    assert_eq!((&again["new_alerts"], &again["failed_rules"]), (&0.into(), &0.into()), "{again}");
    assert_eq!(again["alerts"], alerts.len());
    place.run(13, ["detect", "--fail-on", "high"]);
    assert_eq!(place.one("SELECT count(*) FROM alerts"), alerts.len());

    let valid_ocsf = place.run(0, ["alerts", "export", "--format", "ocsf"]).lines();
    assert_eq!(valid_ocsf.len(), alerts.len());
    if let Some(schema) = shared("siem/schemas/ocsf-1.8.0-detection_finding.schema.json") {
        let schema: Value = serde_json::from_str(&std::fs::read_to_string(schema).expect("readable")).expect("JSON");
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        for alert in &valid_ocsf {
            let problems: Vec<_> =
                validator.iter_errors(alert).map(|error| format!("{}: {error}", error.instance_path())).collect();
            assert!(problems.is_empty(), "{problems:#?}\n{alert}");
        }
    }

    for encoding in Encoding::ALL {
        let said = place.run(0, ["alerts", "export", "--format", encoding.as_str()]).stdout;
        let lacks = alerts.iter().filter(|alert| !said.contains(alert["alert_id"].as_str().expect("an id"))).count();
        assert_eq!(lacks, 0, "{encoding:?} lacks alerts");
    }
    let events = place.run(0, ["alerts", "export", "--format", "ocsf", "--ocsf-version", "1.9", "--calls"]).lines();
    assert!(events.len() > alerts.len() && events.iter().all(|event| event["metadata"]["version"] == "1.9.0"));
    let refused = place.run(2, ["alerts", "export", "--ocsf-version", "2"]);
    assert!(refused.stderr.contains("1.8.0 and 1.9.0"), "{}", refused.stderr);

    let session = planted.iter().find_map(|(_, session)| session.as_deref()).expect("a session");
    let said = place.run(0, ["session", session]);
    assert!(said.stdout.contains(session) && said.stdout.lines().count() > 5, "{}", said.stdout);
    let hidden = |c: char| c.is_control() && c != '\n';
    assert!(!said.stdout.contains(hidden), "control characters reach the terminal");
}

/// An alert's level, whatever encloses it.
fn level(alert: &Value) -> &str {
    text(alert, "level").unwrap_or_default()
}

fn alert_rule(alert: &Value) -> &str {
    text(alert, "rule_id").unwrap_or_default()
}

fn text<'a>(alert: &'a Value, key: &str) -> Option<&'a str> {
    match alert.get(key) {
        Some(Value::String(text)) => Some(text.as_str()),
        _ => None,
    }
}

#[test]
fn one_command_does_it_all() {
    let place = Place::new();
    for log in sample_logs() {
        let name = log.file_name().expect("a name").to_string_lossy().into_owned();
        place.write(&format!("logs/{name}"), std::fs::read(&log).expect("readable"));
    }
    place.write(
        "calltrail.toml",
        "lake = \"lake\"\n\n[ingest]\npaths = [\"logs\"]\n\n[output]\nformat = \"jsonl\"\nfile = \"alerts.jsonl\"\n",
    );
    let both = place.run(0, ["run", "--format", "json"]).json();
    keys(&both, &["ingest", "detect"]);
    assert_eq!(both["ingest"]["files"], sample_logs().len());
    assert!(both["detect"]["new_alerts"].as_u64().is_some_and(|new| new >= 12), "{both}");
    let written = json_lines(&std::fs::read_to_string(place.path("alerts.jsonl")).unwrap_or_default());
    assert!(!written.is_empty(), "no alerts in the configured file");
    let again = place.run(0, ["run", "--format", "json"]).json();
    assert_eq!((&again["ingest"]["calls"], &again["detect"]["new_alerts"]), (&0.into(), &0.into()), "{again}");
    // Who takes one log away keeps no other from being looked at.
    let rest = place.run(1, ["run", "--format", "json", "gone", "logs"]).json();
    assert_eq!(
        (&rest["ingest"]["files"], &rest["ingest"]["failures"][0]["path"]),
        (&sample_logs().len().into(), &"gone".into())
    );
    place.run(3, ["run", "gone"]);
}
