//! Takes secrets out of a payload: every place where a value found anywhere in it stands, in every spelling.
//!
//! Working by value and not by position makes nesting simple: a token found in JSON inside a string is also removed
//! from a key, from a number and from the escaped copy next door, and no span has to be carried through escapes.

use super::binary;
use super::canonical::{escaped, push_escaped};
use super::secret::{Secret, shapes};
use super::walk::{Kind, Tape};
use crate::source::json;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// JSON inside strings is followed this deep; below, its text is still searched as text.
pub(crate) const MAX_NESTED: usize = 4;
/// Values shorter than this are replaced as whole words only.
const WORD_LIKE: usize = 12;

/// The values to remove and what takes their place.
#[derive(Debug)]
pub(crate) struct Needles {
    /// Sorted by value; the flag says that the value has to stand alone.
    sorted: Vec<(String, String, bool)>,
    /// Pairs of first bytes that occur.
    heads: Vec<u64>,
    longest: usize,
}

impl Needles {
    /// Every spelling of every secret; `literal` says what takes its place.
    pub(crate) fn new(secrets: &[Secret], literal: impl Fn(&Secret) -> String) -> Self {
        let mut all = BTreeMap::new();
        for secret in secrets {
            let literal = literal(secret);
            let mut add = |needle: String, lead: usize, trail: usize| {
                let word_like = needle.len() - lead - trail < WORD_LIKE && lead + trail == 0;
                let replaced = [&needle[..lead], &literal, &needle[needle.len() - trail..]].concat();
                all.entry(needle).or_insert((replaced, word_like));
            };
            add(secret.written.clone(), secret.lead, secret.trail);
            if secret.lead + secret.trail > 0 || secret.value.len() < 6 {
                continue;
            }
            add(secret.value.clone(), 0, 0);
            for text in [&secret.written, &secret.value] {
                let once = escaped(text);
                if once != **text {
                    add(escaped(&once), 0, 0);
                    add(once, 0, 0);
                }
            }
            let encoded = percent_encoded(&secret.value);
            if encoded != secret.value {
                add(encoded, 0, 0);
            }
        }
        let mut heads = vec![0u64; 1024];
        let mut longest = 0;
        for needle in all.keys().filter(|needle| needle.len() >= 2) {
            let head = head(needle.as_bytes());
            heads[head >> 6] |= 1 << (head & 63);
            longest = longest.max(needle.len());
        }
        let sorted = all.into_iter().map(|(needle, (replaced, word_like))| (needle, replaced, word_like)).collect();
        Self { sorted, heads, longest }
    }

    /// The text without the values; `None` if none stands in it.
    pub(crate) fn replace(&self, text: &str) -> Option<String> {
        let bytes = text.as_bytes();
        let mut out = String::new();
        let (mut at, mut done) = (0, 0);
        while !self.sorted.is_empty() && at + 1 < bytes.len() {
            let Some((needle, replaced, _)) = self.longest_at(bytes, at) else {
                at += 1;
                continue;
            };
            out.push_str(&text[done..at]);
            out.push_str(replaced);
            done = at + needle.len();
            // A value that starts in this one and goes on after it must not leave its end behind.
            while at < done {
                at += 1;
                if at + 1 < bytes.len()
                    && let Some((other, ..)) = self.longest_at(bytes, at)
                {
                    done = done.max(at + other.len());
                }
            }
        }
        (done > 0).then(|| out + &text[done..])
    }

    /// The longest value that stands at `at`.
    fn longest_at(&self, bytes: &[u8], at: usize) -> Option<&(String, String, bool)> {
        let rest = &bytes[at..];
        let head = head(rest);
        if self.heads[head >> 6] >> (head & 63) & 1 == 0 {
            return None;
        }
        let mut limit = rest.len().min(self.longest);
        while limit >= 2 {
            let probe = &rest[..limit];
            let next = self.sorted.partition_point(|(needle, ..)| needle.as_bytes() <= probe);
            let found = &self.sorted[next.checked_sub(1)?];
            let needle = found.0.as_bytes();
            let common = needle.iter().zip(probe).take_while(|(a, b)| a == b).count();
            if common < needle.len() {
                // Only what both share can still be the start of a shorter value.
                limit = common;
                continue;
            }
            if !found.2 || stands_alone(bytes, at, at + needle.len()) {
                return Some(found);
            }
            limit = needle.len() - 1;
        }
        None
    }

    fn of_number(&self, raw: &str) -> Option<&str> {
        let at = self.sorted.binary_search_by(|(needle, ..)| needle.as_str().cmp(raw)).ok()?;
        Some(&self.sorted[at].1)
    }
}

fn head(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

fn stands_alone(bytes: &[u8], start: usize, end: usize) -> bool {
    let ends = bytes.get(end).is_none_or(|b| !b.is_ascii_alphanumeric()) || !bytes[end - 1].is_ascii_alphanumeric();
    ends && (!bytes[start].is_ascii_alphanumeric() || shapes::starts_word(bytes, start))
}

fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The JSON text with binary content (if there is any) and secrets replaced; as valid as before.
pub(crate) fn json(text: &str, tape: &Tape, needles: &Needles, binary: bool, depth: usize) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut done = 0;
    for (i, node) in tape.nodes.iter().enumerate() {
        let (start, end) = (node.start as usize, node.end as usize);
        match node.kind {
            Kind::String if binary && binary::is_blob(text, tape, i) => {
                out.extend_from_slice(&text.as_bytes()[done..=start]);
                out.extend_from_slice(binary::literal(node.inner(text)).as_bytes());
                done = end - 1;
            }
            Kind::String | Kind::Key => {
                let decoded = json::unescape(node.raw(text));
                if let Some(replaced) = string(&decoded, needles, binary, depth) {
                    out.extend_from_slice(&text.as_bytes()[done..=start]);
                    push_escaped(&replaced, &mut out);
                    done = end - 1;
                }
            }
            Kind::Number => {
                if let Some(replaced) = needles.of_number(node.raw(text)) {
                    out.extend_from_slice(&text.as_bytes()[done..start]);
                    out.extend_from_slice(format!("\"{replaced}\"").as_bytes());
                    done = end;
                }
            }
            Kind::Opaque => {
                if let Some(replaced) = needles.replace(node.raw(text)) {
                    out.extend_from_slice(&text.as_bytes()[done..start]);
                    out.extend_from_slice(replaced.as_bytes());
                    done = end;
                }
            }
            Kind::Object | Kind::Array | Kind::Literal => {}
        }
    }
    out.extend_from_slice(&text.as_bytes()[done..]);
    String::from_utf8(out).unwrap_or_default()
}

/// A decoded string with binary content and secrets replaced; `None` if it has none.
pub(crate) fn string(text: &str, needles: &Needles, binary: bool, depth: usize) -> Option<String> {
    let mut current = Cow::Borrowed(text);
    if depth < MAX_NESTED && looks_like_json(text) {
        let mut tape = Tape::default();
        if tape.parse(text) {
            let inner = json(text, &tape, needles, binary, depth + 1);
            if inner != text {
                current = Cow::Owned(inner);
            }
        }
    }
    if binary && let Cow::Owned(replaced) = binary::replace_data_uris(&current) {
        current = Cow::Owned(replaced);
    }
    if let Some(replaced) = needles.replace(&current) {
        current = Cow::Owned(replaced);
    }
    match current {
        Cow::Owned(text) => Some(text),
        Cow::Borrowed(_) => None,
    }
}

/// Whether a string may hold a JSON object or array.
pub(crate) fn looks_like_json(text: &str) -> bool {
    let text = text.trim_ascii();
    text.len() > 6 && matches!((text.as_bytes()[0], text.as_bytes()[text.len() - 1]), (b'{', b'}') | (b'[', b']'))
}
