//! Gives packed rows: those that pass the conditions above the scan, and only the columns that are asked for.
//!
//! A condition on one column of keys is tried once on each distinct value. Conditions on other columns, and what a join has learned
//! of its other side meanwhile, are tried on the rows that are left, before the rest of their columns is unpacked, functions last.

use super::packing::as_texts;
use super::{BATCH, Column, Keys, Packed};
use arrow::array::{Array as _, ArrayRef, AsArray as _, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{BatchCoalescer, cast, filter, take};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::common::{Statistics, cast::as_boolean_array};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_expr_common::physical_expr::snapshot_generation;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use std::sync::Arc;

/// Of a piece, a part of the rows this small is chosen before its text becomes views.
const FEW: usize = 8;
/// Bytes of text that may be counted with every batch.
const SMALL: usize = 32 << 10;

/// Some columns of a packed table.
#[derive(Clone, Debug)]
pub(super) struct PackedExec {
    packed: Arc<Packed>,
    schema: SchemaRef,
    conditions: Vec<Condition>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// A condition that rows must pass.
#[derive(Clone, Debug)]
struct Condition {
    /// Over `columns` alone.
    expr: Arc<dyn PhysicalExpr>,
    columns: SchemaRef,
}

impl PackedExec {
    pub(super) fn new(packed: Arc<Packed>, schema: Schema, partitions: usize) -> Self {
        let schema = Arc::new(schema);
        let partitions = partitions.min(packed.rows.div_ceil(BATCH)).max(1);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::NonCooperative);
        let metrics = ExecutionPlanMetricsSet::new();
        Self { packed, schema, conditions: Vec::new(), properties: Arc::new(properties), metrics }
    }

    fn partitions(&self) -> usize {
        self.properties.partitioning.partition_count()
    }
}

impl DisplayAs for PackedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(f, "PackedExec: rows={}, columns=[{}]", self.packed.rows, names.join(", "))?;
        self.conditions.iter().try_for_each(|condition| write!(f, ", where {}", condition.expr))
    }
}

impl ExecutionPlan for PackedExec {
    fn name(&self) -> &'static str {
        "PackedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        each: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for condition in &self.conditions {
            if each(&condition.expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        let rows = self.packed.rows / partition.map_or(1, |_| self.partitions());
        statistics.num_rows = match partition {
            None if self.conditions.is_empty() => Precision::Exact(rows),
            _ => Precision::Inexact(rows),
        };
        // What a row takes unpacked, roughly: joins build on the smaller side.
        statistics.total_byte_size = Precision::Inexact(rows * 24 * self.schema.fields().len());
        Ok(Arc::new(statistics))
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let mut exec = self.clone();
        for asked in &result.parent_filters {
            exec.conditions.push(Condition::new(&asked.filter, &self.schema)?);
        }
        // What a join or a limit learns as it goes only helps; it sees to the rest itself.
        let done = if phase == FilterPushdownPhase::Pre { PushedDown::Yes } else { PushedDown::No };
        Ok(FilterPushdownPropagation {
            filters: vec![done; result.parent_filters.len()],
            updated_node: (!result.parent_filters.is_empty()).then(|| Arc::new(exec) as _),
        })
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let pieces = (partition..self.packed.rows.div_ceil(BATCH)).step_by(self.partitions());
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let mut tests: Vec<Test> =
            self.conditions.iter().map(|condition| Test::new(condition.clone(), &self.packed)).collect();
        tests.sort_by_key(|test| test.condition.cost());
        let mut reader = Reader {
            packed: Arc::clone(&self.packed),
            schema: Arc::clone(&self.schema),
            tests,
            passed: BatchCoalescer::new(Arc::clone(&self.schema), BATCH),
            pieces,
        };
        let batches = std::iter::from_fn(move || {
            let timer = metrics.elapsed_compute().timer();
            let batch = reader.next().transpose();
            timer.done();
            if let Some(Ok(batch)) = &batch {
                metrics.record_output(batch.num_rows());
            }
            batch
        });
        let batches = futures::stream::iter(batches);
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)))
    }
}

impl Condition {
    fn new(expr: &Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Result<Self> {
        let mut columns: Vec<usize> = collect_columns(expr).iter().map(|column| column.index()).collect();
        columns.sort_unstable();
        let columns = Arc::new(schema.project(&columns)?);
        Ok(Self { expr: reassign_expr_columns(Arc::clone(expr), &columns)?, columns })
    }

    /// Conditions are tried in the order of this. What a join has learned of its other side leaves few rows, for the price of a look at an
    /// id; a function may read every text.
    fn cost(&self) -> u8 {
        let has_function =
            self.expr.exists(|part| Ok(part.downcast_ref::<ScalarFunctionExpr>().is_some())).unwrap_or(true);
        match (snapshot_generation(&self.expr) != 0, has_function) {
            (false, false) => 0,
            (true, _) => 1,
            (false, true) => 2,
        }
    }

    /// Which of these rows pass.
    fn passes(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<BooleanArray> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.columns), columns, &options)?;
        let answer = self.expr.evaluate(&batch)?.into_array(rows)?;
        let answer = as_boolean_array(&answer)?;
        Ok(match answer.null_count() {
            0 => answer.clone(),
            _ => arrow::compute::prep_null_mask_filter(answer),
        })
    }
}

/// A condition at work.
struct Test {
    condition: Condition,
    /// The column of keys that it is about, if it is about one.
    keys: Option<usize>,
    /// Which keys pass, since the condition was last changed.
    known: Option<(u64, BooleanArray)>,
}

impl Test {
    fn new(condition: Condition, packed: &Packed) -> Self {
        let keys = match condition.columns.fields().as_ref() {
            [one] => {
                packed.schema.index_of(one.name()).ok().filter(|at| matches!(packed.columns[*at], Column::Keys { .. }))
            }
            _ => None,
        };
        Self { condition, keys, known: None }
    }

    /// The keys of the rows, and which of them pass; `None` if that cannot be told by key.
    fn by_key<'p>(&mut self, packed: &'p Packed) -> Option<(&'p Keys, &BooleanArray)> {
        let Column::Keys { keys, values } = &packed.columns[self.keys?] else { return None };
        let generation = snapshot_generation(&self.condition.expr);
        if self.known.as_ref().is_none_or(|(known, _)| *known != generation) {
            match self.condition.passes(vec![Arc::clone(values)], values.len()) {
                Ok(passes) => self.known = Some((generation, passes)),
                // An error of a value whose rows other conditions leave out is none.
                Err(_) => self.keys = None,
            }
        }
        self.keys?;
        self.known.as_ref().map(|(_, passes)| (keys, passes))
    }
}

impl Keys {
    /// Of the rows from a place on, those that are picked already and whose key passes. `None`: all of them.
    fn pick(&self, from: usize, rows: usize, passes: &BooleanArray, picked: Option<Vec<u32>>) -> Option<Vec<u32>> {
        fn narrow<K: Copy + Into<usize>>(keys: &[K], passes: &BooleanArray, picked: Option<Vec<u32>>) -> Vec<u32> {
            let passes = |row: &u32| passes.value(keys[*row as usize].into());
            match picked {
                None => (0..keys.len() as u32).filter(passes).collect(),
                Some(mut picked) => {
                    picked.retain(passes);
                    picked
                }
            }
        }
        if passes.false_count() == 0 {
            return picked;
        }
        if passes.true_count() == 0 {
            return Some(Vec::new());
        }
        Some(match self {
            // One value, which neither passes nor does not.
            Self::One(_) => Vec::new(),
            Self::Byte(keys) => narrow(&keys.values()[from..from + rows], passes, picked),
            Self::Short(keys) => narrow(&keys.values()[from..from + rows], passes, picked),
        })
    }
}

/// Reads the pieces of one partition.
struct Reader<P> {
    packed: Arc<Packed>,
    schema: SchemaRef,
    tests: Vec<Test>,
    /// Rows that passed, until they are enough for a batch.
    passed: BatchCoalescer,
    pieces: P,
}

impl<P: Iterator<Item = usize>> Reader<P> {
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.passed.next_completed_batch() {
                return Ok(Some(batch));
            }
            let Some(piece) = self.pieces.next() else {
                self.passed.finish_buffered_batch()?;
                return Ok(self.passed.next_completed_batch());
            };
            let Some(rows) = self.chosen(piece)? else {
                let batch = self.unpacked(piece, None)?;
                if self.passed.is_empty() {
                    return Ok(Some(batch));
                }
                self.passed.push_batch(batch)?;
                continue;
            };
            if !rows.is_empty() {
                let batch = self.unpacked(piece, Some(&rows))?;
                self.passed.push_batch(batch)?;
            }
        }
    }

    /// The rows of a piece that pass, by their place in it; `None` if all do.
    fn chosen(&mut self, piece: usize) -> Result<Option<UInt32Array>> {
        let (from, rows) = self.packed.bounds(piece);
        let mut picked = None;
        for test in &mut self.tests {
            if let Some((keys, passes)) = test.by_key(&self.packed) {
                picked = keys.pick(from, rows, passes, picked);
            }
        }
        let mut chosen = picked.filter(|picked: &Vec<u32>| picked.len() < rows).map(UInt32Array::from);
        for test in self.tests.iter().filter(|test| test.keys.is_none()) {
            let left = chosen.as_ref().map_or(rows, UInt32Array::len);
            if left == 0 {
                break;
            }
            let names = test.condition.columns.fields().iter();
            let columns =
                names.map(|field| self.packed.column(field.name(), field.data_type(), piece, chosen.as_ref()));
            let passes = test.condition.passes(columns.collect::<Result<_>>()?, left)?;
            let count = passes.true_count();
            if count < left {
                let before = chosen.take().unwrap_or_else(|| UInt32Array::from_iter_values(0..rows as u32));
                chosen = Some(filter(&before, &passes)?.as_primitive().clone());
            }
        }
        Ok(chosen)
    }

    fn unpacked(&self, piece: usize, chosen: Option<&UInt32Array>) -> Result<RecordBatch> {
        let fields = self.schema.fields().iter();
        let columns = fields.map(|field| self.packed.column(field.name(), field.data_type(), piece, chosen));
        let rows = chosen.map_or(self.packed.bounds(piece).1, UInt32Array::len);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let columns = columns.collect::<Result<_>>()?;
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

impl Packed {
    /// First row of a piece, and how many it has.
    fn bounds(&self, piece: usize) -> (usize, usize) {
        let from = piece * BATCH;
        (from, BATCH.min(self.rows - from))
    }

    /// A column of a piece, or of the chosen rows of it.
    fn column(
        &self,
        name: &str,
        data_type: &arrow::datatypes::DataType,
        piece: usize,
        chosen: Option<&UInt32Array>,
    ) -> Result<ArrayRef> {
        let (from, rows) = self.bounds(piece);
        match &self.columns[self.schema.index_of(name)?] {
            Column::Keys { keys, values } => {
                let keys = keys.slice(from, rows);
                Ok(match chosen {
                    None => own_text(take(values, &keys, None)?),
                    Some(chosen) => take(values, &take(&keys, chosen, None)?, None)?,
                })
            }
            Column::Plain(pieces) => {
                let piece = &pieces[piece];
                let of_type = |array: &ArrayRef| match as_texts(array) {
                    Some(texts) => Ok(cast(&texts, data_type)?),
                    None => Ok(cast(array, data_type)?),
                };
                match chosen {
                    None => of_type(piece),
                    // Text of many rows becomes views of the piece first, so that choosing copies no text.
                    Some(chosen) if chosen.len() > rows / FEW && piece.as_fixed_size_binary_opt().is_none() => {
                        Ok(take(&of_type(piece)?, chosen, None)?)
                    }
                    Some(chosen) => of_type(&take(piece, chosen, None)?),
                }
            }
        }
    }
}

/// Text of its own: views into all distinct values of a column would be counted as if each batch held them all. That matters if they are many.
fn own_text(array: ArrayRef) -> ArrayRef {
    match array.as_string_view_opt() {
        Some(views) if views.data_buffers().iter().map(|buffer| buffer.len()).sum::<usize>() > SMALL => {
            Arc::new(views.gc())
        }
        _ => array,
    }
}
