//! Signed audit entries of P4ST4S/mcp-audit, a proxy for stdio and HTTP servers: one JSON object per call or notification.
//!
//! An entry is written when the call has ended, so `timestamp` is its end and `direction` that of its last message. From
//! version 1.2 on `outcome` says how it ended; before, only the answer does. [`signature_of`] recomputes the signatures, of which
//! the older covers five members only. There is no session, and an id without its JSON type.

mod signature;

pub use signature::signature_of;

use super::jsonrpc::{error_side, request_side, result_side};
use super::{LogFormat, shared::gateway};
use crate::call::{Approval, Call, EventKind, Flag, Observer, Outcome, PayloadState, Side, Text};
use crate::source::json::Object;
use crate::source::{Decoded, Event, Lane, Record, Reject, time};

const ID: &str = "mcp_audit_signed";

/// Error codes with which the proxy itself refuses a call.
const RATE_LIMITED: i32 = -32029;
const POLICY_DENIED: i32 = -32030;
/// How methods begin that only clients ask for.
const CLIENT_METHODS: &[&str] =
    &["tools/", "prompts/", "resources/", "completion/", "logging/", "initialize", "server/"];
/// Methods that only servers call.
const SERVER_METHODS: &[&str] = &["sampling/createMessage", "elicitation/create", "roots/list"];

/// Signed audit entries of mcp-audit.
pub struct McpAuditSigned;

impl LogFormat for McpAuditSigned {
    fn id(&self) -> &'static str {
        ID
    }
    fn title(&self) -> &'static str {
        "mcp-audit signed entries (P4ST4S, JSONL)"
    }
    fn evidence(&self) -> &'static str {
        "source code of P4ST4S/mcp-audit up to integrity format 2 and its demo file; no production log"
    }
    fn claims(&self, record: &Record<'_>) -> bool {
        record.json.is_some_and(is_entry)
    }
    fn decode(&self, record: &Record<'_>, out: &mut Decoded) -> Result<(), Reject> {
        let Some(entry) = record.json else { return Err(Reject::new("not a json object")) };
        let method = entry.text("method").ok_or_else(|| Reject::new("audit entry without method"))?;
        let mut call = Box::new(Call {
            source_format: Text::const_new(ID),
            observer: Observer::Gateway,
            tool_call_id: entry.text("id"),
            server: entry.text("server_id"),
            client_name: entry.text("client_id"),
            transport: entry.text("transport"),
            ..Call::default()
        });
        gateway::request_id(&mut call, entry.get("request_id"));
        let (end, zone_assumed) = time::member(entry, "timestamp").unzip();
        gateway::ended(&mut call, end, gateway::milliseconds(entry, "duration_ms"));
        gateway::zone(&mut call, zone_assumed == Some(true));
        request_side(&method, entry.get("params"), &mut call);
        if !entry.has("params") && matches!(method.as_str(), "tools/call" | "prompts/get") {
            call.arguments_state = PayloadState::NotLogged;
        }
        call.tool = call.tool.take().or_else(|| entry.text("tool_name"));
        call.tool_raw.clone_from(&call.tool);
        if method == "prompts/get" && !entry.has("params") {
            call.more().gen_ai_prompt_name = entry.text("mcp_name");
        }
        let answered = answer(entry, &mut call, out);
        kind(entry, answered, &mut call);
        outcome(entry, &mut call);
        parties(entry, &mut call);
        out.events.push(Event::Call { lane: Lane::default(), call });
        Ok(())
    }
    fn judge(&self, record: &Record<'_>, key: &[u8], out: &mut Decoded) {
        let verdict = match signature_of(record.text, key) {
            Some(true) => Flag::SignatureVerified,
            Some(false) => Flag::SignatureWrong,
            None => Flag::SignatureMissing,
        };
        for event in &mut out.events {
            if let Event::Call { call, .. } = event {
                call.flag(verdict);
            }
        }
    }
}

/// Whether an object is an entry: these members are always written.
pub(super) fn is_entry(object: &Object<'_>) -> bool {
    ["signature", "server_id", "client_id", "direction", "duration_ms"].iter().all(|key| object.has(key))
}

/// The answer, if the entry has one; whether somebody else than the proxy gave it.
fn answer(entry: &Object<'_>, call: &mut Call, out: &mut Decoded) -> bool {
    let (result, error) = (entry.get("result"), entry.get("error").filter(|raw| *raw != "null"));
    match (result, error) {
        (_, Some(raw)) => error_side(raw, call),
        (Some(raw), None) => {
            let (lane, end) = (Lane::default(), call.time_end);
            result_side(raw, &lane, end, call, out);
        }
        (None, None) => call.result_state = PayloadState::NotLogged,
    }
    let by_proxy = matches!(call.rpc_response_status_code, Some(RATE_LIMITED | POLICY_DENIED));
    (result.is_some() || error.is_some()) && !by_proxy
}

/// Call or notification, and which side asked. The direction is that of the last message, or of the first.
fn kind(entry: &Object<'_>, answered: bool, call: &mut Call) {
    let from_client = entry.str("direction").is_none_or(|direction| direction.starts_with("client"));
    let by_server = if call.method.starts_with("notifications/") {
        call.event_kind = EventKind::Notification;
        call.result_state = PayloadState::None;
        !from_client
    } else {
        let is_clients = CLIENT_METHODS.iter().any(|start| call.method.starts_with(start));
        SERVER_METHODS.contains(&call.method.as_str()) || (answered && from_client && !is_clients)
    };
    call.initiator = if by_server { Side::Server } else { Side::Client };
}

fn outcome(entry: &Object<'_>, call: &mut Call) {
    let refused = |call: &mut Call, approval, source: Option<Text>| {
        (call.outcome, call.approval) = (Outcome::Denied, approval);
        call.more().approval_source = source;
    };
    let data = entry.object("error").object("data");
    let rule = entry.object("policy").text("rule_id").or_else(|| data.text("rule_id"));
    let allowed = entry.object("policy").str("decision").is_some_and(|decision| decision == "allow");
    if allowed {
        call.approval = Approval::AutoAllowed;
        call.more().approval_source.clone_from(&rule);
    }
    let said = entry.str("outcome").unwrap_or_default();
    match (said.as_ref(), call.rpc_response_status_code) {
        ("denied", _) | ("", Some(POLICY_DENIED)) => {
            refused(call, Approval::PolicyDenied, rule);
            if let Some(reason) = data.str("reason").filter(|reason| !reason.is_empty()) {
                call.error_message = Some(reason.into_owned());
            }
        }
        ("rate_limited", _) | ("", Some(RATE_LIMITED)) => {
            refused(call, call.approval, Some(Text::const_new("rate_limit")));
        }
        ("timeout", _) => call.outcome = Outcome::Timeout,
        ("cancelled", _) => call.outcome = Outcome::Cancelled,
        ("malformed_upstream_response", _) => call.outcome = Outcome::ProtocolError,
        // With an error object the answer has said more already.
        ("upstream_error", None) | ("client_disconnect" | "internal_error", _) => {
            call.outcome = Outcome::TransportError;
        }
        // A notification's says that it was passed on.
        ("success", _) if call.outcome == Outcome::Unknown && call.event_kind == EventKind::Call => {
            call.outcome = Outcome::Success;
        }
        _ => {}
    }
    if call.outcome != Outcome::Success && call.error_type.is_none() && !matches!(said.as_ref(), "" | "success") {
        call.error_type = Some(Text::from(said.as_ref()));
    }
}

/// Who was authenticated, and how the entry is signed.
fn parties(entry: &Object<'_>, call: &mut Call) {
    let principal = entry.object("principal");
    let more = call.more();
    more.auth_subject = principal.text("subject");
    more.auth_method = principal.text("issuer");
    // Without authentication the proxy puts its own configuration there.
    if principal.str("issuer").is_some_and(|issuer| issuer != "static") {
        call.user_id = principal.text("subject");
    }
    let integrity = entry.object("integrity");
    let scheme = match (integrity.is_empty(), entry.text("signature")) {
        (false, _) => Some("\"integrity v2\""),
        (true, Some(_)) => Some("\"legacy v1\""),
        (true, None) => Some("\"unsigned\""),
    };
    let extra = gateway::extra([
        ("audit_operation_id", entry.get("audit_operation_id")),
        ("outcome", entry.get("outcome")),
        ("policy", entry.get("policy")),
        ("principal", entry.get("principal")),
        ("signing", scheme),
        ("key_id", integrity.get("key_id")),
        ("signature", integrity.get("signature").or_else(|| entry.get("signature"))),
    ]);
    call.more().extra_json = extra;
}

#[cfg(test)]
mod tests;
