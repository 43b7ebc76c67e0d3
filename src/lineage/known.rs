//! Which sessions' flows are in the lake, and from which calls they were found: the table `lineage`.
//!
//! Each step appends the sessions that it looked at; the last row of a session counts. A row without a session says up to which versions of
//! `calls` and `prompts` everything was looked at.

use crate::lake::{Lake, LakeError, Transaction, data_file, tables};
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use std::collections::HashMap;
use std::sync::Arc;

/// Grows with each change to what flows are found; then all are found anew.
const RULES: u64 = 5;
/// Rows that say nothing new, per row that counts, after which the table is written anew.
const STALE: usize = 2;
const COLUMNS: [&str; 6] = ["step", "session", "digest", "flows", "calls_version", "prompts_version"];

/// What a session's flows were found from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// Over the session's calls and prompts.
    pub(super) digest: u64,
    /// How many flows it has.
    pub(super) flows: u64,
}

/// Versions of the tables that flows are found from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) calls: i64,
    pub(super) prompts: i64,
}

impl Versions {
    pub(super) async fn of(lake: &Lake) -> Result<Self, LakeError> {
        Ok(Self { calls: lake.version("calls").await?, prompts: lake.version("prompts").await? })
    }
}

/// The table as it is.
#[derive(Debug, Default)]
pub(super) struct Known {
    step: i64,
    pub(super) sessions: HashMap<u64, State, ahash::RandomState>,
    /// Up to where everything was looked at.
    pub(super) seen: Option<Versions>,
    rows: usize,
    files: Vec<deltalake::kernel::Add>,
}

impl Known {
    pub(super) async fn read(lake: &Lake) -> Result<Self, LakeError> {
        let mut known = Self { files: lake.files("lineage").await?, ..Self::default() };
        let mut steps: HashMap<Option<i64>, i64, ahash::RandomState> = HashMap::default();
        for file in known.files.clone() {
            data_file::read(&lake.table_path("lineage"), &file, &COLUMNS, |batch| {
                known.take(&batch, &mut steps);
                Ok(())
            })?;
        }
        known.sessions.retain(|_, state| state.digest != GONE);
        Ok(known)
    }

    fn take(&mut self, batch: &RecordBatch, steps: &mut HashMap<Option<i64>, i64, ahash::RandomState>) {
        let [step, session, digest, flows, calls, prompts] = COLUMNS.map(|name| data_file::integers(batch, name));
        self.rows += batch.num_rows();
        for row in 0..batch.num_rows() {
            let (at, session) = (step[row].unwrap_or_default(), session[row]);
            self.step = self.step.max(at);
            let last = steps.entry(session).or_insert(i64::MIN);
            if *last > at {
                continue;
            }
            *last = at;
            let digest = digest[row].unwrap_or_default() as u64;
            match (session, calls[row], prompts[row]) {
                (Some(session), ..) => {
                    let flows = flows[row].unwrap_or_default().unsigned_abs();
                    self.sessions.insert(session as u64, State { digest, flows });
                }
                (None, Some(calls), Some(prompts)) => {
                    self.seen = (digest == RULES).then_some(Versions { calls, prompts });
                }
                _ => {}
            }
        }
    }

    /// Puts what a step found out into its transaction. `None` of a session that is gone.
    pub(super) fn note(
        &mut self,
        lake: &Lake,
        transaction: &mut Transaction,
        sessions: &[(u64, Option<State>)],
        seen: Option<Versions>,
        now_ms: i64,
    ) -> Result<(), LakeError> {
        self.step += 1;
        for (session, state) in sessions {
            match state {
                Some(state) => self.sessions.insert(*session, *state),
                None => self.sessions.remove(session),
            };
        }
        self.seen = seen.or(self.seen);
        let mut rows: Vec<[Option<i64>; 6]> = Vec::new();
        let of_session = |step, session: u64, state: State| {
            [Some(step), Some(session as i64), Some(state.digest as i64), Some(state.flows as i64), None, None]
        };
        let of_versions =
            |seen: Versions| [Some(self.step), None, Some(RULES as i64), None, Some(seen.calls), Some(seen.prompts)];
        self.rows += sessions.len() + usize::from(seen.is_some());
        if self.rows > 1000 + STALE * self.sessions.len() {
            self.files.drain(..).for_each(|file| transaction.remove("lineage", &file, now_ms));
            let mut all: Vec<_> = self.sessions.iter().map(|(session, state)| (*session, *state)).collect();
            all.sort_unstable_by_key(|(session, _)| *session);
            rows.extend(all.into_iter().map(|(session, state)| of_session(self.step, session, state)));
            rows.extend(self.seen.map(of_versions));
            self.rows = rows.len();
        } else {
            let gone = State { digest: GONE, flows: 0 };
            rows.extend(sessions.iter().map(|(session, state)| of_session(self.step, *session, state.unwrap_or(gone))));
            rows.extend(seen.map(of_versions));
        }
        if rows.is_empty() {
            return Ok(());
        }
        let schema = tables::table("lineage").expect("lineage is a table of the lake").schema();
        let column = |at: usize| Arc::new(rows.iter().map(|row| row[at]).collect::<Int64Array>()) as ArrayRef;
        let batch = RecordBatch::try_new(schema, (0..COLUMNS.len()).map(column).collect())?;
        let name = format!("part-{}", uuid::Uuid::new_v4().simple());
        let file = data_file::write(&lake.table_path("lineage"), &name, None, &[batch], now_ms)?;
        self.files.push(file.add.clone());
        transaction.add("lineage", file.add);
        Ok(())
    }
}

/// Digest of a session that the lake has no calls of any more.
const GONE: u64 = 0;

/// Digest over a session, from the sum over its rows.
pub(super) fn digest(sum: u64) -> u64 {
    super::words::mix(sum, RULES).max(GONE + 1)
}
