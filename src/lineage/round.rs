//! The flows of some sessions, found anew from the lake and put in place of the old ones.
//!
//! Arguments are read first, then results stream past them. Of the files only pages with rows of these sessions are decoded.

use super::index::CallText;
use super::known::{State, digest};
use super::memory::PromptText;
use super::plan::{Round, each_row, prompt_sums, session_hash};
use super::scan::Scratch;
use super::session::Session;
use super::window::{Window, windows};
use super::{Flow, Moment, flows_to_batch};
use crate::call::{Text, calls_from_batch, partition_day};
use crate::lake::data_file::{self, GrowingFile, ZSTD_LEVEL};
use crate::lake::{Lake, LakeError, TablePath, Transaction, tables};
use arrow::array::{Array as _, AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use deltalake::kernel::Add;
use parquet::arrow::arrow_reader::RowSelection;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What lineage reads of a call besides its payloads.
const COLUMNS: &[&str] = &[
    "call_id",
    "session_id",
    "event_kind",
    "time",
    "time_end",
    "method",
    "agent",
    "user_id",
    "user_name",
    "user_email",
    "host_name",
    "cwd",
    "git_branch",
    "server",
    "tool",
    "capabilities",
    "source_file",
    "source_offset",
    "response_offset",
    "ingest_id",
    "ingested_at",
];
/// Flows that are put into columns at once.
const ROWS: usize = 8192;

/// What became of a session.
#[derive(Debug, Default)]
struct Seen {
    id: Text,
    calls: u64,
    sum: u64,
}

/// A round at work.
pub(super) struct Work<'a> {
    lake: &'a Lake,
    table: TablePath,
    /// The sessions' places, by their numbers.
    places: HashMap<u64, usize, ahash::RandomState>,
    /// Files with rows of them, and which rows.
    files: Vec<(&'a Add, RowSelection)>,
    prompts: Vec<Vec<PromptText>>,
}

impl<'a> Work<'a> {
    /// Finds the sessions' rows.
    pub(super) async fn new(lake: &'a Lake, round: &Round, files: &'a [Add]) -> Result<Self, LakeError> {
        let table = lake.table_path("calls");
        let places: HashMap<u64, usize, ahash::RandomState> =
            round.sessions.iter().enumerate().map(|(at, session)| (*session, at)).collect();
        let select = |file: &'a Add| {
            let mut filters = Vec::new();
            data_file::read(&table, file, &["session_id"], |batch| {
                let ids = batch.column_by_name("session_id").and_then(|column| column.as_string_opt::<i32>());
                let is_wanted = |id: Option<&str>| id.is_some_and(|id| places.contains_key(&session_hash(id)));
                filters.push(match ids {
                    Some(ids) => ids.iter().map(|id| Some(is_wanted(id))).collect(),
                    None => BooleanArray::from(vec![false; batch.num_rows()]),
                });
                Ok(())
            })?;
            let has_any = filters.iter().any(|filter: &BooleanArray| filter.true_count() > 0);
            Ok(has_any.then(|| (file, RowSelection::from_filters(&filters))))
        };
        let selected = files.par_iter().map(select).collect::<Result<Vec<_>, LakeError>>()?;
        let prompts = prompts(lake, &places).await?;
        Ok(Self { lake, table, files: selected.into_iter().flatten().collect(), prompts, places })
    }

    /// Finds the flows of all sessions, hands them to the writer, and says what they were found from.
    pub(super) async fn run(
        &self,
        round: &Round,
        out: &mut FlowWriter,
    ) -> Result<Vec<(u64, Option<State>)>, LakeError> {
        let mut flows = vec![0; self.places.len()];
        let seen = if round.is_large {
            // The order of the calls first, without their arguments.
            let mut keys = Vec::new();
            let seen = self.calls(&["arguments_bytes"], &mut |_, call, bytes| keys.push((call.key(), bytes)))?;
            for window in windows(keys) {
                self.window(Some(&window), out, &mut flows)?;
            }
            seen
        } else {
            self.window(None, out, &mut flows)?
        };
        let prompts = prompt_sums(self.lake).await?;
        let state = |(session, place): (&u64, &usize)| {
            let of = seen.get(*place).filter(|seen| seen.calls > 0)?;
            let sum = of.sum.wrapping_add(prompts.get(session).copied().unwrap_or_default());
            Some(State { digest: digest(sum), flows: flows[*place] })
        };
        Ok(self.places.iter().map(|(session, place)| (*session, state((session, place)))).collect())
    }

    /// The flows of all sessions, or of one window of the only one.
    fn window(&self, window: Option<&Window>, out: &mut FlowWriter, flows: &mut [u64]) -> Result<Vec<Seen>, LakeError> {
        let mut calls: Vec<Vec<CallText>> = vec![Vec::new(); self.places.len()];
        let seen = self.calls(&["arguments"], &mut |place, call, _| {
            if window.is_none_or(|window| window.holds(&call.key())) {
                calls[place].push(call);
            }
        })?;
        let sinks_from = window.and_then(|window| window.sinks_from.as_ref());
        let sessions: Vec<Session> = calls
            .into_par_iter()
            .zip(&seen)
            .zip(&self.prompts)
            .map(|((calls, seen), prompts)| {
                let session = Session::with_sinks_from(seen.id.clone(), calls, sinks_from);
                let mut scratch = Scratch::default();
                prompts.iter().for_each(|prompt| session.prompt(&prompt.at, &prompt.text, &mut scratch));
                session
            })
            .collect();
        self.results(&sessions)?;
        let mut sessions = sessions;
        let mut at = 0;
        while !sessions.is_empty() {
            // A few at a time, so that rows do not pile up.
            let rest = sessions.split_off(sessions.len().min(256));
            let found: Vec<Vec<Flow>> = sessions.into_par_iter().map(Session::finish).collect();
            for of_session in found {
                flows[at] += of_session.len() as u64;
                of_session.into_iter().try_for_each(|flow| out.push(flow))?;
                at += 1;
            }
            sessions = rest;
        }
        Ok(seen)
    }

    /// Reads the sessions' calls; of each its place and the bytes of its arguments.
    fn calls(&self, more: &[&str], each: &mut dyn FnMut(usize, CallText, u64)) -> Result<Vec<Seen>, LakeError> {
        let columns: Vec<&str> = COLUMNS.iter().chain(more).copied().collect();
        type Part = (Vec<(usize, CallText, u64)>, HashMap<usize, Seen>);
        let read = |(file, rows): &(&Add, RowSelection)| {
            let (mut calls, mut seen): Part = Default::default();
            data_file::read_rows(&self.table, file, &columns, Some(rows.clone()), |batch| {
                let mut hashes = vec![0; batch.num_rows()];
                each_row(&batch, |row, _, hash| hashes[row] = hash);
                let bytes = data_file::integers(&batch, "arguments_bytes");
                for (row, call) in calls_from_batch(&batch)?.into_iter().enumerate() {
                    let place = call.session_id.as_deref().and_then(|id| self.places.get(&session_hash(id)));
                    let Some(place) = place else { continue };
                    let known = seen.entry(*place).or_default();
                    known.calls += 1;
                    known.sum = known.sum.wrapping_add(hashes[row]);
                    if known.id.is_empty() {
                        known.id = call.session_id.clone().unwrap_or_default();
                    }
                    if let Some(text) = CallText::of(&call) {
                        calls.push((*place, text, bytes[row].unwrap_or_default().unsigned_abs()));
                    }
                }
                Ok(())
            })?;
            Ok((calls, seen))
        };
        let mut all: Vec<Seen> = Vec::new();
        all.resize_with(self.places.len(), Seen::default);
        // As many files at once as there are threads: each part holds the arguments of a file.
        for files in self.files.chunks(rayon::current_num_threads().max(1)) {
            let parts: Vec<Part> = files.par_iter().map(read).collect::<Result<_, LakeError>>()?;
            for (calls, seen) in parts {
                calls.into_iter().for_each(|(place, call, bytes)| each(place, call, bytes));
                for (place, part) in seen {
                    let known = &mut all[place];
                    known.calls += part.calls;
                    known.sum = known.sum.wrapping_add(part.sum);
                    known.id = if known.id.is_empty() { part.id } else { std::mem::take(&mut known.id) };
                }
            }
        }
        Ok(all)
    }

    /// Holds the sessions' results against their arguments.
    fn results(&self, sessions: &[Session]) -> Result<(), LakeError> {
        self.files.par_iter().try_for_each(|(file, rows)| {
            let mut scratch = Scratch::default();
            data_file::read_rows(&self.table, file, &["session_id", "call_id", "result"], Some(rows.clone()), |batch| {
                let text = |name: &str| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
                let (Some(ids), Some(calls), Some(results)) = (text("session_id"), text("call_id"), text("result"))
                else {
                    return Ok(());
                };
                for row in (0..batch.num_rows()).filter(|row| results.is_valid(*row) && ids.is_valid(*row)) {
                    if let Some(place) = self.places.get(&session_hash(ids.value(row))) {
                        sessions[*place].result(calls.value(row), results.value(row), &mut scratch);
                    }
                }
                Ok(())
            })
        })
    }
}

/// The requests of the user in each session.
async fn prompts(
    lake: &Lake,
    places: &HashMap<u64, usize, ahash::RandomState>,
) -> Result<Vec<Vec<PromptText>>, LakeError> {
    let mut prompts: Vec<Vec<PromptText>> = vec![Vec::new(); places.len()];
    for file in lake.files("prompts").await? {
        data_file::read(&lake.table_path("prompts"), &file, &["session_id", "time", "text"], |batch| {
            for prompt in prompt_texts(&batch) {
                if let Some(place) = places.get(&session_hash(&prompt.session_id)) {
                    prompts[*place].push(prompt);
                }
            }
            Ok(())
        })?;
    }
    Ok(prompts)
}

/// Rows of `prompts` as lineage looks at them.
pub fn prompt_texts(batch: &RecordBatch) -> Vec<PromptText> {
    let text = |name: &str| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
    let times = batch.column_by_name("time").and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    let (Some(sessions), Some(texts)) = (text("session_id"), text("text")) else { return Vec::new() };
    let rows = sessions.iter().zip(texts).enumerate().filter_map(|(row, (session, text))| {
        let time = times.filter(|times| times.is_valid(row)).map(|times| times.value(row));
        Some(PromptText {
            session_id: session?.into(),
            at: Moment { time, ..Moment::default() },
            text: text?.to_owned(),
        })
    });
    rows.collect()
}

/// Writes flows as files of their days.
pub(super) struct FlowWriter {
    table: TablePath,
    schema: SchemaRef,
    days: BTreeMap<Option<i32>, (Option<GrowingFile>, Vec<Flow>)>,
    waiting: usize,
}

impl FlowWriter {
    pub(super) fn new(lake: &Lake) -> Self {
        let schema = tables::table("flows").expect("flows is a table of the lake").schema();
        Self { table: lake.table_path("flows"), schema, days: BTreeMap::new(), waiting: 0 }
    }

    fn push(&mut self, flow: Flow) -> Result<(), LakeError> {
        let day = partition_day(flow.sink.time.map(|micros| micros.saturating_mul(1000)));
        self.days.entry(day).or_default().1.push(flow);
        self.waiting += 1;
        if self.waiting >= ROWS { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), LakeError> {
        self.waiting = 0;
        for (day, (file, flows)) in &mut self.days {
            if flows.is_empty() {
                continue;
            }
            let batch = flows_to_batch(&self.schema, flows)?;
            flows.clear();
            if file.is_none() {
                let name = format!("part-{}", uuid::Uuid::new_v4().simple());
                *file = Some(GrowingFile::create(&self.table, &name, Some(*day), &self.schema, ZSTD_LEVEL)?);
            }
            let Some(growing) = file else { continue };
            growing.write(&batch)?;
        }
        Ok(())
    }

    /// Ends the files and puts them into a transaction.
    pub(super) fn finish(mut self, transaction: &mut Transaction, now_ms: i64) -> Result<(), LakeError> {
        self.write()?;
        for (file, _) in self.days.into_values() {
            if let Some(file) = file {
                transaction.add("flows", file.finish(now_ms)?.add);
            }
        }
        Ok(())
    }
}

/// Takes the rows of some sessions out of `flows`.
pub(super) async fn remove(
    lake: &Lake,
    sessions: &HashSet<u64, ahash::RandomState>,
    transaction: &mut Transaction,
    now_ms: i64,
) -> Result<(), LakeError> {
    if sessions.is_empty() {
        return Ok(());
    }
    let table = lake.table_path("flows");
    let kept = |batch: &RecordBatch| -> BooleanArray {
        let ids = batch.column_by_name("session_id").and_then(|column| column.as_string_opt::<i32>());
        let is_gone = |id: Option<&str>| id.is_some_and(|id| sessions.contains(&session_hash(id)));
        ids.map_or_else(
            || BooleanArray::from(vec![true; batch.num_rows()]),
            |ids| ids.iter().map(|id| Some(!is_gone(id))).collect(),
        )
    };
    for add in lake.files("flows").await? {
        let mut goes = false;
        data_file::read(&table, &add, &["session_id"], |batch| {
            goes |= kept(&batch).false_count() > 0;
            Ok(())
        })?;
        if !goes {
            continue;
        }
        let mut rest: Option<GrowingFile> = None;
        data_file::read(&table, &add, &[], |batch| {
            let batch = filter_record_batch(&batch, &kept(&batch))?;
            if batch.num_rows() == 0 {
                return Ok(());
            }
            let mut file = match rest.take() {
                Some(file) => file,
                None => {
                    let name = format!("part-{}", uuid::Uuid::new_v4().simple());
                    GrowingFile::create(&table, &name, data_file::day_of(&add), &batch.schema(), ZSTD_LEVEL)?
                }
            };
            file.write(&batch)?;
            rest = Some(file);
            Ok(())
        })?;
        if let Some(file) = rest {
            transaction.add("flows", file.finish(now_ms)?.add);
        }
        transaction.remove("flows", &add, now_ms);
    }
    Ok(())
}
