//! Observables of calls whose rows were removed, or improved so that they are in another session, or at another time.

use super::{Staged, Writer};
use crate::ingest::call_file::{Id, ids_of, rewrite_without};
use crate::ingest::rows::Place;
use crate::lake::{LakeError, Transaction, data_file};
use deltalake::kernel::Add;
use std::collections::{HashMap, HashSet};

/// Where the observables of a call are to go. Files are numbered as they are written; what the lake has is 0.
#[derive(Default)]
struct Moved {
    /// Those in files up to this number are of a row that is gone.
    void_until: Option<u64>,
    /// Those in later files up to this number belong elsewhere.
    moved: Option<(u64, Place)>,
}

/// Times of a day's rows, in microseconds; `None`: any.
type Times = Option<(i64, i64)>;

/// Calls that moved, by id.
#[derive(Default)]
pub(super) struct AllMoved {
    calls: HashMap<Id, Moved>,
    /// Where they were.
    days: HashMap<Option<i32>, Times>,
}

impl AllMoved {
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Notes that a row of a day and a time is gone (`to` is `None`) or has another place. Its observables are in files up to a number.
    pub(super) fn note(&mut self, id: Id, (day, time): (Option<i32>, Option<i64>), to: Option<Place>, until: u64) {
        let moved = self.calls.entry(id).or_default();
        match to {
            Some(to) => moved.moved = Some((until, to)),
            None => *moved = Moved { void_until: Some(until), moved: None },
        }
        let times = self.days.entry(day).or_insert(time.map(|time| (time, time)));
        *times = times.zip(time).map(|((low, high), time)| (low.min(time), high.max(time)));
    }

    /// Whether a file may hold one of their observables.
    fn may_be_in(&self, add: &Add) -> bool {
        let Some(times) = self.days.get(&data_file::day_of(add).flatten()) else { return false };
        let apart = |((low, high), (from, to)): ((i64, i64), (i64, i64))| high < from || low > to;
        !data_file::times_of(add).zip(*times).is_some_and(apart)
    }

    /// Whether an observable of a call that stands in a file belongs elsewhere; `Some(None)`: nowhere.
    fn place(&self, id: Id, number: u64) -> Option<Option<&Place>> {
        let moved = self.calls.get(&id)?;
        if moved.void_until.is_some_and(|until| number <= until) {
            return Some(None);
        }
        moved.moved.as_ref().filter(|(until, _)| number <= *until).map(|(_, to)| Some(to))
    }
}

impl Writer<'_> {
    /// Writes files of `observables` anew without what moved, and keeps what moved for files of its own. What this run has written
    /// is in files already.
    pub(super) async fn move_observables(&mut self, transaction: &mut Transaction) -> Result<(), LakeError> {
        let moved = std::mem::take(&mut self.moved);
        for add in self.lake.files("observables").await? {
            if let Some(rest) = self.without_moved(&moved, &add, 0)? {
                rest.into_iter().for_each(|rest| transaction.add("observables", rest));
                transaction.remove("observables", &add, self.now / 1_000_000);
            }
        }
        let (mine, others): (Vec<Staged>, Vec<Staged>) =
            std::mem::take(&mut self.staged).into_iter().partition(|file| file.table == "observables");
        self.staged = others;
        for file in mine {
            match self.without_moved(&moved, &file.add, file.number)? {
                Some(rest) => {
                    self.lake.table_path("observables").remove(&file.add.path)?;
                    let number = self.sequence;
                    self.staged.extend(rest.map(|add| Staged { table: "observables", add, number }));
                }
                None => self.staged.push(file),
            }
        }
        Ok(())
    }

    /// Takes what moved out of a file; gives what takes the file's place, `None` if it holds nothing of it.
    fn without_moved(&mut self, moved: &AllMoved, add: &Add, number: u64) -> Result<Option<Option<Add>>, LakeError> {
        if !moved.may_be_in(add) {
            return Ok(None);
        }
        let path = self.lake.table_path("observables");
        let mut gone = HashSet::new();
        data_file::read(&path, add, &["call_id"], |batch| {
            gone.extend(ids_of(&batch, "observables").filter(|id| moved.place(*id, number).is_some()));
            Ok(())
        })?;
        if gone.is_empty() {
            return Ok(None);
        }
        data_file::read(&path, add, &[], |batch| {
            for (row, id) in ids_of(&batch, "observables").enumerate().filter(|(_, id)| gone.contains(id)) {
                if let Some(to) = moved.place(id, number).flatten() {
                    self.observables.entry(to.day).or_default().move_in(&batch, row, to);
                }
            }
            Ok(())
        })?;
        let name = self.next_name();
        let rest = rewrite_without(&path, "observables", add, &gone, &name, self.now / 1_000_000)?;
        Ok(Some(rest.map(|file| file.add)))
    }
}
