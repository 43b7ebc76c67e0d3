//! Where a value stands in a record: a JSON pointer (RFC 6901), a named group of the regex, or a pointer into a group.
//!
//! A pointer also leads into a string that holds JSON, because gateways like to log payloads as text.

use crate::source::json::{self, Object};
use regex::Regex;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// One place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// As the user wrote it.
    written: String,
    /// Number of the group; `None`: the record itself.
    group: Option<usize>,
    /// Keys and indices on the way, unescaped.
    tokens: Vec<String>,
}

/// What may stand in front of a pointer.
#[derive(Clone, Copy, Debug)]
pub struct Roots<'a> {
    /// Records are JSON objects.
    pub json: bool,
    /// The regex whose groups can be named.
    pub regex: Option<&'a Regex>,
}

/// What a record has to offer to places.
pub(super) struct Found<'r> {
    pub(super) json: Option<&'r Object<'r>>,
    pub(super) groups: Option<regex::Captures<'r>>,
}

/// A value as the record has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value<'r> {
    /// Raw JSON text, valid.
    Json(Cow<'r, str>),
    /// Plain text of a group.
    Text(&'r str),
}

impl Place {
    /// Reads a place as written: `/a/b`, `group`, `group/a/b`.
    ///
    /// # Errors
    /// It is no pointer (RFC 6901), names no group of the regex, or points where records have no JSON.
    pub fn parse(written: &str, roots: Roots<'_>) -> Result<Self, String> {
        let (name, pointer) = written.split_at(written.find('/').unwrap_or(written.len()));
        let tokens = pointer.split('/').skip(1).map(unescape_token).collect::<Option<Vec<_>>>();
        let Some(tokens) = tokens else {
            return Err(format!("`{written}` is no JSON pointer: `~` must be followed by 0 or 1 (RFC 6901)"));
        };
        if name.is_empty() {
            return match (tokens.is_empty(), roots.json) {
                (true, _) => Err("a place must not be empty; write a JSON pointer such as /tool/name".to_owned()),
                (_, true) => Ok(Self { written: written.to_owned(), group: None, tokens }),
                (_, false) => Err(format!(
                    "`{written}` is a JSON pointer, and the records are text; name a group of `regex`, or GROUP{written}"
                )),
            };
        }
        let Some(regex) = roots.regex else {
            return Err(format!("`{written}` is no JSON pointer: it must begin with /, like /{written}"));
        };
        let mut names = regex.capture_names().enumerate();
        match names.find(|(_, known)| *known == Some(name)) {
            Some((group, _)) => Ok(Self { written: written.to_owned(), group: Some(group), tokens }),
            None => Err(format!("`regex` has no group `{name}`; write (?P<{name}>…) where it stands")),
        }
    }

    /// The place as the user wrote it.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Number of the group that the place looks into.
    pub fn group(&self) -> Option<usize> {
        self.group
    }

    /// The value there; `None` also for an empty group, and for `-`, which is what text logs write for "nothing".
    pub(super) fn value<'r>(&self, found: &'r Found<'r>) -> Option<Value<'r>> {
        let Some(group) = self.group else {
            let (first, rest) = self.tokens.split_first()?;
            return descend(found.json?.get(first)?, rest).map(Value::Json);
        };
        let text = found.groups.as_ref()?.get(group)?.as_str();
        if self.tokens.is_empty() {
            return (!matches!(text, "" | "-")).then_some(Value::Text(text));
        }
        descend(valid(text.trim())?, &self.tokens).map(Value::Json)
    }
}

impl Value<'_> {
    /// The value as text: strings without quotes, numbers and booleans as written, anything nested as JSON text.
    /// Null and the empty string are no text.
    pub(super) fn text(&self) -> Option<Cow<'_, str>> {
        let text = match self {
            Self::Json(raw) if raw == "null" => return None,
            Self::Json(raw) => json::string(raw).unwrap_or(Cow::Borrowed(raw)),
            Self::Text(text) => unquoted(text),
        };
        (!text.is_empty()).then_some(text)
    }
}

/// Follows a pointer through valid JSON text.
fn descend<'r>(raw: &'r str, tokens: &[String]) -> Option<Cow<'r, str>> {
    let Some((token, rest)) = tokens.split_first() else { return Some(Cow::Borrowed(raw)) };
    match raw.as_bytes().first()? {
        b'{' => descend(Object::trusted(raw).get(token)?, rest),
        b'[' => {
            // RFC 6901: digits without leading zeros.
            let plain = token == "0" || !token.starts_with(['0', '+']);
            let index: usize = token.parse().ok().filter(|_| plain)?;
            descend(json::elements(raw).get(index).copied()?, rest)
        }
        b'"' => {
            let inner = json::unescape(raw);
            descend(valid(inner.trim())?, tokens).map(|found| Cow::Owned(found.into_owned()))
        }
        _ => None,
    }
}

/// The text if it is one JSON object or array.
fn valid(text: &str) -> Option<&str> {
    let nested = text.starts_with(['{', '[']);
    (nested && serde_json::from_str::<&RawValue>(text).is_ok()).then_some(text)
}

/// A quoted text of a line without its quotes.
fn unquoted(text: &str) -> Cow<'_, str> {
    let quoted = text.len() >= 2 && text.starts_with('"') && json::skip_string(text.as_bytes(), 0) == text.len();
    if quoted && text.ends_with('"') { json::unescape(text) } else { Cow::Borrowed(text) }
}

fn unescape_token(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let escaped = match part.as_bytes().first()? {
            b'0' => '~',
            b'1' => '/',
            _ => return None,
        };
        out.push(escaped);
        out.push_str(&part[1..]);
    }
    Some(out)
}
