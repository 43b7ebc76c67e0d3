//! How surprising the next call is after those before it: a variable-order Markov model.
//!
//! Predictions of all orders are blended from the shortest context to the longest, each weighed by how often it was seen and with how many successors
//! (Witten and Bell, IEEE Transactions on Information Theory 37, 1991, method C; as in PPM of Cleary and Witten, IEEE Transactions on Communications 32, 1984,
//! without exclusion). Of each order the fleet speaks first, then the server, the client and the agent: who has little history is told by the others.

use super::hash::mix;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Calls before one that it is predicted from.
pub(super) const ORDER: usize = 3;
/// Contexts that are kept; beyond, no new ones are learned.
const MAX_CONTEXTS: usize = 200_000;
/// Successors of one context that are kept.
const MAX_SUCCESSORS: usize = 2_000;
/// Calls of one session that are learned: a loop of thousands must not become what is usual.
const MAX_CALLS: usize = 500;

/// How often each symbol followed one context.
#[derive(Clone, Debug, Default, PartialEq)]
struct Context {
    total: u32,
    successors: HashMap<u64, u32, ahash::RandomState>,
}

/// Counts of all contexts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, Vec<(u64, u32)>)>", into = "Vec<(u64, Vec<(u64, u32)>)>")]
pub(super) struct Sequence {
    contexts: HashMap<u64, Context, ahash::RandomState>,
}

impl From<Sequence> for Vec<(u64, Vec<(u64, u32)>)> {
    fn from(sequence: Sequence) -> Self {
        let sorted = |context: Context| {
            let mut successors: Vec<(u64, u32)> = context.successors.into_iter().collect();
            successors.sort_unstable();
            successors
        };
        let mut all: Self = sequence.contexts.into_iter().map(|(hash, context)| (hash, sorted(context))).collect();
        all.sort_unstable_by_key(|(hash, _)| *hash);
        all
    }
}

impl From<Vec<(u64, Vec<(u64, u32)>)>> for Sequence {
    fn from(all: Vec<(u64, Vec<(u64, u32)>)>) -> Self {
        let context = |successors: Vec<(u64, u32)>| Context {
            total: successors.iter().fold(0, |sum, (_, n)| sum.saturating_add(*n)),
            successors: successors.into_iter().collect(),
        };
        Self { contexts: all.into_iter().map(|(hash, successors)| (hash, context(successors))).collect() }
    }
}

/// The context of each order, 0 to [`ORDER`], of the symbol behind these.
fn contexts(before: &[u64]) -> [Option<u64>; ORDER + 1] {
    let mut found = [None; ORDER + 1];
    let mut hash = 0;
    for (order, place) in found.iter_mut().enumerate() {
        if order > 0 {
            let Some(symbol) = before.len().checked_sub(order).and_then(|at| before.get(at)) else { break };
            hash = mix(hash, *symbol);
        }
        *place = Some(mix(hash, order as u64));
    }
    found
}

impl Sequence {
    /// Learns one session; `scopes` of each call are those that speak for it, the most general first.
    pub(super) fn learn<const N: usize>(&mut self, symbols: &[u64], scopes: impl Fn(usize) -> [u64; N]) {
        for at in 0..symbols.len().min(MAX_CALLS) {
            let before = &symbols[at.saturating_sub(ORDER)..at];
            for context in contexts(before).into_iter().flatten() {
                for scope in scopes(at) {
                    let hash = mix(context, scope);
                    if self.contexts.len() >= MAX_CONTEXTS && !self.contexts.contains_key(&hash) {
                        continue;
                    }
                    let known = self.contexts.entry(hash).or_default();
                    if known.successors.len() < MAX_SUCCESSORS || known.successors.contains_key(&symbols[at]) {
                        *known.successors.entry(symbols[at]).or_default() += 1;
                        known.total = known.total.saturating_add(1);
                    }
                }
            }
        }
    }

    /// The probability of a symbol behind others, greater than 0. `alphabet` is the number of symbols that there are, unseen ones together counting as one.
    pub(super) fn probability<const N: usize>(
        &self,
        before: &[u64],
        symbol: u64,
        scopes: [u64; N],
        alphabet: usize,
    ) -> f64 {
        let mut p = 1.0 / (alphabet + 1) as f64;
        for context in contexts(before).into_iter().flatten() {
            for scope in scopes {
                let Some(known) = self.contexts.get(&mix(context, scope)) else { continue };
                let count = f64::from(known.successors.get(&symbol).copied().unwrap_or_default());
                let kinds = known.successors.len() as f64;
                p = (count + kinds * p) / (f64::from(known.total) + kinds);
            }
        }
        p
    }

    /// Contexts that are known.
    pub(super) fn size(&self) -> usize {
        self.contexts.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_those_of_witten_and_bell() {
        let mut sequence = Sequence::default();
        // a b a b a c: by hand, one scope, orders 0 and 1.
        sequence.learn(&[1, 2, 1, 2, 1, 3], |_| [0]);
        // Order 0: 3 a, 2 b, 1 c of 6 with 3 kinds; below it a quarter for each of three symbols and the unseen.
        let zero = |count: f64| (count + 3.0 * 0.25) / 9.0;
        assert!((sequence.probability(&[], 2, [0], 3) - zero(2.0)).abs() < 1e-12);
        assert!((sequence.probability(&[], 9, [0], 3) - zero(0.0)).abs() < 1e-12);
        // Behind a: 2 b, 1 c of 3 with 2 kinds.
        let one = (2.0 + 2.0 * zero(2.0)) / 5.0;
        assert!((sequence.probability(&[1], 2, [0], 3) - one).abs() < 1e-12);
        let sum: f64 = [1, 2, 3, 9].map(|symbol| sequence.probability(&[7, 1], symbol, [0], 3)).iter().sum();
        assert!((sum - 1.0).abs() < 1e-12, "{sum}");
    }

    #[test]
    fn who_has_no_history_is_told_by_the_fleet() {
        let mut sequence = Sequence::default();
        for _ in 0..50 {
            sequence.learn(&[1, 2, 3], |_| [0, 10]);
            sequence.learn(&[1, 3, 2], |_| [0, 20]);
        }
        let [fresh, own, other] = [30, 10, 20].map(|agent| sequence.probability(&[1], 2, [0, agent], 3));
        assert!(own > 0.9 && other < 0.1 && (0.3..0.7).contains(&fresh), "{own} {other} {fresh}");
        assert!((Sequence::default().probability(&[], 1, [0], 0) - 1.0).abs() < 1e-12, "nothing known, one symbol");
        let text = serde_json::to_string(&sequence).expect("numbers");
        assert_eq!(serde_json::from_str::<Sequence>(&text).expect("its own text"), sequence);
    }
}
