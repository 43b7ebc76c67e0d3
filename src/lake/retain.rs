//! Retention: rows of before a day leave the lake, and the files that held them leave the disk, those of older versions too.
//!
//! The day of the partition decides; where a row has no time, when it was read. `sources`, definitions of tools and
//! connections stay: the first so that a file is not read again, the others because a change is judged by what was before.

use super::data_file::{self, GrowingFile};
use super::tables::TABLES;
use super::{Identity, Lake, LakeError, Purpose, State, Transaction, erase};
use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use chrono::{NaiveDate, NaiveTime};
use deltalake::kernel::Add;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};

/// Settings of a retention.
#[derive(Clone, Copy, Debug)]
pub struct RetainOptions {
    /// The first day that stays.
    pub before: NaiveDate,
    /// Whether alerts go whose evidence is older.
    pub alerts: bool,
    /// The time now, in milliseconds.
    pub now_ms: i64,
}

/// Rows of one day of one table that go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Part {
    pub table: &'static str,
    /// `None`: rows without a day.
    pub day: Option<NaiveDate>,
    pub rows: u64,
    pub files: u64,
    /// Of the files that hold them.
    pub bytes: u64,
}

/// What there is to remove.
#[derive(Debug)]
pub struct Plan {
    options: RetainOptions,
    parts: BTreeMap<(&'static str, Option<NaiveDate>), Part>,
    /// Files without a row that stays.
    removed: Vec<(&'static str, Add)>,
    /// Files with rows that stay, and how to tell those that go.
    rewritten: Vec<(&'static str, Add, Gone)>,
    /// Files of older versions that hold rows that go.
    old: Vec<(&'static str, String, u64)>,
    /// What the lake says of itself from now on, if that is new.
    identity: Option<Identity>,
    /// The last day of which there is something.
    newest: Option<NaiveDate>,
}

/// How to tell the rows that go.
#[derive(Clone, Debug)]
enum Gone {
    /// The column has a time before the instant (microseconds).
    Before(&'static str, i64),
    /// The column has one of these texts.
    Among(&'static str, std::sync::Arc<HashSet<String>>),
    /// The column has none of these texts.
    NotAmong(&'static str, std::sync::Arc<HashSet<String>>),
}

impl Plan {
    /// Finds what is older than the options allow.
    ///
    /// # Errors
    /// A table's log, or a file that has to be looked into, cannot be read.
    pub async fn new(lake: &Lake, options: RetainOptions) -> Result<Self, LakeError> {
        let identity = Identity::read(lake.store())?;
        let identity = (identity.kept_from != Some(options.before))
            .then_some(Identity { kept_from: Some(options.before), ..identity });
        let mut plan = Self {
            options,
            parts: BTreeMap::new(),
            removed: Vec::new(),
            rewritten: Vec::new(),
            old: Vec::new(),
            identity,
            newest: None,
        };
        for table in TABLES.iter().filter(|table| table.by_day) {
            plan.days(lake, table.name).await?;
        }
        let midnight = options.before.and_time(NaiveTime::MIN).and_utc().timestamp_micros();
        plan.rows(lake, "calls", true, &Gone::Before("ingested_at", midnight)).await?;
        let gone = plan.calls_of_observables(lake).await?;
        plan.rows(lake, "observables", true, &Gone::Among("call_id", gone.into())).await?;
        let read = sources_read_since(lake, midnight).await?;
        plan.rows(lake, "prompts", true, &Gone::NotAmong("source_file", read.into())).await?;
        plan.rows(lake, "rejects", false, &Gone::Before("ingested_at", midnight)).await?;
        if options.alerts {
            plan.rows(lake, "alerts", false, &Gone::Before("last_seen", midnight)).await?;
        }
        Ok(plan)
    }

    /// What goes, by table and day.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.parts.values()
    }

    /// The last day of which the lake has something.
    pub fn newest(&self) -> Option<NaiveDate> {
        self.newest
    }

    /// Files of older versions of the lake that go, and their bytes.
    pub fn old_files(&self) -> (u64, u64) {
        (self.old.len() as u64, self.old.iter().map(|(.., bytes)| bytes).sum())
    }

    /// Makes it so. `state` is what ingest keeps for its next run, if that changes too. The caller holds the lake's lock since
    /// before the plan was made.
    ///
    /// # Errors
    /// The disk refuses. After the change is written down, the next writer finishes it.
    pub async fn apply(self, lake: &Lake, state: Option<State>) -> Result<(), LakeError> {
        let (before, now_ms) = (self.options.before, self.options.now_ms);
        let rows = self.parts.values().map(|part| part.rows).sum();
        let files = self.parts.values().map(|part| part.files).sum();
        let mut transaction = Transaction::for_purpose(Purpose::Retain { before, rows, files });
        for (table, add, gone) in &self.rewritten {
            let folder = lake.table_path(table);
            let mut kept: Option<GrowingFile> = None;
            data_file::read(&folder, add, &[], |batch| {
                let keep = arrow::compute::not(&gone.of(&batch))?;
                let batch = filter_record_batch(&batch, &keep)?;
                let mut file = match kept.take() {
                    Some(file) => file,
                    None => {
                        let name = format!("part-{}", uuid::Uuid::new_v4().simple());
                        GrowingFile::create(
                            &folder,
                            &name,
                            data_file::day_of(add),
                            &batch.schema(),
                            data_file::ZSTD_LEVEL,
                        )?
                    }
                };
                file.write(&batch)?;
                kept = Some(file);
                Ok(())
            })?;
            if let Some(file) = kept {
                transaction.add(table, file.finish(now_ms)?.add);
            }
        }
        let rewritten = self.rewritten.iter().map(|(table, add, _)| (*table, add));
        for (table, add) in self.removed.iter().map(|(table, add)| (*table, add)).chain(rewritten) {
            transaction.remove(table, add, now_ms);
            transaction.erase(table, add.path.clone());
        }
        for (table, path, _) in self.old {
            transaction.erase(table, path);
        }
        if let Some(identity) = self.identity {
            transaction.set_identity(identity);
        }
        if let Some(state) = state {
            transaction.set_state(state);
        }
        transaction.commit(lake).await
    }

    /// Whole partitions of before the day.
    async fn days(&mut self, lake: &Lake, table: &'static str) -> Result<(), LakeError> {
        let before = self.options.before;
        let is_before = |day: Option<NaiveDate>| day.is_some_and(|day| day < before);
        for add in lake.files(table).await? {
            let day = add.partition_values.get("day").and_then(|day| day.as_deref()?.parse().ok());
            self.newest = self.newest.max(day);
            if is_before(day) {
                let rows = data_file::rows_of(&add).unwrap_or_default().unsigned_abs();
                self.count(table, day, rows, &add);
                self.removed.push((table, add));
            }
        }
        for file in erase::removed_files(lake, table).await? {
            let day = file.path.strip_prefix("day=").and_then(|rest| rest.split('/').next()?.parse().ok());
            if let Some(bytes) = file.on_disk.filter(|_| is_before(day)) {
                self.old.push((table, file.path, bytes));
            }
        }
        Ok(())
    }

    /// Single rows of a table, or of those of its rows that have no day.
    async fn rows(&mut self, lake: &Lake, table: &'static str, dayless: bool, gone: &Gone) -> Result<(), LakeError> {
        for add in lake.files(table).await?.into_iter().filter(|add| !dayless || is_dayless(&add.path)) {
            let (rows, all) = gone.count(lake, table, &add)?;
            if rows > 0 {
                self.count(table, None, rows, &add);
                if rows == all {
                    self.removed.push((table, add));
                } else {
                    self.rewritten.push((table, add, gone.clone()));
                }
            }
        }
        for file in erase::removed_files(lake, table).await? {
            if let Some(bytes) = file.on_disk.filter(|_| !dayless || is_dayless(&file.path)) {
                let add = Add { path: file.path.clone(), size: bytes as i64, ..Add::default() };
                if gone.count(lake, table, &add)?.0 > 0 {
                    self.old.push((table, file.path, bytes));
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, table: &'static str, day: Option<NaiveDate>, rows: u64, add: &Add) {
        let part = self.parts.entry((table, day)).or_insert_with(|| Part { table, day, ..Part::default() });
        part.rows += rows;
        part.files += 1;
        part.bytes += add.size.unsigned_abs();
    }

    /// Of the calls that observables without a day belong to, those that will not be in the lake.
    async fn calls_of_observables(&self, lake: &Lake) -> Result<HashSet<String>, LakeError> {
        let mut calls = HashSet::new();
        let mut files: Vec<Add> = lake.files("observables").await?;
        let old = erase::removed_files(lake, "observables").await?;
        files.extend(
            old.into_iter()
                .filter_map(|file| Some(Add { size: file.on_disk? as i64, path: file.path, ..Add::default() })),
        );
        for add in files.iter().filter(|add| is_dayless(&add.path)) {
            data_file::read(&lake.table_path("observables"), add, &["call_id"], |batch| {
                calls.extend(texts(&batch, "call_id").flatten().map(str::to_owned));
                Ok(())
            })?;
        }
        if calls.is_empty() {
            return Ok(calls);
        }
        for add in lake.files("calls").await? {
            if self.removed.iter().any(|(table, gone)| *table == "calls" && gone.path == add.path) {
                continue;
            }
            let gone = self.rewritten.iter().find(|(table, file, _)| *table == "calls" && file.path == add.path);
            data_file::read(&lake.table_path("calls"), &add, &["call_id", "ingested_at"], |batch| {
                let batch = match gone {
                    Some((.., gone)) => filter_record_batch(&batch, &arrow::compute::not(&gone.of(&batch))?)?,
                    None => batch,
                };
                texts(&batch, "call_id").flatten().for_each(|id| {
                    calls.remove(id);
                });
                Ok(())
            })?;
        }
        Ok(calls)
    }
}

impl Gone {
    fn column(&self) -> &'static str {
        let (Self::Before(column, _) | Self::Among(column, _) | Self::NotAmong(column, _)) = self;
        column
    }

    /// Which rows go. What the row does not say keeps it.
    fn of(&self, batch: &RecordBatch) -> BooleanArray {
        let texts = |is_gone: &dyn Fn(&str) -> bool| {
            texts(batch, self.column()).map(|text| Some(text.is_some_and(is_gone))).collect()
        };
        match self {
            Self::Before(column, instant) => {
                match batch
                    .column_by_name(column)
                    .and_then(|array| array.as_primitive_opt::<TimestampMicrosecondType>())
                {
                    Some(times) => times.iter().map(|time| Some(time.is_some_and(|time| time < *instant))).collect(),
                    None => BooleanArray::from(vec![false; batch.num_rows()]),
                }
            }
            Self::Among(_, wanted) => texts(&|text| wanted.contains(text)),
            Self::NotAmong(_, wanted) => texts(&|text| !wanted.contains(text)),
        }
    }

    /// Rows of a file that go, and all its rows.
    fn count(&self, lake: &Lake, table: &str, add: &Add) -> Result<(u64, u64), LakeError> {
        let (mut gone, mut all) = (0, 0);
        data_file::read(&lake.table_path(table), add, &[self.column()], |batch| {
            gone += self.of(&batch).true_count() as u64;
            all += batch.num_rows() as u64;
            Ok(())
        })?;
        Ok((gone, all))
    }
}

fn is_dayless(path: &str) -> bool {
    path.starts_with("day=__HIVE_DEFAULT_PARTITION__/")
}

fn texts<'a>(batch: &'a RecordBatch, column: &str) -> impl Iterator<Item = Option<&'a str>> + use<'a> {
    let array = batch.column_by_name(column).and_then(|array| array.as_string_opt::<i32>());
    let missing = if array.is_some() { 0 } else { batch.num_rows() };
    array.into_iter().flatten().chain(std::iter::repeat_n(None, missing))
}

/// Paths of inputs of which something was read since an instant (microseconds).
async fn sources_read_since(lake: &Lake, instant: i64) -> Result<HashSet<String>, LakeError> {
    let mut read = HashSet::new();
    for add in lake.files("sources").await? {
        data_file::read(&lake.table_path("sources"), &add, &["path", "last_read"], |batch| {
            let late = arrow::compute::not(&Gone::Before("last_read", instant).of(&batch))?;
            let batch = filter_record_batch(&batch, &late)?;
            read.extend(texts(&batch, "path").flatten().map(str::to_owned));
            Ok(())
        })?;
    }
    Ok(read)
}

#[cfg(test)]
mod tests;
