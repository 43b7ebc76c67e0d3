//! The draft as TOML that can be pasted.

use super::choose::{Chosen, Line, Value};
use std::fmt::Write as _;

/// One `[[mapping]]` table on its way.
pub(super) struct Table {
    out: String,
}

impl Table {
    pub(super) fn new(id: &str) -> Self {
        Self { out: format!("[[mapping]]\nid = {}\n", text(id)) }
    }

    pub(super) fn comment(&mut self, comment: &str) {
        // Writing to a String does not fail.
        let _ = writeln!(self.out, "# {}", plain(comment));
    }

    pub(super) fn key(&mut self, key: &str, value: &str) {
        let _ = writeln!(self.out, "{key} = {}", text(value));
    }

    pub(super) fn list(&mut self, key: &str, values: &[&str]) {
        let values: Vec<String> = values.iter().map(|value| text(value)).collect();
        let _ = writeln!(self.out, "{key} = [{}]", values.join(", "));
    }

    /// `equals` of one place.
    pub(super) fn equals(&mut self, place: &str, values: &[&str]) {
        let values: Vec<String> = values.iter().map(|value| text(value)).collect();
        let _ = writeln!(self.out, "equals = {{ {} = [{}] }}", text(place), values.join(", "));
    }

    /// How the halves of a call find each other.
    pub(super) fn pair(&mut self, id: &str, within: Option<&str>, unique: bool) {
        let within = within.map_or_else(String::new, |place| format!(", within = [{}]", text(place)));
        let unique = if unique { ", unique = true" } else { "" };
        let _ = writeln!(self.out, "pair = {{ id = {}{within}{unique} }}", text(id));
    }

    /// What may be noise, if some records are no calls.
    pub(super) fn ignore(&mut self, others: usize) {
        if others > 0 {
            self.raw("# ignore = ['.'] # the other records are noise; without this they are rejects");
        }
    }

    /// A line as it is.
    pub(super) fn raw(&mut self, line: &str) {
        let _ = writeln!(self.out, "{line}");
    }

    pub(super) fn columns(&mut self, chosen: &Chosen) {
        self.raw("[mapping.columns]");
        for line in &chosen.lines {
            self.line(line);
        }
    }

    fn line(&mut self, line: &Line) {
        let Line { column, place, options, commented, note } = line;
        let value = if options.is_empty() {
            text(place)
        } else {
            let options: Vec<String> =
                options.iter().map(|(key, value)| format!("{key} = {}", written(value))).collect();
            format!("{{ from = {}, {} }}", text(place), options.join(", "))
        };
        let start = if *commented { "# " } else { "" };
        let note = note.as_ref().map_or_else(String::new, |note| format!(" # {}", plain(note)));
        let _ = writeln!(self.out, "{start}{column} = {value}{note}");
    }

    pub(super) fn finish(self) -> String {
        self.out
    }
}

fn written(value: &Value) -> String {
    match value {
        Value::Text(value) => text(value),
        Value::Values(values) => {
            let pairs: Vec<String> = values.iter().map(|(from, to)| format!("{} = {}", text(from), text(to))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
    }
}

/// A TOML string; what does not show is escaped, because it came from a log and goes to a terminal.
pub(super) fn text(value: &str) -> String {
    let shows = |c: char| c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric();
    if value.contains('\\') && !value.contains('\'') && value.chars().all(shows) {
        return format!("'{value}'");
    }
    let mut out = String::from("\"");
    for c in value.chars() {
        // Writing to a String does not fail.
        let _ = match c {
            '"' | '\\' => write!(out, "\\{c}"),
            c if shows(c) => write!(out, "{c}"),
            c if (c as u32) < 0x1_0000 => write!(out, "\\u{:04x}", c as u32),
            c => write!(out, "\\U{:08x}", c as u32),
        };
    }
    out.push('"');
    out
}

/// A comment's text on one line.
fn plain(comment: &str) -> String {
    comment.chars().map(|c| if c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric() { c } else { '?' }).collect()
}
