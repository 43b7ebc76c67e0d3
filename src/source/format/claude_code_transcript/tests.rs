use super::*;
use crate::call::{Approval, Position};
use crate::source::Hints;

const USE: &str = r#"{"parentUuid":"u0","isSidechain":false,"cwd":"/w","sessionId":"s1","version":"2.1.12","gitBranch":"main",
"type":"assistant","uuid":"u1","timestamp":"2026-01-19T02:30:22.003Z","message":{"model":"m","role":"assistant","content":[
{"type":"tool_use","id":"toolu_1","name":"mcp__linear-server__get_issue","input":{"id":"E-98"}},
{"type":"tool_use","id":"toolu_2","name":"Bash","input":{"command":"ls"}}]}}"#;

fn with_record<T>(line: &str, look: impl FnOnce(&Record<'_>) -> T) -> T {
    let json = Object::parse(line).ok();
    let hints = Hints::default();
    look(&Record { text: line, json: json.as_ref(), position: Position::default(), lossy: false, hints: &hints })
}

fn decode(line: &str) -> Vec<Event> {
    with_record(line, |record| {
        assert!(ClaudeCodeTranscript.claims(record), "{line}");
        let mut out = Decoded::default();
        ClaudeCodeTranscript.decode(record, &mut out).unwrap();
        out.events
    })
}

/// A user line of session s1 with these members.
fn user_line(members: &str) -> String {
    format!(r#"{{"type":"user","sessionId":"s1","uuid":"u2","timestamp":"2026-01-19T02:30:28Z",{members}}}"#)
}

fn result(members: &str, block: &str) -> Call {
    let line = user_line(&format!(
        r#"{members}"message":{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"toolu_1",{block}}}]}}"#
    ));
    match decode(&line).remove(0) {
        Event::Response { key, call, maybe_foreign: true, .. } => {
            assert_eq!(key, PairKey::Global { session: "s1".into(), id: "toolu_1".into() });
            *call
        }
        other => panic!("{other:?}"),
    }
}

fn prompts(line: &str) -> Vec<String> {
    let texts = decode(line).into_iter().filter_map(|event| match event {
        Event::Prompt(prompt) => Some(prompt.text),
        _ => None,
    });
    texts.collect()
}

#[test]
fn only_mcp_blocks_are_requests() {
    let events = decode(USE);
    // The line also uses a built-in tool.
    let [Event::Request { key: Some(key), call, lane }, Event::Foreign { .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(*key, PairKey::Global { session: "s1".into(), id: "toolu_1".into() });
    assert_eq!(lane, "s1");
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("linear-server"), Some("get_issue")));
    assert_eq!(call.arguments.as_deref(), Some(r#"{"id":"E-98"}"#));
    assert_eq!(call.time, time::rfc3339("2026-01-19T02:30:22.003Z"));
    assert!(call.is_open() && call.flags.has(Flag::NameSplit as u32));
    let more = call.more.as_deref().unwrap();
    assert_eq!((more.cwd.as_deref(), more.agent_is_subagent), (Some("/w"), Some(false)));
    assert_eq!(more.gen_ai_request_model.as_deref(), Some("m"));
}

#[test]
fn names_are_cut_at_the_first_double_underscore() {
    assert_eq!(host::mcp_name("mcp__plugin_a_b__x__y"), Some(("plugin_a_b".into(), "x__y".into())));
    for name in ["mcp__", "mcp__a", "mcp____t", "mcp__a__", "Bash"] {
        assert_eq!(host::mcp_name(name), None, "{name}");
    }
    assert_eq!(tool_prefix("claude.ai Acme"), "claude_ai_Acme");
}

#[test]
fn reading_a_resource_is_a_request_too() {
    let line = USE
        .replace("mcp__linear-server__get_issue", "ReadMcpResourceTool")
        .replace(r#"{"id":"E-98"}"#, r#"{"server":"docs","uri":"docs://a"}"#);
    let events = decode(&line);
    let [Event::Request { call, .. }, Event::Foreign { .. }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((call.method.as_str(), call.server.as_deref()), ("resources/read", Some("docs")));
    assert_eq!(call.more.as_deref().unwrap().mcp_resource_uri.as_deref(), Some("docs://a"));
}

#[test]
fn a_result_without_is_error_is_a_success() {
    let call = result("", r#""content":[{"type":"text","text":"ok"}]"#);
    assert_eq!((call.outcome, call.is_error), (Outcome::Success, None));
    assert_eq!(call.result.as_deref(), Some(r#"[{"type":"text","text":"ok"}]"#));
    assert!(call.more.unwrap().duration_includes_approval);

    let call = result(r#""mcpMeta":{"structuredContent":{"n":1}},"#, r#""content":"x""#);
    assert_eq!(call.result.as_deref(), Some(r#"{"content":"x","structuredContent":{"n":1}}"#));

    let call = result(
        "",
        r#""content":[{"type":"text","text":"Error: result (71,204 characters) exceeds maximum allowed tokens. Output"}]"#,
    );
    assert_eq!((call.outcome, call.result_state), (Outcome::Success, PayloadState::Summarised));
}

#[test]
fn a_refusal_is_no_error_of_the_tool() {
    let sentence = r#""content":"The user doesn't want to proceed with this tool use. The tool use was rejected (eg.","is_error":true"#;
    let call = result("", sentence);
    assert_eq!((call.outcome, call.approval), (Outcome::Denied, Approval::UserDenied));
    assert_eq!(call.result_state, PayloadState::Present, "a server can write the sentence too");

    let call = result(r#""toolDenialKind":"permission-rule","#, r#""content":"no","is_error":true"#);
    assert_eq!((call.outcome, call.approval), (Outcome::Denied, Approval::PolicyDenied));
    assert_eq!((call.result_state, call.error_message.as_deref()), (PayloadState::None, Some("no")));

    let call = result(r#""toolDenialKind":"interrupted","#, r#""content":"stop","is_error":true"#);
    assert_eq!((call.outcome, call.approval), (Outcome::Cancelled, Approval::Unknown));

    for (text, outcome, approval) in [
        (
            "Permission for this action was denied by the Claude Code auto mode classifier. Reason: no",
            Outcome::Denied,
            Approval::PolicyDenied,
        ),
        ("PreToolUse:mcp__a__b hook error: [check]: no", Outcome::Denied, Approval::PolicyDenied),
        ("<tool_use_error>Sibling tool call errored</tool_use_error>", Outcome::Cancelled, Approval::Unknown),
        ("Interrupted by user", Outcome::Cancelled, Approval::Unknown),
        (
            "<tool_use_error>Error: No such tool available: mcp__a__b</tool_use_error>",
            Outcome::ProtocolError,
            Approval::Unknown,
        ),
    ] {
        let call = result("", &format!(r#""content":"{text}","is_error":true"#));
        assert_eq!((call.outcome, call.approval), (outcome, approval), "{text}");
    }

    let call = result("", r#""content":"it broke","is_error":true"#);
    assert_eq!((call.outcome, call.error_message.as_deref()), (Outcome::ToolError, Some("it broke")));
    let call = result("", &sentence.replace(r#","is_error":true"#, ""));
    assert_eq!(call.outcome, Outcome::Success, "the sentence in a result that succeeded is only text");
}

#[test]
fn the_clients_own_errors_are_not_the_tools() {
    for (text, outcome, kind) in [
        ("MCP error -32602: Unknown tool: t", Outcome::ProtocolError, "-32602"),
        ("MCP error -32001: Request timed out", Outcome::Timeout, "timeout"),
        ("MCP error -32000: Connection closed", Outcome::TransportError, "transport_error"),
    ] {
        let call = result("", &format!(r#""content":"{text}","is_error":true"#));
        assert_eq!((call.outcome, call.error_type.as_deref()), (outcome, Some(kind)), "{text}");
        assert_eq!(call.error_message.as_deref(), Some(text));
        let call = result("", &format!(r#""content":[{{"type":"text","text":"{text}"}}],"is_error":true"#));
        assert_eq!(call.outcome, Outcome::ToolError, "blocks are the server's: {text}");
    }
}

#[test]
fn progress_amends_names_start_and_duration() {
    let line = |status: &str| {
        format!(
            r#"{{"type":"progress","sessionId":"s1","toolUseID":"toolu_1","timestamp":"2026-01-19T02:30:27.496Z",
            "data":{{"type":"mcp_progress","serverName":"s.x","toolName":"t",{status}}}}}"#
        )
    };
    let events = decode(&line(r#""status":"started""#));
    let [Event::Amend { call, .. }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("s.x"), Some("t")));
    assert_eq!((call.time, call.duration_ns), (time::rfc3339("2026-01-19T02:30:27.496Z"), None));
    let events = decode(&line(r#""status":"completed","elapsedTimeMs":940"#));
    let [Event::Amend { call, .. }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((call.time, call.duration_ns), (None, Some(940_000_000)));
    assert_eq!((call.duration_source, call.approval), (Some(DurationSource::Measured), Approval::Unknown));
}

#[test]
fn a_subagents_message_inside_a_progress_line() {
    let nested = |message: &str| {
        format!(
            r#"{{"type":"progress","sessionId":"s1","version":"2.1.37","cwd":"/w","uuid":"u8","timestamp":"2026-01-19T02:30:27Z",
            "data":{{"type":"agent_progress","agentId":"a44","prompt":"p","message":{message}}}}}"#
        )
    };
    let events = decode(&nested(
        r#"{"type":"assistant","uuid":"n1","timestamp":"2026-01-19T02:30:26Z","message":{"model":"m","content":[
        {"type":"tool_use","id":"toolu_9","name":"mcp__s__t","input":{}}]}}"#,
    ));
    let [Event::Request { key: Some(PairKey::Global { id, .. }), call, .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(
        (id.as_str(), call.agent.as_deref(), call.client_version.as_deref()),
        ("toolu_9", Some("a44"), Some("2.1.37"))
    );
    assert_eq!(call.time, time::rfc3339("2026-01-19T02:30:26Z"));
    assert_eq!(call.more.as_deref().unwrap().agent_is_subagent, Some(true));

    let asked = nested(r#"{"type":"user","uuid":"n2","message":{"content":[{"type":"text","text":"do it"}]}}"#);
    assert!(decode(&asked).is_empty(), "the parent agent asks, not the user");
    let answer = nested(
        r#"{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"toolu_9","content":"x"}]}}"#,
    );
    assert!(matches!(decode(&answer).as_slice(), [Event::Response { .. }]));
}

#[test]
fn inventory_attachments() {
    let line = |attachment: &str| format!(r#"{{"type":"attachment","sessionId":"s1","attachment":{{{attachment}}}}}"#);
    let events = decode(&line(
        r#""type":"deferred_tools_delta","addedNames":["LSP","mcp__a__x","mcp__b__y","mcp__a__z"],"addedLines":["LSP","mcp__a__x"]"#,
    ));
    let [Event::Tools { tools: a, .. }, Event::Tools { tools: b, .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!((a.len(), b.len()), (2, 1));
    assert_eq!((a[1].tool.as_str(), a[1].name_only), ("z", true));

    let events = decode(&line(
        r#""type":"prompt_snapshot","tools":[{"name":"mcp__a__x","description":"d","input_schema":{"type":"object"}},{"name":"Bash"}]"#,
    ));
    let [Event::Tools { tools, .. }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((tools.len(), tools[0].name_only), (1, false));
    assert_eq!(tools[0].input_schema.as_deref(), Some(r#"{"type":"object"}"#));

    let events =
        decode(&line(r#""type":"mcp_instructions_delta","addedNames":["claude.ai Acme"],"addedBlocks":["one","two"]"#));
    let [Event::Instructions { server: Some(server), text, .. }, Event::Instructions { server: None, .. }] =
        events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!((server.as_str(), text.as_str()), ("claude_ai_Acme", "one"));
}

#[test]
fn prompts_are_what_the_user_wrote() {
    let ask = |content: &str| user_line(&format!(r#""message":{{"role":"user","content":{content}}}"#));
    assert_eq!(prompts(&ask(r#""do x""#)), ["do x"]);
    let shown = r#"[{"type":"text","text":"<ide_opened_file>f</ide_opened_file>"},{"type":"text","text":"why?"}]"#;
    assert_eq!(prompts(&ask(shown)), ["why?"]);
    assert_eq!(
        prompts(&ask(r#""<system-reminder>r</system-reminder>go<system-reminder>r</system-reminder>""#)),
        ["go"]
    );
    let slash = r#""<command-message>review</command-message>\n<command-name>/review</command-name>\n<command-args>167</command-args>""#;
    assert_eq!(prompts(&ask(slash)), ["167"]);
    for noise in [
        r#""<command-name>/exit</command-name>\n<command-args></command-args>""#,
        r#""<local-command-stdout>Bye!</local-command-stdout>""#,
        r#""<system-reminder>never closed""#,
        r#"[{"type":"text","text":"[Request interrupted by user for tool use]"}]"#,
        r#"["wow",1,null]"#,
        "7",
    ] {
        assert!(prompts(&ask(noise)).is_empty(), "{noise}");
    }
    for meta in [
        r#""isMeta":true"#,
        r#""isCompactSummary":true"#,
        r#""isSidechain":true"#,
        r#""agentId":"a1""#,
        r#""origin":{"kind":"task-notification"}"#,
    ] {
        let line = user_line(&format!(r#"{meta},"message":{{"content":"do x"}}"#));
        assert!(prompts(&line).is_empty(), "{meta}");
    }
    let queued = |mode: &str| {
        format!(
            r#"{{"type":"attachment","sessionId":"s1","attachment":{{"type":"queued_command","prompt":"and y",{mode}}}}}"#
        )
    };
    assert_eq!(prompts(&queued(r#""commandMode":"prompt""#)), ["and y"]);
    assert!(prompts(&queued(r#""commandMode":"task-notification""#)).is_empty());
    assert!(prompts(&queued(r#""origin":{"kind":"peer"}"#)).is_empty());
}

#[test]
fn redacted_ids_pair_by_line_or_not_at_all() {
    let key = |line: &str| match decode(line).remove(0) {
        Event::Request { key: Some(PairKey::Global { id, .. }), call, .. } => {
            assert_eq!(call.tool_call_id, None);
            id
        }
        Event::Response { key: PairKey::Global { id, .. }, .. } => id,
        other => panic!("{other:?}"),
    };
    let used = USE.replace("toolu_1", "REDACTED");
    let answer = |members: &str| {
        let message = r#""message":{"content":[{"type":"tool_result","tool_use_id":"REDACTED","content":"x"}]}"#;
        user_line(&format!("{members}{message}"))
    };
    assert_eq!(key(&used), key(&answer(r#""sourceToolAssistantUUID":"u1","#)));
    assert!(decode(&answer("")).is_empty());
    // Not even the line has an id: different calls stay different, the same call stays the same.
    let bare = used.replace("\"u1\"", "\"REDACTED\"");
    assert_eq!(key(&bare), key(&bare.replace("\"/w\"", "\"/v\"")));
    assert_ne!(key(&bare), key(&bare.replace("E-98", "E-99")));
}

#[test]
fn permission_mode_holds_for_the_session() {
    let events = decode(r#"{"type":"permission-mode","permissionMode":"plan","sessionId":"s1"}"#);
    let [Event::Context { lane, whole_source: false, call }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((lane.as_str(), call.more.as_deref().unwrap().approval_policy.as_deref()), ("s1", Some("plan")));
}

#[test]
fn claims_its_own_and_tolerates_only_objects() {
    for foreign in [
        r#"{"type":"session_meta","payload":{"id":"1"},"sessionId":"s"}"#,
        r#"{"sessionId":"s","projectHash":"h","type":"user"}"#,
        r#"{"jsonrpc":"2.0","type":"x","sessionId":"s"}"#,
        r#"{"silly":"this"}"#,
        r#"{"type":"page_view","sessionId":"s"}"#,
        r#"{"type":"user","sessionId":"s","name":"x"}"#,
    ] {
        with_record(foreign, |record| {
            assert!(!ClaudeCodeTranscript.claims(record), "{foreign}");
            assert!(ClaudeCodeTranscript.tolerates(record));
        });
    }
    for reject in [r#""massive error""#, "42", "[1]", r#"{"type":"user","sess"#] {
        with_record(reject, |record| {
            assert!(!ClaudeCodeTranscript.claims(record) && !ClaudeCodeTranscript.tolerates(record), "{reject}");
        });
    }
    for noise in [
        r#"{"type":"user","sessionId":"s","message":"error"}"#,
        r#"{"type":"assistant","parentUuid":null,"message":{"content":{"type":"tool_use"}}}"#,
        r#"{"type":"never-seen","sessionId":"s","uuid":"u"}"#,
        r#"{"type":"last-prompt","sessionId":"s"}"#,
        r#"{"type":"file-history-snapshot","messageId":"m","snapshot":{}}"#,
    ] {
        assert!(decode(noise).is_empty(), "{noise}");
    }
}
