//! `beacon_score(time [, bytes])`: how much a group of calls looks like a program that calls home at intervals.
//!
//! The score of RITA 5 (`analysis/beacons.go`, default configuration): the mean of four parts between 0 and 1.
//! - intervals: mean of 1 − |Bowley skewness| and (median − MAD) / median of the seconds between calls that are not 0;
//!   the skewness counts as 0 if the quartiles are less than 10 apart or the median is one of them.
//! - sizes: the same of the bytes. Left out of the mean if fewer than three calls have a size.
//! - histogram: 24 equal bins over the span; the larger of 1 − coefficient of variation, and of the share of bins in the
//!   two commonest heights, one outlier forgiven, if 11 bins are filled. Heights within 5 % of the highest are the same.
//! - duration, if 6 bins are filled: the larger of (last − first) / span and longest run of filled bins / 12, at most 1.
//!
//! The span is 24 hours from the first call, or up to the last one if that is later; RITA has the span of its data set.

use super::About;
use super::aggregate::{aggregate, median_and_mad, median_of_sorted};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::plan_err;
use datafusion::logical_expr::AggregateUDF;
use std::collections::BTreeMap;

const BINS: usize = 24;
const DAY: f64 = 86_400.0;
/// Interquartile ranges below are too small to be skewed: seconds, and bytes.
const MIN_RANGE: f64 = 10.0;
const MODE_SENSITIVITY: f64 = 0.05;
const BIMODAL_OUTLIERS: usize = 1;
const BIMODAL_MIN_BINS: usize = 11;
const DURATION_MIN_BINS: usize = 6;
const CONSISTENT_BINS: f64 = 12.0;

const ABOUT: About = About {
    syntax: "beacon_score(time [, bytes])",
    text: "Aggregate: 0 to 1, how regular the calls of a group are in their intervals, sizes, histogram and duration, as RITA \
           scores beacons. NULL for fewer than four times or three intervals. Group by day to compare with RITA.",
    example: "SELECT agent, tool, day, beacon_score(time, arguments_bytes) FROM calls GROUP BY agent, tool, day",
};

pub(super) fn udaf() -> AggregateUDF {
    aggregate(
        "beacon_score",
        &ABOUT,
        |types| {
            let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
            match types {
                [DataType::Timestamp(..) | DataType::Null] => Ok(vec![time]),
                [DataType::Timestamp(..) | DataType::Null, bytes] if bytes.is_numeric() || bytes.is_null() => {
                    Ok(vec![time, DataType::Float64])
                }
                _ => plan_err!("beacon_score takes a timestamp and, if there is one, a number of bytes"),
            }
        },
        |columns| {
            let seconds: Vec<f64> = columns.first()?.iter().map(|micros| (micros / 1e6).floor()).collect();
            score(seconds, columns.get(1).cloned().unwrap_or_default())
        },
    )
}

fn score(mut seconds: Vec<f64>, mut bytes: Vec<f64>) -> Option<f64> {
    seconds.sort_by(f64::total_cmp);
    let mut intervals: Vec<f64> =
        seconds.windows(2).map(|pair| pair[1] - pair[0]).filter(|interval| *interval > 0.0).collect();
    if seconds.len() < 4 || intervals.len() < 3 {
        return None;
    }
    let (first, last) = (*seconds.first()?, *seconds.last()?);
    let span = (last - first).max(DAY);
    let bars = histogram(&seconds, first, span);
    let mut parts = vec![regularity(&mut intervals, 1.0)?, flatness(&bars), duration(&bars, (last - first) / span)];
    if bytes.len() >= 3 {
        parts.push(regularity(&mut bytes, 0.0)?);
    }
    Some(rounded(parts.iter().sum::<f64>() / parts.len() as f64))
}

/// Symmetry and narrowness of a distribution; `small` stands for narrowness where the median is below 1.
fn regularity(values: &mut [f64], small: f64) -> Option<f64> {
    let (median, mad) = median_and_mad(values)?;
    // Quartiles are the medians of the halves, without the middle value of an odd number.
    let half = values.len() / 2;
    let (low, high) = (median_of_sorted(&values[..half])?, median_of_sorted(&values[values.len() - half..])?);
    let skewed = high - low >= MIN_RANGE && median > low && median < high;
    let skewness = if skewed { (low + high - 2.0 * median) / (high - low) } else { 0.0 };
    let narrow = if median >= 1.0 { ((median - mad) / median).max(0.0) } else { small };
    Some(rounded(f64::midpoint(1.0 - skewness.abs(), narrow)))
}

fn histogram(seconds: &[f64], first: f64, span: f64) -> [usize; BINS] {
    let mut bars = [0; BINS];
    for second in seconds {
        let bin = ((second - first) / span * BINS as f64) as usize;
        bars[bin.min(BINS - 1)] += 1;
    }
    bars
}

fn flatness(bars: &[usize]) -> f64 {
    let mean = bars.iter().sum::<usize>() as f64 / bars.len() as f64;
    let variance = bars.iter().map(|bar| (*bar as f64 - mean).powi(2)).sum::<f64>() / bars.len() as f64;
    let flat = rounded((1.0 - variance.sqrt() / mean).max(0.0));
    flat.max(two_heights(bars))
}

/// The share of filled bins that are of the two commonest heights.
fn two_heights(bars: &[usize]) -> f64 {
    let filled = filled(bars);
    if filled < BIMODAL_MIN_BINS {
        return 0.0;
    }
    let step = (bars.iter().copied().max().unwrap_or_default() as f64 * MODE_SENSITIVITY).ceil().max(1.0) as usize;
    let mut heights: BTreeMap<usize, usize> = BTreeMap::new();
    for bar in bars.iter().filter(|bar| **bar > 0) {
        *heights.entry(bar / step).or_default() += 1;
    }
    let mut common: Vec<usize> = heights.into_values().collect();
    common.sort_unstable_by(|a, b| b.cmp(a));
    let fitting: usize = common.iter().take(2).sum();
    rounded((fitting as f64 / (filled - BIMODAL_OUTLIERS) as f64).min(1.0))
}

fn duration(bars: &[usize], coverage: f64) -> f64 {
    if filled(bars) < DURATION_MIN_BINS {
        return 0.0;
    }
    // A run may go on from the last bin to the first.
    let (mut longest, mut run) = (0usize, 0usize);
    for bar in bars.iter().chain(bars) {
        run = if *bar > 0 { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let up = |share: f64| ((share * 1000.0).ceil() / 1000.0).min(1.0);
    up(coverage).max(up(longest.min(bars.len()) as f64 / CONSISTENT_BINS))
}

fn filled(bars: &[usize]) -> usize {
    bars.iter().filter(|bar| **bar > 0).count()
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regularity_by_hand() {
        // Quartiles of 1…10 are 3 and 8: narrower than 10, so not skewed. Median 5.5, MAD 2.5: (1 + 3 / 5.5) / 2.
        let mut plain: Vec<f64> = (1..=10).map(f64::from).collect();
        assert_eq!(regularity(&mut plain, 1.0), Some(0.773));
        // Quartiles 10 and 100, median 20: skewness (110 − 40) / 90 = 0.778. MAD of 20: deviations 0 10 10 80 80 → 10.
        let mut skewed = vec![10.0, 10.0, 20.0, 100.0, 100.0];
        assert_eq!(regularity(&mut skewed, 1.0), Some(0.361));
        assert_eq!(regularity(&mut [60.0; 9], 1.0), Some(1.0));
        // Sizes of 0 are not regular, intervals below a second are.
        assert_eq!(regularity(&mut [0.0; 9], 0.0), Some(0.5));
    }

    #[test]
    fn histogram_by_hand() {
        // Twelve filled bins of 2 and twelve empty ones: mean 1, deviation 1. All twelve have one height: 12 / 11, at most 1.
        let mut half = [0; BINS];
        half[..12].fill(2);
        assert_eq!((flatness(&half), duration(&half, 0.5)), (1.0, 1.0));
        // Ten filled bins are too few for heights: 1 − √(10·14²+14·10²) / 24 / 10, below 0.
        let mut ten = [0; BINS];
        ten[..10].fill(24);
        assert_eq!((flatness(&ten), duration(&ten, 10.0 / 24.0)), (0.0, 0.834));
        // The run goes over midnight: 3 + 4 of 12.
        let mut around = [0; BINS];
        around[..4].fill(1);
        around[21..].fill(1);
        assert_eq!(duration(&around, 0.1), 0.584);
        assert_eq!(duration(&[1, 1, 1, 1, 1, 0], 1.0), 0.0);
        // Heights 100 and 104 are one with steps of 6, 20 is the other, 50 the outlier.
        let mut heights = [0; BINS];
        heights[..6].fill(104);
        heights[5] = 102;
        heights[6..11].fill(20);
        heights[11] = 50;
        assert_eq!(two_heights(&heights), 1.0);
    }

    #[test]
    fn whole_scores_by_hand() {
        let every = |step: i32, times: i32| (0..times).map(|n| f64::from(n * step)).collect::<Vec<f64>>();
        // A whole day, every ten minutes, one size: everything is 1.
        assert_eq!(score(every(600, 144), vec![100.0; 144]), Some(1.0));
        // Three hours of it: intervals and sizes 1, no duration, three bins of 6 in a mean of 0.75 vary too much.
        assert_eq!(score(every(600, 18), vec![100.0; 18]), Some(0.5));
        assert_eq!(score(every(600, 18), Vec::new()), Some(0.333));
        assert_eq!(score(every(600, 3), vec![1.0; 3]), None);
        assert_eq!(score(vec![0.0, 0.0, 0.0, 60.0, 120.0], vec![1.0; 5]), None);
    }
}
