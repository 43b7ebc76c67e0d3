//! RFC 8785 (JSON Canonicalization Scheme) by sorting spans: strings without escapes are copied, never decoded.
//!
//! Three departures, all because an audit log must not merge what was different: integers keep their exact text
//! however long they are, both members of a duplicate key stay, and a lone surrogate is written as an escape.

use super::walk::{Kind, Tape};
use crate::source::json;
use crate::source::json::Escapes;
use std::cmp::Ordering;

/// Writes canonical JSON of one tape.
pub(crate) struct Canonical<'a> {
    text: &'a str,
    tape: &'a Tape,
    out: &'a mut Vec<u8>,
    /// Keys of the objects being written: one stack for all levels.
    keys: &'a mut Vec<u32>,
    duplicate_key: bool,
}

impl<'a> Canonical<'a> {
    /// Appends the canonical form to `out`; returns whether a key stands twice in one object. `keys` is scratch space.
    pub(crate) fn write(text: &'a str, tape: &'a Tape, out: &'a mut Vec<u8>, keys: &'a mut Vec<u32>) -> bool {
        keys.clear();
        let mut writer = Self { text, tape, out, keys, duplicate_key: false };
        if !tape.nodes.is_empty() {
            writer.value(0);
        }
        writer.duplicate_key
    }

    fn value(&mut self, at: usize) {
        let node = self.tape.nodes[at];
        match node.kind {
            Kind::String | Kind::Key => self.string(at),
            Kind::Number => number(node.raw(self.text), self.out),
            Kind::Literal | Kind::Opaque => self.out.extend_from_slice(node.raw(self.text).as_bytes()),
            Kind::Array => {
                self.out.push(b'[');
                let mut element = at + 1;
                while element < node.after as usize {
                    if element > at + 1 {
                        self.out.push(b',');
                    }
                    self.value(element);
                    element = self.tape.nodes[element].after as usize;
                }
                self.out.push(b']');
            }
            Kind::Object => self.object(at),
        }
    }

    fn object(&mut self, at: usize) {
        let (text, tape) = (self.text, self.tape);
        let base = self.keys.len();
        self.keys.extend(tape.keys(at).map(|key| key as u32));
        // Stable, so that members with the same name keep their order.
        self.keys[base..].sort_by(|&a, &b| compare_keys(text, tape, a as usize, b as usize));
        self.out.push(b'{');
        for i in base..self.keys.len() {
            let key = self.keys[i] as usize;
            if i > base {
                self.out.push(b',');
                self.duplicate_key |= compare_keys(text, tape, self.keys[i - 1] as usize, key).is_eq();
            }
            self.string(key);
            self.out.push(b':');
            self.value(key + 1);
        }
        self.out.push(b'}');
        self.keys.truncate(base);
    }

    fn string(&mut self, at: usize) {
        let node = self.tape.nodes[at];
        if node.escapes != Escapes::Other {
            self.out.extend_from_slice(node.raw(self.text).as_bytes());
            return;
        }
        self.out.push(b'"');
        escapes(node.inner(self.text), self.out);
        self.out.push(b'"');
    }
}

fn compare_keys(text: &str, tape: &Tape, a: usize, b: usize) -> Ordering {
    let (a, b) = (tape.nodes[a], tape.nodes[b]);
    if a.escapes.max(b.escapes) > Escapes::No {
        return utf16_order(&json::unescape(a.raw(text)), &json::unescape(b.raw(text)));
    }
    utf16_order(a.inner(text), b.inner(text))
}

/// Order by UTF-16 code units: that of the bytes, but characters beyond U+FFFF sort before U+E000..U+FFFF.
fn utf16_order(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let Some(at) = a.iter().zip(b).position(|(x, y)| x != y) else { return a.len().cmp(&b.len()) };
    match (a[at], b[at]) {
        (0xF0.., 0xEE | 0xEF) => Ordering::Less,
        (0xEE | 0xEF, 0xF0..) => Ordering::Greater,
        (x, y) => x.cmp(&y),
    }
}

/// Numbers as ECMAScript prints them; integers as they stand.
fn number(raw: &str, out: &mut Vec<u8>) {
    if raw == "-0" {
        out.push(b'0');
        return;
    }
    if raw.bytes().any(|b| matches!(b, b'.' | b'e' | b'E'))
        && let Ok(value) = raw.parse::<f64>()
        && value.is_finite()
    {
        out.extend_from_slice(ryu_js::Buffer::new().format_finite(value).as_bytes());
        return;
    }
    out.extend_from_slice(raw.as_bytes());
}

/// Rewrites the escapes of a string's inside to their one canonical spelling.
fn escapes(inner: &str, out: &mut Vec<u8>) {
    let mut rest = inner;
    while let Some(slash) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.extend_from_slice(&rest.as_bytes()[..slash]);
        rest = &rest[slash..];
        let length = match rest.as_bytes().get(1) {
            Some(b'u') => unicode(rest, out),
            Some(b'/') => {
                out.push(b'/');
                2
            }
            _ => {
                out.extend_from_slice(&rest.as_bytes()[..rest.len().min(2)]);
                2
            }
        };
        rest = &rest[length.min(rest.len())..];
    }
    out.extend_from_slice(rest.as_bytes());
}

/// Writes the character of the `\uXXXX` (or pair) at the start; gives its length.
fn unicode(text: &str, out: &mut Vec<u8>) -> usize {
    let mut decoded = String::new();
    let pair = text.get(..12).filter(|pair| pair.as_bytes()[6] == b'\\' && pair.as_bytes()[7] == b'u');
    let single = text.get(..6).unwrap_or(text);
    for candidate in [single].into_iter().chain(pair) {
        decoded.clear();
        if !json::unescape_into(candidate, &mut decoded) {
            push_escaped(&decoded, out);
            return candidate.len();
        }
    }
    out.extend_from_slice(single.to_ascii_lowercase().as_bytes());
    single.len()
}

/// Appends the inside of a JSON string literal for `text`, in RFC 8785's spelling.
pub(crate) fn push_escaped(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for &byte in text.as_bytes() {
        let short = match byte {
            b'"' | b'\\' => byte,
            0x08 => b'b',
            0x09 => b't',
            0x0A => b'n',
            0x0C => b'f',
            0x0D => b'r',
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
                continue;
            }
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
}

/// [`push_escaped`] as text.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 8);
    push_escaped(text, &mut out);
    // Only ASCII was put between whole characters.
    String::from_utf8(out).unwrap_or_default()
}
