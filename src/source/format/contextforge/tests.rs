//! Rows of each table, as the database and the REST API have them, and rows that nobody should write.

use super::super::shared::testing::{decoded, one_call};
use super::*;
use crate::source::PairKey;

fn events(line: &str) -> Vec<Event> {
    decoded(&ContextForge, line).unwrap_or_else(|| panic!("not claimed: {line}")).unwrap()
}

fn audit(members: &str) -> String {
    format!(
        r#"{{"id":"a-1","timestamp":"2026-01-01T00:00:01","correlation_id":"k-1","resource_type":"tool","resource_id":"t-1",
        "resource_name":"files-read","user_id":"u-1","user_email":"u@x.example","client_ip":"192.0.2.4",
        "requires_review":false,{members}}}"#
    )
}

#[test]
fn executions_in_the_audit_trail() {
    let context = r#""action":"EXECUTE","success":true,"delegation_chain":"[{\"sub\":\"a\"}]","context":"{\"details\":{\"arguments\":{\"p\":1},\"gateway_name\":\"files\"}}""#;
    let call = one_call(&ContextForge, &audit(context));
    assert_eq!((call.method.as_str(), call.tool.as_deref()), ("tools/call", Some("files-read")));
    assert_eq!((call.server.as_deref(), call.arguments.as_deref()), (Some("files"), Some(r#"{"p":1}"#)));
    assert_eq!((call.outcome, call.user_id.as_deref()), (Outcome::Success, Some("u-1")));
    let more = call.more.unwrap();
    assert_eq!(more.delegation_chain.as_deref(), Some(r#"[{"sub":"a"}]"#));
    assert!(more.time_zone_assumed && more.extra_json.unwrap().contains(r#""correlation_id":"k-1""#));
    let failed = one_call(&ContextForge, &audit(r#""action":"execute","success":0,"error_message":"no""#));
    assert_eq!((failed.outcome, failed.arguments_state), (Outcome::ToolError, PayloadState::NotLogged));
    assert!(events(&audit(r#""action":"DELETE","success":true"#)).is_empty());
    assert!(events(&audit(r#""action":"READ","success":true"#)).is_empty());
    let of_another = audit(
        r#""action":"EXECUTE","success":true,"call_type":"call_mcp_tool","startTime":"2026-01-01","metadata":"{}""#,
    );
    assert!(decoded(&ContextForge, &of_another).is_none(), "LiteLLM's, with members of an operator's");
}

fn entry(members: &str) -> String {
    format!(
        r#"{{"timestamp":"2026-01-01T00:00:01.5+00:00","level":"INFO","component":"tool_service","correlation_id":"k-1",{members}}}"#
    )
}

fn half(line: &str) -> (Call, PairKey) {
    match events(line).pop() {
        Some(Event::Request { call, key: Some(key), .. } | Event::Response { call, key, .. }) => (*call, key),
        other => panic!("{other:?}"),
    }
}

#[test]
fn halves_in_the_log() {
    let (asked, key) = half(&entry(
        r#""message":"MCP tool call started: read","metadata":{"event":"mcp_call_started","tool_name":"read",
        "gateway_id":"g-1","transport":"streamablehttp"}"#,
    ));
    assert_eq!((asked.tool.as_deref(), asked.server.as_deref()), (Some("read"), Some("g-1")));
    assert_eq!((asked.outcome, asked.transport.as_deref()), (Outcome::NoResponse, Some("http")));
    let ends = [
        // As the log file, the database and the REST API have it.
        (
            r#""message":"m","duration_ms":12.5,"metadata":{"event":"mcp_call_completed","tool_name":"read","success":true}"#,
            Outcome::Success,
        ),
        (
            r#""message":"m","duration_ms":12.5,"context":{"metadata":{"event":"mcp_call_completed","tool_name":"read","success":false}}"#,
            Outcome::ToolError,
        ),
        (
            r#""message":"m","duration_ms":12.5,"context":"{\"metadata\":{\"event\":\"tool_timeout\",\"tool_name\":\"read\"}}""#,
            Outcome::Timeout,
        ),
        (
            r#""message":"MCP tool call failed: read","duration_ms":12.5,"error_details":{"error_type":"ConnectError","error_message":"x"}"#,
            Outcome::TransportError,
        ),
        (
            r#""message":"[tool_service] MCP tool call failed: read","duration_ms":12.5,"error_details":"{\"error_type\":\"McpError\"}""#,
            Outcome::ProtocolError,
        ),
    ];
    for (members, outcome) in ends {
        let (answer, of) = half(&entry(members));
        assert_eq!((answer.outcome, &of), (outcome, &key), "{members}");
        assert_eq!(answer.duration_ns, Some(12_500_000));
    }
    let file = r#"{"asctime":"2026-01-01 00:00:01,500","levelname":"INFO","name":"mcpgateway.services.structured_logger",
        "message":"[tool_service] MCP tool call started: read","component":"tool_service","correlation_id":"k-1"}"#;
    let (asked, of) = half(file);
    assert_eq!((asked.time, of), (time::rfc3339("2026-01-01T00:00:01.5Z"), key));
    assert!(events(&entry(r#""message":"Tool created successfully""#)).is_empty());
    let other = entry(r#""message":"m","operation_type":"http_request","is_security_event":false"#)
        .replace("tool_service", "gateway");
    assert!(events(&other).is_empty());
}

#[test]
fn spans() {
    let row = |members: &str| {
        format!(
            r#"{{"span_id":"0123456789abcdef","trace_id":"0123456789abcdef0123456789abcdef","parent_span_id":null,
            "start_time":"2026-01-01 00:00:01.5","end_time":"2026-01-01 00:00:02","duration_ms":500.0,
            "resource_name":"files-read","resource_type":"tool",{members}}}"#
        )
    };
    let call = one_call(
        &ContextForge,
        &row(r#""name":"tool.invoke","status":"ok","attributes":{"tool.name":"files-read","gateway.name":"files"}"#),
    );
    assert_eq!((call.tool.as_deref(), call.server.as_deref()), (Some("files-read"), Some("files")));
    assert_eq!(
        (call.duration_ns, call.time_source, call.outcome),
        (Some(500_000_000), TimeSource::Span, Outcome::Success)
    );
    let failed = one_call(
        &ContextForge,
        &row(
            r#""name":"tool.invoke","status":"error","attributes":"{\"error.message\":\"no\",\"error.type\":\"ToolError\"}""#,
        ),
    );
    assert_eq!((failed.outcome, failed.error_message.as_deref()), (Outcome::ToolError, Some("no")));
    assert_eq!(failed.tool.as_deref(), Some("files-read"));
    assert!(events(&row(r#""name":"database.query","status":"ok","attributes":{}"#)).is_empty());
}

#[test]
fn security_events_and_pages() {
    let event = |context: &str| {
        format!(
            r#"{{"schema_version":"1.0","event_id":"evt_1","timestamp":"2026-01-01T00:00:01+00:00","event_type":"permission_denied",
            "severity":"HIGH","category":"audit","description":"not allowed","source":{{"service":"mcpgateway"}},
            "actor":{{"user_id":"u-1","client_ip":"192.0.2.4"}},"context":{context},"action_taken":"blocked"}}"#
        )
    };
    assert!(events(&event("{}")).is_empty(), "about sign-in");
    let denied = one_call(&ContextForge, &event(r#"{"tool_name":"files-delete"}"#));
    assert_eq!((denied.event_kind, denied.outcome), (EventKind::Decision, Outcome::Denied));
    assert_eq!((denied.tool.as_deref(), denied.user_id.as_deref()), (Some("files-delete"), Some("u-1")));
    let page = format!(
        r#"{{"total":2,"results":[{},{}]}}"#,
        entry(r#""message":"MCP tool call started: a""#),
        entry(r#""message":"x""#)
    );
    assert_eq!(events(&page).len(), 1);
    let trace = format!(
        r#"{{"correlation_id":"k","log_count":0,"logs":[],"audit_trails":[{}]}}"#,
        audit(r#""action":"execute","success":true"#)
    );
    assert_eq!(events(&trace).len(), 1);
}

#[test]
fn hostile_rows() {
    for odd in [
        audit(r#""action":["execute"],"success":{}"#),
        audit(r#""action":"execute","success":true,"context":"{{{{","timestamp":1e300,"id":99999999999999999999999"#),
        entry(r#""message":7,"metadata":[{}],"duration_ms":"x""#),
        entry(r#""message":"MCP tool call completed: ","duration_ms":-5"#),
        entry(r#""message":" call started:  call failed: x","error_details":3"#),
    ] {
        assert!(decoded(&ContextForge, &odd).unwrap().is_ok(), "{odd}");
    }
    for other in [
        r#"{"total":1,"results":[{"a":1}]}"#,
        r#"{"total":1,"results":[]}"#,
        r#"{"component":"tool_service","message":"MCP tool call started: x"}"#,
        r#"{"time":"t","level":"INFO","msg":"audit_event","component":"x","message":"y","audit_id":"1","type":"t","outcome":"success"}"#,
        r#"{"span_id":"a","start_time":1,"attributes":{}}"#,
        r#"{"schema_version":"1.0","event_id":"e","action_taken":"x","source":{"service":"other"}}"#,
        "[1]",
    ] {
        assert!(decoded(&ContextForge, other).is_none(), "{other}");
    }
}
