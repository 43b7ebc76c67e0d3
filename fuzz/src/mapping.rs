//! Mappings: whatever a configuration says and a record holds, the record is read or refused; a draft for any log is a configuration.

use crate::call::Position;
use crate::config::read;
use crate::source::format::LogFormat as _;
use crate::source::json::Object;
use crate::source::mapping::{Mapping, draft::draft};
use crate::source::{Decoded, Hints, Record};
use std::sync::LazyLock;

/// The examples of the documentation: one by JSON pointers, in halves, and one by a regex.
static EXAMPLES: LazyLock<Vec<Mapping>> = LazyLock::new(|| {
    let page = include_str!("../../docs/mapping.md");
    let blocks = page.split("```toml\n").skip(1).filter_map(|rest| rest.split_once("\n```").map(|(block, _)| block));
    let mappings: Vec<Mapping> = blocks.filter_map(|block| read(block).ok()).flatten().collect();
    assert!(mappings.len() > 1, "the page has examples");
    mappings
});

/// A configuration, `---` on a line of its own, and records; records alone without it.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (config, log) = text.split_once("\n---\n").unwrap_or(("", &text));
    let lines: Vec<&str> = log.lines().map(str::trim_ascii).filter(|line| !line.is_empty()).collect();
    let written = read(config).unwrap_or_default();
    // The name is what the user's file is called.
    let drafted = draft(&lines, "x'\u{202e}y.log").map(|toml| read(&toml).unwrap_or_else(|why| panic!("{why:?}\n{toml}")));
    for mapping in EXAMPLES.iter().chain(&written).chain(drafted.iter().flatten()) {
        for line in &lines {
            record(mapping, line);
        }
    }
}

fn record(mapping: &Mapping, text: &str) {
    let object = if text.starts_with('{') { Object::parse(text).ok() } else { None };
    let position = Position { line: 1, offset: 0, length: text.len() as i64 };
    let hints = Hints { mtime: Some(1_794_474_001_000_000_000), ..Hints::default() };
    let record = Record { text, json: object.as_ref(), position, lossy: false, hints: &hints };
    mapping.tolerates(&record);
    mapping.origins(&record);
    if !mapping.claims(&record) {
        return;
    }
    let mut decoded = Decoded::default();
    match mapping.decode(&record, &mut decoded) {
        // Several columns may repeat one value.
        Ok(()) => decoded.events.iter().for_each(|event| crate::decode::sound(event, 16 * text.len())),
        Err(reject) => assert!(!reject.reason.is_empty() && reject.reason.len() < 300, "{}", reject.reason),
    }
}
