//! The lake: one folder of Delta tables that any engine can read. The only place that names deltalake.
//!
//! Rows of several tables belong together (a call and its observables, and what was read of the source), and Delta commits one
//! table at a time. A [`Transaction`] is therefore written down before its first commit and finished by whoever
//! opens the lake next, if its writer did not live to do so.

pub mod compact;
pub mod data_file;
mod erase;
mod lock;
pub mod retain;
mod sorted;
pub mod tables;
mod transaction;

pub use data_file::DataFile;
pub use lock::{Lock, Patience};
pub use transaction::{Purpose, Transaction};

use crate::call::SCHEMA_VERSION;
use datafusion::catalog::TableProvider;
use deltalake::kernel::{Add, StructType, engine::arrow_conversion::TryIntoKernel as _};
use deltalake::operations::create::CreateBuilder;
use deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Folder beside the tables with what is CallTrail's own.
const OWN: &str = "_calltrail";
/// Old versions stay readable: an alert names the versions it was found in, and evidence must not expire by itself.
const HISTORY: [(&str, &str); 2] = [
    ("delta.logRetentionDuration", "interval 36500 days"),
    ("delta.deletedFileRetentionDuration", "interval 36500 days"),
];
/// Version of the lake's layout.
const LAKE_FORMAT: i32 = 1;

/// Why the lake cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    #[error("no lake at `{0}`: run `calltrail ingest` first, or name the lake with --lake")]
    Missing(PathBuf),
    #[error("`{0}` is neither a lake nor empty: choose another folder with --lake")]
    NotALake(PathBuf),
    #[error(
        "the lake at `{path}` was written by a newer version (layout {found}, this program knows {known}): update calltrail"
    )]
    Newer { path: PathBuf, found: i32, known: i32 },
    #[error("lake locations with the scheme `{0}` are not supported by this version: use a folder")]
    Scheme(String),
    #[error(
        "{holder} is writing to the lake at `{path}` and did not let go of it for {} s: wait for it to end, or longer with --lock-timeout",
        waited.as_secs()
    )]
    Locked { path: PathBuf, holder: String, waited: Duration },
    #[error("cannot {action} `{path}`: {cause}")]
    Io { action: &'static str, path: PathBuf, cause: io::Error },
    #[error("`{path}` is damaged: {cause}")]
    Damaged { path: PathBuf, cause: String },
    #[error("Delta table `{table}`: {cause}")]
    Delta { table: String, cause: Box<DeltaTableError> },
    #[error("writing Parquet failed: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error("arrow: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
}

/// What `_calltrail/lake.json` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Identity {
    format: i32,
    schema_version: i32,
    created_by: String,
    id: String,
    /// Retention removed what is older, and ingest does not bring it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept_from: Option<chrono::NaiveDate>,
}

impl Identity {
    fn read(root: &Path) -> Result<Self, LakeError> {
        let path = root.join(OWN).join("lake.json");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                return Err(LakeError::Missing(root.to_path_buf()));
            }
            Err(cause) => return Err(LakeError::Io { action: "read", path, cause }),
        };
        serde_json::from_str(&text).map_err(|cause| LakeError::Damaged { path, cause: cause.to_string() })
    }

    fn write(&self, root: &Path) -> Result<(), LakeError> {
        let path = root.join(OWN).join("lake.json");
        let text = serde_json::to_string_pretty(self).expect("a struct of texts and numbers is JSON");
        replace_file(&path, text.as_bytes()).map_err(|cause| LakeError::Io { action: "write", path, cause })
    }
}

/// An open lake.
#[derive(Debug)]
pub struct Lake {
    root: PathBuf,
    key: [u8; 32],
}

/// One table as `lake info` shows it.
#[derive(Debug, Serialize)]
pub struct TableInfo {
    pub name: &'static str,
    pub version: i64,
    pub files: usize,
    pub rows: i64,
    pub bytes: i64,
}

impl Lake {
    /// Opens an existing lake.
    ///
    /// # Errors
    /// There is none, it is newer than this program, or it cannot be read.
    pub fn open(location: &str) -> Result<Self, LakeError> {
        let root = folder(location)?;
        let identity = Identity::read(&root)?;
        if identity.format > LAKE_FORMAT || identity.schema_version > SCHEMA_VERSION {
            let (found, known) = if identity.format > LAKE_FORMAT {
                (identity.format, LAKE_FORMAT)
            } else {
                (identity.schema_version, SCHEMA_VERSION)
            };
            return Err(LakeError::Newer { path: root, found, known });
        }
        let path = root.join(OWN).join("key");
        let bytes =
            std::fs::read(&path).map_err(|cause| LakeError::Io { action: "read", path: path.clone(), cause })?;
        let key = bytes
            .try_into()
            .map_err(|_| LakeError::Damaged { path, cause: "the key of secret fingerprints is not 32 bytes".into() })?;
        Ok(Self { root, key })
    }

    /// Opens a lake, making it if the folder is empty or absent.
    ///
    /// # Errors
    /// As [`Self::open`], or the folder holds something else.
    pub async fn open_or_create(location: &str, patience: &Patience<'_>) -> Result<Self, LakeError> {
        match Self::open(location) {
            Err(LakeError::Missing(root)) => Self::create(&root, patience).await,
            opened => opened,
        }
    }

    async fn create(root: &Path, patience: &Patience<'_>) -> Result<Self, LakeError> {
        let own = root.join(OWN);
        let io = |action, path: &Path| {
            let path = path.to_path_buf();
            move |cause| LakeError::Io { action, path, cause }
        };
        if let Ok(entries) = std::fs::read_dir(root) {
            // A first run that was killed leaves tables and no lake.json; anything else is somebody's folder.
            let known = |name: &str| name == OWN || tables::table(name).is_some();
            if entries.flatten().any(|entry| !known(&entry.file_name().to_string_lossy())) {
                return Err(LakeError::NotALake(root.to_path_buf()));
            }
        }
        std::fs::create_dir_all(&own).map_err(io("make", &own))?;
        // Two first runs at once: one makes the lake, the other finds it made.
        let (lock, _) = lock::acquire(root, patience).await?;
        if own.join("lake.json").exists() {
            drop(lock);
            return Self::open(&root.to_string_lossy());
        }
        let key_path = own.join("key");
        if !key_path.exists() {
            let mut key = [0u8; 32];
            key[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
            key[16..].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
            // Two random UUIDs hold 244 random bits; hashing spreads them over the key.
            let temporary = own.join("key.tmp");
            // Left by a run that was killed here.
            let _ = std::fs::remove_file(&temporary);
            write_private(&temporary, blake3::hash(&key).as_bytes()).map_err(io("write", &key_path))?;
            std::fs::rename(&temporary, &key_path).map_err(io("write", &key_path))?;
        }
        for table in tables::TABLES {
            create_table(root, table).await?;
        }
        let identity = Identity {
            format: LAKE_FORMAT,
            schema_version: SCHEMA_VERSION,
            created_by: concat!("calltrail ", env!("CARGO_PKG_VERSION")).to_owned(),
            id: uuid::Uuid::new_v4().to_string(),
            kept_from: None,
        };
        identity.write(root)?;
        Self::open(&root.to_string_lossy())
    }

    /// The key of the secrets' fingerprints.
    pub fn key(&self) -> [u8; 32] {
        self.key
    }

    /// The lake's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Folder of a table.
    pub fn table_path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn own(&self, name: &str) -> PathBuf {
        self.root.join(OWN).join(name)
    }

    /// The first day that retention left: rows of before it are not taken in again.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn kept_from(&self) -> Result<Option<chrono::NaiveDate>, LakeError> {
        Ok(Identity::read(&self.root)?.kept_from)
    }

    /// What the last ingest kept for the next one; empty for a new lake.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn state(&self) -> Result<Vec<u8>, LakeError> {
        let path = self.own("state.zst");
        match std::fs::read(&path) {
            Ok(bytes) => {
                zstd::decode_all(&bytes[..]).map_err(|cause| LakeError::Damaged { path, cause: cause.to_string() })
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(cause) => Err(LakeError::Io { action: "read", path, cause }),
        }
    }

    async fn table(&self, name: &str) -> Result<DeltaTable, LakeError> {
        let url = url::Url::from_directory_path(absolute(&self.table_path(name))?).map_err(|()| {
            LakeError::Damaged { path: self.table_path(name), cause: "the path is not absolute".to_owned() }
        })?;
        let delta = |cause| LakeError::Delta { table: name.to_owned(), cause: Box::new(cause) };
        DeltaTableBuilder::from_url(url).map_err(delta)?.load().await.map_err(delta)
    }

    /// The files that make up a table now.
    ///
    /// # Errors
    /// The table's log cannot be read.
    pub async fn files(&self, name: &str) -> Result<Vec<Add>, LakeError> {
        let table = self.table(name).await?;
        let snapshot =
            table.snapshot().map_err(|cause| LakeError::Delta { table: name.to_owned(), cause: Box::new(cause) })?;
        #[expect(deprecated, reason = "the Arrow form that replaces it lacks the statistics as text")]
        let adds = snapshot.log_data().iter().map(|file| file.add_action()).collect();
        Ok(adds)
    }

    /// Every table as DataFusion reads it, with its Delta version.
    ///
    /// # Errors
    /// A table's log cannot be read.
    pub async fn providers(&self) -> Result<Vec<(String, Arc<dyn TableProvider>)>, LakeError> {
        let mut providers = Vec::new();
        for table in tables::TABLES {
            let delta = self.table(table.name).await?;
            let provider = delta.table_provider().await.map_err(|cause| LakeError::Delta {
                table: table.name.to_owned(),
                cause: Box::new(DeltaTableError::generic(cause.to_string())),
            })?;
            providers.push((table.name.to_owned(), provider));
        }
        Ok(providers)
    }

    /// The Delta version of every table.
    ///
    /// # Errors
    /// A table's log cannot be read.
    pub async fn versions(&self) -> Result<BTreeMap<String, i64>, LakeError> {
        let mut versions = BTreeMap::new();
        for table in tables::TABLES {
            let version = self.table(table.name).await?.version().unwrap_or_default();
            versions.insert(table.name.to_owned(), version as i64);
        }
        Ok(versions)
    }

    /// Sizes of every table.
    ///
    /// # Errors
    /// A table's log cannot be read.
    pub async fn info(&self) -> Result<Vec<TableInfo>, LakeError> {
        let mut info = Vec::new();
        for table in tables::TABLES {
            let files = self.files(table.name).await?;
            info.push(TableInfo {
                name: table.name,
                version: self.table(table.name).await?.version().unwrap_or_default() as i64,
                files: files.len(),
                rows: files.iter().filter_map(data_file::rows_of).sum(),
                bytes: files.iter().map(|file| file.size).sum(),
            });
        }
        Ok(info)
    }
}

/// Makes one table unless it is there.
async fn create_table(root: &Path, table: &tables::Table) -> Result<(), LakeError> {
    let path = root.join(table.name);
    if path.join("_delta_log").join(format!("{:020}.json", 0)).exists() {
        return Ok(());
    }
    std::fs::create_dir_all(&path).map_err(|cause| LakeError::Io { action: "make", path: path.clone(), cause })?;
    let schema: StructType = table.schema().as_ref().try_into_kernel()?;
    let partitions: Vec<&str> = if table.by_day { vec!["day"] } else { Vec::new() };
    let url = url::Url::from_directory_path(absolute(&path)?)
        .map_err(|()| LakeError::Damaged { path: path.clone(), cause: "the path is not absolute".to_owned() })?;
    CreateBuilder::new()
        .with_location(url.to_string())
        .with_table_name(table.name)
        .with_columns(schema.fields().cloned())
        .with_partition_columns(partitions)
        .with_configuration(HISTORY.map(|(name, value)| (name, Some(value))))
        .await
        .map_err(|cause| LakeError::Delta { table: table.name.to_owned(), cause: Box::new(cause) })?;
    Ok(())
}

/// The folder that a location names: a path, or a `file://` URL.
fn folder(location: &str) -> Result<PathBuf, LakeError> {
    match location.split_once("://") {
        Some(("file", _)) => url::Url::parse(location)
            .ok()
            .and_then(|url| url.to_file_path().ok())
            .ok_or_else(|| LakeError::Scheme(location.to_owned())),
        Some((scheme, _)) => Err(LakeError::Scheme(scheme.to_owned())),
        None => Ok(PathBuf::from(location)),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, LakeError> {
    std::path::absolute(path).map_err(|cause| LakeError::Io { action: "find", path: path.to_path_buf(), cause })
}

/// Replaces a file as a whole: readers see the old or the new text, never a part.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}

/// Writes a file that only its owner may read.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
