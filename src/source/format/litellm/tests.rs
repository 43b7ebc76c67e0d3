//! Payloads as callbacks and spend logs have them, and records that nobody should write.

use super::super::shared::testing::{decoded, one_call};
use super::*;

fn payload(members: &str, metadata: &str) -> String {
    format!(
        r#"{{"id":"c-1","litellm_call_id":"c-1","trace_id":"c-1","call_type":"call_mcp_tool","status":"success",
        "startTime":1767225600.25,"endTime":1767225601.5,"metadata":{{"user_api_key_user_id":"u-1",{metadata}}},{members}}}"#
    )
}

const TOOL: &str = r#""mcp_tool_call_metadata":{"name":"get_weather","arguments":{"city":"Paris"},
    "result":{"content":[{"type":"text","text":"21"}],"isError":false},"mcp_server_name":"weather",
    "namespaced_tool_name":"weather/get_weather","mcp_session_id":"sess-1"}"#;

#[test]
fn a_call_with_who_when_and_what() {
    let line = payload(r#""end_user":"e-1","requester_ip_address":"192.0.2.7""#, TOOL);
    let wrapped = format!(
        r#"{{"sourcetype":"llmgateway:litellm","event":{{"gateway":"litellm","standard_logging_object":{line}}}}}"#
    );
    for line in [line.clone(), format!(r#"{{"standard_logging_object":{line}}}"#), wrapped] {
        let call = one_call(&LiteLlm, &line);
        assert_eq!((call.method.as_str(), call.tool.as_deref()), ("tools/call", Some("get_weather")));
        assert_eq!((call.server.as_deref(), call.tool_raw.as_deref()), (Some("weather"), Some("weather/get_weather")));
        assert_eq!((call.session_id.as_deref(), call.session_source), (Some("sess-1"), SessionSource::McpSession));
        assert_eq!((call.outcome, call.is_error), (Outcome::Success, Some(false)));
        assert_eq!(call.arguments.as_deref(), Some(r#"{"city":"Paris"}"#));
        assert_eq!((call.duration_ns, call.time), (Some(1_250_000_000), Some(1_767_225_600_250_000_000)));
        assert_eq!((call.user_id.as_deref(), call.tool_call_id.as_deref()), (Some("u-1"), Some("c-1")));
        assert_eq!(call.more.unwrap().client_address.as_deref(), Some("192.0.2.7"));
    }
}

#[test]
fn a_name_with_the_servers_in_front_is_better_than_none() {
    let metadata =
        r#""mcp_tool_call_metadata":{"mcp_server_name":"weather","namespaced_tool_name":"weather-get_weather"}"#;
    let call = one_call(&LiteLlm, &payload(r#""end_user":"e""#, metadata));
    assert_eq!((call.tool.as_deref(), call.tool_raw.as_deref()), (Some("get_weather"), Some("weather-get_weather")));
}

#[test]
fn spend_logs_keep_metadata_as_text() {
    let metadata = serde_json::Value::from(format!("{{{TOOL}}}")).to_string();
    let line = format!(
        r#"{{"request_id":"r-1","call_type":"call_mcp_tool","session_id":"conv-9","status":"success",
        "startTime":"2026-01-01 00:00:00.250000","endTime":"2026-01-01 00:00:01.500000","metadata":{metadata},
        "response":"{{}}"}}"#
    );
    let call = one_call(&LiteLlm, &line);
    assert_eq!((call.tool.as_deref(), call.time), (Some("get_weather"), Some(1_767_225_600_250_000_000)));
    assert_eq!(call.outcome, Outcome::Success);
    assert!(call.more.unwrap().time_zone_assumed);
    let failed = r#"{"status":"failure","error_information":{"error_code":"403","error_class":"HTTPException"},"#;
    let failed = serde_json::Value::from(format!("{failed}{TOOL}}}")).to_string();
    let older = line.replace(&metadata, &failed).replace(r#""status":"success","#, "");
    assert_eq!(one_call(&LiteLlm, &older).outcome, Outcome::Denied);
    let cut = line.replace(r#"\"mcp_session_id\":\"sess-1\"}}"#, "");
    assert_eq!(decoded(&LiteLlm, &cut).unwrap().unwrap_err(), "metadata is not valid JSON");
}

#[test]
fn payloads_that_are_text() {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let failed = quoted(r#"{"content":[],"isError":true}"#);
    let arguments = quoted(r#"{"a":1}"#);
    let texts = format!(r#""mcp_tool_call_metadata":{{"name":"t","arguments":{arguments},"result":{failed}}}"#);
    let plain = r#""mcp_tool_call_metadata":{"name":"t","arguments":{"a":1},"result":"{}"}"#;
    for line in [payload(r#""x":1"#, &texts), payload(&format!(r#""response":{failed}"#), plain)] {
        let call = one_call(&LiteLlm, &line);
        assert_eq!((call.arguments.as_deref(), call.arguments_state), (Some(r#"{"a":1}"#), PayloadState::Present));
        assert_eq!((call.outcome, call.is_error), (Outcome::ToolError, Some(true)));
    }
}

#[test]
fn sessions() {
    let of = |members: &str, metadata: &str| {
        let call = one_call(&LiteLlm, &payload(members, metadata));
        (call.session_id.map(|id| id.to_string()), call.session_source)
    };
    let plain = r#""mcp_tool_call_metadata":{"name":"t"}"#;
    assert_eq!(of(r#""x":1"#, plain), (None, SessionSource::default()), "an id of this call alone is no session");
    assert_eq!(of(r#""trace_id":"t-9""#, plain), (Some("t-9".into()), SessionSource::Trace));
}

#[test]
fn outcomes() {
    let of = |members: &str| {
        let line = payload(members, r#""mcp_tool_call_metadata":{"name":"t","arguments":{}}"#);
        let call = one_call(&LiteLlm, &line);
        (call.outcome, call.approval)
    };
    let error = |class: &str, code: &str| {
        format!(
            r#""status":"failure","error_str":"m","error_information":{{"error_class":"{class}","error_code":"{code}"}}"#
        )
    };
    let unknown = Approval::Unknown;
    for (members, expected) in [
        (r#""x":1"#.to_owned(), (Outcome::Success, unknown)),
        (r#""response":{"content":[],"isError":true}"#.to_owned(), (Outcome::ToolError, unknown)),
        (error("HTTPException", "403"), (Outcome::Denied, Approval::PolicyDenied)),
        (error("McpError", ""), (Outcome::ProtocolError, unknown)),
        (error("TimeoutError", ""), (Outcome::Timeout, unknown)),
        (error("HTTPException", "504"), (Outcome::Timeout, unknown)),
        (error("ConnectError", "502"), (Outcome::TransportError, unknown)),
        (
            format!(r#"{},"status_fields":{{"guardrail_status":"guardrail_intervened"}}"#, error("X", "400")),
            (Outcome::Denied, Approval::PolicyDenied),
        ),
        (r#""status":"odd""#.to_owned(), (Outcome::Unknown, unknown)),
    ] {
        assert_eq!(of(&members), expected, "{members}");
    }
}

#[test]
fn other_calls_and_redaction() {
    let model = payload(r#""messages":[],"model":"m""#, r#""x":1"#).replace("call_mcp_tool", "acompletion");
    assert!(decoded(&LiteLlm, &model).unwrap().unwrap().is_empty());
    let list = r#""mcp_tool_call_metadata":{"name":"list_mcp_tools","arguments":{},"result":{"tool_count_total":4}}"#;
    let call = one_call(&LiteLlm, &payload(r#""x":1"#, list).replace("call_mcp_tool", "list_mcp_tools"));
    assert_eq!((call.method.as_str(), call.tool, call.result_state), ("tools/list", None, PayloadState::Summarised));
    let hidden = r#""mcp_tool_call_metadata":{"name":"t","arguments":"redacted-by-litellm"}"#;
    let call = one_call(&LiteLlm, &payload(r#""response":"redacted-by-litellm""#, hidden));
    assert_eq!((call.arguments_state, call.result_state), (PayloadState::Redacted, PayloadState::Redacted));
    assert_eq!((call.arguments, call.result), (None, None));
}

#[test]
fn hostile_records() {
    for odd in [
        payload(r#""startTime":{},"endTime":1e999,"status":[]"#, r#""mcp_tool_call_metadata":[1]"#),
        payload(
            r#""error_information":7,"status":"failure""#,
            r#""mcp_tool_call_metadata":{"arguments":9,"result":"x"}"#,
        ),
        payload(r#""startTime":-9e307,"endTime":9223372036854775807"#, TOOL),
        r#"{"standard_logging_object":{}}"#.to_owned(),
    ] {
        assert!(decoded(&LiteLlm, &odd).unwrap().is_ok(), "{odd}");
    }
    for other in [
        r#"{"standard_logging_object":null}"#,
        r#"{"sourcetype":"x","event":"standard_logging_object"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
        r#"{"call_type":"call_mcp_tool"}"#,
        &payload("", "")[..90],
    ] {
        assert!(decoded(&LiteLlm, other).is_none(), "{other}");
    }
}
