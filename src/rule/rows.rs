//! The lake of one case: its rows as tables in memory, made by the same enrichment as ingested ones.

use super::case::{Case, Lines};
use crate::call::{
    Call, CallBatchBuilder, Capability, Marker, Observable, PayloadState, calls_from_batch, calls_schema, hex,
    partition_day,
};
use crate::enrich::{EnrichOptions, Enricher};
use crate::lake::tables::{self, TABLES};
use crate::lineage::{flows_of, flows_to_batch, prompt_texts};
use crate::query::{QueryError, Session, SessionOptions, near, parse_duration};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::json::ReaderBuilder;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

/// Microseconds of the moment that `"at": "0s"` means: Monday 2026-01-05 09:00 UTC, an hour of work.
const START: i64 = 1_767_603_600_000_000;

/// A lake with only one case's rows.
pub(super) struct CaseLake {
    pub(super) tables: Vec<(String, Arc<dyn TableProvider>)>,
    /// By the calls' order in the case.
    pub(super) call_ids: Vec<String>,
}

type Row = Map<String, Value>;

/// A session over all tables of the lake, without rows.
pub(super) async fn empty_session() -> Result<Session, QueryError> {
    let tables = TABLES.iter().map(|table| Ok((table.name.to_owned(), mem_table(table.schema(), None)?)));
    Session::new(
        tables.collect::<Result<_, QueryError>>()?,
        SessionOptions { threads: Some(1), ..SessionOptions::default() },
    )
    .await
}

/// The lake that a case describes.
pub(super) fn lake(case: &Case) -> Result<CaseLake, String> {
    // Fingerprints of secrets need a key; in a case any will do.
    static ENRICHER: LazyLock<Enricher> = LazyLock::new(|| Enricher::new(EnrichOptions::new([0; 32])));
    let enricher = &*ENRICHER;
    let mut calls = CallBatchBuilder::new("case", START * 1000);
    let mut observables = Vec::new();
    let mut call_ids = Vec::new();
    let mut all = Vec::new();
    for (call, found) in self::calls(enricher, &case.calls)? {
        observables.extend(found.iter().map(|observable| observable_row(&call, observable)));
        call_ids.push(call.call_id.to_string());
        calls.append(&call);
        all.push(call);
    }
    let mut batches = BTreeMap::from([
        ("calls", Some(calls.finish().map_err(|e| e.to_string())?)),
        ("observables", decode(schema("observables")?, observables)?),
    ]);
    type Complete = fn(&Enricher, usize, Row) -> Result<Row, String>;
    let others: [(&str, &Lines, Complete); 5] = [
        ("tool_definitions", &case.tools, tool_row),
        ("connections", &case.servers, server_row),
        ("prompts", &case.prompts, prompt_row),
        ("rejects", &case.rejects, |_, _, row| Ok(row)),
        ("sources", &case.sources, |_, _, row| Ok(row)),
    ];
    for (name, lines, complete) in others {
        batches.insert(name, decode(schema(name)?, rows(lines, |at, row| complete(enricher, at, row))?)?);
    }
    let prompts = batches.get("prompts").and_then(Option::as_ref).map(prompt_texts).unwrap_or_default();
    let flows = flows_to_batch(&schema("flows")?, &flows_of(&all, &prompts)).map_err(|e| e.to_string())?;
    batches.insert("flows", Some(flows));
    let tables = TABLES.iter().map(|table| {
        let provider = mem_table(table.schema(), batches.remove(table.name).flatten());
        Ok((table.name.to_owned(), provider.map_err(|e| e.to_string())?))
    });
    Ok(CaseLake { tables: tables.collect::<Result<_, String>>()?, call_ids })
}

/// What is wrong with the rows of a case, each with its line in the case's file.
pub(super) fn problems(case: &Case) -> Vec<(usize, String)> {
    let parts = [
        ("calls", &case.calls),
        ("tool_definitions", &case.tools),
        ("connections", &case.servers),
        ("prompts", &case.prompts),
        ("rejects", &case.rejects),
        ("sources", &case.sources),
    ];
    let mut problems = Vec::new();
    for (table, lines) in parts {
        let Ok(schema) = schema(table) else { continue };
        let columns = || schema.fields().iter().map(|field| field.name().as_str());
        for (at, text) in lines.text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let line = lines.line + at;
            match serde_json::from_str::<Row>(text) {
                Err(error) => problems.push((line, format!("no JSON object: {error}"))),
                Ok(row) => {
                    if let Some(moment) = row.get("at").filter(|at| at.as_str().and_then(parse_duration).is_none()) {
                        problems.push((line, bad_moment(moment)));
                    }
                    let spelled = |name: &&String| {
                        !columns().any(|column| column == name.as_str())
                            && name.as_str() != "at"
                            && !(table == "calls" && name.as_str() == "args")
                    };
                    for name in row.keys().filter(spelled) {
                        let hint = near(name, columns()).map(|near| format!("; did you mean `{near}`?"));
                        problems.push((line, format!("`{table}` has no column `{name}`{}", hint.unwrap_or_default())));
                    }
                }
            }
        }
    }
    if problems.is_empty()
        && let Err(message) = lake(case)
    {
        problems.push((case.line, format!("case `{}`: {message}", case.name)));
    }
    problems
}

fn bad_moment(moment: &Value) -> String {
    format!("`at` must be like \"90s\" or \"10m\", not {moment}")
}

fn schema(name: &str) -> Result<SchemaRef, String> {
    tables::table(name).map(|table| table.schema()).ok_or_else(|| format!("the lake has no table {name}"))
}

/// A time of a case, as it would write it.
pub(super) fn relative(micros: i64) -> String {
    format!("{}s", (micros - START) as f64 / 1e6)
}

fn mem_table(schema: SchemaRef, batch: Option<RecordBatch>) -> Result<Arc<dyn TableProvider>, QueryError> {
    Ok(Arc::new(MemTable::try_new(schema, vec![batch.into_iter().collect()])?))
}

/// The calls of a case, enriched, with their observables.
fn calls(enricher: &Enricher, lines: &Lines) -> Result<Vec<(Call, Vec<Observable>)>, String> {
    let rows = rows(lines, |at, mut row| {
        if let Some(args) = row.shift_remove("args") {
            row.insert("arguments".to_owned(), args);
        }
        for payload in ["arguments", "result"] {
            let logged = row.get(payload).is_some_and(|value| !value.is_null());
            let state = if logged { PayloadState::Present } else { PayloadState::NotLogged };
            default(&mut row, &format!("{payload}_state"), state.as_str());
        }
        for (name, value) in [
            ("event_kind", "call"),
            ("method", "tools/call"),
            ("outcome", "success"),
            ("approval", "unknown"),
            ("session_id", "s1"),
            ("session_source", "conversation"),
            ("agent", "agent-1"),
            ("server", "server-1"),
            ("time_source", "record"),
            ("initiator", "client"),
            ("source_format", "case"),
        ] {
            default(&mut row, name, value);
        }
        default(&mut row, "call_id", format!("call-{at}"));
        default(&mut row, "source_line", at + 1);
        Ok(row)
    })?;
    let Some(batch) = decode(calls_schema(), rows)? else { return Ok(Vec::new()) };
    let calls = calls_from_batch(&batch).map_err(|e| e.to_string())?.into_iter();
    let enriched = calls.map(|mut call| {
        let observables = enricher.call(&mut call).observables;
        (call, observables)
    });
    Ok(enriched.collect())
}

/// A sighting of a tool's definition, with what ingest would tell of it.
fn tool_row(enricher: &Enricher, at: usize, mut row: Row) -> Result<Row, String> {
    default(&mut row, "server", "server-1");
    default(&mut row, "session_id", "s1");
    default(&mut row, "definition_id", format!("definition-{at}"));
    default(&mut row, "name_only", false);
    let mut definition = Map::new();
    for (key, column) in [
        ("name", "tool"),
        ("description", "description"),
        ("inputSchema", "input_schema"),
        ("annotations", "annotations"),
    ] {
        definition.extend(row.get(column).map(|value| (key.to_owned(), value.clone())));
    }
    default(&mut row, "definition", Value::Object(definition));
    let text = |name: &str| row.get(name).and_then(Value::as_str).map(Into::into);
    let mut call = Call {
        server: text("server"),
        tool: text("tool"),
        arguments: row.get("definition").map(as_text),
        ..Call::default()
    };
    enricher.call(&mut call);
    let capabilities: Vec<&str> =
        Capability::ALL.iter().filter(|(_, bit)| call.capabilities.has(*bit as u32)).map(|(name, _)| *name).collect();
    default(&mut row, "capabilities", capabilities);
    default(&mut row, "markers", marker_kinds(&call.markers));
    default(&mut row, "definition_hash", call.arguments_hash.as_ref().map(hex));
    Ok(row)
}

/// A connection.
fn server_row(enricher: &Enricher, at: usize, mut row: Row) -> Result<Row, String> {
    default(&mut row, "server", "server-1");
    default(&mut row, "session_id", "s1");
    default(&mut row, "connection_id", format!("connection-{at}"));
    if let Some(instructions) = row.get("instructions").map(as_text) {
        let mut call = Call { arguments: Some(instructions), ..Call::default() };
        enricher.call(&mut call);
        default(&mut row, "markers", marker_kinds(&call.markers));
        default(&mut row, "instructions_hash", call.arguments_hash.as_ref().map(hex));
    }
    Ok(row)
}

/// What the user asked.
fn prompt_row(enricher: &Enricher, at: usize, mut row: Row) -> Result<Row, String> {
    default(&mut row, "session_id", "s1");
    default(&mut row, "agent", "agent-1");
    default(&mut row, "prompt_id", format!("prompt-{at}"));
    let time = row.get("time").and_then(Value::as_i64).map(|micros| micros * 1000);
    default(&mut row, "day", partition_day(time));
    if let Some(text) = row.get("text").map(as_text) {
        let enriched = enricher.text(&text, "prompt");
        row.insert("text".to_owned(), enriched.text.into());
        default(
            &mut row,
            "observables",
            enriched.observables.into_iter().map(|o| String::from(o.value)).collect::<Vec<_>>(),
        );
    }
    Ok(row)
}

fn marker_kinds(markers: &[Marker]) -> Vec<String> {
    markers.iter().map(|marker| marker.kind.to_string()).collect::<BTreeSet<_>>().into_iter().collect()
}

/// A value as the text that a log would hold; a text is taken as logged, so that a case can hold broken JSON.
fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Reads JSON lines, turns `at` into `time`, and completes each row.
fn rows(lines: &Lines, complete: impl Fn(usize, Row) -> Result<Row, String>) -> Result<Vec<Row>, String> {
    let written = lines.text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let rows = written.enumerate().map(|(at, (line, text))| {
        let place = |message: String| format!("line {}: {message}", lines.line + line);
        let mut row: Row = serde_json::from_str(text).map_err(|e| place(format!("no JSON object: {e}")))?;
        if let Some(moment) = row.shift_remove("at") {
            let micros = moment.as_str().and_then(parse_duration);
            let micros = micros.ok_or_else(|| place(bad_moment(&moment)))?;
            row.insert("time".to_owned(), (START + micros).into());
        }
        complete(at, row).map_err(place)
    });
    rows.collect()
}

fn default(row: &mut Row, name: &str, value: impl Into<Value>) {
    row.entry(name).or_insert_with(|| value.into());
}

fn observable_row(call: &Call, found: &Observable) -> Row {
    let row = json!({
        "call_id": call.call_id.as_str(),
        "session_id": call.session_id.as_deref(),
        "time": call.time.map(|nanos| nanos.div_euclid(1000)),
        "server": call.server.as_deref(),
        "tool": call.tool.as_deref(),
        "origin": if found.in_arguments { "argument" } else { "result" },
        "type": found.kind.as_str(),
        "value": found.value.as_str(),
        "path": found.path.as_str(),
        "day": partition_day(call.time),
    });
    row.as_object().cloned().unwrap_or_default()
}

/// Rows as a batch; JSON in a column of texts becomes text, and a column that the table does not have is an error.
fn decode(schema: SchemaRef, mut rows: Vec<Row>) -> Result<Option<RecordBatch>, String> {
    for (name, value) in rows.iter_mut().flat_map(|row| row.iter_mut()) {
        let Ok(field) = schema.field_with_name(name) else {
            let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            return Err(format!("no column `{name}`; there are {}", known.join(", ")));
        };
        if field.data_type() == &DataType::Utf8 && (value.is_object() || value.is_array()) {
            *value = value.to_string().into();
        }
    }
    let mut decoder = ReaderBuilder::new(schema).build_decoder().map_err(|e| e.to_string())?;
    decoder.serialize(&rows).map_err(|e| e.to_string())?;
    decoder.flush().map_err(|e| e.to_string())
}
