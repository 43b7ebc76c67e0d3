//! Cuts what is stored of a payload to a limit so that JSON stays JSON.
//!
//! Long strings are cut first, all to the same length, because that is where the bytes are; if there are simply too
//! many members, those at the end are dropped. Size and hash of the whole are kept elsewhere.

use super::walk::{Kind, Node, Tape};
use std::borrow::Cow;

/// Shortest length that strings are cut to before members are dropped.
const MIN_STRING: usize = 64;

/// Plain text, cut at a character.
pub(crate) fn plain(text: &str, limit: usize) -> String {
    let keep = text.floor_char_boundary(limit.saturating_sub(32));
    format!("{}{}", &text[..keep], mark(text.len() - keep))
}

fn mark(cut: usize) -> String {
    format!("…[{cut} bytes cut]")
}

/// JSON text of at most `limit` bytes (or the shortest that says what was cut).
pub(crate) fn json(text: &str, tape: &Tape, limit: usize) -> String {
    let total = |longest: usize| -> usize {
        let saved: usize = tape
            .nodes
            .iter()
            .map(|node| node.raw(text).len().saturating_sub(longest + 32) * usize::from(is_leaf(node)))
            .sum();
        text.len() - saved
    };
    let mut longest = limit.max(MIN_STRING);
    while longest > MIN_STRING && total(longest) > limit {
        longest = (longest / 2).max(MIN_STRING);
    }
    let mut writer = Writer { text, tape, longest, limit, out: String::with_capacity(limit) };
    writer.value(0, 0);
    writer.out
}

const fn is_leaf(node: &Node) -> bool {
    matches!(node.kind, Kind::String | Kind::Key | Kind::Number | Kind::Opaque)
}

struct Writer<'a> {
    text: &'a str,
    tape: &'a Tape,
    longest: usize,
    limit: usize,
    out: String,
}

impl<'a> Writer<'a> {
    /// Writes a value; `open` brackets around it still need closing.
    fn value(&mut self, at: usize, open: usize) {
        let node = self.tape.nodes[at];
        match node.kind {
            Kind::Object => {
                self.out.push('{');
                let before = self.out.len();
                for key in self.tape.keys(at) {
                    let comma = usize::from(self.out.len() > before);
                    if !self.fits(comma + self.leaf(key).len() + 1 + self.least(key + 1), open + 1) {
                        break;
                    }
                    self.out.push_str(if comma == 1 { "," } else { "" });
                    self.out.push_str(&self.leaf(key));
                    self.out.push(':');
                    self.value(key + 1, open + 1);
                }
                self.out.push('}');
            }
            Kind::Array => {
                self.out.push('[');
                let before = self.out.len();
                for element in self.tape.elements(at) {
                    let comma = usize::from(self.out.len() > before);
                    if !self.fits(comma + self.least(element), open + 1) {
                        break;
                    }
                    self.out.push_str(if comma == 1 { "," } else { "" });
                    self.value(element, open + 1);
                }
                self.out.push(']');
            }
            _ => self.out.push_str(&self.leaf(at)),
        }
    }

    fn fits(&self, more: usize, open: usize) -> bool {
        self.out.len() + more + open <= self.limit
    }

    /// The fewest bytes that a value takes.
    fn least(&self, at: usize) -> usize {
        match self.tape.nodes[at].kind {
            Kind::Object | Kind::Array => 2,
            _ => self.leaf(at).len(),
        }
    }

    /// A value without children, cut if it is long.
    fn leaf(&self, at: usize) -> Cow<'a, str> {
        let node = self.tape.nodes[at];
        let raw = node.raw(self.text);
        if raw.len() <= self.longest + 32 {
            return raw.into();
        }
        if !matches!(node.kind, Kind::String | Kind::Key) {
            return format!("\"{}\"", mark(raw.len())).into();
        }
        let inner = node.inner(self.text);
        let keep = whole_escapes(inner, inner.floor_char_boundary(self.longest));
        format!("\"{}{}\"", &inner[..keep], mark(inner.len() - keep)).into()
    }
}

/// The last index up to `end` that cuts no escape in two, nor a pair of surrogates.
fn whole_escapes(inner: &str, end: usize) -> usize {
    let bytes = inner.as_bytes();
    let mut at = 0;
    let mut high = None;
    while let Some(found) = memchr::memchr(b'\\', &bytes[at..end]) {
        let start = at + found;
        let unicode = bytes.get(start + 1) == Some(&b'u');
        let next = start + if unicode { 6 } else { 2 };
        if next > end {
            return high.filter(|(_, after)| *after == start).map_or(start, |(before, _)| before);
        }
        let surrogate = unicode
            && inner
                .get(start + 2..start + 4)
                .is_some_and(|h| (0xD8..0xDC).contains(&u8::from_str_radix(h, 16).unwrap_or(0)));
        high = surrogate.then_some((start, next));
        at = next;
    }
    high.filter(|(_, after)| *after == end).map_or(end, |(before, _)| before)
}
