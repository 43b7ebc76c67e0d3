//! `docs/encodings.md` names the fields that are written, all of them and no others.

use crate::common::repository;
use crate::encoding_alerts::{filled, plain};
use crate::encoding_parsers::{cef, leef, syslog};
use crate::encodings::{is_json, machine, parse};
use calltrail::sink::encode::{OcsfVersion, Options};
use calltrail::sink::{self, Encoding};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Fields that `docs/encodings.md` names, in the first column of the tables under each encoding's heading.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(repository("docs/encodings.md")).expect("the page");
    let sections = text.split("\n## `").skip(1).map(|section| {
        let (name, rest) = section.split_once('`').expect("a heading");
        let rows = rest.lines().filter_map(|line| line.strip_prefix("| `"));
        let cells = rows.map(|row| row.split(" | ").next().expect("a cell").to_owned());
        let fields = cells
            .flat_map(|cell| format!("`{cell}").split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>());
        (name.to_owned(), fields.collect())
    });
    sections.collect()
}

/// Paths of a JSON value's leaves; below some members stands what others documented, or what rules wrote.
fn paths(value: &Value, path: &str, open: &[&str], found: &mut BTreeSet<String>) {
    let is_open = path.rsplit('.').next().is_some_and(|last| open.contains(&last));
    match value {
        Value::Object(members) if !members.is_empty() && !is_open => {
            for (key, value) in members {
                paths(value, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, open, found);
            }
        }
        Value::Array(items) if items.iter().any(|item| item.is_object()) && !is_open => {
            // Objects of a bundle and attributes of a record have names of their own.
            let own = |item: &Value| item["type"].as_str().or(item["key"].as_str()).map(str::to_owned);
            for item in items {
                match own(item).filter(|_| path == "objects" || path.ends_with("ttributes")) {
                    Some(name) if path == "objects" => paths(item, &name, open, found),
                    Some(name) => {
                        let short = path.rsplit(".scopeLogs[].").next().unwrap_or(path);
                        found.insert(format!("{short}: {name}"));
                    }
                    None => paths(item, &format!("{path}[]"), open, found),
                }
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

/// Every field that an encoding can write.
fn written(encoding: Encoding) -> BTreeSet<String> {
    let options = Options {
        ocsf_version: OcsfVersion::V1_9,
        calls: true,
        host: Some("h".into()),
        index: Some("i".into()),
        ..Options::default()
    };
    let mut hidden = plain();
    (hidden.suppressed_by, hidden.resolved) = (Some("quiet".into()), Some("gone".into()));
    let mut cut = filled("x");
    cut.finding.evidence = serde_json::Map::from_iter([("e".to_owned(), "e".repeat(100_000).into())]);
    cut.finding.message = Some("m".repeat(5000));
    let max_bytes = Some(if is_json(encoding) || encoding == Encoding::Bulk { 16 * 1024 } else { 1500 });
    let small = Options { max_bytes, ..options.clone() };
    let open: &[&str] = match encoding {
        Encoding::Hec => &["event"],
        Encoding::Datadog => &["ocsf"],
        Encoding::Pagerduty => &["alert"],
        _ => &["evidence", "settings", "lake_versions", "entity"],
    };
    let mut found = BTreeSet::new();
    for (alert, options) in [(plain(), &options), (hidden, &options), (cut, &small)] {
        for message in sink::encode(&alert, encoding, options).expect("messages") {
            match encoding {
                Encoding::Cef => found.extend(cef(&message).expect("a line").extension.into_iter().map(|(key, _)| key)),
                Encoding::Leef => {
                    found.extend(leef(&message).expect("a line").extension.into_iter().map(|(key, _)| key))
                }
                Encoding::Syslog => {
                    found.extend(syslog(&message).expect("a frame").data.into_iter().map(|(_, key, _)| key))
                }
                Encoding::Bulk => paths(&parse(message.lines().next().expect("an action")), "", open, &mut found),
                _ => paths(&parse(&message), "", open, &mut found),
            }
        }
    }
    found
}

#[test]
fn the_page_names_the_fields_that_are_written() {
    let documented = documented();
    let mut wrong = Vec::new();
    for encoding in machine() {
        let written = written(encoding);
        let empty = BTreeSet::new();
        // These two write the objects of others.
        let section = match encoding {
            Encoding::Jsonl => "json",
            Encoding::Sumo => "ocsf",
            other => other.as_str(),
        };
        let named = documented.get(section).unwrap_or(&empty);
        wrong.extend(written.difference(named).map(|field| format!("{} + {field}", encoding.as_str())));
        wrong.extend(named.difference(&written).map(|field| format!("{} - {field}", encoding.as_str())));
    }
    assert!(wrong.is_empty(), "docs/encodings.md lacks (+) or invents (-):\n{}", wrong.join("\n"));
}
