use super::*;
use crate::call::{Call, Observer, Outcome, PayloadState, Position, SessionSource};
use crate::source::format::shared::testing::route;
use crate::source::{Event, Hints};

fn with_record<T>(text: &str, run: impl FnOnce(&Record<'_>) -> T) -> T {
    let object = Object::parse(text).ok();
    let hints = Hints::default();
    run(&Record { text, json: object.as_ref(), position: Position::default(), lossy: false, hints: &hints })
}

fn claimed(text: &str) -> Option<&'static str> {
    with_record(text, |record| route(record).map(LogFormat::id))
}

fn events(text: &str) -> Vec<Event> {
    with_record(text, |record| {
        assert!(Jaeger.claims(record), "claims {text}");
        let mut out = Decoded::default();
        Jaeger.decode(record, &mut out).unwrap();
        out.events
    })
}

fn calls(text: &str) -> Vec<Call> {
    let call = |event| if let Event::Call { call, .. } = event { Some(*call) } else { None };
    events(text).into_iter().filter_map(call).collect()
}

fn span(name: &str, ids: (&str, &str), tags: &str, rest: &str) -> String {
    let parent = match ids.1 {
        "" => String::new(),
        parent => format!(r#"{{"refType":"CHILD_OF","traceID":"3e28","spanID":"{parent}"}}"#),
    };
    format!(
        r#"{{"traceID":"3e28","spanID":"{}","operationName":"{name}","references":[{parent}],"startTime":1771237536879614,
        "duration":57091,"tags":[{tags}],"processID":"p1","warnings":null{rest}}}"#,
        ids.0
    )
}

fn answer(spans: &[String]) -> String {
    format!(
        r#"{{"data":[{{"traceID":"3e28","spans":[{}],"processes":{{"p1":{{"serviceName":"desk","tags":[
        {{"key":"host.name","type":"string","value":"h1"}}]}}}},"warnings":null}}],"total":0,"limit":0,"offset":0,"errors":null}}"#,
        spans.join(",")
    )
}

fn tag(key: &str, value: &str) -> String {
    format!(r#"{{"key":"{key}","type":"string","value":{value}}}"#)
}

#[test]
fn a_tagged_span_is_a_call() {
    let tags = [
        tag("span.kind", "\"client\""),
        tag("mcp.method.name", "\"tools/call\""),
        tag("gen_ai.tool.name", "\"find_order\""),
        tag("mcp.server.name", "\"orders\""),
        tag("gen_ai.conversation.id", "\"c-1\""),
        tag("gen_ai.tool.call.arguments", r#""{\"id\":5}""#),
        tag("http.response.status_code", "200"),
    ];
    let logs = format!(
        r#","logs":[{{"timestamp":1771237536879700,"fields":[{}]}}]"#,
        tag("gen_ai.tool.call.result", "\"found\"")
    );
    let calls = calls(&answer(&[span("tools/call find_order", ("b1", "a1"), &tags.join(","), &logs)]));
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].result.as_deref(), Some("\"found\""));
    let call = &calls[0];
    assert_eq!(call.source_format, ID);
    assert_eq!((call.tool.as_deref(), call.server.as_deref()), (Some("find_order"), Some("orders")));
    assert_eq!((call.time, call.duration_ns), (Some(1_771_237_536_879_614_000), Some(57_091_000)));
    assert_eq!((call.outcome, call.observer), (Outcome::Success, Observer::Client));
    assert_eq!((call.session_id.as_deref(), call.session_source), (Some("c-1"), SessionSource::Conversation));
    assert_eq!((call.arguments.as_deref(), call.arguments_state), (Some(r#"{"id":5}"#), PayloadState::Present));
    assert_eq!(call.client_name.as_deref(), Some("desk"));
    assert_eq!(call.trace_id.as_deref(), Some("00000000000000000000000000003e28"));
    assert_eq!(call.parent_span_id.as_deref(), Some("00000000000000a1"));
    assert_eq!(call.more.as_ref().and_then(|m| m.http_response_status_code), Some(200));
}

#[test]
fn errors_and_exceptions_come_from_tags_and_logs() {
    let named = tag("mcp.method.name", "\"tools/call\"");
    let rest = r#","logs":[{"timestamp":1,"fields":[{"key":"event","value":"exception"},{"key":"exception.type","value":"TimeoutError"},
        {"key":"exception.message","value":"took too long"}]}]"#;
    let failed = format!(r#"{named},{{"key":"error","type":"bool","value":true}}"#);
    let call = &calls(&answer(&[span("tools/call a", ("b1", ""), &failed, rest)]))[0];
    assert_eq!((call.outcome, call.error_message.as_deref()), (Outcome::Timeout, Some("took too long")));
    let failed = [named, tag("otel.status_code", "\"ERROR\""), tag("otel.status_description", "\"no such order\"")];
    let call = &calls(&answer(&[span("tools/call a", ("b1", ""), &failed.join(","), "")]))[0];
    assert_eq!((call.outcome, call.error_message.as_deref()), (Outcome::ToolError, Some("no such order")));
}

#[test]
fn nested_spans_of_one_call_are_folded_as_in_otlp() {
    let outer = [tag("gen_ai.operation.name", "\"execute_tool\""), tag("gen_ai.tool.name", "\"find_order\"")];
    let inner = [tag("mcp.method.name", "\"tools/call\""), tag("gen_ai.tool.name", "\"find_order\"")];
    let spans = [
        span("execute_tool find_order", ("b1", "a1"), &outer.join(","), ""),
        span("tools/call find_order", ("b2", "b1"), &inner.join(","), ""),
        span("GET", ("b3", "b2"), "", ""),
    ];
    let calls = calls(&answer(&spans));
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].span_id.as_deref(), Some("00000000000000b2"));
}

#[test]
fn traces_and_index_documents_are_read() {
    let one = span("tools/call a", ("b1", ""), &tag("mcp.method.name", "\"tools/call\""), "");
    let trace = format!(r#"{{"traceID":"3e28","spans":[{one}],"processes":{{}}}}"#);
    assert_eq!(calls(&trace).len(), 1);
    let document = r#"{"traceID":"3e28","spanID":"b1","operationName":"tools/call a","references":[],"startTime":1771237536879614,
        "duration":10,"tags":[],"tag":{"mcp.method.name":"tools/call","error":true},"process":{"serviceName":"desk","tags":[]}}"#;
    let call = &calls(document)[0];
    assert_eq!((call.outcome, call.client_name.as_deref()), (Outcome::ToolError, Some("desk")));
}

#[test]
fn no_traces_are_no_calls_and_other_data_is_not_claimed() {
    assert_eq!(claimed(r#"{"data":[],"total":0,"limit":0,"offset":0,"errors":null}"#), Some(ID));
    for other in [
        r#"{"data":[{"id":"x","traceId":"t"}],"meta":{}}"#,
        r#"{"data":"spans","traceID":1}"#,
        r#"{"data":[]}"#,
        r#"{"traceID":"1","spans":[]}"#,
    ] {
        assert_ne!(claimed(other), Some(ID), "{other}");
    }
}

#[test]
fn odd_values_do_no_harm() {
    for text in [
        answer(&[r#"{"traceID":7,"spanID":{},"operationName":null,"tags":"x","references":{},"startTime":"soon"}"#
            .to_owned()]),
        answer(&["null".to_owned(), "[]".to_owned(), "3".to_owned()]),
        r#"{"data":[{"traceID":"1","spans":{},"processes":[]}],"total":"x"}"#.to_owned(),
        r#"{"traceID":"1","spanID":"2","operationName":"x","process":[],"tags":{},"duration":99999999999999999999}"#
            .to_owned(),
    ] {
        assert!(calls(&text).is_empty());
    }
    let huge = r#"{"traceID":"1","spanID":"2","operationName":"tools/call x","startTime":9223372036854775807,"duration":9223372036854775807,"tags":[]}"#;
    assert_eq!(calls(huge)[0].duration_ns, None);
    // A span that is its own parent.
    let own = span("tools/call a", ("b1", "b1"), &tag("mcp.method.name", "\"tools/call\""), "");
    assert_eq!(calls(&answer(&[own])).len(), 1);
}
