//! What lies at a dotted path in a JSON text, for the functions that Sigma rules become.
//!
//! Scans rather than parses, so that a cut-off end does not matter. Arrays take no part of a path: each of their elements
//! is looked into. A key that itself holds dots is found too.

use crate::source::json::{skip_space, skip_string, skip_value, unescape};
use std::borrow::Cow;

/// Arrays in arrays that are looked into; the text may nest them without end.
const MAX_NESTING: usize = 64;

/// Something at a path that is not null.
#[derive(Debug, PartialEq)]
pub(super) enum Leaf<'a> {
    Text(Cow<'a, str>),
    /// As it is written.
    Number(&'a str),
    Bool(bool),
    /// An object, or an array, whose elements follow it.
    Container,
}

impl Leaf<'_> {
    /// As text; numbers in one spelling, however they were written.
    pub(super) fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Number(raw) => Some(match raw.parse::<i64>() {
                Ok(integer) => Cow::Owned(integer.to_string()),
                Err(_) => raw.parse::<f64>().map_or(Cow::Borrowed(*raw), |float| Cow::Owned(float.to_string())),
            }),
            Self::Bool(true) => Some(Cow::Borrowed("true")),
            Self::Bool(false) => Some(Cow::Borrowed("false")),
            Self::Container => None,
        }
    }

    /// As a number; texts that spell one count.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Number(raw) => raw.parse().ok(),
            Self::Bool(_) | Self::Container => None,
        }
    }
}

/// Whether `found` holds for something at the path; with it the search ends.
pub(super) fn any_at(json: &str, path: &str, found: &mut dyn FnMut(Leaf<'_>) -> bool) -> bool {
    search(json, skip_space(json.as_bytes(), 0), path, MAX_NESTING, found)
}

fn search(json: &str, at: usize, path: &str, room: usize, found: &mut dyn FnMut(Leaf<'_>) -> bool) -> bool {
    let bytes = json.as_bytes();
    match bytes.get(at) {
        Some(b'{') => {
            let mut at = skip_space(bytes, at + 1);
            while bytes.get(at) == Some(&b'"') {
                let end = skip_string(bytes, at).min(bytes.len());
                let key = unescape(&json[at..end]);
                at = skip_space(bytes, end);
                if bytes.get(at) != Some(&b':') {
                    return false;
                }
                let value = skip_space(bytes, at + 1);
                if key == path {
                    if leaves(json, value, room, found) {
                        return true;
                    }
                } else if let Some(rest) = path.strip_prefix(key.as_ref()).and_then(|rest| rest.strip_prefix('.'))
                    && search(json, value, rest, room, found)
                {
                    return true;
                }
                at = skip_space(bytes, skip_value(bytes, value));
                if bytes.get(at) != Some(&b',') {
                    return false;
                }
                at = skip_space(bytes, at + 1);
            }
            false
        }
        Some(b'[') if room > 0 => elements(bytes, at, |at| search(json, at, path, room - 1, found)),
        _ => false,
    }
}

/// The value at `at`, and what is in it if it is an array.
fn leaves(json: &str, at: usize, room: usize, found: &mut dyn FnMut(Leaf<'_>) -> bool) -> bool {
    let bytes = json.as_bytes();
    match bytes.get(at) {
        None | Some(b'n') => false,
        Some(b'"') => {
            let end = skip_string(bytes, at).min(bytes.len());
            found(Leaf::Text(unescape(&json[at..end])))
        }
        Some(b'{') => found(Leaf::Container),
        Some(b'[') => {
            found(Leaf::Container) || (room > 0 && elements(bytes, at, |at| leaves(json, at, room - 1, found)))
        }
        Some(b't') => found(Leaf::Bool(true)),
        Some(b'f') => found(Leaf::Bool(false)),
        Some(_) => found(Leaf::Number(&json[at..skip_value(bytes, at)])),
    }
}

/// Whether something holds for the start of an element of the array that starts at `at`.
fn elements(bytes: &[u8], at: usize, mut holds: impl FnMut(usize) -> bool) -> bool {
    let mut at = skip_space(bytes, at + 1);
    while at < bytes.len() && bytes[at] != b']' {
        if holds(at) {
            return true;
        }
        at = skip_space(bytes, skip_value(bytes, at));
        if bytes.get(at) != Some(&b',') {
            return false;
        }
        at = skip_space(bytes, at + 1);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{Leaf, any_at};

    fn at(json: &str, path: &str) -> Vec<String> {
        let mut out = Vec::new();
        any_at(json, path, &mut |leaf: Leaf<'_>| {
            out.push(leaf.text().map_or("[…]".to_owned(), Into::into));
            false
        });
        out
    }

    #[test]
    fn objects_arrays_dotted_keys_and_cut_ends() {
        let json = r#"{"a": {"b":"x\n\u00e4", "n":1.0, "m":7, "t":true, "z":null}, "l":[{"b":1},{"b":["y",[2]]},3], "a.b":"flat"}"#;
        assert_eq!(at(json, "a.b"), ["x\nä", "flat"]);
        assert_eq!(at(json, "a.n"), ["1"]);
        assert_eq!((at(json, "a.m"), at(json, "a.t")), (vec!["7".to_owned()], vec!["true".to_owned()]));
        assert_eq!(at(json, "l.b"), ["1", "[…]", "y", "[…]", "2"]);
        assert_eq!(at(json, "a"), ["[…]"]);
        assert_eq!((at(json, "a.z"), at(json, "b"), at(json, "a.b.c")), (vec![], vec![], vec![]));
        assert_eq!(at(r#"{"a":{"b":"cut o"#, "a.b"), ["cut o"]);
        assert_eq!(at(r#"{"a"#, "a"), Vec::<String>::new());
        assert_eq!(at("no JSON", "a"), Vec::<String>::new());
        assert_eq!(at(&format!("{}{}", "[".repeat(100_000), r#"{"a":1}"#), "a"), Vec::<String>::new());
    }
}
