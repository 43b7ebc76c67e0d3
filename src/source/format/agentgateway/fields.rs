//! The flat keys of one request, from JSON or from `key=value` text.
//!
//! Text values are bare (up to the next `key=`), JSON strings, or JSON values. Of a key that stands twice in a text
//! line the first one counts: the proxy's own keys stand in front of those whose values a client can choose.

use crate::call::{PayloadState, Text};
use crate::source::json::{self, Object};
use std::borrow::Cow;

/// The keys with their values, as written.
pub(super) struct Fields<'a> {
    /// The member that counts stands before others of the same key.
    members: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Fields<'a> {
    /// The members of a JSON line; of a repeated one the last counts.
    pub(super) fn of_json(line: &Object<'a>) -> Self {
        Self { members: line.members().iter().rev().cloned().collect() }
    }

    /// The pairs of a text line.
    pub(super) fn of_text(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let mut members = Vec::new();
        // Unclosed brackets and quotes are bare text; looking for their ends costs so much at most.
        let mut budget = 2 * text.len();
        let mut at = 0;
        while at < bytes.len() {
            at = json::skip_space(bytes, at);
            let Some(equals) = key_end(text, at) else {
                at = word_end(bytes, at);
                continue;
            };
            let start = equals + 1;
            let closed = if budget > 0 { closed_end(bytes, start) } else { Err(0) };
            budget = budget.saturating_sub(closed.unwrap_or_else(|scanned| scanned));
            let end = closed.unwrap_or_else(|_| bare_end(text, start));
            members.push((Cow::Borrowed(&text[at..equals]), &text[start..end]));
            at = end;
        }
        Self { members }
    }

    fn raw(&self, key: &str) -> Option<&'a str> {
        let member = |key: &str| self.members.iter().find(|(k, _)| k == key).map(|(_, raw)| *raw);
        // Collectors make objects of dotted keys.
        let nested = || {
            key.match_indices('.').find_map(|(at, _)| {
                let outer = member(&key[..at]).filter(|raw| raw.starts_with('{'))?;
                Object::trusted(outer).dotted(&key[at + 1..])
            })
        };
        member(key).or_else(nested).filter(|raw| *raw != "null")
    }

    /// The first of these keys that has a value.
    pub(super) fn text(&self, keys: &[&str]) -> Option<Text> {
        keys.iter().find_map(|key| {
            let text = unquoted(self.raw(key)?);
            (!text.is_empty()).then(|| Text::from(text))
        })
    }

    /// The value as JSON text.
    pub(super) fn json(&self, keys: &[&str]) -> Option<Cow<'static, str>> {
        self.text(keys).map(|text| Cow::Owned(serde_json::Value::from(text.as_str()).to_string()))
    }

    /// Whether the key has this value.
    pub(super) fn is(&self, key: &str, value: &str) -> bool {
        self.text(&[key]).is_some_and(|text| text == value)
    }

    /// Whether a key has this first part.
    pub(super) fn has_part(&self, part: &str) -> bool {
        self.members
            .iter()
            .any(|(key, _)| key.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    }

    /// Whether a key stands twice.
    pub(super) fn repeated(&self) -> bool {
        let mut keys: Vec<&str> = self.members.iter().map(|(key, _)| key.as_ref()).collect();
        keys.sort_unstable();
        keys.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// A payload: a JSON value, or one inside a JSON string. Anything else is kept as it is.
    pub(super) fn payload(&self, keys: &[&str]) -> Option<(String, PayloadState)> {
        let raw = keys.iter().find_map(|key| self.raw(key)).filter(|raw| !raw.is_empty())?;
        let text = Some(unquoted(raw)).filter(|text| text.starts_with(['{', '['])).unwrap_or(Cow::Borrowed(raw));
        let valid = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
        Some((text.into_owned(), if valid { PayloadState::Present } else { PayloadState::Unparsable }))
    }
}

/// The value of a quoted string; bare text, which may begin with a quote, as it is.
fn unquoted(raw: &str) -> Cow<'_, str> {
    let quoted = raw.len() > 1 && raw.ends_with('"');
    json::string(raw).filter(|_| quoted).unwrap_or(Cow::Borrowed(raw))
}

/// Where the `=` of a key that starts here stands.
pub(super) fn key_end(text: &str, at: usize) -> Option<usize> {
    let at = json::skip_space(text.as_bytes(), at);
    let rest = text.as_bytes().get(at..)?;
    let length =
        rest.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':')).count();
    (rest.first()?.is_ascii_alphabetic() && rest.get(length) == Some(&b'=')).then_some(at + length)
}

fn word_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|b| matches!(b, b' ' | b'\t')).map_or(bytes.len(), |length| at + length)
}

/// The end of a quoted string or a JSON value that a blank follows; else how many bytes were looked at in vain.
fn closed_end(bytes: &[u8], start: usize) -> Result<usize, usize> {
    let end = match bytes.get(start) {
        Some(b'"') => json::skip_string(bytes, start),
        Some(b'{' | b'[') => json::skip_value(bytes, start),
        _ => return Err(0),
    };
    let closes = matches!((bytes[start], bytes[end - 1]), (b'"', b'"') | (b'{', b'}') | (b'[', b']'));
    let ends_here = matches!(bytes.get(end), None | Some(b' ' | b'\t'));
    if end > start + 1 && closes && ends_here { Ok(end) } else { Err(end - start) }
}

/// The end of a bare value: names may hold blanks, so it goes on to the next `key=`.
fn bare_end(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let mut end = word_end(bytes, start);
    loop {
        let next = json::skip_space(bytes, end);
        if next >= bytes.len() || next == end || key_end(text, next).is_some() {
            return end;
        }
        end = word_end(bytes, next);
    }
}
