//! One document of a Sigma file: read by rsigma, and looked through for what its reader keeps silent about.
//!
//! rsigma stops at the first problem of a document and knows no lines. Here all keys are looked at, and each problem gets
//! the line on which its key stands.

use super::super::Problem;
use crate::alert::Level;
use rsigma_parser::{CorrelationRule, FieldSpec, FilterRule, SigmaRule, parse_field_spec, parse_sigma_yaml};
use std::path::{Path, PathBuf};
use yaml_serde::{Mapping, Value};

/// Keys that conditions and rules take, not detections.
const NO_DETECTIONS: [&str; 3] = ["condition", "timeframe", "rules"];

/// A document with the lines of its keys.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) path: PathBuf,
    /// Lines of the file before the document.
    before: usize,
    text: String,
    pub(super) value: Mapping,
    pub(super) kind: Kind,
}

/// What a document is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Rule(Box<SigmaRule>),
    Correlation(Box<CorrelationRule>),
    Filter(Box<FilterRule>),
}

/// The documents of a file that could be read, and what is wrong with the others.
pub(super) fn documents(path: &Path, text: &str) -> (Vec<Document>, Vec<Problem>) {
    let (mut documents, mut problems) = (Vec::new(), Vec::new());
    for (before, text) in split(text) {
        match read(path, before, &text) {
            Ok(document) => documents.push(document),
            Err(found) => problems.extend(found),
        }
    }
    if documents.is_empty() && problems.is_empty() {
        problems.push(Problem::new(path, 1, "the file has no Sigma rule"));
    }
    (documents, problems)
}

/// The documents of a stream with the lines before each: a mark at the start of a line ends a document wherever it stands.
fn split(text: &str) -> Vec<(usize, String)> {
    let mut parts = vec![(0, String::new())];
    for (at, line) in text.lines().enumerate() {
        let mark = line.strip_prefix("---").filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r']));
        match mark {
            Some(rest) => parts.push((at, format!("   {rest}\n"))),
            None => {
                let (_, part) = parts.last_mut().expect("there is a first part");
                part.push_str(line);
                part.push('\n');
            }
        }
    }
    let is_blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    parts.retain(|(_, part)| !part.lines().all(is_blank));
    parts
}

fn read(path: &Path, before: usize, text: &str) -> Result<Document, Vec<Problem>> {
    let at = |line: usize, message: String| vec![Problem::new(path, before + line, message)];
    let value: Value = yaml_serde::from_str(text).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        at(line, format!("no YAML: {error}"))
    })?;
    let Value::Mapping(value) = value else { return Err(at(1, "no Sigma rule: a mapping is expected".to_owned())) };
    // Lines can be told before it is known what the document is.
    let place = Place { path, before, text };
    let mut problems = place.keys(&value);
    let mut collection = match parse_sigma_yaml(text) {
        Ok(collection) => collection,
        Err(error) => return Err(place.and(problems, &error.to_string())),
    };
    let kind = match (collection.rules.pop(), collection.correlations.pop(), collection.filters.pop()) {
        (Some(rule), ..) => Kind::Rule(Box::new(rule)),
        (_, Some(rule), _) => Kind::Correlation(Box::new(rule)),
        (_, _, Some(rule)) => Kind::Filter(Box::new(rule)),
        _ => {
            let cause = collection.errors.first().map_or("no Sigma rule", String::as_str);
            return Err(place.and(problems, cause));
        }
    };
    // Level and status have been looked at.
    let others = collection
        .errors
        .iter()
        .filter(|error| !["level", "status"].iter().any(|key| error.starts_with(&format!("invalid {key}"))));
    problems.extend(others.map(|error| place.problem(&["related"], error.clone())));
    if problems.is_empty() {
        Ok(Document { path: path.to_owned(), before, text: text.to_owned(), value, kind })
    } else {
        Err(problems)
    }
}

impl Document {
    /// A problem at the line of a key.
    pub(super) fn problem(&self, keys: &[&str], message: impl Into<String>) -> Problem {
        self.place().problem(keys, message.into())
    }

    /// A problem at the line of an item of a detection, below these keys.
    pub(super) fn item_problem(
        &self,
        section: &str,
        detection: &str,
        item: Option<&FieldSpec>,
        message: String,
    ) -> Problem {
        let place = self.place();
        let (line, region) = place.find(&[section, detection]);
        let of_item = item.and_then(|item| {
            let is_it = |line: &str| key_of(line).and_then(|key| parse_field_spec(&key).ok()).as_ref() == Some(item);
            region.into_iter().find(|at| place.line(*at).is_some_and(is_it))
        });
        let message = match item.and_then(|item| item.name.as_deref()) {
            Some(name) if !message.contains(name) => format!("{detection}.{name}: {message}"),
            _ => format!("{detection}: {message}"),
        };
        Problem::new(&self.path, self.before + of_item.unwrap_or(line), message)
    }

    /// A problem at the line below a key that holds a value.
    pub(super) fn value_problem(&self, keys: &[&str], value: &str, message: impl Into<String>) -> Problem {
        let place = self.place();
        let (line, region) = place.find(keys);
        let holds = |at: &usize| place.line(*at).is_some_and(|line| line.contains(value));
        let at = std::iter::once(line).chain(region).find(holds).unwrap_or(line);
        Problem::new(&self.path, self.before + at, message)
    }

    /// Texts of a key: one, or a list.
    pub(super) fn texts(&self, key: &str) -> Vec<String> {
        match self.value.get(key) {
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Sequence(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    /// The text of a key.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.value.get(key)?.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn place(&self) -> Place<'_> {
        Place { path: &self.path, before: self.before, text: &self.text }
    }
}

/// Where a document stands.
struct Place<'a> {
    path: &'a Path,
    before: usize,
    text: &'a str,
}

impl Place<'_> {
    /// The problems, and the reader's own one if they do not explain it.
    fn and(&self, mut problems: Vec<Problem>, cause: &str) -> Vec<Problem> {
        if problems.is_empty() {
            let is_condition = cause.starts_with("Condition");
            let keys: &[&str] = if is_condition { &["detection", "condition"] } else { &[] };
            problems.push(self.problem(keys, cause.to_owned()));
        }
        problems
    }

    fn problem(&self, keys: &[&str], message: String) -> Problem {
        Problem::new(self.path, self.before + self.find(keys).0, message)
    }

    fn line(&self, number: usize) -> Option<&str> {
        self.text.lines().nth(number - 1)
    }

    /// The line of the innermost key that is found, and the lines that belong to it.
    fn find(&self, keys: &[&str]) -> (usize, std::ops::Range<usize>) {
        let lines: Vec<&str> = self.text.lines().collect();
        let indent = |line: &str| line.len() - line.trim_start().len();
        let is_blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
        let first = lines.iter().position(|line| !is_blank(line)).unwrap_or(0);
        let (mut found, mut region) = (first + 1, first..lines.len());
        for key in keys {
            let Some(at) = region.clone().find(|at| key_of(lines[*at]).as_deref() == Some(key)) else { break };
            let inner = lines[at + 1..region.end].iter();
            let ends = |line: &&str| {
                let deeper = indent(line) > indent(lines[at])
                    || (indent(line) == indent(lines[at]) && line.trim_start().starts_with("- "));
                !is_blank(line) && !deeper
            };
            let length = inner.clone().position(ends).unwrap_or(inner.len());
            (found, region) = (at + 1, at + 1..at + 1 + length);
        }
        // Counted from 1, as the lines of `found`.
        (found, region.start + 1..region.end + 1)
    }

    /// What can be told of a document without reading it as a rule.
    fn keys(&self, value: &Mapping) -> Vec<Problem> {
        let mut problems = Vec::new();
        if value.contains_key("action") {
            problems.push(
                self.problem(
                    &["action"],
                    "collections (`action: global`, `reset`, `repeat`) are no longer part of Sigma: \
                 write each rule whole"
                        .to_owned(),
                ),
            );
        }
        let is_text = |key: &str| value.get(key).and_then(Value::as_str).is_some_and(|text| !text.trim().is_empty());
        if !is_text("title") {
            problems.push(self.problem(&["title"], "`title` is missing".to_owned()));
        }
        for (key, choices) in [
            ("level", "informational, low, medium, high or critical"),
            ("status", "experimental, test, stable or deprecated"),
        ] {
            let known = |text: &str| match key {
                "level" => Level::parse(text).is_some(),
                _ => super::super::Status::ALL.iter().any(|(name, _)| *name == text),
            };
            match value.get(key).map(|value| value.as_str().unwrap_or_default()) {
                Some("unsupported") if key == "status" => {
                    problems.push(self.problem(
                        &[key],
                        "`status: unsupported` says that the rule cannot be used as it is".to_owned(),
                    ));
                }
                Some(text) if !known(text) => {
                    problems.push(self.problem(&[key], format!("`{key}: {text}`: expected {choices}")))
                }
                _ => {}
            }
        }
        let section = if value.contains_key("filter") { "filter" } else { "detection" };
        match value.get(section) {
            Some(Value::Mapping(detections)) => {
                for (name, detection) in detections {
                    let name = name.as_str().unwrap_or_default();
                    if !NO_DETECTIONS.contains(&name) {
                        self.detection(section, name, detection, &mut problems);
                    }
                }
                if let Some(timeframe) = detections.get("timeframe") {
                    let text = timeframe.as_str().unwrap_or_default();
                    problems.push(self.problem(
                        &[section, "timeframe"],
                        format!(
                            "`timeframe: {text}`: what needs time is a correlation (`correlation:` with `timespan`)"
                        ),
                    ));
                }
            }
            None if value.contains_key("correlation") => {}
            _ => problems.push(self.problem(&[section], format!("`{section}` is missing, or no mapping"))),
        }
        problems
    }

    fn detection(&self, section: &str, name: &str, detection: &Value, problems: &mut Vec<Problem>) {
        let is_scalar = |value: &Value| !matches!(value, Value::Mapping(_) | Value::Sequence(_) | Value::Tagged(_));
        match detection {
            Value::Sequence(parts) => {
                for part in parts.iter().filter(|part| !is_scalar(part)) {
                    self.detection(section, name, part, problems);
                }
            }
            Value::Mapping(items) => {
                for (key, value) in items {
                    let key = key.as_str().unwrap_or_default();
                    let mut fault = |message: String| {
                        problems.push(self.problem(&[section, name, key], format!("{name}.{key}: {message}")));
                    };
                    // Each modifier that does not exist.
                    for modifier in key.split('|').skip(1) {
                        if let Err(error) = parse_field_spec(&format!("x|{modifier}")) {
                            fault(error.to_string());
                        }
                    }
                    let values = value.as_sequence().map_or(std::slice::from_ref(value), Vec::as_slice);
                    if !values.iter().all(is_scalar) {
                        fault("expected a value or a list of values; fields inside fields are written with dots (arguments.path)".to_owned());
                    }
                }
            }
            Value::Tagged(_) => {
                problems.push(self.problem(&[section, name], format!("{name}: YAML tags mean nothing here")))
            }
            _ => {}
        }
    }
}

/// The key that a line begins with.
fn key_of(line: &str) -> Option<String> {
    let mut rest = line.trim();
    while let Some(item) = rest.strip_prefix("- ") {
        rest = item.trim_start();
    }
    let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
    match quote {
        Some(quote) => {
            let (key, after) = rest[1..].split_once(quote)?;
            after.trim_start().starts_with(':').then(|| key.to_owned())
        }
        None => {
            let colon = rest
                .match_indices(':')
                .map(|(at, _)| at)
                .find(|at| matches!(rest.as_bytes().get(at + 1), None | Some(b' ' | b'\t')))?;
            Some(rest[..colon].trim_end().to_owned())
        }
    }
}
