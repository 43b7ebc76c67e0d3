//! The right to write to a lake: one writer at a time, each for one turn. In an object store it is a lease
//! ([`store::lease`](super::store)); what follows is about folders.
//!
//! Two files are locked. Who wants a turn first takes `queue`, waits there for `lock`, and then gives `queue` to the next: a writer that
//! ends its turn and wants another stands behind whoever waits already. The system frees both when a process ends, however it
//! ends. What stands in `lock` is a note about the last turn: which it was, whose, and whether it was ended in order. If not,
//! the next writer cleans up first.

use super::store::Lock;
use super::{Lake, LakeError, OWN, transaction, upgrade};
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Pause between two looks at a lock that somebody has.
const PAUSE: Duration = Duration::from_millis(20);
/// Waiting that needs no explanation.
pub(super) const SILENT: Duration = Duration::from_secs(3);
/// Bytes of the note. It is overwritten in place, so that a full disk does not refuse it.
const NOTE: usize = 256;

/// How a writer waits for its turn.
pub struct Patience<'a> {
    /// What it is going to do, for others who wait.
    pub purpose: &'static str,
    /// How long it waits.
    pub limit: Duration,
    /// Is told once, after some seconds, who has the lake.
    pub notice: &'a (dyn Fn(&str) + Sync),
    /// Whether waiting has become pointless.
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
}

impl Patience<'_> {
    /// Waits for so long, in silence.
    pub fn silent(purpose: &'static str, limit: Duration) -> Patience<'static> {
        Patience { purpose, limit, notice: &|_| {}, cancelled: &|| false }
    }
}

/// What `lock` says of the last turn.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Note {
    turn: u64,
    pid: u32,
    purpose: String,
    /// Ended in order: nothing is left to finish or to clean up.
    ended: bool,
}

/// The right to write to a lake in a folder.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
    path: PathBuf,
    note: Note,
    /// The turn before this one.
    before: u64,
}

impl Lake {
    /// Waits for a turn, then finishes what an earlier writer began and could not finish, and brings an older lake up to date.
    ///
    /// # Errors
    /// Others had the lake for too long, or finishing fails.
    pub async fn lock(&self, patience: &Patience<'_>) -> Result<Lock, LakeError> {
        let (lock, clean) = self.store.acquire(patience).await?;
        transaction::recover(self, !clean).await?;
        upgrade::upgrade(self).await?;
        Ok(lock)
    }
}

impl FolderLock {
    /// Number of this turn.
    pub(super) fn turn(&self) -> u64 {
        self.note.turn
    }

    /// Whether nobody wrote since the turn with this number.
    pub(super) fn follows(&self, turn: u64) -> bool {
        self.before == turn
    }

    /// Whether somebody waits for the lake.
    pub(super) fn is_wanted(&self) -> bool {
        let queue = self.path.with_file_name("queue");
        File::open(queue).is_ok_and(|queue| matches!(queue.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// Ends the turn in order. A lock that is merely dropped has the next writer look for what was left behind.
    ///
    /// # Errors
    /// The note cannot be written; the turn has ended all the same.
    pub(super) fn release(mut self) -> Result<(), LakeError> {
        self.note.ended = true;
        self.write_note()
    }

    fn write_note(&mut self) -> Result<(), LakeError> {
        let mut text = serde_json::to_vec(&self.note).expect("a struct of texts and numbers is JSON");
        text.resize(NOTE, b' ');
        let written = self.file.rewind().and_then(|()| self.file.write_all(&text)).and_then(|()| self.file.sync_data());
        written.map_err(|cause| LakeError::Io { action: "write", path: self.path.clone(), cause })
    }
}

/// Takes the lock of the lake in this folder; says whether the turn before it was ended in order.
pub(super) async fn acquire(root: &Path, patience: &Patience<'_>) -> Result<(FolderLock, bool), LakeError> {
    let own = root.join(OWN);
    let mut waited = Duration::ZERO;
    let queue = open(&own.join("queue"))?;
    wait(root, &queue, patience, &mut waited).await?;
    let path = own.join("lock");
    let mut file = open(&path)?;
    wait(root, &file, patience, &mut waited).await?;
    drop(queue);
    let last = read_note(&mut file);
    let before = last.as_ref().map_or_else(some_number, |note| note.turn);
    let turn = before.wrapping_add(1);
    let note = Note { turn, pid: std::process::id(), purpose: patience.purpose.to_owned(), ended: false };
    let mut lock = FolderLock { file, path, note, before };
    lock.write_note()?;
    Ok((lock, last.is_some_and(|note| note.ended)))
}

fn open(path: &Path) -> Result<File, LakeError> {
    let opened = File::options().create(true).truncate(false).read(true).write(true).open(path);
    opened.map_err(|cause| LakeError::Io { action: "lock", path: path.to_path_buf(), cause })
}

async fn wait(root: &Path, file: &File, patience: &Patience<'_>, waited: &mut Duration) -> Result<(), LakeError> {
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(cause)) => {
                return Err(LakeError::Io { action: "lock", path: root.join(OWN).join("lock"), cause });
            }
        }
        if *waited >= patience.limit || (patience.cancelled)() {
            return Err(LakeError::Locked { path: root.to_path_buf(), holder: holder(root), waited: *waited });
        }
        tokio::time::sleep(PAUSE).await;
        if *waited < SILENT && *waited + PAUSE >= SILENT {
            (patience.notice)(&format!(
                "waiting for the lake at `{}`: {} is writing to it",
                root.display(),
                holder(root)
            ));
        }
        *waited += PAUSE;
    }
}

/// Who has the lake, as far as it is known.
fn holder(root: &Path) -> String {
    let note = File::open(root.join(OWN).join("lock")).ok().and_then(|mut file| read_note(&mut file));
    match note.filter(|note| !note.ended) {
        Some(note) => format!("another calltrail ({}, process {})", note.purpose, note.pid),
        None => "another calltrail".to_owned(),
    }
}

fn read_note(file: &mut File) -> Option<Note> {
    let mut text = Vec::with_capacity(NOTE);
    file.rewind().ok()?;
    io::Read::by_ref(file).take(NOTE as u64).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// A turn that nobody remembers.
pub(super) fn some_number() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}
