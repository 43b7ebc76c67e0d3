//! Bytes → chunks of whole records, with positions in the decompressed stream.
//!
//! [`Framer`] reads a stream once and hands out [`Chunk`]s that are cut at record ends, so that chunks can be decoded in
//! parallel. Lines are the usual record. A file that starts with a JSON value over several lines (pretty-printed exports,
//! arrays of records) is framed by JSON values instead, one that starts with the head of a table by rows of CSV, and one that
//! starts with an event stream of a model's API by responses.

pub mod csv;
pub mod events;
pub mod parts;

use super::json;
use std::io::{self, Read};

/// Largest record that is read; longer ones become rejects. Real ones reach 1 MB. (Fuzz targets see small inputs only, which
/// must meet both limits.)
pub const MAX_RECORD: usize = if cfg!(fuzzing) { 8 << 10 } else { 64 << 20 };
/// Bytes of one chunk, if records allow it.
const CHUNK: usize = if cfg!(fuzzing) { 128 } else { 1 << 20 };
/// Bytes asked for at first.
const FIRST_READ: usize = 64 << 10;
/// Buffers that wait to be filled again.
const MAX_SPARE: usize = 8;

/// Bytes before a place by which it is found again in a file that has grown.
pub const TAIL: usize = 4096;

/// How a stream is cut into records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Framing {
    /// One record a line.
    Lines,
    /// JSON values one after the other, white space and commas between them, perhaps in one outer array.
    Documents,
    /// Lines, but one with a quote open goes on in the next.
    Rows,
    /// Lines of event streams, those of one response together.
    Streams,
}

/// A run of whole records.
#[derive(Debug)]
pub struct Chunk {
    pub bytes: Vec<u8>,
    /// Offset of the first byte in the stream.
    pub offset: u64,
    /// Records as (start, end), unless they are lines; bytes between them are separators.
    pub records: Records,
    /// The chunk is a piece that is no record: its reason. `bytes` are its first bytes, `length` its full length.
    pub refused: Option<(&'static str, u64)>,
    /// The stream ended inside the last record of the chunk (no line end, unclosed value).
    pub ends_open: bool,
    /// BLAKE3 of the stream up to the end of this chunk.
    pub digest: blake3::Hash,
}

impl Chunk {
    /// Bytes of the stream that the chunk stands for.
    pub fn length(&self) -> u64 {
        self.refused.map_or(self.bytes.len() as u64, |(_, length)| length)
    }
}

/// Cuts one stream into chunks.
pub struct Framer<R> {
    reader: R,
    framing: Framing,
    /// What was read and not yet handed out stands in its first `filled` bytes.
    rest: Vec<u8>,
    filled: usize,
    /// Buffers of chunks that are done with: fresh ones would have to be cleared, and their pages given by the kernel.
    spare: Vec<Vec<u8>>,
    offset: u64,
    ended: bool,
    digest: blake3::Hasher,
    /// An unfinished last record is not handed out: its end is still to come.
    waits: bool,
    /// The last bytes that were handed out.
    tail: Vec<u8>,
    /// Where the last record starts that was handed out unfinished.
    before_open: Option<Box<Place>>,
    /// Why the stream ended early.
    failed: Option<io::Error>,
}

/// Where a stream was left, to go on from there.
#[derive(Clone, Debug)]
pub struct Place {
    /// Bytes of finished records, which were handed out.
    pub offset: u64,
    /// Digest over them.
    pub digest: blake3::Hasher,
    /// Whether more was there: a record that is not finished.
    pub is_unfinished: bool,
    /// The last of them, at most [`TAIL`].
    pub tail: Vec<u8>,
}

impl<R: Read> Framer<R> {
    /// Reads the head of a stream and decides how to cut it. `offset` is where the reader stands in the stream; a
    /// `known` framing is kept (a file read on after it grew).
    ///
    /// # Errors
    /// The stream cannot be read.
    pub fn new(mut reader: R, offset: u64, digest: blake3::Hasher, known: Option<Framing>) -> io::Result<Self> {
        let mut rest = Vec::with_capacity(CHUNK + (CHUNK >> 2));
        let mut filled = 0;
        // A stream that breaks off in its first chunk still has its first records.
        let (ended, failed) = match fill(&mut reader, &mut rest, &mut filled, CHUNK) {
            Ok(ended) => (ended, None),
            Err(error) => (true, Some(error)),
        };
        let framing = known.unwrap_or_else(|| framing_of(&rest[..filled], ended));
        let (spare, tail, waits, before_open) = (Vec::new(), Vec::new(), false, None);
        let mut framer =
            Self { reader, framing, rest, filled, spare, offset, ended, digest, waits, tail, before_open, failed };
        // What a stream is shows in its first record, however long that is.
        while known.is_none() && !framer.ended && framer.filled <= MAX_RECORD && framer.whole_records().is_none() {
            framer.failed = framer.fill_up_to((2 * framer.filled).min(MAX_RECORD + 1)).err();
        }
        Ok(framer)
    }

    /// Leaves an unfinished last record for a later reader, unless it is too long for one.
    pub fn wait_for_ends(&mut self) {
        self.waits = true;
    }

    /// Where the next record starts; with `before_open`, where the one starts that was handed out unfinished.
    pub fn place(&self, before_open: bool) -> Place {
        match self.before_open.as_deref().filter(|_| before_open) {
            Some(place) => place.clone(),
            None => Place {
                offset: self.offset,
                digest: self.digest.clone(),
                is_unfinished: self.filled > 0,
                tail: self.tail.clone(),
            },
        }
    }

    /// How the stream is cut.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// The names of a table's columns, at the start of a stream of rows.
    pub fn table(&self) -> Option<csv::Head> {
        let first = self.head().split(|byte| *byte == b'\n').next().filter(|_| self.framing == Framing::Rows)?;
        csv::Head::of(std::str::from_utf8(first).ok()?)
    }

    /// The first bytes, for detection.
    pub fn head(&self) -> &[u8] {
        &self.rest[..self.filled]
    }

    /// Whether the head ends within the first record: that is longer than what was read, or its end is still to come.
    pub fn is_within_first(&self) -> bool {
        self.whole_records().is_none()
    }

    /// Takes back the buffer of a chunk.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < MAX_SPARE && (CHUNK / 2..4 * CHUNK).contains(&buffer.capacity()) {
            self.spare.push(buffer);
        }
    }

    /// The next chunk; `None` at the end.
    ///
    /// # Errors
    /// The stream cannot be read on (a damaged compressed file, say). What was read before has been handed out.
    pub fn next_chunk(&mut self) -> io::Result<Option<Chunk>> {
        loop {
            if self.ended && self.filled == 0 {
                return self.failed.take().map_or(Ok(None), Err);
            }
            if let Some((end, records)) = self.whole_records() {
                return Ok(Some(self.take(end, records, false)));
            }
            if self.ended && self.waits && self.filled <= MAX_RECORD {
                return self.failed.take().map_or(Ok(None), Err);
            }
            // Before the end is looked at: where that falls into the reads must not decide.
            let blank = || self.head().iter().take_while(|byte| is_separator(**byte)).count();
            if self.filled > MAX_RECORD {
                return Ok(Some(match (self.framing, blank()) {
                    (Framing::Documents, blank @ 1..) => self.take(blank, Some(Vec::new()), false),
                    _ => self.skip_record()?,
                }));
            }
            if self.ended {
                let open = self.filled;
                // White space in front is no part of the record, just as where a chunk ended behind it.
                let start = blank();
                let records = match self.framing {
                    Framing::Lines => None,
                    Framing::Documents => Some(vec![(start, open)]),
                    Framing::Rows | Framing::Streams => Some(vec![(0, open)]),
                };
                return Ok(Some(self.take(open, records, true)));
            }
            self.failed = self.fill_more().err();
        }
    }

    /// Where whole records end, and where they stand unless they are lines. `None`: more is needed.
    fn whole_records(&self) -> Option<(usize, Records)> {
        let (end, records) = match self.framing {
            Framing::Lines => (self.lines()?, None),
            Framing::Documents => documents(self.head(), self.ended && !self.waits)?,
            Framing::Rows => csv::rows(self.head())?,
            Framing::Streams => events::streams(self.head())?,
        };
        if end <= MAX_RECORD {
            return Some((end, records));
        }
        // How much has been read by now must not decide whether a record is too long.
        match records {
            None => {
                let lines = self.rest[..end].split_inclusive(|byte| *byte == b'\n');
                let fit = lines.map(<[u8]>::len).take_while(|length| *length <= MAX_RECORD).sum();
                (fit > 0).then_some((fit, None))
            }
            Some(mut records) => {
                let fit = records.iter().take_while(|(start, end)| end - start <= MAX_RECORD).count();
                if fit == records.len() {
                    return Some((end, Some(records)));
                }
                records.truncate(fit);
                Some((records.last()?.1, Some(records)))
            }
        }
    }

    /// Where whole lines end, parts of a line kept together. `None`: more is needed.
    fn lines(&self) -> Option<usize> {
        let end = memchr::memrchr(b'\n', self.head())? + 1;
        match parts::unfinished(&self.rest[..end]) {
            // Nobody waits for the rest of a line for ever.
            Some(_) if self.filled > MAX_RECORD => Some(end),
            // What is read once more when it has grown must be nothing else.
            Some(open) if self.ended && !self.waits && !open.is_alone => Some(end),
            Some(open) => (open.start > 0).then_some(open.start),
            None => Some(end),
        }
    }

    fn fill_more(&mut self) -> io::Result<()> {
        self.fill_up_to(self.filled + CHUNK)
    }

    fn fill_up_to(&mut self, want: usize) -> io::Result<()> {
        match fill(&mut self.reader, &mut self.rest, &mut self.filled, want) {
            Ok(ended) => {
                self.ended = ended;
                Ok(())
            }
            Err(error) => {
                self.ended = true;
                Err(error)
            }
        }
    }

    fn take(&mut self, end: usize, records: Records, ends_open: bool) -> Chunk {
        let left = self.filled - end;
        let mut rest = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(CHUNK + (CHUNK >> 2)));
        rest.resize(rest.len().max(left), 0);
        rest[..left].copy_from_slice(&self.rest[end..self.filled]);
        let mut bytes = std::mem::replace(&mut self.rest, rest);
        self.filled = left;
        bytes.truncate(end);
        if ends_open {
            self.before_open = Some(Box::new(Place { is_unfinished: true, ..self.place(false) }));
        }
        self.digest.update(&bytes);
        keep_tail(&mut self.tail, &bytes);
        let digest = self.digest.finalize();
        let chunk = Chunk { bytes, offset: self.offset, records, refused: None, ends_open, digest };
        self.offset += end as u64;
        if !self.ended && self.filled < CHUNK / 2 {
            // A read error surfaces once what was read before it has been handed out.
            self.failed = self.fill_more().err();
        }
        chunk
    }

    /// Gives up on a record that is too long: passes over it without keeping it.
    fn skip_record(&mut self) -> io::Result<Chunk> {
        let mut head = self.head()[..4096.min(self.filled)].to_vec();
        let mut length = 0;
        loop {
            if let Some(at) = memchr::memchr(b'\n', self.head()) {
                length += at as u64 + 1;
                self.digest.update(&self.rest[..=at]);
                keep_tail(&mut self.tail, &self.rest[..=at]);
                self.rest.copy_within(at + 1..self.filled, 0);
                self.filled -= at + 1;
                break;
            }
            length += self.filled as u64;
            self.digest.update(&self.rest[..self.filled]);
            keep_tail(&mut self.tail, &self.rest[..self.filled]);
            self.filled = 0;
            if self.ended {
                break;
            }
            self.failed = self.fill_more().err();
        }
        // A document is given up line by line, and what follows the line is not refused yet.
        head.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        let chunk = Chunk {
            bytes: head,
            offset: self.offset,
            records: None,
            refused: Some(("record longer than 64 MiB", length)),
            ends_open: false,
            digest: self.digest.finalize(),
        };
        self.offset += length;
        Ok(chunk)
    }
}

/// Adds bytes to the last ones of a stream.
pub fn keep_tail(tail: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = &bytes[bytes.len().saturating_sub(TAIL)..];
    tail.drain(..(tail.len() + bytes.len()).saturating_sub(TAIL));
    tail.extend_from_slice(bytes);
}

/// Reads until `want` bytes of `rest` are filled or the stream ends; says whether it ended.
fn fill(reader: &mut impl Read, rest: &mut Vec<u8>, filled: &mut usize, want: usize) -> io::Result<bool> {
    while *filled < want {
        if *filled == rest.len() {
            // In steps, so that a small file does not pay for a large buffer.
            rest.resize(want.min(FIRST_READ.max(2 * rest.len())), 0);
        }
        let end = want.min(rest.len());
        match reader.read(&mut rest[*filled..end]) {
            Ok(0) => return Ok(true),
            Ok(read) => *filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Lines, unless the first JSON value of the head spans several of them or they are a table.
fn framing_of(head: &[u8], whole: bool) -> Framing {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let start = json::skip_space(head, 0);
    if !matches!(head.get(start), Some(b'{' | b'[')) {
        return match () {
            () if csv::begins(head) => Framing::Rows,
            () if events::begin(head) => Framing::Streams,
            () => Framing::Lines,
        };
    }
    let Some(line_end) = memchr::memchr(b'\n', &head[start..]).map(|at| start + at) else {
        // A long array of records on one line is no record, which would have a largest length.
        let is_array = head[start] == b'[' && head.get(json::skip_space(head, start + 1)) == Some(&b'{');
        return if is_array && !whole { Framing::Documents } else { Framing::Lines };
    };
    let value_end = json::skip_value(head, start);
    if value_end <= line_end {
        return if events::begin(&head[start..]) { Framing::Streams } else { Framing::Lines };
    }
    if value_end == head.len() && whole && !matches!(head[head.len() - 1], b'}' | b']' | b'\n') {
        // Never closed: a log whose first line is cut, not a document.
        return Framing::Lines;
    }
    // A raw line end inside a string is no JSON: the first line is a broken record of a line log.
    let first_line = &head[start..line_end];
    if ends_inside_string(first_line) { Framing::Lines } else { Framing::Documents }
}

fn ends_inside_string(line: &[u8]) -> bool {
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'"', &line[at..]) {
        let start = at + found;
        at = json::skip_string(line, start);
        if at >= line.len() {
            return line.len() == start + 1 || line[line.len() - 1] != b'"' || line[line.len() - 2] == b'\\';
        }
    }
    false
}

/// Where records start and end, unless lines say so.
pub(crate) type Records = Option<Vec<(usize, usize)>>;

/// What may stand between documents.
fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b',' | b'[' | b']')
}

/// The records of the head of a stream, unless they are its lines.
pub(crate) fn records_of(head: &[u8], framing: Framing) -> Records {
    match framing {
        Framing::Lines => None,
        Framing::Documents => documents(head, true).and_then(|(_, records)| records),
        Framing::Rows => csv::rows(head).and_then(|(_, records)| records),
        Framing::Streams => {
            Some(events::streams(head).and_then(|(_, records)| records).unwrap_or_else(|| vec![(0, head.len())]))
        }
    }
}

/// The whole JSON values at the start of `bytes`, and where they end. Elements of an outer array are values of their own.
fn documents(bytes: &[u8], ended: bool) -> Option<(usize, Records)> {
    let mut found = Vec::new();
    let mut end = 0;
    let mut at = 0;
    loop {
        // White space, commas and the brackets of an outer array stand between records.
        at += bytes[at..].iter().take_while(|byte| is_separator(**byte)).count();
        if at >= bytes.len() {
            return (ended || end > 0 || at > 0).then_some((at, Some(found)));
        }
        let value_end = match bytes[at] {
            b'{' => json::skip_value(bytes, at),
            // Anything else up to the end of the line is one record, which will be rejected.
            _ => memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |n| at + n + 1),
        };
        let closed =
            value_end < bytes.len() || (bytes[at] == b'{' && bytes[bytes.len() - 1] == b'}' && balanced(&bytes[at..]));
        if !closed {
            return (end > 0).then_some((end, Some(found)));
        }
        found.push((at, value_end));
        at = value_end;
        end = value_end;
    }
}

fn balanced(value: &[u8]) -> bool {
    let (mut depth, mut at) = (0usize, 0);
    while at < value.len() {
        match value[at] {
            b'"' => {
                at = json::skip_string(value, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    depth == 0
}

#[cfg(test)]
mod tests;
