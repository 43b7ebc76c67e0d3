//! The lake: one folder or place in an object store with Delta tables that any engine can read. The only place that names deltalake.
//!
//! Rows of several tables belong together (a call and its observables, and what was read of the source), and Delta commits one
//! table at a time. A [`Transaction`] is therefore written down before its first commit and finished by whoever
//! opens the lake next, if its writer did not live to do so.

mod chain;
pub mod compact;
pub mod data_file;
mod erase;
mod link;
mod lock;
mod moment;
pub mod retain;
mod signature;
mod sorted;
pub mod store;
pub mod tables;
mod transaction;
mod upgrade;
mod verify;

pub use data_file::DataFile;
pub use link::Head;
pub use lock::Patience;
pub use moment::{Lost, Moment, Providers};
pub use signature::{PublicKey, Signer};
pub use store::{Claim, Location, Lock, StorageOptions, Store, TablePath};
pub use transaction::{Purpose, State, Transaction};
pub use verify::{Problem, Signatures, Since, Verification, VerifyOptions, Witness, has_changed, verify};

use crate::call::SCHEMA_VERSION;
pub use deltalake::kernel::Add;
use deltalake::kernel::{StructType, engine::arrow_conversion::TryIntoKernel as _};
use deltalake::operations::create::CreateBuilder;
use deltalake::{DeltaTable, DeltaTableError};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Folder beside the tables with what is CallTrail's own.
pub(crate) const OWN: &str = "_calltrail";
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
    #[error("`{0}` is neither a lake nor empty: choose another place with --lake")]
    NotALake(PathBuf),
    #[error(
        "the lake at `{path}` was written by a newer version (layout {found}, this program knows {known}): update calltrail"
    )]
    Newer { path: PathBuf, found: i32, known: i32 },
    #[error("`{0}` is no place for a lake: name a folder, s3://BUCKET/PATH, gs://BUCKET/PATH or az://CONTAINER/PATH")]
    Scheme(String),
    #[error(
        "{holder} is writing to the lake at `{path}` and did not let go of it for {} s: wait for it to end, or longer with --lock-timeout",
        waited.as_secs()
    )]
    Locked { path: PathBuf, holder: String, waited: Duration },
    #[error(
        "{holder} is at {what} and did not let go of it for {} s: wait for it to end, or longer with --lock-timeout",
        waited.as_secs()
    )]
    Claimed { what: String, holder: String, waited: Duration },
    #[error(
        "another calltrail has taken over the lake at `{0}`, because this one was out of reach for longer than its lease: \
         nothing that was committed is lost; run the command again"
    )]
    TakenOver(PathBuf),
    #[error("cannot {action} `{path}`: {cause}")]
    Io { action: &'static str, path: PathBuf, cause: io::Error },
    #[error("the chain of changes is broken: {0}: `calltrail lake verify` says more")]
    Chain(String),
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
    fn read(store: &Store) -> Result<Self, LakeError> {
        let path = own("lake.json");
        let Some(text) = store.read(&path)? else { return Err(LakeError::Missing(store.name(""))) };
        serde_json::from_slice(&text)
            .map_err(|cause| LakeError::Damaged { path: store.name(&path), cause: cause.to_string() })
    }

    fn text(&self) -> String {
        serde_json::to_string_pretty(self).expect("a struct of texts and numbers is JSON")
    }

    fn write(&self, store: &Store) -> Result<(), LakeError> {
        store.replace(&own("lake.json"), self.text().as_bytes())
    }
}

/// An open lake.
#[derive(Debug)]
pub struct Lake {
    store: Store,
    key: [u8; 32],
    /// Made by an older version, and no writer has brought it up to date when it was opened.
    older: bool,
    /// Signs each new head of the chain.
    signer: Option<Signer>,
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
    pub fn open(location: &Location) -> Result<Self, LakeError> {
        Self::open_store(Store::open(location)?)
    }

    fn open_store(store: Store) -> Result<Self, LakeError> {
        let identity = Identity::read(&store)?;
        if identity.format > LAKE_FORMAT || identity.schema_version > SCHEMA_VERSION {
            let (found, known) = if identity.format > LAKE_FORMAT {
                (identity.format, LAKE_FORMAT)
            } else {
                (identity.schema_version, SCHEMA_VERSION)
            };
            return Err(LakeError::Newer { path: store.name(""), found, known });
        }
        let path = own("key");
        let bytes = store.read(&path)?.ok_or_else(|| LakeError::Io {
            action: "read",
            path: store.name(&path),
            cause: io::ErrorKind::NotFound.into(),
        })?;
        let key = bytes.try_into().map_err(|_| LakeError::Damaged {
            path: store.name(&path),
            cause: "the key of secret fingerprints is not 32 bytes".into(),
        })?;
        Ok(Self { store, key, older: identity.schema_version < SCHEMA_VERSION, signer: None })
    }

    /// Opens a lake, making it if the place is empty or absent.
    ///
    /// # Errors
    /// As [`Self::open`], or the place holds something else.
    pub async fn open_or_create(location: &Location, patience: &Patience<'_>) -> Result<Self, LakeError> {
        Self::open_or_create_store(Store::open(location)?, patience).await
    }

    async fn open_or_create_store(store: Store, patience: &Patience<'_>) -> Result<Self, LakeError> {
        match Self::open_store(store.clone()) {
            Err(LakeError::Missing(_)) => Self::create(store, patience).await,
            opened => opened,
        }
    }

    async fn create(store: Store, patience: &Patience<'_>) -> Result<Self, LakeError> {
        // A first run that was killed leaves tables and no lake.json; anything else is somebody's.
        let known = |name: &String| name == OWN || tables::table(name).is_some();
        if !store.entries()?.iter().all(known) {
            return Err(LakeError::NotALake(store.name("")));
        }
        store.make(OWN)?;
        // Two first runs at once: one makes the lake, the other finds it made.
        let (_lock, _) = store.acquire(patience).await?;
        if store.exists(&own("lake.json"))? {
            return Self::open_store(store);
        }
        let mut key = [0u8; 32];
        key[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        key[16..].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        // Two random UUIDs hold 244 random bits; hashing spreads them over the key.
        store.create_private(&own("key"), blake3::hash(&key).as_bytes())?;
        for table in tables::TABLES {
            create_table(&store, table).await?;
        }
        let identity = Identity {
            format: LAKE_FORMAT,
            schema_version: SCHEMA_VERSION,
            created_by: concat!("calltrail ", env!("CARGO_PKG_VERSION")).to_owned(),
            id: uuid::Uuid::new_v4().to_string(),
            kept_from: None,
        };
        identity.write(&store)?;
        store.sync_folders(&[String::new(), OWN.to_owned()].into())?;
        Self::open_store(store)
    }

    /// Signs every change from now on.
    #[must_use]
    pub fn signed_by(mut self, signer: Option<Signer>) -> Self {
        self.signer = signer;
        self
    }

    /// The key of the secrets' fingerprints.
    pub fn key(&self) -> [u8; 32] {
        self.key
    }

    /// Where the lake's bytes lie.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The lake's folder or URL.
    pub fn root(&self) -> PathBuf {
        self.store.name("")
    }

    /// Where the data files of a table lie.
    pub fn table_path(&self, name: &str) -> TablePath {
        TablePath::new(self.store.clone(), name)
    }

    /// The first day that retention left: rows of before it are not taken in again.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn kept_from(&self) -> Result<Option<chrono::NaiveDate>, LakeError> {
        Ok(Identity::read(&self.store)?.kept_from)
    }

    /// What the last ingest kept for the next one; empty for a new lake.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn state(&self) -> Result<Vec<u8>, LakeError> {
        let Some(packed) = self.store.state()? else { return Ok(Vec::new()) };
        let damaged =
            |cause: io::Error| LakeError::Damaged { path: self.store.name(&own("state")), cause: cause.to_string() };
        zstd::decode_all(&packed[..]).map_err(damaged)
    }

    /// Whether an older version made the lake, and knew no table of this name.
    fn lacks(&self, name: &str) -> Result<bool, LakeError> {
        Ok(self.older && !has_table(&self.store, name)?)
    }

    async fn table(&self, name: &str) -> Result<DeltaTable, LakeError> {
        let mut table = DeltaTable::new(self.store.log_store(name)?);
        table.load().await.map_err(|cause| LakeError::Delta { table: name.to_owned(), cause: Box::new(cause) })?;
        Ok(table)
    }

    /// The files that make up a table now.
    ///
    /// # Errors
    /// The table's log cannot be read.
    pub async fn files(&self, name: &str) -> Result<Vec<Add>, LakeError> {
        if self.lacks(name)? {
            return Ok(Vec::new());
        }
        let table = self.table(name).await?;
        let snapshot =
            table.snapshot().map_err(|cause| LakeError::Delta { table: name.to_owned(), cause: Box::new(cause) })?;
        #[expect(deprecated, reason = "the Arrow form that replaces it lacks the statistics as text")]
        let adds = snapshot.log_data().iter().map(|file| file.add_action()).collect();
        Ok(adds)
    }

    /// Every table as DataFusion reads it now.
    ///
    /// # Errors
    /// A table's log cannot be read.
    pub async fn providers(&self) -> Result<Providers, LakeError> {
        Ok(self.moment().await?.providers)
    }

    /// The Delta version of one table; 0 if an older lake lacks it.
    ///
    /// # Errors
    /// The table's log cannot be read.
    pub async fn version(&self, name: &str) -> Result<i64, LakeError> {
        if self.lacks(name)? {
            return Ok(0);
        }
        Ok(self.table(name).await?.version().unwrap_or_default() as i64)
    }

    /// Sizes of every table.
    ///
    /// # Errors
    /// A table's log cannot be read.
    pub async fn info(&self) -> Result<Vec<TableInfo>, LakeError> {
        let mut info = Vec::new();
        for table in tables::TABLES {
            if self.lacks(table.name)? {
                continue;
            }
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

fn has_table(store: &Store, name: &str) -> Result<bool, LakeError> {
    store.exists(&format!("{name}/_delta_log/{:020}.json", 0))
}

/// Makes one table unless it is there.
async fn create_table(store: &Store, table: &tables::Table) -> Result<(), LakeError> {
    if has_table(store, table.name)? {
        return Ok(());
    }
    store.make(table.name)?;
    let schema: StructType = table.schema().as_ref().try_into_kernel()?;
    let partitions: Vec<&str> = if table.by_day { vec!["day"] } else { Vec::new() };
    let created = CreateBuilder::new()
        .with_log_store(store.log_store(table.name)?)
        .with_table_name(table.name)
        .with_columns(schema.fields().cloned())
        .with_partition_columns(partitions)
        .with_configuration(HISTORY.map(|(name, value)| (name, Some(value))))
        .await;
    match created {
        Ok(_) => Ok(()),
        // Another run makes the same lake at the same time.
        Err(_) if has_table(store, table.name)? => Ok(()),
        Err(cause) => Err(LakeError::Delta { table: table.name.to_owned(), cause: Box::new(cause) }),
    }
}

/// The path of one of the lake's own files.
fn own(name: &str) -> String {
    format!("{OWN}/{name}")
}
