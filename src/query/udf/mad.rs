//! `mad(number)`: the median absolute deviation, a spread that a few outliers do not move.

use super::About;
use super::aggregate::{aggregate, median_and_mad};
use arrow::datatypes::DataType;
use datafusion::common::plan_err;
use datafusion::logical_expr::AggregateUDF;

const ABOUT: About = About {
    syntax: "mad(number)",
    text: "Aggregate: the median of the absolute deviations from the median. 1.4826 times it estimates the standard \
           deviation of a normal distribution. Also as a window function.",
    example: "SELECT agent, median(calls), mad(calls) FROM sessions GROUP BY agent",
};

pub(super) fn udaf() -> AggregateUDF {
    aggregate(
        "mad",
        &ABOUT,
        |types| match types {
            [number] if number.is_numeric() || number.is_null() => Ok(vec![DataType::Float64]),
            _ => plan_err!("mad takes one number"),
        },
        |columns| {
            let mut values = columns.first()?.clone();
            median_and_mad(&mut values).map(|(_, mad)| mad)
        },
    )
}
