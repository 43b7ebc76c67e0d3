//! From scores to p-values that keep their promise: split-conformal calibration, and the false-discovery rate.
//!
//! A session's p-value is its rank among sessions that were scored before (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; for outliers
//! Bates, Candès, Lei, Romano and Sesia, Annals of Statistics 51, 2023). If they and the session are exchangeable, at most a share p of normal sessions has p or less,
//! whatever the score is. Many sessions have the same score, often zero: ties are broken by a number that the caller draws (smoothed p-values), else
//! the realised rate would fall short of the promised one.
//!
//! Sessions that are learned from cannot all be held back. They are parted in folds, each scored by what was learned from the others, and a session is compared with
//! those of each fold by the score that the same learning gives it (cross-conformal prediction; Vovk, Annals of Mathematics and Artificial Intelligence 74, 2015). By one
//! score, of what was learned from all, it would look more normal than they do.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Sessions that a group needs for p-values of its own: below, a rate of 1 % cannot be promised.
pub const ENOUGH: usize = 100;
/// Scores kept of one group; of more, evenly spread ranks are kept.
const MAX_SCORES: usize = 20_000;
/// Groups kept.
const MAX_GROUPS: usize = 10_000;

/// Scores of sessions that stand for normal behaviour, fold by fold and sorted, by group and together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    pooled: Folds,
    groups: BTreeMap<String, Folds>,
}

/// Scores of one group.
type Folds = Vec<Vec<f64>>;

/// One score to calibrate on.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Whose, an agent's.
    pub group: Option<String>,
    /// The fold that it was held back with; 0 if there is one.
    pub fold: usize,
    pub score: f64,
}

impl Calibration {
    /// Calibrates on the scores of sessions. Scores that are no numbers are left out.
    pub fn new(scores: impl IntoIterator<Item = Known>) -> Self {
        let mut pooled = Folds::new();
        let mut groups: BTreeMap<String, Folds> = BTreeMap::new();
        for Known { group, fold, score } in scores.into_iter().filter(|known| known.score.is_finite()) {
            add(&mut pooled, fold, score);
            if let Some(group) = group
                && (groups.len() < MAX_GROUPS || groups.contains_key(&group))
            {
                add(groups.entry(group).or_default(), fold, score);
            }
        }
        groups.retain(|_, folds| size(folds) >= ENOUGH);
        for folds in groups.values_mut().chain([&mut pooled]) {
            let most = MAX_SCORES / folds.len().max(1);
            for scores in folds {
                scores.sort_by(f64::total_cmp);
                *scores = thinned(std::mem::take(scores), most);
            }
        }
        Self { pooled, groups }
    }

    /// Sessions behind the p-values of a group.
    pub fn sessions(&self, group: Option<&str>) -> usize {
        size(self.of(group))
    }

    /// Groups with p-values of their own, and the sessions of each.
    pub fn groups(&self) -> impl Iterator<Item = (&str, usize)> {
        self.groups.iter().map(|(name, scores)| (name.as_str(), size(scores)))
    }

    fn of(&self, group: Option<&str>) -> &[Vec<f64>] {
        group.and_then(|group| self.groups.get(group)).unwrap_or(&self.pooled)
    }

    /// The p-value of a session: (number above + u · (1 + number equal)) / (n + 1), for `u` in 0..=1, where those of each fold are compared with the session's score of
    /// that fold; one score stands for all of them. Without any history, 1.
    pub fn p_value(&self, group: Option<&str>, scores: &[f64], u: f64) -> f64 {
        let folds = self.of(group);
        let n = size(folds);
        if n == 0 || scores.is_empty() || scores.iter().any(|score| score.is_nan()) {
            return 1.0;
        }
        let (mut above, mut equal) = (0, 0);
        for (fold, known) in folds.iter().enumerate() {
            let score = scores[fold.min(scores.len() - 1)];
            let to = known.partition_point(|known| *known <= score);
            above += known.len() - to;
            equal += to - known.partition_point(|known| *known < score);
        }
        (above as f64 + u.clamp(0.0, 1.0) * (1.0 + equal as f64)) / (n as f64 + 1.0)
    }

    /// The same of a session whose own score is among those it is compared with: it is left out.
    pub fn p_value_of_member(&self, group: Option<&str>, score: f64, u: f64) -> f64 {
        let n = self.sessions(group) as f64;
        if n < 1.0 {
            return 1.0;
        }
        // The session's own score counts once among the equal ones; without it there is one fewer of all.
        let with = self.p_value(group, &[score], u) * (n + 1.0);
        (with - u.clamp(0.0, 1.0)).max(0.0) / n
    }

    /// Scores at these quantiles (0..=1) of all sessions.
    pub fn quantiles<const N: usize>(&self, at: [f64; N]) -> [f64; N] {
        let mut all = self.pooled.concat();
        all.sort_by(f64::total_cmp);
        let last = all.len().saturating_sub(1) as f64;
        at.map(|q| all.get((q.clamp(0.0, 1.0) * last).round() as usize).copied().unwrap_or_default())
    }
}

fn add(folds: &mut Folds, fold: usize, score: f64) {
    folds.resize(folds.len().max(fold + 1), Vec::new());
    folds[fold].push(score);
}

fn size(folds: &[Vec<f64>]) -> usize {
    folds.iter().map(Vec::len).sum()
}

fn thinned(scores: Vec<f64>, most: usize) -> Vec<f64> {
    if scores.len() <= most {
        return scores;
    }
    let last = (scores.len() - 1) as f64;
    (0..most).map(|i| scores[(i as f64 / (most - 1) as f64 * last).round() as usize]).collect()
}

/// The greatest p-value that is still a discovery at false-discovery rate `q` (Benjamini and Hochberg, JRSS B 57, 1995); `None` if there is none.
pub fn benjamini_hochberg(p_values: &[f64], q: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = p_values.iter().copied().filter(|p| p.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let fits = |(at, p): (usize, &f64)| (*p <= q * (at + 1) as f64 / n).then_some(*p);
    sorted.iter().enumerate().filter_map(fits).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(score: f64) -> Known {
        Known { score, ..Known::default() }
    }

    #[test]
    fn each_fold_is_compared_with_its_own_score() {
        let of = |(fold, score)| Known { fold, ..known(score) };
        let calibration = Calibration::new([(0, 0.1), (0, 0.4), (2, 0.2), (2, 0.9)].map(of));
        assert_eq!(calibration.sessions(None), 4);
        // Above: 0.4 of the first fold, 0.9 of the third; equal: 0.2 of the third.
        assert_eq!(calibration.p_value(None, &[0.3, 0.0, 0.2], 1.0), 4.0 / 5.0);
        assert_eq!(calibration.p_value(None, &[0.3], 1.0), 3.0 / 5.0);
        assert_eq!(calibration.p_value(None, &[], 1.0), 1.0);
        assert_eq!(calibration.quantiles([0.0, 0.5, 1.0]), [0.1, 0.4, 0.9]);
    }

    #[test]
    fn p_values_are_ranks_with_ties_broken() {
        let calibration = Calibration::new([0.0, 0.0, 0.0, 1.0, 2.0, f64::NAN, f64::INFINITY].map(known));
        assert_eq!(calibration.sessions(None), 5);
        assert_eq!(calibration.p_value(None, &[3.0], 1.0), 1.0 / 6.0);
        assert_eq!(calibration.p_value(None, &[1.5], 1.0), 2.0 / 6.0);
        assert_eq!(calibration.p_value(None, &[0.0], 0.0), 2.0 / 6.0);
        assert_eq!(calibration.p_value(None, &[0.0], 1.0), 1.0);
        // Of five, the greatest knows four others.
        assert_eq!(calibration.p_value_of_member(None, 2.0, 1.0), 1.0 / 5.0);
        assert_eq!(calibration.p_value_of_member(None, 0.0, 1.0), 1.0);
        assert_eq!(Calibration::default().p_value(None, &[9.0], 0.5), 1.0);
        assert_eq!(calibration.p_value(None, &[f64::NAN], 0.5), 1.0);
    }

    #[test]
    fn groups_with_little_history_use_all_of_it() {
        let of = |i: i32| Known { group: Some(if i < 250 { "a" } else { "b" }.to_owned()), ..known(f64::from(i)) };
        let scores = (0..300).map(of);
        let calibration = Calibration::new(scores);
        assert_eq!((calibration.sessions(Some("a")), calibration.sessions(Some("b"))), (250, 300));
    }

    /// Scores with many ties, split in two: the rate on the half that was not seen is the promised one.
    #[test]
    fn the_promised_rate_holds_on_sessions_that_calibration_did_not_see() {
        let mut state = 7_u64;
        let mut uniform = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let mut score = || if uniform() < 0.6 { 0.0 } else { (uniform() * 40.0).floor() / 40.0 };
        let seen: Vec<f64> = (0..20_000).map(|_| score()).collect();
        let unseen: Vec<f64> = (0..20_000).map(|_| score()).collect();
        let calibration = Calibration::new(seen.into_iter().map(known));
        for promised in [0.01, 0.05] {
            let hits = unseen.iter().enumerate().filter(|(i, score)| {
                calibration.p_value(None, &[**score], (*i as f64 * 0.618_034).fract()) <= promised
            });
            let rate = hits.count() as f64 / unseen.len() as f64;
            assert!((rate / promised - 1.0).abs() < 0.25, "{rate} for {promised}");
        }
    }

    #[test]
    fn discoveries_are_those_of_the_published_example() {
        // Benjamini and Hochberg 1995, section 3: 15 p-values, four rejected at 0.05.
        let p = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528,
            0.7590, 1.0,
        ];
        assert_eq!(benjamini_hochberg(&p, 0.05), Some(0.0095));
        assert_eq!(benjamini_hochberg(&[0.9, 0.8], 0.05), None);
        assert_eq!(benjamini_hochberg(&[], 0.05), None);
    }
}
