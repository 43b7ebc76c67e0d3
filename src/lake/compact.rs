//! Compaction: the small files of a partition become few large ones with the same rows, in the order of their times.
//!
//! A file that is sorted by time has row groups with narrow time ranges, which a query over an hour passes over.
//! Replaced files stay on the disk for readers of older versions, until [`vacuum`].

use super::data_file::{self, GrowingFile};
use super::sorted::Sorted;
use super::tables::{TABLES, Table};
use super::{Lake, LakeError, Purpose, Transaction, erase};
use deltalake::kernel::Add;
use serde::Serialize;
use std::collections::BTreeMap;

/// Bytes of a data file that compaction aims at: large enough that listing and opening files costs nothing beside
/// reading them, small enough that rewriting one for a late response is bearable.
pub const TARGET_SIZE: u64 = 128 << 20;
/// Rows merged at once; the order of so many takes 64 MiB.
const GROUP_ROWS: u64 = 4_000_000;
/// Bytes of files merged at once: what is lost where the disk fills.
const GROUP_BYTES: u64 = 1 << 30;
/// Values in memory at once.
const PIECE_BYTES: usize = 32 << 20;
/// Rewritten bytes, and groups, after which what was done is committed.
const COMMIT_BYTES: u64 = 1 << 30;
const COMMIT_GROUPS: usize = 64;

/// Settings of a compaction.
#[derive(Clone, Copy, Debug)]
pub struct CompactOptions {
    /// Bytes of a good file. Files below half of it are merged.
    pub target_size: u64,
    pub zstd_level: i32,
    /// The time now, in milliseconds. Files that are written later are left for the next time, so that a compaction ends beside an
    /// ingest that does not.
    pub now_ms: i64,
}

/// Files of one partition that are merged.
#[derive(Debug)]
pub struct Group {
    pub table: &'static Table,
    day: Option<Option<i32>>,
    files: Vec<Add>,
    rows: u64,
    bytes: u64,
}

/// What a compaction did, or would do.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Compacted {
    /// Files that were merged, and their bytes.
    pub merged_files: u64,
    pub merged_bytes: u64,
    /// Files that took their place, and their bytes.
    pub written_files: u64,
    pub written_bytes: u64,
    pub rows: u64,
}

/// Files that left the disk, or would.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Vacuumed {
    pub files: u64,
    pub bytes: u64,
}

/// What there is to merge: nothing in a lake that was just compacted.
///
/// # Errors
/// A table's log cannot be read.
pub async fn plan(lake: &Lake, options: &CompactOptions) -> Result<Vec<Group>, LakeError> {
    let mut groups = Vec::new();
    // Those of `sources` hold rows that change together, linked in their order; there are never many.
    for table in TABLES.iter().filter(|table| table.name != "sources") {
        let mut partitions: BTreeMap<_, Vec<Add>> = BTreeMap::new();
        for add in lake.files(table.name).await? {
            let is_small = add.size.unsigned_abs() < options.target_size / 2;
            if is_small && add.modification_time <= options.now_ms && data_file::rows_of(&add).is_some() {
                // One row without a time takes a file's time range away, so those files stay among themselves.
                let key = (data_file::day_of(&add), data_file::times_of(&add).is_some());
                partitions.entry(key).or_default().push(add);
            }
        }
        for ((day, _), mut files) in partitions {
            files.sort_by_cached_key(|add| (data_file::times_of(add), add.path.clone()));
            let mut group = Group { table, day, files: Vec::new(), rows: 0, bytes: 0 };
            for add in files {
                let (rows, bytes) =
                    (data_file::rows_of(&add).unwrap_or_default().unsigned_abs(), add.size.unsigned_abs());
                if group.rows + rows > GROUP_ROWS || group.bytes + bytes > GROUP_BYTES {
                    let full =
                        std::mem::replace(&mut group, Group { table, day, files: Vec::new(), rows: 0, bytes: 0 });
                    groups.extend((full.files.len() > 1).then_some(full));
                }
                group.rows += rows;
                group.bytes += bytes;
                group.files.push(add);
            }
            groups.extend((group.files.len() > 1).then_some(group));
        }
    }
    Ok(groups)
}

/// The sum of a plan.
pub fn planned(groups: &[Group]) -> Compacted {
    groups.iter().fold(Compacted::default(), |sum, group| Compacted {
        merged_files: sum.merged_files + group.files.len() as u64,
        merged_bytes: sum.merged_bytes + group.bytes,
        rows: sum.rows + group.rows,
        ..sum
    })
}

/// Merges files: as many as one commit takes. `None`: nothing was left to merge. `progress` is told the bytes of files that are done.
/// The caller holds the lake's lock.
///
/// # Errors
/// A file is damaged, or the disk refuses. What was merged until then is kept.
pub async fn step(
    lake: &Lake,
    options: &CompactOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<Option<Compacted>, LakeError> {
    // Planned anew for each step: the last file of each group may be small, and then there is something to merge among those.
    // Each step leaves fewer, because all others are well above half of the target.
    let groups = plan(lake, options).await?;
    if groups.is_empty() {
        return Ok(None);
    }
    let mut step = Step::new(options);
    let mut merged = Ok(());
    for group in groups {
        merged = step.merge(lake, &group, options);
        progress(group.bytes);
        if merged.is_err() || step.sum.merged_bytes >= COMMIT_BYTES || step.groups >= COMMIT_GROUPS {
            break;
        }
    }
    step.transaction.commit(lake).await?;
    merged.map(|()| Some(step.sum))
}

/// What one commit holds.
struct Step {
    transaction: Transaction,
    sum: Compacted,
    groups: usize,
}

impl Step {
    fn new(options: &CompactOptions) -> Self {
        let purpose = Purpose::Compact { target_size: options.target_size };
        Self { transaction: Transaction::for_purpose(purpose), sum: Compacted::default(), groups: 0 }
    }

    /// Writes the files that take the place of a group's.
    fn merge(&mut self, lake: &Lake, group: &Group, options: &CompactOptions) -> Result<(), LakeError> {
        let table = lake.table_path(group.table.name);
        let mut written = Vec::new();
        let merged = merge_files(lake, group, options, &mut written);
        if let Err(error) = merged {
            // No table will name them, and the disk may be full.
            for add in &written {
                let _ = table.remove(&add.path);
            }
            return Err(error);
        }
        for add in &group.files {
            self.transaction.remove(group.table.name, add, options.now_ms);
        }
        self.sum.merged_files += group.files.len() as u64;
        self.sum.merged_bytes += group.bytes;
        self.sum.rows += group.rows;
        for add in written {
            self.sum.written_files += 1;
            self.sum.written_bytes += add.size.unsigned_abs();
            self.transaction.add(group.table.name, add);
        }
        self.groups += 1;
        Ok(())
    }
}

impl std::ops::AddAssign for Compacted {
    fn add_assign(&mut self, other: Self) {
        self.merged_files += other.merged_files;
        self.merged_bytes += other.merged_bytes;
        self.written_files += other.written_files;
        self.written_bytes += other.written_bytes;
        self.rows += other.rows;
    }
}

fn merge_files(lake: &Lake, group: &Group, options: &CompactOptions, written: &mut Vec<Add>) -> Result<(), LakeError> {
    let table = lake.table_path(group.table.name);
    let piece_bytes = PIECE_BYTES.min(usize::try_from(options.target_size).unwrap_or(usize::MAX));
    let sorted = Sorted::new(&table, &group.files, group.table, piece_bytes)?;
    let mut rows = 0;
    let mut growing: Option<GrowingFile> = None;
    sorted.each(|batch| {
        let mut file = match growing.take() {
            Some(file) => file,
            None => {
                let name = format!("part-{}", uuid::Uuid::new_v4().simple());
                GrowingFile::create(&table, &name, group.day, sorted.schema(), options.zstd_level)?
            }
        };
        file.write(&batch)?;
        rows += batch.num_rows() as u64;
        if file.is_full(options.target_size)? {
            written.push(file.finish(options.now_ms)?.add);
        } else {
            growing = Some(file);
        }
        Ok(())
    })?;
    if let Some(file) = growing {
        written.push(file.finish(options.now_ms)?.add);
    }
    // An audit log must not lose a row to housekeeping: the log's count, what was read, and what was written agree.
    if rows != group.rows {
        return Err(LakeError::Damaged {
            path: table.name(""),
            cause: format!("files of one partition hold {rows} rows, the table's log says {}", group.rows),
        });
    }
    Ok(())
}

/// Removes from the disk files that commits took out of their tables before a time, or says which it would. The caller holds the
/// lake's lock.
///
/// # Errors
/// A table's log cannot be read, or a file not removed.
pub async fn vacuum(lake: &Lake, before_ms: i64, dry_run: bool) -> Result<Vacuumed, LakeError> {
    let mut transaction = Transaction::for_purpose(Purpose::Vacuum { before_ms });
    let mut sum = Vacuumed::default();
    for table in TABLES {
        for file in erase::removed_files(lake, table.name).await? {
            if let Some(bytes) = file.on_disk.filter(|_| file.at_ms <= before_ms) {
                sum.files += 1;
                sum.bytes += bytes;
                transaction.erase(table.name, file.path);
            }
        }
    }
    if !dry_run {
        transaction.commit(lake).await?;
    }
    Ok(sum)
}
