//! Alerts for a reader at a terminal: two or three lines each, the level first.
//!
//! ```text
//! HIGH      2026-11-22 10:15:30Z  Secret read, then data sent out in the same session
//!           rule secret_then_egress · agent notes-agent · 2 calls · 1f0c…
//!           4312 bytes sent to paste.example
//! ```
//! All text is hostile: it passes [`visible`] and is cut to a few lines.

use crate::alert::{Alert, Level, visible};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use std::fmt::Write as _;

/// Width of the level's column: the longest level that is not spelled `info`, and a gap.
const LEVEL_WIDTH: u16 = 10;
/// Characters of a name that are shown; session ids are 36.
const MAX_NAME: usize = 48;
/// Lines of the message that are shown.
const MESSAGE_LINES: usize = 3;

/// How the table looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns of the terminal.
    pub width: u16,
    pub color: bool,
}

impl Default for Style {
    /// What a pipe gets.
    fn default() -> Self {
        Self { width: 120, color: false }
    }
}

/// Lays the alerts out, in the order given.
pub fn encode(alerts: &[Alert], style: Style) -> String {
    let width = style.width.max(40);
    let mut out = String::new();
    for (n, alert) in alerts.iter().enumerate() {
        if n > 0 {
            out.push('\n');
        }
        let block = block(alert, width);
        let label = label(alert);
        match block.strip_prefix(label) {
            Some(rest) if style.color => {
                // Writing to a String does not fail.
                let _ = write!(out, "\x1b[{}m{label}\x1b[0m{rest}", color(alert));
            }
            _ => out.push_str(&block),
        }
        out.push('\n');
    }
    out
}

fn block(alert: &Alert, width: u16) -> String {
    let finding = &alert.finding;
    let room = usize::from(width - LEVEL_WIDTH);
    let mut lines = vec![format!("{}  {}", short_time(alert.time()), clip(&finding.rule_title, room * 2))];
    let mut facts = vec![format!("rule {}", clip(&finding.rule_id, room))];
    for (name, value) in finding.entity.fields() {
        facts.extend(value.map(|value| format!("{} {}", name.trim_end_matches("_id"), clip(value, MAX_NAME))));
    }
    match alert.calls_total {
        0 => {}
        1 => facts.push("1 call".to_owned()),
        several => facts.push(format!("{several} calls")),
    }
    facts.extend(alert.suppressed_by.as_deref().map(|id| format!("suppressed by {}", clip(id, room))));
    facts.extend(alert.superseded_by.as_deref().map(|id| format!("superseded by {}", clip(id, room))));
    facts.extend(alert.resolved.is_some().then(|| "resolved".to_owned()));
    facts.push(alert.alert_id.clone());
    lines.push(facts.join(" · "));
    lines.extend(finding.message.as_deref().filter(|m| !m.is_empty()).map(|m| clip(m, room * MESSAGE_LINES)));

    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.add_row([label(alert), &lines.join("\n")]);
    if let Some(column) = table.column_mut(0) {
        column.set_padding((0, 0)).set_constraint(ColumnConstraint::Absolute(Width::Fixed(LEVEL_WIDTH)));
    }
    if let Some(column) = table.column_mut(1) {
        column.set_padding((0, 0));
    }
    table.trim_fmt()
}

fn label(alert: &Alert) -> &'static str {
    match alert.finding.level {
        Level::Informational => "INFO",
        Level::Low => "LOW",
        Level::Medium => "MEDIUM",
        Level::High => "HIGH",
        Level::Critical => "CRITICAL",
    }
}

/// SGR parameters; a suppressed alert is dim whatever its level.
fn color(alert: &Alert) -> &'static str {
    match alert.finding.level {
        _ if alert.suppressed_by.is_some() => "2",
        Level::Informational => "34",
        Level::Low => "36",
        Level::Medium => "33",
        Level::High => "31",
        Level::Critical => "1;31",
    }
}

/// Seconds are enough to find the place.
pub(super) fn short_time(micros: i64) -> String {
    match chrono::DateTime::from_timestamp_micros(micros) {
        Some(time) => time.format("%Y-%m-%d %H:%M:%SZ").to_string(),
        None => micros.to_string(),
    }
}

/// At most `max` characters of a text, made visible.
pub(super) fn clip(text: &str, max: usize) -> String {
    // The text may be a megabyte: escape only what can be shown.
    let head: String = text.chars().take(max + 1).collect();
    let shown = visible(&head);
    match shown.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &shown[..end]),
        None => shown.into_owned(),
    }
}
