//! A lake's bytes in a folder.

use crate::lake::LakeError;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

/// The change that is under way.
pub(super) const INTENT: &str = "intent.json";
/// The state that the next ingest starts from.
pub(super) const STATE: &str = "state.zst";
/// The state that the change under way brings.
pub(super) const NEXT_STATE: &str = "state.next";

/// Bytes that are read at once: digests are fastest on long pieces.
const PIECE: usize = 1 << 20;

fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> LakeError {
    move |cause| LakeError::Io { action, path: path.to_path_buf(), cause }
}

pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, LakeError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(failed("read", path)(cause)),
    }
}

/// Makes a file's bytes, or the names in a folder, outlast a loss of power.
fn sync(path: &Path) -> Result<(), LakeError> {
    #[cfg(test)]
    SYNCED.with_borrow_mut(|synced| synced.push(path.to_path_buf()));
    File::open(path).and_then(|file| file.sync_all()).map_err(failed("sync", path))
}

#[cfg(test)]
thread_local! {
    /// What this thread has asked the system to keep.
    pub(in crate::lake) static SYNCED: std::cell::RefCell<Vec<std::path::PathBuf>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Makes new and renamed files of a folder outlast a loss of power: where only the file itself is synced, its name may be lost.
pub(super) fn sync_folder(path: &Path) -> Result<(), LakeError> {
    match sync(path) {
        // Some file systems know no such thing for folders, and keep names in their own way.
        Err(LakeError::Io { cause, .. })
            if matches!(cause.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
        {
            Ok(())
        }
        // Elsewhere folders cannot be opened.
        Err(_) if cfg!(not(unix)) => Ok(()),
        synced => synced,
    }
}

/// Makes files that somebody else has written outlast a loss of power, with their names.
pub(super) fn sync_files(root: &Path, paths: &[String]) -> Result<(), LakeError> {
    let mut folders = BTreeSet::new();
    for path in paths.iter().map(|path| root.join(path)) {
        match sync(&path) {
            // Elsewhere a file must be open for writing.
            Err(_) if cfg!(not(unix)) => {}
            synced => synced?,
        }
        folders.extend(path.parent().map(Path::to_path_buf));
    }
    folders.iter().try_for_each(|folder| sync_folder(folder))
}

/// Replaces a file as a whole: readers see the old or the new text, never a part.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), LakeError> {
    let temporary = path.with_extension("tmp");
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(failed("write", path))
}

/// Writes a file that only its owner may read, unless there is one.
pub(super) fn create_private(path: &Path, bytes: &[u8]) -> Result<(), LakeError> {
    if path.exists() {
        return Ok(());
    }
    let temporary = path.with_extension("tmp");
    // Left by a run that was killed here.
    let _ = std::fs::remove_file(&temporary);
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let write = || -> io::Result<()> {
        let mut file = options.open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(failed("write", path))
}

pub(super) fn remove(path: &Path) -> Result<(), LakeError> {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(cause)),
        _ => Ok(()),
    }
}

pub(super) fn make(path: &Path) -> Result<(), LakeError> {
    std::fs::create_dir_all(path).map_err(failed("make", path))
}

/// Everything below a folder that is no folder itself, sorted.
pub(super) fn list(root: &Path, below: &str) -> Result<Vec<String>, LakeError> {
    let mut paths = Vec::new();
    for entry in walkdir::WalkDir::new(root.join(below)).sort_by_file_name() {
        let entry = match entry {
            Ok(entry) => entry,
            // Somebody may just have removed it.
            Err(error) if error.io_error().is_some_and(|cause| cause.kind() == io::ErrorKind::NotFound) => continue,
            Err(error) => {
                let path = error.path().unwrap_or(root).to_path_buf();
                return Err(failed("list", &path)(error.into()));
            }
        };
        if !entry.file_type().is_dir()
            && let Ok(path) = entry.path().strip_prefix(root)
        {
            let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
            paths.push(parts.join("/"));
        }
    }
    Ok(paths)
}

/// Reads a file piece by piece.
pub(super) fn pieces(path: &Path, mut each: impl FnMut(&[u8])) -> Result<Option<u64>, LakeError> {
    // Asked before it is opened: opening a pipe waits for its writer.
    if size(path)?.is_none() {
        return Ok(None);
    }
    let mut file = File::open(path).map_err(failed("read", path))?;
    let mut buffer = vec![0; PIECE];
    let mut total = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Some(total)),
            Ok(read) => {
                each(&buffer[..read]);
                total += read as u64;
            }
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(failed("read", path)(cause)),
        }
    }
}

/// Bytes of a regular file.
pub(super) fn size(path: &Path) -> Result<Option<u64>, LakeError> {
    match std::fs::metadata(path) {
        Ok(data) if data.is_file() => Ok(Some(data.len())),
        Ok(_) => Err(failed("read", path)(io::Error::new(io::ErrorKind::InvalidData, "it is no regular file"))),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(failed("read", path)(cause)),
    }
}

pub(super) fn entries(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Writes down a change; the last rename is the moment at which it has happened.
pub(super) fn begin(own: &Path, change: &[u8], state: Option<&[u8]>) -> Result<(), LakeError> {
    if let Some(state) = state {
        replace(&own.join(NEXT_STATE), state)?;
    }
    replace(&own.join(INTENT), change)?;
    sync_folder(own)
}

/// The change is in every table: its state becomes the state.
pub(super) fn done(own: &Path, has_state: bool) -> Result<(), LakeError> {
    if has_state {
        let path = own.join(STATE);
        match std::fs::rename(own.join(NEXT_STATE), &path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(failed("replace", &path)(cause)),
            _ => {}
        }
    }
    // Whoever finds no intent takes what is there for what it brought.
    sync_folder(own)?;
    let path = own.join(INTENT);
    std::fs::remove_file(&path).map_err(failed("remove", &path))
}
