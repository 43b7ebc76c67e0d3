//! One payload from the text as logged to what is stored of it: scan, redact, hash, cap.
//!
//! Most payloads hold no secret: they are scanned once and stored as they are. One that does is scanned to learn the
//! values, rewritten, and scanned again, so that nothing derived from it can hold a secret either.

use super::binary;
use super::canonical::{Canonical, escaped};
use super::finds::Finds;
use super::redact::{self, MAX_NESTED, Needles};
use super::scan::{Look, Scanner};
use super::secret::named::{self, Named};
use super::secret::{Fingerprint, Secret};
use super::walk::{self, Kind, Tape};
use super::{cap, marker::phrases};
use crate::call::{Bits, Flag, Marker, Observable, Text};
use crate::source::json::{self, Escapes};
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;

/// What a payload turned into.
#[derive(Debug, Default)]
pub(crate) struct Payload {
    /// What is stored.
    pub(crate) text: String,
    pub(crate) is_json: bool,
    pub(crate) capped: bool,
    /// Hash of the canonical form of what is stored, before any cut.
    pub(crate) hash: [u8; 32],
    /// The same, with the types of secrets only.
    pub(crate) identity: [u8; 32],
    pub(crate) observables: Vec<Observable>,
    pub(crate) markers: Vec<Marker>,
    pub(crate) flags: Bits,
    pub(crate) secrets: Vec<Secret>,
    /// Types of the content blocks, if it is a result that has them.
    pub(crate) content_types: Vec<Text>,
}

/// What to do with a payload.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) fingerprint: &'a Fingerprint,
    pub(crate) keep_secrets: bool,
    pub(crate) limit: usize,
    pub(crate) origin: &'a str,
    pub(crate) in_arguments: bool,
    /// Whether the text may be JSON.
    pub(crate) maybe_json: bool,
}

/// Memory that is used again for every payload of a thread.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    finds: Finds,
    tape: Tape,
    nested: Vec<Tape>,
    decoded: Vec<String>,
    bytes: Vec<u8>,
    stems: Vec<usize>,
    keys: Vec<u32>,
    pointer: String,
}

/// Buffers that one huge payload has grown beyond this are given back.
const KEEP: usize = 4 << 20;

impl Scratch {
    /// Processes one payload.
    pub(crate) fn process(&mut self, text: String, job: Job<'_>) -> Payload {
        let mut tape = std::mem::take(&mut self.tape);
        let mut out = Payload { is_json: job.maybe_json && tape.parse(&text), ..Payload::default() };
        self.scan(&text, out.is_json.then_some(&tape), Look::All, job.origin, &mut out.flags);
        out.secrets = std::mem::take(&mut self.finds.secrets);
        let binary = self.finds.binary;
        if out.secrets.is_empty() && !binary {
            self.observables(&text, out.is_json.then_some(&tape), job.in_arguments, &mut out);
            out.text = text;
            out.hash = self.hash(&out.text, out.is_json.then_some(&tape), &mut out.flags);
            out.identity = out.hash;
        } else {
            self.redact(text, &mut tape, binary, job, &mut out);
        }
        if out.is_json {
            content_types(&out.text, &tape, &mut out.content_types);
        }
        if out.text.len() > job.limit {
            out.text =
                if out.is_json { cap::json(&out.text, &tape, job.limit) } else { cap::plain(&out.text, job.limit) };
            out.capped = true;
            out.flags.add(Flag::PayloadCapped as u32);
        }
        self.tape = tape;
        self.shrink();
        out
    }

    /// The rare way: something has to be replaced. Leaves the tape of the stored text in `tape`.
    fn redact(&mut self, text: String, tape: &mut Tape, binary: bool, job: Job<'_>, out: &mut Payload) {
        let rewrite = |needles: &Needles| match out.is_json {
            true => redact::json(&text, tape, needles, binary, 0),
            false => redact::string(&text, needles, binary, MAX_NESTED).unwrap_or_else(|| text.clone()),
        };
        let clean = rewrite(&Needles::new(&out.secrets, |s| job.fingerprint.literal(s.kind, &s.value)));
        let typed = match out.secrets.is_empty() {
            true => None,
            false => Some(rewrite(&Needles::new(&out.secrets, |s| format!("[secret:{}]", s.kind)))),
        };
        let stored = match (job.keep_secrets, binary) {
            (false, _) => None,
            (true, true) => Some(rewrite(&Needles::new(&[], |_| String::new()))),
            (true, false) => Some(text.clone()),
        };
        if binary {
            out.flags.add(Flag::BinaryHashed as u32);
        }
        if !out.secrets.is_empty() && !job.keep_secrets {
            out.flags.add(Flag::SecretRedacted as u32);
        }
        // Observables, markers and paths come from the clean text whatever is stored.
        let clean = self.parsed(clean, tape, out);
        self.finds.clear();
        self.scan(&clean, out.is_json.then_some(&*tape), Look::Clean, job.origin, &mut out.flags);
        self.observables(&clean, out.is_json.then_some(&*tape), job.in_arguments, out);
        if let Some(typed) = typed {
            let typed = self.parsed(typed, tape, out);
            out.identity = self.hash(&typed, out.is_json.then_some(&*tape), &mut Bits::default());
        }
        out.text = self.parsed(stored.unwrap_or(clean), tape, out);
        out.hash = self.hash(&out.text, out.is_json.then_some(&*tape), &mut out.flags);
        if out.secrets.is_empty() {
            out.identity = out.hash;
        }
    }

    /// Reads rewritten text again. Should a rewrite ever break JSON, the text is kept as one JSON string.
    fn parsed(&self, text: String, tape: &mut Tape, out: &Payload) -> String {
        if !out.is_json || tape.parse(&text) {
            return text;
        }
        debug_assert!(false, "redaction broke JSON");
        let text = format!("\"{}\"", escaped(&text));
        tape.parse(&text);
        text
    }

    fn scan(&mut self, text: &str, tape: Option<&Tape>, look: Look, origin: &str, flags: &mut Bits) {
        self.finds.clear();
        let mut stems = std::mem::take(&mut self.stems);
        phrases::stems(text, &mut self.bytes, &mut stems);
        match tape {
            None => Scanner::new(text, &mut self.finds, look, origin, 0).run(!stems.is_empty()),
            Some(tape) => {
                let phrases = false;
                let mut walk = Walk { scratch: self, look, origin, phrases, lone_surrogate: false, deep: false };
                walk.tape(text, tape, None, &stems, 0);
                let (lone, deep) = (walk.lone_surrogate, walk.deep);
                flags.0 |= u32::from(lone) << Flag::LoneSurrogate as u32 | u32::from(deep) << Flag::DeepNesting as u32;
            }
        }
        self.stems = stems;
    }

    fn observables(&mut self, text: &str, tape: Option<&Tape>, in_arguments: bool, out: &mut Payload) {
        let mut last: (u32, Text) = (u32::MAX, Text::default());
        out.observables.reserve_exact(self.finds.observables.len());
        for found in self.finds.observables.drain(..) {
            if found.node != last.0 {
                self.pointer.clear();
                if let Some(tape) = tape {
                    tape.pointer(text, found.node as usize, super::observable::MAX_VALUE, &mut self.pointer);
                }
                last = (found.node, Text::from(self.pointer.as_str()));
            }
            let kind = Text::const_new(found.kind);
            out.observables.push(Observable { in_arguments, kind, value: found.value, path: last.1.clone() });
        }
        if self.finds.observables_capped {
            out.flags.add(Flag::ObservablesCapped as u32);
        }
        out.markers.append(&mut self.finds.markers);
    }

    fn hash(&mut self, text: &str, tape: Option<&Tape>, flags: &mut Bits) -> [u8; 32] {
        let Some(tape) = tape else { return Sha256::digest(text).into() };
        self.bytes.clear();
        if Canonical::write(text, tape, &mut self.bytes, &mut self.keys) {
            flags.add(Flag::DuplicateKey as u32);
        }
        Sha256::digest(&self.bytes).into()
    }

    fn shrink(&mut self) {
        if self.bytes.capacity() > KEEP {
            self.bytes = Vec::new();
        }
        if self.tape.nodes.capacity() > KEEP / 32 {
            self.tape = Tape::default();
        }
        self.nested.retain(|tape| tape.nodes.capacity() <= KEEP / 32);
        self.decoded.retain(|text| text.capacity() <= KEEP);
    }
}

/// The walk over the strings of one JSON text, and of JSON inside them.
struct Walk<'a, 'o> {
    scratch: &'a mut Scratch,
    look: Look,
    origin: &'o str,
    phrases: bool,
    lone_surrogate: bool,
    deep: bool,
}

impl Walk<'_, '_> {
    /// Scans every string; finds belong to `outer`, if this JSON stands in a string itself. `stems` are the places in
    /// the text at which a phrase is possible.
    fn tape(&mut self, text: &str, tape: &Tape, outer: Option<u32>, mut stems: &[usize], depth: usize) {
        self.deep |= tape.deep;
        for (i, node) in tape.nodes.iter().enumerate() {
            let found_in = outer.unwrap_or(i as u32);
            let markers = self.scratch.finds.markers.len();
            match node.kind {
                Kind::Key => {
                    // Names are short words nearly always.
                    let inner = node.inner(text);
                    if inner.len() >= 16 || inner.bytes().any(|b| !b.is_ascii_alphanumeric() && b != b'_') {
                        self.string(inner, node.escapes, found_in, (None, false), MAX_NESTED);
                    }
                }
                Kind::String => {
                    let inner = node.inner(text);
                    if inner.is_empty() {
                        continue;
                    }
                    if binary::is_blob(text, tape, i) {
                        self.scratch.finds.binary = true;
                        continue;
                    }
                    if outer.is_none() {
                        stems = &stems[stems.iter().take_while(|at| **at < node.start as usize).count()..];
                        // Other scripts may stand there as escapes, which the stems do not match.
                        self.phrases =
                            node.escapes == Escapes::Other || stems.first().is_some_and(|at| *at < node.end as usize);
                    }
                    let hint = hint(text, tape, i);
                    self.string(inner, node.escapes, found_in, hint, depth);
                }
                Kind::Number if self.look == Look::All && node.end - node.start >= 6 => {
                    let raw = node.raw(text);
                    if let Some(promise) = hint(text, tape, i).0.filter(|promise| promise.any) {
                        self.scratch.finds.named_value(promise, raw);
                    }
                }
                Kind::Opaque => {
                    Scanner::new(node.raw(text), &mut self.scratch.finds, self.look, self.origin, found_in).run(true)
                }
                _ => {}
            }
            // What stands in JSON inside a string has its position in that string.
            for marker in self.scratch.finds.markers.iter_mut().skip(markers).filter(|_| outer.is_some()) {
                let quoted = matches!(node.kind, Kind::String | Kind::Key);
                let inner = if quoted {
                    raw_position(node.inner(text), marker.position as usize) + 1
                } else {
                    marker.position as usize
                };
                marker.position = (node.start as usize + inner) as i64;
            }
        }
    }

    /// Scans the inside of one string literal.
    fn string(&mut self, inner: &str, escapes: Escapes, node: u32, hint: (Option<Named>, bool), depth: usize) {
        if escapes > Escapes::No {
            let mut decoded = self.scratch.decoded.pop().unwrap_or_default();
            decoded.clear();
            self.lone_surrogate |= walk::decode(inner, escapes, &mut decoded);
            self.decoded(&decoded, node, hint, depth);
            self.scratch.decoded.push(decoded);
        } else {
            self.decoded(inner, node, hint, depth);
        }
    }

    fn decoded(&mut self, text: &str, node: u32, (promise, names_file): (Option<Named>, bool), depth: usize) {
        if depth < MAX_NESTED && redact::looks_like_json(text) {
            let mut tape = self.scratch.nested.pop().unwrap_or_default();
            let is_json = tape.parse(text);
            if is_json {
                self.tape(text, &tape, Some(node), &[], depth + 1);
            }
            self.scratch.nested.push(tape);
            if is_json {
                return;
            }
        }
        if let Some(promise) = promise.filter(|_| self.look == Look::All) {
            self.scratch.finds.named_value(promise, text);
        }
        let mut scanner = Scanner::new(text, &mut self.scratch.finds, self.look, self.origin, node);
        scanner.names_file = names_file;
        scanner.run(self.phrases);
    }
}

/// What the name of a string (or number) says: a credential's promise, and whether it is a file's name.
fn hint(text: &str, tape: &Tape, at: usize) -> (Option<Named>, bool) {
    let node = tape.nodes[at];
    let Some(key) = tape.key_of(at) else { return (argument(text, tape, at), false) };
    let key = tape.nodes[key];
    let name = if key.escapes == Escapes::No { Cow::Borrowed(key.inner(text)) } else { json::unescape(key.raw(text)) };
    match name.len() {
        5 if matches!(&*name, "value" | "Value") && tape.nodes[node.parent as usize].kind == Kind::Object => {
            // {"name": "API_KEY", "value": "…"}, as lists of variables and headers have it.
            let named_by = ["name", "key", "Name", "Key", "header"]
                .iter()
                .find_map(|n| tape.member(text, node.parent as usize, n));
            let name = named_by
                .filter(|value| tape.nodes[*value].kind == Kind::String)
                .map(|value| json::unescape(tape.nodes[value].raw(text)));
            (name.and_then(|name| named::named(&name)), false)
        }
        3..=9 if is_file_key(&name) => (argument(text, tape, at), true),
        _ => (named::named(&name).or_else(|| argument(text, tape, at)), false),
    }
}

fn is_file_key(name: &str) -> bool {
    matches!(name.as_bytes()[0], b'p' | b'f' | b'd' | b'c')
        && matches!(
            name,
            "path"
                | "file_path"
                | "filepath"
                | "filePath"
                | "file"
                | "filename"
                | "paths"
                | "files"
                | "directory"
                | "dir"
                | "folder"
                | "cwd"
        )
}

/// ["--password", "…"]: an option in an argument list names the element after it.
fn argument(text: &str, tape: &Tape, at: usize) -> Option<Named> {
    let node = tape.nodes[at];
    let parent = tape.nodes.get(node.parent as usize).filter(|parent| parent.kind == Kind::Array && node.index > 0)?;
    debug_assert!(parent.start < node.start);
    let before = tape.nodes[at - 1];
    let option = (before.kind == Kind::String && before.parent == node.parent).then(|| before.inner(text))?;
    option.strip_prefix("--").and_then(named::named)
}

/// Where in the raw inside of a string the decoded byte `position` stands.
fn raw_position(inner: &str, position: usize) -> usize {
    let mut decoded = String::new();
    let (mut at, mut passed) = (0, 0);
    while let Some(slash) = memchr::memchr(b'\\', &inner.as_bytes()[at..]) {
        if passed + slash > position {
            break;
        }
        let start = at + slash;
        passed += slash;
        let unicode = inner.as_bytes().get(start + 1) == Some(&b'u');
        let mut length = if unicode { 6 } else { 2 };
        decoded.clear();
        if unicode && json::unescape_into(&inner[start..start + 6], &mut decoded) {
            decoded.clear();
            if inner.get(start..start + 12).is_some_and(|pair| !json::unescape_into(pair, &mut decoded)) {
                length = 12;
            } else {
                decoded.clear();
                decoded.push(char::REPLACEMENT_CHARACTER);
            }
        } else if !unicode {
            decoded.push(' ');
        }
        if passed + decoded.len() > position {
            return start;
        }
        passed += decoded.len();
        at = start + length;
    }
    at + (position - passed)
}

/// The distinct types of `content[]`, in order.
fn content_types(text: &str, tape: &Tape, out: &mut Vec<Text>) {
    let Some(content) =
        tape.nodes.first().filter(|root| root.kind == Kind::Object).and_then(|_| tape.member(text, 0, "content"))
    else {
        return;
    };
    for block in tape.elements(content).take(1000) {
        if let Some(kind) = tape.member(text, block, "type").and_then(|value| json::string(tape.nodes[value].raw(text)))
            && kind.len() <= 64
            && out.len() < 16
            && !out.iter().any(|seen| *seen == *kind)
        {
            out.push(Text::from(&*kind));
        }
    }
}
