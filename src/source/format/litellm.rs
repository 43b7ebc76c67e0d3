//! MCP calls in LiteLLM's `StandardLoggingPayload`, as its callbacks write it to files, buckets and Splunk, and in rows of its
//! spend logs.
//!
//! A record holds a call whole. The same stream has the proxy's model calls, which are ignored. In spend logs `metadata` is a
//! JSON string, payloads can be strings that hold JSON, and times are texts without a zone. What failed is told by the class and
//! code of a Python exception.

use super::LogFormat;
use super::jsonrpc::result_side;
use super::shared::{gateway, host};
use crate::call::{Approval, Call, DurationSource, Observer, Outcome, PayloadState, SessionSource, Text, TimeSource};
use crate::source::json::Object;
use crate::source::{Decoded, Event, Lane, Record, Reject, time};
use std::borrow::Cow;

const ID: &str = "litellm";

const CALL: &str = "call_mcp_tool";
const LIST: &str = "list_mcp_tools";
/// What stands in place of a payload that is not to be logged.
const REDACTED: &str = "\"redacted-by-litellm\"";

/// LiteLLM logging payloads.
pub struct LiteLlm;

impl LogFormat for LiteLlm {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "LiteLLM StandardLoggingPayload and spend logs (JSONL)"
    }
    fn evidence(&self) -> &'static str {
        "types and tests of BerriAI/litellm, a Splunk callback; no production log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(|object| is_payload(object) || wrapped(object).is_some())
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(object) = record.json else { return Err(Reject::new("not a json object")) };
        match wrapped(object) {
            Some(raw) => payload(&Object::trusted(raw), out),
            None => payload(object, out),
        }
    }
}

/// Whether the object is a payload or a row itself. All have a kind of call and camel-case times.
fn is_payload(object: &Object<'_>) -> bool {
    object.has("call_type") && object.has("startTime") && object.has("metadata")
}

/// The payload inside what a callback made of it, perhaps inside Splunk's envelope.
fn wrapped<'a>(object: &Object<'a>) -> Option<&'a str> {
    const KEY: &str = "standard_logging_object";
    if let Some(raw) = object.get(KEY) {
        return raw.starts_with('{').then_some(raw);
    }
    if !object.has("sourcetype") {
        return None;
    }
    let event = object.get("event").filter(|raw| memchr::memmem::find(raw.as_bytes(), KEY.as_bytes()).is_some())?;
    Object::trusted(event).get(KEY).filter(|raw| raw.starts_with('{'))
}

fn payload(payload: &Object<'_>, out: &mut Decoded) -> Result<(), Reject> {
    let kind = payload.str("call_type").unwrap_or_default();
    // Spend logs keep the metadata as text.
    let text = payload.str("metadata");
    let metadata = match &text {
        Some(text) => Object::parse(text).map_err(|_| Reject::new("metadata is not valid JSON"))?,
        None => payload.object("metadata"),
    };
    let mcp = metadata.object("mcp_tool_call_metadata");
    if kind != CALL && kind != LIST && mcp.is_empty() {
        return Ok(());
    }
    let mut call = Box::new(Call {
        source_format: Text::const_new(ID),
        observer: Observer::Gateway,
        method: Text::const_new(if kind == LIST { "tools/list" } else { "tools/call" }),
        tool_call_id: ["id", "request_id", "litellm_call_id", "call_id"].iter().find_map(|key| payload.text(key)),
        server: mcp.text("mcp_server_name"),
        ..Call::default()
    });
    times(payload, &mut call);
    session(payload, &mcp, &mut call);
    if kind == LIST {
        call.arguments_state = PayloadState::None;
    } else {
        call.tool = mcp.text("name");
        call.tool_raw = mcp.text("namespaced_tool_name").or_else(|| payload.text("mcp_namespaced_tool_name"));
        call.tool_raw = call.tool_raw.take().or_else(|| call.tool.clone());
        if call.tool.is_none() {
            // With the server's name in front, as clients see it.
            let bare =
                |raw: &Text| Some(Text::from(raw.strip_prefix(call.server.as_deref()?)?.strip_prefix(['-', '/'])?));
            call.tool = call.tool_raw.as_ref().map(|raw| bare(raw).unwrap_or_else(|| raw.clone()));
        }
        match mcp.get("arguments") {
            Some(raw) if !matches!(raw, "null" | REDACTED) => host::arguments(&mut call, Some(raw)),
            raw => (call.arguments, call.arguments_state) = logged(raw),
        }
    }
    result(payload, &mcp, kind == LIST, &mut call, out);
    outcome(payload, &metadata, &mut call);
    parties(payload, &metadata, &mut call);
    out.events.push(Event::Call { lane: Lane::default(), call });
    Ok(())
}

fn times(payload: &Object<'_>, call: &mut Call) {
    // Python counts microseconds; a double of seconds since 1970 holds no more than those.
    let micros = |(nanos, zone): (i64, bool)| (nanos.saturating_add(500).div_euclid(1000).saturating_mul(1000), zone);
    let (start, zone_assumed) = time::member(payload, "startTime").map(micros).unzip();
    call.time = start;
    call.time_end = time::member(payload, "endTime").map(micros).map(|(end, _)| end);
    call.time_source = if start.is_some() { TimeSource::Record } else { TimeSource::default() };
    if let (Some(start), Some(end)) = (start, call.time_end) {
        call.duration_ns = end.checked_sub(start).filter(|nanos| *nanos >= 0);
        call.duration_source = call.duration_ns.map(|_| DurationSource::Measured);
    }
    gateway::zone(call, zone_assumed == Some(true));
}

/// The protocol session, else what the client said belongs together. Without either the proxy makes an id up for each call.
fn session(payload: &Object<'_>, mcp: &Object<'_>, call: &mut Call) {
    call.mcp_session_id = mcp.text("mcp_session_id");
    let of_this_call = |id: &Text| {
        ["litellm_call_id", "call_id", "id", "request_id"].iter().any(|key| payload.text(key).as_ref() == Some(id))
    };
    let group = payload.text("session_id").or_else(|| payload.text("trace_id")).filter(|id| !of_this_call(id));
    (call.session_id, call.session_source) = match (&call.mcp_session_id, group) {
        (Some(id), _) => (Some(id.clone()), SessionSource::McpSession),
        (None, Some(group)) => (Some(group), SessionSource::Trace),
        (None, None) => (None, SessionSource::default()),
    };
}

fn logged(raw: Option<&str>) -> (Option<String>, PayloadState) {
    match raw {
        None | Some("null") => (None, PayloadState::NotLogged),
        Some(REDACTED) => (None, PayloadState::Redacted),
        Some(raw) => (Some(raw.to_owned()), PayloadState::Present),
    }
}

/// A payload as JSON, although it may be a string that holds it; `None` if there is nothing in it.
fn opened(raw: &str) -> Option<Cow<'_, str>> {
    let inner = host::container(raw).map_or(Cow::Borrowed(raw), Cow::Owned);
    (!matches!(inner.as_ref(), "null" | "{}" | "\"\"" | "[]")).then_some(inner)
}

fn result(payload: &Object<'_>, mcp: &Object<'_>, is_list: bool, call: &mut Call, out: &mut Decoded) {
    let raw = mcp.get("result").and_then(opened).or_else(|| payload.get("response").and_then(opened));
    match raw.as_deref() {
        Some(raw) if raw.starts_with('{') => {
            let (lane, end) = (Lane::default(), call.time_end);
            result_side(raw, &lane, end, call, out);
            if is_list && !Object::trusted(raw).has("tools") {
                // Numbers of tools per server in place of the tools.
                call.result_state = PayloadState::Summarised;
            }
        }
        raw => (call.result, call.result_state) = logged(raw),
    }
}

fn outcome(payload: &Object<'_>, metadata: &Object<'_>, call: &mut Call) {
    let guardrail =
        payload.object("status_fields").str("guardrail_status").is_some_and(|s| s == "guardrail_intervened");
    let error = payload.object("error_information");
    let error = if error.is_empty() { metadata.object("error_information") } else { error };
    let class = error.text("error_class");
    let code =
        error.int("error_code").and_then(|code| i32::try_from(code).ok()).filter(|code| (100..600).contains(code));
    // Older spend logs have it in the metadata only.
    let status = payload.str("status").or_else(|| metadata.str("status"));
    match status.unwrap_or_default().as_ref() {
        "success" if call.outcome == Outcome::Unknown => call.outcome = Outcome::Success,
        "failure" => {
            let class_says = |word: &str| class.as_ref().is_some_and(|class| class.contains(word));
            call.outcome = match code {
                _ if guardrail => Outcome::Denied,
                Some(401 | 403) => Outcome::Denied,
                Some(408 | 504) => Outcome::Timeout,
                _ if class_says("Timeout") => Outcome::Timeout,
                // The server's JSON-RPC error, as the SDK raises it.
                _ if class_says("McpError") => Outcome::ProtocolError,
                _ if class_says("Cancelled") => Outcome::Cancelled,
                _ => Outcome::TransportError,
            };
            call.error_type = class;
            let message = error.str("error_message").or_else(|| payload.str("error_str"));
            call.error_message = message.filter(|text| !text.is_empty()).map(|text| text.into_owned());
            call.more().http_response_status_code = code;
        }
        _ => {}
    }
    if call.outcome == Outcome::Denied {
        call.approval = Approval::PolicyDenied;
        call.more().approval_source = guardrail.then(|| Text::const_new("guardrail"));
    }
}

fn parties(payload: &Object<'_>, metadata: &Object<'_>, call: &mut Call) {
    let end_user = payload.text("end_user").or_else(|| metadata.text("user_api_key_end_user_id"));
    call.user_id = metadata.text("user_api_key_user_id").or_else(|| end_user.clone());
    let more = call.more();
    more.user_email = metadata.text("user_api_key_user_email");
    more.auth_subject = metadata.text("user_api_key_alias");
    let address = payload.text("requester_ip_address").or_else(|| metadata.text("requester_ip_address"));
    more.client_address = address;
    more.extra_json = gateway::extra([
        ("litellm_call_id", payload.get("litellm_call_id")),
        ("trace_id", payload.get("trace_id")),
        ("end_user", payload.get("end_user")),
        ("team_id", metadata.get("user_api_key_team_id")),
        ("team_alias", metadata.get("user_api_key_team_alias")),
        ("org_id", metadata.get("user_api_key_org_id")),
        ("guardrails", metadata.get("applied_guardrails")),
        ("response_cost", payload.get("response_cost")),
    ]);
}

#[cfg(test)]
mod tests;
