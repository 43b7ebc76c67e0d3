//! Changes to several tables that become visible together, or are finished after a crash.
//!
//! Data files are written first and belong to nothing. Then the whole change is written down ([`Store::begin`](super::Store)), and
//! that is the moment at which it has happened: from there on every step can be repeated, because each table's log remembers
//! (in a Delta `txn` action) which change it saw last.

use super::link::{FileDigest, Sealed};
use super::{Identity, Lake, LakeError, Store, chain, erase, own, tables};
use deltalake::DeltaTableError;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake::kernel::{Action, Add, MetadataExt as _, Remove, StructField, StructType, Transaction as Txn};
use deltalake::protocol::{DeltaOperation, SaveMode};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, BufWriter};

/// `appId` of our Delta `txn` actions.
const APP_ID: &str = "calltrail";

/// What a change is for. Stands in the Delta log of each table that the change touches, under `calltrail`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Purpose {
    /// New rows, and rows that know more than before.
    #[default]
    Write,
    /// The same rows in fewer files, of about so many bytes.
    Compact { target_size: u64 },
    /// Files that no table names any more leave the disk, if they were removed before this time (milliseconds).
    Vacuum { before_ms: i64 },
    /// Rows of before this day leave the lake, and their files the disk.
    Retain { before: chrono::NaiveDate, rows: u64, files: u64 },
    /// Columns and tables that an older version did not have.
    Upgrade { from: i32, to: i32 },
}

impl Purpose {
    /// As it stands in the Delta log and in the chain of changes.
    fn note(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a kind with numbers is JSON")
    }
}

/// What changes in one table.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Change {
    adds: Vec<Add>,
    removes: Vec<Remove>,
    /// New columns of the table.
    #[serde(default)]
    columns: Vec<StructField>,
}

/// A change to the lake that has not happened yet.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Transaction {
    number: i64,
    #[serde(default)]
    purpose: Purpose,
    tables: BTreeMap<String, Change>,
    /// Data files that leave the disk, by table.
    #[serde(default)]
    erased: BTreeMap<String, Vec<String>>,
    /// What the lake says of itself from now on.
    #[serde(default)]
    identity: Option<Identity>,
    /// Tables that were made for it, and that no link names yet.
    #[serde(default)]
    made: Vec<String>,
    /// Whether a new state file waits beside the intent.
    has_state: bool,
    /// Its digest.
    #[serde(default)]
    state_digest: Option<FileDigest>,
    /// Files that it replaces, removes or erases although they are not as the chain has them, as they were found.
    #[serde(default)]
    changed: BTreeMap<String, Option<FileDigest>>,
    /// One digest for the rows of `sources`, if that table may have changed.
    #[serde(default)]
    sources: Option<String>,
    /// Data files that it removes, as their `add` actions have them.
    #[serde(skip)]
    removed: BTreeMap<String, FileDigest>,
    #[serde(skip)]
    state: Option<State>,
}

/// What an ingest keeps for the next one, compressed.
#[derive(Debug)]
pub struct State(Vec<u8>);

impl State {
    /// The state as JSON, compressed while it is written: at full length it may be as large as all else in memory.
    ///
    /// # Errors
    /// It cannot be put as JSON.
    pub fn of(state: &impl Serialize) -> io::Result<Self> {
        let mut packed = BufWriter::new(zstd::Encoder::new(Vec::new(), 1)?);
        serde_json::to_writer(&mut packed, state)?;
        Ok(Self(packed.into_inner()?.finish()?))
    }
}

impl Transaction {
    /// A change for a purpose other than new rows.
    pub fn for_purpose(purpose: Purpose) -> Self {
        Self { purpose, ..Self::default() }
    }

    /// Adds a data file to a table.
    pub fn add(&mut self, table: &str, mut add: Add) {
        add.data_change = self.changes_data();
        self.tables.entry(table.to_owned()).or_default().adds.push(add);
    }

    /// Removes a data file from a table (the file stays on disk for readers of older versions).
    pub fn remove(&mut self, table: &str, add: &Add, now_ms: i64) {
        let remove = Remove {
            path: add.path.clone(),
            data_change: self.changes_data(),
            deletion_timestamp: Some(now_ms),
            extended_file_metadata: Some(true),
            partition_values: Some(add.partition_values.clone()),
            size: Some(add.size),
            ..Remove::default()
        };
        self.removed.extend(chain::tag_of(add).map(|digest| (format!("{table}/{}", add.path), digest)));
        self.tables.entry(table.to_owned()).or_default().removes.push(remove);
    }

    /// Adds a column to a table; its rows have NULL there.
    pub(super) fn add_column(&mut self, table: &str, column: StructField) {
        self.tables.entry(table.to_owned()).or_default().columns.push(column);
    }

    /// Whether rows change, and not just the files that hold them: who follows a table's changes passes over the others.
    fn changes_data(&self) -> bool {
        !matches!(self.purpose, Purpose::Compact { .. } | Purpose::Vacuum { .. } | Purpose::Upgrade { .. })
    }

    /// Removes a data file from the disk once the change is made. Versions of the table that name it can no longer be read.
    pub fn erase(&mut self, table: &str, path: String) {
        self.erased.entry(table.to_owned()).or_default().push(path);
    }

    /// Takes the making of a table into the chain.
    pub(super) fn made(&mut self, table: &str) {
        self.made.push(table.to_owned());
    }

    /// Replaces what the lake says of itself.
    pub(super) fn set_identity(&mut self, identity: Identity) {
        self.identity = Some(identity);
    }

    /// Replaces the state that the next ingest starts from.
    pub fn set_state(&mut self, state: State) {
        self.state = Some(state);
    }

    /// Ties what was read of the sources into the chain.
    pub fn set_sources(&mut self, chain: String) {
        self.sources = Some(chain);
    }

    /// Number of the change, once it has happened.
    pub(super) fn number(&self) -> i64 {
        self.number
    }

    /// Whether it commits to a table. `sources` always, so that the number of the last change can be read there.
    pub(super) fn touches(&self, table: &str) -> bool {
        table == "sources" || self.tables.contains_key(table)
    }

    /// The files of our own that it replaces.
    pub(super) fn own(&self) -> BTreeMap<String, FileDigest> {
        let state = self.state_digest.clone().map(|digest| ("state.zst".to_owned(), digest));
        let identity = self.identity.as_ref();
        let identity = identity.map(|identity| ("lake.json".to_owned(), FileDigest::of(identity.text().as_bytes())));
        state.into_iter().chain(identity).collect()
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.erased.is_empty() && self.identity.is_none() && self.state.is_none()
    }

    /// Makes the change. The caller holds the lake's lock.
    ///
    /// # Errors
    /// Before the intent is written: nothing has happened. After: the next writer finishes.
    pub async fn commit(mut self, lake: &Lake) -> Result<(), LakeError> {
        if self.is_empty() {
            return Ok(());
        }
        self.write_down(lake).await?;
        self.finish(lake).await
    }

    /// Writes the change down: with this it has happened.
    pub(super) async fn write_down(&mut self, lake: &Lake) -> Result<(), LakeError> {
        self.number = last_number(lake).await? + 1;
        // Before anything happens: a change that cannot be tied to the last one must not happen.
        let last = chain::read(&lake.store, self.number - 1)?;
        for table in self.tables.keys() {
            let seen = last_number_in(lake, table).await?;
            if seen >= self.number {
                let cause = format!(
                    "table `{table}` has change {seen}, which was begun and not finished, and what was written down of it is gone"
                );
                return Err(LakeError::Chain(cause));
            }
        }
        for (table, change) in &mut self.tables {
            change.adds.iter_mut().try_for_each(|add| chain::tagged(&lake.store, table, add))?;
        }
        let state = self.state.take().map(|State(packed)| packed);
        self.has_state = state.is_some();
        self.state_digest = state.as_deref().map(FileDigest::of);
        self.changed = self.not_as_recorded(lake, last).await?;
        for path in self.changed.keys() {
            // Nothing fails, so that logs go on being kept; the chain remembers it.
            tracing::error!(change = self.number, file = %lake.store.name(path).display(), "the file is not as the chain of changes has it, and this change replaces or removes it: `lake verify` names it from now on");
        }
        let change = serde_json::to_vec(self).expect("actions are JSON");
        // What is written down names them.
        lake.store.sync_folders(&self.folders_of_adds())?;
        lake.store.begin(change, state)
    }

    /// Folders in which the files stand that it adds, and those in which such folders may be new.
    fn folders_of_adds(&self) -> BTreeSet<String> {
        let mut folders = BTreeSet::new();
        for (table, change) in self.tables.iter().filter(|(_, change)| !change.adds.is_empty()) {
            let partitions = change.adds.iter().filter_map(|add| add.path.rsplit_once('/'));
            folders.extend(partitions.map(|(folder, _)| format!("{table}/{folder}")));
            folders.insert(table.clone());
        }
        folders
    }

    /// The files that it replaces, removes or erases and that are not as the chain has them.
    async fn not_as_recorded(
        &self,
        lake: &Lake,
        last: Sealed,
    ) -> Result<BTreeMap<String, Option<FileDigest>>, LakeError> {
        let own: Vec<String> = self.own().into_keys().collect();
        let mut files = chain::own_files(&lake.store, last, &own);
        for (table, paths) in &self.erased {
            let is_open = |path: &&str| !self.removed.contains_key(&format!("{table}/{path}"));
            let paths = paths.iter().map(String::as_str).filter(is_open).collect();
            files.extend(chain::recorded(&lake.store, table, lake.version(table).await?, paths)?);
        }
        files.extend(self.removed.iter().map(|(path, digest)| (path.clone(), digest.clone())));
        chain::changed(&lake.store, files)
    }

    /// Does what is left to do of a change that is written down.
    pub(super) async fn finish(&self, lake: &Lake) -> Result<(), LakeError> {
        let mut commits: Vec<_> = self.made.iter().map(|table| (table.clone(), 0)).collect();
        for table in tables::TABLES {
            if self.touches(table.name) {
                commits.push((table.name.to_owned(), self.commit_one(lake, table.name).await?));
            }
        }
        if let Some(identity) = &self.identity {
            // A newer one of a writer that took over must stay.
            lake.store.confirm()?;
            identity.write(&lake.store)?;
        }
        // Without any link this is the change of an older version, and the chain starts when it is done.
        if lake.store.exists(&chain::link_path(self.number - 1))? || !chain::numbers(&lake.store)?.is_empty() {
            let (purpose, own) = (self.purpose.note(), self.own());
            let erased =
                self.erased.iter().flat_map(|(table, paths)| paths.iter().map(move |path| format!("{table}/{path}")));
            let done = chain::Done {
                purpose,
                commits,
                own,
                erased: erased.collect(),
                changed: self.changed.clone(),
                sources: self.sources.clone(),
            };
            chain::append(lake, self.number, done)?;
        }
        for (table, paths) in &self.erased {
            erase::erase(&lake.table_path(table), paths)?;
        }
        lake.store.done(self.has_state)
    }

    /// Commits one table, unless it has the change; gives the version.
    pub(super) async fn commit_one(&self, lake: &Lake, name: &str) -> Result<i64, LakeError> {
        commit_table(lake, name, self.tables.get(name), self.number, &self.purpose).await
    }
}

/// Gives the version of the table's commit.
async fn commit_table(
    lake: &Lake,
    name: &str,
    change: Option<&Change>,
    number: i64,
    purpose: &Purpose,
) -> Result<i64, LakeError> {
    let delta = |cause| LakeError::Delta { table: name.to_owned(), cause: Box::new(cause) };
    let table = lake.table(name).await?;
    let snapshot = table.snapshot().map_err(delta)?;
    let seen = snapshot.transaction_version(table.log_store().as_ref(), APP_ID).await.map_err(delta)?;
    if seen.is_some_and(|seen| seen >= number) {
        return committed_version(lake, name, number).await;
    }
    let mut actions = Vec::new();
    if let Some(change) = change {
        if !change.columns.is_empty() {
            let known = snapshot.schema();
            let columns = known.fields().chain(&change.columns).cloned();
            let columns = StructType::try_new(columns).map_err(|cause| delta(DeltaTableError::from(cause)))?;
            actions.push(Action::Metadata(
                snapshot
                    .metadata()
                    .clone()
                    .with_schema(&columns)
                    .map_err(|cause| delta(DeltaTableError::from(cause)))?,
            ));
        }
        actions.extend(change.removes.iter().cloned().map(Action::Remove));
        actions.extend(change.adds.iter().cloned().map(Action::Add));
    }
    let partition_by = tables::table(name).filter(|table| table.by_day).map(|_| vec!["day".to_owned()]);
    let operation = match purpose {
        Purpose::Write | Purpose::Vacuum { .. } => {
            DeltaOperation::Write { mode: SaveMode::Append, partition_by, predicate: None }
        }
        Purpose::Compact { target_size } => {
            DeltaOperation::Optimize { predicate: None, target_size: i64::try_from(*target_size).unwrap_or(i64::MAX) }
        }
        Purpose::Upgrade { .. } => {
            DeltaOperation::AddColumn { fields: change.map(|change| change.columns.clone()).unwrap_or_default() }
        }
        Purpose::Retain { before, .. } => DeltaOperation::Delete { predicate: Some(format!("day < '{before}'")) },
    };
    let note = purpose.note();
    let properties = CommitProperties::default()
        .with_metadata([("calltrail".to_owned(), note)])
        .with_application_transaction(Txn::new(APP_ID, number))
        // Somebody else's commit in between must never be built upon: it may be this very change, finished by another writer.
        .with_max_retries(0)
        .with_cleanup_expired_logs(Some(false));
    let committed =
        CommitBuilder::from(properties).with_actions(actions).build(Some(snapshot), table.log_store(), operation).await;
    match committed {
        Ok(commit) => Ok(commit.version() as i64),
        // The answer to a commit may be lost on its way from an object store, and who took over may have made it.
        Err(_) if last_number_in(lake, name).await? >= number => committed_version(lake, name, number).await,
        Err(cause) => Err(LakeError::Delta { table: name.to_owned(), cause: Box::new(cause) }),
    }
}

/// The version of a table that was made by this change, looked for from its last version down.
async fn committed_version(lake: &Lake, name: &str, number: i64) -> Result<i64, LakeError> {
    let last = lake.table(name).await?.version().unwrap_or_default() as i64;
    for version in (0..=last).rev() {
        let text = lake.store.read(&chain::commit_path(name, version))?.unwrap_or_default();
        let is_this = |line: &[u8]| {
            let action: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
            action["txn"]["appId"] == APP_ID && action["txn"]["version"] == number
        };
        if text.split(|byte| *byte == b'\n').any(is_this) {
            return Ok(version);
        }
    }
    let path = lake.store.name(&format!("{name}/_delta_log"));
    Err(LakeError::Damaged { path, cause: format!("no commit in it is of change {number}") })
}

/// The number of the last change.
async fn last_number(lake: &Lake) -> Result<i64, LakeError> {
    last_number_in(lake, "sources").await
}

/// The number of the last change that a table has.
async fn last_number_in(lake: &Lake, name: &str) -> Result<i64, LakeError> {
    let delta = |cause| LakeError::Delta { table: name.to_owned(), cause: Box::new(cause) };
    let table = lake.table(name).await?;
    let snapshot = table.snapshot().map_err(delta)?;
    let seen = snapshot.transaction_version(table.log_store().as_ref(), APP_ID).await.map_err(delta)?;
    Ok(seen.unwrap_or(0))
}

/// Reads the change that a writer has begun; `None` if there is none.
pub(super) fn begun(store: &Store) -> Result<Option<Transaction>, LakeError> {
    let Some(text) = store.intent()? else { return Ok(None) };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|cause| LakeError::Damaged { path: store.name(&own("intent")), cause: cause.to_string() })
}

/// Finishes a change whose writer died, and, if a turn was not ended in order, removes files that belong to none. Starts the
/// chain of a lake that has none.
pub(super) async fn recover(lake: &Lake, after_crash: bool) -> Result<(), LakeError> {
    if let Some(intent) = begun(&lake.store)? {
        tracing::info!(number = intent.number, "finishing the change of a writer that died");
        intent.finish(lake).await?;
    }
    if after_crash {
        lake.store.sweep_own()?;
        for table in tables::TABLES {
            remove_strays(lake, table.name).await?;
        }
    }
    chain::start(lake, last_number(lake).await?)
}

/// Removes the Parquet files of a table that its log has never named: a writer died before it could add them.
async fn remove_strays(lake: &Lake, name: &str) -> Result<(), LakeError> {
    let mut found = lake.store.list(name)?;
    let log = format!("{name}/_delta_log/");
    // What the log's writer would have renamed, had it lived.
    for staged in found.iter().filter(|path| path.strip_prefix(&log).is_some_and(chain::is_staged)) {
        lake.store.remove(staged)?;
    }
    found.retain(|path| path.ends_with(".parquet") && !path.starts_with(&log));
    if found.is_empty() {
        return Ok(());
    }
    let named = named_files(lake, name).await?;
    for path in found {
        let relative = path.strip_prefix(name).unwrap_or(&path).trim_start_matches('/');
        if !named.contains(relative) {
            tracing::info!(file = %path, "removing a data file that no commit names");
            lake.store.remove(&path)?;
        }
    }
    Ok(())
}

/// Paths of all files that the table's log names, removed ones included (readers of older versions need them).
async fn named_files(lake: &Lake, name: &str) -> Result<HashSet<String>, LakeError> {
    let delta = |cause| LakeError::Delta { table: name.to_owned(), cause: Box::new(cause) };
    let table = lake.table(name).await?;
    let snapshot = table.snapshot().map_err(delta)?;
    let mut named: HashSet<String> = snapshot.log_data().iter().map(|file| file.path().into_owned()).collect();
    named.extend(erase::removed_files(lake, name).await?.into_iter().map(|file| file.path));
    Ok(named)
}

#[cfg(test)]
mod tests;
