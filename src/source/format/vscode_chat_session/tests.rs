use super::super::shared::testing::{FOREIGN, calls, claims, decode_as, finished, prompts};
use super::*;
use crate::call::{SessionSource, TimeSource};

fn hints() -> Hints {
    let file_name = "6f1c1c1e-3a52-4e1a-9d3c-0a4b8b2f9d10.jsonl".to_owned();
    Hints { file_name, mtime: Some(77), ..Hints::default() }
}

fn decode(text: &str) -> Vec<Event> {
    decode_as(&VscodeChatSession, text, &hints()).unwrap()
}

fn invocation(rest: &str) -> String {
    format!(
        r#"{{"kind":"toolInvocationSerialized","toolId":"mcp_dock_plans_find_berth","toolCallId":"call-1","isComplete":true,
        "source":{{"type":"mcp","label":"Dock Plans","serverLabel":"dock-server","collectionId":"c","definitionId":"d"}},{rest}}}"#
    )
}

fn append(part: &str) -> String {
    format!(r#"{{"kind":2,"k":["requests",0,"response"],"v":[{{"value":"Let me look."}},{part}]}}"#)
}

fn one(rest: &str) -> Call {
    let mut calls = calls(decode(&append(&invocation(rest))));
    assert_eq!(calls.len(), 1, "{rest}");
    calls.remove(0)
}

#[test]
fn a_part_of_a_change_log_is_a_whole_call() {
    let call = one(r#""isConfirmed":{"type":4},"toolSpecificData":{"kind":"input","rawInput":{"dock":3}},
        "resultDetails":{"input":"{\"dock\":3}","output":[{"type":"embed","isText":true,"value":"free"},{"type":"embed","value":"AAAA","mimeType":"image/png"}],"isError":false}"#);
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("Dock Plans"), Some("find_berth")));
    assert_eq!((call.server_info_name.as_deref(), call.tool_call_id.as_deref()), (Some("dock-server"), Some("call-1")));
    assert_eq!((call.outcome, call.approval, call.is_error), (Outcome::Success, Approval::UserAllowed, Some(false)));
    assert_eq!(call.arguments.as_deref(), Some(r#"{"dock":3}"#));
    assert!(
        call.result.unwrap().starts_with(r#"{"content":[{"type":"text","text":"free"},{"type":"image","data":"AAAA""#)
    );
    assert_eq!((call.time, call.more.as_ref().unwrap().turn), (None, Some(0)));
    assert_eq!(call.session_id.as_deref(), Some("6f1c1c1e-3a52-4e1a-9d3c-0a4b8b2f9d10"));
    assert_eq!(call.session_source, SessionSource::Conversation);
    let set = format!(r#"{{"kind":1,"k":["requests",0,"response",1],"v":{}}}"#, invocation(r#""isConfirmed":true"#));
    let call = calls(decode(&set)).remove(0);
    assert_eq!((call.outcome, call.approval), (Outcome::Unknown, Approval::Unknown));
    assert_eq!((call.arguments_state, call.result_state), (PayloadState::NotLogged, PayloadState::NotLogged));
}

#[test]
fn consent_errors_and_refusals_differ() {
    let outcome = |rest: &str| {
        let call = one(rest);
        (call.outcome, call.approval)
    };
    assert_eq!(outcome(r#""isConfirmed":false"#), (Outcome::Denied, Approval::UserDenied));
    assert_eq!(outcome(r#""isConfirmed":{"type":0}"#), (Outcome::Denied, Approval::UserDenied));
    assert_eq!(outcome(r#""isConfirmed":{"type":0,"source":"hook"}"#), (Outcome::Denied, Approval::PolicyDenied));
    assert_eq!(outcome(r#""isConfirmed":{"type":5}"#), (Outcome::Denied, Approval::UserDenied));
    assert_eq!(outcome(r#""isConfirmed":{"type":1}"#), (Outcome::Unknown, Approval::NotRequired));
    let call = one(
        r#""isConfirmed":{"type":2,"id":"chat.tools.autoApprove"},"resultDetails":{"input":"{}","output":"old form"}"#,
    );
    assert_eq!((call.outcome, call.approval), (Outcome::Success, Approval::AutoAllowed));
    assert_eq!(call.more.unwrap().approval_source.as_deref(), Some("chat.tools.autoApprove"));
    assert_eq!(call.result.as_deref(), Some(r#"{"content":[{"type":"text","text":"old form"}]}"#));
    let call = one(
        r#""resultDetails":{"input":"{}","output":[{"type":"embed","isText":true,"value":"no berth"}],"isError":true}"#,
    );
    assert_eq!((call.outcome, call.error_message.as_deref()), (Outcome::ToolError, Some("no berth")));
    let call = one(
        r#""resultDetails":{"input":"{}","output":{"type":"data","mimeType":"application/pdf","base64Data":"AAAA"}}"#,
    );
    let blob = r#"{"content":[{"type":"resource","resource":{"blob":"AAAA","mimeType":"application/pdf"}}]}"#;
    assert_eq!(call.result.as_deref(), Some(blob));
    let call = one(r#""resultError":"MPC -32602: unknown dock""#);
    assert_eq!((call.outcome, call.rpc_response_status_code), (Outcome::ProtocolError, Some(-32602)));
    let call = one(r#""resultDetails":{"mcpOutput":{"content":[],"isError":true},"output":[]}"#);
    assert_eq!((call.outcome, call.result.as_deref()), (Outcome::ToolError, Some(r#"{"content":[],"isError":true}"#)));
}

#[test]
fn the_first_state_knows_times_models_and_prompts() {
    let request = format!(
        r#"{{"requestId":"r1","timestamp":1794297600000,"modelId":"copilot/gpt-5","message":{{"text":"is dock 3 free?","parts":[]}},
        "response":[{{"value":"x"}},{},{}],
        "result":{{"metadata":{{"toolCallRounds":[{{"timestamp":1794297605000,"toolCalls":[{{"id":"call-1","name":"n","arguments":"{{\"dock\":3}}"}}]}}]}}}}}}"#,
        invocation(r#""isConfirmed":{"type":1}"#),
        r#"{"kind":"toolInvocationSerialized","toolId":"copilot_readFile","toolCallId":"c2","isComplete":true}"#,
    );
    let state = format!(r#"{{"version":3,"sessionId":"s1","creationDate":1,"requests":[{request}]}}"#);
    for record in [state.clone(), format!(r#"{{"kind":0,"v":{state}}}"#)] {
        let events = decode(&record);
        assert_eq!(prompts(&events), ["is dock 3 free?"]);
        let calls = calls(events);
        let [call] = calls.as_slice() else { panic!("{calls:?}") };
        assert_eq!((call.time, call.time_source), (Some(1_794_297_605_000_000_000), TimeSource::Record));
        assert_eq!((call.session_id.as_deref(), call.arguments.as_deref()), (Some("s1"), Some(r#"{"dock":3}"#)));
        assert_eq!(call.more.as_ref().unwrap().gen_ai_request_model.as_deref(), Some("copilot/gpt-5"));
    }
    let pushed = format!(r#"{{"kind":2,"k":["requests"],"v":[{request}],"i":0}}"#);
    assert_eq!(calls(decode(&pushed)).len(), 1);
    let system =
        r#"{"kind":1,"k":["requests",4],"v":{"message":"notification","isSystemInitiated":true,"response":[]}}"#;
    assert!(matches!(decode(system).as_slice(), [Event::Turn { at: 4, .. }]));
    for other in [
        r#"{"kind":1,"k":["customTitle"],"v":"Docks"}"#,
        r#"{"kind":1,"k":["requests",0,"modelState"],"v":{"value":1}}"#,
        r#"{"kind":3,"k":["requests",0,"vote"]}"#,
        r#"{"kind":2,"k":["pendingRequests"],"v":[]}"#,
    ] {
        assert!(decode(other).is_empty(), "{other}");
    }
}

#[test]
fn a_change_log_is_replayed() {
    let part = |id: &str| {
        format!(
            r#"{{"kind":"toolInvocationSerialized","toolId":"mcp_docks_find","toolCallId":"{id}","source":{{"type":"mcp","label":"docks"}}}}"#
        )
    };
    let push =
        |request: usize, id: &str| format!(r#"{{"kind":2,"k":["requests",{request},"response"],"v":[{}]}}"#, part(id));
    let asked = |second: u32| {
        format!(
            r#"{{"timestamp":{}000,"modelId":"m{second}","message":{{"text":"q"}},"response":[]}}"#,
            1_794_297_600 + second
        )
    };
    let calls = finished(
        &VscodeChatSession,
        &[
            format!(r#"{{"kind":0,"v":{{"version":3,"sessionId":"s","creationDate":1,"requests":[{}]}}}}"#, asked(0)),
            format!(r#"{{"kind":2,"k":["requests"],"v":[{},{}]}}"#, asked(10), asked(20)),
            push(1, "a"),
            push(2, "b"),
            // The user goes back to the first request and asks anew: the second is another one now.
            format!(r#"{{"kind":2,"k":["requests"],"i":1,"v":[{}]}}"#, asked(30)),
            push(1, "c"),
            format!(r#"{{"kind":1,"k":["requests",1,"timestamp"],"v":{}}}"#, 1_794_297_640_000_i64),
            push(1, "d"),
            // The model's own record has a time for each of its calls, and arguments.
            format!(
                r#"{{"kind":1,"k":["requests",1,"result"],"v":{{"metadata":{{"toolCallRounds":[{{"timestamp":{},"toolCalls":[
                {{"id":"d","name":"mcp_docks_find","arguments":"{{\"dock\":3}}"}},{{"id":"x","name":"readFile","arguments":"{{}}"}}]}}]}}}}}}"#,
                1_794_297_645_000_i64
            ),
            push(7, "nowhere"),
        ],
        &hints(),
    );
    let seen: Vec<_> = calls
        .iter()
        .map(|call| {
            let second = call.time.map(|nanos| nanos / 1_000_000_000 - 1_794_297_600);
            let model = call.more.as_ref().and_then(|more| more.gen_ai_request_model.as_deref()).unwrap_or_default();
            (call.tool_call_id.as_deref().unwrap_or_default(), second, call.time_source, model)
        })
        .collect();
    let request = TimeSource::ResponseLine;
    assert_eq!(
        seen,
        [
            ("a", Some(10), request, "m10"),
            ("b", Some(20), request, "m20"),
            ("c", Some(30), request, "m30"),
            ("d", Some(40), request, "m30"),
            ("d", Some(45), TimeSource::Record, "m30"),
            ("nowhere", Some(-1_794_297_600), TimeSource::FileMtime, ""),
        ]
    );
    assert!(calls.iter().all(|call| call.session_id.is_some() && call.more.as_ref().unwrap().turn.is_none()));
    let views: Vec<Call> = calls.into_iter().filter(|call| call.tool_call_id.as_deref() == Some("d")).collect();
    let [part, round] = <[Call; 2]>::try_from(views).unwrap();
    assert_eq!(part.call_id, round.call_id);
    let merged = crate::call::merge(part.clone(), round.clone());
    assert_eq!(merged, crate::call::merge(round, part));
    assert_eq!((merged.server.as_deref(), merged.tool.as_deref()), (Some("docks"), Some("find")));
    assert_eq!((merged.time_source, merged.arguments.as_deref()), (TimeSource::Record, Some(r#"{"dock":3}"#)));
}

#[test]
fn the_prefix_of_a_tool_is_13_characters_of_the_label() {
    assert_eq!(without_prefix("fernhollow_do_find_berth", "Fernhollow Docks & Gates"), "find_berth");
    assert_eq!(without_prefix("docks2_find_berth", "docks"), "find_berth");
    assert_eq!(without_prefix("a__b_find", "a_ &b"), "find");
    assert_eq!(without_prefix("other_find", "docks"), "find");
    assert_eq!(without_prefix("find", "docks"), "find");
    assert_eq!(without_prefix("ﬀ_x", "日本語"), "x");
    let nameless = r#"{"kind":"toolInvocationSerialized","toolId":"mcp_docks_find_berth","toolCallId":"c"}"#;
    let call = calls(decode(&append(nameless))).remove(0);
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("docks"), Some("find_berth")));
    let extension = r#"{"kind":"toolInvocationSerialized","toolId":"mcp_x_y","source":{"type":"extension"}}"#;
    assert!(calls(decode(&append(extension))).is_empty());
}

#[test]
fn hostile_records_do_no_harm() {
    for value in ["null", "7", "[]", "{}", r#"[{"kind":"toolInvocationSerialized"}]"#, r#"[[[{"kind":[]}]]]"#] {
        for path in [
            r#"["requests"]"#,
            r#"["requests",0]"#,
            r#"["requests",0,"response"]"#,
            r#"["requests",-1,"response",9e99]"#,
            r#"["requests",4294967295,"response",1]"#,
            r#"["requests",0,"result"]"#,
            "[]",
        ] {
            for kind in ["1", "2"] {
                decode(&format!(r#"{{"kind":{kind},"k":{path},"v":{value}}}"#));
            }
        }
    }
    one(r#""toolCallId":"second","resultDetails":[1],"isConfirmed":{"type":"x"},"toolSpecificData":"y""#);
    for text in FOREIGN {
        assert!(!claims(&VscodeChatSession, text), "{text}");
    }
    assert!(!claims(&VscodeChatSession, r#"{"kind":1,"k":["a"],"v":1,"more":2}"#));
    assert!(!claims(&VscodeChatSession, r#"{"kind":0,"v":{"a":1}}"#));
    assert!(!claims(&VscodeChatSession, r#"{"requests":[],"limits":{}}"#));
}
