//! Formats: whatever a record holds, it is read or refused, and no format says what the record cannot hold.

use crate::call::{Call, Position};
use crate::source::format::FORMATS;
use crate::source::registry::Formats;
use crate::source::json::Object;
use crate::source::{Decoded, Event, Hints, PairKey, Record};
use std::time::{Duration, Instant};

/// Longer than any record of this size takes, with instrumentation.
const PATIENCE: Duration = Duration::from_secs(2);

/// Each line is a record; what claims it decodes it.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lossy = matches!(text, std::borrow::Cow::Owned(_));
    for hints in [Hints::default(), Hints { file_name: "mcp-server-x.log".into(), server: Some("x".into()), mtime: Some(1) }] {
        for (at, line) in text.lines().map(str::trim_ascii).filter(|line| !line.is_empty()).enumerate() {
            let position = Position { line: at as i64 + 1, offset: at as i64, length: line.len() as i64 };
            record(line, position, lossy, &hints);
        }
    }
}

/// Each line is a record: whoever claims it is found, whichever format is asked first, and a line is no two formats' own.
pub fn check_detection(data: &[u8]) {
    let formats = Formats::default();
    let text = String::from_utf8_lossy(data);
    for hints in [Hints::default(), Hints { file_name: "mcp.log".into(), ..Hints::default() }] {
        for line in text.lines().map(str::trim_ascii).filter(|line| !line.is_empty()) {
            // What begins as an array and is none is text, which no built-in format is asked about.
            if line.starts_with('[') && serde_json::from_str::<&serde_json::value::RawValue>(line).is_err() {
                continue;
            }
            let object = if line.starts_with('{') { Object::parse(line).ok() } else { None };
            let record = Record { text: line, json: object.as_ref(), position: Position::default(), lossy: false, hints: &hints };
            let found = formats.route(&record, None);
            for likely in 0..formats.count() {
                assert_eq!(formats.route(&record, Some(likely)), found, "{likely} is asked first");
            }
            assert!(found.and_then(|at| formats.get(at)).is_none_or(|format| format.claims(&record)));
        }
    }
}

/// One record that repeats a part of a line many times.
pub fn check_large(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let Some(line) = text.lines().next() else { return };
    let large = crate::mutate::enlarge(line, choice);
    let position = Position { line: 1, offset: 0, length: large.len() as i64 };
    let hints = Hints::default();
    let mut fastest = Duration::MAX;
    // The machine has other work: only what is slow each time is slow.
    for _ in 0..3 {
        let started = Instant::now();
        record(&large, position, false, &hints);
        fastest = fastest.min(started.elapsed());
        if fastest < PATIENCE {
            return;
        }
    }
    panic!("{} bytes took {fastest:?}", large.len());
}

fn record(text: &str, position: Position, lossy: bool, hints: &Hints) {
    let object = if text.starts_with('{') { Object::parse(text).ok() } else { None };
    let record = Record { text, json: object.as_ref(), position, lossy, hints };
    for format in FORMATS {
        // A file of this format may hold any line.
        format.tolerates(&record);
        if !format.claims(&record) {
            continue;
        }
        let mut decoded = Decoded::default();
        match format.decode(&record, &mut decoded) {
            Ok(()) => decoded.events.iter().for_each(|event| sound(event, text.len())),
            Err(reject) => {
                assert!(!reject.reason.is_empty() && reject.reason.len() < 200, "{}: {}", format.id(), reject.reason);
            }
        }
    }
}

/// What holds of every event.
pub(crate) fn sound(event: &Event, length: usize) {
    match event {
        Event::Request { key, call, .. } => {
            call_is_sound(call, length);
            key.iter().for_each(|key| key_is_sound(key, length));
        }
        Event::Response { key, call, .. }
        | Event::Amend { key, call }
        | Event::Begins { key, call }
        | Event::Ends { key, call } => {
            call_is_sound(call, length);
            key_is_sound(key, length);
        }
        Event::Call { call, .. } | Event::Context { call, .. } => call_is_sound(call, length),
        Event::Foreign { key } | Event::Cancel { key, .. } => key_is_sound(key, length),
        Event::Tools { tools, .. } => {
            for tool in tools {
                assert!(tool.definition.len() <= 8 * length + 1000);
            }
        }
        Event::Prompt(prompt) => assert!(prompt.text.len() <= 3 * length + 1000),
        Event::Turns { turns, .. } => assert!(turns.len() <= length),
        Event::Trace { .. } | Event::Turn { .. } | Event::Connection { .. } | Event::Instructions { .. } => {}
    }
}

fn call_is_sound(call: &Call, length: usize) {
    assert!(!call.source_format.is_empty() || call.method.is_empty(), "a call without a format");
    assert!(call.call_id.is_empty(), "ids are pairing's");
    // A payload is a part of the record; escapes may grow when they are written anew.
    for payload in [&call.arguments, &call.result].into_iter().flatten() {
        assert!(payload.len() <= 8 * length + 1000, "{} bytes of payload from a record of {length}", payload.len());
    }
}

fn key_is_sound(key: &PairKey, length: usize) {
    let (PairKey::JsonRpc { id: crate::source::Id { text: id, .. }, .. } | PairKey::Global { id, .. }) = key;
    assert!(id.len() <= 3 * length + 100);
}
