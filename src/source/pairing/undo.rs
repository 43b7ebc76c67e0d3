//! A record without an end that was read as it stood, and has grown since: what it did is taken back, and it is read once more.

use super::half::{Half, OpenKey, RowRef};
use super::open::{Complete, Open, fingerprint, forget_orphan};
use super::{Pairing, Row, Scope, SourceContext};
use serde::{Deserialize, Serialize};

/// What the last record of a source did. Kept with the source until the record has an end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Undo {
    /// Where the record starts.
    offset: i64,
    /// The source's chain before it.
    chain: [u8; 32],
    /// Rows that it made.
    rows: Vec<RowRef>,
    /// Halves that it found waiting.
    found: Vec<(OpenKey, Half)>,
    /// Requests that count as answered since.
    answered: Vec<u64>,
}

impl Undo {
    /// Where the record starts.
    pub fn offset(&self) -> i64 {
        self.offset
    }
}

impl Pairing {
    /// From here on it is noted what the record at this offset does.
    pub fn begin_undo(&mut self, scope: &Scope<'_>, offset: i64) {
        self.undo = Some(Undo { offset, chain: scope.source.chain, ..Undo::default() });
    }

    /// The record has been read; `out` is what came of it. What waits for the other half is found again by its place.
    pub fn end_undo(&mut self, out: &[Row]) -> Option<Undo> {
        let mut undo = self.undo.take()?;
        let is_of = |offset: i64| offset == undo.offset;
        undo.rows = out
            .iter()
            .filter_map(|row| match row {
                Row::Call { call, .. }
                    if is_of(call.source.offset) || call.response.is_some_and(|at| is_of(at.offset)) =>
                {
                    Some(RowRef::of(call))
                }
                _ => None,
            })
            .collect();
        Some(undo)
    }

    /// Takes back what a record of the source with this number did: it goes on, and is about to be read again.
    pub fn take_back(&mut self, number: u64, undo: Undo, source: &mut SourceContext, out: &mut Vec<Row>) {
        source.chain = undo.chain;
        out.extend(undo.rows.into_iter().map(Row::Retract));
        out.extend(self.open.take_record(number, undo.offset).into_iter().map(Row::Retract));
        undo.answered.into_iter().for_each(|request| self.answered.forget(request));
        undo.found.into_iter().for_each(|(key, half)| self.open.put_back(key, half));
    }

    /// Notes that a request has its answer.
    pub(super) fn note_answered(&mut self, request: Option<u64>) {
        if let Some(undo) = &mut self.undo {
            undo.answered.extend(request);
        }
    }

    /// Notes a half that was found waiting.
    pub(super) fn note_found(&mut self, key: &OpenKey, half: &Half) {
        if let Some(undo) = &mut self.undo {
            // Its row, if it has one, gives way to that of the pair.
            let half = Half { published: None, published_time: None, ..half.clone() };
            undo.found.push((key.clone(), half));
        }
    }
}

impl Open {
    /// Puts back a half that had been taken.
    pub(super) fn put_back(&mut self, key: OpenKey, half: Half) {
        self.tally.count(&half);
        if half.call.response.is_some() {
            if let Some(fingerprint) = fingerprint(&half.call) {
                self.orphans.insert(fingerprint, key.clone());
            }
            self.entries.entry(key).or_default().responses.push_front(half);
        } else {
            self.entries.entry(key).or_default().requests.push_front(half);
        }
    }

    /// Takes out the halves that a record of a source gave; gives the rows under which they, or what they completed, stand in the lake.
    pub(super) fn take_record(&mut self, source: u64, offset: i64) -> Vec<RowRef> {
        let is_of = |half: &Half| half.source == source && half.call.source.offset == offset;
        let mut rows = Vec::new();
        for key in self.keys_of(source) {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            if !entry.requests.iter().chain(&entry.responses).any(is_of) {
                continue;
            }
            if entry.is_complete(&key) {
                for half in entry.requests.iter_mut().chain(&mut entry.responses) {
                    rows.extend(half.row());
                    half.published = None;
                }
            }
            for halves in [&mut entry.requests, &mut entry.responses] {
                while let Some(half) = halves.iter().position(is_of).and_then(|at| halves.remove(at)) {
                    rows.extend(half.row());
                    forget_orphan(&mut self.orphans, &key, &half);
                    self.tally.sub(&half);
                }
            }
            self.drop_if_empty(&key);
        }
        rows
    }

    /// Copies of calls with both halves, one of which a record of a source gave.
    pub(super) fn complete_of(&self, source: u64, offset: i64) -> Vec<Complete> {
        let is_of = |half: &Half| half.source == source && half.call.source.offset == offset;
        let copy = |key: OpenKey| {
            let entry = self.entries.get(&key).filter(|entry| entry.is_complete(&key))?;
            let (request, response) = (entry.requests.front()?.clone(), entry.responses.front()?.clone());
            let amend = entry.amend.clone();
            (is_of(&request) || is_of(&response)).then_some(Complete { key, request, response, amend })
        };
        self.keys_of(source).into_iter().filter_map(copy).collect()
    }
}
