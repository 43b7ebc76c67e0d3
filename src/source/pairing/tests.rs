//! Pairing over JSON-RPC captures: ids that restart, two id spaces, several connections, order, cancellation.

use super::*;
use crate::call::{Approval, Outcome};
use crate::source::json::Object;
use crate::source::registry::Formats;
use crate::source::{Decoded, Hints, Position, Record};

mod lanes;
mod late;

/// Reads lines as a capture and gives the finished calls in order, then those still open.
struct Log {
    pairing: Pairing,
    source: SourceContext,
    number: u64,
}

impl Log {
    fn new() -> Self {
        Self {
            pairing: Pairing::new(PairingOptions::default(), Saved::default()),
            source: SourceContext::default(),
            number: 1,
        }
    }

    fn read(&mut self, lines: &str) -> Vec<Call> {
        calls(self.rows(lines))
    }

    fn rows(&mut self, lines: &str) -> Vec<Row> {
        let hints = Hints::default();
        let formats = Formats::default();
        let mut out = Vec::new();
        let mut scope = Scope { number: self.number, stream: 7, mtime: None, source: &mut self.source };
        for (at, text) in lines.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
            let object = Object::parse(text).expect("the test's lines are JSON");
            let position = Position { line: at as i64 + 1, offset: at as i64, length: text.len() as i64 };
            let record = Record { text, json: Some(&object), position, lossy: false, hints: &hints };
            let mut decoded = Decoded::default();
            formats
                .route(&record, None)
                .and_then(|at| formats.get(at))
                .expect("a capture")
                .decode(&record, &mut decoded)
                .expect("a message");
            for mut event in decoded.events {
                let identity = Some(*blake3::hash(text.as_bytes()).as_bytes());
                if let Event::Response { call, .. } = &mut event {
                    call.result_hash = call.result.as_ref().map(|text| *blake3::hash(text.as_bytes()).as_bytes());
                }
                self.pairing.accept(&mut scope, Item { event, observables: Vec::new(), identity, origin: 1 }, &mut out);
            }
        }
        self.pairing.end_source(&mut scope, &mut out);
        self.pairing.leave_source(&scope);
        out
    }

    fn end(&mut self) -> Vec<Call> {
        let mut out = Vec::new();
        self.pairing.end_run(u64::MAX, &mut out);
        calls(out)
    }

    /// Another file of the same stream.
    fn next_file(&mut self) {
        self.number += 1;
        self.source = SourceContext::default();
    }
}

fn calls(rows: Vec<Row>) -> Vec<Call> {
    rows.into_iter().filter_map(|row| if let Row::Call { call, .. } = row { Some(*call) } else { None }).collect()
}

/// `[id, outcome, tool or method]` of each call.
fn summary(calls: &[Call]) -> Vec<String> {
    let text = |call: &Call| {
        let id = call.jsonrpc_request_id.as_deref().unwrap_or("-");
        let what = call.tool.as_deref().unwrap_or(&call.method);
        format!("{id} {} {what}", call.outcome.as_str())
    };
    calls.iter().map(text).collect()
}

fn ask(id: &str, at: u32, tool: &str) -> String {
    format!(
        r#"{{"ts":"2026-11-09T10:00:{at:02}Z","message":{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{{}}}}}}}}"#
    )
}

fn answer(id: &str, at: u32, text: &str) -> String {
    format!(
        r#"{{"ts":"2026-11-09T10:00:{at:02}Z","message":{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"{text}"}}]}}}}}}"#
    )
}

#[test]
fn types_of_ids_and_sides_are_kept_apart() {
    let mut log = Log::new();
    let lines = [
        ask("1", 1, "number"),
        ask("\"1\"", 2, "text"),
        r#"{"ts":"2026-11-09T10:00:03Z","message":{"jsonrpc":"2.0","id":1,"method":"roots/list"}}"#.to_owned(),
        answer("\"1\"", 4, "to the text"),
        r#"{"ts":"2026-11-09T10:00:05Z","message":{"jsonrpc":"2.0","id":1,"result":{"roots":[]}}}"#.to_owned(),
        answer("1", 6, "to the number"),
    ];
    let found = log.read(&lines.join("\n"));
    assert_eq!(summary(&found), ["1 success text", "1 success roots/list", "1 success number"]);
    assert_eq!(found[1].initiator, Side::Server);
    assert!(found[2].result.as_deref().is_some_and(|r| r.contains("to the number")));
}

#[test]
fn ids_that_restart_pair_within_their_connection() {
    let hello = |at: u32| {
        format!(
            r#"{{"ts":"2026-11-09T10:00:{at:02}Z","message":{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"2025-06-18","clientInfo":{{"name":"c","version":"1"}}}}}}}}"#
        )
    };
    let welcome = |at: u32| {
        format!(
            r#"{{"ts":"2026-11-09T10:00:{at:02}Z","message":{{"jsonrpc":"2.0","id":0,"result":{{"protocolVersion":"2025-06-18","capabilities":{{}},"serverInfo":{{"name":"s","version":"2"}}}}}}}}"#
        )
    };
    let mut log = Log::new();
    // The first connection's call 1 is never answered; the second connection's call 1 is.
    let lines = [
        hello(1),
        welcome(2),
        ask("1", 3, "lost"),
        hello(10),
        welcome(11),
        ask("1", 12, "found"),
        answer("1", 13, "yes"),
    ];
    let found = log.read(&lines.join("\n"));
    assert_eq!(summary(&found), ["0 success initialize", "0 success initialize", "1 success found"]);
    assert_ne!(found[0].connection_id, found[1].connection_id);
    assert_eq!(found[2].connection_id, found[1].connection_id);
    assert_eq!(found[2].server_info_name.as_deref(), Some("s"));
    assert_eq!(found[2].client_name.as_deref(), Some("c"));
    assert_eq!(summary(&log.end()), ["1 no_response lost"]);
    assert!(log.end().is_empty(), "an open call is published once");
}

#[test]
fn two_connections_at_once_in_one_lane_both_pair() {
    let mut log = Log::new();
    let hello = r#"{"ts":"2026-11-09T10:00:01Z","message":{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}}"#;
    let other = hello.replace("00:01Z", "00:02Z");
    let welcome = r#"{"ts":"2026-11-09T10:00:03Z","message":{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s"}}}}"#;
    let lines = [
        hello.to_owned(),
        other,
        welcome.to_owned(),
        welcome.replace("00:03Z", "00:04Z"),
        ask("1", 5, "a"),
        ask("1", 6, "b"),
        answer("1", 7, "x"),
        answer("1", 8, "y"),
    ];
    let found = log.read(&lines.join("\n"));
    assert_eq!(found.iter().filter(|c| c.outcome == Outcome::Success).count(), 4);
    assert!(log.end().is_empty());
}

#[test]
fn a_response_that_stands_before_its_request_is_found_by_time() {
    let mut log = Log::new();
    let lines = [
        answer("5", 9, "early line"),
        ask("5", 8, "late line"),
        answer("6", 1, "of another time"),
        ask("6", 7, "open"),
    ];
    let found = log.read(&lines.join("\n"));
    assert_eq!(summary(&found), ["5 success late line"]);
    assert!(found[0].flags.has(Flag::ResponseBeforeRequest as u32));
    let mut rest = summary(&log.end());
    rest.sort();
    assert_eq!(rest, ["6 no_response open", "6 success "], "the orphan does not claim to be a call of any method");
}

#[test]
fn an_answer_may_be_stamped_a_little_before_its_request() {
    let mut log = Log::new();
    let lines =
        [ask("1", 4, "two clocks"), answer("1", 3, "r"), ask("2", 9, "asked again"), answer("2", 3, "of another time")];
    let found = log.read(&lines.join("\n"));
    assert_eq!(summary(&found), ["1 success two clocks"]);
    assert!(found[0].flags.has(Flag::ResponseBeforeRequest as u32) && found[0].duration_ns.is_none());
    assert_eq!(log.end().len(), 2);
}

#[test]
fn a_cancelled_call_says_so_and_a_late_answer_does_not_hide_it() {
    let mut log = Log::new();
    let cancel = r#"{"ts":"2026-11-09T10:00:03Z","message":{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}}"#;
    let found = log.read(&[ask("1", 1, "slow"), cancel.to_owned()].join("\n"));
    assert_eq!(summary(&found), ["- unknown notifications/cancelled"]);
    assert_eq!(summary(&log.end()), ["1 cancelled slow"]);
    let late = log.read(&answer("1", 9, "too late"));
    assert_eq!(summary(&late), ["1 cancelled slow"]);
    assert!(late[0].result.is_some() && late[0].flags.has(Flag::LateResponse as u32));
}

#[test]
fn a_call_that_its_client_waited_for_too_long_has_timed_out() {
    let mut log = Log::new();
    let cancel = r#"{"ts":"2026-11-09T10:00:03Z","message":{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"reason":"McpError: MCP error -32001: Request timed out"}}}"#;
    let found = log.read(&[ask("1", 1, "slow"), cancel.to_owned()].join("\n"));
    assert_eq!(summary(&found), ["- unknown notifications/cancelled"]);
    assert_eq!(summary(&log.end()), ["1 timeout slow"]);
    assert_eq!(summary(&log.read(&answer("1", 9, "too late"))), ["1 timeout slow"]);
}

#[test]
fn halves_in_two_files_of_a_stream_pair_in_either_order() {
    let whole = {
        let mut log = Log::new();
        log.read(&[ask("1", 1, "t"), answer("1", 2, "r")].join("\n"))
    };
    for swapped in [false, true] {
        let mut log = Log::new();
        let mut parts = [ask("1", 1, "t"), answer("1", 2, "r")];
        if swapped {
            parts.reverse();
        }
        assert!(log.read(&parts[0]).is_empty());
        let open = log.end();
        assert_eq!(open.len(), 1);
        log.next_file();
        // What a new process would start from.
        let saved = serde_json::to_vec(&log.pairing).expect("state is JSON");
        log.pairing = Pairing::new(PairingOptions::default(), serde_json::from_slice(&saved).expect("and back"));
        let found = log.read(&parts[1]);
        assert_eq!(summary(&found), ["1 success t"], "swapped: {swapped}");
        assert_eq!(found[0].call_id, whole[0].call_id);
    }
}

#[test]
fn calls_without_times_are_told_apart_by_what_stands_before_them() {
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{}}}"#;
    let result = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#;
    let once = Log::new().read(&[call, result].join("\n"));
    let twice = Log::new().read(&[call, result, call, result].join("\n"));
    assert_eq!(twice.len(), 2);
    assert_eq!(once[0].call_id, twice[0].call_id, "a capture that grew on keeps its ids");
    assert_ne!(twice[0].call_id, twice[1].call_id, "the same call made again is another call");
}

#[test]
fn retries_of_a_multi_round_trip_request_are_linked() {
    let lines = r#"
        {"ts":"2026-11-09T10:00:01Z","message":{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{}}}}
        {"ts":"2026-11-09T10:00:02Z","message":{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","inputRequests":{"q":{"method":"elicitation/create","params":{}}},"requestState":"abc"}}}
        {"ts":"2026-11-09T10:00:03Z","message":{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t","arguments":{},"inputResponses":{"q":{"action":"accept"}},"requestState":"abc"}}}
        {"ts":"2026-11-09T10:00:04Z","message":{"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","content":[]}}}"#;
    let found = Log::new().read(lines);
    let retry = found[1].more.as_ref().expect("links");
    assert_eq!(retry.round_trip_index, 1);
    assert_eq!(retry.parent_call_id.as_ref(), Some(&found[0].call_id));
    assert_eq!(found[1].approval, crate::call::Approval::UserAllowed);
}

#[test]
fn open_halves_are_bounded() {
    let options = PairingOptions { max_open: 100, ..PairingOptions::default() };
    let mut log = Log::new();
    log.pairing = Pairing::new(options, Saved::default());
    let lines: Vec<String> = (0..500).map(|id| ask(&id.to_string(), id / 20, "t")).collect();
    let given_up = log.read(&lines.join("\n"));
    assert_eq!(given_up.len() + log.end().len(), 500, "none is lost");
    assert!(given_up.len() >= 400 && given_up.iter().all(|c| c.flags.has(Flag::EvictedOpen as u32)));
}

/// Between two turns others write to the lake, and what waits is read anew.
#[test]
fn what_was_said_of_a_call_before_it_came_outlives_the_turn() {
    let key = || PairKey::Global { session: "s".into(), id: "1".into() };
    let call = |approval, outcome| {
        Box::new(Call { tool_call_id: Some("1".into()), time: Some(1), approval, outcome, ..Call::default() })
    };
    let (request, answer) = (call(Approval::Unknown, Outcome::NoResponse), call(Approval::Unknown, Outcome::Success));
    let mut source = SourceContext::default();
    let mut scope = Scope { number: 1, stream: 7, mtime: None, source: &mut source };
    let mut pairing = Pairing::new(PairingOptions::default(), Saved::default());
    let mut out = Vec::new();
    for event in [
        Event::Amend { key: key(), call: call(Approval::UserAllowed, Outcome::Unknown) },
        Event::Request { key: Some(key()), lane: Text::default(), call: request },
        Event::Response { key: key(), lane: Text::default(), call: answer, maybe_foreign: false },
    ] {
        pairing.accept(&mut scope, Item { event, observables: Vec::new(), identity: None, origin: 3 }, &mut out);
        let saved = serde_json::to_vec(&pairing).expect("plain data");
        pairing = Pairing::new(PairingOptions::default(), serde_json::from_slice(&saved).expect("plain data"));
    }
    pairing.end_source(&mut scope, &mut out);
    let found = calls(out);
    assert_eq!(
        found.iter().map(|c| (c.approval, c.outcome)).collect::<Vec<_>>(),
        [(Approval::UserAllowed, Outcome::Success)]
    );
}

/// Calls with ids of their own wait for the end of their source. In a long one they are whole all the same.
#[test]
fn whole_calls_of_a_long_source_are_not_given_up() {
    let many = PairingOptions { max_open: 100, ..PairingOptions::default() };
    let large = PairingOptions { max_open_bytes: 10_000, ..PairingOptions::default() };
    for options in [many, large] {
        let mut pairing = Pairing::new(options, Saved::default());
        let mut source = SourceContext::default();
        let mut scope = Scope { number: 1, stream: 7, mtime: None, source: &mut source };
        let mut out = Vec::new();
        for number in 0..500 {
            let id = Text::from(number.to_string());
            let key = PairKey::Global { session: "s".into(), id: id.clone() };
            let call = |outcome| {
                let (tool_call_id, result) = (Some(id.clone()), Some("x".repeat(100)));
                Box::new(Call { tool_call_id, result, time: Some(number), outcome, ..Call::default() })
            };
            let (lane, asked, answered) = (Text::default(), call(Outcome::NoResponse), call(Outcome::Success));
            let request = Event::Request { key: Some(key.clone()), lane: lane.clone(), call: asked };
            let response = Event::Response { key, lane, call: answered, maybe_foreign: false };
            for event in [request, response] {
                let item = Item { event, observables: Vec::new(), identity: None, origin: 3 };
                pairing.accept(&mut scope, item, &mut out);
            }
        }
        assert!(out.len() > 300, "room was made: {}", out.len());
        pairing.end_source(&mut scope, &mut out);
        assert_eq!((pairing.open.len(), pairing.open.bytes()), (0, 0));
        let found = calls(out);
        assert_eq!(found.len(), 500);
        assert!(found.iter().all(|c| c.outcome == Outcome::Success && !c.flags.has(Flag::EvictedOpen as u32)));
    }
}

#[test]
fn what_is_looked_for_by_its_content_is_bounded() {
    let options = PairingOptions { max_open: 100, ..PairingOptions::default() };
    let mut log = Log::new();
    log.pairing = Pairing::new(options, Saved::default());
    let lines: Vec<String> = (0..500).map(|id| answer(&id.to_string(), id / 20, "t")).collect();
    log.read(&lines.join("\n"));
    assert!((1..=101).contains(&log.pairing.open.orphans()), "{}", log.pairing.open.orphans());
    // Requests that stand behind their answers.
    let mut log = Log::new();
    let lines: Vec<String> =
        (0..50).flat_map(|id| [answer(&id.to_string(), 9, "t"), ask(&id.to_string(), 8, "t")]).collect();
    assert_eq!(log.read(&lines.join("\n")).len(), 50);
    assert_eq!(log.pairing.open.orphans(), 0);
}

#[test]
fn notes_about_calls_that_never_come_are_bounded() {
    let options = PairingOptions { max_open: 100, ..PairingOptions::default() };
    let mut pairing = Pairing::new(options, Saved::default());
    let mut source = SourceContext::default();
    let mut scope = Scope { number: 1, stream: 7, mtime: None, source: &mut source };
    for number in 0..1000 {
        let key = |name: &str| PairKey::Global { session: "s".into(), id: format!("{name}{number}").into() };
        for event in [Event::Foreign { key: key("f") }, Event::Amend { key: key("a"), call: Box::default() }] {
            pairing.accept(
                &mut scope,
                Item { event, observables: Vec::new(), identity: None, origin: 0 },
                &mut Vec::new(),
            );
        }
    }
    assert!(pairing.open.keys() <= 101, "{}", pairing.open.keys());
}

#[test]
fn times_at_the_ends_of_their_range_give_no_duration() {
    let mut log = Log::new();
    let calls = log.read(
        r#"{"ts":-9223372036854775807,"message":{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}}
        {"ts":9223372036854775807,"message":{"jsonrpc":"2.0","id":1,"result":{"content":[]}}}"#,
    );
    assert_eq!(summary(&calls), ["1 success x"]);
    assert_eq!(calls[0].duration_ns, None);
}

#[test]
fn a_span_that_asks_again_identifies_nothing() {
    let ask = |second: u32, id: u32, tool: &str| {
        format!(
            r#"{{"timestamp":"2026-11-10T08:00:{second:02}Z","direction":"client_to_server","message":{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","_meta":{{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}}}}}}}
            {{"timestamp":"2026-11-10T08:00:{second:02}Z","direction":"server_to_client","message":{{"jsonrpc":"2.0","id":{id},"result":{{"content":[]}}}}}}
"#
        )
    };
    let hello = r#"{"timestamp":"2026-11-10T08:00:10Z","direction":"client_to_server","message":{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}}
"#;
    let text =
        [ask(1, 1, "a"), ask(2, 2, "a"), ask(3, 1, "b"), hello.to_owned(), ask(11, 1, "a"), ask(12, 1, "a")].concat();
    let of = |calls: Vec<Call>| -> Vec<(Text, bool)> {
        let calls = calls.into_iter().filter(|call| call.method == "tools/call");
        calls.map(|call| (call.call_id, call.flags.has(Flag::SpanReused as u32))).collect()
    };
    let first = of(Log::new().read(&text));
    assert_eq!(first.iter().map(|(_, reused)| *reused).collect::<Vec<_>>(), [false, false, false, true, true]);
    let distinct: std::collections::BTreeSet<_> = first.iter().map(|(id, _)| id).collect();
    assert_eq!(distinct.len(), 5, "{first:?}");
    assert_eq!(first, of(Log::new().read(&text)));
    // Read on after a break, and a part of the capture that stands in another file of the stream.
    let mut log = Log::new();
    let mut parts = of(log.read(text[..text.len() / 2 + 200].rsplit_once('\n').expect("lines").0));
    let saved = serde_json::to_vec(&log.pairing).expect("state is plain data");
    log.pairing = Pairing::new(PairingOptions::default(), serde_json::from_slice(&saved).expect("state is read back"));
    log.next_file();
    parts.extend(of(log.read(&text)));
    parts.sort();
    parts.dedup();
    let mut sorted = first.clone();
    sorted.sort();
    assert_eq!(parts, sorted);
}

#[test]
fn whole_calls_of_one_second_are_told_apart_by_what_their_record_says() {
    let call = |server: &str, duration: i64, outcome| Call {
        time: Some(1_794_297_600_000_000_000),
        method: "tools/call".into(),
        tool: Some("search".into()),
        server: Some(server.into()),
        session_id: Some("s".into()),
        session_source: crate::call::SessionSource::McpSession,
        duration_ns: Some(duration),
        outcome,
        ..Call::default()
    };
    let ids = |calls: Vec<Call>| -> std::collections::BTreeSet<Text> {
        let mut log = Log::new();
        let mut out = Vec::new();
        let mut scope = Scope { number: 1, stream: 7, mtime: None, source: &mut log.source };
        for call in calls {
            let event = Event::Call { lane: Text::default(), call: Box::new(call) };
            log.pairing.accept(
                &mut scope,
                Item { event, observables: Vec::new(), identity: None, origin: 0 },
                &mut out,
            );
        }
        out.into_iter()
            .filter_map(|row| if let Row::Call { call, .. } = row { Some(call.call_id) } else { None })
            .collect()
    };
    let calls = vec![
        call("a", 5, Outcome::Success),
        call("b", 5, Outcome::Success),
        call("a", 6, Outcome::Success),
        call("a", 5, Outcome::Denied),
        call("a", 5, Outcome::Success),
    ];
    let forward = ids(calls.clone());
    assert_eq!(forward.len(), 4);
    assert_eq!(forward, ids(calls.into_iter().rev().collect()));
}

#[test]
fn a_copy_of_an_answered_request_takes_no_answer_of_a_later_one() {
    let mut log = Log::new();
    let first = [ask("1", 1, "first"), answer("1", 2, "to the first")].join("\n");
    let known = log.read(&first);
    // The copy waits, another request uses the id again in the same second, and its answer comes.
    let later = [ask("1", 1, "first"), ask("1", 1, "second"), answer("1", 3, "to the second")].join("\n");
    let found = log.read(&later);
    assert_eq!(summary(&found), ["1 success second"]);
    let open = log.end();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].call_id, known[0].call_id, "the copy is the call that is known");
    // A whole copy is the same call.
    let again = log.read(&first);
    assert_eq!(again[0].call_id, known[0].call_id);
    // The same request with another answer is another call, whichever run reads it.
    let saved = serde_json::to_vec(&log.pairing).expect("state is plain data");
    log.pairing = Pairing::new(PairingOptions::default(), serde_json::from_slice(&saved).expect("state is read back"));
    let other = log.read(&[ask("1", 1, "first"), answer("1", 4, "once more")].join("\n"));
    assert_eq!(summary(&other), ["1 success first"]);
    assert_ne!(other[0].call_id, known[0].call_id);
}

/// Found by fuzzing: the copy of an open request is published under the id of the first, whose row it took away when it was answered itself.
#[test]
fn a_copy_of_an_open_request_that_is_answered_later_takes_no_row_away() {
    let mut log = Log::new();
    let lines = [ask("1", 1, "x"), ask("1", 1, "x"), answer("1", 2, "first")].join("\n");
    let first = log.read(&lines);
    let copy = log.end();
    assert_eq!((summary(&first), summary(&copy)), (vec!["1 success x".to_owned()], vec!["1 no_response x".to_owned()]));
    assert_eq!(first[0].call_id, copy[0].call_id);
    log.next_file();
    let rows = log.rows(&answer("1", 3, "second"));
    assert!(!rows.iter().any(|row| matches!(row, Row::Retract(_))), "{rows:?}");
    let second = calls(rows);
    assert_eq!(summary(&second), ["1 success x"]);
    assert_ne!(second[0].call_id, first[0].call_id);
}
