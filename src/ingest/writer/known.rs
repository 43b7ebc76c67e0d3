//! Pending calls against the rows that exist: what says nothing new is a duplicate, what does is merged into the row.

use super::{ById, Pending, Writer, micros};
use crate::call::{Call, EventKind, TimeSource, merge, payload_seen};
use crate::ingest::call_file::{Id, Orphans, improves, parse_id, response_key};
use crate::ingest::rows::Place;
use crate::lake::{LakeError, data_file};
use crate::source::pairing::amend_row;
use std::collections::{HashMap, HashSet};

/// Two observers' clocks may differ; a call that both saw has times this close (microseconds).
const CLOCK_SKEW: i64 = 3_600_000_000;
/// The source of a call that this run did not read.
const NOWHERE: usize = usize::MAX;

/// What became of a pending call that the lake knows.
pub(in crate::ingest) enum Match {
    Duplicate,
    Improved { was_open: bool },
    Retracted,
}

/// Times of rows that are looked for, in microseconds.
struct Span {
    range: Option<(i64, i64)>,
    /// Some row may have any.
    is_open: bool,
}

impl Span {
    fn of(times: impl Iterator<Item = Option<i64>>) -> Self {
        let mut span = Self { range: None, is_open: false };
        for time in times {
            let Some(time) = time else { return Self { range: None, is_open: true } };
            let (low, high) = span.range.unwrap_or((time, time));
            span.range = Some((low.min(time), high.max(time)));
        }
        span
    }

    /// Whether a file with these times may hold one of the rows. Of a file without times nothing can be said.
    fn meets(&self, file: Option<(i64, i64)>) -> bool {
        self.is_open
            || self.range.is_some_and(|(from, to)| {
                let (from, to) = (from.saturating_sub(CLOCK_SKEW), to.saturating_add(CLOCK_SKEW));
                file.is_none_or(|(low, high)| high >= from && low <= to)
            })
    }
}

impl Writer<'_> {
    /// Compares pending calls with the rows that exist: drops what says nothing new, merges what does. Rows that are amended join the
    /// pending calls; `complete` derives what follows from what was said of them.
    pub(super) fn match_known(
        &mut self,
        pending: &mut Vec<Pending>,
        by_id: &ById,
        complete: &dyn Fn(&mut Call),
    ) -> Result<HashMap<usize, Match>, LakeError> {
        let void = pending.iter().enumerate().filter(|(_, waiting)| waiting.is_void);
        let mut found: HashMap<usize, Match> = void.map(|(at, _)| (at, Match::Retracted)).collect();
        let (retracted, mut amended) = (std::mem::take(&mut self.retracted), std::mem::take(&mut self.amended));
        // A file that is still being written is waited for only if it holds one of these calls.
        let is_old = |id: &Id| retracted.contains_key(id) || amended.contains_key(id);
        if self.encoders.ids().flatten().any(|id| by_id.contains_key(id) || is_old(id)) {
            self.collect_all()?;
        }
        let mut orphans = self.known_orphans(pending, &mut found)?;
        let time_of = |call: &Call| micros(call.time.filter(|_| call.time_source != TimeSource::FileMtime));
        let span = Span::of(pending.iter().map(|waiting| time_of(&waiting.call)));
        let old_times = retracted.values().copied().chain(amended.values().map(|amendment| amendment.time));
        let old_span = Span::of(old_times);
        let table = self.lake.table_path("calls");
        let mut room = super::KEPT_IDS.saturating_sub(self.kept_ids());
        let mut moved = Vec::new();
        for file in &mut self.files {
            // A file whose times lie elsewhere cannot hold the same calls.
            let may_hold = span.meets(file.times);
            if !may_hold && !old_span.meets(file.times) {
                continue;
            }
            if may_hold {
                file.answers(&table, &mut orphans, &mut found)?;
            }
            let is_wanted =
                |id: Id| by_id.contains_key(&id) || retracted.contains_key(&id) || amended.contains_key(&id);
            let hits = file.hits(&table, &mut room, is_wanted)?;
            if hits.is_empty() {
                continue;
            }
            let day = data_file::day_of(&file.add).flatten();
            let mut improved = HashSet::new();
            for (id, row) in &hits {
                if retracted.contains_key(id) {
                    file.dropped.insert(*id);
                    moved.push((*id, (day, micros(row.time)), None));
                } else if amended.contains_key(id) || by_id.get(id).is_some_and(|at| improves(row, &pending[*at].call))
                {
                    improved.insert(*id);
                } else if let Some(&at) = by_id.get(id) {
                    found.entry(at).or_insert(Match::Duplicate);
                }
            }
            if improved.is_empty() {
                continue;
            }
            for old in file.load(&table, &improved)? {
                let id = parse_id(&old.call_id);
                let place = Place::of(&old);
                let was_open = old.is_open();
                let at = match by_id.get(&id) {
                    Some(&at) => {
                        let waiting = &mut pending[at];
                        waiting.observables.retain(|o| {
                            let seen = if o.in_arguments { old.arguments_state } else { old.result_state };
                            !payload_seen(seen)
                        });
                        let new = std::mem::take(&mut waiting.call);
                        *waiting.call = merge(old, *new);
                        found.insert(at, Match::Improved { was_open });
                        at
                    }
                    None => {
                        let call = Box::new(old);
                        pending.push(Pending { id, call, observables: Vec::new(), source: NOWHERE, is_void: false });
                        found.insert(pending.len() - 1, Match::Improved { was_open: true });
                        pending.len() - 1
                    }
                };
                let call: &mut Call = &mut pending[at].call;
                if let Some(amendment) = amended.remove(&id) {
                    amend_row(call, amendment.said);
                    complete(call);
                }
                file.dropped.insert(id);
                let new = Place::of(call);
                if new != place {
                    moved.push((id, (day, place.time), Some(new)));
                }
            }
        }
        // Said of a call that waits to be written.
        for (id, amendment) in amended {
            if let Some(&at) = by_id.get(&id) {
                let call: &mut Call = &mut pending[at].call;
                amend_row(call, amendment.said);
                complete(call);
            }
        }
        if !moved.is_empty() {
            // Those that were written until now are in files with lower numbers.
            self.flush_observables()?;
            let until = self.sequence;
            moved.into_iter().for_each(|(id, from, to)| self.moved.note(id, from, to, until));
        }
        Ok(found)
    }

    /// Orphans among the pending calls by what identifies a response; those that a pending call holds are duplicates.
    fn known_orphans(&mut self, pending: &[Pending], found: &mut HashMap<usize, Match>) -> Result<Orphans, LakeError> {
        let of_kind = |kind: EventKind| {
            move |(at, waiting): (usize, &Pending)| {
                let key = response_key(&waiting.call)?;
                (waiting.call.event_kind == kind && !waiting.is_void).then_some((key, at))
            }
        };
        let mut orphans: Orphans = pending.iter().enumerate().filter_map(of_kind(EventKind::Orphan)).collect();
        if !orphans.is_empty() {
            self.collect_all()?;
            for (key, _) in pending.iter().enumerate().filter_map(of_kind(EventKind::Call)) {
                if let Some(at) = orphans.remove(&key) {
                    found.insert(at, Match::Duplicate);
                }
            }
        }
        Ok(orphans)
    }
}
