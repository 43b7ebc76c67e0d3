//! The tables of the lake and their columns.

use crate::call::{calls_schema, list_of_texts, utc_timestamp};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;

/// One Delta table of the lake.
#[derive(Debug)]
pub struct Table {
    /// Folder name, and the name in SQL (where a view of the same name adds computed columns, it replaces it).
    pub name: &'static str,
    /// Partitioned by `day`, the UTC date of `time`.
    pub by_day: bool,
    schema: fn() -> SchemaRef,
}

impl Table {
    /// Its columns.
    pub fn schema(&self) -> SchemaRef {
        (self.schema)()
    }
}

/// Every table, in the order in which a transaction commits them: `sources`, which says what was read, last.
pub static TABLES: &[Table] = &[
    Table { name: "calls", by_day: true, schema: calls_schema },
    Table { name: "observables", by_day: true, schema: observables },
    Table { name: "tool_definitions", by_day: false, schema: tool_definitions },
    Table { name: "connections", by_day: false, schema: connections },
    Table { name: "prompts", by_day: true, schema: prompts },
    Table { name: "flows", by_day: true, schema: flows },
    Table { name: "scores", by_day: false, schema: scores },
    Table { name: "lineage", by_day: false, schema: lineage },
    Table { name: "rejects", by_day: false, schema: rejects },
    Table { name: "alerts", by_day: false, schema: alerts_schema },
    Table { name: "deliveries", by_day: false, schema: deliveries },
    Table { name: "rule_versions", by_day: false, schema: rule_versions },
    Table { name: "rule_runs", by_day: false, schema: rule_runs },
    Table { name: "suppressions", by_day: false, schema: suppressions },
    Table { name: "sources", by_day: false, schema: sources },
];

/// The table of this name.
pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect::<Vec<_>>()))
}

fn observables() -> SchemaRef {
    use DataType::{Date32, Utf8};
    schema(&[
        ("call_id", Utf8),
        ("session_id", Utf8),
        ("time", utc_timestamp()),
        ("server", Utf8),
        ("tool", Utf8),
        ("origin", Utf8),
        ("type", Utf8),
        ("value", Utf8),
        ("path", Utf8),
        ("day", Date32),
    ])
}

fn tool_definitions() -> SchemaRef {
    use DataType::{Boolean, Utf8};
    schema(&[
        ("definition_id", Utf8),
        ("time", utc_timestamp()),
        ("session_id", Utf8),
        ("connection_id", Utf8),
        ("server", Utf8),
        ("tool", Utf8),
        ("description", Utf8),
        ("input_schema", Utf8),
        ("annotations", Utf8),
        ("definition", Utf8),
        ("definition_hash", Utf8),
        ("name_only", Boolean),
        ("capabilities", list_of_texts()),
        ("markers", list_of_texts()),
        ("source_format", Utf8),
        ("source_file", Utf8),
    ])
}

fn connections() -> SchemaRef {
    use DataType::Utf8;
    schema(&[
        ("identity", Utf8),
        ("connection_id", Utf8),
        ("time", utc_timestamp()),
        ("session_id", Utf8),
        ("server", Utf8),
        ("server_info_name", Utf8),
        ("server_info_version", Utf8),
        ("mcp_protocol_version", Utf8),
        ("client_name", Utf8),
        ("client_version", Utf8),
        ("transport", Utf8),
        ("server_address", Utf8),
        ("server_url", Utf8),
        ("server_command", Utf8),
        ("instructions", Utf8),
        ("instructions_hash", Utf8),
        ("markers", list_of_texts()),
        ("source_format", Utf8),
        ("source_file", Utf8),
    ])
}

fn prompts() -> SchemaRef {
    use DataType::{Date32, Int64, Utf8};
    schema(&[
        ("prompt_id", Utf8),
        ("session_id", Utf8),
        ("time", utc_timestamp()),
        ("agent", Utf8),
        ("client_name", Utf8),
        ("text", Utf8),
        ("observables", list_of_texts()),
        ("tokens", list_of_texts()),
        ("source_format", Utf8),
        ("source_file", Utf8),
        ("source_line", Int64),
        ("day", Date32),
    ])
}

fn flows() -> SchemaRef {
    use DataType::{Boolean, Date32, Float64, Int64, Utf8};
    schema(&[
        ("flow_id", Utf8),
        ("session_id", Utf8),
        ("agent", Utf8),
        ("time", utc_timestamp()),
        ("kind", Utf8),
        ("encoding", Utf8),
        ("source_call_id", Utf8),
        ("source_time", utc_timestamp()),
        ("source_server", Utf8),
        ("source_tool", Utf8),
        ("source_capabilities", list_of_texts()),
        ("sink_call_id", Utf8),
        ("sink_server", Utf8),
        ("sink_tool", Utf8),
        ("sink_capabilities", list_of_texts()),
        ("sink_path", Utf8),
        ("destination", Utf8),
        ("bytes", Int64),
        ("sink_share", Float64),
        ("source_share", Float64),
        ("calls_between", Int64),
        ("first_origin", Boolean),
        ("user_named", Boolean),
        ("value", Utf8),
        ("value_hash", Utf8),
        ("sentence", Utf8),
        ("score", Float64),
        ("day", Date32),
    ])
}

fn scores() -> SchemaRef {
    use DataType::{Float64, Int64, Utf8};
    schema(&[
        ("subject", Utf8),
        ("session_id", Utf8),
        ("call_id", Utf8),
        ("agent", Utf8),
        ("time", utc_timestamp()),
        ("score", Float64),
        ("p_value", Float64),
        ("reasons", Utf8),
        ("message", Utf8),
        ("model_id", Utf8),
        ("number", Int64),
        ("tool", Utf8),
        ("source_call_id", Utf8),
        ("parts", Utf8),
        ("digest", Int64),
    ])
}

/// From which calls the flows of each session were found; the last row of a session counts.
fn lineage() -> SchemaRef {
    use DataType::Int64;
    schema(&[
        ("step", Int64),
        ("session", Int64),
        ("digest", Int64),
        ("flows", Int64),
        ("calls_version", Int64),
        ("prompts_version", Int64),
    ])
}

fn rejects() -> SchemaRef {
    use DataType::{Int64, Utf8};
    schema(&[
        ("reject_id", Utf8),
        ("source_id", Utf8),
        ("source_file", Utf8),
        ("source_format", Utf8),
        ("line", Int64),
        ("offset", Int64),
        ("length", Int64),
        ("reason", Utf8),
        ("first_bytes", Utf8),
        ("ingested_at", utc_timestamp()),
    ])
}

/// The columns of the `alerts` table: what rules and users filter by, and the rest as JSON text.
pub fn alerts_schema() -> SchemaRef {
    let time = utc_timestamp;
    let texts = list_of_texts;
    let required = |name: &str, data_type| Field::new(name, data_type, false);
    let optional = |name: &str, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        required("alert_id", DataType::Utf8),
        required("time", time()),
        required("kind", DataType::Utf8),
        required("rule_id", DataType::Utf8),
        required("rule_title", DataType::Utf8),
        required("rule_version", DataType::Utf8),
        required("level", DataType::Utf8),
        required("status", DataType::Utf8),
        optional("tags", texts()),
        optional("description", DataType::Utf8),
        optional("falsepositives", texts()),
        optional("session_id", DataType::Utf8),
        optional("agent", DataType::Utf8),
        optional("user_id", DataType::Utf8),
        optional("server", DataType::Utf8),
        optional("tool", DataType::Utf8),
        required("first_seen", time()),
        required("last_seen", time()),
        optional("call_ids", texts()),
        required("calls_total", DataType::Int64),
        optional("score", DataType::Float64),
        optional("message", DataType::Utf8),
        optional("evidence", DataType::Utf8),
        optional("calls", DataType::Utf8),
        optional("observables", DataType::Utf8),
        required("observables_total", DataType::Int64),
        optional("lake_versions", DataType::Utf8),
        optional("suppressed_by", DataType::Utf8),
        optional("delivery", DataType::Utf8),
        optional("rule_group", DataType::Utf8),
        optional("settings", DataType::Utf8),
        optional("incident_id", DataType::Utf8),
        optional("superseded_by", DataType::Utf8),
        optional("resolved", DataType::Utf8),
    ]))
}

/// What became of alerts at each sink; the last row of an alert and a sink counts.
fn deliveries() -> SchemaRef {
    use DataType::{Int64, Utf8};
    schema(&[
        ("sink", Utf8),
        ("alert_id", Utf8),
        ("event", Utf8),
        ("state", Utf8),
        ("attempts", Int64),
        ("time", utc_timestamp()),
        ("next_attempt", utc_timestamp()),
        ("answer", Utf8),
        ("step", Int64),
    ])
}

fn rule_versions() -> SchemaRef {
    use DataType::Utf8;
    schema(&[
        ("rule_version", Utf8),
        ("rule_id", Utf8),
        ("title", Utf8),
        ("path", Utf8),
        ("text", Utf8),
        ("first_run", utc_timestamp()),
    ])
}

fn rule_runs() -> SchemaRef {
    use DataType::{Float64, Int64, Utf8};
    schema(&[
        ("rule_id", Utf8),
        ("rule_version", Utf8),
        ("settings", Utf8),
        ("reads", list_of_texts()),
        ("lake_versions", Utf8),
        ("run_at", utc_timestamp()),
        ("seconds", Float64),
        ("rows_read", Int64),
        ("findings", Int64),
    ])
}

fn suppressions() -> SchemaRef {
    use DataType::Utf8;
    schema(&[
        ("suppression_id", Utf8),
        ("written_at", utc_timestamp()),
        ("rule", Utf8),
        ("alert_id", Utf8),
        ("matchers", Utf8),
        ("owner", Utf8),
        ("reason", Utf8),
        ("expires", utc_timestamp()),
    ])
}

fn sources() -> SchemaRef {
    use DataType::{Int64, Utf8};
    schema(&[
        ("source_id", Utf8),
        ("path", Utf8),
        ("format", Utf8),
        ("framing", Utf8),
        ("size", Int64),
        ("mtime", utc_timestamp()),
        ("bytes", Int64),
        ("bytes_calls", Int64),
        ("bytes_rejected", Int64),
        ("bytes_ignored", Int64),
        ("lines", Int64),
        ("calls", Int64),
        ("duplicates", Int64),
        ("rejects", Int64),
        ("ignored", Int64),
        ("prompts", Int64),
        ("digest", Utf8),
        ("chain", Utf8),
        ("head", Utf8),
        ("context", Utf8),
        ("first_read", utc_timestamp()),
        ("last_read", utc_timestamp()),
    ])
}
