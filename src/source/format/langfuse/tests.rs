use super::*;
use crate::call::{Approval, Call, Flag, Outcome, PayloadState, Position};
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
        Langfuse.decode(record, &mut out).unwrap();
        out.events
    })
}

fn calls(text: &str) -> Vec<Call> {
    let call = |event| if let Event::Call { call, .. } = event { Some(*call) } else { None };
    events(text).into_iter().filter_map(call).collect()
}

fn row(name: &str, rest: &str) -> String {
    format!(
        r#"{{"id":"61f6606ca967000e","traceId":"99925d22c4bfe96a90d5c9ab07a54192","parentObservationId":"e2b04ca07e8fe57d","type":"TOOL",
        "name":"{name}","startTime":"2026-11-10T09:00:00.000Z","endTime":"2026-11-10T09:00:01.500Z","level":"DEFAULT","sessionId":"s-1","userId":"u-1"{rest}}}"#
    )
}

#[test]
fn a_tool_named_as_one_of_a_server_is_a_call() {
    let calls = calls(&row(
        "mcp__orders__find",
        r#","input":{"id":5},"output":"{\"content\":[]}","metadata":{"agent":"desk"}"#,
    ));
    assert_eq!(calls.len(), 1);
    let call = &calls[0];
    assert_eq!(
        (call.method.as_str(), call.server.as_deref(), call.tool.as_deref()),
        ("tools/call", Some("orders"), Some("find"))
    );
    assert!(call.flags.has(Flag::NameSplit as u32));
    assert_eq!((call.time, call.duration_ns), (time::rfc3339("2026-11-10T09:00:00Z"), Some(1_500_000_000)));
    assert_eq!((call.session_id.as_deref(), call.session_source), (Some("s-1"), SessionSource::Conversation));
    assert_eq!((call.user_id.as_deref(), call.agent.as_deref()), (Some("u-1"), Some("desk")));
    assert_eq!((call.arguments.as_deref(), call.arguments_state), (Some(r#"{"id":5}"#), PayloadState::Present));
    assert_eq!((call.result.as_deref(), call.outcome), (Some(r#"{"content":[]}"#), Outcome::Success));
    assert_eq!((call.source_format.as_str(), call.approval), (ID, Approval::Unknown));
    assert_eq!(call.span_id.as_deref(), Some("61f6606ca967000e"));
}

#[test]
fn attributes_of_spans_are_read_from_metadata() {
    let attributes = r#"{"mcp.method.name":"tools/call","gen_ai.tool.name":"find","mcp.server.name":"orders","rpc.response.status_code":"-32602","network.transport":"pipe"}"#;
    for attributes in [attributes.to_owned(), serde_json::Value::from(attributes).to_string()] {
        let metadata = format!(
            r#","metadata":{{"attributes":{attributes},"resourceAttributes":"{{\"service.name\":\"desk\"}}"}}"#
        );
        let text = row("tools/call find", &metadata).replace("\"TOOL\"", "\"SPAN\"");
        let call = &calls(&text)[0];
        assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("orders"), Some("find")));
        assert_eq!((call.outcome, call.transport.as_deref()), (Outcome::ProtocolError, Some("stdio")));
        assert_eq!(call.client_name.as_deref(), Some("desk"));
    }
}

#[test]
fn metadata_and_tags_may_mark_a_tool() {
    let call = &calls(&row(
        "find",
        r#","metadata":{"mcp_server":"orders"},"input":"{\"name\":\"find\",\"arguments\":{\"id\":5}}""#,
    ))[0];
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("orders"), Some("find")));
    assert_eq!(calls(&row("find", r#","tags":["prod","MCP"]"#)).len(), 1);
    assert!(events(&row("find", r#","metadata":{"k":1}"#)).is_empty(), "a function of the application");
    assert!(events(&row("mcp__a__b", "").replace("\"TOOL\"", "\"GENERATION\"")).is_empty());
}

#[test]
fn errors_and_open_ends() {
    let failed = |message: &str| {
        let text = row("mcp__a__b", &format!(r#","statusMessage":"{message}""#)).replace("DEFAULT", "ERROR");
        calls(&text).remove(0)
    };
    let call = failed("no such order");
    assert_eq!((call.outcome, call.error_message.as_deref()), (Outcome::ToolError, Some("no such order")));
    assert_eq!(failed("MCP error -32001: Request timed out").outcome, Outcome::Timeout);
    let open = row("mcp__a__b", "").replace("\"2026-11-10T09:00:01.500Z\"", "null");
    assert!(calls(&open)[0].is_open());
    let timed = open.replace("null", r#"null,"latency":0.75"#);
    let call = calls(&timed).remove(0);
    assert_eq!((call.outcome, call.duration_ns), (Outcome::Success, Some(750_000_000)));
    let wrong = row("mcp__a__b", r#","output":{"content":[{"type":"text","text":"no"}],"isError":true}"#);
    assert_eq!((calls(&wrong)[0].outcome, calls(&wrong)[0].is_error), (Outcome::ToolError, Some(true)));
}

#[test]
fn exports_answers_and_traces_are_read() {
    let exported = r#"{"id":"o1","trace_id":"t1","project_id":"p","parent_observation_id":null,"type":"TOOL","name":"mcp__a__b",
        "start_time":"2026-11-10 09:00:00.250000","end_time":"2026-11-10 09:00:00.500000","session_id":"","user_id":"u-1","input":"{'id': 5}"}"#;
    let call = &calls(exported)[0];
    assert_eq!(call.time, time::rfc3339("2026-11-10T09:00:00.25Z"));
    assert!(call.flags.has(Flag::ZoneAssumed as u32));
    assert_eq!((call.session_source, call.arguments_state), (SessionSource::Trace, PayloadState::Unparsable));
    let one = row("mcp__a__b", "");
    assert_eq!(calls(&format!(r#"{{"data":[{one}],"meta":{{"cursor":null}}}}"#)).len(), 1);
    assert_eq!(calls(&format!("[{one},{one}]")).len(), 2);
    let trace = format!(
        r#"{{"id":"99925d22c4bfe96a90d5c9ab07a54192","sessionId":"s-9","name":"x","observations":[{one}],"scores":[]}}"#
    );
    assert!(matches!(&events(&trace)[0], Event::Trace { session_id, .. } if session_id == "s-9"));
    let agent = row("planner", "").replace("\"TOOL\"", "\"AGENT\"");
    assert!(matches!(&events(&agent)[..], [Event::Trace { agent: Some(agent), .. }] if agent == "planner"));
}

#[test]
fn others_are_not_claimed_and_odd_values_do_no_harm() {
    for other in [
        r#"{"data":[{"traceID":"1","spans":[]}]}"#,
        r#"{"type":"user","sessionId":"s","uuid":"u"}"#,
        r#"{"type":"TOOL","traceId":"t"}"#,
        r#"{"id":"1","run_type":"tool","trace_id":"t","start_time":"2026-11-10T09:00:00"}"#,
        "[{\"traceId\":1}]",
    ] {
        assert_ne!(claimed(other), Some(ID), "{other}");
    }
    for text in [
        r#"{"traceId":{},"startTime":[],"type":"TOOL","metadata":"{","name":7,"tags":{}}"#,
        r#"{"data":[null,3,{"traceId":1,"parentObservationId":2}],"meta":0}"#,
        r#"{"traceId":"","startTime":"soon","type":"AGENT","name":"x","metadata":{"attributes":"[]"}}"#,
    ] {
        assert!(calls(text).is_empty(), "{text}");
    }
}
