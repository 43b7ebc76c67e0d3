//! Making batches and writing them to files on other threads, a few at a time.

use super::Writer;
use crate::ingest::call_file::{CallFile, Id};
use crate::lake::{DataFile, LakeError, data_file, tables};
use arrow::array::RecordBatch;
use deltalake::kernel::Add;
use std::collections::HashSet;
use std::sync::mpsc;

/// Encoders at work at once; more would only hold more batches in memory.
const MAX_ENCODING: usize = 2;

/// Files that other threads are writing.
pub(super) struct Encoders {
    at_work: Vec<Encoding>,
    report: mpsc::Sender<Finished>,
    finished: mpsc::Receiver<Finished>,
}

struct Encoding {
    table: &'static str,
    number: u64,
    /// Ids of its rows, for a file of `calls`.
    ids: Vec<Id>,
}

/// The number of a file, and what became of it.
type Finished = (u64, Result<DataFile, LakeError>);

impl Encoders {
    pub(super) fn new() -> Self {
        let (report, finished) = mpsc::channel();
        Self { at_work: Vec::new(), report, finished }
    }

    /// Ids of the rows in each file.
    pub(super) fn ids(&self) -> impl Iterator<Item = &[Id]> {
        self.at_work.iter().map(|file| &file.ids[..])
    }

    /// The file that is finished first, in whatever order they were begun.
    fn next(&mut self) -> Option<(Encoding, Result<DataFile, LakeError>)> {
        while !self.at_work.is_empty() {
            let (number, file) = self.finished.recv().ok()?;
            if let Some(at) = self.at_work.iter().position(|encoding| encoding.number == number) {
                return Some((self.at_work.swap_remove(at), file));
            }
        }
        None
    }

    /// Waits until none is at work, whatever they have written.
    pub(super) fn wait(&mut self) {
        while self.next().is_some() {}
    }
}

/// A file that is written and not in a transaction yet.
pub(super) struct Staged {
    pub(super) table: &'static str,
    pub(super) add: Add,
    /// Files are numbered in the order in which their rows were complete.
    pub(super) number: u64,
}

impl Writer<'_> {
    /// Starts making a batch and writing it to a file on another thread: this one has the halves to pair.
    pub(super) fn encode(
        &mut self,
        table: &'static str,
        day: Option<i32>,
        ids: Vec<Id>,
        batches: impl FnOnce() -> Result<Vec<RecordBatch>, LakeError> + Send + 'static,
    ) -> Result<(), LakeError> {
        while self.encoders.at_work.len() >= MAX_ENCODING {
            self.collect_one()?;
        }
        let (path, name) = (self.lake.table_path(table), self.next_name());
        let number = self.sequence;
        let partition = tables::table(table).filter(|t| t.by_day).map(|_| day);
        let now_ms = self.now / 1_000_000;
        let report = self.encoders.report.clone();
        // A panic there ends the process, as of any of rayon's threads: whoever waits for a file gets one or its error.
        rayon::spawn(move || {
            let file = batches().and_then(|batches| data_file::write(&path, &name, partition, &batches, now_ms));
            // The receiver is gone only if the ingest has failed already.
            let _ = report.send((number, file));
        });
        self.encoders.at_work.push(Encoding { table, number, ids });
        Ok(())
    }

    pub(super) fn next_name(&mut self) -> String {
        self.sequence += 1;
        format!("part-{:05}-{}", self.sequence, self.ingest_id)
    }

    /// Gives whether one was at work.
    fn collect_one(&mut self) -> Result<bool, LakeError> {
        let Some((Encoding { table, number, ids }, file)) = self.encoders.next() else { return Ok(false) };
        let file = file?;
        if table == "calls" {
            let (add, times) = (file.add, file.times);
            self.files.push(CallFile { add, times, committed: false, ids: Some(ids), dropped: HashSet::new() });
        } else {
            self.staged.push(Staged { table, add: file.add, number });
        }
        Ok(true)
    }

    pub(super) fn collect_all(&mut self) -> Result<(), LakeError> {
        while self.collect_one()? {}
        Ok(())
    }
}
