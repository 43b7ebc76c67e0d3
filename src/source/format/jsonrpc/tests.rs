//! Wrappers, ids, identity and result kinds of JSON-RPC messages.

use super::*;
use crate::call::{EventKind, IdType, Position};
use crate::source::Hints;
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
    // About a message whose id could not be read; an answer without an id answers nothing.
    let broken = call(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}"#);
    assert_eq!((broken.event_kind, broken.outcome), (EventKind::Connection, Outcome::ProtocolError));
    assert_eq!(broken.rpc_response_status_code, Some(-32700));
    assert!(decode(r#"{"jsonrpc":"2.0","result":{"content":[]}}"#).is_err());
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

use super::super::shared::testing::{decoded, one_call};

const TAP: &str = r#"{"timestamp":"2026-11-09T10:00:00.000Z","direction":"response","path":"/mcp","jsonrpc":"2.0","#;

#[test]
fn an_http_tap_sees_event_streams_batches_and_failures() {
    let stream = r#""raw":"event: message\nid: 3\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"content\":[]}}\n\n: ping\n\nevent: endpoint\ndata: /messages?x=1\n\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"method\":\"notifications/progress\"}\n\n"}"#;
    let events = decode(&format!("{TAP}{stream}")).unwrap();
    assert!(matches!(&events[..], [Event::Response { .. }, Event::Request { key: None, .. }]), "{events:?}");
    let batch = r#""0":{"jsonrpc":"2.0","id":1,"result":{}},"1":{"jsonrpc":"2.0","id":2,"result":{}}}"#;
    assert_eq!(decode(&format!("{TAP}{batch}")).unwrap().len(), 2);
    // A page that is not MCP's, or none at all.
    assert_eq!(decode(&format!(r#"{TAP}"raw":"<html>not found</html>"}}"#)).unwrap().len(), 0);
    assert_eq!(decode(&format!(r#"{TAP}"resource":"https://mcp.example"}}"#)).unwrap().len(), 0);
    assert!(decode(&format!(r#"{TAP}"raw":"data: {{\"jsonrpc\":\"2.0\",\"id\":7,"}}"#)).is_err());
    let failed = one_call(&JsonRpc, &format!(r#"{TAP}"error":"connect ECONNREFUSED"}}"#).replace("response", "error"));
    assert_eq!((failed.event_kind, failed.outcome), (EventKind::Connection, Outcome::TransportError));
    assert_eq!(failed.error_message.as_deref(), Some("connect ECONNREFUSED"));
}

#[test]
fn a_bare_answer_beside_its_direction() {
    let answer = call(r#"{"ts":"2026-11-09T10:00:00Z","dir":"res","id":1,"result":{"content":[],"isError":true}}"#);
    assert_eq!((answer.outcome, answer.time_source), (Outcome::ToolError, crate::call::TimeSource::ResponseLine));
    let repeated = r#"{"dir":"res","id":1,"method":"tools/call","error":{"code":-32602,"message":"m"}}"#;
    assert_eq!(call(repeated).outcome, Outcome::ProtocolError);
    assert!(decode(r#"{"dir":"res","id":1}"#).is_err(), "neither question nor answer");
}

#[test]
fn a_question_and_its_answer_in_one_message() {
    let both = format!(r#"{},"result":{{"content":[],"isError":true}}}}"#, BARE.strip_suffix('}').unwrap());
    let line = format!(r#"{{"timestamp":"2026-11-09T10:00:00Z","duration_ms":20,{}"#, &both[1..]);
    let events = decode(&line).unwrap();
    let [Event::Request { call: asked, .. }, Event::Response { call: answered, .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((asked.tool.as_deref(), asked.arguments.as_deref()), (Some("t"), Some(r#"{"a":1}"#)));
    assert_eq!((answered.outcome, answered.duration_ns), (Outcome::ToolError, Some(20_000_000)));
    let repeated = line.replace(r#""duration_ms":20"#, r#""direction":"server_to_client""#);
    assert!(
        matches!(&decode(&repeated).unwrap()[..], [Event::Response { .. }]),
        "the question stands in a line of its own"
    );
    // Serialisers that keep empty members.
    let asks = BARE.replace(r#""id""#, r#""result":null,"error":null,"id""#);
    assert!(matches!(&decode(&asks).unwrap()[..], [Event::Request { .. }]));
}

#[test]
fn who_sent_a_message_in_the_words_of_taps() {
    let asks =
        |member: &str| call(&format!(r#"{{{member},"message":{{"jsonrpc":"2.0","id":1,"method":"ping"}}}}"#)).initiator;
    for word in [
        "client->server",
        "client→server",
        "to_server",
        "toServer",
        "from client",
        "host_to_server",
        "c2s",
        "stdin",
        "→",
    ] {
        assert_eq!(asks(&format!(r#""direction":"{word}""#)), Side::Client, "{word}");
    }
    for word in
        ["server_to_client", "Server -> Client", "to-client", "FromServer", "server_to_host", "S2C", "stdout", "<-"]
    {
        assert_eq!(asks(&format!(r#""dir":"{word}""#)), Side::Server, "{word}");
    }
    assert_eq!(asks(r#""from":"server","to":"client""#), Side::Server);
    // Says nothing: it depends on where the tap sits.
    assert_eq!(asks(r#""direction":"inbound","sender":"10.0.0.7""#), Side::Client);
    let named =
        call(r#"{"ts_ms":1762682400000,"server":{"name":"a"},"message":{"jsonrpc":"2.0","id":1,"method":"ping"}}"#);
    assert_eq!((named.server.as_deref(), named.time), (Some("a"), Some(1_762_682_400_000_000_000)));
}

#[test]
fn what_a_server_says_of_itself_comes_behind_who_it_is() {
    let hello = r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s"},"instructions":"Be brief."}}"#;
    let events = decode(hello).unwrap();
    assert!(matches!(&events[..], [Event::Response { .. }, Event::Instructions { .. }]), "{events:?}");
}

#[test]
fn tools_as_methods() {
    let line = r#"{"timestamp":"2026-11-09T10:00:00Z","direction":"inbound","method":"write_file","params":{"path":"/tmp/x"}}"#;
    let call_of = call(line);
    assert_eq!((call_of.method.as_str(), call_of.tool.as_deref()), ("tools/call", Some("write_file")));
    assert_eq!(call_of.arguments.as_deref(), Some(r#"{"path":"/tmp/x"}"#));
    assert_eq!(
        (call_of.event_kind, call_of.outcome, call_of.result_state),
        (EventKind::Call, Outcome::Unknown, PayloadState::NotLogged)
    );
    let with_id = call(&line.replace(r#""direction""#, r#""jsonrpc":"2.0","id":4,"direction""#));
    assert_eq!((with_id.tool.as_deref(), with_id.outcome), (Some("write_file"), Outcome::NoResponse));
    let ping = call(&line.replace("write_file", "ping"));
    assert_eq!((ping.method.as_str(), ping.tool, ping.event_kind), ("ping", None, EventKind::Call));
    let changed =
        line.replace("write_file", "roots/list_changed").replace(r#""direction""#, r#""jsonrpc":"2.0","direction""#);
    assert_eq!(call(&changed).event_kind, EventKind::Notification, "a message with a version needs an id to be a call");
    let note = call(&line.replace("write_file", "notifications/initialized"));
    assert_eq!(note.event_kind, EventKind::Notification);
    assert!(
        decode(&line.replace("params", "result").replace("inbound", "outbound").replace("\"method\"", "\"m\""))
            .is_err()
    );
}

#[test]
fn recordings_have_neither_version_nor_id() {
    let head = r#"{"start_time":"2026-11-09T10:00:00+01:00","server_info":"Dynamic MCP Proxy v1.0.0","messages":[]}"#;
    assert_eq!(decode(head).unwrap().len(), 0);
    let line = |direction: &str, message: &str| {
        format!(
            r#"{{"timestamp":"2026-11-09T10:00:00+01:00","direction":"{direction}","message_type":"tool_call",
            "tool_name":"math_add","server_name":"math","message":{message}}}"#
        )
    };
    let request = line("request", r#"{"method":"tools/call","params":{"name":"math_add","arguments":{"a":1}}}"#);
    let (asked, key_of) = match decode(&request).unwrap().pop() {
        Some(Event::Request { key: Some(key), call, .. }) => (call, key),
        other => panic!("{other:?}"),
    };
    assert_eq!((asked.tool.as_deref(), asked.server.as_deref()), (Some("math_add"), Some("math")));
    assert_eq!((asked.arguments.as_deref(), asked.jsonrpc_request_id), (Some(r#"{"a":1}"#), None));
    let answer = line("response", r#"{"content":[{"type":"text","text":"no"}],"isError":true}"#);
    match decode(&answer).unwrap().pop() {
        Some(Event::Response { key, call, .. }) => {
            assert_eq!((key, call.outcome), (key_of, Outcome::ToolError));
        }
        other => panic!("{other:?}"),
    }
    assert!(decode(&line("sideways", "{}")).is_err());
    assert!(decoded(&JsonRpc, "# MCP Recording Session").is_none());
}
