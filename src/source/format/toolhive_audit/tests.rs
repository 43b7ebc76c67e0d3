use super::*;
use crate::call::{Position, TimeSource};
use crate::source::{Event, Hints};

fn with_record<T>(line: &str, look: impl FnOnce(&Record<'_>) -> T) -> T {
    let json = Object::parse(line).ok();
    let hints = Hints::default();
    look(&Record { text: line, json: json.as_ref(), position: Position::default(), lossy: false, hints: &hints })
}

/// An event with these members after the usual ones.
fn decode(members: &str) -> Call {
    let line = format!(
        r#"{{"time":"2026-01-01T00:00:02Z","level":"INFO+2","msg":"audit_event","audit_id":"a-1",
        "logged_at":"2026-01-01T00:00:01Z","component":"fetch","source":{{"type":"network","value":"10.0.0.9",
        "extra":{{"user_agent":"ua"}}}},{members}}}"#
    );
    with_record(&line, |record| {
        assert!(ToolhiveAudit.claims(record), "{line}");
        let mut out = Decoded::default();
        ToolhiveAudit.decode(record, &mut out).unwrap();
        match out.events.remove(0) {
            Event::Call { call, .. } => *call,
            other => panic!("{other:?}"),
        }
    })
}

fn tool_call(rest: &str) -> Call {
    decode(&format!(
        r#""type":"mcp_tool_call","target":{{"endpoint":"/mcp","method":"tools/call","type":"tool","name":"get"}},{rest}"#
    ))
}

#[test]
fn a_call_with_who_when_and_where() {
    let call = tool_call(
        r#""outcome":"success","subjects":{"user":"a@x.org","user_id":"u1","client_name":"c"},
        "delegation":{"chain":[{"sub":"agent"}],"truncated":true},
        "metadata":{"extra":{"duration_ms":150,"transport":"streamable-http","backend_name":"b"}}"#,
    );
    assert_eq!(
        (call.method.as_str(), call.tool.as_deref(), call.server.as_deref()),
        ("tools/call", Some("get"), Some("b"))
    );
    assert_eq!(call.time_end, time::rfc3339("2026-01-01T00:00:01Z"));
    assert_eq!(call.time, call.time_end.map(|end| end - 150_000_000));
    assert_eq!((call.outcome, call.approval), (Outcome::Success, Approval::Unknown));
    assert_eq!((call.tool_call_id.as_deref(), call.session_id.as_deref()), (Some("a-1"), None));
    assert_eq!((call.user_id.as_deref(), call.transport.as_deref()), (Some("u1"), Some("http")));
    assert_eq!((call.arguments_state, call.result_state), (PayloadState::NotLogged, PayloadState::NotLogged));
    let more = call.more.unwrap();
    assert_eq!(more.delegation_chain.as_deref(), Some(r#"[{"sub":"agent"}]"#));
    assert_eq!((more.client_address.as_deref(), more.user_email.as_deref()), (Some("10.0.0.9"), Some("a@x.org")));
    let extra = more.extra_json.unwrap();
    assert!(Object::parse(&extra).unwrap().has("delegation"), "{extra}");
}

#[test]
fn outcomes() {
    let call = tool_call(r#""outcome":"denied","subjects":{"user":"anonymous"}"#);
    assert_eq!((call.outcome, call.approval), (Outcome::Denied, Approval::PolicyDenied));
    assert_eq!((call.user_id.as_deref(), call.more.unwrap().principal_type.as_deref()), (None, Some("anonymous")));
    let metadata = r#""metadata":{"extra":{"jsonrpc_error_code":-32602,"jsonrpc_error_message":"bad"}}"#;
    let call = tool_call(&format!(r#""outcome":"application_error",{metadata}"#));
    assert_eq!((call.outcome, call.rpc_response_status_code), (Outcome::ProtocolError, Some(-32602)));
    assert_eq!((call.error_type.as_deref(), call.error_message.as_deref()), (Some("-32602"), Some("bad")));
    assert_eq!(tool_call(r#""outcome":"failure""#).outcome, Outcome::TransportError);
    assert_eq!(tool_call(r#""outcome":"error""#).outcome, Outcome::TransportError);
    let call =
        tool_call(r#""outcome":"success","data":{"response":{"jsonrpc":"2.0","id":1,"result":{"isError":true}}}"#);
    assert_eq!((call.outcome, call.result.as_deref()), (Outcome::ToolError, Some(r#"{"isError":true}"#)));
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]},"error":null}"#;
    for answer in [answer.to_owned(), serde_json::Value::from(answer).to_string()] {
        let call = tool_call(&format!(r#""outcome":"success","data":{{"response":{answer}}}"#));
        assert_eq!((call.outcome, call.result.as_deref()), (Outcome::Success, Some(r#"{"content":[]}"#)), "{answer}");
    }
}

#[test]
fn the_end_alone_is_no_start() {
    let call = tool_call(r#""outcome":"success","metadata":{"extra":{}}"#);
    assert_eq!(
        (call.time, call.time_source, call.duration_ns),
        (call.time_end, TimeSource::ResponseLine, None),
        "nobody measured, so that the call did not take 0"
    );
}

#[test]
fn request_bodies_of_three_shapes() {
    let arguments = |request: &str| {
        let call = tool_call(&format!(r#""outcome":"success","data":{{"request":{request}}}"#));
        (call.arguments_state, call.arguments)
    };
    let expected = (PayloadState::Present, Some(r#"{"a":1}"#.to_string()));
    assert_eq!(
        arguments(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get","arguments":{"a":1}}}"#),
        expected
    );
    assert_eq!(arguments(r#"{"name":"get","arguments":{"a":1}}"#), expected);
    assert_eq!(arguments(r#"{"a":1}"#), expected);
    assert_eq!(arguments(r#""{\"name\":\"get\",\"arguments\":{\"a\":1}}""#), expected);
    let own = r#"{"name":"other","arguments":{"a":1}}"#;
    assert_eq!(arguments(own), (PayloadState::Present, Some(own.to_string())));
    let none = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get"}}"#;
    assert_eq!(arguments(none), (PayloadState::None, None));
    assert_eq!(arguments(r#""{\"cut\":""#).0, PayloadState::Unparsable);
}

#[test]
fn response_bodies_as_stream_or_with_holes() {
    let response = |text: &str| tool_call(&format!(r#""outcome":"success","data":{{"response":{text}}}"#));
    let call = response(
        r#""event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-1,\"message\":\"m\"}}\n\n""#,
    );
    assert_eq!((call.outcome, call.result.as_deref()), (Outcome::ProtocolError, Some(r#"{"code":-1,"message":"m"}"#)));
    let call = response(r#""{\"jsonrpc\":\"2.0\",\"resu""#);
    assert_eq!((call.result_state, call.outcome), (PayloadState::Truncated, Outcome::Success));
    assert_eq!(response(r#"{"temperature":"22"}"#).result.as_deref(), Some(r#"{"temperature":"22"}"#));
}

#[test]
fn every_type_has_a_kind() {
    let of = |kind: &str, method: &str| {
        let call =
            decode(&format!(r#""type":"{kind}","outcome":"success","target":{{"method":"{method}","name":"n"}}"#));
        (call.event_kind, call.method.to_string())
    };
    for (kind, method) in METHODS {
        let expected = if method.starts_with("notifications/") { EventKind::Notification } else { EventKind::Call };
        assert_eq!(of(kind, "POST"), (expected, (*method).to_string()));
    }
    assert_eq!(of("mcp_request", "notifications/cancelled").0, EventKind::Notification);
    assert_eq!(of("mcp_request", "resources/subscribe"), (EventKind::Call, "resources/subscribe".into()));
    assert_eq!(of("sse_connection", "GET"), (EventKind::Connection, String::new()));
    assert_eq!(of("http_request", "POST").0, EventKind::Connection);
    assert_eq!(of("vmcp_workflow_step_started", ""), (EventKind::Notification, "vmcp_workflow_step_started".into()));
    let read =
        decode(r#""type":"mcp_resource_read","outcome":"success","target":{"method":"resources/read","name":"f://a"}"#);
    assert_eq!(read.more.unwrap().mcp_resource_uri.as_deref(), Some("f://a"));
}

#[test]
fn claims_with_and_without_the_loggers_keys() {
    let claims = |line: &str| with_record(line, |record| ToolhiveAudit.claims(record));
    assert!(claims(r#"{"audit_id":"a","type":"mcp_ping","logged_at":"x","outcome":"success"}"#));
    assert!(!claims(r#"{"msg":"audit_event","type":"mcp_ping"}"#));
    assert!(!claims(r#"{"audit_id":"a","type":"tool_call","outcome":"success"}"#));
    with_record(r#"{"time":"t","level":"INFO","msg":"started"}"#, |record| assert!(ToolhiveAudit.tolerates(record)));
    with_record(r#"{"level":"INFO"}"#, |record| assert!(!ToolhiveAudit.tolerates(record)));
}

#[test]
fn a_logged_body_names_the_id_and_the_server() {
    let call = decode(
        r#""type":"mcp_initialize","outcome":"success","target":{"method":"initialize"},"data":{
        "request":{"jsonrpc":"2.0","id":7,"method":"initialize","params":{}},"response":{"jsonrpc":"2.0","id":7,
        "result":{"protocolVersion":"2025-11-25","serverInfo":{"name":"files","version":"3"}}}}"#,
    );
    assert_eq!((call.jsonrpc_request_id.as_deref(), call.server_info_name.as_deref()), (Some("7"), Some("files")));
    let line = r#"{"audit_id":"a","type":"mcp_tool_call","outcome":"success","logged_at":"2026-01-01T00:00:01Z",
        "source":{"type":"network","value":"192.0.2.4:4711"}}"#;
    with_record(line, |record| {
        let mut out = Decoded::default();
        ToolhiveAudit.decode(record, &mut out).unwrap();
        let Some(Event::Call { lane, .. }) = out.events.pop() else { panic!("no call") };
        assert_eq!(lane, "192.0.2.4", "a client has another port with each connection");
    });
}
