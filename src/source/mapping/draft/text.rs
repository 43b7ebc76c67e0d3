//! Lines of text → a regex with named groups: lines of `key=value`, a prefix before JSON, words in fixed places.

use super::choose::{Chosen, Line};
use super::field::{Field, snake};
use super::write::Table;
use super::{choose, fixed};
use crate::source::json::{self, Object};
use crate::source::mapping::{TimeFormat, Zone};
use regex::Regex;
use std::sync::LazyLock;

/// A line's text and the fields of the JSON record around it, if there is one.
pub(super) type Envelope<'a> = Option<(&'a str, &'a [Field])>;

/// What a time at the start of a line looks like, brackets left out.
const TIMES: &[&str] = &[
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z| ?[+-]\d\d:?\d\d)?",
    r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d+)?",
    r"\d\d/[A-Z][a-z]{2}/\d{4}[: ]\d\d:\d\d:\d\d(?: [+-]\d{4})?",
    r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d",
    r"\d{10}\.\d+|\d{13}|\d{10}",
];

/// Nested text ends where a word ends, not at its first bracket.
pub(super) const ENDS_WORD: &str = r"(?:\s|$)";

/// A group of the regex that is being built.
pub(super) struct Group {
    pub(super) field: Field,
    /// Regex in front of the value, and of the value.
    pub(super) before: String,
    pub(super) value: String,
    /// Regex behind the value.
    pub(super) after: String,
    /// Some lines have none.
    pub(super) optional: bool,
}

/// A time at the start of every line.
pub(super) struct Start {
    pub(super) pattern: String,
    field: Field,
}

pub(super) fn draft(lines: &[&str], id: &str, envelope: Envelope<'_>) -> Option<String> {
    let lines: Vec<&str> = lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
    pairs(&lines, id, envelope)
        .or_else(|| prefixed(&lines, id, envelope))
        .or_else(|| fixed::draft(&lines, id, envelope))
}

/// The time that stands at the start of many of these lines, perhaps in brackets. A text of several lines has it in its first.
pub(super) fn start_of(lines: &[&str]) -> Option<Start> {
    TIMES.iter().find_map(|time| {
        let pattern = format!(r"^\[?(?P<time>{time})\]?[,:]?\s*");
        let regex = Regex::new(&pattern).ok()?;
        let mut field = Field::new("time");
        for found in lines.iter().filter_map(|line| regex.captures(line)?.name("time")) {
            field.add_text(found.as_str());
        }
        let are_many = field.present * 3 >= lines.len();
        field.time_format().filter(|_| are_many).map(|_| Start { pattern, field })
    })
}

/// What is left of a line behind its time.
pub(super) fn behind<'l>(start: Option<&Start>, line: &'l str) -> &'l str {
    let regex = start.and_then(|start| Regex::new(&start.pattern).ok());
    regex.and_then(|regex| regex.find(line)).map_or(line, |found| &line[found.end()..])
}

/// `key=value key="value" key={…}`.
fn pairs(lines: &[&str], id: &str, envelope: Envelope<'_>) -> Option<String> {
    let read: Vec<Vec<(&str, &str)>> = lines.iter().map(|line| pairs_of(line)).collect();
    let fields = fields_of(&read);
    let tool = choose::tool(&fields)?.place.clone();
    let with_tool: Vec<usize> = (0..lines.len()).filter(|at| read[*at].iter().any(|(key, _)| *key == tool)).collect();
    let calls: Vec<Vec<(&str, &str)>> = with_tool.iter().map(|at| read[*at].clone()).collect();
    let texts: Vec<&str> = with_tool.iter().map(|at| lines[*at]).collect();
    if calls.iter().all(|pairs| pairs.len() < 3) {
        return None;
    }
    let fields = fields_of(&calls);
    let chosen = Chosen::of(&fields, calls.len());
    // Keys in the order of the lines; one that changes its place cannot be in a regex.
    let position = |pairs: &[(&str, &str)], key: &str| pairs.iter().position(|(known, _)| *known == key);
    let mut order: Vec<&Field> = Vec::new();
    for field in fields.iter().filter(|field| chosen.lines.iter().any(|line| line.place == field.place)) {
        let follows = order.iter().all(|before| {
            calls.iter().all(|pairs| match (position(pairs, &before.place), position(pairs, &field.place)) {
                (Some(before), Some(this)) => before < this,
                _ => true,
            })
        });
        if follows {
            order.push(field);
        }
    }
    let groups = order.into_iter().map(|field| Group {
        before: format!(r".*?\b{}=", regex::escape(&field.place)),
        value: if field.is_nested() {
            r#"(?:\{.*?\}|\[.*?\])|"(?:[^"\\]|\\.)*"|\S*"#.to_owned()
        } else {
            r#""(?:[^"\\]|\\.)*"|[^\s,;]*"#.to_owned()
        },
        after: if field.is_nested() { ENDS_WORD.to_owned() } else { String::new() },
        optional: field.present < calls.len(),
        field: field.clone(),
    });
    let start = start_of(&texts).filter(|_| chosen.place("time").or(chosen.place("time_end")).is_none());
    Some(table(id, start.as_ref(), groups.collect(), chosen, envelope, (lines.len(), calls.len())))
}

fn fields_of(lines: &[Vec<(&str, &str)>]) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    for (key, value) in lines.iter().flatten() {
        let at = fields.iter().position(|field| field.place == *key).unwrap_or_else(|| {
            fields.push(Field::new(*key));
            fields.len() - 1
        });
        if matches!(*value, "" | "-" | "\"\"") {
            continue;
        }
        match value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
            Some(_) => fields[at].add_text(&json::unescape(value)),
            None => fields[at].add_text(value),
        }
    }
    fields
}

/// Keys and values of a line, in order; each key once.
fn pairs_of(line: &str) -> Vec<(&str, &str)> {
    static KEY: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?:^|[\s,;|(\[])([A-Za-z_][\w.-]{0,60})=").expect("a constant regex"));
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    let mut at = 0;
    while let Some(found) = KEY.captures_at(line, at) {
        let (Some(whole), Some(key)) = (found.get(0), found.get(1)) else { break };
        let value = &line[whole.end()..];
        let end = match value.as_bytes().first() {
            Some(b'"') => json::skip_string(value.as_bytes(), 0),
            Some(b'{' | b'[') => json::skip_value(value.as_bytes(), 0),
            _ => value.find(|c: char| c.is_whitespace() || matches!(c, ',' | ';')).unwrap_or(value.len()),
        };
        // A quote that is not closed takes the rest of the line, and may end inside a character.
        let value = value.get(..end).unwrap_or(value);
        if !pairs.iter().any(|(known, _)| *known == key.as_str()) {
            pairs.push((key.as_str(), value));
        }
        at = whole.end() + value.len();
    }
    pairs
}

/// Something, then a JSON object up to the end of the line.
fn prefixed(lines: &[&str], id: &str, envelope: Envelope<'_>) -> Option<String> {
    let split = |line: &'_ str| line.find('{').filter(|at| *at > 0);
    let with_json: Vec<(&str, Object<'_>)> =
        lines.iter().filter_map(|line| Some((*line, Object::parse(&line[split(line)?..]).ok()?))).collect();
    if with_json.len() * 2 < lines.len() {
        return None;
    }
    let objects: Vec<Object<'_>> = with_json.iter().map(|(_, object)| object.clone()).collect();
    let tool = choose::tool(&super::fields_of(&objects))?.place.clone();
    let calls: Vec<Object<'_>> = objects.iter().filter(|object| super::has(object, &tool)).cloned().collect();
    let mut chosen = Chosen::of(&super::fields_of(&calls), calls.len());
    for line in &mut chosen.lines {
        line.place.insert_str(0, "json");
    }
    let texts: Vec<&str> = with_json.iter().map(|(line, _)| *line).collect();
    let start = start_of(&texts).filter(|_| chosen.place("time").or(chosen.place("time_end")).is_none());
    let mut table = Table::new(id);
    table.comment(&format!("drafted from {} lines, {} of which have {tool}", lines.len(), calls.len()));
    head(&mut table, envelope);
    let begin = start.as_ref().map_or("^", |start| start.pattern.as_str());
    table.key("regex", &format!(r"{begin}[^{{]*(?P<json>\{{.*\}})\s*$"));
    table.list("exists", &[format!("json{tool}").as_str()]);
    table.ignore(lines.len() - calls.len());
    finish_times(&mut chosen, start.as_ref(), envelope, calls.len());
    table.columns(&chosen);
    Some(table.finish())
}

/// What stands before the columns of any regex.
fn head(table: &mut Table, envelope: Envelope<'_>) {
    if let Some((place, _)) = envelope {
        table.key("text", place);
    }
}

/// Adds the time of the line's start, or of the record around the line.
fn finish_times(chosen: &mut Chosen, start: Option<&Start>, envelope: Envelope<'_>, total: usize) {
    if chosen.place("time").or(chosen.place("time_end")).is_some() {
        return;
    }
    if let Some(start) = start {
        let mut field = start.field.clone();
        field.present = total;
        chosen.add("time", &field, false, total);
        return;
    }
    let around = envelope.and_then(|(_, fields)| fields.iter().find(|f| f.fits().iter().any(|(c, _)| *c == "time")));
    if let Some(field) = around {
        chosen.add("time", field, false, field.present);
    }
}

/// The table of a regex that is put together of groups. A group has the name of its column.
pub(super) fn table(
    id: &str,
    start: Option<&Start>,
    groups: Vec<Group>,
    mut chosen: Chosen,
    envelope: Envelope<'_>,
    counts: (usize, usize),
) -> String {
    let (total, calls) = counts;
    let mut regex = start.map_or_else(|| "^".to_owned(), |start| start.pattern.clone());
    let mut left_out: Vec<Line> = Vec::new();
    for group in &groups {
        let Group { field, before, value, after, optional } = group;
        let of_field = |line: &&mut Line| line.place == field.place;
        // `tool` gives its name also to the group that `server` is cut from.
        let sure = chosen.lines.iter().rfind(|line| line.place == field.place && !line.commented);
        let Some(name) = sure.map(|line| line.column) else {
            if !optional {
                let value = if value.contains('|') { format!("(?:{value})") } else { value.clone() };
                regex.push_str(&format!("{before}{value}{after}"));
            }
            continue;
        };
        for line in chosen.lines.iter_mut().filter(of_field) {
            name.clone_into(&mut line.place);
        }
        let group = format!("{before}(?P<{name}>{value}){after}");
        regex.push_str(&if *optional { format!("(?:{group})?") } else { group });
    }
    let is_group = |line: &Line| regex.contains(&format!("(?P<{}>", line.place));
    for line in std::mem::take(&mut chosen.lines) {
        let list = if is_group(&line) { &mut chosen.lines } else { &mut left_out };
        list.push(line);
    }
    finish_times(&mut chosen, start, envelope, calls);
    let mut table = Table::new(id);
    table.comment(&format!("drafted from {total} lines, {calls} of which look like calls"));
    head(&mut table, envelope);
    table.key("regex", &regex);
    chosen.ended_with_duration();
    // A group fills the column of its name by itself, unless something else uses it.
    let uses: Vec<String> = chosen.lines.iter().map(|line| line.place.clone()).collect();
    chosen.lines.retain(|line| {
        let only_use = uses.iter().filter(|place| **place == line.place).count() == 1;
        line.column != line.place || !line.options.is_empty() || line.note.is_some() || !only_use
    });
    table.ignore(total - calls);
    table.columns(&chosen);
    for line in left_out {
        table.comment(&format!("{} may be {}: give it a group in the regex", snake(&line.place), line.column));
    }
    table.finish()
}

/// Whether a time can be read without being told how.
pub(super) fn is_time(text: &str) -> bool {
    let auto = TimeFormat::parse("auto", super::super::EpochUnit::Auto);
    text.len() >= 16 && auto.is_ok_and(|auto| auto.read(text, Zone::parse("UTC").ok(), None).is_some())
}
