//! An alert as a line of the Common Event Format, `CEF:0`.
//!
//! Keys are those of the format's dictionary, with its lengths in characters; what it has no key for is in custom strings with labels. In
//! the header `\` and `|` are escaped, in values `\`, `=` and line ends; every other hidden character is written out as in
//! [`visible`](crate::visible::visible), and blanks around a value are dropped, since parsers do not keep them. `rt` comes first: one
//! parser eats the first letter of the first key.

use super::Shown;
use super::facts::{
    Name, PRODUCT, VERSION, attacks, clip, millis, name, names, observed, percent, risk, says, severity_of_ten, span,
    title,
};
use crate::alert::Alert;
use crate::visible::{is_hidden, visible};
use std::fmt::Write as _;
use std::net::Ipv4Addr;

/// Makes the line.
pub fn encode(shown: &Shown<'_>) -> String {
    let alert = shown.alert;
    let finding = &alert.finding;
    // The standard wants these three escaped in a class id without saying how, and parsers do not agree.
    let class = finding.rule_id.replace(['=', '%', '#'], "_");
    let mut out = format!(
        "CEF:0|{PRODUCT}|{PRODUCT}|{VERSION}|{}|{}|{}|rt={}",
        header(&class, 1023),
        header(title(alert), 512),
        severity_of_ten(finding.level),
        millis(alert.time()),
    );
    for (key, value) in extensions(shown) {
        // Writing to a String does not fail.
        let _ = write!(out, " {key}={value}");
    }
    out
}

/// Keys after the first, with their escaped values; those without a value are left out.
fn extensions(shown: &Shown<'_>) -> Vec<(&'static str, String)> {
    let alert = shown.alert;
    let finding = &alert.finding;
    let (start, end) = span(alert);
    let mut list = Vec::new();
    let mut add = |key: &'static str, text: &str, max: usize| {
        let value = value(text, max);
        if !value.is_empty() {
            list.push((key, value));
        }
        !text.trim().is_empty()
    };
    add("start", &millis(start).to_string(), 20);
    add("end", &millis(end).to_string(), 20);
    add("externalId", &alert.alert_id, 40);
    add("cat", &finding.rule_group, 1023);
    add("act", if alert.suppressed_by.is_some() { "suppressed" } else { "detected" }, 63);
    add("suid", name(alert, Name::User).unwrap_or_default(), 1023);
    add("dvchost", shown.options.host.as_deref().unwrap_or_default(), 100);
    add("dhost", observed(alert, "domain").first().copied().unwrap_or_default(), 1023);
    let address = observed(alert, "ip").into_iter().find(|ip| ip.parse::<Ipv4Addr>().is_ok());
    add("dst", address.unwrap_or_default(), 15);
    add("request", observed(alert, "url").first().copied().unwrap_or_default(), 1023);
    add("filePath", observed(alert, "file_path").first().copied().unwrap_or_default(), 1023);
    add("fileHash", observed(alert, "hash").first().copied().unwrap_or_default(), 255);
    add("cnt", &alert.calls_total.min(i32::MAX as u64).to_string(), 10);
    let custom: [(&'static str, &'static str, &'static str, String); 6] = [
        ("cs1", "cs1Label", "mcpSession", name(alert, Name::Session).unwrap_or_default().to_owned()),
        ("cs2", "cs2Label", "mcpServer", names(alert, Name::Server).join(",")),
        ("cs3", "cs3Label", "mcpTool", names(alert, Name::Tool).join(",")),
        ("cs4", "cs4Label", "aiAgent", name(alert, Name::Agent).unwrap_or_default().to_owned()),
        ("cs5", "cs5Label", "callIds", finding.call_ids.join(",")),
        ("cs6", "cs6Label", "attack", ids(alert)),
    ];
    for (key, label_key, label, text) in custom {
        if add(key, &text, 4000) {
            add(label_key, label, 1023);
        }
    }
    add("cn1", &risk(finding.level).to_string(), 20);
    add("cn1Label", "riskScore", 1023);
    if let Some(percent) = percent(alert) {
        add("cn2", &percent.to_string(), 20);
        add("cn2Label", "confidence", 1023);
    }
    if let Some(bytes) = shown.full_bytes {
        add("cn3", &bytes.to_string(), 20);
        add("cn3Label", "truncatedFromBytes", 1023);
    }
    add("msg", says(alert), 1023);
    list
}

/// Ids of tactics and techniques.
fn ids(alert: &Alert) -> String {
    let (tactics, techniques) = attacks(alert);
    let ids: Vec<&str> = tactics.iter().chain(&techniques).map(|known| known.last().0).collect();
    ids.join(",")
}

/// A field of the header; an empty one would be taken for a missing one.
fn header(text: &str, max: usize) -> String {
    let shown = clip(visible(text.trim()).trim(), max);
    let escaped = shown.replace('\\', "\\\\").replace('|', "\\|");
    if escaped.is_empty() { "unknown".to_owned() } else { escaped }
}

/// A value of the extension. Line ends have escapes of their own, which parsers undo.
fn value(text: &str, max: usize) -> String {
    let text = text.trim();
    if text.len() <= max && text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'\\' | b'=')) {
        return text.to_owned();
    }
    let mut plain = String::with_capacity(text.len().min(max * 2));
    for c in text.chars().take(max + 1) {
        match c {
            '\n' | '\r' => plain.push(c),
            c if is_hidden(c) => plain.push_str(&visible(c.encode_utf8(&mut [0; 4]))),
            c => plain.push(c),
        }
    }
    let mut out = String::with_capacity(plain.len() + 8);
    for c in clip(&plain, max).trim().chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '=' => out.push_str("\\="),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c => out.push(c),
        }
    }
    out
}
