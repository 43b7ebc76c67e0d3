//! A random forest (Breiman, Machine Learning 45, 2001): trees on bootstrap samples, each split the best of a few features drawn at random.
//!
//! linfa-ensemble 0.8 has a forest too. It answers with the class that most trees vote for, where a rank among sessions needs a share; it draws the features of a whole
//! tree instead of each split's, and does not tell what each feature adds to an answer. Here that is the change of the mean along the paths (Palczewska, Palczewski,
//! Robinson and Neagu, Information Reuse and Integration, 2013).

use super::bins::{Column, MAX_BINS};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Trees of a forest.
pub(super) const TREES: usize = 60;
/// Rows that a leaf has at least.
const MIN_LEAF: usize = 8;
const MAX_DEPTH: usize = 20;

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
    pub fn fit(examples: &[&Example], seed: u64, trees: usize) -> Option<Self> {
        let width = examples.first()?.features.len();
        let total = |positive: bool| examples.iter().filter(|e| e.positive == positive).map(|e| e.weight).sum::<f64>();
        let (good, bad) = (total(false), total(true));
        if width == 0 || good <= 0.0 || bad <= 0.0 || examples.iter().any(|example| example.features.len() != width) {
            return None;
        }
        let weights: Vec<f64> = examples.iter().map(|e| e.weight / if e.positive { bad } else { good }).collect();
        let column = |at: usize| Column::new(examples.iter().map(|example| example.features[at]), &weights);
        let columns: Vec<Column> = (0..width).into_par_iter().map(column).collect();
        let of_kinds = |(e, weight): (&&Example, &f64)| if e.positive { [0.0, *weight] } else { [*weight, 0.0] };
        let weights: Vec<[f64; 2]> = examples.iter().zip(&weights).map(of_kinds).collect();
        // Each tree has numbers of its own, so that their order does not matter.
        let grown = |number: usize| {
            let mut draw = Draw::new(seed.wrapping_mul(0x9e37_79b9).wrapping_add(number as u64));
            let mut rows: Vec<u32> = (0..examples.len()).map(|_| draw.below(examples.len()) as u32).collect();
            let mut grower = Grower {
                columns: &columns,
                weights: &weights,
                draw: &mut draw,
                tree: Tree::default(),
                bins: [Bin::default(); MAX_BINS],
            };
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

/// Rows of a node that lie in one bin of a column: how many, and the weight of each kind.
#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    rows: usize,
    weights: [f64; 2],
}

impl Bin {
    fn add(&mut self, rows: usize, weights: [f64; 2]) {
        self.rows += rows;
        self.weights = [self.weights[0] + weights[0], self.weights[1] + weights[1]];
    }

    fn without(&self, other: &Self) -> Self {
        let weight = |kind: usize| self.weights[kind] - other.weights[kind];
        Self { rows: self.rows - other.rows, weights: [weight(0), weight(1)] }
    }

    fn weight(&self) -> f64 {
        self.weights[0] + self.weights[1]
    }

    /// Gini's impurity, times the weight.
    fn impurity(&self) -> f64 {
        let all = self.weight();
        if all > 0.0 { 2.0 * self.weights[0] * self.weights[1] / all } else { 0.0 }
    }
}

struct Grower<'a> {
    columns: &'a [Column],
    /// Of each example as an honest and as a positive one; one of the two is 0.
    weights: &'a [[f64; 2]],
    draw: &'a mut Draw,
    tree: Tree,
    /// Of the column that is looked at; empty in between.
    bins: [Bin; MAX_BINS],
}

impl Grower<'_> {
    /// Grows the tree of these rows; gives the number of its root.
    fn grow(&mut self, rows: &mut [u32], depth: usize) -> usize {
        let mut node = Bin::default();
        rows.iter().for_each(|row| node.add(1, self.weights[*row as usize]));
        let at = self.tree.feature.len();
        let share = if node.weight() > 0.0 { node.weights[1] / node.weight() } else { 0.0 };
        self.tree.feature.push(-1);
        self.tree.threshold.push(0.0);
        self.tree.right.push(0);
        self.tree.mean.push(share.clamp(0.0, 1.0) as f32);
        if depth >= MAX_DEPTH || rows.len() < 2 * MIN_LEAF || node.weights.iter().any(|weight| *weight <= 0.0) {
            return at;
        }
        let Some((feature, cut)) = self.split(rows, &node) else { return at };
        let column = &self.columns[feature];
        let mut left = 0;
        for i in 0..rows.len() {
            if usize::from(column.bins[rows[i] as usize]) <= cut {
                rows.swap(left, i);
                left += 1;
            }
        }
        let (low, high) = rows.split_at_mut(left);
        self.tree.feature[at] = feature as i16;
        self.tree.threshold[at] = column.cuts[cut];
        self.grow(low, depth + 1);
        self.tree.right[at] = self.grow(high, depth + 1) as u32;
        at
    }

    /// The best split of some features drawn at random, by the decrease of impurity: the feature, and the last of its bins that goes left.
    fn split(&mut self, rows: &[u32], node: &Bin) -> Option<(usize, usize)> {
        let columns = self.columns;
        let width = columns.len();
        let tries = (width as f64).sqrt().round().max(1.0) as usize;
        let mut best: Option<(f64, usize, usize)> = None;
        let mut order: Vec<usize> = (0..width).collect();
        let mut tried = 0;
        for i in 0..width {
            let j = i + self.draw.below(width - i);
            order.swap(i, j);
            let (mut first, mut last) = (MAX_BINS, 0);
            for row in rows {
                let bin = usize::from(columns[order[i]].bins[*row as usize]);
                self.bins[bin].add(1, self.weights[*row as usize]);
                (first, last) = (first.min(bin), last.max(bin));
            }
            let mut left = Bin::default();
            for bin in first..=last {
                let here = std::mem::take(&mut self.bins[bin]);
                left.add(here.rows, here.weights);
                let right = node.without(&left);
                if here.rows > 0 && left.rows >= MIN_LEAF && right.rows >= MIN_LEAF {
                    let impurity = left.impurity() + right.impurity();
                    if best.is_none_or(|(least, ..)| impurity < least) {
                        best = Some((impurity, order[i], bin));
                    }
                }
            }
            tried += usize::from(first < last);
            if tried >= tries && best.is_some() {
                break;
            }
        }
        best.filter(|(impurity, ..)| *impurity < node.impurity() - 1e-12).map(|(_, feature, cut)| (feature, cut))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(examples: &[Example], seed: u64) -> Option<Forest> {
        Forest::fit(&examples.iter().collect::<Vec<_>>(), seed, TREES)
    }

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
        let forest = fit(&examples[..2000], 1).expect("both kinds");
        let right = examples[2000..].iter().filter(|e| (forest.predict(&e.features) > 0.5) == e.positive).count();
        assert!(right > 940, "{right} of 1000");
        let shares = forest.contributions(&[0.0, 0.0, 0.5]);
        assert!(shares[0] > 0.1 && shares[1] > 0.1 && shares[2].abs() < 0.05, "{shares:?}");
        assert_eq!(forest, fit(&examples[..2000], 1).expect("again"), "one seed, one forest");
        assert!(forest.is_sound(3) && !forest.is_sound(1) && !Forest::default().is_sound(3));
    }

    #[test]
    fn contributions_add_up_to_the_answer() {
        let forest = fit(&ring(500), 3).expect("both kinds");
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
        assert!(fit(&[], 1).is_none());
        assert!(fit(&[example(true, &[1.0])], 1).is_none());
        assert!(fit(&[example(true, &[1.0]), example(false, &[1.0, 2.0])], 1).is_none());
        let constant: Vec<Example> = (0..40).map(|i| example(i % 2 == 0, &[7.0, f32::NAN])).collect();
        let forest = fit(&constant, 1).expect("both kinds");
        assert!((forest.predict(&[7.0, 0.0]) - 0.5).abs() < 0.1);
    }
}
