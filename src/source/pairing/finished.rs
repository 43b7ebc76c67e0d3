//! Calls with an id of their own that became rows of late: what a third record says of one that stands behind both halves, and is read
//! in a later run, is said of its row.

use super::half::{OpenKey, RowRef};
use super::{Pairing, Row};
use crate::call::{Call, Nanos, Outcome, Text};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Rows that are remembered. A record about a call follows it within seconds.
const MAX_REMEMBERED: usize = 1024;

/// Rows by a digest of their calls' keys. Digests of another version of the program match nothing, which is as if they were forgotten.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, Text, Option<Nanos>)>", into = "Vec<(u64, Text, Option<Nanos>)>")]
pub(super) struct Finished {
    rows: HashMap<u64, RowRef, ahash::RandomState>,
    order: VecDeque<u64>,
}

impl Finished {
    /// The row that a call has become.
    fn row(&mut self, key: &OpenKey) -> Option<&mut RowRef> {
        self.rows.get_mut(&digest(key))
    }

    pub(super) fn note(&mut self, key: &OpenKey, row: RowRef) {
        let digest = digest(key);
        if self.rows.insert(digest, row).is_some() {
            return;
        }
        self.order.push_back(digest);
        if self.order.len() > MAX_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.rows.remove(&oldest);
        }
    }
}

impl Pairing {
    /// A request is given up by its sender, perhaps after it was published as one that nobody has answered yet.
    pub(super) fn cancel(&mut self, key: &OpenKey, time: Option<Nanos>, outcome: Outcome, out: &mut Vec<Row>) {
        if let Some(row) = self.open.cancel(key, time, outcome) {
            let said = Box::new(Call { outcome, time_end: time, ..Call::default() });
            out.push(Row::Amend { row, said });
        }
    }

    /// What a third record says of a call waits for its halves, or is said of the row that it has become.
    pub(super) fn amend(&mut self, key: OpenKey, said: Box<Call>, out: &mut Vec<Row>) {
        if let Some(row) = self.open.amend_published(&key, said.time) {
            out.push(Row::Amend { row, said: said.clone() });
        } else if !self.open.has_halves(&key)
            && let Some(row) = self.finished.row(&key)
        {
            out.push(Row::Amend { row: row.clone(), said: said.clone() });
            row.time = said.time.or(row.time);
            return;
        }
        self.open.amend(key, said);
    }
}

fn digest(key: &OpenKey) -> u64 {
    let mut hash = DefaultHasher::new();
    key.hash(&mut hash);
    hash.finish()
}

impl From<Vec<(u64, Text, Option<Nanos>)>> for Finished {
    fn from(saved: Vec<(u64, Text, Option<Nanos>)>) -> Self {
        Self {
            order: saved.iter().map(|(digest, ..)| *digest).collect(),
            rows: saved.into_iter().map(|(digest, call_id, time)| (digest, RowRef { call_id, time })).collect(),
        }
    }
}

impl From<Finished> for Vec<(u64, Text, Option<Nanos>)> {
    fn from(mut finished: Finished) -> Self {
        let order = std::mem::take(&mut finished.order);
        order
            .into_iter()
            .filter_map(|digest| finished.rows.remove(&digest).map(|row| (digest, row.call_id, row.time)))
            .collect()
    }
}
