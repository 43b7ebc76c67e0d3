use super::super::shared::testing::{FOREIGN, claims, decode_as, finished, prompts};
use super::*;
use crate::source::Hints;

fn decode(text: &str) -> Vec<Event> {
    decode_as(&CopilotCli, text, &Hints::default()).unwrap()
}

fn event(kind: &str, second: u32, data: &str) -> String {
    format!(
        r#"{{"type":"{kind}","data":{data},"id":"e{second}","timestamp":"2026-11-10T08:00:{second:02}.000Z","parentId":null}}"#
    )
}

fn read(lines: &[String]) -> Vec<Call> {
    finished(&CopilotCli, lines, &Hints::default())
}

const HEAD: &str =
    r#"{"sessionId":"s1","version":1,"copilotVersion":"1.0.80","context":{"cwd":"/work/app","branch":"main"}}"#;

fn start(id: &str, second: u32) -> String {
    let data = format!(
        r#"{{"toolCallId":"{id}","toolName":"rates-get_quote","mcpServerName":"rates","mcpToolName":"get_quote","arguments":{{"lane":"HAM-GDN"}},"model":"gpt-5"}}"#
    );
    event("tool.execution_start", second, &data)
}

fn end(id: &str, second: u32, rest: &str) -> String {
    event("tool.execution_complete", second, &format!(r#"{{"toolCallId":"{id}",{rest}}}"#))
}

#[test]
fn start_and_end_are_one_call() {
    let calls = read(&[
        event("session.start", 0, HEAD),
        start("c1", 1),
        end("c1", 3, r#""success":true,"result":{"content":"412 EUR","detailedContent":"412 EUR"}"#),
        start("c2", 4),
    ]);
    let [call, open] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("rates"), Some("get_quote")));
    assert_eq!((call.tool_raw.as_deref(), call.session_id.as_deref()), (Some("rates-get_quote"), Some("s1")));
    assert_eq!((call.outcome, call.duration_ns), (Outcome::Success, Some(2_000_000_000)));
    assert_eq!((call.session_source, call.client_version.as_deref()), (SessionSource::Conversation, Some("1.0.80")));
    let more = call.more.as_ref().unwrap();
    assert!(more.duration_includes_approval && more.agent_is_subagent.is_none());
    assert_eq!((more.cwd.as_deref(), more.git_branch.as_deref()), (Some("/work/app"), Some("main")));
    assert_eq!((open.outcome, open.tool_call_id.as_deref()), (Outcome::NoResponse, Some("c2")));
}

#[test]
fn failures_and_refusals_differ() {
    let outcome = |rest: &str| {
        let call = read(&[start("c", 1), end("c", 2, rest)]).remove(0);
        (call.outcome, call.approval)
    };
    let error = |code: &str, message: &str| {
        outcome(&format!(r#""success":false,"error":{{"code":"{code}","message":"{message}"}}"#))
    };
    assert_eq!(error("rejected", "The user rejected this tool call."), (Outcome::Denied, Approval::UserDenied));
    assert_eq!(error("denied", "Blocked by a rule"), (Outcome::Denied, Approval::Unknown));
    assert_eq!(error("failure", "MCP error -32602: bad lane").0, Outcome::ProtocolError);
    assert_eq!(error("failure", "MCP error -32001: Request timed out").0, Outcome::Timeout);
    assert_eq!(error("failure", "fetch failed").0, Outcome::TransportError);
    assert_eq!(error("failure", "no such lane").0, Outcome::ToolError);
    assert_eq!(error("timeout", "").0, Outcome::Timeout);
    assert_eq!(outcome(r#""result":7"#).0, Outcome::Unknown);
}

#[test]
fn an_answered_permission_says_who_decided() {
    let answer = |kind: &str| {
        let answer = event("permission.completed", 2, &format!(r#"{{"toolCallId":"c","result":{{"kind":"{kind}"}}}}"#));
        let denied = r#""success":false,"error":{"code":"denied","message":"Denied"}"#;
        let rest = if kind.starts_with("denied") { denied } else { r#""success":true"# };
        read(&[start("c", 1), answer, end("c", 3, rest)]).remove(0).approval
    };
    assert_eq!(answer("denied-by-rules"), Approval::PolicyDenied);
    assert_eq!(answer("denied-interactively-by-user"), Approval::UserDenied);
    assert_eq!(answer("approved-for-session"), Approval::UserAllowed);
    assert_eq!(answer("approved"), Approval::Unknown);
}

#[test]
fn tools_of_the_client_are_no_calls() {
    let built_in =
        event("tool.execution_start", 1, r#"{"toolCallId":"b","toolName":"bash","arguments":{"command":"ls"}}"#);
    assert!(read(&[built_in, end("b", 2, r#""success":true"#), end("elsewhere", 3, r#""success":true"#)]).is_empty());
    let bundled = r#"{"toolCallId":"g","toolName":"github-mcp-server-list_issues"}"#;
    let call = read(&[event("tool.execution_start", 1, bundled)]).remove(0);
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("github-mcp-server"), Some("list_issues")));
    assert_eq!(call.arguments_state, PayloadState::NotLogged);
    let chat = r#"{"toolCallId":"v","toolName":"mcp_rates_get_quote","arguments":"{\"lane\":1}"}"#;
    let call = read(&[event("tool.execution_start", 1, chat)]).remove(0);
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("rates"), Some("get_quote")));
    assert_eq!(call.arguments.as_deref(), Some(r#"{"lane":1}"#));
}

#[test]
fn what_the_user_typed_is_a_prompt() {
    assert_eq!(
        prompts(&decode(&event("user.message", 1, r#"{"content":"quote HAM to GDN","source":"user"}"#))),
        ["quote HAM to GDN"]
    );
    assert!(decode(&event("user.message", 1, r#"{"content":"<skill>","source":"skill-pdf"}"#)).is_empty());
    let flat =
        r#"{"session_id":"s9","cwd":"/w","type":"userpromptsubmitted","prompt":"go on","timestamp":1700002000000}"#;
    let events = decode(flat);
    assert_eq!(prompts(&events), ["go on"]);
    let Event::Prompt(prompt) = &events[0] else { panic!("{events:?}") };
    assert_eq!((prompt.session_id.as_deref(), prompt.time), (Some("s9"), Some(1_700_002_000_000_000_000)));
    assert!(decode(r#"{"session_id":"s9","type":"assistantresponse","result":"done"}"#).is_empty());
}

#[test]
fn hostile_records_do_no_harm() {
    for data in [
        r#"{}"#,
        r#"{"toolCallId":7,"toolName":[]}"#,
        r#"{"toolCallId":"x","toolCallId":"y","mcpServerName":"","toolName":"mcp_"}"#,
    ] {
        for kind in TYPES.map(|(kind, _)| kind) {
            let line = event(kind, 1, data);
            assert!(claims(&CopilotCli, &line));
            decode(&line);
        }
    }
    decode(r#"{"type":"session.start","data":{"context":7},"timestamp":1e999}"#);
    for text in FOREIGN {
        assert!(!claims(&CopilotCli, text), "{text}");
    }
    assert!(!claims(&CopilotCli, r#"{"type":"custom","parentId":"p","data":{"a":1}}"#));
    assert!(!claims(&CopilotCli, r#"{"type":"tool.execution_start"}"#));
}
