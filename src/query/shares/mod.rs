//! The lake in shares of its sessions, for a query that needs more memory than there is.
//!
//! Most rules ask what happened within one session. Such a query over a quarter of the sessions takes a quarter of the memory, and its rows over all
//! quarters are the rows over everything. [`separable`] says of which queries that is true. It rests on rows about one call being in one
//! share, which the lake does not promise: a late view of a call may bring a better name for its session, while observables have the old one. So the
//! ids of all rows are looked at first, and sessions that share a call stay together.

mod separable;

use super::{QueryError, STORED, Session};
use arrow::array::AsArray as _;
use arrow::array::{Array as _, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session as State, TableProvider};
use datafusion::common::{DFSchema, ParamValues};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TableProviderFilterPushDown,
    TableType, Volatility, ident,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExecBuilder;
use futures::TryStreamExt as _;
use separable::{Of, SHARED_OUT};
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

/// The column by which rows are shared out.
const SESSION: &str = "session_id";

/// Digests must be the same wherever they are taken in a run.
static DIGESTS: LazyLock<ahash::RandomState> = LazyLock::new(|| ahash::RandomState::with_seeds(1, 2, 3, 4));

fn digest(text: &str) -> u64 {
    DIGESTS.hash_one(text)
}

/// One of several shares of a lake.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    at: usize,
    of: usize,
    together: Arc<Together>,
}

impl PartialEq for Share {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.of) == (other.at, other.of) && Arc::ptr_eq(&self.together, &other.together)
    }
}

impl Eq for Share {}

impl Hash for Share {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.at, self.of).hash(state);
    }
}

impl Share {
    fn has(&self, session: Option<&str>) -> bool {
        // The low bits of a digest choose places in hash tables.
        let place = self.together.root(session.map_or(0, digest)).rotate_left(24);
        place % self.of as u64 == self.at as u64
    }
}

/// Sessions that share calls: of each such session another of its kind, and so on up to one that stands for all.
#[derive(Debug, Default)]
pub(super) struct Together(HashMap<u64, u64>);

impl Together {
    fn root(&self, mut session: u64) -> u64 {
        while let Some(other) = self.0.get(&session) {
            session = *other;
        }
        session
    }

    fn join(&mut self, a: u64, b: u64) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            self.0.insert(a.max(b), a.min(b));
        }
    }

    /// Reads the ids of all rows that are shared out; `None` if some have none.
    async fn of(session: &Session) -> Result<Option<Self>, QueryError> {
        let mut together = Self::default();
        // Calls by their ids, and those that only other tables know.
        let (mut calls, mut others) = (Vec::new(), HashMap::<u64, u64>::new());
        for (table, columns) in SHARED_OUT {
            if !session.tables.iter().any(|(name, _)| name == table) {
                continue;
            }
            for (column, _) in columns.iter().filter(|(_, of)| *of == Of::Call) {
                let mut rows = session.sql(&format!("SELECT {column}, {SESSION} FROM {STORED}.{table}")).await?;
                let mut last = None;
                while let Some(batch) = rows.try_next().await? {
                    let [ids, sessions] =
                        [cast(batch.column(0), &DataType::Utf8View)?, cast(batch.column(1), &DataType::Utf8View)?];
                    if ids.null_count() > 0 {
                        return Ok(None);
                    }
                    for (id, session) in ids.as_string_view().iter().zip(sessions.as_string_view()) {
                        let pair = (digest(id.unwrap_or_default()), session.map_or(0, digest));
                        if *table == "calls" {
                            calls.push(pair);
                        } else if last != Some(pair) {
                            // What one call names stands together.
                            last = Some(pair);
                            together.meet(&calls, &mut others, pair);
                        }
                    }
                }
                if *table == "calls" {
                    calls.sort_unstable();
                    for pair in calls.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
                        together.join(pair[0].1, pair[1].1);
                    }
                }
            }
        }
        Ok(Some(together))
    }

    fn meet(&mut self, calls: &[(u64, u64)], others: &mut HashMap<u64, u64>, (id, session): (u64, u64)) {
        let from = calls.partition_point(|(known, _)| *known < id);
        match calls.get(from).filter(|(known, _)| *known == id) {
            Some((_, known)) => self.join(*known, session),
            None => {
                let known = *others.entry(id).or_insert(session);
                self.join(known, session);
            }
        }
    }
}

impl Session {
    /// So many shares of the lake for a rule's query, or none if its rows over the shares are not its rows over everything.
    /// `rule` is the rule's session.
    pub(crate) async fn shares(
        &self,
        rule: &Self,
        text: &str,
        params: &ParamValues,
        of: usize,
    ) -> Result<Vec<Share>, QueryError> {
        let (mut state, statement, narrow) = rule.narrow(text)?;
        state.register_catalog_list(narrow.catalogs()?);
        let plan = state.statement_to_plan(statement).await?.with_param_values(params.clone())?;
        if !separable::is_separable(&state.optimize(&plan)?) {
            return Ok(Vec::new());
        }
        let together = async || Ok::<_, QueryError>(Together::of(self).await?.map(Arc::new));
        let Some(together) = self.together.get_or_try_init(together).await? else { return Ok(Vec::new()) };
        Ok((0..of).map(|at| Share { at, of, together: Arc::clone(together) }).collect())
    }
}

/// The tables with the rows of one share.
pub(super) fn of_share(
    tables: &[(String, Arc<dyn TableProvider>)],
    share: &Share,
) -> Vec<(String, Arc<dyn TableProvider>)> {
    let is_in_share = Arc::new(ScalarUDF::new_from_impl(IsInShare {
        share: share.clone(),
        signature: Signature::string(1, Volatility::Immutable),
    }));
    let shared = |(name, table): &(String, Arc<dyn TableProvider>)| {
        let is_shared = SHARED_OUT.iter().any(|(shared, _)| shared == name);
        let table = match is_shared {
            true => Arc::new(ShareTable { table: Arc::clone(table), is_in_share: Arc::clone(&is_in_share) }) as _,
            false => Arc::clone(table),
        };
        (name.clone(), table)
    };
    tables.iter().map(shared).collect()
}

/// A table with the rows of one share.
#[derive(Debug)]
struct ShareTable {
    table: Arc<dyn TableProvider>,
    is_in_share: Arc<ScalarUDF>,
}

#[async_trait]
impl TableProvider for ShareTable {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        self.table.table_type()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.table.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn State,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.table.schema();
        let session = schema.index_of(SESSION)?;
        let wanted: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..schema.fields().len()).collect());
        let mut read = wanted.clone();
        if !read.contains(&session) {
            read.push(session);
        }
        // Rows of other shares do not count towards a limit.
        let rows = self.table.scan(state, Some(&read), filters, None).await?;
        let fields = DFSchema::try_from(rows.schema())?;
        let condition = state.create_physical_expr(self.is_in_share.call(vec![ident(SESSION)]), &fields)?;
        let kept = (read.len() > wanted.len()).then(|| (0..wanted.len()).collect());
        Ok(Arc::new(FilterExecBuilder::new(condition, rows).apply_projection(kept)?.build()?))
    }
}

/// Whether a session is in the share.
#[derive(Debug, PartialEq, Eq, Hash)]
struct IsInShare {
    share: Share,
    signature: Signature,
}

impl ScalarUDFImpl for IsInShare {
    fn name(&self) -> &'static str {
        "is_in_share"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let sessions = cast(&args.args[0].to_array(args.number_rows)?, &DataType::Utf8View)?;
        let is_in = sessions.as_string_view().iter().map(|session| Some(self.share.has(session)));
        Ok(ColumnarValue::Array(Arc::new(is_in.collect::<BooleanArray>())))
    }
}

#[cfg(test)]
mod tests;
