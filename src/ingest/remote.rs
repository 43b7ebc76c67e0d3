//! Inputs in object stores and on web servers: which objects a URL means, and their bytes.
//!
//! An object is read in pieces of a few MB, the next one while the last is worked on, so that memory is bounded and no
//! connection stays open for as long as an ingest takes. Every piece must be of the version that was listed.

use crate::lake::store::{connect, explain, shown, start, wait};
use crate::lake::{OWN, StorageOptions};
use crate::source::input::{self, Bytes, Found, Input, InputError, Remote, RemoteInput, Stat};
use futures::{StreamExt as _, TryStreamExt as _};
use glob::{MatchOptions, Pattern};
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _};
use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use url::Url;

/// Bytes of the first piece: enough to see what an object is. Pieces grow up to the most.
const FIRST: u64 = 256 << 10;
const MOST: u64 = 8 << 20;
/// Time after which a request without an answer is given up.
const STALLED: Duration = Duration::from_secs(90);
/// A star stays within a part of the path, as among files.
const MATCHING: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// Finds the inputs that paths and URLs mean: as [`input::expand`], and objects, prefixes and patterns of object stores
/// (`s3://bucket/logs/**/*.jsonl`), and files of web servers.
///
/// # Errors
/// A path or URL matches nothing or cannot be read; all problems, not the first.
pub fn expand(given: &[String], options: &StorageOptions) -> Result<Found, Vec<InputError>> {
    let mut problems = Vec::new();
    let mut local = Vec::new();
    let mut inputs = Vec::new();
    let mut stores = Stores { options, open: HashMap::new() };
    for text in given {
        match text.split_once("://") {
            None => local.push(text.clone()),
            Some(("file", _)) => match Url::parse(text).ok().and_then(|url| url.to_file_path().ok()) {
                Some(path) => local.push(path.to_string_lossy().into_owned()),
                None => problems.push(InputError::NothingMatches(text.clone())),
            },
            Some((scheme, rest)) => {
                let found = match scheme {
                    "http" | "https" => stores.file(text),
                    _ => stores.objects(scheme, rest),
                };
                match found {
                    Ok(found) => inputs.extend(found.into_iter().map(|object| Input::Remote(RemoteInput::new(object)))),
                    Err(problem) => problems.push(problem),
                }
            }
        }
    }
    let mut found = match input::expand(&local) {
        Ok(found) => found,
        Err(more) => {
            problems.extend(more);
            Found::default()
        }
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    found.inputs.extend(inputs);
    input::sort(&mut found.inputs);
    Ok(found)
}

/// Stores that were opened, by scheme and bucket.
struct Stores<'a> {
    options: &'a StorageOptions,
    open: HashMap<String, Arc<dyn ObjectStore>>,
}

impl Stores<'_> {
    fn store(&mut self, root: &str) -> io::Result<Arc<dyn ObjectStore>> {
        if let Some(store) = self.open.get(root) {
            return Ok(Arc::clone(store));
        }
        let url = Url::parse(root).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "this is no URL"))?;
        let store = connect(&url, self.options)?;
        self.open.insert(root.to_owned(), Arc::clone(&store));
        Ok(store)
    }

    /// What a URL of an object store means: an object, all below a prefix, or what matches a pattern.
    fn objects(&mut self, scheme: &str, rest: &str) -> Result<Vec<Object>, InputError> {
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let root = format!("{scheme}://{bucket}/");
        let base = Url::parse(&root).map_or_else(|_| root.clone(), |url| shown(&url));
        let name = format!("{base}/{key}");
        let unreadable = |cause| InputError::Unreadable { path: name.clone(), cause };
        let store = self.store(&root).map_err(unreadable)?;
        find(&store, &base, key)
    }

    /// A file of a web server.
    fn file(&mut self, text: &str) -> Result<Vec<Object>, InputError> {
        let bad = |cause: &str| InputError::Unreadable {
            path: Url::parse(text).map_or_else(|_| text.to_owned(), |url| shown(&url)),
            cause: io::Error::new(io::ErrorKind::InvalidInput, cause.to_owned()),
        };
        let url = Url::parse(text).map_err(|_| bad("this is no URL"))?;
        if url.path().ends_with('/') {
            return Err(bad("a web server does not list its folders: name a file"));
        }
        let path = Path::from_url_path(url.path()).map_err(|_| bad("this is no path of a file"))?;
        let mut root = url.clone();
        root.set_path("");
        let name = shown(&url);
        let unreadable = |cause| InputError::Unreadable { path: name.clone(), cause };
        let store = self.store(root.as_str()).map_err(unreadable)?;
        let meta = match head(&store, &path).map_err(unreadable)? {
            Ok(meta) => Some(meta),
            Err(Error::NotFound { .. }) => return Err(InputError::NothingMatches(name)),
            // A link that is signed for reading alone answers no other question.
            Err(error) if explain(&error).kind() == io::ErrorKind::NotConnected => {
                return Err(unreadable(explain(&error)));
            }
            Err(_) => None,
        };
        Ok(vec![Object { store, path, name, meta }])
    }
}

fn head(store: &Arc<dyn ObjectStore>, path: &Path) -> io::Result<Result<ObjectMeta, Error>> {
    let (store, path) = (Arc::clone(store), path.clone());
    wait(async move { store.head(&path).await })
}

/// The objects that a key, prefix or pattern means. Hidden ones below a prefix are left out, as among files.
fn find(store: &Arc<dyn ObjectStore>, base: &str, key: &str) -> Result<Vec<Object>, InputError> {
    let name = format!("{base}/{key}");
    let unreadable = |cause| InputError::Unreadable { path: name.clone(), cause };
    let path = |text: &str| {
        let path = Path::parse(text.trim_matches('/'));
        path.map_err(|cause| unreadable(io::Error::new(io::ErrorKind::InvalidInput, cause.to_string())))
    };
    let object = |meta: ObjectMeta| Object {
        store: Arc::clone(store),
        path: meta.location.clone(),
        name: format!("{base}/{}", meta.location),
        meta: Some(meta),
    };
    if !key.is_empty() && !key.ends_with('/') {
        match head(store, &path(key)?).map_err(unreadable)? {
            Ok(meta) => return Ok(vec![object(meta)]),
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(unreadable(explain(&error))),
        }
    }
    let is_pattern = |part: &str| part.contains(['*', '?', '[']);
    let (prefix, pattern) = if is_pattern(key) {
        let pattern = Pattern::new(key).map_err(|cause| InputError::Pattern { pattern: name.clone(), cause })?;
        let plain: Vec<&str> = key.split('/').take_while(|part| !is_pattern(part)).collect();
        (path(&plain.join("/"))?, Some(pattern))
    } else {
        (path(key)?, None)
    };
    let listed = {
        let (store, prefix) = (Arc::clone(store), Some(prefix.clone()).filter(|prefix| !prefix.as_ref().is_empty()));
        wait(async move { store.list(prefix.as_ref()).try_collect::<Vec<_>>().await }).map_err(unreadable)?
    };
    let listed = listed.map_err(|error| unreadable(explain(&error)))?;
    let lakes = lakes_of(listed.iter().map(|meta| meta.location.as_ref()));
    let is_meant = |meta: &ObjectMeta| {
        let key = meta.location.as_ref();
        let is_below = match &pattern {
            Some(pattern) => matches_from(pattern, key),
            None => is_visible_below(prefix.as_ref(), key),
        };
        is_below && !lakes.iter().any(|lake| key.starts_with(lake))
    };
    let found: Vec<Object> = listed.into_iter().filter(is_meant).map(object).collect();
    if found.is_empty() { Err(InputError::NothingMatches(name)) } else { Ok(found) }
}

/// Whether a pattern matches an object, or a prefix above it of which the object is a visible part.
fn matches_from(pattern: &Pattern, key: &str) -> bool {
    let ends = key.match_indices('/').map(|(at, _)| at);
    pattern.matches_with(key, MATCHING)
        || ends.into_iter().any(|at| pattern.matches_with(&key[..at], MATCHING) && is_visible_below(&key[..at], key))
}

/// Whether an object is below a prefix, with nothing hidden in between. What stands for the prefix itself is not below it.
fn is_visible_below(prefix: &str, key: &str) -> bool {
    let below = key.strip_prefix(prefix).unwrap_or_default().trim_start_matches('/');
    !below.is_empty() && !below.split('/').any(|part| part.starts_with('.'))
}

/// Prefixes of the lakes among objects: a lake may lie beside the logs, and is none.
fn lakes_of<'a>(keys: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let own = format!("{OWN}/");
    let start = |key: &str| key.match_indices(&own).map(|(at, _)| at).find(|at| *at == 0 || key[..*at].ends_with('/'));
    keys.filter_map(|key| Some(key[..start(key)?].to_owned())).collect()
}

/// One object.
struct Object {
    store: Arc<dyn ObjectStore>,
    path: Path,
    name: String,
    /// `None`: the server does not say.
    meta: Option<ObjectMeta>,
}

impl Remote for Object {
    fn name(&self) -> &str {
        &self.name
    }

    fn stat(&self) -> Stat {
        let Some(meta) = &self.meta else { return Stat::default() };
        let mtime = meta.last_modified.timestamp_nanos_opt().filter(|time| *time > 0);
        Stat { size: meta.size, mtime, etag: meta.e_tag.clone() }
    }

    fn open(&self) -> io::Result<Bytes> {
        let whole = || Ok(Box::new(Whole::open(&self.store, &self.path)?) as Bytes);
        let Some(meta) = self.meta.as_ref() else { return whole() };
        let mut pieces = Pieces {
            store: Arc::clone(&self.store),
            path: self.path.clone(),
            etag: meta.e_tag.clone(),
            size: meta.size,
            asked: 0,
            step: FIRST,
            coming: None,
            piece: bytes::Bytes::new(),
        };
        match pieces.next() {
            Ok(()) => Ok(Box::new(pieces)),
            // A web server that sends whole files only.
            Err(Failed::Whole) => whole(),
            Err(Failed::Io(cause)) => Err(cause),
        }
    }
}

/// A request that is under way.
type Coming = mpsc::Receiver<Result<bytes::Bytes, Failed>>;

enum Failed {
    /// The server knows no parts of files.
    Whole,
    Io(io::Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        match error {
            Error::NotSupported { .. } | Error::NotImplemented { .. } => Self::Whole,
            error => Self::Io(passing(explain(&error))),
        }
    }
}

/// What goes wrong on the way may go right another time.
fn passing(cause: io::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, cause.to_string())
}

fn stalled() -> io::Error {
    passing(io::Error::other(format!("no answer for {} s", STALLED.as_secs())))
}

/// An object, piece by piece.
struct Pieces {
    store: Arc<dyn ObjectStore>,
    path: Path,
    etag: Option<String>,
    size: u64,
    /// Up to where it was asked for.
    asked: u64,
    step: u64,
    coming: Option<Coming>,
    piece: bytes::Bytes,
}

impl Pieces {
    /// Waits for the next piece, and asks for the one behind it.
    fn next(&mut self) -> Result<(), Failed> {
        if self.coming.is_none() {
            self.coming = self.ask().map_err(Failed::Io)?;
        }
        let Some(coming) = self.coming.take() else {
            self.piece = bytes::Bytes::new();
            return Ok(());
        };
        let gone = |_| Failed::Io(io::Error::other("a request ended without an answer"));
        self.piece = coming.recv().map_err(gone)??;
        self.coming = self.ask().map_err(Failed::Io)?;
        Ok(())
    }

    fn ask(&mut self) -> io::Result<Option<Coming>> {
        let range = self.asked..self.size.min(self.asked + self.step);
        if range.is_empty() {
            return Ok(None);
        }
        self.asked = range.end;
        self.step = (self.step * 2).min(MOST);
        let length = range.end - range.start;
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: self.etag.clone().filter(|tag| !tag.starts_with("W/")),
            ..GetOptions::default()
        };
        let (store, path) = (Arc::clone(&self.store), self.path.clone());
        start(async move {
            let got = async { store.get_opts(&path, options).await?.bytes().await };
            let bytes = tokio::time::timeout(STALLED, got).await.map_err(|_| Failed::Io(stalled()))??;
            if bytes.len() as u64 != length {
                return Err(Failed::Io(passing(io::Error::other("it was changed meanwhile"))));
            }
            Ok(bytes)
        })
        .map(Some)
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            match self.next() {
                Ok(()) => {}
                Err(Failed::Whole) => return Err(passing(io::Error::other("the server no longer sends parts"))),
                Err(Failed::Io(cause)) => return Err(cause),
            }
        }
        take(&mut self.piece, buffer)
    }
}

fn take(piece: &mut bytes::Bytes, buffer: &mut [u8]) -> io::Result<usize> {
    let length = buffer.len().min(piece.len());
    buffer[..length].copy_from_slice(&piece.split_to(length));
    Ok(length)
}

/// An object as one answer, taken from the connection as it is read.
struct Whole {
    /// `None` at its end.
    stream: Option<Chunks>,
    piece: bytes::Bytes,
}

type Chunks = futures::stream::BoxStream<'static, Result<bytes::Bytes, Error>>;

impl Whole {
    fn open(store: &Arc<dyn ObjectStore>, path: &Path) -> io::Result<Self> {
        let (store, path) = (Arc::clone(store), path.clone());
        let got = wait(async move { tokio::time::timeout(STALLED, store.get(&path)).await })?;
        let got = got.map_err(|_| stalled())?.map_err(|error| passing(explain(&error)))?;
        Ok(Self { stream: Some(got.into_stream()), piece: bytes::Bytes::new() })
    }
}

impl Read for Whole {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            let Some(mut stream) = self.stream.take() else { return Ok(0) };
            let (next, stream) = wait(async move {
                let next = tokio::time::timeout(STALLED, stream.next()).await;
                (next, stream)
            })?;
            match next.map_err(|_| stalled())? {
                None => return Ok(0),
                Some(piece) => self.piece = piece.map_err(|error| passing(explain(&error)))?,
            }
            self.stream = Some(stream);
        }
        take(&mut self.piece, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;

    fn store(keys: &[(&str, Vec<u8>)]) -> Arc<dyn ObjectStore> {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        for (key, bytes) in keys.iter().cloned() {
            let (store, path) = (Arc::clone(&store), Path::parse(key).unwrap());
            wait(async move { store.put(&path, bytes.into()).await.unwrap() }).unwrap();
        }
        store
    }

    #[test]
    fn keys_prefixes_and_patterns() {
        let keys = [
            "logs/a.jsonl",
            "logs/b.log.2",
            "logs/deep/c.jsonl",
            "logs/.hidden/d.jsonl",
            "logs",
            "logsx",
            "x/logs/e.jsonl",
        ];
        let store = store(&keys.map(|key| (key, b"{}".to_vec())));
        for (key, expected) in [
            ("logs/a.jsonl", vec!["logs/a.jsonl"]),
            ("logs/", vec!["logs/a.jsonl", "logs/b.log.2", "logs/deep/c.jsonl"]),
            ("logs/deep", vec!["logs/deep/c.jsonl"]),
            ("logs", vec!["logs"]),
            ("logs/*.jsonl", vec!["logs/a.jsonl"]),
            ("logs/**/*.jsonl", vec!["logs/.hidden/d.jsonl", "logs/a.jsonl", "logs/deep/c.jsonl"]),
            ("logs/d*", vec!["logs/deep/c.jsonl"]),
            ("*/logs", vec!["x/logs/e.jsonl"]),
            ("", vec!["logs", "logs/a.jsonl", "logs/b.log.2", "logs/deep/c.jsonl", "logsx", "x/logs/e.jsonl"]),
        ] {
            let mut found: Vec<_> =
                find(&store, "s3://b", key).unwrap().into_iter().map(|object| object.name).collect();
            found.sort();
            let expected: Vec<_> = expected.iter().map(|key| format!("s3://b/{key}")).collect();
            assert_eq!(found, expected, "{key}");
        }
        assert!(
            matches!(find(&store, "s3://b", "none/*"), Err(InputError::NothingMatches(name)) if name == "s3://b/none/*")
        );
        assert!(matches!(find(&store, "s3://b", "logs/[a"), Err(InputError::Pattern { .. })));
        assert!(matches!(find(&store, "s3://b", "a//b"), Err(InputError::Unreadable { .. })));
    }

    #[test]
    fn a_lake_among_the_objects_is_no_log() {
        let keys = ["a.jsonl", "lake/_calltrail/key", "lake/calls/x.parquet", "lakes/b.jsonl", "x_calltrail/c.jsonl"];
        let store = store(&keys.map(|key| (key, b"{}".to_vec())));
        for (key, expected) in [
            ("", vec!["a.jsonl", "lakes/b.jsonl", "x_calltrail/c.jsonl"]),
            ("*", vec!["a.jsonl", "lakes/b.jsonl", "x_calltrail/c.jsonl"]),
        ] {
            let found = find(&store, "s3://b", key).unwrap();
            let names: Vec<_> = found.iter().filter_map(|object| object.name.strip_prefix("s3://b/")).collect();
            assert_eq!(names, expected, "{key}");
        }
        // Folders on this machine are told by the same name.
        assert_eq!(OWN, input::LAKE_FOLDER);
    }

    #[test]
    fn an_object_is_read_in_pieces_of_one_version() {
        let bytes: Vec<u8> = (0..3_000_001u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let store = store(&[("big", bytes.clone()), ("empty", Vec::new())]);
        let object = |key| find(&store, "s3://b", key).unwrap().remove(0);
        let mut read = Vec::new();
        object("big").open().unwrap().read_to_end(&mut read).unwrap();
        assert!(read == bytes);
        assert_eq!(object("empty").open().unwrap().read_to_end(&mut Vec::new()).unwrap(), 0);
        read.clear();
        Whole::open(&store, &Path::from("big")).unwrap().read_to_end(&mut read).unwrap();
        assert!(read == bytes);
        // What is replaced while it is read is no object that ever was.
        let mut half = object("big").open().unwrap();
        half.read_exact(&mut [0; 1000]).unwrap();
        let other = Arc::clone(&store);
        wait(async move { other.put(&Path::from("big"), vec![7; 3_000_001].into()).await.unwrap() }).unwrap();
        let cause = half.read_to_end(&mut Vec::new()).unwrap_err();
        assert!(input::is_passing(&cause), "{cause}");
    }
}
