//! Rules that no longer run: alerts of theirs would stay as they are for ever, because nobody looks whether they still hold.
//!
//! An analyst who switches a rule off, or takes it away, does not want to see its alerts among those that hold; what it found stays as history. A rule
//! whose file is where it was, in a folder that this run was not given, is another matter: who runs it answers for its alerts.

use super::marks::rule_paths;
use crate::alert::{Alert, Kind};
use crate::lake::{Lake, LakeError};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The rules that there are.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// Ids of those that run.
    pub on: &'a BTreeSet<String>,
    /// Ids of those that are switched off.
    pub off: &'a BTreeSet<String>,
    /// Folders that rules were read from, besides the built-in ones.
    pub dirs: &'a [PathBuf],
}

/// The rules of current alerts that are over, and why.
///
/// # Errors
/// The lake cannot be read.
pub(super) async fn gone(
    lake: &Lake,
    rules: Option<Standing<'_>>,
    alerts: impl Iterator<Item = &Alert>,
) -> Result<BTreeMap<String, &'static str>, LakeError> {
    let Some(rules) = rules else { return Ok(BTreeMap::new()) };
    let mut gone = BTreeMap::new();
    let mut missing = BTreeSet::new();
    for alert in alerts.filter(|alert| alert.is_current() && alert.finding.kind == Kind::Rule) {
        let id = &alert.finding.rule_id;
        if rules.off.contains(id) {
            gone.insert(id.clone(), "its rule is switched off");
        } else if !rules.on.contains(id) {
            missing.insert(id);
        }
    }
    if missing.is_empty() {
        return Ok(gone);
    }
    let paths = rule_paths(lake).await?;
    let elsewhere = |id: &String| paths.get(id).is_some_and(|known| known.iter().any(|path| rules.did_not_read(path)));
    let over = missing.into_iter().filter(|id| !elsewhere(id));
    gone.extend(over.map(|id| (id.clone(), "its rule is no longer there")));
    Ok(gone)
}

impl Standing<'_> {
    /// Whether a file is there and in none of the folders.
    fn did_not_read(&self, path: &Path) -> bool {
        let Ok(path) = path.canonicalize() else { return false };
        !self.dirs.iter().filter_map(|dir| dir.canonicalize().ok()).any(|dir| path.starts_with(dir))
    }
}
