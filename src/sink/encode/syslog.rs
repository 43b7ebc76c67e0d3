//! The frame of RFC 5424 around a message: header, structured data, message. How frames are separated on a stream (RFC 6587) is the
//! destination's affair; no frame has a line break inside.
//!
//! Header fields are printable ASCII without blanks, cut to the lengths of the RFC; anything else becomes `_`. In values of the structured data `"`, `\`
//! and `]` are escaped. Hidden characters, line breaks among them, are written out in values and in our own message. That message begins with
//! a byte-order mark, which says that it is UTF-8; a payload in another encoding gets none, because its readers expect it at once.

use super::facts::{Name, PROGRAM, clamped, clip, line, name, says};
use super::{Shown, facts};
use crate::alert::Level;
use crate::visible::visible;
use std::fmt::Write as _;

/// Bytes of a frame unless the target takes more: what relays take without cutting it in two.
pub const MAX_FRAME: usize = 8 * 1024;
/// Facility "log audit".
const LOG_AUDIT: u8 = 13;
/// Characters of a value in the structured data that names something.
const MAX_NAME: usize = 64;

/// The header of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    pub facility: u8,
    pub severity: u8,
    /// Microseconds since the epoch.
    pub time: i64,
    pub host: &'a str,
    pub app: &'a str,
    pub process: &'a str,
    pub message_id: &'a str,
}

/// One element of structured data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    pub id: String,
    pub params: Vec<(&'a str, String)>,
}

/// Puts a frame together. The message is taken as it is.
pub fn frame(header: &Header<'_>, data: &[Element<'_>], message: &str) -> String {
    let priority = u32::from(header.facility.min(23)) * 8 + u32::from(header.severity.min(7));
    let time = clamped(header.time).to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let mut out = format!(
        "<{priority}>1 {time} {} {} {} {} ",
        field(header.host, 255),
        field(header.app, 48),
        field(header.process, 128),
        field(header.message_id, 32)
    );
    if data.is_empty() {
        out.push('-');
    }
    for element in data {
        // Writing to a String does not fail.
        let _ = write!(out, "[{}", name_of(&element.id));
        for (key, value) in &element.params {
            let _ = write!(out, " {}=\"{}\"", name_of(key), value_of(value));
        }
        out.push(']');
    }
    if !message.is_empty() {
        out.push(' ');
        out.push_str(message);
    }
    out
}

/// The frame of an alert around a payload that another encoding made.
pub fn wrap(shown: &Shown<'_>, payload: &str) -> String {
    let finding = &shown.alert.finding;
    let header = Header {
        facility: LOG_AUDIT,
        severity: severity(finding.level),
        time: shown.alert.time(),
        host: shown.options.host.as_deref().unwrap_or_default(),
        app: PROGRAM,
        process: "",
        message_id: &finding.rule_id,
    };
    frame(&header, &[element(shown)], payload)
}

/// An alert in the format's own means: what it is in the structured data, what it says in the message.
pub fn encode(shown: &Shown<'_>) -> String {
    wrap(shown, &format!("\u{feff}{}", visible(says(shown.alert))))
}

/// What the structured data says of an alert.
fn element<'a>(shown: &Shown<'_>) -> Element<'a> {
    let alert = shown.alert;
    let finding = &alert.finding;
    let mut params = vec![
        ("id", alert.alert_id.clone()),
        ("rule", finding.rule_id.clone()),
        ("level", finding.level.as_str().to_owned()),
        ("risk", facts::risk(finding.level).to_string()),
    ];
    let names = [
        ("session", Name::Session),
        ("agent", Name::Agent),
        ("user", Name::User),
        ("server", Name::Server),
        ("tool", Name::Tool),
    ];
    params.extend(names.into_iter().filter_map(|(key, kind)| Some((key, name(alert, kind)?.to_owned()))));
    params.push(("calls", alert.calls_total.to_string()));
    params.extend(shown.full_bytes.map(|bytes| ("truncatedFrom", bytes.to_string())));
    for (_, value) in &mut params {
        // What would be cut anyway is not escaped first.
        let head: String = value.chars().take(MAX_NAME + 1).collect();
        *value = clip(&line(&head, &[]), MAX_NAME);
    }
    Element { id: format!("{PROGRAM}@{}", shown.options.enterprise_id), params }
}

/// The severity of syslog.
fn severity(level: Level) -> u8 {
    match level {
        Level::Informational => 6,
        Level::Low => 5,
        Level::Medium => 4,
        Level::High => 3,
        Level::Critical => 2,
    }
}

/// A field of the header; `-` stands for none.
fn field(text: &str, max: usize) -> String {
    let text: String = text.chars().take(max).map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect();
    if text.is_empty() { "-".to_owned() } else { text }
}

/// An SD-ID or a parameter's name.
fn name_of(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_graphic() && !matches!(c, '=' | ']' | '"');
    let text: String = text.chars().take(32).map(|c| if allowed(c) { c } else { '_' }).collect();
    if text.is_empty() { "_".to_owned() } else { text }
}

/// A value of the structured data.
fn value_of(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in visible(text).chars() {
        if matches!(c, '"' | '\\' | ']') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
