//! What several encodings say of an alert: numbers for its level, its times as text, its names and observables each once, its tags by taxonomy.

use crate::alert::taxonomy::{self, Tag};
use crate::alert::{Alert, CallEvidence, Level};
use crate::visible::visible;
use std::fmt::Write as _;

/// The name that stands for this program, as vendor and as product.
pub(super) const PRODUCT: &str = "CallTrail";
/// The same as an identifier.
pub(super) const PROGRAM: &str = "calltrail";
/// This version of it.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the alert says in a sentence: the first that is not blank of message, title and rule.
pub(super) fn says(alert: &Alert) -> &str {
    let finding = &alert.finding;
    let texts = [finding.message.as_deref().unwrap_or_default(), &finding.rule_title, &finding.rule_id];
    texts.into_iter().find(|text| !text.trim().is_empty()).unwrap_or(PRODUCT)
}

/// The title, or what stands for it.
pub(super) fn title(alert: &Alert) -> &str {
    let finding = &alert.finding;
    let texts = [&finding.rule_title, &finding.rule_id];
    texts.into_iter().find(|text| !text.trim().is_empty()).map_or(PRODUCT, String::as_str)
}

/// The level as a number up to 100: Elastic's numbers for its four severities, and one for the level below.
pub(super) fn risk(level: Level) -> i64 {
    match level {
        Level::Informational => 5,
        Level::Low => 21,
        Level::Medium => 47,
        Level::High => 73,
        Level::Critical => 99,
    }
}

/// How bad it is in CEF's and LEEF's numbers, which go to 10.
pub(super) fn severity_of_ten(level: Level) -> u8 {
    match level {
        Level::Informational => 1,
        Level::Low => 3,
        Level::Medium => 5,
        Level::High => 8,
        Level::Critical => 10,
    }
}

/// The detector's score as a percentage, if it is a probability-like one.
pub(super) fn percent(alert: &Alert) -> Option<i64> {
    let score = alert.finding.score.filter(|score| (0.0..=1.0).contains(score))?;
    Some((score * 100.0).round() as i64)
}

/// Start and end in this order, whatever the rule's columns say.
pub(super) fn span(alert: &Alert) -> (i64, i64) {
    let (a, b) = (alert.finding.first_seen, alert.finding.last_seen);
    (a.min(b), a.max(b))
}

/// Epoch milliseconds, within the years that all formats know.
pub(super) fn millis(micros: i64) -> i64 {
    clamped(micros).timestamp_millis()
}

/// RFC 3339 with three digits, in the years that all formats know: the one of the first or last of them for other times.
pub(super) fn stamp(micros: i64) -> String {
    format_time(micros, chrono::SecondsFormat::Millis)
}

/// RFC 3339 with six digits; see [`stamp`].
pub(super) fn precise(micros: i64) -> String {
    format_time(micros, chrono::SecondsFormat::Micros)
}

fn format_time(micros: i64, digits: chrono::SecondsFormat) -> String {
    clamped(micros).to_rfc3339_opts(digits, true)
}

/// The time within the years 1970 to 9999.
pub(super) fn clamped(micros: i64) -> chrono::DateTime<chrono::Utc> {
    const LAST: i64 = 253_402_300_799_999_999;
    chrono::DateTime::from_timestamp_micros(micros.clamp(0, LAST)).unwrap_or_default()
}

/// What a name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Session,
    Agent,
    User,
    Server,
    Tool,
}

/// Names of one kind in the entity and the calls, each once, in order of appearance; empty ones are none.
pub(super) fn names(alert: &Alert, kind: Name) -> Vec<&str> {
    let entity = &alert.finding.entity;
    let of_entity = match kind {
        Name::Session => &entity.session_id,
        Name::Agent => &entity.agent,
        Name::User => &entity.user_id,
        Name::Server => &entity.server,
        Name::Tool => &entity.tool,
    };
    let of_calls = alert.calls.iter().map(|call| match kind {
        Name::Session => &call.session_id,
        Name::Agent => &call.agent,
        Name::User => &call.user_id,
        Name::Server => &call.server,
        Name::Tool => &call.tool,
    });
    let mut found: Vec<&str> = Vec::new();
    for name in std::iter::once(of_entity).chain(of_calls).flatten() {
        if !name.is_empty() && !found.contains(&name.as_str()) {
            found.push(name);
        }
    }
    found
}

/// The first of [`names`].
pub(super) fn name(alert: &Alert, kind: Name) -> Option<&str> {
    names(alert, kind).first().copied()
}

/// Values of observables of one type; empty ones are none.
pub(super) fn observed<'a>(alert: &'a Alert, kind: &str) -> Vec<&'a str> {
    let of_kind = alert.observables.iter().filter(|observable| observable.kind == kind);
    of_kind.map(|observable| observable.value.as_str()).filter(|value| !value.is_empty()).collect()
}

/// Method and tool of a call, which together are the operation.
pub(super) fn operation(call: &CallEvidence) -> String {
    let method = if call.method.is_empty() { "unknown" } else { &call.method };
    match call.tool.as_deref() {
        Some(tool) if !tool.is_empty() => format!("{method} {tool}"),
        _ => method.to_owned(),
    }
}

/// An id of ATT&CK or ATLAS with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) id: String,
    pub(super) name: Option<&'static str>,
    /// The sub-technique, if the tag names one.
    pub(super) sub: Option<(String, Option<&'static str>)>,
}

impl Known {
    /// The most precise id and its name.
    pub(super) fn last(&self) -> (&str, Option<&'static str>) {
        match &self.sub {
            Some((id, name)) => (id, *name),
            None => (&self.id, self.name),
        }
    }
}

/// Tactics and techniques among the tags, in the rule's order.
pub(super) fn attacks(alert: &Alert) -> (Vec<Known>, Vec<Known>) {
    let (mut tactics, mut techniques) = (Vec::new(), Vec::new());
    for tag in &alert.finding.tags {
        match taxonomy::read(tag) {
            Tag::Tactic { id, name, .. } => tactics.push(Known { id, name, sub: None }),
            Tag::Technique { id, name, .. } => techniques.push(Known { id, name, sub: None }),
            Tag::SubTechnique { id, name, sub_id, sub_name, .. } => {
                techniques.push(Known { id, name, sub: Some((sub_id, sub_name)) });
            }
            Tag::Other { .. } => {}
        }
    }
    (tactics, techniques)
}

/// One line of text for formats that are not JSON: every hidden character is written out, and so are those that the format itself would act on.
pub(super) fn line(text: &str, acts: &[char]) -> String {
    let shown = visible(text);
    if !shown.contains(acts) {
        return shown.into_owned();
    }
    let mut out = String::with_capacity(shown.len() + 16);
    for c in shown.chars() {
        if acts.contains(&c) {
            // Writing to a String does not fail.
            let _ = write!(out, "\\x{:02x}", c as u32);
        } else {
            out.push(c);
        }
    }
    out
}

/// At most `max` characters, the last of them an ellipsis if something is missing.
pub(super) fn clip(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some(_) => {
            let end = text.char_indices().nth(max.saturating_sub(1)).map_or(0, |(at, _)| at);
            format!("{}…", &text[..end])
        }
    }
}
