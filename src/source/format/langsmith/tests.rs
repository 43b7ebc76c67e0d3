use super::*;
use crate::call::{Call, Flag, Outcome, PayloadState, Position, SessionSource};
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

fn calls(text: &str) -> Vec<Call> {
    assert_eq!(claimed(text), Some(ID), "{text}");
    let mut out = Decoded::default();
    with_record(text, |record| LangSmith.decode(record, &mut out)).unwrap();
    let call = |event| if let Event::Call { call, .. } = event { Some(*call) } else { None };
    out.events.into_iter().filter_map(call).collect()
}

fn run_of(name: &str, metadata: &str, rest: &str) -> String {
    format!(
        r#"{{"id":"0a06cbd6-0000-4000-8000-000000000001","trace_id":"0a06cbd6-0000-4000-8000-00000000000f","run_type":"tool","name":"{name}",
        "start_time":"2026-11-10T09:00:00.250000","end_time":"2026-11-10T09:00:00.500000","session_id":"project-1",
        "parent_run_id":"0a06cbd6-0000-4000-8000-000000000002","extra":{{"metadata":{{{metadata}}}}}{rest}}}"#
    )
}

#[test]
fn a_tool_of_a_server_is_a_call_of_the_thread_and_not_of_the_project() {
    let metadata = r#""thread_id":"th-1","user_id":"u-1","tool_call_id":"toolu_1","lc_agent_name":"desk""#;
    let calls = calls(&run_of(
        "mcp__orders__find",
        metadata,
        r#","inputs":{"input":{"id":5}},"outputs":{"output":"sent"},"error":null"#,
    ));
    assert_eq!(calls.len(), 1);
    let call = &calls[0];
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("orders"), Some("find")));
    assert_eq!((call.session_id.as_deref(), call.session_source), (Some("th-1"), SessionSource::Conversation));
    assert_eq!((call.user_id.as_deref(), call.agent.as_deref()), (Some("u-1"), Some("desk")));
    assert_eq!(call.tool_call_id.as_deref(), Some("toolu_1"));
    assert_eq!((call.arguments.as_deref(), call.result.as_deref()), (Some(r#"{"id":5}"#), Some("\"sent\"")));
    assert_eq!(
        (call.time, call.duration_ns),
        (time::member(&Object::trusted(r#"{"t":"2026-11-10T09:00:00.25Z"}"#), "t").map(|t| t.0), Some(250_000_000))
    );
    assert!(call.flags.has(Flag::ZoneAssumed as u32));
    assert_eq!((call.outcome, call.source_format.as_str()), (Outcome::Success, ID));
}

#[test]
fn the_adapter_of_langchain_is_told_by_its_hints() {
    let hints =
        r#""title":null,"readOnlyHint":true,"destructiveHint":null,"idempotentHint":null,"openWorldHint":false"#;
    let outputs = r#","inputs":{"id":5},"outputs":{"output":{"type":"tool","content":"no such order","status":"error","tool_call_id":"call_1"}}"#;
    let call = &calls(&run_of("find", hints, outputs))[0];
    let more = call.more.as_ref().unwrap();
    assert_eq!((more.ann_read_only, more.ann_destructive, more.ann_open_world), (Some(true), None, Some(false)));
    assert_eq!((call.outcome, call.error_message.as_deref()), (Outcome::ToolError, Some("no such order")));
    assert_eq!(
        (call.tool.as_deref(), call.server.as_deref(), call.tool_call_id.as_deref()),
        (Some("find"), None, Some("call_1"))
    );
    assert!(calls(&run_of("find", r#""k":1"#, "")).is_empty(), "a function of the application");
}

#[test]
fn errors_open_runs_and_old_inputs() {
    let failed = run_of("mcp__a__b", "", r#","status":"error","error":"MCP error -32602: bad arguments""#);
    let call = &calls(&failed)[0];
    assert_eq!((call.outcome, call.rpc_response_status_code), (Outcome::ProtocolError, Some(-32602)));
    let open = run_of("mcp__a__b", "", r#","status":"pending","inputs":{"input":"{'id': 5}"}"#)
        .replace("\"2026-11-10T09:00:00.500000\"", "null");
    let call = &calls(&open)[0];
    assert!(call.is_open());
    assert_eq!((call.arguments_state, call.session_source), (PayloadState::Unparsable, SessionSource::Trace));
}

#[test]
fn answers_arrays_and_trees_are_read() {
    let one = run_of("mcp__a__b", "", "");
    assert_eq!(calls(&format!(r#"{{"runs":[{one}],"cursors":{{}}}}"#)).len(), 1);
    assert_eq!(calls(&format!("[{one},{one}]")).len(), 2);
    let tree = format!(r#"{{"id":"r","run_type":"chain","name":"agent","inputs":{{}},"child_runs":[{one},null]}}"#);
    assert_eq!(calls(&tree).len(), 1);
    let mut deep = one;
    for _ in 0..MAX_DEPTH + 5 {
        deep = format!(r#"{{"run_type":"chain","inputs":{{}},"child_runs":[{deep}]}}"#);
    }
    assert!(calls(&deep).is_empty());
}

#[test]
fn others_are_not_claimed_and_odd_values_do_no_harm() {
    for other in [r#"{"run_type":"tool"}"#, r#"{"runs":[]}"#, r#"{"runs":"run_type"}"#, "[1]", "[\"run\"]"] {
        assert_ne!(claimed(other), Some(ID), "{other}");
    }
    for text in [
        r#"{"run_type":7,"inputs":[],"extra":"x","start_time":{},"tags":"mcp"}"#,
        r#"{"run_type":"tool","trace_id":null,"extra":{"metadata":[]},"error":{},"name":[]}"#,
        r#"[{"run_type":"tool","inputs":null,"child_runs":{}},7]"#,
    ] {
        assert!(calls(text).is_empty(), "{text}");
    }
}
