use super::super::shared::testing::{FOREIGN, claims, decode_as, finished, prompts};
use super::*;
use crate::call::Call;

const HEAD: &str = r#"{"type":"system","subtype":"init","apiKeySource":"login","cwd":"/w","session_id":"s1","model":"Auto","permissionMode":"default"}"#;

/// The two lines of a call; `args` and `result` are members of the tool's object.
fn lines(id: &str, kind: &str, args: &str, result: &str) -> [String; 2] {
    let line = |subtype: &str, at: u32, result: &str| {
        format!(
            r#"{{"type":"tool_call","subtype":"{subtype}","call_id":"{id}","tool_call":{{"{kind}":{{"args":{args}{result}}}}},"session_id":"s1","timestamp_ms":179447400{at}000}}"#
        )
    };
    [line("started", 1, ""), line("completed", 3, &format!(r#","result":{result}"#))]
}

fn calls(lines: impl IntoIterator<Item = String>) -> Vec<Call> {
    let lines: Vec<String> = std::iter::once(HEAD.to_owned()).chain(lines).collect();
    finished(&CursorCli, &lines, &Hints { mtime: Some(77), ..Hints::default() })
}

fn one(args: &str, result: &str) -> Call {
    let mut calls = calls(lines("c1", "mcpToolCall", args, result));
    assert_eq!(calls.len(), 1, "{args} {result}");
    calls.remove(0)
}

const FIND: &str =
    r#"{"name":"docks-find","args":{"dock":3},"toolCallId":"c1","providerIdentifier":"docks","toolName":"find"}"#;

#[test]
fn two_lines_are_one_call() {
    let call = one(FIND, r#"{"success":{"content":[{"text":{"text":"free"}}],"isError":false}}"#);
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("docks"), Some("find")));
    assert_eq!((call.tool_raw.as_deref(), call.arguments.as_deref()), (Some("docks-find"), Some(r#"{"dock":3}"#)));
    assert_eq!(call.result.as_deref(), Some(r#"{"content":[{"type":"text","text":"free"}],"isError":false}"#));
    assert_eq!((call.outcome, call.duration_ns), (Outcome::Success, Some(2_000_000_000)));
    assert_eq!((call.session_id.as_deref(), call.tool_call_id.as_deref()), (Some("s1"), Some("c1")));
    let more = call.more.unwrap();
    assert_eq!((more.cwd.as_deref(), more.approval_policy.as_deref()), (Some("/w"), Some("default")));
    assert!(more.duration_includes_approval);
}

#[test]
fn a_stream_that_breaks_off_leaves_what_was_asked() {
    let [started, completed] = lines("c1", "mcpToolCall", FIND, r#"{"success":{"content":[]}}"#);
    let calls_of = |line: String| calls([line]);
    assert_eq!(calls_of(started.clone())[0].outcome, Outcome::NoResponse);
    assert_eq!(calls_of(completed.clone())[0].outcome, Outcome::Success);
    // The same stream twice in one file.
    assert_eq!(calls([started.clone(), completed.clone(), started, completed.clone()]).len(), 2);
    let untimed = completed.replace(r#","timestamp_ms":1794474003000"#, "");
    let call = calls_of(untimed).remove(0);
    assert_eq!((call.time, call.time_source), (Some(77), TimeSource::FileMtime));
}

#[test]
fn names_stand_in_several_places() {
    for (args, server, tool) in [
        (r#"{"name":"a-b-find","serverIdentifier":"a-b","toolName":"find"}"#, Some("a-b"), "find"),
        (r#"{"name":"a-b-find","toolName":"find"}"#, Some("a-b"), "find"),
        (r#"{"name":"a-b-find","providerIdentifier":"a-b"}"#, Some("a-b"), "find"),
        (r#"{"name":"a-b-find"}"#, None, "a-b-find"),
        (r#"{"toolName":"find"}"#, None, "find"),
    ] {
        let call = one(args, "{}");
        assert_eq!((call.server.as_deref(), call.tool.as_deref()), (server, Some(tool)), "{args}");
        assert_eq!((call.outcome, call.result_state), (Outcome::Unknown, PayloadState::NotLogged));
    }
    let resource = lines("r", "readMcpResourceToolCall", r#"{"server":"docks","uri":"dock://3"}"#, r#"{"success":{}}"#);
    let call = calls(resource).remove(0);
    assert_eq!((call.method.as_str(), call.server.as_deref()), ("resources/read", Some("docks")));
    assert!(calls(lines("s", "shellToolCall", r#"{"command":"ls"}"#, r#"{"success":{}}"#)).is_empty());
    assert!(calls(lines("n", "mcpToolCall", "{}", "{}")).is_empty());
}

#[test]
fn ends_differ() {
    let end = |result: &str| {
        let call = one(FIND, result);
        (call.outcome, call.approval)
    };
    let text = r#"[{"text":{"text":"no such dock"}}]"#;
    assert_eq!(end(&format!(r#"{{"success":{{"content":{text},"isError":true}}}}"#)).0, Outcome::ToolError);
    assert_eq!(end(r#"{"rejected":{"reason":"","isReadonly":false}}"#), (Outcome::Denied, Approval::UserDenied));
    assert_eq!(end(r#"{"permissionDenied":{"error":"not allowed"}}"#), (Outcome::Denied, Approval::PolicyDenied));
    assert_eq!(end(r#"{"error":{"error":"MCP error -32001: Request timed out"}}"#).0, Outcome::Timeout);
    assert_eq!(end(r#"{"error":"MCP error -32602: bad dock"}"#).0, Outcome::ProtocolError);
    assert_eq!(end(r#"{"serverNotFound":{}}"#).0, Outcome::ToolError);
}

#[test]
fn prompts_are_read_in_a_stream_of_cursors_only() {
    let user = r#"{"type":"user","message":{"role":"user","content":[{"type":"text","text":"is dock 3 free?"}]},"session_id":"s1"}"#;
    assert!(!claims(&CursorCli, user));
    let json = Object::parse(user).unwrap();
    let hints = Hints::default();
    let record = Record { text: user, json: Some(&json), position: Default::default(), lossy: false, hints: &hints };
    assert!(CursorCli.claims_in_own(&record));
    let mut out = Decoded::default();
    CursorCli.decode(&record, &mut out).unwrap();
    assert_eq!(prompts(&out.events), ["is dock 3 free?"]);
}

#[test]
fn hostile_records_do_no_harm() {
    for line in [
        r#"{"type":"tool_call","subtype":"started","call_id":7,"tool_call":{"mcpToolCall":"x"}}"#,
        r#"{"type":"tool_call","subtype":"completed","call_id":"a\nb","tool_call":{"mcpToolCall":{"args":{"name":"-","toolName":"-","args":"{\"a\":"},"result":{"success":{"content":[7,{"text":[]},{"image":{"data":1}}],"isError":"x"}}}},"timestamp_ms":1e300}"#,
        r#"{"type":"tool_call","subtype":"completed","call_id":"","tool_call":{"mcpToolCall":{"args":[],"result":[]}}}"#,
    ] {
        decode_as(&CursorCli, line, &Hints::default()).unwrap();
    }
    for text in FOREIGN {
        assert!(!claims(&CursorCli, text), "{text}");
    }
    for text in [
        r#"{"type":"system","subtype":"init","session_id":"s","tools":[],"mcp_servers":[],"apiKeySource":"none","permissionMode":"default"}"#,
        r#"{"type":"result","subtype":"success","session_id":"s","duration_api_ms":3,"num_turns":1,"request_id":"r"}"#,
        r#"{"type":"tool_call","id":"1","name":"find"}"#,
    ] {
        assert!(!claims(&CursorCli, text), "{text}");
    }
}
