use super::*;
use crate::call::Position;
use crate::source::Hints;

fn with_record<T>(line: &str, look: impl FnOnce(&Record<'_>) -> T) -> T {
    let json = Object::parse(line).ok();
    let hints = Hints::default();
    look(&Record { text: line, json: json.as_ref(), position: Position::default(), lossy: false, hints: &hints })
}

fn decode(line: &str) -> Option<Call> {
    with_record(line, |record| {
        assert!(Agentgateway.claims(record), "{line}");
        let mut out = Decoded::default();
        Agentgateway.decode(record, &mut out).unwrap();
        out.events.pop().map(|event| match event {
            Event::Call { call, .. } => *call,
            other => panic!("{other:?}"),
        })
    })
}

/// A text line with these fields between the usual ones.
fn text(fields: &str) -> Call {
    let line = format!(
        "2026-01-01T00:00:01.5Z\tinfo\trequest gateway=g/g listener=l route=r src.addr=[::1]:5 http.method=POST \
         http.path=/mcp {fields} duration=500ms"
    );
    decode(&line).expect("a call")
}

#[test]
fn text_and_json_say_the_same() {
    let a = text(
        "http.status=200 trace.id=0123456789ABCDEF0123456789abcdef span.id=0123456789abcdef jwt.sub=u1 protocol=mcp \
         mcp.method.name=tools/call mcp.target=files mcp.resource.type=tool gen_ai.tool.name=read mcp.session.id=ab+/c==",
    );
    let b = decode(
        r#"{"level":"info","time":"2026-01-01T00:00:01.5Z","scope":"request","gateway":"g/g","listener":"l","route":"r",
        "src.addr":"[::1]:5","http.method":"POST","http.path":"/mcp","http.status":200,
        "trace.id":"0123456789ABCDEF0123456789abcdef","span.id":"0123456789abcdef","jwt.sub":"u1","protocol":"mcp",
        "mcp.method.name":"tools/call","mcp.target":"files","mcp.resource.type":"tool","gen_ai.tool.name":"read",
        "mcp.session.id":"ab+/c==","duration":"500ms"}"#,
    );
    assert_eq!(Some(&a), b.as_ref());
    assert_eq!(
        (a.method.as_str(), a.tool.as_deref(), a.server.as_deref()),
        ("tools/call", Some("read"), Some("files"))
    );
    assert_eq!((a.outcome, a.duration_ns, a.user_id.as_deref()), (Outcome::Success, Some(500_000_000), Some("u1")));
    assert_eq!(a.time, time::rfc3339("2026-01-01T00:00:01Z"));
    assert_eq!(a.session_id.as_deref(), Some("ab+/c=="));
    assert_eq!((a.arguments_state, a.result_state), (PayloadState::NotLogged, PayloadState::NotLogged));
    assert_eq!(a.more.unwrap().client_address.as_deref(), Some("::1"));
}

#[test]
fn outcomes() {
    let of = |fields: &str| text(&format!("protocol=mcp mcp.method.name=tools/call {fields}"));
    let call = of(r#"http.status=403 error="authorization \"x\" failed" reason=Authorization"#);
    assert_eq!((call.outcome, call.approval), (Outcome::Denied, Approval::PolicyDenied));
    assert_eq!(call.error_message.as_deref(), Some("authorization \"x\" failed"));
    let call = of(r#"http.status=400 error="mcp: Unknown tool: x" reason=MCP"#);
    assert_eq!((call.outcome, call.error_type.as_deref()), (Outcome::ProtocolError, Some("MCP")));
    let call = of("http.status=200 mcp.error.code=-32602 mcp.error.message=bad");
    assert_eq!((call.outcome, call.rpc_response_status_code), (Outcome::ProtocolError, Some(-32602)));
    assert_eq!((call.error_type.as_deref(), call.error_message.as_deref()), (Some("-32602"), Some("bad")));
    assert_eq!(of("http.status=503 reason=NoHealthyBackend").outcome, Outcome::TransportError);
    assert_eq!(of("http.status=429 error=\"rate limit\" reason=RateLimit").outcome, Outcome::TransportError);
    assert_eq!(of("http.status=504 error=\"late\" reason=Timeout").outcome, Outcome::Timeout);
    assert_eq!(of("").outcome, Outcome::Unknown);
    assert_eq!(of("http.status=99999999999999999999").outcome, Outcome::Unknown);
    assert_eq!(of(r#"http.status=200 mcp.tool.error={"message":"m"}"#).outcome, Outcome::ToolError);
}

#[test]
fn payloads_that_the_operator_added() {
    let call = text(
        r#"http.status=200 mcp.method.name=tools/call mcp.tool.arguments={"a":"x y=z"} mcp.tool.result="{\"isError\":true}""#,
    );
    assert_eq!(call.arguments.as_deref(), Some(r#"{"a":"x y=z"}"#));
    assert_eq!((call.result.as_deref(), call.outcome), (Some(r#"{"isError":true}"#), Outcome::ToolError));
    let call = text("http.status=200 mcp.method.name=tools/call mcp.tool.arguments={cut");
    assert_eq!((call.arguments_state, call.arguments.as_deref()), (PayloadState::Unparsable, Some("{cut")));
}

#[test]
fn older_names_and_other_kinds() {
    let call = text("mcp.method=prompts/get mcp.target=t mcp.resource=prompt mcp.resource.name=p");
    assert_eq!(call.more.unwrap().gen_ai_prompt_name.as_deref(), Some("p"));
    let call = text("mcp.method=tools/call mcp.resource=tool mcp.resource.name=fetch");
    assert_eq!(call.tool.as_deref(), Some("fetch"));
    assert_eq!(text("mcp.method.name=notifications/initialized").event_kind, EventKind::Notification);
    let get = "2026-01-01T00:00:01Z info request http.method=GET http.status=200 protocol=mcp duration=1ms";
    assert_eq!(decode(get).expect("a row").event_kind, EventKind::Connection);
    for other in ["a2a.method=message/stream", "protocol=llm gen_ai.request.model=m", "protocol=http reason=JwtAuth"] {
        assert!(decode(&format!("2026-01-01T00:00:01Z\tinfo\trequest gateway=g {other}")).is_none(), "{other}");
    }
}

#[test]
fn a_name_cannot_forge_what_stands_before_it() {
    let call = text("http.status=403 mcp.method.name=tools/call gen_ai.tool.name=my tool http.status=200 jwt.sub=root");
    assert_eq!((call.tool.as_deref(), call.outcome), (Some("my tool"), Outcome::Denied));
    assert!(call.flags.has(Flag::DuplicateKey as u32));
    let call = text(r#"mcp.method.name=tools/call gen_ai.tool.name="{[ mcp.session.id=s"#);
    assert_eq!((call.tool.as_deref(), call.session_id.as_deref()), (Some("\"{["), Some("s")));
}

#[test]
fn hostile_lines_end_in_time() {
    for part in ["k={", "k=[ ", "k=\"", "a=", "{", "k={k={x}x}x ", "é= "] {
        let line = format!("2026-01-01T00:00:01Z\tinfo\trequest mcp.method=x {}", part.repeat(200_000));
        let start = std::time::Instant::now();
        assert!(decode(&line).is_some());
        assert!(start.elapsed().as_secs() < 20, "{part}");
    }
}

#[test]
fn claims_its_own_only() {
    let claims = |line: &str| with_record(line, |record| Agentgateway.claims(record));
    assert!(claims("2026-10-02T06:04:50.628842Z\terror\trequest request.id=184 gateway=d/d"));
    assert!(claims(r#"{"level":"info","time":"t","scope":"request","http.status":200}"#));
    assert!(!claims(r#"{"scope":"request"}"#));
    assert!(!claims(r#"{"scope":["request"],"gateway":1}"#));
    assert!(!claims("2026-10-02T06:04:50.628842Z\tinfo\tproxy::gateway started bind=1"));
    assert!(!claims("2026-10-02T06:04:50.628842Z info request"));
    assert!(!claims("2026-10-02T06:04:50.628842Z [a] [info] request gateway=1"));
    assert!(!claims("éééééééééééééééééééééééé"));
    let tolerates = |line: &str| with_record(line, |record| Agentgateway.tolerates(record));
    assert!(tolerates("2026-10-02T06:04:50.628842Z\twarn\tproxy::gateway\tlistener gone"));
    assert!(tolerates(r#"{"level":"info","time":"t","scope":"agentgateway","message":"x"}"#));
    assert!(!tolerates("panic at 12"));
}

#[test]
fn dotted_keys_that_a_collector_made_objects_of() {
    let flat = r#""http.status":200,"mcp.method.name":"tools/call","mcp.target":"files","gen_ai.tool.name":"read","mcp.session.id":"s",
        "mcp.tool.arguments":{"a":{"b":1}},"duration":"500ms","time":"2026-01-01T00:00:01.5Z""#;
    let nested = r#""http":{"status":200},"mcp":{"method":{"name":"tools/call"},"target":"files","session.id":"s",
        "tool":{"arguments":{"a":{"b":1}}}},"gen_ai":{"tool":{"name":"read"}},"duration":"500ms","@timestamp":1767225601500"#;
    let [flat, nested] =
        [flat, nested].map(|members| decode(&format!(r#"{{"scope":"request","gateway":"g",{members}}}"#)).unwrap());
    assert_eq!(flat, nested);
    assert_eq!((flat.tool.as_deref(), flat.arguments.as_deref()), (Some("read"), Some(r#"{"a":{"b":1}}"#)));
}

#[test]
fn an_error_without_a_reason_is_none_of_a_call_that_succeeded() {
    let call = text("http.status=200 protocol=mcp mcp.method.name=tools/call error=\"stream closed\"");
    assert_eq!((call.outcome, call.error_message.as_deref()), (Outcome::TransportError, Some("stream closed")));
}
