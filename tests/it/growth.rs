//! A log that grew, was rotated, copied, renamed, compressed, piped, or exported twice in overlapping slices: the rows are those
//! of reading it once.

use crate::common::{Place, assert_same, repository};
use std::io::Write as _;

/// One wrapped message, with a time of its own.
fn wrapped(second: usize, direction: &str, message: &str) -> String {
    let (minute, second) = (second / 60, second % 60);
    format!(
        r#"{{"timestamp":"2026-11-09T08:{minute:02}:{second:02}.000Z","direction":"{direction}","message":{message}}}"#
    ) + "\n"
}

/// A capture of so many calls; every third answer comes one message late.
fn capture(calls: usize) -> Vec<String> {
    let mut lines = vec![
        wrapped(
            0,
            "client_to_server",
            r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"pager","version":"1"}}}"#,
        ),
        wrapped(
            1,
            "server_to_client",
            r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"stock","version":"2"}}}"#,
        ),
    ];
    let mut late = None;
    for id in 1..=calls {
        lines.push(wrapped(id * 2, "client_to_server", &format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"look_up","arguments":{{"shelf":{id},"url":"https://stock.example/{id}"}}}}}}"#)));
        lines.extend(late.take());
        let answer = wrapped(
            id * 2 + 1,
            "server_to_client",
            &format!(
                r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"shelf {id} holds pallets"}}],"isError":false}}}}"#
            ),
        );
        if id % 3 == 0 {
            late = Some(answer);
        } else {
            lines.push(answer);
        }
    }
    lines.extend(late);
    lines
}

/// The lines as Kubernetes keeps them, cut into parts.
fn in_parts(lines: &[String]) -> String {
    let mut log = String::new();
    for (at, line) in lines.iter().enumerate() {
        let (first, rest) = line.trim_end().split_at(40);
        let (second, last) = rest.split_at(rest.len() / 2);
        for (part, flag) in [(first, 'P'), (second, 'P'), (last, 'F')] {
            log += &format!("2026-11-09T08:10:{at:02}.123456789Z stdout {flag} {part}\n");
        }
    }
    log
}

#[test]
fn a_grown_log_is_read_on() {
    let logs = [
        ("capture.jsonl", capture(9).concat().into_bytes()),
        ("mcp.log", std::fs::read(repository("sample-logs/claude_desktop_log/mcp.log")).expect("sample")),
        ("vmcp.jsonl", std::fs::read(repository("sample-logs/toolhive_audit/vmcp_audit.jsonl")).expect("sample")),
        ("pod.log", in_parts(&capture(9)).into_bytes()),
        ("activity.csv", std::fs::read(repository("tests/data/logs/activity_rows.csv")).expect("sample")),
    ];
    for (name, bytes) in logs {
        let whole = Place::new();
        let path = whole.write(name, &bytes);
        whole.ingest([&path]);
        let expected = relative(&whole);
        let line_end = |share: usize| {
            let from = bytes.len() * share / 100;
            from + bytes[from..].iter().position(|byte| *byte == b'\n').expect("a line end") + 1
        };
        // Between lines, in the middle of one, in front of a line end, in the head.
        for cuts in
            [vec![line_end(30), line_end(60)], vec![line_end(40) + 25, line_end(70) - 1], vec![12, bytes.len() - 3]]
        {
            let grown = Place::new();
            for cut in cuts.iter().copied().chain([bytes.len()]) {
                let path = grown.write(name, &bytes[..cut]);
                // A file system's clock may be coarser than this loop; the size tells.
                grown.run(if cut < 20 { 3 } else { 0 }, ["ingest".as_ref(), path.as_os_str()]);
                grown.assert_nothing_lost();
            }
            assert_same(&format!("{name} cut at {cuts:?}"), &expected, &relative(&grown));
        }
    }
}

/// The stream has no times, so only what is said of the calls can be compared.
#[test]
fn a_call_that_was_begun_in_one_run_and_ended_in_a_later_one_is_one() {
    let log = std::fs::read_to_string(repository("tests/data/logs/exec_stream.jsonl")).expect("sample");
    let lines: Vec<&str> = log.split_inclusive('\n').collect();
    let said = |place: &Place| {
        place
            .rows("SELECT call_id, tool, session_id, outcome, result_text, source_line FROM calls ORDER BY source_line")
    };
    let whole = Place::new();
    whole.ingest([whole.write("exec.jsonl", &log)]);
    let expected = said(&whole);
    for until in [4, 9, 13] {
        let place = Place::new();
        place.ingest([place.write("exec.jsonl", lines[..until].concat())]);
        let open = place.one("SELECT count(*) FROM calls WHERE outcome = 'no_response'");
        assert!(open.as_u64() > Some(0), "the run was begun: {:?}", said(&place));
        place.ingest([place.write("exec.jsonl", &log)]);
        assert_eq!(said(&place), expected, "cut after line {until}");
        // A copy under another name adds nothing.
        place.ingest([place.write("copy/exec-1.jsonl", &log)]);
        assert_eq!(said(&place), expected);
        place.assert_nothing_lost();
    }
}

/// An activity has an id of its own, and not every export of it the session.
#[test]
fn an_activity_that_was_exported_twice_is_one_call() {
    let csv = std::fs::read_to_string(repository("tests/data/logs/activity_rows.csv")).expect("sample");
    let record = r#"{"id":"01KCX3Q0000000000000000002","type":"tool_call","source":"mcp","server_name":"tracker","tool_name":"list_issues","arguments":{"state":"open"},"response":"2 issues","status":"success","duration_ms":12,"timestamp":"2026-11-10T09:12:35.004Z","session_id":"s-1","request_id":"r-2","work_session_id":"w-1"}"#;
    for csv_first in [true, false] {
        let place = Place::new();
        let (csv, json) = (place.write("activity.csv", &csv), place.write("activity.jsonl", format!("{record}\n")));
        for file in if csv_first { [&csv, &json] } else { [&json, &csv] } {
            place.ingest([file]);
        }
        let rows = place.rows("SELECT session_id, result_text FROM calls WHERE tool = 'list_issues'");
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert_eq!((&rows[0]["session_id"], &rows[0]["result_text"]), (&"w-1".into(), &"2 issues".into()));
        assert_eq!(place.one("SELECT count(*) FROM calls"), 4);
    }
}

/// Contents without the folder of the place, and without the times that a file's own time stands in for.
fn relative(place: &Place) -> crate::common::Contents {
    let folder = place.path("").to_string_lossy().into_owned();
    let mut contents = place.contents();
    for rows in contents.values_mut() {
        // A reject's id names its source, which is another one in another folder.
        let without_id = |row: &str| match row.strip_prefix("{\"reject_id\":\"") {
            Some(rest) => rest.get(32..).unwrap_or_default().to_owned(),
            None => row.to_owned(),
        };
        rows.iter_mut().for_each(|row| *row = without_id(&row.replace(&folder, "")));
        rows.sort();
    }
    contents
}

#[test]
fn a_request_pairs_with_its_answer_in_the_next_part() {
    let lines = capture(6);
    let place = Place::new();
    place.write("logs/x.log.1", lines[..7].concat());
    place.write("logs/x.log", lines[7..].concat());
    let summary = place.ingest([place.path("logs")]);
    assert_eq!(summary["files"], 2);
    let open = place.rows("SELECT method, jsonrpc_request_id, outcome FROM calls WHERE outcome <> 'success'");
    assert!(open.is_empty(), "not paired across the rotation: {open:?}");
    assert_eq!(place.one("SELECT count(*) FROM calls"), 7);

    // The same in two runs, the live file moved away between them.
    let place = Place::new();
    let live = place.write("logs/x.log", lines[..7].concat());
    place.ingest([place.path("logs")]);
    std::fs::rename(&live, place.path("logs/x.log.1")).expect("rotation");
    place.write("logs/x.log", lines[7..].concat());
    place.ingest([place.path("logs")]);
    assert_eq!(place.one("SELECT count(*) FROM calls WHERE outcome = 'success'"), 7);
    assert_eq!(place.one("SELECT count(*) FROM calls"), 7);
    place.assert_nothing_lost();
}

#[test]
fn copies_add_nothing() {
    let text = capture(8).concat();
    let place = Place::new();
    let log = place.write("a.jsonl", &text);
    assert_eq!(place.ingest([&log])["calls"], 9);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).expect("memory");
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 0);
    xz.write_all(text.as_bytes()).expect("memory");
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(text.as_bytes()).expect("memory");
    let utf16 = "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes);
    let copies = [
        ("copy.jsonl", text.clone().into_bytes()),
        ("other/a.jsonl.xz", xz.finish().expect("memory")),
        ("other/a.jsonl.bz2", bzip2.finish().expect("memory")),
        ("other/a-powershell.jsonl", utf16.collect()),
        ("other/a.jsonl.gz", gzip.finish().expect("memory")),
        ("other/a.jsonl.zst", zstd::encode_all(text.as_bytes(), 1).expect("memory")),
    ];
    for (name, bytes) in copies {
        let copy = place.write(name, bytes);
        assert_eq!(place.ingest([&copy])["calls"], 0, "{name} counted again");
    }
    std::fs::rename(&log, place.path("renamed.jsonl")).expect("renamed");
    assert_eq!(place.ingest([place.path("renamed.jsonl")])["calls"], 0);
    assert_eq!(place.ingest_stdin(text.as_bytes())["calls"], 0);
    assert_eq!(place.one("SELECT count(*) FROM calls"), 9);
    place.assert_nothing_lost();

    let piped = Place::new();
    assert_eq!(piped.ingest_stdin(text.as_bytes())["calls"], 9);
    assert_eq!(piped.ingest_stdin(text.as_bytes())["calls"], 0);
    assert_eq!(piped.one("SELECT count(*) FROM calls"), 9);
    piped.assert_nothing_lost();
}

#[test]
fn overlapping_slices_add_nothing_and_pair_across() {
    let lines = capture(12);
    let whole = Place::new();
    whole.ingest([whole.write("all.jsonl", lines.concat())]);
    let ids = "SELECT call_id, outcome, arguments_hash, result_hash FROM calls ORDER BY call_id";
    // The cuts leave requests and their answers in different slices, and calls in both.
    for order in [["first.jsonl", "second.jsonl"], ["second.jsonl", "first.jsonl"]] {
        let place = Place::new();
        place.write("first.jsonl", lines[..17].concat());
        place.write("second.jsonl", lines[11..].concat());
        for name in order {
            place.ingest([place.path(name)]);
        }
        let (found, expected) = (place.rows(ids), whole.rows(ids));
        let only = |a: &[serde_json::Value], b: &[serde_json::Value]| {
            a.iter().filter(|row| !b.contains(row)).map(ToString::to_string).collect::<Vec<_>>()
        };
        assert!(
            found == expected,
            "slices in the order {order:?}: {} rows, expected {}\nmissing: {:#?}\ntoo many: {:#?}",
            found.len(),
            expected.len(),
            only(&expected, &found),
            only(&found, &expected)
        );
        place.assert_nothing_lost();
    }
}

#[test]
fn a_long_first_record_that_was_cut_off_is_read_when_it_is_whole() {
    let place = Place::new();
    let text = "x".repeat(3 << 20);
    let ask = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"look_up","arguments":{{"text":"{text}"}}}}}}"#
    );
    let log = wrapped(0, "client_to_server", &ask)
        + &wrapped(1, "server_to_client", r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#);
    let path = place.write("long.jsonl", &log[..2 << 20]);
    place.run(3, ["ingest".as_ref(), path.as_os_str()]);
    place.write("long.jsonl", &log);
    assert_eq!(place.ingest([&path])["calls"], 1);
    assert_eq!(place.one("SELECT count(*) FROM rejects"), 0);
    place.assert_nothing_lost();
}

#[test]
fn a_line_end_of_two_bytes_that_comes_later() {
    let log = capture(4).concat().replace('\n', "\r\n");
    let whole = Place::new();
    whole.ingest([whole.write("x.jsonl", &log)]);
    let expected = relative(&whole);
    let (end, _) = log.match_indices("\r\n").nth(4).expect("lines");
    for cut in [end, end + 1] {
        let grown = Place::new();
        for text in [&log[..cut], &log[..]] {
            grown.ingest([grown.write("x.jsonl", text)]);
        }
        grown.assert_nothing_lost();
        assert_same(&format!("cut at {cut}"), &expected, &relative(&grown));
    }
}

/// Two states of one log in one run: what was unfinished in the first one is whole in the second.
#[test]
fn a_reject_that_is_taken_back_in_the_same_run_is_none() {
    let log = capture(6).concat();
    let place = Place::new();
    place.write("logs/a.jsonl", &log[..log.len() - 20]);
    place.write("logs/b.jsonl", &log);
    place.ingest([place.path("logs")]);
    assert_eq!(place.one("SELECT count(*) FROM calls WHERE outcome = 'success'"), 7);
    assert_eq!(place.one("SELECT sum(rejects) FROM sources"), 0);
    assert_eq!(place.one("SELECT count(*) FROM rejects"), 0);
    place.assert_nothing_lost();
}
