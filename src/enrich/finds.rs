//! What a scan notes: each find once, with limits on all that an attacker could make endless.

use super::marker::phrases::Room;
use super::observable;
use super::secret::Secret;
use super::secret::named::{self, Named};
use crate::call::{Marker, Text};
use std::collections::HashSet;
use std::ops::Range;

/// Observables kept per payload.
const MAX_OBSERVABLES: usize = 256;
/// Markers kept per payload.
const MAX_MARKERS: usize = 64;

/// What was found in one payload.
#[derive(Debug, Default)]
pub(crate) struct Finds {
    pub(crate) observables: Vec<Found>,
    pub(crate) observables_capped: bool,
    pub(crate) markers: Vec<Marker>,
    pub(crate) secrets: Vec<Secret>,
    /// Where in the string the latest secrets stand; only for strings that are decoded copies.
    pub(crate) spans: Vec<Range<usize>>,
    /// Whether something is to be stored as a digest.
    pub(crate) binary: bool,
    seen: HashSet<u64, ahash::RandomState>,
    /// Room for the search for phrases.
    pub(crate) phrases: Room,
    /// Room for a value in small letters.
    lower: String,
}

impl Finds {
    /// Forgets what was found, keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.observables.clear();
        self.observables_capped = false;
        self.markers.clear();
        self.secrets.clear();
        self.spans.clear();
        self.binary = false;
        self.seen.clear();
    }

    /// Notes an observable once, in small letters: names of hosts and mailboxes.
    pub(crate) fn observable_lower(&mut self, kind: &'static str, node: u32, value: &str) {
        let mut lower = std::mem::take(&mut self.lower);
        lower.clear();
        lower.push_str(&value[..value.floor_char_boundary(observable::MAX_VALUE)]);
        lower.make_ascii_lowercase();
        self.observable(kind, node, &lower);
        self.lower = lower;
    }

    /// Notes an observable once.
    pub(crate) fn observable(&mut self, kind: &'static str, node: u32, value: &str) {
        if self.observables.len() >= MAX_OBSERVABLES {
            self.observables_capped = true;
            return;
        }
        let value = &value[..value.floor_char_boundary(observable::MAX_VALUE)];
        // First letter and length tell the kinds apart; one number hashes faster than a string.
        let tag = u64::from(node) << 16 | u64::from(kind.as_bytes()[0]) << 8 | kind.len() as u64;
        if self.seen.insert(self.seen.hasher().hash_one((tag, value))) {
            // Without a way out of the loop it is done for many bytes at once.
            let unclean = value.bytes().fold(false, |found, b| found | (b < b' ') | (b == 0x7F) | (b == 0xC2));
            let value = if unclean { value.chars().filter(|c| !c.is_control()).collect() } else { value.into() };
            self.observables.push(Found { kind, node, value });
        }
    }

    /// Notes a marker.
    pub(crate) fn marker(&mut self, kind: &'static str, origin: &str, position: usize) {
        if self.markers.len() < MAX_MARKERS {
            self.markers.push(Marker { kind: kind.into(), origin: origin.into(), position: position as i64 });
        }
    }

    /// Notes a secret that stands in the text as it is.
    pub(crate) fn secret(&mut self, kind: &'static str, text: &str, span: Range<usize>) {
        let value = &text[span.clone()];
        // A short one is found again only in its surroundings, else it would be found everywhere.
        let around = if value.len() < 6 { 1 } else { 0 };
        let lead = span.start - text.floor_char_boundary(span.start.saturating_sub(around));
        let trail = text.ceil_char_boundary((span.end + around).min(text.len())) - span.end;
        let written = text[span.start - lead..span.end + trail].to_owned();
        self.note(Secret { kind, value: value.to_owned(), written, lead, trail }, span);
    }

    /// Notes the secret that a whole string is because of its name.
    pub(crate) fn named_value(&mut self, promise: Named, text: &str) {
        if let Some((kind, span)) = named::secret_in(promise, text) {
            self.secret(kind, text, span);
        }
    }

    /// Notes a secret once.
    pub(crate) fn note(&mut self, secret: Secret, span: Range<usize>) {
        if self.seen.insert(self.seen.hasher().hash_one(&secret.written)) {
            self.secrets.push(secret);
            self.spans.push(span);
        }
    }
}

/// One observable before its path is known.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) kind: &'static str,
    /// Node of the outermost tape that it stands in.
    pub(crate) node: u32,
    pub(crate) value: Text,
}
