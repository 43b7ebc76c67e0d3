//! Data files that no table names any more but that lie on the disk for readers of older versions: which there are, and
//! how they leave it.

use super::{Lake, LakeError};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

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
    let folder = lake.table_path(name);
    let mut removed = Vec::new();
    let mut tombstones = snapshot.all_tombstones(log_store.as_ref());
    while let Some(tombstone) = tombstones.next().await {
        let tombstone = tombstone.map_err(delta)?;
        let path = tombstone.path().into_owned();
        let on_disk = std::fs::metadata(folder.join(&path)).ok().map(|data| data.len());
        removed.push(Removed { path, at_ms: tombstone.deletion_timestamp().unwrap_or(0), on_disk });
    }
    Ok(removed)
}

/// Removes data files of a table from the disk. Those that are gone already are: a change may be finished twice.
pub(super) fn erase(table: &Path, paths: &[String]) -> Result<(), LakeError> {
    let mut folders = BTreeSet::new();
    for path in paths {
        let path = table.join(path);
        match std::fs::remove_file(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                return Err(LakeError::Io { action: "remove", path, cause });
            }
            _ => folders.extend(path.parent().filter(|folder| *folder != table).map(Path::to_path_buf)),
        }
    }
    for folder in folders {
        // Refused while the partition has other files.
        let _ = std::fs::remove_dir(folder);
    }
    Ok(())
}
