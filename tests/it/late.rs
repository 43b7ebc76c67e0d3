//! What changes a row that stands: records behind both halves of a call, better views of it, a line that was cut off. And what such changes
//! cost.

use crate::common::{Place, block_on, repository};
use calltrail::lake::{Lake, Location};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write as _;

/// What is said of the calls, but for what differs between lakes.
fn said(place: &Place) -> Vec<Value> {
    place.rows(
        "SELECT call_id, session_id, server, tool, time, time_end, duration_ns, duration_source, outcome, approval, error_message, \
         source_line FROM calls ORDER BY call_id, time",
    )
}

/// Demands that each observable says what its call says.
#[track_caller]
fn assert_observables_follow(place: &Place) {
    let astray = place.rows(
        "SELECT o.call_id, o.value, o.session_id, c.session_id AS of_call FROM observables o LEFT JOIN calls c ON c.call_id = o.call_id \
         WHERE c.call_id IS NULL OR (o.session_id IS DISTINCT FROM c.session_id) OR (o.time IS DISTINCT FROM c.time) \
         OR (o.server IS DISTINCT FROM c.server) OR (o.tool IS DISTINCT FROM c.tool)",
    );
    assert!(astray.is_empty(), "{astray:#?}");
}

/// The log in two runs, cut behind each of some lines, gives what it gives in one.
#[track_caller]
fn assert_same_in_two_runs(name: &str, log: &str, cuts: impl IntoIterator<Item = usize>) {
    let whole = Place::new();
    whole.ingest([whole.write(name, log)]);
    let expected = said(&whole);
    for cut in cuts {
        let place = Place::new();
        for text in [&log[..cut], log] {
            let path = place.write(name, text);
            place.ingest_here([&path]);
        }
        assert_eq!(said(&place), expected, "{name} cut after {cut} bytes");
        assert_observables_follow(&place);
        place.assert_nothing_lost();
    }
}

#[test]
fn a_record_behind_both_halves_of_a_call_is_not_lost() {
    let log =
        std::fs::read_to_string(repository("sample-logs/claude_code_transcript/mon_rounding.jsonl")).expect("sample");
    // The host writes how long a call took after its result.
    let (measured, others): (Vec<&str>, Vec<&str>) =
        log.split_inclusive('\n').partition(|line| line.contains(r#""status":"completed""#));
    assert!(!measured.is_empty());
    let (first, last) = (others.concat(), measured.concat());
    assert_same_in_two_runs("rounding.jsonl", &(first.clone() + &last), [first.len()]);
}

#[test]
fn an_end_that_comes_late_is_not_lost() {
    // A call that was refused, and then ended; one that its client gave up.
    for (name, of) in [
        ("events.jsonl", "sample-logs/copilot_cli/events.jsonl"),
        ("mcpServer.docks.log", "sample-logs/vscode_mcp_log/mcpServer.mcp.config.usrlocal.docks.log"),
    ] {
        let log = std::fs::read_to_string(repository(of)).expect("sample");
        let ends: Vec<usize> = log.match_indices('\n').map(|(at, _)| at + 1).collect();
        assert_same_in_two_runs(name, &log, ends.into_iter().filter(|end| *end < log.len()).skip(8));
    }
}

#[test]
fn observables_go_where_a_better_view_puts_their_call() {
    let record = |session: &str| {
        let mut record = json!({"id": "01KCX3Q0000000000000000002", "type": "tool_call", "source": "mcp", "server_name": "tracker",
            "tool_name": "list_issues", "arguments": {"url": "https://tracker.example/issues"}, "response": "mail ops@tracker.example",
            "status": "success", "duration_ms": 12, "timestamp": "2026-11-10T09:12:35.004Z", "session_id": "s-1", "request_id": "r-2"});
        if !session.is_empty() {
            record["work_session_id"] = session.into();
        }
        format!("{record}\n")
    };
    let place = Place::new();
    place.ingest([place.write("first.jsonl", record(""))]);
    let before = place.one("SELECT count(*) FROM observables");
    assert!(before.as_u64() > Some(2), "{before}");
    assert_eq!(place.one("SELECT session_id FROM calls"), "s-1");
    place.ingest([place.write("second.jsonl", record("w-1"))]);
    assert_eq!(place.one("SELECT session_id FROM calls"), "w-1");
    assert_observables_follow(&place);
    assert_eq!(place.one("SELECT count(*) FROM observables"), before);
    place.run(0, ["lake", "verify"]);
}

#[test]
fn a_line_of_text_that_was_cut_off_is_read_again_when_it_has_grown() {
    let page = std::fs::read_to_string(repository("docs/mapping.md")).expect("docs/mapping.md");
    let mapping: String =
        page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect::<Vec<_>>().concat();
    let log = std::fs::read_to_string(repository("tests/data/mapping/toolgate.log")).expect("sample");
    let lines: Vec<&str> = log.split_inclusive('\n').take(4).collect();
    let (start, log) = (lines[..3].concat().len(), lines.concat());
    let whole = Place::new();
    whole.write("calltrail.toml", &mapping);
    whole.ingest([whole.write("toolgate.log", &log)]);
    let expected = said(&whole);
    assert_eq!(expected.len(), 3);
    let from = start + log[start..].find("in 1").expect("how long it took") + 4;
    for cut in (from..log.len()).step_by(3).chain([log.len() - 1]) {
        let place = Place::new();
        place.write("calltrail.toml", &mapping);
        place.ingest([place.write("toolgate.log", &log[..cut])]);
        assert_eq!(place.one("SELECT count(*) FROM calls"), 3, "what has no line end is read all the same");
        place.assert_nothing_lost();
        place.ingest([place.write("toolgate.log", &log)]);
        assert_eq!(said(&place), expected, "cut after {cut} bytes");
        place.assert_nothing_lost();
        assert_eq!(place.one("SELECT sum(rejects) FROM sources"), 0);
    }
    // An answer whose request stands in the lake.
    let log = std::fs::read_to_string(repository("sample-logs/mcp_proxy_mixed/wiki_proxy.log")).expect("sample");
    let message = log.find("Method isn\\'t").or_else(|| log.find("Method isn't")).expect("an error");
    assert_same_in_two_runs("wiki_proxy.log", &log, [message + 20]);
}

#[test]
fn one_source_among_many_that_grows_leaves_the_others_rows_where_they_are() {
    const SOURCES: usize = 1100;
    let place = Place::new();
    let line = |id: usize| {
        format!(
            r#"{{"ts":"2026-11-09T10:00:00Z","message":{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"look_up","arguments":{{"n":{id}}}}}}}}}"#
        ) + "\n"
    };
    for id in 0..SOURCES {
        place.write(&format!("logs/{id:04}.jsonl"), line(id));
    }
    let files = || {
        let lake = Lake::open(&Location::from(&*place.lake().to_string_lossy())).expect("the lake");
        let files = block_on(lake.files("sources")).expect("its log");
        files.into_iter().map(|file| file.path).collect::<BTreeSet<String>>()
    };
    place.ingest_here([place.path("logs")]);
    let before = files();
    // What is as it was is passed over, and there is nothing to write down.
    place.ingest_here([place.path("logs")]);
    assert_eq!(files(), before);
    let grown = place.path("logs/0007.jsonl");
    for more in 1..3 {
        let mut file = std::fs::File::options().append(true).open(&grown).expect("a log");
        file.write_all(line(SOURCES + more).as_bytes()).expect("written");
        place.ingest_here([place.path("logs")]);
        let kept = files().intersection(&before).count();
        assert!(kept > 0, "every file of `sources` was written anew");
        place.run(0, ["lake", "verify"]);
    }
    assert_eq!(place.one("SELECT count(*) FROM sources"), SOURCES);
    assert_eq!(place.one("SELECT count(DISTINCT source_id) FROM sources"), SOURCES);
    assert_eq!(place.one("SELECT count(*) FROM calls"), SOURCES + 2);
    // A row that somebody changes shows.
    place.run(0, ["lake", "compact"]);
    place.run(0, ["lake", "verify"]);
}

#[test]
fn a_lake_without_a_name_is_refused_by_name() {
    let place = Place::new();
    let output = place.command(["query", "SELECT 1"]).env("CALLTRAIL_LAKE", "").output().expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("it is empty") && said.contains("CALLTRAIL_LAKE"), "{said}");
}
