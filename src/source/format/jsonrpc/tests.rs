//! Wrappers, ids, identity and result kinds of JSON-RPC messages.

use super::*;
use crate::source::Position;
use proptest::prelude::*;

fn decode(text: &str) -> Result<Vec<Event>, Reject> {
    let object = Object::parse(text).ok();
    let hints = Hints::default();
    let record = Record { text, json: object.as_ref(), position: Position::default(), lossy: false, hints: &hints };
    if !JsonRpc.claims(&record) {
        return Err(Reject::new("not claimed"));
    }
    let mut out = Decoded::default();
    JsonRpc.decode(&record, &mut out)?;
    Ok(out.events)
}

fn call(text: &str) -> Call {
    match decode(text).expect("decodes").pop() {
        Some(Event::Request { call, .. } | Event::Response { call, .. }) => *call,
        other => panic!("no half: {other:?}"),
    }
}

const BARE: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"t","arguments":{"a":1}}}"#;

#[test]
fn every_wrapper_gives_the_same_request() {
    let escaped = BARE.replace('"', "\\\"");
    let wrapped = [
        BARE.to_owned(),
        format!(r#"{{"timestamp":"2026-11-09T10:00:00Z","direction":"client_to_server","message":{BARE}}}"#),
        format!(r#"{{"ts":1762682400,"payload":"{escaped}"}}"#),
        BARE.replacen('{', r#"{"timestamp":"2026-11-09T10:00:00Z","direction":"request","path":"/mcp","#, 1),
        r#"{"ts":"2026-11-09T10:00:00Z","dir":"req","id":7,"method":"tools/call","params":{"name":"t","arguments":{"a":1}}}"#.to_owned(),
        format!("[{BARE}]"),
    ];
    for text in wrapped {
        let call = call(&text);
        assert_eq!(call.tool.as_deref(), Some("t"), "{text}");
        assert_eq!(call.arguments.as_deref(), Some(r#"{"a":1}"#), "{text}");
        assert_eq!(call.jsonrpc_request_id.as_deref(), Some("7"), "{text}");
    }
}

#[test]
fn ids_keep_type_and_digits() {
    let id_of = |raw: &str| {
        let call = call(&BARE.replace(":7,", &format!(":{raw},")));
        (call.jsonrpc_id_type, call.jsonrpc_request_id.map(|id| id.to_string()))
    };
    assert_eq!(id_of("9007199254740993"), (Some(IdType::Int), Some("9007199254740993".into())));
    assert_eq!(id_of("\"7\""), (Some(IdType::String), Some("7".into())));
    assert_eq!(id_of("7.0"), (Some(IdType::Float), Some("7.0".into())));
}

#[test]
fn stateless_requests_carry_their_identity() {
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{
        "io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"c","version":"9"},
        "traceparent":"00-d5505ee74924d8b65449e72a65909dad-6ee9b7e404bcda99-03","x.example/why":"audit"}}}"#;
    let call = call(text);
    assert_eq!(call.client_name.as_deref(), Some("c"));
    assert_eq!(call.mcp_protocol_version.as_deref(), Some("2026-07-28"));
    assert_eq!(call.span_id.as_deref(), Some("6ee9b7e404bcda99"));
    assert_eq!(call.more.and_then(|m| m.meta_json).as_deref(), Some(r#"{"x.example/why":"audit"}"#));
    assert_eq!(call.arguments.as_deref(), Some("{}"), "identity is no argument");
}

#[test]
fn results_errors_and_tool_errors_differ() {
    let outcome = |body: &str| call(&format!(r#"{{"jsonrpc":"2.0","id":1,{body}}}"#)).outcome;
    assert_eq!(outcome(r#""result":{"content":[]}"#), Outcome::Success);
    assert_eq!(outcome(r#""result":{"content":[],"isError":true}"#), Outcome::ToolError);
    assert_eq!(outcome(r#""error":{"code":-32602,"message":"Unknown tool"}"#), Outcome::ProtocolError);
    assert_eq!(outcome(r#""error":{"code":-32001,"message":"Request timed out"}"#), Outcome::Timeout);
    assert!(decode(r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error"}}"#).is_err());
}

proptest! {
    #[test]
    fn hostile_text_never_panics(text in "\\PC{0,200}", key in "[a-z]{1,8}") {
        let _ = decode(&text);
        let quoted = serde_json::Value::from(text.as_str()).to_string();
        for body in [quoted.as_str(), "[[[[", "{\"a\":{\"b\":[1,2,{}]}}", "-1e999", "null"] {
            let _ = decode(&format!(r#"{{"jsonrpc":"2.0","id":{body},"method":"tools/call","params":{body},"{key}":{body}}}"#));
            let _ = decode(&format!(r#"{{"direction":{body},"message":{{"jsonrpc":"2.0","id":1,"result":{body}}}}}"#));
        }
        crate::source::json::Object::trusted(&text);
        crate::source::json::elements(&text);
    }
}
