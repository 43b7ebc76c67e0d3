use super::super::shared::testing::{FOREIGN, claims, decode_as, finished};
use super::*;

fn archive(entries: &[String]) -> String {
    format!(
        r#"{{"log":{{"version":"1.2","creator":{{"name":"proxy","version":"1"}},"entries":[{}]}}}}"#,
        entries.join(",")
    )
}

/// An exchange; the bodies are texts.
fn entry(method: &str, path: &str, body: &str, status: u32, kind: &str, content: &str) -> String {
    let (body, content) = (serde_json::Value::from(body), serde_json::Value::from(content));
    format!(
        r#"{{"startedDateTime":"2026-11-12T10:00:00.000Z","time":250.5,"request":{{"method":"{method}","url":"https://u:p@docks.example{path}?key=1","headers":[{{"name":"User-Agent","value":"agent/1"}},{{"name":"Authorization","value":"Bearer x"}}],"postData":{{"mimeType":"application/json","text":{body}}}}},"response":{{"status":{status},"statusText":"S","headers":[{{"name":"MCP-Session-Id","value":"m1"}}],"content":{{"mimeType":"{kind}","text":{content}}}}}}}"#
    )
}

fn calls(entries: &[String]) -> Vec<Call> {
    finished(&Har, &[archive(entries)], &Hints::default())
}

const FIND: &str = r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"find","arguments":{"dock":3}}}"#;
const FREE: &str = r#"{"jsonrpc":"2.0","id":3,"result":{"content":[{"type":"text","text":"free"}]}}"#;

#[test]
fn an_exchange_is_a_call() {
    let stream = format!(
        "event: message\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{}}}}\n\nevent: message\ndata: {FREE}\n\n"
    );
    for content in [FREE.to_owned(), format!("[{FREE}]"), stream] {
        let calls = calls(&[entry("POST", "/mcp", FIND, 200, "application/json", &content)]);
        let call = calls.iter().find(|call| call.method == "tools/call").unwrap();
        assert_eq!((call.tool.as_deref(), call.arguments.as_deref()), (Some("find"), Some(r#"{"dock":3}"#)));
        assert_eq!((call.outcome, call.duration_ns), (Outcome::Success, Some(250_500_000)), "{content}");
        assert_eq!(
            (call.mcp_session_id.as_deref(), call.server_address.as_deref()),
            (Some("m1"), Some("docks.example"))
        );
        let more = call.more.as_ref().unwrap();
        assert_eq!(more.server_url.as_deref(), Some("https://docks.example/mcp"));
        assert_eq!((more.user_agent.as_deref(), more.http_response_status_code), (Some("agent/1"), Some(200)));
    }
    let encoded = BASE64_STANDARD.encode(FREE);
    let encoded = entry("POST", "/mcp", FIND, 200, "application/json", &encoded)
        .replace(r#""content":{"#, r#""content":{"encoding":"base64","#);
    assert_eq!(calls(&[encoded])[0].outcome, Outcome::Success);
}

#[test]
fn the_older_transport_answers_in_a_stream() {
    let listens = entry(
        "GET",
        "/sse",
        "",
        200,
        "text/event-stream",
        &format!("event: endpoint\ndata: /messages\n\ndata: {FREE}\n\n"),
    );
    let asks = entry("POST", "/messages", FIND, 202, "text/plain", "Accepted");
    let calls = calls(&[listens, asks]);
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!((calls[0].outcome, calls[0].tool.as_deref()), (Outcome::Success, Some("find")));
}

#[test]
fn without_an_answer_http_has_the_word() {
    let end = |status: u32, content: &str| {
        let calls = calls(&[entry("POST", "/mcp", FIND, status, "text/html", content)]);
        assert_eq!(calls.len(), 1);
        (calls[0].outcome, calls[0].result_state)
    };
    assert_eq!(end(403, "<html>"), (Outcome::Denied, PayloadState::None));
    assert_eq!(end(502, ""), (Outcome::TransportError, PayloadState::None));
    assert_eq!(end(0, ""), (Outcome::TransportError, PayloadState::None));
    assert_eq!(end(200, "<html>"), (Outcome::Unknown, PayloadState::NotLogged));
    assert_eq!(end(202, "").0, Outcome::NoResponse);
    let error = r#"{"jsonrpc":"2.0","id":3,"error":{"code":-32602,"message":"bad dock"}}"#;
    assert_eq!(end(400, error).0, Outcome::ProtocolError);
}

#[test]
fn other_traffic_is_none_of_ours() {
    let chain = r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[]}"#;
    let entries = [
        entry("POST", "/rpc", chain, 200, "application/json", r#"{"jsonrpc":"2.0","id":1,"result":"0x"}"#),
        entry("POST", "/form", "a=1", 200, "text/html", "<html>"),
        entry("GET", "/", "", 200, "text/html", FREE),
    ];
    assert!(calls(&entries).is_empty());
}

#[test]
fn hostile_records_do_no_harm() {
    for entry in [
        "7".to_owned(),
        r#"{"request":{"method":"POST","url":7,"postData":{"text":"[{\"jsonrpc\":\"2.0\"},7]"}},"response":[]}"#
            .to_owned(),
        entry("POST", "/mcp", r#"{"jsonrpc":"2.0","id":{},"method":"tools/call","params":7}"#, 99, "x", "data: {\n\n"),
        entry("POST", "/mcp", &format!("[{FIND},{FIND}]"), 200, "application/json", &format!("[{FREE},{FREE},{{}}]")),
    ] {
        decode_as(&Har, &archive(&[entry]), &Hints::default()).unwrap();
    }
    for text in FOREIGN {
        assert!(!claims(&Har, text), "{text}");
    }
    for text in [r#"{"log":"x","version":"1.2"}"#, r#"{"log":{"entries":[]}}"#, r#"{"log":{"version":"1.2"}}"#] {
        assert!(!claims(&Har, text), "{text}");
    }
}
