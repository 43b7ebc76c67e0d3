//! Finding and reading rule files: the built-in ones and those of users' folders.
//!
//! A release carries the built-in rules inside; a debug build reads them from the source tree, so that editing a
//! rule neither compiles nor links anything.

use super::{Problem, Rule, case, header, sigma};
use crate::call::hex;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// (path, text) of every file below `queries/`; empty in debug builds. Written by `build.rs`.
mod embedded {
    include!(concat!(env!("OUT_DIR"), "/rules.rs"));
}

/// A file that was read.
struct File {
    path: PathBuf,
    text: String,
}

/// The rules that can be read, sorted by id, and everything that is wrong with the others.
pub(super) fn read(dirs: &[PathBuf], builtin: bool) -> (Vec<Rule>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut files = if builtin { builtin_files(&mut problems) } else { Vec::new() };
    let builtin = files.len();
    // A folder that the configuration names can be named again, or one inside of it.
    let mut seen = BTreeSet::new();
    for dir in dirs {
        let below = files_below(dir, dir, &mut problems).into_iter();
        files.extend(below.filter(|file| seen.insert(file.path.canonicalize().unwrap_or_else(|_| file.path.clone()))));
    }
    let mut rules: Vec<Rule> = Vec::new();
    for (at, file) in files.iter().enumerate().filter(|(_, file)| file.path.extension().is_some_and(|e| e == "sql")) {
        let cases_path = file.path.with_extension("test.toml");
        let cases = files.iter().find(|other| other.path == cases_path);
        let (rule, faults) = read_rule(file, cases);
        problems.extend(faults);
        rules.extend(rule.map(|rule| Rule { builtin: at < builtin, ..rule }));
    }
    let yaml: Vec<(&Path, &str)> = files
        .iter()
        .filter(|file| is_sigma(&file.path))
        .map(|file| (file.path.as_path(), file.text.as_str()))
        .collect();
    let conversion = sigma::convert(&yaml);
    problems.extend(conversion.problems);
    for made in conversion.rules {
        let cases_path = made.path.with_file_name(format!("{}.test.toml", made.id));
        let cases = files.iter().find(|other| other.path == cases_path);
        let (rule, faults) = read_rule(&File { path: made.path, text: made.text }, cases);
        problems.extend(faults);
        rules.extend(rule);
    }
    let idle = conversion.idle.iter().map(|path| path.with_extension("test.toml"));
    for cases in idle.filter(|cases| files.iter().any(|file| file.path == *cases)) {
        let message = "the rule of these cases does not run by itself: a correlation uses it without `generate: true`";
        problems.push(Problem::new(cases, 0, message));
    }
    for file in files.iter().filter(|f| f.path.to_string_lossy().ends_with(".test.toml")) {
        if rules.iter().any(|rule| rule.cases_path() == file.path) {
            continue;
        }
        let rule = |ending: &str| PathBuf::from(file.path.to_string_lossy().replace(".test.toml", ending));
        if ![".sql", ".yml", ".yaml"].iter().any(|ending| files.iter().any(|other| other.path == rule(ending))) {
            let message = format!("cases without a rule: there is no {}", rule(".sql").display());
            problems.push(Problem::new(&file.path, 0, message));
        }
    }
    rules.sort_by(|a, b| a.header.id.cmp(&b.header.id));
    for pair in rules.windows(2).filter(|pair| pair[0].header.id == pair[1].header.id) {
        let message = format!("the id `{}` is taken by {}", pair[1].header.id, pair[0].path.display());
        problems.push(Problem::new(&pair[1].path, 1, message));
    }
    problems.sort();
    (rules, problems)
}

/// Whether a file holds Sigma rules.
fn is_sigma(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "yml" || end == "yaml")
}

/// A rule from its text alone; that of a Sigma rule is what it became.
pub(super) fn from_text(path: &Path, text: &str) -> Result<Rule, Vec<Problem>> {
    match read_rule(&File { path: path.to_owned(), text: text.to_owned() }, None) {
        (Some(rule), problems) if problems.is_empty() => Ok(rule),
        (_, problems) => Err(problems),
    }
}

fn read_rule(file: &File, cases: Option<&File>) -> (Option<Rule>, Vec<Problem>) {
    let sigma = is_sigma(&file.path);
    let (mut header, faults) = header::read(&file.text, sigma);
    let mut problems: Vec<Problem> = faults.into_iter().map(|(line, m)| Problem::new(&file.path, line, m)).collect();
    let stem = file.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    // One Sigma file can hold several rules.
    if let Some(header) = header.as_mut().filter(|header| header.id.is_empty()) {
        header.id = stem.to_owned();
    } else if let Some(header) = header.as_ref().filter(|header| !sigma && header.id != stem) {
        problems.push(Problem::new(
            &file.path,
            1,
            format!("the id `{}` differs from the file's name `{stem}`", header.id),
        ));
    }
    let (cases, faults) = match cases {
        Some(cases) => {
            let (read, faults) = case::read(&cases.text);
            (read, faults.into_iter().map(|(line, m)| Problem::new(&cases.path, line, m)).collect())
        }
        None => (Vec::new(), Vec::new()),
    };
    problems.extend(faults);
    let rule = header.map(|header| Rule {
        header,
        sql: file.text.clone(),
        path: file.path.clone(),
        version_hash: hex(&Sha256::digest(file.text.as_bytes()).into()),
        cases,
        sigma,
        builtin: false,
    });
    (rule, problems)
}

fn builtin_files(problems: &mut Vec<Problem>) -> Vec<File> {
    let is_rule = |path: &Path| !path.starts_with("queries/views");
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = source.join("queries");
    if cfg!(debug_assertions) && folder.is_dir() {
        let files = files_below(&folder, source, problems);
        return files.into_iter().filter(|file| is_rule(&file.path)).collect();
    }
    let files = embedded::FILES.iter().map(|(path, text)| File { path: path.into(), text: (*text).to_owned() });
    files.filter(|file| is_rule(&file.path)).collect()
}

/// The `.sql`, `.yml`, `.yaml` and `.test.toml` files below a folder, in order of their paths. Built-in ones are named from `root` on.
fn files_below(dir: &Path, root: &Path, problems: &mut Vec<Problem>) -> Vec<File> {
    let mut files = Vec::new();
    for entry in WalkDir::new(dir).sort_by_file_name() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(dir).to_owned();
                problems.push(Problem::new(path, 0, format!("cannot read: {error}")));
                continue;
            }
        };
        let name = entry.file_name().to_string_lossy();
        if !entry.file_type().is_file()
            || ![".sql", ".yml", ".yaml", ".test.toml"].iter().any(|end| name.ends_with(end))
        {
            continue;
        }
        match std::fs::read_to_string(entry.path()) {
            Ok(text) => {
                let path =
                    if dir == root { entry.path() } else { entry.path().strip_prefix(root).unwrap_or(entry.path()) };
                files.push(File { path: path.to_owned(), text });
            }
            Err(error) => problems.push(Problem::new(entry.path(), 0, format!("cannot read: {error}"))),
        }
    }
    files
}
