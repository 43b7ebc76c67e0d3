use super::*;
use crate::call::{Approval, EventKind, Outcome, PayloadState, Position, Prompt, SessionSource};
use crate::source::Hints;
use crate::source::format::shared::testing::route;

fn with_record<T>(text: &str, run: impl FnOnce(&Record<'_>) -> T) -> T {
    let object = Object::parse(text).ok();
    let hints = Hints::default();
    run(&Record { text, json: object.as_ref(), position: Position::default(), lossy: false, hints: &hints })
}

fn events(text: &str) -> Vec<Event> {
    with_record(text, |record| {
        assert_eq!(route(record).map(LogFormat::id), Some(ID), "{text}");
        let mut out = Decoded::default();
        OtlpLogs.decode(record, &mut out).unwrap();
        out.events
    })
}

fn calls(text: &str) -> Vec<Call> {
    let call = |event| if let Event::Call { call, .. } = event { Some(*call) } else { None };
    events(text).into_iter().filter_map(call).collect()
}

fn prompts(text: &str) -> Vec<Prompt> {
    let prompt = |event| if let Event::Prompt(prompt) = event { Some(*prompt) } else { None };
    events(text).into_iter().filter_map(prompt).collect()
}

fn attributes(pairs: &[(&str, &str)]) -> String {
    let one = |(key, value): &(&str, &str)| {
        format!(r#"{{"key":"{key}","value":{{"stringValue":{}}}}}"#, serde_json::Value::from(*value))
    };
    pairs.iter().map(one).collect::<Vec<_>>().join(",")
}

const TIME: i64 = 1_794_390_262_500_000_000;

fn log(service: &str, body: &str, pairs: &[(&str, &str)]) -> String {
    format!(
        r#"{{"resourceLogs":[{{"resource":{{"attributes":[{}]}},"scopeLogs":[{{"scope":{{"name":"x"}},"logRecords":[
        {{"timeUnixNano":"{TIME}","body":{{"stringValue":"{body}"}},"attributes":[{}],"traceId":"","spanId":""}}]}}]}}]}}"#,
        attributes(&[("service.name", service), ("service.version", "2.1.300")]),
        attributes(pairs)
    )
}

fn claude(event: &str, pairs: &[(&str, &str)]) -> String {
    let name = event.strip_prefix("claude_code.").unwrap_or(event);
    let mut all =
        vec![("event.name", name), ("session.id", "s-1"), ("user.id", "u-1"), ("user.email", "u@corp.example")];
    all.extend(pairs);
    log("claude-code", event, &all)
}

fn one(text: &str) -> Call {
    let mut calls = calls(text);
    assert_eq!(calls.len(), 1, "{text}");
    calls.remove(0)
}

#[test]
fn a_tool_result_of_claude_code_is_a_whole_call() {
    let call = one(&claude(
        "claude_code.tool_result",
        &[
            ("tool_name", "mcp_tool"),
            ("tool_use_id", "toolu_1"),
            ("success", "true"),
            ("duration_ms", "940"),
            ("decision_type", "accept"),
            ("decision_source", "user_temporary"),
            ("tool_parameters", r#"{"mcp_server_name":"orders","mcp_tool_name":"find"}"#),
            ("tool_input", r#"{"id":5}"#),
            ("tool_input_size_bytes", "8"),
            ("tool_result_size_bytes", "2100"),
        ],
    ));
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("orders"), Some("find")));
    assert_eq!((call.tool_raw.as_deref(), call.tool_call_id.as_deref()), (Some("mcp_tool"), Some("toolu_1")));
    assert_eq!((call.session_id.as_deref(), call.session_source), (Some("s-1"), SessionSource::Conversation));
    assert_eq!((call.time, call.time_end), (Some(TIME - 940_000_000), Some(TIME)));
    assert_eq!((call.outcome, call.approval), (Outcome::Success, Approval::UserAllowed));
    assert_eq!((call.arguments.as_deref(), call.arguments_state), (Some(r#"{"id":5}"#), PayloadState::Present));
    assert_eq!((call.result_state, call.result_bytes), (PayloadState::NotLogged, Some(2100)));
    assert_eq!((call.agent.as_deref(), call.client_version.as_deref()), (Some("claude-code"), Some("2.1.300")));
    let more = call.more.unwrap();
    assert_eq!(more.user_email.as_deref(), Some("u@corp.example"));
    assert_eq!(more.approval_source.as_deref(), Some("user_temporary"));
}

#[test]
fn without_details_the_call_is_still_one() {
    let call = one(&claude(
        "claude_code.tool_result",
        &[
            ("tool_name", "mcp_tool"),
            ("success", "false"),
            ("tool_input_size_bytes", "77"),
            ("error_type", "McpToolCallError"),
        ],
    ));
    assert_eq!((call.tool, call.server), (None, None));
    assert_eq!((call.arguments_state, call.arguments_bytes), (PayloadState::NotLogged, Some(77)));
    assert_eq!((call.outcome, call.time_source), (Outcome::ToolError, TimeSource::Record));
    let call = one(&claude("claude_code.tool_result", &[("tool_name", "mcp__wiki__get_page"), ("success", "true")]));
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("wiki"), Some("get_page")));
    assert!(call.flags.has(Flag::NameSplit as u32));
}

#[test]
fn cut_arguments_say_so() {
    let input = r#"{"body":"aaaa"}"#;
    let pairs = [("tool_name", "mcp__wiki__put"), ("tool_input", input), ("tool_input_size_bytes", "9000")];
    let call = one(&claude("claude_code.tool_result", &pairs));
    assert_eq!((call.arguments_state, call.arguments_bytes), (PayloadState::Truncated, Some(9000)));
    assert_eq!(call.arguments.as_deref(), Some(input));
}

#[test]
fn decisions_open_or_deny_calls() {
    let decision = |decision, source, tool| {
        let pairs = [("tool_name", tool), ("tool_use_id", "toolu_1"), ("decision", decision), ("source", source)];
        calls(&claude("claude_code.tool_decision", &pairs))
    };
    let call = &decision("reject", "user_reject", "mcp__wiki__put")[0];
    assert_eq!((call.outcome, call.approval), (Outcome::Denied, Approval::UserDenied));
    let call = &decision("reject", "config", "mcp__wiki__put")[0];
    assert_eq!((call.outcome, call.approval), (Outcome::Denied, Approval::PolicyDenied));
    let call = &decision("accept", "config", "mcp__wiki__put")[0];
    assert!(call.is_open());
    assert_eq!(call.approval, Approval::AutoAllowed);
    assert!(decision("accept", "config", "Bash").is_empty());
}

#[test]
fn errors_are_told_by_their_words() {
    let outcome = |error: &str| {
        let call = one(&claude(
            "claude_code.tool_result",
            &[("tool_name", "mcp__a__b"), ("success", "false"), ("error", error)],
        ));
        (call.outcome, call.rpc_response_status_code)
    };
    assert_eq!(outcome("MCP error -32602: bad arguments"), (Outcome::ProtocolError, Some(-32602)));
    assert_eq!(outcome("MCP error -32001: Request timed out"), (Outcome::Timeout, Some(-32001)));
    assert_eq!(outcome("MCP error -32000: Connection closed"), (Outcome::TransportError, Some(-32000)));
    assert_eq!(outcome("the tool saw: MCP error -32602: Connection closed"), (Outcome::ToolError, None));
    assert_eq!(outcome("no such order"), (Outcome::ToolError, None));
    assert_eq!(outcome("MCP error é"), (Outcome::ToolError, None));
}

#[test]
fn prompts_connections_and_modes() {
    let prompt = &prompts(&claude("claude_code.user_prompt", &[("prompt", " find it "), ("prompt.id", "p-1")]))[0];
    assert_eq!((prompt.text.as_str(), prompt.native_id.as_deref()), ("find it", Some("p-1")));
    assert!(events(&claude("claude_code.user_prompt", &[("prompt", "<REDACTED>")])).is_empty());
    let pairs = [("status", "failed"), ("transport_type", "stdio"), ("server_name", "wiki"), ("error_code", "ENOENT")];
    let call = one(&claude("claude_code.mcp_server_connection", &pairs));
    assert_eq!((call.event_kind, call.outcome), (EventKind::Connection, Outcome::TransportError));
    assert_eq!((call.server.as_deref(), call.transport.as_deref()), (Some("wiki"), Some("stdio")));
    let call = one(&claude(
        "claude_code.permission_mode_changed",
        &[("from_mode", "default"), ("to_mode", "bypassPermissions")],
    ));
    assert_eq!(call.event_kind, EventKind::Decision);
    assert_eq!(call.more.unwrap().approval_policy.as_deref(), Some("bypassPermissions"));
}

#[test]
fn codex_names_its_events_in_full_and_sets_no_time() {
    let pairs = [
        ("event.name", "codex.tool_result"),
        ("event.timestamp", "2026-11-10T09:00:01.250Z"),
        ("conversation.id", "c-1"),
        ("tool_name", "mcp__hub__get_pr"),
        ("call_id", "call_1"),
        ("arguments", r#"{"n":1}"#),
        ("duration_ms", "250"),
        ("success", "true"),
        ("output", "plain words"),
        ("mcp_server", "hub"),
        ("mcp_server_origin", "https://hub.example"),
    ];
    let text = log("codex_cli_rs", "", &pairs).replace(&format!("\"{TIME}\""), "\"0\"");
    let call = one(&text);
    assert_eq!(
        (call.agent.as_deref(), call.server.as_deref(), call.tool.as_deref()),
        (Some("codex"), Some("hub"), Some("get_pr"))
    );
    assert_eq!(call.time, time::rfc3339("2026-11-10T09:00:01Z"));
    assert_eq!((call.result.as_deref(), call.result_state), (Some("\"plain words\""), PayloadState::Present));
    let mut builtin = pairs;
    builtin[3].1 = "shell";
    builtin[9].1 = "";
    assert!(calls(&log("codex_cli_rs", "", &builtin)).is_empty());
}

#[test]
fn gemini_writes_otlp_and_plain_records() {
    let pairs = [
        ("event.name", "gemini_cli.tool_call"),
        ("session.id", "g-1"),
        ("function_name", "mcp_wiki_get_page"),
        ("function_args", r#"{"id":1}"#),
        ("tool_type", "mcp"),
        ("mcp_server_name", "wiki"),
        ("success", "true"),
        ("decision", "auto_accept"),
        ("active_approval_mode", "yolo"),
    ];
    let call = one(&log("gemini-cli", "Tool call: get_page", &pairs));
    assert_eq!((call.server.as_deref(), call.tool.as_deref()), (Some("wiki"), Some("get_page")));
    assert_eq!((call.tool_raw.as_deref(), call.approval), (Some("mcp_wiki_get_page"), Approval::AutoAllowed));
    assert_eq!(call.more.unwrap().approval_policy.as_deref(), Some("yolo"));
    let plain = r#"{"hrTime":[1794390262,500000000],"resource":{"attributes":{"service.name":"gemini-cli"}},"_body":"Tool call: get_page",
        "attributes":{"event.name":"gemini_cli.tool_call","session.id":"g-1","function_name":"get_page","function_args":"{\"id\":1}",
        "tool_type":"mcp","mcp_server_name":"wiki","success":false,"decision":"reject","duration_ms":1500,
        "start_time":1794390261000,"end_time":1794390262500}}"#;
    let call = one(plain);
    assert_eq!(
        (call.outcome, call.approval, call.result_state),
        (Outcome::Denied, Approval::UserDenied, PayloadState::None)
    );
    assert_eq!((call.time, call.duration_ns), (Some(1_794_390_261_000_000_000), None));
    let mut native = pairs;
    native[4].1 = "native";
    assert!(calls(&log("gemini-cli", "", &native)).is_empty());
}

#[test]
fn requests_of_gateways_follow_the_conventions() {
    let pairs = [
        ("mcp.method.name", "tools/call"),
        ("mcp.target", "wiki"),
        ("gen_ai.tool.name", "get_page"),
        ("mcp.session.id", "m-1"),
        ("duration", "12.5ms"),
        ("mcp.error.code", "-32602"),
        ("jwt.sub", "alice"),
        ("src.addr", "10.0.0.7:51234"),
        ("http.status", "200"),
    ];
    let call = one(&log("gateway", "request", &pairs));
    assert_eq!((call.observer, call.outcome), (Observer::Gateway, Outcome::ProtocolError));
    assert_eq!((call.server.as_deref(), call.duration_ns), (Some("wiki"), Some(12_500_000)));
    assert_eq!((call.time, call.session_source), (Some(TIME - 12_500_000), SessionSource::McpSession));
    assert_eq!(call.user_id.as_deref(), Some("alice"));
    let more = call.more.unwrap();
    assert_eq!((more.client_address.as_deref(), more.http_response_status_code), (Some("10.0.0.7"), Some(200)));
}

#[test]
fn other_signals_and_other_events_are_noise() {
    for noise in [
        r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"claude_code.token.usage"}]}]}]}"#.to_owned(),
        r#"{"resourceLogs":null}"#.to_owned(),
        log("my.service", "Example log record", &[("a", "b")]),
        claude("claude_code.api_request", &[("model", "m")]),
        log("nginx", "tool_result", &[("event.name", "tool_result"), ("tool_name", "mcp_tool")]),
    ] {
        assert!(events(&noise).is_empty(), "{noise}");
    }
}

#[test]
fn odd_values_do_no_harm() {
    let reject = with_record(r#"{"resourceLogs":{"a":1}}"#, |record| OtlpLogs.decode(record, &mut Decoded::default()));
    assert!(reject.is_err());
    for text in [
        r#"{"resourceLogs":[1,null,{"scopeLogs":7},{"scopeLogs":[{"logRecords":{}}]},{"scopeLogs":[{"logRecords":[null,[],3]}]}]}"#,
        r#"{"resource_logs":[{"scope_logs":[{"log_records":[{"event_name":"codex.tool_result","attributes":"x"}]}]}]}"#,
        r#"{"hrTime":[1,2,3],"attributes":[],"resource":null}"#,
        r#"{"hrTime":["a",99999999999999999999],"attributes":{"event.name":7},"resource":{}}"#,
    ] {
        assert!(events(text).is_empty(), "{text}");
    }
    let call = one(&claude(
        "claude_code.tool_result",
        &[
            ("tool_name", "mcp____"),
            ("success", "maybe"),
            ("duration_ms", "1e300"),
            ("tool_parameters", "{\"mcp_server_name\":"),
            ("tool_input", "{\"a\":"),
            ("tool_input_size_bytes", "-5"),
            ("decision_type", "perhaps"),
        ],
    ));
    assert_eq!((call.outcome, call.duration_ns, call.approval), (Outcome::Unknown, None, Approval::Unknown));
    assert_eq!((call.arguments_state, call.arguments_bytes), (PayloadState::Truncated, Some(5)));
}
