use super::*;
use crate::call::{IdType, Position};
use crate::source::{Event, Hints};

fn with_record<T>(line: &str, look: impl FnOnce(&Record<'_>) -> T) -> T {
    let json = Object::parse(line).ok();
    let hints = Hints::default();
    look(&Record { text: line, json: json.as_ref(), position: Position::default(), lossy: false, hints: &hints })
}

fn calls(line: &str) -> Vec<Call> {
    with_record(line, |record| {
        assert!(KongAi.claims(record), "{line}");
        let mut out = Decoded::default();
        KongAi.decode(record, &mut out).unwrap();
        let call = |event| match event {
            Event::Call { call, .. } => *call,
            other => panic!("{other:?}"),
        };
        out.events.into_iter().map(call).collect()
    })
}

/// A log object with these members of `ai.mcp`.
fn log(status: &str, mcp: &str) -> String {
    format!(
        r#"{{"started_at":1767225601000,"client_ip":"192.0.2.8","latencies":{{"request":9}},"request":{{"headers":{{"user-agent":"ua"}}}},
        "response":{{"status":{status}}},"service":{{"name":"orders","host":"orders.test"}},"route":{{"name":"r"}},
        "consumer":{{"id":"c-1","username":"mira"}},"ai":{{"mcp":{{"mcp_session_id":"s",{mcp}}}}}}}"#
    )
}

const CALL: &str =
    r#""rpc":[{"method":"tools/call","id":"19","latency":200,"tool_name":"list","response_body_size":50}]"#;

#[test]
fn a_message_and_the_verdict_on_it() {
    let audit = r#""audit":[{"primitive_name":"list","primitive":"tool","action":"allow","scope":"primitive",
        "consumer":{"name":"admin","identifier":"consumer_group"}}]"#;
    let found = calls(&log("200", &format!("{CALL},{audit}")));
    assert_eq!(found.len(), 1);
    let call = &found[0];
    assert_eq!(
        (call.method.as_str(), call.tool.as_deref(), call.server.as_deref()),
        ("tools/call", Some("list"), Some("orders"))
    );
    assert_eq!((call.outcome, call.approval), (Outcome::Success, Approval::AutoAllowed));
    assert_eq!((call.time, call.duration_ns), (Some(1_767_225_601_000_000_000), Some(200_000_000)));
    assert_eq!((call.jsonrpc_request_id.as_deref(), call.jsonrpc_id_type), (Some("19"), None));
    assert_eq!((call.arguments_state, call.result_state), (PayloadState::NotLogged, PayloadState::NotLogged));
    assert_eq!((call.result_bytes, call.user_id.as_deref()), (Some(50), Some("mira")));
    assert_eq!(call.more.as_ref().unwrap().approval_source.as_deref(), Some("admin"));
}

#[test]
fn a_denied_call_has_no_message() {
    let denied = r#""audit":[{"primitive_name":"drop","primitive":"tool","action":"deny","scope":"primitive",
        "consumer":{"id":"x","name":"bo","identifier":"consumer"}},{"primitive_name":null,"primitive":"tool","action":"allow"}]"#;
    let found = calls(&log("403", denied));
    assert_eq!((found[0].event_kind, found[0].tool.as_deref()), (EventKind::Call, Some("drop")));
    assert_eq!((found[0].outcome, found[0].approval), (Outcome::Denied, Approval::PolicyDenied));
    assert_eq!((found[1].event_kind, found[1].outcome), (EventKind::Decision, Outcome::Unknown));
    let list =
        r#""rpc":[{"method":"tools/list"}],"audit":[{"primitive_name":null,"primitive":"tool","action":"allow"}]"#;
    let found = calls(&log("200", list));
    assert_eq!((found.len(), found[0].approval), (1, Approval::AutoAllowed));
    // Verdicts are not used twice.
    let twice = CALL.replace("]", r#",{"method":"tools/call","tool_name":"list"}]"#);
    let one = r#""audit":[{"primitive_name":"list","primitive":"tool","action":"deny"}]"#;
    let found = calls(&log("200", &format!("{twice},{one}")));
    assert_eq!(found.iter().map(|call| call.outcome).collect::<Vec<_>>(), [Outcome::Denied, Outcome::Success]);
}

#[test]
fn payloads_are_json_strings() {
    let with = |request: &str, response: &str| {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let payload = format!(r#""payload":{{"request":{},"response":{}}}"#, quoted(request), quoted(response));
        calls(&log("200", &CALL.replace(r#""id":"19""#, &format!(r#""id":"19",{payload}"#)))).remove(0)
    };
    let request = r#"{"jsonrpc":"2.0","id":19,"method":"tools/call","params":{"name":"list","arguments":{"a":1},"_meta":{"p":1}}}"#;
    let call = with(request, r#"{"jsonrpc":"2.0","id":19,"result":{"isError":true,"content":[]}}"#);
    assert_eq!((call.arguments.as_deref(), call.outcome), (Some(r#"{"a":1}"#), Outcome::ToolError));
    assert_eq!((call.jsonrpc_request_id.as_deref(), call.jsonrpc_id_type), (Some("19"), Some(IdType::Int)));
    let call = with(request, r#"{"jsonrpc":"2.0","id":19,"error":{"code":-32602,"message":"m"}}"#);
    assert_eq!((call.outcome, call.rpc_response_status_code), (Outcome::ProtocolError, Some(-32602)));
    let stream =
        "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":19,\"result\":{\"isError\":true},\"error\":null}\n\n";
    let call = with(request, stream);
    assert_eq!((call.outcome, call.result.as_deref()), (Outcome::ToolError, Some(r#"{"isError":true}"#)));
    assert!(!call.flags.has(Flag::TruncatedJson as u32));
    let call = with(r#"{"jsonrpc":"2.0","par"#, "");
    assert_eq!((call.arguments_state, call.result_state), (PayloadState::Unparsable, PayloadState::NotLogged));
    assert!(call.flags.has(Flag::TruncatedJson as u32));
}

#[test]
fn errors() {
    let failed = CALL.replace(r#""id":"19""#, r#""id":"19","error":"boom""#);
    let of = |status: &str| calls(&log(status, &failed)).remove(0);
    let call = of("200");
    assert_eq!((call.outcome, call.error_message.as_deref()), (Outcome::ProtocolError, Some("boom")));
    let call = of("502");
    assert_eq!((call.outcome, call.error_message.as_deref()), (Outcome::TransportError, Some("boom")));
    assert_eq!(of("401").outcome, Outcome::Denied);
}

#[test]
fn batches_and_wrong_types() {
    let batch = format!("[{},{{}},{}]", log("200", CALL), log("200", CALL)).replace('\n', " ");
    assert_eq!(calls(&batch).len(), 2);
    for odd in [r#""rpc":{}"#, r#""rpc":[1,null,[],"x"]"#, r#""rpc":null,"audit":"x""#, r#""audit":[{"consumer":[]}]"#]
    {
        let found = calls(&log("[]", odd));
        assert!(found.len() <= 4, "{odd}");
    }
    let many = vec![r#"{"method":"tools/call","tool_name":"t"}"#; 4_000].join(",");
    let verdicts = vec![r#"{"primitive_name":"u","primitive":"tool","action":"allow"}"#; 4_000].join(",");
    let found = calls(&log("200", &format!(r#""rpc":[{many}],"audit":[{verdicts}]"#)));
    assert_eq!(found.len(), 8_000);
    let flood = log("200", &format!(r#""rpc":[{}]"#, vec!["{}"; 30_000].join(",")));
    with_record(&flood, |record| assert!(KongAi.decode(record, &mut Decoded::default()).is_err()));
}

#[test]
fn claims_its_own_only() {
    let claims = |line: &str| with_record(line, |record| KongAi.claims(record));
    assert!(!claims(r#"{"ai":{"proxy":{"meta":{}}},"latencies":{}}"#));
    assert!(!claims(r#"{"ai":"\"mcp\""}"#));
    assert!(!claims(r#"{"ai":{"mcp":[]}}"#));
    assert!(!claims(r#"[{"mcp":1}]"#));
    let other = r#"{"latencies":{},"request":{},"response":{}}"#;
    with_record(other, |record| assert!(!KongAi.claims(record) && KongAi.tolerates(record)));
}
