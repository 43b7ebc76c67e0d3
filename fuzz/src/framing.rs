//! Framing: every byte of a stream lies in exactly one chunk, whatever sizes it is read in, where it breaks off, and
//! wherever an earlier run stopped. `frame.rs` cuts into tiny chunks when it is fuzzed.

use crate::source::frame::{Chunk, Framer, Framing};
use std::io::{self, Read};

/// The first bytes choose how the rest is read.
pub fn check(data: &[u8]) {
    let Some((&[sizes, breaks, resume], stream)) = data.split_first_chunk::<3>() else { return };
    let whole = chunks(Steps::new(stream, usize::MAX), 0, blake3::Hasher::new(), None);
    assert!(whole.error.is_none());
    let mut at = 0;
    for chunk in &whole.chunks {
        one(chunk, stream, at, whole.framing);
        at += chunk.length() as usize;
        assert!(!chunk.ends_open || at == stream.len(), "only the last chunk ends open");
    }
    assert_eq!(at, stream.len(), "every byte lies in one chunk");

    let pieces = chunks(Steps::new(stream, usize::from(sizes) + 1), 0, blake3::Hasher::new(), None);
    assert_eq!(whole.framing, pieces.framing);
    assert_eq!(records(&whole.chunks), records(&pieces.chunks), "the sizes of reads change nothing");

    // A stream that breaks off: what came before is handed out, then the error.
    let length = stream.len() * usize::from(breaks) / 255;
    let broken = chunks(Steps { fails: true, ..Steps::new(&stream[..length], 97) }, 0, blake3::Hasher::new(), None);
    assert!(broken.error.is_some());
    assert_eq!(broken.chunks.iter().map(Chunk::length).sum::<u64>(), length as u64);

    // A later run goes on where a chunk ended.
    let Some(stop) = whole.chunks.len().checked_sub(1).map(|last| usize::from(resume) % (last + 1)) else { return };
    let offset = whole.chunks[..stop].iter().map(Chunk::length).sum::<u64>();
    let mut digest = blake3::Hasher::new();
    digest.update(&stream[..offset as usize]);
    let rest = chunks(Steps::new(&stream[offset as usize..], 4096), offset, digest, Some(whole.framing));
    assert_eq!(records(&whole.chunks[stop..]), records(&rest.chunks), "reading on gives the records of reading through");
    assert_eq!(whole.chunks.last().map(|chunk| chunk.digest), rest.chunks.last().map(|chunk| chunk.digest));
}

fn one(chunk: &Chunk, stream: &[u8], at: usize, framing: Framing) {
    assert_eq!(chunk.offset, at as u64, "chunks follow each other");
    assert!(chunk.length() > 0);
    let end = at + chunk.length() as usize;
    assert!(stream[at..end].starts_with(&chunk.bytes), "a chunk has the bytes of the stream");
    let mut digest = blake3::Hasher::new();
    digest.update(&stream[..end]);
    assert_eq!(chunk.digest, digest.finalize());
    if chunk.refused.is_some() {
        return;
    }
    assert_eq!(chunk.bytes.len() as u64, chunk.length());
    assert_eq!(chunk.records.is_some(), framing != Framing::Lines);
    let Some(records) = &chunk.records else {
        assert!(chunk.ends_open || chunk.bytes.ends_with(b"\n"), "a chunk of lines ends with a line");
        return;
    };
    let mut last = 0;
    for &(start, end) in records {
        assert!(last <= start && start < end && end <= chunk.bytes.len());
        let between = &chunk.bytes[last..start];
        assert!(between.iter().all(|byte| b" \n\r\t,[]".contains(byte)), "only separators stand between records");
        last = end;
    }
    assert!(chunk.bytes[last..].iter().all(|byte| b" \n\r\t,[]".contains(byte)));
}

/// Where the records of a stream stand.
fn records(chunks: &[Chunk]) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    for chunk in chunks {
        let base = chunk.offset;
        match (&chunk.records, chunk.refused) {
            (_, Some((_, length))) => found.push((base, base + length)),
            (Some(records), None) => {
                found.extend(records.iter().map(|&(start, end)| (base + start as u64, base + end as u64)));
            }
            (None, None) => {
                let mut start = 0;
                for line in chunk.bytes.split_inclusive(|byte| *byte == b'\n') {
                    found.push((base + start, base + start + line.len() as u64));
                    start += line.len() as u64;
                }
            }
        }
    }
    found
}

struct Reading {
    framing: Framing,
    chunks: Vec<Chunk>,
    error: Option<io::Error>,
}

fn chunks(reader: Steps<'_>, offset: u64, digest: blake3::Hasher, known: Option<Framing>) -> Reading {
    let mut framer = Framer::new(reader, offset, digest, known).expect("errors come when what was read is handed out");
    let mut out = Reading { framing: framer.framing(), chunks: Vec::new(), error: None };
    loop {
        match framer.next_chunk() {
            Ok(Some(chunk)) => {
                // The buffer is used again, with what stands in it.
                framer.recycle(chunk.bytes.clone());
                out.chunks.push(chunk);
            }
            Ok(None) => return out,
            Err(error) => {
                out.error = Some(error);
                return out;
            }
        }
    }
}

/// Hands out at most so many bytes at a time.
struct Steps<'a> {
    bytes: &'a [u8],
    size: usize,
    /// The end is an error.
    fails: bool,
    interrupt: bool,
}

impl<'a> Steps<'a> {
    fn new(bytes: &'a [u8], size: usize) -> Self {
        Self { bytes, size, fails: false, interrupt: false }
    }
}

impl Read for Steps<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupt = !self.interrupt;
        if self.interrupt && self.size < 8 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = buffer.len().min(self.size).min(self.bytes.len());
        if count == 0 && self.fails && !buffer.is_empty() {
            return Err(io::Error::other("broken off"));
        }
        buffer[..count].copy_from_slice(&self.bytes[..count]);
        self.bytes = &self.bytes[count..];
        Ok(count)
    }
}
