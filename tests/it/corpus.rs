//! Real logs beside the repository, where a checkout has them: the counts that must come out, every byte accounted for, nothing
//! counted twice in whatever order, and one run seen from three points counted once.

use crate::common::{Place, files, shared};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Folders of the samples whose formats can be read.
const FOLDERS: &[&str] = &["claude_code_transcript", "claude_desktop_log", "codex_rollout", "jsonrpc_capture", "otlp"];

/// The columns that are expected of a sample.
#[derive(Debug)]
struct Expected {
    file: String,
    lines: u64,
    unparseable: u64,
    sessions: Option<u64>,
    calls: u64,
    errors: u64,
    refused: u64,
}

fn expected(samples: &Path) -> Vec<Expected> {
    let text = std::fs::read_to_string(samples.join("EXPECTED.tsv")).expect("EXPECTED.tsv");
    let mut lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let header = lines.next().expect("a header");
    lines
        .map(|row| {
            let text = |name: &str| {
                header.iter().position(|column| *column == name).and_then(|at| row.get(at)).copied().unwrap_or_default()
            };
            let number = |name: &str| text(name).parse().ok();
            Expected {
                file: text("file").to_owned(),
                lines: number("lines").expect("lines"),
                unparseable: number("unparseable").unwrap_or_default(),
                sessions: number("sessions"),
                calls: number("mcp_calls").expect("mcp_calls"),
                errors: number("errors").unwrap_or_default(),
                refused: number("user_rejected").unwrap_or_default(),
            }
        })
        .collect()
}

#[test]
fn every_sample_gives_its_counts() {
    let Some(samples) = shared("samples") else { return };
    let mut wrong = Vec::new();
    for want in expected(&samples) {
        let place = Place::new();
        place.ingest([samples.join(&want.file)]);
        let source = place.rows("SELECT * FROM sources").remove(0);
        let calls = place.rows(
            "SELECT count(*) FILTER (WHERE method = 'tools/call') AS calls, \
             count(*) FILTER (WHERE method = 'tools/call' AND outcome IN ('tool_error', 'protocol_error', 'transport_error')) AS errors, \
             count(*) FILTER (WHERE approval = 'user_denied') AS refused, \
             count(*) FILTER (WHERE method = 'tools/call' AND outcome IN ('no_response', 'unknown')) AS unpaired FROM calls",
        );
        let calls = &calls[0];
        let mut compare = |name: &str, found: &Value, want: u64, file: &str| {
            if found.as_u64() != Some(want) {
                wrong.push(format!("{file}: {name}: {found}, expected {want}"));
            }
        };
        let file = want.file.as_str();
        compare("lines", &source["lines"], want.lines, file);
        compare("rejects", &source["rejects"], want.unparseable, file);
        compare("tools/call", &calls["calls"], want.calls, file);
        compare("unpaired", &calls["unpaired"], 0, file);
        compare("errors", &calls["errors"], expected_errors(&want), file);
        compare("refused", &calls["refused"], want.refused, file);
        // A transcript may speak of sessions in lines that hold no call.
        let sessions = place.one("SELECT count(DISTINCT session_id) FROM calls WHERE method = 'tools/call'");
        if let (Some(most), Some(found)) = (want.sessions, sessions.as_u64())
            && (found > most || (found == 0 && want.calls > 0))
        {
            wrong.push(format!("{file}: {found} sessions, expected at most {most}"));
        }
        place.assert_nothing_lost();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A call that the user refused is an error in a transcript's own words, and none here.
fn expected_errors(want: &Expected) -> u64 {
    want.errors - want.refused.min(want.errors)
}

/// Every sample of the formats.
fn samples_of(samples: &Path) -> Vec<PathBuf> {
    FOLDERS.iter().flat_map(|folder| files(&samples.join(folder))).collect()
}

fn ids(place: &Place) -> BTreeSet<String> {
    let rows = place.rows("SELECT call_id FROM calls");
    let ids: BTreeSet<String> = rows.iter().map(|row| row["call_id"].as_str().expect("text").to_owned()).collect();
    assert_eq!(rows.len(), ids.len(), "a call_id stands twice");
    ids
}

#[test]
fn order_does_not_matter_and_nothing_counts_twice() {
    let Some(samples) = shared("samples") else { return };
    let logs = samples_of(&samples);
    let forward = Place::new();
    let summary = forward.ingest(&logs);
    assert_eq!(summary["files"], logs.len());
    let all = ids(&forward);
    forward.assert_nothing_lost();
    // One run each, because a run sorts its inputs; on the way nothing is waited for that another file holds.
    let backward = Place::new();
    for log in logs.iter().rev() {
        // Some samples are other signals of a format, which alone is no known input.
        let output = backward.command(["ingest".as_ref(), log.as_os_str()]).output().expect("the binary starts");
        assert!(matches!(output.status.code(), Some(0 | 3)), "{}: {output:?}", log.display());
    }
    let other = ids(&backward);
    let named = |ids: &mut dyn Iterator<Item = &String>| {
        let list: Vec<_> = ids.take(10).map(|id| format!("'{id}'")).collect();
        list.join(", ")
    };
    let (only, extra) = (named(&mut all.difference(&other)), named(&mut other.difference(&all)));
    let describe = |place: &Place, ids: &str| {
        if ids.is_empty() {
            Vec::new()
        } else {
            place.rows(&format!(
                "SELECT source_file, source_line, method, tool, session_source FROM calls WHERE call_id IN ({ids})"
            ))
        }
    };
    assert!(
        all == other,
        "call_ids depend on the order of files: {} and {} rows\nonly forward: {:#?}\nonly backward: {:#?}",
        all.len(),
        other.len(),
        describe(&forward, &only),
        describe(&backward, &extra)
    );
    // The same bytes under other names: all of it known.
    let copies = Place::new();
    for (at, log) in logs.iter().enumerate() {
        let name = log.file_name().expect("a name").to_string_lossy().into_owned();
        copies.write(&format!("copies/{at}/{name}"), std::fs::read(log).expect("readable"));
    }
    let again = forward.ingest([copies.path("copies")]);
    assert_eq!(again["calls"], 0, "{again}");
    assert_eq!(ids(&forward), all);
}

#[test]
fn one_run_seen_from_three_points_counts_once() {
    let Some(samples) = shared("samples") else { return };
    let capture = |start: &str| -> Vec<PathBuf> {
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files(&samples.join("jsonrpc_capture")).into_iter().filter(|path| name(path).starts_with(start)).collect()
    };
    let wrapped = capture("stdio_");
    let bare = capture("bare_");
    let client = vec![samples.join("otlp/pysdk2.3.0_client_otlp.jsonl")];
    let server = vec![samples.join("otlp/pysdk2.3.0_server_otlp.jsonl")];
    for views in [
        [&wrapped, &bare, &client, &server],
        [&server, &client, &bare, &wrapped],
        [&client, &wrapped, &server, &bare],
        [&bare, &server, &wrapped, &client],
    ] {
        let place = Place::new();
        for view in views {
            place.ingest(view);
        }
        let found = place.rows(
            "SELECT count(*) AS calls, count(DISTINCT call_id) AS ids, \
             count(*) FILTER (WHERE outcome = 'tool_error') AS tool_errors, \
             count(*) FILTER (WHERE outcome = 'protocol_error') AS protocol_errors, \
             count(*) FILTER (WHERE arguments_state = 'present') AS with_arguments, \
             count(*) FILTER (WHERE result_state = 'present') AS with_result \
             FROM calls WHERE method = 'tools/call'",
        );
        let order: Vec<_> = views.iter().map(|view| view[0].file_name().unwrap_or_default()).collect();
        let want = serde_json::json!({"calls": 24, "ids": 24, "tool_errors": 4, "protocol_errors": 2, "with_arguments": 24, "with_result": 24});
        assert_eq!(found[0], want, "in the order {order:?}");
        place.assert_nothing_lost();
    }
}
