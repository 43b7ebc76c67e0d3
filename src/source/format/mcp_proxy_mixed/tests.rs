//! The three styles, what is cut, and lines that nobody should write.

use super::super::shared::testing::{claims, decoded, one_call};
use super::*;
use crate::call::SessionSource;

fn events(text: &str) -> Vec<Event> {
    let line = format!("2026-03-31 16:39:38 - [PID:19972] - {text}");
    decoded(&McpProxyMixed, &line).unwrap_or_else(|| panic!("not claimed: {line}")).unwrap()
}

fn half(text: &str) -> (Call, Option<PairKey>) {
    match events(text).pop() {
        Some(Event::Request { call, key, .. }) => (*call, key),
        Some(Event::Response { call, key, .. }) => (*call, Some(key)),
        other => panic!("{other:?}"),
    }
}

/// As the proxy keeps a message.
fn cut(message: &str) -> String {
    message.chars().take(1000).collect()
}

#[test]
fn halves_of_a_call_find_each_other() {
    let message = r#"{"method":"tools/call","params":{"_meta":{"vscode.conversationId":"c-1"},"name":"search","arguments":{"q":1}},"jsonrpc":"2.0","id":2}"#;
    let (asked, key) = half(&format!("[REQUEST] Method: tools/call | ID: 2 | Payload: {message}"));
    assert_eq!((asked.tool.as_deref(), asked.arguments.as_deref()), (Some("search"), Some(r#"{"q":1}"#)));
    assert_eq!((asked.session_id.as_deref(), asked.session_source), (Some("c-1"), SessionSource::Conversation));
    assert_eq!(asked.time, time::rfc3339("2026-03-31T16:39:38Z"));
    assert!(asked.flags.has(Flag::ZoneAssumed as u32) && asked.more.as_ref().is_some_and(|m| m.time_zone_assumed));
    let long = format!(r#"{{"result":{{"content":[{{"type":"text","text":"{}"#, "x".repeat(2000));
    let (answer, of) = half(&format!("[RESPONSE] Method: unknown | ID: 2 | Payload: {}", cut(&long)));
    assert_eq!(of, key);
    assert_eq!((answer.result_state, answer.result_bytes), (PayloadState::Truncated, None));
    assert_eq!(answer.outcome, Outcome::Unknown, "whether the tool failed stood behind the cut");
    assert!(answer.result.unwrap().starts_with(r#"{"content":["#));
    let (text_id, of) =
        half(r#"[RESPONSE] Method: unknown | ID: 2 | Payload: {"jsonrpc":"2.0","id":"2","result":{"content":[]}}"#);
    assert_eq!((text_id.outcome, of), (Outcome::Success, key));
}

#[test]
fn requests_are_cut_too() {
    let long = "y".repeat(2000);
    let message =
        format!(r#"{{"method":"tools/call","params":{{"name":"write","arguments":{{"path":"/a","text":"{long}"#);
    let (asked, key) = half(&format!("[REQUEST] Method: tools/call | ID: 3 | Payload: {}", cut(&message)));
    assert_eq!((asked.tool.as_deref(), asked.arguments_state), (Some("write"), PayloadState::Truncated));
    assert!(asked.arguments.unwrap().starts_with(r#"{"path":"/a","text":"yyy"#));
    assert_eq!(asked.jsonrpc_request_id.as_deref(), Some("3"));
    assert!(
        !asked.flags.has(Flag::DuplicateKey as u32) && asked.flags.has(Flag::TruncatedJson as u32) && key.is_some()
    );
    let message = format!(r#"{{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{{"arguments":{{"text":"{long}"#);
    let (asked, _) = half(&format!("[REQUEST] Method: tools/call | ID: 4 | Payload: {}", cut(&message)));
    assert_eq!((asked.tool, asked.arguments_state), (None, PayloadState::Truncated));
    let tools = format!(r#"{{"result":{{"tools":[{{"name":"a","description":"b"}},{{"name":"{long}"#);
    let list = events(&format!("[RESPONSE] Method: unknown | ID: 1 | Payload: {}", cut(&tools)));
    assert!(matches!(&list[..], [Event::Response { call, .. }] if call.outcome == Outcome::Success), "{list:?}");
}

#[test]
fn errors_as_python_prints_them() {
    let (failed, key) = half(r#"[RESPONSE] ID:5 | ERROR: {'code': -32601, 'message': "can't \n do"}"#);
    assert_eq!((failed.outcome, failed.rpc_response_status_code), (Outcome::ProtocolError, Some(-32601)));
    assert_eq!(failed.error_message.as_deref(), Some("can't \n do"));
    assert_eq!((failed.result_state, key.is_some()), (PayloadState::Unparsable, true));
    assert_eq!(half("[RESPONSE] ID:6 | ERROR: nonsense").0.outcome, Outcome::ProtocolError);
}

#[test]
fn life_cycle_and_separators() {
    let start = events("--- STARTING PROXY FOR: npx -y some-mcp@1 ---");
    match &start[..] {
        [Event::Connection { opens: true, lane, .. }, Event::Context { call, .. }] => {
            assert_eq!(
                (lane.as_str(), call.more.as_ref().unwrap().server_command.as_deref()),
                ("19972", Some("npx -y some-mcp@1"))
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(&events("--- PROXY STOPPED ---")[..], [Event::Connection { opens: false, .. }]));
    assert!(events("[RESPONSE] RAW: starting up…").is_empty());
    assert_eq!(events(r#"[RESPONSE] RAW: [{"jsonrpc":"2.0","id":1,"result":{}}]"#).len(), 1);
    // Another log's line that holds one of this log's.
    let held =
        "2026-03-31T16:23:44.000Z [info] [wiki] Message from client: 2026-03-31 16:23:44 - [PID:4204] - [REQUEST] {}";
    assert!(!claims(&McpProxyMixed, held));
    let docker =
        "- Calling tool list with arguments: object with 2026-11-11 08:56:02 - [PID:9120] - --- PROXY STOPPED ---";
    assert!(!claims(&McpProxyMixed, docker));
    let glued = "##########  new  ######2026-03-31 16:23:44 - [PID:4204] - --- PROXY STOPPED ---";
    assert_eq!(decoded(&McpProxyMixed, glued).unwrap().unwrap().len(), 1);
    let hints = crate::source::Hints::default();
    let position = crate::call::Position::default();
    let record = |text| Record { text, json: None, position, lossy: false, hints: &hints };
    assert!(McpProxyMixed.tolerates(&record("-----------------new-")) && !McpProxyMixed.tolerates(&record("--- {")));
    // Nothing but the shape is the proxy's here: other programs have it too.
    let other = record("2026-03-31 16:39:38 - [PID:19972] - Proxy Fatal Error: [WinError 2] cannot find the file");
    assert!(McpProxyMixed.tolerates(&other) && !McpProxyMixed.claims(&other));
}

#[test]
fn whole_calls_as_json() {
    let line = r#"{"mcpServerName":"pages","agentId":"a-1","hostName":"h","ipAddress":"192.0.2.4",
        "timestamp":"2026-03-30T10:53:10.225Z","toolName":"tabs","params":{"action":"new"},
        "_meta":{"progressToken":"p","vscode.conversationId":"c-1","vscode.requestId":"r-1"},"RESULT":[{"type":"text","text":"x"}]}"#;
    for (line, outcome) in
        [(line.replace("RESULT", "result"), Outcome::Success), (line.replace("RESULT", "error"), Outcome::ToolError)]
    {
        for line in [line.replace('\n', ""), format!("---- new ----{}", line.replace('\n', ""))] {
            let call = one_call(&McpProxyMixed, &line);
            assert_eq!((call.tool.as_deref(), call.server.as_deref()), (Some("tabs"), Some("pages")));
            assert_eq!((call.outcome, call.session_id.as_deref()), (outcome, Some("c-1")));
            assert_eq!(call.arguments.as_deref(), Some(r#"{"action":"new"}"#));
            let more = call.more.unwrap();
            assert_eq!((more.host_name.as_deref(), more.client_address.as_deref()), (Some("h"), Some("192.0.2.4")));
            assert_eq!(more.meta_json.as_deref(), Some(r#"{"vscode.requestId":"r-1"}"#));
        }
    }
    let open = one_call(&McpProxyMixed, r#"{"mcpServerName":"s","toolName":7,"params":[],"timestamp":{}}"#);
    assert_eq!((open.outcome, open.result_state, open.time), (Outcome::Unknown, PayloadState::NotLogged, None));
    for (answer, outcome) in [
        (r#""result":{"content":[],"isError":true}"#, Outcome::ToolError),
        (r#""result":[],"error":[]"#, Outcome::Success),
        (r#""error":[]"#, Outcome::Unknown),
    ] {
        let line = format!(r#"{{"mcpServerName":"s","toolName":"t","params":{{}},{answer}}}"#);
        assert_eq!(one_call(&McpProxyMixed, &line).outcome, outcome, "{answer}");
    }
}

#[test]
fn hostile_lines() {
    let reject = |text: &str| {
        let line = format!("2026-03-31 16:39:38 - [PID:1] - {text}");
        decoded(&McpProxyMixed, &line).unwrap().unwrap_err()
    };
    assert_eq!(reject("[REQUEST] Method: tools/call | ID: 2 | Payload: {\"method\":"), "payload is not valid JSON");
    assert_eq!(reject("[REQUEST] Method: tools/call"), "traffic line without payload");
    assert_eq!(reject("[REQUEST] RAW: [{\"jsonrpc\":\"2.0\""), "truncated json-rpc batch");
    let nested = format!("[REQUEST] Method: x | ID: ? | Payload: {}", "{\"a\":".repeat(200));
    assert!(matches!(&events(&nested)[..], [Event::Request { key: None, .. }]));
    for text in [
        "[RESPONSE] Method: unknown | ID: ? | Payload: {}",
        "[RESPONSE] ID: | ERROR: ",
        "[RESPONSE] Method: unknown | ID: é\" | Payload: é",
    ] {
        let line = format!("2026-99-31 16:39:38 - [PID:1] - {text}");
        let _ = decoded(&McpProxyMixed, &line).unwrap();
    }
    for other in [
        "2026-03-31T16:39:38 - [PID:1] - x",
        "2026-03-31 16:39:38 - [PID:] - x",
        " - [PID:1] - x",
        "ééééééééééééééééééé - [PID:1] - x",
        "2026-03-31 16:39:38 [info] [server] Message from client: {}",
        r#"{"mcpServerName":"s","toolName":"t"}"#,
    ] {
        assert!(decoded(&McpProxyMixed, other).is_none(), "{other}");
    }
}
