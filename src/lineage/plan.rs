//! Which sessions have to be looked at: those whose calls or prompts are not the ones that their flows were found from.

use super::known::{Known, Versions, digest};
use super::words::{hash_bytes, mix};
use crate::lake::{Lake, LakeError, data_file};
use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use deltalake::kernel::Add;
use rayon::prelude::*;
use std::collections::HashMap;
use std::ops::Range;

/// Calls and bytes of arguments that are looked at together. An index takes about ten times the bytes of its arguments.
const ROUND_CALLS: u64 = 120_000;
pub(super) const ROUND_BYTES: u64 = 16 << 20;
/// Bytes that a call counts for besides its arguments.
const CALL_BYTES: u64 = 64;

/// One session in the lake.
#[derive(Clone, Debug, Default)]
pub(super) struct Extent {
    pub(super) sum: u64,
    pub(super) calls: u64,
    /// Of arguments, as far as they are stored.
    pub(super) bytes: u64,
    /// Files of `calls` that hold some of it.
    pub(super) files: Range<usize>,
}

impl Extent {
    fn add(&mut self, other: &Self) {
        self.sum = self.sum.wrapping_add(other.sum);
        self.calls += other.calls;
        self.bytes += other.bytes;
        self.files = match (self.files.is_empty(), other.files.is_empty()) {
            (true, _) => other.files.clone(),
            (_, true) => self.files.clone(),
            _ => self.files.start.min(other.files.start)..self.files.end.max(other.files.end),
        };
    }
}

type Extents = HashMap<u64, Extent, ahash::RandomState>;

/// Sessions that are looked at together.
#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    pub(super) sessions: Vec<u64>,
    pub(super) files: Range<usize>,
    /// It is one session that is too large to be looked at as a whole.
    pub(super) is_large: bool,
}

/// What there is to do.
pub(super) struct Plan {
    /// Files of `calls` in the order of their times.
    pub(super) files: Vec<Add>,
    pub(super) versions: Versions,
    pub(super) rounds: Vec<Round>,
    /// Sessions that the lake has no calls of any more.
    pub(super) gone: Vec<u64>,
    pub(super) calls: u64,
}

impl Plan {
    /// Compares the lake with what is known. The caller holds the lake's lock.
    pub(super) async fn new(lake: &Lake, known: &Known) -> Result<Self, LakeError> {
        let versions = Versions::of(lake).await?;
        let files = calls_files(lake).await?;
        let table = lake.table_path("calls");
        let parts: Vec<Extents> = files
            .par_iter()
            .enumerate()
            .map(|(at, file)| {
                let mut extents = Extents::default();
                let columns = ["session_id", "call_id", "ingest_id", "ingested_at", "arguments_bytes"];
                data_file::read(&table, file, &columns, |batch| {
                    let bytes = data_file::integers(&batch, "arguments_bytes");
                    each_row(&batch, |row, session, hash| {
                        let stored = bytes[row].unwrap_or_default().clamp(0, 1 << 16).unsigned_abs();
                        let row = Extent { sum: hash, calls: 1, bytes: stored + CALL_BYTES, files: at..at + 1 };
                        extents.entry(session).or_default().add(&row);
                    });
                    Ok(())
                })?;
                Ok(extents)
            })
            .collect::<Result<_, LakeError>>()?;
        let mut extents = Extents::default();
        for part in parts {
            for (session, extent) in part {
                extents.entry(session).or_default().add(&extent);
            }
        }
        for (session, sum) in prompt_sums(lake).await? {
            if let Some(extent) = extents.get_mut(&session) {
                extent.sum = extent.sum.wrapping_add(sum);
            }
        }
        let gone = known.sessions.keys().filter(|session| !extents.contains_key(*session)).copied().collect();
        extents.retain(|session, extent| {
            known.sessions.get(session).is_none_or(|state| state.digest != digest(extent.sum))
        });
        let calls = extents.values().map(|extent| extent.calls).sum();
        Ok(Self { files, versions, rounds: rounds(extents), gone, calls })
    }
}

/// Puts sessions together that lie in the same files.
fn rounds(extents: Extents) -> Vec<Round> {
    let mut all: Vec<(u64, Extent)> = extents.into_iter().collect();
    all.sort_unstable_by_key(|(session, extent)| (extent.files.start, extent.files.end, *session));
    let mut rounds: Vec<Round> = Vec::new();
    let (mut open, mut calls, mut bytes) = (Round::default(), 0, 0);
    for (session, extent) in all {
        if extent.calls > ROUND_CALLS || extent.bytes > ROUND_BYTES {
            rounds.push(Round { sessions: vec![session], files: extent.files, is_large: true });
            continue;
        }
        if calls + extent.calls > ROUND_CALLS || bytes + extent.bytes > ROUND_BYTES {
            rounds.push(std::mem::take(&mut open));
            (calls, bytes) = (0, 0);
        }
        calls += extent.calls;
        bytes += extent.bytes;
        open.files = if open.sessions.is_empty() {
            extent.files
        } else {
            open.files.start.min(extent.files.start)..open.files.end.max(extent.files.end)
        };
        open.sessions.push(session);
    }
    rounds.extend(Some(open).filter(|open| !open.sessions.is_empty()));
    rounds
}

/// The files of `calls` in the order of their times.
pub(super) async fn calls_files(lake: &Lake) -> Result<Vec<Add>, LakeError> {
    let mut files = lake.files("calls").await?;
    files.sort_by_cached_key(|add| (data_file::times_of(add), add.path.clone()));
    Ok(files)
}

/// The number of a session.
pub(super) fn session_hash(id: &str) -> u64 {
    hash_bytes(id.as_bytes())
}

/// Rows of `calls` that belong to a session: row, session, hash of which version of which call it is.
pub(super) fn each_row(batch: &RecordBatch, mut each: impl FnMut(usize, u64, u64)) {
    let text = |name: &str| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
    let (Some(sessions), Some(calls)) = (text("session_id"), text("call_id")) else { return };
    let ingests = text("ingest_id");
    let times = batch.column_by_name("ingested_at").and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    for row in (0..batch.num_rows()).filter(|row| sessions.is_valid(*row) && calls.is_valid(*row)) {
        let ingest =
            ingests.filter(|column| column.is_valid(row)).map_or(0, |column| hash_bytes(column.value(row).as_bytes()));
        let time = times.filter(|column| column.is_valid(row)).map_or(0, |column| column.value(row) as u64);
        let hash = mix(mix(hash_bytes(calls.value(row).as_bytes()), ingest), time);
        each(row, session_hash(sessions.value(row)), hash);
    }
}

/// Sums over the prompts of each session.
pub(super) async fn prompt_sums(lake: &Lake) -> Result<HashMap<u64, u64, ahash::RandomState>, LakeError> {
    let mut sums: HashMap<u64, u64, ahash::RandomState> = HashMap::default();
    for file in lake.files("prompts").await? {
        data_file::read(&lake.table_path("prompts"), &file, &["session_id", "prompt_id"], |batch| {
            let text = |name: &str| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
            if let (Some(sessions), Some(ids)) = (text("session_id"), text("prompt_id")) {
                for (session, id) in sessions.iter().zip(ids).filter_map(|(session, id)| session.zip(id)) {
                    let sum: &mut u64 = sums.entry(session_hash(session)).or_default();
                    *sum = sum.wrapping_add(hash_bytes(id.as_bytes()));
                }
            }
            Ok(())
        })?;
    }
    Ok(sums)
}
