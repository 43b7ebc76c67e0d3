//! Rows → data files, each call once.
//!
//! Calls are collected, checked by `call_id` against what the lake and this run already hold, merged where both views know
//! something, and written as Parquet on other threads. Nothing becomes visible before [`Writer::stage`]'s transaction commits.

mod encoding;
mod known;
mod moved;

pub(super) use known::Match;

use super::call_file::{CallFile, Id, id_column, ids_of, parse_id, rewrite_without};
use super::rows::{ObservableRows, Rows, Value};
use crate::call::{Call, CallBatchBuilder, Nanos, Observable, merge, partition_day, payload_seen};
use crate::lake::{Lake, LakeError, TablePath, Transaction, data_file};
use crate::source::pairing::{RowRef, amend, amend_row};
use arrow::array::RecordBatch;
use deltalake::kernel::Add;
use encoding::{Encoders, Staged};
use moved::AllMoved;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Payload bytes of one data file before compression; two or three such batches are in memory at once.
const FLUSH_BYTES: usize = 14 << 20;
/// Calls of one data file at most, so that rows without payloads do not pile up either.
const FLUSH_ROWS: usize = 100_000;
/// Bytes of rows of a small table after which they are written, also if no calls are.
const SPILL_BYTES: usize = 28 << 20;
/// Bytes of rejects after which a commit is due: until then they stay in memory, because one may be taken back.
const MAX_REJECTS: usize = 64 << 20;
/// Ids of committed files that are kept, so that frequent commits do not read them from disk each time (16 bytes each).
const KEPT_IDS: usize = 1 << 20;

/// What a flush did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written {
    pub(super) calls: u64,
    pub(super) duplicates: u64,
}

/// A call that waits for its flush.
struct Pending {
    id: Id,
    call: Box<Call>,
    observables: Vec<Observable>,
    source: usize,
    /// It was retracted before it was written.
    is_void: bool,
}

/// What a record says of a row that it does not know.
struct Amendment {
    /// Of the row, in microseconds.
    time: Option<i64>,
    said: Call,
}

/// Where a waiting call stands.
type ById = HashMap<Id, usize, ahash::RandomState>;

/// Collects and writes rows.
pub(super) struct Writer<'a> {
    lake: &'a Lake,
    ingest_id: String,
    now: Nanos,
    pending: Vec<Pending>,
    by_id: ById,
    pending_bytes: usize,
    files: Vec<CallFile>,
    /// Rows to remove, and their times in microseconds.
    retracted: HashMap<Id, Option<i64>, ahash::RandomState>,
    amended: HashMap<Id, Amendment, ahash::RandomState>,
    moved: AllMoved,
    observables: BTreeMap<Option<i32>, ObservableRows>,
    small: BTreeMap<&'static str, Rows>,
    staged: Vec<Staged>,
    encoders: Encoders,
    sequence: u64,
    /// New rows and duplicates per source since the last [`Writer::take_counts`].
    counts: HashMap<usize, Written>,
    /// Rows of earlier runs that are no longer true, by table.
    void: BTreeMap<&'static str, HashSet<Id>>,
    /// Ids of the small tables' rows that exist.
    known: HashMap<&'static str, HashSet<Id>>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(lake: &'a Lake, ingest_id: String) -> Self {
        Self {
            lake,
            ingest_id,
            now: 0,
            pending: Vec::new(),
            by_id: ById::default(),
            pending_bytes: 0,
            files: Vec::new(),
            retracted: HashMap::default(),
            amended: HashMap::default(),
            moved: AllMoved::default(),
            observables: BTreeMap::new(),
            small: BTreeMap::new(),
            staged: Vec::new(),
            encoders: Encoders::new(),
            sequence: 0,
            counts: HashMap::new(),
            void: BTreeMap::new(),
            known: HashMap::new(),
        }
    }

    /// Sets the time of what is written from now on.
    pub(super) fn set_time(&mut self, now: Nanos) {
        self.now = now;
    }

    /// Ids of a small table's rows that exist.
    pub(super) fn known_ids(&mut self, table: &'static str) -> &mut HashSet<Id> {
        self.known.entry(table).or_default()
    }

    /// Starts over with these files of `calls`; what was not committed is forgotten.
    pub(super) fn restart(&mut self, files: Vec<Add>) {
        // What is still being written would otherwise appear after the strays have been removed.
        self.encoders.wait();
        let old: Vec<CallFile> = std::mem::take(&mut self.files);
        let mut ids: HashMap<String, Vec<Id>> =
            old.into_iter().filter_map(|file| Some((file.add.path, file.ids?))).collect();
        let file = |add: Add| CallFile {
            times: data_file::times_of(&add),
            ids: ids.remove(&add.path),
            add: Add { stats: None, ..add },
            committed: true,
            dropped: HashSet::new(),
        };
        self.files = files.into_iter().map(file).collect();
        self.pending.clear();
        self.by_id.clear();
        self.pending_bytes = 0;
        self.retracted.clear();
        self.amended.clear();
        self.moved.clear();
        self.observables.clear();
        self.small.clear();
        self.staged.clear();
        self.counts.clear();
        self.void.clear();
        self.known.remove("rejects");
    }

    /// Takes one call; gives whether a flush is due.
    pub(super) fn call(&mut self, call: Box<Call>, observables: Vec<Observable>, source: usize) -> bool {
        self.pending_bytes +=
            call.arguments.as_ref().map_or(0, String::len) + call.result.as_ref().map_or(0, String::len) + 512;
        let id = parse_id(&call.call_id);
        if let Some(&at) = self.by_id.get(&id) {
            let known = &mut self.pending[at];
            let was_open = known.call.is_open();
            add_observables(&mut known.observables, observables, &known.call);
            let first = std::mem::take(&mut known.call);
            *known.call = merge(*first, *call);
            // Two halves of one call are no duplicate; two whole views of it are.
            if !was_open {
                self.counts.entry(source).or_default().duplicates += 1;
            }
        } else {
            self.by_id.insert(id, self.pending.len());
            self.pending.push(Pending { id, call, observables, source, is_void: false });
        }
        self.pending_bytes >= FLUSH_BYTES || self.pending.len() >= FLUSH_ROWS
    }

    /// Removes a row, wherever it is. One with the same id that comes later is another.
    pub(super) fn retract(&mut self, row: &RowRef) {
        let id = parse_id(&row.call_id);
        if let Some(at) = self.by_id.remove(&id) {
            self.pending[at].is_void = true;
        }
        self.amended.remove(&id);
        let time = micros(row.time);
        self.retracted.entry(id).and_modify(|known| *known = known.filter(|_| *known == time)).or_insert(time);
    }

    /// Changes a row, wherever it is.
    pub(super) fn amend(&mut self, row: &RowRef, said: Call) {
        let id = parse_id(&row.call_id);
        if let Some(&at) = self.by_id.get(&id) {
            return amend_row(&mut self.pending[at].call, said);
        }
        match self.amended.get_mut(&id) {
            Some(known) => amend(&mut known.said, said),
            None => drop(self.amended.insert(id, Amendment { time: micros(row.time), said })),
        }
    }

    /// Adds a row to a small table unless a row with its id (the first column) exists.
    pub(super) fn row(&mut self, table: &'static str, row: Vec<Value>) -> bool {
        if let Some(Value::Text(id)) = row.first()
            && !self.known.entry(table).or_default().insert(parse_id(id))
        {
            return false;
        }
        self.small.entry(table).or_insert_with(|| Rows::of(table)).push(row);
        true
    }

    /// Removes a row of `rejects`: the unfinished record has been finished.
    pub(super) fn forget_reject(&mut self, id: &str) {
        let id = parse_id(id);
        if self.known.entry("rejects").or_default().remove(&id)
            && let Some(rows) = self.small.get_mut("rejects")
        {
            rows.remove(id);
        }
        self.void.entry("rejects").or_default().insert(id);
    }

    /// Whether the rejects take so much memory that a commit is due.
    pub(super) fn has_many_rejects(&self) -> bool {
        self.small.get("rejects").is_some_and(|rows| rows.bytes() >= MAX_REJECTS)
    }

    /// Writes rows of small tables of which there are many: input without calls makes no flush due.
    pub(super) fn spill(&mut self) -> Result<(), LakeError> {
        self.flush_small(|table, rows| table != "rejects" && rows.bytes() >= SPILL_BYTES)
    }

    /// New calls and duplicates per source.
    pub(super) fn take_counts(&mut self) -> HashMap<usize, Written> {
        std::mem::take(&mut self.counts)
    }

    /// Writes what is pending. `resolve` is asked last about each call, `complete` about rows that were amended.
    pub(super) fn flush(&mut self, resolve: &dyn Fn(&mut Call), complete: &dyn Fn(&mut Call)) -> Result<(), LakeError> {
        if self.pending.is_empty() && self.retracted.is_empty() && self.amended.is_empty() {
            return Ok(());
        }
        let mut pending = std::mem::take(&mut self.pending);
        let by_id = std::mem::take(&mut self.by_id);
        self.pending_bytes = 0;
        for waiting in &mut pending {
            resolve(&mut waiting.call);
        }
        let skip = self.match_known(&mut pending, &by_id, complete)?;
        let mut days: BTreeMap<Option<i32>, Vec<Pending>> = BTreeMap::new();
        for (at, waiting) in pending.into_iter().enumerate() {
            let count = self.counts.entry(waiting.source).or_default();
            match skip.get(&at) {
                Some(Match::Duplicate) => {
                    count.duplicates += 1;
                    continue;
                }
                Some(Match::Retracted) => continue,
                Some(Match::Improved { was_open: true }) => {}
                // Another view of a call that was whole already: it adds to the row, not to the rows.
                Some(Match::Improved { was_open: false }) => count.duplicates += 1,
                None => count.calls += 1,
            }
            days.entry(partition_day(waiting.call.time)).or_default().push(waiting);
        }
        for (day, calls) in days {
            self.write_calls(day, calls)?;
        }
        if self.observables.values().map(ObservableRows::bytes).sum::<usize>() >= FLUSH_BYTES / 2 {
            self.flush_observables()?;
        }
        // A reject may be taken back until the commit.
        self.flush_small(|table, rows| table != "rejects" && rows.bytes() >= FLUSH_BYTES / 4)
    }

    /// Writes the small tables for which the condition holds.
    fn flush_small(&mut self, due: impl Fn(&str, &Rows) -> bool) -> Result<(), LakeError> {
        for (table, rows) in self.small.extract_if(.., |table, rows| due(table, rows)).collect::<Vec<_>>() {
            if rows.is_empty() {
                continue;
            }
            let batch = rows.finish()?;
            for (day, batch) in data_file::split_by_day(&batch)? {
                self.encode(table, day, Vec::new(), || Ok(vec![batch]))?;
            }
        }
        Ok(())
    }

    fn write_calls(&mut self, day: Option<i32>, calls: Vec<Pending>) -> Result<(), LakeError> {
        let rows = self.observables.entry(day).or_default();
        for Pending { call, observables, .. } in &calls {
            rows.extend(call, observables);
        }
        let ids = calls.iter().map(|waiting| waiting.id).collect();
        let (ingest_id, now) = (self.ingest_id.clone(), self.now);
        self.encode("calls", day, ids, move || Ok(vec![batch_of(&calls, &ingest_id, now)?]))
    }

    fn flush_observables(&mut self) -> Result<(), LakeError> {
        for (day, rows) in std::mem::take(&mut self.observables) {
            if !rows.is_empty() {
                self.encode("observables", day, Vec::new(), move || rows.finish(day))?;
            }
        }
        Ok(())
    }

    /// Finishes all files and puts them into a transaction.
    pub(super) async fn stage(
        &mut self,
        resolve: &dyn Fn(&mut Call),
        complete: &dyn Fn(&mut Call),
    ) -> Result<Transaction, LakeError> {
        self.flush(resolve, complete)?;
        self.flush_observables()?;
        self.flush_small(|_, _| true)?;
        self.collect_all()?;
        let mut transaction = Transaction::default();
        if !self.moved.is_empty() {
            self.move_observables(&mut transaction).await?;
            self.flush_observables()?;
            self.collect_all()?;
        }
        let now_ms = self.now / 1_000_000;
        let path = self.lake.table_path("calls");
        for at in 0..self.files.len() {
            if !self.files[at].dropped.is_empty() {
                let replacement = self.rewrite(at, &path, now_ms, &mut transaction)?;
                self.files[at] = replacement;
            }
            let file = &mut self.files[at];
            if !file.committed && !file.add.path.is_empty() {
                transaction.add("calls", file.add.clone());
                file.committed = true;
                file.add.stats = None;
            }
        }
        self.trim_ids();
        // A record is refused once in a turn; what was refused before is not read again.
        self.known.remove("rejects");
        self.files.retain(|file| !file.add.path.is_empty());
        for Staged { table, add, .. } in std::mem::take(&mut self.staged) {
            transaction.add(table, add);
        }
        for (table, gone) in std::mem::take(&mut self.void) {
            if !gone.is_empty() {
                self.rewrite_small(table, &gone, now_ms, &mut transaction).await?;
            }
        }
        Ok(transaction)
    }

    /// Keeps the ids of the newest files only.
    fn trim_ids(&mut self) {
        let mut kept = self.kept_ids();
        for file in &mut self.files {
            if kept <= KEPT_IDS {
                break;
            }
            kept -= file.ids.take().map_or(0, |ids| ids.len());
        }
    }

    fn kept_ids(&self) -> usize {
        self.files.iter().filter_map(|file| file.ids.as_ref()).map(Vec::len).sum()
    }

    /// Writes a file of `calls` again without its dropped rows.
    fn rewrite(
        &mut self,
        at: usize,
        table: &TablePath,
        now_ms: i64,
        transaction: &mut Transaction,
    ) -> Result<CallFile, LakeError> {
        let name = self.next_name();
        let file = &self.files[at];
        let written = rewrite_without(table, "calls", &file.add, &file.dropped, &name, now_ms)?;
        if file.committed {
            transaction.remove("calls", &file.add, now_ms);
        } else {
            table.remove(&file.add.path)?;
        }
        let (add, times) = written.map_or((Add::default(), None), |file| (file.add, file.times));
        Ok(CallFile { add, times, committed: false, ids: None, dropped: HashSet::new() })
    }

    /// Removes rows of earlier runs from a table other than `calls`.
    async fn rewrite_small(
        &mut self,
        table: &'static str,
        gone: &HashSet<Id>,
        now_ms: i64,
        transaction: &mut Transaction,
    ) -> Result<(), LakeError> {
        let path = self.lake.table_path(table);
        for add in self.lake.files(table).await? {
            let mut holds = false;
            data_file::read(&path, &add, &[id_column(table)], |batch| {
                holds |= ids_of(&batch, table).any(|id| gone.contains(&id));
                Ok(())
            })?;
            if holds {
                let name = self.next_name();
                if let Some(file) = rewrite_without(&path, table, &add, gone, &name, now_ms)? {
                    transaction.add(table, file.add);
                }
                transaction.remove(table, &add, now_ms);
            }
        }
        Ok(())
    }
}

/// The rows of waiting calls.
fn batch_of(calls: &[Pending], ingest_id: &str, now: Nanos) -> Result<RecordBatch, LakeError> {
    let length = |payload: fn(&Call) -> &Option<String>| {
        calls.iter().filter_map(|waiting| payload(&waiting.call).as_ref()).map(String::len).sum()
    };
    let payloads = [length(|call| &call.arguments), length(|call| &call.result)];
    let mut builder = CallBatchBuilder::with_capacity(ingest_id, now, calls.len(), payloads);
    calls.iter().for_each(|waiting| builder.append(&waiting.call));
    Ok(builder.finish()?)
}

fn micros(time: Option<Nanos>) -> Option<i64> {
    time.map(|time| time.div_euclid(1000))
}

/// Adds the observables of a second view where the first had no payload.
fn add_observables(known: &mut Vec<Observable>, new: Vec<Observable>, call: &Call) {
    let (arguments, result) = (payload_seen(call.arguments_state), payload_seen(call.result_state));
    known.extend(new.into_iter().filter(|o| if o.in_arguments { !arguments } else { !result }));
}
