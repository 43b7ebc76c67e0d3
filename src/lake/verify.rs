//! Verification: whether every file of the lake is what the chain of changes says, and which is the first that is not.
//!
//! Nothing is written, no lock is taken. A writer may be at work: what it has begun is told from its intent, and a chain that grew
//! meanwhile is looked at once more. Files are digested on all cores, piece by piece.

mod later;
mod report;

pub use report::{Problem, Signatures, Since, Verification, VerifyOptions, Witness};

use super::chain::{self, commit_of, link_path};
use super::link::{FileDigest, Head, Link, MAX_BYTES, Sealed};
use super::signature::PublicKey;
use super::{LakeError, Location, OWN, Store, Transaction, transaction};
use later::Later;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Component, Path};

/// How often a lake is looked at again because a writer changed it meanwhile.
const RETRIES: usize = 3;
/// Problems that are kept.
const MAX_PROBLEMS: usize = 100;

/// Checks a lake.
///
/// # Errors
/// There is none, or its folder cannot be listed. What is wrong with it is in [`Verification::problems`].
pub fn verify(location: &Location, options: &VerifyOptions) -> Result<Verification, LakeError> {
    verify_store(&Store::open(location)?, options)
}

/// Checks the lake in a store.
pub(super) fn verify_store(store: &Store, options: &VerifyOptions) -> Result<Verification, LakeError> {
    if !store.entries()?.iter().any(|name| name == OWN) {
        return Err(LakeError::Missing(store.name("")));
    }
    let mut found = Checker::default().check(store, options)?;
    for _ in 0..RETRIES {
        if found.verified || !goes_on(store, found.head.as_ref())? {
            break;
        }
        let again = Checker::default().check(store, options)?;
        let is_same = again.problems == found.problems;
        found = again;
        if is_same {
            break;
        }
    }
    Ok(found)
}

/// Whether a writer has changed a lake since it had this head, or has begun to.
///
/// # Errors
/// The lake's folder cannot be listed.
pub fn has_changed(location: &Location, head: Option<&Head>) -> Result<bool, LakeError> {
    goes_on(&Store::open(location)?, head)
}

fn goes_on(store: &Store, head: Option<&Head>) -> Result<bool, LakeError> {
    let head = head.map(|head| head.number);
    // The other way round, a change could end between the two looks.
    let has_begun = transaction::begun(store).is_ok_and(|begun| begun.map(|begun| begun.number()) > head);
    Ok(has_begun || chain::numbers(store)?.last().copied() > head)
}

/// A file as the chain has it so far.
struct Expected {
    digest: FileDigest,
    change: i64,
    /// Looked at already, because what it says was needed.
    is_checked: bool,
}

#[derive(Default)]
struct Checker {
    report: Verification,
    expected: BTreeMap<String, Expected>,
    /// Files that left the disk, with the change that removed them.
    erased: HashMap<String, i64>,
    /// Last version of each table.
    versions: HashMap<String, i64>,
    problems: Vec<Problem>,
    /// Files that a change found to be other than an earlier one had left them.
    found_changed: Vec<Problem>,
    /// The chain cannot be followed to its end.
    is_broken: bool,
    /// A commit is not what it was: its data files are not known.
    is_blind: bool,
    started_signing: bool,
}

impl Checker {
    fn check(mut self, store: &Store, options: &VerifyOptions) -> Result<Verification, LakeError> {
        // In this order: what a writer had begun when the files were listed is in its intent, or in the chain by then.
        let files = store.list("")?;
        let begun = transaction::begun(store);
        let numbers = chain::numbers(store)?;
        self.report.signatures.checked = !options.public_keys.is_empty();
        self.follow(store, &numbers, options);
        let begun = begun.unwrap_or_else(|error| {
            let file = format!("{OWN}/intent.json");
            self.problems.push(Problem {
                change: None,
                file,
                expected: "a change that a writer began".to_owned(),
                found: error.to_string(),
            });
            None
        });
        let head = self.report.head.as_ref().map_or(-1, |head| head.number);
        if !self.is_broken
            && let Some(begun) = begun.as_ref().filter(|begun| begun.number() > head + 1)
        {
            let (file, expected) = (format!("{OWN}/intent.json"), format!("change {} at most", head + 1));
            self.problems.push(Problem::new(head, &file, expected, format!("change {}", begun.number())));
        }
        let pending = begun.as_ref().filter(|begun| begun.number() == head + 1);
        self.digest_all(store, pending);
        if !self.is_broken {
            self.unknown(store, files, begun.is_some(), pending);
            self.overtaken(store);
        }
        let found_changed = std::mem::take(&mut self.found_changed);
        self.problems.retain(|problem| !found_changed.iter().any(|found| found.file == problem.file));
        self.problems.extend(found_changed);
        self.witnessed(options);
        self.problems.sort_by_key(|problem| problem.change.unwrap_or(i64::MAX));
        let Self { mut report, problems, .. } = self;
        report.verified = problems.is_empty();
        report.problems_total = problems.len();
        report.problems = problems;
        report.problems.truncate(MAX_PROBLEMS);
        Ok(report)
    }

    /// Goes along the chain, as far as it holds.
    fn follow(&mut self, store: &Store, numbers: &[i64], options: &VerifyOptions) {
        let Some(&first) = numbers.first() else {
            let found = "none; the next command that writes starts one, over the lake as it is then";
            self.broken(Problem {
                change: None,
                file: format!("{OWN}/chain"),
                expected: "a chain of changes".to_owned(),
                found: found.to_owned(),
            });
            return;
        };
        let mut previous: Option<Sealed> = None;
        for (number, &there) in (first..).zip(numbers) {
            if number != there {
                return self.broken(Problem::new(
                    number,
                    &link_path(number),
                    "the link of this change",
                    "no such file",
                ));
            }
            let sealed = match sealed(store, number) {
                Ok(sealed) => sealed,
                Err(problem) => return self.broken(problem),
            };
            match (&sealed.link.previous, &previous) {
                (None, None) => {
                    let (number, time) = (number, sealed.link.time.clone());
                    self.report.since = Some(Since { number, time });
                }
                (Some(wanted), Some(before)) if *wanted == before.hash => {}
                (Some(wanted), Some(before)) => {
                    let expected = format!("BLAKE3 {wanted}, as the next link says");
                    return self.broken(Problem::new(
                        number - 1,
                        &link_path(number - 1),
                        expected,
                        format!("BLAKE3 {}", before.hash),
                    ));
                }
                (Some(_), None) => {
                    return self.broken(Problem::new(
                        number - 1,
                        &link_path(number - 1),
                        "the link of this change",
                        "no such file",
                    ));
                }
                (None, Some(_)) => {
                    return self.broken(Problem::new(
                        number,
                        &link_path(number),
                        "a link with one before it",
                        "the first link of a chain",
                    ));
                }
            }
            self.signed(&sealed, &options.public_keys);
            self.apply(store, &sealed.link);
            let is_witness =
                |witness: &Witness| witness.hash == sealed.hash && witness.number.unwrap_or(number) == number;
            if options.witness.as_ref().is_some_and(is_witness) {
                self.report.witness = Some(sealed.head());
            }
            self.report.changes += 1;
            *self.report.kinds.entry(sealed.link.kind().to_owned()).or_default() += 1;
            self.report.head = Some(sealed.head());
            self.report.sources = sealed.link.sources.clone().or_else(|| self.report.sources.take());
            previous = Some(sealed);
        }
    }

    fn broken(&mut self, problem: Problem) {
        self.is_broken = true;
        self.problems.push(problem);
    }

    /// Takes in what a change wrote.
    fn apply(&mut self, store: &Store, link: &Link) {
        let number = link.number;
        for (path, found) in &link.changed {
            let Some(expected) = self.expected.get(path) else { continue };
            let found = found.as_ref().map_or_else(|| GONE.to_owned(), ToString::to_string);
            let found = format!("{found}, when change {number} replaced or removed it");
            self.found_changed.push(Problem::new(expected.change, path, &expected.digest, found));
        }
        let (commits, others): (Vec<_>, Vec<_>) = link.files.iter().partition(|(path, _)| commit_of(path).is_some());
        for (path, digest) in others.into_iter().chain(commits.iter().copied()) {
            let is_inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
            if !is_inside || (self.expected.contains_key(path) && !is_replaced(path)) {
                self.problems.push(Problem::new(number, &link_path(number), "files that are new", path));
                continue;
            }
            self.expect(path.clone(), digest.clone(), number);
        }
        for (path, digest) in commits {
            self.commit(store, path, digest, number);
        }
        for path in &link.erased {
            self.expected.remove(path);
            self.erased.insert(path.clone(), number);
        }
    }

    fn expect(&mut self, path: String, digest: FileDigest, change: i64) {
        self.expected.insert(path, Expected { digest, change, is_checked: false });
    }

    /// Checks a commit of a table, and takes in the data files that it names.
    fn commit(&mut self, store: &Store, path: &str, digest: &FileDigest, number: i64) {
        let Some((table, version)) = commit_of(path) else { return };
        self.report.commits += 1;
        self.versions.insert(table.to_owned(), version);
        let bytes = match read_limited(store, path, digest.bytes) {
            Ok(Some(bytes)) if FileDigest::of(&bytes) == *digest => bytes,
            // The pass over all files says what is wrong with it.
            _ => return self.is_blind = true,
        };
        let added = match chain::added(&bytes) {
            Ok(added) => added,
            Err(cause) => return self.problems.push(Problem::new(number, path, "a commit of a Delta table", cause)),
        };
        if let Some(expected) = self.expected.get_mut(path) {
            expected.is_checked = true;
            self.report.bytes += digest.bytes;
        }
        for (name, bytes, blake3) in added {
            let file = format!("{table}/{name}");
            let known = self.expected.get(&file).map(|known| known.digest.clone());
            match (known, blake3) {
                (None, Some(blake3)) => {
                    let is_inside = Path::new(&file).components().all(|part| matches!(part, Component::Normal(_)));
                    if is_inside && !self.erased.contains_key(&file) {
                        self.expect(file, FileDigest { bytes, blake3 }, number);
                    }
                }
                (Some(known), Some(blake3)) if known.blake3 != blake3 => {
                    self.problems.push(Problem::new(
                        number,
                        path,
                        format!("{file} with BLAKE3 {}", known.blake3),
                        blake3,
                    ));
                }
                (Some(_), _) => {}
                (None, None) => {
                    self.problems.push(Problem::new(number, path, format!("the digest of {file}"), "none"));
                }
            }
        }
    }

    /// Notes who signed a link, and whether it had to be.
    fn signed(&mut self, sealed: &Sealed, keys: &[PublicKey]) {
        let number = sealed.link.number;
        let path = link_path(number);
        if let Some(signer) = &sealed.signer {
            self.report.signatures.signed += 1;
            self.report.signatures.since.get_or_insert(number);
            let key = signer.to_string();
            if !self.report.signatures.keys.contains(&key) {
                self.report.signatures.keys.push(key);
            }
        }
        if keys.is_empty() {
            return;
        }
        let expected = "a signature by the public key given";
        match &sealed.signer {
            Some(signer) if keys.contains(signer) => self.started_signing = true,
            Some(signer) => self.problems.push(Problem::new(number, &path, expected, format!("one by {signer}"))),
            None if self.started_signing => self.problems.push(Problem::new(number, &path, expected, "no signature")),
            None => {}
        }
    }

    /// Digests every file that is to be there, on all cores.
    fn digest_all(&mut self, store: &Store, pending: Option<&Transaction>) {
        let (versions, is_broken) = (&self.versions, self.is_broken);
        let results: Vec<_> = self
            .expected
            .par_iter()
            .filter(|(_, expected)| !expected.is_checked)
            .map(|(path, expected)| {
                let problem = wrong(store, path, expected)?;
                // What is behind the break may have replaced or removed it.
                let is_open = is_broken && (is_replaced(path) || problem.found == GONE);
                (!is_open && !pending.is_some_and(|begun| is_begun(store, path, begun, versions))).then_some(problem)
            })
            .collect();
        self.problems.extend(results.into_iter().flatten());
        for (path, expected) in &self.expected {
            self.report.bytes += if expected.is_checked { 0 } else { expected.digest.bytes };
            self.report.data_files += u64::from(!path.contains("/_delta_log/") && !path.starts_with(OWN));
        }
    }

    /// Looks for files that the chain does not know.
    fn unknown(&mut self, store: &Store, files: Vec<String>, has_intent: bool, pending: Option<&Transaction>) {
        let numbers = self.report.since.as_ref().map_or(0, |since| since.number)
            ..=self.report.head.as_ref().map_or(-1, |head| head.number);
        let links: HashSet<String> = numbers.map(link_path).collect();
        let state = store.state_path().ok().flatten();
        for path in files {
            let is_known = self.expected.contains_key(&path) || links.contains(&path) || state.as_ref() == Some(&path);
            if is_known || chain::is_exempt(&path) {
                continue;
            }
            let erased = self.erased.get(&path).copied();
            let is_explained = match erased {
                Some(_) => has_intent,
                None => {
                    chain::is_left_over(&path)
                        || chain::is_made(&path)
                        || pending.is_some_and(|begun| is_begun(store, &path, begun, &self.versions))
                }
            };
            // A writer may have removed it since the files were listed.
            if matches!(store.size(&path), Ok(None)) {
                continue;
            }
            if is_explained {
                if !self.is_blind {
                    self.report.left_over.push(path);
                }
                continue;
            }
            let expected = match erased {
                Some(number) => format!("no such file: change {number} removed it"),
                None if commit_of(&path).is_some() => "no such commit: none of the chain's changes made it".to_owned(),
                None => "no such file: none of the chain's changes wrote it".to_owned(),
            };
            self.problems.push(Problem { change: None, file: path, expected, found: "a file".to_owned() });
        }
    }

    /// Drops what is no problem: a later change replaced or removed the file while others were read. On a lake that is never
    /// at rest, looking at all of it once more would meet the next change.
    fn overtaken(&mut self, store: &Store) {
        for _ in 0..RETRIES {
            let Some(head) = self.report.head.as_ref().filter(|_| !self.problems.is_empty()) else { return };
            let Ok(later) = Later::than(store, head, &self.versions) else { return };
            self.problems.retain(|problem| !later.explains(store, problem));
        }
    }

    /// Whether what is known outside the lake is in the chain.
    fn witnessed(&mut self, options: &VerifyOptions) {
        let (Some(head), Some(since)) = (&self.report.head, &self.report.since) else { return };
        if self.report.signatures.checked && !self.started_signing && !self.is_broken {
            let (expected, found) = ("a signature by the public key given", "no change is signed by it");
            self.problems.push(Problem::new(head.number, &link_path(head.number), expected, found));
        }
        let Some(witness) = options.witness.as_ref().filter(|_| self.report.witness.is_none()) else { return };
        let found = match witness.number {
            // What is behind the break is not known, and the break is named.
            _ if self.is_broken && witness.number.is_none_or(|number| number > head.number) => return,
            Some(number) if number > head.number => format!("a chain that ends with change {head}: it was cut"),
            Some(number) if number < since.number => format!("a chain that starts with change {}", since.number),
            Some(_) => "another link: the chain was rewritten".to_owned(),
            None => format!("no such link in a chain that ends with change {head}: it was cut or rewritten"),
        };
        let number = witness.number.unwrap_or(head.number);
        let expected = match witness.number {
            Some(number) => format!("the witness, change {number} {}", witness.hash),
            None => format!("the witness, {}", witness.hash),
        };
        self.problems.push(Problem::new(number, &link_path(number), expected, found));
    }
}

/// What is found where a file is missing.
const GONE: &str = "no such file";

/// Reads a link; the problem says what is wrong with it.
fn sealed(store: &Store, number: i64) -> Result<Sealed, Problem> {
    let path = link_path(number);
    let problem = |found: String| Problem::new(number, &path, "the link of this change", found);
    let bytes = read_limited(store, &path, MAX_BYTES).map_err(|error| problem(error.to_string()))?;
    let sealed = Sealed::parse(&bytes.ok_or_else(|| problem(GONE.to_owned()))?).map_err(problem)?;
    if sealed.link.number != number {
        return Err(problem(format!("the link of change {}", sealed.link.number)));
    }
    Ok(sealed)
}

/// Reads a file of at most so many bytes; `None` if there is none.
fn read_limited(store: &Store, path: &str, limit: u64) -> Result<Option<Vec<u8>>, LakeError> {
    match store.size(path)? {
        Some(bytes) if bytes > limit => {
            let cause = format!("it has {bytes} bytes, {limit} at most were expected");
            Err(LakeError::Damaged { path: store.name(path), cause })
        }
        Some(_) => store.read(path),
        None => Ok(None),
    }
}

/// What is wrong with a file.
fn wrong(store: &Store, path: &str, expected: &Expected) -> Option<Problem> {
    match found(store, path, expected) {
        Ok(None) => None,
        Ok(Some(found)) => Some(Problem::new(expected.change, path, &expected.digest, found)),
        Err(error) => Some(Problem::new(expected.change, path, &expected.digest, error)),
    }
}

/// What a file is instead of what it should be.
fn found(store: &Store, path: &str, expected: &Expected) -> Result<Option<String>, LakeError> {
    if path.strip_prefix(OWN).is_some_and(|name| name.trim_start_matches('/') == chain::STATE) {
        let there = store.state_path()?.map(|path| store.size(&path)).transpose()?.flatten();
        let Some(state) = there.map_or(Ok(None), |_| store.state())? else { return Ok(Some(GONE.to_owned())) };
        let found = FileDigest::of(&state);
        if found == expected.digest {
            return Ok(None);
        }
        // The link of a change is written before its state takes its place.
        let next = if store.intent()?.is_some() { store.next_state()? } else { None };
        let is_next = next.is_some_and(|next| FileDigest::of(&next) == expected.digest);
        return Ok((!is_next).then(|| found.to_string()));
    }
    match store.size(path)? {
        None => return Ok(Some(GONE.to_owned())),
        // Also so that a file that grows without end is not read.
        Some(bytes) if bytes != expected.digest.bytes => return Ok(Some(format!("{bytes} bytes"))),
        Some(_) => {}
    }
    Ok(match chain::digest_of(store, path)? {
        None => Some(GONE.to_owned()),
        Some(found) if found == expected.digest => None,
        Some(found) => Some(found.to_string()),
    })
}

/// Whether changes replace this file; all others are written once.
fn is_replaced(path: &str) -> bool {
    let own = path.strip_prefix(OWN);
    path.ends_with("/_delta_log/_last_checkpoint") || matches!(own, Some("/state.zst" | "/lake.json"))
}

/// Whether a file is part of the change that a writer has begun.
fn is_begun(store: &Store, path: &str, begun: &Transaction, versions: &HashMap<String, i64>) -> bool {
    if let Some(name) = path.strip_prefix(OWN) {
        let own = begun.own();
        let digest = own.get(name.trim_start_matches('/'));
        return digest
            .is_some_and(|digest| chain::digest_of(store, path).is_ok_and(|found| found.as_ref() == Some(digest)));
    }
    let Some((table, name)) = path.split_once("/_delta_log/").filter(|(table, _)| begun.touches(table)) else {
        return false;
    };
    let next = versions.get(table).map_or(0, |version| version + 1);
    let is_last = || chain::is_checkpoint(store, path, next).unwrap_or(false);
    name == format!("{next:020}.json")
        || name == format!("{next:020}.checkpoint.parquet")
        || (name == "_last_checkpoint" && is_last())
}
