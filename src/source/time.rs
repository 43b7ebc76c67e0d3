//! Times as logs write them → nanoseconds since the Unix epoch, UTC.
//!
//! RFC 3339, counts since the epoch, and times without a zone, which are flagged. Nothing is guessed from a clock, and
//! a text that is no time stays no time.

use crate::call::Nanos;
use crate::source::json::{self, Object};

/// Reads an RFC 3339 time, also with the offset of ISO 8601. `None` if it is none, or lies outside the years 1677 to 2262.
pub fn rfc3339(text: &str) -> Option<Nanos> {
    let text = text.trim();
    chrono::DateTime::parse_from_rfc3339(text).ok().or_else(|| with_offset(text))?.timestamp_nanos_opt()
}

/// A time whose offset is written as `strftime` and Java write it (`+0200`), or cut short (`+02`).
fn with_offset(text: &str) -> Option<chrono::DateTime<chrono::FixedOffset>> {
    chrono::DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%#z").ok()
}

/// Reads a count since the epoch whose unit (s, ms, µs, ns) is told by its magnitude: every unit covers 1973 to 5138.
pub fn epoch(value: i64) -> Nanos {
    let unit = match value.unsigned_abs() {
        0..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    value.saturating_mul(unit)
}

/// Reads a member that holds a time: text (RFC 3339, or ISO 8601 without a zone or with `UTC`), or a number since the epoch. The flag
/// says that the text had no zone and UTC was assumed.
pub fn member(object: &Object<'_>, key: &str) -> Option<(Nanos, bool)> {
    let raw = object.get(key)?;
    match json::string(raw) {
        Some(text) => self::text(&text),
        None => number(raw).map(|nanos| (nanos, false)),
    }
}

/// As [`member`], of a text.
pub fn text(text: &str) -> Option<(Nanos, bool)> {
    if let Some(nanos) = rfc3339(text).or_else(|| number(text)) {
        return Some((nanos, false));
    }
    let text = text.trim().replacen(' ', "T", 1).replacen(',', ".", 1);
    if let Some(time) = with_offset(&text) {
        return Some((time.timestamp_nanos_opt()?, false));
    }
    // Trino, BigQuery and others print the zone's name.
    let utc = text.strip_suffix("UTC").map(str::trim_end);
    let naive = chrono::NaiveDateTime::parse_from_str(utc.unwrap_or(&text), "%Y-%m-%dT%H:%M:%S%.f").ok()?;
    Some((naive.and_utc().timestamp_nanos_opt()?, utc.is_none()))
}

/// Reads a count since the epoch as a number with or without fraction, its unit told by magnitude.
pub fn number(text: &str) -> Option<Nanos> {
    if let Ok(value) = text.parse::<i64>() {
        return Some(epoch(value));
    }
    if let Some(nanos) = decimal(text) {
        return Some(nanos);
    }
    let value = text.parse::<f64>().ok().filter(|value| value.is_finite() && value.abs() < 1e18)?;
    // The unit is told by the integer part; the fraction is kept to the precision of a double.
    let unit = epoch(value.trunc() as i64) as f64 / value.trunc();
    unit.is_finite().then_some((value * unit) as Nanos)
}

/// Reads a count with a fraction digit by digit: a double has no room for microseconds since 1970.
fn decimal(text: &str) -> Option<Nanos> {
    let (whole, fraction) = text.split_once('.')?;
    let is_count = |text: &str| !text.is_empty() && text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_count(whole) || !is_count(fraction) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let unit = epoch(whole).checked_div(whole)?;
    let part = fraction.parse::<i128>().ok()? * i128::from(unit) / 10_i128.pow(fraction.len() as u32);
    epoch(whole).checked_add(i64::try_from(part).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_keeps_fractions_and_offsets() {
        assert_eq!(rfc3339("1970-01-01T00:00:01.000000002Z"), Some(1_000_000_002));
        assert_eq!(rfc3339("1970-01-01T02:00:00+02:00"), Some(0));
        for offset in ["+0200", "+02", "+02:00"] {
            assert_eq!(rfc3339(&format!("1970-01-01T02:00:00.000{offset}")), Some(0), "{offset}");
            let record = format!(r#"{{"at":"1970-01-01 02:00:00,000 {offset}"}}"#);
            assert_eq!(member(&Object::trusted(&record), "at"), Some((0, false)), "{offset}");
        }
        assert_eq!(
            (text("1970-01-01 00:00:01.5 UTC"), text("1970-01-01 00:00:01")),
            (Some((1_500_000_000, false)), Some((1_000_000_000, true)))
        );
        assert_eq!(rfc3339("2026-01-19 02:30:22"), None, "a time without a zone is not taken for UTC");
        assert_eq!(rfc3339("2026-01-19T02:30:22"), None);
        assert_eq!(rfc3339("9999-01-01T00:00:00Z"), None);
    }

    #[test]
    fn epoch_tells_the_unit_by_magnitude() {
        let second = 1_768_789_822;
        let nanos = second * 1_000_000_000;
        for value in [second, second * 1_000, second * 1_000_000, nanos] {
            assert_eq!(epoch(value), nanos);
        }
        assert_eq!(number("1777878011.123"), Some(1_777_878_011_123_000_000));
        assert_eq!(number("1777878011123.25"), Some(1_777_878_011_123_250_000));
        assert_eq!((number("1e9"), number("-1.5")), (Some(1_000_000_000_000_000_000), Some(-1_500_000_000)));
        assert_eq!(epoch(-1), -1_000_000_000);
        assert_eq!(epoch(i64::MIN), i64::MIN);
    }
}
