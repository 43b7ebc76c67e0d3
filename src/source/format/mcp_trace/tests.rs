//! Records of both versions, whole and with members switched off, and records that nobody should write.

use super::super::shared::testing::{decoded, one_call};
use super::*;
use crate::call::IdType;

fn trace(members: &str) -> String {
    format!(r#"{{"timestamp":"2026-01-01T00:00:01.500Z","session_id":"s-1","duration":500,{members}}}"#)
}

const ASKED: &str = r#""type":"request","method":"tools/call","client_id":"editor","entity_name":"add",
    "entity_params":{"name":"add","arguments":{"a":1},"_meta":{"x.example/why":"test"}}"#;

#[test]
fn a_call_with_who_when_and_what() {
    let json = r#""entity_response":{"jsonrpc":"2.0","id":3,"result":{"content":[]}}"#;
    let stream =
        r#""entity_response":"event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"content\":[]}}\n\n""#;
    let batch =
        r#""entity_response":[{"jsonrpc":"2.0","method":"x"},{"jsonrpc":"2.0","id":3,"result":{"content":[]}}]"#;
    for response in [json, stream, batch] {
        let call = one_call(&McpTrace, &trace(&format!("{ASKED},{response}")));
        assert_eq!((call.tool.as_deref(), call.arguments.as_deref()), (Some("add"), Some(r#"{"a":1}"#)));
        assert_eq!((call.outcome, call.result.as_deref()), (Outcome::Success, Some(r#"{"content":[]}"#)));
        assert_eq!((call.jsonrpc_request_id.as_deref(), call.jsonrpc_id_type), (Some("3"), Some(IdType::Int)));
        assert_eq!((call.session_id.as_deref(), call.client_name.as_deref()), (Some("s-1"), Some("editor")));
        assert_eq!((call.time, call.duration_ns), (time::rfc3339("2026-01-01T00:00:01Z"), Some(500_000_000)));
        assert_eq!(call.more.unwrap().meta_json.as_deref(), Some(r#"{"x.example/why":"test"}"#));
    }
}

#[test]
fn outcomes() {
    let of = |members: &str| {
        let call = one_call(&McpTrace, &trace(&format!("{ASKED}{members}")));
        (call.outcome, call.result_state)
    };
    for (members, expected) in [
        ("", (Outcome::Unknown, PayloadState::NotLogged)),
        (r#","entity_response":{"id":1,"result":{"isError":true}}"#, (Outcome::ToolError, PayloadState::Present)),
        (r#","entity_response":{"id":1,"error":{"code":-32602}}"#, (Outcome::ProtocolError, PayloadState::Present)),
        (r#","entity_response":{"id":1,"result":{},"error":null}"#, (Outcome::Success, PayloadState::Present)),
        (
            r#","error":"HTTP 400","entity_response":{"id":null,"error":{"code":-32000,"message":"m"}}"#,
            (Outcome::ProtocolError, PayloadState::Present),
        ),
        (r#","error":"HTTP 502","entity_response":"Bad Gateway""#, (Outcome::TransportError, PayloadState::Unparsable)),
        (r#","error":"Connection aborted""#, (Outcome::TransportError, PayloadState::NotLogged)),
    ] {
        assert_eq!(of(members), expected, "{members}");
    }
}

#[test]
fn other_records() {
    let note = one_call(&McpTrace, &trace(r#""type":"notification","method":"notifications/initialized""#));
    assert_eq!((note.event_kind, note.result_state), (EventKind::Notification, PayloadState::None));
    let stream = one_call(&McpTrace, &trace(r#""type":"unknown""#));
    assert_eq!((stream.event_kind, stream.method.as_str()), (EventKind::Connection, ""));
    let old = r#""type":"request","method":"tools/call","request_id":"4","tool_name":"add","tool_arguments":{"a":1},
        "tool_response":"2""#;
    let old = one_call(&McpTrace, &trace(old));
    assert_eq!((old.tool.as_deref(), old.arguments.as_deref()), (Some("add"), Some(r#"{"a":1}"#)));
    assert_eq!((old.result.as_deref(), old.jsonrpc_request_id.as_deref()), (Some("\"2\""), Some("4")));
    let whole = r#""type":"request","method":"tools/call","request_id":4,"tool_name":"add","tool_response":{"content":[]},
        "tool_response_structured":{"sum":2}"#;
    let whole = one_call(&McpTrace, &trace(whole));
    assert_eq!(whole.result.as_deref(), Some(r#"{"content":[],"structuredContent":{"sum":2}}"#));
    assert_eq!((whole.jsonrpc_request_id.as_deref(), whole.jsonrpc_id_type), (Some("4"), Some(IdType::Int)));
    let both = r#""type":"request","method":"tools/call","request_id":4,"tool_name":"add","tool_arguments":"{\"a\":1}",
        "tool_response":[{"type":"text","text":"2"}],"tool_response_structured":{"sum":2}"#;
    let both = one_call(&McpTrace, &trace(both));
    assert_eq!((both.jsonrpc_request_id.as_deref(), both.arguments.as_deref()), (Some("4"), Some(r#"{"a":1}"#)));
    let whole = r#"{"content":[{"type":"text","text":"2"}],"structuredContent":{"sum":2}}"#;
    assert_eq!((both.result.as_deref(), both.outcome), (Some(whole), Outcome::Success));
    let bare = one_call(&McpTrace, &trace(r#""type":"request","method":"tools/call""#));
    assert_eq!((bare.tool, bare.arguments_state), (None, PayloadState::NotLogged));
    let hello = r#""type":"request","method":"initialize","entity_params":{"protocolVersion":"2025-11-25","capabilities":{},
        "clientInfo":{"name":"editor","version":"1"}},"entity_response":{"jsonrpc":"2.0","id":0,"result":
        {"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"sums","version":"2"}}}"#;
    match &decoded(&McpTrace, &trace(hello)).unwrap().unwrap()[..] {
        [Event::Context { whole_source: true, call: context, .. }, Event::Call { call, .. }] => {
            assert_eq!(context.server_info_name.as_deref(), Some("sums"));
            assert_eq!((call.client_version.as_deref(), call.outcome), (Some("1"), Outcome::Success));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn hostile_records() {
    for odd in [
        trace(r#""type":"request","method":7,"entity_params":[],"entity_response":3"#),
        trace(r#""type":"unknown","method":"","entity_response":"data: {\"result\":","error":{}"#),
        trace(
            r#""type":"request","method":"tools/call","entity_params":{"name":{}},"entity_params":{"name":"b"},"duration":-1e30"#,
        ),
        trace(r#""type":"request","method":"ü/x","timestamp":1e300"#),
    ] {
        assert!(decoded(&McpTrace, &odd).unwrap().is_ok(), "{odd}");
    }
    for other in [
        r#"{"type":"request","timestamp":"2026-01-01T00:00:01Z","method":"GET","duration":3,"session_id":"s"}"#,
        r#"{"type":"request","timestamp":"2026-01-01T00:00:01Z","method":"/a/b","duration":3}"#,
        r#"{"type":"request","timestamp":"2026-01-01T00:00:01Z","method":"","duration":3,"session_id":"s"}"#,
        r#"{"type":"user","sessionId":"s","timestamp":"2026-01-01T00:00:01Z"}"#,
        r#"{"type":"request","entity_params":{}}"#,
    ] {
        assert!(decoded(&McpTrace, other).is_none(), "{other}");
    }
}
