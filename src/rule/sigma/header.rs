//! The header of the SQL rule that a Sigma document becomes.
//!
//! One line a key: nothing that stands in a document can end the comment that the header is.

use super::super::Problem;
use super::correlation::Made;
use super::document::Document;
use crate::alert::taxonomy::{self, Framework};
use std::fmt::Write as _;

/// Writes the header; without a query, only to find what is wrong.
///
/// # Errors
/// What an SQL rule must have and the document does not, and tags that name nothing.
pub(super) fn write(document: &Document, id: &str, made: Option<&Made>) -> Result<String, Vec<Problem>> {
    let mut problems = Vec::new();
    let level = document.text("level");
    if level.is_none() {
        problems.push(document.problem(&["level"], "`level` is missing: informational, low, medium, high or critical"));
    }
    let mut tags = Vec::new();
    for tag in document.texts("tags") {
        match normal(&tag) {
            Ok(tag) => tags.push(tag),
            Err(problem) => problems.push(document.value_problem(&["tags"], &tag, problem)),
        }
    }
    let title = document.text("title").unwrap_or_default();
    let mut head = String::new();
    let mut line = |text: String| {
        let _ = writeln!(head, "-- {text}");
    };
    let file = document.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let sigma_id = document.text("id").map(|id| format!(", Sigma id {}", quoted(&id))).unwrap_or_default();
    line(format!("# Made of the Sigma rule in {}{sigma_id}", quoted(&file)));
    line(format!("id = {}", quoted(id)));
    line(format!("title = {}", quoted(&title)));
    line(format!("level = {}", quoted(&level.unwrap_or_default())));
    line(format!("status = {}", quoted(&document.text("status").unwrap_or_else(|| "experimental".to_owned()))));
    line(format!("description = {}", quoted(&document.text("description").unwrap_or(title))));
    line(format!("tags = {}", list(tags.iter().map(String::as_str))));
    for key in ["falsepositives", "references"] {
        let texts = document.texts(key);
        if !texts.is_empty() {
            line(format!("{key} = {}", list(texts.iter().map(String::as_str))));
        }
    }
    for key in ["author", "date"] {
        if let Some(text) = document.text(key) {
            line(format!("{key} = {}", quoted(&text)));
        }
    }
    if let Some(made) = made {
        if made.seconds > 0 {
            line(format!("window = \"{}s\"", made.seconds));
        }
        if !made.params.is_empty() {
            let params: Vec<String> = made.params.iter().map(|(name, value)| format!("{name} = {value}")).collect();
            line(format!("params = {{ {} }}", params.join(", ")));
        }
        let needs: Vec<String> =
            made.demand.needs.iter().map(|words| words.iter().copied().collect::<Vec<_>>().join("|")).collect();
        line(format!("needs = {}", list(needs.iter().map(String::as_str))));
        let helps = made.demand.helps();
        if !helps.is_empty() {
            line(format!("helps = {}", list(helps.into_iter())));
        }
    }
    if problems.is_empty() { Ok(head) } else { Err(problems) }
}

/// A tag as rules here write it: Sigma's are lower case. Namespaces that nothing is pinned of are left as they are.
fn normal(tag: &str) -> Result<String, String> {
    if let Some((framework, id)) = taxonomy::pinned(tag, true) {
        return Ok(Framework::tag(framework, id));
    }
    let (namespace, id) = tag.split_once('.').unwrap_or((tag, ""));
    // Groups and software of ATT&CK.
    let is_other = namespace == "attack"
        && id
            .strip_prefix(['g', 's', 'G', 'S'])
            .is_some_and(|number| number.len() == 4 && number.bytes().all(|b| b.is_ascii_digit()));
    if is_other || !(id.is_empty() || matches!(namespace, "attack" | "atlas" | "owasp")) {
        return Ok(tag.to_owned());
    }
    taxonomy::check(tag).map(|()| tag.to_owned())
}

/// A text of TOML on one line.
fn quoted(text: &str) -> String {
    // JSON's escapes are TOML's, but for one character that TOML wants escaped too.
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

fn list<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", texts.map(quoted).collect::<Vec<_>>().join(", "))
}
