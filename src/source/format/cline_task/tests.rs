use super::super::shared::testing::{FOREIGN, claims, decode_as, finished, prompts};
use super::*;
use crate::source::Hints;

fn say(at: u32, kind: &str, text: &str) -> String {
    let text = serde_json::Value::from(text);
    format!(r#"{{"ts":17944740{at:02}000,"type":"say","say":"{kind}","text":{text}}}"#)
}

fn request(at: u32, kind: &str, text: &str) -> String {
    let text = serde_json::Value::from(text);
    format!(r#"{{"ts":17944740{at:02}000,"type":"{kind}","{kind}":"use_mcp_server","text":{text}}}"#)
}

const FIND: &str = r#"{"type":"use_mcp_tool","serverName":"docks","toolName":"find","arguments":"{\"dock\":3}"}"#;

fn calls(lines: &[String]) -> Vec<Call> {
    finished(&ClineTask, lines, &Hints::default())
}

#[test]
fn what_is_asked_and_the_answer_said_next_are_a_call() {
    let calls = calls(&[
        request(1, "ask", FIND),
        say(2, "mcp_server_request_started", ""),
        say(3, "mcp_server_response", "free"),
        request(4, "say", FIND),
        say(5, "mcp_server_response", "Error:\nno such dock"),
        request(6, "ask", r#"{"type":"access_mcp_resource","serverName":"docks","uri":"dock://3"}"#),
        say(7, "error", "Error accessing MCP resource:\nMCP error -32602: bad uri"),
        request(8, "ask", r#"{"type":"use_mcp_tool","serverName":"docks","toolName":"list"}"#),
        say(9, "error", "Error executing MCP tool:\nMCP error -32001: Request timed out"),
    ]);
    let [find, again, resource, list] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!((find.server.as_deref(), find.tool.as_deref()), (Some("docks"), Some("find")));
    assert_eq!((find.arguments.as_deref(), find.result.as_deref()), (Some(r#"{"dock":3}"#), Some(r#""free""#)));
    assert_eq!((find.outcome, find.approval), (Outcome::Success, Approval::Unknown));
    assert_eq!((find.duration_ns, find.time_source), (Some(2_000_000_000), TimeSource::RequestLine));
    assert_eq!((again.outcome, again.approval), (Outcome::ToolError, Approval::AutoAllowed));
    assert_eq!(again.error_message.as_deref(), Some("no such dock"));
    assert_eq!((resource.method.as_str(), resource.outcome), ("resources/read", Outcome::ProtocolError));
    assert_eq!((list.outcome, list.arguments_state), (Outcome::Timeout, PayloadState::None));
}

#[test]
fn a_refused_call_takes_no_answer_of_the_next() {
    let other = FIND.replace("find", "list");
    let lines = [request(1, "ask", FIND), request(5, "ask", &other), say(6, "mcp_server_response", "none")];
    let mut calls = calls(&lines);
    calls.sort_by_key(|call| call.time);
    let ends: Vec<_> = calls.iter().map(|call| (call.tool.as_deref(), call.outcome)).collect();
    assert_eq!(ends, [(Some("find"), Outcome::Cancelled), (Some("list"), Outcome::Success)]);
}

#[test]
fn what_was_never_asked_is_no_call() {
    let partial = request(1, "ask", FIND).replace(r#""text""#, r#""partial":true,"text""#);
    assert!(calls(&[partial, say(2, "text", "On it."), say(3, "error", "disk full")]).is_empty());
    let feedback = decode_as(&ClineTask, &say(1, "user_feedback", " only dock 3 "), &Hints::default()).unwrap();
    assert_eq!(prompts(&feedback), ["only dock 3"]);
    let hints = Hints { file_name: CONVERSATION.to_owned(), ..Hints::default() };
    let told = r#"{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"use_mcp_tool","input":{}}],"ts":1794474000000}"#;
    assert!(decode_as(&ClineTask, told, &hints).unwrap().is_empty());
    assert!(!claims(&ClineTask, told));
}

#[test]
fn hostile_records_do_no_harm() {
    for text in ["", "7", "{\"type\":", r#"{"serverName":[],"arguments":7}"#] {
        let broken = decode_as(&ClineTask, &request(1, "ask", text), &Hints::default());
        assert_eq!(broken.is_ok(), text.starts_with(r#"{"serverName"#), "{text}");
    }
    for line in [
        r#"{"ts":99999999999999999999999,"type":"say","say":"mcp_server_response","text":7}"#,
        r#"{"ts":0,"type":"ask","ask":"use_mcp_server","text":"{}"}"#,
        r#"{"ts":1,"type":"say","say":"error","text":"Error executing MCP tool:"}"#,
    ] {
        decode_as(&ClineTask, line, &Hints::default()).unwrap();
    }
    for text in FOREIGN {
        assert!(!claims(&ClineTask, text), "{text}");
    }
    for text in [r#"{"ts":"2026-11-10","type":"say","say":"text"}"#, r#"{"ts":1,"type":"ask","say":"x"}"#] {
        assert!(!claims(&ClineTask, text), "{text}");
    }
}
