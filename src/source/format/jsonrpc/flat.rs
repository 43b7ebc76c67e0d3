//! Messages whose members a log store took apart: `params.name`, `result.content{}.text`, as Splunk names the fields of JSON.

use crate::source::json::Object;
use serde_json::{Map, Value};

/// Members of a message that hold objects.
const NESTED: &[&str] = &["params", "result", "error"];
/// Parts of one name.
const DEPTH: usize = 20;
/// Fields of one message.
const FIELDS: usize = 2000;

/// The message with its members put together again, if some were taken apart and none of them is whole.
pub(super) fn joined(object: &Object<'_>) -> Option<String> {
    let is_part =
        |key: &str| NESTED.iter().any(|name| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')));
    if NESTED.iter().any(|key| object.has(key)) || !object.members().iter().any(|(key, _)| is_part(key)) {
        return None;
    }
    let mut whole = Map::new();
    for (key, raw) in object.members().iter().take(FIELDS) {
        let value: Value = serde_json::from_str(raw).ok()?;
        match is_part(key) && key.matches('.').count() < DEPTH {
            true => put(&mut whole, key, value),
            false => drop(whole.insert(key.to_string(), value)),
        }
    }
    Some(Value::Object(whole).to_string())
}

/// Puts a value where its name says. Of an array's elements the store keeps one value for each field, or the list of them.
fn put(object: &mut Map<String, Value>, name: &str, value: Value) {
    let Some((first, rest)) = name.split_once('.') else {
        let (name, value) = match (name.strip_suffix("{}"), value) {
            (Some(name), value @ Value::Array(_)) => (name, value),
            (Some(name), value) => (name, Value::Array(vec![value])),
            (None, value) => (name, value),
        };
        object.entry(name).or_insert(value);
        return;
    };
    let (first, is_array) = first.strip_suffix("{}").map_or((first, false), |first| (first, true));
    let empty = || Value::Object(Map::new());
    let inner = object.entry(first).or_insert_with(|| if is_array { Value::Array(vec![empty()]) } else { empty() });
    let inner = match inner {
        Value::Array(elements) => elements.first_mut(),
        other => Some(other),
    };
    if let Some(Value::Object(inner)) = inner {
        put(inner, rest, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_become_members_again() {
        let joined = |text: &str| joined(&Object::parse(text).expect("an object"));
        assert_eq!(
            joined(r#"{"id":"1","params.name":"t","params.arguments.a.b":"1","params.arguments.c{}":["x","y"]}"#)
                .as_deref(),
            Some(r#"{"id":"1","params":{"name":"t","arguments":{"a":{"b":"1"},"c":["x","y"]}}}"#)
        );
        assert_eq!(
            joined(r#"{"result.content{}.type":"text","result.content{}.text":"x","result.isError":"false"}"#)
                .as_deref(),
            Some(r#"{"result":{"content":[{"type":"text","text":"x"}],"isError":"false"}}"#)
        );
        assert_eq!(joined(r#"{"params":{},"params.name":"t"}"#), None);
        assert_eq!(joined(r#"{"method":"ping"}"#), None);
    }
}
