use super::super::shared::testing::{FOREIGN, calls, claims, decode_as, prompts};
use super::*;
use crate::source::Hints;

fn decode(text: &str) -> Vec<Event> {
    decode_as(&CursorHooks, text, &Hints::default()).unwrap()
}

fn event(name: &str, rest: &str) -> String {
    format!(
        r#"{{"conversation_id":"c1","generation_id":"g1","model":"claude-4.5","hook_event_name":"{name}","cursor_version":"2.4.1","workspace_roots":["/work/docks"],"user_email":"tomas@fernhollow.example","timestamp":"2026-11-10T08:00:10Z",{rest}}}"#
    )
}

fn one(name: &str, rest: &str) -> Call {
    let mut calls = calls(decode(&event(name, rest)));
    assert_eq!(calls.len(), 1, "{rest}");
    calls.remove(0)
}

#[test]
fn what_ran_is_a_call() {
    let call = one(
        "afterMCPExecution",
        r#""tool_name":"find_berth","tool_input":"{\"dock\":3}","result_json":"{\"content\":[{\"type\":\"text\",\"text\":\"free\"}]}","duration":250,"mcp_server_name":"docks","command":"npx docks-mcp""#,
    );
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("docks"), Some("find_berth")));
    assert_eq!((call.arguments.as_deref(), call.outcome), (Some(r#"{"dock":3}"#), Outcome::Success));
    assert_eq!(call.result.as_deref(), Some(r#"{"content":[{"type":"text","text":"free"}]}"#));
    assert_eq!(
        (call.time, call.time_source),
        (time::rfc3339("2026-11-10T08:00:09.750Z"), TimeSource::EndMinusDuration)
    );
    assert_eq!((call.duration_source, call.session_id.as_deref()), (Some(DurationSource::Measured), Some("c1")));
    assert_eq!((call.user_id.as_deref(), call.transport.as_deref()), (Some("tomas@fernhollow.example"), Some("stdio")));
    let more = call.more.unwrap();
    assert_eq!((more.cwd.as_deref(), more.server_command.as_deref()), (Some("/work/docks"), Some("npx docks-mcp")));

    let call = one(
        "afterMCPExecution",
        r#""tool_name":"MCP:docks:find","tool_input":{"a":1},"result_json":"{\"isError\":true,\"content\":[]}","url":"https://docks.example/mcp""#,
    );
    assert_eq!(
        (call.server.as_deref(), call.tool.as_deref(), call.outcome),
        (Some("docks"), Some("find"), Outcome::ToolError)
    );
    assert_eq!((call.time_source, call.transport.as_deref()), (TimeSource::ResponseLine, Some("http")));
    let call = one("afterMCPExecution", r#""tool_name":"find","tool_input":"{\"a\":","result_json":"free as text""#);
    assert_eq!((call.arguments_state, call.result.as_deref()), (PayloadState::Unparsable, Some(r#""free as text""#)));
    let call = one("afterMCPExecution", r#""tool_name":"find","tool_input":"","result_json":"""#);
    assert_eq!((call.result, call.result_state, call.outcome), (None, PayloadState::NotLogged, Outcome::Unknown));
    let call = one("afterMCPExecution", r#""tool_name":"find","duration":123.7"#);
    assert_eq!((call.outcome, call.duration_ns), (Outcome::Unknown, Some(123_700_000)));
}

#[test]
fn what_was_asked_is_a_decision_and_what_failed_a_call() {
    let call =
        one("beforeMCPExecution", r#""tool_name":"find_berth","tool_input":"{}","url":"https://docks.example/mcp""#);
    assert_eq!(
        (call.event_kind, call.outcome, call.time_source),
        (EventKind::Decision, Outcome::Unknown, TimeSource::Record)
    );
    let failure = |kind: &str, message: &str| {
        one("postToolUseFailure", &format!(r#""tool_name":"MCP:find","tool_use_id":"t1","failure_type":"{kind}","error_message":"{message}","duration":9"#)).outcome
    };
    assert_eq!(failure("timeout", "x"), Outcome::Timeout);
    assert_eq!(failure("permission_denied", "x"), Outcome::Denied);
    assert_eq!(failure("error", "MCP error -32602: bad"), Outcome::ProtocolError);
    assert_eq!(failure("error", "no such dock"), Outcome::ToolError);
    for other in ["preToolUse", "postToolUse", "beforeShellExecution", "stop"] {
        assert!(decode(&event(other, r#""tool_name":"MCP:find""#)).is_empty(), "{other}");
    }
    assert!(decode(&event("postToolUseFailure", r#""tool_name":"Shell""#)).is_empty());
    assert_eq!(
        prompts(&decode(&event("beforeSubmitPrompt", r#""prompt":"is dock 3 free?","attachments":[]"#))),
        ["is dock 3 free?"]
    );
}

#[test]
fn a_stamp_in_front_is_local_time() {
    let line = r#"[2026-11-10 09:00:10] {"hook_event_name":"afterMCPExecution","conversation_id":"c1","tool_name":"find","tool_input":"{}","duration":1000}"#;
    let call = calls(decode(line)).remove(0);
    assert_eq!(call.time, time::rfc3339("2026-11-10T09:00:09Z"));
    assert!(call.flags.has(Flag::ZoneAssumed as u32));
    let cut = r#"[2026-11-10 09:00:10] {"hook_event_name":"afterMCPExecution","conversation_id":"c1","tool"#;
    assert!(decode_as(&CursorHooks, cut, &Hints::default()).is_err());
}

#[test]
fn hostile_records_do_no_harm() {
    for rest in [
        r#""tool_name":7"#,
        r#""tool_name":"","tool_input":[],"duration":-1"#,
        r#""duration":9223372036854775807,"result_json":{"isError":"yes"}"#,
        r#""workspace_roots":"x","timestamp":1e300"#,
    ] {
        for name in ["afterMCPExecution", "beforeMCPExecution", "beforeSubmitPrompt", "postToolUseFailure"] {
            decode(&event(name, rest));
        }
    }
    for text in FOREIGN {
        assert!(!claims(&CursorHooks, text), "{text}");
    }
    assert!(!claims(&CursorHooks, r#"{"hook_event_name":"PreToolUse","session_id":"s","tool_name":"mcp__a__b"}"#));
    assert!(!claims(&CursorHooks, "[info] {\"hook_event_name\":1,\"conversation_id\":2}"));
}
