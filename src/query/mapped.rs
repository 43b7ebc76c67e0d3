//! A node of a plan that hands on each batch of its input, changed or refused.

use arrow::array::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt as _;
use std::fmt;
use std::sync::Arc;

/// What is done with a batch. Rows keep their order, number and schema.
type Change = Arc<dyn Fn(Result<RecordBatch>) -> Result<RecordBatch> + Send + Sync>;

pub(super) struct MappedExec {
    name: &'static str,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    change: Change,
}

impl MappedExec {
    pub(super) fn over(
        input: Arc<dyn ExecutionPlan>,
        name: &'static str,
        change: impl Fn(Result<RecordBatch>) -> Result<RecordBatch> + Send + Sync + 'static,
    ) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self { name, properties: Arc::clone(input.properties()), input, change: Arc::new(change) })
    }
}

impl fmt::Debug for MappedExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.name).field("input", &self.input).finish_non_exhaustive()
    }
}

impl DisplayAs for MappedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl ExecutionPlan for MappedExec {
    fn name(&self) -> &'static str {
        self.name
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.swap_remove(0);
        let (name, change) = (self.name, Arc::clone(&self.change));
        Ok(Arc::new(Self { name, properties: Arc::clone(input.properties()), input, change }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context)?;
        let change = Arc::clone(&self.change);
        let changed = rows.map(move |batch| change(batch));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.input.schema(), changed)))
    }
}
