//! Pending calls against the rows that exist: what says nothing new is a duplicate, what does is merged into the row.

use super::{ById, Pending, Writer};
use crate::call::{EventKind, TimeSource, merge, payload_seen};
use crate::ingest::call_file::{Id, Orphans, improves, parse_id, response_key};
use crate::lake::LakeError;
use std::collections::{HashMap, HashSet};

/// Two observers' clocks may differ; a call that both saw has times this close (microseconds).
const CLOCK_SKEW: i64 = 3_600_000_000;

/// What became of a pending call that the lake knows.
pub(in crate::ingest) enum Match {
    Duplicate,
    Improved { was_open: bool },
    Retracted,
}

impl Writer<'_> {
    /// Compares pending calls with the rows that exist: drops what says nothing new, merges what does.
    pub(super) fn match_known(
        &mut self,
        pending: &mut [Pending],
        by_id: &ById,
    ) -> Result<HashMap<usize, Match>, LakeError> {
        let mut found = HashMap::new();
        for id in &self.retracted {
            if let Some(&at) = by_id.get(id) {
                found.insert(at, Match::Retracted);
            }
        }
        // A file that is still being written is waited for only if it holds one of these calls.
        let known = |id: &Id| by_id.contains_key(id) || self.retracted.contains(id);
        if self.encoding.iter().any(|file| file.ids.iter().any(known)) {
            self.collect_all()?;
        }
        let mut orphans = self.known_orphans(pending, &mut found)?;
        let range = pending.iter().try_fold((i64::MAX, i64::MIN), |(low, high), waiting| {
            let micros = waiting.call.time.filter(|_| waiting.call.time_source != TimeSource::FileMtime)? / 1000;
            Some((low.min(micros - CLOCK_SKEW), high.max(micros + CLOCK_SKEW)))
        });
        let retracted = std::mem::take(&mut self.retracted);
        let table = self.lake.table_path("calls");
        let mut room = super::KEPT_IDS.saturating_sub(self.kept_ids());
        for file in &mut self.files {
            // A file whose times lie elsewhere cannot hold the same calls. Without times nothing can be said.
            let apart = matches!((file.times, range), (Some((low, high)), Some((from, to))) if high < from || low > to);
            if apart && retracted.is_empty() {
                continue;
            }
            file.answers(&table, &mut orphans, &mut found)?;
            let hits = file.hits(&table, &mut room, |id| by_id.contains_key(&id) || retracted.contains(&id))?;
            if hits.is_empty() {
                continue;
            }
            file.dropped.extend(hits.keys().filter(|id| retracted.contains(id)));
            let improved: HashSet<Id> = hits
                .iter()
                .filter(|(id, _)| !retracted.contains(id))
                .filter(|(id, old)| by_id.get(id).is_some_and(|at| improves(old, &pending[*at].call)))
                .map(|(id, _)| *id)
                .collect();
            for id in hits.keys().filter(|id| !improved.contains(id)) {
                if let Some(&at) = by_id.get(id) {
                    found.entry(at).or_insert(Match::Duplicate);
                }
            }
            if improved.is_empty() {
                continue;
            }
            for old in file.load(&table, &improved)? {
                let id = parse_id(&old.call_id);
                let Some(&at) = by_id.get(&id) else { continue };
                let waiting = &mut pending[at];
                waiting.observables.retain(|o| {
                    let seen = if o.in_arguments { old.arguments_state } else { old.result_state };
                    !payload_seen(seen)
                });
                let was_open = old.is_open();
                let new = std::mem::take(&mut waiting.call);
                *waiting.call = merge(old, *new);
                file.dropped.insert(id);
                found.insert(at, Match::Improved { was_open });
            }
        }
        // What was found in a retracted row goes with it.
        self.void.entry("observables").or_default().extend(&retracted);
        Ok(found)
    }

    /// Orphans among the pending calls by what identifies a response; those that a pending call holds are duplicates.
    fn known_orphans(&mut self, pending: &[Pending], found: &mut HashMap<usize, Match>) -> Result<Orphans, LakeError> {
        let of_kind = |kind: EventKind| {
            move |(at, waiting): (usize, &Pending)| {
                let key = response_key(&waiting.call)?;
                (waiting.call.event_kind == kind).then_some((key, at))
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
