//! Two views of one call → one row.
//!
//! The same call is seen by a tap, by the client's and the server's tracing, in overlapping exports, or first without and later with its
//! response. The merged row holds what they know together and does not depend on the order in which they were read.

use super::{Approval, Call, DurationSource, Flag, More, Observer, Outcome, PayloadState, TimeSource};

/// Merges two views of the same call (same `call_id`). Commutative and idempotent.
pub fn merge(a: Call, b: Call) -> Call {
    let (mut base, mut other) = if rank(&a) >= rank(&b) { (a, b) } else { (b, a) };
    settle_start(&mut base, &mut other);
    merge_payloads(&mut base, &other);
    merge_outcome(&mut base, &other);
    merge_times(&mut base, &other);
    if base.session_source < other.session_source && other.session_id.is_some() {
        base.session_id.clone_from(&other.session_id);
        base.session_source = other.session_source;
    }
    if base.observer != other.observer {
        base.observer = Observer::Several;
    }
    if base.approval == Approval::Unknown {
        base.approval = other.approval;
    }
    base.capabilities = base.capabilities.union(other.capabilities);
    base.flags = base.flags.union(other.flags);
    if base.response.is_some() || other.response.is_some() {
        // Paired now, whatever one of the views missed.
        base.flags.0 &= !(1 << Flag::EvictedOpen as u32);
    }
    if base.result_content_types.is_empty() {
        base.result_content_types = other.result_content_types;
    }
    macro_rules! fill {
        ($($field:ident),*) => { $( if base.$field.is_none() { base.$field = other.$field; } )* };
    }
    fill!(
        mcp_protocol_version,
        mcp_session_id,
        session_id,
        connection_id,
        jsonrpc_request_id,
        jsonrpc_id_type,
        tool_call_id,
        agent,
        client_name,
        client_version,
        user_id,
        server,
        server_info_name,
        server_info_version,
        transport,
        server_address,
        tool,
        tool_raw,
        trace_id,
        source_file,
        response
    );
    // A span and its parent go together: the server's parent is the client's span.
    if base.span_id.is_none() {
        (base.span_id, base.parent_span_id) = (other.span_id, other.parent_span_id.or(base.parent_span_id.take()));
    } else if base.parent_span_id.is_none() && other.parent_span_id != base.span_id {
        base.parent_span_id = other.parent_span_id;
    }
    if base.method.is_empty() {
        base.method = other.method;
    }
    base.more = match (base.more, other.more) {
        (Some(base), Some(other)) => Some(Box::new(merge_more(*base, *other))),
        (base, other) => base.or(other),
    };
    base
}

/// Which view is the base: the one that knows more, then by content, so that the order of reading does not matter.
fn rank(call: &Call) -> impl PartialOrd + use<'_> {
    (
        call.arguments_state,
        call.result_state,
        call.time_source,
        call.session_source,
        call.source_format.as_str(),
        call.source_file.as_deref(),
        std::cmp::Reverse(call.source.offset),
        call.response.map(|p| std::cmp::Reverse(p.offset)),
    )
}

fn merge_payloads(base: &mut Call, other: &Call) {
    if other.arguments_state > base.arguments_state {
        base.arguments.clone_from(&other.arguments);
        base.arguments_state = other.arguments_state;
        base.arguments_hash = other.arguments_hash;
        base.arguments_bytes = other.arguments_bytes;
        replace_markers(base, other, "argument");
    }
    if other.result_state > base.result_state {
        base.result.clone_from(&other.result);
        base.result_state = other.result_state;
        base.result_hash = other.result_hash;
        base.result_bytes = other.result_bytes;
        replace_markers(base, other, "result");
    }
    base.arguments_bytes = base.arguments_bytes.or(other.arguments_bytes);
    base.result_bytes = base.result_bytes.or(other.result_bytes);
}

fn replace_markers(base: &mut Call, other: &Call, origin: &str) {
    base.markers.retain(|m| m.origin != origin);
    base.markers.extend(other.markers.iter().filter(|m| m.origin == origin).cloned());
}

/// The more specific outcome wins: a client span says "success" where the server saw the tool's error.
fn merge_outcome(base: &mut Call, other: &Call) {
    if specificity(other.outcome) > specificity(base.outcome) {
        base.outcome = other.outcome;
        base.is_error = other.is_error.or(base.is_error);
        base.error_type = other.error_type.clone().or(base.error_type.take());
    }
    base.is_error = base.is_error.or(other.is_error);
    base.error_type = base.error_type.take().or_else(|| other.error_type.clone());
    base.error_message = base.error_message.take().or_else(|| other.error_message.clone());
    base.rpc_response_status_code = base.rpc_response_status_code.or(other.rpc_response_status_code);
}

/// How much an outcome says, to choose between two views.
pub fn specificity(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::NoResponse => 0,
        Outcome::Unknown => 1,
        Outcome::Success => 2,
        Outcome::TransportError => 3,
        Outcome::ProtocolError => 4,
        Outcome::ToolError => 5,
        Outcome::Timeout => 6,
        Outcome::Cancelled => 7,
        Outcome::Denied => 8,
    }
}

/// A host logs that the model asks for a call, and when it really started only once it has ended: what was read before that
/// gives way.
fn settle_start(base: &mut Call, other: &mut Call) {
    fn gives_way(open: &Call, ended: &Call) -> bool {
        let is_one_log = open.source_format == ended.source_format && open.time_source == TimeSource::RequestLine;
        open.is_open() && !ended.is_open() && is_one_log && ended.time.is_some()
    }
    if gives_way(base, other) {
        (base.time, base.time_source) = (other.time, other.time_source);
    } else if gives_way(other, base) {
        (other.time, other.time_source) = (base.time, base.time_source);
    }
}

fn merge_times(base: &mut Call, other: &Call) {
    let is_alike = other.time_source == base.time_source;
    let better = other.time.is_some() && (base.time.is_none() || other.time_source > base.time_source);
    if better {
        base.time = other.time;
        base.time_source = other.time_source;
    } else if is_alike {
        base.time = match (base.time, other.time) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    // The caller's view contains the other.
    base.time_end = match (base.time_end, other.time_end) {
        (Some(a), Some(b)) if is_alike => Some(a.max(b)),
        (a, b) => a.or(b),
    };
    let measured = other.duration_source == Some(DurationSource::Measured);
    if base.duration_ns.is_none() || (measured && base.duration_source != Some(DurationSource::Measured)) {
        base.duration_ns = other.duration_ns.or(base.duration_ns);
        base.duration_source = other.duration_source.or(base.duration_source);
    } else if measured {
        // Two measurements: the longer one, the caller's, contains the other.
        base.duration_ns = base.duration_ns.max(other.duration_ns);
    }
}

fn merge_more(mut base: More, other: More) -> More {
    base.time_zone_assumed &= other.time_zone_assumed;
    base.duration_includes_approval &= other.duration_includes_approval;
    base.round_trip_index = base.round_trip_index.max(other.round_trip_index);
    base.tool_annotations_known |= other.tool_annotations_known;
    base.id_is_unique |= other.id_is_unique;
    macro_rules! fill {
        ($($field:ident),*) => { $( if base.$field.is_none() { base.$field = other.$field; } )* };
    }
    fill!(
        parent_call_id,
        task_id,
        gen_ai_agent_id,
        agent_is_subagent,
        gen_ai_request_model,
        user_name,
        user_email,
        principal_type,
        auth_method,
        auth_subject,
        delegation_chain,
        client_address,
        user_agent,
        host_name,
        cwd,
        git_branch,
        server_url,
        server_command,
        gen_ai_prompt_name,
        mcp_resource_uri,
        result_type,
        http_response_status_code,
        approval_source,
        approval_policy,
        approval_wait_ns,
        ann_read_only,
        ann_destructive,
        ann_idempotent,
        ann_open_world,
        tool_def_hash,
        meta_json,
        extra_json,
        source_format_version
    );
    base
}

/// Whether `state` means that the payload's text was there to be looked at.
pub fn payload_seen(state: PayloadState) -> bool {
    state >= PayloadState::Summarised
}
