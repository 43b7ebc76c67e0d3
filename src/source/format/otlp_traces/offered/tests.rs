use super::*;
use crate::source::format::LogFormat;
use crate::source::format::shared::testing::decode_as;
use crate::source::format::{jaeger::Jaeger, otlp_logs::OtlpLogs, otlp_traces::OtlpTraces};
use crate::source::{Hints, time};

const FUNCTION: &str =
    r#"{"type":"function","name":"find_order","description":"Finds orders.","parameters":{"type":"object"}}"#;
const OF_SERVER: &str =
    r#"{"type":"function","function":{"name":"mcp__crm__note","description":"Notes.","parameters":{"type":"object"}}}"#;
const NAME: &str = r#"{"type":"function","name":"ping_host"}"#;

/// Server, name, description and schema of all that is offered, once with session and time.
fn offered(format: &dyn LogFormat, text: &str) -> Vec<(Option<Text>, Text, Option<String>, bool)> {
    let mut found = Vec::new();
    for event in decode_as(format, text, &Hints::default()).expect("read") {
        let Event::Tools { lane, session, time, tools } = event else { continue };
        assert_eq!((lane.as_str(), session.as_deref()), ("conv-1", Some("conv-1")));
        assert_eq!(time, time::rfc3339("2026-11-11T09:04:22.5Z"));
        found.extend(tools.into_iter().map(|tool| {
            assert_eq!((tool.description.is_none(), tool.input_schema.is_none()), (tool.name_only, tool.name_only));
            assert!(Object::parse(&tool.definition).is_ok());
            (tool.server, tool.tool, tool.description, tool.name_only)
        }));
    }
    found
}

fn quoted(text: &str) -> String {
    format!(r#"{{"stringValue":{}}}"#, serde_json::Value::from(text))
}

/// A span with this value of the attribute.
fn of_span(value: &str, service: &str) -> Vec<(Option<Text>, Text, Option<String>, bool)> {
    let text = |key: &str, value: &str| format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#);
    let text = format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{}]}},"scopeSpans":[{{"spans":[
        {{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"00000000000000a1","name":"chat m","kind":3,
        "startTimeUnixNano":"1794387862500000000","attributes":[{},{{"key":"{DEFINITIONS}","value":{value}}}]}}]}}]}}]}}"#,
        text("service.name", service),
        text("gen_ai.conversation.id", "conv-1")
    );
    offered(&OtlpTraces, &text)
}

fn expected(names: &[&str]) -> Vec<(Option<Text>, Text, Option<String>, bool)> {
    let all = [
        (None, Text::from("find_order"), Some("Finds orders.".to_owned()), false),
        (Some(Text::from("crm")), Text::from("note"), Some("Notes.".to_owned()), false),
        (None, Text::from("ping_host"), None, true),
    ];
    all.into_iter().filter(|(_, name, ..)| names.contains(&name.as_str())).collect()
}

#[test]
fn definitions_are_read_however_they_are_written() {
    let all = expected(&["find_order", "note", "ping_host"]);
    let array = format!("[{FUNCTION},{OF_SERVER},{NAME}]");
    assert_eq!(of_span(&quoted(&array), "svc"), all);
    let strings: Vec<_> = [FUNCTION, OF_SERVER, NAME].iter().map(|one| quoted(one)).collect();
    assert_eq!(of_span(&format!(r#"{{"arrayValue":{{"values":[{}]}}}}"#, strings.join(",")), "svc"), all);
    let structured = r#"{"arrayValue":{"values":[{"kvlistValue":{"values":[{"key":"name","value":{"stringValue":"ping_host"}}]}}]}}"#;
    assert_eq!(of_span(structured, "svc"), expected(&["ping_host"]));
    // A limit on the length of attributes cuts the last one.
    assert_eq!(of_span(&quoted(&array[..array.len() - 20]), "svc"), expected(&["find_order", "note"]));
    let google = format!(r#"[{{"functionDeclarations":[{FUNCTION}]}},{{"google_search":{{}}}}]"#);
    assert_eq!(of_span(&quoted(&google), "svc"), expected(&["find_order"]));
    let amazon = format!(r#"[{{"toolSpec":{}}}]"#, FUNCTION.replace("parameters", "inputSchema"));
    assert_eq!(of_span(&quoted(&amazon), "svc"), expected(&["find_order"]));
    // Services of the model's provider, tools that Copilot brings along, and what is no definition.
    assert!(of_span(&quoted(r#"[{"type":"web_search","name":"web_search"},{"name":7},3,"x"]"#), "svc").is_empty());
    assert_eq!(of_span(&quoted(&array), "copilot-chat"), expected(&["note"]));
    for odd in ["", "[", "{}", "null", "[[]]", r#"[{"functionDeclarations":[{"functionDeclarations":[]}]}]"#] {
        assert!(of_span(&quoted(odd), "svc").is_empty(), "{odd}");
    }
}

#[test]
fn events_and_tags_hold_them_too() {
    let value = quoted(&format!("[{FUNCTION}]"));
    let pairs = format!(
        r#"[{{"key":"gen_ai.conversation.id","value":{{"stringValue":"conv-1"}}}},{{"key":"{DEFINITIONS}","value":{value}}}]"#
    );
    let log = format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"timeUnixNano":"1794387862500000000",
        "eventName":"gen_ai.client.inference.operation.details","attributes":{pairs}}}]}}]}}]}}"#
    );
    assert_eq!(offered(&OtlpLogs, &log), expected(&["find_order"]));
    let of_event = format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"00000000000000a1",
        "name":"chat m","startTimeUnixNano":"1794387862500000000","attributes":[{{"key":"gen_ai.conversation.id",
        "value":{{"stringValue":"conv-1"}}}}],"events":[{{"name":"gen_ai.client.inference.operation.details","attributes":{pairs}}}]}}]}}]}}]}}"#
    );
    assert_eq!(offered(&OtlpTraces, &of_event), expected(&["find_order"]));
    let tag = serde_json::Value::from(format!("[{FUNCTION}]"));
    let span = format!(
        r#"{{"traceID":"3e28","spanID":"a1","operationName":"chat m","startTime":1794387862500000,"duration":7,"process":{{"serviceName":"svc"}},
        "tags":[{{"key":"gen_ai.conversation.id","value":"conv-1"}},{{"key":"{DEFINITIONS}","value":{tag}}}]}}"#
    );
    assert_eq!(offered(&Jaeger, &span), expected(&["find_order"]));
}
