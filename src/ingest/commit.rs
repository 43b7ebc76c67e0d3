//! The commit: rows, what was read of each source, and the halves that wait, in one transaction.

use super::{IngestError, Ingester};
use crate::call::Call;
use crate::lake::State;

impl Ingester<'_> {
    pub(super) fn commit(&mut self) -> Result<(), IngestError> {
        self.uncommitted = 0;
        let (pairing, enricher) = (&self.pairing, &self.enricher);
        let runtime = self.runtime;
        let resolve = |call: &mut Call| pairing.resolve_trace(call);
        let complete = |call: &mut Call| enricher.capabilities(call);
        let mut transaction = runtime.block_on(self.writer.stage(&resolve, &complete))?;
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
        self.sources.stage(self.lake, &mut transaction, self.now / 1_000_000)?;
        transaction.set_state(State::of(&self.pairing).map_err(IngestError::StateNotKept)?);
        runtime.block_on(transaction.commit(self.lake))?;
        Ok(())
    }
}
