//! Entries of every version, and signatures made by another implementation (Python's `hmac` and `json`).

use super::super::shared::testing::{decoded, one_call};
use super::*;
use crate::call::TimeSource;

/// An entry with these members after the usual ones.
fn entry(members: &str) -> Call {
    let line = format!(
        r#"{{"id":"01K39","timestamp":"2026-08-24T09:10:11.5Z","transport":"stdio","duration_ms":500,"client_id":"desk",
        "server_id":"files","signature":"",{members}}}"#
    );
    one_call(&McpAuditSigned, &line)
}

fn tool_call(members: &str) -> Call {
    entry(&format!(
        r#""method":"tools/call","tool_name":"read","params":{{"name":"read","arguments":{{"p":1}}}},{members}"#
    ))
}

const FROM_SERVER: &str = r#""direction":"server→client""#;
const FROM_CLIENT: &str = r#""direction":"client→server""#;

#[test]
fn a_call_with_who_when_and_what() {
    let call = tool_call(&format!(
        r#"{FROM_SERVER},"request_id":"7","result":{{"content":[]}},"outcome":"success",
        "principal":{{"subject":"u-1","client_id":"desk","issuer":"https://idp.example"}},
        "policy":{{"decision":"allow","rule_id":"r-3"}}"#
    ));
    assert_eq!((call.method.as_str(), call.tool.as_deref()), ("tools/call", Some("read")));
    assert_eq!(call.arguments.as_deref(), Some(r#"{"p":1}"#));
    assert_eq!((call.server.as_deref(), call.client_name.as_deref()), (Some("files"), Some("desk")));
    assert_eq!((call.jsonrpc_request_id.as_deref(), call.jsonrpc_id_type), (Some("7"), None));
    assert_eq!((call.outcome, call.result_state), (Outcome::Success, PayloadState::Present));
    assert_eq!((call.approval, call.user_id.as_deref()), (Approval::AutoAllowed, Some("u-1")));
    assert_eq!(call.time, time::rfc3339("2026-08-24T09:10:11Z"));
    assert_eq!((call.time_source, call.duration_ns), (TimeSource::EndMinusDuration, Some(500_000_000)));
    let more = call.more.unwrap();
    assert_eq!(more.approval_source.as_deref(), Some("r-3"));
    let extra = more.extra_json.unwrap();
    assert_eq!(Object::parse(&extra).unwrap().str("signing").unwrap(), "unsigned");
}

#[test]
fn outcomes_of_both_versions() {
    let outcome = |members: &str| {
        let call = tool_call(members);
        (call.outcome, call.approval)
    };
    let unknown = Approval::Unknown;
    for (members, expected) in [
        // Before 1.2 nothing but the answer tells.
        (FROM_SERVER.to_owned(), (Outcome::Unknown, unknown)),
        (format!(r#"{FROM_SERVER},"result":{{}}"#), (Outcome::Success, unknown)),
        (format!(r#"{FROM_SERVER},"result":{{"isError":true}}"#), (Outcome::ToolError, unknown)),
        (format!(r#"{FROM_SERVER},"error":{{"code":-32602,"message":"m"}}"#), (Outcome::ProtocolError, unknown)),
        (
            format!(r#"{FROM_CLIENT},"error":{{"code":-32030,"message":"policy denied"}}"#),
            (Outcome::Denied, Approval::PolicyDenied),
        ),
        (format!(r#"{FROM_CLIENT},"error":{{"code":-32029,"message":"rate limit"}}"#), (Outcome::Denied, unknown)),
        // From 1.2 on.
        (format!(r#"{FROM_SERVER},"outcome":"success","result":{{"isError":true}}"#), (Outcome::ToolError, unknown)),
        (
            format!(r#"{FROM_SERVER},"outcome":"upstream_error","error":{{"code":-32603,"message":"m"}}"#),
            (Outcome::ProtocolError, unknown),
        ),
        (format!(r#"{FROM_SERVER},"outcome":"upstream_error""#), (Outcome::TransportError, unknown)),
        (format!(r#"{FROM_SERVER},"outcome":"timeout""#), (Outcome::Timeout, unknown)),
        (format!(r#"{FROM_SERVER},"outcome":"cancelled""#), (Outcome::Cancelled, unknown)),
        (format!(r#"{FROM_SERVER},"outcome":"client_disconnect""#), (Outcome::TransportError, unknown)),
        (format!(r#"{FROM_SERVER},"outcome":"something_new""#), (Outcome::Unknown, unknown)),
    ] {
        assert_eq!(outcome(&members), expected, "{members}");
    }
    let denied = tool_call(&format!(
        r#"{FROM_CLIENT},"outcome":"denied","policy":{{"decision":"deny","rule_id":"no-writes"}},
        "error":{{"code":-32030,"message":"policy denied","data":{{"action":"deny","reason":"read only","rule_index":2}}}}"#
    ));
    assert_eq!(denied.error_message.as_deref(), Some("read only"));
    assert_eq!(denied.initiator, Side::Client, "the proxy answered, not the client");
    assert_eq!(denied.more.unwrap().approval_source.as_deref(), Some("no-writes"));
}

#[test]
fn notifications_and_calls_of_the_server() {
    let note = entry(&format!(r#""method":"notifications/progress",{FROM_SERVER},"outcome":"success""#));
    assert_eq!(
        (note.event_kind, note.initiator, note.outcome),
        (EventKind::Notification, Side::Server, Outcome::Unknown)
    );
    let asked = entry(&format!(r#""method":"elicitation/create",{FROM_CLIENT},"result":{{"action":"accept"}}"#));
    assert_eq!((asked.event_kind, asked.initiator), (EventKind::Call, Side::Server));
    // Whatever the direction says: no server calls a tool of its client's.
    let called = tool_call(&format!(r#"{FROM_CLIENT},"request_id":7,"result":{{"content":[]}}"#));
    assert_eq!((called.initiator, called.jsonrpc_request_id.as_deref()), (Side::Client, Some("7")));
    let pinged = entry(&format!(r#""method":"ping",{FROM_CLIENT},"result":{{}}"#));
    assert_eq!(pinged.initiator, Side::Server);
    let list = entry(&format!(r#""method":"tools/list",{FROM_CLIENT},"tool_name":"""#));
    assert_eq!((list.initiator, list.tool, list.arguments_state), (Side::Client, None, PayloadState::None));
    // Until 1.2 an entry had the direction of the question.
    let whole = entry(&format!(r#""method":"tools/call",{FROM_CLIENT},"request_id":7,"result":{{"content":[]}}"#));
    assert_eq!((whole.initiator, whole.jsonrpc_request_id.as_deref()), (Side::Client, Some("7")));
    let bare = entry(&format!(r#""method":"tools/call",{FROM_CLIENT},"tool_name":"read""#));
    assert_eq!((bare.tool.as_deref(), bare.arguments_state), (Some("read"), PayloadState::NotLogged));
}

const SIGNED: &str = r#"{"id":"01K39V3NN7R0AJPA4NPH7XQMYX","timestamp":"2026-08-24T09:10:11.1234567Z",
"audit_operation_id":"019d2f6e-47ad-75ad-b506-b7990d8c11ba","outcome":"upstream_error","direction":"server→client",
"transport":"http","method":"tools/call","request_id":"42","tool_name":"read_file",
"params":{"name":"read_file","arguments":{"path":"/tmp/ä","limit":1e21,"half":0.50,"Z":1,"a":[1,{}]}},
"error":{"code":-32000,"message":"upstream warning","data":{"retryable":false}},"duration_ms":27,
"client_id":"claude-desktop","server_id":"filesystem",
"principal":{"subject":"s","client_id":"c","issuer":"https://idp.example"},"policy":{"decision":"allow"},
"signature":"e570d4c2bac54a6753d06c31f3f8386aa5c31ed2e646758f82cd1758b85d8f3e","integrity":{"version":2,
"algorithm":"hmac-sha256","key_id":"default",
"signature":"247b92d4f77e46d9cf6472b4cc8228bfb282220e49206246eb99b796865371b8"}}"#;
const KEY: &[u8] = b"a sufficiently long test secret";

#[test]
fn a_signature_is_recomputed() {
    assert_eq!(signature_of(SIGNED, KEY), Some(true));
    assert_eq!(signature_of(SIGNED, b"another key"), Some(false));
    assert_eq!(signature_of(SIGNED, b""), None);
    // White space, the order of keys, spellings of numbers and the zone are not signed; every value is.
    for same in
        [SIGNED.replace(r#""a":[1,{}]"#, r#""a" : [ 1.0 , {} ]"#), SIGNED.replace("11.1234567Z", "11.12345670Z")]
    {
        assert_eq!(signature_of(&same, KEY), Some(true));
    }
    let moved = SIGNED.replace("2026-08-24T09:10:11.1234567Z", "2026-08-24T11:10:11.1234567+02:00");
    assert_eq!(signature_of(&moved, KEY), Some(true));
    for (from, to) in [
        ("/tmp/ä", "/etc/ä"),
        ("upstream_error", "success"),
        (":27,", ":28,"),
        (r#""code":-32000"#, r#""code":-32001"#),
        (r#""issuer":"#, r#""issuer ":"#),
        (r#""Z":1"#, r#""Z":1,"Z":1"#),
        (r#""duration_ms":27"#, r#""duration_ms":"27""#),
        ("796865371b8", "796865371b"),
    ] {
        assert_eq!(signature_of(&SIGNED.replace(from, to), KEY), Some(false), "{from} -> {to}");
    }
    assert_eq!(signature_of(&SIGNED.replace(r#""version":2"#, r#""version":3"#), KEY), None);
}

#[test]
fn the_older_signature_covers_five_members() {
    let (start, _) = SIGNED.split_once(r#","integrity""#).unwrap();
    let old = format!("{start}}}");
    assert_eq!(signature_of(&old, KEY), Some(true));
    assert_eq!(signature_of(&old.replace("filesystem", "other"), KEY), Some(true), "the server is not signed");
    assert_eq!(signature_of(&old.replace("/tmp/ä", "/etc/ä"), KEY), Some(false));
    assert_eq!(signature_of(&old.replace("e570d4c2", "hmac-sha256:e570d4c2"), KEY), Some(true));
    let escaped = r#"{"id":"x","timestamp":"2026-05-29T12:00:00Z","direction":"d","method":"tools/call","tool_name":"t",
        "params":{"q":"a\u003cb"},"duration_ms":1,"client_id":"c","server_id":"s",
        "signature":"823b1c6c61fbe69e8865a2638489a06298f5ce54c4401456e80737b78cc1aba6"}"#;
    assert_eq!(signature_of(escaped, KEY), Some(true));
    assert_eq!(signature_of(&escaped.replace(r#""signature":"8"#, r#""signature":"ä"#), KEY), Some(false));
    let unsigned = escaped.split_once("\"signature\"").map(|(head, _)| format!("{head}\"signature\":\"\"}}")).unwrap();
    assert_eq!(signature_of(&unsigned, KEY), None);
}

#[test]
fn hostile_entries() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let line = SIGNED.replace(r#"[1,{}]"#, &deep);
    assert_eq!(signature_of(&line, KEY), None);
    assert!(decoded(&McpAuditSigned, &line).unwrap().is_ok());
    for broken in
        [SIGNED.replace(r#""method":"tools/call""#, r#""method":7"#), SIGNED.replace(r#""method":"tools/call","#, "")]
    {
        assert_eq!(decoded(&McpAuditSigned, &broken).unwrap().unwrap_err(), "audit entry without method");
    }
    for odd in [
        SIGNED.replace(r#""duration_ms":27"#, r#""duration_ms":1e999"#),
        SIGNED.replace("2026-08-24T09", "9999-08-24T09"),
        SIGNED.replace(r#""params":{"name":"read_file""#, r#""params":{"name":["x"]"#),
        SIGNED.replace(r#""principal":{"#, r#""principal":[],"p":{"#),
    ] {
        assert!(decoded(&McpAuditSigned, &odd).unwrap().is_ok(), "{odd}");
    }
    for other in [
        &SIGNED[..200],
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
        r#"{"direction":"inbound","method":"write_file","params":{}}"#,
        "signature server_id",
    ] {
        assert!(decoded(&McpAuditSigned, other).is_none(), "{other}");
    }
}

#[test]
fn the_sample_holds_one_changed_entry() {
    let log = include_str!("../../../../sample-logs/mcp_audit_signed/release_proxy.jsonl");
    let of = |wanted: Option<bool>| -> Vec<usize> {
        let lines = log.lines().enumerate();
        lines.filter(|(_, line)| signature_of(line, KEY) == wanted).map(|(at, _)| at + 1).collect()
    };
    assert_eq!(of(Some(false)), [18], "its result was edited");
    assert_eq!(of(None), [20, 21], "not signed, and cut off");
    assert_eq!(of(Some(true)).len(), 18);
}
