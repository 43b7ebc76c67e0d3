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
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

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
}

/// What the file system says of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Bytes on disk (compressed, if it is).
    pub size: u64,
    /// Modification time.
    pub mtime: Option<Nanos>,
}

impl Stat {
    /// Of a file.
    pub fn of(meta: &Metadata) -> Self {
        let mtime = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        Self { size: meta.len(), mtime: mtime.and_then(|d| Nanos::try_from(d.as_nanos()).ok()) }
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
        }
    }

    /// Whether the bytes come once only: standard input, a named pipe, what a shell puts in place of `<(command)`.
    pub fn comes_once(&self) -> bool {
        match self {
            Self::Stdin => true,
            Self::File(path) => std::fs::metadata(path).is_ok_and(|meta| !meta.is_file()),
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
        })
    }

    /// What the name tells a format.
    pub fn hints(&self) -> Hints {
        let name = match self {
            Self::Stdin => String::new(),
            Self::File(path) => path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
        };
        let file_name = without_compression(&name).to_owned();
        let stem = without_rotation(&file_name);
        // Claude Desktop names the file after the server; a rotated one gets a digit before `.log`.
        let server = stem
            .strip_prefix("mcp-server-")
            .and_then(|rest| rest.strip_suffix(".log"))
            .filter(|alias| !alias.is_empty())
            .map(Text::from);
        Hints { file_name, server, mtime: self.stat().ok().and_then(|s| s.mtime) }
    }

    /// The name of the stream that a rotated file is a part of: its path without rotation and compression suffixes.
    pub fn stream(&self) -> String {
        match self {
            Self::Stdin => "-".to_owned(),
            Self::File(path) => {
                let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                let stem = without_rotation(without_compression(&name)).to_owned();
                path.with_file_name(stem).to_string_lossy().into_owned()
            }
        }
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
    let is_utf16 = matches!(head, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
    decompress::Compression::of(head).is_none() && !sqlite::is_sqlite(head) && !is_utf16
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

/// Cuts `.1`, `.001`, `-20261109`, `.2026-11-09` from the end of a name.
fn without_rotation(name: &str) -> &str {
    let is_part = |suffix: &str| {
        let digits = suffix.bytes().filter(u8::is_ascii_digit).count();
        digits > 0 && digits <= 14 && suffix.bytes().all(|b| b.is_ascii_digit() || b == b'-' || b == b'_' || b == b'T')
    };
    if let Some((stem, suffix)) = name.rsplit_once('.')
        && is_part(suffix)
        && !stem.is_empty()
    {
        return stem;
    }
    match name.rsplit_once('-') {
        Some((stem, suffix)) if suffix.len() == 8 && is_part(suffix) && !stem.is_empty() => stem,
        _ => name,
    }
}

/// Order of the parts of a rotated log, oldest first: `x.log.2`, `x.log.1`, `x.log`; dated parts by date, before the live file.
fn part_order(path: &Path) -> (String, i64, String) {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let plain = without_compression(&name);
    let stem = without_rotation(plain);
    let suffix: String = plain[stem.len()..].chars().filter(char::is_ascii_digit).collect();
    let order = match suffix.parse::<i64>() {
        // Small numbers count backwards from the live file, `full.jsonl.001` counts forwards but follows its head.
        Ok(number) if suffix.len() >= 8 => number - i64::MAX,
        Ok(number) if suffix.starts_with('0') => number,
        Ok(number) => -number,
        Err(_) => 0,
    };
    (path.with_file_name(stem).to_string_lossy().into_owned(), order, name)
}

#[cfg(test)]
mod tests;
