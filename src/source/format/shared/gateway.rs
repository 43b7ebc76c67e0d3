//! What several gateway formats share: bodies of three shapes, measured times, HTTP status, fields without a column.
//!
//! A gateway's record holds a call whole. Nothing in here reads a record or belongs to one format; a value that the log
//! does not have stays empty.

use crate::call::{Approval, Call, DurationSource, EventKind, Flag, IdType, Nanos, Observer, Outcome, PayloadState};
use crate::call::{SessionSource, Text, TimeSource};
use crate::source::format::jsonrpc;
use crate::source::json::{self, Object};
use crate::source::{Decoded, Event, Lane};
use std::borrow::Cow;

/// A call that a gateway saw, with its method.
pub(in crate::source) fn gateway_call(format: &'static str, method: Option<Text>) -> Box<Call> {
    let method = method.unwrap_or_default();
    let notification = method.starts_with("notifications/");
    Box::new(Call {
        source_format: Text::const_new(format),
        observer: Observer::Gateway,
        event_kind: if notification { EventKind::Notification } else { EventKind::Call },
        method,
        ..Call::default()
    })
}

/// The record says when the request started.
pub(in crate::source) fn started(call: &mut Call, start: Option<Nanos>, duration: Option<i64>) {
    call.time = start;
    call.time_end = start.zip(duration).and_then(|(start, duration)| start.checked_add(duration));
    measured(call, duration);
    if start.is_some() {
        call.time_source = TimeSource::Record;
    }
}

/// The record was written when the call had ended. Without a duration that moment says nothing of the start.
pub(in crate::source) fn ended(call: &mut Call, end: Option<Nanos>, duration: Option<i64>) {
    let duration = duration.filter(|nanos| *nanos >= 0);
    measured(call, duration);
    call.time_end = end;
    (call.time, call.time_source) = match (end, duration) {
        (Some(end), Some(duration)) => (end.checked_sub(duration), TimeSource::EndMinusDuration),
        (Some(end), None) => (Some(end), TimeSource::ResponseLine),
        (None, _) => (None, TimeSource::default()),
    };
}

fn measured(call: &mut Call, duration: Option<i64>) {
    call.duration_ns = duration;
    call.duration_source = duration.map(|_| DurationSource::Measured);
}

/// A member in milliseconds, with or without fraction, as nanoseconds.
pub(in crate::source) fn milliseconds(object: &Object<'_>, key: &str) -> Option<i64> {
    let raw = object.get(key)?;
    let ms: f64 = json::string(raw).unwrap_or(Cow::Borrowed(raw)).parse().ok()?;
    (0.0..9e12).contains(&ms).then_some((ms * 1e6) as i64)
}

/// Marks a call whose times carried no zone, if so.
pub(in crate::source) fn zone(call: &mut Call, assumed: bool) {
    if assumed {
        call.flag(Flag::ZoneAssumed);
        call.more().time_zone_assumed = true;
    }
}

/// A duration as Go and Rust print it (`1.55s`, `2ms`, `1m2.5s`, `45µs`), as nanoseconds.
pub(in crate::source) fn human_duration(text: &str) -> Option<i64> {
    const UNITS: &[(&str, i128)] = &[
        ("ns", 1),
        ("µs", 1_000),
        ("μs", 1_000),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
    ];
    let mut rest = text.trim();
    let mut total: i128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (whole, fraction) = rest[..number].split_once('.').unwrap_or((&rest[..number], ""));
        let (name, unit) = UNITS.iter().find(|(name, _)| rest[number..].starts_with(name))?;
        total = total.checked_add(whole.parse::<i64>().ok().map(i128::from)?.checked_mul(*unit)?)?;
        // Below a nanosecond nothing is kept.
        let fraction = &fraction[..fraction.len().min(15)];
        if !fraction.is_empty() {
            let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
            total += i128::from(fraction.parse::<i64>().ok()?) * unit / scale;
        }
        rest = &rest[number + name.len()..];
    }
    i64::try_from(total).ok()
}

/// The protocol session, which is the best session there is unless the format knows the conversation.
pub(in crate::source) fn mcp_session(call: &mut Call, id: Option<Text>) {
    call.session_id.clone_from(&id);
    call.mcp_session_id = id;
    if call.session_id.is_some() {
        call.session_source = SessionSource::McpSession;
    }
}

/// A format or configuration without payloads: never "no arguments".
pub(in crate::source) fn payloads_not_logged(call: &mut Call) {
    use PayloadState::{None, NotLogged};
    (call.arguments_state, call.result_state) = match call.event_kind {
        EventKind::Call => (NotLogged, NotLogged),
        EventKind::Notification => (NotLogged, None),
        _ => (None, None),
    };
}

/// What an HTTP status says of the outcome. Status 0 is a connection that broke before there was one.
pub(in crate::source) fn http_status(call: &mut Call, status: i64) {
    call.more().http_response_status_code = i32::try_from(status).ok();
    call.outcome = match status {
        401 | 403 => {
            call.approval = Approval::PolicyDenied;
            Outcome::Denied
        }
        408 | 504 => Outcome::Timeout,
        100..400 => Outcome::Success,
        0 | 400..600 => Outcome::TransportError,
        _ => Outcome::Unknown,
    };
    if (400..600).contains(&status) {
        call.error_type = Some(Text::from(status.to_string()));
    }
}

/// A JSON-RPC error.
pub(in crate::source) fn protocol_error(call: &mut Call, code: Option<i32>, message: Option<String>) {
    call.outcome = Outcome::ProtocolError;
    call.rpc_response_status_code = code;
    call.error_type = code.map(|code| Text::from(code.to_string()));
    call.error_message = message;
}

/// The id of the request. Many gateways write each as a text, so that of a text the type is not known.
pub(in crate::source::format) fn request_id(call: &mut Call, raw: Option<&str>) {
    let scalar = raw.filter(|raw| *raw != "null" && !raw.starts_with(['{', '[']));
    let Some(id) = scalar.map(jsonrpc::id).filter(|id| !id.text.is_empty()) else { return };
    call.jsonrpc_id_type = Some(id.kind).filter(|kind| *kind != IdType::String);
    call.jsonrpc_request_id = Some(id.text);
}

/// An address without its port.
pub(in crate::source) fn host(address: &str) -> &str {
    if let Some(rest) = address.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match address.split_once(':') {
        Some((host, port)) if !port.contains(':') => host,
        _ => address,
    }
}

/// Fields that have no column, as a JSON object; those that are missing or hold nothing are left out. Values are JSON text;
/// keys need no escaping.
pub(in crate::source) fn extra<'a, R: AsRef<str>>(
    members: impl IntoIterator<Item = (&'a str, Option<R>)>,
) -> Option<String> {
    let mut text = String::new();
    for (key, raw) in members {
        if let Some(raw) = raw.as_ref().map(AsRef::as_ref).filter(|raw| !matches!(*raw, "null" | "\"\"" | "{}" | "[]"))
        {
            text.push(if text.is_empty() { '{' } else { ',' });
            text.push_str(&format!("\"{key}\":{raw}"));
        }
    }
    (!text.is_empty()).then(|| text + "}")
}

/// Members of an object for [`extra`].
pub(in crate::source) fn members<'a>(
    object: &'a Object<'a>,
    keys: &'a [&'a str],
) -> impl Iterator<Item = (&'a str, Option<Cow<'a, str>>)> {
    keys.iter().map(|key| (*key, object.get(key).map(Cow::Borrowed)))
}

/// A request body: a whole message, its `params`, or the arguments by themselves, perhaps as JSON in a string. Valid JSON.
pub(in crate::source) fn request_body(call: &mut Call, body: Option<&str>) {
    let Some(body) = body.filter(|body| *body != "null") else {
        // Not logged, or dropped for its size: never "no arguments".
        call.arguments_state = match call.event_kind {
            EventKind::Connection => PayloadState::None,
            _ => PayloadState::NotLogged,
        };
        return;
    };
    let opened = json::string(body).filter(|text| Object::parse(text).is_ok());
    let body = opened.as_deref().map_or(body, str::trim);
    if !body.starts_with(['{', '[']) {
        call.arguments = Some(body.to_string());
        call.arguments_state = PayloadState::Unparsable;
        return;
    }
    let message = Object::trusted(body);
    // Arguments can have such members, too: what a tool asks of a web server has a method and parameters.
    let names_method = message.str("method").is_some_and(|method| method == call.method.as_str());
    let is_message = message.has("jsonrpc") || (names_method && message.has("params"));
    if let Some(raw) = message.get("id").filter(|raw| is_message && call.jsonrpc_request_id.is_none() && *raw != "null")
    {
        let id = jsonrpc::id(raw);
        (call.jsonrpc_request_id, call.jsonrpc_id_type) = (Some(id.text), Some(id.kind));
    }
    let params = if is_message { message.get("params") } else { Some(body) };
    let inner = params.map(Object::trusted).unwrap_or_default();
    let is_tool_call = call.method == "tools/call";
    // Params name the tool that is called; arguments that happen to have such keys do not.
    let names_tool = inner.text("name").is_some_and(|name| Some(name) == call.tool);
    let of_params = |key: &str| ["name", "arguments", "_meta", "task"].contains(&key);
    let is_params =
        is_message || (names_tool && (inner.has("arguments") || inner.members().iter().all(|(key, _)| of_params(key))));
    let arguments = if is_tool_call && is_params { inner.get("arguments") } else { params };
    if is_tool_call && is_message && call.tool.is_none() {
        call.tool = inner.text("name");
        call.tool_raw.clone_from(&call.tool);
    }
    if is_params && let Some(meta) = inner.get("_meta").filter(|meta| meta.starts_with('{')) {
        call.more().meta_json = Some(meta.to_string());
    }
    call.arguments = arguments.map(str::to_string);
    call.arguments_state = if arguments.is_some() { PayloadState::Present } else { PayloadState::None };
}

/// A response body: a whole message, one inside an event stream, or the result by itself, perhaps as JSON in a string. Valid JSON.
pub(in crate::source) fn response_body(call: &mut Call, body: Option<&str>) {
    let Some(body) = body.filter(|body| *body != "null") else {
        call.result_state = match call.event_kind {
            EventKind::Call => PayloadState::NotLogged,
            _ => PayloadState::None,
        };
        return;
    };
    let text = json::string(body);
    let streamed = text.as_deref().and_then(last_message);
    let parsed = text.as_deref().map(Object::parse);
    let opened = text.as_deref().filter(|_| matches!(parsed, Some(Ok(_))));
    if let (Some(Err(broken)), None) = (&parsed, streamed) {
        call.result = Some(body.to_string());
        call.result_state = if broken.is_eof() { PayloadState::Truncated } else { PayloadState::Unparsable };
        call.flag(Flag::TruncatedJson);
        return;
    }
    let body = streamed.or(opened).map_or(body, str::trim);
    let message = Object::trusted(body);
    let is_message = streamed.is_some() || message.has("jsonrpc");
    // Libraries write the member that does not apply as null.
    let error = message.get("error").filter(|raw| is_message && *raw != "null");
    let result = if is_message { error.or_else(|| message.get("result")) } else { Some(body) };
    call.result = result.map(str::to_string);
    call.result_state = if result.is_some() { PayloadState::Present } else { PayloadState::None };
    if call.outcome != Outcome::Success {
        return;
    }
    // Gateways look at the HTTP status or at the start of the body, and never at `isError`.
    if let Some(error) = error.map(Object::trusted) {
        let code = error.int("code").and_then(|code| i32::try_from(code).ok());
        protocol_error(call, code, error.str("message").map(Cow::into_owned));
    } else {
        own_error(call, result);
    }
}

/// The tool's own error, which its result tells in a call that succeeded for everybody else.
pub(in crate::source) fn own_error(call: &mut Call, result: Option<&str>) {
    call.is_error = result.map(Object::trusted).and_then(|result| result.bool("isError"));
    if call.is_error == Some(true) {
        call.outcome = Outcome::ToolError;
        call.error_type = Some(Text::const_new("tool_error"));
    }
}

/// Emits a whole call, and what its result offers or says about the server.
pub(in crate::source) fn push(mut call: Box<Call>, lane: Lane, out: &mut Decoded) {
    let known = call.outcome == Outcome::Success && call.result_state == PayloadState::Present;
    let result = call.result.as_deref().filter(|_| known).map(Object::trusted).unwrap_or_default();
    let list = if call.method == "tools/list" { result.array("tools") } else { Vec::new() };
    let tools: Vec<_> =
        list.into_iter().filter_map(|raw| jsonrpc::tool_definition(raw, call.server.as_ref())).collect();
    let names = if call.method == "initialize" { result.object("serverInfo") } else { Object::default() };
    let (name, version, protocol) = (names.text("name"), names.text("version"), result.text("protocolVersion"));
    if name.is_some() {
        (call.server_info_name, call.server_info_version) = (name, version);
        call.mcp_protocol_version = protocol.or(call.mcp_protocol_version.take());
    }
    let (session, time) = (call.session_id.clone(), call.time_end.or(call.time));
    let offers = Lane::from(call.server.as_deref().unwrap_or_default());
    out.events.push(Event::Call { lane, call });
    if !tools.is_empty() {
        out.events.push(Event::Tools { lane: offers, session, time, tools });
    }
}

/// The last response among the messages of an event stream.
fn last_message(stream: &str) -> Option<&str> {
    let mut data = stream.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
    data.rfind(|text| Object::parse(text).is_ok_and(|m| m.has("result") || m.has("error")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go_and_rust() {
        assert_eq!(human_duration("2ms"), Some(2_000_000));
        assert_eq!(human_duration("1.552597793s"), Some(1_552_597_793));
        assert_eq!(human_duration("1m2.5s"), Some(62_500_000_000));
        assert_eq!(human_duration("45.25µs"), Some(45_250));
        assert_eq!(human_duration("1h0m0s"), Some(3_600_000_000_000));
        for text in ["", "2", "ms", "-2ms", "1.5sch", "1.2.3s", "99999999999999999999s", "9000000000000h", "é"] {
            assert_eq!(human_duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_list_of_tools_is_kept_apart_from_its_call() {
        let events = |method: &str, result: &str| {
            let mut call = gateway_call("x", Some(Text::from(method)));
            (call.outcome, call.result, call.result_state) =
                (Outcome::Success, Some(result.to_owned()), PayloadState::Present);
            let mut out = Decoded::default();
            push(call, Lane::default(), &mut out);
            out.events
        };
        let list = r#"{"tools":[{"name":"a","inputSchema":{}},{"name":"no schema"},7]}"#;
        assert!(matches!(&events("tools/list", list)[1], Event::Tools { tools, .. } if tools.len() == 1));
        assert_eq!(events("tools/call", list).len(), 1);
        let hello = events("initialize", r#"{"protocolVersion":"2025-11-25","serverInfo":{"name":"s","version":"2"}}"#);
        assert!(matches!(&hello[0], Event::Call { call, .. } if call.server_info_name.as_deref() == Some("s")));
    }

    #[test]
    fn hosts_lose_their_port_only() {
        let hosts = ["127.0.0.1:57408", "[::1]:80", "::1", "fd00::2", "localhost", "[::1", ""].map(host);
        assert_eq!(hosts, ["127.0.0.1", "::1", "::1", "fd00::2", "localhost", "::1", ""]);
    }
}
