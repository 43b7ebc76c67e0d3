//! Changes to records that keep them JSON: members and elements are taken away, doubled, swapped with others of the record,
//! or get a value of another type. Changes of single bytes rarely get past the parser, these get at what formats make of it.

use serde_json::{Map, Value};

/// Bytes of an enlarged record.
const LARGE: usize = 256 << 10;
/// Values that a field is not expected to have.
const ODD: &[&str] = &[
    "null", "true", "0", "-1", "1e999", "9223372036854775807", "-9223372036854775808", "18446744073709551616", "0.5",
    "\"\"", "\" \"", "\"\\ud800\"", "\"\\u0000\"", "\"ä\\\"\\\\\"", "\"{\\\"a\\\":\"", "\"9999-12-31T23:59:59Z\"",
    "\"1677-09-21T00:12:43.1Z\"", "[]", "{}", "[[[[]]]]", "{\"a\":{\"a\":{\"a\":1}}}", "[null]", "{\"\":\"\"}",
];

/// A small generator: libFuzzer gives one number for each change.
struct Chance(u64);

impl Chance {
    /// A number below `below`.
    fn one(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below.max(1)
    }
}

/// Changes a value of one line of `data` in place, if the line is JSON; gives the new size, 0 if nothing could be done.
pub fn change(data: &mut [u8], size: usize, max: usize, seed: u32) -> usize {
    let mut chance = Chance(u64::from(seed));
    let text = String::from_utf8_lossy(&data[..size]).into_owned();
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let count = lines.len();
    let at = chance.one(count);
    // A line may have something before its JSON: a time, a level.
    let Some(start) = lines[at].find('{') else { return 0 };
    let Ok(mut value) = serde_json::from_str::<Value>(&lines[at][start..]) else { return 0 };
    for _ in 0..=chance.one(3) {
        change_value(&mut value, &mut chance);
    }
    let changed = value.to_string();
    lines[at].truncate(start);
    lines[at].push_str(&changed);
    let out = lines.join("\n");
    if out.len() > max {
        return 0;
    }
    data[..out.len()].copy_from_slice(out.as_bytes());
    out.len()
}

fn change_value(root: &mut Value, chance: &mut Chance) {
    let count = values(root);
    let other = nth(root, &mut chance.one(count)).cloned().unwrap_or_default();
    let at = chance.one(count);
    let Some(value) = nth(root, &mut at.clone()) else { return };
    match chance.one(8) {
        0 => *value = other,
        1 | 2 => *value = serde_json::from_str(ODD[chance.one(ODD.len())]).unwrap_or_default(),
        // JSON as a string, or a string as JSON.
        3 => {
            *value = match &*value {
                Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
                value => Value::from(value.to_string()),
            };
        }
        _ => match value {
            Value::Object(members) => change_members(members, other, chance),
            Value::Array(all) => match chance.one(3) {
                0 => all.push(other),
                1 if !all.is_empty() => drop(all.remove(chance.one(all.len()))),
                _ => all.extend_from_within(..),
            },
            Value::String(text) => {
                let mut cut = chance.one(text.len() + 1);
                while !text.is_char_boundary(cut) {
                    cut -= 1;
                }
                match chance.one(3) {
                    0 => text.truncate(cut),
                    1 => text.insert_str(cut, ["/", "__", " ", ":", "mcp__", "\u{0}", "é", "\"", "{", "-"][chance.one(10)]),
                    _ => *text = text.split_off(cut),
                }
            }
            Value::Number(number) => {
                let number = number.as_f64().unwrap_or(1.0);
                *value = serde_json::json!(number * [-1.0, 1000.0, 1e9, 0.001][chance.one(4)]);
            }
            _ => *value = other,
        },
    }
}

fn change_members(members: &mut Map<String, Value>, other: Value, chance: &mut Chance) {
    let keys: Vec<String> = members.keys().cloned().collect();
    if keys.is_empty() {
        return;
    }
    let key = &keys[chance.one(keys.len())];
    match chance.one(3) {
        0 => drop(members.shift_remove(key)),
        1 => drop(members.insert(key.clone(), other)),
        _ => {
            let second = keys[chance.one(keys.len())].clone();
            let value = members.get(&second).cloned().unwrap_or_default();
            members.insert(key.clone(), value);
        }
    }
}

fn values(value: &Value) -> usize {
    1 + match value {
        Value::Array(all) => all.iter().map(values).sum(),
        Value::Object(all) => all.values().map(values).sum(),
        _ => 0,
    }
}

fn nth<'v>(value: &'v mut Value, at: &mut usize) -> Option<&'v mut Value> {
    if *at == 0 {
        return Some(value);
    }
    *at -= 1;
    match value {
        Value::Array(all) => all.iter_mut().find_map(|value| nth(value, at)),
        Value::Object(all) => all.values_mut().find_map(|value| nth(value, at)),
        _ => None,
    }
}

/// The line with one of its values repeated until it is large: elements of an array, members with other names, a string, a nesting.
pub fn enlarge(line: &str, choice: u8) -> String {
    let start = line.find('{').unwrap_or(0);
    let Ok(mut root) = serde_json::from_str::<Value>(&line[start..]) else {
        return line.repeat(LARGE / line.len().max(1) + 1);
    };
    let count = values(&root);
    if let Some(value) = nth(&mut root, &mut (usize::from(choice) % count)) {
        let times = LARGE / value.to_string().len().max(1) + 1;
        match value {
            Value::Array(all) if !all.is_empty() => {
                let one = all.clone();
                all.extend((0..times).flat_map(|_| one.iter().cloned()));
            }
            Value::Object(all) if !all.is_empty() => {
                let one = all.clone();
                for number in 0..times {
                    all.extend(one.iter().map(|(key, value)| (format!("{key}{number}"), value.clone())));
                }
            }
            Value::String(text) if !text.is_empty() => *text = text.repeat(LARGE / text.len() + 1),
            value => *value = Value::from(vec![value.clone(); times]),
        }
    }
    format!("{}{root}", &line[..start])
}
