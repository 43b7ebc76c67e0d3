//! Orders that are remembered, what is told of the one that explains a call, and tokens as sets.

use super::trigrams::Trigrams;
use super::words::{Token, token, tokens};
use std::ops::Range;

/// The order that explains a call best.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// Which result it stands in, as given to [`Directives::read`].
    pub source: usize,
    /// The sentence, white space folded, at most 1024 bytes.
    pub sentence: String,
    /// Number of the sentence in the result.
    pub position: u32,
    /// The score `m`, 0 to 4.2. Above 2 few honest calls are found.
    pub score: f64,
    /// Directive strength of the sentence, 0.6 to 1.
    pub strength: f32,
    /// Share of the arguments' idf mass in the sentence or beside it, 0..1.
    pub coverage: f64,
    /// The same over tokens that no earlier call had, 0..1.
    pub new_coverage: f64,
    /// Short values that stand there verbatim, and their share of all short values.
    pub exact: usize,
    pub exact_share: f64,
    /// Identifiers of the arguments that stand there and in no earlier call's arguments.
    pub new_identifiers: usize,
    /// Cosine between the sentence and the tool, 0..1.
    pub action: f64,
    /// Whether the order's verb and the tool's name mean alike.
    pub synonym: bool,
    /// The values that order and call share, in small letters, longest first, at most 8.
    pub shared: Vec<String>,
    /// Distinct tokens of the call's values that stand in or beside the order, sorted.
    pub tokens: Vec<Token>,
    /// Distinct tokens of the sentence that are plain words and none of the call's values, sorted.
    pub words: Vec<Token>,
}

impl Match {
    /// The untrained rule: `min(m, 3.5) / 3.5 + 0.2 · min(exact, 3) / 3`, 0..1.2.
    pub fn rule(&self) -> f64 {
        self.score.min(3.5) / 3.5 + 0.2 * self.exact.min(3) as f64 / 3.0
    }
}

pub(super) struct Order {
    pub(super) source: usize,
    pub(super) position: u32,
    pub(super) sentence: Box<str>,
    /// Sentence and neighbours in small letters, and where in them the sentence stands.
    pub(super) window: Box<str>,
    pub(super) inside: Range<usize>,
    pub(super) trigrams: Trigrams,
    /// Distinct tokens of the sentence, sorted, with their weights, and the length of that vector.
    pub(super) own: Box<[(Token, f64)]>,
    pub(super) length: f64,
    /// Its cosine with each of the tools that are expected.
    pub(super) actions: Box<[f64]>,
    /// Numbers of the distinct tokens of the window, in the order of the tokens; of those that are expected, if that is known.
    pub(super) near: Box<[u32]>,
    pub(super) strength: f32,
    pub(super) verb: u16,
    /// Groups of the verbs that go on from it.
    pub(super) more: u16,
}

/// The distinct tokens of a text, sorted.
pub(super) fn distinct(low: &str) -> Vec<Token> {
    let mut found = Vec::new();
    tokens(low, |token| found.push(token));
    sorted(found)
}

pub(super) fn sorted(mut tokens: Vec<Token>) -> Vec<Token> {
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}

/// An identifier among tokens.
pub(super) fn named(value: &str) -> Token {
    token(value.as_bytes()).rotate_left(17)
}
