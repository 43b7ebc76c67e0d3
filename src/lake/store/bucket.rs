//! A lake's bytes in an object store.
//!
//! Most of the lake's code is synchronous and may run anywhere, also on a thread of an asynchronous runtime. Requests therefore
//! go through a runtime of their own, and the caller waits for the answer. Delta and the query engine, which are asynchronous,
//! have a client of their own: a connection belongs to the runtime that opened it.

use super::fault;
use super::lease::Held;
use super::location::{StorageOptions, connect, shown};
use crate::lake::LakeError;
use bytes::Bytes;
use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore};
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    Error, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion, WriteMultipart,
};
use std::collections::HashMap;
use std::future::Future;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;
use tokio::runtime::Runtime;
use url::Url;

/// Bytes of one part of an upload. A file that is no larger is sent in one request.
const PART: usize = 8 << 20;
/// Parts on their way at once.
const PARTS_AT_ONCE: usize = 4;

/// A place in an object store.
pub struct Bucket {
    /// For Delta and the query engine.
    store: Arc<dyn ObjectStore>,
    /// For requests of our own.
    pub(super) own: Arc<dyn ObjectStore>,
    prefix: Path,
    /// With a slash at its end.
    url: Url,
    shown: String,
    pub(super) lease: Duration,
    pub(super) held: Arc<tokio::sync::Mutex<Option<Held>>>,
    /// Somebody waited for the lease when this process gave it back.
    pub(super) yielded: AtomicBool,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bucket").field("url", &self.shown).finish_non_exhaustive()
    }
}

impl Bucket {
    /// Reaches a place in an object store; nothing is asked of it yet.
    pub(super) fn open(url: Url, options: &StorageOptions) -> Result<Self, LakeError> {
        let refused = |cause| LakeError::Io { action: "reach", path: shown(&url).into(), cause };
        let (store, own) = (connect(&url, options).map_err(refused)?, connect(&url, options).map_err(refused)?);
        Self::over(store, own, url, options.lease)
    }

    /// A place in stores that are open.
    pub(super) fn over(
        store: Arc<dyn ObjectStore>,
        own: Arc<dyn ObjectStore>,
        url: Url,
        lease: Duration,
    ) -> Result<Self, LakeError> {
        let prefix = Path::from_url_path(url.path()).map_err(|_| LakeError::Scheme(shown(&url)))?;
        let shown = shown(&url);
        Ok(Self { store, own, prefix, url, shown, lease, held: Arc::default(), yielded: AtomicBool::new(false) })
    }

    /// What a path of the lake is called in messages.
    pub(super) fn name(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.shown.clone().into() } else { format!("{}/{path}", self.shown).into() }
    }

    /// The log of a table.
    pub(super) fn log_store(&self, table: &str) -> Result<LogStoreRef, LakeError> {
        let url = self.url.join(&format!("{table}/")).map_err(|_| LakeError::Scheme(self.shown.clone()))?;
        let prefixed = PrefixStore::new(Arc::clone(&self.store), self.at(table)?);
        Ok(default_logstore(Arc::new(prefixed), Arc::clone(&self.store), &url, &StorageConfig::default()))
    }

    /// Where a path of the lake lies in the store.
    pub(super) fn at(&self, path: &str) -> Result<Path, LakeError> {
        let whole = if self.prefix.as_ref().is_empty() { path.to_owned() } else { format!("{}/{path}", self.prefix) };
        Path::parse(whole.trim_end_matches('/')).map_err(|cause| LakeError::Io {
            action: "name",
            path: self.name(path),
            cause: io::Error::new(io::ErrorKind::InvalidInput, cause.to_string()),
        })
    }

    pub(super) fn failed(&self, action: &'static str, path: &str, error: &Error) -> LakeError {
        LakeError::Io { action, path: self.name(path), cause: fault::explain(error) }
    }

    /// Does something with the store and waits for it.
    pub(super) fn ask<T: Send + 'static, F: Future<Output = Result<T, Error>> + Send + 'static>(
        &self,
        action: &'static str,
        path: &str,
        question: impl FnOnce(Arc<dyn ObjectStore>, Path) -> F,
    ) -> Result<Result<T, Error>, LakeError> {
        let asked = wait(question(Arc::clone(&self.own), self.at(path)?));
        asked.map_err(|cause| LakeError::Io { action, path: self.name(path), cause })
    }

    /// An object with its version; `None` if there is none.
    pub(super) fn get(&self, path: &str) -> Result<Option<(Bytes, UpdateVersion)>, LakeError> {
        match self.ask("read", path, |store, at| async move { get(store.as_ref(), &at).await })? {
            Ok(found) => Ok(Some(found)),
            Err(error) if fault::is_absent(&error) => Ok(None),
            Err(error) => Err(self.failed("read", path, &error)),
        }
    }

    /// Whether there is such an object.
    pub(super) fn exists(&self, path: &str) -> Result<bool, LakeError> {
        match self.ask("find", path, |store, at| async move { store.head(&at).await })? {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.failed("find", path, &error)),
        }
    }

    /// Writes an object, in place of one that is there.
    pub(super) fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), LakeError> {
        let put = self.ask("write", path, |store, at| async move { store.put(&at, bytes.into()).await })?;
        put.map(drop).map_err(|error| self.failed("write", path, &error))
    }

    /// Writes an object unless there is one; says whether it was written.
    pub(super) fn create(&self, path: &str, bytes: Vec<u8>) -> Result<bool, LakeError> {
        let options = PutOptions::from(PutMode::Create);
        match self.ask("write", path, |store, at| async move { store.put_opts(&at, bytes.into(), options).await })? {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(self.failed("write", path, &error)),
        }
    }

    /// Removes an object; one that is not there is no error.
    pub(super) fn delete(&self, path: &str) -> Result<(), LakeError> {
        match self.ask("remove", path, |store, at| async move { store.delete(&at).await })? {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("remove", path, &error)),
        }
    }

    /// Every object below a folder, by its path in the lake.
    pub(super) fn list(&self, folder: &str) -> Result<Vec<String>, LakeError> {
        Ok(self.objects(folder)?.iter().filter_map(|object| self.relative(&object.location)).collect())
    }

    fn objects(&self, folder: &str) -> Result<Vec<ObjectMeta>, LakeError> {
        let listed = self.ask("list", folder, |store, at| async move {
            let at = Some(at).filter(|at| !at.as_ref().is_empty());
            store.list(at.as_ref()).try_collect::<Vec<ObjectMeta>>().await
        })?;
        listed.map_err(|error| self.failed("list", folder, &error))
    }

    /// Bytes of every object below a folder, by its path there.
    pub(super) fn sizes(&self, folder: &str) -> Result<HashMap<String, u64>, LakeError> {
        let start = format!("{folder}/");
        let sizes = self.objects(folder)?.into_iter().filter_map(|object| {
            Some((self.relative(&object.location)?.strip_prefix(&start)?.to_owned(), object.size))
        });
        Ok(sizes.collect())
    }

    /// What stands directly below the lake's place: names of objects and folders.
    pub(super) fn entries(&self) -> Result<Vec<String>, LakeError> {
        let listed = self.ask("list", "", |store, at| async move {
            let at = Some(at).filter(|at| !at.as_ref().is_empty());
            store.list_with_delimiter(at.as_ref()).await
        })?;
        let listed = listed.map_err(|error| self.failed("list", "", &error))?;
        let objects = listed.objects.iter().map(|object| &object.location);
        Ok(listed.common_prefixes.iter().chain(objects).filter_map(|path| self.relative(path)).collect())
    }

    fn relative(&self, path: &Path) -> Option<String> {
        let path = path.as_ref().strip_prefix(self.prefix.as_ref())?;
        Some(path.trim_start_matches('/').to_owned()).filter(|path| !path.is_empty())
    }

    /// Reads a part of an object.
    pub(super) fn range(&self, path: &str, range: Range<u64>) -> Result<Bytes, LakeError> {
        let got = self.ask("read", path, |store, at| async move { store.get_range(&at, range).await })?;
        got.map_err(|error| self.failed("read", path, &error))
    }

    /// Bytes of an object; `None` if there is none.
    pub(super) fn size(&self, path: &str) -> Result<Option<u64>, LakeError> {
        match self.ask("find", path, |store, at| async move { store.head(&at).await })? {
            Ok(object) => Ok(Some(object.size)),
            Err(error) if fault::is_absent(&error) => Ok(None),
            Err(error) => Err(self.failed("find", path, &error)),
        }
    }

    /// Reads an object piece by piece.
    pub(super) fn pieces(&self, path: &str, mut each: impl FnMut(&[u8])) -> Result<Option<u64>, LakeError> {
        let Some(size) = self.size(path)? else { return Ok(None) };
        let mut from = 0;
        while from < size {
            let to = size.min(from + PART as u64);
            each(&self.range(path, from..to)?);
            from = to;
        }
        Ok(Some(size))
    }

    /// Copies an object into a file.
    pub(super) fn download(&self, path: &str, size: u64, file: &mut std::fs::File) -> Result<(), LakeError> {
        use std::io::Write as _;
        let mut from = 0;
        while from < size {
            let to = size.min(from + PART as u64);
            let bytes = self.range(path, from..to)?;
            file.write_all(&bytes).map_err(|cause| LakeError::Io { action: "copy", path: self.name(path), cause })?;
            from = to;
        }
        Ok(())
    }

    /// Copies a file into an object.
    pub(super) fn upload(&self, path: &str, file: &mut std::fs::File) -> Result<(), LakeError> {
        let local = |cause| LakeError::Io { action: "copy", path: self.name(path), cause };
        let mut head = Vec::new();
        file.take(PART as u64).read_to_end(&mut head).map_err(local)?;
        if head.len() < PART {
            return self.put(path, head);
        }
        let mut rest = file.try_clone().map_err(local)?;
        let sent = self.ask("write", path, |store, at| async move {
            let mut upload = WriteMultipart::new_with_chunk_size(store.put_multipart(&at).await?, PART);
            let mut part = head;
            while !part.is_empty() {
                upload.wait_for_capacity(PARTS_AT_ONCE).await?;
                upload.put(part.into());
                part = Vec::new();
                let read = (&mut rest).take(PART as u64).read_to_end(&mut part);
                if let Err(cause) = read {
                    upload.abort().await?;
                    return Err(Error::Generic { store: "file", source: Box::new(cause) });
                }
            }
            upload.finish().await.map(drop)
        })?;
        sent.map_err(|error| self.failed("write", path, &error))
    }
}

/// An object with its version.
pub(super) async fn get(store: &dyn ObjectStore, at: &Path) -> Result<(Bytes, UpdateVersion), Error> {
    let found = store.get_opts(at, GetOptions::default()).await?;
    let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
    Ok((found.bytes().await?, version))
}

/// Runs something on the runtime of the requests and waits for its end.
pub fn wait<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> io::Result<T> {
    start(work)?.recv().map_err(|_| io::Error::other("a request ended without an answer"))
}

/// Starts something on the runtime of the requests; what becomes of it is received.
pub fn start<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> io::Result<mpsc::Receiver<T>> {
    let (send, receive) = mpsc::sync_channel(1);
    runtime()?.spawn(async move {
        // Who asked may no longer want to know.
        let _ = send.send(work.await);
    });
    Ok(receive)
}

/// The runtime that requests run on. It lives as long as the program, because connections do.
pub(super) fn runtime() -> io::Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let build =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("storage").enable_all().build();
    let mut built = Some(build()?);
    let runtime = RUNTIME.get_or_init(|| built.take().expect("it was built above"));
    if let Some(second) = built {
        // Two threads came here at once.
        second.shutdown_background();
    }
    Ok(runtime)
}
