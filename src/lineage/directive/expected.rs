//! What the calls of a session name, if they are known before the session is told. Of all that its results say, nothing else is ever looked up.

use super::call::{CallText, ToolText};
use super::identifier::Identifier;
use super::words::Token;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Tools whose likeness to an order is worked out when the order is read.
const MAX_TOOLS: usize = 64;
/// Bits that say, by the last part of a token, that it is surely none of those expected.
const BITS: usize = 1 << 16;

/// The tokens of all calls, and the words of their tools.
pub(super) struct Expected {
    bits: Box<[u64]>,
    tokens: HashSet<Token, ahash::RandomState>,
    tools: Vec<Arc<ToolText>>,
    /// Which of the tools have a word, and its weight there.
    words: HashMap<Token, Vec<(u16, f64)>, ahash::RandomState>,
}

impl Expected {
    pub(super) fn of(calls: &[CallText]) -> Self {
        let mut expected = Self {
            bits: vec![0; BITS / 64].into_boxed_slice(),
            tokens: HashSet::default(),
            tools: Vec::new(),
            words: HashMap::default(),
        };
        for call in calls {
            call.tokens.iter().for_each(|token| expected.add(*token));
            call.identifiers.iter().flat_map(Identifier::tokens).for_each(|token| expected.add(token));
            if expected.tools.len() < MAX_TOOLS && expected.tool(&call.tool).is_none() {
                call.tool.name.iter().for_each(|token| expected.add(*token));
                let number = expected.tools.len() as u16;
                for (token, weight) in call.tool.words() {
                    expected.words.entry(token).or_default().push((number, weight));
                }
                expected.tools.push(Arc::clone(&call.tool));
            } else if expected.tools.len() == MAX_TOOLS {
                call.tool.name.iter().for_each(|token| expected.add(*token));
            }
        }
        expected
    }

    fn add(&mut self, token: Token) {
        let at = token as usize % BITS;
        self.bits[at / 64] |= 1 << (at % 64);
        self.tokens.insert(token);
    }

    /// Whether a call has this token.
    pub(super) fn has(&self, token: Token) -> bool {
        let at = token as usize % BITS;
        self.bits[at / 64] >> (at % 64) & 1 == 1 && self.tokens.contains(&token)
    }

    /// The number of a tool.
    pub(super) fn tool(&self, tool: &Arc<ToolText>) -> Option<usize> {
        self.tools.iter().position(|known| Arc::ptr_eq(known, tool))
    }

    /// [`ToolText::cosine_of`] for each of the tools.
    pub(super) fn cosines(&self, weighted: &[(Token, f64)], length: f64) -> Box<[f64]> {
        let mut dots = vec![0.0; self.tools.len()];
        for (token, weight) in weighted {
            for (tool, of_tool) in self.words.get(token).into_iter().flatten() {
                dots[*tool as usize] += weight * of_tool;
            }
        }
        dots.iter_mut().for_each(|dot| *dot = if length > 0.0 { *dot / length } else { 0.0 });
        dots.into_boxed_slice()
    }
}
