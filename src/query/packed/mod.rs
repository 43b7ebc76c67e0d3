//! A table whose narrow columns are kept in memory, packed, for many queries that follow each other.
//!
//! Rules read the same few columns of `calls` again and again: names, times, outcomes. Their values repeat, so a column is kept as keys of 0, 8
//! or 16 bits into its distinct values, and unpacked batch by batch where a query asks for it; that takes a tenth of the memory of
//! Arrow's text arrays and a fraction of the time of reading Parquet. A query that asks for any other column reads the files, as
//! does every query if the table does not fit.

mod exec;
mod packing;

use arrow::array::{Array as _, ArrayRef, RecordBatch, UInt8Array, UInt16Array};
use arrow::compute::cast;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{ScalarValue, Statistics};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use exec::PackedExec;
use futures::StreamExt as _;
use packing::Packing;
use std::sync::Arc;
use tokio::sync::{OnceCell, mpsc};

/// Rows unpacked at once.
const BATCH: usize = 8192;

/// Which part of a table is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) table: &'static str,
    /// Columns that are kept; those that the table lacks are passed over.
    pub(super) columns: &'static [&'static str],
    /// Only rows in which this column has this value: for queries that say so.
    pub(super) only: Option<(&'static str, &'static str)>,
    /// A column that is left out if there is no room for it.
    pub(super) optional: Option<&'static str>,
    /// Share of the room that all parts have, in percent.
    pub(super) share: usize,
}

/// Bytes of all packed parts, unless there is a limit to share.
pub(super) const ROOM: usize = 512 << 20;
/// The most of the memory limit that packed parts may take, in percent. Queries have the rest, and what packed parts do not take.
pub(super) const SHARE: usize = 65;

/// What rules read of observables.
const OBSERVABLES: &[&str] =
    &["call_id", "session_id", "time", "server", "tool", "origin", "type", "value", "day", "path"];

/// What is kept of each table: the columns that most rules read.
pub(super) const PARTS: &[Part] = &[
    Part {
        table: "calls",
        columns: &[
            "call_id",
            "event_kind",
            "time",
            "time_end",
            "method",
            "session_id",
            "agent",
            "user_id",
            "server",
            "tool",
            "outcome",
            "approval",
            "capabilities",
            "arguments_bytes",
            "result_bytes",
            "server_url",
            "server_address",
            "day",
            "time_source",
            "session_source",
            "initiator",
            "principal_type",
            "user_email",
            "client_name",
            "client_address",
            "host_name",
            "cwd",
            "server_info_name",
            "server_info_version",
            "server_command",
            "ann_read_only",
            "ann_destructive",
            "approval_source",
            "approval_wait_ns",
            "arguments_state",
            "result_state",
            "markers",
            "source_format",
            "source_file",
            "source_offset",
            "arguments_hash",
            "mcp_resource_uri",
            "response_offset",
            "parse_flags",
            "approval_policy",
            "http_response_status_code",
            "rpc_response_status_code",
            "agent_is_subagent",
            "auth_subject",
            "error_message",
            "delegation_chain",
            "gen_ai_agent_id",
            "connection_id",
            "jsonrpc_request_id",
            "jsonrpc_id_type",
            "source_line",
            "arguments",
        ],
        only: None,
        optional: Some("arguments"),
        share: 70,
    },
    Part { table: "observables", columns: OBSERVABLES, only: Some(("origin", "argument")), optional: None, share: 19 },
    // Secrets are few, and rules look for them among all that results name.
    Part { table: "observables", columns: OBSERVABLES, only: Some(("type", "secret")), optional: None, share: 1 },
    Part {
        table: "flows",
        columns: &[
            "session_id",
            "agent",
            "time",
            "kind",
            "encoding",
            "source_call_id",
            "source_time",
            "source_server",
            "source_tool",
            "source_capabilities",
            "sink_call_id",
            "sink_server",
            "sink_tool",
            "sink_capabilities",
            "destination",
            "bytes",
            "sink_share",
            "source_share",
            "calls_between",
            "first_origin",
            "user_named",
            "score",
            "value",
        ],
        only: None,
        optional: Some("value"),
        share: 10,
    },
];

/// A table with packed parts, each of which is read when it is first asked for.
#[derive(Debug)]
pub(super) struct PackedTable {
    files: Arc<dyn TableProvider>,
    parts: Vec<Kept>,
    memory: Arc<dyn MemoryPool>,
}

/// A part that is kept.
#[derive(Debug)]
struct Kept {
    part: Part,
    /// Bytes that it may take.
    room: usize,
    packed: OnceCell<Option<(Arc<Packed>, MemoryReservation)>>,
}

impl PackedTable {
    /// The table with these parts, and the bytes that each may take of the memory.
    pub(super) fn new(
        files: Arc<dyn TableProvider>,
        parts: impl IntoIterator<Item = (Part, usize)>,
        memory: &Arc<dyn MemoryPool>,
    ) -> Self {
        let kept = |(part, room)| Kept { part, room, packed: OnceCell::new() };
        Self { files, parts: parts.into_iter().map(kept).collect(), memory: Arc::clone(memory) }
    }
}

impl Kept {
    /// Whether the packed part answers a query for these columns under these conditions.
    fn covers(&self, schema: &Schema, wanted: &[usize], filters: &[Expr]) -> bool {
        let kept = wanted.iter().all(|at| self.part.columns.contains(&schema.field(*at).name().as_str()));
        kept && (self.part.only.is_none() || filters.iter().any(|filter| self.is_asked_by(filter)))
    }

    /// Whether a condition asks for rows of this part only.
    fn is_asked_by(&self, filter: &Expr) -> bool {
        self.part.only.is_some_and(|(column, value)| says(filter, column, value))
    }

    async fn load(
        &self,
        files: &dyn TableProvider,
        state: &dyn Session,
        memory: &Arc<dyn MemoryPool>,
    ) -> Result<Option<(Arc<Packed>, MemoryReservation)>> {
        let memory = MemoryConsumer::new(format!("columns of {} in memory", self.part.table)).register(memory);
        let schema = files.schema();
        let wanted: Vec<usize> = self.part.columns.iter().filter_map(|name| schema.index_of(name).ok()).collect();
        let filters: Vec<Expr> = self
            .part
            .only
            .map(|(column, value)| datafusion::prelude::ident(column).eq(datafusion::prelude::lit(value)))
            .into_iter()
            .collect();
        let scan = files.scan(state, Some(&wanted), &filters, None).await?;
        let mut rows = execute_stream(scan, state.task_ctx())?;
        // Files are decoded on one thread and packed on another: whoever else is there waits for the same columns.
        let (send, mut batches) = mpsc::channel(2);
        let reading = SpawnedTask::spawn(async move {
            while let Some(batch) = rows.next().await {
                if send.send(batch).await.is_err() {
                    break;
                }
            }
        });
        let mut packing = Packing::new(Arc::new(schema.project(&wanted)?))?;
        while let Some(batch) = batches.recv().await {
            let batch = match self.part.only {
                None => batch?,
                Some((column, value)) => rows_with(&batch?, column, value)?,
            };
            let batch = match batch.num_columns() == packing.columns.len() {
                true => batch,
                false => {
                    let kept = packing.schema.fields().iter().map(|field| batch.schema().index_of(field.name()));
                    batch.project(&kept.collect::<std::result::Result<Vec<_>, _>>()?)?
                }
            };
            packing.add(&batch)?;
            if packing.bytes() > self.room && !packing.drop(self.part.optional) {
                return Ok(None);
            }
            memory.resize(packing.bytes());
        }
        reading
            .join()
            .await
            .map_err(|error| DataFusionError::Execution(format!("reading the columns ended: {error}")))?;
        let packed = packing.finish()?;
        memory.resize(packed.bytes());
        tracing::debug!(table = self.part.table, only = ?self.part.only, bytes = packed.bytes(), rows = packed.rows, "packed");
        Ok(Some((packed, memory)))
    }
}

/// Whether a condition says that a column has a value, among other things or not.
fn says(filter: &Expr, column: &str, value: &str) -> bool {
    let Expr::BinaryExpr(both) = filter else { return false };
    match both.op {
        Operator::And => says(&both.left, column, value) || says(&both.right, column, value),
        Operator::Eq => [(&both.left, &both.right), (&both.right, &both.left)].into_iter().any(|(name, literal)| {
            let is_column = matches!(name.as_ref(), Expr::Column(name) if name.name == column);
            let text = match literal.as_ref() {
                Expr::Literal(
                    ScalarValue::Utf8(Some(text))
                    | ScalarValue::Utf8View(Some(text))
                    | ScalarValue::LargeUtf8(Some(text)),
                    _,
                ) => text,
                _ => return false,
            };
            is_column && text == value
        }),
        _ => false,
    }
}

fn rows_with(batch: &RecordBatch, column: &str, value: &str) -> Result<RecordBatch> {
    let Some(values) = batch.column_by_name(column) else { return Ok(batch.slice(0, 0)) };
    let value = cast(&ScalarValue::from(value).to_array()?, values.data_type())?;
    let keep = arrow::compute::kernels::cmp::eq(values, &arrow::array::Scalar::new(value))?;
    Ok(arrow::compute::filter_record_batch(batch, &keep)?)
}

#[async_trait]
impl TableProvider for PackedTable {
    fn schema(&self) -> SchemaRef {
        self.files.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        self.files.statistics()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // Conditions stay in the query, whose plan hands them to the packed rows; the files use them to pass over what they can.
        let of_files = self.files.supports_filters_pushdown(filters)?.into_iter();
        let here = of_files.zip(filters).map(|(of_files, filter)| match of_files {
            TableProviderFilterPushDown::Unsupported if !self.parts.iter().any(|kept| kept.is_asked_by(filter)) => {
                TableProviderFilterPushDown::Unsupported
            }
            _ => TableProviderFilterPushDown::Inexact,
        });
        Ok(here.collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.files.schema();
        let all: Vec<usize>;
        let wanted = match projection {
            Some(wanted) => wanted,
            None => {
                all = (0..schema.fields().len()).collect();
                &all
            }
        };
        let covering = self.parts.iter().filter(|kept| limit.is_none() && kept.covers(&schema, wanted, filters));
        for kept in covering {
            let load = || kept.load(self.files.as_ref(), state, &self.memory);
            let packed = kept.packed.get_or_try_init(load).await?.as_ref().map(|(packed, _)| packed);
            let has = |packed: &&Arc<Packed>| {
                wanted.iter().all(|at| packed.schema.column_with_name(schema.field(*at).name()).is_some())
            };
            if let Some(packed) = packed.filter(has) {
                let partitions = state.config().target_partitions();
                return Ok(Arc::new(PackedExec::new(Arc::clone(packed), schema.project(wanted)?, partitions)));
            }
        }
        self.files.scan(state, projection, filters, limit).await
    }
}

/// Columns in memory.
#[derive(Debug)]
pub(super) struct Packed {
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
}

#[derive(Debug)]
enum Column {
    /// Few distinct values: the key of each row's value.
    Keys { keys: Keys, values: ArrayRef },
    /// Pieces of [`BATCH`] rows; long hexadecimal texts are the bytes that they spell.
    Plain(Vec<ArrayRef>),
}

/// Keys, as narrow as the number of values allows.
#[derive(Debug)]
enum Keys {
    /// All of so many rows have the first value.
    One(usize),
    Byte(UInt8Array),
    Short(UInt16Array),
}

impl Keys {
    fn len(&self) -> usize {
        match self {
            Self::One(rows) => *rows,
            Self::Byte(keys) => keys.len(),
            Self::Short(keys) => keys.len(),
        }
    }

    fn slice(&self, from: usize, rows: usize) -> ArrayRef {
        match self {
            Self::One(_) => Arc::new(UInt8Array::from(vec![0; rows])),
            Self::Byte(keys) => Arc::new(keys.slice(from, rows)),
            Self::Short(keys) => Arc::new(keys.slice(from, rows)),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::One(_) => 0,
            Self::Byte(keys) => keys.get_array_memory_size(),
            Self::Short(keys) => keys.get_array_memory_size(),
        }
    }
}

impl Packed {
    fn bytes(&self) -> usize {
        let of_column = |column: &Column| match column {
            Column::Keys { keys, values } => keys.bytes() + values.get_array_memory_size(),
            Column::Plain(pieces) => pieces.iter().map(|piece| piece.get_array_memory_size()).sum(),
        };
        self.columns.iter().map(of_column).sum()
    }
}

#[cfg(test)]
mod tests;
