//! Durations, byte sizes and points in time as people write them. No clock: "now" is passed in.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use std::time::Duration;

/// Reads `90s`, `30m`, `1h30m`, `7d`, `2w`, `250ms`: numbers with units, added up.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is not a duration; write it like `90s`, `30m`, `1h30m` or `7d`");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(bad());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (digits, after) = split_at_end_of(rest, |c| c.is_ascii_digit());
        let (unit, after) = split_at_end_of(after, |c| c.is_ascii_alphabetic());
        let number: u64 = digits.parse().map_err(|_| bad())?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            _ => return Err(bad()),
        };
        let part = number.checked_mul(millis).ok_or_else(bad)?;
        total = total.checked_add(Duration::from_millis(part)).ok_or_else(bad)?;
        rest = after;
    }
    Ok(total)
}

/// Reads `65536`, `64KiB`, `1GiB`, `10MB`: `Ki` and its like are powers of 1024, `k` and its like of 1000.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let bad = || format!("`{text}` is not a size; write it like `64KiB`, `1GiB` or `500000`");
    let (digits, unit) = split_at_end_of(text.trim(), |c| c.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| bad())?;
    let factor: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "kib" => 1 << 10,
        "mb" => 1_000_000,
        "mib" => 1 << 20,
        "gb" => 1_000_000_000,
        "gib" => 1 << 30,
        "tb" => 1_000_000_000_000,
        "tib" => 1 << 40,
        _ => return Err(bad()),
    };
    number.checked_mul(factor).ok_or_else(bad)
}

/// One end of a time range, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    At(DateTime<Utc>),
    /// This long before the run.
    Ago(TimeDelta),
}

impl When {
    /// Reads RFC 3339, a date (its midnight, UTC), or a duration before now.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::At(time.to_utc()));
        }
        if let Ok(date) = text.parse::<NaiveDate>() {
            return Ok(Self::At(date.and_time(NaiveTime::MIN).and_utc()));
        }
        let ago = parse_duration(text).ok().and_then(|duration| TimeDelta::from_std(duration).ok());
        ago.map(Self::Ago).ok_or_else(|| {
            format!("`{text}` is not a point in time; write RFC 3339 (`2026-11-22T10:15:30Z`), a date, or how long ago (`24h`, `7d`)")
        })
    }

    /// The instant meant. Before the earliest time that can be stored means that earliest time.
    pub fn resolve(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(time) => time,
            Self::Ago(ago) => now.checked_sub_signed(ago).unwrap_or(DateTime::<Utc>::MIN_UTC),
        }
    }
}

fn split_at_end_of(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in
            [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("7d", 604_800), ("2w", 1_209_600), ("0s", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "30", "m", "-5m", "1.5h", "1h 30", "5y", "99999999999999999999s", "18446744073709551615w"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("0", 0), ("64KiB", 65_536), ("64 kib", 65_536), ("10MB", 10_000_000), ("1GiB", 1 << 30)]
        {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "KiB", "1.5GiB", "-1", "64X", "99999999TiB"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn points_in_time() {
        let now: DateTime<Utc> = "2026-11-22T10:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-11-22T10:15:30+02:00", "2026-11-22T08:15:30Z"),
            ("2026-11-21", "2026-11-21T00:00:00Z"),
            ("24h", "2026-11-21T10:00:00Z"),
        ] {
            assert_eq!(When::parse(text).unwrap().resolve(now), expected.parse::<DateTime<Utc>>().unwrap(), "{text}");
        }
        assert_eq!(When::parse("99999999w").unwrap().resolve(now), DateTime::<Utc>::MIN_UTC);
        for text in ["yesterday", "2026-13-01", "2026-11-22T10:15:30", ""] {
            assert!(When::parse(text).is_err(), "{text}");
        }
    }
}
