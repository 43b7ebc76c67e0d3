//! A rule's query in steps: what it reads twice, or what other rules compute as well, is computed once and kept.
//!
//! DataFusion puts the query of a `WITH` clause in wherever its name stands, and computes it as often. The result of a step that is read more than
//! once, or has distinct rows, is kept while the rule runs if it is small; a step that reads tables alone, in the same words as that of another rule, is kept for all rules.
//! Of a built-in rule, a step that all others hang on is computed first, and where it has no rows the rest is not even planned.

use super::deadline::{self, Deadline};
use super::essential::essential;
use super::narrow::Narrow;
use super::own::{own_batch, owned};
use super::{Cost, QueryError, Session, read_only, tables_read, views};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::view::ViewTable;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::utils::memory::RecordBatchMemoryCounter;
use datafusion::common::{DFSchema, ParamValues};
use datafusion::dataframe::DataFrame;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{EmptyRelation, LogicalPlan};
use datafusion::physical_plan::{EmptyRecordBatchStream, ExecutionPlan, execute_stream};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    self, Cte, Expr, GroupByExpr, ObjectName, Query, Select, SetExpr, Visit, Visitor, With,
};
use futures::StreamExt as _;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::OnceCell;

/// Bytes of one step that are kept while a rule runs, and of one that is kept for all rules. A larger one is computed where it is read.
const OF_RULE: usize = 64 << 20;
const OF_ALL: usize = 8 << 20;
/// Bytes of a step that is computed first because others hang on it, where rows come out one by one: of a larger one this much is computed twice.
const OF_FIRST: usize = 1 << 20;

/// The rows of a rule's query, and what it took to get them.
pub(crate) struct Running {
    pub(crate) rows: SendableRecordBatchStream,
    /// Names of the stored tables that the query reads.
    pub(crate) reads: BTreeSet<String>,
    plans: Vec<Arc<dyn ExecutionPlan>>,
    /// Results of steps, until the rows have been read.
    _kept: Vec<Arc<Step>>,
}

impl Running {
    /// What was spent so far; memory is known to the session only.
    pub(crate) fn cost(&self) -> Cost {
        self.plans.iter().map(Cost::of).fold(Cost::default(), Cost::plus)
    }
}

/// Steps of all rules of a session.
#[derive(Default)]
pub(super) struct SharedSteps(Mutex<HashMap<String, Arc<Shared>>>);

#[derive(Default)]
struct Shared {
    /// Rules that have it.
    uses: AtomicUsize,
    /// `None`: it is too large to keep.
    step: OnceCell<Option<Arc<Step>>>,
}

impl SharedSteps {
    fn get(&self, text: String) -> Arc<Shared> {
        Arc::clone(self.0.lock().entry(text).or_default())
    }
}

/// The result of a step.
struct Step {
    table: Arc<dyn TableProvider>,
    is_empty: bool,
    reads: BTreeSet<String>,
    memory: MemoryReservation,
}

impl Step {
    fn bytes(&self) -> usize {
        self.memory.size()
    }
}

/// What has become of a query's steps.
#[derive(Default)]
struct Taken {
    /// Those that are computed where they are read.
    left: Option<With>,
    kept: Vec<Arc<Step>>,
    /// One that the query's rows are made of has none.
    is_empty: bool,
}

/// How the steps of one rule are planned and run.
struct Runner<'a> {
    state: SessionState,
    params: &'a ParamValues,
    limit: Option<Deadline>,
    plans: Vec<Arc<dyn ExecutionPlan>>,
    reads: BTreeSet<String>,
}

impl Session {
    /// When the query of a rule that starts now must have ended.
    pub(crate) fn rule_ends(&self) -> Option<Deadline> {
        self.options.rule_time.map(Deadline::new)
    }

    /// Starts the query of a rule. What is wrong with one that was not checked before is told even where its first steps have no rows.
    pub(crate) async fn run_rule(
        &self,
        text: &str,
        params: ParamValues,
        limit: Option<Deadline>,
        is_checked: bool,
    ) -> Result<Running, QueryError> {
        match self.run_in_steps(text, &params, limit, is_checked).await {
            Err(error) if !matches!(error, QueryError::TimedOut(_) | QueryError::Memory(_)) => {
                // What is wrong is told of the query as it was written.
                let frame = self.plan(text, Some(params.clone())).await?;
                let mut runner = Runner::new(self.context.state(), &params, limit);
                let rows = runner.start(frame).await?;
                Ok(Running { rows, reads: runner.reads, plans: runner.plans, _kept: Vec::new() })
            }
            started => started,
        }
    }

    async fn run_in_steps(
        &self,
        text: &str,
        params: &ParamValues,
        limit: Option<Deadline>,
        is_checked: bool,
    ) -> Result<Running, QueryError> {
        let (mut state, mut statement, narrow) = self.narrow(text)?;
        state.register_catalog_list(narrow.catalogs()?);
        let mut runner = Runner::new(state, params, limit);
        let mut kept = Vec::new();
        if let Some(query) = query_of(&mut statement)
            && let Some(with) = query.with.take()
        {
            let named = self.stored(&with, query);
            let taken = self.steps(with, query, &mut runner, &narrow, is_checked).await?;
            if taken.is_empty {
                let rows = Box::pin(EmptyRecordBatchStream::new(Arc::new(Schema::empty())));
                return Ok(Running { rows, reads: named, plans: runner.plans, _kept: taken.kept });
            }
            query.with = taken.left;
            kept = taken.kept;
        }
        let plan = runner.state.statement_to_plan(statement).await?;
        let frame = self.completed(DataFrame::new(runner.state.clone(), plan), Some(params.clone()))?;
        let rows = runner.start(frame).await?;
        let names = narrow.made();
        runner.reads.retain(|name| !names.contains(name));
        Ok(Running { rows, reads: runner.reads, plans: runner.plans, _kept: kept })
    }

    /// The stored tables that a query names, itself or through views.
    fn stored(&self, with: &With, query: &Query) -> BTreeSet<String> {
        let mut names = relations(query);
        names.extend(with.cte_tables.iter().flat_map(|step| relations(&step.query)));
        let stored = names.iter().flat_map(|name| views::stored(name));
        stored.filter(|name| self.tables.iter().any(|(table, _)| table == name)).map(str::to_owned).collect()
    }

    /// Computes the steps that are worth it.
    async fn steps(
        &self,
        with: With,
        query: &Query,
        runner: &mut Runner<'_>,
        narrow: &Narrow,
        is_checked: bool,
    ) -> Result<Taken, QueryError> {
        let mut taken = Taken::default();
        // A name that a query inside gives to something else would be taken for the step.
        let is_plain = |cte: &Cte| cte.alias.columns.is_empty() && cte.query.with.is_none() && cte.from.is_none();
        if with.recursive || !with.cte_tables.iter().all(is_plain) || has_with(query) {
            return Ok(Taken { left: Some(with), ..taken });
        }
        let With { with_token, recursive, mut cte_tables } = with;
        let is_aggregate = |name: &str| runner.state.aggregate_functions().contains_key(name);
        let essential = if is_checked { essential(&cte_tables, query, &is_aggregate) } else { BTreeSet::new() };
        let mut comes_first = true;
        let mut at = 0;
        while at < cte_tables.len() {
            let name = name_of(&cte_tables[at]);
            let later = cte_tables[at + 1..].iter().map(|cte| reads(&cte.query, &name)).sum::<usize>();
            // Distinct rows are few, and what is known of them helps to plan the rest.
            let read = later + reads(query, &name) + usize::from(is_distinct(&cte_tables[at].query));
            let needed = needed(&cte_tables[..at], &cte_tables[at].query);
            let reads_others = !needed.is_empty();
            let reads_made = narrow.made().iter().any(|made| reads(&cte_tables[at].query, made) > 0);
            let mut step = Query::clone(&cte_tables[at].query);
            // What blocks is computed to its end before anything of it is seen.
            let most = if is_streamed(&step) { OF_FIRST } else { OF_RULE };
            if reads_others {
                step.with = Some(With { with_token: with_token.clone(), recursive, cte_tables: needed });
            }
            let shared = match &self.base {
                Some(base) if !reads_others && !reads_made => {
                    let shared = base.shared.get(used_params(format!("{step}"), runner.params));
                    let uses = shared.uses.fetch_add(1, Ordering::Relaxed) + 1;
                    (uses > 1 || read > 1 || shared.step.initialized()).then_some((shared, base))
                }
                _ => None,
            };
            let made = match shared {
                Some((shared, base)) => {
                    runner.collect_shared(&shared, step, &base.runtime.memory_pool, read > 1).await?
                }
                None if read > 1 => runner.collect_here(step, OF_RULE).await?,
                None if comes_first && !reads_others && essential.contains(&name) => {
                    let made = runner.collect_here(step, most).await?;
                    comes_first = made.is_some();
                    made
                }
                None => None,
            };
            match made.filter(|_| !narrow.has_table(&name)) {
                Some(step) => {
                    runner.reads.extend(step.reads.iter().cloned());
                    taken.is_empty |= step.is_empty && essential.contains(&name);
                    narrow.make(name, Arc::clone(&step.table));
                    taken.kept.push(step);
                    if taken.is_empty {
                        return Ok(taken);
                    }
                    cte_tables.remove(at);
                }
                None => at += 1,
            }
        }
        taken.left = (!cte_tables.is_empty()).then_some(With { with_token, recursive, cte_tables });
        Ok(taken)
    }
}

impl<'a> Runner<'a> {
    fn new(state: SessionState, params: &'a ParamValues, limit: Option<Deadline>) -> Self {
        Self { state, params, limit, plans: Vec::new(), reads: BTreeSet::new() }
    }

    async fn start(&mut self, frame: DataFrame) -> Result<SendableRecordBatchStream, QueryError> {
        self.reads.extend(tables_read(frame.logical_plan()));
        let context = Arc::new(frame.task_ctx());
        let mut plan = owned(frame.create_physical_plan().await?)?;
        if let Some(limit) = self.limit {
            plan = deadline::limited(plan, limit)?;
        }
        self.plans.push(Arc::clone(&plan));
        Ok(execute_stream(plan, context)?)
    }

    async fn collect_here(&mut self, step: Query, most: usize) -> Result<Option<Arc<Step>>, QueryError> {
        let pool = Arc::clone(&self.state.runtime_env().memory_pool);
        self.collect(step, &pool, most).await
    }

    /// The rows of a step that other rules have as well: one of the rules computes it. What is too large for all may still do for one of them.
    async fn collect_shared(
        &mut self,
        shared: &Shared,
        step: Query,
        pool: &Arc<dyn MemoryPool>,
        is_read_twice: bool,
    ) -> Result<Option<Arc<Step>>, QueryError> {
        let mut own = None;
        let make = async || {
            let made = self.collect(step.clone(), pool, OF_RULE).await?;
            own = Some(made.clone());
            Ok::<_, QueryError>(made.filter(|step| step.bytes() <= OF_ALL))
        };
        match (shared.step.get_or_try_init(make).await?.clone(), own) {
            (Some(step), _) => Ok(Some(step)),
            (None, Some(own)) => Ok(own),
            (None, None) if is_read_twice => self.collect_here(step, OF_RULE).await,
            (None, None) => Ok(None),
        }
    }

    /// The rows of a step; `None` if they are too many to keep.
    async fn collect(
        &mut self,
        step: Query,
        pool: &Arc<dyn MemoryPool>,
        most: usize,
    ) -> Result<Option<Arc<Step>>, QueryError> {
        let statement = Statement::Statement(Box::new(ast::Statement::Query(Box::new(step))));
        let plan = self.state.statement_to_plan(statement).await?;
        read_only().verify_plan(&plan)?;
        let reads = tables_read(&plan);
        let frame = DataFrame::new(self.state.clone(), plan).with_param_values(self.params.clone())?;
        let mut rows = self.start(frame).await?;
        let schema: SchemaRef = rows.schema();
        let memory = MemoryConsumer::new("a step of a rule").register(pool);
        let mut batches = Vec::new();
        // The batches of an aggregation are slices of one.
        let mut counted = RecordBatchMemoryCounter::new();
        while let Some(batch) = rows.next().await {
            let batch = own_batch(batch?)?;
            let bytes = counted.count_batch(&batch);
            if memory.size() + bytes > most || memory.try_grow(bytes).is_err() {
                return Ok(None);
            }
            if batch.num_rows() > 0 {
                batches.push(batch);
            }
        }
        let is_empty = batches.is_empty();
        let table: Arc<dyn TableProvider> = match is_empty {
            // The optimiser knows what is left of a query that reads nothing.
            true => Arc::new(ViewTable::new(nothing(&schema)?, None)),
            false => Arc::new(MemTable::try_new(schema, vec![batches])?),
        };
        Ok(Some(Arc::new(Step { table, is_empty, reads, memory })))
    }
}

/// A plan without rows.
fn nothing(schema: &SchemaRef) -> Result<LogicalPlan, QueryError> {
    let schema = DFSchema::try_from(Arc::clone(schema))?;
    Ok(LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema: Arc::new(schema) }))
}

fn query_of(statement: &mut Statement) -> Option<&mut Query> {
    let Statement::Statement(statement) = statement else { return None };
    match statement.as_mut() {
        ast::Statement::Query(query) => Some(query),
        _ => None,
    }
}

fn is_distinct(query: &Query) -> bool {
    matches!(query.body.as_ref(), SetExpr::Select(select) if select.distinct.is_some())
}

pub(super) fn name_of(cte: &Cte) -> String {
    cte.alias.name.value.to_ascii_lowercase()
}

/// Whether rows come out of a query as they go in: one that is stopped has not computed everything.
fn is_streamed(query: &Query) -> bool {
    struct Blocks;
    impl Visitor for Blocks {
        type Break = ();
        fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
            let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(groups, _) if groups.is_empty());
            let blocks = is_grouped || select.distinct.is_some() || select.having.is_some();
            if blocks { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(function) if function.over.is_some() => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    matches!(query.body.as_ref(), SetExpr::Select(_))
        && query.order_by.is_none()
        && query.visit(&mut Blocks).is_continue()
}

/// Every name of a table in a query, in small letters and without its schema.
fn relations(query: &Query) -> BTreeSet<String> {
    struct Names(BTreeSet<String>);
    impl Visitor for Names {
        type Break = std::convert::Infallible;
        fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Self::Break> {
            let name = relation.0.last().and_then(|part| part.as_ident());
            self.0.extend(name.map(|name| name.value.to_ascii_lowercase()));
            ControlFlow::Continue(())
        }
    }
    let mut names = Names(BTreeSet::new());
    let ControlFlow::Continue(()) = query.visit(&mut names);
    names.0
}

/// A step's text with the values of the parameters in it: what its result depends on.
fn used_params(text: String, params: &ParamValues) -> String {
    let ParamValues::Map(values) = params else { return text };
    let mut used: Vec<String> = values
        .iter()
        .filter(|(name, _)| text.contains(&format!("${name}")))
        .map(|(name, value)| format!("\n${name} = {value:?}"))
        .collect();
    used.sort();
    text + &used.concat()
}

/// The steps before a query that it reads, directly or not.
fn needed(before: &[Cte], query: &Query) -> Vec<Cte> {
    let mut wanted = vec![false; before.len()];
    for at in (0..before.len()).rev() {
        let name = name_of(&before[at]);
        let later = (at + 1..before.len()).any(|later| wanted[later] && reads(&before[later].query, &name) > 0);
        wanted[at] = later || reads(query, &name) > 0;
    }
    before.iter().zip(wanted).filter(|(_, wanted)| *wanted).map(|(cte, _)| cte.clone()).collect()
}

/// How often a query names a table.
fn reads<V: Visit>(query: &V, name: &str) -> usize {
    struct Count<'a>(&'a str, usize);
    impl Visitor for Count<'_> {
        type Break = std::convert::Infallible;
        fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Self::Break> {
            let named = relation.0.len() == 1
                && relation.0[0].as_ident().is_some_and(|ident| ident.value.eq_ignore_ascii_case(self.0));
            self.1 += usize::from(named);
            ControlFlow::Continue(())
        }
    }
    let mut count = Count(name, 0);
    let ControlFlow::Continue(()) = query.visit(&mut count);
    count.1
}

/// Whether a query inside this one has steps of its own.
fn has_with(query: &Query) -> bool {
    struct Inside(bool);
    impl Visitor for Inside {
        type Break = std::convert::Infallible;
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
            self.0 |= query.with.is_some();
            ControlFlow::Continue(())
        }
    }
    let mut inside = Inside(false);
    let ControlFlow::Continue(()) = query.visit(&mut inside);
    inside.0
}
