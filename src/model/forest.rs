//! A random forest (Breiman, Machine Learning 45, 2001): trees on bootstrap samples, each split the best of a few features drawn at random.
//!
//! linfa-ensemble 0.8 has a forest too. It answers with the class that most trees vote for, where a rank among sessions needs a share; it draws the features of a whole
//! tree instead of each split's, and does not tell what each feature adds to an answer. Here that is the change of the mean along the paths (Palczewska, Palczewski,
//! Robinson and Neagu, Information Reuse and Integration, 2013).

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Trees of a forest.
pub(super) const TREES: usize = 60;
/// Rows that a leaf has at least.
const MIN_LEAF: usize = 8;
const MAX_DEPTH: usize = 20;
/// Distinct thresholds of one feature that are tried at one node.
const MAX_CUTS: usize = 64;

/// Pseudo-random numbers that are the same everywhere (SplitMix64; Steele, Lea and Flood, OOPSLA 2014).
#[derive(Clone, Debug)]
pub(super) struct Draw(u64);

impl Draw {
    /// The sequence of a seed.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in 0..1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number below `n`; 0 if `n` is 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n.saturating_sub(1))
    }
}

/// One example: features, whether it is positive, its weight.
#[derive(Clone, Debug)]
pub struct Example {
    pub features: Vec<f32>,
    pub positive: bool,
    pub weight: f64,
}

/// One tree, its nodes in the order of a walk that goes left first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tree {
    /// Feature that a node asks for; -1 of a leaf.
    feature: Vec<i16>,
    /// Up to it to the left, which is the next node.
    threshold: Vec<f32>,
    /// The node to the right.
    right: Vec<u32>,
    /// Share of positives at the node.
    mean: Vec<f32>,
}

/// A forest that gives the share of positives among examples like the one asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Forest {
    trees: Vec<Tree>,
}

impl Forest {
    /// Fits a forest. Both kinds of examples weigh the same together. `None` if one kind is missing or features differ in number; features that are no
    /// numbers count as 0.
    pub fn fit(examples: &[Example], seed: u64, trees: usize) -> Option<Self> {
        let width = examples.first()?.features.len();
        let total = |positive: bool| examples.iter().filter(|e| e.positive == positive).map(|e| e.weight).sum::<f64>();
        let (good, bad) = (total(false), total(true));
        if width == 0 || good <= 0.0 || bad <= 0.0 || examples.iter().any(|example| example.features.len() != width) {
            return None;
        }
        let weights: Vec<f64> = examples.iter().map(|e| e.weight / if e.positive { bad } else { good }).collect();
        let columns: Vec<Vec<f32>> = (0..width)
            .map(|at| {
                examples
                    .iter()
                    .map(|e| e.features[at])
                    .map(|value| if value.is_finite() { value } else { 0.0 })
                    .collect()
            })
            .collect();
        // Each tree has numbers of its own, so that their order does not matter.
        let grown = |number: usize| {
            let mut draw = Draw::new(seed.wrapping_mul(0x9e37_79b9).wrapping_add(number as u64));
            let mut rows: Vec<u32> = (0..examples.len()).map(|_| draw.below(examples.len()) as u32).collect();
            let tree = Tree::default();
            let mut grower = Grower { columns: &columns, examples, weights: &weights, draw: &mut draw, tree };
            grower.grow(&mut rows, 0);
            grower.tree
        };
        let trees = (0..trees).into_par_iter().map(grown).collect();
        Some(Self { trees })
    }

    /// Whether every tree is one: no node leads out of it or back, so that asking ends.
    pub fn is_sound(&self, width: usize) -> bool {
        let sound = |tree: &Tree| {
            let n = tree.feature.len();
            n > 0
                && [tree.threshold.len(), tree.right.len(), tree.mean.len()] == [n, n, n]
                && (0..n).all(|at| {
                    tree.feature[at] == -1
                        || (tree.feature[at] >= 0
                            && (tree.feature[at] as usize) < width
                            && at + 1 < n
                            && (tree.right[at] as usize) > at
                            && (tree.right[at] as usize) < n)
                })
                && tree.mean.iter().all(|mean| (0.0..=1.0).contains(mean))
        };
        !self.trees.is_empty() && self.trees.iter().all(sound)
    }

    /// The share of positives, 0..1.
    pub fn predict(&self, features: &[f32]) -> f64 {
        self.walk(features, |_, _| {})
    }

    /// What each feature adds to the answer; with the mean of all examples these add up to it.
    pub fn contributions(&self, features: &[f32]) -> Vec<f64> {
        let mut out = vec![0.0; features.len()];
        self.walk(features, |feature, change| {
            if let Some(sum) = out.get_mut(feature) {
                *sum += change / self.trees.len() as f64;
            }
        });
        out
    }

    fn walk(&self, features: &[f32], mut step: impl FnMut(usize, f64)) -> f64 {
        if self.trees.is_empty() {
            return 0.0;
        }
        let mut sum = 0.0;
        for tree in &self.trees {
            let mut at = 0;
            while tree.feature[at] >= 0 {
                let feature = tree.feature[at] as usize;
                let value = features.get(feature).copied().filter(|value| value.is_finite()).unwrap_or_default();
                let next = if value <= tree.threshold[at] { at + 1 } else { tree.right[at] as usize };
                step(feature, f64::from(tree.mean[next]) - f64::from(tree.mean[at]));
                at = next;
            }
            sum += f64::from(tree.mean[at]);
        }
        sum / self.trees.len() as f64
    }

    /// Nodes of all trees.
    pub fn size(&self) -> usize {
        self.trees.iter().map(|tree| tree.feature.len()).sum()
    }
}

struct Grower<'a> {
    columns: &'a [Vec<f32>],
    examples: &'a [Example],
    weights: &'a [f64],
    draw: &'a mut Draw,
    tree: Tree,
}

impl Grower<'_> {
    /// Grows the tree of these rows; gives the number of its root.
    fn grow(&mut self, rows: &mut [u32], depth: usize) -> usize {
        let (positive, all) = self.sums(rows);
        let at = self.tree.feature.len();
        self.tree.feature.push(-1);
        self.tree.threshold.push(0.0);
        self.tree.right.push(0);
        self.tree.mean.push(if all > 0.0 { (positive / all).clamp(0.0, 1.0) as f32 } else { 0.0 });
        if depth >= MAX_DEPTH || rows.len() < 2 * MIN_LEAF || positive <= 0.0 || positive >= all {
            return at;
        }
        let Some((feature, threshold)) = self.split(rows, positive, all) else { return at };
        let column = &self.columns[feature];
        let mut left = 0;
        for i in 0..rows.len() {
            if column[rows[i] as usize] <= threshold {
                rows.swap(left, i);
                left += 1;
            }
        }
        let (low, high) = rows.split_at_mut(left);
        self.tree.feature[at] = feature as i16;
        self.tree.threshold[at] = threshold;
        self.grow(low, depth + 1);
        self.tree.right[at] = self.grow(high, depth + 1) as u32;
        at
    }

    fn sums(&self, rows: &[u32]) -> (f64, f64) {
        rows.iter().fold((0.0, 0.0), |(positive, all), row| {
            let weight = self.weights[*row as usize];
            (positive + if self.examples[*row as usize].positive { weight } else { 0.0 }, all + weight)
        })
    }

    /// The best split of some features drawn at random, by the decrease of Gini's impurity.
    fn split(&mut self, rows: &[u32], positive: f64, all: f64) -> Option<(usize, f32)> {
        let width = self.columns.len();
        let tries = (width as f64).sqrt().round().max(1.0) as usize;
        let mut best: Option<(f64, usize, f32)> = None;
        let mut order: Vec<usize> = (0..width).collect();
        let mut tried = 0;
        for i in 0..width {
            let j = i + self.draw.below(width - i);
            order.swap(i, j);
            let feature = order[i];
            let column = &self.columns[feature];
            let mut sorted: Vec<(f32, u32)> = rows.iter().map(|row| (column[*row as usize], *row)).collect();
            sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            if sorted.first().map(|f| f.0) == sorted.last().map(|l| l.0) {
                continue;
            }
            tried += 1;
            let step = (sorted.len() / MAX_CUTS).max(1);
            let (mut left_positive, mut left) = (0.0, 0.0);
            let mut since = 0;
            for at in 0..sorted.len() - 1 {
                let row = sorted[at].1 as usize;
                left += self.weights[row];
                left_positive += if self.examples[row].positive { self.weights[row] } else { 0.0 };
                since += 1;
                let here = (sorted[at].0, sorted[at + 1].0);
                if here.0 == here.1
                    || at + 1 < MIN_LEAF
                    || sorted.len() - at - 1 < MIN_LEAF
                    || since < step && at + 1 + step < sorted.len()
                {
                    continue;
                }
                since = 0;
                let gini =
                    |positive: f64, all: f64| if all > 0.0 { 2.0 * positive * (all - positive) / all } else { 0.0 };
                let impurity = gini(left_positive, left) + gini(positive - left_positive, all - left);
                if best.is_none_or(|(least, ..)| impurity < least) {
                    let middle = here.0 + (here.1 - here.0) / 2.0;
                    best = Some((impurity, feature, if middle < here.1 { middle } else { here.0 }));
                }
            }
            if tried >= tries && best.is_some() {
                break;
            }
        }
        let before = 2.0 * positive * (all - positive) / all;
        best.filter(|(impurity, ..)| *impurity < before - 1e-12).map(|(_, feature, threshold)| (feature, threshold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(n: usize) -> Vec<Example> {
        let mut draw = Draw::new(5);
        let point = |draw: &mut Draw| {
            let (x, y) = (draw.unit() * 2.0 - 1.0, draw.unit() * 2.0 - 1.0);
            Example {
                features: vec![x as f32, y as f32, draw.unit() as f32],
                positive: x * x + y * y < 0.4,
                weight: 1.0,
            }
        };
        (0..n).map(|_| point(&mut draw)).collect()
    }

    #[test]
    fn a_forest_learns_what_no_line_separates_and_ignores_noise() {
        let examples = ring(3000);
        let forest = Forest::fit(&examples[..2000], 1, TREES).expect("both kinds");
        let right = examples[2000..].iter().filter(|e| (forest.predict(&e.features) > 0.5) == e.positive).count();
        assert!(right > 940, "{right} of 1000");
        let shares = forest.contributions(&[0.0, 0.0, 0.5]);
        assert!(shares[0] > 0.1 && shares[1] > 0.1 && shares[2].abs() < 0.05, "{shares:?}");
        assert_eq!(forest, Forest::fit(&examples[..2000], 1, TREES).expect("again"), "one seed, one forest");
        assert!(forest.is_sound(3) && !forest.is_sound(1) && !Forest::default().is_sound(3));
    }

    #[test]
    fn contributions_add_up_to_the_answer() {
        let forest = Forest::fit(&ring(500), 3, TREES).expect("both kinds");
        for features in [[0.1, 0.2, 0.3], [0.9, -0.9, 0.0], [f32::NAN, f32::INFINITY, 0.0]] {
            let root: f64 =
                forest.trees.iter().map(|tree| f64::from(tree.mean[0])).sum::<f64>() / forest.trees.len() as f64;
            let sum: f64 = forest.contributions(&features).iter().sum();
            assert!((root + sum - forest.predict(&features)).abs() < 1e-6);
        }
    }

    #[test]
    fn what_cannot_be_learned_from_gives_no_forest() {
        let example = |positive, features: &[f32]| Example { features: features.to_vec(), positive, weight: 1.0 };
        assert!(Forest::fit(&[], 1, TREES).is_none());
        assert!(Forest::fit(&[example(true, &[1.0])], 1, TREES).is_none());
        assert!(Forest::fit(&[example(true, &[1.0]), example(false, &[1.0, 2.0])], 1, TREES).is_none());
        let constant: Vec<Example> = (0..40).map(|i| example(i % 2 == 0, &[7.0, f32::NAN])).collect();
        let forest = Forest::fit(&constant, 1, TREES).expect("both kinds");
        assert!((forest.predict(&[7.0, 0.0]) - 0.5).abs() < 0.1);
    }
}
