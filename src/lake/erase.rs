//! Data files that no table names any more but that lie on the disk for readers of older versions: which there are, and
//! how they leave it.

use super::{Lake, LakeError, TablePath};
use std::collections::BTreeSet;

/// A data file that a commit removed from its table.
#[derive(Clone, Debug)]
pub(super) struct Removed {
    /// Below the table's folder.
    pub(super) path: String,
    /// When, in milliseconds.
    pub(super) at_ms: i64,
    /// Bytes, while it is on the disk.
    pub(super) on_disk: Option<u64>,
}

/// Every file that commits removed from a table, whether or not it is still on the disk.
pub(super) async fn removed_files(lake: &Lake, name: &str) -> Result<Vec<Removed>, LakeError> {
    use futures::StreamExt as _;
    let delta = |cause| LakeError::Delta { table: name.to_owned(), cause: Box::new(cause) };
    let table = lake.table(name).await?;
    let snapshot = table.snapshot().map_err(delta)?;
    let log_store = table.log_store();
    let mut removed = Vec::new();
    let mut tombstones = snapshot.all_tombstones(log_store.as_ref());
    while let Some(tombstone) = tombstones.next().await {
        let tombstone = tombstone.map_err(delta)?;
        let path = tombstone.path().into_owned();
        removed.push(Removed { path, at_ms: tombstone.deletion_timestamp().unwrap_or(0), on_disk: None });
    }
    let paths: Vec<String> = removed.iter().map(|file| file.path.clone()).collect();
    let sizes = lake.table_path(name).sizes(&paths)?;
    removed.iter_mut().for_each(|file| file.on_disk = sizes.get(&file.path).copied());
    Ok(removed)
}

/// Removes data files of a table from the disk. Those that are gone already are: a change may be finished twice.
pub(super) fn erase(table: &TablePath, paths: &[String]) -> Result<(), LakeError> {
    let mut folders = BTreeSet::new();
    for path in paths {
        table.remove(path)?;
        folders.extend(path.rsplit_once('/').map(|(folder, _)| folder.to_owned()));
    }
    table.remove_empty(&folders);
    Ok(())
}
