//! An alert as a message for people: Slack's blocks and Teams' Adaptive Card.
//!
//! Nothing of an alert is markup there. In Slack every text is `plain_text` without emoji, and `&`, `<`, `>`, with which mentions and links begin, are
//! entities. In Teams every text is a `TextRun`, the one element that knows no Markdown, and the brace that begins a date function is kept apart.
//! Hidden characters are written out. The alert's id is in both.

use super::facts::{Name, PRODUCT, clip, name, names, observed, risk, says, title};
use super::{Shown, object::Attributes};
use crate::alert::{Alert, CallEvidence};
use crate::visible::visible;
use serde_json::{Value, json};

/// Bytes of a Teams message, below the 28 KB that the service takes.
pub const MAX_CARD: usize = 27_000;
/// Characters of Slack's header.
const SLACK_HEADER: usize = 150;
/// Characters of a text in Slack's section.
const SLACK_SECTION: usize = 3000;
/// Characters of a field in Slack's section.
const SLACK_FIELD: usize = 2000;
/// Calls that a message shows; cause and effect are the first and the last.
const CALLS: usize = 6;
/// Characters of what a call said.
const CALL_TEXT: usize = 300;
/// Characters of a name.
const MAX_NAME: usize = 200;

/// Makes the body for a Slack webhook.
pub fn slack(shown: &Shown<'_>) -> Value {
    let alert = shown.alert;
    let finding = &alert.finding;
    let level = finding.level.as_str().to_uppercase();
    let plain = |text: &str, max: usize| json!({"type": "plain_text", "text": slack_text(text, max), "emoji": false});
    let head = format!("{level}: {}", title(alert));
    let facts = facts(alert).into_iter().take(10);
    let fields: Vec<Value> = facts.map(|(name, value)| plain(&format!("{name}: {value}"), SLACK_FIELD)).collect();
    let mut blocks = vec![
        json!({"type": "header", "text": plain(&head, SLACK_HEADER)}),
        json!({"type": "section", "fields": fields}),
        json!({"type": "section", "text": plain(says(alert), SLACK_SECTION)}),
    ];
    for line in calls(alert) {
        blocks.push(json!({"type": "context", "elements": [plain(&line, SLACK_FIELD)]}));
    }
    let foot = foot(shown);
    blocks.push(json!({"type": "context", "elements": [plain(&foot, SLACK_FIELD)]}));
    json!({
        "text": slack_text(&format!("{head} ({PRODUCT} alert {})", alert.alert_id), SLACK_SECTION),
        "mrkdwn": false,
        "parse": "none",
        "link_names": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "blocks": blocks,
    })
}

/// Text without hidden characters and markup, at most so many characters after escaping, none of them half an entity.
fn slack_text(text: &str, max: usize) -> String {
    let head: String = text.chars().take(max + 1).collect();
    let mut out = String::new();
    let mut used = 0;
    for c in visible(&head).chars() {
        let escaped = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            _ => "",
        };
        // The service may count UTF-16 units.
        let cost = if escaped.is_empty() { c.len_utf16() } else { escaped.len() };
        if used + cost + 1 > max {
            out.push('…');
            return out;
        }
        used += cost;
        if escaped.is_empty() { out.push(c) } else { out.push_str(escaped) }
    }
    if out.trim().is_empty() { "-".to_owned() } else { out }
}

/// Makes the body for a Teams workflow.
pub fn teams(shown: &Shown<'_>) -> Value {
    let alert = shown.alert;
    let finding = &alert.finding;
    let color = if finding.level >= crate::alert::Level::High { "attention" } else { "warning" };
    let head = Attributes::new().with("weight", "bolder").with("size", "medium").with("color", color);
    let level = finding.level.as_str().to_uppercase();
    let mut body = vec![paragraph([run(&format!("{level}: {}", title(alert)), 500, head)])];
    body.push(paragraph([run(says(alert), 4096, Attributes::new())]));
    for (name, value) in facts(alert) {
        let bold = Attributes::new().with("weight", "bolder");
        body.push(paragraph([run(&format!("{name}: "), 50, bold), run(&value, 1000, Attributes::new())]));
    }
    for line in calls(alert) {
        body.push(paragraph([run(&line, 1000, Attributes::new().with("fontType", "monospace"))]));
    }
    body.push(paragraph([run(&foot(shown), 2000, Attributes::new().with("isSubtle", true))]));
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "fallbackText": format!("{level}: {PRODUCT} alert {}", alert.alert_id),
                "body": body,
            },
        }],
    })
}

fn paragraph(runs: impl IntoIterator<Item = Value>) -> Value {
    json!({"type": "RichTextBlock", "inlines": runs.into_iter().collect::<Vec<_>>()})
}

fn run(text: &str, max: usize, look: Attributes<'_>) -> Value {
    let head: String = text.chars().take(max + 1).collect();
    // Twice: of three braces in a row the first pass leaves two.
    let text = clip(&visible(&head), max).replace("{{", "{ {").replace("{{", "{ {");
    let text = if text.trim().is_empty() { "-".to_owned() } else { text };
    let mut run = Attributes::new().with("type", "TextRun").with("text", text);
    run = run.and(look);
    run.into()
}

/// What stands beside the message: at most eight names with their values.
fn facts(alert: &Alert) -> Vec<(&'static str, String)> {
    let finding = &alert.finding;
    let mut list = vec![("Level", format!("{} ({})", finding.level, risk(finding.level)))];
    let mut add = |what: &'static str, values: Vec<&str>| {
        if !values.is_empty() {
            let shown: Vec<String> = values.iter().take(5).map(|value| clip(value, MAX_NAME)).collect();
            let more = if values.len() > 5 { format!(", and {} more", values.len() - 5) } else { String::new() };
            list.push((what, format!("{}{more}", shown.join(", "))));
        }
    };
    add("Agent", names(alert, Name::Agent));
    add("User", names(alert, Name::User));
    add("Server", names(alert, Name::Server));
    add("Tool", names(alert, Name::Tool));
    add("Session", name(alert, Name::Session).into_iter().collect());
    add("Host", observed(alert, "domain"));
    list.push(("Calls", alert.calls_total.to_string()));
    list
}

/// The first and last calls, a line each.
fn calls(alert: &Alert) -> Vec<String> {
    let calls = &alert.calls;
    let first = calls.iter().take(CALLS / 2);
    let last = calls.iter().skip(CALLS / 2);
    let last = last.skip(calls.len().saturating_sub(CALLS));
    first.chain(last).map(call_line).collect()
}

fn call_line(call: &CallEvidence) -> String {
    let time = call.time.map(super::table::short_time).unwrap_or_default();
    let server = call.server.as_deref().unwrap_or_default();
    let tool = call.tool.as_deref().unwrap_or(&call.method);
    let said = clip(call.arguments.as_deref().unwrap_or_default(), CALL_TEXT);
    format!("{time} {} {} [{}] {said}", clip(server, MAX_NAME), clip(tool, MAX_NAME), call.outcome)
}

fn foot(shown: &Shown<'_>) -> String {
    let finding = &shown.alert.finding;
    let cut = if shown.full_bytes.is_some() { ", cut to fit" } else { "" };
    format!("alert {}, rule {}{cut}", shown.alert.alert_id, clip(&finding.rule_id, MAX_NAME))
}
