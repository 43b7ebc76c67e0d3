//! Whose a record is: every record of every sample goes to the sample's format and to no other, whatever stands around it, and
//! what ordinary programs log goes to none.

use crate::common::{Place, files, repository, sample_logs, shared};
use calltrail::call::Position;
use calltrail::source::format::FORMATS;
use calltrail::source::frame::Framer;
use calltrail::source::input::Input;
use calltrail::source::json::Object;
use calltrail::source::registry::Formats;
use calltrail::source::{Decoded, Hints, Record};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Folders of other samples, and the format of what is in them.
const SHARED: &[(&str, &str)] = &[
    ("claude_code_transcript", "claude_code_transcript"),
    ("claude_desktop_log", "claude_desktop_log"),
    ("codex_rollout", "codex_rollout"),
    ("copilot_cli", "copilot_cli"),
    ("gemini_cli_session", "gemini_cli"),
    ("jsonrpc_capture", "jsonrpc"),
    ("splunk_ta_mcp/sample_data.json", "jsonrpc"),
    ("mcp_spec_examples", "jsonrpc"),
    ("otlp/agentevals_jaeger", "jaeger"),
    ("otlp/agentevals_tempo", "otlp_traces"),
    ("otlp/opentelemetry-proto_trace", "otlp_traces"),
    ("otlp/opentelemetry-proto_logs", "otlp_logs"),
    ("otlp/pysdk", "otlp_traces"),
    ("gateway_audit/P4ST4S", "mcp_audit_signed"),
    ("gateway_audit/agentgateway", "agentgateway"),
    ("gateway_audit/mcpproxy", "mcpproxy"),
    ("gateway_audit/toolhive", "toolhive_audit"),
];

/// Every sample with its format. A folder of `sample-logs/` is named after it.
fn samples() -> Vec<(PathBuf, String)> {
    let folder = |log: &Path| log.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    let mut samples: Vec<_> =
        sample_logs().into_iter().map(|log| (folder(&log), log)).map(|(f, log)| (log, f)).collect();
    if let Some(shared) = shared("samples") {
        for log in files(&shared) {
            let path = log.strip_prefix(&shared).expect("below it").to_string_lossy().into_owned();
            let known = SHARED.iter().find(|(start, _)| path.starts_with(start));
            samples.extend(known.map(|(_, format)| (log, (*format).to_owned())));
        }
    }
    samples
}

/// The records of a file: its lines, or its documents.
fn records(bytes: &[u8]) -> Vec<String> {
    let mut framer = Framer::new(bytes, 0, blake3::Hasher::new(), None).expect("bytes can be read");
    let mut records = Vec::new();
    while let Some(chunk) = framer.next_chunk().expect("bytes can be read") {
        let text = String::from_utf8_lossy(&chunk.bytes).into_owned();
        match chunk.records {
            Some(places) => records.extend(places.iter().map(|&(start, end)| text[start..end].trim().to_owned())),
            None => records.extend(text.lines().map(|line| line.trim().trim_end_matches(',').to_owned())),
        }
    }
    records.retain(|record| !matches!(record.as_str(), "" | "[" | "]"));
    records
}

fn with<T>(text: &str, hints: &Hints, ask: impl FnOnce(&Record<'_>) -> T) -> T {
    let object = Object::parse(text).ok();
    ask(&Record { text, json: object.as_ref(), position: Position::default(), lossy: false, hints })
}

fn claims(record: &Record<'_>) -> Vec<&'static str> {
    FORMATS.iter().filter(|format| format.claims(record)).map(|format| format.id()).collect()
}

#[test]
fn a_record_of_a_sample_is_its_formats_and_no_others() {
    let formats = Formats::default();
    let mut wrong = Vec::new();
    for (log, format) in samples() {
        let hints = Input::File(log.clone()).hints();
        let mut votes = BTreeMap::<&str, usize>::new();
        for text in records(&std::fs::read(&log).expect("readable")) {
            let named = with(&text, &hints, claims);
            // Without the file's name, and among records of any other format: mixed and renamed files are real.
            let (alone, routes) = with(&text, &Hints::default(), |record| {
                let routes = (0..formats.count()).map(|likely| formats.route(record, Some(likely)));
                (claims(record), routes.collect::<std::collections::BTreeSet<_>>())
            });
            let start: String = text.chars().take(120).collect();
            if named.len() > 1 || alone.len() > 1 || routes.len() > 1 {
                wrong.push(format!("{}: {named:?} {alone:?} {routes:?}: {start}", log.display()));
            }
            match named.first() {
                Some(claimed) if **claimed != format => {
                    wrong.push(format!("{}: a record of {format} goes to {claimed}: {start}", log.display()));
                }
                Some(claimed) => *votes.entry(claimed).or_default() += 1,
                None => {}
            }
        }
        // Most examples of the specification are parts of messages.
        if votes.is_empty() && !log.to_string_lossy().contains("mcp_spec_examples") {
            wrong.push(format!("{}: no record is claimed by {format}", log.display()));
        }
    }
    assert!(wrong.is_empty(), "{} records:\n{}", wrong.len(), wrong[..wrong.len().min(30)].join("\n"));
}

#[test]
fn what_other_programs_write_is_nobodys() {
    let text = include_str!("../claims/not_mcp.txt");
    let mut wrong = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        for hints in [Hints::default(), Hints { file_name: "app.log".to_owned(), ..Hints::default() }] {
            let claimed = with(line, &hints, claims);
            if !claimed.is_empty() {
                wrong.push(format!("{claimed:?}: {line}"));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{} lines are claimed:\n{}", wrong.len(), wrong.join("\n"));
}

/// Traces and logs of any service come in the same envelope: the file is known, and nothing in it is a call.
#[test]
fn telemetry_without_mcp_holds_no_calls() {
    let span = r#"{"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"00f067aa0ba902b7","name":"GET /orders","kind":2,"startTimeUnixNano":"1794474000000000000","endTimeUnixNano":"1794474000100000000","attributes":[{"key":"http.request.method","value":{"stringValue":"GET"}},{"key":"session.id","value":{"stringValue":"s"}}]}"#;
    let resource = r#""resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]}"#;
    for (format, text) in [
        ("otlp_traces", format!(r#"{{"resourceSpans":[{{{resource},"scopeSpans":[{{"scope":{{}},"spans":[{span}]}}]}}]}}"#)),
        (
            "otlp_logs",
            format!(r#"{{"resourceLogs":[{{{resource},"scopeLogs":[{{"logRecords":[{{"timeUnixNano":"1794474000000000000","body":{{"stringValue":"tool_result"}},"attributes":[]}}]}}]}}]}}"#),
        ),
        (
            "jaeger",
            r#"{"data":[{"traceID":"4bf9","spans":[{"traceID":"4bf9","spanID":"00f0","operationName":"GET /orders","startTime":1794474000000000,"duration":100,"tags":[{"key":"tool","type":"string","value":"x"}],"processID":"p1"}],"processes":{"p1":{"serviceName":"shop","tags":[]}}}]}"#
                .to_owned(),
        ),
    ] {
        with(&text, &Hints::default(), |record| {
            assert_eq!(claims(record), [format]);
            let mut out = Decoded::default();
            let known = FORMATS.iter().find(|known| known.id() == format).expect("a format");
            known.decode(record, &mut out).expect("read");
            assert!(out.events.is_empty(), "{:?}", out.events);
        });
    }
}

/// Lines of all formats in one file, in an order that keeps each format's own: each is read as what it is, and what one format says
/// of its file (a session, a client) stays with its own records.
#[test]
fn formats_mixed_in_one_file_do_not_disturb_each_other() {
    // Formats whose calls need no neighbours and no file name, so that they are the same wherever they stand.
    const MIXED: &[&str] =
        &["codex_rollout", "copilot_cli", "mcpproxy", "toolhive_audit", "obot", "vscode_mcp_log", "litellm"];
    let mut queues: Vec<Vec<String>> = Vec::new();
    let place = Place::new();
    let apart = Place::new();
    for folder in MIXED {
        let log = files(&repository(&format!("sample-logs/{folder}")));
        let log = log.iter().find(|log| !log.to_string_lossy().contains(".expected.")).expect("a sample");
        let text = std::fs::read_to_string(log).expect("UTF-8");
        apart.ingest_here([apart.write(&format!("logs/{folder}.log"), &text)]);
        queues.push(text.lines().rev().map(str::to_owned).collect());
    }
    let mut mixed = String::new();
    for turn in (0..queues.len()).cycle() {
        for line in (0..1 + turn % 3).map_while(|_| queues[turn].pop()) {
            mixed.push_str(&line);
            mixed.push('\n');
        }
        if queues.iter().all(Vec::is_empty) {
            break;
        }
    }
    place.ingest_here([place.write("mixed.log", mixed)]);
    let sql = "SELECT source_format, call_id, session_id, agent, client_name, server, tool, outcome, cwd FROM calls \
               WHERE time_source <> 'file_mtime' ORDER BY source_format, call_id";
    let ([found], [want]) = (place.rows_here([sql]), apart.rows_here([sql]));
    let differing: Vec<_> = want.iter().zip(&found).filter(|(want, found)| want != found).take(5).collect();
    assert_eq!(want.len(), found.len());
    assert!(differing.is_empty(), "{differing:#?}");
}
