//! How much waits, of which sources, and which keys the source that is being read has used.

use super::half::{Half, OpenKey};
use std::collections::HashMap;

/// Keys of the source that is being read beyond which those are looked for that nothing waits under any more.
const MAX_KEYS: usize = 1024;

/// Counts of what waits.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) halves: usize,
    /// Bytes that they carry.
    pub(super) bytes: usize,
    of_source: HashMap<u64, usize, ahash::RandomState>,
    /// The source of the half that was added last, and the keys of those added before it without another source between.
    latest: u64,
    keys: Vec<OpenKey>,
    /// Their number after the last look.
    looked_at: usize,
}

impl Tally {
    /// Counts a half; says whether it is time to [`Self::retain`] keys.
    pub(super) fn add(&mut self, key: &OpenKey, half: &Half) -> bool {
        self.count(half);
        if self.latest != half.source {
            self.latest = half.source;
            self.keys.clear();
            self.looked_at = 0;
        }
        self.keys.push(key.clone());
        self.keys.len() > MAX_KEYS + 2 * self.looked_at
    }

    /// Counts a half that waited before.
    pub(super) fn count(&mut self, half: &Half) {
        self.halves += 1;
        self.bytes += half.weight();
        *self.of_source.entry(half.source).or_default() += 1;
    }

    /// A half waits no longer.
    pub(super) fn sub(&mut self, half: &Half) {
        self.halves -= 1;
        self.bytes = self.bytes.saturating_sub(half.weight());
        if let Some(count) = self.of_source.get_mut(&half.source) {
            *count -= 1;
            if *count == 0 {
                self.of_source.remove(&half.source);
            }
        }
    }

    /// Drops keys under which nothing waits, and doubled ones.
    pub(super) fn retain(&mut self, waits: impl Fn(&OpenKey) -> bool) {
        let mut seen = std::collections::HashSet::with_hasher(ahash::RandomState::default());
        self.keys.retain(|key| waits(key) && seen.insert(key.clone()));
        self.looked_at = self.keys.len();
    }

    /// Halves of a source that wait.
    pub(super) fn of(&self, source: u64) -> usize {
        self.of_source.get(&source).copied().unwrap_or(0)
    }

    /// Keys that a source has used since another one did, if it is the latest; perhaps doubled, perhaps of what waits no longer.
    pub(super) fn keys_of(&self, source: u64) -> &[OpenKey] {
        if self.latest == source { &self.keys } else { &[] }
    }
}
