//! Which alerts wait for which sink, with little of each in memory: some forty bytes an alert and a byte for each sink.
//!
//! The index is made of a few columns of `alerts`; the alerts themselves are read when their turn comes, some hundreds at a time. They go out by
//! time, so what belongs to one session, agent or user keeps its order.

use super::ledger::{self, Event, Known, State};
use super::{Retried, Sink};
use crate::alert::{Alert, Level, alerts_from_batch};
use crate::lake::{Add, Lake, LakeError, TablePath, data_file};
use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use std::collections::{BTreeMap, HashMap};

const TABLE: &str = "alerts";
const COLUMNS: &[&str] =
    &["alert_id", "time", "level", "rule_id", "tags", "suppressed_by", "superseded_by", "resolved"];

/// An id in its sixteen bytes.
type Id = [u8; 16];

/// One alert of the lake.
struct Entry {
    time: i64,
    id: Id,
    file: u32,
    row: u32,
    /// Nothing took its place, and it is still true.
    current: bool,
    suppressed: bool,
}

/// What is known of one alert at one sink.
#[derive(Clone, Copy, Default)]
struct Mark {
    /// The sink's filter lets it through.
    wanted: bool,
    last: Option<(Event, State)>,
}

impl Mark {
    fn pack(self) -> u8 {
        let last = match self.last {
            None => 0,
            Some((event, state)) => 1 + 3 * event as u8 + state as u8,
        };
        u8::from(self.wanted) | (last << 1)
    }

    fn unpack(byte: u8) -> Self {
        let event = |code: u8| if code >= 3 { Event::Resolved } else { Event::Raised };
        let state = |code: u8| match code % 3 {
            0 => State::Pending,
            1 => State::Delivered,
            _ => State::Refused,
        };
        let last = (byte >> 1).checked_sub(1).map(|code| (event(code), state(code)));
        Self { wanted: byte & 1 != 0, last }
    }
}

/// What is known of all alerts at one sink.
#[derive(Default)]
struct Lane {
    marks: Vec<u8>,
    /// Those that were tried and did not get through.
    tried: HashMap<u32, (i64, Option<i64>)>,
}

/// The alerts of the lake and where each stands.
pub(super) struct Outbox {
    table: TablePath,
    files: Vec<Add>,
    entries: Vec<Entry>,
    lanes: Vec<Lane>,
    /// Greater than the step of any row.
    pub(super) next_step: i64,
}

/// One thing to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) entry: u32,
    pub(super) event: Event,
}

/// What waits for a sink.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) due: Vec<Due>,
    /// Alerts that the sink has refused.
    pub(super) refused: u64,
    /// Time of the oldest that waits, in microseconds.
    pub(super) oldest: Option<i64>,
    /// The receiver asked to be left alone until then, in microseconds.
    pub(super) not_before: Option<i64>,
}

impl Outbox {
    /// Looks at all alerts and at what became of them.
    pub(super) async fn read(lake: &Lake, sinks: &[Sink]) -> Result<Self, LakeError> {
        let mut outbox = Self {
            table: lake.table_path(TABLE),
            files: lake.files(TABLE).await?,
            entries: Vec::new(),
            lanes: sinks.iter().map(|_| Lane::default()).collect(),
            next_step: 1,
        };
        let mut marks: Vec<Vec<u8>> = sinks.iter().map(|_| Vec::new()).collect();
        for (number, file) in outbox.files.iter().enumerate() {
            let mut row = 0;
            data_file::read(&outbox.table, file, COLUMNS, |batch| {
                index(&batch, number as u32, &mut row, sinks, &mut outbox.entries, &mut marks)?;
                Ok(())
            })?;
        }
        // By time; marks follow.
        let mut order: Vec<u32> = (0..outbox.entries.len() as u32).collect();
        order.sort_unstable_by_key(|at| {
            let entry = &outbox.entries[*at as usize];
            (entry.time, entry.id)
        });
        for (lane, marks) in outbox.lanes.iter_mut().zip(marks) {
            lane.marks = order.iter().map(|at| marks[*at as usize]).collect();
        }
        outbox.entries.sort_unstable_by_key(|entry| (entry.time, entry.id));
        outbox.read_ledger(lake, sinks).await?;
        Ok(outbox)
    }

    async fn read_ledger(&mut self, lake: &Lake, sinks: &[Sink]) -> Result<(), LakeError> {
        let place: HashMap<Id, u32> = self.entries.iter().zip(0..).map(|(entry, at)| (entry.id, at)).collect();
        let lane_of: BTreeMap<&str, usize> = sinks.iter().zip(0..).map(|(sink, at)| (sink.name.as_str(), at)).collect();
        let mut steps: Vec<Vec<i64>> = sinks.iter().map(|_| vec![0; self.entries.len()]).collect();
        let (lanes, next_step) = (&mut self.lanes, &mut self.next_step);
        ledger::read(lake, |row: &Known<'_>| {
            *next_step = (*next_step).max(row.step + 1);
            let (Some(&lane), Some(&at)) = (lane_of.get(row.sink), place.get(&id_of(row.alert_id))) else { return };
            let (known, at_lane) = (&mut steps[lane][at as usize], &mut lanes[lane]);
            if *known > row.step {
                return;
            }
            *known = row.step;
            let mark = Mark { last: Some((row.event, row.state)), ..Mark::unpack(at_lane.marks[at as usize]) };
            at_lane.marks[at as usize] = mark.pack();
            if row.state == State::Pending {
                at_lane.tried.insert(at, (row.attempts, row.next_attempt));
            } else {
                at_lane.tried.remove(&at);
            }
        })
        .await
    }

    /// What the sink is to be sent now, by time.
    pub(super) fn waiting(&self, lane: usize, sink: &Sink, retried: Retried) -> Waiting {
        let mut waiting = Waiting::default();
        for (at, (entry, mark)) in self.entries.iter().zip(&self.lanes[lane].marks).enumerate() {
            let mark = Mark::unpack(*mark);
            if !mark.wanted || entry.suppressed {
                continue;
            }
            let event = match (entry.current, mark.last) {
                (_, Some((_, State::Refused))) if retried == Retried::Pending => {
                    waiting.refused += 1;
                    continue;
                }
                (true, Some((Event::Raised, State::Delivered))) => continue,
                (true, _) => Event::Raised,
                // What was never told need not be taken back.
                (
                    false,
                    Some((Event::Raised, State::Delivered) | (Event::Resolved, State::Pending | State::Refused)),
                ) if sink.send_resolved => Event::Resolved,
                (false, _) => continue,
            };
            waiting.oldest = waiting.oldest.or(Some(entry.time));
            let next = self.lanes[lane].tried.get(&(at as u32)).and_then(|(_, next)| *next);
            waiting.not_before = waiting.not_before.max(next);
            waiting.due.push(Due { entry: at as u32, event });
        }
        waiting
    }

    /// Times that the sink was sent this before.
    pub(super) fn attempts(&self, lane: usize, due: Due) -> i64 {
        self.lanes[lane].tried.get(&due.entry).map_or(0, |(attempts, _)| *attempts)
    }

    /// Reads alerts, in the order asked for.
    pub(super) fn load(&self, wanted: &[Due]) -> Result<Vec<Alert>, LakeError> {
        let mut of_file: BTreeMap<u32, Vec<(u32, usize)>> = BTreeMap::new();
        for (place, due) in wanted.iter().enumerate() {
            let entry = &self.entries[due.entry as usize];
            of_file.entry(entry.file).or_default().push((entry.row, place));
        }
        let mut found: Vec<Option<Alert>> = wanted.iter().map(|_| None).collect();
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
                for (alert, place) in alerts_from_batch(&batch)?.into_iter().zip(places.by_ref()) {
                    found[place] = Some(alert);
                }
                Ok(())
            })?;
        }
        Ok(found.into_iter().flatten().collect())
    }
}

/// Ids are 32 hexadecimal digits; another text, which nobody writes, would still be one of its own.
fn id_of(text: &str) -> Id {
    let mut id = [0; 16];
    let digits = text.as_bytes();
    let is_hex = digits.len() == 32
        && id.iter_mut().enumerate().all(|(at, byte)| {
            match u8::from_str_radix(text.get(2 * at..2 * at + 2).unwrap_or("x"), 16) {
                Ok(value) => {
                    *byte = value;
                    true
                }
                Err(_) => false,
            }
        });
    if !is_hex {
        id.copy_from_slice(&blake3::hash(digits).as_bytes()[..16]);
    }
    id
}

/// Adds the rows of a batch to the index.
fn index(
    batch: &RecordBatch,
    file: u32,
    row: &mut u32,
    sinks: &[Sink],
    entries: &mut Vec<Entry>,
    marks: &mut [Vec<u8>],
) -> Result<(), ArrowError> {
    let column = |name: &str| {
        batch
            .column_by_name(name)
            .ok_or_else(|| ArrowError::SchemaError(format!("table {TABLE} has no column `{name}`")))
    };
    let texts = |name: &str| cast(column(name)?, &DataType::Utf8);
    let is_set = |name: &str| batch.column_by_name(name).cloned();
    let (ids, levels, rules) = (texts("alert_id")?, texts("level")?, texts("rule_id")?);
    let (ids, levels, rules) = (ids.as_string::<i32>(), levels.as_string::<i32>(), rules.as_string::<i32>());
    let times =
        cast(column("time")?, &DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into())))?;
    let times = cast(&times, &DataType::Int64)?;
    let times = times.as_primitive::<Int64Type>();
    let tags = batch.column_by_name("tags").and_then(|column| column.as_list_opt::<i32>());
    let (suppressed, superseded, resolved) = (is_set("suppressed_by"), is_set("superseded_by"), is_set("resolved"));
    let is_valid =
        |column: &Option<arrow::array::ArrayRef>, at| column.as_ref().is_some_and(|column| column.is_valid(at));
    for at in 0..batch.num_rows() {
        entries.push(Entry {
            time: times.value(at),
            id: id_of(ids.value(at)),
            file,
            row: *row,
            current: !is_valid(&superseded, at) && !is_valid(&resolved, at),
            suppressed: is_valid(&suppressed, at),
        });
        *row += 1;
        let level = Level::parse(levels.value(at)).unwrap_or(Level::Critical);
        let of_row = tags.filter(|tags| tags.is_valid(at)).map(|tags| tags.value(at));
        let of_row = of_row.map(|tags| cast(&tags, &DataType::Utf8)).transpose()?;
        let of_row: Vec<&str> =
            of_row.as_ref().map(|tags| tags.as_string::<i32>().iter().flatten().collect()).unwrap_or_default();
        for (sink, marks) in sinks.iter().zip(marks.iter_mut()) {
            let wanted = sink.filter.admits(level, rules.value(at), &of_row, times.value(at));
            marks.push(Mark { wanted, last: None }.pack());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_keep_what_they_are_told() {
        for wanted in [false, true] {
            for last in
                [None].into_iter().chain([Event::Raised, Event::Resolved].into_iter().flat_map(|event| {
                    [State::Pending, State::Delivered, State::Refused].map(|state| Some((event, state)))
                }))
            {
                let back = Mark::unpack(Mark { wanted, last }.pack());
                assert_eq!((back.wanted, back.last), (wanted, last));
            }
        }
    }
}
