//! Whether a query gives the same rows if the sessions of the lake are looked at share by share.
//!
//! Each row of `calls`, `observables`, `prompts` and `flows` is in one share: that of its session, and rows about one call are in the same. A query is
//! separable if nothing in it brings rows of two shares together: its joins compare sessions or calls, its groups and windows are
//! of one session or one call. Then the rows of the shares, put together, are the rows of the whole. This is read off the plan: what a rule's header or text says
//! of it proves nothing.

use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, NullEquality};

use datafusion::logical_expr::logical_plan::{Aggregate, Join, Projection, TableScan, Union, Unnest, Window};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, JoinType, LogicalPlan, Operator};

/// Tables whose rows are in shares, and the columns that say in which.
pub(super) const SHARED_OUT: &[(&str, &[(&str, Of)])] = &[
    ("calls", &[("session_id", Of::Session), ("call_id", Of::Call)]),
    ("observables", &[("session_id", Of::Session), ("call_id", Of::Call)]),
    ("prompts", &[("session_id", Of::Session)]),
    ("flows", &[("session_id", Of::Session), ("sink_call_id", Of::Call), ("source_call_id", Of::Call)]),
];

/// What a column names. Values of one kind say nothing about equal ones of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// A session; where it is NULL, the row is in the first share.
    Session,
    /// A call; never NULL in stored rows.
    Call,
}

/// A column that says in which share its row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    of: Of,
    /// It may also be NULL because an outer join found nothing, and then says nothing.
    missing: bool,
}

/// How the rows of a plan lie.
#[derive(Clone, Debug, PartialEq)]
enum Rows {
    /// All of them are seen with every share.
    Everywhere,
    /// Each is in one share. For each column whether it says in which.
    InShares(Vec<Option<Key>>),
}

/// Whether the rows of a plan over all shares are those of the shares put together.
pub(super) fn is_separable(plan: &LogicalPlan) -> bool {
    matches!(rows_of(plan), Some(Rows::InShares(_)))
}

/// `None`: rows of several shares come together.
fn rows_of(plan: &LogicalPlan) -> Option<Rows> {
    if !questions_are_everywhere(plan) {
        return None;
    }
    match plan {
        LogicalPlan::TableScan(scan) => of_scan(scan),
        LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => Some(Rows::Everywhere),
        LogicalPlan::Filter(filter) => rows_of(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => rows_of(&alias.input),
        LogicalPlan::Repartition(repartition) => rows_of(&repartition.input),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => rows_of(&sort.input),
        LogicalPlan::Sort(sort) => everywhere(rows_of(&sort.input)?),
        LogicalPlan::Limit(limit) => everywhere(rows_of(&limit.input)?),
        LogicalPlan::Projection(projection) => of_projection(projection),
        LogicalPlan::Aggregate(aggregate) => of_aggregate(aggregate),
        LogicalPlan::Window(window) => of_window(window),
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let rows = rows_of(input)?;
            match &rows {
                Rows::InShares(keys) => keys.iter().flatten().any(|key| !key.missing).then_some(rows),
                Rows::Everywhere => Some(rows),
            }
        }
        LogicalPlan::Distinct(Distinct::On(_)) => None,
        LogicalPlan::Union(union) => of_union(union),
        LogicalPlan::Unnest(unnest) => of_unnest(unnest),
        LogicalPlan::Join(join) => of_join(join),
        _ => None,
    }
}

/// Whether queries inside the expressions of a node see the same with every share.
fn questions_are_everywhere(plan: &LogicalPlan) -> bool {
    let mut fine = true;
    let visited = plan.apply_expressions(|expr| {
        expr.apply(|inner| {
            let question = match inner {
                Expr::ScalarSubquery(subquery) => Some(subquery),
                Expr::InSubquery(asked) => Some(&asked.subquery),
                Expr::Exists(asked) => Some(&asked.subquery),
                Expr::SetComparison(asked) => Some(&asked.subquery),
                _ => None,
            };
            if let Some(question) = question {
                fine &= question.outer_ref_columns.is_empty()
                    && matches!(rows_of(&question.subquery), Some(Rows::Everywhere));
            }
            fine &= !matches!(inner, Expr::OuterReferenceColumn(..));
            Ok(TreeNodeRecursion::Continue)
        })
    });
    visited.is_ok() && fine
}

fn everywhere(rows: Rows) -> Option<Rows> {
    (rows == Rows::Everywhere).then_some(rows)
}

fn of_scan(scan: &TableScan) -> Option<Rows> {
    if let Some(view) = scan.source.get_logical_plan() {
        let rows = rows_of(&view)?;
        let rows = match (rows, &scan.projection) {
            (Rows::InShares(keys), Some(kept)) => Rows::InShares(kept.iter().map(|at| keys[*at]).collect()),
            (rows, _) => rows,
        };
        return if scan.fetch.is_none() { Some(rows) } else { everywhere(rows) };
    }
    let Some((_, columns)) = SHARED_OUT.iter().find(|(name, _)| *name == scan.table_name.table()) else {
        return Some(Rows::Everywhere);
    };
    let key = |name: &str| {
        let known = columns.iter().find(|(column, _)| *column == name);
        known.map(|(_, of)| Key { of: *of, missing: false })
    };
    let keys = scan.projected_schema.fields().iter().map(|field| key(field.name()));
    scan.fetch.is_none().then(|| Rows::InShares(keys.collect()))
}

/// The column that an expression is, under whatever name, and in whatever layout of text.
fn column_of(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Alias(alias) => column_of(&alias.expr),
        Expr::Cast(cast) if cast.field.data_type().is_string() => column_of(&cast.expr),
        _ => None,
    }
}

/// What is known of the column that an expression is.
fn key_of(expr: &Expr, schema: &DFSchema, keys: &[Option<Key>]) -> Option<Key> {
    keys[schema.maybe_index_of_column(column_of(expr)?)?]
}

/// Whether rows with the same values of these expressions are all in one share.
fn keep_together<'a>(mut exprs: impl Iterator<Item = &'a Expr>, schema: &DFSchema, keys: &[Option<Key>]) -> bool {
    exprs.any(|expr| key_of(expr, schema, keys).is_some_and(|key| !key.missing))
}

fn of_projection(projection: &Projection) -> Option<Rows> {
    let Rows::InShares(keys) = rows_of(&projection.input)? else { return Some(Rows::Everywhere) };
    let schema = projection.input.schema();
    Some(Rows::InShares(projection.expr.iter().map(|expr| key_of(expr, schema, &keys)).collect()))
}

fn of_aggregate(aggregate: &Aggregate) -> Option<Rows> {
    let Rows::InShares(keys) = rows_of(&aggregate.input)? else { return Some(Rows::Everywhere) };
    let schema = aggregate.input.schema();
    if !keep_together(aggregate.group_expr.iter(), schema, &keys) {
        return None;
    }
    let groups = aggregate.group_expr.iter().map(|expr| key_of(expr, schema, &keys));
    // One of the values of a group, all of whose rows are in one share. Where a filter may leave none, it may be missing.
    let one_of = |expr: &Expr| {
        let mut expr = expr;
        while let Expr::Alias(alias) = expr {
            expr = &alias.expr;
        }
        let Expr::AggregateFunction(function) = expr else { return None };
        let [value] = function.params.args.as_slice() else { return None };
        let picks = ["min", "max", "first_value", "last_value"].contains(&function.func.name());
        let key = key_of(value, schema, &keys).filter(|_| picks)?;
        Some(Key { missing: key.missing || function.params.filter.is_some(), ..key })
    };
    Some(Rows::InShares(groups.chain(aggregate.aggr_expr.iter().map(one_of)).collect()))
}

fn of_window(window: &Window) -> Option<Rows> {
    let Rows::InShares(mut keys) = rows_of(&window.input)? else { return Some(Rows::Everywhere) };
    let schema = window.input.schema();
    for expr in &window.window_expr {
        let mut expr = expr;
        while let Expr::Alias(alias) = expr {
            expr = &alias.expr;
        }
        let Expr::WindowFunction(function) = expr else { return None };
        if !keep_together(function.params.partition_by.iter(), schema, &keys) {
            return None;
        }
    }
    keys.extend(window.window_expr.iter().map(|_| None));
    Some(Rows::InShares(keys))
}

fn of_union(union: &Union) -> Option<Rows> {
    let inputs: Vec<Rows> = union.inputs.iter().map(|input| rows_of(input)).collect::<Option<_>>()?;
    if inputs.iter().all(|rows| *rows == Rows::Everywhere) {
        return Some(Rows::Everywhere);
    }
    let mut common: Option<Vec<Option<Key>>> = None;
    for rows in inputs {
        let Rows::InShares(keys) = rows else { return None };
        let both = |a: Option<Key>, b: Option<Key>| {
            let (a, b) = (a?, b?);
            (a.of == b.of).then_some(Key { of: a.of, missing: a.missing || b.missing })
        };
        common = Some(match common {
            None => keys,
            Some(known) => known.into_iter().zip(keys).map(|(a, b)| both(a, b)).collect(),
        });
    }
    common.map(Rows::InShares)
}

fn of_unnest(unnest: &Unnest) -> Option<Rows> {
    let Rows::InShares(keys) = rows_of(&unnest.input)? else { return Some(Rows::Everywhere) };
    // Keys are texts, so what is unnested is none of them.
    Some(Rows::InShares(unnest.dependency_indices.iter().map(|at| keys[*at]).collect()))
}

fn of_join(join: &Join) -> Option<Rows> {
    let (left, right) = (rows_of(&join.left)?, rows_of(&join.right)?);
    let width = |side: &LogicalPlan| vec![None; side.schema().fields().len()];
    let (mut left_keys, mut right_keys) = match (left, right) {
        (Rows::Everywhere, Rows::Everywhere) => return Some(Rows::Everywhere),
        // Whose rows are everywhere must not be what is handed on, or left over, once for each share.
        (Rows::InShares(keys), Rows::Everywhere) => {
            use JoinType::{Inner, Left, LeftAnti, LeftMark, LeftSemi};
            matches!(join.join_type, Inner | Left | LeftSemi | LeftAnti | LeftMark)
                .then(|| (keys, width(&join.right)))?
        }
        (Rows::Everywhere, Rows::InShares(keys)) => {
            use JoinType::{Inner, Right, RightAnti, RightMark, RightSemi};
            matches!(join.join_type, Inner | Right | RightSemi | RightAnti | RightMark)
                .then(|| (width(&join.left), keys))?
        }
        (Rows::InShares(left), Rows::InShares(right)) => {
            pairs_within_shares(join, &left, &right).then_some((left, right))?
        }
    };
    if matches!(join.join_type, JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi)
        && join.null_equality == NullEquality::NullEqualsNothing
    {
        // Values that are equal are there, and say the same.
        for (left, right) in &join.on {
            let place = |expr, side: &LogicalPlan| side.schema().maybe_index_of_column(column_of(expr)?);
            if let (Some(left), Some(right)) = (place(left, &join.left), place(right, &join.right)) {
                let key = left_keys[left].or(right_keys[right]).map(|key| Key { missing: false, ..key });
                let agree = left_keys[left].zip(right_keys[right]).is_none_or(|(left, right)| left.of == right.of);
                if agree {
                    (left_keys[left], right_keys[right]) = (key, key);
                }
            }
        }
    }
    let missing = |keys: Vec<Option<Key>>| -> Vec<Option<Key>> {
        keys.into_iter().map(|key| key.map(|key| Key { missing: true, ..key })).collect()
    };
    Some(Rows::InShares(match join.join_type {
        JoinType::Inner => [left_keys, right_keys].concat(),
        JoinType::Left => [left_keys, missing(right_keys)].concat(),
        JoinType::Right => [missing(left_keys), right_keys].concat(),
        JoinType::Full => [missing(left_keys), missing(right_keys)].concat(),
        JoinType::LeftSemi | JoinType::LeftAnti => left_keys,
        JoinType::RightSemi | JoinType::RightAnti => right_keys,
        JoinType::LeftMark => [left_keys, vec![None]].concat(),
        JoinType::RightMark => [right_keys, vec![None]].concat(),
    }))
}

/// Whether all rows that a join brings together are in one share.
fn pairs_within_shares(join: &Join, left: &[Option<Key>], right: &[Option<Key>]) -> bool {
    let agree = |a: &Expr, b: &Expr, nulls: NullEquality| {
        let a = key_of(a, join.left.schema(), left);
        let b = key_of(b, join.right.schema(), right);
        let (Some(a), Some(b)) = (a, b) else { return false };
        let never_missing = !a.missing && !b.missing;
        // `NOT IN` asks whether there is a NULL anywhere.
        let null_aware = !join.null_aware || (never_missing && a.of == Of::Call);
        a.of == b.of && null_aware && (nulls == NullEquality::NullEqualsNothing || never_missing)
    };
    let in_filter = |expr: &Expr| {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return false };
        let nulls = match op {
            Operator::Eq => NullEquality::NullEqualsNothing,
            Operator::IsNotDistinctFrom => NullEquality::NullEqualsNull,
            _ => return false,
        };
        agree(left, right, nulls) || agree(right, left, nulls)
    };
    join.on.iter().any(|(a, b)| agree(a, b, join.null_equality))
        || (!join.null_aware && join.filter.iter().flat_map(split_conjunction).any(in_filter))
}
