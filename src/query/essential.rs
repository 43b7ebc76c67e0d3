//! Which steps of a query its result is made of: where one of them has no rows, the query has none either.
//!
//! Most rules find nothing, and most of these can tell so by their first step. What is not sure to be empty with a step is taken not to be.

use super::steps::name_of;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Cte, Expr, GroupByExpr, JoinOperator, ObjectName, Query, Select, SetExpr, SetOperator, TableFactor,
    TableWithJoins, Visit as _, Visitor,
};
use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

/// Names of the steps without which a query has no rows.
pub(super) fn essential(steps: &[Cte], query: &Query, is_aggregate: &dyn Fn(&str) -> bool) -> BTreeSet<String> {
    let steps: HashMap<String, &Query> = steps.iter().map(|step| (name_of(step), step.query.as_ref())).collect();
    let wanted = |name: &&String| Wanted { name: name.as_str(), steps: &steps, is_aggregate }.by_query(query);
    steps.keys().filter(wanted).cloned().collect()
}

/// Whether something has no rows where the step of this name has none.
struct Wanted<'a> {
    name: &'a str,
    steps: &'a HashMap<String, &'a Query>,
    is_aggregate: &'a dyn Fn(&str) -> bool,
}

impl Wanted<'_> {
    fn by_query(&self, query: &Query) -> bool {
        query.with.is_none() && self.by_rows(&query.body)
    }

    fn by_rows(&self, rows: &SetExpr) -> bool {
        match rows {
            SetExpr::Select(select) => self.by_select(select),
            SetExpr::Query(query) => self.by_query(query),
            SetExpr::SetOperation { op, left, right, .. } => match op {
                SetOperator::Union => self.by_rows(left) && self.by_rows(right),
                SetOperator::Intersect => self.by_rows(left) || self.by_rows(right),
                SetOperator::Except | SetOperator::Minus => self.by_rows(left),
            },
            _ => false,
        }
    }

    fn by_select(&self, select: &Select) -> bool {
        // An aggregation of nothing is a row, unless it is one of groups.
        let is_of_groups = match &select.group_by {
            GroupByExpr::Expressions(groups, modifiers) => {
                let is_plain = |group: &Expr| {
                    !matches!(group, Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) | Expr::Tuple(_))
                };
                !groups.is_empty() && modifiers.is_empty() && groups.iter().all(is_plain)
            }
            GroupByExpr::All(_) => false,
        };
        if !is_of_groups && (select.having.is_some() || self.aggregates(select)) {
            return false;
        }
        select.from.iter().any(|from| self.by_joined(from))
            || select.selection.as_ref().is_some_and(|condition| self.by_condition(condition))
    }

    fn aggregates(&self, select: &Select) -> bool {
        struct Find<'a>(&'a dyn Fn(&str) -> bool);
        impl Visitor for Find<'_> {
            type Break = ();
            fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
                match expr {
                    Expr::Function(function)
                        if function.over.is_none() && self.0(&function.name.to_string().to_ascii_lowercase()) =>
                    {
                        ControlFlow::Break(())
                    }
                    _ => ControlFlow::Continue(()),
                }
            }
        }
        select.projection.iter().any(|item| item.visit(&mut Find(self.is_aggregate)).is_break())
    }

    fn by_joined(&self, joined: &TableWithJoins) -> bool {
        joined.joins.iter().fold(self.by_table(&joined.relation), |left, join| match &join.join_operator {
            JoinOperator::Join(_)
            | JoinOperator::Inner(_)
            | JoinOperator::CrossJoin(_)
            | JoinOperator::Semi(_)
            | JoinOperator::LeftSemi(_) => left || self.by_table(&join.relation),
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) | JoinOperator::Anti(_) | JoinOperator::LeftAnti(_) => {
                left
            }
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => self.by_table(&join.relation),
            JoinOperator::FullOuter(_) => left && self.by_table(&join.relation),
            _ => false,
        })
    }

    fn by_table(&self, table: &TableFactor) -> bool {
        match table {
            TableFactor::Table { name, .. } => self.by_name(name),
            TableFactor::Derived { subquery, .. } => self.by_query(subquery),
            TableFactor::NestedJoin { table_with_joins, .. } => self.by_joined(table_with_joins),
            _ => false,
        }
    }

    fn by_name(&self, name: &ObjectName) -> bool {
        let [part] = name.0.as_slice() else { return false };
        let Some(ident) = part.as_ident() else { return false };
        let name = ident.value.to_ascii_lowercase();
        // Steps read earlier ones alone, so that this ends.
        name == self.name || self.steps.get(&name).is_some_and(|step| self.by_query(step))
    }

    fn by_condition(&self, condition: &Expr) -> bool {
        match condition {
            Expr::Nested(inner) => self.by_condition(inner),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                self.by_condition(left) || self.by_condition(right)
            }
            Expr::BinaryOp { left, op: BinaryOperator::Or, right } => {
                self.by_condition(left) && self.by_condition(right)
            }
            Expr::InSubquery { subquery, negated: false, .. } | Expr::Exists { subquery, negated: false } => {
                self.by_query(subquery)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::essential;
    use datafusion::sql::sqlparser::ast::Statement;
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    fn of(sql: &str) -> String {
        let mut statements = Parser::parse_sql(&GenericDialect {}, sql).expect(sql);
        let Some(Statement::Query(mut query)) = statements.pop() else { panic!("{sql}") };
        let with = query.with.take().expect("steps");
        let names = essential(&with.cte_tables, &query, &|name| matches!(name, "count" | "max"));
        names.into_iter().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_step_is_essential_where_nothing_is_left_without_it() {
        let steps = "WITH a AS (SELECT 1 AS x), b AS (SELECT x FROM a), c AS (SELECT 2 AS x)";
        for (query, expected) in [
            ("SELECT x FROM b", "a b"),
            ("SELECT x FROM B JOIN c USING (x)", "a b c"),
            ("SELECT x FROM c LEFT JOIN b USING (x)", "c"),
            ("SELECT x FROM c RIGHT JOIN b USING (x)", "a b"),
            ("SELECT x FROM c FULL JOIN b USING (x)", ""),
            ("SELECT x FROM t, c", "c"),
            ("SELECT x FROM c UNION ALL SELECT x FROM b", ""),
            ("SELECT x FROM b UNION SELECT x FROM a", "a"),
            ("SELECT x FROM c EXCEPT SELECT x FROM b", "c"),
            ("SELECT x FROM t WHERE x IN (SELECT x FROM b) AND x > 1", "a b"),
            ("SELECT x FROM t WHERE x IN (SELECT x FROM b) OR x > 1", ""),
            ("SELECT x FROM t WHERE x NOT IN (SELECT x FROM b)", ""),
            ("SELECT x FROM t WHERE EXISTS (SELECT 1 FROM c WHERE c.x = t.x)", "c"),
            ("SELECT count(*) FROM b", ""),
            ("SELECT 1 + count(*) FROM b", ""),
            ("SELECT count(*) OVER () FROM b", "a b"),
            ("SELECT x, count(*) FROM b GROUP BY x HAVING count(*) > 1", "a b"),
            ("SELECT x, count(*) FROM b GROUP BY ROLLUP (x)", ""),
            ("SELECT 1 FROM b HAVING true", ""),
            ("SELECT x FROM (SELECT max(x) AS x FROM b)", ""),
            ("SELECT x FROM (SELECT x FROM b) s", "a b"),
            ("SELECT x FROM lake.b", ""),
        ] {
            assert_eq!(of(&format!("{steps} {query}")), expected, "{query}");
        }
    }
}
