//! Reading one record in a format's tests.

use crate::call::{Call, Position};
use crate::source::format::{FORMATS, LogFormat};
use crate::source::json::Object;
use crate::source::pairing::{Item, Pairing, PairingOptions, Row, Saved, Scope, SourceContext};
use crate::source::{Decoded, Event, Hints, Record, Reject};

/// Decodes a record that must be the format's own, and no other's.
pub(in crate::source::format) fn decode_as(
    format: &dyn LogFormat,
    text: &str,
    hints: &Hints,
) -> Result<Vec<Event>, Reject> {
    let json = Object::parse(text).ok();
    let record = Record { text, json: json.as_ref(), position: Position::default(), lossy: false, hints };
    assert!(format.claims(&record), "not claimed: {text}");
    assert_eq!(route(&record).map(LogFormat::id), Some(format.id()), "{text}");
    let mut out = Decoded::default();
    format.decode(&record, &mut out).map(|()| out.events)
}

/// Whether the format claims a record.
pub(in crate::source::format) fn claims(format: &dyn LogFormat, text: &str) -> bool {
    let json = Object::parse(text).ok();
    let hints = Hints::default();
    format.claims(&Record { text, json: json.as_ref(), position: Position::default(), lossy: false, hints: &hints })
}

/// The whole calls among the events.
pub(in crate::source::format) fn calls(events: Vec<Event>) -> Vec<Call> {
    let call = |event| match event {
        Event::Call { call, .. } => Some(*call),
        _ => None,
    };
    events.into_iter().filter_map(call).collect()
}

/// The texts of the prompts among the events.
pub(in crate::source::format) fn prompts(events: &[Event]) -> Vec<&str> {
    let prompts = events.iter().filter_map(|event| if let Event::Prompt(prompt) = event { Some(prompt) } else { None });
    prompts.map(|prompt| prompt.text.as_str()).collect()
}

/// The finished calls of a file of these lines.
pub(in crate::source::format) fn finished(format: &dyn LogFormat, lines: &[String], hints: &Hints) -> Vec<Call> {
    let mut pairing = Pairing::new(PairingOptions::default(), Saved::default());
    let mut source = SourceContext::default();
    let mut rows = Vec::new();
    let mut scope = Scope { number: 1, stream: 1, mtime: hints.mtime, source: &mut source };
    for line in lines {
        for event in decode_as(format, line, hints).unwrap() {
            pairing.accept(&mut scope, Item { event, observables: Vec::new(), identity: None, origin: 2 }, &mut rows);
        }
    }
    pairing.end_source(&mut scope, &mut rows);
    pairing.leave_source(&scope);
    pairing.end_run(u64::MAX, &mut rows);
    rows.into_iter().filter_map(|row| if let Row::Call { call, .. } = row { Some(*call) } else { None }).collect()
}

/// Records of other formats, which none of the hosts' formats may claim.
pub(in crate::source::format) const FOREIGN: &[&str] = &[
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}"#,
    r#"{"timestamp":"2026-11-10T08:00:00Z","direction":"client_to_server","message":{"jsonrpc":"2.0","id":1,"result":{}}}"#,
    r#"{"type":"user","sessionId":"s","uuid":"u","timestamp":"2026-11-10T08:00:00Z","message":{"role":"user","content":"hi"}}"#,
    r#"{"timestamp":"2026-11-10T08:00:00Z","type":"event_msg","payload":{"type":"user_message","message":"hi"}}"#,
    r#"{"audit_id":"a","type":"mcp_tool_call","outcome":"success","logged_at":"2026-11-10T08:00:00Z"}"#,
    r#"{"resourceSpans":[]}"#,
    r#"{"level":"info","msg":"started"}"#,
    r#"{"type":"error","message":"disk full","id":7}"#,
    r#"{"kind":"Event","apiVersion":"v1"}"#,
    r#"{"key":"a","value":{}}"#,
    "2026-11-10T08:00:00.000Z [orders] [info] Server started and connected successfully",
    "[]",
    "",
];

/// What a format makes of a line; `None` if the line is not its own.
pub(in crate::source::format) fn decoded(format: &dyn LogFormat, line: &str) -> Option<Result<Vec<Event>, String>> {
    let json = Object::parse(line).ok();
    let hints = Hints::default();
    let position = Position::default();
    let record = Record { text: line, json: json.as_ref(), position, lossy: false, hints: &hints };
    let claims: Vec<_> = FORMATS.iter().filter(|other| other.claims(&record)).map(|other| other.id()).collect();
    assert!(claims.is_empty() || claims == [format.id()] || !claims.contains(&format.id()), "{claims:?}: {line}");
    let mut out = Decoded::default();
    format
        .claims(&record)
        .then(|| format.decode(&record, &mut out).map(|()| out.events).map_err(|reject| reject.reason))
}

/// The one whole call in a line.
pub(in crate::source::format) fn one_call(format: &dyn LogFormat, line: &str) -> Call {
    let mut events = decoded(format, line).unwrap_or_else(|| panic!("not claimed: {line}")).unwrap();
    match events.pop() {
        Some(Event::Call { call, .. }) if events.len() < 2 => *call,
        other => panic!("{other:?}: {line}"),
    }
}

/// The built-in format that claims a record.
pub(in crate::source::format) fn route(record: &Record<'_>) -> Option<&'static dyn LogFormat> {
    FORMATS.iter().copied().find(|format| format.claims(record))
}
