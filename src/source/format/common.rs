//! Small things that several formats need: times of records that are written when a call has ended, members without a column.

use crate::call::{Call, DurationSource, Flag, Nanos, TimeSource};
use crate::source::json::Object;

/// Times of a record that was written when the call had ended: the start follows from the measured duration.
pub(super) fn ended(call: &mut Call, end: Option<Nanos>, duration: Option<i64>) {
    let duration = duration.filter(|nanos| *nanos >= 0);
    call.time_end = end;
    call.duration_ns = duration;
    call.duration_source = duration.map(|_| DurationSource::Measured);
    (call.time, call.time_source) = match (end, duration) {
        (Some(end), Some(duration)) => (end.checked_sub(duration), TimeSource::EndMinusDuration),
        (Some(end), None) => (Some(end), TimeSource::Record),
        (None, _) => (None, TimeSource::default()),
    };
}

/// A duration that is logged in milliseconds, with or without fraction.
pub(super) fn milliseconds(object: &Object<'_>, key: &str) -> Option<i64> {
    let ms: f64 = object.get(key)?.parse().ok()?;
    (0.0..9e12).contains(&ms).then_some((ms * 1e6) as i64)
}

/// Marks a call whose times had no zone.
pub(super) fn zone(call: &mut Call, assumed: bool) {
    if assumed {
        call.flag(Flag::ZoneAssumed);
        call.more().time_zone_assumed = true;
    }
}

/// Logged members that have no column, as a JSON object; those that are missing, null or empty are left out.
pub(super) fn extra<'a>(members: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Option<String> {
    let mut text = String::new();
    for (key, raw) in members {
        if let Some(raw) = raw.filter(|raw| !matches!(*raw, "null" | "\"\"" | "{}" | "[]")) {
            text.push(if text.is_empty() { '{' } else { ',' });
            text.push_str(&format!("\"{key}\":{raw}"));
        }
    }
    (!text.is_empty()).then(|| text + "}")
}

/// For tests: what a format makes of a line; `None` if the line is not its own.
#[cfg(test)]
pub(super) fn decoded(format: &dyn super::LogFormat, line: &str) -> Option<Result<Vec<crate::source::Event>, String>> {
    let json = Object::parse(line).ok();
    let hints = crate::source::Hints::default();
    let position = crate::call::Position::default();
    let record = crate::source::Record { text: line, json: json.as_ref(), position, lossy: false, hints: &hints };
    let claims: Vec<_> = super::FORMATS.iter().filter(|other| other.claims(&record)).map(|other| other.id()).collect();
    assert!(claims.is_empty() || claims == [format.id()] || !claims.contains(&format.id()), "{claims:?}: {line}");
    let mut out = crate::source::Decoded::default();
    format
        .claims(&record)
        .then(|| format.decode(&record, &mut out).map(|()| out.events).map_err(|reject| reject.reason))
}

/// For tests: the one whole call in a line.
#[cfg(test)]
pub(super) fn one_call(format: &dyn super::LogFormat, line: &str) -> Call {
    let mut events = decoded(format, line).unwrap_or_else(|| panic!("not claimed: {line}")).unwrap();
    match events.pop() {
        Some(crate::source::Event::Call { call, .. }) if events.len() < 2 => *call,
        other => panic!("{other:?}: {line}"),
    }
}
