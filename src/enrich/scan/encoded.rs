//! Secrets behind an encoding: percent-encoded text and base64, decoded and scanned once more.

use super::{Look, Scanner};
use crate::enrich::binary;
use crate::enrich::finds::Finds;
use crate::enrich::secret::Secret;

/// Text inside text inside text is read; deeper is a puzzle, not a log.
pub(super) const MAX_DEPTH: usize = 2;

/// Base64 of this length is worth a marker if it hides text.
const BASE64_BLOB: usize = 200;

impl Scanner<'_, '_> {
    /// Percent-encoded text: secrets whose name, quotes or separators are encoded too.
    pub(super) fn percent_run(&mut self, at: usize) {
        let bytes = self.text.as_bytes();
        let edge = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b'<' | b'>' | b'`' | b'\\');
        let end = at + bytes[at..].iter().position(edge).unwrap_or(bytes.len() - at);
        let start =
            bytes[self.percent..at].iter().rposition(edge).map_or(self.percent, |found| self.percent + found + 1);
        self.percent = end;
        let hex = |i: usize| bytes.get(i).and_then(|b| (*b as char).to_digit(16));
        let mut decoded = Vec::with_capacity(end - start);
        let mut origin = Vec::with_capacity(end - start + 1);
        let mut telling = false;
        let mut i = start;
        while i < end {
            origin.push(i);
            match (bytes[i], hex(i + 1), hex(i + 2)) {
                (b'%', Some(high), Some(low)) if i + 2 < end => {
                    let byte = (high * 16 + low) as u8;
                    // Words in another script tell nothing new.
                    telling |= byte.is_ascii();
                    decoded.push(byte);
                    i += 3;
                }
                (byte, ..) => {
                    decoded.push(byte);
                    i += 1;
                }
            }
        }
        origin.push(end);
        let Ok(decoded) = String::from_utf8(decoded) else { return };
        if !telling {
            return;
        }
        let inner = self.decoded(&decoded);
        for (secret, span) in inner.secrets.into_iter().zip(inner.spans) {
            let encoded = origin[span.start]..origin[span.end];
            let written = self.text[encoded.clone()].to_owned();
            self.finds.note(Secret { written, lead: 0, trail: 0, ..secret }, encoded);
        }
    }

    /// Base64 around a long word: text hidden in it, and secrets hidden in that.
    pub(super) fn base64(&mut self, start: usize, end: usize) {
        let bytes = self.text.as_bytes();
        let inside = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_');
        let start = start - bytes[self.base64..start].iter().rev().take_while(|b| inside(b)).count();
        let end = end + bytes[end..].iter().take_while(|b| inside(b)).count();
        self.base64 = end;
        let padded = end + bytes[end..].iter().take(2).take_while(|b| **b == b'=').count();
        let run = &self.text[start..end];
        let Some(decoded) = binary::decode_text(run) else { return };
        if run.len() >= BASE64_BLOB {
            self.mark("base64_blob", start);
        }
        if self.secrets() {
            let whole = start..padded;
            for (i, secret) in self.decoded(&decoded).secrets.into_iter().enumerate() {
                let written = if i == 0 { self.text[whole.clone()].to_owned() } else { secret.value.clone() };
                self.finds.note(Secret { written, lead: 0, trail: 0, ..secret }, whole.clone());
            }
        }
    }

    fn decoded(&self, text: &str) -> Finds {
        let mut inner = Finds::default();
        let mut scanner = Scanner::new(text, &mut inner, Look::Secrets, "", 0);
        scanner.depth = self.depth + 1;
        scanner.run(false);
        inner
    }
}
