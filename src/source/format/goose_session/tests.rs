use super::super::shared::testing::{FOREIGN, claims, decode_as, finished, prompts};
use super::*;
use crate::call::Flag;

fn hints() -> Hints {
    Hints { file_name: "20261112_091500.jsonl".to_owned(), ..Hints::default() }
}

fn message(role: &str, at: u32, block: &str) -> String {
    format!(
        r#"{{"id":null,"role":"{role}","created":179447400{at},"content":[{block}],"metadata":{{"userVisible":true,"agentVisible":true}}}}"#
    )
}

fn asked(name: &str, meta: &str) -> String {
    format!(
        r#"{{"type":"toolRequest","id":"t1","toolCall":{{"status":"success","value":{{"name":"{name}","arguments":{{"dock":3}}}}}}{meta}}}"#
    )
}

fn calls(block: &str, result: &str) -> Vec<Call> {
    let answer = format!(r#"{{"type":"toolResponse","id":"t1","toolResult":{result}}}"#);
    finished(&GooseSession, &[message("assistant", 1, block), message("user", 3, &answer)], &hints())
}

fn one(result: &str) -> Call {
    let mut calls = calls(&asked("docks__find_berth", ""), result);
    assert_eq!(calls.len(), 1, "{result}");
    calls.remove(0)
}

#[test]
fn request_and_response_are_a_call() {
    let result = r#"{"content":[{"type":"text","text":"free"}],"isError":false}"#;
    let call = one(&format!(r#"{{"status":"success","value":{result}}}"#));
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("docks"), Some("find_berth")));
    assert_eq!((call.arguments.as_deref(), call.result.as_deref()), (Some(r#"{"dock":3}"#), Some(result)));
    assert_eq!((call.outcome, call.duration_ns), (Outcome::Success, Some(2_000_000_000)));
    assert_eq!((call.session_id.as_deref(), call.tool_call_id.as_deref()), (Some("20261112_091500"), Some("t1")));
    assert!(call.flags.has(Flag::NameSplit as u32));
    // Until autumn 2025 the content alone.
    let older = one(r#"{"status":"success","value":[{"type":"text","text":"free"}]}"#);
    assert_eq!(older.result.as_deref(), Some(r#"{"content":[{"type":"text","text":"free"}]}"#));
}

#[test]
fn newer_versions_name_the_extension() {
    let success = r#"{"status":"success","value":{"content":[]}}"#;
    for (name, server, tool) in [("shell", "developer", "shell"), ("my_docks__find", "my_docks", "find")] {
        let call = calls(&asked(name, &format!(r#","_meta":{{"goose_extension":"{server}"}}"#)), success).remove(0);
        assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some(server), Some(tool)));
        assert!(!call.flags.has(Flag::NameSplit as u32));
    }
    for block in [
        asked("platform__manage_extensions", ""),
        asked("final_output", ""),
        r#"{"type":"toolRequest","id":"t1","toolCall":{"status":"error","error":"-32602: no such tool"}}"#.to_owned(),
        asked("docks__find", "").replace("toolRequest", "frontendToolRequest"),
    ] {
        assert!(calls(&block, success).is_empty(), "{block}");
    }
}

#[test]
fn ends_differ() {
    let end = |result: &str| {
        let call = one(result);
        (call.outcome, call.rpc_response_status_code)
    };
    let value = |text: &str| {
        one(&format!(
            r#"{{"status":"success","value":{{"content":[{{"type":"text","text":"{text}"}}],"isError":true}}}}"#
        ))
    };
    assert_eq!(value("no such dock").outcome, Outcome::ToolError);
    let declined = value("The user has declined to run this tool. DO NOT attempt to call this tool again.");
    assert_eq!((declined.outcome, declined.approval), (Outcome::Denied, Approval::UserDenied));
    assert_eq!(end(r#"{"status":"error","error":"-32602: bad dock"}"#), (Outcome::ProtocolError, Some(-32602)));
    assert_eq!(end(r#"{"status":"error","error":"-32603: -32602: bad dock"}"#), (Outcome::ProtocolError, Some(-32602)));
    assert_eq!(end(r#"{"status":"error","error":"no such dock"}"#), (Outcome::ToolError, None));
    assert_eq!(one("{}").outcome, Outcome::Unknown);
}

#[test]
fn rows_and_exports_say_the_same() {
    let request = asked("docks__find_berth", "");
    let answer = r#"{"type":"toolResponse","id":"t1","toolResult":{"status":"success","value":{"content":[]}}}"#;
    let row = |role: &str, at: u32, block: &str| {
        format!(
            r#"{{"table":"messages","session_id":"20261112_1","role":"{role}","created_timestamp":"179447400{at}","metadata_json":{{}},"working_dir":"/w","content_json":[{block}]}}"#
        )
    };
    let rows = [row("assistant", 1, &request), row("user", 3, answer)];
    let call = finished(&GooseSession, &rows, &Hints::default()).remove(0);
    assert_eq!((call.session_id.as_deref(), call.duration_ns), (Some("20261112_1"), Some(2_000_000_000)));
    assert_eq!(call.more.unwrap().cwd.as_deref(), Some("/w"));
    let export = format!(
        r#"{{"id":"20261112_1","working_dir":"/w","name":"Berths","conversation":[{},{}],"message_count":2}}"#,
        message("assistant", 1, &request),
        message("user", 3, answer)
    );
    let own = export.replace("docks__find_berth", "platform__search");
    let events = decode_as(&GooseSession, &own, &Hints::default()).unwrap();
    assert!(matches!(events.as_slice(), [Event::Context { .. }]), "{events:?}");
    let call = finished(&GooseSession, &[export], &Hints::default()).remove(0);
    assert_eq!((call.session_id.as_deref(), call.outcome), (Some("20261112_1"), Outcome::Success));
    let long = row("user", 1, "").replace(r#""content_json":[]"#, r#""content_json":null,"omitted_bytes":99999999"#);
    assert!(decode_as(&GooseSession, &long, &Hints::default()).is_err());
}

#[test]
fn what_the_user_does_not_see_is_not_the_users() {
    let text = message("user", 1, r#"{"type":"text","text":"is dock 3 free?"}"#);
    assert_eq!(prompts(&decode_as(&GooseSession, &text, &hints()).unwrap()), ["is dock 3 free?"]);
    let hidden = text.replace(r#""userVisible":true"#, r#""userVisible":false"#);
    assert!(decode_as(&GooseSession, &hidden, &hints()).unwrap().is_empty());
}

#[test]
fn hostile_records_do_no_harm() {
    for block in [
        "7",
        r#"{"type":"toolRequest"}"#,
        r#"{"type":"toolRequest","id":"t","toolCall":{"value":{"name":"__","arguments":"{\"a\":"}}}"#,
        r#"{"type":"toolResponse","id":"t","toolResult":{"status":"error","error":": : 7: "}}"#,
        r#"{"type":"toolResponse","id":[],"toolResult":7}"#,
    ] {
        decode_as(&GooseSession, &message("assistant", 1, block), &Hints::default()).unwrap();
        decode_as(&GooseSession, &message("user", 1, &format!("{block},{block}")), &Hints::default()).unwrap();
    }
    for text in FOREIGN {
        assert!(!claims(&GooseSession, text), "{text}");
    }
    for text in [
        r#"{"role":"user","created":1,"content":"x"}"#,
        r#"{"role":"user","created":1,"content":[],"model":"gpt"}"#,
        r#"{"table":"messages","session_id":"s","role":"user","text":"x"}"#,
        r#"{"description":"x","message_count":3}"#,
    ] {
        assert!(!claims(&GooseSession, text), "{text}");
    }
}
