//! Inputs: which files a user means, and their bytes, decompressed and in UTF-8.
//!
//! Files are sorted so that a rotated log is read oldest part first; compression and encoding are told by content, not by name.

mod decompress;
mod expand;
mod utf16;

pub(crate) use decompress::Broken;
pub use decompress::Limits;
pub use expand::{Found, expand};

use super::{Hints, sqlite};
use crate::call::{Nanos, Text};
use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::io::{self, BufRead as _, Read, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// Folder by which a lake is known: what is CallTrail's own in it.
pub const LAKE_FOLDER: &str = "_calltrail";
/// Suffixes of compressed files, left out of the name that formats see.
const COMPRESSION: &[&str] = &["gz", "zst", "zstd", "bz2", "xz"];
/// Bytes read at a time from a compressed file.
const READ_SIZE: usize = 1 << 20;

/// Bytes that are read one after the other.
pub type Bytes = Box<dyn Read + Send>;

/// One input that the user named, directly or through a folder or pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
    /// Something that is not in the file system.
    Remote(RemoteInput),
}

/// What is read from elsewhere, by code that knows how.
pub trait Remote: Send + Sync {
    /// Its URL, without what must not be shown.
    fn name(&self) -> &str;
    /// What is said of it there.
    fn stat(&self) -> Stat;
    /// Its bytes as they are, from the start. What goes wrong on the way to them is an error with the kind `ConnectionAborted`.
    ///
    /// # Errors
    /// It is gone or out of reach.
    fn open(&self) -> io::Result<Bytes>;
}

/// An input from elsewhere.
#[derive(Clone)]
pub struct RemoteInput(Arc<dyn Remote>);

impl RemoteInput {
    /// Wraps what knows how to read it.
    pub fn new(remote: impl Remote + 'static) -> Self {
        Self(Arc::new(remote))
    }
}

impl std::fmt::Debug for RemoteInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name())
    }
}

impl PartialEq for RemoteInput {
    fn eq(&self, other: &Self) -> bool {
        self.0.name() == other.0.name()
    }
}

impl Eq for RemoteInput {}

/// Whether an input could not be read to its end for a reason that passes: what is missing may be read another time.
pub fn is_passing(cause: &io::Error) -> bool {
    cause.kind() == io::ErrorKind::ConnectionAborted
}

/// Whether more of an input may be read another time though it does not change: the reason passes, or is a limit that may be raised.
pub fn may_be_read_on(cause: &io::Error) -> bool {
    is_passing(cause) || cause.kind() == io::ErrorKind::FileTooLarge
}

/// What the file system says of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Bytes on disk (compressed, if it is).
    pub size: u64,
    /// Modification time.
    pub mtime: Option<Nanos>,
    /// Tag that an object store or web server gives each version.
    pub etag: Option<String>,
}

impl Stat {
    /// Of a file.
    pub fn of(meta: &Metadata) -> Self {
        let mtime = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        Self { size: meta.len(), mtime: mtime.and_then(|d| Nanos::try_from(d.as_nanos()).ok()), etag: None }
    }
}

/// A path that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error(
        "no input matches `{0}`: name a file, a folder, a pattern such as 'logs/**/*.jsonl', or - for standard input"
    )]
    NothingMatches(String),
    #[error("cannot read `{path}`: {cause}")]
    Unreadable { path: String, cause: io::Error },
    #[error("bad pattern `{pattern}`: {cause}")]
    Pattern { pattern: String, cause: glob::PatternError },
    #[error("skipped: `{path}` {why}")]
    Skipped { path: String, why: &'static str },
}

impl Input {
    /// The name in `source_file`, `sources` and messages.
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => "-".to_owned(),
            Self::File(path) => path.to_string_lossy().into_owned(),
            Self::Remote(remote) => remote.0.name().to_owned(),
        }
    }

    /// Its path, or its URL as one.
    fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Stdin => None,
            Self::File(path) => Some(path.clone()),
            Self::Remote(remote) => Some(remote.0.name().into()),
        }
    }

    /// Whether the bytes come once only: standard input, a named pipe, what a shell puts in place of `<(command)`.
    pub fn comes_once(&self) -> bool {
        match self {
            Self::Stdin => true,
            Self::File(path) => std::fs::metadata(path).is_ok_and(|meta| !meta.is_file()),
            Self::Remote(_) => false,
        }
    }

    /// What the file system says; nothing of what comes once.
    ///
    /// # Errors
    /// The file is gone or not readable.
    pub fn stat(&self) -> io::Result<Stat> {
        match self {
            Self::Stdin => Ok(Stat::default()),
            Self::File(path) => {
                let meta = std::fs::metadata(path)?;
                Ok(if meta.is_file() { Stat::of(&meta) } else { Stat::default() })
            }
            Self::Remote(remote) => Ok(remote.0.stat()),
        }
    }

    /// The bytes as a format reads them: decompressed, UTF-16 as UTF-8.
    ///
    /// # Errors
    /// The file cannot be opened. What is wrong with its content comes as an error of the reader.
    pub fn open(&self, limits: Limits) -> io::Result<Bytes> {
        let raw: Bytes = match self {
            Self::Stdin => Box::new(io::stdin()),
            Self::File(path) => {
                let mut file = File::open(path)?;
                if is_database(&mut file)? {
                    return Ok(Box::new(sqlite::open(path)?));
                }
                Box::new(file)
            }
            Self::Remote(remote) => {
                let (head, raw) = peek(remote.0.open()?)?;
                if sqlite::is_sqlite(&head) {
                    return Copied::open(raw);
                }
                raw
            }
        };
        content(raw, limits)
    }

    /// The bytes as they are.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open_raw(&self) -> io::Result<Bytes> {
        Ok(match self {
            Self::Stdin => Box::new(io::stdin()),
            Self::File(path) => Box::new(File::open(path)?),
            Self::Remote(remote) => remote.0.open()?,
        })
    }

    /// What the name tells a format.
    pub fn hints(&self) -> Hints {
        let path = self.path().unwrap_or_default();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let file_name = without_compression(&name).to_owned();
        let (stem, _) = without_rotation(&file_name);
        // Claude Desktop names the file after the server. That of an older part keeps its digit, because a server can have such a
        // name too; where it matters, the lines name theirs.
        let server = stem
            .strip_prefix("mcp-server-")
            .and_then(|rest| rest.strip_suffix(".log"))
            .filter(|alias| !alias.is_empty())
            .map(Text::from);
        Hints { file_name, server, mtime: self.stat().ok().and_then(|s| s.mtime) }
    }

    /// The name of the stream that a rotated file is a part of: its path without rotation and compression suffixes.
    pub fn stream(&self) -> String {
        self.path().map_or_else(|| "-".to_owned(), |path| Part::of(&path).whole.to_string_lossy().into_owned())
    }

    /// The first bytes as they are stored; of standard input only what waits there, and it stays.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn first_bytes(&self, length: usize) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        match self {
            // Looked at, not taken: whoever opens the input reads the same buffer.
            Self::Stdin => head.extend(io::stdin().lock().fill_buf()?.iter().take(length)),
            Self::File(path) => {
                File::open(path)?.take(length as u64).read_to_end(&mut head)?;
            }
            Self::Remote(remote) => {
                remote.0.open()?.take(length as u64).read_to_end(&mut head)?;
            }
        }
        Ok(head)
    }
}

/// Puts inputs into the order in which they are to be read, each once; standard input comes last.
pub fn sort(inputs: &mut Vec<Input>) {
    inputs.sort_by_cached_key(|input| {
        input.path().map_or((true, part_order(Path::new("-"))), |p| (false, part_order(&p)))
    });
    inputs.dedup();
}

/// The first bytes of a stream, and the stream with them.
fn peek(mut raw: Bytes) -> io::Result<(Vec<u8>, Bytes)> {
    let mut head = Vec::with_capacity(16);
    raw.by_ref().take(16).read_to_end(&mut head)?;
    Ok((head.clone(), Box::new(io::Cursor::new(head).chain(raw))))
}

/// A database from elsewhere: SQLite needs a file, so it is copied into one.
struct Copied {
    rows: sqlite::Rows,
    _file: tempfile::TempPath,
}

impl Copied {
    fn open(mut raw: Bytes) -> io::Result<Bytes> {
        let mut file = tempfile::NamedTempFile::new()?;
        io::copy(&mut raw, &mut file)?;
        let file = file.into_temp_path();
        Ok(Box::new(Self { rows: sqlite::open(&file)?, _file: file }))
    }
}

impl Read for Copied {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.rows.read(buffer)
    }
}

/// The content of raw bytes: decompressed, UTF-16 as UTF-8.
///
/// # Errors
/// The decompressor cannot be set up.
pub fn content(raw: Bytes, limits: Limits) -> io::Result<Bytes> {
    let (head, content) = decompress::decompress(raw, limits)?;
    Ok(utf16::to_utf8(&head, content))
}

/// Whether a file with these first bytes (16 are enough) is read as it is: no compression, no database, no UTF-16.
pub fn is_plain(head: &[u8]) -> bool {
    decompress::Compression::of(head).is_none() && !sqlite::is_sqlite(head) && utf16::order(head).is_none()
}

/// Whether the file is a SQLite database, whose rows are read as records. Pipes are none, and cannot be looked at twice.
fn is_database(file: &mut File) -> io::Result<bool> {
    if !file.metadata()?.is_file() {
        return Ok(false);
    }
    let mut head = Vec::with_capacity(16);
    file.take(16).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(sqlite::is_sqlite(&head))
}

fn without_compression(name: &str) -> &str {
    name.rsplit_once('.').filter(|(_, suffix)| COMPRESSION.contains(suffix)).map_or(name, |(stem, _)| stem)
}

/// Cuts `.1`, `.001`, `-20261109`, `.2026-11-09` from the end of a name, and `-2026-11-09` in front of its extension. Gives what is left
/// and what was cut.
fn without_rotation(name: &str) -> (Cow<'_, str>, &str) {
    let is_part = |suffix: &str| {
        let digits = suffix.bytes().filter(u8::is_ascii_digit).count();
        digits > 0 && digits <= 14 && suffix.bytes().all(|b| b.is_ascii_digit() || b == b'-' || b == b'_' || b == b'T')
    };
    if let Some((stem, suffix)) = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) {
        if is_part(suffix) {
            return (Cow::Borrowed(stem), suffix);
        }
        if let Some((stem, date)) = dated(stem) {
            return (Cow::Owned(format!("{stem}.{suffix}")), date);
        }
    }
    match name.rsplit_once('-') {
        Some((stem, suffix)) if suffix.len() == 8 && is_part(suffix) && !stem.is_empty() => {
            (Cow::Borrowed(stem), suffix)
        }
        _ => (Cow::Borrowed(name), ""),
    }
}

/// `NAME-2026-11-09` as name and date.
fn dated(stem: &str) -> Option<(&str, &str)> {
    let (name, date) = stem.split_at_checked(stem.len().checked_sub("2026-11-09".len())?)?;
    let name = name.strip_suffix(['-', '_', '.']).filter(|name| !name.is_empty())?;
    let fits = |(at, b): (usize, u8)| if matches!(at, 4 | 7) { b == b'-' } else { b.is_ascii_digit() };
    date.bytes().enumerate().all(fits).then_some((name, date))
}

/// The live file and the number of a name with a digit in front of `.log`, as Claude Desktop gives it to older parts. Without a live file
/// beside it it is the log of a server whose name ends so.
fn numbered<'a>(path: &Path, name: &'a str) -> Option<(PathBuf, &'a str)> {
    let base = name.strip_suffix(".log").filter(|base| base.starts_with("mcp"))?;
    (1..=2).find_map(|digits| {
        let (stem, number) = base.split_at_checked(base.len().checked_sub(digits)?)?;
        let counts = !number.starts_with('0') && number.bytes().all(|b| b.is_ascii_digit());
        let live = path.with_file_name(format!("{stem}.log"));
        (counts && live.is_file()).then_some((live, number))
    })
}

/// What a file is of a log that is rotated.
struct Part {
    /// Path of the log as if it were in one file.
    whole: PathBuf,
    /// Number or date that rotation gave to this part; empty: none.
    mark: String,
}

impl Part {
    fn of(path: &Path) -> Self {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let plain = without_compression(&name);
        let (stem, mark) = without_rotation(plain);
        let numbered = if mark.is_empty() { numbered(path, plain) } else { None };
        let (whole, mark) = numbered.unwrap_or_else(|| (path.with_file_name(&*stem), mark));
        Self { whole, mark: mark.to_owned() }
    }
}

/// Order of the parts of a rotated log, oldest first: `x.log.2`, `x.log.1`, `x.log`; dated parts by date, before the live file.
fn part_order(path: &Path) -> (String, i64, String) {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let Part { whole, mark } = Part::of(path);
    let suffix: String = mark.chars().filter(char::is_ascii_digit).collect();
    let order = match suffix.parse::<i64>() {
        // Small numbers count backwards from the live file, `full.jsonl.001` counts forwards but follows its head.
        Ok(number) if suffix.len() >= 8 => number - i64::MAX,
        Ok(number) if suffix.starts_with('0') => number,
        Ok(number) => -number,
        Err(_) => 0,
    };
    (whole.to_string_lossy().into_owned(), order, name)
}

#[cfg(test)]
mod tests;
