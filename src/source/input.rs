//! Inputs: which files a user means, and their bytes, decompressed.
//!
//! Files are sorted so that a rotated log is read oldest part first; the compression is told by content, not by name.

use super::Hints;
use crate::call::{Nanos, Text};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Suffixes of compressed files, left out of the name that formats see.
const COMPRESSION: &[&str] = &["gz", "zst", "zstd"];
/// Bytes read at a time from a file.
const READ_SIZE: usize = 1 << 20;

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
}

impl Input {
    /// The name in `source_file`, `sources` and messages.
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => "-".to_owned(),
            Self::File(path) => path.to_string_lossy().into_owned(),
        }
    }

    /// What the file system says.
    ///
    /// # Errors
    /// The file is gone or not readable.
    pub fn stat(&self) -> io::Result<Stat> {
        match self {
            Self::Stdin => Ok(Stat::default()),
            Self::File(path) => {
                let meta = std::fs::metadata(path)?;
                let mtime = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
                Ok(Stat { size: meta.len(), mtime: mtime.and_then(|d| Nanos::try_from(d.as_nanos()).ok()) })
            }
        }
    }

    /// The decompressed bytes.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let raw: Box<dyn Read + Send> = match self {
            Self::Stdin => Box::new(io::stdin()),
            Self::File(path) => Box::new(File::open(path)?),
        };
        decompress(BufReader::with_capacity(READ_SIZE, raw))
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

/// Finds the inputs that the given paths mean: files, folders (recursively), glob patterns, `-` for standard input.
///
/// # Errors
/// A path matches nothing or cannot be read; all problems, not the first.
pub fn expand(paths: &[String]) -> Result<Vec<Input>, Vec<InputError>> {
    let mut files = Vec::new();
    let mut stdin = false;
    let mut problems = Vec::new();
    for given in paths {
        if given == "-" {
            stdin = true;
            continue;
        }
        let path = Path::new(given);
        if path.is_dir() {
            add_folder(path, &mut files, &mut problems);
        } else if path.exists() {
            files.push(path.to_path_buf());
        } else if given.contains(['*', '?', '[']) {
            let before = files.len();
            match glob::glob(given) {
                Ok(matches) => {
                    for found in matches.flatten() {
                        if found.is_dir() {
                            add_folder(&found, &mut files, &mut problems);
                        } else {
                            files.push(found);
                        }
                    }
                    if files.len() == before {
                        problems.push(InputError::NothingMatches(given.clone()));
                    }
                }
                Err(cause) => problems.push(InputError::Pattern { pattern: given.clone(), cause }),
            }
        } else {
            problems.push(InputError::NothingMatches(given.clone()));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    files.sort_by_cached_key(|path| part_order(path));
    files.dedup();
    let mut inputs: Vec<_> = files.into_iter().map(Input::File).collect();
    if stdin {
        inputs.push(Input::Stdin);
    }
    Ok(inputs)
}

/// Adds the files below a folder. Hidden files and folders are left out there, as editors and version control keep theirs
/// so; naming one directly reads it.
fn add_folder(folder: &Path, files: &mut Vec<PathBuf>, problems: &mut Vec<InputError>) {
    let visible =
        |entry: &walkdir::DirEntry| entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.');
    for entry in walkdir::WalkDir::new(folder).follow_links(true).into_iter().filter_entry(visible) {
        match entry {
            Ok(entry) if entry.file_type().is_file() => files.push(entry.into_path()),
            Ok(_) => {}
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_string_lossy().into_owned();
                let cause =
                    error.into_io_error().unwrap_or_else(|| io::Error::other("a link leads back to its own folder"));
                problems.push(InputError::Unreadable { path, cause });
            }
        }
    }
}

/// Wraps a stream into the decompressor that its first bytes ask for.
///
/// # Errors
/// The first bytes cannot be read.
pub fn decompress(mut raw: BufReader<Box<dyn Read + Send>>) -> io::Result<Box<dyn Read + Send>> {
    use std::io::BufRead as _;
    let head = raw.fill_buf()?;
    Ok(match head {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::stream::read::Decoder::with_buffer(raw)?),
        _ => Box::new(raw),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_parts_are_read_oldest_first_and_share_a_stream() {
        let mut parts: Vec<_> = [
            "a.log",
            "a.log.1",
            "a.log.10.gz",
            "a.log.2.zst",
            "b.jsonl.001",
            "b.jsonl",
            "c.log-20261110",
            "c.log-20261109",
            "c.log",
        ]
        .map(PathBuf::from)
        .to_vec();
        parts.sort_by_cached_key(|p| part_order(p));
        let names: Vec<_> = parts.iter().map(|p| p.to_string_lossy().into_owned()).collect();
        assert_eq!(
            names,
            [
                "a.log.10.gz",
                "a.log.2.zst",
                "a.log.1",
                "a.log",
                "b.jsonl",
                "b.jsonl.001",
                "c.log-20261109",
                "c.log-20261110",
                "c.log"
            ]
        );
        assert_eq!(Input::File("x/a.log.10.gz".into()).stream(), "x/a.log");
        assert_eq!(Input::File("x/a.log".into()).stream(), "x/a.log");
        assert_eq!(Input::File("mcp-server-git.log.1".into()).hints().server.as_deref(), Some("git"));
    }
}
