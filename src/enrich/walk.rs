//! One tokenising, validating walk over JSON text: a flat tape of nodes, each a span of the text.
//!
//! Nothing is unescaped and no tree is built. The walk is iterative, so nesting cannot exhaust the stack; what lies
//! deeper than [`MAX_DEPTH`] is validated but becomes one opaque node, so everything after may recurse over the tape.

use crate::source::json::{self, Escapes, ONES, zeros};
use std::borrow::Cow;
use std::fmt::Write as _;

/// Containers that may be open at once; MCP payloads seen in practice stay below 30.
pub(crate) const MAX_DEPTH: usize = 128;
/// The parent of the root.
pub(crate) const NONE: u32 = u32::MAX;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    /// A member's name; its value is the next node.
    Key,
    String,
    Number,
    /// `true`, `false` or `null`.
    Literal,
    /// A container below the depth limit, not looked into.
    Opaque,
}

/// One value or key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) escapes: Escapes,
    /// Span in the text, quotes included.
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) parent: u32,
    /// First node after this one and all that it holds.
    pub(crate) after: u32,
    /// In an object the node of its key, in an array its position.
    pub(crate) index: u32,
}

impl Node {
    /// The raw JSON text of the node.
    pub(crate) fn raw<'t>(&self, text: &'t str) -> &'t str {
        &text[self.start as usize..self.end as usize]
    }
    /// The inside of a string or key, still escaped.
    pub(crate) fn inner<'t>(&self, text: &'t str) -> &'t str {
        &text[self.start as usize + 1..self.end as usize - 1]
    }
}

/// The nodes of one JSON text in document order.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    pub(crate) nodes: Vec<Node>,
    /// Whether something is nested too deep.
    pub(crate) deep: bool,
    open: Vec<Open>,
    brackets: Vec<u8>,
    opaque: Option<(usize, usize)>,
}

/// A tape on the walk over its text.
struct Building<'a> {
    tape: &'a mut Tape,
    bytes: &'a [u8],
}

/// One container that is still open.
#[derive(Debug)]
struct Open {
    node: u32,
    /// Key node or position of the value to come.
    index: u32,
}

impl Tape {
    /// Reads the text; `false` if it is not exactly one JSON value.
    pub(crate) fn parse(&mut self, text: &str) -> bool {
        self.nodes.clear();
        self.open.clear();
        self.opaque = None;
        self.deep = false;
        // Spans are 32 bits wide.
        u32::try_from(text.len()).is_ok_and(|len| len < NONE) && self.document(text.as_bytes())
    }

    fn document(&mut self, bytes: &[u8]) -> bool {
        let mut brackets = std::mem::take(&mut self.brackets);
        let start = json::skip_space(bytes, 0);
        let end = json::walk(bytes, start, &mut brackets, &mut Building { tape: self, bytes });
        self.brackets = brackets;
        end.is_some_and(|end| json::skip_space(bytes, end) == bytes.len())
    }

    fn push(&mut self, kind: Kind, escapes: Escapes, start: usize, end: usize) {
        if self.opaque.is_some() {
            return;
        }
        let (parent, index) = self.open.last().map_or((NONE, 0), |top| (top.node, top.index));
        let after = self.nodes.len() as u32 + 1;
        self.nodes.push(Node { kind, escapes, start: start as u32, end: end as u32, parent, after, index });
    }

    /// Key nodes of an object (none if it is no object).
    pub(crate) fn keys(&self, object: usize) -> impl Iterator<Item = usize> + '_ {
        self.children(object, Kind::Object, 1)
    }

    /// Elements of an array (none if it is no array).
    pub(crate) fn elements(&self, array: usize) -> impl Iterator<Item = usize> + '_ {
        self.children(array, Kind::Array, 0)
    }

    /// Children of a container of this kind; a child's value lies `value` nodes after the child.
    fn children(&self, node: usize, kind: Kind, value: usize) -> impl Iterator<Item = usize> + '_ {
        let end = if self.nodes[node].kind == kind { self.nodes[node].after as usize } else { 0 };
        let mut next = node + 1;
        std::iter::from_fn(move || {
            let at = next;
            if at >= end {
                return None;
            }
            next = self.nodes[at + value].after as usize;
            Some(at)
        })
    }

    /// The value of a member, the last one if there are several. Looks at the first 64 members only, so that asking
    /// for each of a million members stays cheap.
    pub(crate) fn member(&self, text: &str, object: usize, name: &str) -> Option<usize> {
        self.keys(object).take(64).filter(|&key| self.nodes[key].inner(text) == name).last().map(|key| key + 1)
    }

    /// The key of the member that a value (or a key) belongs to, or of the array that holds it.
    pub(crate) fn key_of(&self, node: usize) -> Option<usize> {
        let mut node = self.nodes[node];
        loop {
            let parent = *self.nodes.get(node.parent as usize)?;
            if parent.kind == Kind::Object {
                return Some(node.index as usize);
            }
            node = parent;
        }
    }

    /// Writes the RFC 6901 pointer of a node; of a key, that of its value. At most `limit` bytes of it, or one step more.
    pub(crate) fn pointer(&self, text: &str, node: usize, limit: usize, out: &mut String) {
        let at = if self.nodes[node].kind == Kind::Key { node + 1 } else { node };
        // From the inside out, no deeper than the walk went.
        let mut steps = [0u32; MAX_DEPTH + 1];
        let mut depth = 0;
        let mut step = self.nodes[at];
        while let Some(parent) = self.nodes.get(step.parent as usize)
            && depth < steps.len()
        {
            // The index, and in the lowest bit whether it is a key's.
            steps[depth] = step.index << 1 | u32::from(parent.kind == Kind::Object);
            depth += 1;
            step = *parent;
        }
        for step in steps[..depth].iter().rev() {
            out.push('/');
            let index = step >> 1;
            if step & 1 == 1 {
                let key = self.nodes[index as usize];
                let key = match key.escapes {
                    Escapes::No => Cow::Borrowed(key.inner(text)),
                    _ => json::unescape(key.raw(text)),
                };
                for ch in key.chars() {
                    match ch {
                        _ if out.len() >= limit => break,
                        '~' => out.push_str("~0"),
                        '/' => out.push_str("~1"),
                        _ => out.push(ch),
                    }
                }
            } else {
                // Writing to a String does not fail.
                let _ = write!(out, "{index}");
            }
            if out.len() >= limit {
                break;
            }
        }
    }
}

impl json::Visitor for Building<'_> {
    fn scalar(&mut self, start: usize, end: usize, escapes: Escapes) {
        let kind = match self.bytes[start] {
            b'"' => Kind::String,
            b'-' | b'0'..=b'9' => Kind::Number,
            _ => Kind::Literal,
        };
        self.tape.push(kind, escapes, start, end);
    }

    fn key(&mut self, start: usize, end: usize, escapes: Escapes) {
        let node = self.tape.nodes.len() as u32;
        self.tape.push(Kind::Key, escapes, start, end);
        if let Some(top) = self.tape.open.last_mut() {
            top.index = node;
        }
    }

    fn next(&mut self) {
        if let Some(top) = self.tape.open.last_mut() {
            top.index += 1;
        }
    }

    fn enter(&mut self, at: usize) {
        let tape = &mut *self.tape;
        let node = tape.nodes.len();
        let object = self.bytes[at] == b'{';
        if tape.opaque.is_none() && tape.open.len() >= MAX_DEPTH {
            tape.push(Kind::Opaque, Escapes::No, at, at);
            tape.opaque = Some((tape.open.len(), node));
            tape.deep = true;
        } else {
            tape.push(if object { Kind::Object } else { Kind::Array }, Escapes::No, at, at);
        }
        tape.open.push(Open { node: node as u32, index: 0 });
    }

    fn leave(&mut self, end: usize) {
        let tape = &mut *self.tape;
        let Some(top) = tape.open.pop() else { return };
        let node = match tape.opaque {
            Some((depth, node)) if depth == tape.open.len() => {
                tape.opaque = None;
                node
            }
            Some(_) => return,
            None => top.node as usize,
        };
        let after = tape.nodes.len() as u32;
        tape.nodes[node].end = end as u32;
        tape.nodes[node].after = after;
    }
}

/// Index of the first backslash at or after `at`.
fn backslash(bytes: &[u8], mut at: usize) -> Option<usize> {
    for chunk in bytes.get(at..)?.chunks_exact(8).take(8) {
        let stops = zeros(u64::from_le_bytes(chunk.try_into().ok()?) ^ (ONES * b'\\' as u64));
        if stops != 0 {
            return Some(at + stops.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    memchr::memchr(b'\\', &bytes[at..]).map(|found| at + found)
}

/// Decodes the inside of a string onto `out`; returns whether a lone surrogate was replaced.
pub(crate) fn decode(inner: &str, escapes: Escapes, out: &mut String) -> bool {
    if escapes == Escapes::Other {
        return json::unescape_into(inner, out);
    }
    out.reserve(inner.len());
    let bytes = inner.as_bytes();
    let mut from = 0;
    let mut at = 0;
    while at < bytes.len() {
        match backslash(bytes, at) {
            Some(found) => at = found,
            None => break,
        }
        out.push_str(&inner[from..at]);
        let Some(code) = bytes.get(at + 1) else { break };
        match code {
            b'n' => out.push('\n'),
            b't' => out.push('\t'),
            b'r' => out.push('\r'),
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            _ => out.push(*code as char),
        }
        at += 2;
        from = at;
    }
    out.push_str(inner.get(from..).unwrap_or_default());
    false
}
