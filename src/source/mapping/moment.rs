//! Times and durations as in-house logs write them, told by the mapping and not by their look.

use crate::call::Nanos;
use crate::source::{format::shared::gateway, time};
use chrono::format::{Fixed, Item, Numeric, Parsed, StrftimeItems, parse};
use chrono::{Datelike as _, LocalResult, NaiveDateTime, TimeDelta, TimeZone as _};

/// How a time is written.
#[derive(Clone, Debug, PartialEq)]
pub enum TimeFormat {
    /// RFC 3339, ISO 8601 without a zone, or a count since the epoch: whichever it is.
    Auto,
    /// RFC 3339 only.
    Rfc3339,
    /// A count since the epoch.
    Epoch(EpochUnit),
    /// A pattern as of strftime.
    Pattern { items: Vec<Item<'static>>, has_year: bool },
}

/// Unit of a count since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochUnit {
    /// Told by magnitude.
    Auto,
    /// Nanoseconds in one of it.
    Nanos(i64),
}

/// Where a time belongs that carries no zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    Offset(chrono::FixedOffset),
    Named(chrono_tz::Tz),
}

/// Unit of a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationUnit {
    /// The number counts this many nanoseconds.
    Nanos(i64),
    /// The text carries its unit: `1.5s`, `20ms`, `1m30s`.
    Text,
}

/// A time that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) nanos: Nanos,
    /// The text had no zone and the mapping names none, so UTC was assumed.
    pub(crate) zone_assumed: bool,
}

impl TimeFormat {
    /// Reads `auto`, `rfc3339`, `epoch` (then with a unit) or a strftime pattern.
    ///
    /// # Errors
    /// The pattern is none, or lacks day or time of day.
    pub fn parse(written: &str, unit: EpochUnit) -> Result<Self, String> {
        match written {
            "auto" => return Ok(Self::Auto),
            "rfc3339" => return Ok(Self::Rfc3339),
            "epoch" => return Ok(Self::Epoch(unit)),
            _ => {}
        }
        let bad = |what: &str| {
            format!(
                "`{written}` {what}; write auto, rfc3339, epoch, or a pattern such as %Y-%m-%d %H:%M:%S%.f (see docs/mapping.md)"
            )
        };
        if !written.contains('%') {
            return Err(bad("is no time format"));
        }
        let items = StrftimeItems::new(written).parse_to_owned().map_err(|_| bad("is no strftime pattern"))?;
        let has = |wanted: &[Numeric]| items.iter().any(|i| matches!(i, Item::Numeric(n, _) if wanted.contains(n)));
        let fixed = |wanted: &[Fixed]| items.iter().any(|i| matches!(i, Item::Fixed(f) if wanted.contains(f)));
        let whole = has(&[Numeric::Timestamp]) || fixed(&[Fixed::RFC2822, Fixed::RFC3339]);
        let month = has(&[Numeric::Month]) || fixed(&[Fixed::ShortMonthName, Fixed::LongMonthName]);
        let day = has(&[Numeric::Ordinal]) || (month && has(&[Numeric::Day]));
        if !whole && !day {
            return Err(bad("has no date, and a time of day alone is no point in time"));
        }
        if !whole && !has(&[Numeric::Hour, Numeric::Hour12]) {
            return Err(bad("has no time of day"));
        }
        let has_year = whole || has(&[Numeric::Year, Numeric::YearMod100]);
        Ok(Self::Pattern { items, has_year })
    }

    /// Whether a time can be read only with a file's last change at hand, for its year.
    pub(super) fn needs_mtime(&self) -> bool {
        matches!(self, Self::Pattern { has_year: false, .. })
    }

    /// Reads one time. `mtime` lends its year to patterns without one.
    pub(crate) fn read(&self, text: &str, zone: Option<Zone>, mtime: Option<Nanos>) -> Option<Moment> {
        let text = text.trim();
        let certain = |nanos| Moment { nanos, zone_assumed: false };
        match self {
            Self::Rfc3339 => time::rfc3339(text).map(certain),
            Self::Epoch(unit) => epoch(text, *unit).map(certain),
            Self::Auto => time::rfc3339(text).or_else(|| epoch(text, EpochUnit::Auto)).map(certain).or_else(|| {
                let text = text.replacen(' ', "T", 1).replacen(',', ".", 1);
                // An offset behind a comma's fraction, or behind a blank.
                if let Some(nanos) = time::rfc3339(&text) {
                    return Some(certain(nanos));
                }
                located(NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f").ok()?, zone)
            }),
            Self::Pattern { items, has_year } => {
                let mut parsed = Parsed::new();
                parse(&mut parsed, text, items.iter()).ok()?;
                if !has_year {
                    return in_the_year_of(&parsed, zone, mtime?);
                }
                moment(&parsed, zone)
            }
        }
    }
}

fn moment(parsed: &Parsed, zone: Option<Zone>) -> Option<Moment> {
    if parsed.offset().is_some() {
        let nanos = parsed.to_datetime().ok()?.timestamp_nanos_opt()?;
        return Some(Moment { nanos, zone_assumed: false });
    }
    let naive = parsed.to_naive_datetime_with_offset(0).ok()?;
    match parsed.timestamp() {
        Some(_) => Some(Moment { nanos: naive.and_utc().timestamp_nanos_opt()?, zone_assumed: false }),
        None => located(naive, zone),
    }
}

/// Syslog leaves the year out: it is that of the file's last change, or the one before it.
fn in_the_year_of(parsed: &Parsed, zone: Option<Zone>, mtime: Nanos) -> Option<Moment> {
    const DAY: i64 = 86_400_000_000_000;
    let year = i64::from(chrono::DateTime::from_timestamp_nanos(mtime).year());
    let in_year = |year: i64| {
        let mut parsed = parsed.clone();
        parsed.set_year(year).ok()?;
        moment(&parsed, zone)
    };
    // Four years back there is a 29 February again.
    (0..=4).filter_map(|back| in_year(year - back)).find(|found| found.nanos <= mtime.saturating_add(DAY))
}

/// A time without a zone, in the zone that the mapping names.
fn located(naive: NaiveDateTime, zone: Option<Zone>) -> Option<Moment> {
    let offset = |naive: NaiveDateTime| match zone {
        None => LocalResult::Single(0),
        Some(Zone::Offset(offset)) => LocalResult::Single(offset.local_minus_utc()),
        Some(Zone::Named(tz)) => {
            tz.offset_from_local_datetime(&naive).map(|offset| chrono::Offset::fix(&offset).local_minus_utc())
        }
    };
    // An hour that stands twice is taken for the first one; one that was left out goes on in the time before it.
    let seconds = offset(naive)
        .earliest()
        .or_else(|| offset(naive.checked_sub_signed(TimeDelta::hours(3))?).earliest())
        .map(i64::from)?;
    let nanos = naive.checked_sub_signed(TimeDelta::seconds(seconds))?.and_utc().timestamp_nanos_opt()?;
    Some(Moment { nanos, zone_assumed: zone.is_none() })
}

fn epoch(text: &str, unit: EpochUnit) -> Option<Nanos> {
    match unit {
        EpochUnit::Auto => {
            // A double has no room for the nanoseconds of today.
            let whole = text.split('.').next().and_then(|whole| whole.parse::<i64>().ok());
            let unit = whole.and_then(|whole| time::epoch(whole).checked_div(whole));
            unit.and_then(|unit| scaled(text, unit)).or_else(|| time::number(text))
        }
        EpochUnit::Nanos(unit) => scaled(text, unit),
    }
}

/// A decimal number of units, exact as far as nanoseconds go.
fn scaled(text: &str, unit: i64) -> Option<i64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) {
        // 1.5e9 and its like.
        let value = text.parse::<f64>().ok()? * unit as f64;
        return (value.abs() < 9.2e18).then_some(value as i64);
    }
    let whole = whole.parse::<i128>().ok()?.checked_mul(i128::from(unit))?;
    let fraction = &fraction[..fraction.len().min(18)];
    let part = fraction.parse::<i128>().unwrap_or_default() * i128::from(unit);
    let value = whole.checked_add(part / 10_i128.pow(u32::try_from(fraction.len()).ok()?))?;
    i64::try_from(if negative { -value } else { value }).ok()
}

/// The names of units, longest first, and their nanoseconds.
const UNITS: &[(&str, i64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

impl EpochUnit {
    /// Reads `auto`, `s`, `ms`, `us` or `ns`.
    ///
    /// # Errors
    /// It is none of them.
    pub fn parse(written: &str) -> Result<Self, String> {
        let unit = UNITS.iter().find(|(name, _)| *name == written && !matches!(*name, "m" | "h"));
        match (written, unit) {
            ("auto", _) => Ok(Self::Auto),
            (_, Some((_, nanos))) => Ok(Self::Nanos(*nanos)),
            _ => Err(format!("`{written}` is no unit of a time; the units are auto, s, ms, us, ns")),
        }
    }
}

impl DurationUnit {
    /// Reads `ns`, `us`, `ms`, `s`, `m`, `h` or `text`.
    ///
    /// # Errors
    /// It is none of them.
    pub fn parse(written: &str) -> Result<Self, String> {
        match UNITS.iter().find(|(name, _)| *name == written) {
            Some((_, nanos)) => Ok(Self::Nanos(*nanos)),
            None if written == "text" => Ok(Self::Text),
            None => Err(format!(
                "`{written}` is no unit of a duration; the units are ns, us, ms, s, m, h, and text for values such as 1.5s"
            )),
        }
    }

    /// Reads one duration in nanoseconds; a negative one is none.
    pub(super) fn read(self, text: &str) -> Option<i64> {
        let text = text.trim();
        let nanos = match self {
            Self::Nanos(unit) => scaled(text, unit).or_else(|| gateway::human_duration(text)),
            Self::Text => gateway::human_duration(text),
        };
        nanos.filter(|nanos| *nanos >= 0)
    }
}

impl Zone {
    /// Reads `UTC`, an offset (`+02:00`) or a name of the time zone database (`Europe/Berlin`).
    ///
    /// # Errors
    /// It is none of them.
    pub fn parse(written: &str) -> Result<Self, String> {
        if let Ok(offset) = written.parse::<chrono::FixedOffset>() {
            return Ok(Self::Offset(offset));
        }
        written.parse::<chrono_tz::Tz>().map(Self::Named).map_err(|_| {
            format!("`{written}` is no time zone; write UTC, an offset such as +02:00, or a name such as Europe/Berlin")
        })
    }
}
