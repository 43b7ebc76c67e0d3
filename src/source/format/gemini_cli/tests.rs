use super::super::shared::testing::{FOREIGN, calls, claims, decode_as, finished, prompts};
use super::*;
use crate::call::{Flag, TimeSource};
use crate::source::Hints;

fn decode(text: &str) -> Vec<Event> {
    decode_as(&GeminiCli, text, &Hints::default()).unwrap()
}

fn message(tool: &str) -> String {
    format!(
        r#"{{"id":"m2","timestamp":"2026-11-10T08:00:05.000Z","type":"gemini","content":"","model":"gemini-3-pro","toolCalls":[{tool}]}}"#
    )
}

fn one(tool: &str) -> Call {
    let mut calls = calls(decode(&message(tool)));
    assert_eq!(calls.len(), 1, "{tool}");
    calls.remove(0)
}

fn failed(text: &str) -> Call {
    let text = serde_json::Value::from(text);
    one(&format!(
        r#"{{"id":"c","name":"mcp_mail_send","args":{{}},"status":"error","result":[{{"functionResponse":{{"response":{{"error":{text}}}}}}}]}}"#
    ))
}

#[test]
fn a_printed_stream_has_calls_in_halves() {
    let at = |second: u32, rest: &str| format!(r#"{{"timestamp":"2026-11-10T08:00:0{second}Z",{rest}}}"#);
    let lines = [
        at(0, r#""type":"init","session_id":"s1","model":"gemini-3-pro""#),
        at(1, r#""type":"tool_use","tool_name":"mcp_mail_send","tool_id":"mcp_mail_send-1","parameters":{"to":"ops"}"#),
        at(3, r#""type":"tool_result","tool_id":"mcp_mail_send-1","status":"success","output":"sent""#),
        at(4, r#""type":"tool_use","tool_name":"read_file","tool_id":"read_file-2","parameters":{}"#),
        at(5, r#""type":"tool_result","tool_id":"read_file-2","status":"error","error":{"message":"no such file"}"#),
        at(6, r#""type":"tool_use","tool_name":"mcp_mail_list","tool_id":"mcp_mail_list-3","parameters":{}"#),
        at(
            7,
            r#""type":"tool_result","tool_id":"mcp_mail_list-3","status":"error","error":{"message":"MCP error -32001: Request timed out"}"#,
        ),
    ];
    let calls = finished(&GeminiCli, &lines, &Hints::default());
    let ends: Vec<_> = calls.iter().map(|call| (call.tool.as_deref(), call.outcome)).collect();
    assert_eq!(ends, [(Some("send"), Outcome::Success), (Some("list"), Outcome::Timeout)]);
    assert_eq!((calls[0].server.as_deref(), calls[0].session_id.as_deref()), (Some("mail"), Some("s1")));
    assert_eq!((calls[0].result.as_deref(), calls[0].duration_ns), (Some(r#""sent""#), Some(2_000_000_000)));
}

#[test]
fn a_call_is_named_by_its_display_name() {
    let call = one(
        r#"{"id":"send_note-1","name":"send_note","displayName":"send_note (team_mail MCP Server)","args":{"to":"ops"},
        "status":"success","timestamp":"2026-11-10T08:00:07.250Z","agentId":"a1",
        "result":[{"functionResponse":{"id":"send_note-1","name":"send_note","response":{"output":"sent"}}}]}"#,
    );
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("team_mail"), Some("send_note")));
    assert!(!call.flags.has(Flag::NameSplit as u32));
    assert_eq!((call.outcome, call.result.as_deref()), (Outcome::Success, Some(r#""sent""#)));
    assert_eq!(
        (call.arguments.as_deref(), call.tool_call_id.as_deref()),
        (Some(r#"{"to":"ops"}"#), Some("send_note-1"))
    );
    assert_eq!((call.time_source, call.time), (TimeSource::ResponseLine, call.time_end));
    assert_eq!(call.time, time::rfc3339("2026-11-10T08:00:07.250Z"));
    let more = call.more.unwrap();
    assert_eq!((more.agent_is_subagent, more.gen_ai_request_model.as_deref()), (Some(true), Some("gemini-3-pro")));
}

#[test]
fn prefixed_names_are_cut_and_flagged() {
    for (name, server, tool) in [
        ("mcp_mail_send_note", Some("mail"), "send_note"),
        ("mcp__mail__send_note", Some("mail"), "send_note"),
        ("mail__send_note", Some("mail"), "send_note"),
        ("mcp_send", None, "send"),
    ] {
        let call = one(&format!(r#"{{"name":"{name}","args":{{}},"status":"executing"}}"#));
        assert_eq!((call.server.as_deref(), call.tool.as_deref()), (server, Some(tool)), "{name}");
        assert_eq!(call.flags.has(Flag::NameSplit as u32), server.is_some());
        assert_eq!((call.outcome, call.tool_raw.as_deref()), (Outcome::NoResponse, Some(name)));
        assert_eq!((call.time_source, call.time_end), (TimeSource::Record, None));
    }
    let call = one(r#"{"name":"read_mcp_resource","args":{"uri":"file:///a"},"status":"success"}"#);
    assert_eq!((call.method.as_str(), call.result_state), ("resources/read", PayloadState::NotLogged));
    let built_in = message(r#"{"name":"read_file","displayName":"ReadFile","args":{},"status":"success"},7,null,{}"#);
    assert!(calls(decode(&built_in)).is_empty());
}

#[test]
fn failures_are_told_apart_by_what_the_client_says() {
    let response = |response: &str| {
        format!(
            r#"MCP tool 'send' reported tool error for function call: {{"name":"send","args":{{"a":" with response: [{{"}}}} with response: [{{"functionResponse":{{"name":"send","response":{response}}}}}]"#
        )
    };
    let call = failed(&response(r#"{"content":[{"type":"text","text":"no such box"}],"isError":true}"#));
    assert_eq!((call.outcome, call.error_message.as_deref()), (Outcome::ToolError, Some("no such box")));
    assert_eq!((call.is_error, call.result_state), (Some(true), PayloadState::Present));
    let call = failed(&response(r#"{"error":{"content":[{"type":"text","text":"full"}],"isError":true}}"#));
    assert_eq!((call.outcome, call.error_message.as_deref()), (Outcome::ToolError, Some("full")));
    let call = failed(&response(r#"{"error":{"message":"MCP error -32602: Invalid arguments","isError":true}}"#));
    assert_eq!((call.outcome, call.rpc_response_status_code), (Outcome::ProtocolError, Some(-32602)));
    assert_eq!(call.result_state, PayloadState::None);
    let call = failed(&response(r#"{"error":{"message":"MCP error -32001: Request timed out","isError":true}}"#));
    assert_eq!(call.outcome, Outcome::Timeout);
    assert_eq!(failed(&response(r#"{"error":{"message":"fetch failed"}}"#)).outcome, Outcome::TransportError);
    let call = failed("Tool execution denied by policy. Ask an administrator.");
    assert_eq!((call.outcome, call.approval), (Outcome::Denied, Approval::PolicyDenied));
    assert_eq!(failed("MCP tool 'send' reported tool error for function call: {").outcome, Outcome::ToolError);
    assert_eq!(failed(&response("7 trailing")).outcome, Outcome::ToolError);
}

#[test]
fn a_refusal_is_no_cancellation() {
    let cancelled = |text: &str| {
        one(&format!(
            r#"{{"name":"mcp_mail_send","args":{{}},"status":"cancelled","result":[{{"functionResponse":{{"response":{{"error":"{text}"}}}}}}]}}"#
        ))
    };
    for words in ["User did not allow tool call", "User denied execution."] {
        let call = cancelled(&format!("[Operation Cancelled] Reason: {words}"));
        assert_eq!(
            (call.outcome, call.approval, call.result_state),
            (Outcome::Denied, Approval::UserDenied, PayloadState::None)
        );
    }
    let call = cancelled("[Operation Cancelled] Reason: User cancelled tool execution.");
    assert_eq!((call.outcome, call.approval), (Outcome::Cancelled, Approval::Unknown));
}

#[test]
fn the_document_and_the_lines_say_the_same() {
    let tool = r#"{"id":"c1","name":"mcp_mail_send","args":{"to":"ops"},"status":"success","timestamp":"2026-11-10T08:00:07Z"}"#;
    let user = r#"{"id":"m1","timestamp":"2026-11-10T08:00:00Z","type":"user","content":"tell ops\n--- Content from referenced files ---\nsecret plan"}"#;
    let document = format!(
        r#"{{"sessionId":"s1","projectHash":"h","startTime":"2026-11-10T08:00:00Z","lastUpdated":"x","messages":[{user},{}]}}"#,
        message(tool)
    );
    let events = decode(&document);
    assert_eq!(prompts(&events), ["tell ops"]);
    let [Event::Context { call: context, whole_source: true, .. }, ..] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(context.session_id.as_deref(), Some("s1"));
    let of_document = calls(events).remove(0);
    assert_eq!(
        (of_document.session_id.as_deref(), of_document.session_source),
        (Some("s1"), SessionSource::Conversation)
    );
    let of_line = one(tool);
    assert_eq!((of_line.tool_call_id.as_deref(), of_line.time), (Some("c1"), of_document.time));

    let changed = format!(r#"{{"$set":{{"messages":[{user},{}]}}}}"#, message(tool));
    assert_eq!(calls(decode(&changed)).len(), 1);
    assert!(decode(r#"{"$rewindTo":"m1"}"#).is_empty());
    assert!(decode(r#"{"$set":{"lastUpdated":"2026-11-10T08:00:07Z"}}"#).is_empty());
    let head = decode(r#"{"sessionId":"s2","projectHash":"h","kind":"subagent"}"#);
    let [Event::Context { call, .. }] = head.as_slice() else { panic!("{head:?}") };
    assert_eq!(call.more.as_ref().unwrap().agent_is_subagent, Some(true));
}

#[test]
fn masked_outputs_are_not_whole_results() {
    let call = one(
        r#"{"name":"mcp_a_b","status":"success","args":null,"result":[{"functionResponse":{"response":{"output":"<tool_output_masked>\n..."}}}]}"#,
    );
    assert_eq!((call.result_state, call.arguments_state), (PayloadState::Summarised, PayloadState::None));
    let call = one(
        r#"{"name":"mcp_a_b","status":"success","result":[{"functionResponse":{"response":{"output":"x"}}},{"inlineData":{"data":"AAAA"}}]}"#,
    );
    assert_eq!((call.result_state, call.arguments_state), (PayloadState::Present, PayloadState::NotLogged));
    assert!(call.result.unwrap().contains("inlineData"));
}

#[test]
fn hostile_records_do_no_harm() {
    for tool in [
        r#"{"name":7,"status":[]}"#,
        r#"{"name":"mcp_","status":"success","result":"x","timestamp":99999999999999999999999}"#,
        r#"{"name":"mcp_a_b","name":"mcp_c_d","status":{"a":1},"args":"{\"a\":","result":[[[[]]]]}"#,
        r#"{"name":"__","displayName":" ( MCP Server)","status":"error","result":[{}]}"#,
    ] {
        decode(&message(tool));
    }
    decode(r#"{"sessionId":7,"projectHash":[],"messages":{"a":1}}"#);
    decode(r#"{"id":"711430f6-164e-9380-3d93-428bc1fab80f","timestamp":{},"type":"user","content":[1,{"text":2}]}"#);
    for text in FOREIGN {
        assert!(!claims(&GeminiCli, text), "{text}");
    }
    assert!(!claims(&GeminiCli, r#"{"id":"1","timestamp":"t","type":"error","content":"x","host":"h"}"#));
    assert!(!claims(&GeminiCli, r#"{"id":"1","timestamp":"t","type":"error","content":"x"}"#));
    assert!(!claims(&GeminiCli, r#"{"$set":{"price":7}}"#));
}
