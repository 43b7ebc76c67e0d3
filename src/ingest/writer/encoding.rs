//! Making batches and writing them to files on other threads, a few at a time.

use super::Writer;
use crate::ingest::call_file::{CallFile, Id};
use crate::lake::{DataFile, LakeError, data_file, tables};
use arrow::array::RecordBatch;
use deltalake::kernel::Add;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::mpsc;

/// Encoders at work at once; more would only hold more batches in memory.
const MAX_ENCODING: usize = 2;

/// A file that another thread is writing.
pub(super) struct Encoding {
    table: &'static str,
    number: u64,
    /// Ids of its rows, for a file of `calls`.
    pub(super) ids: Vec<Id>,
    pub(super) written: mpsc::Receiver<Result<DataFile, LakeError>>,
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
        while self.encoding.len() >= MAX_ENCODING {
            self.collect_one()?;
        }
        let (send, written) = mpsc::sync_channel(1);
        let (path, name) = (self.lake.table_path(table), self.next_name());
        let number = self.sequence;
        let partition = tables::table(table).filter(|t| t.by_day).map(|_| day);
        let now_ms = self.now / 1_000_000;
        rayon::spawn(move || {
            let file = batches().and_then(|batches| data_file::write(&path, &name, partition, &batches, now_ms));
            // The receiver is gone only if the ingest has failed already.
            let _ = send.send(file);
        });
        self.encoding.push(Encoding { table, number, ids, written });
        Ok(())
    }

    pub(super) fn next_name(&mut self) -> String {
        self.sequence += 1;
        format!("part-{:05}-{}", self.sequence, self.ingest_id)
    }

    fn collect_one(&mut self) -> Result<(), LakeError> {
        let Encoding { table, number, ids, written } = self.encoding.remove(0);
        let file = written.recv().map_err(|_| LakeError::Damaged {
            path: PathBuf::from("(encoder)"),
            cause: "an encoder thread stopped without a result".to_owned(),
        })??;
        if table == "calls" {
            let (add, times) = (file.add, file.times);
            self.files.push(CallFile { add, times, committed: false, ids: Some(ids), dropped: HashSet::new() });
        } else {
            self.staged.push(Staged { table, add: file.add, number });
        }
        Ok(())
    }

    pub(super) fn collect_all(&mut self) -> Result<(), LakeError> {
        while !self.encoding.is_empty() {
            self.collect_one()?;
        }
        Ok(())
    }
}
