//! One tokenising, validating walk over JSON text: a flat tape of nodes, each a span of the text.
//!
//! Nothing is unescaped and no tree is built. The walk is iterative, so nesting cannot exhaust the stack; what lies
//! deeper than [`MAX_DEPTH`] is validated but becomes one opaque node, so everything after may recurse over the tape.

use crate::source::json;

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

/// What a string has to be decoded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Escapes {
    No,
    /// Only escapes that RFC 8785 writes the same way.
    Canonical,
    Other,
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
    opaque: Option<(usize, usize)>,
}

/// One container that is still open.
#[derive(Debug)]
struct Open {
    node: u32,
    object: bool,
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
        u32::try_from(text.len()).is_ok_and(|len| len < NONE) && self.document(text.as_bytes()).is_some()
    }

    fn document(&mut self, bytes: &[u8]) -> Option<()> {
        let mut at = json::skip_space(bytes, 0);
        loop {
            // A value starts at `at`.
            let mut ended = true;
            match *bytes.get(at)? {
                b'"' => {
                    let (end, escapes) = string_end(bytes, at)?;
                    self.push(Kind::String, escapes, at, end);
                    at = end;
                }
                open @ (b'{' | b'[') => {
                    let object = open == b'{';
                    self.enter(object, at);
                    at = json::skip_space(bytes, at + 1);
                    if bytes.get(at) == Some(if object { &b'}' } else { &b']' }) {
                        at += 1;
                        self.leave(at);
                    } else {
                        if object {
                            at = self.key(bytes, at)?;
                        }
                        ended = false;
                    }
                }
                b'-' | b'0'..=b'9' => {
                    let end = number_end(bytes, at)?;
                    self.push(Kind::Number, Escapes::No, at, end);
                    at = end;
                }
                first => {
                    let word: &[u8] = match first {
                        b't' => b"true",
                        b'f' => b"false",
                        b'n' => b"null",
                        _ => return None,
                    };
                    let end = at + word.len();
                    if bytes.get(at..end)? != word {
                        return None;
                    }
                    self.push(Kind::Literal, Escapes::No, at, end);
                    at = end;
                }
            }
            // Then separators and closing brackets, up to the next value.
            while ended {
                at = json::skip_space(bytes, at);
                let Some(top) = self.open.last_mut() else { return (at == bytes.len()).then_some(()) };
                match (*bytes.get(at)?, top.object) {
                    (b',', true) => {
                        at = json::skip_space(bytes, at + 1);
                        at = self.key(bytes, at)?;
                        ended = false;
                    }
                    (b',', false) => {
                        top.index += 1;
                        at = json::skip_space(bytes, at + 1);
                        ended = false;
                    }
                    (b'}', true) | (b']', false) => {
                        at += 1;
                        self.leave(at);
                    }
                    _ => return None,
                }
            }
        }
    }

    /// Reads a key and its colon; gives the start of the value.
    fn key(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        if bytes.get(at) != Some(&b'"') {
            return None;
        }
        let (end, escapes) = string_end(bytes, at)?;
        let node = self.nodes.len() as u32;
        self.push(Kind::Key, escapes, at, end);
        if let Some(top) = self.open.last_mut() {
            top.index = node;
        }
        let colon = json::skip_space(bytes, end);
        (bytes.get(colon) == Some(&b':')).then(|| json::skip_space(bytes, colon + 1))
    }

    fn push(&mut self, kind: Kind, escapes: Escapes, start: usize, end: usize) {
        if self.opaque.is_some() {
            return;
        }
        let (parent, index) = self.open.last().map_or((NONE, 0), |top| (top.node, top.index));
        let after = self.nodes.len() as u32 + 1;
        self.nodes.push(Node { kind, escapes, start: start as u32, end: end as u32, parent, after, index });
    }

    fn enter(&mut self, object: bool, at: usize) {
        let node = self.nodes.len();
        if self.opaque.is_none() && self.open.len() >= MAX_DEPTH {
            self.push(Kind::Opaque, Escapes::No, at, at);
            self.opaque = Some((self.open.len(), node));
            self.deep = true;
        } else {
            self.push(if object { Kind::Object } else { Kind::Array }, Escapes::No, at, at);
        }
        self.open.push(Open { node: node as u32, object, index: 0 });
    }

    fn leave(&mut self, end: usize) {
        let Some(top) = self.open.pop() else { return };
        let node = match self.opaque {
            Some((depth, node)) if depth == self.open.len() => {
                self.opaque = None;
                node
            }
            Some(_) => return,
            None => top.node as usize,
        };
        let after = self.nodes.len() as u32;
        self.nodes[node].end = end as u32;
        self.nodes[node].after = after;
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

    /// RFC 6901 pointer of a node; of a key, that of its value. At most `limit` bytes of it.
    pub(crate) fn pointer(&self, text: &str, node: usize, limit: usize) -> String {
        let mut steps = Vec::new();
        let mut at = if self.nodes[node].kind == Kind::Key { node + 1 } else { node };
        while let Some(parent) = self.nodes.get(self.nodes[at].parent as usize) {
            steps.push((parent.kind == Kind::Object, self.nodes[at].index));
            at = self.nodes[at].parent as usize;
        }
        let mut out = String::new();
        for (in_object, index) in steps.into_iter().rev() {
            out.push('/');
            if in_object {
                let key = json::unescape(self.nodes[index as usize].raw(text));
                for ch in key.chars() {
                    match ch {
                        _ if out.len() >= limit => break,
                        '~' => out.push_str("~0"),
                        '/' => out.push_str("~1"),
                        _ => out.push(ch),
                    }
                }
            } else {
                out.push_str(&index.to_string());
            }
            if out.len() >= limit {
                break;
            }
        }
        out
    }
}

const ONES: u64 = u64::MAX / 255;

/// Marks (in the high bit of each byte; the lowest mark is exact) the zero bytes of `word`.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & (ONES << 7)
}

/// Index of the first quote, backslash or control character at or after `at`. Strings in JSON are short or full of
/// escapes more often than not, so the next bytes are tested eight at a time before the vector search is set up.
fn string_stop(bytes: &[u8], mut at: usize) -> Option<usize> {
    for chunk in bytes.get(at..)?.chunks_exact(8).take(8) {
        let word = u64::from_le_bytes(chunk.try_into().ok()?);
        let controls = word.wrapping_sub(ONES * 0x20) & !word & (ONES << 7);
        let stops = zeros(word ^ (ONES * b'"' as u64)) | zeros(word ^ (ONES * b'\\' as u64)) | controls;
        if stops != 0 {
            return Some(at + stops.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = &bytes[at..];
    let found = memchr::memchr2(b'"', b'\\', rest)?;
    match rest[..found].iter().fold(false, |bad, &b| bad | (b < 0x20)) {
        true => None,
        false => Some(at + found),
    }
}

/// Index after the string that starts at `at`, and its escapes. `None` if it is not valid.
fn string_end(bytes: &[u8], at: usize) -> Option<(usize, Escapes)> {
    let mut at = at + 1;
    let mut escapes = Escapes::No;
    loop {
        at = string_stop(bytes, at)?;
        match bytes[at] {
            b'"' => return Some((at + 1, escapes)),
            b'\\' => match bytes.get(at + 1)? {
                b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't' => {
                    escapes = escapes.max(Escapes::Canonical);
                    at += 2;
                }
                b'/' => {
                    escapes = Escapes::Other;
                    at += 2;
                }
                b'u' if bytes.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => {
                    escapes = Escapes::Other;
                    at += 6;
                }
                _ => return None,
            },
            _ => return None,
        }
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

/// Index after the number that starts at `at`. `None` if JSON does not allow it.
fn number_end(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = |from: usize| {
        let count = bytes[from.min(bytes.len())..].iter().take_while(|b| b.is_ascii_digit()).count();
        (count > 0).then_some(from + count)
    };
    let first = at + usize::from(bytes[at] == b'-');
    let mut end = digits(first)?;
    if bytes[first] == b'0' && end > first + 1 {
        return None;
    }
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1)?;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        end = digits(end + 1 + sign)?;
    }
    Some(end)
}
