//! A session that is too large to be looked at as a whole is looked at in parts that overlap, so that memory stays bounded.

use super::index::Key;

/// Calls and bytes of arguments of one block.
pub(super) const BLOCK_CALLS: usize = 25_000;
pub(super) const BLOCK_BYTES: u64 = 8 << 20;

/// A part of a session: two blocks of calls, of which the flows into the second are found. Into the first, too, where it is the session's first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// Calls from here on are looked at,
    pub(super) from: Option<Key>,
    /// flows into calls from here on are kept,
    pub(super) sinks_from: Option<Key>,
    /// and calls from here on are not looked at.
    pub(super) until: Option<Key>,
}

impl Window {
    /// Whether a call belongs to it.
    pub(super) fn holds(&self, key: &Key) -> bool {
        self.from.as_ref().is_none_or(|from| from <= key) && self.until.as_ref().is_none_or(|until| key < until)
    }
}

/// The parts of a session whose calls have these keys and bytes of arguments.
pub(super) fn windows(mut calls: Vec<(Key, u64)>) -> Vec<Window> {
    calls.sort_unstable();
    let mut starts: Vec<Option<Key>> = vec![None];
    let (mut count, mut bytes) = (0, 0);
    for (key, size) in calls {
        if count >= BLOCK_CALLS || (count > 0 && bytes + size > BLOCK_BYTES) {
            starts.push(Some(key));
            (count, bytes) = (0, 0);
        }
        count += 1;
        bytes += size;
    }
    let last = starts.len() - 1;
    let window = |at: usize| Window {
        from: starts[at - 1].clone(),
        sinks_from: if at == 1 { None } else { starts[at].clone() },
        until: starts.get(at + 1).cloned().flatten(),
    };
    if last == 0 { vec![Window::default()] } else { (1..=last).map(window).collect() }
}
