//! The columns of `calls`: one table that says name, type, OpenTelemetry name, how a [`Call`] is written to the
//! column and how it is read back. Schema, writer and reader are all made from it, so they cannot disagree.

use super::{
    Approval, Bits, Call, Capability, DurationSource, EventKind, Flag, IdType, Marker, Observer, Outcome, PayloadState,
    Position, SessionSource, Side, Text, TimeSource,
};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use std::sync::{Arc, LazyLock};

/// Version of the column list; grows with each change, columns are only ever added.
pub const SCHEMA_VERSION: i32 = 6;

/// How a column is written and read. Times are nanoseconds here and microseconds in the lake, which is Delta's precision.
pub(super) enum Kind {
    Text(fn(&Call) -> Option<&str>, fn(&mut Call, &str)),
    Int(fn(&Call) -> Option<i64>, fn(&mut Call, i64)),
    Int32(fn(&Call) -> Option<i32>, fn(&mut Call, i32)),
    Bool(fn(&Call) -> Option<bool>, fn(&mut Call, bool)),
    Time(fn(&Call) -> Option<i64>, fn(&mut Call, i64)),
    /// Hex text of a hash.
    Hash(fn(&Call) -> Option<&[u8; 32]>, fn(&mut Call, [u8; 32])),
    /// Names of the bits that are set.
    Names(fn(&Call) -> Bits, &'static [&'static str], fn(&mut Call, u32)),
    Texts(fn(&Call) -> &[Text], fn(&mut Call, Text)),
    Markers,
    /// Filled by the batch builder: `ingest_id`, `ingested_at`, `day`.
    Ingest(IngestColumn),
}

/// The columns that belong to the ingest, not to the call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum IngestColumn {
    Id,
    At,
    Day,
}

/// One column of `calls`.
pub(super) struct Column {
    pub(super) name: &'static str,
    /// The OpenTelemetry attribute the short name stands for, kept in the Arrow field's metadata.
    pub(super) otel: &'static str,
    pub(super) kind: Kind,
}

macro_rules! text {
    ($name:literal, $field:ident) => {
        text!($name, $field, "")
    };
    ($name:literal, $field:ident, $otel:literal) => {
        Column { name: $name, otel: $otel, kind: Kind::Text(|c| c.$field.as_deref(), |c, v| c.$field = Some(v.into())) }
    };
}
macro_rules! more_text {
    ($name:literal, $field:ident) => {
        more_text!($name, $field, "")
    };
    ($name:literal, $field:ident, $otel:literal) => {
        Column {
            name: $name,
            otel: $otel,
            kind: Kind::Text(
                |c| c.more.as_ref().and_then(|m| m.$field.as_deref()),
                |c, v| c.more().$field = Some(v.into()),
            ),
        }
    };
}
macro_rules! choice {
    ($name:literal, $field:ident, $type:ident) => {
        Column {
            name: $name,
            otel: "",
            kind: Kind::Text(|c| Some(c.$field.as_str()), |c, v| c.$field = $type::parse(v).unwrap_or_default()),
        }
    };
    ($name:literal, $field:ident, $type:ident, optional) => {
        Column {
            name: $name,
            otel: "",
            kind: Kind::Text(|c| c.$field.map($type::as_str), |c, v| c.$field = $type::parse(v)),
        }
    };
}
macro_rules! number {
    ($name:literal, $kind:ident, $field:ident, $otel:literal) => {
        Column { name: $name, otel: $otel, kind: Kind::$kind(|c| c.$field, |c, v| c.$field = Some(v)) }
    };
}
macro_rules! more_number {
    ($name:literal, $kind:ident, $field:ident) => {
        Column {
            name: $name,
            otel: "",
            kind: Kind::$kind(|c| c.more.as_ref().and_then(|m| m.$field), |c, v| c.more().$field = Some(v)),
        }
    };
}
macro_rules! more_flag {
    ($name:literal, $field:ident) => {
        Column {
            name: $name,
            otel: "",
            kind: Kind::Bool(
                |c| Some(c.more.as_ref().is_some_and(|m| m.$field)),
                |c, v| {
                    if v {
                        c.more().$field = true;
                    }
                },
            ),
        }
    };
}
macro_rules! hash {
    ($name:literal, $field:ident) => {
        Column { name: $name, otel: "", kind: Kind::Hash(|c| c.$field.as_ref(), |c, v| c.$field = Some(v)) }
    };
}

/// Spellings of the capability bits, in bit order.
pub(super) static CAPABILITIES: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| Capability::ALL.iter().map(|(name, _)| *name).collect());
/// Spellings of the flag bits, in bit order.
pub(super) static FLAGS: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| Flag::ALL.iter().map(|(name, _)| *name).collect());

/// Every column, in the order of the table.
pub(super) static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    let capabilities: &'static [&'static str] = CAPABILITIES.as_slice();
    let flags: &'static [&'static str] = FLAGS.as_slice();
    vec![
        Column { name: "call_id", otel: "", kind: Kind::Text(|c| Some(&c.call_id), |c, v| c.call_id = v.into()) },
        choice!("event_kind", event_kind, EventKind),
        number!("time", Time, time, ""),
        number!("time_end", Time, time_end, ""),
        choice!("time_source", time_source, TimeSource),
        more_flag!("time_zone_assumed", time_zone_assumed),
        number!("duration_ns", Int, duration_ns, ""),
        choice!("duration_source", duration_source, DurationSource, optional),
        more_flag!("duration_includes_approval", duration_includes_approval),
        Column {
            name: "method",
            otel: "mcp.method.name",
            kind: Kind::Text(
                |c| Some(if c.method.is_empty() { "unknown" } else { &c.method }),
                |c, v| c.method = if v == "unknown" { Text::default() } else { v.into() },
            ),
        },
        text!("mcp_protocol_version", mcp_protocol_version, "mcp.protocol.version"),
        text!("mcp_session_id", mcp_session_id, "mcp.session.id"),
        text!("session_id", session_id, "gen_ai.conversation.id"),
        choice!("session_source", session_source, SessionSource),
        text!("connection_id", connection_id),
        text!("jsonrpc_request_id", jsonrpc_request_id, "jsonrpc.request.id"),
        choice!("jsonrpc_id_type", jsonrpc_id_type, IdType, optional),
        choice!("initiator", initiator, Side),
        text!("tool_call_id", tool_call_id, "gen_ai.tool.call.id"),
        more_text!("parent_call_id", parent_call_id),
        Column {
            name: "round_trip_index",
            otel: "",
            kind: Kind::Int32(
                |c| Some(c.more.as_ref().map_or(0, |m| m.round_trip_index)),
                |c, v| {
                    if v != 0 {
                        c.more().round_trip_index = v;
                    }
                },
            ),
        },
        more_text!("task_id", task_id),
        text!("agent", agent, "gen_ai.agent.name"),
        more_text!("gen_ai_agent_id", gen_ai_agent_id, "gen_ai.agent.id"),
        more_number!("agent_is_subagent", Bool, agent_is_subagent),
        text!("client_name", client_name, "mcp.client.name"),
        text!("client_version", client_version, "mcp.client.version"),
        more_text!("gen_ai_request_model", gen_ai_request_model, "gen_ai.request.model"),
        text!("user_id", user_id, "user.id"),
        more_text!("user_name", user_name, "user.name"),
        more_text!("user_email", user_email, "user.email"),
        more_text!("principal_type", principal_type),
        more_text!("auth_method", auth_method),
        more_text!("auth_subject", auth_subject),
        more_text!("delegation_chain", delegation_chain),
        more_text!("client_address", client_address, "client.address"),
        more_text!("user_agent", user_agent, "user_agent.original"),
        more_text!("host_name", host_name, "host.name"),
        more_text!("cwd", cwd),
        more_text!("git_branch", git_branch),
        text!("server", server, "mcp.server.name"),
        text!("server_info_name", server_info_name),
        text!("server_info_version", server_info_version),
        text!("transport", transport, "network.transport"),
        text!("server_address", server_address, "server.address"),
        more_text!("server_url", server_url, "url.full"),
        more_text!("server_command", server_command),
        text!("tool", tool, "gen_ai.tool.name"),
        text!("tool_raw", tool_raw),
        more_text!("gen_ai_prompt_name", gen_ai_prompt_name, "gen_ai.prompt.name"),
        more_text!("mcp_resource_uri", mcp_resource_uri, "mcp.resource.uri"),
        text!("arguments", arguments, "gen_ai.tool.call.arguments"),
        choice!("arguments_state", arguments_state, PayloadState),
        number!("arguments_bytes", Int, arguments_bytes, ""),
        hash!("arguments_hash", arguments_hash),
        text!("result", result, "gen_ai.tool.call.result"),
        choice!("result_state", result_state, PayloadState),
        number!("result_bytes", Int, result_bytes, ""),
        hash!("result_hash", result_hash),
        Column {
            name: "result_content_types",
            otel: "",
            kind: Kind::Texts(|c| &c.result_content_types, |c, v| c.result_content_types.push(v)),
        },
        more_text!("result_type", result_type),
        choice!("outcome", outcome, Outcome),
        number!("is_error", Bool, is_error, ""),
        text!("error_type", error_type, "error.type"),
        number!("rpc_response_status_code", Int32, rpc_response_status_code, "rpc.response.status_code"),
        more_number!("http_response_status_code", Int32, http_response_status_code),
        text!("error_message", error_message),
        choice!("approval", approval, Approval),
        more_text!("approval_source", approval_source),
        more_text!("approval_policy", approval_policy),
        more_number!("approval_wait_ns", Int, approval_wait_ns),
        Column {
            name: "capabilities",
            otel: "",
            kind: Kind::Names(|c| c.capabilities, capabilities, |c, bit| c.capabilities.add(bit)),
        },
        Column { name: "markers", otel: "", kind: Kind::Markers },
        more_flag!("tool_annotations_known", tool_annotations_known),
        more_number!("ann_read_only", Bool, ann_read_only),
        more_number!("ann_destructive", Bool, ann_destructive),
        more_number!("ann_idempotent", Bool, ann_idempotent),
        more_number!("ann_open_world", Bool, ann_open_world),
        Column {
            name: "tool_def_hash",
            otel: "",
            kind: Kind::Hash(
                |c| c.more.as_ref().and_then(|m| m.tool_def_hash.as_ref()),
                |c, v| c.more().tool_def_hash = Some(v),
            ),
        },
        text!("trace_id", trace_id),
        text!("span_id", span_id),
        text!("parent_span_id", parent_span_id),
        choice!("trace_observer", observer, Observer),
        more_text!("meta_json", meta_json),
        more_text!("extra_json", extra_json),
        Column {
            name: "source_format",
            otel: "",
            kind: Kind::Text(|c| Some(&c.source_format), |c, v| c.source_format = v.into()),
        },
        more_text!("source_format_version", source_format_version),
        text!("source_file", source_file),
        Column { name: "source_line", otel: "", kind: Kind::Int(|c| Some(c.source.line), |c, v| c.source.line = v) },
        Column {
            name: "source_offset",
            otel: "",
            kind: Kind::Int(|c| Some(c.source.offset), |c, v| c.source.offset = v),
        },
        Column {
            name: "source_length",
            otel: "",
            kind: Kind::Int(|c| Some(c.source.length), |c, v| c.source.length = v),
        },
        Column {
            name: "response_line",
            otel: "",
            kind: Kind::Int(|c| c.response.map(|p| p.line), |c, v| response(c).line = v),
        },
        Column {
            name: "response_offset",
            otel: "",
            kind: Kind::Int(|c| c.response.map(|p| p.offset), |c, v| response(c).offset = v),
        },
        Column {
            name: "response_length",
            otel: "",
            kind: Kind::Int(|c| c.response.map(|p| p.length), |c, v| response(c).length = v),
        },
        Column { name: "parse_flags", otel: "", kind: Kind::Names(|c| c.flags, flags, |c, bit| c.flags.add(bit)) },
        Column { name: "ingest_id", otel: "", kind: Kind::Ingest(IngestColumn::Id) },
        Column { name: "ingested_at", otel: "", kind: Kind::Ingest(IngestColumn::At) },
        Column { name: "day", otel: "", kind: Kind::Ingest(IngestColumn::Day) },
    ]
});

fn response(call: &mut Call) -> &mut Position {
    call.response.get_or_insert_default()
}

/// Fields of one element of `markers`.
pub(super) fn marker_fields() -> Fields {
    Fields::from(vec![
        Field::new("kind", DataType::Utf8, true),
        Field::new("origin", DataType::Utf8, true),
        Field::new("position", DataType::Int64, true),
    ])
}

/// The columns of a call that say more than an empty call's, as text, in the order of the table.
pub fn filled_columns(call: &Call) -> Vec<(&'static str, String)> {
    let empty = Call::default();
    let text = |kind: &Kind, call: &Call| match kind {
        Kind::Text(get, _) => get(call).map(str::to_owned),
        Kind::Int(get, _) => get(call).map(|value| value.to_string()),
        Kind::Int32(get, _) => get(call).map(|value| value.to_string()),
        Kind::Bool(get, _) => get(call).map(|value| value.to_string()),
        Kind::Time(get, _) => get(call).map(|nanos| {
            chrono::DateTime::from_timestamp_nanos(nanos).to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
        }),
        Kind::Names(get, names, _) => {
            let bits = get(call);
            let set = names.iter().enumerate().filter(|(at, _)| u32::try_from(*at).is_ok_and(|at| bits.has(at)));
            Some(set.map(|(_, name)| *name).collect::<Vec<_>>().join(", ")).filter(|names| !names.is_empty())
        }
        Kind::Texts(get, _) => Some(get(call).join(", ")).filter(|texts| !texts.is_empty()),
        Kind::Hash(..) | Kind::Markers | Kind::Ingest(_) => None,
    };
    let filled = COLUMNS.iter().filter_map(|column| {
        let value = text(&column.kind, call)?;
        (Some(&value) != text(&column.kind, &empty).as_ref()).then_some((column.name, value))
    });
    filled.collect()
}

/// The Arrow type of a UTC timestamp in the lake.
pub fn utc_timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The Arrow type of a list of texts in the lake.
pub fn list_of_texts() -> DataType {
    DataType::List(Arc::new(Field::new("element", DataType::Utf8, true)))
}

/// The Arrow schema of the stored `calls` table.
pub fn calls_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let fields = COLUMNS.iter().map(|column| {
            let data_type = match &column.kind {
                Kind::Text(..) | Kind::Hash(..) | Kind::Ingest(IngestColumn::Id) => DataType::Utf8,
                Kind::Int(..) => DataType::Int64,
                Kind::Int32(..) => DataType::Int32,
                Kind::Bool(..) => DataType::Boolean,
                Kind::Time(..) | Kind::Ingest(IngestColumn::At) => utc_timestamp(),
                Kind::Names(..) | Kind::Texts(..) => list_of_texts(),
                Kind::Markers => {
                    DataType::List(Arc::new(Field::new("element", DataType::Struct(marker_fields()), true)))
                }
                Kind::Ingest(IngestColumn::Day) => DataType::Date32,
            };
            let field = Field::new(column.name, data_type, true);
            if column.otel.is_empty() {
                field
            } else {
                field.with_metadata([("otel".to_owned(), column.otel.to_owned())].into())
            }
        });
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    });
    SCHEMA.clone()
}

/// Reads one marker back.
pub(super) fn marker(kind: &str, origin: &str, position: i64) -> Marker {
    Marker { kind: kind.into(), origin: origin.into(), position }
}
