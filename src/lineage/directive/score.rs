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
use super::expected::Expected;
use super::facts::{Facts, Parts};
use super::identifier::Identifier;
use super::idf::Idf;
use super::order::{Match, Order, distinct, named, sorted};
use super::strength::{Judge, STRICT, Strength};
use super::text::{Sentences, Span};
use super::trigrams::Trigrams;
use super::verbs::Verbs;
use super::words::{Token, token, tokens};
use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;

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

/// What one session has read, in the order of its log: results that arrived, calls that were made.
pub struct Directives<'a> {
    idf: &'a Idf,
    verbs: &'a Verbs,
    orders: VecDeque<Order>,
    /// Orders that have been forgotten.
    gone: usize,
    bytes: usize,
    /// What later calls name, if that is known.
    expected: Option<Expected>,
    /// A number for each token that stands near an order.
    numbers: HashMap<Token, u32, ahash::RandomState>,
    /// By these numbers, which orders have a token near them, oldest first; those that are gone are passed over.
    by_token: Vec<VecDeque<u32>>,
    /// By these numbers, the weight of each token of the call that is judged, and its weight if it is new; 0 of other tokens.
    weights: Vec<[f64; 2]>,
    /// Windows that are remembered, so that a page that is read again and again is kept once.
    windows: HashSet<Token, ahash::RandomState>,
    /// Tokens and identifiers of the calls so far.
    known: HashSet<Token, ahash::RandomState>,
    sentences: Sentences,
    judge: Judge,
    /// The expected tokens of each sentence of a text.
    found: Found,
    /// For each order, the last call that it was a candidate for; how many there were.
    marks: VecDeque<u32>,
    turn: u32,
    /// Room for the candidates of one call.
    seen: Vec<u32>,
}

/// Tokens, sentence by sentence.
#[derive(Default)]
struct Found {
    tokens: Vec<Token>,
    ends: Vec<usize>,
}

impl Found {
    /// Those of some sentences, the first and the last of them given.
    fn of(&self, (first, last): (usize, usize)) -> &[Token] {
        let start = first.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.tokens[start..self.ends[last]]
    }
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
            expected: None,
            numbers: HashMap::default(),
            by_token: Vec::new(),
            weights: Vec::new(),
            windows: HashSet::default(),
            known: HashSet::default(),
            sentences: Sentences::default(),
            judge: Judge::default(),
            found: Found::default(),
            marks: VecDeque::new(),
            turn: 0,
            seen: Vec::new(),
        }
    }

    /// Says which calls will be judged. Of what is read from now on, nothing is remembered, and nothing told, that none of them names.
    pub fn expect(&mut self, calls: &[CallText]) {
        self.expected = Some(Expected::of(calls));
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
        let mut found = std::mem::take(&mut self.found);
        sentences.read(result_text);
        let low = |span: &Span| &sentences.low[span.start as usize..span.end as usize];
        found.tokens.clear();
        found.ends.clear();
        if let Some(expected) = &self.expected {
            for span in &sentences.spans {
                tokens(low(span), |token| {
                    if expected.has(token) {
                        found.tokens.push(token);
                    }
                });
                found.ends.push(found.tokens.len());
            }
        }
        for (at, span) in sentences.spans.iter().enumerate() {
            let near = self.expected.as_ref().map(|_| found.of(sentences.around(at)));
            // What no call names is no candidate, whatever it asks for.
            if near.is_some_and(<[Token]>::is_empty) {
                continue;
            }
            let low = low(span);
            let strength = self.judge.strength(low, self.verbs);
            let is_order = strength.value >= STRICT;
            match (&mut give, near) {
                (Some(give), Some(_)) => found.of((at, at)).iter().for_each(|token| give(*token, is_order)),
                (Some(give), None) => tokens(low, |token| give(token, is_order)),
                (None, _) => {}
            }
            if is_order {
                let window = sentences.window(at);
                let inside = span.start as usize - window.start..span.end as usize - window.start;
                let sentence = &sentences.text[span.start as usize..span.end as usize];
                self.keep((source, at), sentence, (&sentences.low[window], inside), near, strength);
            }
        }
        self.sentences = sentences;
        self.found = found;
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
        (source, at): (usize, usize),
        sentence: &str,
        (window, inside): (&str, Range<usize>),
        near: Option<&[Token]>,
        strength: Strength,
    ) {
        let low = &window[inside.clone()];
        // The same page twice is one page; its first reading counts.
        let digest = token(window.as_bytes()) ^ token(low.as_bytes()).rotate_left(1);
        if !self.windows.insert(digest) {
            return;
        }
        if self.windows.len() > 4 * MAX_ORDERS {
            self.windows.clear();
        }
        let own: Box<[(Token, f64)]> = distinct(low).iter().map(|token| (*token, self.idf.weight(*token))).collect();
        let length = own.iter().map(|(_, weight)| weight * weight).sum::<f64>().sqrt();
        let near = match near {
            Some(near) => sorted(near.to_vec()),
            None => distinct(window),
        };
        let order = Order {
            source,
            position: at as u32,
            sentence: sentence[..sentence.floor_char_boundary(MAX_SENTENCE)].into(),
            window: window.into(),
            trigrams: Trigrams::of(window),
            actions: self.expected.as_ref().map(|expected| expected.cosines(&own, length)).unwrap_or_default(),
            length,
            own,
            near: near.iter().map(|token| self.number(*token)).collect(),
            strength: strength.value,
            verb: strength.groups,
            more: strength.more,
            inside,
        };
        self.bytes += order.window.len();
        let number = (self.gone + self.orders.len()) as u32;
        for token in &order.near {
            let postings = &mut self.by_token[*token as usize];
            if postings.len() >= MAX_POSTINGS {
                postings.pop_front();
            }
            postings.push_back(number);
        }
        self.orders.push_back(order);
        self.marks.push_back(0);
        while self.orders.len() > MAX_ORDERS || self.bytes > MAX_BYTES {
            let Some(oldest) = self.orders.pop_front() else { break };
            self.marks.pop_front();
            self.bytes -= oldest.window.len();
            self.gone += 1;
            for token in &oldest.near {
                let postings = &mut self.by_token[*token as usize];
                while postings.front().is_some_and(|number| (*number as usize) < self.gone) {
                    postings.pop_front();
                }
                if postings.is_empty() {
                    *postings = VecDeque::new();
                }
            }
        }
    }

    fn number(&mut self, token: Token) -> u32 {
        let next = self.by_token.len() as u32;
        let number = *self.numbers.entry(token).or_insert(next);
        if number == next {
            self.by_token.push(VecDeque::new());
            self.weights.push([0.0; 2]);
        }
        number
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
        self.turn += 1;
        let mut is_any = false;
        for token in call.tokens.iter().chain(&call.tool.name) {
            let Some(number) = self.numbers.get(token) else { continue };
            for order in &self.by_token[*number as usize] {
                if let Some(at) = (*order as usize).checked_sub(self.gone) {
                    self.marks[at] = self.turn;
                    is_any = true;
                }
            }
        }
        if !is_any {
            return None;
        }
        let mut seen = std::mem::take(&mut self.seen);
        seen.clear();
        let marked = self.marks.iter().enumerate().rev().filter(|(_, turn)| **turn == self.turn);
        seen.extend(marked.map(|(at, _)| at as u32).take(MAX_CANDIDATES));
        for (token, weight) in call.tokens() {
            if let Some(number) = self.numbers.get(&token) {
                self.weights[*number as usize] = [weight, if self.known.contains(&token) { 0.0 } else { weight }];
            }
        }
        let tool = self.expected.as_ref().and_then(|expected| expected.tool(&call.tool));
        let facts = Facts::of(call, tool, &self.weights, &self.known);
        let mut best: Option<(f64, Parts, u32)> = None;
        // From old to new: of equal ones the first counts.
        for at in seen.iter().rev() {
            let least = best.as_ref().map_or(f64::NEG_INFINITY, |(highest, ..)| *highest);
            if let Some(parts) = facts.score(&self.orders[*at as usize], least) {
                best = Some((parts.score, parts, *at));
            }
        }
        let told = best.map(|(_, parts, at)| parts.told(&self.orders[at as usize], call, &self.numbers));
        for token in &call.tokens {
            if let Some(number) = self.numbers.get(token) {
                self.weights[*number as usize] = [0.0; 2];
            }
        }
        self.seen = seen;
        told
    }
}

/// Whether any three words in a row stand in the text: figures and codes alone hold no order.
fn may_hold_order(text: &str) -> bool {
    let mut letters = 0;
    let mut words = 0;
    for byte in text.bytes() {
        // Chinese and Japanese have no spaces.
        if matches!(byte, 0xE3..=0xE9) {
            return true;
        }
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
