//! The ways in which producers write MCP calls into the class, and events that are none.

use super::super::shared::testing::{decoded, one_call};
use super::*;
use crate::call::{Approval, EventKind};

/// An event with these members after the usual ones.
fn event(members: &str) -> String {
    format!(
        r#"{{"class_uid":6003,"category_uid":6,"type_uid":600301,"activity_id":1,"severity_id":1,"time":1795342530123,
        "metadata":{{"version":"1.8.0","uid":"evt-1","product":{{"name":"p"}}}},{members}}}"#
    )
}

fn call(members: &str) -> Call {
    one_call(&OcsfApiActivity, &event(members))
}

const API: &str = r#""api":{"operation":"tools/call http.post","version":"2025-11-25","service":{"name":"http-mcp"},
    "request":{"uid":"req-1","data":{"url":"https://a.example"}},"response":{"code":0}},
    "resources":[{"uid":"mcp-tool:http-mcp/http.post","name":"http.post","type":"MCP tool"}]"#;

#[test]
fn a_call_with_who_when_and_what() {
    let call = call(&format!(
        r#"{API},"status_id":1,"actor":{{"app_name":"notes","session":{{"uid":"s-1"}},
        "user":{{"name":"d@corp.example","uid":"u-1"}}}},"src_endpoint":{{"ip":"192.0.2.4","hostname":"wks"}},
        "dst_endpoint":{{"hostname":"paste.example"}},"message_context":{{"uid":"c-1","application":{{"name":"IDE"}}}},
        "ai_agent":{{"uid":"a-1","name":"writer","ai_model":{{"name":"m-1"}}}},
        "trace":{{"uid":"4bf92f3577b34da6a3ce929d0e0e4736","span":{{"uid":"00f067aa0ba902b7",
        "start_time":1795342530003,"end_time":1795342530123}}}}"#
    ));
    assert_eq!((call.method.as_str(), call.tool.as_deref()), ("tools/call", Some("http.post")));
    assert_eq!((call.server.as_deref(), call.server_address.as_deref()), (Some("http-mcp"), Some("paste.example")));
    assert_eq!(call.arguments.as_deref(), Some(r#"{"url":"https://a.example"}"#));
    assert_eq!((call.outcome, call.result_state), (Outcome::Success, PayloadState::NotLogged));
    assert_eq!((call.session_id.as_deref(), call.session_source), (Some("c-1"), SessionSource::Conversation));
    assert_eq!((call.mcp_session_id.as_deref(), call.agent.as_deref()), (Some("s-1"), Some("writer")));
    assert_eq!((call.time, call.time_source), (Some(1_795_342_530_003_000_000), TimeSource::Span));
    assert_eq!((call.duration_ns, call.span_id.as_deref()), (Some(120_000_000), Some("00f067aa0ba902b7")));
    assert_eq!((call.mcp_protocol_version.as_deref(), call.user_id.as_deref()), (Some("2025-11-25"), Some("u-1")));
    let more = call.more.unwrap();
    assert_eq!(
        (more.gen_ai_request_model.as_deref(), more.source_format_version.as_deref()),
        (Some("m-1"), Some("1.8.0"))
    );
}

#[test]
fn other_ways_to_say_it() {
    let invoke = call(
        r#""status":"Failure","status_id":2,"status_detail":"Invalid parameter",
        "api":{"operation":"invoke","service":{"name":"mcp.tool"},"version":"1.0"},"resources":[{"name":"analyze","type":"tool"}]"#,
    );
    assert_eq!((invoke.method.as_str(), invoke.tool.as_deref(), invoke.server), ("tools/call", Some("analyze"), None));
    assert_eq!((invoke.outcome, invoke.error_message.as_deref()), (Outcome::ToolError, Some("Invalid parameter")));
    assert_eq!(invoke.mcp_protocol_version, None);
    let flat = r#"{"class_uid":6003,"time":"2026-05-29T12:00:01.456789012Z","request_id":"r-1","session_id":"s-1",
        "target_type":"tool","target":"write_file","method":"tools/call","decision":"deny","denial_code":"AUTHORIZATION_FAILED",
        "upstream":"files"}"#;
    let flat = one_call(&OcsfApiActivity, flat);
    assert_eq!((flat.tool.as_deref(), flat.server.as_deref()), (Some("write_file"), Some("files")));
    assert_eq!((flat.outcome, flat.approval), (Outcome::Denied, Approval::PolicyDenied));
    assert_eq!(
        (flat.session_source, flat.time),
        (SessionSource::McpSession, time::rfc3339("2026-05-29T12:00:01.456789012Z"))
    );
    assert_eq!(flat.more.unwrap().approval_source.as_deref(), Some("AUTHORIZATION_FAILED"));
    let read = call(r#""status_id":1,"api":{"operation":"resources/read","request":{"data":{"uri":"file:///a"}}}"#);
    assert_eq!(read.more.unwrap().mcp_resource_uri.as_deref(), Some("file:///a"));
    let list = call(r#""status_id":1,"api":{"operation":"tools/list"}"#);
    assert_eq!((list.method.as_str(), list.tool), ("tools/list", None));
    let text = call(&API.replace(r#"{"url":"https://a.example"}"#, r#""{\"url\":\"https://a.example\"}""#));
    assert_eq!(text.arguments.as_deref(), Some(r#"{"url":"https://a.example"}"#));
    let note = call(r#""api":{"operation":"notifications/initialized"}"#);
    assert_eq!(note.event_kind, EventKind::Notification);
}

#[test]
fn outcomes() {
    let of = |members: &str| call(&format!(r#"{members},"api":{{"operation":"tools/call t"}}"#)).outcome;
    let with = |response: &str, members: &str| {
        call(&format!(r#"{members},"api":{{"operation":"tools/call t","response":{response}}}"#)).outcome
    };
    assert_eq!(of(r#""x":1"#), Outcome::Unknown);
    assert_eq!(of(r#""status_id":1"#), Outcome::Success);
    assert_eq!(of(r#""status_id":2"#), Outcome::ToolError);
    assert_eq!(of(r#""status_id":2,"action_id":2"#), Outcome::Denied);
    assert_eq!(of(r#""status_id":1,"disposition_id":2"#), Outcome::Denied);
    assert_eq!(of(r#""decision":"escalate""#), Outcome::Denied);
    assert_eq!(of(r#""decision":"allow""#), Outcome::Unknown, "that it may run does not say how it ended");
    assert_eq!(with(r#"{"code":-32602}"#, r#""status_id":2"#), Outcome::ProtocolError);
    assert_eq!(with(r#"{"code":502}"#, r#""status_id":2"#), Outcome::TransportError);
    assert_eq!(with(r#"{"code":504}"#, r#""status_id":2"#), Outcome::Timeout);
    assert_eq!(with(r#"{"data":{"isError":true,"content":[]}}"#, r#""status_id":1"#), Outcome::ToolError);
    assert_eq!(with(r#"{"data":"{\"isError\":true,\"content\":[]}"}"#, r#""status_id":1"#), Outcome::ToolError);
}

#[test]
fn events_of_other_apis_and_hostile_ones() {
    for odd in [
        event(
            r#""time":{},"api":{"operation":"tools/call","request":{"data":"x"},"response":{"data":7,"code":1e99}},"resources":[[]]"#,
        ),
        event(r#""api":{"operation":"tools/call a b c","version":"éééé-éééé"},"trace":[],"actor":"x","duration":-1"#),
        event(r#""api":{"operation":"tools/call"},"api":{"operation":"tools/list"}"#),
    ] {
        assert!(decoded(&OcsfApiActivity, &odd).unwrap().is_ok(), "{odd}");
    }
    for other in [
        event(r#""api":{"operation":"CreateAccessKey","service":{"name":"iam.amazonaws.com"}}"#),
        event(r#""api":{"operation":"ping","service":{"name":"monitor"}}"#),
        event(r#""api":{"operation":"read","service":{"name":"secrets"}},"resources":[{"name":"K","type":"secret"}]"#),
        event(r#""api":{"operation":"invoke","service":{"name":"mcp.tool"}},"resources":[]"#),
        event(&API.replace("\"x\"", "")).replace("6003", "2004"),
        event(r#""method":"tools/call""#),
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"class_uid":6003}}"#.to_owned(),
    ] {
        assert!(decoded(&OcsfApiActivity, &other).is_none(), "{other}");
    }
}
