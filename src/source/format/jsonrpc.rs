//! Raw JSON-RPC captures of MCP traffic, bare or wrapped by a tap, of every protocol revision.
//!
//! A tap writes one message a line: the message itself, the message spread into a line with its own keys
//! (`timestamp`, `direction`, `path`), or the message one level down (`{timestamp, direction, message}`), as JSON, as a string,
//! or as the event stream that an HTTP server answered with. [`message`] holds the meaning of a JSON-RPC message for
//! every format that carries one.

mod envelope;
mod flat;
mod message;
mod recording;

pub use envelope::Envelope;
pub(crate) use message::{error_side, request_side, result_side};
pub use message::{id, message, tool_definition};

use super::shared::gateway;
use super::{LogFormat, mcp_audit_signed};
use crate::call::{Call, DurationSource, EventKind, Flag, Outcome, PayloadState, Side, Text};
use crate::source::frame::events;
use crate::source::json::{self, Object};
use crate::source::{Decoded, Event, Record, Reject, time};
use envelope::envelope;
use std::borrow::Cow;
use std::sync::LazyLock;

/// Bare and wrapped JSON-RPC captures.
pub struct JsonRpc;

static JSONRPC: LazyLock<memchr::memmem::Finder<'static>> = LazyLock::new(|| memchr::memmem::Finder::new(b"jsonrpc"));
/// Members under which taps put the message.
const MESSAGE_KEYS: &[&str] =
    &["message", "msg", "payload", "data", "body", "request", "response", "rpc", "raw", "event"];
/// Members of a record that holds a call whole.
const PAIRS: &[(&str, &str)] =
    &[("request", "response"), ("request_body", "response_body"), ("requestBody", "responseBody"), ("req", "res")];
/// How such a record writes how long the call took, in milliseconds.
const DURATION_KEYS: &[&str] = &["duration_ms", "durationMs", "latency_ms", "latencyMs", "elapsed_ms", "elapsedMs"];
/// How a text begins that holds messages.
const STARTS: &[&str] = &["{", "[", "data:", "event:", "id:", "retry:", ":"];
/// Elements of an array in which a message is looked for.
const BATCH_HEAD: usize = 20;
/// Places in a line of text where a message is looked for.
const TEXT_ATTEMPTS: usize = 4;
/// The only methods of MCP without a slash.
const SHORT_METHODS: &[&str] = &["initialize", "ping"];

impl LogFormat for JsonRpc {
    fn id(&self) -> &'static str {
        "jsonrpc"
    }
    fn title(&self) -> &'static str {
        "JSON-RPC captures of MCP traffic, bare or wrapped (stdio tee, HTTP taps), all revisions"
    }
    fn evidence(&self) -> &'static str {
        "MCP specification 2024-11-05 to 2026-07-28; captures of the Python SDK 2.3.0; the sample of Splunk's TA; source of two taps"
    }

    fn claims(&self, record: &Record<'_>) -> bool {
        let Some(object) = record.json else {
            return is_batch(record.text);
        };
        is_message(object) || candidate(object).is_some() || is_bare(object) || recording::is_part(object)
    }

    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(object) = record.json else {
            if is_batch(record.text) {
                // A batch (2025-03-26), or an export that wraps all messages in one array.
                return each(json::elements(record.text), out, |element, out| decode_object(element, record, out));
            }
            let Some((before, raw)) = in_text(record.text) else {
                return Err(Reject::new("no json-rpc message in the line"));
            };
            return decode_text(before, raw, record, out);
        };
        decode_object(object, record, out)
    }

    fn tolerates(&self, record: &Record<'_>) -> bool {
        // The head of a recording, or what the transport puts around messages.
        record.text.starts_with('#') || is_transport(record.text)
    }

    fn claims_otherwise(&self, record: &Record<'_>) -> bool {
        match record.json {
            Some(object) => any_member(object).is_some() || pair(object).is_some(),
            None => in_text(record.text).is_some(),
        }
    }
}

/// Whether a line is a field or a comment of an event stream (HTML standard, section 9.2.6) without a message in it, or a header of the
/// Language Server Protocol's framing, as captures of the wire have them.
fn is_transport(line: &str) -> bool {
    let Some((name, value)) = line.split_once(':') else { return false };
    match name {
        "" | "event" | "id" | "retry" => true,
        "data" => !value.trim_start().starts_with(['{', '[']),
        _ => name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("content-type"),
    }
}

/// Reads what can be read: one odd part does not hide the others. An error if nothing could be.
fn each<'a>(
    parts: impl IntoIterator<Item = &'a str>,
    out: &mut Decoded,
    read: impl Fn(&Object<'a>, &mut Decoded) -> Result<(), Reject>,
) -> Result<(), Reject> {
    let mut any = false;
    let known = out.rejected.len();
    for part in parts {
        match read(&Object::trusted(part), out) {
            Ok(()) => any = true,
            Err(reject) => out.reject(part, reject),
        }
    }
    if any || out.rejected.len() == known { Ok(()) } else { Err(out.rejected.swap_remove(known).reject) }
}

/// Whether the record is a message and nothing else: no tap wrote it.
pub(super) fn is_only_message(record: &Record<'_>) -> bool {
    const KEYS: &[&str] = &["jsonrpc", "id", "method", "params", "result", "error"];
    record.json.is_some_and(|object| {
        is_message(object) && object.members().iter().all(|(key, _)| KEYS.contains(&key.as_ref()))
    })
}

/// The member that holds a message in a wrapper that nobody described.
fn any_member<'a>(object: &Object<'a>) -> Option<&'a str> {
    let mut objects = object.members().iter().map(|(_, raw)| *raw).filter(|raw| raw.starts_with('{'));
    objects.find(|raw| JSONRPC.find(raw.as_bytes()).is_some() && is_message(&Object::trusted(raw)))
}

/// Request and response of a record that holds both.
fn pair<'a>(object: &Object<'a>) -> Option<(&'a str, &'a str)> {
    PAIRS.iter().find_map(|(request, response)| {
        let (request, response) = (object.get(request)?, object.get(response)?);
        (is_wrapped(request) && is_wrapped(response)).then_some((request, response))
    })
}

/// A message in a line of text, with what stands before it. The TypeScript SDK writes the version behind method and parameters.
fn in_text(text: &str) -> Option<(&str, &str)> {
    const START: &str = "{\"jsonrpc\"";
    JSONRPC.find(text.as_bytes())?;
    let first = text.match_indices('{').map(|(at, _)| at).take(TEXT_ATTEMPTS);
    first.chain(text.find(START)).find_map(|at| {
        let mut values = serde_json::Deserializer::from_str(&text[at..]).into_iter::<&serde_json::value::RawValue>();
        let raw = values.next()?.ok()?.get();
        is_message(&Object::trusted(raw)).then_some((&text[..at], raw))
    })
}

/// The message of a line of text. The time at its start is the message's, and an arrow says who sent it.
fn decode_text(before: &str, raw: &str, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
    let words = || before.split_ascii_whitespace().map(|word| word.trim_matches(['[', ']', ',']));
    let time = [2, 1].into_iter().find_map(|count| time::text(&words().take(count).collect::<Vec<_>>().join(" ")));
    let mut envelope = envelope(&Object::default(), record);
    envelope.time = time.map(|(nanos, _)| nanos);
    if time.is_some_and(|(_, is_assumed)| is_assumed) {
        envelope.flags.add(Flag::ZoneAssumed as u32);
    }
    let ends = |arrows: &[&str]| arrows.iter().any(|arrow| before.trim_ascii_end().ends_with(arrow));
    if ends(&[">>", "->", "=>", "\u{2192}"]) {
        envelope.sender = Some(Side::Client);
    } else if ends(&["<<", "<-", "<=", "\u{2190}"]) {
        envelope.sender = Some(Side::Server);
    }
    message(&Object::trusted(raw), &envelope, out)
}

fn decode_object(object: &Object<'_>, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
    if recording::is_part(object) {
        return recording::decode(object, record, out);
    }
    if is_message(object) || is_bare(object) {
        let envelope = envelope(object, record);
        return match flat::joined(object) {
            Some(whole) => spread(&Object::trusted(&whole), &envelope, out),
            None => spread(object, &envelope, out),
        };
    }
    let envelope = envelope(object, record);
    if let Some((request, response)) = pair(object) {
        return whole(object, request, response, &envelope, out);
    }
    match candidate(object).or_else(|| any_member(object)) {
        Some(inner) => wrapped(object, inner, &envelope, out),
        None => Err(Reject::new("no json-rpc message in the record")),
    }
}

/// What a member of a wrapping record holds.
fn wrapped(object: &Object<'_>, inner: &str, envelope: &Envelope<'_>, out: &mut Decoded) -> Result<(), Reject> {
    match inner.as_bytes().first() {
        Some(b'[') => each(json::elements(inner), out, |part, out| message(part, envelope, out)),
        Some(b'"') => match body(&json::unescape(inner), envelope, out)? {
            true => Ok(()),
            false => Err(Reject::new("json-rpc message inside a string is not valid JSON")),
        },
        _ => message(&object.object_at(inner), envelope, out),
    }
}

/// A call that one record holds whole. Its time is the request's; how long it took is told, or nobody knows.
fn whole(
    object: &Object<'_>,
    request: &str,
    response: &str,
    envelope: &Envelope<'_>,
    out: &mut Decoded,
) -> Result<(), Reject> {
    let duration = DURATION_KEYS.iter().find_map(|key| gateway::milliseconds(object, key));
    let end = envelope.time.zip(duration).and_then(|(start, duration)| start.checked_add(duration));
    let answered = Envelope { time: end, ..envelope.clone() };
    let (from, known) = (out.events.len(), out.rejected.len());
    for (half, envelope) in [(request, envelope), (response, &answered)] {
        if let Err(reject) = wrapped(object, half, envelope, out) {
            out.reject(half, reject);
        }
    }
    if out.events.len() == from && out.rejected.len() > known {
        return Err(out.rejected.swap_remove(known).reject);
    }
    for event in &mut out.events[from..] {
        if let Event::Response { call, .. } = event {
            (call.duration_ns, call.duration_source) = (duration, duration.map(|_| DurationSource::Measured));
        }
    }
    Ok(())
}

/// A message that shares the record with the tap's own members.
fn spread(object: &Object<'_>, envelope: &Envelope<'_>, out: &mut Decoded) -> Result<(), Reject> {
    let direction = object.str("direction").unwrap_or_default();
    let answers = object.has("result") || object.has("error");
    let is_answered = || ["result", "error"].iter().any(|key| object.get(key).is_some_and(|raw| raw != "null"));
    if answers && object.has("id") && object.has("method") && (!is_message(object) || is_answered()) {
        let part = |keys: &[&str]| {
            let members = keys.iter().filter_map(|key| Some(format!(",\"{key}\":{}", object.get(key)?)));
            format!("{{\"jsonrpc\":\"2.0\"{}}}", members.collect::<String>())
        };
        let answer = part(&["id", "result", "error"]);
        let is_response = direction == "response" || envelope.sender == Some(Side::Server);
        if !is_message(object) || is_response {
            // Such a tap repeats the method beside the answer.
            return message(&Object::trusted(&answer), envelope, out);
        }
        return whole(object, &part(&["id", "method", "params"]), &answer, envelope, out);
    }
    if object.has("method") {
        let from = out.events.len();
        message(object, envelope, out)?;
        if matches!(direction.as_ref(), "inbound" | "outbound") {
            without_id(is_message(object), out.events.get_mut(from));
        }
        return Ok(());
    }
    if answers && object.has("id") {
        return message(object, envelope, out);
    }
    if object.get("0").is_some_and(|raw| is_message(&Object::trusted(raw))) {
        // A batch, spread into the record by its indices.
        let batch = object.members().iter().filter(|(key, _)| key.bytes().all(|b| b.is_ascii_digit()));
        return each(batch.map(|(_, raw)| *raw), out, |part, out| message(part, envelope, out));
    }
    if direction == "error" && object.has("error") {
        // The tap could not reach the server. It does not say for which request.
        let mut call = Call {
            event_kind: EventKind::Connection,
            outcome: Outcome::TransportError,
            error_message: object.str("error").map(|text| text.into_owned()),
            time: envelope.time,
            time_source: envelope.time_source,
            server: envelope.server.clone(),
            source_format: Text::const_new(envelope.format),
            observer: envelope.observer,
            flags: envelope.flags,
            ..Call::default()
        };
        if let Some((session, source)) = &envelope.session {
            (call.session_id, call.session_source) = (Some(session.clone()), *source);
        }
        out.events.push(Event::Call { lane: envelope.lane.clone(), call: Box::new(call) });
        return Ok(());
    }
    if has_direction(object) && object.has("path") {
        // An HTTP tap sees bodies that are no JSON, event streams among them, and pages that are none of MCP's.
        return object.str("raw").map_or(Ok(()), |text| body(&text, envelope, out).map(|_| ()));
    }
    message(object, envelope, out)
}

/// Splunk's `mcp_server` logs have no ids, and some write the tool where the method belongs, and its arguments as `params`.
fn without_id(has_version: bool, event: Option<&mut Event>) {
    let Some(Event::Request { key, call, .. }) = event else { return };
    if !call.method.contains('/') && !SHORT_METHODS.contains(&call.method.as_str()) {
        call.tool = Some(std::mem::replace(&mut call.method, Text::const_new("tools/call")));
        call.tool_raw.clone_from(&call.tool);
    } else if has_version || call.method.starts_with("notifications/") {
        return;
    }
    if key.is_none() {
        // No answer can be told, so this is a call of unknown outcome and no notification.
        (call.event_kind, call.result_state) = (EventKind::Call, PayloadState::NotLogged);
    }
}

/// The messages in a text that nothing has validated yet: JSON, or an event stream. Whether there was any.
fn body(text: &str, envelope: &Envelope<'_>, out: &mut Decoded) -> Result<bool, Reject> {
    let invalid = |_| Reject::new("json-rpc message inside a string is not valid JSON");
    match text.trim_start().as_bytes().first() {
        Some(b'{') => message(&Object::parse(text).map_err(invalid)?, envelope, out)?,
        Some(b'[') => {
            let batch: &serde_json::value::RawValue = serde_json::from_str(text).map_err(invalid)?;
            each(json::elements(batch.get()), out, |part, out| message(part, envelope, out))?;
        }
        _ => {
            let events = events::data(text);
            // An event with other data (an endpoint, a heartbeat) is no message.
            let messages = events.iter().filter(|data| data.trim_start().starts_with(['{', '[']));
            let mut found = false;
            for data in messages {
                found |= body(data, envelope, out)?;
            }
            return Ok(found);
        }
    }
    Ok(true)
}

fn is_message(object: &Object<'_>) -> bool {
    object.get("jsonrpc") == Some("\"2.0\"")
}

/// Whether one of the first elements of an array is a message. Other formats' records hold messages, too.
fn holds_message(array: &str) -> bool {
    json::elements(array).into_iter().take(BATCH_HEAD).any(|element| is_message(&Object::trusted(element)))
}

/// An array of messages, wrapped or not: one of its first elements tells.
fn is_batch(text: &str) -> bool {
    let known = |object: &Object<'_>| is_message(object) || candidate(object).is_some() || is_bare(object);
    text.starts_with('[')
        && text.contains("\"jsonrpc\"")
        && json::elements(text).into_iter().take(BATCH_HEAD).any(|element| known(&Object::trusted(element)))
}

/// A message without its version, beside the direction that a tap adds. Proxies, firewalls and telephone systems log directions
/// and methods, too: only a method of MCP is enough alone, and an answer is an object.
fn is_bare(object: &Object<'_>) -> bool {
    let asks = || {
        object.str("method").is_some_and(|method| {
            let slash = method.find('/').is_some_and(|at| at > 0 && method.bytes().all(|b| b.is_ascii_graphic()));
            SHORT_METHODS.contains(&method.as_ref())
                || slash
                || (object.get("params").is_some_and(|raw| raw.starts_with('{')) && !is_verb(&method))
        })
    };
    let answers = || {
        let part = |key: &str| object.get(key).is_some_and(|raw| raw.starts_with('{'));
        let is_answer = object.str("dir").is_some_and(|direction| direction == "res");
        object.has("id")
            && (part("result") || part("error") || is_answer && (object.has("result") || object.has("error")))
    };
    has_direction(object) && (asks() || answers()) && !mcp_audit_signed::is_entry(object)
}

/// Whether a method is one of HTTP, or another that is written in capitals.
fn is_verb(method: &str) -> bool {
    !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase())
}

fn has_direction(object: &Object<'_>) -> bool {
    object.has("direction") || object.has("dir")
}

/// The member of a wrapping record that holds the message, raw.
fn candidate<'a>(object: &Object<'a>) -> Option<&'a str> {
    let mut members = MESSAGE_KEYS.iter().filter_map(|key| Some((*key, object.get(key)?)));
    let found = members.find(|(_, raw)| is_wrapped(raw));
    found
        .filter(|(key, raw)| !(matches!(*key, "message" | "event") && is_record_of_tap(object, raw)))
        .map(|(_, raw)| raw)
}

/// Whether a collector put a tap's whole record there: what the tap says of the message must not be lost.
fn is_record_of_tap(object: &Object<'_>, raw: &str) -> bool {
    let inner = match raw.as_bytes().first() {
        Some(b'"') => json::unescape(raw),
        _ => Cow::Borrowed(raw),
    };
    // A message that begins as one is none.
    let begins = inner.strip_prefix('{').is_some_and(|rest| !rest.trim_start().starts_with("\"jsonrpc\""));
    begins && !has_direction(object) && has_direction(&Object::trusted(&inner))
}

/// Whether a member holds a message. Looks at its ends first: this is called for every record of every file, and scanning a large
/// payload costs as much as reading it.
fn is_wrapped(raw: &str) -> bool {
    let near = |text: &str| {
        let (head, tail) = (text.len().min(400), text.len().saturating_sub(400));
        let holds = |part: &[u8]| JSONRPC.find(part).is_some();
        holds(&text.as_bytes()[..head]) || holds(&text.as_bytes()[tail..])
    };
    match raw.as_bytes().first() {
        // Most taps and SDKs write `jsonrpc` first; where it stands elsewhere, only a scan tells whose member it is.
        Some(b'{') if near(raw) => {
            raw[1..].trim_start().starts_with("\"jsonrpc\"") || is_message(&Object::trusted(raw))
        }
        Some(b'[') => near(raw) && holds_message(raw),
        // A text is a message if it starts as one, or as an event stream does. Others may speak of JSON-RPC.
        Some(b'"') => {
            let text = raw[1..].trim_start_matches([' ', '\n', '\\', 'n', 'r', 't']);
            let message = || {
                let first = raw[1..].trim_start();
                first.starts_with("{\\\"jsonrpc\\\"") || is_message(&Object::trusted(&json::unescape(raw)))
            };
            STARTS.iter().any(|start| text.starts_with(start))
                && near(raw)
                && match text.as_bytes().first() {
                    Some(b'{') => message(),
                    Some(b'[') => holds_message(&json::unescape(raw)),
                    _ => true,
                }
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
