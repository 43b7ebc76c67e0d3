use super::super::shared::testing::{FOREIGN, calls, claims, decode_as, prompts};
use super::*;
use crate::call::Outcome;
use crate::source::Hints;

fn decode(text: &str) -> Vec<Event> {
    let file_name = "054018c0-df9a-4167-b73d-98ca5e6bb80a.jsonl".to_owned();
    decode_as(&CursorTranscript, text, &Hints { file_name, ..Hints::default() }).unwrap()
}

fn assistant(blocks: &str) -> String {
    format!(r#"{{"role":"assistant","message":{{"content":[{{"type":"text","text":"On it."}},{blocks}]}}}}"#)
}

#[test]
fn calls_of_servers_are_calls_and_nothing_is_known_of_their_end() {
    let events = decode(&assistant(
        r#"{"type":"tool_use","name":"CallMcpTool","input":{"server":"user-docs","toolName":"search","arguments":{"q":"berth"}}},
        {"type":"tool_use","name":"CallDynamicTool","input":{"namespace":"browser","toolName":"open"}},
        {"type":"tool_use","id":"tu_1","name":"FetchMcpResource","input":{"server":"docs","uri":"doc://7"}},
        {"type":"tool_use","name":"Shell","input":{"command":"ls"}}"#,
    ));
    let calls = calls(events);
    let [search, open, resource] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!((search.server.as_deref(), search.tool.as_deref()), (Some("user-docs"), Some("search")));
    assert_eq!(search.arguments.as_deref(), Some(r#"{"q":"berth"}"#));
    assert_eq!((search.outcome, search.result_state, search.time), (Outcome::Unknown, PayloadState::NotLogged, None));
    assert_eq!(search.session_id.as_deref(), Some("054018c0-df9a-4167-b73d-98ca5e6bb80a"));
    assert_eq!((open.server.as_deref(), open.arguments_state), (Some("browser"), PayloadState::None));
    assert_eq!((resource.method.as_str(), resource.tool_call_id.as_deref()), ("resources/read", Some("tu_1")));
    assert_eq!(resource.more.as_ref().unwrap().mcp_resource_uri.as_deref(), Some("doc://7"));
}

#[test]
fn the_older_array_is_read_too() {
    let line = r#"{"role":"assistant","toolCalls":[{"toolName":"CallMcpTool","args":{"server":"docs","toolName":"search","arguments":"{\"q\":1}"}}],"thinking":"hm"}"#;
    let call = calls(decode(line)).remove(0);
    assert_eq!((call.tool.as_deref(), call.arguments.as_deref()), (Some("search"), Some(r#"{"q":1}"#)));
    assert!(decode(r#"{"role":"tool","toolResult":{"toolName":"CallMcpTool"}}"#).is_empty());
    assert_eq!(prompts(&decode(r#"{"role":"user","text":"find berth 7"}"#)), ["find berth 7"]);
}

#[test]
fn the_users_words_stand_between_tags() {
    let line = r#"{"role":"user","message":{"content":[{"type":"text","text":"<timestamp>Friday, Jul 17, 2026, 1:08 AM (UTC-6)</timestamp>\n<user_query>\nfind berth 7\n</user_query>"}]}}"#;
    let events = decode(line);
    assert_eq!(prompts(&events), ["find berth 7"]);
    let Event::Prompt(prompt) = &events[0] else { panic!("{events:?}") };
    assert_eq!(prompt.time, time::rfc3339("2026-07-17T07:08:00Z"));
    for (text, time) in [
        ("Monday, Nov 9, 2026, 12:30 PM (UTC+5:30)", Some("2026-11-09T07:00:00Z")),
        ("Monday, Nov 9, 2026, 12:30 PM (UTC)", Some("2026-11-09T12:30:00Z")),
        ("2026-07-17T07:08:09.123456-06:00", Some("2026-07-17T13:08:09.123456Z")),
        ("Monday, Nov 9, 2026, 12:30 PM (UTC+99999999999999)", None),
        ("Monday, Nov 9, 2026, 12:30 PM (UTC+400)", None),
        ("soon", None),
    ] {
        assert_eq!(written_time(text), time.and_then(time::rfc3339), "{text}");
    }
    assert_eq!(prompts(&decode(r#"{"role":"user","message":{"content":"plain"}}"#)), ["plain"]);
    assert!(decode(r#"{"type":"turn_ended","status":"success"}"#).is_empty());
}

#[test]
fn prefixed_names_are_cut_where_the_server_ends() {
    let name = |name: &str, server: Option<&str>| {
        let mut call = Call { server: server.map(Text::from), ..Call::default() };
        let is_mcp = prefixed(&mut call, name);
        is_mcp.then(|| (call.server.unwrap_or_default().to_string(), call.tool.unwrap_or_default().to_string()))
    };
    let names = |server: &str, tool: &str| Some((server.to_owned(), tool.to_owned()));
    assert_eq!(name("mcp_dock_plans_find", None), names("dock", "plans_find"));
    assert_eq!(name("mcp_dock_plans_find", Some("dock_plans")), names("dock_plans", "find"));
    assert_eq!(name("mcp-dock-find", None), names("dock", "find"));
    assert_eq!(name("MCP:dock:find", None), names("dock", "find"));
    assert_eq!(name("MCP:find", None), names("", "find"));
    assert_eq!(name("MCP:find", Some("dock")), names("dock", "find"));
    assert_eq!(name("read_file", None), None);
}

#[test]
fn hostile_records_do_no_harm() {
    for block in [
        "7",
        "null",
        r#"{"type":"tool_use"}"#,
        r#"{"type":"tool_use","name":"CallMcpTool","input":"x"}"#,
        r#"{"type":"tool_use","name":"CallMcpTool","input":{"server":[],"toolName":{}},"input":{"a":1}}"#,
    ] {
        decode(&assistant(block));
    }
    decode(r#"{"role":"user","message":{"content":{"a":1}}}"#);
    for text in FOREIGN {
        assert!(!claims(&CursorTranscript, text), "{text}");
    }
    for text in [
        r#"{"role":"user","message":{"content":"x"},"uuid":"u"}"#,
        r#"{"role":"user","content":"x"}"#,
        r#"{"role":"user"}"#,
        r#"{"type":"turn_ended","status":"x","data":{},"id":1}"#,
    ] {
        assert!(!claims(&CursorTranscript, text), "{text}");
    }
}
