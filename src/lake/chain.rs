//! The chain of changes: a link for each change to the lake, which holds the digest of the link before.
//!
//! A link names every file that its change wrote: the commits of the tables, checkpoints, files of our own. The commits name
//! the data files with their digests. So the digest of the last link, the head, stands for every byte of the lake. A lake
//! that has no chain gets one from its first writer, whose first link names all that is there.

use super::link::{FileDigest, Head, Link, Sealed};
use super::{Lake, LakeError, OWN, Store, own, store, tables};
use deltalake::kernel::Add;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;

/// Folder of the links, below our own.
const FOLDER: &str = "chain";
/// Suffix of their names.
const SUFFIX: &str = ".link";
/// Tag of a data file's digest in its Delta `add` action.
const DIGEST_TAG: &str = "calltrail.blake3";
/// What the state is called in the chain, wherever it lies.
pub(super) const STATE: &str = "state.zst";

/// What a change did besides its commits.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) purpose: serde_json::Value,
    /// Tables with the version of the change's commit.
    pub(super) commits: Vec<(String, i64)>,
    /// Files of our own that it replaced.
    pub(super) own: BTreeMap<String, FileDigest>,
    /// Files that leave the disk, below the lake's folder.
    pub(super) erased: Vec<String>,
    /// Files that were not as the chain has them, as they were found.
    pub(super) changed: BTreeMap<String, Option<FileDigest>>,
    pub(super) sources: Option<String>,
}

/// Path of a link below the lake's folder.
pub(super) fn link_path(number: i64) -> String {
    format!("{OWN}/{FOLDER}/{number:020}{SUFFIX}")
}

/// Path of a table's commit below the lake's folder.
pub(super) fn commit_path(table: &str, version: i64) -> String {
    format!("{table}/_delta_log/{version:020}.json")
}

/// Numbers of all links, in order.
pub(super) fn numbers(store: &Store) -> Result<Vec<i64>, LakeError> {
    let folder = own(FOLDER);
    let mut numbers: Vec<i64> = store.list(&folder)?.iter().filter_map(|path| number_of(&folder, path)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn number_of(folder: &str, path: &str) -> Option<i64> {
    let digits = path.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(SUFFIX)?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// Reads one link.
pub(super) fn read(store: &Store, number: i64) -> Result<Sealed, LakeError> {
    let path = link_path(number);
    let broken = |what: String| LakeError::Chain(format!("`{}` {what}", store.name(&path).display()));
    let bytes = store.read(&path)?.ok_or_else(|| broken("is missing".to_owned()))?;
    let sealed = Sealed::parse(&bytes).map_err(|cause| broken(format!("is damaged: {cause}")))?;
    match sealed.link.number {
        found if found == number => Ok(sealed),
        found => Err(broken(format!("is the link of change {found}"))),
    }
}

/// Starts the chain of a lake that has none, with a link that names every file there is. Otherwise looks whether it ends
/// with the lake's last change.
pub(super) fn start(lake: &Lake, last_number: i64) -> Result<(), LakeError> {
    let store = &lake.store;
    if store.exists(&link_path(last_number))? && !store.exists(&link_path(last_number + 1))? {
        return Ok(());
    }
    if let Some(last) = numbers(store)?.last() {
        return Err(LakeError::Chain(format!("it ends with change {last}, the tables with change {last_number}")));
    }
    let state_path = store.state_path()?;
    // Strays are gone: a data file that is there belongs to a table, now or in an older version.
    let is_known = |path: &String| {
        !is_exempt(path) && state_path.as_ref() != Some(path) && (path.ends_with(".parquet") || !is_left_over(path))
    };
    let known: Vec<String> = store.list("")?.into_iter().filter(is_known).collect();
    tracing::info!(files = known.len(), "starting the chain of changes");
    let digests: Result<BTreeMap<_, _>, LakeError> =
        known.into_par_iter().map(|path| Ok((path.clone(), digest(store, &path)?))).collect();
    let mut link = Link::new(last_number, None, serde_json::json!({"kind": "start"}));
    link.files = digests?;
    link.files.extend(store.state()?.map(|state| (own(STATE), FileDigest::of(&state))));
    for (table, version) in link.files.keys().filter_map(|path| commit_of(path)) {
        let time = commit_time(&store.read(&commit_path(table, version))?.unwrap_or_default());
        link.time = link.time.max(time);
    }
    write(lake, link)
}

/// Tables of which no link names the first commit: they were made, and the change that they were made for has not happened.
pub(super) fn unnamed_tables(store: &Store) -> Result<Vec<&'static str>, LakeError> {
    let mut unnamed: Vec<_> = tables::TABLES.iter().map(|table| table.name).collect();
    for number in numbers(store)? {
        let link = read(store, number)?.link;
        unnamed.retain(|table| !link.files.contains_key(&commit_path(table, 0)));
    }
    Ok(unnamed)
}

/// Appends the link of a change, unless it is there.
pub(super) fn append(lake: &Lake, number: i64, done: Done) -> Result<(), LakeError> {
    let store = &lake.store;
    if store.exists(&link_path(number))? {
        return read(store, number).map(drop);
    }
    let before = read(store, number - 1)?;
    if let (Some(key), None) = (&before.signer, &lake.signer) {
        // Nothing fails, and whoever checks the signatures would learn of it when it is too late to sign.
        tracing::error!(change = number, %key, "the changes before this one are signed and this one is not: `lake verify --public-key` will refuse it; give --signing-key");
    }
    let mut link = Link::new(number, Some(before.hash), done.purpose);
    link.files.extend(done.own.into_iter().map(|(name, digest)| (own(&name), digest)));
    for (table, version) in done.commits {
        let path = commit_path(&table, version);
        let text = store.read(&path)?.ok_or_else(|| missing(store, &path))?;
        link.time = link.time.max(commit_time(&text));
        link.files.insert(path, FileDigest::of(&text));
        // Delta writes a checkpoint behind some commits.
        let path = format!("{table}/_delta_log/{version:020}.checkpoint.parquet");
        if store.exists(&path)? {
            link.files.insert(path.clone(), digest(store, &path)?);
            let path = format!("{table}/_delta_log/_last_checkpoint");
            if is_checkpoint(store, &path, version)? {
                link.files.insert(path.clone(), digest(store, &path)?);
            }
        }
    }
    // Delta's own log does not wait for the disk, and the link that names a commit does.
    let delta: Vec<String> = link.files.keys().filter(|path| !path.starts_with(OWN)).cloned().collect();
    store.sync_files(&delta)?;
    link.erased = done.erased;
    link.changed = done.changed;
    link.sources = done.sources;
    write(lake, link)
}

fn write(lake: &Lake, link: Link) -> Result<(), LakeError> {
    let (number, path) = (link.number, link_path(link.number));
    lake.store.make(&own(FOLDER))?;
    lake.store.create(&path, link.seal(lake.signer.as_ref()).as_bytes())?;
    lake.store.sync_folders(&BTreeSet::from([own(FOLDER)]))?;
    // In an object store whoever took over may have been first.
    read(&lake.store, number).map(drop)
}

fn missing(store: &Store, path: &str) -> LakeError {
    LakeError::Io { action: "read", path: store.name(path), cause: io::ErrorKind::NotFound.into() }
}

/// Whether `_last_checkpoint` is of this version.
pub(super) fn is_checkpoint(store: &Store, path: &str, version: i64) -> Result<bool, LakeError> {
    let text = store.read(path)?.unwrap_or_default();
    let hint: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    Ok(hint["version"].as_i64() == Some(version))
}

/// The time of a commit as its writer noted it.
fn commit_time(commit: &[u8]) -> Option<String> {
    let time = commit.split(|byte| *byte == b'\n').filter_map(|line| {
        serde_json::from_slice::<serde_json::Value>(line).ok()?.get("commitInfo")?.get("timestamp")?.as_i64()
    });
    let time = chrono::DateTime::from_timestamp_millis(time.max()?)?;
    Some(time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
}

/// Table and version, if a path is that of a commit.
pub(super) fn commit_of(path: &str) -> Option<(&str, i64)> {
    let (table, name) = path.split_once("/_delta_log/")?;
    let digits = name.strip_suffix(".json").filter(|digits| digits.len() == 20)?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| Some((table, digits.parse().ok()?)))?
}

/// Puts the digest of a data file into its `add` action, where readers of Delta tables pass it over.
pub(super) fn tag(add: &mut Add, blake3: &blake3::Hash) {
    add.tags.get_or_insert_with(HashMap::new).insert(DIGEST_TAG.to_owned(), Some(blake3.to_hex().to_string()));
}

/// Makes sure that an `add` action has the digest of its file, reading the file if it must.
pub(super) fn tagged(store: &Store, table: &str, add: &mut Add) -> Result<(), LakeError> {
    if add.tags.as_ref().is_some_and(|tags| tags.contains_key(DIGEST_TAG)) {
        return Ok(());
    }
    let digest = digest(store, &format!("{table}/{}", add.path))?;
    add.tags.get_or_insert_with(HashMap::new).insert(DIGEST_TAG.to_owned(), Some(digest.blake3));
    Ok(())
}

/// The digest of a data file as its `add` action has it.
pub(super) fn tag_of(add: &Add) -> Option<FileDigest> {
    let blake3 = add.tags.as_ref()?.get(DIGEST_TAG)?.clone()?;
    Some(FileDigest { bytes: add.size.unsigned_abs(), blake3 })
}

/// Digests of data files as the commits of their table have them, from its last version down; those that have none are left out.
pub(super) fn recorded(
    store: &Store,
    table: &str,
    last_version: i64,
    mut paths: BTreeSet<&str>,
) -> Result<Vec<(String, FileDigest)>, LakeError> {
    let mut found = Vec::new();
    for version in (0..=last_version).rev() {
        if paths.is_empty() {
            break;
        }
        // A commit that is gone or damaged is `verify`'s to name.
        let Some(commit) = store.read(&commit_path(table, version))? else { continue };
        for (path, bytes, blake3) in added(&commit).unwrap_or_default() {
            if paths.remove(path.as_str()) {
                found.extend(blake3.map(|blake3| (format!("{table}/{path}"), FileDigest { bytes, blake3 })));
            }
        }
    }
    Ok(found)
}

/// The files of our own by these names as the last change that wrote them left them; `last` is the chain's last link.
pub(super) fn own_files(store: &Store, last: Sealed, names: &[String]) -> Vec<(String, FileDigest)> {
    let mut wanted: BTreeSet<String> = names.iter().map(|name| own(name)).collect();
    let mut found = Vec::new();
    let mut next = Some(last);
    while let Some(sealed) = next.filter(|_| !wanted.is_empty()) {
        let Link { number, mut files, previous, .. } = sealed.link;
        wanted.retain(|path| match files.remove(path) {
            Some(digest) => {
                found.push((path.clone(), digest));
                false
            }
            None => true,
        });
        // Where the chain is broken, `verify` says so.
        next = previous.and_then(|_| read(store, number - 1).ok());
    }
    found
}

/// Those of some files that are not as the chain has them, as they are now.
pub(super) fn changed(
    store: &Store,
    files: Vec<(String, FileDigest)>,
) -> Result<BTreeMap<String, Option<FileDigest>>, LakeError> {
    let look = |(path, recorded): (String, FileDigest)| {
        let found = if path == own(STATE) {
            store.state()?.as_deref().map(FileDigest::of)
        } else {
            match digest_of(store, &path) {
                // Something else stands in its place.
                Err(LakeError::Io { cause, .. }) if cause.kind() == io::ErrorKind::InvalidData => None,
                found => found?,
            }
        };
        Ok((found.as_ref() != Some(&recorded)).then_some((path, found)))
    };
    files.into_par_iter().filter_map(|file| look(file).transpose()).collect()
}

/// The data files that a commit adds to its table: path below the table's folder, size, and digest if it has one.
pub(super) fn added(commit: &[u8]) -> Result<Vec<(String, u64, Option<String>)>, String> {
    #[derive(serde::Deserialize)]
    struct Action {
        add: Option<Added>,
    }
    #[derive(serde::Deserialize)]
    struct Added {
        path: String,
        size: u64,
        #[serde(default)]
        tags: Option<HashMap<String, Option<String>>>,
    }
    let mut files = Vec::new();
    for line in commit.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let action: Action = serde_json::from_slice(line).map_err(|cause| cause.to_string())?;
        if let Some(add) = action.add {
            let digest = add.tags.and_then(|mut tags| tags.remove(DIGEST_TAG)).flatten();
            files.push((add.path, add.size, digest));
        }
    }
    Ok(files)
}

/// Whether a file says nothing of the lake: those by which writers wait for one another.
pub(super) fn is_exempt(path: &str) -> bool {
    let name = path.strip_prefix(OWN).and_then(|path| path.strip_prefix('/'));
    let is_claim = |name: &str| name.strip_prefix(store::CLAIMS).is_some_and(|rest| rest.starts_with('/'));
    matches!(name, Some("lock" | "queue" | "head.json" | "wanted")) || name.is_some_and(is_claim)
}

/// Whether a file that no link names is what a writer leaves when it is killed, and has while it runs. The next writer finishes or
/// removes it, and nobody reads it before.
pub(super) fn is_left_over(path: &str) -> bool {
    if let Some(name) = path.strip_prefix(OWN).and_then(|path| path.strip_prefix('/')) {
        let name = name.strip_prefix("chain/").unwrap_or(name);
        // In an object store each state and each intent is an object of its own.
        let has_number = name.starts_with("state-") || name.starts_with("intent-");
        let is_begun = name == "intent.json" || name.ends_with(".next") || name.ends_with(".tmp");
        return !name.contains('/') && (is_begun || has_number);
    }
    let Some((table, name)) = path.split_once('/').filter(|(table, _)| tables::table(table).is_some()) else {
        return false;
    };
    match name.strip_prefix("_delta_log/") {
        Some(name) => is_staged(name),
        // The caller has asked the links, and the links the commits.
        None => !table.is_empty() && name.ends_with(".parquet"),
    }
}

/// Whether a commit that no link names is that of a table which was made for a change that has not happened. It has no rows.
pub(super) fn is_made(path: &str) -> bool {
    commit_of(path).is_some_and(|(table, version)| version == 0 && tables::table(table).is_some())
}

/// Whether a file of a Delta log is one that its writer would have renamed.
pub(super) fn is_staged(name: &str) -> bool {
    let numbered = name.rsplit_once('#').is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    numbered || (name.starts_with("_commit_") && name.ends_with(".json.tmp"))
}

/// Digests a file of the lake.
pub(super) fn digest(store: &Store, path: &str) -> Result<FileDigest, LakeError> {
    digest_of(store, path)?.ok_or_else(|| missing(store, path))
}

/// Digests a file of the lake, piece by piece; `None` if there is none.
pub(super) fn digest_of(store: &Store, path: &str) -> Result<Option<FileDigest>, LakeError> {
    let mut hasher = blake3::Hasher::new();
    let bytes = store.pieces(path, |piece| _ = hasher.update(piece))?;
    Ok(bytes.map(|bytes| FileDigest { bytes, blake3: hasher.finalize().to_hex().to_string() }))
}

/// A file that is digested while it is written.
#[derive(Debug)]
pub(super) struct Digesting {
    pub(super) file: File,
    pub(super) hasher: blake3::Hasher,
}

impl Digesting {
    pub(super) fn new(file: File) -> Self {
        Self { file, hasher: blake3::Hasher::new() }
    }
}

impl io::Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Lake {
    /// The end of the chain of changes; `None` for a lake that no writer has touched since there are chains.
    ///
    /// # Errors
    /// The last link cannot be read, or is damaged.
    pub fn head(&self) -> Result<Option<Head>, LakeError> {
        let last = numbers(&self.store)?.pop();
        last.map(|number| Ok(read(&self.store, number)?.head())).transpose()
    }
}
