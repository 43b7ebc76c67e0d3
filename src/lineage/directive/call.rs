//! What a call says: the words of its tool, the values of its arguments, ready to be compared with sentences.

use super::identifier::{Identifier, identifiers};
use super::idf::Idf;
use super::verbs;
use super::words::{Token, lower, name_words, of_word, tokens};
use crate::lineage::seen::letters;
use crate::source::json::{self, Escapes, Visitor};
use std::collections::HashMap;
use std::sync::Arc;

/// Values of one call that are compared.
const MAX_LEAVES: usize = 256;
/// Characters of one value that are read for tokens and identifiers.
const MAX_VALUE: usize = 400;
/// Bytes of a description that are read.
const MAX_DESCRIPTION: usize = 4096;
/// A value of more words is a text, and nobody looks for it verbatim.
const SHORT: usize = 8;

/// What a date or a time weighs at most beside other values.
const MOMENT: f64 = 1.0;

/// Weight up to which a value of one word stands in a text by chance: `file`, `yes`, `Monday`.
const USUAL: f64 = 3.2;

/// What is known of a tool: made once for each tool, used for each of its calls.
#[derive(Clone, Debug, Default)]
pub struct ToolText {
    /// Tokens of the name.
    pub(crate) name: Vec<Token>,
    /// Groups of like words that the name belongs to.
    pub(crate) groups: u16,
    /// Groups of the first word of the name that belongs to any: what the tool does, mostly.
    pub(crate) verb: u16,
    /// Weight of each token of name (three times), description and argument names; of length 1.
    vector: HashMap<Token, f64, ahash::RandomState>,
}

impl ToolText {
    /// Reads a tool's name, its description and its input schema (JSON text), as far as they are known.
    pub fn new(name: &str, description: Option<&str>, input_schema: Option<&str>, idf: &Idf) -> Self {
        let name: Vec<Token> = name_words(name).iter().map(|word| of_word(word)).collect();
        let mut count: HashMap<Token, f64, ahash::RandomState> = HashMap::default();
        name.iter().for_each(|token| *count.entry(*token).or_default() += 3.0);
        if let Some(description) = description {
            let head = &description[..description.floor_char_boundary(MAX_DESCRIPTION)];
            let low: String = head.chars().map(lower).collect();
            tokens(&low, |token| *count.entry(token).or_default() += 1.0);
        }
        if let Some(schema) = input_schema
            && let Ok(schema) = json::Object::parse(schema)
        {
            for (key, _) in schema.object("properties").members().iter().take(MAX_LEAVES) {
                name_words(key).iter().for_each(|word| *count.entry(of_word(word)).or_default() += 1.0);
            }
        }
        let mut vector: Vec<(Token, f64)> =
            count.into_iter().map(|(token, n)| (token, (1.0 + n.ln()) * idf.weight(token))).collect();
        // Sums of floats depend on their order.
        vector.sort_unstable_by_key(|(token, _)| *token);
        let length = vector.iter().map(|(_, weight)| weight * weight).sum::<f64>().sqrt();
        let vector =
            vector.into_iter().map(|(token, weight)| (token, weight / length.max(f64::MIN_POSITIVE))).collect();
        let groups = name.iter().fold(0, |groups, token| groups | verbs::groups(*token));
        let verb = name.iter().map(|token| verbs::groups(*token)).find(|groups| *groups != 0).unwrap_or_default();
        Self { name, groups, verb, vector }
    }

    /// The words of name, description and argument names, each with its weight.
    pub(super) fn words(&self) -> impl Iterator<Item = (Token, f64)> {
        self.vector.iter().map(|(token, weight)| (*token, *weight))
    }

    /// Groups of like words that the name belongs to, one bit each.
    pub(crate) fn groups(&self) -> u16 {
        self.groups
    }

    /// The cosine between this tool and a set of distinct tokens, both weighted by idf. 0..1.
    pub fn cosine(&self, distinct: &[Token], idf: &Idf) -> f64 {
        let (mut dot, mut square) = (0.0, 0.0);
        for token in distinct {
            let weight = idf.weight(*token);
            square += weight * weight;
            dot += weight * self.vector.get(token).copied().unwrap_or_default();
        }
        if square > 0.0 { dot / square.sqrt() } else { 0.0 }
    }

    /// The same with tokens whose weights, and the length of them as a vector, are known.
    pub(crate) fn cosine_of(&self, weighted: &[(Token, f64)], length: f64) -> f64 {
        let part = |(token, weight): &(Token, f64)| weight * self.vector.get(token).copied().unwrap_or_default();
        let dot: f64 = weighted.iter().map(part).sum();
        if length > 0.0 { dot / length } else { 0.0 }
    }
}

/// One value of the arguments.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    /// In small letters, white space folded.
    pub(crate) low: String,
    /// Short enough, and telling enough, to be looked for verbatim.
    pub(crate) verbatim: bool,
    kind: Kind,
}

impl Leaf {
    /// Whether it is a date or a time, which an order tells in other words.
    pub(crate) fn is_moment(&self) -> bool {
        self.kind == Kind::Moment
    }
}

/// What a value is, as far as that says how much of the call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Short,
    /// More words than one looks for verbatim.
    Long,
    /// A date or a time: orders say `tomorrow morning`, and the agent writes it out.
    Moment,
}

/// One call, as sentences are compared with it.
#[derive(Clone, Debug)]
pub struct CallText {
    pub(crate) tool: Arc<ToolText>,
    pub(crate) leaves: Vec<Leaf>,
    /// Distinct tokens of the values, sorted.
    pub(crate) tokens: Vec<Token>,
    /// How much each of them is of the call.
    pub(crate) weights: Vec<f64>,
    pub(crate) identifiers: Vec<Identifier>,
}

impl CallText {
    /// Reads a call's arguments: JSON text, or whatever the log had instead.
    pub fn read(tool: Arc<ToolText>, arguments: &str, idf: &Idf) -> Self {
        let mut values = Values { text: arguments, leaves: Vec::new() };
        let start = json::skip_space(arguments.as_bytes(), 0);
        if json::walk(arguments.as_bytes(), start, &mut Vec::new(), &mut values).is_none() {
            values.leaves.clear();
            values.add(&arguments[..arguments.floor_char_boundary(MAX_VALUE * 16)]);
        }
        let mut leaves = values.leaves;
        let mut weighed: Vec<(Token, f64, usize)> = Vec::new();
        let mut masses: Vec<f64> = Vec::with_capacity(leaves.len());
        let mut found: Vec<Identifier> = Vec::new();
        for (at, leaf) in leaves.iter_mut().enumerate() {
            let head = &leaf.low[..leaf.low.floor_char_boundary(MAX_VALUE)];
            let mut weight = 0.0;
            tokens(head, |token| {
                let of_token = idf.weight(token);
                weighed.push((token, of_token, at));
                weight += of_token;
            });
            masses.push(weight);
            leaf.verbatim &= weight > USUAL || leaf.low.contains(|c: char| c == ' ' || c.is_ascii_digit());
            for identifier in identifiers(head) {
                if !found.contains(&identifier) && found.len() < MAX_LEAVES {
                    found.push(identifier);
                }
            }
        }
        // A text is one value of the call, not most of it: it weighs no more than the heaviest short one. What an order has copied out of a file is not in the order.
        let of_kind = |kind: Kind| leaves.iter().zip(&masses).filter(move |(leaf, _)| leaf.kind == kind);
        let heaviest = of_kind(Kind::Short).map(|(_, mass)| *mass).fold(0.0, f64::max);
        let scale = |at: usize| {
            let most = match leaves[at].kind {
                Kind::Short => return 1.0,
                Kind::Long if heaviest > 0.0 => heaviest,
                Kind::Moment if heaviest > 0.0 => MOMENT,
                _ => return 1.0,
            };
            (most / masses[at].max(f64::MIN_POSITIVE)).min(1.0)
        };
        let scales: Vec<f64> = (0..leaves.len()).map(scale).collect();
        weighed.iter_mut().for_each(|(_, weight, at)| *weight *= scales[*at]);
        // Of a token that stands in several values, the greatest weight.
        weighed.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
        weighed.dedup_by_key(|(token, ..)| *token);
        let (tokens, weights) = weighed.into_iter().map(|(token, weight, _)| (token, weight)).unzip();
        Self { tool, leaves, tokens, weights, identifiers: found }
    }

    /// Its tool.
    pub fn tool(&self) -> &Arc<ToolText> {
        &self.tool
    }

    /// The distinct tokens of the values, sorted, each with how much of the call it is.
    pub fn tokens(&self) -> impl Iterator<Item = (Token, f64)> {
        self.tokens.iter().copied().zip(self.weights.iter().copied())
    }

    /// The identifiers among the values.
    pub fn identifiers(&self) -> &[Identifier] {
        &self.identifiers
    }

    /// The same, taken out of it.
    pub fn into_identifiers(self) -> Vec<Identifier> {
        self.identifiers
    }
}

/// Collects the scalar values of arguments; `true`, `false` and `null` say nothing.
struct Values<'a> {
    text: &'a str,
    leaves: Vec<Leaf>,
}

impl Values<'_> {
    fn add(&mut self, value: &str) {
        if self.leaves.len() >= MAX_LEAVES {
            return;
        }
        let value = &value[..value.floor_char_boundary(MAX_VALUE * 16)];
        let mut low = String::with_capacity(value.len());
        let mut words = 0;
        for word in value.split_whitespace() {
            if words > 0 {
                low.push(' ');
            }
            words += 1;
            low.extend(letters(word).filter(|c| *c != '\\').map(lower));
        }
        let number = low.bytes().all(|b| b.is_ascii_digit());
        let verbatim = words <= SHORT && (low.chars().nth(2).is_some() || number && !low.is_empty());
        let kind = match words {
            _ if is_moment(&low) => Kind::Moment,
            ..=SHORT => Kind::Short,
            _ => Kind::Long,
        };
        if words > 0 {
            self.leaves.push(Leaf { low, verbatim, kind });
        }
    }
}

/// Whether a value, in small letters, is nothing but a date or a time: `2024-05-19`, `2024-05-19 09:30`, `9:30 pm`, `2024-05-19t09:30:00z`.
fn is_moment(low: &str) -> bool {
    let digits = low.bytes().filter(u8::is_ascii_digit).count();
    let signs = low.bytes().filter(|b| matches!(b, b'-' | b':' | b'/')).count();
    let rest = low.trim_end_matches("am").trim_end_matches("pm");
    low.len() <= 40
        && digits >= 3
        && signs >= 1
        && (signs >= 2 || low.contains(':'))
        && rest
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'-' | b':' | b'/' | b' ' | b'.' | b'+' | b't' | b'z'))
}

impl Visitor for Values<'_> {
    fn scalar(&mut self, start: usize, end: usize, escapes: Escapes) {
        let raw = &self.text[start..end];
        if raw.starts_with('"') {
            match escapes {
                Escapes::No => self.add(&self.text[start + 1..end - 1]),
                _ => self.add(&json::unescape(raw)),
            }
        } else if !matches!(raw, "true" | "false" | "null") {
            self.add(raw);
        }
    }
    fn key(&mut self, _: usize, _: usize, _: Escapes) {}
    fn enter(&mut self, _: usize) {}
    fn next(&mut self) {}
    fn leave(&mut self, _: usize) {}
}
