//! SQL over the lake: a read-only DataFusion session with views and functions of CallTrail's own.
//!
//! The session does not know where its tables come from; it is given providers. Whoever types SQL here can read what
//! was registered and nothing else: no DDL, no DML, no settings, no file or URL as a table. A session for rules is
//! also deterministic: functions that depend on the clock or on chance do not exist in it.

mod deadline;
mod error;
mod essential;
mod joins;
mod mapped;
mod meter;
mod names;
mod narrow;
pub mod output;
mod own;
mod packed;
mod range;
mod shares;
pub mod shell;
mod sieve;
mod steps;
pub mod udf;
mod views;

pub(crate) use deadline::Deadline;
pub use deadline::TimeLimit;
pub use error::QueryError;
pub use meter::Cost;
pub(crate) use meter::tables_read;
pub use names::UnknownName;
pub use range::{TimeRange, parse_duration};

use arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::{DataFusionError, ParamValues};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::MemTable;
use datafusion::execution::context::{SQLOptions, SessionConfig, SessionContext};
use datafusion::execution::memory_pool::{GreedyMemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::execution::{FunctionRegistry as _, SendableRecordBatchStream};
use datafusion::logical_expr::{Expr, Volatility};
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::prelude::Column;
use datafusion::sql::parser::Statement;
use meter::Metered;
use narrow::Narrow;
use serde::de::DeserializeOwned;
pub(crate) use shares::Share;
use shares::{Together, of_share};
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use steps::SharedSteps;

/// Stored tables whose rows a session's range limits. Definitions and connections stay whole: what a tool looked
/// like before the range is what a change in the range is judged by.
const RANGED: &[&str] = &["calls", "observables", "prompts", "flows"];

/// What a query means besides its text: the version of the program, and a hash of the views, functions and libraries that it was built with.
pub const ENGINE: &str = concat!(env!("CARGO_PKG_VERSION"), "+", env!("CALLTRAIL_ENGINE"));

const CATALOG: &str = "calltrail";
const SCHEMA: &str = "public";
const STORED: &str = "stored";

/// The table of ids in a query of [`Session::rows_of`]; its column is `call_id`.
pub(crate) const WANTED: &str = "stored.wanted";

/// What a session may use and see.
#[derive(Clone, Copy, Debug, Default)]
pub struct SessionOptions {
    /// Bytes that queries may hold in memory; beyond that sorts, joins and aggregates spill to disk.
    pub memory_limit: Option<usize>,
    /// Partitions worked on at once; as many as there are cores unless set.
    pub threads: Option<usize>,
    /// Rows outside are not seen.
    pub range: Option<TimeRange>,
    /// Only functions that give the same answer tomorrow, and no `information_schema`.
    pub deterministic: bool,
    /// Keep the columns that most rules read in memory, packed: for many queries over the same tables.
    pub packed: bool,
    /// Join by sorting, which can spill to disk where hashing cannot: slower, for what ran out of memory.
    pub sort_joins: bool,
    /// How long the query of one rule may take.
    pub rule_time: Option<TimeLimit>,
}

/// A range of time and a share of the sessions, and what all rules that see them have in common.
struct OfRules {
    range: Option<TimeRange>,
    share: Option<Share>,
    base: Arc<Session>,
}

/// A read-only SQL session.
pub struct Session {
    context: SessionContext,
    tables: Vec<(String, Arc<dyn TableProvider>)>,
    runtime: Arc<RuntimeEnv>,
    options: SessionOptions,
    /// Functions that a deterministic session lacks.
    removed: Vec<String>,
    /// What a rule's session holds in memory.
    meter: Option<Arc<Metered>>,
    /// What all rules of a range have in common: functions, tables, views.
    of_rules: tokio::sync::Mutex<Vec<OfRules>>,
    /// What shares of the sessions must keep together; `None` if there can be no shares.
    together: tokio::sync::OnceCell<Option<Arc<Together>>>,
    /// Who uses the table of ids.
    wanted: tokio::sync::Mutex<()>,
    /// What all rules of a range compute.
    shared: SharedSteps,
    /// Of a rule's session, what it shares: views are planned by it, so it must live as long.
    base: Option<Arc<Self>>,
}

impl Session {
    /// A session over these stored tables, by the lake's names for them.
    ///
    /// # Errors
    /// A table lacks columns that a view needs, or the memory pool cannot be set up.
    pub async fn new(
        tables: Vec<(String, Arc<dyn TableProvider>)>,
        options: SessionOptions,
    ) -> Result<Self, QueryError> {
        let mut runtime = RuntimeEnvBuilder::new();
        let mut tables = tables;
        if let Some(bytes) = options.memory_limit {
            // First come, first served: equal parts for all operators of a dozen queries would have each of them spill with most of the memory free.
            // Tracked, so that "out of memory" names the operators that hold it.
            let consumers = NonZeroUsize::new(3).unwrap_or(NonZeroUsize::MIN);
            let pool = TrackConsumersPool::new(GreedyMemoryPool::new(bytes), consumers);
            runtime = runtime.with_memory_pool(Arc::new(pool));
        }
        let runtime = runtime.build_arc()?;
        if options.packed {
            let room = options.memory_limit.map_or(packed::ROOM, |bytes| bytes / 100 * packed::SHARE);
            for (name, table) in &mut tables {
                let parts = packed::PARTS.iter().filter(|part| part.table == name);
                let parts: Vec<_> = parts.map(|part| (*part, room / 100 * part.share)).collect();
                if !parts.is_empty() {
                    let memory = &runtime.memory_pool;
                    *table = Arc::new(packed::PackedTable::new(Arc::clone(table), parts, memory));
                }
            }
        }
        Self::build(tables, runtime, options).await
    }

    /// A deterministic session over the same tables and memory, limited to a range: what one rule may see.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub async fn for_rule(&self, range: TimeRange) -> Result<Self, QueryError> {
        self.for_share(range, None).await
    }

    /// As [`Self::for_rule`], over one share of the sessions.
    pub(crate) async fn for_share(&self, range: TimeRange, share: Option<Share>) -> Result<Self, QueryError> {
        let range = (!range.is_everything()).then_some(range);
        let base = {
            let mut bases = self.of_rules.lock().await;
            match bases.iter().find(|known| known.range == range && known.share == share) {
                Some(known) => Arc::clone(&known.base),
                None => {
                    let options = SessionOptions { range, deterministic: true, ..self.options };
                    let tables =
                        share.as_ref().map_or_else(|| self.tables.clone(), |share| of_share(&self.tables, share));
                    let base = Arc::new(Self::build(tables, Arc::clone(&self.runtime), options).await?);
                    bases.push(OfRules { range, share, base: Arc::clone(&base) });
                    base
                }
            }
        };
        let meter = Arc::new(Metered::new(Arc::clone(&self.runtime.memory_pool)));
        let runtime = RuntimeEnv { memory_pool: Arc::clone(&meter) as Arc<_>, ..RuntimeEnv::clone(&self.runtime) };
        let runtime = Arc::new(runtime);
        let state = SessionStateBuilder::new_from_existing(base.context.state()).with_runtime_env(Arc::clone(&runtime));
        Ok(Self {
            context: SessionContext::new_with_state(state.build()),
            tables: base.tables.clone(),
            runtime,
            options: base.options,
            removed: base.removed.clone(),
            meter: Some(meter),
            of_rules: tokio::sync::Mutex::default(),
            together: tokio::sync::OnceCell::new(),
            wanted: tokio::sync::Mutex::default(),
            shared: SharedSteps::default(),
            base: Some(base),
        })
    }

    /// Most bytes that the queries of a rule's session held at once; 0 for other sessions.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.meter.as_ref().map_or(0, |meter| meter.peak())
    }

    async fn build(
        tables: Vec<(String, Arc<dyn TableProvider>)>,
        runtime: Arc<RuntimeEnv>,
        options: SessionOptions,
    ) -> Result<Self, QueryError> {
        let mut config = SessionConfig::new()
            .with_default_catalog_and_schema(CATALOG, SCHEMA)
            .with_information_schema(!options.deterministic)
            // Errors say where in the text the name stands.
            .set_bool("datafusion.sql_parser.collect_spans", true)
            // Payload columns are large and filters select few rows: decode them only where the filter holds.
            .set_bool("datafusion.execution.parquet.pushdown_filters", true)
            // And try conditions on small columns first, among them what a join has learned of its other side.
            .set_bool("datafusion.execution.parquet.reorder_filters", true);
        if let Some(threads) = options.threads {
            config = config.with_target_partitions(threads.max(1));
        }
        if options.sort_joins {
            // DataFusion sorts for joins of several partitions only.
            let partitions = config.target_partitions().max(2);
            config = config.with_target_partitions(partitions).set_bool("datafusion.optimizer.prefer_hash_join", false);
        }
        let mut context = SessionContext::new_with_config_rt(config, Arc::clone(&runtime));
        if options.deterministic {
            // `calls` has a hundred columns and a rule names ten: without the others first, all other rules of the optimiser are quick.
            let mut rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![Arc::new(OptimizeProjections::new())];
            rules.extend(Optimizer::new().rules);
            let state = SessionStateBuilder::new_from_existing(context.state()).with_optimizer_rules(rules).build();
            context = SessionContext::new_with_state(state);
        }
        datafusion_functions_json::register_all(&mut context)?;
        for function in udf::all() {
            context.register_udf(function);
        }
        for function in udf::regex_functions() {
            context.register_udf(function);
        }
        for function in udf::aggregates() {
            context.register_udaf(function);
        }
        let mut removed = Vec::new();
        if options.deterministic {
            let state = context.state();
            let volatile =
                state.scalar_functions().iter().filter(|(_, f)| f.signature().volatility != Volatility::Immutable);
            removed = volatile.map(|(name, _)| name.clone()).collect();
            removed.iter().for_each(|name| context.deregister_udf(name));
            // SQL's own spelling of now(), which without it is taken for a column.
            removed.push("current_timestamp".to_owned());
        }
        views::register(&context, &tables, &options)?;
        let (of_rules, together, wanted, shared) = Default::default();
        let meter = None;
        Ok(Self { context, tables, runtime, options, removed, meter, of_rules, together, wanted, shared, base: None })
    }

    /// Runs one query.
    ///
    /// # Errors
    /// The text is not one query over the session's tables and functions.
    pub async fn sql(&self, text: &str) -> Result<SendableRecordBatchStream, QueryError> {
        Ok(self.plan(text, None).await?.execute_stream().await?)
    }

    /// Runs one query and keeps its whole result; for results known to be small.
    ///
    /// # Errors
    /// As for [`Self::sql`], and whatever stops the query.
    pub async fn collect(&self, text: &str) -> Result<Vec<RecordBatch>, QueryError> {
        Ok(self.plan(text, None).await?.collect().await?)
    }

    /// Runs one query and reads its rows into values of a type with the names of its columns; for results known to be small.
    ///
    /// # Errors
    /// As for [`Self::collect`], or a row does not fit the type.
    pub async fn rows<T: DeserializeOwned>(&self, text: &str) -> Result<Vec<T>, QueryError> {
        let misfit = |error| QueryError::Execution(format!("a row of the lake is not as expected: {error}"));
        let mut rows = Vec::new();
        for batch in self.collect(text).await? {
            for line in output::json_lines(&batch)?.lines() {
                rows.push(serde_json::from_str(line).map_err(misfit)?);
            }
        }
        Ok(rows)
    }

    /// As [`Self::rows`], for a query that joins the table [`WANTED`] of these ids: a list of thousands in its text would take longer to plan
    /// than to answer.
    pub(crate) async fn rows_of<T: DeserializeOwned>(
        &self,
        text: &str,
        ids: &BTreeSet<&str>,
    ) -> Result<Vec<T>, QueryError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids =
            RecordBatch::try_from_iter([("call_id", Arc::new(StringViewArray::from_iter_values(ids)) as ArrayRef)])?;
        let table = Arc::new(MemTable::try_new(ids.schema(), vec![vec![ids]])?);
        let _one_at_a_time = self.wanted.lock().await;
        self.context.register_table(WANTED, table)?;
        let rows = self.rows(text).await;
        self.context.deregister_table(WANTED)?;
        rows
    }

    /// Plans one query, with values for its `$name` parameters.
    pub(crate) async fn plan(&self, text: &str, params: Option<ParamValues>) -> Result<DataFrame, QueryError> {
        if self.options.deterministic {
            // What cannot be read is told of below.
            let state = self.context.state();
            let read = state.sql_to_statement(text, &state.config_options().sql_parser.dialect);
            read.map_or(Ok(()), |statement| joins::allowed(&statement))?;
        }
        let planned = self.context.sql_with_options(text, read_only()).await;
        self.completed(planned.map_err(|error| self.explain(error))?, params)
    }

    /// A rule's query, and what it is to be planned over.
    fn narrow(&self, text: &str) -> Result<(SessionState, Statement, Narrow), QueryError> {
        let state = self.context.state();
        let dialect = state.config_options().sql_parser.dialect;
        let statement = state.sql_to_statement(text, &dialect)?;
        joins::allowed(&statement)?;
        let names = self.context.catalog(CATALOG).and_then(|catalog| catalog.schema(SCHEMA));
        let names = names.ok_or_else(|| QueryError::internal("the catalog is missing"))?;
        let narrow = Narrow::new(text, &statement, &self.tables, names, self.options);
        Ok((state, statement, narrow))
    }

    /// A planned query with values for its parameters, and a result that can be written.
    fn completed(&self, mut frame: DataFrame, params: Option<ParamValues>) -> Result<DataFrame, QueryError> {
        if let Some(params) = params {
            frame = frame.with_param_values(params)?;
        }
        // `json_get` and `->` give an Arrow union, which hardly any output can hold.
        let is_union = |data_type: &DataType| matches!(data_type, DataType::Union(..));
        if frame.schema().fields().iter().any(|field| is_union(field.data_type())) {
            let to_text = self.context.udf("json_union_to_text")?;
            let columns: Vec<Expr> = frame
                .schema()
                .iter()
                .map(|(table, field)| {
                    let column = Expr::Column(Column::from((table, field)));
                    if is_union(field.data_type()) { to_text.call(vec![column]).alias(field.name()) } else { column }
                })
                .collect();
            frame = frame.select(columns)?;
        }
        Ok(frame)
    }

    /// Every table and view that SQL sees, with its columns, sorted by name.
    pub async fn tables(&self) -> Vec<(String, SchemaRef)> {
        let Some(schema) = self.context.catalog(CATALOG).and_then(|c| c.schema(SCHEMA)) else { return Vec::new() };
        let mut tables = Vec::new();
        for name in schema.table_names() {
            if let Ok(Some(table)) = schema.table(&name).await {
                tables.push((name, table.schema()));
            }
        }
        tables.sort_by(|a, b| a.0.cmp(&b.0));
        tables
    }

    /// Names of every function that SQL sees, sorted.
    pub fn functions(&self) -> Vec<String> {
        let state = self.context.state();
        let mut names: Vec<String> = state
            .scalar_functions()
            .keys()
            .chain(state.aggregate_functions().keys())
            .chain(state.window_functions().keys())
            .cloned()
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Says why a function that exists elsewhere does not exist here.
    fn explain(&self, error: DataFusionError) -> QueryError {
        let error = QueryError::from(error);
        let QueryError::Plan { message: text, line } = &error else { return error };
        let is_named = |name: &&String| {
            text.contains(&format!("Invalid function '{name}'")) || text.ends_with(&format!("No field named {name}"))
        };
        match self.removed.iter().find(is_named) {
            Some(name) => QueryError::Plan {
                message: format!(
                    "{name} is not available in a rule, which must answer the same tomorrow: use the times of the calls"
                ),
                line: *line,
            },
            None => error,
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tables: Vec<&String> = self.tables.iter().map(|(name, _)| name).collect();
        f.debug_struct("Session").field("tables", &tables).field("options", &self.options).finish_non_exhaustive()
    }
}

/// Queries only: no DDL, no DML, no settings.
fn read_only() -> SQLOptions {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false)
}

/// The name among several that is so near to a wrong one that it may have been meant.
pub(crate) fn near<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    let distance = |name: &str| strsim::osa_distance(&wrong, &name.to_lowercase());
    let best = names.map(|name| (distance(name), name)).min()?;
    // A third of the word may be wrong.
    (best.0 * 3 <= wrong.chars().count().max(3)).then_some(best.1)
}

#[cfg(test)]
mod tests;
