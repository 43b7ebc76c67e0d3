//! Logs → lake: inputs are read one after the other, decoded on every core, paired in order, and written so that every call
//! is there once.
//!
//! A commit holds the rows, what was read of each source, and the halves that wait, or none of them. Whatever instant a process is
//! killed at, the next one goes on from the last commit.

mod call_file;
mod commit;
mod decode;
pub mod explain;
mod follow;
mod one_input;
mod record;
mod refuse;
pub mod remote;
pub mod retain;
mod rows;
mod sources;
mod stream;
mod take;
mod turn;
mod unknown;
mod verify;
mod watched;
mod writer;

pub use decode::SignatureCounts;
pub use follow::Follow;
pub use verify::verify_sources;

use crate::call::Nanos;
use crate::enrich::Enricher;
use crate::lake::{Lake, LakeError};
use crate::source::input::{Input, Limits};
use crate::source::pairing::{Pairing, PairingOptions, Row, Saved};
use crate::source::registry::Formats;
use crate::visible::visible;
use one_input::{ReadError, Tail};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sources::Sources;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use turn::{Known, Turn};
use writer::Writer;

/// Settings of an ingest.
#[derive(Clone, Debug)]
pub struct IngestOptions {
    pub pairing: PairingOptions,
    /// How much may come out of a compressed input.
    pub limits: Limits,
    /// Input bytes after which what was read so far is committed.
    pub commit_bytes: u64,
    /// How long to wait for a turn while others write to the lake.
    pub lock_timeout: Duration,
}

/// What an ingest is told by whoever runs it: time, the wish to end. And whom it tells what happens.
pub trait Surroundings: Sync {
    /// The time now. It may jump.
    fn now(&self) -> Nanos;
    /// The time since some instant. It never jumps.
    fn elapsed(&self) -> Duration;
    /// Whether the ingest should end before it has read everything.
    fn is_stopping(&self) -> bool;
    /// Lets so much time pass, less if the ingest should end.
    fn wait(&self, time: Duration);
    /// Something that the user should know.
    fn warn(&self, message: &str);
    /// How far the ingest is.
    fn progress(&self, at: Progress<'_>);
}

/// Why an ingest stopped.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error("what the last ingest left open cannot be read: {0}: the lake's `_calltrail/state.zst` is damaged")]
    State(serde_json::Error),
    #[error("what this ingest leaves open cannot be kept: {0}")]
    StateNotKept(std::io::Error),
}

/// An input that could not be read to its end.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    pub path: String,
    pub cause: String,
}

/// What an ingest did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    pub files: u64,
    pub bytes: u64,
    pub lines: u64,
    pub calls: u64,
    pub duplicates: u64,
    pub rejects: u64,
    pub ignored: u64,
    pub prompts: u64,
    /// Calls and prompts of before the days that retention keeps.
    pub expired: u64,
    /// Verdicts on signed records, where a key was given.
    pub signatures: SignatureCounts,
    /// Files that were as the lake knows them.
    pub unchanged: u64,
    /// Files whose format nobody knows, with the shape of their first lines.
    pub unknown: Vec<Failure>,
    pub failures: Vec<Failure>,
}

/// How far an ingest is, for a progress bar.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    pub file: &'a str,
    pub files_done: u64,
    pub bytes: u64,
}

/// Surroundings of an ingest that nobody watches, at a fixed time.
#[derive(Clone, Copy, Debug)]
pub struct Unwatched {
    pub now: Nanos,
}

impl Surroundings for Unwatched {
    fn now(&self) -> Nanos {
        self.now
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn is_stopping(&self) -> bool {
        false
    }

    fn wait(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn warn(&self, message: &str) {
        tracing::warn!(message);
    }

    fn progress(&self, _: Progress<'_>) {}
}

/// Reads inputs into a lake.
pub struct Ingester<'a> {
    lake: &'a Lake,
    runtime: &'a tokio::runtime::Handle,
    surroundings: &'a dyn Surroundings,
    enricher: Arc<Enricher>,
    formats: Arc<Formats>,
    /// Of `formats`.
    fingerprint: String,
    options: IngestOptions,
    /// The turn at the lake, while it lasts.
    turn: Option<Turn>,
    /// Number of the last one, if it was ended in order.
    last_turn: Option<u64>,
    /// When the turn began: the time of everything that is written in it.
    now: Nanos,
    known: Known,
    sources: Sources,
    pairing: Pairing,
    writer: Writer<'a>,
    summary: Summary,
    /// Bytes read since the last commit.
    uncommitted: u64,
    /// The first day that retention keeps, in days since the epoch.
    kept_from: Option<i32>,
    touched: bool,
    /// Hashes of the connections' identities that this run has seen.
    identities: HashSet<u64, ahash::RandomState>,
    out: Vec<Row>,
}

impl<'a> Ingester<'a> {
    /// An ingest that has not begun. It takes the lake's lock itself, turn by turn.
    pub fn new(
        lake: &'a Lake,
        runtime: &'a tokio::runtime::Handle,
        surroundings: &'a dyn Surroundings,
        enricher: Arc<Enricher>,
        formats: Arc<Formats>,
        options: IngestOptions,
    ) -> Self {
        let ingest_id = uuid::Uuid::new_v4().simple().to_string();
        Self {
            lake,
            runtime,
            surroundings,
            enricher,
            fingerprint: formats.fingerprint(),
            formats,
            turn: None,
            last_turn: None,
            now: 0,
            known: Known::default(),
            sources: Sources::default(),
            pairing: Pairing::new(options.pairing, Saved::default()),
            writer: Writer::new(lake, ingest_id),
            options,
            summary: Summary::default(),
            uncommitted: 0,
            kept_from: None,
            touched: false,
            identities: HashSet::default(),
            out: Vec::new(),
        }
    }

    /// Reads all inputs and commits. If it should end, it does so soon, in the middle of an input too, and the next one goes on from there.
    ///
    /// # Errors
    /// The lake refuses. Inputs that cannot be read are reported in the summary; the others are read.
    pub fn run(mut self, inputs: &[Input]) -> Result<Summary, IngestError> {
        let _span = tracing::info_span!("ingest", inputs = inputs.len()).entered();
        self.begin_turn()?;
        for input in inputs {
            if self.surroundings.is_stopping() {
                break;
            }
            self.summary.files += 1;
            self.read_or_note(input)?;
            if self.is_turn_over() {
                self.pass_turn()?;
            }
        }
        self.publish_open(u64::MAX)?;
        self.end_turn()?;
        Ok(self.summary)
    }

    /// Reads one input; trouble with it is noted.
    fn read_or_note(&mut self, input: &Input) -> Result<(), IngestError> {
        let name = input.name();
        let _span = tracing::info_span!("input", path = %visible(&name)).entered();
        self.surroundings.progress(Progress {
            file: &name,
            files_done: self.summary.files.saturating_sub(1),
            bytes: self.summary.bytes,
        });
        loop {
            return match self.read(input, Tail::Read) {
                Ok(_) => Ok(()),
                // Another ingest reads the same file and is further; what it left is read on.
                Err(ReadError::Overtaken) => continue,
                Err(ReadError::Ingest(error)) => Err(error),
                Err(ReadError::Io(cause)) => {
                    self.summary.failures.push(Failure { path: name, cause: cause.to_string() });
                    Ok(())
                }
            };
        }
    }

    /// Notes a file that nobody knows.
    fn note_unknown(&mut self, name: &str, shape: &str) {
        self.summary.unknown.push(Failure { path: name.to_owned(), cause: shape.to_owned() });
    }

    /// Publishes halves that have waited since this record or longer; they go on waiting.
    fn publish_open(&mut self, until: u64) -> Result<(), IngestError> {
        self.pairing.end_run(until, &mut self.out);
        self.drain(usize::MAX, None)
    }
}

fn reject_id(source_id: &str, offset: u64) -> String {
    digest_of(&[Some(source_id), Some(&offset.to_string())])
}

/// 32 hex digits over texts, lengths first.
fn digest_of(parts: &[Option<&str>]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.map_or(u64::MAX, |p| p.len() as u64)).to_be_bytes());
        hash.update(part.unwrap_or_default().as_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    crate::call::hex(&digest)[..32].to_owned()
}

fn hex_digest(bytes: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    crate::call::hex(&digest)
}

/// A number for a name, to compare by.
fn number_of(name: &str) -> u64 {
    let digest = blake3::hash(name.as_bytes());
    u64::from_le_bytes(*digest.as_bytes().first_chunk().expect("a digest is 32 bytes"))
}
