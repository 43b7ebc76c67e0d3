//! Recordings of `mcp-debug --record`: a head, then one line per request and one per answer of a tool call.
//!
//! The messages have neither `jsonrpc` nor an id: a request is `{method, params}`, an answer the bare result. A request and the next
//! answer of the same tool on the same server belong together, which concurrent calls of one tool can mix up.

use super::envelope::envelope;
use super::{request_side, result_side};
use crate::call::{Call, IdType, Outcome, PayloadState, Side, Text, TimeSource};
use crate::source::json::Object;
use crate::source::{Decoded, Event, Id, Lane, PairKey, Record, Reject};

/// Whether the record is the head of a recording or one of its lines.
pub(super) fn is_part(object: &Object<'_>) -> bool {
    // Messengers have messages with a type and a direction, too: theirs are texts.
    (object.has("message_type")
        && object.has("direction")
        && object.get("message").is_some_and(|raw| raw.starts_with(['{', '['])))
        || (object.has("start_time") && object.has("server_info") && object.has("messages"))
}

pub(super) fn decode(object: &Object<'_>, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
    if !object.has("message_type") {
        // The head. What it says of the messages is not written: they follow.
        return Ok(());
    }
    let envelope = envelope(object, record);
    let body = object.object("message");
    let mut call = Box::new(Call {
        source_format: Text::const_new(envelope.format),
        observer: envelope.observer,
        server: envelope.server.clone(),
        flags: envelope.flags,
        ..Call::default()
    });
    let name = object.text("tool_name");
    let mut lane = Lane::from("recording");
    for part in [&envelope.server, &name] {
        lane.push('|');
        lane.push_str(part.as_deref().unwrap_or_default());
    }
    let id = Id { kind: IdType::String, text: Text::default() };
    let key = PairKey::JsonRpc { lane: lane.clone(), side: Side::Client, id };
    match object.str("direction").unwrap_or_default().as_ref() {
        "request" => {
            let method = body.str("method").unwrap_or("tools/call".into());
            request_side(&method, body.get("params"), &mut call);
            if call.method == "tools/call" {
                call.tool = call.tool.take().or(name);
                call.tool_raw.clone_from(&call.tool);
            }
            (call.time, call.time_source) = (envelope.time, TimeSource::RequestLine);
            (call.outcome, call.result_state) = (Outcome::NoResponse, PayloadState::NotLogged);
            out.events.push(Event::Request { key: Some(key), lane, call });
        }
        "response" => {
            (call.time_end, call.time_source) = (envelope.time, TimeSource::ResponseLine);
            result_side(object.get("message").unwrap_or("null"), &lane, envelope.time, &mut call, out);
            out.events.push(Event::Response { key, lane, call, maybe_foreign: false });
        }
        _ => return Err(Reject::new("recorded message without direction")),
    }
    Ok(())
}
