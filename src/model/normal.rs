//! What normal sessions score, those of known kinds of work and those of new ones: what p-values rest on.

use super::calibration::{Calibration, ENOUGH};
use super::learn::Scores;
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
}

impl Normal {
    /// Calibrates. Without agents and kinds, if they mean nothing where it will be used.
    pub fn new(scores: &[Scores], kinds: Vec<u64>, is_own: bool) -> Self {
        let agent = |scores: &Scores| scores.agent.clone().filter(|_| is_own);
        let new = Calibration::new(scores.iter().map(|scores| (agent(scores), scores.new)));
        let known = Calibration::new(scores.iter().filter_map(|scores| Some((agent(scores), scores.known?))));
        if is_own && known.sessions(None) >= ENOUGH {
            Self { new, known, kinds }
        } else {
            Self { new, ..Self::default() }
        }
    }

    /// Whether a kind of work is known.
    pub(super) fn knows(&self, kind: u64) -> bool {
        self.kinds.binary_search(&kind).is_ok()
    }

    /// The p-value of a session's score, as [`Calibration::p_value`] has it.
    pub fn p_value(&self, group: Option<&str>, is_known: bool, score: f64, u: f64) -> f64 {
        let calibration = if is_known && !self.kinds.is_empty() { &self.known } else { &self.new };
        calibration.p_value(group, score, u)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_work_is_compared_with_known_work() {
        let scores: Vec<Scores> = (0..400)
            .map(|at| Scores {
                agent: None,
                known: (at < 200).then_some(f64::from(at) / 400.0),
                new: f64::from(at) / 400.0 + 0.4,
            })
            .collect();
        let normal = Normal::new(&scores, vec![3, 7], true);
        assert!(normal.knows(7) && !normal.knows(5));
        assert!(normal.p_value(None, true, 0.6, 1.0) < 0.006 && normal.p_value(None, false, 0.6, 1.0) > 0.7);
        // Elsewhere no kind is known, and of too few sessions none either.
        for normal in [Normal::new(&scores, vec![3, 7], false), Normal::new(&scores[..50], vec![3, 7], true)] {
            assert!(!normal.knows(7));
            assert_eq!(normal.p_value(None, true, 0.6, 1.0), normal.p_value(None, false, 0.6, 1.0));
        }
    }
}
