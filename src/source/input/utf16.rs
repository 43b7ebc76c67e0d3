//! UTF-16 → UTF-8, as a stream. PowerShell's `>` writes so, with a byte-order mark; without one go programs on Windows that add to a
//! file, and parts of a log that was cut.
//!
//! Half a surrogate pair becomes bytes that are no UTF-8, so that the record is flagged like any other with broken text. Half a
//! code unit or pair at the very end is held back: a file that is being written has its other half a moment later.

use super::Bytes;
use std::io::{self, Read};

/// Bytes of UTF-16 that are converted at a time.
const PIECE: usize = 64 << 10;

/// How the two bytes of a code unit stand.
type Order = fn([u8; 2]) -> u16;

/// Code units by which UTF-16 without a mark is told.
const TELLING: usize = 4;

/// Converts the stream if it begins as UTF-16.
pub(super) fn to_utf8(head: &[u8], stream: Bytes) -> Bytes {
    match order(head) {
        Some(order) => Box::new(Utf16::new(stream, order)),
        None => stream,
    }
}

/// The order of bytes of a stream that begins so; `None` for other text. Logs begin with ASCII, of which each unit has one byte that is zero.
pub(super) fn order(head: &[u8]) -> Option<Order> {
    let is_text = |byte: u8| matches!(byte, b'\t' | b'\r' | b'\n' | b' '..=b'~');
    let (units, _) = head.as_chunks::<2>();
    let all = |fits: fn(&[u8; 2]) -> (u8, u8)| {
        let fits = |unit| matches!(fits(unit), (text, 0) if is_text(text));
        units.len() >= TELLING && units.iter().all(fits)
    };
    match head {
        // UTF-32; nobody writes logs in it.
        [0xff, 0xfe, 0, 0, ..] => None,
        [0xff, 0xfe, ..] => Some(u16::from_le_bytes),
        [0xfe, 0xff, ..] => Some(u16::from_be_bytes),
        _ if all(|[text, zero]| (*text, *zero)) => Some(u16::from_le_bytes),
        _ if all(|[zero, text]| (*text, *zero)) => Some(u16::from_be_bytes),
        _ => None,
    }
}

struct Utf16 {
    inner: Bytes,
    unit: Order,
    at_start: bool,
    /// What was read and not converted yet: less than a pair before each read.
    raw: Vec<u8>,
    /// What was converted, and how much of it was handed out.
    text: Vec<u8>,
    taken: usize,
}

impl Utf16 {
    fn new(inner: Bytes, unit: Order) -> Self {
        Self { inner, unit, at_start: true, raw: Vec::with_capacity(PIECE + 4), text: Vec::new(), taken: 0 }
    }

    /// Converts whole characters of `raw`.
    fn convert(&mut self) {
        self.text.clear();
        self.taken = 0;
        let mut at = 0;
        while let Some(pair) = self.raw[at..].first_chunk() {
            let unit = (self.unit)(*pair);
            let mut next = at + 2;
            let char = match unit {
                0..0x80 => {
                    self.text.push(unit as u8);
                    at = next;
                    continue;
                }
                0xd800..0xdc00 => {
                    let Some(low) = self.raw[next..].first_chunk().map(|pair| (self.unit)(*pair)) else { break };
                    next += 2;
                    char::decode_utf16([unit, low]).next().and_then(Result::ok)
                }
                _ => char::from_u32(u32::from(unit)),
            };
            match char {
                Some('\u{feff}') if self.at_start => {}
                Some(char) => self.text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
                None => {
                    // Only the first half is lost; what follows it is a character of its own.
                    next = at + 2;
                    self.text.push(0xff);
                }
            }
            self.at_start = false;
            at = next;
        }
        self.raw.drain(..at);
    }
}

impl Read for Utf16 {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.text.len() {
            let kept = self.raw.len();
            self.raw.resize(PIECE, 0);
            let read = self.inner.read(&mut self.raw[kept..]);
            self.raw.truncate(kept + *read.as_ref().unwrap_or(&0));
            if read? == 0 {
                return Ok(0);
            }
            self.convert();
        }
        let give = buffer.len().min(self.text.len() - self.taken);
        buffer[..give].copy_from_slice(&self.text[self.taken..self.taken + give]);
        self.taken += give;
        Ok(give)
    }
}
