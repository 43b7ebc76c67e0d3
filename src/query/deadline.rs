//! Ends a query whose time is up, from within.
//!
//! Dropping a query's stream does not stop an operator in the middle of its work, and a join of everything with everything may work
//! for hours before it hands on a row. So the clock is looked at wherever rows pass from one operator to the next, and wherever a join tries
//! its condition.

use super::mapped::MappedExec;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

/// How long a query may take, and the clock that says so.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimit {
    pub limit: Duration,
    /// Time since some start.
    pub clock: fn() -> Duration,
}

/// A query took longer than it may.
#[derive(Debug, thiserror::Error)]
#[error("not done after {0:?}")]
pub(super) struct TimeIsUp(pub(super) Duration);

/// The moment at which a query must end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    limit: TimeLimit,
    at: Duration,
}

impl Deadline {
    /// Counted from now.
    pub(super) fn new(limit: TimeLimit) -> Self {
        Self { limit, at: (limit.clock)().saturating_add(limit.limit) }
    }

    fn passed(&self) -> Result<()> {
        match (self.limit.clock)() < self.at {
            true => Ok(()),
            false => Err(DataFusionError::External(Box::new(TimeIsUp(self.limit.limit)))),
        }
    }
}

/// The plan, which ends with an error when the time is up.
pub(super) fn limited(plan: Arc<dyn ExecutionPlan>, deadline: Deadline) -> Result<Arc<dyn ExecutionPlan>> {
    let watched = |node: Arc<dyn ExecutionPlan>| {
        let input = with_watched_condition(node, deadline)?;
        Ok(Transformed::yes(MappedExec::over(input, "WatchedExec", move |batch| deadline.passed().and(batch))))
    };
    plan.transform_up(watched).data()
}

fn with_watched_condition(node: Arc<dyn ExecutionPlan>, deadline: Deadline) -> Result<Arc<dyn ExecutionPlan>> {
    let watched = |filter: &JoinFilter| {
        let inner = Arc::clone(filter.expression());
        let expression = Arc::new(WatchedExpr { inner, deadline });
        JoinFilter::new(expression, filter.column_indices().to_vec(), Arc::clone(filter.schema()))
    };
    if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>()
        && let Some(filter) = join.filter()
    {
        return Ok(Arc::new(NestedLoopJoinExecBuilder::from(join).with_filter(Some(watched(filter))).build()?));
    }
    if let Some(join) = node.downcast_ref::<HashJoinExec>()
        && let Some(filter) = join.filter()
    {
        return join.builder().with_filter(Some(watched(filter))).build_exec();
    }
    Ok(node)
}

/// Evaluates a condition while there is time.
#[derive(Debug)]
struct WatchedExpr {
    inner: Arc<dyn PhysicalExpr>,
    deadline: Deadline,
}

impl fmt::Display for WatchedExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PartialEq for WatchedExpr {
    fn eq(&self, other: &Self) -> bool {
        self.deadline.at == other.deadline.at && self.inner.eq(&other.inner)
    }
}

impl Eq for WatchedExpr {}

impl Hash for WatchedExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl PhysicalExpr for WatchedExpr {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.deadline.passed()?;
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Self { inner: children.swap_remove(0), deadline: self.deadline }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}
