//! Logs → lake: inputs are read one after the other, decoded on every core, paired in order, and written so that every call
//! is there once.
//!
//! A commit holds the rows, what was read of each source, and the halves that wait, or none of them. Whatever instant a process is
//! killed at, the next one goes on from the last commit.

mod call_file;
mod commit;
mod decode;
pub mod explain;
mod one_input;
mod record;
mod refuse;
pub mod retain;
mod rows;
mod sources;
mod take;
mod unknown;
mod writer;

use crate::call::Nanos;
use crate::enrich::Enricher;
use crate::lake::{Lake, LakeError, data_file};
use crate::source::input::{Input, Limits};
use crate::source::pairing::{Pairing, PairingOptions, Row, Saved};
use crate::source::registry::Formats;
use one_input::ReadError;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sources::Sources;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use writer::Writer;

/// Settings of an ingest.
#[derive(Clone, Debug)]
pub struct IngestOptions {
    pub pairing: PairingOptions,
    /// How much may come out of a compressed input.
    pub limits: Limits,
    /// Input bytes after which what was read so far is committed.
    pub commit_bytes: u64,
    /// The time now (the only clock that ingest knows).
    pub now: Nanos,
}

/// Why an ingest stopped.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error("what the last ingest left open cannot be read: {0}: the lake's `_calltrail/state.zst` is damaged")]
    State(serde_json::Error),
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

/// Reads inputs into a lake.
pub struct Ingester<'a> {
    lake: &'a Lake,
    runtime: &'a tokio::runtime::Handle,
    enricher: Arc<Enricher>,
    formats: Arc<Formats>,
    /// Of `formats`.
    fingerprint: String,
    options: IngestOptions,
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
    /// Takes up where the last ingest stopped. The caller holds the lake's lock.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub fn new(
        lake: &'a Lake,
        runtime: &'a tokio::runtime::Handle,
        enricher: Arc<Enricher>,
        formats: Arc<Formats>,
        options: IngestOptions,
    ) -> Result<Self, IngestError> {
        let state = lake.state()?;
        let saved: Saved = if state.is_empty() {
            Saved::default()
        } else {
            serde_json::from_slice(&state).map_err(IngestError::State)?
        };
        let sources = runtime.block_on(Sources::load(lake))?;
        let mut known = HashMap::new();
        for (table, column) in
            [("tool_definitions", "definition_id"), ("connections", "identity"), ("prompts", "prompt_id")]
        {
            known.insert(table, runtime.block_on(known_ids(lake, table, column))?);
        }
        let files = runtime.block_on(lake.files("calls"))?;
        let ingest_id = uuid::Uuid::new_v4().simple().to_string();
        Ok(Self {
            lake,
            runtime,
            enricher,
            fingerprint: formats.fingerprint(),
            formats,
            sources,
            pairing: Pairing::new(options.pairing, saved),
            writer: Writer::new(lake, files, known, ingest_id, options.now),
            options,
            summary: Summary::default(),
            uncommitted: 0,
            kept_from: lake.kept_from()?.map(retain::day_number),
            touched: false,
            identities: HashSet::default(),
            out: Vec::new(),
        })
    }

    /// Reads all inputs and commits.
    ///
    /// # Errors
    /// The lake refuses. Inputs that cannot be read are reported in the summary; the others are read.
    pub fn run(mut self, inputs: &[Input], progress: &mut dyn FnMut(Progress<'_>)) -> Result<Summary, IngestError> {
        for input in inputs {
            let name = input.name();
            progress(Progress { file: &name, files_done: self.summary.files, bytes: self.summary.bytes });
            self.summary.files += 1;
            if let Err(error) = self.read(input, progress) {
                match error {
                    ReadError::Ingest(error) => return Err(error),
                    ReadError::Io(cause) => {
                        self.summary.failures.push(Failure { path: name, cause: cause.to_string() });
                    }
                }
            }
            if self.uncommitted >= self.options.commit_bytes {
                self.commit()?;
            }
        }
        self.pairing.end_run(&mut self.out);
        self.drain(usize::MAX, None)?;
        self.commit()?;
        Ok(self.summary)
    }
}

async fn known_ids(lake: &Lake, table: &'static str, column: &str) -> Result<HashSet<u128>, LakeError> {
    use arrow::array::AsArray as _;
    let mut ids = HashSet::new();
    let path = lake.table_path(table);
    for file in lake.files(table).await? {
        data_file::read(&path, &file, &[column], |batch| {
            let column = batch.column_by_name(column).map(|array| array.as_string::<i32>());
            ids.extend(column.into_iter().flat_map(|c| c.iter().flatten().map(call_file::parse_id)));
            Ok(())
        })?;
    }
    Ok(ids)
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
