//! Paths → inputs: files, folders with all below them, patterns, `-`.
//!
//! Each folder is read once, however many links lead to it: a few links that point at each other would otherwise mean more files
//! than there are. What is no file (pipe, socket, device) is passed over in folders, because reading it may never end. So is a
//! lake: it often stands among the logs, is no log, and each ingest adds to it.

use super::{Input, InputError, LAKE_FOLDER, sort};
use std::collections::{HashMap, HashSet};
use std::fs::FileType;
use std::io;
use std::path::{Component, Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// What paths turned out to mean.
#[derive(Debug, Default)]
pub struct Found {
    /// In the order in which they are to be read.
    pub inputs: Vec<Input>,
    /// What was met in folders and cannot or should not be read.
    pub skipped: Vec<InputError>,
}

/// Finds the inputs that the given paths mean: files, folders (recursively), glob patterns, `-` for standard input.
///
/// # Errors
/// A path matches nothing or cannot be read; all problems, not the first. Trouble inside a folder is no error but is told in
/// [`Found::skipped`].
pub fn expand(paths: &[String]) -> Result<Found, Vec<InputError>> {
    let mut search = Search::default();
    let mut stdin = false;
    let mut problems = Vec::new();
    for given in paths {
        if given == "-" {
            stdin = true;
            continue;
        }
        let path = Path::new(given);
        if path.is_dir() {
            search.folder(path);
        } else if path.exists() {
            search.files.push(path.to_path_buf());
        } else if given.contains(['*', '?', '[']) {
            match glob::glob(given) {
                Ok(matches) => {
                    if !search.matches(matches) {
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
    search.follow_links();
    let Search { files, skipped, .. } = search;
    let mut inputs: Vec<_> = files.into_iter().map(Input::File).collect();
    if stdin {
        inputs.push(Input::Stdin);
    }
    sort(&mut inputs);
    Ok(Found { inputs, skipped })
}

/// A search in progress.
#[derive(Default)]
struct Search {
    files: Vec<PathBuf>,
    skipped: Vec<InputError>,
    /// Real paths of the folders that were walked, with everything visible below them.
    walked: HashSet<PathBuf>,
    /// Links to folders, for when everything that is reached without links has been walked.
    links: Vec<PathBuf>,
    /// Whether a folder is a lake or in one, of those that hold what patterns matched.
    in_lakes: HashMap<PathBuf, bool>,
}

impl Search {
    /// Adds what a pattern matches; tells whether there was anything.
    fn matches(&mut self, matches: glob::Paths) -> bool {
        let mut any = false;
        for found in matches {
            any = true;
            match found {
                Ok(path) if path.parent().is_some_and(|folder| self.is_in_lake(folder)) => {}
                Ok(path) if path.is_dir() => self.folder(&path),
                Ok(path) => self.entry(path),
                Err(error) => self.unreadable(error.path().to_path_buf(), error.into()),
            }
        }
        any
    }

    /// Adds the files below a folder. Hidden files and folders are left out there, as editors and version control keep
    /// theirs so; naming one directly reads it.
    fn folder(&mut self, folder: &Path) {
        let real = match folder.canonicalize() {
            Ok(real) => real,
            Err(cause) => return self.unreadable(folder.to_path_buf(), cause),
        };
        if !self.walked.insert(real.clone()) {
            return;
        }
        let visible = |entry: &DirEntry| entry.depth() == 0 || !is_hidden(entry.file_name().as_ref());
        let mut walk = WalkDir::new(folder).into_iter();
        while let Some(entry) = walk.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let path = error.path().unwrap_or(folder).to_path_buf();
                    let unknown = || io::Error::other("the folder cannot be walked");
                    self.unreadable(path, error.into_io_error().unwrap_or_else(unknown));
                    continue;
                }
            };
            let is_dir = entry.file_type().is_dir();
            let inner = || entry.path().strip_prefix(folder).map(|below| real.join(below)).unwrap_or_default();
            // A folder above one that was walked already comes to that one again.
            let known = is_dir && entry.depth() > 0 && self.walked.contains(&inner());
            let is_lake = is_dir && is_lake(entry.path());
            if is_lake && visible(&entry) && (entry.depth() == 0 || self.walked.insert(inner())) {
                self.skip(entry.path().to_path_buf(), "is a lake and no log");
            }
            if !visible(&entry) || known || is_lake {
                if is_dir {
                    walk.skip_current_dir();
                }
                continue;
            }
            if !is_dir {
                self.kind(entry.file_type(), entry.path().to_path_buf());
            }
        }
    }

    /// Adds what stands in a folder or matches a pattern.
    fn entry(&mut self, path: PathBuf) {
        match std::fs::symlink_metadata(&path) {
            Ok(meta) => self.kind(meta.file_type(), path),
            Err(cause) => self.unreadable(path, cause),
        }
    }

    fn kind(&mut self, kind: FileType, path: PathBuf) {
        if kind.is_file() {
            self.files.push(path);
        } else if kind.is_symlink() {
            match std::fs::metadata(&path) {
                Ok(target) if target.is_dir() => self.links.push(path),
                Ok(target) => self.kind(target.file_type(), path),
                Err(cause) => self.unreadable(path, cause),
            }
        } else {
            self.skip(path, "is a pipe, a socket or a device; name it directly to read it");
        }
    }

    /// Walks the folders that links lead to, unless they were walked.
    fn follow_links(&mut self) {
        while let Some(link) = self.links.pop() {
            match link.canonicalize() {
                Ok(target) if self.is_walked(&target) => self.skip(link, "is a link to a folder that is read anyway"),
                Ok(_) => self.folder(&link),
                Err(cause) => self.unreadable(link, cause),
            }
        }
    }

    /// Whether a folder or one above it was walked, nothing hidden in between.
    fn is_walked(&self, target: &Path) -> bool {
        let is_seen = |above: &Path| {
            let between = target.strip_prefix(above).unwrap_or(target);
            !between.components().any(|part| matches!(part, Component::Normal(name) if is_hidden(name.as_ref())))
        };
        target.ancestors().any(|above| self.walked.contains(above) && is_seen(above))
    }

    /// Whether a folder is a lake or stands in one.
    fn is_in_lake(&mut self, folder: &Path) -> bool {
        if let Some(known) = self.in_lakes.get(folder) {
            return *known;
        }
        let found = is_lake(folder) || folder.parent().is_some_and(|above| self.is_in_lake(above));
        self.in_lakes.insert(folder.to_path_buf(), found);
        found
    }

    fn skip(&mut self, path: PathBuf, why: &'static str) {
        self.skipped.push(InputError::Skipped { path: path.to_string_lossy().into_owned(), why });
    }

    fn unreadable(&mut self, path: PathBuf, cause: io::Error) {
        self.skipped.push(InputError::Unreadable { path: path.to_string_lossy().into_owned(), cause });
    }
}

fn is_hidden(name: &Path) -> bool {
    name.to_string_lossy().starts_with('.')
}

fn is_lake(folder: &Path) -> bool {
    folder.join(LAKE_FOLDER).is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lake_among_the_logs_is_no_log() {
        let dir = tempfile::tempdir().expect("folder");
        for file in ["a/one.jsonl", "a/lake/_calltrail/key", "a/lake/calls/_delta_log/0.json", "a/lake/calls/x.parquet"]
        {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().expect("folder")).expect("folder");
            std::fs::write(path, "").expect("file");
        }
        for (given, skips) in [("", 1), ("a", 1), ("**/*", 1), ("a/*/*/*", 0), ("a/lake", 1)] {
            let found = expand(&[dir.path().join(given).to_string_lossy().into_owned()]).expect("found");
            let logs = usize::from(!given.starts_with("a/"));
            assert_eq!((found.inputs.len(), found.skipped.len()), (logs, skips), "{given}: {:?}", found.skipped);
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_lead_to_each_folder_once_and_pipes_are_passed_over() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().expect("folder");
        let root = dir.path().join("logs");
        let folder = |name: &str| {
            std::fs::create_dir_all(root.join(name)).expect("folder");
            root.join(name)
        };
        std::fs::write(folder("a").join("one.jsonl"), "").expect("file");
        std::fs::write(folder(".store/x").join("two.jsonl"), "").expect("file");
        std::fs::write(dir.path().join("outside.jsonl"), "").expect("file");
        // Thirty levels of two links each would be a thousand million paths.
        for level in 0..30 {
            let here = folder(&format!("bomb/{level}"));
            for side in ["l", "r"] {
                symlink(root.join(format!("bomb/{}", level + 1)), here.join(side)).expect("link");
            }
        }
        symlink(&root, root.join("a/loop")).expect("link");
        symlink(dir.path(), root.join("up")).expect("link");
        symlink(root.join(".store"), root.join("current")).expect("link");
        symlink(root.join("gone"), root.join("dangling")).expect("link");
        let pipe = std::process::Command::new("mkfifo").arg(root.join("pipe")).status();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).expect("socket");
        assert!(pipe.is_ok_and(|status| status.success()));

        let found = expand(&[root.to_string_lossy().into_owned()]).expect("found");
        let names: Vec<String> =
            found.inputs.iter().map(|input| input.name().replace(&*root.to_string_lossy(), "")).collect();
        assert_eq!(names, ["/a/one.jsonl", "/current/x/two.jsonl", "/up/outside.jsonl"]);
        let said: Vec<String> = found.skipped.iter().map(ToString::to_string).collect();
        for (name, count) in [("a/loop", 1), ("pipe`", 1), ("socket`", 1), ("dangling", 1), ("bomb/", 60)] {
            assert_eq!(said.iter().filter(|text| text.contains(name)).count(), count, "{name}: {said:#?}");
        }
    }
}
