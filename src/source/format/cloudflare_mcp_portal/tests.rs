use super::*;
use crate::call::{Call, Flag, PayloadState, Position};
use crate::source::Hints;
use crate::source::json::Object;

fn with_record<T>(line: &str, look: impl FnOnce(&Record<'_>) -> T) -> T {
    let json = Object::parse(line).ok();
    let hints = Hints::default();
    look(&Record { text: line, json: json.as_ref(), position: Position::default(), lossy: false, hints: &hints })
}

fn decode(members: &str) -> (Lane, Call) {
    let line = format!(r#"{{"PortalID":"p","ServerID":"s","ClientIP":"192.0.2.1",{members}}}"#);
    with_record(&line, |record| {
        assert!(CloudflareMcpPortal.claims(record), "{line}");
        let mut out = Decoded::default();
        CloudflareMcpPortal.decode(record, &mut out).unwrap();
        match out.events.remove(0) {
            Event::Call { lane, call } => (lane, *call),
            other => panic!("{other:?}"),
        }
    })
}

#[test]
fn a_call_with_who_when_and_where() {
    let (_, call) = decode(
        r#""Method":"tools/call","ToolCallName":"t","Datetime":"2026-01-01T00:00:01Z","ServerResponseDurationMs":250,
        "SessionID":"x","Success":true,"Error":"","UserEmail":"a@x.org","UserID":"u","ServerURL":"https://s.example/mcp""#,
    );
    assert_eq!(
        (call.method.as_str(), call.tool.as_deref(), call.server.as_deref()),
        ("tools/call", Some("t"), Some("s"))
    );
    assert_eq!((call.outcome, call.duration_ns), (Outcome::Success, Some(250_000_000)));
    assert_eq!(call.time, time::rfc3339("2026-01-01T00:00:01Z"));
    assert_eq!((call.user_id.as_deref(), call.session_id.as_deref()), (Some("u"), Some("x")));
    assert_eq!((call.arguments_state, call.result_state), (PayloadState::NotLogged, PayloadState::NotLogged));
    assert_eq!(call.more.unwrap().server_url.as_deref(), Some("https://s.example/mcp"));
}

#[test]
fn what_a_hook_was_given_is_the_hooks() {
    let line =
        r#"{"PortalID":"p","ServerID":"s","Method":"tools/call","hook_event_name":"stop","cursor_version":"2.6.3"}"#;
    assert!(!with_record(line, |record| CloudflareMcpPortal.claims(record)));
}

#[test]
fn times_of_every_unit() {
    let at = |value: &str| decode(&format!(r#""Method":"ping","Datetime":{value}"#)).1;
    let second = Some(1_767_225_601_000_000_000);
    for value in ["1767225601", "\"1767225601\"", "1767225601000000000", "\"2026-01-01T00:00:01Z\"", "1767225601000"] {
        assert_eq!(at(value).time, second, "{value}");
    }
    assert!(at("\"2026-01-01 00:00:01\"").flags.has(Flag::ZoneAssumed as u32));
    for value in ["null", "{}", "\"soon\"", "1e999", "-1e300"] {
        assert_eq!(at(value).time, None, "{value}");
    }
}

#[test]
fn failures_and_wrong_types() {
    let (_, call) = decode(r#""Method":"tools/call","Success":false,"Error":"upstream said no""#);
    assert_eq!((call.outcome, call.error_message.as_deref()), (Outcome::ProtocolError, Some("upstream said no")));
    let (lane, call) = decode(r#""Method":["tools/call"],"Success":"yes","ServerResponseDurationMs":-5,"SessionID":7"#);
    assert_eq!((call.outcome, call.method.as_str(), call.duration_ns), (Outcome::Unknown, "", None));
    assert_eq!(lane, "192.0.2.1");
    let (_, call) =
        decode(r#""Method":"notifications/initialized","Success":true,"ServerResponseDurationMs":9223372036854775807"#);
    assert_eq!(
        (call.event_kind, call.duration_ns, call.result_state),
        (EventKind::Notification, None, PayloadState::None)
    );
}

#[test]
fn equal_calls_of_one_second_differ_by_their_duration() {
    let lane = |ms: i32| decode(&format!(r#""Method":"tools/call","SessionID":"x","ServerResponseDurationMs":{ms}"#)).0;
    assert_ne!(lane(1), lane(2));
}

#[test]
fn claims_its_own_only() {
    let claims = |line: &str| with_record(line, |record| CloudflareMcpPortal.claims(record));
    assert!(!claims(r#"{"PortalID":"p","Method":"GET"}"#));
    assert!(!claims(r#"{"portalid":"p","serverid":"s","method":"x"}"#));
    assert!(!claims("PortalID ServerID Method"));
}

#[test]
fn truth_values_as_tables_write_them() {
    for (success, outcome) in [
        ("\"true\"", Outcome::Success),
        ("1", Outcome::Success),
        ("\"false\"", Outcome::ProtocolError),
        ("null", Outcome::Unknown),
    ] {
        assert_eq!(decode(&format!(r#""Method":"tools/call","Success":{success}"#)).1.outcome, outcome, "{success}");
    }
}
