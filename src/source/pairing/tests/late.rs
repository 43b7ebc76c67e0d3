//! What comes when its call stands in the lake already, and logs in which much waits.

use super::*;
use crate::call::{IdType, Position};
use std::time::{Duration, Instant};

/// A pairing stage that is fed event by event.
struct Feed {
    pairing: Pairing,
    source: SourceContext,
}

impl Feed {
    fn new() -> Self {
        Self { pairing: Pairing::new(PairingOptions::default(), Saved::default()), source: SourceContext::default() }
    }

    fn take(&mut self, event: Event) -> Vec<Row> {
        let mut out = Vec::new();
        let mut scope = Scope { number: 1, stream: 7, mtime: None, source: &mut self.source };
        self.pairing.accept(&mut scope, Item { event, observables: Vec::new(), identity: None, origin: 0 }, &mut out);
        out
    }

    fn end_source(&mut self) -> Vec<Row> {
        let mut out = Vec::new();
        let mut scope = Scope { number: 1, stream: 7, mtime: None, source: &mut self.source };
        self.pairing.end_source(&mut scope, &mut out);
        out
    }

    /// The run ends, and another begins with what was stored.
    fn next_run(&mut self) -> Vec<Row> {
        let mut out = Vec::new();
        self.pairing.end_run(u64::MAX, &mut out);
        let saved = serde_json::to_vec(&self.pairing).expect("state is plain data");
        let saved = serde_json::from_slice(&saved).expect("state is read back");
        self.pairing = Pairing::new(PairingOptions::default(), saved);
        out
    }
}

fn seconds(at: i64) -> Option<Nanos> {
    Some(1_794_474_000_000_000_000 + at * 1_000_000_000)
}

fn call(id: &str, at: i64) -> Box<Call> {
    Box::new(Call {
        method: "tools/call".into(),
        tool: Some("look_up".into()),
        jsonrpc_request_id: Some(id.into()),
        jsonrpc_id_type: Some(IdType::Int),
        outcome: Outcome::NoResponse,
        time: seconds(at),
        time_source: TimeSource::RequestLine,
        source: Position { offset: at, ..Position::default() },
        ..Call::default()
    })
}

fn counted(id: &str) -> PairKey {
    PairKey::JsonRpc { lane: Text::default(), side: Side::Client, id: Id { kind: IdType::Int, text: id.into() } }
}

fn asks(key: PairKey, id: &str, at: i64) -> Event {
    Event::Request { key: Some(key), lane: Text::default(), call: call(id, at) }
}

fn answers(key: PairKey, id: &str, at: i64, result: &str) -> Event {
    let position = Position { offset: at, ..Position::default() };
    let call = Call {
        jsonrpc_request_id: Some(id.into()),
        result: Some(format!("\"{result}\"")),
        outcome: Outcome::Success,
        time_end: seconds(at),
        source: position,
        response: Some(position),
        ..Call::default()
    };
    Event::Response { key, lane: Text::default(), call: Box::new(call), maybe_foreign: false }
}

fn only_call(rows: Vec<Row>) -> Call {
    let mut calls = calls(rows);
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls.remove(0)
}

#[test]
fn connections_that_end_while_much_waits_cost_nothing() {
    let mut feed = Feed::new();
    let began = Instant::now();
    for id in 0..50_000 {
        feed.take(asks(counted(&id.to_string()), &id.to_string(), id));
    }
    for _ in 0..50_000 {
        feed.take(Event::Connection { lane: Text::default(), opens: false, time: None });
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    // The connection that asked first has ended.
    feed.take(asks(counted("7"), "7", 60_000));
    let answered = only_call(feed.take(answers(counted("7"), "7", 60_001, "new")));
    assert_eq!(answered.time, seconds(60_000));
}

/// While unanswered requests fill the room, calls with ids of their own go through it.
#[test]
fn a_room_that_stays_full_is_not_searched_for_each_record() {
    const ROOM: i64 = 50_000;
    let mut feed = Feed::new();
    feed.pairing.options.max_open = ROOM as usize;
    for id in 0..ROOM - ROOM / 10 - 2 {
        feed.take(asks(counted(&id.to_string()), &id.to_string(), id));
    }
    let (began, mut rows) = (Instant::now(), Vec::new());
    for at in ROOM..ROOM + 20_000 {
        let key = PairKey::Global { session: "s".into(), id: at.to_string().into() };
        rows.extend(feed.take(asks(key.clone(), "1", at)));
        rows.extend(feed.take(answers(key, "1", at, "yes")));
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    rows.extend(feed.end_source());
    let found = calls(rows);
    assert_eq!(found.len(), 20_000, "nothing else was given up");
    assert!(found.iter().all(|call| call.outcome == Outcome::Success));
}

#[test]
fn small_sources_that_end_while_much_waits_cost_nothing() {
    let mut feed = Feed::new();
    for id in 0..50_000 {
        feed.take(asks(counted(&id.to_string()), &id.to_string(), id));
    }
    let (began, mut rows) = (Instant::now(), Vec::new());
    for number in 2..10_000 {
        let mut source = SourceContext::default();
        let mut scope = Scope { number, stream: number, mtime: None, source: &mut source };
        let key = PairKey::Global { session: "s".into(), id: number.to_string().into() };
        for event in [asks(key.clone(), "1", 1), answers(key, "1", 2, "yes"), asks(counted("1"), "1", 3)] {
            let item = Item { event, observables: Vec::new(), identity: None, origin: 0 };
            feed.pairing.accept(&mut scope, item, &mut rows);
        }
        feed.pairing.end_source(&mut scope, &mut rows);
        feed.pairing.leave_source(&scope);
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(calls(rows).len(), 9998);
    assert_eq!(feed.pairing.open.len(), 50_000 + 9998);
}

#[test]
fn one_id_asked_again_and_again_keeps_few_waiting_and_loses_none() {
    let mut feed = Feed::new();
    let mut rows = Vec::new();
    for at in 0..1000 {
        rows.extend(feed.take(asks(counted("1"), "1", at)));
        rows.extend(feed.take(answers(counted("2"), "2", at, &at.to_string())));
    }
    assert!(feed.pairing.open.len() <= 512, "{}", feed.pairing.open.len());
    rows.extend(feed.next_run());
    let ids: std::collections::HashSet<Text> = calls(rows).into_iter().map(|call| call.call_id).collect();
    assert_eq!(ids.len(), 2000);
}

#[test]
fn what_is_said_of_a_call_behind_both_halves_is_said_of_its_row() {
    let key = || PairKey::Global { session: "s".into(), id: "toolu_1".into() };
    let said = || {
        let call = Call { duration_ns: Some(7), approval: Approval::UserAllowed, ..Call::default() };
        Event::Amend { key: key(), call: Box::new(call) }
    };
    let amends = |rows: Vec<Row>, id: &Text| match rows.as_slice() {
        [Row::Amend { row, said }] => row.call_id == *id && said.duration_ns == Some(7),
        _ => false,
    };
    // Nobody has answered yet when the first run ends.
    let mut feed = Feed::new();
    assert!(feed.take(asks(key(), "1", 1)).is_empty());
    feed.end_source();
    let open = only_call(feed.next_run());
    assert!(amends(feed.take(said()), &open.call_id));
    feed.take(answers(key(), "1", 2, "yes"));
    let whole = only_call(feed.end_source());
    assert_eq!((&whole.call_id, whole.duration_ns), (&open.call_id, Some(7)));
    // Both halves have been read.
    feed.next_run();
    assert!(amends(feed.take(said()), &open.call_id));
    assert!(feed.end_source().is_empty() && feed.next_run().is_empty());
}

#[test]
fn a_request_that_is_given_up_after_it_was_published_is_so_in_its_row() {
    let mut feed = Feed::new();
    feed.take(asks(counted("1"), "1", 1));
    let open = only_call(feed.next_run());
    let given_up = feed.take(Event::Cancel { key: counted("1"), time: seconds(3), outcome: Outcome::Cancelled });
    let [Row::Amend { row, said }] = given_up.as_slice() else { panic!("{given_up:?}") };
    assert_eq!(row.call_id, open.call_id);
    let mut call = open;
    amend_row(&mut call, Call::clone(said));
    assert_eq!((call.outcome, call.time_end), (Outcome::Cancelled, seconds(3)));
    assert_eq!(call.duration_ns, Some(2_000_000_000));
}

#[test]
fn an_answer_that_was_cut_off_is_taken_back_and_read_again() {
    for key in [counted("1"), PairKey::Global { session: "s".into(), id: "toolu_1".into() }] {
        let mut feed = Feed::new();
        feed.take(asks(key.clone(), "1", 1));
        feed.end_source();
        feed.next_run();
        let mut rows = Vec::new();
        let mut scope = Scope { number: 1, stream: 7, mtime: None, source: &mut feed.source };
        feed.pairing.begin_undo(&scope, 2);
        let event = answers(key.clone(), "1", 2, "tru");
        feed.pairing.accept(&mut scope, Item { event, observables: Vec::new(), identity: None, origin: 0 }, &mut rows);
        let undo = feed.pairing.end_undo(&rows).expect("it was begun");
        feed.pairing.end_source_but(&mut scope, Some(undo.offset()), &mut rows);
        rows.extend(feed.next_run());
        let cut = calls(rows);
        // It has gone on.
        let mut rows = Vec::new();
        feed.pairing.take_back(1, undo, &mut feed.source, &mut rows);
        rows.extend(feed.take(answers(key, "1", 2, "truth")));
        rows.extend(feed.end_source());
        let id = match rows.as_slice() {
            [Row::Retract(gone), Row::Call { call, .. }] if gone.call_id == call.call_id => call.call_id.clone(),
            other => panic!("{other:?}"),
        };
        assert!(cut.iter().all(|call| call.call_id == id), "{cut:?}");
        assert_eq!(only_call(rows).result.as_deref(), Some("\"truth\""));
        assert!(feed.next_run().is_empty());
    }
}
