//! Turns: an ingest has the lake for one commit at a time, and several ingests of one lake alternate.
//!
//! Everything that an ingest knows of the lake is true while it has the lock. When it gets the lock again and somebody else had it
//! in between, it reads anew what may have changed: sources, files, ids, and the halves that wait. A file that it was in the middle of
//! is gone on with where it stood, unless another ingest went on with the same file meanwhile.

use super::{IngestError, Ingester, call_file};
use crate::lake::{Lake, LakeError, Lock, Patience, data_file};
use crate::source::pairing::{Pairing, Saved};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Others wait so long at least before a turn ends early for them: less would only make more and smaller files.
const SHARE: Duration = Duration::from_secs(5);
/// How long the last turn reads when the user wants the ingest to end.
const LAST_READ: Duration = Duration::from_secs(10);
/// How long the last turn is waited for when the user wants the ingest to end.
const LAST_WAIT: Duration = Duration::from_secs(15);

/// Small tables whose rows are there once, and the column that tells.
const ONCE: [(&str, &str); 3] =
    [("tool_definitions", "definition_id"), ("connections", "identity"), ("prompts", "prompt_id")];

/// A turn that lasts.
pub(super) struct Turn {
    lock: Lock,
    began: Duration,
}

/// Data files of the small tables whose ids were read.
#[derive(Default)]
pub(super) struct Known {
    read: HashMap<&'static str, HashSet<String>>,
}

impl Ingester<'_> {
    /// Waits for the lake, then takes up where it stands.
    pub(super) fn begin_turn(&mut self) -> Result<(), IngestError> {
        let surroundings = self.surroundings;
        let leaving = surroundings.is_stopping();
        let limit = self.options.lock_timeout;
        let patience = Patience {
            purpose: "ingest",
            limit: if leaving { limit.min(LAST_WAIT) } else { limit },
            notice: &|text| surroundings.warn(text),
            cancelled: &|| !leaving && surroundings.is_stopping(),
        };
        let lock = self.runtime.block_on(self.lake.lock(&patience))?;
        self.now = surroundings.now();
        self.writer.set_time(self.now);
        if !self.last_turn.take().is_some_and(|turn| lock.follows(turn)) {
            self.reload()?;
        }
        self.turn = Some(Turn { lock, began: surroundings.elapsed() });
        Ok(())
    }

    /// Commits, and lets others write.
    pub(super) fn end_turn(&mut self) -> Result<(), IngestError> {
        self.commit()?;
        if let Some(Turn { lock, .. }) = self.turn.take() {
            let number = lock.turn();
            lock.release()?;
            self.last_turn = Some(number);
        }
        Ok(())
    }

    /// Commits, and goes on when others who wait have had their turn.
    pub(super) fn pass_turn(&mut self) -> Result<(), IngestError> {
        self.end_turn()?;
        self.begin_turn()
    }

    /// Gives a turn up that failed. Nothing of it has happened, or the next turn finishes it.
    pub(super) fn abandon_turn(&mut self) {
        self.turn = None;
        self.last_turn = None;
        // Rows of the turn that are not in the lake would be taken for known.
        self.known = Known::default();
    }

    /// Whether it is time to commit.
    pub(super) fn is_turn_over(&self) -> bool {
        let is_long = |turn: &Turn| self.surroundings.elapsed().saturating_sub(turn.began) >= SHARE;
        self.uncommitted >= self.options.commit_bytes
            || self.writer.has_many_rejects()
            || self.turn.as_ref().is_some_and(|turn| is_long(turn) && turn.lock.is_wanted())
    }

    /// Whether the ingest should end and has read for long enough since. What it leaves is read when it is started again.
    pub(super) fn is_out_of_time(&self) -> bool {
        let is_late = |turn: &Turn| self.surroundings.elapsed().saturating_sub(turn.began) >= LAST_READ;
        self.surroundings.is_stopping() && self.turn.as_ref().is_some_and(is_late)
    }

    /// Reads what others may have changed.
    fn reload(&mut self) -> Result<(), IngestError> {
        let lake = self.lake;
        let state = lake.state()?;
        let saved: Saved = if state.is_empty() {
            Saved::default()
        } else {
            serde_json::from_slice(&state).map_err(IngestError::State)?
        };
        self.pairing = Pairing::new(self.options.pairing, saved);
        self.kept_from = lake.kept_from()?.map(super::retain::day_number);
        self.sources = self.runtime.block_on(super::Sources::load(lake))?;
        for (table, column) in ONCE {
            let read = self.known.read.entry(table).or_default();
            let ids = self.writer.known_ids(table);
            self.runtime.block_on(read_ids(lake, table, column, read, ids))?;
        }
        let files = self.runtime.block_on(lake.files("calls"))?;
        self.writer.restart(files);
        self.identities.clear();
        self.uncommitted = 0;
        self.touched = false;
        self.out.clear();
        Ok(())
    }
}

/// Reads the ids of a table's rows, of all files or of those that came since.
async fn read_ids(
    lake: &Lake,
    table: &'static str,
    column: &str,
    read: &mut HashSet<String>,
    ids: &mut HashSet<call_file::Id>,
) -> Result<(), LakeError> {
    use arrow::array::AsArray as _;
    let path = lake.table_path(table);
    let files = lake.files(table).await?;
    let there: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    if read.is_empty() || read.iter().any(|known| !there.contains(known.as_str())) {
        read.clear();
        ids.clear();
    }
    for file in &files {
        if read.contains(&file.path) {
            continue;
        }
        data_file::read(&path, file, &[column], |batch| {
            let column = batch.column_by_name(column).map(|array| array.as_string::<i32>());
            ids.extend(column.into_iter().flat_map(|c| c.iter().flatten().map(call_file::parse_id)));
            Ok(())
        })?;
        read.insert(file.path.clone());
    }
    Ok(())
}
