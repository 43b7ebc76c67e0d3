//! The last step of a call: halves put together, empty columns filled from the context, ids derived.

use super::Scope;
use super::context::fill_from_half;
use crate::call::{
    Approval, Call, DurationSource, EventKind, Flag, Nanos, Observer, Outcome, PayloadState, SessionSource, Text,
    TimeSource,
};
use sha2::{Digest as _, Sha256};

/// Adds the response's half to the request's.
pub(super) fn complete(request: &mut Call, mut response: Call) {
    if request.more.is_none() {
        request.more = response.more.take();
    }
    fill_from_half(request, &response);
    request.tool = request.tool.take().or_else(|| response.tool.clone());
    request.tool_raw = request.tool_raw.take().or_else(|| response.tool_raw.clone());
    request.time_end = response.time_end.or(request.time_end);
    if request.time_source == TimeSource::FileMtime && response.time_end.is_some() {
        request.time = response.time_end;
        request.time_source = TimeSource::ResponseLine;
    }
    request.result = response.result;
    request.result_state = response.result_state;
    request.result_bytes = response.result_bytes;
    request.result_hash = response.result_hash;
    request.outcome = response.outcome;
    request.is_error = response.is_error;
    request.error_type = response.error_type;
    request.rpc_response_status_code = response.rpc_response_status_code;
    request.error_message = response.error_message;
    if response.approval != Approval::Unknown {
        request.approval = response.approval;
    }
    if !response.result_content_types.is_empty() {
        request.result_content_types = response.result_content_types;
    }
    request.markers.extend(response.markers);
    request.flags = request.flags.union(response.flags);
    request.response = response.response;
    request.duration_ns = response.duration_ns.or(request.duration_ns);
    request.duration_source = response.duration_source.or(request.duration_source);
    request.server_info_name = response.server_info_name.or_else(|| request.server_info_name.take());
    request.server_info_version = response.server_info_version.or_else(|| request.server_info_version.take());
    request.mcp_protocol_version = response.mcp_protocol_version.or_else(|| request.mcp_protocol_version.take());
    if let Some(theirs) = response.more {
        let more = request.more();
        let theirs = *theirs;
        more.duration_includes_approval |= theirs.duration_includes_approval;
        more.result_type = theirs.result_type.or_else(|| more.result_type.take());
        more.task_id = more.task_id.take().or(theirs.task_id);
        more.next_request_state = theirs.next_request_state;
        more.http_response_status_code = theirs.http_response_status_code.or(more.http_response_status_code);
        more.approval_source = more.approval_source.take().or(theirs.approval_source);
        more.approval_policy = more.approval_policy.take().or(theirs.approval_policy);
        more.extra_json = more.extra_json.take().or(theirs.extra_json);
    }
}

/// Applies what a third record measured: it wins over what the halves derive.
pub fn amend(call: &mut Call, amend: Call) {
    macro_rules! win {
        ($($field:ident),*) => { $( if amend.$field.is_some() { call.$field = amend.$field; } )* };
    }
    win!(server, tool, duration_ns, duration_source, agent, user_id, time_end);
    if amend.duration_source == Some(DurationSource::Measured)
        && let Some(more) = call.more.as_mut()
    {
        more.duration_includes_approval = false;
    }
    if amend.time.is_some() {
        // A host logs the call when the model asks for it, and again when it runs: somebody was asked in between.
        let waited = amend.time.zip(call.time).and_then(|(runs, asked)| runs.checked_sub(asked));
        if let Some(waited) =
            waited.filter(|nanos| *nanos >= 0 && !call.method.is_empty() && call.observer == Observer::HostTranscript)
        {
            call.more().approval_wait_ns.get_or_insert(waited);
        }
        call.time = amend.time;
        call.time_source = amend.time_source;
    }
    if amend.approval != Approval::Unknown {
        call.approval = amend.approval;
    }
    let is_open = matches!(call.outcome, Outcome::Unknown | Outcome::NoResponse);
    // What stands in place of the result of a refused call looks like the tool's own error.
    if amend.outcome == Outcome::Denied || (is_open && amend.outcome != Outcome::Unknown) {
        call.outcome = amend.outcome;
    }
    call.flags = call.flags.union(amend.flags);
    if let Some(theirs) = amend.more {
        let more = call.more();
        more.approval_source = theirs.approval_source.or_else(|| more.approval_source.take());
        more.approval_wait_ns = theirs.approval_wait_ns.or(more.approval_wait_ns);
    }
}

/// The same for a call that is a row already: what was derived from its halves is derived anew.
pub fn amend_row(call: &mut Call, said: Call) {
    if call.duration_source == Some(DurationSource::Derived) {
        (call.duration_ns, call.duration_source) = (None, None);
    }
    amend(call, said);
    defaults(call);
}

/// What can be said once everything is known.
pub(super) fn defaults(call: &mut Call) {
    if call.server.is_none() {
        call.server.clone_from(&call.server_info_name);
    }
    if call.agent.is_none() {
        call.agent.clone_from(&call.client_name);
    }
    if call.duration_ns.is_none()
        && call.time_source != TimeSource::FileMtime
        && let (Some(start), Some(end)) = (call.time, call.time_end)
        && end >= start
        && call.time_source != TimeSource::ResponseLine
        && let Some(duration) = end.checked_sub(start)
    {
        call.duration_ns = Some(duration);
        call.duration_source = Some(DurationSource::Derived);
    }
    if call.session_id.is_none() && call.trace_id.is_some() {
        call.session_id.clone_from(&call.trace_id);
        call.session_source = SessionSource::Trace;
    }
    if call.event_kind == EventKind::Call && call.outcome == Outcome::NoResponse && call.result.is_none() {
        call.result_state = PayloadState::None;
    }
}

/// Moves the source's chain on if the record has no time; gives the link that stands for the record.
pub(super) fn advance(scope: &mut Scope<'_>, call: &Call) -> Option<[u8; 32]> {
    if call.time.is_some() || call.time_end.is_some() {
        return None;
    }
    let mut hash = Sha256::new();
    hash.update(scope.source.chain);
    part(&mut hash, call.initiator.as_str().as_bytes());
    part(&mut hash, call.method.as_bytes());
    part(&mut hash, call.jsonrpc_id_type.map_or("", |t| t.as_str()).as_bytes());
    part(&mut hash, call.jsonrpc_request_id.as_deref().unwrap_or_default().as_bytes());
    part(&mut hash, call.tool.as_deref().unwrap_or_default().as_bytes());
    part(&mut hash, call.outcome.as_str().as_bytes());
    // The stored hashes, which tell one secret from another (by the lake's key): captures that differ in nothing else differ.
    part(&mut hash, call.arguments_hash.as_ref().map_or(&[], |h| &h[..]));
    part(&mut hash, call.result_hash.as_ref().map_or(&[], |h| &h[..]));
    scope.source.chain = hash.finalize().into();
    Some(scope.source.chain)
}

/// The identity of a call that does not depend on the format it was logged in:
///
/// 1. trace and calling span, with method, id and tool (a tap, the client and the server then agree), unless one connection
///    was seen to use the span for several requests;
/// 2. the session and the agent's own id of the call, or the id alone if it is unique by itself;
/// 3. the moment, direction, id, method, tool and arguments; of a call that was logged whole also what [`of_whole`] adds;
/// 4. without a time: everything that stands before it in its stream.
pub(super) fn call_id(call: &Call, lane: &Text, identity: Option<[u8; 32]>, chain: Option<[u8; 32]>) -> Text {
    let mut hash = Sha256::new();
    let text = |value: &Option<Text>| value.clone().unwrap_or_default();
    if let Some(span) = calling_span(call).filter(|_| !call.flags.has(Flag::SpanReused as u32)) {
        hash.update(span);
    } else if let Some(id) = call.tool_call_id.as_ref().filter(|_| chain.is_none()) {
        let is_unique = call.more.as_ref().is_some_and(|more| more.id_is_unique);
        let named = !is_unique && call.session_source == SessionSource::Conversation;
        part(&mut hash, b"call");
        part(&mut hash, if named { text(&call.session_id) } else { Text::default() }.as_bytes());
        part(&mut hash, id.as_bytes());
    } else if let Some(chain) = chain {
        part(&mut hash, b"chain");
        hash.update(chain);
    } else {
        part(&mut hash, seed(call, identity, None).as_slice());
        part(&mut hash, lane.as_bytes());
        let native = call.session_source >= SessionSource::McpSession;
        part(&mut hash, if native { text(&call.session_id) } else { Text::default() }.as_bytes());
    }
    short_hex(hash)
}

/// The identity of a call that differs in nothing but its answer from one before it.
pub(super) fn call_id_of_another(call: &Call) -> Text {
    let mut hash = Sha256::new();
    part(&mut hash, b"another answer");
    part(&mut hash, call.call_id.as_bytes());
    part(&mut hash, call.result_hash.as_ref().map_or(&[], |h| &h[..]));
    part(&mut hash, &call.rpc_response_status_code.unwrap_or_default().to_be_bytes());
    part(&mut hash, call.error_message.as_deref().unwrap_or_default().as_bytes());
    short_hex(hash)
}

fn short_hex(hash: Sha256) -> Text {
    let digest: [u8; 32] = hash.finalize().into();
    Text::from(&crate::call::hex(&digest)[..32])
}

/// What a trace says of a call, wherever it was seen: the span that asked, and what it asked for. One span can ask several
/// servers, whose connections count their ids alike.
pub(super) fn calling_span(call: &Call) -> Option<[u8; 32]> {
    let span = match call.observer {
        Observer::Server => call.parent_span_id.as_ref().or(call.span_id.as_ref()),
        _ => call.span_id.as_ref(),
    };
    let mut hash = Sha256::new();
    part(&mut hash, b"trace");
    part(&mut hash, call.trace_id.as_ref()?.as_bytes());
    part(&mut hash, span?.as_bytes());
    part(&mut hash, call.method.as_bytes());
    part(&mut hash, call.jsonrpc_request_id.as_deref().unwrap_or_default().as_bytes());
    part(&mut hash, call.tool.as_deref().unwrap_or_default().as_bytes());
    Some(hash.finalize().into())
}

/// Adds to the identity of a call that one record holds whole what that record alone says: which server, how long, and how it
/// ended. Gateways write whole seconds and no ids, so that calls of one second differ in nothing else. Of calls in halves
/// this is not known from the start, or is known in one export and not in another.
pub(super) fn of_whole(call: &Call, identity: Option<[u8; 32]>) -> Option<[u8; 32]> {
    if call.event_kind == EventKind::Connection {
        return identity;
    }
    let mut hash = Sha256::new();
    part(&mut hash, identity.as_ref().map_or(&[], |i| &i[..]));
    part(&mut hash, call.server.as_deref().unwrap_or_default().as_bytes());
    hash.update(call.duration_ns.unwrap_or(-1).to_be_bytes());
    part(&mut hash, call.outcome.as_str().as_bytes());
    let more = call.more.as_deref();
    part(&mut hash, more.and_then(|more| more.mcp_resource_uri.as_deref()).unwrap_or_default().as_bytes());
    part(&mut hash, more.and_then(|more| more.gen_ai_prompt_name.as_deref()).unwrap_or_default().as_bytes());
    Some(hash.finalize().into())
}

/// What tells one record with a time from another, whatever connection it is in.
pub(super) fn seed(call: &Call, identity: Option<[u8; 32]>, chain: Option<[u8; 32]>) -> [u8; 32] {
    if let Some(chain) = chain {
        return chain;
    }
    let mut hash = Sha256::new();
    part(&mut hash, b"time");
    hash.update(call.time.or(call.time_end).unwrap_or(Nanos::MIN).to_be_bytes());
    part(&mut hash, call.event_kind.as_str().as_bytes());
    part(&mut hash, call.initiator.as_str().as_bytes());
    part(&mut hash, call.jsonrpc_id_type.map_or("", |t| t.as_str()).as_bytes());
    part(&mut hash, call.jsonrpc_request_id.as_deref().unwrap_or_default().as_bytes());
    part(&mut hash, call.method.as_bytes());
    part(&mut hash, call.tool.as_deref().unwrap_or_default().as_bytes());
    part(&mut hash, identity.as_ref().map_or(&[], |i| &i[..]));
    if call.flags.has(Flag::OrphanResponse as u32) {
        part(&mut hash, b"orphan");
    }
    hash.finalize().into()
}

/// The lane of calls that name no session: who calls through what the record calls its lane. Whoever reads from one server and
/// writes to another does so in one session; only where nothing is known of the caller each server has its own.
pub(super) fn principal_lane(lane: &Text, call: &Call) -> Text {
    let caller = [&call.client_name, &call.agent, &call.user_id];
    let unknown = lane.is_empty() && caller.iter().all(|part| part.is_none());
    let mut name = lane.to_string();
    for part in caller.into_iter().chain(unknown.then_some(&call.server)) {
        name.push('|');
        name.push_str(part.as_deref().unwrap_or_default());
    }
    Text::from(name)
}

/// Length first, so that no two lists of parts give the same bytes.
fn part(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}

/// A connection's id from its first record.
pub fn connection_key(seed: &[u8; 32]) -> Text {
    let mut hash = Sha256::new();
    part(&mut hash, b"connection");
    hash.update(seed);
    let digest: [u8; 32] = hash.finalize().into();
    Text::from(&crate::call::hex(&digest)[..16])
}

/// A prompt's id: session and the log's own id, or its time and text.
pub fn prompt_id(session: Option<&str>, native_id: Option<&str>, time: Option<Nanos>, text: &str) -> Text {
    let mut hash = Sha256::new();
    part(&mut hash, b"prompt");
    part(&mut hash, session.unwrap_or_default().as_bytes());
    match native_id {
        Some(id) => part(&mut hash, id.as_bytes()),
        None => {
            hash.update(time.unwrap_or(Nanos::MIN).to_be_bytes());
            part(&mut hash, text.as_bytes());
        }
    }
    short_hex(hash)
}
