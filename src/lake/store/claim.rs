//! The right to do one thing alone for longer than a turn, while others write to the lake: shipping to one sink.
//!
//! In a folder it is the system's lock on a file, so a killed process lets go of it. In an object store it is an object that its
//! holder replaces every third of the lease's time, on condition that it is the version that it knows. Whoever wants it watches it by a
//! timer of its own and takes it over when it has not changed for a whole lease. No clock is compared.

use super::bucket::{self, Bucket, runtime};
use super::{Store, fault, folder};
use crate::lake::lock::{Patience, SILENT};
use crate::lake::{Lake, LakeError, OWN};
use object_store::path::Path;
use object_store::{Error, ObjectStore, PutMode, PutOptions, UpdateVersion};
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Folder of the claims among the lake's own files.
pub(in crate::lake) const CLAIMS: &str = "claims";
/// Pause between two looks at a file that somebody has locked.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest pause between two looks at an object.
const LONG_PAUSE: Duration = Duration::from_secs(1);

/// Something that this process alone does. Given back when it is dropped.
#[derive(Debug)]
pub struct Claim(Kind);

#[derive(Debug)]
enum Kind {
    Folder { _file: File },
    Bucket(Renewed),
}

/// A claim in an object store.
#[derive(Debug)]
struct Renewed {
    bucket: Arc<Bucket>,
    path: String,
    held: Arc<tokio::sync::Mutex<Option<Held>>>,
    renewal: tokio::task::JoinHandle<()>,
    lost: Arc<AtomicBool>,
}

/// What the object says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    holder: Option<String>,
    /// For people who wait.
    process: u32,
    /// Counts replacements, so that no two versions are alike.
    beat: u64,
    lease_ms: u64,
}

#[derive(Debug)]
struct Held {
    note: Note,
    version: UpdateVersion,
}

impl Claim {
    /// Whether nobody has taken it over: in an object store that happens to a process that was out of reach for too long.
    pub fn is_held(&self) -> bool {
        match &self.0 {
            Kind::Folder { .. } => true,
            Kind::Bucket(renewed) => !renewed.lost.load(Ordering::SeqCst),
        }
    }

    /// As if the process were paused for so long.
    #[cfg(test)]
    pub(super) async fn pause(&self, time: Duration) {
        if let Kind::Bucket(renewed) = &self.0 {
            let _held = renewed.held.lock().await;
            tokio::time::sleep(time).await;
        }
    }
}

impl Lake {
    /// Waits until this process alone does what `name` stands for: letters, digits, `_`, `-` and `.`. `what` says it to people.
    ///
    /// # Errors
    /// Another process did not let go of it in time ([`LakeError::Claimed`]), or the lake refuses.
    pub async fn claim(&self, name: &str, what: &str, patience: &Patience<'_>) -> Result<Claim, LakeError> {
        let path = format!("{OWN}/{CLAIMS}/{name}");
        let mut waiting = Waiting { what, patience, waited: Duration::ZERO };
        match &self.store {
            Store::Folder(root) => {
                folder::make(&root.join(OWN).join(CLAIMS))?;
                of_folder(root.join(path), &mut waiting).await
            }
            Store::Bucket(bucket) => of_bucket(bucket, path, &mut waiting).await,
        }
    }
}

struct Waiting<'a> {
    what: &'a str,
    patience: &'a Patience<'a>,
    waited: Duration,
}

impl Waiting<'_> {
    /// Waits a little, if there is patience left.
    async fn pause(&mut self, pause: Duration, holder: impl Fn() -> String) -> Result<(), LakeError> {
        if self.waited >= self.patience.limit || (self.patience.cancelled)() {
            return Err(LakeError::Claimed { what: self.what.to_owned(), holder: holder(), waited: self.waited });
        }
        if self.waited < SILENT && self.waited + pause >= SILENT {
            (self.patience.notice)(&format!("waiting for {}: {} is at it", self.what, holder()));
        }
        tokio::time::sleep(pause).await;
        self.waited += pause;
        Ok(())
    }
}

async fn of_folder(path: PathBuf, waiting: &mut Waiting<'_>) -> Result<Claim, LakeError> {
    let io = |cause| LakeError::Io { action: "lock", path: path.clone(), cause };
    let mut file = File::options().create(true).truncate(false).read(true).write(true).open(&path).map_err(io)?;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => waiting.pause(PAUSE, || holder_of(&path)).await?,
            Err(TryLockError::Error(cause)) => return Err(io(cause)),
        }
    }
    // Who it is only helps those who wait: a full disk must not stop what makes room elsewhere.
    let _ = file.rewind().and_then(|()| file.write_all(format!("{:<10}", std::process::id()).as_bytes()));
    Ok(Claim(Kind::Folder { _file: file }))
}

fn holder_of(path: &std::path::Path) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(10).read_to_string(&mut text));
    match (read, text.trim()) {
        (Ok(_), process) if !process.is_empty() => format!("another calltrail (process {process})"),
        _ => "another calltrail".to_owned(),
    }
}

async fn of_bucket(bucket: &Arc<Bucket>, path: String, waiting: &mut Waiting<'_>) -> Result<Claim, LakeError> {
    let lease = bucket.lease;
    let me = Note {
        holder: Some(uuid::Uuid::new_v4().simple().to_string()),
        process: std::process::id(),
        beat: 0,
        lease_ms: u64::try_from(lease.as_millis()).unwrap_or(u64::MAX),
    };
    let pause = (lease / 12).min(LONG_PAUSE);
    let (mut seen, mut unchanged): (Option<Note>, _) = (None, Duration::ZERO);
    let held = loop {
        let dead = seen.clone().filter(|note| unchanged >= Duration::from_millis(note.lease_ms));
        let mine = me.clone();
        let asked = bucket.ask("lock", &path, |store, at| async move { attempt(&*store, &at, mine, dead).await })?;
        match asked.map_err(|error| bucket.failed("lock", &path, &error))? {
            Attempt::Taken(held) => break held,
            Attempt::Again => unchanged = Duration::ZERO,
            Attempt::Busy(note) if seen.as_ref() == Some(&note) => unchanged += pause,
            Attempt::Busy(note) => (seen, unchanged) = (Some(note), Duration::ZERO),
        }
        let process = seen.as_ref().map_or(0, |note| note.process);
        waiting.pause(pause, || format!("another calltrail (process {process})")).await?;
    };
    let (held, lost) = (Arc::new(tokio::sync::Mutex::new(Some(held))), Arc::new(AtomicBool::new(false)));
    let (store, at) = (Arc::clone(&bucket.own), bucket.at(&path)?);
    let (renewed, is_lost) = (Arc::clone(&held), Arc::clone(&lost));
    let io = |cause| LakeError::Io { action: "lock", path: bucket.name(&path), cause };
    let renewal = runtime().map_err(io)?.spawn(async move {
        loop {
            tokio::time::sleep(lease / 3).await;
            let mut held = renewed.lock().await;
            let Some(held) = held.as_mut() else { return };
            match replace(&*store, &at, held, |note| note).await {
                Ok(true) => {}
                Ok(false) => return is_lost.store(true, Ordering::SeqCst),
                // Nobody has taken over yet, so that it may still be renewed.
                Err(error) => tracing::warn!(cause = %fault::explain(&error), "cannot renew a claim"),
            }
        }
    });
    Ok(Claim(Kind::Bucket(Renewed { bucket: Arc::clone(bucket), path, held, renewal, lost })))
}

enum Attempt {
    Taken(Held),
    Busy(Note),
    /// Somebody else was faster.
    Again,
}

/// Takes the claim if nobody has it, or only one that is known to be dead.
async fn attempt(store: &dyn ObjectStore, at: &Path, me: Note, dead: Option<Note>) -> Result<Attempt, Error> {
    let (bytes, version) = match bucket::get(store, at).await {
        Ok(found) => found,
        Err(error) if fault::is_absent(&error) => return taken(put(store, at, &me, PutMode::Create).await, me),
        Err(error) => return Err(error),
    };
    // What nobody can read is nobody's.
    let note = serde_json::from_slice::<Note>(&bytes).ok();
    match note {
        // An answer that was lost: it is taken already.
        Some(note) if note.holder == me.holder => Ok(Attempt::Taken(Held { note, version })),
        Some(note) if note.holder.is_some() && dead.as_ref() != Some(&note) => Ok(Attempt::Busy(note)),
        note => {
            let me = Note { beat: note.map_or(0, |note| note.beat) + 1, ..me };
            taken(put(store, at, &me, PutMode::Update(version)).await, me)
        }
    }
}

fn taken(put: Result<UpdateVersion, Error>, note: Note) -> Result<Attempt, Error> {
    match put {
        Ok(version) => Ok(Attempt::Taken(Held { note, version })),
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Attempt::Again),
        Err(error) => Err(error),
    }
}

/// Replaces the object if it is still the holder's; false if it is not.
async fn replace(
    store: &dyn ObjectStore,
    at: &Path,
    held: &mut Held,
    change: impl Fn(Note) -> Note,
) -> Result<bool, Error> {
    loop {
        let note = Note { beat: held.note.beat + 1, ..change(held.note.clone()) };
        match put(store, at, &note, PutMode::Update(held.version.clone())).await {
            Ok(version) => {
                *held = Held { note, version };
                return Ok(true);
            }
            Err(Error::Precondition { .. }) => {}
            Err(error) => return Err(error),
        }
        // A renewal whose answer was lost lies between: on top of it, then.
        let (bytes, version) = match bucket::get(store, at).await {
            Ok(found) => found,
            Err(error) if fault::is_absent(&error) => return Ok(false),
            Err(error) => return Err(error),
        };
        match serde_json::from_slice::<Note>(&bytes) {
            Ok(found) if found.holder == held.note.holder && found.beat > held.note.beat => {
                *held = Held { note: found, version };
            }
            _ => return Ok(false),
        }
    }
}

async fn put(store: &dyn ObjectStore, at: &Path, note: &Note, mode: PutMode) -> Result<UpdateVersion, Error> {
    let text = serde_json::to_vec(note).expect("texts and numbers are JSON");
    Ok(store.put_opts(at, text.into(), PutOptions::from(mode)).await?.into())
}

impl Drop for Renewed {
    fn drop(&mut self) {
        self.renewal.abort();
        let (store, held) = (Arc::clone(&self.bucket.own), Arc::clone(&self.held));
        let Ok(at) = self.bucket.at(&self.path) else { return };
        let given_back = bucket::wait(async move {
            let Some(mut held) = held.lock().await.take() else { return Ok(true) };
            replace(&*store, &at, &mut held, |note| Note { holder: None, ..note }).await
        });
        if !matches!(given_back, Ok(Ok(_))) {
            tracing::warn!(path = %self.path, "a claim ends by itself");
        }
    }
}
