//! What a query cost: rows that it read, time that its operators worked, memory that they held.

use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, metrics::MetricValue};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Cost of one query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Cost {
    /// Rows that came out of tables, after what reading them could leave out.
    pub rows_read: u64,
    /// Seconds that operators worked, summed over threads; reading files included.
    pub compute_seconds: f64,
    /// Most bytes that sorts, joins and aggregates held at once.
    pub peak_bytes: u64,
}

impl Cost {
    /// The cost of two queries.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            rows_read: self.rows_read + other.rows_read,
            compute_seconds: self.compute_seconds + other.compute_seconds,
            peak_bytes: self.peak_bytes.max(other.peak_bytes),
        }
    }

    /// The cost of a plan that has run. Memory is known to its session only.
    pub(crate) fn of(plan: &Arc<dyn ExecutionPlan>) -> Self {
        let mut cost = Self::default();
        let mut nanos = 0;
        let visited = plan.apply(|node| {
            let metrics = node.metrics().unwrap_or_default();
            nanos += metrics.elapsed_compute().unwrap_or_default();
            if node.children().is_empty() {
                cost.rows_read += metrics.output_rows().unwrap_or_default() as u64;
                for metric in metrics.iter() {
                    // Decoding files is not among what counts as computing.
                    if let MetricValue::Time { name, time } = metric.value()
                        && name == "time_elapsed_processing"
                    {
                        nanos += time.value();
                    }
                }
            }
            Ok(TreeNodeRecursion::Continue)
        });
        debug_assert!(visited.is_ok(), "the visitor does not fail");
        cost.compute_seconds = nanos as f64 / 1e9;
        cost
    }
}

/// Names of the stored tables that a plan reads, through views and subqueries.
pub(crate) fn tables_read(plan: &LogicalPlan) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    collect(plan, &mut names);
    names
}

fn collect(plan: &LogicalPlan, names: &mut BTreeSet<String>) {
    let visited = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            match scan.source.get_logical_plan() {
                Some(view) => collect(&view, names),
                None => {
                    names.insert(scan.table_name.table().to_owned());
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(visited.is_ok(), "the visitor does not fail");
}

/// A part of a memory pool that knows how much of it was in use at once.
pub(super) struct Metered {
    pool: Arc<dyn MemoryPool>,
    used: AtomicUsize,
    peak: AtomicUsize,
}

impl Metered {
    pub(super) fn new(pool: Arc<dyn MemoryPool>) -> Self {
        Self { pool, used: AtomicUsize::new(0), peak: AtomicUsize::new(0) }
    }

    pub(super) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed) as u64
    }

    fn grown(&self, bytes: usize) {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(used, Ordering::Relaxed);
    }
}

impl MemoryPool for Metered {
    fn name(&self) -> &str {
        self.pool.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.pool.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.pool.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.pool.grow(reservation, additional);
        self.grown(additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.pool.shrink(reservation, shrink);
        self.used.fetch_sub(shrink, Ordering::Relaxed);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.pool.try_grow(reservation, additional)?;
        self.grown(additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.pool.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.pool.memory_limit()
    }
}

impl fmt::Debug for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pool.fmt(f)
    }
}

impl fmt::Display for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.pool, f)
    }
}
