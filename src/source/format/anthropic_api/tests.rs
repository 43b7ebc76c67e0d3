use super::*;
use crate::call::{Position, SessionSource};
use crate::source::Hints;
use crate::source::format::shared::testing::route;

fn with_record<T>(text: &str, run: impl FnOnce(&Record<'_>) -> T) -> T {
    let object = Object::parse(text).ok();
    let hints = Hints::default();
    run(&Record { text, json: object.as_ref(), position: Position::default(), lossy: false, hints: &hints })
}

fn claimed(text: &str) -> Option<&'static str> {
    with_record(text, |record| route(record).map(LogFormat::id))
}

fn events(text: &str) -> Vec<Event> {
    assert_eq!(claimed(text), Some(ID), "{text}");
    with_record(text, |record| {
        let mut out = Decoded::default();
        AnthropicApi.decode(record, &mut out).unwrap();
        out.events
    })
}

/// Halves of calls, by id.
type Halves = Vec<(Text, Call)>;

/// Request and response sides.
fn halves(text: &str) -> (Halves, Halves) {
    let (mut requests, mut responses) = (Vec::new(), Vec::new());
    for event in events(text) {
        match event {
            Event::Request { key: Some(PairKey::Global { id, .. }), call, .. } => requests.push((id, *call)),
            Event::Response { key: PairKey::Global { id, .. }, call, .. } => responses.push((id, *call)),
            _ => {}
        }
    }
    (requests, responses)
}

const USE: &str = r#"{"type":"mcp_tool_use","id":"mcptoolu_1","name":"find","server_name":"orders","input":{"id":5}}"#;
const RESULT: &str = r#"{"type":"mcp_tool_result","tool_use_id":"mcptoolu_1","is_error":false,"content":[{"type":"text","text":"found"}]}"#;

fn response(blocks: &[&str]) -> String {
    format!(
        r#"{{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[{}],"stop_reason":"end_turn","usage":{{}}}}"#,
        blocks.join(",")
    )
}

fn request(messages: &str) -> String {
    format!(
        r#"{{"model":"claude-x","max_tokens":9,"metadata":{{"user_id":"u-1"}},"mcp_servers":[{{"type":"url","name":"orders",
        "url":"https://orders.example/mcp","authorization_token":"hidden"}}],"messages":[{messages}]}}"#
    )
}

#[test]
fn a_response_holds_call_and_result() {
    let (requests, responses) = halves(&response(&[r#"{"type":"text","text":"looking"}"#, USE, RESULT]));
    let (id, call) = &requests[0];
    assert_eq!(
        (id.as_str(), call.server.as_deref(), call.tool.as_deref()),
        ("mcptoolu_1", Some("orders"), Some("find"))
    );
    assert_eq!((call.arguments.as_deref(), call.arguments_state), (Some(r#"{"id":5}"#), PayloadState::Present));
    assert_eq!((call.time, call.outcome), (None, Outcome::NoResponse));
    let (id, call) = &responses[0];
    assert_eq!((id.as_str(), call.outcome, call.is_error), ("mcptoolu_1", Outcome::Success, Some(false)));
    assert_eq!(call.result_state, PayloadState::Present);
}

#[test]
fn an_exchange_gives_time_session_user_and_address() {
    for (request, response) in [
        (request(r#"{"role":"user","content":"where is it?"}"#), response(&[USE, RESULT])),
        // Bodies as strings.
        (
            serde_json::Value::from(request(r#"{"role":"user","content":[{"type":"text","text":"where is it?"}]}"#))
                .to_string(),
            serde_json::Value::from(response(&[USE, RESULT])).to_string(),
        ),
    ] {
        let text = format!(
            r#"{{"timestamp":"2026-11-10T09:00:00Z","session_id":"s-1","agent":"desk","request":{request},"response":{response}}}"#
        );
        let (requests, _) = halves(&text);
        let call = &requests[0].1;
        assert_eq!(call.time, crate::source::time::rfc3339("2026-11-10T09:00:00Z"));
        assert_eq!((call.session_id.as_deref(), call.session_source), (Some("s-1"), SessionSource::Conversation));
        assert_eq!((call.agent.as_deref(), call.user_id.as_deref()), (Some("desk"), Some("u-1")));
        let more = call.more.as_ref().unwrap();
        assert_eq!(more.server_url.as_deref(), Some("https://orders.example/mcp"));
        assert_eq!(more.gen_ai_request_model.as_deref(), Some("claude-x"));
        let asked =
            events(&text).into_iter().find_map(|event| if let Event::Prompt(p) = event { Some(p.text) } else { None });
        assert_eq!(asked.as_deref(), Some("where is it?"));
    }
}

#[test]
fn history_was_before_the_record_and_its_prompts_were_said() {
    let messages = format!(
        r#"{{"role":"user","content":"first"}},{{"role":"assistant","content":[{USE},{RESULT}]}},
        {{"role":"user","content":[{{"type":"tool_result","tool_use_id":"toolu_9","content":"x"}}]}}"#
    );
    let text = format!(r#"{{"ts":1794390262,"body":{}}}"#, request(&messages));
    let (requests, responses) = halves(&text);
    assert_eq!((requests[0].1.time, requests[0].1.time_end), (None, Some(1_794_390_262_000_000_000)));
    assert_eq!(responses[0].1.time_end, Some(1_794_390_262_000_000_000));
    assert!(!events(&text).iter().any(|event| matches!(event, Event::Prompt(_))));
}

#[test]
fn errors_listings_and_arrays() {
    let failed = r#"{"type":"mcp_tool_result","tool_use_id":"mcptoolu_1","is_error":true,"content":"no such order"}"#;
    let (_, responses) = halves(&format!("[{}]", response(&[failed])));
    let call = &responses[0].1;
    assert_eq!((call.outcome, call.error_message.as_deref()), (Outcome::ToolError, Some("no such order")));
    let listing = r#"{"type":"mcp_tool_listing","mcp_server_name":"orders","tools":[{"name":"find","description":"finds","input_schema":{}},{}]}"#;
    let tools = events(&response(&[listing]))
        .into_iter()
        .find_map(|e| if let Event::Tools { tools, .. } = e { Some(tools) } else { None });
    let tools = tools.unwrap();
    assert_eq!(
        (tools.len(), tools[0].server.as_deref(), tools[0].input_schema.as_deref()),
        (1, Some("orders"), Some("{}"))
    );
}

#[test]
fn streams_name_calls_without_their_arguments() {
    let start = |block: &str| format!(r#"{{"type":"content_block_start","index":0,"content_block":{block}}}"#);
    let begun = USE.replace(r#"{"id":5}"#, "{}");
    let (requests, _) = halves(&start(&begun));
    assert_eq!(requests[0].1.arguments_state, PayloadState::NotLogged);
    assert_eq!(halves(&start(RESULT)).1.len(), 1);
    assert!(
        events(r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{"}}"#)
            .is_empty()
    );
}

#[test]
fn events_of_managed_agents_have_times_and_permissions() {
    let asked = |permission: &str| {
        let text = format!(
            r#"{{"type":"agent.mcp_tool_use","id":"sevt_1","name":"find","mcp_server_name":"orders","input":{{}},
            "processed_at":"2026-11-10T09:00:00Z","evaluated_permission":"{permission}","evaluation":{{"type":"always_{permission}"}}}}"#
        );
        halves(&text).0.remove(0).1
    };
    let call = asked("allow");
    assert_eq!((call.approval, call.time_source), (Approval::AutoAllowed, TimeSource::RequestLine));
    assert_eq!(call.more.unwrap().approval_policy.as_deref(), Some("always_allow"));
    assert_eq!((asked("deny").outcome, asked("ask").outcome), (Outcome::Denied, Outcome::NoResponse));
    let done = r#"{"type":"agent.mcp_tool_result","id":"sevt_2","mcp_tool_use_id":"sevt_1","processed_at":"2026-11-10T09:00:02Z","is_error":false}"#;
    let (id, call) = halves(done).1.remove(0);
    assert_eq!((id.as_str(), call.time_end), ("sevt_1", crate::source::time::rfc3339("2026-11-10T09:00:02Z")));
    let answer = |result: &str| {
        events(&format!(
            r#"{{"type":"user.tool_confirmation","id":"sevt_3","tool_use_id":"sevt_1","result":"{result}","processed_at":null}}"#
        ))
    };
    assert!(matches!(&answer("allow")[0], Event::Amend { call, .. } if call.approval == Approval::UserAllowed));
    assert!(matches!(&answer("deny")[0], Event::Response { call, .. } if call.outcome == Outcome::Denied));
    let page = format!(r#"{{"data":[{done},{{"type":"agent.message","processed_at":"x"}}],"next_page":null}}"#);
    assert_eq!(events(&page).len(), 1);
}

#[test]
fn what_has_no_mcp_is_not_claimed_or_noise() {
    for other in [
        r#"{"model":"gpt","messages":[{"role":"user","content":"mcp_tool_use"}],"max_tokens":5}"#,
        r#"{"request":{"a":1},"response":{"b":"mcp_tool_use"}}"#,
        r#"{"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text"}]}"#,
        r#"{"type":"assistant","sessionId":"s","message":{"role":"assistant","content":[{"type":"mcp_tool_use"}]}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#,
        "[1,2]",
    ] {
        assert_ne!(claimed(other), Some(ID), "{other}");
    }
    assert!(events(&response(&[r#"{"type":"text","text":"hello"}"#])).is_empty());
}

#[test]
fn odd_values_do_no_harm() {
    for text in [
        response(&["null", "7", r#"{"type":"mcp_tool_result"}"#, r#"{"type":"mcp_tool_result","tool_use_id":[1]}"#]),
        r#"{"type":"message","role":"assistant","model":3,"content":"mcp_tool_use"}"#.to_owned(),
        r#"{"type":"agent.mcp_tool_result","processed_at":{}}"#.to_owned(),
        r#"{"model":"m","messages":{"a":1},"mcp_servers":"x"}"#.to_owned(),
        r#"["mcp_tool_use",null,[{"type" : "mcp_tool_use"}]]"#.to_owned(),
    ] {
        assert!(events(&text).is_empty(), "{text}");
    }
    // Without an id the call still counts, alone.
    let found = events(&response(&[r#"{"type":"mcp_tool_use","name":7,"input":null}"#]));
    assert!(matches!(&found[..], [Event::Call { call, .. }] if call.arguments_state == PayloadState::NotLogged));
}

/// The events of a response that asks for `USE`, its input in pieces.
fn stream() -> String {
    let begun = USE.replace(r#"{"id":5}"#, "{}");
    [
        r#"{"type":"message_start","message":{"type":"message","role":"assistant","model":"claude-x","content":[]}}"#,
        &format!(r#"{{"type":"content_block_start","index":1,"content_block":{begun}}}"#),
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"id"}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"\":5}"}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        &format!(r#"{{"type":"content_block_start","index":2,"content_block":{RESULT}}}"#),
    ]
    .map(|data| format!("event: x\ndata: {data}\n\n"))
    .concat()
}

#[test]
fn a_streamed_response_is_put_together() {
    let (requests, responses) = halves(&stream());
    let call = &requests[0].1;
    assert_eq!((call.arguments.as_deref(), call.arguments_state), (Some(r#"{"id":5}"#), PayloadState::Present));
    assert_eq!(call.more.as_ref().and_then(|more| more.gen_ai_request_model.as_deref()), Some("claude-x"));
    assert_eq!((responses.len(), responses[0].1.outcome), (1, Outcome::Success));
    // Its data alone, with what who logs it adds.
    let bare = stream().replace("event: x\ndata: ", "").replace("\n\n", "\n");
    let bare = bare.replacen("{", r#"{"timestamp":"2026-11-10T09:00:00Z","session_id":"s-1","#, 1);
    let (requests, responses) = halves(bare.trim());
    assert_eq!((requests[0].1.arguments.as_deref(), responses.len()), (Some(r#"{"id":5}"#), 1));
    assert_eq!(requests[0].1.session_id.as_deref(), Some("s-1"));
    assert!(requests[0].1.time.is_some());
    // As the body of an exchange.
    let body = serde_json::Value::from(stream());
    let (requests, responses) = halves(&format!(r#"{{"timestamp":"2026-11-10T09:00:00Z","response":{body}}}"#));
    assert_eq!((requests[0].1.arguments.as_deref(), responses.len()), (Some(r#"{"id":5}"#), 1));
    assert!(requests[0].1.time.is_some());
    // Broken off within the input, and before it.
    let cut = |mark: &str| stream().split_once(mark).map(|(text, _)| halves(text).0.remove(0).1).expect("a call");
    let call = cut(
        "event: x\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"\\\"",
    );
    assert_eq!((call.arguments.as_deref(), call.arguments_state), (Some(r#"{"id"#), PayloadState::Truncated));
    assert_eq!(cut("event: x\ndata: {\"type\":\"content_block_delta").arguments_state, PayloadState::NotLogged);
}

#[test]
fn tools_of_the_application_are_told_by_their_names() {
    let own = r#"{"type":"tool_use","id":"toolu_1","name":"mcp__crm__note","input":{"text":"x"}}"#;
    let built_in = own.replace("mcp__crm__note", "Bash");
    let (requests, _) = halves(&response(&[own, &built_in]));
    assert_eq!(requests.len(), 1);
    let call = &requests[0].1;
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("crm"), Some("note")));
    assert_eq!(call.tool_raw.as_deref(), Some("mcp__crm__note"));
    let request = format!(
        r#"{{"model":"claude-x","messages":[{{"role":"assistant","content":[{own}]}},{{"role":"user","content":[
        {{"type":"tool_result","tool_use_id":"toolu_1","content":"done","is_error":true}}]}}]}}"#
    );
    let (requests, responses) = halves(&request);
    assert_eq!((requests.len(), responses[0].1.outcome), (1, Outcome::ToolError));
    assert_eq!(claimed(&request.replace("mcp__crm__note", "Bash")), None);
}
