use super::*;
use crate::call::{Approval, EventKind, Flag, IdType, PayloadState, Position, SessionSource, Side};
use crate::source::Hints;
use proptest::prelude::*;

fn with_record<T>(text: &str, run: impl FnOnce(&Record<'_>) -> T) -> T {
    let object = Object::parse(text).ok();
    let hints = Hints::default();
    run(&Record { text, json: object.as_ref(), position: Position::default(), lossy: false, hints: &hints })
}

fn events(text: &str) -> Vec<Event> {
    with_record(text, |record| {
        assert!(OtlpTraces.claims(record), "claims {text}");
        let mut out = Decoded::default();
        OtlpTraces.decode(record, &mut out).unwrap();
        out.events
    })
}

fn calls(text: &str) -> Vec<Call> {
    let call = |event| if let Event::Call { call, .. } = event { Some(*call) } else { None };
    events(text).into_iter().filter_map(call).collect()
}

fn attributes(pairs: &[(&str, &str)]) -> String {
    let one = |(key, value): &(&str, &str)| {
        let value = if value.starts_with("{\"") && value.contains("Value\"") {
            (*value).to_owned()
        } else {
            format!("{{\"stringValue\":{}}}", serde_json::Value::from(*value))
        };
        format!("{{\"key\":\"{key}\",\"value\":{value}}}")
    };
    pairs.iter().map(one).collect::<Vec<_>>().join(",")
}

/// One span; `ids` are span and parent, `rest` further members.
fn span(name: &str, kind: u8, ids: (&str, &str), pairs: &[(&str, &str)], rest: &str) -> String {
    format!(
        "{{\"traceId\":\"5B8EFFF798038103D269B633813FC60C\",\"spanId\":\"{}\",\"parentSpanId\":\"{}\",\"name\":\"{name}\",\
         \"kind\":{kind},\"startTimeUnixNano\":\"1700000000000000000\",\"endTimeUnixNano\":1700000000002000000,\
         \"attributes\":[{}]{rest}}}",
        ids.0,
        ids.1,
        attributes(pairs)
    )
}

fn document(service: &str, spans: &[String]) -> String {
    format!(
        "{{\"resourceSpans\":[{{\"resource\":{{\"attributes\":[{}]}},\"scopeSpans\":[{{\"spans\":[{}]}}]}}]}}",
        attributes(&[("service.name", service)]),
        spans.join(",")
    )
}

fn one(name: &str, kind: u8, pairs: &[(&str, &str)], rest: &str) -> Call {
    let mut calls = calls(&document("svc", &[span(name, kind, ("00000000000000a1", ""), pairs, rest)]));
    assert_eq!(calls.len(), 1);
    calls.remove(0)
}

const TOOL_CALL: &[(&str, &str)] = &[("mcp.method.name", "tools/call"), ("gen_ai.tool.name", "read")];

fn tool_call(more: &[(&str, &str)], rest: &str) -> Call {
    one("tools/call read", 3, &[TOOL_CALL, more].concat(), rest)
}

/// Logfire has no attributes of the conventions: the name has the method, and the messages are whole.
#[test]
fn logfire_records_messages() {
    let request = r#"{"method":"tools/call","params":{"_meta":null,"name":"read","arguments":{"path":"/a"}}}"#;
    let pairs = [("request", request), ("response", r#"{"content":[],"isError":true}"#), ("rpc.system", "jsonrpc")];
    for (name, observer) in [
        ("MCP request: tools/call read", Observer::Client),
        ("MCP server handle request: tools/call", Observer::Server),
    ] {
        let call = one(name, 1, &pairs, "");
        assert_eq!((call.method.as_str(), call.tool.as_deref(), call.observer), ("tools/call", Some("read"), observer));
        assert_eq!(call.arguments.as_deref(), Some(r#"{"path":"/a"}"#));
        assert_eq!((call.outcome, call.is_error), (Outcome::ToolError, Some(true)));
    }
    let pending = span("MCP request: ping", 1, ("00000000000000a1", ""), &[("logfire.span_type", "pending_span")], "");
    assert!(calls(&document("svc", &[pending])).is_empty());
}

/// Only the scope tells OpenLLMetry's spans of MCP from those of an application's own tools.
#[test]
fn openllmetry_has_its_own_words() {
    let input = r#"{"tool_name":"read","arguments":{"path":"/a"}}"#;
    let pairs = [("traceloop.span.kind", "tool"), ("traceloop.entity.name", "read"), ("traceloop.entity.input", input)];
    let failed = r#","status":{"code":2,"message":"no such file"}"#;
    let text = document("svc", &[span("read.tool", 1, ("00000000000000a1", ""), &pairs, failed)]);
    assert!(calls(&text).is_empty());
    let scope = r#""scopeSpans":[{"scope":{"name":"opentelemetry.instrumentation.mcp.instrumentation"},"#;
    let found = calls(&text.replace(r#""scopeSpans":[{"#, scope));
    let [call] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        (call.method.as_str(), call.tool.as_deref(), call.outcome),
        ("tools/call", Some("read"), Outcome::ToolError)
    );
    assert_eq!((call.arguments.as_deref(), call.observer), (Some(r#"{"path":"/a"}"#), Observer::Client));
}

#[test]
fn semantic_conventions_fill_the_columns() {
    let call = tool_call(
        &[
            ("mcp.session.id", "m1"),
            ("mcp.protocol.version", "2025-06-18"),
            ("jsonrpc.request.id", "7"),
            ("gen_ai.tool.call.id", "call_1"),
            ("gen_ai.tool.call.arguments", "{\"path\": \"/etc\"}"),
            ("gen_ai.tool.call.result", "{\"content\":[],\"isError\":false}"),
            ("network.transport", "pipe"),
            ("server.address", "files.example"),
            ("enduser.id", "u1"),
        ],
        "",
    );
    assert_eq!(call.method, "tools/call");
    assert_eq!(call.tool.as_deref(), Some("read"));
    assert_eq!(call.trace_id.as_deref(), Some("5b8efff798038103d269b633813fc60c"));
    assert_eq!((call.span_id.as_deref(), call.parent_span_id), (Some("00000000000000a1"), None));
    assert_eq!((call.time, call.duration_ns), (Some(1_700_000_000_000_000_000), Some(2_000_000)));
    assert_eq!((call.session_id.as_deref(), call.session_source), (Some("m1"), SessionSource::McpSession));
    assert_eq!((call.jsonrpc_request_id.as_deref(), call.jsonrpc_id_type), (Some("7"), Some(IdType::Int)));
    assert_eq!(
        (call.arguments.as_deref(), call.arguments_state),
        (Some("{\"path\": \"/etc\"}"), PayloadState::Present)
    );
    assert_eq!((call.is_error, call.outcome), (Some(false), Outcome::Success));
    assert_eq!((call.client_name.as_deref(), call.server.as_deref()), (Some("svc"), Some("files.example")));
    assert_eq!((call.transport.as_deref(), call.user_id.as_deref()), (Some("stdio"), Some("u1")));
    assert_eq!((call.observer, call.source_format.as_str()), (Observer::Client, "otlp_traces"));
}

#[test]
fn what_stands_beside_the_span_is_read_too() {
    let event = |key: &str, value: &str| format!(r#"{{"name":"x","attributes":[{}]}}"#, attributes(&[(key, value)]));
    let asked = event("gen_ai.tool.call.arguments", r#"{"a":1}"#);
    let events = format!(r#","events":[{asked},{}]"#, event("gen_ai.tool.call.result", r#"{"content":[]}"#));
    let call = tool_call(&[], &events);
    assert_eq!((call.arguments.as_deref(), call.result.as_deref()), (Some(r#"{"a":1}"#), Some(r#"{"content":[]}"#)));

    let pairs =
        [("mcp.method.name", "prompts/get"), ("gen_ai.prompt.variable.who", "bob"), ("user.email", "a@b.example")];
    let call = one("prompts/get greet", 3, &pairs, "");
    assert_eq!((call.arguments.as_deref(), call.arguments_state), (Some(r#"{"who":"bob"}"#), PayloadState::Present));
    assert_eq!(call.user_id.as_deref(), Some("a@b.example"), "nothing else says who it was");

    let named = [("gen_ai.conversation.id", "c1"), ("gen_ai.agent.name", "desk"), ("service.name", "s")];
    let text = document("svc", &[span("tools/call read", 3, ("00000000000000a1", ""), TOOL_CALL, "")])
        .replace(&attributes(&[("service.name", "svc")]), &attributes(&named))
        .replace(
            r#""scopeSpans":[{"#,
            &format!(r#""scopeSpans":[{{"scope":{{"attributes":[{}]}},"#, attributes(&[("mcp.server.name", "files")])),
        );
    let call = calls(&text).remove(0);
    assert_eq!((call.session_id.as_deref(), call.session_source), (Some("c1"), SessionSource::Conversation));
    assert_eq!((call.agent.as_deref(), call.server.as_deref()), (Some("desk"), Some("files")));
    assert!(
        events_of_trace(&text).contains(&("c1".into(), Some("desk".into()))),
        "the server's span in another file gets them too"
    );
}

fn events_of_trace(text: &str) -> Vec<(Text, Option<Text>)> {
    let named =
        |event| if let Event::Trace { session_id, agent, .. } = event { Some((session_id, agent)) } else { None };
    events(text).into_iter().filter_map(named).collect()
}

#[test]
fn emitted_names_that_differ_from_the_conventions_are_read() {
    // Python SDK: everything in the name of the span.
    let call = one("MCP send tools/call read", 3, &[("jsonrpc.request.id", "r-1")], "");
    assert_eq!((call.method.as_str(), call.tool.as_deref()), ("tools/call", Some("read")));
    assert_eq!(call.jsonrpc_id_type, Some(IdType::String));
    // A gateway.
    let call =
        one("call", 2, &[("mcp.method.name", "tools/call"), ("gen_ai.tool.name", "x"), ("mcp.target", "git")], "");
    assert_eq!((call.server.as_deref(), call.observer), (Some("git"), Observer::Server));
    let call = one("x", 1, &[("mcp.tool.name", "x"), ("mcp.server.name", "git"), ("mcp.client.name", "ide")], "");
    assert_eq!((call.client_name.as_deref(), call.server.as_deref()), (Some("ide"), Some("git")));
    // Google's ADK.
    let adk = [("gen_ai.operation.name", "execute_tool"), ("gen_ai.tool.name", "x"), ("gen_ai.tool.type", "McpTool")];
    let logged = [("gcp.vertex.agent.tool_call_args", "{}"), ("gcp.vertex.agent.tool_response", "{\"isError\": true}")];
    let call = one("execute_tool x", 1, &[&adk[..], &logged].concat(), "");
    assert_eq!((call.arguments.as_deref(), call.outcome), (Some("{}"), Outcome::ToolError));
    // Copilot.
    let raw = "mcp_git_log";
    let call = one(
        "execute_tool mcp_git_log",
        1,
        &[
            ("gen_ai.operation.name", "execute_tool"),
            ("gen_ai.tool.name", raw),
            ("gen_ai.tool.type", "extension"),
            ("github.copilot.tool.parameters.mcp_tool_name", "log"),
        ],
        "",
    );
    assert_eq!((call.tool.as_deref(), call.tool_raw.as_deref()), (Some("log"), Some(raw)));
    let call =
        one("execute_tool", 1, &[("gen_ai.operation.name", "execute_tool"), ("gen_ai.tool.name", "mcp__git__log")], "");
    assert_eq!((call.tool.as_deref(), call.server.as_deref()), (Some("log"), Some("git")));
    assert!(call.flags.has(Flag::NameSplit as u32));
    let call = one(
        "rpc",
        3,
        &[("rpc.system", "mcp"), ("rpc.method", "resources/read"), ("mcp.resource.uri", "file:///a")],
        "",
    );
    assert_eq!(call.more.unwrap().mcp_resource_uri.as_deref(), Some("file:///a"));
}

#[test]
fn what_is_no_mcp_call_is_noise() {
    let executes = ("gen_ai.operation.name", "execute_tool");
    let spans = [
        span("GET /", 2, ("a1", ""), &[("http.request.method", "GET")], ""),
        span("chat", 3, ("a2", ""), &[("gen_ai.operation.name", "chat")], ""),
        span(
            "execute_tool f",
            1,
            ("a3", ""),
            &[executes, ("gen_ai.tool.name", "f"), ("gen_ai.tool.type", "FunctionTool")],
            "",
        ),
        span(
            "execute_tool run_in_terminal",
            1,
            ("a4", ""),
            &[
                executes,
                ("gen_ai.tool.name", "run_in_terminal"),
                ("gen_ai.tool.type", "function"),
                ("copilot_chat.turn", "1"),
            ],
            "",
        ),
    ];
    assert!(calls(&document("svc", &spans)).is_empty());
    with_record("{\"batches\":[{\"id\":1}]}", |record| assert!(!OtlpTraces.claims(record)));
    with_record("{\"resourceLogs\":[]}", |record| assert!(!OtlpTraces.claims(record)));
    with_record("{\"resourceSpans\":7}", |record| {
        assert!(OtlpTraces.claims(record));
        assert!(OtlpTraces.decode(record, &mut Decoded::default()).is_err());
    });
}

#[test]
fn outcomes() {
    let failed = ",\"status\":{\"code\":2,\"message\":\"no\"}";
    let code = |call: &Call| call.rpc_response_status_code;
    let call = tool_call(&[("error.type", "tool_error")], failed);
    assert_eq!(
        (call.outcome, call.is_error, call.error_message.as_deref()),
        (Outcome::ToolError, Some(true), Some("no"))
    );
    let call = tool_call(&[("error.type", "-32602"), ("rpc.response.status_code", "-32602")], failed);
    assert_eq!((call.outcome, code(&call)), (Outcome::ProtocolError, Some(-32602)));
    // A server may leave the status unset.
    let call = tool_call(&[("rpc.response.status_code", "{\"intValue\":\"-32601\"}")], "");
    assert_eq!((call.outcome, call.error_type.as_deref()), (Outcome::ProtocolError, Some("-32601")));
    assert_eq!(tool_call(&[], failed).outcome, Outcome::ToolError);
    assert_eq!(
        one("MCP send tools/list", 3, &[], ",\"status\":{\"code\":\"STATUS_CODE_ERROR\"}").outcome,
        Outcome::ProtocolError
    );
    assert_eq!(tool_call(&[("error.type", "asyncio.TimeoutError")], failed).outcome, Outcome::Timeout);
    // Inside a server it is what the tool itself ran into.
    let call = one("tools/call read", 2, &[TOOL_CALL, &[("error.type", "TimeoutError")]].concat(), failed);
    assert_eq!(call.outcome, Outcome::ToolError);
    assert_eq!(tool_call(&[("error.type", "CancelledError")], failed).outcome, Outcome::Cancelled);
    let closed = ",\"status\":{\"code\":2,\"message\":\"Connection closed\"}";
    assert_eq!(tool_call(&[("error.type", "-32000")], closed).outcome, Outcome::TransportError);
    assert_eq!(tool_call(&[("error.type", "503")], failed).outcome, Outcome::TransportError);
    let call = tool_call(&[("gen_ai.agent.tool.disposition", "deny")], "");
    assert_eq!((call.outcome, call.approval), (Outcome::Denied, Approval::PolicyDenied));
    let call = tool_call(&[("decision", "reject")], "");
    assert_eq!((call.outcome, call.approval), (Outcome::Denied, Approval::UserDenied));
    let thrown = ",\"status\":{\"code\":2},\"events\":[{\"name\":\"exception\",\"attributes\":[{\"key\":\"exception.type\",\
                  \"value\":{\"stringValue\":\"McpError\"}},{\"key\":\"exception.message\",\"value\":{\"stringValue\":\"gone\"}}]}]";
    let call = tool_call(&[], thrown);
    assert_eq!((call.outcome, call.error_message.as_deref()), (Outcome::ProtocolError, Some("gone")));
}

#[test]
fn payloads_keep_what_they_are() {
    let arguments = |value: &str| {
        let call = tool_call(&[("gen_ai.tool.call.arguments", value)], "");
        (call.arguments, call.arguments_state)
    };
    let nested = "{\"kvlistValue\":{\"values\":[{\"key\":\"n\",\"value\":{\"intValue\":\"5\"}},{\"key\":\"l\",\"value\":\
                  {\"arrayValue\":{\"values\":[{\"boolValue\":true},{\"doubleValue\":0.5},{\"stringValue\":\"a\\\"b\"},{}]}}}]}}";
    assert_eq!(
        arguments(nested),
        (Some("{\"n\":5,\"l\":[true,0.5,\"a\\\"b\",null]}".to_owned()), PayloadState::Present)
    );
    assert_eq!(arguments("{\"path\": \"/et"), (Some("{\"path\": \"/et".to_owned()), PayloadState::Truncated));
    assert_eq!(arguments(&format!("path={}...", "x".repeat(192))).1, PayloadState::Truncated);
    assert_eq!(arguments("path=/etc"), (Some("\"path=/etc\"".to_owned()), PayloadState::Summarised));
    assert_eq!(arguments("{'path': 1}").1, PayloadState::Unparsable);
    assert_eq!(arguments("[REDACTED]"), (None, PayloadState::Redacted));
    let call = tool_call(&[("gen_ai.tool.call.result", "done")], "");
    assert_eq!((call.result.as_deref(), call.result_state), (Some("\"done\""), PayloadState::Present));
    let call = tool_call(&[], "");
    assert_eq!((call.arguments_state, call.result_state), (PayloadState::NotLogged, PayloadState::NotLogged));
    let call = one("n", 2, &[("mcp.method.name", "notifications/initialized")], "");
    assert_eq!(
        (call.event_kind, call.result_state, call.outcome),
        (EventKind::Notification, PayloadState::None, Outcome::Unknown)
    );
}

#[test]
fn servers_ask_too() {
    let call = one("sampling/createMessage", 3, &[("mcp.method.name", "sampling/createMessage")], "");
    assert_eq!((call.initiator, call.observer), (Side::Server, Observer::Server));
    assert_eq!((call.server.as_deref(), call.client_name), (Some("svc"), None));
}

#[test]
fn a_trace_tells_its_conversation_and_callers_inherit_within_the_record() {
    let agent =
        [("gen_ai.operation.name", "invoke_agent"), ("gen_ai.agent.name", "demo"), ("gen_ai.conversation.id", "c1")];
    let spans = [
        span("MCP send tools/call read", 3, ("a3", "a2"), &[], ""),
        span("chat", 1, ("a2", "a1"), &[("gen_ai.request.model", "m")], ""),
        span("invoke_agent demo", 1, ("a1", ""), &agent, ""),
    ];
    let events = events(&document("svc", &spans));
    let [Event::Trace { trace_id, session_id, agent }, Event::Call { call, .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((trace_id.as_str(), session_id.as_str()), ("5b8efff798038103d269b633813fc60c", "c1"));
    assert_eq!((agent.as_deref(), call.agent.as_deref()), (Some("demo"), Some("demo")));
    assert_eq!((call.session_id.as_deref(), call.session_source), (Some("c1"), SessionSource::Conversation));
    assert_eq!(call.more.as_ref().unwrap().gen_ai_request_model.as_deref(), Some("m"));
    // A browser's session is no conversation.
    assert!(
        super::tests::events(&document("web", &[span("GET /", 3, ("b1", ""), &[("session.id", "s")], "")])).is_empty()
    );
}

#[test]
fn nested_spans_of_one_call_become_one() {
    let execute = [
        ("gen_ai.operation.name", "execute_tool"),
        ("gen_ai.tool.name", "mcp_files_read"),
        ("gen_ai.tool.call.id", "call_1"),
        ("gen_ai.tool.call.arguments", "{\"path\":\"a\"}"),
        ("gen_ai.tool.call.result", "{\"isError\":true}"),
    ];
    let spans = [
        span("execute_tool read", 1, ("a1", ""), &execute, ""),
        span("POST", 3, ("a2", "a1"), &[], ""),
        span("tools/call read", 3, ("a3", "a2"), TOOL_CALL, ""),
        span("MCP send tools/call read", 3, ("a4", "a3"), &[], ""),
        span("MCP send tools/call other", 3, ("a5", "a1"), &[], ""),
    ];
    let calls = calls(&document("svc", &spans));
    let ids: Vec<_> = calls.iter().map(|call| call.span_id.as_deref().unwrap()).collect();
    assert_eq!(ids, ["00000000000000a4", "00000000000000a5"]);
    assert_eq!(calls[0].arguments.as_deref(), Some("{\"path\":\"a\"}"));
    assert_eq!((calls[0].outcome, calls[0].tool_call_id.as_deref()), (Outcome::ToolError, Some("call_1")));
    assert_eq!(calls[1].arguments, None);
}

#[test]
fn client_and_server_spans_of_one_call_both_stay() {
    let client = document("agent", &[span("tools/call read", 3, ("a1", ""), TOOL_CALL, "")]);
    let server = document("files", &[span("tools/call read", 2, ("a2", "a1"), TOOL_CALL, "")]);
    let both =
        format!("{},{}", client.strip_suffix("]}").unwrap(), server.strip_prefix("{\"resourceSpans\":[").unwrap());
    let calls = calls(&both);
    assert_eq!(calls.iter().map(|call| call.observer).collect::<Vec<_>>(), [Observer::Client, Observer::Server]);
    assert_eq!(calls[1].server.as_deref(), Some("files"));
}

#[test]
fn spellings_of_other_exporters() {
    let tempo = "{\"batches\":[{\"instrumentationLibrarySpans\":[{\"spans\":[{\"traceId\":\"W47/95gDgQPSabYzgT/GDA==\",\
                 \"spanId\":\"7uGbfsPBsXQ=\",\"name\":\"MCP send tools/call x\",\"kind\":\"SPAN_KIND_CLIENT\"}]}]}]}";
    let snake = "{\"resource_spans\":[{\"scope_spans\":[{\"spans\":[{\"trace_id\":\"5b8efff798038103d269b633813fc60c\",\
                 \"span_id\":\"eee19b7ec3c1b174\",\"kind\":3,\"start_time_unix_nano\":5,\"attributes\":[{\"key\":\
                 \"mcp.method.name\",\"value\":{\"string_value\":\"tools/call\"}}]}]}]}]}";
    let query = format!("{{\"trace\":{tempo}}}");
    for text in [tempo, snake, &query] {
        let calls = calls(text);
        assert_eq!(calls[0].trace_id.as_deref(), Some("5b8efff798038103d269b633813fc60c"), "{text}");
        assert_eq!(calls[0].observer, Observer::Client);
    }
    assert_eq!(calls(tempo)[0].span_id.as_deref(), Some("eee19b7ec3c1b174"));
    assert_eq!(calls(snake)[0].time, Some(5));
}

#[test]
fn circles_of_parents_end() {
    let spans = [
        span("MCP send tools/call x", 3, ("a1", "a2"), &[], ""),
        span("MCP send tools/call x", 3, ("a2", "a1"), &[], ""),
        span("MCP send tools/call x", 3, ("a3", "a3"), &[], ""),
    ];
    assert_eq!(calls(&document("svc", &spans)).len(), 2);
}

proptest! {
    #[test]
    fn odd_values_never_panic(parts in prop::collection::vec(prop::sample::select(vec![
        "{\"key\":", "\"mcp.method.name\"", "\"gen_ai.tool.call.arguments\"", ",\"value\":", "{\"stringValue\":\"tools/call\"}", "{\"kvlistValue\":",
        "{\"arrayValue\":{\"values\":[", "}", "]", ",", "null", "\"\\ud800\"", "-1e999", "{", "[", "\"é",
    ]), 0..24), text in ".*") {
        for attributes in [parts.concat(), serde_json::Value::from(text.as_str()).to_string()] {
            let document = format!("{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{{\"name\":{attributes},\"traceId\":{attributes},\
                                    \"attributes\":[{attributes}]}}]}}]}}]}}");
            for text in [&document, &text] {
                with_record(text, |record| {
                    let mut out = Decoded::default();
                    let _ = OtlpTraces.claims(record);
                    let _ = OtlpTraces.decode(record, &mut out);
                });
            }
            // Splitting trusts its input; it must survive being wrong.
            let _ = Traces::read(&document).calls();
        }
    }
}
