//! One data file of `calls` as the writer sees it: which calls it holds, which of them are replaced, what replaces the file.

use super::writer::Match;
use crate::call::{Call, EventKind, Nanos, Observer, Outcome, PayloadState, Text, calls_from_batch};
use crate::lake::{DataFile, LakeError, TablePath, data_file, data_file::GrowingFile};
use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use deltalake::kernel::Add;
use std::collections::{HashMap, HashSet};

/// A call's id as a number.
pub(super) type Id = u128;

/// One data file of `calls`, in the lake or still to be added.
#[derive(Debug)]
pub(super) struct CallFile {
    pub(super) add: Add,
    pub(super) times: Option<(i64, i64)>,
    pub(super) committed: bool,
    /// Its ids, if they are in memory; read from disk otherwise.
    pub(super) ids: Option<Vec<Id>>,
    /// Rows that a merge replaced or that were retracted.
    pub(super) dropped: HashSet<Id>,
}

/// What decides whether a view adds something.
pub(super) struct Summary {
    pub(super) arguments: PayloadState,
    pub(super) result: PayloadState,
    pub(super) outcome: Outcome,
    pub(super) session: crate::call::SessionSource,
    pub(super) timed: bool,
    pub(super) observer: Observer,
    pub(super) measured: bool,
    pub(super) approval: bool,
    /// It is known when it ended.
    pub(super) ended: bool,
    /// Its `time`.
    pub(super) time: Option<Nanos>,
}

pub(super) const SUMMARY_COLUMNS: &[&str] = &[
    "call_id",
    "arguments_state",
    "result_state",
    "outcome",
    "session_source",
    "time",
    "time_end",
    "time_source",
    "trace_observer",
    "duration_source",
    "approval",
];

pub(super) fn summary(call: &Call) -> Summary {
    Summary {
        arguments: call.arguments_state,
        result: call.result_state,
        outcome: call.outcome,
        session: call.session_source,
        timed: call.time_source != crate::call::TimeSource::FileMtime,
        observer: call.observer,
        measured: call.duration_source == Some(crate::call::DurationSource::Measured),
        approval: call.approval != crate::call::Approval::Unknown,
        ended: call.time_end.is_some(),
        time: call.time,
    }
}

pub(super) fn improves(old: &Summary, call: &Call) -> bool {
    let new = summary(call);
    new.arguments > old.arguments
        || new.result > old.result
        || crate::call::specificity(new.outcome) > crate::call::specificity(old.outcome)
        || new.session > old.session
        || (new.timed && !old.timed)
        || (old.observer != Observer::Several && new.observer != old.observer)
        || (new.measured && !old.measured)
        || (new.approval && !old.approval)
        || (new.ended && !old.ended)
}

/// Responses without a request that are about to be written, by id, time and payload.
pub(super) type Orphans = HashMap<(Text, Nanos, [u8; 32]), usize>;

/// What a response is in every export; times as the lake keeps them.
pub(super) fn response_key(call: &Call) -> Option<(Text, Nanos, [u8; 32])> {
    Some((call.jsonrpc_request_id.clone()?, call.time_end?.div_euclid(1000), call.result_hash?))
}

impl CallFile {
    /// Finds orphans whose response stands in the file as part of a whole call: another export held the request too.
    pub(super) fn answers(
        &self,
        table: &TablePath,
        orphans: &mut Orphans,
        found: &mut HashMap<usize, Match>,
    ) -> Result<(), LakeError> {
        if orphans.is_empty() {
            return Ok(());
        }
        let columns = ["call_id", "event_kind", "jsonrpc_request_id", "time_end", "result_hash"];
        data_file::read(table, &self.add, &columns, |batch| {
            for call in calls_from_batch(&batch)?.iter().filter(|call| call.event_kind == EventKind::Call) {
                if let Some(at) = response_key(call).and_then(|key| orphans.remove(&key)) {
                    found.insert(at, Match::Duplicate);
                }
            }
            Ok(())
        })
    }

    /// Rows of the file whose id is wanted. Ids that are read are kept if there is room for so many.
    pub(super) fn hits(
        &mut self,
        table: &TablePath,
        room: &mut usize,
        wanted: impl Fn(Id) -> bool,
    ) -> Result<HashMap<Id, Summary>, LakeError> {
        if let Some(ids) = &self.ids
            && !ids.iter().any(|id| wanted(*id) && !self.dropped.contains(id))
        {
            return Ok(HashMap::new());
        }
        let mut any = self.ids.is_some();
        if !any {
            let mut ids = Vec::new();
            let mut fits = true;
            data_file::read(table, &self.add, &["call_id"], |batch| {
                any |= ids_of(&batch, "calls").any(|id| wanted(id) && !self.dropped.contains(&id));
                fits &= ids.len() + batch.num_rows() <= *room;
                if fits {
                    ids.extend(ids_of(&batch, "calls"));
                }
                Ok(())
            })?;
            if fits {
                *room -= ids.len();
                self.ids = Some(ids);
            }
        }
        let mut hits = HashMap::new();
        if any {
            data_file::read(table, &self.add, SUMMARY_COLUMNS, |batch| {
                for call in calls_from_batch(&batch)? {
                    let id = parse_id(&call.call_id);
                    if wanted(id) && !self.dropped.contains(&id) {
                        hits.insert(id, summary(&call));
                    }
                }
                Ok(())
            })?;
        }
        Ok(hits)
    }

    /// Whole rows of the file.
    pub(super) fn load(&self, table: &TablePath, ids: &HashSet<Id>) -> Result<Vec<Call>, LakeError> {
        let mut calls = Vec::new();
        data_file::read(table, &self.add, &[], |batch| {
            let keep: BooleanArray = ids_of(&batch, "calls").map(|id| Some(ids.contains(&id))).collect();
            let rows = arrow::compute::filter_record_batch(&batch, &keep)?;
            calls.extend(calls_from_batch(&rows)?);
            Ok(())
        })?;
        Ok(calls)
    }
}

/// Copies a file without some rows; `None` if none is left.
pub(super) fn rewrite_without(
    table: &TablePath,
    name_of: &str,
    add: &Add,
    gone: &HashSet<Id>,
    name: &str,
    now_ms: i64,
) -> Result<Option<DataFile>, LakeError> {
    let mut kept: Option<GrowingFile> = None;
    data_file::read(table, add, &[], |batch| {
        let keep: BooleanArray = ids_of(&batch, name_of).map(|id| Some(!gone.contains(&id))).collect();
        let rows = arrow::compute::filter_record_batch(&batch, &keep)?;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let file = match kept.take() {
            Some(file) => file,
            None => GrowingFile::create(table, name, data_file::day_of(add), &rows.schema(), data_file::ZSTD_LEVEL)?,
        };
        kept.insert(file).write(&rows)
    })?;
    kept.map(|file| file.finish(now_ms)).transpose()
}

/// The column by which rows of a table are told apart.
pub(super) fn id_column(table: &str) -> &'static str {
    match table {
        "rejects" => "reject_id",
        _ => "call_id",
    }
}

pub(super) fn ids_of(batch: &RecordBatch, table: &str) -> impl Iterator<Item = Id> {
    let column = batch.column_by_name(id_column(table)).map(|array| array.as_string::<i32>());
    column.into_iter().flat_map(|column| column.iter().map(|id| parse_id(id.unwrap_or_default())))
}

/// An id's 128 bits.
pub(super) fn parse_id(hex: &str) -> Id {
    let digit = |id: Id, byte: u8| Some(id << 4 | Id::from(char::from(byte).to_digit(16)?));
    match hex.len() {
        1..=32 => hex.bytes().try_fold(0, digit).unwrap_or_default(),
        _ => 0,
    }
}
