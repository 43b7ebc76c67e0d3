//! What normal sessions score, those of known kinds of work and those of new ones: what p-values rest on.

use super::calibration::{Calibration, ENOUGH, Known};
use super::features::FEATURES;
use super::forest::Forest;
use super::kinds::{KNOWN, NEW};
use super::score::greatest;
use super::scored::{ScoredSession, session_score};
use serde::{Deserialize, Serialize};

/// Two calibrations. A session of a kind of work that was learned from is compared with normal sessions as others of their kind let them score, every other one with normal sessions
/// as they score if nothing of their kind is known (Mondrian conformal prediction; Vovk, Gammerman and Shafer 2005, chapter 4). How a session begins says which, and nothing that it reads later.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Normal {
    /// Of every session, as one of a new kind.
    pub new: Calibration,
    /// Of those of known kinds; empty if they are too few.
    known: Calibration,
    /// Kinds that are known, sorted.
    kinds: Vec<u64>,
    /// The forests that have scored each fold, of known kinds and of new ones; none if the session's own score stands for theirs.
    forests: [Vec<Forest>; 2],
}

/// What a normal session scores.
#[derive(Clone, Debug)]
pub struct Scores {
    pub(super) agent: Option<String>,
    /// The folds that it was held back with, as of a known kind and as of a new one.
    pub(super) folds: [usize; 2],
    /// As one of a kind of work that was learned from; `None` if no other session was of its kind.
    pub(super) known: Option<f64>,
    /// As one of a kind of work that was not.
    pub(super) new: f64,
}

impl Normal {
    /// Calibrates on sessions that were scored by these forests, each fold by its own. Without agents, kinds and forests, if they mean nothing where it will be used.
    pub fn new(scores: &[Scores], kinds: Vec<u64>, forests: [Vec<Forest>; 2], is_own: bool) -> Self {
        let known = |scores: &Scores, way: usize, score: f64| Known {
            group: scores.agent.clone().filter(|_| is_own),
            fold: scores.folds[way],
            score,
        };
        let new = Calibration::new(scores.iter().map(|scores| known(scores, NEW, scores.new)));
        if !is_own {
            return Self { new, ..Self::default() };
        }
        let of_known = scores.iter().filter_map(|scores| Some(known(scores, KNOWN, scores.known?)));
        let of_known = Calibration::new(of_known);
        if of_known.sessions(None) >= ENOUGH {
            Self { new, known: of_known, kinds, forests }
        } else {
            let [_, of_new] = forests;
            Self { new, forests: [Vec::new(), of_new], ..Self::default() }
        }
    }

    /// Whether a kind of work is known.
    pub(super) fn knows(&self, kind: u64) -> bool {
        self.kinds.binary_search(&kind).is_ok()
    }

    /// What each fold's forest says of a session's calls, whose features are given one call after the other.
    pub(super) fn orders(&self, is_known: bool, values: &[f32]) -> Vec<f64> {
        self.forests[if is_known { KNOWN } else { NEW }].iter().map(|forest| greatest(values, Some(forest))).collect()
    }

    /// The p-value of a session, as [`Calibration::p_value`] has it. Its score stands for what the folds' forests say where there are none.
    pub fn p_value(&self, session: &ScoredSession, u: f64) -> f64 {
        let parts = &session.parts;
        let calibration = if parts.known && !self.kinds.is_empty() { &self.known } else { &self.new };
        let behaviour = parts.behaviour.unwrap_or_default();
        let scores: Vec<f64> = match parts.folds.as_slice() {
            [] => vec![session.score],
            orders => orders.iter().map(|order| session_score(*order, behaviour)).collect(),
        };
        calibration.p_value(session.agent.as_deref(), &scores, u)
    }

    /// Whether its forests can be asked.
    pub(super) fn is_sound(&self) -> bool {
        self.forests.iter().flatten().all(|forest| forest.is_sound(FEATURES.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::scored::Parts;

    #[test]
    fn known_work_is_compared_with_known_work() {
        let p = |normal: &Normal, known: bool| {
            let parts = Parts { known, ..Parts::default() };
            normal.p_value(&ScoredSession { score: 0.6, parts, ..ScoredSession::default() }, 1.0)
        };
        let scores: Vec<Scores> = (0..400)
            .map(|at| Scores {
                agent: None,
                folds: [0, 0],
                known: (at < 200).then_some(f64::from(at) / 400.0),
                new: f64::from(at) / 400.0 + 0.4,
            })
            .collect();
        let normal = Normal::new(&scores, vec![3, 7], [Vec::new(), Vec::new()], true);
        assert!(normal.knows(7) && !normal.knows(5));
        assert!(p(&normal, true) < 0.006 && p(&normal, false) > 0.7);
        // Elsewhere no kind is known, and of too few sessions none either.
        for normal in [
            Normal::new(&scores, vec![3, 7], [Vec::new(), Vec::new()], false),
            Normal::new(&scores[..50], vec![3, 7], [Vec::new(), Vec::new()], true),
        ] {
            assert!(!normal.knows(7));
            assert_eq!(p(&normal, true), p(&normal, false));
        }
    }
}
