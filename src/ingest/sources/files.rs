//! The data files of `sources`: a commit writes those anew that hold a row which changed, and no others.
//!
//! Rows that change together come to stand in one file, because a log that grew will grow again: those that changed leave the files
//! in which they were. The column `chain` links the rows of one file. The ends of all files together stand in the lake's chain of changes.

use super::{SourceRow, Sources, batch_of};
use crate::ingest::digest_of;
use crate::lake::{Lake, LakeError, Transaction, data_file};
use deltalake::kernel::Add;
use std::collections::BTreeSet;
use std::ops::{Index, IndexMut};

/// Rows of one file at most. A lake of fewer sources has one file.
const FILE_ROWS: usize = 1024;
/// Files with less than half of that many rows, at most; more are put together.
const MAX_SMALL: usize = 8;

/// Every row. Whatever is changed is noted.
#[derive(Debug, Default)]
pub(in crate::ingest) struct Rows {
    rows: Vec<SourceRow>,
    changed: BTreeSet<usize>,
}

impl Rows {
    pub(in crate::ingest) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(in crate::ingest) fn get(&self, at: usize) -> Option<&SourceRow> {
        self.rows.get(at)
    }

    pub(in crate::ingest) fn get_mut(&mut self, at: usize) -> Option<&mut SourceRow> {
        if at < self.rows.len() { Some(&mut self[at]) } else { None }
    }

    /// Adds a row that the table does not have.
    pub(super) fn push(&mut self, row: SourceRow) {
        self.changed.insert(self.rows.len());
        self.rows.push(row);
    }

    /// All rows are as the table has them.
    pub(super) fn are_stored(&mut self) {
        self.changed.clear();
    }
}

impl Index<usize> for Rows {
    type Output = SourceRow;

    fn index(&self, at: usize) -> &SourceRow {
        &self.rows[at]
    }
}

impl IndexMut<usize> for Rows {
    fn index_mut(&mut self, at: usize) -> &mut SourceRow {
        self.changed.insert(at);
        &mut self.rows[at]
    }
}

/// One file, and the rows in it.
#[derive(Debug)]
struct File {
    /// `None`: to be written.
    add: Option<Add>,
    rows: BTreeSet<usize>,
    /// `chain` where it ends; several in a file that somebody put together of others.
    ends: Vec<String>,
}

/// All files.
#[derive(Debug, Default)]
pub(super) struct Files(Vec<File>);

impl Files {
    /// Takes in a file that the table has.
    pub(super) fn push(&mut self, add: Add, rows: BTreeSet<usize>, ends: Vec<String>) {
        self.0.push(File { add: Some(add), rows, ends });
    }

    /// Takes rows that changed out of the files in which they are, and puts them into others. Gives the files that are no more.
    fn arrange(&mut self, changed: &BTreeSet<usize>, count: usize) -> Vec<Add> {
        let mut gone = Vec::new();
        // A new row is in none.
        let mut loose = changed.clone();
        let is_one = count <= FILE_ROWS;
        let mut small = 0;
        self.0.retain_mut(|file| {
            if is_one && !changed.is_empty() {
                gone.extend(file.add.take());
                loose.append(&mut file.rows);
                return false;
            }
            if !file.rows.is_disjoint(changed) {
                gone.extend(file.add.take());
                file.rows.retain(|at| !changed.contains(at));
                if file.rows.len() < FILE_ROWS / 4 {
                    loose.append(&mut file.rows);
                    return false;
                }
            }
            small += usize::from(file.rows.len() < FILE_ROWS / 2);
            true
        });
        if small >= MAX_SMALL {
            self.0.retain_mut(|file| {
                let is_small = file.rows.len() < FILE_ROWS / 2;
                if is_small {
                    gone.extend(file.add.take());
                    loose.append(&mut file.rows);
                }
                !is_small
            });
        }
        // Those that an older version wrote hold all rows there were.
        let large = self.0.extract_if(.., |file| file.add.is_none() && file.rows.len() > FILE_ROWS);
        let kept: Vec<BTreeSet<usize>> = large.map(|file| file.rows).collect();
        for rows in kept.into_iter().chain([loose]) {
            let rows: Vec<usize> = rows.into_iter().collect();
            self.0.extend(rows.chunks(FILE_ROWS).map(|rows| File {
                add: None,
                rows: rows.iter().copied().collect(),
                ends: Vec::new(),
            }));
        }
        gone
    }

    /// What the lake's chain of changes has of the table.
    fn chain(&self) -> String {
        chain_of(self.0.iter().flat_map(|file| &file.ends).map(String::as_str))
    }
}

impl Sources {
    /// Puts the rows that changed into a transaction.
    pub(in crate::ingest) fn stage(
        &mut self,
        lake: &Lake,
        transaction: &mut Transaction,
        now_ms: i64,
    ) -> Result<(), LakeError> {
        let changed = std::mem::take(&mut self.rows.changed);
        for add in self.files.arrange(&changed, self.rows.len()) {
            transaction.remove("sources", &add, now_ms);
        }
        for file in self.files.0.iter_mut().filter(|file| file.add.is_none()) {
            let mut link = String::new();
            for &at in &file.rows {
                let row = &mut self.rows.rows[at];
                row.chain = digest_of(&[Some(&link), Some(&row.source_id), Some(&row.digest)]);
                row.chain.clone_into(&mut link);
            }
            file.ends = vec![link];
            let rows: Vec<&SourceRow> = file.rows.iter().map(|at| &self.rows.rows[*at]).collect();
            let name = format!("part-{}", uuid::Uuid::new_v4().simple());
            let batch = batch_of(&rows)?;
            let add = data_file::write(&lake.table_path("sources"), &name, None, &[batch], now_ms)?.add;
            transaction.add("sources", add.clone());
            file.add = Some(add);
        }
        transaction.set_sources(self.files.chain());
        Ok(())
    }
}

/// One digest for the ends of all files. That of one file is its own, as all lakes have it that have one file only.
pub(in crate::ingest) fn chain_of<'a>(ends: impl Iterator<Item = &'a str>) -> String {
    let mut ends: Vec<Option<&str>> = ends.map(Some).collect();
    ends.sort_unstable();
    match ends.as_slice() {
        [] => String::new(),
        [Some(only)] => (*only).to_owned(),
        several => digest_of(several),
    }
}

/// Where the chains of a file's rows end: one, unless somebody put the rows of several files into one.
///
/// # Errors
/// Index of the first row that goes on with none, and what it should say.
pub(in crate::ingest) fn ends_of(rows: &[SourceRow]) -> Result<Vec<String>, (usize, String)> {
    let mut ends: Vec<String> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let link = |before: &str| digest_of(&[Some(before), Some(&row.source_id), Some(&row.digest)]);
        let goes_on = link(ends.last().map_or("", String::as_str));
        if row.chain == goes_on {
            ends.pop();
            ends.push(goes_on);
        } else if row.chain == link("") {
            ends.push(row.chain.clone());
        } else {
            return Err((at, goes_on));
        }
    }
    Ok(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(files: &Files) -> Vec<Vec<usize>> {
        files.0.iter().map(|file| file.rows.iter().copied().collect()).collect()
    }

    /// Writes what is to be written, and gives how many rows that was.
    fn write(files: &mut Files, changed: impl IntoIterator<Item = usize>, count: usize) -> usize {
        files.arrange(&changed.into_iter().collect(), count);
        let new = files.0.iter_mut().filter(|file| file.add.is_none());
        new.map(|file| {
            file.add = Some(Add::default());
            file.rows.len()
        })
        .sum()
    }

    #[test]
    fn a_change_of_few_rows_writes_few_rows() {
        const COUNT: usize = 10 * FILE_ROWS;
        let mut files = Files::default();
        // A lake of before, in one file.
        files.push(Add::default(), (0..COUNT).collect(), vec!["end".to_owned()]);
        assert_eq!(write(&mut files, [5], COUNT), COUNT, "it is cut up once");
        let active: Vec<usize> = (0..50).map(|at| at * 200).collect();
        write(&mut files, active.iter().copied(), COUNT);
        assert_eq!(write(&mut files, active.iter().copied(), COUNT), 50, "what changed before is in a file of its own");
        let mut written = 0;
        for at in 0..2000 {
            written += write(&mut files, [at * 7919 % COUNT], COUNT);
            assert!(files.0.len() <= COUNT / (FILE_ROWS / 4) + MAX_SMALL, "{}", files.0.len());
        }
        assert!(written < 2000 * 2 * FILE_ROWS, "{written} rows");
        let mut all = rows(&files).concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..COUNT), "each row is in one file");
    }

    #[test]
    fn a_small_table_is_one_file() {
        let mut files = Files::default();
        write(&mut files, 0..500, 500);
        write(&mut files, [3, 501], 502);
        write(&mut files, [3], 502);
        assert_eq!(files.0.len(), 1);
        assert_eq!(write(&mut files, [], 502), 0);
    }

    #[test]
    fn a_row_that_is_gone_or_changed_is_seen() {
        let chained = |ids: &[&str]| {
            let mut link = String::new();
            let row = |id: &&str| {
                link = digest_of(&[Some(&link), Some(id), Some("d")]);
                let (source_id, digest, chain) = ((*id).to_owned(), "d".to_owned(), link.clone());
                SourceRow { source_id, digest, chain, ..SourceRow::default() }
            };
            ids.iter().map(row).collect::<Vec<_>>()
        };
        let (one, two) = (chained(&["a", "b", "c"]), chained(&["d", "e"]));
        let mut both = [one.clone(), two.clone()].concat();
        let ends = ends_of(&both).expect("two chains");
        assert_eq!(ends, [one[2].chain.clone(), two[1].chain.clone()]);
        let whole = chain_of(ends.iter().map(String::as_str));
        assert_eq!(whole, chain_of(ends.iter().rev().map(String::as_str)), "files have no order");
        let cut = ends_of(&both[..4]).expect("as far as it goes");
        assert_ne!(whole, chain_of(cut.iter().map(String::as_str)));
        both.remove(1);
        assert_eq!(ends_of(&both).expect_err("one is gone").0, 1);
    }
}
