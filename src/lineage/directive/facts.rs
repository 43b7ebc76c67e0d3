//! How well one call and one order fit: the parts of the score.

use super::call::CallText;
use super::identifier::{Sought, found_in, stands_in};
use super::order::{Match, Order, distinct, named};
use super::trigrams::Trigrams;
use super::words::Token;
use memchr::memmem::Finder;
use std::collections::{HashMap, HashSet};

/// What is the same for all orders that one call is compared with.
pub(super) struct Facts<'a> {
    call: &'a CallText,
    /// The number of its tool, if it was expected.
    tool: Option<usize>,
    /// See [`Directives::weights`].
    weights: &'a [[f64; 2]],
    total: f64,
    total_new: f64,
    /// Identifiers that are new.
    fresh: Vec<Sought<'a>>,
    /// Values that are looked for verbatim, each with what finds it.
    verbatim: Vec<(&'a str, Finder<'a>, Trigrams)>,
    /// How many of them are no dates or times.
    lasting: usize,
}

/// The parts of one score.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) score: f64,
    coverage: f64,
    new_coverage: f64,
    exact: usize,
    exact_share: f64,
    new_identifiers: usize,
    action: f64,
    synonym: bool,
}

impl<'a> Facts<'a> {
    pub(super) fn of(
        call: &'a CallText,
        tool: Option<usize>,
        weights: &'a [[f64; 2]],
        known: &HashSet<Token, ahash::RandomState>,
    ) -> Self {
        let is_new = |token: &Token| !known.contains(token);
        Self {
            call,
            tool,
            weights,
            total: call.tokens().map(|(_, weight)| weight).sum(),
            total_new: call.tokens().filter(|(token, _)| is_new(token)).map(|(_, weight)| weight).sum(),
            fresh: call
                .identifiers
                .iter()
                .filter(|identifier| is_new(&named(&identifier.value)))
                .map(Sought::new)
                .collect(),
            lasting: call.leaves.iter().filter(|leaf| leaf.verbatim && !leaf.is_moment()).count(),
            verbatim: call
                .leaves
                .iter()
                .filter(|leaf| leaf.verbatim)
                .map(|leaf| (leaf.low.as_str(), Finder::new(&leaf.low), Trigrams::of(&leaf.low)))
                .collect(),
        }
    }

    /// The score of an order; `None` if it is not above the least that is asked for.
    pub(super) fn score(&self, order: &Order, least: f64) -> Option<Parts> {
        let (mut covered, mut covered_new) = (0.0, 0.0);
        for number in &order.near {
            let [weight, new] = self.weights[*number as usize];
            covered += weight;
            covered_new += new;
        }
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let mut parts = Parts {
            coverage: share(covered, self.total),
            new_coverage: share(covered_new, self.total_new),
            // As much as can be, until the texts have been looked at.
            exact_share: f64::from(u8::from(!self.verbatim.is_empty())),
            new_identifiers: self.fresh.len(),
            action: match self.tool.and_then(|tool| order.actions.get(tool)) {
                Some(action) => *action,
                None => self.call.tool.cosine_of(&order.own, order.length),
            },
            // Of what the order asks for besides, the tool's name has to say that it does that: `files` in it does not add.
            synonym: order.verb & self.call.tool.groups != 0 || order.more & self.call.tool.verb != 0,
            ..Parts::default()
        };
        if parts.sum(order) <= least {
            return None;
        }
        let stands = |(value, finder, trigrams): &&(&str, Finder<'_>, Trigrams)| {
            order.trigrams.may_hold(trigrams) && found_in(finder, value, &order.window)
        };
        parts.exact = self.verbatim.iter().filter(stands).count();
        parts.exact_share = share(parts.exact as f64, self.lasting.max(parts.exact) as f64);
        let stands = |sought: &&Sought<'_>| sought.may_stand_in(&order.trigrams) && sought.stands_in(&order.window);
        parts.new_identifiers = self.fresh.iter().filter(stands).count();
        parts.score = parts.sum(order);
        (parts.score > least).then_some(parts)
    }
}

impl Parts {
    fn sum(&self, order: &Order) -> f64 {
        let strength = f64::from(order.strength);
        (self.new_coverage
            + 0.5 * self.coverage
            + 0.6 * self.new_identifiers.min(1) as f64
            + 0.4 * self.exact_share
            + 0.5 * f64::from(u8::from(self.synonym))
            + self.action
            + 0.3 * strength)
            * (0.6 + 0.4 * strength)
    }

    pub(super) fn told(
        self,
        order: &Order,
        call: &CallText,
        numbers: &HashMap<Token, u32, ahash::RandomState>,
    ) -> Match {
        // Plain words: without digits and what is in addresses.
        let is_plain = |word: &&str| !word.bytes().any(|b| b.is_ascii_digit() || matches!(b, b'@' | b'/' | b'_'));
        let plain = order.window[order.inside.clone()].split(' ').filter(is_plain).collect::<Vec<_>>().join(" ");
        let is_near = |token: &Token| numbers.get(token).is_some_and(|number| order.near.contains(number));
        let values = call
            .leaves
            .iter()
            .filter(|leaf| leaf.verbatim && stands_in(&leaf.low, &order.window))
            .map(|leaf| leaf.low.clone());
        let names = call
            .identifiers
            .iter()
            .filter(|identifier| identifier.stands_in(&order.window))
            .map(|identifier| identifier.value.clone());
        let mut shared: Vec<String> = values.chain(names).collect();
        shared.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        shared.dedup();
        shared.truncate(8);
        Match {
            source: order.source,
            sentence: order.sentence.to_string(),
            position: order.position,
            score: self.score,
            strength: order.strength,
            coverage: self.coverage,
            new_coverage: self.new_coverage,
            exact: self.exact,
            exact_share: self.exact_share,
            new_identifiers: self.new_identifiers,
            action: self.action,
            synonym: self.synonym,
            shared,
            tokens: call.tokens.iter().filter(|token| is_near(token)).copied().collect(),
            words: distinct(&plain).into_iter().filter(|word| call.tokens.binary_search(word).is_err()).collect(),
        }
    }
}
