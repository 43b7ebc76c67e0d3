//! The lake as of one moment: all tables at the versions that one look at their logs found, or at versions of the past.

use super::{Lake, LakeError, chain, tables, upgrade};
use datafusion::catalog::TableProvider;
use deltalake::{DeltaTable, DeltaTableError};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Tables as DataFusion reads them, by the lake's names for them.
pub type Providers = Vec<(String, Arc<dyn TableProvider>)>;

/// All tables at certain versions.
#[derive(Debug)]
pub struct Moment {
    pub providers: Providers,
    /// Delta version of each table that the lake has.
    pub versions: BTreeMap<String, i64>,
}

/// Why a table cannot be read as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub table: String,
    pub version: i64,
    /// Data files of that version that are no longer there; 0 if the table's log does not have the version.
    pub files: usize,
}

impl Lake {
    /// Every table as it is now.
    ///
    /// # Errors
    /// A table's log cannot be read.
    pub async fn moment(&self) -> Result<Moment, LakeError> {
        let mut moment = Moment { providers: Vec::new(), versions: BTreeMap::new() };
        for table in tables::TABLES {
            if self.lacks(table.name)? {
                moment.providers.push((table.name.to_owned(), upgrade::absent(table)));
                continue;
            }
            let delta = self.table(table.name).await?;
            moment.versions.insert(table.name.to_owned(), delta.version().unwrap_or_default() as i64);
            moment.providers.push((table.name.to_owned(), provider(table, &delta).await?));
        }
        Ok(moment)
    }

    /// The tables at versions of the past; those that are not named, or did not exist, are empty. Says of which tables something
    /// is lost: they are read as they are left.
    ///
    /// # Errors
    /// A table's log cannot be read.
    pub async fn moment_at(&self, versions: &BTreeMap<String, i64>) -> Result<(Moment, Vec<Lost>), LakeError> {
        let mut moment = Moment { providers: Vec::new(), versions: BTreeMap::new() };
        let mut lost = Vec::new();
        for table in tables::TABLES {
            let known = versions.get(table.name).copied().and_then(|version| Some((version, version.try_into().ok()?)));
            let Some((version, at)) = known.filter(|_| !self.lacks(table.name).unwrap_or(true)) else {
                moment.providers.push((table.name.to_owned(), upgrade::absent(table)));
                continue;
            };
            let mut delta = DeltaTable::new(self.store.log_store(table.name)?);
            if delta.load_version(at).await.is_err() {
                lost.push(Lost { table: table.name.to_owned(), version, files: 0 });
                moment.providers.push((table.name.to_owned(), upgrade::absent(table)));
                continue;
            }
            let failed = |cause| LakeError::Delta { table: table.name.to_owned(), cause: Box::new(cause) };
            let files: Vec<String> =
                delta.snapshot().map_err(failed)?.log_data().iter().map(|file| file.path().into_owned()).collect();
            let there = self.table_path(table.name).sizes(&files)?;
            let gone = files.iter().filter(|path| !there.contains_key(*path)).count();
            if gone > 0 {
                lost.push(Lost { table: table.name.to_owned(), version, files: gone });
                moment.providers.push((table.name.to_owned(), upgrade::absent(table)));
                continue;
            }
            moment.versions.insert(table.name.to_owned(), version);
            moment.providers.push((table.name.to_owned(), provider(table, &delta).await?));
        }
        Ok((moment, lost))
    }

    /// Whether rows were added to a table, or took the place of others, after a version. What compaction, retention and upgrades do
    /// is no news.
    ///
    /// # Errors
    /// A commit cannot be read.
    pub fn has_news(&self, table: &str, after: i64, until: i64) -> Result<bool, LakeError> {
        for version in after.saturating_add(1)..=until {
            // Of a commit that is no longer there nothing is known.
            let Some(text) = self.store.read(&chain::commit_path(table, version))? else { return Ok(true) };
            if brings_news(&text) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

async fn provider(table: &tables::Table, delta: &DeltaTable) -> Result<Arc<dyn TableProvider>, LakeError> {
    let failed = |cause: String| LakeError::Delta {
        table: table.name.to_owned(),
        cause: Box::new(DeltaTableError::generic(cause)),
    };
    let provider = delta.table_provider().await.map_err(|cause| failed(cause.to_string()))?;
    upgrade::complete(provider, &table.schema()).map_err(|cause| failed(cause.to_string()))
}

/// Whether the actions of a commit change rows in a way that a rule may see something new.
fn brings_news(commit: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct File {
        #[serde(default)]
        data_change: bool,
    }
    #[derive(Default, Deserialize)]
    struct Note {
        #[serde(default)]
        kind: String,
    }
    #[derive(Deserialize)]
    struct Info {
        #[serde(default)]
        calltrail: Option<Note>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Action {
        add: Option<File>,
        remove: Option<File>,
        commit_info: Option<Info>,
    }
    let mut changed = false;
    for line in commit.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let Ok(action) = serde_json::from_slice::<Action>(line) else { return true };
        if action.commit_info.and_then(|info| info.calltrail).is_some_and(|note| note.kind == "retain") {
            return false;
        }
        changed |= [action.add, action.remove].into_iter().flatten().any(|file| file.data_change);
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::brings_news;

    #[test]
    fn news_are_rows_that_change() {
        let txn = r#"{"txn":{"appId":"calltrail","version":7}}"#;
        let add = r#"{"add":{"path":"a","dataChange":true,"size":1}}"#;
        let moved = r#"{"add":{"path":"a","dataChange":false,"size":1}}"#;
        let gone = r#"{"remove":{"path":"a","dataChange":true}}"#;
        let info = |kind: &str| format!(r#"{{"commitInfo":{{"operation":"WRITE","calltrail":{{"kind":"{kind}"}}}}}}"#);
        let commit = |lines: &[&str]| lines.join("\n").into_bytes();
        assert!(brings_news(&commit(&[&info("write"), txn, add])));
        assert!(brings_news(&commit(&[txn, gone, &info("write")])));
        assert!(brings_news(&commit(&["broken"])));
        assert!(!brings_news(&commit(&[&info("write"), txn])));
        assert!(!brings_news(&commit(&[&info("compact"), txn, moved])));
        assert!(!brings_news(&commit(&[gone, txn, &info("retain")])));
    }
}
