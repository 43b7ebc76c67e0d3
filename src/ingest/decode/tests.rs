//! Hostile records of every format: each member of each kind of record taken away, doubled, cut off, or given a value that it should
//! not have. Whatever comes, nothing panics, every byte is counted once, refusals have a reason, and no two formats claim the record.

use super::*;
use crate::call::PayloadState;
use crate::enrich::EnrichOptions;
use crate::source::Record;
use crate::source::format::FORMATS;
use crate::source::frame::Framer;
use crate::source::json::Object;
use crate::source::pairing::{Pairing, PairingOptions, Row, Saved, Scope, SourceContext};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// JSON texts in place of a value.
const ODD: &[&str] = &[
    "null",
    "true",
    "-1",
    "1e999",
    "9007199254740993",
    "123456789012345678901234567890",
    "\"\"",
    "\"\\ud83d \\u0000\\u001b[31m\"",
    "\"9999-12-31T23:59:59.999999999Z\"",
    "\"{\\\"a\\\":\"",
    "[]",
    "{}",
    "[null,[{}]]",
    "NaN",
];
/// How many of them one place gets: all of them everywhere would take a minute.
const ODD_EACH: usize = 3;
/// Lines of a format that get large values.
const LARGE_LINES: usize = 1;
/// Stands for the value that is replaced.
const MARK: &str = "\u{1}here\u{1}";

/// A place in a record: keys and positions; `in_text` steps into JSON that a string holds.
type Steps = Vec<String>;

/// The distinct places of a record's members: elements of one array are alike.
fn places(value: &Value, at: &mut Steps, out: &mut Vec<Steps>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                at.push(key.clone());
                out.push(at.clone());
                places(value, at, out);
                at.pop();
            }
        }
        Value::Array(elements) => {
            for (index, value) in elements.iter().enumerate().take(3) {
                at.push(index.to_string());
                places(value, at, out);
                at.pop();
            }
        }
        Value::String(text) if text.starts_with('{') => {
            if let Ok(inner @ Value::Object(_)) = serde_json::from_str(text) {
                at.push("(text)".to_owned());
                places(&inner, at, out);
                at.pop();
            }
        }
        _ => {}
    }
}

/// Changes the value at a place; gives false if there is none.
fn change(value: &mut Value, steps: &[String], change_it: &mut dyn FnMut(&mut Value, Option<&str>)) -> bool {
    let Some((first, rest)) = steps.split_first() else { return false };
    if first == "(text)" {
        let Value::String(text) = value else { return false };
        let Ok(mut inner) = serde_json::from_str::<Value>(text) else { return false };
        let done = change(&mut inner, rest, change_it);
        *value = Value::from(inner.to_string());
        return done;
    }
    if rest.is_empty() && value.is_object() {
        change_it(value, Some(first));
        return true;
    }
    let inner = match value {
        Value::Object(members) => members.get_mut(first),
        Value::Array(elements) => first.parse::<usize>().ok().and_then(|at| elements.get_mut(at)),
        _ => None,
    };
    inner.is_some_and(|inner| change(inner, rest, change_it))
}

/// Changes of one place of a record, as text. Of the odd values each place gets some, its neighbours the next ones.
fn variants(record: &Value, steps: &[String], turn: usize, out: &mut Vec<String>) {
    let escaped = |raw: &str| {
        let deep = steps.iter().filter(|step| *step == "(text)").count();
        (0..deep).fold(raw.to_owned(), |raw, _| {
            let quoted = Value::from(raw).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        })
    };
    let mut without = record.clone();
    let mut marked = record.clone();
    let mut original = Value::Null;
    let dropped = change(&mut without, steps, &mut |object, key| {
        if let (Value::Object(members), Some(key)) = (object, key) {
            members.shift_remove(key);
        }
    });
    change(&mut marked, steps, &mut |object, key| {
        if let (Value::Object(members), Some(key)) = (object, key) {
            original = members.insert(key.to_owned(), Value::from(MARK)).unwrap_or_default();
        }
    });
    if !dropped {
        return;
    }
    out.push(without.to_string());
    let marked = marked.to_string();
    let mark = escaped(&Value::from(MARK).to_string());
    let replaced = |raw: &str| marked.replacen(&mark, &escaped(raw), 1);
    out.extend(ODD.iter().cycle().skip(turn * ODD_EACH % ODD.len()).take(ODD_EACH).map(|raw| replaced(raw)));
    let key = Value::from(steps.last().cloned().unwrap_or_default());
    out.push(replaced(&format!("7,{key}:{original}")));
    out.push(replaced(&format!("{original},{key}:\"second\"")));
    // JSON where there was a text, a text where there was JSON.
    out.push(match &original {
        Value::String(text) => replaced(&format!("[{{\"text\":{}}}]", Value::from(text.as_str()))),
        other => replaced(&Value::from(other.to_string()).to_string()),
    });
}

/// Changes of a whole line, JSON or not.
fn of_line(line: &str, out: &mut Vec<String>) {
    for share in [1, 5, 9] {
        let mut end = line.len() * share / 10;
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        out.push(line[..end].to_owned());
        out.push(format!("{}\u{0}\u{fffd}{}", &line[..end], &line[end..]));
    }
    out.push(format!("{line}\r"));
    out.push(format!("{line} trailing"));
    out.push(format!("\u{feff}{line},"));
    out.push(format!("[{line},{line}]"));
}

/// Values that are large or deep, for the first places of a record only.
fn large(record: &Value, steps: &[String], out: &mut Vec<String>) {
    let mut put = |value: &Value| {
        let mut changed = record.clone();
        change(&mut changed, steps, &mut |object, key| {
            if let (Value::Object(members), Some(key)) = (object, key) {
                members.insert(key.to_owned(), value.clone());
            }
        });
        out.push(changed.to_string());
    };
    put(&Value::from("mcp__ x\u{1f4a9}\"{".repeat(2000)));
    put(&(0..400).fold(Value::Null, |inner, _| serde_json::json!([{ "a": inner }])));
}

/// Reads lines as a file; gives the number of rows.
fn read(format: &str, lines: &[String], enricher: &Enricher) -> usize {
    let text: String = lines.iter().flat_map(|line| [line.replace('\n', " "), "\n".to_owned()]).collect();
    let formats = Arc::new(Formats::default());
    let mut view = SourceView { hints: Hints::default(), file: "x.log".into(), formats, known: None, table: None };
    view.known = view.formats.named(format);
    // Lines, whatever the first one looks like.
    let mut framer = Framer::new(text.as_bytes(), 0, blake3::Hasher::new(), Some(Framing::Lines)).expect("memory");
    let mut pairing = Pairing::new(PairingOptions { max_open: 200, ..PairingOptions::default() }, Saved::default());
    let mut context = SourceContext::default();
    let mut scope = Scope { number: 1, stream: 1, mtime: Some(1), source: &mut context };
    let (mut rows, mut counts) = (Vec::new(), Counts::default());
    while let Some(chunk) = framer.next_chunk().expect("memory") {
        let decoded = decode(chunk, &view, enricher);
        counts.add(decoded.counts);
        assert_eq!(decoded.counts.rejects as usize, decoded.rejects.len(), "{format}");
        for reject in &decoded.rejects {
            assert!(!reject.reason.is_empty() && reject.reason.len() < 300, "{format}: {reject:?}");
        }
        for item in decoded.items {
            pairing.accept(&mut scope, item, &mut rows);
        }
    }
    assert_eq!(counts.bytes, text.len() as u64, "{format}");
    assert_eq!(counts.bytes_calls + counts.bytes_rejected + counts.bytes_ignored, counts.bytes, "{format}: {counts:?}");
    pairing.end_source(&mut scope, &mut rows);
    pairing.leave_source(&scope);
    pairing.end_run(u64::MAX, &mut rows);
    for row in &rows {
        let Row::Call { call, .. } = row else { continue };
        assert!(call.call_id.len() == 32 && !call.source_format.is_empty(), "{format}: {call:?}");
        // What was cut or never JSON is kept as it stands, and its state says so.
        for (stored, state) in [(&call.arguments, call.arguments_state), (&call.result, call.result_state)] {
            let json = |text: &String| serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok();
            let sound = state != PayloadState::Present || stored.as_ref().is_some_and(json);
            assert!(sound, "{format}: {stored:?}: {call:?}");
        }
    }
    rows.len()
}

#[test]
fn hostile_records_of_every_format() {
    let enricher = Enricher::new(EnrichOptions::new([1; 32]));
    let hints = Hints::default();
    let mut total = 0;
    let mut twice = BTreeMap::new();
    for format in FORMATS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-logs").join(format.id());
        let files = std::fs::read_dir(&folder).expect("samples").flatten().map(|entry| entry.path());
        let logs = files.filter(|path| !path.to_string_lossy().contains(".expected."));
        let mut seen: HashSet<Steps> = HashSet::new();
        let (mut rows, mut turn, mut lines) = (0, 0, 0);
        for line in logs.flat_map(|log| {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        }) {
            let start = line.find('{').unwrap_or(line.len());
            let record: Value = serde_json::from_str(&line[start..]).unwrap_or_default();
            let mut found = Vec::new();
            places(&record, &mut Vec::new(), &mut found);
            // Kinds of records differ in what they hold; names of elements are alike in all positions.
            let alike = |steps: &Steps| {
                let kind = record.get("type").or(record.get("method")).and_then(Value::as_str).unwrap_or_default();
                let names = steps.iter().map(|step| if step.parse::<u32>().is_ok() { "0" } else { step.as_str() });
                std::iter::once(kind).chain(names).map(str::to_owned).collect::<Steps>()
            };
            found.retain(|steps| seen.insert(alike(steps)));
            if record.is_null()
                && !seen.insert(vec![line.split(' ').map(|word| word.len().min(9).to_string()).collect()])
            {
                continue;
            }
            let mut changed = Vec::new();
            if record.is_null() || !found.is_empty() {
                of_line(&line, &mut changed);
            }
            let mut inner = Vec::new();
            for (at, steps) in found.iter().enumerate() {
                variants(&record, steps, turn, &mut inner);
                turn += 1;
                if at < 3 && lines < LARGE_LINES {
                    large(&record, steps, &mut inner);
                }
            }
            lines += usize::from(!found.is_empty());
            changed.extend(inner.into_iter().map(|json| format!("{}{json}", &line[..start])));
            if changed.is_empty() {
                continue;
            }
            for text in &changed {
                let object = Object::parse(text).ok();
                let position = Position::default();
                let record = Record { text, json: object.as_ref(), position, lossy: false, hints: &hints };
                let claims: Vec<_> = FORMATS.iter().filter(|format| format.claims(&record)).map(|f| f.id()).collect();
                let start: String = text.chars().take(2000).collect();
                if claims.len() > 1 {
                    twice.entry(format!("{claims:?}")).or_insert(start);
                }
            }
            total += changed.len();
            rows += read(format.id(), &changed, &enricher);
        }
        assert!(rows > 0, "{}: nothing is read", format.id());
    }
    assert!(twice.is_empty(), "claimed twice: {twice:#?}");
    assert!(total > 5_000, "{total} records");
}
