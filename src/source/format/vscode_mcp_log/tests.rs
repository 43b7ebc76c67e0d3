use super::super::shared::testing::{FOREIGN, claims, decode_as};
use super::*;
use crate::call::{EventKind, Outcome};
use crate::source::Hints;

fn decode(text: &str) -> Vec<Event> {
    decode_as(&VscodeMcpLog, text, &Hints::default()).unwrap()
}

#[test]
fn messages_of_both_directions_are_read() {
    let events = decode(
        r#"2026-11-10 09:12:33.125 [trace] [editor -> server] {"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"book","arguments":{"n":1},"_meta":{"progressToken":"p","vscode.conversationId":"conv-1"}}}"#,
    );
    let [Event::Request { key: Some(_), call, .. }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((call.method.as_str(), call.tool.as_deref()), ("tools/call", Some("book")));
    assert_eq!(call.time, time::rfc3339("2026-11-10T09:12:33.125Z"));
    assert!(call.flags.has(Flag::ZoneAssumed as u32) && call.more.as_ref().unwrap().time_zone_assumed);
    assert_eq!((call.initiator, call.observer), (Side::Client, Observer::Client));
    assert_eq!(call.session_id.as_deref(), Some("conv-1"));

    let events = decode(
        r#"2026-11-10 09:12:33.225 [debug] [server -> editor] {"error":{"code":-32601,"message":"Method not found"},"id":1,"jsonrpc":"2.0"}"#,
    );
    let [Event::Response { call, .. }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((call.outcome, call.rpc_response_status_code), (Outcome::ProtocolError, Some(-32601)));

    let events =
        decode(r#"2025-03-23 16:38:00.970 [info] [Server Says] {"jsonrpc":"2.0","method":"notifications/progress"}"#);
    let [Event::Request { key: None, call, .. }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((call.event_kind, call.initiator), (EventKind::Notification, Side::Server));
}

#[test]
fn states_open_and_close_the_connection_and_the_label_names_the_server() {
    let events = decode("2026-11-10 09:12:33.000 [info] Connection state: Running");
    assert!(matches!(events.as_slice(), [Event::Connection { opens: true, time: Some(_), .. }]));
    let events =
        decode("2026-11-10 09:12:33.000 [info] Connection state: Error 400 status sending message to http://h/");
    assert!(matches!(events.as_slice(), [Event::Connection { opens: false, .. }]));
    assert!(decode("2026-11-10 09:12:33.000 [info] Connection state: Starting").is_empty());
    let events = decode("2026-11-10 09:12:33.000 [info] Starting server dock plans");
    let [Event::Context { call, whole_source: true, .. }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(call.server.as_deref(), Some("dock plans"));
    for noise in [
        "2026-11-10 09:12:33.000 [info] Starting server from LocalProcess extension host",
        "2026-11-10 09:12:33.000 [warning] [server stderr] {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\"}",
        "2026-11-10 09:12:33.000 [info] Discovered 4 tools",
    ] {
        assert!(decode(noise).is_empty(), "{noise}");
    }
}

#[test]
fn cut_messages_are_rejected_and_impossible_times_are_none() {
    let hints = Hints::default();
    let cut = r#"2026-11-10 09:12:33.125 [trace] [editor -> server] {"jsonrpc":"2.0","id":4,"meth"#;
    assert!(decode_as(&VscodeMcpLog, cut, &hints).is_err());
    for nothing in [r#"{"jsonrpc":"2.0"}"#, "[]", "", "7"] {
        let line = format!("2026-11-10 09:12:33.125 [trace] [server -> editor] {nothing}");
        assert!(decode_as(&VscodeMcpLog, &line, &hints).is_err(), "{nothing}");
    }
    let events = decode(r#"9999-99-99 99:99:99.999 [info] [Client Says] {"jsonrpc":"2.0","id":1e400,"method":"ping"}"#);
    let [Event::Request { call, .. }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((call.time, call.jsonrpc_request_id.as_deref()), (None, Some("1e400")));
}

#[test]
fn other_lines_are_not_claimed() {
    for text in FOREIGN {
        assert!(!claims(&VscodeMcpLog, text), "{text}");
    }
    for text in [
        "2026-11-10 09:12:33.125 [info] Extension host started",
        "2026-11-10 09:12:33.125 [info]",
        "2026-11-10 09:12:33,125 [info] Starting server x",
        "éééé-éé-éé éé:éé:éé.ééé [info] Starting server x",
        "2026-11-10T09:12:33.125Z [info] Starting server x",
    ] {
        assert_eq!(claims(&VscodeMcpLog, text), text.contains(",125"), "{text}");
    }
}
