use super::super::shared::testing::{FOREIGN, calls, claims, decode_as, finished, prompts};
use super::*;

fn event(name: &str, rest: &str) -> String {
    format!(
        r#"{{"timestamp":"2026-11-10T08:00:10Z","session_id":"s1","transcript_path":"/home/mira/.claude/projects/w/s1.jsonl","cwd":"/w","permission_mode":"default","hook_event_name":"{name}",{rest}}}"#
    )
}

const TOOL: &str =
    r#""tool_name":"mcp__docks__find_berth","tool_input":{"dock":3},"tool_use_id":"toolu_1","duration_ms":250"#;

fn call_of(lines: &[String]) -> Call {
    let mut calls = finished(&ClaudeCodeHooks, lines, &Hints::default());
    assert_eq!(calls.len(), 1, "{lines:?}");
    calls.remove(0)
}

#[test]
fn question_and_end_are_one_call() {
    let asked = event("PreToolUse", TOOL);
    let answer = r#""tool_response":[{"type":"text","text":"free"}]"#;
    let call = call_of(&[asked.clone(), event("PostToolUse", &format!("{TOOL},{answer}"))]);
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("docks"), Some("find_berth")));
    assert_eq!((call.arguments.as_deref(), call.outcome), (Some(r#"{"dock":3}"#), Outcome::Success));
    assert_eq!(call.result.as_deref(), Some(r#"[{"type":"text","text":"free"}]"#));
    assert_eq!((call.session_id.as_deref(), call.tool_call_id.as_deref()), (Some("s1"), Some("toolu_1")));
    assert_eq!((call.time, call.duration_ns), (time::rfc3339("2026-11-10T08:00:09.750Z"), Some(250_000_000)));
    // Nothing tells of an end.
    assert_eq!(call_of(&[asked]).outcome, Outcome::NoResponse);
}

#[test]
fn ends_differ() {
    let end = |name: &str, rest: &str| {
        let call = call_of(&[event(name, &format!("{TOOL},{rest}"))]);
        (call.outcome, call.approval)
    };
    let failed = |rest: &str| end("PostToolUseFailure", rest);
    assert_eq!(failed(r#""error":"no such dock""#), (Outcome::ToolError, Approval::Unknown));
    assert_eq!(failed(r#""error":"MCP error -32001: Request timed out""#), (Outcome::Timeout, Approval::Unknown));
    assert_eq!(failed(r#""error":"stopped","is_interrupt":true"#), (Outcome::Cancelled, Approval::Unknown));
    assert_eq!(end("PermissionDenied", r#""reason":"leaves the dock""#), (Outcome::Denied, Approval::PolicyDenied));
}

#[test]
fn without_an_id_a_question_is_a_decision() {
    let line = event("PreToolUse", r#""tool_name":"mcp__docks__find_berth","tool_input":{}"#);
    let found = calls(decode_as(&ClaudeCodeHooks, &line, &Hints::default()).unwrap());
    assert_eq!((found[0].event_kind, found[0].outcome), (EventKind::Decision, Outcome::Unknown));
}

#[test]
fn other_events_and_tools_are_noise() {
    let decode = |line: &str| decode_as(&ClaudeCodeHooks, line, &Hints::default()).unwrap();
    assert!(decode(&event("PreToolUse", r#""tool_name":"Bash","tool_input":{"command":"ls"}"#)).is_empty());
    assert!(decode(&event("Stop", r#""stop_hook_active":false"#)).is_empty());
    assert_eq!(prompts(&decode(&event("UserPromptSubmit", r#""prompt":"Find a berth.""#))), ["Find a berth."]);
    let cursors = event("PreToolUse", r#""tool_name":"mcp__docks__find_berth","conversation_id":"c1""#);
    assert!(!claims(&ClaudeCodeHooks, &cursors));
    assert!(!claims(&ClaudeCodeHooks, &event("PreToolUse", r#""jsonrpc":"2.0""#)));
    for foreign in FOREIGN {
        assert!(!claims(&ClaudeCodeHooks, foreign), "{foreign}");
    }
}
