use super::super::shared::testing::finished;
use super::*;
use crate::call::Position;
use crate::source::Hints;

fn with_record<T>(line: &str, look: impl FnOnce(&Record<'_>) -> T) -> T {
    let json = Object::parse(line).ok();
    let hints = Hints::default();
    look(&Record { text: line, json: json.as_ref(), position: Position::default(), lossy: false, hints: &hints })
}

fn decode(line: &str) -> Vec<Event> {
    with_record(line, |record| {
        assert!(CodexRollout.claims(record), "{line}");
        let mut out = Decoded::default();
        CodexRollout.decode(record, &mut out).unwrap();
        out.events
    })
}

fn line(kind: &str, payload: &str) -> String {
    format!(r#"{{"timestamp":"2026-07-20T19:08:26.776Z","type":"{kind}","payload":{payload}}}"#)
}

fn end(result: &str) -> Call {
    let payload = format!(
        r#"{{"type":"mcp_tool_call_end","call_id":"exec-1","invocation":{{"server":"apps","tool":"github.search_prs",
        "arguments":{{"q":1}}}},"app_name":"GitHub","duration":{{"secs":1,"nanos":841751333}},"result":{result}}}"#
    );
    match decode(&line("event_msg", &payload)).remove(0) {
        Event::Call { call, .. } => *call,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_end_event_is_a_whole_call() {
    let call = end(r#"{"Ok":{"content":[{"type":"text","text":"x"}],"isError":false}}"#);
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("apps"), Some("github.search_prs")));
    assert_eq!((call.tool_call_id.as_deref(), call.arguments.as_deref()), (Some("exec-1"), Some(r#"{"q":1}"#)));
    assert_eq!((call.outcome, call.is_error), (Outcome::Success, Some(false)));
    assert_eq!((call.duration_ns, call.time_source), (Some(1_841_751_333), TimeSource::EndMinusDuration));
    assert_eq!(call.time, call.time_end.map(|end| end - 1_841_751_333));
    assert_eq!(call.more.unwrap().extra_json.as_deref(), Some(r#"{"app_name":"GitHub"}"#));
}

#[test]
fn errors_of_tool_transport_and_user_differ() {
    let call = end(r#"{"Ok":{"content":[{"type":"text","text":"403"}],"isError":true}}"#);
    assert_eq!((call.outcome, call.error_message.as_deref()), (Outcome::ToolError, Some("403")));
    assert_eq!(call.result_state, PayloadState::Present);
    let call = end(r#"{"Err":"tool call error: Transport send error"}"#);
    assert_eq!((call.outcome, call.result_state), (Outcome::TransportError, PayloadState::None));
    assert_eq!(call.error_message.as_deref(), Some("tool call error: Transport send error"));
    assert_eq!(end(r#"{"Err":"tool call failed: timed out awaiting tools/call after 60s"}"#).outcome, Outcome::Timeout);
    let call = end(r#"{"Err":"tool call error: tool call failed for `s/t`: Mcp error: -32602: unknown tool: x"}"#);
    assert_eq!((call.outcome, call.rpc_response_status_code), (Outcome::ProtocolError, Some(-32602)));
    let call = end(r#"{"Err":"user rejected MCP tool call"}"#);
    assert_eq!((call.outcome, call.approval), (Outcome::Denied, Approval::UserDenied));
    assert_eq!(end("null").outcome, Outcome::Unknown);
}

#[test]
fn hostile_numbers_do_not_become_times() {
    let payload = r#"{"type":"mcp_tool_call_end","call_id":"c","invocation":{"server":"s","tool":"t","arguments":null},
        "duration":{"secs":9223372036854775807,"nanos":-1},"result":{"Ok":{}}}"#;
    let events = decode(&line("event_msg", payload));
    let [Event::Call { call, .. }, Event::Amend { .. }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((call.duration_ns, call.time_source), (None, TimeSource::ResponseLine));
    assert_eq!((call.time, call.arguments_state), (call.time_end, PayloadState::None));

    let nameless = line("event_msg", r#"{"type":"mcp_tool_call_end","call_id":"c","invocation":[]}"#);
    with_record(&nameless, |record| {
        let mut out = Decoded::default();
        assert!(CodexRollout.decode(record, &mut out).is_err() && out.events.is_empty());
    });
}

/// Versions before 2026 kept nothing else of a call.
#[test]
fn the_models_own_items_are_halves_of_a_call() {
    let asked = |names: &str| {
        let item = format!(r#"{{"type":"function_call",{names},"call_id":"call_1","arguments":"{{\"q\":1}}"}}"#);
        decode(&line("response_item", &item)).remove(0)
    };
    for (names, server, tool) in [
        (r#""name":"mcp__apps__fetch_pr""#, "apps", "fetch_pr"),
        (r#""name":"apps__fetch_pr""#, "apps", "fetch_pr"),
        (r#""name":"fetch_pr","namespace":"mcp__apps__""#, "apps", "fetch_pr"),
        (r#""name":"_fetch_pr","namespace":"mcp__apps__github""#, "apps", "github_fetch_pr"),
    ] {
        let Event::Request { key: Some(PairKey::Global { id, .. }), call, .. } = asked(names) else {
            panic!("{names}")
        };
        assert_eq!((id.as_str(), call.server.as_deref(), call.tool.as_deref()), ("call_1", Some(server), Some(tool)));
        assert_eq!((call.arguments.as_deref(), call.outcome), (Some(r#"{"q":1}"#), Outcome::NoResponse));
    }
    let Event::Request { call, .. } = asked(r#""name":"read_mcp_resource""#) else { panic!("a resource") };
    assert_eq!((call.method.as_str(), call.tool), ("resources/read", None));
    for own in [r#""name":"exec_command""#, r#""name":"spawn__agent","namespace":"collaboration""#] {
        assert!(matches!(asked(own), Event::Foreign { .. }), "{own}");
    }
}

#[test]
fn an_items_output_is_an_answer_or_what_codex_says() {
    let answer = |output: &str| {
        let output = serde_json::Value::from(output);
        let item = format!(r#"{{"type":"function_call_output","call_id":"call_1","output":{output}}}"#);
        match decode(&line("response_item", &item)).remove(0) {
            Event::Response { call, maybe_foreign: true, .. } => call,
            other => panic!("{other:?}"),
        }
    };
    let blocks = r#"[{"type":"text","text":"x"}]"#;
    for output in [blocks.to_owned(), format!("Wall time: 0.8412 seconds\nOutput:\n{blocks}")] {
        let call = answer(&output);
        assert_eq!((call.outcome, call.result), (Outcome::Success, Some(format!(r#"{{"content":{blocks}}}"#))));
    }
    assert_eq!(answer(r#"{"rows":3}"#).result.as_deref(), Some(r#"{"structuredContent":{"rows":3}}"#));
    assert_eq!(answer(&format!(r#"{{"content":{blocks},"isError":true}}"#)).outcome, Outcome::ToolError);
    assert_eq!(answer(r#"[{"type":"text","text":"x…9 tokens truncated…"#).result_state, PayloadState::Truncated);
    assert_eq!(answer("user rejected MCP tool call").approval, Approval::UserDenied);
    assert_eq!(answer(r#"err: "Mcp error: -32603: down""#).rpc_response_status_code, Some(-32603));
    assert_eq!(answer("Tool call blocked by PreToolUse hook: no").approval, Approval::PolicyDenied);
    assert_eq!(answer("aborted by user after 2.1s").outcome, Outcome::Cancelled);
    assert_eq!(answer("done").outcome, Outcome::Unknown);
}

#[test]
fn meta_and_turn_lines_are_context() {
    let meta = r#"{"id":"t1","cwd":"/w","originator":"codex-tui","cli_version":"0.145.0","git":{"branch":"b"},
        "source":{"subagent":{"thread_spawn":{"parent_thread_id":"p"}}}}"#;
    let events = decode(&line("session_meta", meta));
    let [Event::Context { whole_source: true, call, .. }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((call.session_id.as_deref(), call.client_name.as_deref()), (Some("t1"), Some("codex-tui")));
    assert_eq!(call.more.as_deref().unwrap().agent_is_subagent, Some(true));

    let events = decode(&line("turn_context", r#"{"model":"gpt","approval_policy":"never","cwd":"/w"}"#));
    let [Event::Context { call, .. }] = events.as_slice() else { panic!("{events:?}") };
    let more = call.more.as_deref().unwrap();
    assert_eq!((more.gen_ai_request_model.as_deref(), more.approval_policy.as_deref()), (Some("gpt"), Some("never")));
}

#[test]
fn a_prompt_counts_once() {
    let texts = |line: &str| {
        let texts = decode(line).into_iter().map(|event| match event {
            Event::Prompt(prompt) => prompt.text,
            other => panic!("{other:?}"),
        });
        texts.collect::<Vec<_>>()
    };
    assert_eq!(
        texts(&line("event_msg", r#"{"type":"user_message","client_id":"c","message":"Review\n"}"#)),
        ["Review"]
    );
    let content = r#""role":"user","content":[{"type":"input_text","text":"Review"}]"#;
    assert!(texts(&line("response_item", &format!(r#"{{"type":"message",{content}}}"#))).is_empty());
    assert_eq!(texts(&line("response_item", &format!("{{{content}}}"))), ["Review"]);
    for own in ["<environment_context>\\nx</environment_context>", "# AGENTS.md instructions for /w\\n", "  "] {
        assert!(texts(&line("event_msg", &format!(r#"{{"type":"user_message","message":"{own}"}}"#))).is_empty());
    }
    assert_eq!(texts(&line("event_msg", r#"{"type":"user_message","message":"<b> is bold"}"#)), ["<b> is bold"]);
}

#[test]
fn exec_json_items() {
    let done = |members: &str| {
        let line = format!(
            r#"{{"type":"item.completed","item":{{"id":"item_3","type":"mcp_tool_call","server":"s","tool":"t","arguments":{{}},{members}}}}}"#
        );
        match decode(&line).remove(0) {
            Event::Ends { call, .. } => *call,
            other => panic!("{other:?}"),
        }
    };
    let call = done(r#""result":{"content":[]},"error":null,"status":"completed""#);
    assert_eq!((call.outcome, call.time), (Outcome::Success, None));
    assert_eq!(done(r#""result":{"content":[]},"error":null,"status":"failed""#).outcome, Outcome::ToolError);
    assert_eq!(done(r#""result":null,"error":{"message":"gone"},"status":"failed""#).outcome, Outcome::TransportError);
    let events = decode(r#"{"type":"thread.started","thread_id":"t1"}"#);
    assert!(
        matches!(events.as_slice(), [Event::Connection { opens: false, .. }, Event::Context { call, .. }] if call.session_id.as_deref() == Some("t1"))
    );
    let events = decode(
        r#"{"type":"item.started","item":{"id":"item_3","type":"mcp_tool_call","server":"s","tool":"t","arguments":{"a":1},"result":null,"error":null,"status":"in_progress"}}"#,
    );
    let [Event::Begins { call, .. }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((call.outcome, call.arguments.as_deref()), (Outcome::NoResponse, Some(r#"{"a":1}"#)));
    // Without an id nothing can tell which end is its own.
    assert!(decode(r#"{"type":"item.started","item":{"type":"mcp_tool_call","tool":"t"}}"#).is_empty());
    assert!(decode(r#"{"type":"item.started","item":{"id":"item_1","type":"command_execution"}}"#).is_empty());
}

#[test]
fn claims_only_known_types() {
    for foreign in [r#"{"type":"x","payload":{}}"#, r#"{"type":"assistant","sessionId":"s"}"#, r#"{"payload":{}}"#] {
        with_record(foreign, |record| assert!(!CodexRollout.claims(record), "{foreign}"));
    }
    with_record(r#"{"type":"new_kind","payload":{}}"#, |record| assert!(CodexRollout.tolerates(record)));
    with_record("[1]", |record| assert!(!CodexRollout.tolerates(record)));
}

#[test]
fn a_call_belongs_to_the_session_in_which_it_was_made() {
    let of = |id: &str| line("session_meta", &format!(r#"{{"id":"{id}","cwd":"/{id}","cli_version":"0.120.0"}}"#));
    let item = |payload: &str| line("response_item", payload);
    let ended = r#"{"type":"mcp_tool_call_end","call_id":"c-1","invocation":{"server":"s","tool":"t","arguments":{}},
        "duration":{"secs":0,"nanos":5},"result":{"Ok":{"content":[],"isError":false}}}"#;
    let lines = [
        of("one"),
        item(r#"{"type":"function_call","call_id":"c-1","name":"mcp__s__t","arguments":"{}"}"#),
        line("event_msg", ended),
        item(r#"{"type":"function_call_output","call_id":"c-1","output":"{\"content\":[]}"}"#),
        of("two"),
    ];
    let found = finished(&CodexRollout, &lines, &Hints::default());
    let known: Vec<_> = found.iter().map(|call| (call.session_id.as_deref(), &call.call_id)).collect();
    assert_eq!(known.len(), 2, "{known:?}");
    assert_eq!((known[0].0, known[0]), (Some("one"), known[1]), "two views of one call");
    assert_eq!(found[1].more.as_ref().unwrap().cwd.as_deref(), Some("/one"));
}

/// Until autumn 2025 lines had no envelope.
#[test]
fn bare_items_are_read_in_a_rollout_only() {
    let head = r#"{"id":"70850541-cbd6-4ab1-96c6-76fb64eab5c4","timestamp":"2025-06-12T10:00:00.000Z","instructions":null,"git":{"branch":"main"}}"#;
    let events = decode(head);
    let [Event::Context { whole_source: true, call, .. }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(call.session_id.as_deref(), Some("70850541-cbd6-4ab1-96c6-76fb64eab5c4"));
    assert!(decode(r#"{"record_type":"state"}"#).is_empty());
    let read = |line: &str| {
        with_record(line, |record| {
            assert!(!CodexRollout.claims(record) && CodexRollout.claims_in_own(record), "{line}");
            let mut out = Decoded::default();
            CodexRollout.decode(record, &mut out).unwrap();
            out.events
        })
    };
    let asked = read(r#"{"type":"function_call","name":"apps__fetch_pr","arguments":"{\"q\":1}","call_id":"call_1"}"#);
    let [Event::Request { key: Some(asked), call, .. }] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((call.server.as_deref(), call.arguments.as_deref()), (Some("apps"), Some(r#"{"q":1}"#)));
    let answered =
        read(r#"{"type":"function_call_output","call_id":"call_1","output":"{\"content\":[],\"is_error\":true}"}"#);
    let [Event::Response { key, call, .. }] = answered.as_slice() else { panic!("{answered:?}") };
    assert_eq!((key, call.outcome), (asked, Outcome::ToolError));
    let typed = read(r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"Review"}]}"#);
    assert!(matches!(typed.as_slice(), [Event::Prompt(prompt)] if prompt.text == "Review"));
    assert!(read(r#"{"type":"message","role":"assistant","content":[{"type":"output_text","text":"x"}]}"#).is_empty());
    let uuid = "70850541-cbd6-4ab1-96c6-76fb64eab5c4";
    for foreign in [
        r#"{"id":"x","timestamp":"t","instructions":""}"#.to_owned(),
        r#"{"record_type":"state","a":1}"#.to_owned(),
        format!(r#"{{"id":"{uuid}","timestamp":"t","cwd":"/w"}}"#),
        format!(r#"{{"id":"{uuid}","timestamp":"t","git":{{}},"level":"info"}}"#),
    ] {
        let foreign = foreign.as_str();
        with_record(foreign, |record| assert!(!CodexRollout.claims(record), "{foreign}"));
    }
}

/// Calls that only the model's items tell are whole at the end of the file; by then another policy may hold.
#[test]
fn a_policy_is_that_of_when_the_call_was_made() {
    let policy =
        |policy: &str| line("turn_context", &format!(r#"{{"model":"gpt","approval_policy":"{policy}","cwd":"/w"}}"#));
    let call = |id: &str| {
        let asked = format!(r#"{{"type":"function_call","name":"mcp__s__t","arguments":"{{}}","call_id":"{id}"}}"#);
        let given = format!(r#"{{"type":"function_call_output","call_id":"{id}","output":"r"}}"#);
        [line("response_item", &asked), line("response_item", &given)]
    };
    let lines: Vec<String> =
        [&[policy("on-request")][..], &call("a"), &[policy("never")], &call("b"), &[policy("untrusted")]].concat();
    let calls = finished(&CodexRollout, &lines, &Hints::default());
    let said: Vec<_> = calls.iter().map(|call| (call.tool_call_id.as_deref(), call.approval)).collect();
    assert_eq!(said, [(Some("a"), Approval::Unknown), (Some("b"), Approval::AutoAllowed)]);
}
