//! The JSON walk, the members of objects and the tape agree with serde_json on any text.

use crate::source::json::{self, Object};
use serde_json::value::RawValue;

/// A second copy of the tape: that of `enrich` is its own affair.
#[path = "../../src/enrich/walk.rs"]
mod walk;

/// Reads the bytes as text, and that as JSON.
pub fn check(data: &[u8]) {
    // What skips over text that is not valid must end, and inside the text.
    for at in 0..data.len().min(64) {
        assert!(json::skip_value(data, at) <= data.len());
        assert!(json::skip_string(data, at) <= data.len());
    }
    let text = String::from_utf8_lossy(data);
    let text = text.as_ref();
    let valid = serde_json::from_str::<&RawValue>(text);
    tape(text, valid.is_ok());
    object(text, valid.is_ok());
    // Text that was never validated: no panic.
    for element in json::elements(text) {
        json::string(element);
    }
    let trusted = Object::trusted(text);
    for (key, value) in trusted.members() {
        trusted.object(key);
        trusted.int(key);
        trusted.array(key);
        trusted.object_at(value);
    }
    string(text);
}

fn tape(text: &str, valid: bool) {
    let mut tape = walk::Tape::default();
    assert_eq!(tape.parse(text), valid, "the tape and serde_json disagree");
    if !valid {
        return;
    }
    for (at, node) in tape.nodes.iter().enumerate() {
        let raw = node.raw(text);
        assert!(node.after as usize > at && node.after as usize <= tape.nodes.len());
        assert!(node.start < node.end, "node {at} is empty");
        assert!(tape.nodes.get(node.parent as usize).is_none_or(|parent| parent.start < node.start && parent.end > node.end));
        if tape.nodes.len() < 64 {
            assert!(serde_json::from_str::<&RawValue>(raw).is_ok(), "node {at} is no JSON: {raw}");
            let mut pointer = String::new();
            tape.pointer(text, at, 100, &mut pointer);
            assert!(pointer.is_empty() || pointer.starts_with('/'), "{pointer}");
            tape.key_of(at);
        }
        if matches!(node.kind, walk::Kind::String | walk::Kind::Key) {
            let mut decoded = String::new();
            let lone = walk::decode(node.inner(text), node.escapes, &mut decoded);
            match serde_json::from_str::<String>(raw) {
                Ok(serde) => assert!(serde == decoded && !lone, "{raw} is {serde:?}, not {decoded:?}"),
                Err(_) => assert!(lone, "{raw} has a lone surrogate"),
            }
        }
    }
    // serde_json's own tree, where it can be built: as many values.
    if !tape.deep && let Ok(tree) = serde_json::from_str::<Tree>(text) {
        let values = tape.nodes.iter().filter(|node| node.kind != walk::Kind::Key).count();
        assert_eq!(values, tree.0);
    }
}

fn object(text: &str, valid: bool) {
    let parsed = Object::parse(text);
    assert_eq!(parsed.is_ok(), valid && text.trim_ascii_start().starts_with('{'), "the members and serde_json disagree");
    let Ok(parsed) = parsed else { return };
    let serde: Object<'_> = serde_json::from_str(text).expect("the members are those of a valid object");
    assert_eq!(parsed.members(), serde.members());
    assert_eq!(parsed.members(), Object::trusted(text).members());
    inner(&parsed, 0);
}

/// What was split on the way is what splitting it now gives.
fn inner(object: &Object<'_>, depth: usize) {
    for (key, value) in object.members() {
        let last = object.get(key).expect("a member that is there");
        let (nested, now) = (object.object(key), Object::trusted(last));
        assert_eq!(nested.members(), now.members());
        let at = object.object_at(value);
        assert_eq!(at.members(), Object::trusted(value).members());
        let elements = json::elements(value);
        if value.starts_with('[') {
            let serde: Vec<&RawValue> = serde_json::from_str(value).expect("an array inside valid text");
            assert!(elements.iter().copied().eq(serde.iter().map(|raw| raw.get())));
        }
        object.int(key);
        if depth < 4 {
            inner(&at, depth + 1);
        }
    }
}

/// Any text written as a JSON string is read back as itself.
fn string(text: &str) {
    let written = serde_json::Value::from(text).to_string();
    assert_eq!(json::string(&written).as_deref(), Some(text));
    // As a string that was never validated.
    json::unescape(text);
}

/// Counts values.
struct Tree(usize);

impl<'de> serde::Deserialize<'de> for Tree {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fn count(value: &serde_json::Value) -> usize {
            1 + match value {
                serde_json::Value::Array(all) => all.iter().map(count).sum(),
                serde_json::Value::Object(all) => all.values().map(count).sum(),
                _ => 0,
            }
        }
        // A map keeps one of several equal keys: such texts cannot be compared.
        let raw = <&RawValue>::deserialize(deserializer)?;
        let value: serde_json::Value = serde_json::from_str(raw.get()).map_err(serde::de::Error::custom)?;
        if keys_differ(raw.get()) { Ok(Self(count(&value))) } else { Err(serde::de::Error::custom("a key stands twice")) }
    }
}

fn keys_differ(raw: &str) -> bool {
    let object = Object::trusted(raw);
    let below = object.members().iter().map(|(_, value)| *value).chain(json::elements(raw));
    !object.has_duplicate_keys() && below.into_iter().all(keys_differ)
}
