//! A range of time, and durations as users write them. Pure: who says "now" is somebody else.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, col, lit};

/// A closed range of time in microseconds since the Unix epoch, the lake's precision. An open end has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeRange {
    pub since: Option<i64>,
    pub until: Option<i64>,
}

impl TimeRange {
    /// The range with its start moved back by so many microseconds.
    pub fn widened(self, micros: i64) -> Self {
        Self { since: self.since.map(|since| since.saturating_sub(micros)), ..self }
    }

    /// Whether neither end is set.
    pub fn is_everything(self) -> bool {
        self.since.is_none() && self.until.is_none()
    }

    /// A predicate on the column `time` that keeps rows inside the range and rows without a time.
    pub(super) fn predicate(self) -> Option<Expr> {
        let bound = |micros| lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())));
        // File statistics of Delta are cut to milliseconds, so a bound inside a millisecond could skip a file.
        let since = self.since.map(|micros| col("time").gt_eq(bound(micros.div_euclid(1000).saturating_mul(1000))));
        let until = self.until.map(|micros| col("time").lt_eq(bound(micros)));
        let inside = match (since, until) {
            (Some(since), Some(until)) => since.and(until),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return None,
        };
        Some(inside.or(col("time").is_null()))
    }
}

/// Reads a duration such as `90s`, `10m`, `24h`, `7d`, `2w` as microseconds.
pub fn parse_duration(text: &str) -> Option<i64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let seconds: i64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(seconds)?.checked_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("10m"), Some(600_000_000));
        assert_eq!(parse_duration("7d"), Some(7 * 86_400_000_000));
        for bad in ["", "m", "10", "-1s", "1y", "1.5h", "99999999999999w"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
