//! Which alerts wait for a sink, found out part by part: memory holds what belongs to the alerts of one part.
//!
//! Alerts go out by time, so what belongs to one session, agent or user keeps its order. A part is a stretch of time with about [`PART`] alerts.
//! A few columns of it and the ledger say what is due; the alerts themselves are read when their turn comes, some hundreds at a time.

use super::ledger::{self, Event, Known, State};
use super::{Retried, Sink};
use crate::alert::{Alert, Level, alerts_from_batch, rows, time_text};
use crate::lake::{Add, Lake, LakeError, TablePath, data_file};
use arrow::array::{Array as _, ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::runtime::Handle;

const TABLE: &str = "alerts";
/// Alerts of one part: about 100 bytes each while it is looked at, 32 for each that is due afterwards.
const PART: usize = 100_000;
/// Alerts whose times decide where parts begin.
const SAMPLES: u64 = 1 << 16;

/// An id in its sixteen bytes.
type Id = [u8; 16];
/// Where an alert stands in the order of sending.
type Place = (i64, Id);

/// The alerts of the lake as one sink sees them.
pub(super) struct Outbox {
    lake: Arc<Lake>,
    table: TablePath,
    files: Vec<Add>,
    sink: Sink,
    retried: Retried,
    /// Where parts begin, but for the first.
    bounds: Vec<Place>,
}

/// One thing to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    time: i64,
    file: u32,
    row: u32,
    pub(super) event: Event,
    /// Times that it was sent before.
    pub(super) attempts: u32,
}

/// What a part of the alerts comes to.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// By time.
    pub(super) due: Vec<Due>,
    /// Alerts that the sink has refused.
    refused: u64,
    /// The receiver asked to be left alone until then, in microseconds.
    not_before: Option<i64>,
    next_step: i64,
}

/// What all parts come to.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) due: u64,
    pub(super) refused: u64,
    /// Time of the oldest that waits, in microseconds.
    pub(super) oldest: Option<i64>,
    pub(super) not_before: Option<i64>,
    /// Greater than the step of any row of the ledger.
    pub(super) next_step: i64,
    /// Parts in which something is due, and what is due in the first of them.
    pub(super) parts: Vec<usize>,
    pub(super) first: Vec<Due>,
}

/// One alert of a part.
struct Entry {
    place: Place,
    file: u32,
    row: u32,
    attempts: u32,
    next_attempt: Option<i64>,
    step: i64,
    last: Option<(Event, State)>,
    /// Nothing took its place, and it is still true.
    current: bool,
}

impl Outbox {
    /// The alerts that are there now.
    pub(super) async fn open(lake: &Arc<Lake>, sink: &Sink, retried: Retried) -> Result<Self, LakeError> {
        Self::in_parts(lake, sink, retried, PART).await
    }

    async fn in_parts(lake: &Arc<Lake>, sink: &Sink, retried: Retried, part: usize) -> Result<Self, LakeError> {
        let mut outbox = Self {
            lake: Arc::clone(lake),
            table: lake.table_path(TABLE),
            files: lake.files(TABLE).await?,
            sink: sink.clone(),
            retried,
            bounds: Vec::new(),
        };
        let mut rows = 0;
        for file in &outbox.files {
            rows += match data_file::rows_of(file) {
                Some(rows) => rows.unsigned_abs(),
                None => data_file::shape(&outbox.table, file)?.rows,
            };
        }
        if rows > part as u64 {
            outbox.bounds = outbox.bounds_of(rows, part)?;
        }
        Ok(outbox)
    }

    /// Cuts the alerts into parts by the times of a sample.
    fn bounds_of(&self, rows: u64, part: usize) -> Result<Vec<Place>, LakeError> {
        let every = usize::try_from(rows.div_ceil(SAMPLES)).unwrap_or(usize::MAX);
        let (mut sample, mut row) = (Vec::new(), 0);
        for file in &self.files {
            data_file::read(&self.table, file, &["alert_id", "time"], |batch| {
                let (ids, times) = (text(&batch, "alert_id")?, time(&batch)?);
                for at in 0..batch.num_rows() {
                    if row % every == 0 {
                        sample.push((times.value(at), id_of(ids.value(at))));
                    }
                    row += 1;
                }
                Ok(())
            })?;
        }
        sample.sort_unstable();
        Ok(sample.into_iter().step_by((part / every).max(1)).skip(1).collect())
    }

    pub(super) fn sink(&self) -> &Sink {
        &self.sink
    }

    fn parts(&self) -> usize {
        self.bounds.len() + 1
    }

    /// Looks at all parts, one after the other.
    pub(super) async fn survey(&self) -> Result<Survey, LakeError> {
        let mut survey = Survey { next_step: 1, ..Survey::default() };
        for number in 0..self.parts() {
            let part = self.part(number).await?;
            survey.refused += part.refused;
            survey.not_before = survey.not_before.max(part.not_before);
            survey.next_step = survey.next_step.max(part.next_step);
            let Some(oldest) = part.due.first() else { continue };
            survey.due += part.due.len() as u64;
            survey.oldest = survey.oldest.or(Some(oldest.time));
            survey.parts.push(number);
            if survey.parts.len() == 1 {
                survey.first = part.due;
            }
        }
        Ok(survey)
    }

    /// What the sink is to be sent of one part now, by time.
    pub(super) async fn part(&self, number: usize) -> Result<Part, LakeError> {
        let mut entries = self.entries(number)?;
        let place: HashMap<Id, u32, ahash::RandomState> =
            entries.iter().zip(0..).map(|(entry, at)| (entry.place.1, at)).collect();
        let mut part = Part { next_step: 1, ..Part::default() };
        ledger::read(&self.lake, |row: &Known<'_>| {
            part.next_step = part.next_step.max(row.step + 1);
            let Some(&at) =
                Some(row).filter(|row| row.sink == self.sink.name).and_then(|row| place.get(&id_of(row.alert_id)))
            else {
                return;
            };
            let entry = &mut entries[at as usize];
            if row.step >= entry.step {
                let is_tried = row.state == State::Pending;
                entry.step = row.step;
                entry.last = Some((row.event, row.state));
                entry.attempts = if is_tried { u32::try_from(row.attempts).unwrap_or(u32::MAX) } else { 0 };
                entry.next_attempt = row.next_attempt.filter(|_| is_tried);
            }
        })
        .await?;
        drop(place);
        entries.sort_unstable_by_key(|entry| entry.place);
        for entry in entries {
            match self.event(entry.current, entry.last) {
                Ok(Some(event)) => {
                    part.not_before = part.not_before.max(entry.next_attempt);
                    let Entry { place: (time, _), file, row, attempts, .. } = entry;
                    part.due.push(Due { time, file, row, event, attempts });
                }
                Ok(None) => {}
                Err(Refused) => part.refused += 1,
            }
        }
        part.due.shrink_to_fit();
        Ok(part)
    }

    /// What the sink is to be told of an alert of which this was the last that it was told.
    fn event(&self, current: bool, last: Option<(Event, State)>) -> Result<Option<Event>, Refused> {
        match (current, last) {
            (_, Some((_, State::Refused))) if self.retried == Retried::Pending => Err(Refused),
            (true, Some((Event::Raised, State::Delivered))) => Ok(None),
            (true, _) => Ok(Some(Event::Raised)),
            // What was never told need not be taken back.
            (false, Some((Event::Raised, State::Delivered) | (Event::Resolved, State::Pending | State::Refused)))
                if self.sink.send_resolved =>
            {
                Ok(Some(Event::Resolved))
            }
            (false, _) => Ok(None),
        }
    }

    /// Alerts of a part that the sink wants and that no suppression hid when they were kept.
    fn entries(&self, number: usize) -> Result<Vec<Entry>, LakeError> {
        let from = number.checked_sub(1).and_then(|before| self.bounds.get(before));
        let to = self.bounds.get(number);
        let is_inside = |place: &Place| from.is_none_or(|from| place >= from) && to.is_none_or(|to| place < to);
        let mut columns = vec!["alert_id", "time", "level", "rule_id", "suppressed_by", "superseded_by", "resolved"];
        if !self.sink.filter.tags.is_empty() {
            columns.push("tags");
        }
        let mut entries = Vec::new();
        for (file, add) in self.files.iter().enumerate() {
            let is_elsewhere = data_file::times_of(add)
                .is_some_and(|(low, high)| from.is_some_and(|from| high < from.0) || to.is_some_and(|to| low > to.0));
            if is_elsewhere {
                continue;
            }
            let mut row = 0;
            data_file::read(&self.table, add, &columns, |batch| {
                self.index(&batch, file as u32, row, is_inside, &mut entries)?;
                row += batch.num_rows() as u32;
                Ok(())
            })?;
        }
        Ok(entries)
    }

    /// Adds those rows of a batch that belong to the part and get through the sink's filter.
    fn index(
        &self,
        batch: &RecordBatch,
        file: u32,
        row: u32,
        is_inside: impl Fn(&Place) -> bool,
        entries: &mut Vec<Entry>,
    ) -> Result<(), ArrowError> {
        let (ids, levels, rules) = (text(batch, "alert_id")?, text(batch, "level")?, text(batch, "rule_id")?);
        let times = time(batch)?;
        let tags = rows::lists(batch, "tags")?;
        let is_set = |name: &str, at| batch.column_by_name(name).is_some_and(|column| column.is_valid(at));
        for at in 0..batch.num_rows() {
            let time = times.value(at);
            let place = (time, id_of(ids.value(at)));
            if !is_inside(&place) || is_set("suppressed_by", at) {
                continue;
            }
            let level = Level::parse(levels.value(at)).unwrap_or(Level::Critical);
            let of_row: Vec<&str> = tags.get(at).collect();
            if self.sink.filter.admits(level, rules.value(at), &of_row, time) {
                entries.push(Entry {
                    place,
                    file,
                    row: row + at as u32,
                    attempts: 0,
                    next_attempt: None,
                    step: 0,
                    last: None,
                    current: !is_set("superseded_by", at) && !is_set("resolved", at),
                });
            }
        }
        Ok(())
    }

    /// Reads alerts, in the order asked for; says how many bytes they took in memory.
    pub(super) fn load(&self, wanted: &[Due]) -> Result<(Vec<Alert>, usize), LakeError> {
        let mut of_file: BTreeMap<u32, Vec<(u32, usize)>> = BTreeMap::new();
        for (place, due) in wanted.iter().enumerate() {
            of_file.entry(due.file).or_default().push((due.row, place));
        }
        let mut found: Vec<Option<Alert>> = wanted.iter().map(|_| None).collect();
        let mut bytes = 0;
        for (file, mut rows) in of_file {
            rows.sort_unstable();
            let mut selectors = Vec::new();
            let mut next = 0;
            for (row, _) in &rows {
                let row = *row as usize;
                if row > next {
                    selectors.push(RowSelector::skip(row - next));
                }
                selectors.push(RowSelector::select(1));
                next = row + 1;
            }
            let mut places = rows.iter().map(|(_, place)| *place);
            let selection = Some(RowSelection::from(selectors));
            data_file::read_rows(&self.table, &self.files[file as usize], &[], selection, |batch| {
                // What the rows take; the buffers behind them may be of whole pages.
                let taken = |column: &ArrayRef| column.to_data().get_slice_memory_size();
                for column in batch.columns() {
                    bytes += taken(column)?;
                }
                for (alert, place) in alerts_from_batch(&batch)?.into_iter().zip(places.by_ref()) {
                    found[place] = Some(alert);
                }
                Ok(())
            })?;
        }
        Ok((found.into_iter().flatten().collect(), bytes))
    }
}

/// Looks at what waits, on a thread where that disturbs nobody.
pub(super) async fn look(lake: Arc<Lake>, sink: Sink, retried: Retried) -> Result<(Outbox, Survey), LakeError> {
    let (runtime, span) = (Handle::current(), tracing::Span::current());
    let looked = tokio::task::spawn_blocking(move || {
        let _span = span.entered();
        runtime.block_on(async {
            let outbox = Outbox::open(&lake, &sink, retried).await?;
            let survey = outbox.survey().await?;
            Ok((outbox, survey))
        })
    });
    match looked.await {
        Ok(looked) => looked,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// The sink does not want it, and it is not tried again.
struct Refused;

/// For messages.
impl std::fmt::Display for Survey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} due in {} parts", self.due, self.parts.len())?;
        self.oldest.map_or(Ok(()), |oldest| write!(f, ", the oldest of {}", time_text(oldest)))
    }
}

fn text(batch: &RecordBatch, name: &str) -> Result<StringArray, ArrowError> {
    rows::texts(batch, name)?.ok_or_else(|| no_column(name))
}

fn time(batch: &RecordBatch) -> Result<Int64Array, ArrowError> {
    rows::micros(batch, "time")?.ok_or_else(|| no_column("time"))
}

fn no_column(name: &str) -> ArrowError {
    ArrowError::SchemaError(format!("table {TABLE} has no column `{name}`"))
}

/// Ids are 32 hexadecimal digits; another text, which nobody writes, would still be one of its own.
fn id_of(text: &str) -> Id {
    let is_hex = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    match u128::from_str_radix(text, 16) {
        Ok(number) if is_hex => number.to_be_bytes(),
        _ => {
            let mut id = [0; 16];
            id.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
            id
        }
    }
}

#[cfg(test)]
mod tests;
