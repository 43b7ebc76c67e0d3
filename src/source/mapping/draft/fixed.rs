//! Lines whose words have fixed places: `TIME INFO session-1 fs/read_file {"path":"…"} ok 12ms`.

use super::choose::Chosen;
use super::field::{Field, Fit};
use super::text::{ENDS_WORD, Envelope, Group, behind, is_time, start_of, table};
use crate::source::json;
use crate::source::mapping::DurationUnit;
use std::collections::HashMap;

/// Words of one line that are looked at.
const MAX_WORDS: usize = 40;

/// One word of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word<'l> {
    /// Brackets, `key=` and the like in front.
    before: &'l str,
    value: &'l str,
    /// Brackets and punctuation behind.
    after: &'l str,
    nested: bool,
}

pub(super) fn draft(lines: &[&str], id: &str, envelope: Envelope<'_>) -> Option<String> {
    let start = start_of(lines);
    let mut kinds: HashMap<String, Vec<usize>> = HashMap::new();
    let words: Vec<Vec<Word<'_>>> = lines.iter().map(|line| words_of(behind(start.as_ref(), line))).collect();
    for (at, words) in words.iter().enumerate() {
        let kind: Vec<String> =
            words.iter().map(|w| format!("{}{}{}", w.before, u8::from(w.nested), w.after)).collect();
        kinds.entry(kind.join(" ")).or_default().push(at);
    }
    let mut kinds: Vec<Vec<usize>> = kinds.into_values().filter(|lines| lines.len() > 1).collect();
    kinds.sort_by_key(|of_kind| (std::cmp::Reverse(of_kind.len()), of_kind.first().copied()));
    kinds.iter().find_map(|of_kind| {
        let of_kind: Vec<&[Word<'_>]> = of_kind.iter().map(|at| words[*at].as_slice()).collect();
        // A web server has other things to do than to call tools.
        let calls: Vec<&[Word<'_>]> = of_kind.iter().copied().filter(|words| words.iter().any(names_tool)).collect();
        let (lines_of, found) = match columns(&of_kind) {
            Some(found) => (of_kind.len(), found),
            None if calls.len() > 1 => (calls.len(), columns(&calls)?),
            None => return None,
        };
        Some(table(id, start.as_ref(), found.0, found.1, envelope, (lines.len(), lines_of)))
    })
}

/// Whether a word is a request over HTTP to a tool.
fn names_tool(word: &Word<'_>) -> bool {
    let mut field = Field::new("");
    field.add_text(word.value);
    field.path().is_some()
}

/// The groups of lines of one kind, if one of them is a tool.
fn columns(lines: &[&[Word<'_>]]) -> Option<(Vec<Group>, Chosen)> {
    let mut chosen = Chosen::default();
    let mut groups: Vec<Group> = Vec::new();
    let mut label = String::new();
    let count = lines.first()?.len();
    for at in 0..count {
        let first = &lines[0][at];
        let key = first.before.trim_end_matches(['=', ':', '[', '(', '"']);
        // `(12 ms)`: the unit is a word of its own.
        let unit =
            lines.iter().all(|line| line[at].value.parse::<f64>().is_ok()).then(|| unit_of(lines, at + 1)).flatten();
        let mut field = Field::new(unit.map_or_else(|| format!("word{at}"), |unit| format!("word{at}_{unit}")));
        for line in lines {
            if !matches!(line[at].value, "" | "-") {
                field.add_text(&unquoted(line[at].value));
            }
        }
        let separator = if groups.is_empty() { "" } else { r"\s+" };
        let before = format!("{separator}{}", regex::escape(first.before));
        let mut after = regex::escape(first.after);
        if first.nested && at + 1 == count {
            after.push_str(ENDS_WORD);
        }
        let constant = lines.iter().all(|line| line[at].value == first.value);
        let named = if key.is_empty() { label.as_str() } else { key };
        let is_free = |column: &str| !chosen.lines.iter().any(|line| line.column == column);
        let column = if unit.is_some() && is_free("duration") {
            Some("duration")
        } else {
            let is_behind = |last: &Group| chosen.place("method") == Some(last.field.place.as_str());
            of_access_log(lines, at)
                .or_else(|| of_header(&field, groups.last().is_some_and(is_behind)))
                .filter(|column| is_free(column))
                .or_else(|| column_of(&field, named, constant, &chosen))
        };
        label.clear();
        let mut group = Group { field, before, value: value_of(first), after, optional: false };
        match column {
            Some(column) => {
                if column == "tool" && group.field.path().is_some() && group.value.starts_with('"') {
                    // Requests to anything else are no calls.
                    group.value = r#""[^"]*/tools?/[^"]*""#.to_owned();
                }
                chosen.add(column, &group.field, false, lines.len());
            }
            None if constant && is_fixed(first) => {
                group.value = regex::escape(first.value);
                first.value.trim_end_matches(':').clone_into(&mut label);
            }
            None => {}
        }
        groups.push(group);
    }
    chosen.place("tool")?;
    Some((groups, chosen))
}

/// The unit that stands in this place of every line.
fn unit_of(lines: &[&[Word<'_>]], at: usize) -> Option<&'static str> {
    let all = |unit: &str| lines.iter().all(|line| line.get(at).is_some_and(|word| word.value == unit));
    [("ms", "ms"), ("s", "s"), ("seconds", "s"), ("milliseconds", "ms"), ("µs", "us"), ("us", "us")]
        .into_iter()
        .find_map(|(word, unit)| all(word).then_some(unit))
}

/// What stands where in the log of a web server: `ADDRESS - USER [TIME] "REQUEST" STATUS`.
fn of_access_log(lines: &[&[Word<'_>]], at: usize) -> Option<&'static str> {
    let is_request = |word: Option<&Word<'_>>| word.is_some_and(|word| word.value.contains(" HTTP/"));
    let all = |test: &dyn Fn(&[Word<'_>]) -> bool| lines.iter().all(|line| test(line));
    let number = |word: &Word<'_>| word.value.len() == 3 && word.value.bytes().all(|b| b.is_ascii_digit());
    match at {
        2 if all(&|line| line.get(1).is_some_and(|word| word.value == "-") && is_request(line.get(4))) => {
            Some("user_id")
        }
        1.. if all(&|line| is_request(line.get(at - 1)) && number(&line[at])) => Some("http_response_status_code"),
        _ => None,
    }
}

/// The headers `Mcp-Method` and `Mcp-Name` of a request, which stand side by side.
fn of_header(field: &Field, is_behind_method: bool) -> Option<&'static str> {
    let all = |test: &dyn Fn(&str) -> bool| !field.values.is_empty() && field.values.iter().all(|value| test(value));
    let is_method = |value: &str| {
        matches!(value, "initialize" | "ping")
            || value.split_once('/').is_some_and(|(what, _)| {
                ["tools", "resources", "prompts", "notifications", "completion", "server", "subscriptions"]
                    .contains(&what)
            })
    };
    if all(&is_method) {
        return Some("method");
    }
    let is_name = |value: &str| value.bytes().all(|b| b.is_ascii_alphanumeric() || b"_./:-".contains(&b));
    (is_behind_method && all(&is_name)).then_some("tool")
}

/// Whether a value looks like one of a column.
type Looks<'a> = &'a dyn Fn(&str) -> bool;

fn column_of(field: &Field, label: &str, constant: bool, chosen: &Chosen) -> Option<&'static str> {
    let free = |column: &&'static str| !chosen.lines.iter().any(|line| line.column == *column);
    let all = |test: &dyn Fn(&str) -> bool| !field.values.is_empty() && field.values.iter().all(|value| test(value));
    if field.is_nested() {
        return ["arguments", "result"].into_iter().find(|column| free(column));
    }
    if !label.is_empty() {
        let mut named = field.clone();
        label.clone_into(&mut named.place);
        let strong = named.fits().into_iter().find(|(column, fit)| *fit == Fit::Strong && free(column));
        if let Some((column, _)) = strong.filter(|(column, _)| *column != "duration" || named.unit().1) {
            return Some(column);
        }
    }
    let is_duration =
        |text: &str| text.starts_with(|c: char| c.is_ascii_digit()) && DurationUnit::Text.read(text).is_some();
    let looks: [(&'static str, Looks<'_>); 5] = [
        ("time", &|text| is_time(text) || is_bracketed_time(text)),
        ("duration", &is_duration),
        ("user_email", &|text| text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.'))),
        ("client_address", &|text| text.parse::<std::net::IpAddr>().is_ok()),
        ("session_id", &|text| {
            let hex = text.len() >= 16 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
            hex || text.starts_with("sess")
        }),
    ];
    if let Some((column, _)) = looks.into_iter().find(|(column, test)| free(column) && all(test)) {
        return Some(column);
    }
    if free(&"tool") && field.path().is_some() {
        return Some("tool");
    }
    if all(&is_level) {
        return None;
    }
    if free(&"outcome") && field.outcomes().1.is_empty() && !field.values.is_empty() {
        return Some("outcome");
    }
    let identifier = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_./:-".contains(&b))
            && text.contains(['_', '/', '.', ':'])
    };
    (!constant && free(&"tool") && all(&identifier)).then_some("tool")
}

/// Whether a word that all lines have is one that others will have: numbers, days and levels change.
fn is_fixed(word: &Word<'_>) -> bool {
    let has_digit = word.value.bytes().any(|byte| byte.is_ascii_digit());
    !word.nested && !word.value.starts_with('"') && !is_level(word.value) && !has_digit
}

/// Levels of logging say nothing of calls, and lines of one kind have several. Written small it is an outcome.
fn is_level(text: &str) -> bool {
    ["TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "FATAL", "info", "warn", "debug"].contains(&text)
}

/// `10/Nov/2026:09:12:33 +0000`, which has a blank in it and stands in brackets.
fn is_bracketed_time(text: &str) -> bool {
    text.len() == 26
        && text.as_bytes()[2] == b'/'
        && chrono::DateTime::parse_from_str(text, "%d/%b/%Y:%H:%M:%S %z").is_ok()
}

fn value_of(word: &Word<'_>) -> String {
    if is_bracketed_time(word.value) {
        return r"[^\]]+".to_owned();
    }
    let end = match word.after.chars().next() {
        Some(c) if !c.is_whitespace() => format!(r"[^\s{}]*", regex::escape(&c.to_string())),
        _ => r"\S+".to_owned(),
    };
    match word.value.as_bytes().first() {
        Some(b'{' | b'[') if word.nested => r"(?:\{.*?\}|\[.*?\])".to_owned(),
        Some(b'"') => r#""(?:[^"\\]|\\.)*""#.to_owned(),
        _ => end,
    }
}

fn unquoted(value: &str) -> std::borrow::Cow<'_, str> {
    let quoted = value.len() > 1 && value.starts_with('"') && value.ends_with('"');
    if quoted { json::unescape(value) } else { value.into() }
}

fn words_of(line: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && words.len() < MAX_WORDS {
        let before = before(rest);
        let (front, value) = rest.split_at(before);
        let nested_end = match value.as_bytes().first() {
            Some(b'{' | b'[') => Some(json::skip_value(value.as_bytes(), 0)).filter(|end| is_json(value.get(..*end))),
            _ => None,
        };
        let end = match value.as_bytes().first() {
            _ if nested_end.is_some() => nested_end,
            _ if front == "[" && value.get(..26).is_some_and(is_bracketed_time) => Some(26),
            Some(b'"') => Some(json::skip_string(value.as_bytes(), 0)),
            _ => None,
        };
        let end = end.unwrap_or_else(|| value.find(char::is_whitespace).unwrap_or(value.len()));
        let Some(text) = value.get(..end) else { break };
        let plain = if nested_end.is_some() || text.starts_with('"') {
            text
        } else {
            text.trim_end_matches([',', ';', ':', ')', ']'])
        };
        let word_end = value[plain.len()..].find(char::is_whitespace).map_or(value.len(), |at| plain.len() + at);
        words.push(Word {
            before: front,
            value: plain,
            after: &value[plain.len()..word_end],
            nested: nested_end.is_some(),
        });
        rest = value[word_end..].trim_start();
    }
    words
}

/// Length of brackets and `key=` in front of a word's value.
fn before(word: &str) -> usize {
    let end = word.find(char::is_whitespace).unwrap_or(word.len());
    let bracket = word.len() - word.trim_start_matches(['[', '(']).len();
    let bracket = if is_json(word.get(..json::skip_value(word.as_bytes(), 0))) { 0 } else { bracket };
    let key = word[bracket..end.max(bracket)].find('=').map(|at| bracket + at);
    match key {
        Some(at) if word[bracket..at].bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)) => at + 1,
        _ => bracket,
    }
}

fn is_json(text: Option<&str>) -> bool {
    text.is_some_and(|text| {
        text.starts_with(['{', '[']) && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
    })
}
