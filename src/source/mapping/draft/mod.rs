//! A first mapping for a log that nobody knows, guessed from names and values of its fields.
//!
//! What is drafted can be pasted into `calltrail.toml` and works as far as the guess goes; what is uncertain stands
//! there as a comment. Values of the log appear only where a mapping must name them, such as words for outcomes.

mod choose;
mod field;
mod fixed;
mod halves;
mod names;
mod text;
mod write;

use crate::source::json::{self, Object};
use choose::Chosen;
use field::Field;
use write::Table;

/// Records that are looked at.
pub const SAMPLE: usize = 300;
/// Values of one record that are looked at.
const LEAVES: usize = 120;

/// Drafts `[[mapping]]` tables for these records; `name` is the file's name. `None`: nothing in them looks like calls.
pub fn draft(records: &[&str], name: &str) -> Option<String> {
    let records = &records[..records.len().min(SAMPLE)];
    let id = id_of(name);
    let objects: Vec<Object<'_>> = records.iter().filter_map(|record| Object::parse(record.trim()).ok()).collect();
    if objects.len() * 2 < records.len() || objects.is_empty() {
        return text::draft(records, &id, None);
    }
    of_objects(&objects, &id).or_else(|| {
        // A collector's envelope around lines of text.
        ["log", "message", "msg", "line", "MESSAGE", "body", "text"].into_iter().find_map(|key| {
            let lines: Vec<String> = objects.iter().filter_map(|o| Some(o.str(key)?.trim_end().to_owned())).collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            if lines.len() * 2 < objects.len() {
                return None;
            }
            text::draft(&lines, &id, Some((&format!("/{key}"), &fields_of(&objects))))
        })
    })
}

fn of_objects(objects: &[Object<'_>], id: &str) -> Option<String> {
    if let Some(halves) = halves::find(objects) {
        return halves::draft(objects, id, &halves);
    }
    let all = fields_of(objects);
    let tool = choose::anchor(&all)?;
    let calls: Vec<Object<'_>> = objects.iter().filter(|object| has(object, &tool.place)).cloned().collect();
    let chosen = Chosen::of(&fields_of(&calls), calls.len());
    // Without these its records would be no calls (members that stand twice hide one another).
    chosen.place("tool").or_else(|| chosen.place("method"))?;
    let mut table = Table::new(id);
    table.comment(&format!("drafted from {} records, {} of which have {}", objects.len(), calls.len(), tool.place));
    let time = chosen.place("time").or_else(|| chosen.place("time_end"));
    table.list("exists", &[Some(tool.place.as_str()), time].into_iter().flatten().collect::<Vec<_>>());
    table.ignore(objects.len() - calls.len());
    table.columns(&chosen);
    Some(table.finish())
}

/// The fields of objects, in the order in which they are first met.
fn fields_of(objects: &[Object<'_>]) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    let mut numbers: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
    for object in objects {
        // The values themselves, and objects on the way, because arguments and results are such.
        for (pointer, raw, _) in json::values(object, LEAVES) {
            let at = *numbers.entry(pointer).or_insert_with_key(|pointer| {
                fields.push(Field::new(pointer.clone()));
                fields.len() - 1
            });
            fields[at].add_json(raw);
        }
    }
    fields
}

/// Whether a value stands at a pointer.
fn has(object: &Object<'_>, pointer: &str) -> bool {
    value_at(object, pointer).is_some()
}

/// The text of a scalar at a pointer.
fn value_at(object: &Object<'_>, pointer: &str) -> Option<String> {
    let (_, raw, _) = json::values(object, LEAVES).into_iter().find(|(known, ..)| known == pointer)?;
    (raw != "null").then(|| json::string(raw).map_or_else(|| raw.to_owned(), std::borrow::Cow::into_owned))
}

/// An id from a file's name.
fn id_of(name: &str) -> String {
    let stem = name.split('.').next().unwrap_or_default();
    let plain: String =
        field::snake(stem).chars().filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_').collect();
    let plain = plain.trim_matches('_');
    let id = if plain.is_empty() { "my_log" } else { plain };
    let known = crate::source::format::FORMATS.iter().any(|format| format.id() == id);
    let id = if known { format!("my_{id}") } else { id.to_owned() };
    id.chars().take(40).collect()
}
