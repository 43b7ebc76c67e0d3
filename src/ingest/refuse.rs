//! What is refused as a whole: a file that nobody knows, the rest of a stream that broke off.

use super::decode;
use super::sources::OpenTail;
use super::{Ingester, reject_id};
use crate::source::frame::{Framer, MAX_RECORD};
use crate::source::input::{Input, is_passing};
use std::io::{self, Read};

/// Bytes of a file of unknown format that are looked at again when it has grown.
const MAX_UNKNOWN: u64 = 1 << 20;

/// Whether somebody may know the file when it has grown: it is short, or its first record has no end yet.
pub(super) fn may_grow_known(length: u64, is_within_first: bool) -> bool {
    length <= MAX_UNKNOWN || is_within_first && length <= MAX_RECORD as u64
}

impl Ingester<'_> {
    /// The stream broke off: what follows in the file cannot be read, and a row says so.
    pub(super) fn reject_rest(&mut self, at: usize, cause: &io::Error) {
        let source = &self.sources.rows[at];
        let position = crate::call::Position {
            line: source.counts.lines as i64 + 1,
            offset: source.counts.bytes as i64,
            length: 0,
        };
        let reason = format!("the input breaks off: {cause}");
        let piece = decode::RejectedPiece { position, reason, first_bytes: String::new() };
        let row = &mut self.sources.rows[at];
        row.counts.rejects += 1;
        row.saved.broke_off = Some(row.counts.bytes);
        self.summary.rejects += 1;
        self.reject(at, &piece);
    }

    /// What had broken off is whole, or longer than it was: a compressed file, say, that somebody is still writing.
    pub(super) fn mend(&mut self, at: usize) {
        let row = &mut self.sources.rows[at];
        if let Some(offset) = row.saved.broke_off.take() {
            row.counts.rejects -= 1;
            self.writer.forget_reject(&reject_id(&row.source_id, offset));
        }
    }

    /// A file that nobody knows becomes one reject with its shape. Gives the error that ended the stream early, if one did.
    pub(super) fn reject_all<R: Read>(
        &mut self,
        at: usize,
        input: &Input,
        framer: &mut Framer<R>,
        shape: &str,
    ) -> Option<io::Error> {
        let first_bytes =
            String::from_utf8_lossy(&framer.head()[..framer.head().len().min(decode::FIRST_BYTES)]).into_owned();
        let start = self.sources.rows[at].counts;
        let is_within_first = framer.is_within_first();
        let mut length = 0;
        let mut lines = 0;
        let failed = loop {
            match framer.next_chunk() {
                Ok(Some(chunk)) => {
                    length += chunk.length();
                    lines += memchr::memchr_iter(b'\n', &chunk.bytes).count() as u64;
                    self.sources.rows[at].digest = chunk.digest.to_hex().to_string();
                }
                Ok(None) => break None,
                Err(cause) => break Some(cause),
            }
        };
        let position =
            crate::call::Position { line: start.lines as i64 + 1, offset: start.bytes as i64, length: length as i64 };
        let reason = format!("unknown format: {shape}");
        self.reject(at, &decode::RejectedPiece { position, reason, first_bytes });
        let row = &mut self.sources.rows[at];
        if may_grow_known(length, is_within_first) && !input.comes_once() {
            // Perhaps only the start of a file that somebody is writing: when it has grown, it is looked at from here again.
            let reject_id = reject_id(&row.source_id, start.bytes);
            row.saved.open_tail = Some(OpenTail { length, lines, reject_id: Some(reject_id) });
        }
        row.saved.unknown_to.clone_from(&self.fingerprint);
        row.saved.refused.push(start.bytes);
        row.counts.bytes += length;
        row.counts.bytes_rejected += length;
        row.counts.lines += lines;
        row.counts.rejects += 1;
        self.summary.bytes += length;
        self.summary.lines += lines;
        self.summary.rejects += 1;
        if let Some(cause) = failed.as_ref().filter(|cause| !is_passing(cause)) {
            self.reject_rest(at, cause);
        }
        failed
    }
}
