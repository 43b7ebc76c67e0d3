//! What retention means for ingest: halves of calls that wait and are too old are forgotten, and rows that are do not come back.

use super::{IngestError, Ingester};
use crate::call::{Nanos, partition_day};
use crate::lake::{Lake, State};
use crate::source::pairing::Saved;
use chrono::NaiveDate;

/// A day as partitions are numbered: days since the epoch.
pub(super) fn day_number(day: NaiveDate) -> i32 {
    i32::try_from(day.signed_duration_since(NaiveDate::default()).num_days()).unwrap_or(i32::MIN)
}

impl Ingester<'_> {
    /// Whether a row is of before the days that retention keeps; such a row is counted and not written.
    pub(super) fn is_expired(&mut self, time: Option<Nanos>) -> bool {
        let expired = partition_day(time).zip(self.kept_from).is_some_and(|(day, from)| day < from);
        self.summary.expired += u64::from(expired);
        expired
    }
}

/// The lake's state without halves of before a day, and how many those are; `None` if there are none.
///
/// # Errors
/// The state cannot be read.
pub fn state_without(lake: &Lake, before: NaiveDate) -> Result<Option<(State, usize)>, IngestError> {
    let state = lake.state()?;
    if state.is_empty() {
        return Ok(None);
    }
    let mut saved: Saved = serde_json::from_slice(&state).map_err(IngestError::State)?;
    let forgotten = saved.forget_before(day_number(before));
    if forgotten == 0 {
        return Ok(None);
    }
    let kept = State::of(&saved).map_err(IngestError::StateNotKept)?;
    Ok(Some((kept, forgotten)))
}
