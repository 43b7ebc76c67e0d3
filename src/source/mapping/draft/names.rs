//! What unknown logs call the columns, how calls end and who allowed them, and how they write times.

/// A column, names that mean it, and names that may mean it.
pub(super) type Names = (&'static str, &'static [&'static str], &'static [&'static str]);

/// In the order in which columns take their fields.
pub(super) const NAMES: &[Names] = &[
    (
        "tool",
        &["tool", "tool_name", "toolname", "function", "function_name", "mcp_tool", "mcp_name", "http_mcp_name"],
        &["name", "operation", "action", "command"],
    ),
    ("method", &["method", "rpc_method", "mcp_method", "http_mcp_method"], &[]),
    (
        "server",
        &["server", "server_name", "mcp_server", "upstream", "backend", "mcp_server_name"],
        &["target", "provider", "service", "namespace"],
    ),
    ("time_end", &["end_time", "time_end", "end", "ended_at", "ended", "finished_at", "completed_at"], &[]),
    (
        "time",
        &[
            "time",
            "timestamp",
            "ts",
            "datetime",
            "date",
            "at",
            "start",
            "start_time",
            "started_at",
            "started",
            "begin",
            "event_time",
            "created_at",
            "logged_at",
            "asctime",
            "time_iso8601",
        ],
        &["when", "t", "created", "received_at"],
    ),
    (
        "duration",
        &[
            "duration",
            "dur",
            "latency",
            "elapsed",
            "took",
            "response_time",
            "request_time",
            "elapsed_time",
            "duration_time",
        ],
        &["cost", "ms"],
    ),
    (
        "approval",
        &["approval", "decision", "policy_decision", "authorization", "permission", "allowed", "approved"],
        &["policy", "verdict"],
    ),
    (
        "http_response_status_code",
        &["http_status", "status_code", "http_status_code", "http_code", "response_code"],
        &["code", "status"],
    ),
    ("rpc_response_status_code", &["error_code", "rpc_code", "rpc_error_code", "jsonrpc_error_code"], &["code"]),
    (
        "outcome",
        &["outcome", "status", "result_status", "success", "ok", "succeeded", "disposition", "tool_status"],
        &["state", "result", "verdict"],
    ),
    (
        "arguments",
        &["args", "arguments", "params", "parameters", "input", "inputs", "tool_input", "tool_args", "request_body"],
        &["payload", "request", "body", "data"],
    ),
    (
        "result",
        &["result", "output", "response", "tool_output", "tool_result", "reply", "response_body", "results"],
        &["return", "returned", "answer"],
    ),
    (
        "error_message",
        &["error", "err", "error_message", "exception", "error_msg", "error_detail"],
        &["reason", "failure"],
    ),
    ("trace_id", &["trace", "trace_id", "traceid"], &[]),
    ("span_id", &["span", "span_id", "spanid"], &[]),
    (
        "session_id",
        &[
            "session",
            "sess",
            "session_id",
            "sid",
            "conversation",
            "conversation_id",
            "thread_id",
            "chat_id",
            "sessionid",
            "http_mcp_session_id",
            "mcp_session_id",
        ],
        &["thread", "run_id", "connection_id", "conn"],
    ),
    ("user_email", &["email", "user_email", "mail"], &[]),
    (
        "user_id",
        &[
            "user",
            "user_id",
            "username",
            "uid",
            "principal",
            "login",
            "userid",
            "user_name",
            "remote_user",
            "authenticated_user_id",
            "user_authenticated_id",
        ],
        &["subject", "sub", "who", "identity"],
    ),
    ("agent", &["agent", "agent_name", "agent_id", "bot", "assistant"], &["actor", "caller"]),
    ("client_name", &["client", "client_name", "client_id", "app", "mcp_client"], &["application", "source"]),
    (
        "client_address",
        &["ip", "client_ip", "remote_addr", "remote_ip", "source_ip", "client_address", "peer"],
        &["addr"],
    ),
    ("gen_ai_request_model", &["model", "model_name", "llm_model"], &[]),
    ("host_name", &["host", "hostname", "node"], &[]),
    (
        "request_id",
        &[
            "id",
            "request_id",
            "req_id",
            "call_id",
            "tool_call_id",
            "invocation_id",
            "correlation_id",
            "rpc_id",
            "requestid",
            "callid",
            "req",
        ],
        &["seq", "uuid", "key", "event_id"],
    ),
];

/// Words that logs say of how a call ended.
pub(super) const ENDS: &[(&str, &[&str])] = &[
    (
        "success",
        &[
            "ok",
            "success",
            "succeeded",
            "successful",
            "completed",
            "complete",
            "done",
            "pass",
            "passed",
            "true",
            "allowed",
            "allow",
            "fine",
            "200",
        ],
    ),
    ("tool_error", &["error", "err", "failed", "failure", "fail", "exception", "false", "ko", "tool_error", "500"]),
    ("denied", &["denied", "deny", "blocked", "block", "forbidden", "rejected", "unauthorized", "refused", "403"]),
    ("timeout", &["timeout", "timed_out", "timedout", "deadline_exceeded", "504"]),
    ("cancelled", &["cancelled", "canceled", "aborted", "interrupted"]),
];
/// And of who let it happen, or did not.
pub(super) const APPROVALS: &[(&str, &[&str])] = &[
    (
        "auto_allowed",
        &["allow", "allowed", "permit", "permitted", "granted", "auto", "accept", "accepted", "true", "approved"],
    ),
    ("policy_denied", &["deny", "denied", "block", "blocked", "forbidden", "rejected", "refused", "false"]),
    ("user_allowed", &["user_allowed", "user_approved", "confirmed"]),
    ("user_denied", &["user_denied", "user_rejected", "declined"]),
    ("not_required", &["none", "not_required", "n/a"]),
];

/// Patterns that are tried on times that neither RFC 3339 nor a count since the epoch are.
pub(super) const PATTERNS: &[&str] = &[
    "%Y-%m-%dT%H:%M:%S%.f%z",
    "%Y-%m-%d %H:%M:%S%.f %z",
    "%Y-%m-%d %H:%M:%S,%3f",
    "%Y/%m/%d %H:%M:%S%.f",
    "%d/%b/%Y:%H:%M:%S %z",
    "%d/%b/%Y %H:%M:%S",
    "%a, %d %b %Y %H:%M:%S %z",
    "%a %b %e %H:%M:%S %Y",
    "%b %e %H:%M:%S",
    "%d.%m.%Y %H:%M:%S%.f",
    "%Y%m%d %H:%M:%S%.f",
];
