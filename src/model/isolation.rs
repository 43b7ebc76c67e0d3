//! An isolation forest: what few random cuts set apart from the rest is strange.
//!
//! Liu, Ting and Zhou, Isolation-based Anomaly Detection, ACM TKDD 6, 2012: trees on samples of 256 rows, the score 2^(-mean depth / c(256)). linfa 0.8 has none.

use super::forest::Draw;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Trees, and rows that each is grown on.
const TREES: usize = 100;
const SAMPLE: usize = 256;
const MAX_DEPTH: usize = 8;
/// Euler's constant.
const GAMMA: f64 = 0.577_215_664_901_532_9;
/// Marks a leaf.
const LEAF: u16 = u16::MAX;

/// The mean length of an unsuccessful search in a binary search tree of `n` rows: 2 H(n-1) - 2 (n-1)/n, H(i) taken as ln i + γ as in the paper.
fn mean_depth(n: usize) -> f64 {
    match n {
        0 | 1 => 0.0,
        2 => 1.0,
        _ => {
            let before = (n - 1) as f64;
            2.0 * (before.ln() + GAMMA) - 2.0 * before / n as f64
        }
    }
}

/// One node: at a cut the feature, the threshold and the right child (the left one follows); at a leaf the whole depth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Node(u16, f32, u16);

/// A forest that says how easily a row is set apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IsolationForest {
    trees: Vec<Vec<Node>>,
    /// Rows of each tree's sample.
    sample: usize,
    width: usize,
}

impl IsolationForest {
    /// Grows a forest on rows of one width, one after the other in `values`. Values that are no numbers count as 0. `None` of nothing, and of fewer than two rows.
    pub fn fit(values: &[f32], width: usize, seed: u64) -> Option<Self> {
        let rows = values.len().checked_div(width)?;
        if rows < 2 || width >= usize::from(LEAF) {
            return None;
        }
        let sample = rows.min(SAMPLE);
        let grown = |number: usize| {
            let mut draw = Draw::new(seed.wrapping_mul(0x9e37_79b9).wrapping_add(number as u64));
            // Floyd's way of drawing without repetition keeps the sample small whatever the number of rows.
            let mut chosen: Vec<usize> = Vec::with_capacity(sample);
            for last in rows - sample..rows {
                let one = draw.below(last + 1);
                chosen.push(if chosen.contains(&one) { last } else { one });
            }
            let mut tree = Vec::new();
            grow(&mut tree, &mut chosen, values, width, 0, &mut draw);
            tree
        };
        Some(Self { trees: (0..TREES).into_par_iter().map(grown).collect(), sample, width })
    }

    /// How strange a row is: above 0.5 it is set apart sooner than the mean, near 1 at once. A forest of nothing says 0.5.
    pub fn score(&self, row: &[f32]) -> f64 {
        let normal = mean_depth(self.sample);
        if self.trees.is_empty() || normal <= 0.0 {
            return 0.5;
        }
        let depth: f64 =
            self.trees.iter().map(|tree| f64::from(depth(tree, row))).sum::<f64>() / self.trees.len() as f64;
        (-depth / normal).exp2()
    }

    /// Scores of many rows, one after the other in `values`.
    pub fn scores(&self, values: &[f32]) -> Vec<f64> {
        values.par_chunks(self.width.max(1)).map(|row| self.score(row)).collect()
    }

    /// Whether every way through a tree ends.
    pub fn is_sound(&self) -> bool {
        let ends = |tree: &Vec<Node>| {
            let inside = |(at, node): (usize, &Node)| {
                node.0 == LEAF
                    || usize::from(node.0) < self.width
                        && at + 1 < tree.len()
                        && usize::from(node.2) > at
                        && usize::from(node.2) < tree.len()
            };
            !tree.is_empty() && tree.iter().enumerate().all(inside)
        };
        self.trees.iter().all(ends)
    }
}

fn number(value: f32) -> f32 {
    if value.is_finite() { value } else { 0.0 }
}

fn depth(tree: &[Node], row: &[f32]) -> f32 {
    let mut at = 0;
    while let Some(Node(feature, threshold, right)) = tree.get(at) {
        if *feature == LEAF {
            return *threshold;
        }
        let value = number(row.get(usize::from(*feature)).copied().unwrap_or_default());
        at = if value < *threshold { at + 1 } else { usize::from(*right) };
    }
    0.0
}

fn grow(tree: &mut Vec<Node>, rows: &mut [usize], values: &[f32], width: usize, depth: usize, draw: &mut Draw) {
    let at = tree.len();
    tree.push(Node(LEAF, (depth as f64 + mean_depth(rows.len())) as f32, 0));
    if depth >= MAX_DEPTH || rows.len() < 2 {
        return;
    }
    let value = |row: usize, feature: usize| number(values[row * width + feature]);
    // A constant feature cannot cut: another one is drawn, each at most once.
    let mut left: Vec<usize> = (0..width).collect();
    while !left.is_empty() {
        let feature = left.swap_remove(draw.below(left.len()));
        let (low, high) = rows.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), row| {
            let value = value(*row, feature);
            (low.min(value), high.max(value))
        });
        if low >= high {
            continue;
        }
        // In f64: the difference of two finite f32 may be infinite.
        let cut = (f64::from(low) + (f64::from(high) - f64::from(low)) * draw.unit()) as f32;
        let cut = if cut <= low { high } else { cut };
        let mut below = 0;
        for i in 0..rows.len() {
            if value(rows[i], feature) < cut {
                rows.swap(below, i);
                below += 1;
            }
        }
        let (low, high) = rows.split_at_mut(below);
        grow(tree, low, values, width, depth + 1, draw);
        let right = tree.len() as u16;
        tree[at] = Node(feature as u16, cut, right);
        grow(tree, high, values, width, depth + 1, draw);
        return;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_depth_is_that_of_the_paper() {
        // c(256) = 10.244770920119917 (scikit-learn's _average_path_length); c(2) = 1, c(1) = 0.
        assert!((mean_depth(256) - 10.244_770_92).abs() < 1e-4, "{}", mean_depth(256));
        assert_eq!([mean_depth(0), mean_depth(1), mean_depth(2)], [0.0, 0.0, 1.0]);
    }

    #[test]
    fn two_rows_are_told_apart_at_once() {
        // Each tree cuts once, so both depths are 1 = c(2): score 1/2.
        let forest = IsolationForest::fit(&[0.0, 1.0], 1, 1).expect("two rows");
        assert_eq!(forest.scores(&[0.0, 1.0]), [0.5, 0.5]);
    }

    #[test]
    fn what_lies_apart_scores_highest_and_one_seed_gives_one_forest() {
        let mut draw = Draw::new(3);
        let mut values: Vec<f32> = (0..3000).map(|_| (draw.unit() + draw.unit() + draw.unit()) as f32).collect();
        values.extend([9.0, 9.0, 9.0]);
        let forest = IsolationForest::fit(&values, 3, 1).expect("rows");
        let scores = forest.scores(&values);
        let (last, rest) = scores.split_last().expect("rows");
        assert!(rest.iter().all(|score| score < last) && *last > 0.7, "{last}");
        assert!(forest.is_sound() && forest == IsolationForest::fit(&values, 3, 1).expect("again"));
    }

    #[test]
    fn empty_constant_missing_and_infinite_rows_have_results() {
        assert!(IsolationForest::fit(&[], 3, 1).is_none() && IsolationForest::fit(&[1.0], 1, 1).is_none());
        assert!(IsolationForest::fit(&[1.0], 0, 1).is_none());
        assert_eq!(IsolationForest::default().score(&[1.0]), 0.5);
        let constant = IsolationForest::fit(&[7.0; 40], 2, 1).expect("rows");
        // A leaf at the root has the normal depth of all rows.
        assert!((constant.score(&[7.0, 7.0]) - 0.5).abs() < 1e-6);
        let wild = IsolationForest::fit(&[f32::NAN, f32::INFINITY, f32::MIN, f32::MAX, 0.0, 1.0], 2, 1).expect("rows");
        assert!([[f32::NAN, 0.0], [f32::MAX, f32::MIN]].iter().all(|row| wild.score(row).is_finite()));
        assert!(wild.score(&[]).is_finite());
    }
}
