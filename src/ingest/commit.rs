//! The commit: rows, what was read of each source, and the halves that wait, in one transaction.

use super::{IngestError, Ingester, digest_of};
use crate::call::Call;
use crate::lake::{State, data_file};

impl Ingester<'_> {
    pub(super) fn commit(&mut self) -> Result<(), IngestError> {
        self.uncommitted = 0;
        let pairing = &self.pairing;
        let runtime = self.runtime;
        let mut transaction = runtime.block_on(self.writer.stage(&|call: &mut Call| pairing.resolve_trace(call)))?;
        for (at, written) in self.writer.take_counts() {
            self.summary.calls += written.calls;
            self.summary.duplicates += written.duplicates;
            if let Some(row) = self.sources.rows.get_mut(at) {
                row.calls += written.calls as i64;
                row.duplicates += written.duplicates as i64;
            }
        }
        if transaction.is_empty() && !self.touched {
            return Ok(());
        }
        self.touched = false;
        let mut link = String::new();
        for row in &mut self.sources.rows {
            row.chain = digest_of(&[Some(&link), Some(&row.source_id), Some(&row.digest)]);
            row.chain.clone_into(&mut link);
        }
        let now_ms = self.now / 1_000_000;
        let batches = self.sources.batches()?;
        let name = format!("part-{}", uuid::Uuid::new_v4().simple());
        let file = data_file::write(&self.lake.table_path("sources"), &name, None, &batches, now_ms)?;
        for old in std::mem::replace(&mut self.sources.files, vec![file.add.clone()]) {
            transaction.remove("sources", &old, now_ms);
        }
        transaction.add("sources", file.add);
        transaction.set_sources(link);
        transaction.set_state(State::of(&self.pairing).map_err(IngestError::StateNotKept)?);
        runtime.block_on(transaction.commit(self.lake))?;
        Ok(())
    }
}
