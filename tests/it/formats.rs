//! Every log format on its sample logs: the rows and counts that stand beside each log come out of the binary, the list of
//! formats, its files and the sample logs agree, and no record of a sample is claimed by two formats.

use crate::common::{Place, json_lines, repository, sample_logs};
use calltrail::call::Position;
use calltrail::source::Record;
use calltrail::source::format::FORMATS;
use calltrail::source::input::Input;
use calltrail::source::json::Object;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn samples_give_the_expected_rows() {
    let wrong: Vec<_> = sample_logs().iter().filter_map(|log| differences(log)).collect();
    assert!(wrong.is_empty(), "{} samples differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Everything in which a log's rows are not as expected.
fn differences(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log.with_extension("expected.jsonl")).expect("expected rows beside the log");
    let mut expected = json_lines(&text);
    let counts = expected.pop().and_then(|last| last.get("_summary").cloned()).expect("the last line counts");
    let place = Place::new();
    let summary = place.ingest([log]);
    let rows =
        place.rows("SELECT * FROM calls ORDER BY CASE WHEN time_source <> 'file_mtime' THEN time END, source_offset");
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
    let source = place.rows("SELECT * FROM sources").remove(0);
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
    for name in ["lines", "rejects", "ignored"] {
        if summary[name] != source[name] {
            wrong.push(format!("{name}: the summary says {}, `sources` {}", summary[name], source[name]));
        }
    }
    place.assert_nothing_lost();
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
    assert_eq!(listed, without(names("src/source/format"), &["mod", "common"]), "formats list / src/source/format");
    assert_eq!(listed, without(names("sample-logs"), &["README"]), "formats list / sample-logs");
}

#[test]
fn no_record_belongs_to_two_formats() {
    for log in sample_logs() {
        let hints = Input::File(log.clone()).hints();
        let folder = log.parent().and_then(Path::file_name).expect("folder").to_string_lossy().into_owned();
        let mut claimed = 0;
        for (at, text) in std::fs::read_to_string(&log).expect("readable").lines().enumerate() {
            let object = Object::parse(text).ok();
            let record =
                Record { text, json: object.as_ref(), position: Position::default(), lossy: false, hints: &hints };
            let claims: Vec<_> = FORMATS.iter().filter(|format| format.claims(&record)).map(|f| f.id()).collect();
            assert!(claims.len() <= 1, "{} line {}: {claims:?}", log.display(), at + 1);
            claimed += usize::from(claims.contains(&folder.as_str()));
        }
        assert!(claimed > 0, "{}: no record is claimed by {folder}", log.display());
    }
}
