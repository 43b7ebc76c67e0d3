//! Every log format on its sample logs: the rows and counts that stand beside each log come out, and the list of formats, its
//! files and the sample logs agree.

use crate::common::{Place, json_lines, logs, repository, sample_logs};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn samples_give_the_expected_rows() {
    let wrong: Vec<_> = sample_logs().iter().filter_map(|log| differences(log)).collect();
    assert!(wrong.is_empty(), "{} samples differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Null members, wrappers, prefixes, arrays, joined files: what stands around records outside of a laboratory.
#[test]
fn logs_as_they_are_found_give_the_expected_rows() {
    let wrong: Vec<_> = logs("tests/data/logs").iter().filter_map(|log| differences(log)).collect();
    assert!(wrong.is_empty(), "{} samples differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Everything in which a log's rows are not as expected.
fn differences(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log.with_extension("expected.jsonl")).expect("expected rows beside the log");
    let mut expected = json_lines(&text);
    let counts = expected.pop().and_then(|last| last.get("_summary").cloned()).expect("the last line counts");
    let place = Place::new();
    let summary = place.ingest_here([log]);
    let [rows, mut sources] = place.rows_here([
        "SELECT * FROM calls ORDER BY CASE WHEN time_source <> 'file_mtime' THEN time END, source_offset",
        "SELECT * FROM sources",
    ]);
    let mut wrong = Vec::new();
    if rows.len() != expected.len() {
        wrong.push(format!("{} rows, expected {}", rows.len(), expected.len()));
    }
    // Rows at one instant have no order of their own: each takes the row that fits it best.
    let mut left: Vec<&Value> = rows.iter().collect();
    for (at, want) in expected.iter().enumerate() {
        let Some(best) = (0..left.len()).min_by_key(|i| (unlike(want, left[*i]).len(), *i)) else { break };
        let row = left.remove(best);
        for problem in unlike(want, row) {
            let name = row["tool"].as_str().or(row["method"].as_str()).unwrap_or_default();
            wrong.push(format!("row {} ({name}, line {}): {problem}", at + 1, row["source_line"]));
        }
    }
    let of_kind = |kind: &str| rows.iter().filter(|row| row["event_kind"] == kind).count() as u64;
    let source = sources.remove(0);
    for (name, found) in [
        ("lines", source["lines"].clone()),
        ("calls", of_kind("call").into()),
        ("notifications", of_kind("notification").into()),
        ("rejects", source["rejects"].clone()),
        ("ignored", source["ignored"].clone()),
        ("prompts", source["prompts"].clone()),
    ] {
        if counts[name] != found {
            wrong.push(format!("{name}: {found}, expected {}", counts[name]));
        }
    }
    for (name, said) in [("lines", summary.lines), ("rejects", summary.rejects), ("ignored", summary.ignored)] {
        if source[name] != said {
            wrong.push(format!("{name}: the summary says {said}, `sources` {}", source[name]));
        }
    }
    let [of_calls, of_rejects, ignored] =
        ["bytes_calls", "bytes_rejected", "bytes_ignored"].map(|name| source[name].as_u64().unwrap_or_default());
    if source["bytes"] != of_calls + of_rejects + ignored {
        wrong.push(format!("bytes are unaccounted for: {source}"));
    }
    (!wrong.is_empty()).then(|| format!("{}:\n  {}", log.display(), wrong.join("\n  ")))
}

/// The columns of a row that are not as expected.
fn unlike(want: &Value, row: &Value) -> Vec<String> {
    let fits = |name: &str, want: &Value| match (name, want) {
        // What the log does not say is derived, and marked so.
        ("session_id", Value::Null) => row["session_source"] != "conversation",
        ("time", Value::Null) => row["time_source"] == "file_mtime",
        ("agent", Value::Null) => row["agent"] == row["client_name"],
        ("time", Value::String(want)) => instant(&row["time"]) == instant(&Value::from(want.as_str())),
        _ => row.get(name).unwrap_or(&Value::Null) == want,
    };
    let columns = want.as_object().expect("an object").iter();
    let wrong = columns.filter(|(name, want)| !fits(name, want));
    wrong.map(|(name, want)| format!("{name} is {}, expected {want}", row[name])).collect()
}

fn instant(time: &Value) -> Option<chrono::DateTime<chrono::Utc>> {
    time.as_str()?.parse().ok()
}

#[test]
fn the_list_the_files_and_the_samples_agree() {
    let listed = Place::new().run(0, ["formats", "list", "--format", "json"]).json();
    let listed: BTreeSet<String> =
        listed.as_array().expect("a list").iter().map(|f| f["id"].as_str().expect("id").to_owned()).collect();
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(repository(folder)).expect("folder").flatten();
        entries.map(|entry| entry.path().file_stem().unwrap_or_default().to_string_lossy().into_owned()).collect()
    };
    let without = |mut names: BTreeSet<String>, others: &[&str]| {
        names.retain(|name| !others.contains(&name.as_str()));
        names
    };
    assert_eq!(listed, without(names("src/source/format"), &["mod", "shared"]), "formats list / src/source/format");
    assert_eq!(listed, without(names("sample-logs"), &["README"]), "formats list / sample-logs");
}
