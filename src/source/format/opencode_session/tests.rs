use super::super::shared::testing::{FOREIGN, calls, claims, decode_as, prompts};
use super::*;
use crate::call::Flag;
use crate::source::Hints;

fn decode(text: &str) -> Vec<Event> {
    decode_as(&OpencodeSession, text, &Hints::default()).unwrap()
}

fn tool_part(tool: &str, state: &str) -> String {
    format!(
        r#"{{"id":"prt_1","sessionID":"ses_1","messageID":"msg_1","type":"tool","callID":"call_1","tool":"{tool}","state":{state}}}"#
    )
}

fn one(state: &str) -> Call {
    let mut calls = calls(decode(&tool_part("docks_find_berth", state)));
    assert_eq!(calls.len(), 1, "{state}");
    calls.remove(0)
}

const DONE: &str = r#"{"status":"completed","input":{"dock":3},"output":"free","title":"","metadata":{"truncated":false},"time":{"start":1794474001000,"end":1794474001250}}"#;

#[test]
fn a_part_holds_a_whole_call() {
    let call = one(DONE);
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("docks"), Some("find_berth")));
    assert_eq!((call.arguments.as_deref(), call.result.as_deref()), (Some(r#"{"dock":3}"#), Some(r#""free""#)));
    assert_eq!((call.outcome, call.result_state), (Outcome::Success, PayloadState::Present));
    assert_eq!((call.time, call.duration_ns), (Some(1_794_474_001_000_000_000), Some(250_000_000)));
    assert_eq!((call.session_id.as_deref(), call.tool_call_id.as_deref()), (Some("ses_1"), Some("call_1")));
    assert!(call.flags.has(Flag::NameSplit as u32));
    for own in ["bash", "apply_patch"] {
        assert!(decode(&tool_part(own, DONE)).is_empty(), "{own}");
    }
    let titled = DONE.replace(r#""title":"""#, r#""title":"Listed 3 files""#);
    assert!(decode(&tool_part("docks_find", &titled)).is_empty());
}

#[test]
fn states_differ() {
    let end = |error: &str| {
        let call = one(&format!(r#"{{"status":"error","input":{{}},"error":"{error}","time":{{"start":1,"end":2}}}}"#));
        (call.outcome, call.approval)
    };
    let rejected = "The user rejected permission to use this specific tool call.";
    assert_eq!(end(rejected), (Outcome::Denied, Approval::UserDenied));
    assert_eq!(end("Rule prevents tool usage. Relevant rules: []"), (Outcome::Denied, Approval::PolicyDenied));
    assert_eq!(end("Tool execution aborted").0, Outcome::Cancelled);
    assert_eq!(end("MCP error -32602: bad dock").0, Outcome::ProtocolError);
    assert_eq!(end("no such dock").0, Outcome::ToolError);
    let pending = one(r#"{"status":"pending","input":{},"raw":""}"#);
    assert_eq!((pending.outcome, pending.arguments_state), (Outcome::NoResponse, PayloadState::NotLogged));
    assert_eq!(one(r#"{"status":"running","input":{"a":1},"time":{"start":1794474001000}}"#).time_end, None);
    assert_eq!(one(&DONE.replace("false", "true")).result_state, PayloadState::Truncated);
}

#[test]
fn all_four_places_say_the_same() {
    let part = tool_part("docks_find_berth", DONE);
    let info = r#"{"id":"msg_1","sessionID":"ses_1","role":"assistant","time":{"created":1794474000000},"modelID":"m","path":{"cwd":"/w"}}"#;
    let user = r#"{"info":{"id":"msg_0","sessionID":"ses_1","role":"user","time":{"created":1794474000000}},"parts":[{"id":"prt_0","sessionID":"ses_1","messageID":"msg_0","type":"text","text":"is dock 3 free?"},{"id":"prt_9","sessionID":"ses_1","messageID":"msg_0","type":"text","text":"a file","synthetic":true}]}"#;
    let export = format!(
        r#"{{"info":{{"id":"ses_1","directory":"/w"}},"messages":[{user},{{"info":{info},"parts":[{part}]}}]}}"#
    );
    let row = format!(
        r#"{{"table":"part","session_id":"ses_1","id":"prt_1","message_id":"msg_1","message":{info},"data":{part}}}"#
    );
    let run = format!(r#"{{"type":"tool_use","timestamp":1794474002000,"sessionID":"ses_1","part":{part}}}"#);
    let event = format!(r#"{{"type":"message.part.updated","properties":{{"part":{part}}}}}"#);
    let whole = one(DONE);
    for text in [&export, &row, &run, &event] {
        let call = calls(decode(text)).remove(0);
        assert_eq!((&call.tool_call_id, &call.session_id), (&whole.tool_call_id, &whole.session_id), "{text}");
        assert_eq!((call.time, &call.result), (whole.time, &whole.result));
    }
    let events = decode(&export);
    assert_eq!(prompts(&events), ["is dock 3 free?"]);
    let more = calls(decode(&row)).remove(0).more.unwrap();
    assert_eq!((more.gen_ai_request_model.as_deref(), more.cwd.as_deref()), (Some("m"), Some("/w")));
    assert!(decode(info).is_empty());
}

#[test]
fn hostile_records_do_no_harm() {
    for state in [
        "7",
        r#"{"status":[],"input":"{\"a\":","time":{"start":"x","end":1e300}}"#,
        r#"{"status":"completed","output":null,"time":{"start":9223372036854775807,"end":-9223372036854775807}}"#,
        r#"{"status":"error","error":{"a":1}}"#,
    ] {
        for tool in ["docks_find", "_", "__", "docks_"] {
            decode(&tool_part(tool, state));
        }
    }
    decode(r#"{"info":{"directory":1},"messages":[7,{"parts":[[],{"type":"tool"}]}]}"#);
    for text in FOREIGN {
        assert!(!claims(&OpencodeSession, text), "{text}");
    }
    for text in [
        r#"{"type":"tool_use","timestamp":"t","tool_name":"n","tool_id":"i","parameters":{}}"#,
        r#"{"table":"part","id":1,"data":"x"}"#,
        r#"{"type":"text","sessionID":"s","text":"x"}"#,
        r#"{"info":{"title":"x"},"messages":[]}"#,
    ] {
        assert!(!claims(&OpencodeSession, text), "{text}");
    }
}
