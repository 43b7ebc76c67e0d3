use super::*;
use crate::call::{Position, SessionSource, TimeSource};
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
        OpenAiResponses.decode(record, &mut out).unwrap();
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

fn item(rest: &str) -> String {
    format!(
        r#"{{"type":"mcp_call","id":"mcp_1","server_label":"orders","name":"find","arguments":"{{\"id\":5}}"{rest}}}"#
    )
}

const DONE: &str = r#","status":"completed","output":"{\"state\":\"sent\"}","error":null,"approval_request_id":null"#;

fn response(items: &[String]) -> String {
    format!(
        r#"{{"id":"resp_1","object":"response","created_at":1794390262.0,"status":"completed","model":"gpt-x","conversation":{{"id":"conv_1"}},
        "user":"u-1","tools":[{{"type":"mcp","server_label":"orders","server_url":"https://orders.example/mcp","require_approval":"never",
        "authorization":null}}],"output":[{}]}}"#,
        items.join(",")
    )
}

#[test]
fn a_response_holds_whole_calls() {
    let (requests, responses) = halves(&response(&[item(DONE)]));
    let (id, call) = &requests[0];
    assert_eq!((id.as_str(), call.server.as_deref(), call.tool.as_deref()), ("mcp_1", Some("orders"), Some("find")));
    assert_eq!((call.arguments.as_deref(), call.arguments_state), (Some(r#"{"id":5}"#), PayloadState::Present));
    assert_eq!((call.time, call.time_source), (Some(1_794_390_262_000_000_000), TimeSource::Record));
    assert_eq!((call.session_id.as_deref(), call.session_source), (Some("conv_1"), SessionSource::Conversation));
    assert_eq!((call.approval, call.user_id.as_deref()), (Approval::AutoAllowed, Some("u-1")));
    assert_eq!(call.more.as_ref().unwrap().server_url.as_deref(), Some("https://orders.example/mcp"));
    let call = &responses[0].1;
    assert_eq!((call.outcome, call.result.as_deref()), (Outcome::Success, Some(r#"{"state":"sent"}"#)));
    assert_eq!(call.approval, Approval::AutoAllowed);
}

#[test]
fn outcomes_follow_the_error_and_the_status() {
    let of = |rest: &str| halves(&item(rest)).1.pop().map(|(_, call)| call);
    let error = |error: &str| of(&format!(r#","status":"failed","error":{error}"#)).unwrap();
    let call = error(r#"{"type":"mcp_protocol_error","code":-32602,"message":"bad"}"#);
    assert_eq!((call.outcome, call.rpc_response_status_code), (Outcome::ProtocolError, Some(-32602)));
    let call = error(r#"{"type":"http_error","code":503,"message":"away"}"#);
    assert_eq!((call.outcome, call.error_message.as_deref()), (Outcome::TransportError, Some("away")));
    let call = error(r#"{"type":"mcp_tool_execution_error","content":[{"type":"text","text":"no such order"}]}"#);
    assert_eq!((call.outcome, call.is_error), (Outcome::ToolError, Some(true)));
    assert_eq!((call.error_message.as_deref(), call.result_state), (Some("no such order"), PayloadState::Present));
    assert_eq!(error(r#""MCP error -32001: Request timed out""#).outcome, Outcome::Timeout);
    assert_eq!(error("\"it broke\"").outcome, Outcome::ToolError);
    assert_eq!(of(r#","status":"failed""#).unwrap().outcome, Outcome::ToolError);
    assert!(of(r#","status":"calling","output":null"#).is_none());
    assert!(of("").is_none());
    assert_eq!(of(r#","output":"done""#).unwrap().result.as_deref(), Some("\"done\""));
}

#[test]
fn an_approval_is_one_call_with_what_was_asked() {
    let asked = r#"{"type":"mcp_approval_request","id":"mcpr_1","server_label":"orders","name":"cancel","arguments":"{\"id\":5}"}"#;
    let (requests, _) = halves(asked);
    assert_eq!((requests[0].0.as_str(), requests[0].1.outcome), ("mcpr_1", Outcome::NoResponse));
    let made = item(r#","status":"completed","output":"ok","approval_request_id":"mcpr_1""#);
    let (requests, responses) = halves(&made);
    assert_eq!((requests[0].0.as_str(), responses[0].0.as_str()), ("mcpr_1", "mcpr_1"));
    assert_eq!(
        (requests[0].1.tool_call_id.as_deref(), responses[0].1.approval),
        (Some("mcpr_1"), Approval::UserAllowed)
    );
    let answer = |approve: bool| {
        events(&format!(
            r#"{{"model":"gpt-x","previous_response_id":"resp_1","input":[{{"type":"mcp_approval_response",
            "approval_request_id":"mcpr_1","approve":{approve},"reason":"not today"}}]}}"#
        ))
    };
    assert!(matches!(&answer(true)[..], [Event::Amend { call, .. }] if call.approval == Approval::UserAllowed));
    match &answer(false)[..] {
        [Event::Response { call, .. }] => {
            assert_eq!((call.outcome, call.approval), (Outcome::Denied, Approval::UserDenied));
            assert_eq!(call.error_message.as_deref(), Some("not today"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn tools_prompts_pages_arrays_and_streams() {
    let list = r#"{"type":"mcp_list_tools","id":"mcpl_1","server_label":"orders","tools":[{"name":"find","input_schema":{"type":"object"},"annotations":{"readOnlyHint":true}}]}"#;
    let tools = events(list)
        .into_iter()
        .find_map(|e| if let Event::Tools { tools, .. } = e { Some(tools) } else { None })
        .unwrap();
    assert_eq!((tools[0].tool.as_str(), tools[0].annotations.as_deref()), ("find", Some(r#"{"readOnlyHint":true}"#)));
    let exchange = format!(
        r#"{{"timestamp":"2026-11-10T09:00:00Z","request":{{"model":"gpt-x","tools":[{{"type":"mcp","server_label":"orders","server_url":"https://o.example"}}],
        "input":"where is it?"}},"response":{{"id":"resp_2","object":"response","output":[{}]}}}}"#,
        item(DONE)
    );
    let found = events(&exchange);
    assert!(found.iter().any(|event| matches!(event, Event::Prompt(prompt) if prompt.text == "where is it?")));
    assert_eq!(halves(&exchange).0[0].1.more.as_ref().unwrap().server_url.as_deref(), Some("https://o.example"));
    assert_eq!(halves(&format!(r#"{{"object":"list","data":[{}],"has_more":false}}"#, item(DONE))).1.len(), 1);
    assert_eq!(halves(&format!("[{},{{\"type\":\"reasoning\"}}]", item(DONE))).1.len(), 1);
    let done = format!(r#"{{"type":"response.output_item.done","output_index":0,"item":{}}}"#, item(DONE));
    assert_eq!(halves(&done).1.len(), 1);
    assert!(events(r#"{"type":"response.mcp_call_arguments.delta","output_index":0,"delta":"{"}"#).is_empty());
}

#[test]
fn what_has_no_mcp_is_not_claimed_or_noise() {
    for other in [
        r#"{"model":"gpt","input":"mcp_call","tools":[{"type":"function","name":"mcp"}]}"#,
        r#"{"object":"list","data":[{"id":"gpt-x","object":"model"}]}"#,
        r#"{"type":"message","role":"user","content":[]}"#,
        r#"{"type":"response_item","payload":{"type":"mcp_call"}}"#,
        r#"{"type":"item.completed","item":{"type":"mcp_tool_call","server":"s","tool":"t"}}"#,
        r#"{"request":{"a":"mcp_call"},"response":"mcp_call"}"#,
    ] {
        assert_ne!(claimed(other), Some(ID), "{other}");
    }
    assert!(events(&response(&[r#"{"type":"message","role":"assistant","content":[]}"#.to_owned()])).is_empty());
}

#[test]
fn odd_values_do_no_harm() {
    for text in [
        response(&[
            "null".to_owned(),
            "[]".to_owned(),
            r#"{"type":"mcp_approval_response","approval_request_id":1}"#.to_owned(),
        ]),
        r#"{"object":"response","output":{"type":"mcp_call"}}"#.to_owned(),
        r#"{"type":"mcp_approval_request","id":{}}"#.to_owned(),
        r#"{"type":"response.completed","response":"mcp_call"}"#.to_owned(),
    ] {
        assert!(events(&text).is_empty(), "{text}");
    }
    let found = events(
        r#"{"type":"mcp_call","id":null,"arguments":"{\"a\":","status":"completed","error":{"type":"http_error","code":99999999999}}"#,
    );
    match &found[..] {
        [Event::Call { call, .. }] => {
            assert_eq!((call.outcome, call.arguments_state), (Outcome::TransportError, PayloadState::Truncated));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_streamed_response_is_put_together() {
    let begun = item(r#","status":"in_progress","output":null"#).replace(r#"{\"id\":5}"#, "");
    let bare = |items: &[String]| response(items).replace('\n', "");
    let event =
        |kind: &str, rest: &str| format!("data: {{\"type\":\"response.{kind}\",\"output_index\":0,{rest}}}\n\n");
    let piece = |text: &str| event("mcp_call_arguments.delta", &format!(r#""item_id":"mcp_1","delta":"{text}""#));
    let start = event("created", &format!(r#""response":{}"#, bare(&[])));
    let added = event("output_item.added", &format!(r#""item":{begun}"#));
    let done = event("output_item.done", &format!(r#""item":{}"#, item(DONE)));
    let whole = event("completed", &format!(r#""response":{}"#, bare(&[item(DONE)])));
    // With the whole response at the end, without its items, and without its end.
    for text in [
        [&start, &added, &piece(r#"{\"id\":5}"#), &done, &whole].map(String::as_str).concat(),
        [&start, &added, &done, &event("completed", &format!(r#""response":{}"#, bare(&[])))]
            .map(String::as_str)
            .concat(),
        [&start, &added, &done].map(String::as_str).concat(),
    ] {
        let (requests, responses) = halves(&text);
        assert_eq!((requests.len(), responses.len()), (1, 1), "{text}");
        let call = &requests[0].1;
        assert_eq!((call.arguments.as_deref(), call.arguments_state), (Some(r#"{"id":5}"#), PayloadState::Present));
        assert_eq!((call.session_id.as_deref(), call.approval), (Some("conv_1"), Approval::AutoAllowed));
        assert_eq!(responses[0].1.outcome, Outcome::Success);
    }
    let (requests, responses) = halves(&[start, added, piece(r#"{\"id"#)].concat());
    assert_eq!((requests.len(), responses.len()), (1, 0));
    assert_eq!((requests[0].1.arguments_state, requests[0].1.outcome), (PayloadState::Truncated, Outcome::NoResponse));
}

#[test]
fn chat_completions_call_tools_by_their_names() {
    let calls = r#"[{"id":"call_1","type":"function","function":{"name":"mcp__files__read","arguments":"{\"path\":\"a\"}"}},
        {"id":"call_2","type":"function","function":{"name":"weather","arguments":"{}"}}]"#;
    let message = format!(r#"{{"role":"assistant","content":null,"tool_calls":{calls}}}"#);
    let completion = format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion","created":1794390262,"model":"gpt-x","choices":[{{"index":0,"message":{message}}}]}}"#
    );
    let request = format!(
        r#"{{"model":"gpt-x","messages":[{{"role":"user","content":"read it"}},{message},{{"role":"tool","tool_call_id":"call_1","content":"text"}},
        {{"role":"user","content":"and now?"}}]}}"#
    );
    let (requests, _) = halves(&completion);
    assert_eq!(requests.len(), 1);
    let call = &requests[0].1;
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("files"), Some("read")));
    assert_eq!((call.arguments.as_deref(), call.time), (Some(r#"{"path":"a"}"#), Some(1_794_390_262_000_000_000)));
    let (requests, responses) = halves(&request);
    assert_eq!((requests.len(), responses.len()), (1, 1));
    assert_eq!((requests[0].1.time, responses[0].1.result.as_deref()), (None, Some("\"text\"")));
    let asked: Vec<_> = events(&request)
        .into_iter()
        .filter_map(|e| if let Event::Prompt(p) = e { Some(p.text) } else { None })
        .collect();
    assert_eq!(asked, ["and now?"]);
    // Both bodies of an exchange, one of them streamed.
    let chunks = [
        r#"{"choices":[],"created":0,"id":"","model":"","object":""}"#,
        r#"{"id":"c","object":"chat.completion.chunk","created":7,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_3","function":{"name":"mcp__files__read","arguments":"{\"path"}}]}}]}"#,
        r#"{"id":"c","object":"chat.completion.chunk","created":7,"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\":\"b\"}"}}]}}]}"#,
        "[DONE]",
    ];
    let stream = serde_json::Value::from(chunks.map(|data| format!("data: {data}\n\n")).concat());
    let (requests, _) = halves(&format!(r#"{{"request_body":{request},"response_body":{stream}}}"#));
    let ids: Vec<_> = requests.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["call_1", "call_3"]);
    assert_eq!(requests[1].1.arguments.as_deref(), Some(r#"{"path":"b"}"#));
    for other in [completion.replace("mcp__files__read", "read"), chunks[1].replace("mcp__files__read", "read")] {
        assert!(events(&other).is_empty());
    }
    assert_eq!(claimed(&request.replace("mcp__files__read", "read")), None);
}
