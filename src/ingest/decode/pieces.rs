//! A chunk's records and their text.

use crate::call::Position;
use crate::source::frame::Chunk;
use crate::source::frame::parts::{Joiner, Parts, Step, goes_on};
use std::borrow::Cow;

/// A record in a chunk.
pub(in crate::ingest) struct Piece {
    pub(super) start: usize,
    pub(super) end: usize,
    /// Line ends of the chunk before it.
    line: i64,
    /// A line that a container runtime cut; lines of others may stand between its own.
    pub(super) parts: Option<Box<Parts>>,
}

impl Piece {
    fn new(start: usize, end: usize, line: i64) -> Self {
        Self { start, end, line, parts: None }
    }

    fn of_parts(parts: Parts) -> Self {
        Self { start: parts.start(), end: parts.end(), line: parts.line, parts: Some(Box::new(parts)) }
    }

    /// Where it stands; its line counts from the start of the chunk.
    pub(in crate::ingest) fn position(&self, chunk: &Chunk) -> Position {
        let bytes = &chunk.bytes[self.start..self.end];
        // Without the line end, which a file that is still being written may not have yet.
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let length = bytes.strip_suffix(b"\r").unwrap_or(bytes).len();
        Position { line: self.line, offset: (chunk.offset + self.start as u64) as i64, length: length as i64 }
    }

    /// Its text, and whether bytes of it had to be replaced. `valid`: the chunk, if all of it is UTF-8.
    pub(in crate::ingest) fn text<'a>(&self, chunk: &'a Chunk, valid: Option<&'a str>) -> (Cow<'a, str>, bool) {
        if let Some(parts) = &self.parts {
            let (bytes, lost) = parts.text(&chunk.bytes);
            let (text, lossy) = text_of(&bytes);
            return (Cow::Owned(text.into_owned()), lossy || lost);
        }
        match valid.and_then(|text| text.get(self.start..self.end)) {
            Some(text) => (Cow::Borrowed(bare(text)), false),
            None => text_of(&chunk.bytes[self.start..self.end]),
        }
    }

    /// The lines of its parts as records of their own.
    pub(super) fn apart(&self, chunk: &Chunk) -> Vec<Self> {
        let before = |start| memchr::memchr_iter(b'\n', &chunk.bytes[self.start..start]).count() as i64;
        let lines = self.parts.iter().flat_map(|parts| &parts.lines);
        lines.map(|&(start, end)| Self::new(start, end, self.line + before(start))).collect()
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> u64 {
        let length = |&(start, end): &(usize, usize)| (end - start) as u64;
        self.parts.as_ref().map_or((self.end - self.start) as u64, |parts| parts.lines.iter().map(length).sum())
    }
}

/// The records of a chunk.
pub(in crate::ingest) fn pieces(chunk: &Chunk) -> Vec<Piece> {
    if let Some(records) = &chunk.records {
        let mut line = 0;
        let mut at = 0;
        return records
            .iter()
            .map(|&(start, end)| {
                line += memchr::memchr_iter(b'\n', &chunk.bytes[at..start]).count() as i64;
                let piece = Piece::new(start, end, line);
                line += memchr::memchr_iter(b'\n', &chunk.bytes[start..end]).count() as i64;
                at = end;
                piece
            })
            .collect();
    }
    let mut pieces = Vec::new();
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', &chunk.bytes).map(|at| at + 1) {
        pieces.push(Piece::new(start, end, pieces.len() as i64));
        start = end;
    }
    if start < chunk.bytes.len() {
        pieces.push(Piece::new(start, chunk.bytes.len(), pieces.len() as i64));
    }
    if pieces.iter().any(|piece| goes_on(&chunk.bytes[piece.start..piece.end])) {
        return joined(&chunk.bytes, pieces);
    }
    pieces
}

/// Lines of which some are parts. A whole that was cut stands where its last part stood.
fn joined(bytes: &[u8], lines: Vec<Piece>) -> Vec<Piece> {
    let (mut joiner, mut given_up, mut pieces) = (Joiner::default(), Vec::new(), Vec::new());
    for line in lines {
        let step = joiner.line(bytes, (line.start, line.end), line.line, &mut given_up);
        pieces.extend(given_up.drain(..).map(Piece::of_parts));
        match step {
            Step::Alone => pieces.push(line),
            Step::Kept => {}
            Step::Ends(parts) => pieces.push(Piece::of_parts(parts)),
        }
    }
    pieces.extend(joiner.rest().map(Piece::of_parts));
    pieces
}

/// The text of a record, and whether bytes of it had to be replaced.
fn text_of(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    match String::from_utf8_lossy(bytes) {
        Cow::Borrowed(text) => (Cow::Borrowed(bare(text)), false),
        Cow::Owned(text) => (Cow::Owned(bare(&text).to_owned()), true),
    }
}

/// A record without what stands around it: white space, the comma of an array element, a byte-order mark, also where files were joined, and the
/// zeros of a file that was cut off under a writer.
fn bare(text: &str) -> &str {
    let text = text.trim_ascii();
    let text = match text.as_bytes().first() {
        Some(0 | 0xef) => text.trim_start_matches(['\0', '\u{feff}']).trim_ascii_start(),
        _ => text,
    };
    match text {
        // One element a line of an array that spans the file.
        "[" | "]" | "]," => "",
        _ => text.strip_suffix(',').filter(|text| text.starts_with('{') && text.ends_with('}')).unwrap_or(text),
    }
}
