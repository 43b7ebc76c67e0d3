use super::*;
use crate::call::{EventKind, Position};
use crate::source::{Event, Hints};

fn with_record<T>(line: &str, look: impl FnOnce(&Record<'_>) -> T) -> T {
    let json = Object::parse(line).ok();
    let hints = Hints::default();
    look(&Record { text: line, json: json.as_ref(), position: Position::default(), lossy: false, hints: &hints })
}

fn decode(line: &str) -> Result<Option<Call>, Reject> {
    with_record(line, |record| {
        assert!(Obot.claims(record), "{line}");
        let mut out = Decoded::default();
        Obot.decode(record, &mut out)?;
        Ok(out.events.pop().map(|event| match event {
            Event::Call { call, .. } => *call,
            other => panic!("{other:?}"),
        }))
    })
}

/// A gateway's call of the tool `search` with this outcome and these details.
fn gateway(outcome: &str, details: &str) -> Call {
    let line = format!(
        r#"{{"id":7,"timestamp":{{"occurredAt":"2026-01-01T00:00:01Z","recordedAt":"2026-01-01T00:00:02Z","source":"server"}},
        "eventType":"mcp_call","actor":{{"actorType":"user","id":"u1","credentialID":"k"}},
        "action":{{"operation":"tools/call","name":"search"}},
        "target":{{"targetType":"mcp_tool","name":"search","parent":{{"targetType":"mcp_server","id":"ms1","name":"GitHub"}}}},
        "outcome":{outcome},"client":"desk","details":{{{details}}}}}"#
    );
    decode(&line).unwrap().expect("a call")
}

const TRACE: &str =
    r#""trace":{"sessionID":"s1","requestID":"3"},"client":{"name":"desk","version":"2","userAgent":"ua"}"#;

#[test]
fn a_call_with_bodies() {
    let call = gateway(
        r#"{"status":"success","httpStatus":200,"durationMs":42}"#,
        &format!(
            r#"{TRACE},"network":{{"clientIP":"192.0.2.7"}},"payloadRedacted":false,
            "request":{{"body":{{"name":"search","arguments":{{"q":"x"}},"_meta":{{"a":1}}}},"mutated":true}},
            "response":{{"body":{{"content":[],"isError":true}},"mutated":false}}"#
        ),
    );
    assert_eq!(
        (call.method.as_str(), call.tool.as_deref(), call.server.as_deref()),
        ("tools/call", Some("search"), Some("GitHub"))
    );
    assert_eq!((call.arguments.as_deref(), call.arguments_state), (Some(r#"{"q":"x"}"#), PayloadState::Present));
    assert_eq!((call.outcome, call.is_error), (Outcome::ToolError, Some(true)));
    assert_eq!((call.user_id.as_deref(), call.session_id.as_deref()), (Some("u1"), Some("s1")));
    assert_eq!((call.time, call.duration_ns), (time::rfc3339("2026-01-01T00:00:01Z"), Some(42_000_000)));
    assert_eq!((call.jsonrpc_request_id.as_deref(), call.jsonrpc_id_type), (Some("3"), None));
    let more = call.more.unwrap();
    assert_eq!((more.meta_json.as_deref(), more.client_address.as_deref()), (Some(r#"{"a":1}"#), Some("192.0.2.7")));
    assert!(more.extra_json.unwrap().contains(r#""request_mutated":true"#));
}

#[test]
fn outcomes() {
    let of = |outcome: &str| gateway(outcome, TRACE);
    let call = of(r#"{"status":"denied","httpStatus":403,"error":"no"}"#);
    assert_eq!((call.outcome, call.approval), (Outcome::Denied, Approval::PolicyDenied));
    assert_eq!(call.error_message.as_deref(), Some("no"));
    assert_eq!(of(r#"{"status":"timeout","httpStatus":504}"#).outcome, Outcome::Timeout);
    assert_eq!(of(r#"{"status":"failure","httpStatus":500,"error":"x"}"#).outcome, Outcome::TransportError);
    assert_eq!(of(r#"{"status":"failure","httpStatus":200,"error":"x"}"#).outcome, Outcome::ProtocolError);
    assert_eq!(of(r#"{"status":"unknown"}"#).outcome, Outcome::Unknown);
    assert_eq!(of(r#"{"status":["success"],"httpStatus":1e99}"#).outcome, Outcome::Unknown);
    assert_eq!(of("[]").outcome, Outcome::Unknown);
}

#[test]
fn payloads_that_are_not_there() {
    let state = |details: &str| {
        let call = gateway(r#"{"status":"success","httpStatus":200}"#, details);
        (call.arguments_state, call.result_state)
    };
    assert_eq!(state(""), (PayloadState::NotLogged, PayloadState::NotLogged));
    let redacted = r#""payloadRedacted":true,"request":{"body":null},"response":{"mutated":false}"#;
    assert_eq!(state(redacted), (PayloadState::Redacted, PayloadState::Redacted));
    assert_eq!(state(r#""request":{"body":{"name":"search"}}"#).0, PayloadState::None);
    let own = r#"{"method":"POST","url":"https://a.example","params":{"q":1}}"#;
    let call = gateway(r#"{"status":"success"}"#, &format!(r#""request":{{"body":{own}}}"#));
    assert_eq!(call.arguments.as_deref(), Some(own), "what a tool asks of a web server is no message");
    assert_eq!(state(r#""request":"{\"cut","response":[1]"#), (PayloadState::NotLogged, PayloadState::NotLogged));
}

#[test]
fn local_agents_report_mcp_tools_and_others() {
    let local_with = |target: &str, outcome: &str, response: &str| {
        decode(&format!(
            r#"{{"id":8,"timestamp":{{"occurredAt":"2026-01-01T00:00:01Z","source":"client_reported"}},"eventType":"local_agent_tool_call",
            "actor":{{"actorType":"device","id":"d1"}},"action":{{"operation":"tools/call","name":"mcp__gh__search","kind":"mcp"}},
            "target":{target},"outcome":{{"status":"{outcome}","reason":"r"}},"client":"claude_code",
            "details":{{"trace":{{"sessionID":"c1","toolUseID":"toolu_1"}},"agent":{{"provider":"claude_code","permissionMode":"plan"}},
            "request":{{"body":{{"q":"x"}}}},"response":{{"body":{response}}}}}}}"#
        ))
        .unwrap()
    };
    let local = |target: &str, outcome: &str| local_with(target, outcome, "\"text\"");
    let tool = r#"{"targetType":"mcp_tool","name":"search","parent":{"targetType":"mcp_server","name":"gh"}}"#;
    let call = local(tool, "success").expect("a call");
    assert_eq!((call.session_source, call.tool_call_id.as_deref()), (SessionSource::Conversation, Some("toolu_1")));
    assert_eq!((call.tool.as_deref(), call.tool_raw.as_deref()), (Some("search"), Some("mcp__gh__search")));
    assert_eq!((call.user_id.as_deref(), call.agent.as_deref()), (None, Some("claude_code")));
    assert_eq!((call.arguments.as_deref(), call.result.as_deref()), (Some(r#"{"q":"x"}"#), Some("\"text\"")));
    let denied = local(tool, "denied").expect("a call");
    assert_eq!((denied.outcome, denied.approval), (Outcome::Denied, Approval::Unknown));
    assert_eq!(local(tool, "failure").expect("a call").outcome, Outcome::ToolError);
    let failed = local_with(tool, "success", r#"{"content":[],"isError":true}"#).expect("a call");
    assert_eq!((failed.outcome, failed.is_error), (Outcome::ToolError, Some(true)));
    assert!(local(r#"{"targetType":"local_tool","name":"Bash"}"#, "success").is_none());
}

#[test]
fn the_older_form() {
    let flat = |members: &str| {
        decode(&format!(r#"{{"id":1,"createdAt":"2025-09-01T00:00:01Z","userID":"u","mcpID":"m1",{members}}}"#))
    };
    let call = flat(
        r#""callType":"tools/call","callIdentifier":"search","mcpServerDisplayName":"GitHub","client":{"name":"c","version":"1"},
        "clientIP":"192.0.2.7","requestBody":{"name":"search","arguments":{"q":1}},"responseStatus":200,"processingTimeMs":5,
        "sessionID":"s","requestID":"2","responseBody":{"content":[]}"#,
    );
    let call = call.unwrap().expect("a call");
    assert_eq!(
        (call.tool.as_deref(), call.server.as_deref(), call.outcome),
        (Some("search"), Some("GitHub"), Outcome::Success)
    );
    assert_eq!((call.arguments.as_deref(), call.client_name.as_deref()), (Some(r#"{"q":1}"#), Some("c")));
    let call = flat(r#""callType":"tools/call","error":"boom","responseStatus":500"#).unwrap().expect("a call");
    assert_eq!((call.outcome, call.error_message.as_deref()), (Outcome::TransportError, Some("boom")));
    let call = flat(r#""callType":"notifications/message","responseStatus":200"#).unwrap().expect("a row");
    assert_eq!(call.event_kind, EventKind::Notification);
    let call = flat(r#""mcpFields":{"callType":"resources/read","callIdentifier":"f://a","mcpID":"m"}"#)
        .unwrap()
        .expect("a row");
    assert_eq!((call.method.as_str(), call.outcome), ("resources/read", Outcome::Unknown));
    assert_eq!(call.more.unwrap().mcp_resource_uri.as_deref(), Some("f://a"));
    assert!(flat(r#""sourceType":"local_agent_tool_call","callType":"""#).is_err());
}

#[test]
fn claims_its_own_only() {
    let claims = |line: &str| with_record(line, |record| Obot.claims(record));
    assert!(!claims(r#"{"eventType":"mcp_call"}"#));
    assert!(!claims(r#"{"eventType":"login","actor":{},"outcome":{}}"#));
    assert!(!claims(r#"{"callType":"tools/call"}"#));
    assert!(!claims(r#"["mcp_call"]"#));
}

#[test]
fn an_agents_own_word_for_a_call() {
    let line = r#"{"eventType":"local_agent_tool_call","actor":{"actorType":"device"},"action":{"operation":"tool_use","name":"mcp__gh__get"},
        "target":{"targetType":"mcp_tool","name":"get","parent":{"targetType":"mcp_server","name":"gh"}},"outcome":{"status":"success"}}"#;
    let call = decode(line).unwrap().expect("a call");
    assert_eq!(
        (call.method.as_str(), call.tool.as_deref(), call.server.as_deref()),
        ("tools/call", Some("get"), Some("gh"))
    );
}
