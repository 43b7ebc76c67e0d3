//! Reading JSON without building trees: the members of one object as slices of its text.
//!
//! [`Object::parse`] validates the whole text once (serde_json, iterative, so nesting cannot exhaust the stack);
//! [`Object::trusted`] then splits nested objects by scanning only, which is what keeps large payloads cheap.

mod scan;

pub(crate) use scan::skip_space;
pub(crate) use scan::{Escapes, ONES, Visitor, skip_string, skip_value, walk, zeros};
use serde::de::{Deserialize, Deserializer, MapAccess};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
use std::rc::Rc;

/// Objects within objects that [`Object::parse`] splits on its way: a wrapping record, the message in it, its `params` or `result`.
const SPLIT_DEPTH: usize = 3;

/// The members of a JSON object, in order, values as raw JSON text.
#[derive(Clone, Debug, Default)]
pub struct Object<'a> {
    /// `None` if there is no member.
    split: Option<Rc<Split<'a>>>,
    /// Which of the members are this object's.
    own: Range<usize>,
}

type Member<'a> = (Cow<'a, str>, &'a str);

/// The members of one object and of those within it that have been split with it. One list for all of them, because there is
/// one such object for each record.
#[derive(Debug, Default)]
struct Split<'a> {
    /// Those of one object stand together.
    members: Vec<Member<'a>>,
    /// Members whose value is an object that has been split: which, and where its members stand.
    inner: Vec<(usize, Range<usize>)>,
}

impl<'a> Object<'a> {
    /// Parses and validates one JSON object.
    ///
    /// # Errors
    /// The text is not exactly one JSON object; the error says where.
    pub fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        // serde_json only has the last word: on what is refused, to say why.
        Self::checked(text).map_or_else(|| serde_json::from_str(text), Ok)
    }

    /// [`Object::parse`] in one pass; `None` if the text is not valid.
    fn checked(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        let start = scan::skip_space(bytes, 0);
        if bytes.get(start) != Some(&b'{') {
            return None;
        }
        let mut splitter = Splitter::new(text);
        let end = walk(bytes, start, &mut Vec::with_capacity(32), &mut splitter)?;
        let Splitter { split, own, .. } = splitter;
        (skip_space(bytes, end) == bytes.len()).then(|| Self { split: Some(Rc::new(split)), own })
    }

    fn of(members: Vec<Member<'a>>) -> Self {
        Self { own: 0..members.len(), split: Some(Rc::new(Split { members, inner: Vec::new() })) }
    }

    /// Splits an object that is part of already validated text. Anything else gives an object without members.
    pub fn trusted(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let mut at = skip_space(bytes, 0);
        if bytes.get(at) != Some(&b'{') {
            return Self::default();
        }
        let mut members = Vec::with_capacity(8);
        at = skip_space(bytes, at + 1);
        while bytes.get(at) == Some(&b'"') {
            let key_end = skip_string(bytes, at);
            let key = unescape(&text[at..key_end]);
            at = skip_space(bytes, key_end);
            if bytes.get(at) != Some(&b':') {
                break;
            }
            let start = skip_space(bytes, at + 1);
            let end = skip_value(bytes, start);
            members.push((key, &text[start..end]));
            at = skip_space(bytes, end);
            if bytes.get(at) != Some(&b',') {
                break;
            }
            at = skip_space(bytes, at + 1);
        }
        Self::of(members)
    }

    /// Raw JSON text of a member. With duplicate keys the last one, as most parsers have it.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.members().iter().rev().find(|(k, _)| k == key).map(|(_, v)| *v)
    }
    /// The member with a name of several parts, also where a collector made objects of them: `a.b` is the member of
    /// `{"a.b":1}` and of `{"a":{"b":1}}`.
    pub fn dotted(&self, name: &str) -> Option<&'a str> {
        self.get(name).or_else(|| {
            name.match_indices('.').find_map(|(at, _)| {
                let outer = self.get(&name[..at]).filter(|raw| raw.starts_with('{'))?;
                Object::trusted(outer).dotted(&name[at + 1..])
            })
        })
    }
    /// Whether the member is there, whatever its value.
    pub fn has(&self, key: &str) -> bool {
        self.members().iter().any(|(k, _)| k == key)
    }
    /// A string member, unescaped. `None` for other types.
    pub fn str(&self, key: &str) -> Option<Cow<'a, str>> {
        self.get(key).and_then(string)
    }
    /// A non-empty string member.
    pub fn text(&self, key: &str) -> Option<crate::call::Text> {
        self.str(key).filter(|s| !s.is_empty()).map(|s| crate::call::Text::from(s.as_ref()))
    }
    /// A nested object (empty if there is none).
    pub fn object(&self, key: &str) -> Self {
        let at = self.members().iter().rposition(|(k, _)| k == key);
        at.map(|at| self.member_object(at)).unwrap_or_default()
    }
    /// The member whose raw text this is, as an object (empty if it is none).
    pub fn object_at(&self, raw: &'a str) -> Self {
        let at = self.members().iter().position(|(_, value)| std::ptr::eq(*value, raw));
        at.map_or_else(|| Self::trusted(raw), |at| self.member_object(at))
    }
    fn member_object(&self, at: usize) -> Self {
        let Some(split) = &self.split else { return Self::default() };
        match split.inner.iter().find(|(member, _)| *member == self.own.start + at) {
            Some((_, own)) => Self { split: Some(Rc::clone(split)), own: own.clone() },
            None => Self::trusted(self.members()[at].1),
        }
    }
    /// A number, or a string that holds one, as an integer; fractions are cut off.
    pub fn int(&self, key: &str) -> Option<i64> {
        let raw = self.get(key)?;
        let text = string(raw).unwrap_or(Cow::Borrowed(raw));
        text.parse().ok().or_else(|| text.parse::<f64>().ok().filter(|f| f.is_finite()).map(|f| f as i64))
    }
    /// A JSON boolean.
    pub fn bool(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }
    /// The elements of an array member (none if it is not an array).
    pub fn array(&self, key: &str) -> Vec<&'a str> {
        self.get(key).map(elements).unwrap_or_default()
    }
    /// All members in order.
    pub fn members(&self) -> &[Member<'a>] {
        self.split.as_ref().map_or(&[], |split| &split.members[self.own.clone()])
    }
    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.members().is_empty()
    }
    /// Whether a key stands twice.
    pub fn has_duplicate_keys(&self) -> bool {
        let members = self.members();
        if members.len() > 32 {
            // A hostile object has a million.
            let mut seen = HashSet::with_capacity(members.len());
            return !members.iter().all(|(key, _)| seen.insert(key));
        }
        members.iter().enumerate().any(|(i, (k, _))| members[..i].iter().any(|(other, _)| other == k))
    }
}

/// Splits objects on the walk over their text.
struct Splitter<'a> {
    text: &'a str,
    split: Split<'a>,
    /// Members of the objects that are open, each with the members of its own value, if that was split.
    waiting: Vec<(Member<'a>, Range<usize>)>,
    /// The objects that are open.
    open: [Opened<'a>; SPLIT_DEPTH],
    depth: usize,
    /// Containers that are open and not split.
    whole: usize,
    /// Where the outermost of them starts.
    start: usize,
    /// The members of the object that was closed last: in the end, of the outermost.
    own: Range<usize>,
}

/// An object that is open.
#[derive(Default)]
struct Opened<'a> {
    start: usize,
    /// Its first member among those that wait.
    first: usize,
    /// Key of the member to come.
    key: Cow<'a, str>,
}

impl<'a> Splitter<'a> {
    fn new(text: &'a str) -> Self {
        // A wrapping record, the message in it and its `params` have some two dozen members.
        let split = Split { members: Vec::with_capacity(24), inner: Vec::with_capacity(4) };
        Self {
            text,
            split,
            waiting: Vec::with_capacity(16),
            open: Default::default(),
            depth: 0,
            whole: 0,
            start: 0,
            own: 0..0,
        }
    }

    fn member(&mut self, start: usize, end: usize, inner: Range<usize>) {
        if let Some(open) = self.depth.checked_sub(1).and_then(|top| self.open.get_mut(top)) {
            self.waiting.push(((std::mem::take(&mut open.key), &self.text[start..end]), inner));
        }
    }
}

impl scan::Visitor for Splitter<'_> {
    fn scalar(&mut self, start: usize, end: usize, _: Escapes) {
        if self.whole == 0 {
            self.member(start, end, 0..0);
        }
    }

    fn key(&mut self, start: usize, end: usize, escapes: Escapes) {
        if self.whole == 0
            && let Some(open) = self.depth.checked_sub(1).and_then(|top| self.open.get_mut(top))
        {
            open.key = match escapes {
                Escapes::No => Cow::Borrowed(&self.text[start + 1..end - 1]),
                _ => unescape(&self.text[start..end]),
            };
        }
    }

    fn enter(&mut self, start: usize) {
        if self.whole > 0 || self.depth == SPLIT_DEPTH || self.text.as_bytes()[start] == b'[' {
            if self.whole == 0 {
                self.start = start;
            }
            self.whole += 1;
        } else {
            self.open[self.depth] = Opened { start, first: self.waiting.len(), key: Cow::Borrowed("") };
            self.depth += 1;
        }
    }

    fn next(&mut self) {}

    fn leave(&mut self, end: usize) {
        if self.whole > 0 {
            self.whole -= 1;
            if self.whole == 0 {
                self.member(self.start, end, 0..0);
            }
            return;
        }
        let Some(depth) = self.depth.checked_sub(1) else { return };
        self.depth = depth;
        let Opened { start, first, .. } = self.open[depth];
        let from = self.split.members.len();
        for (member, inner) in self.waiting.drain(first..) {
            if !inner.is_empty() {
                self.split.inner.push((self.split.members.len(), inner));
            }
            self.split.members.push(member);
        }
        self.own = from..self.split.members.len();
        self.member(start, end, self.own.clone());
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> serde::de::Visitor<'de> for Members {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<Member<'de>> = Vec::with_capacity(8);
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    members.push((key.0, map.next_value::<&'de RawValue>()?.get()));
                }
                Ok(Object::of(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A key, borrowed where it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A raw value, because a key may hold a lone surrogate, which a Rust string cannot.
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        Ok(Key(unescape(raw.get())))
    }
}

/// The values in an object with their pointers (RFC 6901), from the outside in, at most `limit`; the flag says that nothing
/// is inside one of them. Arrays are not looked into.
pub fn values<'a>(object: &Object<'a>, limit: usize) -> Vec<(String, &'a str, bool)> {
    let mut out = Vec::new();
    let mut todo: Vec<(String, &'a str)> = Vec::new();
    let below = |pointer: &str, object: &Object<'a>, todo: &mut Vec<(String, &'a str)>| {
        let members = object.members().iter().take(limit).rev();
        todo.extend(members.map(|(key, raw)| {
            let token = key.replace('~', "~0").replace('/', "~1");
            (format!("{pointer}/{token}"), *raw)
        }));
    };
    below("", object, &mut todo);
    while let Some((pointer, raw)) = todo.pop() {
        // A hostile nesting would make pointers that are longer than the record.
        let inner = if pointer.len() < 500 { Object::trusted(raw) } else { Object::default() };
        below(&pointer, &inner, &mut todo);
        out.push((pointer, raw, inner.is_empty()));
        if out.len() >= limit {
            break;
        }
    }
    out
}

/// The elements of a JSON array in validated text, as raw JSON text.
pub fn elements(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = skip_space(bytes, 0);
    if bytes.get(at) != Some(&b'[') {
        return out;
    }
    at = skip_space(bytes, at + 1);
    while at < bytes.len() && bytes[at] != b']' {
        let end = skip_value(bytes, at);
        out.push(&text[at..end]);
        at = skip_space(bytes, end);
        if bytes.get(at) != Some(&b',') {
            break;
        }
        at = skip_space(bytes, at + 1);
    }
    out
}

/// The value of a JSON string literal; `None` if the text is no string.
pub fn string(raw: &str) -> Option<Cow<'_, str>> {
    raw.starts_with('"').then(|| unescape(raw))
}

/// Decodes a JSON string literal, quotes included. Lone surrogates become U+FFFD.
pub fn unescape(literal: &str) -> Cow<'_, str> {
    let inner = literal.strip_prefix('"').unwrap_or(literal);
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    unescape_into(inner, &mut out);
    Cow::Owned(out)
}

/// Decodes the inside of a JSON string literal (no quotes) onto `out`; returns whether a lone surrogate was replaced.
pub fn unescape_into(inner: &str, out: &mut String) -> bool {
    let mut rest = inner;
    let mut lone = false;
    while let Some(slash) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..slash]);
        rest = &rest[slash + 1..];
        let Some(&code) = rest.as_bytes().first() else { return lone };
        let simple = match code {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'"' | b'\\' | b'/' => code as char,
            b'u' => {
                let (ch, used) = unicode_escape(rest);
                lone |= ch.is_none();
                out.push(ch.unwrap_or(char::REPLACEMENT_CHARACTER));
                rest = &rest[used..];
                continue;
            }
            _ => {
                // Not JSON; keep what stands there.
                out.push('\\');
                continue;
            }
        };
        out.push(simple);
        rest = &rest[1..];
    }
    out.push_str(rest);
    lone
}

/// Decodes `uXXXX` or a surrogate pair `uXXXX\uXXXX` at the start; gives the character and the bytes used.
fn unicode_escape(text: &str) -> (Option<char>, usize) {
    let unit = |at: usize| {
        text.get(at..at + 5).filter(|t| t.starts_with('u')).and_then(|t| u32::from_str_radix(&t[1..], 16).ok())
    };
    let Some(high) = unit(0) else { return (None, 1) };
    if let Some(ch) = char::from_u32(high) {
        return (Some(ch), 5);
    }
    let low = (text.as_bytes().get(5) == Some(&b'\\')).then(|| unit(6)).flatten();
    match low {
        Some(low) if high < 0xDC00 && (0xDC00..0xE000).contains(&low) => {
            (char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)), 11)
        }
        _ => (None, 5),
    }
}

#[cfg(test)]
mod tests;
