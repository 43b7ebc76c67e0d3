use super::super::shared::testing::{FOREIGN, calls, claims, decode_as, prompts};
use super::*;
use crate::call::TimeSource;

fn decode(text: &str) -> Vec<Event> {
    decode_as(&CursorState, text, &Hints { mtime: Some(77), ..Hints::default() }).unwrap()
}

fn row(value: &str) -> String {
    format!(r#"{{"table":"cursorDiskKV","key":"bubbleId:conv-1:b1","value":{value}}}"#)
}

fn one(tool: &str) -> Call {
    let value = format!(r#"{{"type":2,"createdAt":"2026-11-10T08:00:00.000Z","toolFormerData":{tool}}}"#);
    let mut calls = calls(decode(&row(&value)));
    assert_eq!(calls.len(), 1, "{tool}");
    calls.remove(0)
}

/// A tool's data with params and result as Cursor nests them.
fn mcp(status: &str, result: &str, rest: &str) -> String {
    let params =
        serde_json::json!({"tools":[{"name":"find_berth","parameters":"{\"dock\":3}","serverName":"dock_plans"}]});
    let result = serde_json::json!({"selectedTool":"mcp_dock_plans_find_berth","result":result}).to_string();
    let (params, result) = (serde_json::Value::from(params.to_string()), serde_json::Value::from(result));
    format!(
        r#"{{"tool":19,"name":"mcp_dock_plans_find_berth","toolCallId":"toolu_1","status":"{status}","rawArgs":"{{\"dock\":3}}","params":{params},"result":{result}{rest}}}"#
    )
}

#[test]
fn a_bubble_holds_a_whole_call() {
    let call =
        one(&mcp("completed", r#"{"content":[{"type":"text","text":"free"}]}"#, r#","userDecision":"accepted""#));
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("dock_plans"), Some("find_berth")));
    assert_eq!(call.tool_raw.as_deref(), Some("mcp_dock_plans_find_berth"));
    assert_eq!((call.arguments.as_deref(), call.arguments_state), (Some(r#"{"dock":3}"#), PayloadState::Present));
    assert_eq!(call.result.as_deref(), Some(r#"{"content":[{"type":"text","text":"free"}]}"#));
    assert_eq!((call.outcome, call.approval), (Outcome::Success, Approval::UserAllowed));
    assert_eq!((call.session_id.as_deref(), call.tool_call_id.as_deref()), (Some("conv-1"), Some("toolu_1")));
    assert_eq!((call.time, call.time_source), (time::rfc3339("2026-11-10T08:00:00Z"), TimeSource::Record));
}

/// Versions before the autumn of 2025, with a count that is no date in front.
#[test]
fn older_messages_have_other_times() {
    let tool = mcp("completed", r#"{"content":[]}"#, "");
    let timing = r#"{"clientStartTime":81233,"clientRpcSendTime":1746000000250}"#;
    let calls = calls(decode(&row(&format!(r#"{{"type":2,"timingInfo":{timing},"toolFormerData":{tool}}}"#))));
    assert_eq!((calls[0].time, calls[0].time_source), (Some(1_746_000_000_250_000_000), TimeSource::Record));
}

#[test]
fn ends_differ() {
    let end = |tool: &str| {
        let call = one(tool);
        (call.outcome, call.approval)
    };
    let failed = mcp("completed", r#"{"content":[{"type":"text","text":"no such dock"}],"isError":true}"#, "");
    assert_eq!(end(&failed), (Outcome::ToolError, Approval::Unknown));
    assert_eq!(end(&mcp("error", "", r#","userDecision":"rejected""#)), (Outcome::Denied, Approval::UserDenied));
    assert_eq!(end(&mcp("cancelled", "", "")).0, Outcome::Cancelled);
    assert_eq!(end(&mcp("loading", "", "")).0, Outcome::NoResponse);
    assert_eq!(
        end(&mcp("error", "", r#","error":"{\"clientVisibleErrorMessage\":\"MCP error -32602: bad dock\"}""#)).0,
        Outcome::ProtocolError
    );
    let call = one(
        r#"{"tool":19,"name":"mcp-docks-find","toolCallId":"t","status":"completed","params":"{\"tools\":[{\"na","rawArgs":"","result":"{\"selectedTool\":\"x\",\"resu"}"#,
    );
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("docks"), Some("find")));
    assert_eq!((call.arguments_state, call.result_state), (PayloadState::NotLogged, PayloadState::Unparsable));
}

#[test]
fn newer_names_and_older_rows_are_read() {
    let call = one(
        r#"{"name":"call_mcp_tool","toolCallId":"t","status":"completed","params":"{\"server\":\"user-docks\",\"toolName\":\"find\",\"arguments\":{\"a\":1}}","result":"{\"result\":{\"content\":[]}}"}"#,
    );
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("user-docks"), Some("find")));
    assert_eq!((call.arguments.as_deref(), call.result.as_deref()), (Some(r#"{"a":1}"#), Some(r#"{"content":[]}"#)));
    let old = format!(
        r#"{{"table":"cursorDiskKV","key":"composerData:conv-2","value":{{"conversation":[{{"type":1,"bubbleId":"b0","text":"is dock 3 free?"}},{{"type":2,"toolFormerData":{}}}]}}}}"#,
        mcp("completed", "free", "")
    );
    let events = decode(&old);
    assert_eq!(prompts(&events), ["is dock 3 free?"]);
    let call = calls(events).remove(0);
    assert_eq!((call.session_id.as_deref(), call.result.as_deref()), (Some("conv-2"), Some(r#""free""#)));
    assert_eq!((call.time, call.time_source), (Some(77), TimeSource::FileMtime));
}

#[test]
fn everything_else_in_the_database_is_ignored() {
    for row in [
        r#"{"table":"ItemTable","key":"cursorAuth/accessToken","value":"secret"}"#,
        r#"{"table":"cursorDiskKV","key":"composerData:c","value":{"name":"x","fullConversationHeadersOnly":[]}}"#,
        r#"{"table":"cursorDiskKV","key":"bubbleId:c:b","value":null}"#,
        r#"{"table":"cursorDiskKV","key":"bubbleId:c:b","value":{"type":2,"text":"Done.","toolFormerData":{"name":"read_file_v2","tool":40,"status":"completed"}}}"#,
    ] {
        assert!(decode(row).is_empty(), "{row}");
    }
    assert_eq!(prompts(&decode(&row(r#"{"type":1,"rawText":"hello","timestamp":1700000000000}"#))), ["hello"]);
    let long = r#"{"table":"cursorDiskKV","key":"bubbleId:c:b","value":null,"omitted_bytes":99999999}"#;
    assert!(decode_as(&CursorState, long, &Hints::default()).is_err());
}

#[test]
fn hostile_records_do_no_harm() {
    for value in [
        "7",
        "[]",
        r#""x""#,
        r#"{"type":1,"text":7}"#,
        r#"{"toolFormerData":"x"}"#,
        r#"{"toolFormerData":{"tool":19,"params":"[1,2","result":"\"\"","status":"completed"}}"#,
        r#"{"createdAt":1e99,"toolFormerData":{"tool":"19","name":[],"params":{"tools":[7]}}}"#,
    ] {
        decode(&row(value));
    }
    for text in FOREIGN {
        assert!(!claims(&CursorState, text), "{text}");
    }
    assert!(!claims(&CursorState, r#"{"table":"orders","key":"a","value":1}"#));
}
