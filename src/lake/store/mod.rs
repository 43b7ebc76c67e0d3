//! Where the lake's bytes lie: a folder, or a place in an object store.
//!
//! [`Store`] is what the rest of the lake sees of it: small files that are read and replaced as a whole, data files, the right
//! to write, and the moments of a change. Paths are those inside the lake, with slashes.

mod bucket;
mod claim;
mod fault;
pub(super) mod folder;
mod lease;
mod location;
mod reader;

pub use bucket::{start, wait};
pub(in crate::lake) use claim::CLAIMS;
pub use claim::Claim;
pub use fault::{explain, plain};
pub use location::{Location, StorageOptions, connect, shown};
pub use reader::DataReader;

use super::lock::{self, FolderLock, Patience};
use super::{LakeError, OWN};
use bucket::Bucket;
use deltalake::DeltaTableBuilder;
use deltalake::logstore::LogStoreRef;
use lease::Lease;
use location::Place;
use reader::Object;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Seek as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An object up to this size is read in one request.
const SMALL: u64 = 2 << 20;

/// Where a lake's bytes lie.
#[derive(Clone, Debug)]
pub enum Store {
    Folder(PathBuf),
    Bucket(Arc<Bucket>),
}

/// The right to write, for one turn. Ends when it is dropped, or when the process does.
#[derive(Debug)]
pub enum Lock {
    Folder(FolderLock),
    Bucket(Lease),
}

impl Lock {
    /// Number of this turn.
    pub fn turn(&self) -> u64 {
        match self {
            Self::Folder(lock) => lock.turn(),
            Self::Bucket(lease) => lease.turn(),
        }
    }

    /// Whether nobody wrote since the turn with this number.
    pub fn follows(&self, turn: u64) -> bool {
        match self {
            Self::Folder(lock) => lock.follows(turn),
            Self::Bucket(lease) => lease.follows(turn),
        }
    }

    /// Whether somebody waits for the lake.
    pub fn is_wanted(&self) -> bool {
        match self {
            Self::Folder(lock) => lock.is_wanted(),
            Self::Bucket(lease) => lease.is_wanted(),
        }
    }

    /// Ends the turn in order. A lock that is merely dropped has the next writer look for what was left behind.
    ///
    /// # Errors
    /// The end cannot be noted; the turn has ended all the same.
    pub fn release(self) -> Result<(), LakeError> {
        match self {
            Self::Folder(lock) => lock.release(),
            Self::Bucket(lease) => lease.release(),
        }
    }
}

impl Store {
    /// Reaches a place; nothing is asked of an object store yet.
    ///
    /// # Errors
    /// Nobody knows such a place.
    pub fn open(location: &Location) -> Result<Self, LakeError> {
        Ok(match location.place()? {
            Place::Folder(folder) => Self::Folder(folder),
            Place::Bucket(url) => Self::Bucket(Arc::new(Bucket::open(url, location.options())?)),
        })
    }

    /// The folder, if it is one.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(root) => Some(root),
            Self::Bucket(_) => None,
        }
    }

    /// What a path is called in messages: with the folder or URL before it. The lake itself is the empty path.
    pub fn name(&self, path: &str) -> PathBuf {
        match self {
            Self::Folder(root) if path.is_empty() => root.clone(),
            Self::Folder(root) => root.join(path),
            Self::Bucket(bucket) => bucket.name(path),
        }
    }

    /// A whole file; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>, LakeError> {
        match self {
            Self::Folder(root) => folder::read(&root.join(path)),
            Self::Bucket(bucket) => Ok(bucket.get(path)?.map(|(bytes, _)| bytes.to_vec())),
        }
    }

    /// Whether there is such a file.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub fn exists(&self, path: &str) -> Result<bool, LakeError> {
        match self {
            Self::Folder(root) => Ok(root.join(path).exists()),
            Self::Bucket(bucket) => bucket.exists(path),
        }
    }

    /// Replaces a file as a whole: readers see the old or the new one, never a part.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn replace(&self, path: &str, bytes: &[u8]) -> Result<(), LakeError> {
        match self {
            Self::Folder(root) => folder::replace(&root.join(path), bytes),
            Self::Bucket(bucket) => bucket.put(path, bytes.to_vec()),
        }
    }

    /// Writes a file that in a folder only its owner may read, unless there is one already.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create_private(&self, path: &str, bytes: &[u8]) -> Result<(), LakeError> {
        match self {
            Self::Folder(root) => folder::create_private(&root.join(path), bytes),
            Self::Bucket(bucket) => bucket.create(path, bytes.to_vec()).map(drop),
        }
    }

    /// Writes a file that nobody replaces any more, unless it is there; in a folder the caller holds the lock.
    pub(super) fn create(&self, path: &str, bytes: &[u8]) -> Result<(), LakeError> {
        match self {
            Self::Folder(root) if root.join(path).exists() => Ok(()),
            Self::Folder(root) => folder::replace(&root.join(path), bytes),
            Self::Bucket(bucket) => bucket.create(path, bytes.to_vec()).map(drop),
        }
    }

    /// Reads a file piece by piece; gives its size, or `None` if there is none. What is no regular file is not opened.
    pub(super) fn pieces(&self, path: &str, each: impl FnMut(&[u8])) -> Result<Option<u64>, LakeError> {
        match self {
            Self::Folder(root) => folder::pieces(&root.join(path), each),
            Self::Bucket(bucket) => bucket.pieces(path, each),
        }
    }

    /// Bytes of a file; `None` if there is none.
    pub(super) fn size(&self, path: &str) -> Result<Option<u64>, LakeError> {
        match self {
            Self::Folder(root) => folder::size(&root.join(path)),
            Self::Bucket(bucket) => bucket.size(path),
        }
    }

    /// Where the state lies that the next ingest starts from.
    pub(super) fn state_path(&self) -> Result<Option<String>, LakeError> {
        match self {
            Self::Folder(_) => Ok(Some(format!("{OWN}/{}", folder::STATE))),
            Self::Bucket(bucket) => bucket.state_path(),
        }
    }

    /// The state that the change under way brings, packed.
    pub(super) fn next_state(&self) -> Result<Option<Vec<u8>>, LakeError> {
        match self {
            Self::Folder(root) => folder::read(&root.join(OWN).join(folder::NEXT_STATE)),
            Self::Bucket(bucket) => bucket.next_state(),
        }
    }

    /// Removes a file; one that is not there is no error.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self, path: &str) -> Result<(), LakeError> {
        match self {
            Self::Folder(root) => folder::remove(&root.join(path)),
            Self::Bucket(bucket) => bucket.delete(path),
        }
    }

    /// Every file below a folder of the lake, by its path in the lake.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn list(&self, below: &str) -> Result<Vec<String>, LakeError> {
        match self {
            Self::Folder(root) => folder::list(root, below),
            Self::Bucket(bucket) => bucket.list(below),
        }
    }

    /// What stands directly in the lake's place.
    pub(super) fn entries(&self) -> Result<Vec<String>, LakeError> {
        match self {
            Self::Folder(root) => Ok(folder::entries(root)),
            Self::Bucket(bucket) => bucket.entries(),
        }
    }

    /// Makes the folders that an empty lake has.
    pub(super) fn make(&self, path: &str) -> Result<(), LakeError> {
        match self {
            Self::Folder(root) => folder::make(&root.join(path)),
            // Object stores have no folders.
            Self::Bucket(_) => Ok(()),
        }
    }

    /// The Delta log of a table.
    pub(super) fn log_store(&self, table: &str) -> Result<LogStoreRef, LakeError> {
        match self {
            Self::Folder(root) => {
                let path = root.join(table);
                let whole = std::path::absolute(&path).map_err(|cause| LakeError::Io {
                    action: "find",
                    path: path.clone(),
                    cause,
                })?;
                let url = url::Url::from_directory_path(whole)
                    .map_err(|()| LakeError::Damaged { path, cause: "the path is not absolute".to_owned() })?;
                let delta = |cause| LakeError::Delta { table: table.to_owned(), cause: Box::new(cause) };
                DeltaTableBuilder::from_url(url).and_then(|builder| builder.build_storage()).map_err(delta)
            }
            Self::Bucket(bucket) => bucket.log_store(table),
        }
    }

    /// Waits for the right to write; says whether the turn before was ended in order.
    ///
    /// # Errors
    /// Others had it for too long.
    pub(super) async fn acquire(&self, patience: &Patience<'_>) -> Result<(Lock, bool), LakeError> {
        match self {
            Self::Folder(root) => lock::acquire(root, patience).await.map(|(lock, clean)| (Lock::Folder(lock), clean)),
            Self::Bucket(bucket) => {
                Lease::take(bucket, patience).await.map(|(lease, clean)| (Lock::Bucket(lease), clean))
            }
        }
    }

    /// Makes the names in some folders outlast a loss of power. What an object store has acknowledged does.
    pub(super) fn sync_folders(&self, folders: &BTreeSet<String>) -> Result<(), LakeError> {
        match self {
            Self::Folder(root) => folders.iter().try_for_each(|path| folder::sync_folder(&root.join(path))),
            Self::Bucket(_) => Ok(()),
        }
    }

    /// Makes files that were not written by us outlast a loss of power, with their names.
    pub(super) fn sync_files(&self, paths: &[String]) -> Result<(), LakeError> {
        match self {
            Self::Folder(root) => folder::sync_files(root, paths),
            Self::Bucket(_) => Ok(()),
        }
    }

    /// Makes a change happen: from here on it is finished by whoever comes next. The caller holds the lock.
    pub(super) fn begin(&self, change: Vec<u8>, state: Option<Vec<u8>>) -> Result<(), LakeError> {
        match self {
            Self::Folder(root) => folder::begin(&root.join(OWN), &change, state.as_deref()),
            Self::Bucket(bucket) => bucket.begin(change, state),
        }
    }

    /// Makes sure that the right to write is still held.
    pub(super) fn confirm(&self) -> Result<(), LakeError> {
        match self {
            Self::Folder(_) => Ok(()),
            Self::Bucket(bucket) => bucket.confirm(),
        }
    }

    /// The change that has happened and is perhaps not in every table yet.
    pub(super) fn intent(&self) -> Result<Option<Vec<u8>>, LakeError> {
        match self {
            Self::Folder(root) => folder::read(&root.join(OWN).join(folder::INTENT)),
            Self::Bucket(bucket) => bucket.intent(),
        }
    }

    /// Notes that the change is in every table.
    pub(super) fn done(&self, has_state: bool) -> Result<(), LakeError> {
        match self {
            Self::Folder(root) => folder::done(&root.join(OWN), has_state),
            Self::Bucket(bucket) => bucket.done(),
        }
    }

    /// What the last ingest kept for the next one, packed.
    pub(super) fn state(&self) -> Result<Option<Vec<u8>>, LakeError> {
        match self {
            Self::Folder(root) => folder::read(&root.join(OWN).join(folder::STATE)),
            Self::Bucket(bucket) => bucket.state(),
        }
    }

    /// Removes what changes that never happened have left among the lake's own files.
    pub(super) fn sweep_own(&self) -> Result<(), LakeError> {
        match self {
            Self::Folder(_) => Ok(()),
            Self::Bucket(bucket) => bucket.sweep_own(),
        }
    }
}

/// Where the data files of a table lie.
#[derive(Clone, Debug)]
pub struct TablePath {
    store: Store,
    table: String,
}

impl TablePath {
    pub(super) fn new(store: Store, table: &str) -> Self {
        Self { store, table: table.to_owned() }
    }

    /// Name of the table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// What a data file is called in messages.
    pub fn name(&self, relative: &str) -> PathBuf {
        self.store.name(&self.inner(relative))
    }

    fn inner(&self, relative: &str) -> String {
        format!("{}/{relative}", self.table)
    }

    /// Opens a data file to read all of it, or a few columns.
    ///
    /// # Errors
    /// It is gone or cannot be read.
    pub fn open(&self, relative: &str, size: i64, whole: bool) -> Result<DataReader, LakeError> {
        let io = |cause| LakeError::Io { action: "read", path: self.name(relative), cause };
        let bucket = match &self.store {
            Store::Folder(_) => return Ok(DataReader::File(File::open(self.name(relative)).map_err(io)?)),
            Store::Bucket(bucket) => bucket,
        };
        let path = self.inner(relative);
        let size = u64::try_from(size).unwrap_or_default();
        if size <= SMALL {
            return Ok(DataReader::Bytes(bucket.range(&path, 0..size)?));
        }
        if !whole {
            return Ok(DataReader::Object(Arc::new(Object::new(Arc::clone(bucket), path, size))));
        }
        let mut file = tempfile::tempfile().map_err(io)?;
        bucket.download(&path, size, &mut file)?;
        Ok(DataReader::File(file))
    }

    /// Starts a new data file.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn create(&self, relative: &str) -> Result<Draft, LakeError> {
        let io = |cause| LakeError::Io { action: "write", path: self.name(relative), cause };
        let (path, temporary) = match &self.store {
            Store::Folder(_) => {
                let path = self.name(relative);
                if let Some(folder) = path.parent() {
                    std::fs::create_dir_all(folder).map_err(io)?;
                }
                (path, None)
            }
            Store::Bucket(_) => {
                let temporary = tempfile::NamedTempFile::new().map_err(io)?.into_temp_path();
                (temporary.to_path_buf(), Some(temporary))
            }
        };
        Ok(Draft { of: self.clone(), relative: relative.to_owned(), path, temporary, finished: false })
    }

    /// Removes a data file that no commit names; one that is gone already is no error.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self, relative: &str) -> Result<(), LakeError> {
        self.store.remove(&self.inner(relative))
    }

    /// Removes folders of partitions that have no files any more; object stores have no folders.
    pub(super) fn remove_empty(&self, folders: &BTreeSet<String>) {
        if let Store::Folder(_) = self.store {
            for folder in folders {
                // Refused while the partition has other files.
                let _ = std::fs::remove_dir(self.name(folder));
            }
        }
    }

    /// Bytes of some files of the table, of those that are there.
    ///
    /// # Errors
    /// An object store cannot be listed.
    pub(super) fn sizes(&self, relative: &[String]) -> Result<HashMap<String, u64>, LakeError> {
        match &self.store {
            Store::Folder(_) => {
                let size = |path: &String| Some((path.clone(), std::fs::metadata(self.name(path)).ok()?.len()));
                Ok(relative.iter().filter_map(size).collect())
            }
            Store::Bucket(_) if relative.is_empty() => Ok(HashMap::new()),
            Store::Bucket(bucket) => bucket.sizes(&self.table),
        }
    }
}

/// A data file that is being written: in its place, or beside the program to be sent when it is whole. Removed unless finished.
#[derive(Debug)]
pub struct Draft {
    of: TablePath,
    relative: String,
    path: PathBuf,
    temporary: Option<tempfile::TempPath>,
    finished: bool,
}

impl Draft {
    /// The empty file, to write to.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn file(&self) -> Result<File, LakeError> {
        let opened = File::options().read(true).write(true).create(true).truncate(true).open(&self.path);
        opened.map_err(|cause| LakeError::Io { action: "write", path: self.name(), cause })
    }

    /// What the file is called in messages.
    pub fn name(&self) -> PathBuf {
        self.of.name(&self.relative)
    }

    /// Puts the whole file where it belongs, to last; gives its size.
    ///
    /// # Errors
    /// The disk or the store refuses.
    pub fn finish(mut self, mut file: File) -> Result<u64, LakeError> {
        let io = |cause| LakeError::Io { action: "write", path: self.name(), cause };
        let size = file.metadata().map_err(io)?.len();
        match &self.of.store {
            Store::Folder(_) => file.sync_all().map_err(io)?,
            Store::Bucket(bucket) => {
                file.rewind().map_err(io)?;
                bucket.upload(&self.of.inner(&self.relative), &mut file)?;
            }
        }
        self.finished = true;
        Ok(size)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.finished && self.temporary.is_none() {
            // Nothing refers to the file; leaving it would only keep the disk full.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
