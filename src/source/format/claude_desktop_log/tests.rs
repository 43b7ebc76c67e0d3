use super::*;
use crate::call::{EventKind, IdType, Position};
use crate::source::{Id, PairKey};
use proptest::prelude::*;

const T: &str = "2026-03-01T09:44:53.641Z";

fn with_record<R>(text: &str, file_name: &str, run: impl FnOnce(&Record<'_>) -> R) -> R {
    let object = Object::parse(text).ok();
    let hints = Hints { file_name: file_name.to_owned(), ..Hints::default() };
    run(&Record { text, json: object.as_ref(), position: Position::default(), lossy: false, hints: &hints })
}

fn decode(text: &str, file_name: &str) -> Vec<Event> {
    with_record(text, file_name, |record| {
        assert!(ClaudeDesktopLog.claims(record), "claims {text}");
        let mut out = Decoded::default();
        ClaudeDesktopLog.decode(record, &mut out).unwrap();
        out.events
    })
}

fn events(text: &str) -> Vec<Event> {
    decode(text, "")
}

fn request(text: &str) -> (PairKey, Call) {
    match events(text).pop() {
        Some(Event::Request { key: Some(key), call, .. }) => (key, *call),
        other => panic!("{other:?}"),
    }
}

fn response(text: &str) -> (PairKey, Call) {
    match events(text).pop() {
        Some(Event::Response { key, call, .. }) => (key, *call),
        other => panic!("{other:?}"),
    }
}

fn key(lane: &str, side: Side, id: &str) -> PairKey {
    PairKey::JsonRpc { lane: lane.into(), side, id: Id { kind: IdType::Int, text: id.into() } }
}

#[test]
fn both_orders_of_brackets_say_the_same() {
    let text = "Message from client: {\"method\":\"tools/call\",\"params\":{\"name\":\"list\",\"arguments\":{}},\"jsonrpc\":\"2.0\",\"id\":2}";
    for line in [
        format!("{T} [files] [info] {text}"),
        format!("{T} [info] [files] {text}"),
        format!("{T} [files] [debug] {text} {{ metadata: undefined }}"),
    ] {
        let (pair, call) = request(&line);
        assert_eq!(pair, key("files", Side::Client, "2"));
        assert_eq!((call.tool.as_deref(), call.server.as_deref()), (Some("list"), Some("files")));
        assert_eq!((call.time, call.transport.as_deref()), (time::rfc3339(T), Some("stdio")));
        assert_eq!((call.arguments.as_deref(), call.arguments_state), (Some("{}"), PayloadState::Present));
    }
}

#[test]
fn servers_can_have_odd_names() {
    let server = |line: &str, file: &str| match decode(line, file).pop() {
        Some(Event::Connection { lane, opens: true, .. }) => lane.to_string(),
        other => panic!("{other:?}"),
    };
    let line = |prefix: &str| format!("{T} {prefix} Initializing server...");
    assert_eq!(server(&line("[info] [error]"), "mcp-server-info.log"), "info");
    assert_eq!(server(&line("[info] [error]"), "mcp.log"), "error");
    assert_eq!(server(&line("[my [x] server] [info]"), ""), "my [x] server");
    assert_eq!(server(&line("[a b] [warn]"), ""), "a b");
    assert_eq!(server(&line("[info]"), ""), "");
    assert_eq!(server(&line("[info] [a] [info]").replace("[info] Init", "Init"), ""), "a");
}

#[test]
fn answers_belong_to_the_side_that_asked() {
    let (pair, call) = response(&format!(
        "{T} [a] [info] Message from server: {{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{{\"content\":[],\"isError\":true}}}}"
    ));
    assert_eq!((pair, call.outcome), (key("a", Side::Client, "5"), Outcome::ToolError));
    let (pair, _) = request(&format!(
        "{T} [a] [info] Message from server: {{\"method\":\"roots/list\",\"jsonrpc\":\"2.0\",\"id\":0}}"
    ));
    assert_eq!(pair, key("a", Side::Server, "0"));
    let batch = "[{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}},{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}]";
    assert_eq!(events(&format!("{T} [a] [info] Message from server: {batch} {{ metadata: undefined }}")).len(), 2);
}

#[test]
fn truncated_request_keeps_what_identifies_it() {
    let line = format!(
        "{T} [files] [info] Message from client: {{\"method\":\"tools/call\",\"params\":{{\"name\":\"write_file\",\"arguments\":\
         {{\"path\":\"/tmp/a\",\"content\":\"l1\\nl2, \\\"q...[11759 chars truncated]...}} {{ end\\n\"}},\"_meta\":\
         {{\"vscode.conversationId\":\"c1\"}}}},\"jsonrpc\":\"2.0\",\"id\":5}} {{ metadata: undefined }}"
    );
    let (pair, call) = request(&line);
    assert_eq!(pair, key("files", Side::Client, "5"));
    assert_eq!((call.method.as_str(), call.tool.as_deref()), ("tools/call", Some("write_file")));
    assert_eq!(call.arguments_state, PayloadState::Truncated);
    let arguments = call.arguments.unwrap();
    assert!(arguments.starts_with("{\"path\":\"/tmp/a\"") && arguments.ends_with("end\\n\"}"), "{arguments}");
    let mark = "...[11759 chars truncated]...".len() as i64;
    assert_eq!(call.arguments_bytes, Some(arguments.len() as i64 - mark + 11759));
    assert_eq!(call.session_id.as_deref(), Some("c1"));
    assert!(call.flags.has(Flag::TruncatedJson as u32));
}

#[test]
fn cut_before_the_arguments_is_not_no_arguments() {
    let line = format!(
        "{T} [f] [info] Message from client: {{\"method\":\"tools/call\",\"params\":{{\"name\":\"w\",\"argu...[900 chars truncated]...\"x\"}}}},\"jsonrpc\":\"2.0\",\"id\":6}}"
    );
    let (_, call) = request(&line);
    assert_eq!((call.arguments, call.arguments_state), (None, PayloadState::Truncated));
    // A name that the cut goes through is no name.
    let line = line.replace("\"w\",\"argu", "\"wri");
    assert_eq!(request(&line).1.tool, None);
}

#[test]
fn truncated_response_keeps_id_and_error() {
    let line = |middle: &str| {
        format!(
            "{T} [f] [info] Message from server: {{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{{\"content\":[{{\"type\":\"text\",\"text\":\"ab{middle}"
        )
    };
    let (pair, call) = response(&line("...[2000 chars truncated]...yz\"}],\"isError\":true}}"));
    assert_eq!((pair, call.outcome, call.is_error), (key("f", Side::Client, "5"), Outcome::ToolError, Some(true)));
    assert_eq!(call.result_state, PayloadState::Truncated);
    let result = call.result.unwrap();
    assert!(result.starts_with("{\"content\"") && result.ends_with("\"isError\":true}"), "{result}");
    // The text quotes another log: the first mark is the cut, the ends are the ends.
    let (_, call) = response(&line("...[2000 chars truncated]...y...[7 chars truncated]...z \\\"id\\\":9\"}]}}"));
    assert_eq!((call.outcome, call.result_state), (Outcome::Success, PayloadState::Truncated));
    // An id that the cut goes through is no id.
    let lost = format!(
        "{T} [f] [info] Message from server: {{\"jsonrpc\":\"2.0\",\"id\":5...[20 chars truncated]...\"}}]}}}}"
    );
    with_record(&lost, "", |record| assert!(ClaudeDesktopLog.decode(record, &mut Decoded::default()).is_err()));
}

#[test]
fn cut_inside_one_string_is_still_truncated() {
    let (_, call) = request(&format!(
        "{T} [f] [info] Message from client: {{\"method\":\"tools/call\",\"params\":{{\"name\":\"w\",\"arguments\":{{\"c\":\"a...[100 chars truncated]...b\"}}}},\"jsonrpc\":\"2.0\",\"id\":1}}"
    ));
    assert_eq!((call.arguments_state, call.tool.as_deref()), (PayloadState::Truncated, Some("w")));
    let text = "{\"c\":\"ab\"}".len() as i64;
    assert_eq!(call.arguments_bytes, Some(text + 100));
    let events = events(&format!(
        "{T} [f] [info] Message from server: {{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"tools\":[{{\"name\":\"w\",\"description\":\"a...[9 chars truncated]...\"}}]}}}}"
    ));
    assert!(!events.iter().any(|event| matches!(event, Event::Tools { .. })), "{events:?}");
}

#[test]
fn summaries_of_newer_versions() {
    let suffix = "{ metadata: undefined }";
    let (pair, call) =
        request(&format!("{T} [a] [info] Message from client: method=\"tools/call\" id=2 params {suffix}"));
    assert_eq!((pair, call.arguments_state), (key("a", Side::Client, "2"), PayloadState::NotLogged));
    assert_eq!(call.tool, None);
    let (pair, call) = response(&format!("{T} [a] [info] Message from server: id=2 result(1 blocks) {suffix}"));
    assert_eq!((pair, call.outcome), (key("a", Side::Client, "2"), Outcome::Success));
    assert_eq!((call.result, call.result_state), (None, PayloadState::NotLogged));
    let (_, call) = response(&format!("{T} [a] [info] Message from server: id=9 error(code=-32603) {suffix}"));
    assert_eq!((call.outcome, call.rpc_response_status_code), (Outcome::ProtocolError, Some(-32603)));
    let sent = events(&format!("{T} [a] [info] Message from client: method=\"notifications/initialized\" {suffix}"));
    assert!(
        matches!(&sent[..], [Event::Request { key: None, call, .. }] if call.event_kind == EventKind::Notification)
    );
}

#[test]
fn life_cycle() {
    let one = |text: &str| events(&format!("{T} [a] [info] {text}")).pop();
    assert!(matches!(
        one("Initializing server... { metadata: undefined }"),
        Some(Event::Connection { opens: true, .. })
    ));
    for text in [
        "Client transport closed",
        "Server transport closed unexpectedly, this is",
        "Server transport closed (intentional shutdown)",
    ] {
        assert!(matches!(one(text), Some(Event::Connection { opens: false, .. })));
    }
    assert!(one("Server started and connected successfully").is_none());
    assert!(one("Server disconnected. For troubleshooting guidance").is_none());
    let command = |text: &str| match one(&format!("Using MCP server command: {text}")) {
        Some(Event::Context { call, .. }) => call.more.unwrap().server_command.unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        command(
            "C:\\Program Files\\npx.cmd with args and path: { metadata: { args: [ '-y', 'it\\'s', \"a b\", [length]: 3 ], paths: [ 'x' ] } } %o"
        ),
        "C:\\Program Files\\npx.cmd -y it's \"a b\""
    );
    assert_eq!(command("/bin/uvx with args and path: {"), "/bin/uvx");
    assert_eq!(command("/bin/server with path: {"), "/bin/server");
    assert_eq!(command("/bin/server"), "/bin/server");
}

#[test]
fn stderr_and_other_loggers_are_not_claimed() {
    for text in [
        "npm warn tar",
        "{\"jsonrpc\":\"2.0\"}",
        "\u{1b}[31mred",
        "",
        "2026-03-01T09:44:53.641Z [info] listening on 80",
    ] {
        with_record(text, "app.log", |record| {
            assert!(!ClaudeDesktopLog.claims(record), "{text}");
            assert!(ClaudeDesktopLog.tolerates(record));
        });
    }
    // In one of its own files an unknown text is still a line of this format.
    assert!(decode(&format!("{T} [a] [info] something new"), "mcp-server-a.log").is_empty());
    with_record("a\0b", "mcp.log", |record| assert!(!ClaudeDesktopLog.tolerates(record)));
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in ".*", cut in 0usize..400, parts in prop::collection::vec(prop::sample::select(vec![
        "{", "}", "[", "]", "\"", "\\", ",\"", "\"method\":", "\"tools/call\"", "\"params\":{", "\"arguments\":{", "\"result\":", "\"id\":5",
        "...[12 chars truncated]...", "...[99999999999999999999 chars truncated]...", " { metadata: undefined }", "} { m", "é", "id=", "method=", "error(code=--",
    ]), 0..24)) {
        let middle = parts.concat();
        let lines = [
            text.clone(),
            format!("{T} [{text}] [info] {middle}"),
            format!("{T} [info] [a] Message from client: {middle}{text}"),
            format!("{T} [a] [info] Message from server: {text}{middle}"),
            format!("{T} [a] [info] Using MCP server command: {text} with args and path: {{ args: ['{middle}"),
        ];
        for line in lines {
            let end = (0..=cut.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
            for line in [&line[..], &line[..end]] {
                with_record(line, "mcp.log", |record| {
                    let _ = ClaudeDesktopLog.claims(record);
                    let _ = ClaudeDesktopLog.decode(record, &mut Decoded::default());
                });
            }
        }
    }
}
