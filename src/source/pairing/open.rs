//! Halves that wait for their other half.

use super::connection::Living;
use super::half::{Entry, Half, OpenKey, RowRef, Unpublished};
use super::tally::Tally;
use crate::call::{Call, Flag, Nanos, Outcome, Text, partition_day};
use crate::source::PairKey;
use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet};

/// Records between a response and its request that may stand in the wrong order when neither has a time.
const UNTIMED_REACH: u64 = 64;

/// By how much two lines of one file that stand in the right order may contradict it, in nanoseconds: each side of a connection stamps with
/// a clock of its own, and clocks are set. More would let a log whose lines are shuffled pair a used-again id with the wrong answer.
const SKEW: Nanos = 1_000_000_000;

/// Halves of one kind that wait under one key at most. Where nobody answers ids start over, but not so often.
const MAX_SAME: usize = 256;

/// Notes about halves to come that are kept for a later run.
const SAVED_NOTES: usize = 1000;

/// All open halves.
#[derive(Debug, Default)]
pub(super) struct Open {
    pub(super) entries: HashMap<OpenKey, Entry, ahash::RandomState>,
    pub(super) tally: Tally,
    /// Responses that wait, by what they are wherever they stand.
    pub(super) orphans: Orphans,
}

/// Both halves of a call with an id of its own, and what else is said of it.
#[derive(Debug)]
pub(super) struct Complete {
    pub(super) key: OpenKey,
    pub(super) request: Half,
    pub(super) response: Half,
    pub(super) amend: Option<Box<Call>>,
}

/// What came of a response that was put.
#[derive(Default)]
pub(super) struct Put {
    /// Its bytes, if it is known to be none of ours.
    pub(super) foreign: Option<i64>,
    /// The oldest of too many under its key.
    pub(super) given_up: Option<Unpublished>,
}

pub(super) type Orphans = HashMap<Fingerprint, OpenKey, ahash::RandomState>;

/// Id, time and payload of a response: the same in every export.
pub(super) type Fingerprint = (Text, Nanos, [u8; 32]);

pub(super) fn fingerprint(response: &Call) -> Option<Fingerprint> {
    Some((response.jsonrpc_request_id.clone()?, response.time_end?, response.result_hash?))
}

/// A response no longer waits under this key.
pub(super) fn forget_orphan(orphans: &mut Orphans, key: &OpenKey, response: &Half) {
    if let Some(fingerprint) = fingerprint(&response.call)
        && orphans.get(&fingerprint) == Some(key)
    {
        orphans.remove(&fingerprint);
    }
}

impl Open {
    pub(super) fn restore(saved: Vec<(OpenKey, Entry)>) -> Self {
        let mut tally = Tally::default();
        saved.iter().flat_map(|(_, e)| e.requests.iter().chain(&e.responses)).for_each(|half| tally.count(half));
        let waiting = saved.iter().flat_map(|(key, e)| e.responses.iter().map(move |half| (key, half)));
        let orphans = waiting.filter_map(|(key, half)| Some((fingerprint(&half.call)?, key.clone()))).collect();
        Self { entries: saved.into_iter().collect(), tally, orphans }
    }

    /// What [`Open::restore`] takes, without notes about halves to come if there are many: most of those never come.
    pub(super) fn saved(&self) -> impl Iterator<Item = (&OpenKey, &Entry)> {
        let says_something = |e: &Entry| e.foreign || e.amend.is_some();
        let notes = self.entries.values().filter(|e| e.is_note() && says_something(e)).count();
        self.entries.iter().filter(move |(_, e)| !e.is_note() || notes <= SAVED_NOTES && says_something(e))
    }

    pub(super) fn into_saved(self) -> Vec<(OpenKey, Entry)> {
        self.entries.into_iter().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.tally.halves
    }

    pub(super) fn bytes(&self) -> usize {
        self.tally.bytes
    }

    /// Keys under which something of a source waits. At the end of a source that was read in one go only its own keys are looked at.
    pub(super) fn keys_of(&self, source: u64) -> Vec<OpenKey> {
        let count = self.tally.of(source);
        if count == 0 {
            return Vec::new();
        }
        let halves =
            |entry: &Entry| entry.requests.iter().chain(&entry.responses).filter(|half| half.source == source).count();
        let mut found = HashSet::with_hasher(ahash::RandomState::default());
        let mut known = 0;
        for key in self.tally.keys_of(source) {
            let here = self.entries.get(key).map_or(0, halves);
            if here > 0 && found.insert(key) {
                known += here;
            }
        }
        if known == count {
            return found.into_iter().cloned().collect();
        }
        self.entries.iter().filter(|(_, entry)| halves(entry) > 0).map(|(key, _)| key.clone()).collect()
    }

    /// Drops keys of the source that is being read under which nothing waits any more.
    fn look_at_keys(&mut self) {
        let entries = &self.entries;
        self.tally.retain(|key| entries.get(key).is_some_and(|entry| !entry.is_note()));
    }

    /// Keys about which something is known, be it a half or a note about one to come.
    pub(super) fn keys(&self) -> usize {
        self.entries.len()
    }

    /// Responses that are looked for by what they are.
    #[cfg(test)]
    pub(super) fn orphans(&self) -> usize {
        self.orphans.len()
    }

    /// Forgets notes about halves that have not come: as many as a log likes could be written.
    pub(super) fn forget_notes(&mut self) {
        self.entries.retain(|_, e| !e.is_note());
    }

    /// Keeps a request. With an id that is unique by itself a second one is another export of the same record. Gives the oldest one
    /// back if too many have the key.
    pub(super) fn put_request(&mut self, key: OpenKey, mut half: Half) -> Option<Unpublished> {
        let global = matches!(key.key, PairKey::Global { .. });
        let mut slot = match self.entries.entry(key) {
            Slot::Occupied(slot) => slot,
            Slot::Vacant(slot) => slot.insert_entry(Entry::default()),
        };
        let requests = &mut slot.get_mut().requests;
        if requests.is_empty() {
            // One is the rule, and there are many entries.
            requests.reserve_exact(1);
        } else if global {
            return None;
        } else {
            half.call.flag(Flag::IdReused);
        }
        requests.push_back(half);
        let oldest = if requests.len() > MAX_SAME { requests.pop_front() } else { None };
        let are_many = self.tally.add(slot.key(), slot.get().requests.back()?);
        let given_up = oldest.map(|oldest| (slot.key().clone(), oldest));
        if are_many {
            self.look_at_keys();
        }
        let (key, oldest) = given_up?;
        self.given_up(&key, oldest, false)
    }

    /// Keeps a response whose request was not seen yet.
    pub(super) fn put_response(&mut self, key: OpenKey, half: Half) -> Put {
        let global = matches!(key.key, PairKey::Global { .. });
        let entry = self.entries.entry(key.clone()).or_default();
        if entry.foreign && entry.requests.is_empty() {
            self.entries.remove(&key);
            return Put { foreign: Some(half.call.source.length), given_up: None };
        }
        if global && !entry.responses.is_empty() {
            return Put::default();
        }
        let are_many = self.tally.add(&key, &half);
        let fingerprint = fingerprint(&half.call);
        entry.responses.push_back(half);
        let oldest = if entry.responses.len() > MAX_SAME { entry.responses.pop_front() } else { None };
        let given_up = oldest.and_then(|oldest| {
            forget_orphan(&mut self.orphans, &key, &oldest);
            self.given_up(&key, oldest, true)
        });
        if let Some(fingerprint) = fingerprint {
            self.orphans.insert(fingerprint, key);
        }
        if are_many {
            self.look_at_keys();
        }
        Put { foreign: None, given_up }
    }

    /// A half that was taken out; `None` if it stands in the lake, or may be none of ours.
    fn given_up(&mut self, key: &OpenKey, half: Half, orphan: bool) -> Option<Unpublished> {
        self.forget(&half);
        (half.published.is_none() && !half.maybe_foreign).then(|| Unpublished::of(key, half, orphan))
    }

    /// Keeps what a third record says about a call.
    pub(super) fn amend(&mut self, key: OpenKey, call: Box<Call>) {
        let entry = self.entries.entry(key).or_default();
        match entry.amend.as_mut() {
            Some(known) => super::finish::amend(known, *call),
            None => entry.amend = Some(call),
        }
    }

    /// Forgets the response to something that is no call of ours, or the one to come; gives the bytes of what it forgot.
    pub(super) fn foreign(&mut self, key: OpenKey) -> Option<i64> {
        let entry = self.entries.entry(key.clone()).or_default();
        if !entry.requests.is_empty() {
            // Somebody has called one of ours by the same id.
            return None;
        }
        let Some(response) = entry.responses.pop_front() else {
            entry.foreign = true;
            return None;
        };
        self.forget(&response);
        self.entries.remove(&key);
        forget_orphan(&mut self.orphans, &key, &response);
        Some(response.call.source.length)
    }

    /// Marks the request as given up by its sender; gives its row, if it has one.
    pub(super) fn cancel(&mut self, key: &OpenKey, time: Option<Nanos>, outcome: Outcome) -> Option<RowRef> {
        let half = self.entries.get_mut(key)?.requests.back_mut()?;
        half.call.outcome = outcome;
        half.call.time_end = half.call.time_end.or(time);
        half.row()
    }

    /// The row under which the request of a call with an id of its own stands in the lake, before it gets this time.
    pub(super) fn amend_published(&mut self, key: &OpenKey, time: Option<Nanos>) -> Option<RowRef> {
        let request = self.entries.get_mut(key)?.requests.front_mut()?;
        let row = request.row()?;
        request.published_time = time.or(request.published_time);
        Some(row)
    }

    /// Whether something waits under the key.
    pub(super) fn has_halves(&self, key: &OpenKey) -> bool {
        self.entries.get(key).is_some_and(|entry| !entry.is_note())
    }

    /// Whether a request of this method waits.
    pub(super) fn waits(&self, key: &OpenKey, method: &str) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.requests.iter().any(|half| half.call.method == method))
    }

    /// The request that a response answers. `alive` tells what of the lane is in use; it is asked only if several requests could be
    /// meant.
    pub(super) fn take_request(
        &mut self,
        key: &OpenKey,
        response: &Half,
        alive: impl FnOnce() -> Living,
    ) -> Option<Half> {
        let entry = self.entries.get_mut(key)?;
        let alive = if entry.requests.len() > 1 { alive() } else { Living::default() };
        let in_time = |half: &Half| half.nanos_after(response) == 0;
        let may = |half: &Half| in_time(half) || (half.source == response.source && half.nanos_after(response) <= SKEW);
        // In time, no copy, what kind of result it is (told by its members), a live connection, then first come first served.
        let method = &response.call.method;
        let fits = |half: &Half| method.is_empty() || half.call.method == *method;
        let is_in_use = |half: &Half| alive.connections.is_empty() || alive.connections.contains(&half.connection);
        let lives = |half: &Half| half.sequence >= alive.since && is_in_use(half);
        let at = entry
            .requests
            .iter()
            .enumerate()
            .filter(|(_, half)| may(half))
            .max_by_key(|(at, half)| (in_time(half), !half.copy, lives(half), fits(half), std::cmp::Reverse(*at)))
            .map(|(at, _)| at)?;
        let half = entry.requests.remove(at)?;
        self.forget(&half);
        self.drop_if_empty(key);
        Some(half)
    }

    /// A response that stood before this request.
    pub(super) fn waiting_response(&mut self, key: &OpenKey, request: &Half) -> Option<Half> {
        let entry = self.entries.get_mut(key)?;
        let at = entry.responses.iter().position(|response| match (request.call.time, response.call.time_end) {
            (Some(asked), Some(answered)) => answered >= asked,
            _ => request.sequence.saturating_sub(response.sequence) <= UNTIMED_REACH,
        })?;
        let half = entry.responses.remove(at)?;
        self.forget(&half);
        forget_orphan(&mut self.orphans, key, &half);
        self.drop_if_empty(key);
        Some(half)
    }

    /// The same response, waiting under another key.
    pub(super) fn take_orphan(&mut self, response: &Call) -> Option<Half> {
        if self.orphans.is_empty() {
            return None;
        }
        let wanted = fingerprint(response)?;
        let key = self.orphans.remove(&wanted)?;
        let entry = self.entries.get_mut(&key)?;
        let at = entry.responses.iter().position(|half| fingerprint(&half.call).as_ref() == Some(&wanted))?;
        let half = entry.responses.remove(at)?;
        self.forget(&half);
        self.drop_if_empty(&key);
        Some(half)
    }

    /// A half waits no longer.
    fn forget(&mut self, half: &Half) {
        self.tally.sub(half);
    }

    pub(super) fn drop_if_empty(&mut self, key: &OpenKey) {
        if self.entries.get(key).is_some_and(|e| e.requests.is_empty() && e.responses.is_empty() && e.amend.is_none()) {
            self.entries.remove(key);
        }
    }

    /// Pairs whose halves have no times and lie in different files, one of them this source, so that order says nothing. With the
    /// stream of each.
    pub(super) fn take_untimed(&mut self, source: u64) -> Vec<(u64, Half, Half)> {
        let mut pairs = Vec::new();
        let untimed = |half: &Half| half.chain.is_some();
        for key in self.keys_of(source).into_iter().filter(|key| key.stream != 0) {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            while let (Some(request), Some(response)) =
                (entry.requests.iter().position(untimed), entry.responses.iter().position(untimed))
                && entry.requests[request].call.source_file != entry.responses[response].call.source_file
                && let (Some(request), Some(response)) =
                    (entry.requests.remove(request), entry.responses.remove(response))
            {
                pairs.push((key.stream, request, response));
            }
        }
        pairs.iter().flat_map(|(_, request, response)| [request, response]).for_each(|half| self.forget(half));
        pairs
    }

    /// Calls paired by ids of their own that have both halves, one of them from this source. (More may be said of others by their
    /// sources, which somebody is in the middle of.) Both stand before the record `until`, or are it; neither is the one at offset `but`.
    pub(super) fn take_complete(&mut self, source: u64, until: u64, but: Option<i64>) -> Vec<Complete> {
        let is_due = |key: &OpenKey| {
            self.entries.get(key).is_some_and(|entry| {
                let mut halves = entry.requests.iter().chain(&entry.responses);
                entry.is_complete(key)
                    && halves.clone().all(|half| half.sequence <= until)
                    && !halves.any(|half| half.source == source && Some(half.call.source.offset) == but)
            })
        };
        let complete: Vec<OpenKey> = self.keys_of(source).into_iter().filter(is_due).collect();
        let mut taken: Vec<_> = complete
            .into_iter()
            .filter_map(|key| {
                let mut entry = self.entries.remove(&key)?;
                let (request, response) = (entry.requests.pop_front()?, entry.responses.pop_front()?);
                forget_orphan(&mut self.orphans, &key, &response);
                Some(Complete { key, request, response, amend: entry.amend })
            })
            .collect();
        taken.iter().flat_map(|taken| [&taken.request, &taken.response]).for_each(|half| self.forget(half));
        taken.sort_by_key(|taken| taken.request.sequence);
        taken
    }

    /// Whether a half up to this record is not in the lake yet.
    pub(super) fn has_unpublished(&self, until: u64) -> bool {
        let is_due = |half: &Half| half.published.is_none() && half.sequence <= until && !half.maybe_foreign;
        self.entries.values().any(|e| e.requests.iter().chain(&e.responses).any(is_due))
    }

    /// Copies of the halves up to this record that are not in the lake yet, in order. Two halves that belong together, of a source
    /// that was not read to its end, are one.
    pub(super) fn unpublished(&self, until: u64) -> Vec<Unpublished> {
        let mut found = Vec::new();
        let is_due = |half: &&Half| half.published.is_none() && half.sequence <= until;
        for (key, entry) in &self.entries {
            let complete = entry.is_complete(key);
            for half in entry.requests.iter().filter(is_due) {
                let mut copy = Unpublished::of(key, half.clone(), false);
                if let Some(response) = entry.responses.front().filter(|_| complete) {
                    super::finish::complete(&mut copy.call, Call::clone(&response.call));
                    copy.observables.extend(response.observables.iter().cloned());
                }
                if let Some(amend) = &entry.amend {
                    super::finish::amend(&mut copy.call, Call::clone(amend));
                }
                found.push(copy);
            }
            for half in entry.responses.iter().filter(|half| is_due(half) && !half.maybe_foreign && !complete) {
                found.push(Unpublished::of(key, half.clone(), true));
            }
        }
        found.sort_by_key(|half| half.sequence);
        found
    }

    /// Notes that a half stands in the lake.
    pub(super) fn published(&mut self, key: &OpenKey, sequence: u64, row: RowRef) {
        if let Some(entry) = self.entries.get_mut(key)
            && let Some(half) = entry.requests.iter_mut().chain(&mut entry.responses).find(|h| h.sequence == sequence)
        {
            (half.published, half.published_time) = (Some(row.call_id), row.time);
        }
    }

    /// Drops halves of before a day; gives how many.
    pub(super) fn forget_before(&mut self, day: i32) -> usize {
        let before = self.tally.halves;
        for entry in self.entries.values_mut() {
            for halves in [&mut entry.requests, &mut entry.responses] {
                halves.retain(|half| {
                    let time = half.call.time.or(half.call.time_end);
                    partition_day(time).is_none_or(|at| at >= day)
                });
            }
        }
        let mut tally = Tally::default();
        let rest = self.entries.values().flat_map(|entry| entry.requests.iter().chain(&entry.responses));
        rest.for_each(|half| tally.count(half));
        self.tally = tally;
        self.forget_notes();
        before - self.tally.halves
    }

    /// Every half that came from one source.
    pub(super) fn each_of(&mut self, source: u64, mut change: impl FnMut(&mut Half)) {
        for key in self.keys_of(source) {
            if let Some(entry) = self.entries.get_mut(&key) {
                let halves = entry.requests.iter_mut().chain(&mut entry.responses);
                halves.filter(|half| half.source == source).for_each(&mut change);
            }
        }
    }

    /// Removes the oldest halves; gives back those that must still be published.
    pub(super) fn evict(&mut self, count: usize) -> Vec<Unpublished> {
        let mut ages: Vec<u64> =
            self.entries.values().flat_map(|e| e.requests.iter().chain(&e.responses)).map(|h| h.sequence).collect();
        ages.sort_unstable();
        let Some(&limit) = ages.get(count.min(ages.len().saturating_sub(1))) else { return Vec::new() };
        let mut gone = Vec::new();
        for (key, entry) in &mut self.entries {
            for (halves, orphan) in [(&mut entry.requests, false), (&mut entry.responses, true)] {
                while let Some(half) = halves.front().filter(|half| half.sequence <= limit).cloned() {
                    halves.pop_front();
                    self.tally.sub(&half);
                    if orphan {
                        forget_orphan(&mut self.orphans, key, &half);
                    }
                    if half.published.is_none() && !half.maybe_foreign {
                        gone.push(Unpublished::of(key, half, orphan));
                    }
                }
            }
        }
        self.forget_notes();
        gone.sort_by_key(|half| half.sequence);
        gone
    }
}
