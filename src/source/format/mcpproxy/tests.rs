//! Every kind of activity, both exports, and records that nobody should write.

use super::super::shared::testing::{decoded, one_call};
use super::*;

fn record(members: &str) -> String {
    format!(r#"{{"id":"01JF","timestamp":"2026-01-15T10:30:00.5Z",{members}}}"#)
}

fn tool_call(members: &str) -> Call {
    one_call(
        &McpProxy,
        &record(&format!(r#""type":"tool_call","server_name":"gh","tool_name":"create_issue",{members}"#)),
    )
}

#[test]
fn a_call_with_who_when_and_what() {
    let call = tool_call(
        r#""source":"mcp","arguments":{"title":"x","_auth_agent_name":"ci-bot","_auth_auth_type":"agent",
        "_auth_user_id":"u-1","_auth_user_email":"u@x.example"},"response":"Issue #1","status":"success","duration_ms":500,
        "session_id":"s-1","work_session_id":"w-1","request_id":"r-1","response_bytes":8,
        "metadata":{"client_name":"Editor","client_version":"2","intent":{"operation_type":"write"}}"#,
    );
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("gh"), Some("create_issue")));
    assert_eq!(call.arguments.as_deref(), Some(r#"{"title":"x"}"#), "the proxy's own members are no arguments");
    assert_eq!((call.result.as_deref(), call.result_bytes), (Some(r#""Issue #1""#), Some(8)));
    assert_eq!((call.agent.as_deref(), call.user_id.as_deref()), (Some("ci-bot"), Some("u-1")));
    assert_eq!((call.session_id.as_deref(), call.session_source), (Some("w-1"), SessionSource::Conversation));
    assert_eq!((call.mcp_session_id.as_deref(), call.client_name.as_deref()), (Some("s-1"), Some("Editor")));
    assert_eq!(call.time, time::rfc3339("2026-01-15T10:30:00Z"));
    let more = call.more.unwrap();
    assert_eq!((more.user_email.as_deref(), more.auth_method.as_deref()), (Some("u@x.example"), Some("agent")));
    assert!(more.extra_json.unwrap().contains(r#""intent":{"operation_type":"write"}"#));
}

#[test]
fn a_text_that_holds_the_whole_result() {
    let call = tool_call(
        r#""status":"success","arguments":"{\"a\":1}","response":"{\"content\":[{\"type\":\"text\",\"text\":\"no\"}],\"isError\":true}""#,
    );
    assert_eq!(call.result.as_deref(), Some(r#"{"content":[{"type":"text","text":"no"}],"isError":true}"#));
    assert_eq!((call.outcome, call.arguments.as_deref()), (Outcome::ToolError, Some(r#"{"a":1}"#)));
    let cut = tool_call(r#""status":"success","response":"[1]","response_truncated":true"#);
    assert_eq!((cut.result.as_deref(), cut.result_state), (Some(r#""[1]""#), PayloadState::Truncated));
}

#[test]
fn outcomes() {
    let of = |members: &str| {
        let call = tool_call(members);
        (call.outcome, call.approval, call.result_state)
    };
    let (unknown, missing) = (Approval::Unknown, PayloadState::NotLogged);
    for (members, expected) in [
        (r#""status":"success""#, (Outcome::Success, unknown, missing)),
        (
            r#""status":"success","response":"cu","response_truncated":true"#,
            (Outcome::Success, unknown, PayloadState::Truncated),
        ),
        (r#""status":"error","error_message":"bad title""#, (Outcome::ToolError, unknown, missing)),
        (r#""status":"error","error_message":"context deadline exceeded""#, (Outcome::Timeout, unknown, missing)),
        (r#""status":"error","error_message":"dial: connection refused""#, (Outcome::TransportError, unknown, missing)),
        (r#""status":"blocked""#, (Outcome::Denied, Approval::PolicyDenied, missing)),
        (r#""status":"rejected""#, (Outcome::Denied, unknown, missing)),
        (r#""status":"odd""#, (Outcome::Unknown, unknown, missing)),
    ] {
        assert_eq!(of(members), expected, "{members}");
    }
}

#[test]
fn other_kinds() {
    let ignored = |line: &str| decoded(&McpProxy, line).unwrap().unwrap().is_empty();
    assert!(ignored(&record(r#""type":"system_start","status":"success""#)));
    assert!(ignored(&record(r#""type":"config_change","server_name":"gh","status":"success""#)));
    assert!(ignored(&record(r#""type":"internal_tool_call","tool_name":"call_tool_read","status":"error""#)));
    assert!(ignored(&record(
        r#""type":"internal_tool_call","status":"success","metadata":{"internal_tool_name":"call_tool_write"}"#
    )));
    let own =
        one_call(&McpProxy, &record(r#""type":"internal_tool_call","tool_name":"retrieve_tools","status":"success""#));
    assert_eq!((own.server.as_deref(), own.tool.as_deref()), (Some("mcpproxy"), Some("retrieve_tools")));
    let denied = one_call(
        &McpProxy,
        &record(
            r#""type":"policy_decision","server_name":"gh","tool_name":"delete","status":"blocked",
            "metadata":{"decision":"blocked","reason":"server is quarantined"}"#,
        ),
    );
    assert_eq!((denied.event_kind, denied.outcome), (EventKind::Decision, Outcome::Denied));
    assert_eq!(denied.error_message.as_deref(), Some("server is quarantined"));
    let prompt = one_call(
        &McpProxy,
        &record(r#""type":"prompt_get","server_name":"gh","tool_name":"review","status":"success""#),
    );
    assert_eq!((prompt.method.as_str(), prompt.tool), ("prompts/get", None));
    assert_eq!(prompt.more.unwrap().gen_ai_prompt_name.as_deref(), Some("review"));
}

#[test]
fn rows_and_pages() {
    let header = "id,type,source,server_name,tool_name,status,error_message,duration_ms,timestamp,session_id,request_id,response_truncated";
    assert!(decoded(&McpProxy, header).unwrap().unwrap().is_empty());
    let row = r#"01KD,tool_call,cli,gh,"a ""b"", c",error,"no, really",65,2026-01-15T10:30:00Z,s-1,r-1,false,p-1"#;
    let call = one_call(&McpProxy, row);
    assert_eq!((call.tool.as_deref(), call.outcome), (Some(r#"a "b", c"#), Outcome::ToolError));
    assert_eq!((call.error_message.as_deref(), call.duration_ns), (Some("no, really"), Some(65_000_000)));
    let quick = one_call(&McpProxy, "01KD,tool_call,mcp,gh,t,success,,0,2026-01-15T10:30:00Z,,,false");
    assert_eq!((quick.duration_ns, quick.time_source), (None, TimeSource::Record), "zero is left out of records");
    for (torn, reason) in [
        ("01KD,tool_call,mcp,gh,t,error,\"tool failed:".to_owned(), "csv row with an open quote"),
        ("01KD,tool_call,mcp,gh,t,success,,20".to_owned(), "csv row with too few columns"),
        ("01KD,tool_call,mcp,gh,t,success,,0,2026-01-15T10:30:00Z,,,fal".to_owned(), "csv row with an odd value"),
    ] {
        assert_eq!(decoded(&McpProxy, &torn).unwrap().unwrap_err(), reason, "{torn}");
    }
    assert!(decoded(&McpProxy, &format!("{row},x,y")).is_none(), "of a wider table, whose head says what is what");
    let inside = record(r#""type":"tool_call","server_name":"gh","tool_name":"t","status":"success""#);
    for page in [
        format!(r#"{{"success":true,"data":{{"activities":[{inside},{inside}],"total":2}}}}"#),
        format!(r#"{{"activities":[{inside},{inside}],"total":2}}"#),
    ] {
        assert_eq!(decoded(&McpProxy, &page).unwrap().unwrap().len(), 2);
    }
}

#[test]
fn hostile_records() {
    for odd in [
        record(r#""type":"tool_call","server_name":7,"tool_name":[],"arguments":"x","status":{},"duration_ms":"1e400""#),
        record(r#""type":"tool_call","server_name":"a","tool_name":"b","status":"success","metadata":[[[]]],"type":"tool_call""#),
        record(r#""type":"tool_call","server_name":"a","tool_name":"b","status":"success","duration_ms":99999999999999999999"#)
            .replace("01JF", "") ,
        r#"01KD,tool_call,mcp,"unclosed"#.to_owned(),
        "x,tool_call,\"a\"\"".to_owned(),
    ] {
        let _ = decoded(&McpProxy, &odd);
    }
    for other in [
        r#"{"id":"1","type":"tool_call","status":"success","timestamp":"2026-01-15T10:30:00Z"}"#,
        r#"{"type":"user","sessionId":"s","timestamp":"2026-01-15T10:30:00Z"}"#,
        r#"{"success":true,"data":{"rows":[{"activities":1}]}}"#,
        r#"{"success":true,"data":"activities"}"#,
        "a,b,c",
        "",
    ] {
        assert!(decoded(&McpProxy, other).is_none(), "{other}");
    }
}
