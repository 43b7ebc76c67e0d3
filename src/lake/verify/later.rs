//! Changes that are made while a lake is looked at: what they replace or remove is not as the chain had it when it was read.

use super::{Expected, GONE, Problem, is_begun, is_replaced, sealed, wrong};
use crate::lake::chain::{self, commit_of};
use crate::lake::link::{FileDigest, Head};
use crate::lake::{LakeError, Store, Transaction, transaction};
use std::collections::{HashMap, HashSet};

/// What the changes behind a head say of files that were there.
pub(super) struct Later {
    replaced: HashMap<String, (i64, FileDigest)>,
    erased: HashSet<String>,
    /// Last version of each table.
    versions: HashMap<String, i64>,
    /// What a writer has begun behind them.
    begun: Option<Transaction>,
}

impl Later {
    /// Follows the chain behind a head, as far as it holds; `versions` are those of the head.
    pub(super) fn than(store: &Store, head: &Head, versions: &HashMap<String, i64>) -> Result<Self, LakeError> {
        // In this order: a change that ends between the two looks is in the chain.
        let begun = transaction::begun(store)?;
        let (mut number, mut before) = (head.number, head.hash.clone());
        let mut later =
            Self { replaced: HashMap::new(), erased: HashSet::new(), versions: versions.clone(), begun: None };
        for there in chain::numbers(store)?.into_iter().filter(|number| *number > head.number) {
            let Ok(next) = sealed(store, there) else { break };
            if there != number + 1 || next.link.previous.as_ref() != Some(&before) {
                break;
            }
            (number, before) = (there, next.hash);
            for (path, digest) in next.link.files {
                if let Some((table, version)) = commit_of(&path) {
                    later.versions.insert(table.to_owned(), version);
                } else if is_replaced(&path) {
                    later.replaced.insert(path, (number, digest));
                }
            }
            later.erased.extend(next.link.erased);
        }
        later.begun = begun.filter(|begun| begun.number() == number + 1);
        Ok(later)
    }

    /// Whether they are why a file is not as it was.
    pub(super) fn explains(&self, store: &Store, problem: &Problem) -> bool {
        let path = &problem.file;
        if !is_replaced(path) {
            return problem.found == GONE && self.erased.contains(path);
        }
        let is_as_later = self.replaced.get(path).is_some_and(|(change, digest)| {
            let expected = Expected { digest: digest.clone(), change: *change, is_checked: false };
            wrong(store, path, &expected).is_none()
        });
        is_as_later || self.begun.as_ref().is_some_and(|begun| is_begun(store, path, begun, &self.versions))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::verify::verify_store;
    use crate::lake::{Lake, Location, Patience, State, VerifyOptions};
    use std::time::Duration;

    #[tokio::test]
    async fn what_a_later_change_replaced_is_no_problem() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::from(&*folder.path().join("lake").to_string_lossy());
        let patience = Patience::silent("test", Duration::from_secs(60));
        let lake = Lake::open_or_create(&location, &patience).await.unwrap();
        let _lock = lake.lock(&patience).await.unwrap();
        let mut heads = Vec::new();
        for state in [1, 2] {
            let mut transaction = Transaction::default();
            transaction.set_state(State::of(&state).unwrap());
            transaction.commit(&lake).await.unwrap();
            heads.extend(verify_store(lake.store(), &VerifyOptions::default()).unwrap().head);
        }
        let explains = |head: &Head, file: &str| {
            let later = Later::than(lake.store(), head, &HashMap::new()).unwrap();
            later.explains(lake.store(), &Problem::new(head.number, file, "one digest", "another"))
        };
        assert!(explains(&heads[0], "_calltrail/state.zst"));
        assert!(!explains(&heads[1], "_calltrail/state.zst"), "no later change replaced it");
        assert!(!explains(&heads[0], "_calltrail/lake.json"), "the later change did not touch it");
        std::fs::write(lake.root().join("_calltrail/state.zst"), "changed").unwrap();
        assert!(!explains(&heads[0], "_calltrail/state.zst"), "it is not what the later change wrote");
    }
}
