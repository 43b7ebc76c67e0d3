//! What the user knows about some sessions: a file with one JSON object a line.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Problems that are told of one file.
const MAX_PROBLEMS: usize = 20;

/// What is known of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Label {
    Benign,
    /// Ids of the calls that should not have been made.
    Malicious(BTreeSet<String>),
}

/// Labels by session.
pub type Labels = BTreeMap<String, Label>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    session_id: String,
    label: String,
    #[serde(default)]
    call_ids: BTreeSet<String>,
}

/// Reads a file's text: `{"session_id": …, "label": "benign"}` or `{"session_id": …, "label": "malicious", "call_ids": […]}`.
///
/// # Errors
/// Every line that is no label, with its number and what is wrong, up to twenty.
pub fn parse(text: &str) -> Result<Labels, Vec<String>> {
    let mut labels = Labels::new();
    let mut problems = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let mut wrong = |what: String| problems.push(format!("line {}: {what}", at + 1));
        let read: Line = match serde_json::from_str(line) {
            Ok(read) => read,
            Err(cause) => {
                wrong(cause.to_string());
                continue;
            }
        };
        let label = match (read.label.as_str(), read.call_ids.is_empty()) {
            ("benign", true) => Label::Benign,
            ("benign", false) => {
                wrong("a benign session has no `call_ids`".to_owned());
                continue;
            }
            ("malicious", false) => Label::Malicious(read.call_ids),
            ("malicious", true) => {
                wrong("a malicious session needs `call_ids`: the calls that should not have been made".to_owned());
                continue;
            }
            _ => {
                wrong("`label` is `benign` or `malicious`".to_owned());
                continue;
            }
        };
        if labels.insert(read.session_id, label).is_some() {
            wrong("the session has a label already".to_owned());
        }
    }
    problems.truncate(MAX_PROBLEMS);
    if problems.is_empty() { Ok(labels) } else { Err(problems) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_and_every_wrong_line_is_told() {
        let text = r#"{"session_id":"a","label":"benign"}

{"session_id":"b","label":"malicious","call_ids":["1","2"]}"#;
        let labels = parse(text).expect("labels");
        assert_eq!(labels["a"], Label::Benign);
        assert_eq!(labels["b"], Label::Malicious(["1", "2"].map(str::to_owned).into()));
        let wrong = [
            "x",
            r#"{"session_id":"a","label":"bad"}"#,
            r#"{"session_id":"a","label":"malicious"}"#,
            r#"{"session_id":"a","label":"benign","call_ids":["1"]}"#,
            r#"{"session_id":"a","label":"benign","colour":1}"#,
            r#"{"session_id":"a","label":"benign"}"#,
            r#"{"session_id":"a","label":"benign"}"#,
        ];
        let problems = parse(&wrong.join("\n")).expect_err("wrong");
        assert_eq!(problems.len(), 6, "{problems:?}");
        for (at, part) in [(0, "line 1"), (2, "needs `call_ids`"), (4, "colour"), (5, "line 7")] {
            assert!(problems[at].contains(part), "{problems:?}");
        }
    }
}
