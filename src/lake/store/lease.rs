//! The right to write to a lake in an object store, and the change that is under way.
//!
//! One object, `head.json`, holds who writes, which state counts, and the change that has happened but is not yet in every
//! table. It is only ever replaced on condition that it is still the one that was read. So a change happens by the same
//! request that proves that its writer still has the lease: a writer that was paused while another took over cannot
//! commit, however late it wakes.
//!
//! No clock is asked. The holder replaces the object every third of the lease's time; whoever wants the lease watches it
//! for that time by a timer of its own, and takes over if nothing has changed.

use super::bucket::{self, Bucket, runtime};
use super::{fault, folder};
use crate::lake::lock::{Patience, SILENT, some_number};
use crate::lake::{LakeError, OWN};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The object's name among the lake's own.
const HEAD: &str = "head.json";
/// The object that those who wait for the lease put there.
const WANTED: &str = "wanted";
/// How often the head is replaced anew because a request of our own came in between.
const TRIES: usize = 3;
/// Longest pause between two looks at a lease that somebody has.
const PAUSE: Duration = Duration::from_secs(1);

/// What `head.json` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    /// Who has the lease.
    writer: Option<Writer>,
    /// Counts replacements, so that no two versions are alike.
    beat: u64,
    /// Object with the state that the next ingest starts from.
    state: Option<String>,
    /// The change that has happened and is not yet in every table.
    intent: Option<Intent>,
    /// Number of the last turn.
    turn: u64,
    /// It was not ended in order: data files that no table names may lie about.
    sweep: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Writer {
    id: String,
    purpose: String,
    lease_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Intent {
    /// Object with the whole change.
    change: String,
    /// Object with the state that it brings.
    state: Option<String>,
}

/// The lease as its holder knows it.
pub(super) struct Held {
    head: Head,
    version: UpdateVersion,
    /// Somebody else has it now.
    lost: bool,
}

/// Why the head could not be replaced.
enum Refused {
    /// Another writer has replaced it.
    Lost,
    Failed(Error),
}

impl Held {
    /// Replaces the head, if it is still the one that is known.
    async fn replace(
        &mut self,
        store: &dyn ObjectStore,
        at: &Path,
        change: impl Fn(Head) -> Head,
    ) -> Result<(), Refused> {
        for _ in 0..TRIES {
            if self.lost {
                break;
            }
            let mut head = change(self.head.clone());
            head.beat = self.head.beat + 1;
            let error = match put(store, at, &head, PutMode::Update(self.version.clone())).await {
                Ok(version) => {
                    (self.head, self.version) = (head, version);
                    return Ok(());
                }
                Err(error) => error,
            };
            // An answer may be lost, and the request sent again is refused: what is there now decides.
            let (bytes, version) = match bucket::get(store, at).await {
                Ok(found) => found,
                Err(_) => return Err(Refused::Failed(error)),
            };
            let Ok(found) = serde_json::from_slice::<Head>(&bytes) else { return Err(Refused::Failed(error)) };
            if found == self.head {
                return Err(Refused::Failed(error));
            }
            let mine = self.head.writer.is_some() && found.writer == self.head.writer;
            let keeps = head.writer.is_none() || head.writer == self.head.writer;
            if found == head || (mine && keeps) {
                // A renewal that was broken off, but arrived, lies between: on top of it, then.
                let arrived = found == head;
                (self.head, self.version) = (found, version);
                if arrived {
                    return Ok(());
                }
            } else {
                self.lost = true;
            }
        }
        Err(Refused::Lost)
    }
}

async fn put(store: &dyn ObjectStore, at: &Path, head: &Head, mode: PutMode) -> Result<UpdateVersion, Error> {
    let text = serde_json::to_vec(head).expect("texts and numbers are JSON");
    let put = store.put_opts(at, text.into(), PutOptions::from(mode)).await?;
    Ok(put.into())
}

/// The right to write to a lake in an object store.
pub struct Lease {
    bucket: Arc<Bucket>,
    renewal: tokio::task::JoinHandle<()>,
    turn: u64,
    /// The turn before this one.
    before: u64,
    released: bool,
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

/// What an attempt to take the lease comes to.
enum Attempt {
    /// It is taken; the turn before.
    Taken(Held, u64),
    /// Somebody has it.
    Busy(Head),
    /// Somebody else was faster.
    Again,
}

impl Lease {
    /// Waits for the lease, and takes over one whose holder does not show that it lives. Says whether the turn before was
    /// ended in order.
    ///
    /// # Errors
    /// Others had it for too long, or the store fails.
    pub(super) async fn take(bucket: &Arc<Bucket>, patience: &Patience<'_>) -> Result<(Self, bool), LakeError> {
        let lease_ms = u64::try_from(bucket.lease.as_millis()).unwrap_or(u64::MAX);
        let id = uuid::Uuid::new_v4().simple().to_string();
        let me = Writer { id, purpose: patience.purpose.to_owned(), lease_ms };
        let pause = (bucket.lease / 12).min(PAUSE);
        if bucket.yielded.swap(false, Ordering::Relaxed) {
            // Whoever waits comes first.
            tokio::time::sleep(pause * 3).await;
        }
        let (mut waited, mut unchanged) = (Duration::ZERO, Duration::ZERO);
        let mut seen: Option<Head> = None;
        loop {
            let lasted = seen.as_ref().and_then(|head| head.writer.as_ref()).map(|w| Duration::from_millis(w.lease_ms));
            let dead = seen.clone().filter(|_| lasted.is_some_and(|lease| unchanged >= lease));
            match bucket.attempt(&me, dead)? {
                Attempt::Taken(held, before) => return Self::begin(bucket, held, before, !waited.is_zero()).await,
                Attempt::Again => unchanged = Duration::ZERO,
                Attempt::Busy(head) if seen.as_ref() == Some(&head) => unchanged += pause,
                Attempt::Busy(head) => (seen, unchanged) = (Some(head), Duration::ZERO),
            }
            let holder = seen.as_ref().and_then(|head| head.writer.as_ref());
            let holder = holder
                .map_or("another calltrail".to_owned(), |writer| format!("another calltrail ({})", writer.purpose));
            if waited >= patience.limit || (patience.cancelled)() {
                return Err(LakeError::Locked { path: bucket.name(""), holder, waited });
            }
            if waited < SILENT && waited + pause >= SILENT {
                (patience.notice)(&format!(
                    "waiting for the lake at `{}`: {holder} is writing to it, or was until it died",
                    bucket.name("").display()
                ));
            }
            // Told anew now and then, because the holder takes it away when it has heard.
            if waited.as_secs() % 5 == 0 {
                bucket.put(&own(WANTED), Vec::new())?;
            }
            tokio::time::sleep(pause).await;
            waited += pause;
        }
    }

    async fn begin(bucket: &Arc<Bucket>, held: Held, before: u64, waited: bool) -> Result<(Self, bool), LakeError> {
        let path = own(HEAD);
        let (turn, clean) = (held.head.turn, !held.head.sweep);
        *bucket.held.lock().await = Some(held);
        let (store, held, at) = (Arc::clone(&bucket.own), Arc::clone(&bucket.held), bucket.at(&path)?);
        let lease = bucket.lease;
        let io = |cause| LakeError::Io { action: "lock", path: bucket.name(&path), cause };
        let renewal = runtime().map_err(io)?.spawn(async move {
            loop {
                tokio::time::sleep(lease / 3).await;
                let mut held = held.lock().await;
                let Some(held) = held.as_mut() else { return };
                match held.replace(store.as_ref(), &at, |head| head).await {
                    Ok(()) => {}
                    Err(Refused::Lost) => return tracing::warn!("another writer has taken over the lake"),
                    // Nobody has taken over yet, so that it may still be renewed.
                    Err(Refused::Failed(error)) => {
                        tracing::warn!(cause = %fault::explain(&error), "cannot renew the lease");
                    }
                }
            }
        });
        let lease = Self { bucket: Arc::clone(bucket), renewal, turn, before, released: false };
        if waited {
            // Who else waits says so again.
            bucket.delete(&own(WANTED))?;
        }
        Ok((lease, clean))
    }

    pub(super) fn turn(&self) -> u64 {
        self.turn
    }

    pub(super) fn follows(&self, turn: u64) -> bool {
        self.before == turn
    }

    /// Whether somebody waits for the lake. If so, this process lets others go first when it wants it again.
    pub(super) fn is_wanted(&self) -> bool {
        let path = own(WANTED);
        let wanted = self.bucket.exists(&path).unwrap_or(false);
        if wanted {
            self.bucket.yielded.store(true, Ordering::Relaxed);
            if let Err(error) = self.bucket.delete(&path) {
                tracing::warn!(%error, "left behind");
            }
        }
        wanted
    }

    pub(super) fn release(mut self) -> Result<(), LakeError> {
        self.released = true;
        self.give_back(false)
    }

    fn give_back(&self, sweep: bool) -> Result<(), LakeError> {
        self.renewal.abort();
        let path = own(HEAD);
        let at = self.bucket.at(&path)?;
        let (store, held) = (Arc::clone(&self.bucket.own), Arc::clone(&self.bucket.held));
        let given_back = bucket::wait(async move {
            let Some(mut held) = held.lock().await.take() else { return Ok(()) };
            match held.replace(store.as_ref(), &at, |head| Head { writer: None, sweep, ..head }).await {
                // Nothing is left to give back.
                Ok(()) | Err(Refused::Lost) => Ok(()),
                Err(Refused::Failed(error)) => Err(error),
            }
        });
        let io = |cause| LakeError::Io { action: "unlock", path: self.bucket.name(&path), cause };
        given_back.map_err(io)?.map_err(|error| self.bucket.failed("unlock", &path, &error))
    }

    /// As if the process were paused.
    #[cfg(test)]
    pub(super) fn stop_renewing(&self) {
        self.renewal.abort();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.released
            && let Err(error) = self.give_back(true)
        {
            tracing::warn!(%error, "the lease ends by itself");
        }
    }
}

/// Takes the lease if nobody has it, or only one that is known to be dead.
async fn attempt(store: &dyn ObjectStore, at: &Path, me: Writer, dead: Option<Head>) -> Result<Attempt, Error> {
    let (bytes, version) = match bucket::get(store, at).await {
        Ok(found) => found,
        Err(error) if fault::is_absent(&error) => return first(store, at, me).await,
        Err(error) => return Err(error),
    };
    let head = parse(&bytes)?;
    let sweep = match &head.writer {
        None => head.sweep,
        // An answer that was lost: it is taken already.
        Some(writer) if *writer == me => {
            let before = head.turn.wrapping_sub(1);
            return Ok(Attempt::Taken(Held { head, version, lost: false }, before));
        }
        Some(_) if dead.as_ref() == Some(&head) => true,
        Some(_) => return Ok(Attempt::Busy(head)),
    };
    let before = head.turn;
    let mut held = Held { head, version, lost: false };
    let take = |head| Head { writer: Some(me.clone()), turn: before.wrapping_add(1), sweep, ..head };
    match held.replace(store, at, take).await {
        Ok(()) => Ok(Attempt::Taken(held, before)),
        Err(Refused::Lost) => Ok(Attempt::Again),
        Err(Refused::Failed(error)) => Err(error),
    }
}

/// Takes the lease of a lake that never had one: a new one, or the copy of a folder, which has its state under names of its own.
async fn first(store: &dyn ObjectStore, at: &Path, me: Writer) -> Result<Attempt, Error> {
    let mut there = Vec::new();
    for name in [folder::STATE, folder::INTENT, folder::NEXT_STATE] {
        let sibling = Path::from_iter(at.parts().take(at.parts().count() - 1).chain([name.into()]));
        there.push(match store.head(&sibling).await {
            Ok(_) => Some(own(name)),
            Err(Error::NotFound { .. }) => None,
            Err(error) => return Err(error),
        });
    }
    let next = there.pop().flatten();
    let intent = there.pop().flatten().map(|change| Intent { change, state: next });
    let before = some_number();
    let head = Head {
        writer: Some(me),
        turn: before.wrapping_add(1),
        sweep: intent.is_some(),
        intent,
        state: there.pop().flatten(),
        ..Head::default()
    };
    match put(store, at, &head, PutMode::Create).await {
        Ok(version) => Ok(Attempt::Taken(Held { head, version, lost: false }, before)),
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Attempt::Again),
        Err(error) => Err(error),
    }
}

fn parse(bytes: &[u8]) -> Result<Head, Error> {
    serde_json::from_slice(bytes)
        .map_err(|cause| Error::Generic { store: "lake", source: format!("`{HEAD}` is damaged: {cause}").into() })
}

fn own(name: &str) -> String {
    format!("{OWN}/{name}")
}

impl Bucket {
    fn attempt(&self, me: &Writer, dead: Option<Head>) -> Result<Attempt, LakeError> {
        let (path, me) = (own(HEAD), me.clone());
        let asked = self.ask("lock", &path, |store, at| async move { attempt(store.as_ref(), &at, me, dead).await })?;
        asked.map_err(|error| self.failed("lock", &path, &error))
    }

    /// Makes a change happen: from here on it is finished by whoever comes next.
    pub(super) fn begin(&self, change: Vec<u8>, state: Option<Vec<u8>>) -> Result<(), LakeError> {
        let number = uuid::Uuid::new_v4().simple();
        let intent = Intent {
            change: own(&format!("intent-{number}.json")),
            state: state.as_ref().map(|_| own(&format!("state-{number}.zst"))),
        };
        if let (Some(path), Some(state)) = (&intent.state, state) {
            self.put(path, state)?;
        }
        self.put(&intent.change, change)?;
        self.replace(move |head| Head { intent: Some(intent.clone()), ..head })
    }

    /// Renews the lease, which only its holder can.
    pub(super) fn confirm(&self) -> Result<(), LakeError> {
        self.replace(|head| head)
    }

    /// The change that has happened and is not yet in every table.
    pub(super) fn intent(&self) -> Result<Option<Vec<u8>>, LakeError> {
        let Some(intent) = self.head()?.intent else { return Ok(None) };
        match self.get(&intent.change)? {
            Some((bytes, _)) => Ok(Some(bytes.to_vec())),
            None => Err(LakeError::Damaged { path: self.name(&intent.change), cause: "it is missing".to_owned() }),
        }
    }

    /// Notes that the change is in every table.
    pub(super) fn done(&self) -> Result<(), LakeError> {
        let before = self.head()?;
        let Some(intent) = before.intent else { return Ok(()) };
        let state = intent.state.clone();
        self.replace(move |head| Head { intent: None, state: state.clone().or(head.state), ..head })?;
        // Nobody reads them any more; what stays behind is removed by the next sweep.
        let old = before.state.filter(|_| intent.state.is_some());
        for path in [Some(intent.change), old].into_iter().flatten() {
            if let Err(error) = self.delete(&path) {
                tracing::warn!(%error, "left behind");
            }
        }
        Ok(())
    }

    /// The state that the next ingest starts from, packed.
    pub(super) fn state(&self) -> Result<Option<Vec<u8>>, LakeError> {
        let Some(path) = self.head()?.state else { return Ok(None) };
        match self.get(&path)? {
            Some((bytes, _)) => Ok(Some(bytes.to_vec())),
            None => Err(LakeError::Damaged { path: self.name(&path), cause: "it is missing".to_owned() }),
        }
    }

    /// The object with that state.
    pub(super) fn state_path(&self) -> Result<Option<String>, LakeError> {
        Ok(self.head()?.state)
    }

    /// The state that the change under way brings, packed.
    pub(super) fn next_state(&self) -> Result<Option<Vec<u8>>, LakeError> {
        let Some(path) = self.head()?.intent.and_then(|intent| intent.state) else { return Ok(None) };
        Ok(self.get(&path)?.map(|(bytes, _)| bytes.to_vec()))
    }

    /// Removes the objects of changes that never happened.
    pub(super) fn sweep_own(&self) -> Result<(), LakeError> {
        let head = self.head()?;
        let intent = head.intent.as_ref();
        let named = [head.state.as_ref(), intent.map(|i| &i.change), intent.and_then(|i| i.state.as_ref())];
        for path in self.list(OWN)? {
            let ours = path.starts_with(&own("state-")) || path.starts_with(&own("intent-"));
            if ours && !named.contains(&Some(&path)) {
                self.delete(&path)?;
            }
        }
        Ok(())
    }

    fn head(&self) -> Result<Head, LakeError> {
        let path = own(HEAD);
        match self.get(&path)? {
            None => Ok(Head::default()),
            Some((bytes, _)) => serde_json::from_slice(&bytes)
                .map_err(|cause| LakeError::Damaged { path: self.name(&path), cause: cause.to_string() }),
        }
    }

    fn replace(&self, change: impl Fn(Head) -> Head + Send + 'static) -> Result<(), LakeError> {
        let path = own(HEAD);
        let at = self.at(&path)?;
        let (store, held) = (Arc::clone(&self.own), Arc::clone(&self.held));
        let replaced = bucket::wait(async move {
            let mut held = held.lock().await;
            let held = held.as_mut().ok_or(Refused::Lost)?;
            held.replace(store.as_ref(), &at, change).await
        });
        match replaced.map_err(|cause| LakeError::Io { action: "write", path: self.name(&path), cause })? {
            Ok(()) => Ok(()),
            Err(Refused::Lost) => Err(LakeError::TakenOver(self.name(""))),
            Err(Refused::Failed(error)) => Err(self.failed("write", &path, &error)),
        }
    }
}
