use super::*;
use crate::call::{Approval, PayloadState, Position};
use crate::source::Hints;

fn with_record<T>(line: &str, look: impl FnOnce(&Record<'_>) -> T) -> T {
    let json = Object::parse(line).ok();
    let hints = Hints::default();
    look(&Record { text: line, json: json.as_ref(), position: Position::default(), lossy: false, hints: &hints })
}

fn decode(members: &str) -> Option<Call> {
    let line = format!("{{{members}}}");
    with_record(&line, |record| {
        assert!(EnvoyAiGateway.claims(record), "{line}");
        let mut out = Decoded::default();
        EnvoyAiGateway.decode(record, &mut out).unwrap();
        out.events.pop().map(|event| match event {
            Event::Call { call, .. } => *call,
            other => panic!("{other:?}"),
        })
    })
}

#[test]
fn new_and_old_keys() {
    let call = decode(
        r#""start_time":"2026-01-01T00:00:01.250Z","method":"POST","request.path":"/mcp","response_code":200,"duration":40,
        "mcp.method.name":"tools/call","mcp.tool.name":"t","mcp.provider.name":"github","mcp.session.id":"m","session.id":"c",
        "jsonrpc.request.id":"7","agent.id":"a","bytes_sent":12,"x-forwarded-for":"192.0.2.1, 10.0.0.1""#,
    )
    .expect("a call");
    assert_eq!(
        (call.method.as_str(), call.tool.as_deref(), call.server.as_deref()),
        ("tools/call", Some("t"), Some("github"))
    );
    assert_eq!((call.session_id.as_deref(), call.session_source), (Some("c"), SessionSource::Conversation));
    assert_eq!((call.mcp_session_id.as_deref(), call.agent.as_deref()), (Some("m"), Some("a")));
    assert_eq!((call.jsonrpc_request_id.as_deref(), call.jsonrpc_id_type), (Some("7"), None));
    assert_eq!(call.time, time::rfc3339("2026-01-01T00:00:01.25Z"));
    assert_eq!((call.duration_ns, call.outcome), (Some(40_000_000), Outcome::Success));
    assert_eq!((call.arguments_state, call.result_state), (PayloadState::NotLogged, PayloadState::NotLogged));
    assert_eq!(call.more.unwrap().client_address.as_deref(), Some("192.0.2.1"));
    let call = decode(
        r#""mcp_method":"tools/list","mcp_backend":"kiwi","mcp_session_id":"m","mcp_request_id":3,"response_code":"200","duration":"5",
        "start_time":"2026-01-01T00:00:01Z","x-forwarded-for":null,"downstream_remote_address":"192.0.2.9:4711""#,
    )
    .expect("a call");
    assert_eq!((call.server.as_deref(), call.jsonrpc_id_type), (Some("kiwi"), Some(IdType::Int)));
    assert_eq!((call.outcome, call.duration_ns), (Outcome::Success, Some(5_000_000)));
    assert_eq!(call.more.unwrap().client_address.as_deref(), Some("192.0.2.9"));
}

#[test]
fn outcomes_of_http() {
    let of = |members: &str| decode(&format!(r#""mcp.method.name":"tools/call",{members}"#)).expect("a call");
    let call = of(r#""response_code":403,"response_code_details":"rbac_access_denied""#);
    assert_eq!((call.outcome, call.approval), (Outcome::Denied, Approval::PolicyDenied));
    assert_eq!(call.error_message.as_deref(), Some("rbac_access_denied"));
    let call = of(r#""response_code":503,"response_flags":"UF","upstream_transport_failure_reason":"refused""#);
    assert_eq!((call.outcome, call.error_message.as_deref()), (Outcome::TransportError, Some("refused")));
    assert_eq!(of(r#""response_code":504,"response_flags":"UT""#).outcome, Outcome::Timeout);
    assert_eq!(of(r#""response_code":0,"response_flags":"DC""#).outcome, Outcome::TransportError);
    for odd in ["null", "\"-\"", "[]", "1e400", "99999999999999999999", "-1"] {
        let outcome = of(&format!(r#""response_code":{odd}"#)).outcome;
        assert_eq!(outcome, Outcome::Unknown, "{odd}");
    }
}

#[test]
fn what_has_no_mcp_in_it_is_noise() {
    assert!(decode(r#""mcp.method.name":"-","mcp.provider.name":null,"response_code":401"#).is_none());
    assert!(decode(r#""mcp.method.name":null,"response_code":200,"gen_ai.request.model":"m""#).is_none());
    let stream = decode(r#""mcp.method.name":"-","mcp.session.id":"s","method":"GET","response_code":200"#);
    assert_eq!(stream.expect("a row").event_kind, EventKind::Connection);
    let call = decode(r#""mcp.method.name":{"a":1},"mcp.provider.name":"b","method":["POST"],"response_code":200"#);
    assert_eq!(call.expect("a row").method, "");
}

#[test]
fn claims_its_own_only() {
    let claims = |line: &str| with_record(line, |record| EnvoyAiGateway.claims(record));
    assert!(!claims(r#"{"mcp.method.name":"tools/call","scope":"request","http.status":200}"#));
    assert!(!claims(r#"{"response_code":200,"start_time":"x"}"#));
    assert!(!claims("response_code mcp_method"));
    let tolerates = |line: &str| with_record(line, |record| EnvoyAiGateway.tolerates(record));
    assert!(tolerates(r#"{"response_code":200,"start_time":"x"}"#));
    assert!(tolerates("[2026-01-01 00:00:00.000][1][info][main] starting"));
    assert!(tolerates("time=2026-01-01T00:00:00Z level=INFO msg=ready"));
    assert!(!tolerates("hello"));
}

#[test]
fn nested_keys_and_the_names_of_backends() {
    let call = decode(
        r#""response_code":200,"mcp":{"method":{"name":"tools/call"},"tool":{"name":"github__search"},"provider":{"name":"github"},
        "session":{"id":"m"}},"jsonrpc":{"request":{"id":"9"}}"#,
    )
    .expect("a call");
    assert_eq!((call.tool.as_deref(), call.tool_raw.as_deref()), (Some("search"), Some("github__search")));
    assert_eq!((call.server.as_deref(), call.session_id.as_deref()), (Some("github"), Some("m")));
    assert_eq!(call.jsonrpc_request_id.as_deref(), Some("9"));
}
