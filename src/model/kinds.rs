//! Kinds of work: sessions that begin with the same request of the user, or, in a log without requests, with the same call.
//!
//! Sessions of one kind are alike, and calibration that sees some of them when it scores the others promises what holds for work that is known and not for
//! new work: sessions are exchangeable within a kind, kinds with each other (Dunn, Wasserman and Ramdas, Journal of the American Statistical Association 118, 2023; Lee,
//! Barber and Willett, arXiv:2306.06342). So sessions are parted twice, once as they come and once with each kind together, and what was learned from the other parts scores
//! each session as one of a known kind and as one of a new kind.

use super::act::Acts;
use super::hash;
use std::collections::{BTreeMap, HashMap};

/// Parts of the sessions; each is scored by what was learned from the others.
pub(super) const FOLDS: u64 = 4;
/// Which of the two ways to part them.
pub(super) const KNOWN: usize = 0;
pub(super) const NEW: usize = 1;
/// What reorders them (Fibonacci hashing; Knuth, The Art of Computer Programming 3, 6.4).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
/// Kinds that a model knows.
const MAX_KINDS: usize = 20_000;

/// The part of each session, first as they come, then with kinds together.
pub(super) fn folds(sessions: &[&Acts]) -> Vec<[u64; 2]> {
    let of_id = |session: &&Acts| hash::name(&[&session.session_id]) % FOLDS;
    sessions.iter().zip(together(sessions, 0)).map(|(session, kinds)| [of_id(session), kinds]).collect()
}

/// Kinds of more than one session: what is known of them is known of others of the kind. The greatest are kept.
pub(super) fn known(sessions: &[&Acts]) -> Vec<u64> {
    let mut kinds: Vec<(usize, u64)> =
        counts(sessions).into_iter().map(|(kind, n)| (n, kind)).filter(|(n, _)| *n > 1).collect();
    kinds.sort_unstable_by(|a, b| b.cmp(a));
    kinds.truncate(MAX_KINDS);
    let mut kinds: Vec<u64> = kinds.into_iter().map(|(_, kind)| kind).collect();
    kinds.sort_unstable();
    kinds
}

fn counts(sessions: &[&Acts]) -> BTreeMap<u64, usize> {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    sessions.iter().for_each(|session| *counts.entry(session.kind).or_default() += 1);
    counts
}

/// The parts that keep kinds together, in one of many ways. What more sessions have in common than half of a part holds is how they all begin, and no kind of work.
pub(super) fn together(sessions: &[&Acts], way: u32) -> Vec<u64> {
    let counts = counts(sessions);
    let most = sessions.len() / (2 * FOLDS as usize);
    let mut kinds: Vec<(usize, u64)> =
        counts.into_iter().map(|(kind, n)| (n, kind)).filter(|(n, _)| *n <= most).collect();
    // The greatest first, each to the smallest part: parts of like size. Multiplied, kinds come in another order.
    kinds.sort_unstable_by_key(|(n, kind)| std::cmp::Reverse((*n, kind.wrapping_mul(SPREAD.wrapping_pow(way)))));
    let mut sizes = [0; FOLDS as usize];
    let mut fold: HashMap<u64, u64> = HashMap::with_capacity(kinds.len());
    for (n, kind) in kinds {
        let smallest = (0..sizes.len()).min_by_key(|at| sizes[*at]).unwrap_or_default();
        sizes[smallest] += n;
        fold.insert(kind, smallest as u64);
    }
    let of = |session: &&Acts| {
        fold.get(&session.kind).copied().unwrap_or_else(|| hash::name(&[&session.session_id]) % FOLDS)
    };
    sessions.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_stays_together_unless_it_is_most_of_all_sessions() {
        let session = |at: u64, kind: u64| Acts { session_id: format!("s{at}"), kind, ..Acts::default() };
        let sessions: Vec<Acts> = (0..400).map(|at| session(at, if at < 200 { 1 } else { at / 7 })).collect();
        let folds = together(&sessions.iter().collect::<Vec<_>>(), 0);
        assert_ne!(folds, together(&sessions.iter().collect::<Vec<_>>(), 1));
        let mut of_kind: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        sessions.iter().zip(&folds).for_each(|(session, fold)| of_kind.entry(session.kind).or_default().push(*fold));
        for (kind, mut folds) in of_kind {
            folds.sort_unstable();
            folds.dedup();
            assert_eq!(folds.len(), if kind == 1 { 4 } else { 1 }, "kind {kind}");
        }
        for part in 0..FOLDS {
            let size = folds.iter().filter(|fold| **fold == part).count();
            assert!((80..=120).contains(&size), "{size}");
        }
        assert!(super::folds(&[]).is_empty());
    }
}
