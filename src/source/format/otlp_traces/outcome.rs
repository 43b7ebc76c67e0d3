//! How the call of a span ended.
//!
//! Several attributes say it, none of them reliably: servers leave the status unset although the response was an
//! error, clients do not look into the result for `isError`. The most specific statement wins. A span without any
//! is a success; where the other side's span knows better, merging takes that one.

use super::call;
use super::span::Span;
use crate::call::{Approval, Call, EventKind, Observer, Outcome, Text};

const RPC_CODE: &[&str] =
    &["rpc.response.status_code", "mcp.error.code", "rpc.jsonrpc.error_code", "jsonrpc.error.code"];

/// JSON-RPC codes that SDKs use for what happened to the connection, by convention only.
const CONNECTION_CLOSED: i32 = -32000;
const REQUEST_TIMEOUT: i32 = -32001;
const REQUEST_CANCELLED: i32 = -32800;

/// Fills outcome, error and approval columns.
pub(super) fn judge(call: &mut Call, span: &Span<'_>, is_tool: bool) {
    let attributes = &span.attributes;
    let exception = |key: &str| span.exception.as_ref().and_then(|event| event.string(&[key]));
    let error_type = attributes.string(&["error.type"]).or_else(|| exception("exception.type").filter(|_| span.failed));
    let message = span
        .message
        .clone()
        .or_else(|| attributes.string(&["mcp.error.message", "rpc.jsonrpc.error_message", "error.message"]));
    let message = message.or_else(|| exception("exception.message").filter(|_| span.failed));
    let code = attributes
        .string(RPC_CODE)
        .and_then(|code| code.parse::<i32>().ok())
        .or_else(|| error_type.as_deref().and_then(|kind| kind.parse().ok()).filter(|code| *code < 0))
        .filter(|code| *code != 0);
    call.is_error = call::is_error(call);
    call.rpc_response_status_code = code;
    (call.approval, call.outcome) = approval(call, span);
    if call.outcome == Outcome::Unknown {
        let in_server = is_tool && call.observer == Observer::Server;
        call.outcome = if let Some(kind) = error_type.as_deref().and_then(|kind| well_known(kind, in_server)) {
            kind
        } else if let Some(code) = code {
            coded(code, message.as_deref().unwrap_or_default())
        } else if call.is_error == Some(true) {
            Outcome::ToolError
        } else if http_failed(call, error_type.as_deref()) {
            Outcome::TransportError
        } else if span.failed || error_type.is_some() {
            if is_tool { Outcome::ToolError } else { Outcome::ProtocolError }
        } else if call.event_kind == EventKind::Call {
            Outcome::Success
        } else {
            Outcome::Unknown
        };
    }
    if call.outcome == Outcome::ToolError && error_type.as_deref() == Some("tool_error") {
        call.is_error = Some(true);
    }
    let failed = !matches!(call.outcome, Outcome::Success | Outcome::Unknown);
    call.error_type = error_type.map(Text::from).or_else(|| code.map(|code| Text::from(code.to_string())));
    if failed && call.error_type.is_none() && call.is_error == Some(true) {
        call.error_type = Some(Text::const_new("tool_error"));
    }
    call.error_message = message.filter(|_| failed).map(|message| message.into_owned());
}

/// The outcome of a tool call that failed, where only the kind of an error and a text about it are known. The text may be the
/// tool's, so it counts only where it begins as SDKs begin the errors of the protocol.
pub(in crate::source::format) fn told(call: &mut Call, kind: Option<&str>, message: Option<&str>) {
    let text = message.unwrap_or_default();
    let start = ["McpError: ", "Error: "].iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
    let code = start.strip_prefix("MCP error ").and_then(|rest| rest.split([':', ' ']).next()?.parse::<i32>().ok());
    let kind_of = |kind: &str| {
        let lost = ["econnrefused", "econnreset", "epipe"].iter().any(|code| kind.to_ascii_lowercase().contains(code));
        well_known(kind, false).or(lost.then_some(Outcome::TransportError))
    };
    call.rpc_response_status_code = code;
    call.outcome = match code {
        Some(code) => coded(code, start),
        None => kind.and_then(kind_of).unwrap_or(Outcome::ToolError),
    };
    call.error_type = kind.map(Text::from).or_else(|| code.map(|code| Text::from(code.to_string())));
    if call.outcome == Outcome::ToolError && call.error_type.is_none() {
        call.error_type = Some(Text::const_new("tool_error"));
    }
    call.error_message = message.map(|text| text.chars().take(MESSAGE_MAX).collect());
}

/// Characters of an error's text that are kept: it may be a whole result.
const MESSAGE_MAX: usize = 2000;

/// Who let the call happen, and the outcome if somebody did not.
fn approval(call: &Call, span: &Span<'_>) -> (Approval, Outcome) {
    let said = |keys: &[&str]| span.attributes.string(keys).unwrap_or_default();
    let forbidden = call.more.as_ref().and_then(|more| more.http_response_status_code) == Some(403);
    match (said(&["gen_ai.agent.tool.disposition"]).as_ref(), said(&["decision", "tool.decision"]).as_ref()) {
        ("deny", _) => (Approval::PolicyDenied, Outcome::Denied),
        (_, "reject" | "rejected") => (Approval::UserDenied, Outcome::Denied),
        (_, "deny" | "denied") => (Approval::PolicyDenied, Outcome::Denied),
        _ if forbidden => (Approval::PolicyDenied, Outcome::Denied),
        (_, "auto_accept") => (Approval::AutoAllowed, Outcome::Unknown),
        (_, "accept" | "modify") => (Approval::UserAllowed, Outcome::Unknown),
        _ => (Approval::Unknown, Outcome::Unknown),
    }
}

/// Outcomes that `error.type` names: a convention, or the name of an exception class. `in_server`: the exception
/// was caught around the tool's own code, so a timeout or a lost connection is one of the tool's own calls.
fn well_known(error_type: &str, in_server: bool) -> Option<Outcome> {
    let lower = error_type.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    if lower == "tool_error" {
        Some(Outcome::ToolError)
    } else if lower == "timeout" || !in_server && has(&["timeout", "timed_out", "timedout", "deadline"]) {
        Some(Outcome::Timeout)
    } else if has(&["cancelled", "canceled", "aborterror"]) {
        Some(Outcome::Cancelled)
    } else if !in_server && has(&["connection", "connecterror", "closedresource", "brokenresource", "transport"]) {
        Some(Outcome::TransportError)
    } else if has(&["mcperror"]) {
        Some(Outcome::ProtocolError)
    } else {
        None
    }
}

/// SDKs of both languages report a timeout and a closed connection as if the server had answered with a code.
fn coded(code: i32, message: &str) -> Outcome {
    let lower = message.to_ascii_lowercase();
    match code {
        REQUEST_TIMEOUT if lower.contains("timed out") || lower.contains("timeout") => Outcome::Timeout,
        CONNECTION_CLOSED if lower.contains("closed") => Outcome::TransportError,
        REQUEST_CANCELLED => Outcome::Cancelled,
        _ => Outcome::ProtocolError,
    }
}

/// Whether HTTP failed below the protocol: by the status, or by `error.type` holding one.
fn http_failed(call: &Call, error_type: Option<&str>) -> bool {
    let status = call.more.as_ref().and_then(|more| more.http_response_status_code);
    let status = status.or_else(|| error_type.and_then(|kind| kind.parse().ok()));
    status.is_some_and(|status| (400..600).contains(&status))
}
