//! Joins that a rule may not write, because they hide what they join by.
//!
//! `NATURAL JOIN` takes all columns that both sides happen to have. A rule is planned over tables with the columns that it names, so it would join by
//! fewer than the text says, and by others when the lake gets a column. After a `RIGHT` or `FULL JOIN … USING` DataFusion reads the key of the left
//! side, which is NULL where only the right one has a row: a finding would lose its session.

use super::QueryError;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Join, JoinConstraint, JoinOperator, Select, Spanned as _, TableFactor, TableWithJoins, Visit as _, Visitor,
};
use std::ops::ControlFlow;

/// Refuses a rule's query that has such a join.
///
/// # Errors
/// What it has, with its line.
pub(super) fn allowed(statement: &Statement) -> Result<(), QueryError> {
    let Statement::Statement(statement) = statement else { return Ok(()) };
    match statement.visit(&mut Joins) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Joins;

impl Visitor for Joins {
    type Break = QueryError;

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Self::Break> {
        select.from.iter().try_for_each(each)
    }
}

fn each(from: &TableWithJoins) -> ControlFlow<QueryError> {
    inside(&from.relation)?;
    from.joins.iter().try_for_each(|join| {
        if let Some(message) = fault(join) {
            let line = usize::try_from(join.relation.span().start.line).ok().filter(|line| *line > 0);
            return ControlFlow::Break(QueryError::Plan { message, line });
        }
        inside(&join.relation)
    })
}

/// Joins in parentheses.
fn inside(relation: &TableFactor) -> ControlFlow<QueryError> {
    match relation {
        TableFactor::NestedJoin { table_with_joins, .. } => each(table_with_joins),
        _ => ControlFlow::Continue(()),
    }
}

fn fault(join: &Join) -> Option<String> {
    use JoinOperator as Of;
    let (constraint, keeps_right) = match &join.join_operator {
        Of::Right(constraint) | Of::RightOuter(constraint) => (constraint, Some("RIGHT")),
        Of::FullOuter(constraint) => (constraint, Some("FULL")),
        Of::Join(constraint)
        | Of::Inner(constraint)
        | Of::Left(constraint)
        | Of::LeftOuter(constraint)
        | Of::CrossJoin(constraint)
        | Of::Semi(constraint)
        | Of::LeftSemi(constraint)
        | Of::RightSemi(constraint)
        | Of::Anti(constraint)
        | Of::LeftAnti(constraint)
        | Of::RightAnti(constraint)
        | Of::StraightJoin(constraint)
        | Of::AsOf { constraint, .. } => (constraint, None),
        _ => return None,
    };
    match (constraint, keeps_right) {
        (JoinConstraint::Natural, _) => Some(
            "NATURAL JOIN does not say by which columns it joins, and they change with the lake: name them, with ON or USING"
                .to_owned(),
        ),
        (JoinConstraint::Using(names), Some(kind)) => {
            let name = names.first().map(ToString::to_string).unwrap_or_default();
            Some(format!(
                "{kind} JOIN with USING: `{name}` would be NULL where only the right side has a row; write ON, and \
                 coalesce(a.{name}, b.{name})"
            ))
        }
        _ => None,
    }
}
