//! Room for halves that wait: what becomes of the oldest where too many do.

use super::half::{Half, OpenKey, Unpublished};
use super::{Pairing, Row, Scope, SourceContext};
use crate::call::Flag;

/// One part of so many of what is to be given up at least makes enough room.
const MIN_SHARE: usize = 10;

impl Pairing {
    /// Lets a request wait. Where too many wait under one key, the oldest is given up: each answer is compared with all of them.
    pub(super) fn put_request(&mut self, key: OpenKey, half: Half, out: &mut Vec<Row>) {
        if let Some(oldest) = self.open.put_request(key, half) {
            self.give_up(oldest, out);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.open.len() > self.options.max_open || self.open.bytes() > self.options.max_open_bytes
    }

    /// Makes room. Calls of which both halves are there wait only for what else may be said of them; without such, the oldest halves
    /// are given up.
    pub(super) fn evict(&mut self, scope: &mut Scope<'_>, out: &mut Vec<Row>) {
        let before = self.open.len();
        let share = before / 10;
        for until in [self.sequence.saturating_sub(share as u64), self.sequence] {
            for complete in self.open.take_complete(scope.number, until, None) {
                self.publish_global(scope, complete, out);
            }
            // Little room would be used up at once, and all that is open is looked at each time.
            if !self.is_full() && before - self.open.len() >= share / MIN_SHARE {
                return;
            }
        }
        for half in self.open.evict(share) {
            self.give_up(half, out);
        }
    }

    /// Publishes a half that waits no longer.
    pub(super) fn give_up(&mut self, mut half: Unpublished, out: &mut Vec<Row>) {
        let mut nowhere = SourceContext::default();
        let scope = Scope { number: 0, stream: half.stream, mtime: half.mtime, source: &mut nowhere };
        half.call.flag(Flag::EvictedOpen);
        half.as_row();
        let lane = half.lane.clone();
        self.finish(&scope, &lane, half.connection, &mut half.call, half.identity, half.chain);
        out.push(Row::Call { call: half.call, observables: half.observables });
    }
}
