//! Records that are JSON but for a writer's slip, read as what was meant.
//!
//! Python writes `NaN` and `Infinity` where JSON has no number; hand-made loggers put control characters into strings as they are;
//! nginx writes `\x22` (`log_format` with `escape=default`), and others a path's `\U` or `\'`, which are no escapes. Everything else is left
//! as it stands, so what no slip explains stays broken.

use crate::call::{Bits, Flag};
use crate::source::json::skip_string;
use std::fmt::Write as _;

/// The text without such slips, and the flags that say so. `None` if it has none.
pub(super) fn repaired(text: &str) -> Option<(String, Bits)> {
    const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len() + 64);
    let mut flags = Bits::default();
    let mut at = 0;
    let mut copied = 0;
    while at < bytes.len() {
        if bytes[at] == b'"' {
            let end = skip_string(bytes, at).min(bytes.len());
            out.push_str(&text[copied..at]);
            if string(&text[at..end], &mut out) {
                flags.add(Flag::JsonRepaired as u32);
            }
            at = end;
            copied = at;
        } else if let Some(word) = WORDS.iter().find(|word| bytes[at..].starts_with(word.as_bytes())) {
            out.push_str(&text[copied..at]);
            out.push_str("null");
            flags.add(Flag::NonJsonNumber as u32);
            at += word.len();
            copied = at;
        } else {
            at += 1;
        }
    }
    out.push_str(&text[copied..]);
    (!flags.is_empty()).then_some((out, flags))
}

/// Appends a string literal as JSON has it; tells whether anything had to be changed.
fn string(literal: &str, out: &mut String) -> bool {
    let bytes = literal.as_bytes();
    let hex = |from: usize, count: usize| {
        bytes.get(from..from + count).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        let (instead, length) = match (bytes[at], bytes.get(at + 1)) {
            (b'\\', Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')) => (None, 2),
            (b'\\', Some(b'u')) if hex(at + 2, 4) => (None, 6),
            (b'\\', Some(b'x')) if hex(at + 2, 2) => (Some(format!("\\u00{}", &literal[at + 2..at + 4])), 4),
            (b'\\', Some(b'\'')) => (Some("'".to_owned()), 2),
            (b'\\', _) => (Some("\\\\".to_owned()), 1),
            (control @ ..0x20, _) => (Some(format!("\\u{control:04x}")), 1),
            _ => (None, 1),
        };
        if let Some(instead) = instead {
            // Writing to a String does not fail.
            let _ = write!(out, "{}{instead}", &literal[copied..at]);
            copied = at + length;
        }
        at += length;
    }
    out.push_str(&literal[copied..]);
    copied > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slips_become_what_was_meant() {
        for (text, expected, flag) in [
            (r#"{"a":NaN,"b":[-Infinity,"NaN"]}"#, r#"{"a":null,"b":[null,"NaN"]}"#, Flag::NonJsonNumber),
            ("{\"a\t\":\"x\u{1}\r\"}", r#"{"a\u0009":"x\u0001\u000d"}"#, Flag::JsonRepaired),
            (r#"{"a":"say \x22hi\x22"}"#, r#"{"a":"say \u0022hi\u0022"}"#, Flag::JsonRepaired),
            (
                r#"{"a":"C:\Users\new\'s \\ok \u00e4 \u1"}"#,
                r#"{"a":"C:\\Users\new's \\ok \u00e4 \\u1"}"#,
                Flag::JsonRepaired,
            ),
        ] {
            let (text, flags) = repaired(text).expect("something to repair");
            assert_eq!(text, expected);
            assert!(flags.has(flag as u32));
            serde_json::from_str::<serde_json::Value>(&text).expect("JSON now");
        }
        assert_eq!(repaired(r#"{"a":"plain \"NaN\"","b":nonsense}"#), None);
    }

    proptest! {
        #[test]
        fn json_is_left_alone_and_nothing_is_repaired_twice(text in "[{}\\[\\]\":,\\\\ xu0Nna'N\u{1}\té]{0,40}") {
            if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
                prop_assert_eq!(repaired(&text), None);
            }
            if let Some((once, _)) = repaired(&text) {
                prop_assert_eq!(repaired(&once), None);
            }
        }
    }
}
