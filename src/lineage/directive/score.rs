//! The orders that a session has read so far, and the match of a call with the one that explains it best.
//!
//! For a call with argument tokens A and a sentence x of strength `imp` with its window w (the sentence, the one before and the one after):
//!
//! ```text
//! m = (covn + 0.5 cov + 0.6 min(1, nstn) + 0.4 exf + 0.5 syn + act + 0.3 imp) · (0.6 + 0.4 imp)
//! ```
//!
//! `cov` is the share of A's idf mass that stands in w, `covn` the same over tokens that no earlier call of the session had, `nstn` the identifiers of A in w
//! that no earlier call had, `exf` the share of short values that stand in w verbatim, `syn` whether the order's verb and the tool's name mean alike, `act` the
//! cosine of sentence and tool. The weights were set by hand and are no result of training.

use super::call::CallText;
use super::identifier::{Identifier, Sought, found_in, stands_in};
use super::idf::Idf;
use super::strength::{Judge, STRICT};
use super::text::Sentences;
use super::verbs::{self, Verbs};
use super::words::{Token, of_word, token, tokens};
use memchr::memmem::Finder;
use std::collections::{HashMap, HashSet, VecDeque};

/// Orders of one session that are remembered; the oldest go first.
const MAX_ORDERS: usize = 8192;
/// Bytes of text that they may take together.
const MAX_BYTES: usize = 8 << 20;
/// Orders with one token that are compared with a call, the newest first.
const MAX_POSTINGS: usize = 128;
/// Orders that one call is compared with.
const MAX_CANDIDATES: usize = 1024;
/// Tokens of earlier arguments that are remembered.
const MAX_KNOWN: usize = 1 << 20;
/// Longest sentence that a match tells, in bytes.
const MAX_SENTENCE: usize = 1024;

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

struct Order {
    source: usize,
    position: u32,
    sentence: Box<str>,
    /// Sentence and neighbours in small letters.
    window: Box<str>,
    /// Distinct tokens of the sentence, sorted, with their weights, and the length of that vector.
    own: Box<[(Token, f64)]>,
    length: f64,
    /// Those of them that are plain words, without digits and what is in addresses.
    plain: Box<[Token]>,
    /// Distinct tokens of the window, sorted.
    near: Box<[Token]>,
    strength: f32,
    verb: u16,
}

/// What one session has read, in the order of its log: results that arrived, calls that were made.
pub struct Directives<'a> {
    idf: &'a Idf,
    verbs: &'a Verbs,
    orders: VecDeque<Order>,
    /// Orders that have been forgotten.
    gone: usize,
    bytes: usize,
    /// Which orders have a token near them, oldest first; those that are gone are passed over.
    by_token: HashMap<Token, VecDeque<u32>, ahash::RandomState>,
    /// Windows that are remembered, so that a page that is read again and again is kept once.
    windows: HashSet<Token, ahash::RandomState>,
    /// Tokens and identifiers of the calls so far.
    known: HashSet<Token, ahash::RandomState>,
    sentences: Sentences,
    judge: Judge,
    /// Room for the candidates of one call.
    seen: Vec<u32>,
}

impl<'a> Directives<'a> {
    /// Nothing read so far.
    pub fn new(idf: &'a Idf, verbs: &'a Verbs) -> Self {
        Self {
            idf,
            verbs,
            orders: VecDeque::new(),
            gone: 0,
            bytes: 0,
            by_token: HashMap::default(),
            windows: HashSet::default(),
            known: HashSet::default(),
            sentences: Sentences::default(),
            judge: Judge::default(),
            seen: Vec::new(),
        }
    }

    /// Reads the text of a result that has arrived. `source` is the caller's name for it.
    pub fn read(&mut self, source: usize, result_text: &str) {
        if may_hold_order(result_text) {
            self.sentences(source, result_text, None);
        }
    }

    /// The same, and gives each token of the text with whether it stands in an order.
    pub fn read_all(&mut self, source: usize, result_text: &str, give: &mut dyn FnMut(Token, bool)) {
        self.sentences(source, result_text, Some(give));
    }

    fn sentences(&mut self, source: usize, result_text: &str, mut give: Option<&mut dyn FnMut(Token, bool)>) {
        let mut sentences = std::mem::take(&mut self.sentences);
        sentences.read(result_text);
        for (at, span) in sentences.spans.iter().enumerate() {
            let low = &sentences.low[span.start as usize..span.end as usize];
            let strength = self.judge.strength(low, self.verbs);
            let is_order = strength.value >= STRICT;
            if let Some(give) = &mut give {
                tokens(low, |token| give(token, is_order));
            }
            if is_order {
                let window = &sentences.low[sentences.window(at)];
                let verb = &low[strength.verb.0 as usize..strength.verb.1 as usize];
                let sentence = &sentences.text[span.start as usize..span.end as usize];
                self.keep(source, at, sentence, low, window, (strength.value, verb));
            }
        }
        self.sentences = sentences;
    }

    /// Whether an earlier call had this token in its values or its name.
    pub fn is_known(&self, token: Token) -> bool {
        self.known.contains(&token)
    }

    /// Whether an earlier call had this identifier.
    pub fn is_known_identifier(&self, identifier: &Identifier) -> bool {
        self.known.contains(&named(&identifier.value))
    }

    fn keep(
        &mut self,
        source: usize,
        at: usize,
        sentence: &str,
        low: &str,
        window: &str,
        (strength, verb): (f32, &str),
    ) {
        // The same page twice is one page; its first reading counts.
        let digest = token(window.as_bytes()) ^ token(low.as_bytes()).rotate_left(1);
        if !self.windows.insert(digest) {
            return;
        }
        if self.windows.len() > 4 * MAX_ORDERS {
            self.windows.clear();
        }
        let distinct = |text: &str| {
            let mut found = Vec::new();
            tokens(text, |token| found.push(token));
            found.sort_unstable();
            found.dedup();
            found.into_boxed_slice()
        };
        let is_plain = |word: &&str| !word.bytes().any(|b| b.is_ascii_digit() || matches!(b, b'@' | b'/' | b'_'));
        let plain = low.split(' ').filter(is_plain).collect::<Vec<_>>().join(" ");
        let own: Box<[(Token, f64)]> = distinct(low).iter().map(|token| (*token, self.idf.weight(*token))).collect();
        let order = Order {
            source,
            position: at as u32,
            sentence: sentence[..sentence.floor_char_boundary(MAX_SENTENCE)].into(),
            window: window.into(),
            length: own.iter().map(|(_, weight)| weight * weight).sum::<f64>().sqrt(),
            own,
            plain: distinct(&plain),
            near: distinct(window),
            strength,
            verb: verbs::groups(of_word(verb)),
        };
        self.bytes += order.window.len();
        let number = (self.gone + self.orders.len()) as u32;
        for token in &order.near {
            let postings = self.by_token.entry(*token).or_default();
            if postings.len() >= MAX_POSTINGS {
                postings.pop_front();
            }
            postings.push_back(number);
        }
        self.orders.push_back(order);
        while self.orders.len() > MAX_ORDERS || self.bytes > MAX_BYTES {
            let Some(oldest) = self.orders.pop_front() else { break };
            self.bytes -= oldest.window.len();
            self.gone += 1;
            for token in &oldest.near {
                if let Some(postings) = self.by_token.get_mut(token) {
                    while postings.front().is_some_and(|number| (*number as usize) < self.gone) {
                        postings.pop_front();
                    }
                    if postings.is_empty() {
                        self.by_token.remove(token);
                    }
                }
            }
        }
    }

    /// The order read so far that explains the call best, if any has a word in common with it. Then remembers the call's values, so that
    /// they are no news in later ones.
    pub fn judge(&mut self, call: &CallText) -> Option<Match> {
        let best = if self.orders.is_empty() { None } else { self.best(call) };
        self.remember(call);
        best
    }

    /// Remembers the values of a call that is not judged.
    pub fn remember(&mut self, call: &CallText) {
        for token in call.tokens.iter().chain(&call.tool.name) {
            if self.known.len() < MAX_KNOWN {
                self.known.insert(*token);
            }
        }
        for identifier in &call.identifiers {
            self.known.insert(named(&identifier.value));
        }
    }

    fn best(&mut self, call: &CallText) -> Option<Match> {
        let mut seen = std::mem::take(&mut self.seen);
        seen.clear();
        for token in call.tokens.iter().chain(&call.tool.name) {
            if let Some(postings) = self.by_token.get(token) {
                seen.extend(postings.iter().filter(|number| **number as usize >= self.gone));
            }
        }
        seen.sort_unstable_by(|a, b| b.cmp(a));
        seen.dedup();
        seen.truncate(MAX_CANDIDATES);
        let facts = (!seen.is_empty()).then(|| Facts::of(call, &self.known));
        let mut best: Option<(f64, u32)> = None;
        if let Some(facts) = &facts {
            // From old to new: of equal ones the first counts.
            for number in seen.iter().rev() {
                let order = &self.orders[*number as usize - self.gone];
                let score = facts.score(order).0;
                if best.is_none_or(|(highest, _)| score > highest) {
                    best = Some((score, *number));
                }
            }
        }
        self.seen = seen;
        let order = &self.orders[best?.1 as usize - self.gone];
        Some(facts?.score(order).1.told(order, call))
    }
}

/// Whether any three words in a row stand in the text: figures and codes alone hold no order.
fn may_hold_order(text: &str) -> bool {
    let mut letters = 0;
    let mut words = 0;
    for byte in text.bytes() {
        if byte.is_ascii_alphabetic() || byte >= 0x80 {
            letters += 1;
        } else {
            words = match (byte, letters) {
                (b' ' | b'\n' | b',' | b'\t', 2..) => words + 1,
                (b' ' | b'\n', _) => words,
                _ => 0,
            };
            letters = 0;
            if words >= 2 {
                return true;
            }
        }
    }
    words + usize::from(letters > 1) >= 3
}

fn named(value: &str) -> Token {
    token(value.as_bytes()).rotate_left(17)
}

/// What is the same for all orders that one call is compared with.
struct Facts<'a> {
    call: &'a CallText,
    /// Weight of each of the call's tokens, and whether it is new.
    weights: Vec<(Token, f64, bool)>,
    total: f64,
    total_new: f64,
    /// Identifiers that are new.
    fresh: Vec<Sought<'a>>,
    /// Values that are looked for verbatim, each with what finds it.
    verbatim: Vec<(&'a str, Finder<'a>)>,
    /// How many of them are no dates or times.
    lasting: usize,
}

/// The parts of one score.
#[derive(Default)]
struct Parts {
    score: f64,
    coverage: f64,
    new_coverage: f64,
    exact: usize,
    exact_share: f64,
    new_identifiers: usize,
    action: f64,
    synonym: bool,
}

impl<'a> Facts<'a> {
    fn of(call: &'a CallText, known: &HashSet<Token, ahash::RandomState>) -> Self {
        let weights: Vec<(Token, f64, bool)> =
            call.tokens().map(|(token, weight)| (token, weight, !known.contains(&token))).collect();
        Self {
            call,
            total: weights.iter().map(|(_, weight, _)| weight).sum(),
            total_new: weights.iter().filter(|(.., new)| *new).map(|(_, weight, _)| weight).sum(),
            fresh: call
                .identifiers
                .iter()
                .filter(|identifier| !known.contains(&named(&identifier.value)))
                .map(Sought::new)
                .collect(),
            lasting: call.leaves.iter().filter(|leaf| leaf.verbatim && !leaf.is_moment()).count(),
            verbatim: call
                .leaves
                .iter()
                .filter(|leaf| leaf.verbatim)
                .map(|leaf| (leaf.low.as_str(), Finder::new(&leaf.low)))
                .collect(),
            weights,
        }
    }

    fn score(&self, order: &Order) -> (f64, Parts) {
        let (mut covered, mut covered_new) = (0.0, 0.0);
        let mut near = order.near.iter().peekable();
        for (token, weight, new) in &self.weights {
            while near.next_if(|other| *other < token).is_some() {}
            if near.peek() == Some(&token) {
                covered += weight;
                covered_new += if *new { *weight } else { 0.0 };
            }
        }
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let exact = self.verbatim.iter().filter(|(value, finder)| found_in(finder, value, &order.window)).count();
        let new_identifiers = self.fresh.iter().filter(|sought| sought.stands_in(&order.window)).count();
        let strength = f64::from(order.strength);
        let mut parts = Parts {
            score: 0.0,
            coverage: share(covered, self.total),
            new_coverage: share(covered_new, self.total_new),
            exact,
            exact_share: share(exact as f64, self.lasting.max(exact) as f64),
            new_identifiers,
            action: self.call.tool.cosine_of(&order.own, order.length),
            synonym: order.verb & self.call.tool.groups != 0,
        };
        parts.score = (parts.new_coverage
            + 0.5 * parts.coverage
            + 0.6 * new_identifiers.min(1) as f64
            + 0.4 * parts.exact_share
            + 0.5 * f64::from(u8::from(parts.synonym))
            + parts.action
            + 0.3 * strength)
            * (0.6 + 0.4 * strength);
        (parts.score, parts)
    }
}

impl Parts {
    fn told(self, order: &Order, call: &CallText) -> Match {
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
            tokens: call.tokens.iter().filter(|token| order.near.binary_search(token).is_ok()).copied().collect(),
            words: order.plain.iter().filter(|word| call.tokens.binary_search(word).is_err()).copied().collect(),
        }
    }
}
