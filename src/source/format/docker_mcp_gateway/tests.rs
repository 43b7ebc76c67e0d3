use super::*;
use crate::call::Position;
use crate::source::Hints;

fn with_record<T>(line: &str, look: impl FnOnce(&Record<'_>) -> T) -> T {
    let json = Object::parse(line).ok();
    let hints = Hints::default();
    look(&Record { text: line, json: json.as_ref(), position: Position::default(), lossy: false, hints: &hints })
}

fn events(line: &str) -> Vec<Event> {
    with_record(line, |record| {
        assert!(DockerMcpGateway.claims(record), "{line}");
        let mut out = Decoded::default();
        DockerMcpGateway.decode(record, &mut out).unwrap();
        out.events
    })
}

fn request(line: &str) -> (PairKey, Call) {
    match events(line).pop() {
        Some(Event::Request { key: Some(key), call, .. }) => (key, *call),
        other => panic!("{other:?}"),
    }
}

fn response(line: &str) -> (PairKey, Call) {
    match events(line).pop() {
        Some(Event::Response { key, call, .. }) => (key, *call),
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_lines_are_a_call() {
    let (asked, request) = request(r#"- Calling tool search with arguments: {"query":"a took: b with arguments: c"}"#);
    let (answered, response) = response("> Calling tool search took: 1.552597793s");
    assert_eq!(asked, answered);
    assert_eq!((request.tool.as_deref(), request.outcome), (Some("search"), Outcome::NoResponse));
    assert_eq!(request.arguments.as_deref(), Some(r#"{"query":"a took: b with arguments: c"}"#));
    assert_eq!((response.outcome, response.duration_ns), (Outcome::Success, Some(1_552_597_793)));
    assert_eq!((request.time, response.time_end), (None, None));
}

#[test]
fn arguments_of_all_kinds() {
    let of = |text: &str| {
        let call = request(&format!("- Calling tool t with arguments: {text}")).1;
        (call.arguments_state, call.arguments)
    };
    assert_eq!(of("{}"), (PayloadState::Present, Some("{}".into())));
    assert_eq!(of("none"), (PayloadState::None, None));
    assert_eq!(of("object with 12 field(s)"), (PayloadState::Summarised, Some(r#""object with 12 field(s)""#.into())));
    assert_eq!(of("object with  field(s)").0, PayloadState::Unparsable);
    assert_eq!(of(r#"{"a":"cut"#), (PayloadState::Unparsable, Some(r#"{"a":"cut"#.into())));
    assert_eq!(of(&"[".repeat(100_000)).0, PayloadState::Unparsable);
    let (_, call) = request("- Calling tool (unknown) with method: tools/call");
    assert_eq!((call.tool, call.arguments_state), (None, PayloadState::NotLogged));
}

#[test]
fn prefixes_of_docker() {
    let (key, call) = request("gateway-1  | 2026-01-01T00:00:01.5Z   - Calling tool t with arguments: none");
    assert_eq!(call.time, time::rfc3339("2026-01-01T00:00:01.5Z"));
    assert_eq!(key, response("gateway-1  |   > Calling tool t took: 12ms").0);
    assert_ne!(key, response("gateway-2  |   > Calling tool t took: 12ms").0);
    assert_eq!(
        response("2026-01-01T00:00:02Z   > Calling tool t took: 12ms").1.time_end,
        time::rfc3339("2026-01-01T00:00:02Z")
    );
    // A terminal that wrote over the line.
    assert_eq!(response("> Calling tool t took: 1.5sch").1.duration_ns, None);
}

#[test]
fn clients_introduce_themselves() {
    let client = |line: &str| match events(line).pop() {
        Some(Event::Context { call, .. }) => call.client_name.zip(call.client_version),
        Some(Event::Connection { opens: true, .. }) => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(client("- Client initialized claude-ai@0.1.0 Claude"), Some(("claude-ai".into(), "0.1.0".into())));
    assert_eq!(client("- Client initialized @scope/agent@2"), Some(("@scope/agent".into(), "2".into())));
    assert_eq!(client("- Client initialized"), None);
}

#[test]
fn decisions_are_no_calls() {
    let decide = |result: &str| {
        let line = format!(
            r#"{{"actor_id":"u","trigger":"invoke","target_type":"tool","server_name":"s","tool_name":"t","result":"{result}",
            "reason":"no","policy_id":"p-1","client_name":"c","timestamp":"2026-01-01T00:00:01Z","transport":"streaming"}}"#
        );
        with_record(&line, |record| {
            let mut out = Decoded::default();
            DockerMcpGateway.decode(record, &mut out).map(|()| match out.events.pop() {
                Some(Event::Call { lane, call }) => {
                    assert_eq!(lane, "", "who asks about several servers does so in one session");
                    *call
                }
                other => panic!("{other:?}"),
            })
        })
    };
    let call = decide("denied").unwrap();
    assert_eq!((call.event_kind, call.outcome), (EventKind::Decision, Outcome::Denied));
    assert_eq!(
        (call.method.as_str(), call.tool.as_deref(), call.transport.as_deref()),
        ("tools/call", Some("t"), Some("http"))
    );
    assert_eq!(call.more.unwrap().approval_source.as_deref(), Some("p-1"));
    let call = decide("allowed").unwrap();
    assert_eq!((call.outcome, call.approval), (Outcome::Unknown, Approval::AutoAllowed));
    assert!(decide("maybe").is_err());
}

#[test]
fn claims_its_own_only() {
    let claims = |line: &str| with_record(line, |record| DockerMcpGateway.claims(record));
    assert!(!claims("- Calling tool t"));
    assert!(!claims("- Scanning tool call arguments for secrets..."));
    assert!(!claims("| - Calling tool é"));
    assert!(!claims("the log said | - Calling tool t with arguments: none"));
    assert!(!claims(r#"{"trigger":"x","result":"allowed"}"#));
    assert!(!claims("éé|éé"));
    assert!(!claims(""));
}
