//! Orders that a session read in results and then carried out, in the order in which it did: flows of the kind `directive`.
//!
//! Only results that share a value with a later call that does something are read for orders, around that value, and only such calls
//! are judged. The match itself is [`directive`](super::directive)'s.

use super::directive::{self, Directives, Idf, Match, ToolText, Verbs};
use super::index::{CallText, Moment};
use super::words::{Word, words};
use crate::call::{Capability, Text};
use crate::enrich::result_text;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Capabilities of a call that an order could be after.
const EFFECTS: [Capability; 5] =
    [Capability::Egress, Capability::Writes, Capability::Destructive, Capability::Executes, Capability::Pays];
/// Score from which a match is kept. Below it, sentence and call share hardly more than a word; rules ask for 2 and more.
const USEFUL: f64 = 1.5;
/// Bytes of one result that are read for orders, and of all of one session; the first results count. Of one as much as is stored,
/// unless set otherwise: else a page hides an order behind so much of anything.
const RESULT_BYTES: usize = 64 << 10;
const SESSION_BYTES: usize = 4 << 20;
/// Bytes before and after a shared value that are read for orders, and places of one value.
const AROUND: usize = 600;
const PLACES: usize = 8;
/// Requests of the user that are remembered.
const REQUESTS: usize = 256;

/// Whether a call does something.
pub(super) fn has_effect(call: &CallText) -> bool {
    EFFECTS.iter().any(|capability| call.capabilities.has(*capability as u32))
}

/// Whether all that a call does is to open a page.
fn only_visits(call: &CallText) -> bool {
    let has = |capability: Capability| call.capabilities.has(capability as u32);
    has(Capability::ReadsUntrusted)
        && ![Capability::Writes, Capability::Destructive, Capability::Executes, Capability::Pays].into_iter().any(has)
}

/// Results that may hold orders, and what the user asked for.
#[derive(Debug, Default)]
pub(super) struct Read {
    results: BTreeMap<(Moment, u32), String>,
    bytes: usize,
    /// The first result that there was no room for. None from there on is kept, so that the order of reading does not matter.
    full_from: Option<(Moment, u32)>,
    requests: Vec<(Moment, HashSet<u64>)>,
}

impl Read {
    /// Remembers a result.
    pub(super) fn result(&mut self, known: &Moment, source: u32, result: &str) {
        let key = (known.clone(), source);
        if self.full_from.as_ref().is_some_and(|full| *full <= key) {
            return;
        }
        let text = result_text(result, RESULT_BYTES);
        self.bytes += text.len();
        self.results.insert(key, text);
        while self.bytes > SESSION_BYTES
            && let Some((last, text)) = self.results.pop_last()
        {
            self.bytes -= text.len();
            self.full_from = Some(last);
        }
    }

    /// Remembers a request of the user.
    pub(super) fn request(&mut self, at: &Moment, text: &str) {
        if self.requests.len() < REQUESTS {
            self.requests.push((at.clone(), hashes(text)));
        }
    }

    /// The calls that carry out an order, with the order. `pairs` are calls that do something, each with the calls whose results share values with
    /// its arguments, and `near` the values by those results: nothing else is looked at, because an order that names no value of the call explains
    /// none. `is_said_before` tells of a request whether a call came after it.
    pub(super) fn obeyed(
        &self,
        calls: &[CallText],
        pairs: &BTreeSet<(u32, u32)>,
        near: &HashMap<u32, HashSet<&str>>,
        is_said_before: fn(&Moment, &Moment) -> bool,
        mut each: impl FnMut(u32, Match, bool),
    ) {
        let mut results = self.results.iter().filter(|((_, source), _)| near.contains_key(source)).peekable();
        let Some(last) = pairs.last().map(|(sink, _)| *sink).filter(|_| results.peek().is_some()) else { return };
        let (idf, verbs) = (Idf::builtin(), Verbs::default());
        let mut session = Directives::new(idf, &verbs);
        let mut tools: HashMap<&Text, Arc<ToolText>> = HashMap::new();
        for (at, call) in calls.iter().enumerate().take(last as usize + 1) {
            while let Some(((_, source), text)) = results.next_if(|((known, _), _)| known.is_before(&call.asked)) {
                session.read(*source as usize, &around(text, near.get(source)));
            }
            let (Some(tool), Some(arguments)) = (&call.tool, &call.arguments) else { continue };
            let tool = tools.entry(tool).or_insert_with(|| Arc::new(ToolText::new(tool, None, None, idf)));
            let text = directive::CallText::read(Arc::clone(tool), arguments, idf);
            if pairs.range((at as u32, 0)..=(at as u32, u32::MAX)).next().is_none() {
                session.remember(&text);
                continue;
            }
            let Some(best) = session.judge(&text).filter(|best| best.score >= USEFUL && best.source != at) else {
                continue;
            };
            // A page that is looked up answers no `reply to ann@firm.example`, though the host is the same.
            if only_visits(call) && !best.synonym && best.action == 0.0 {
                continue;
            }
            let asked = |value: &String| {
                let wanted = hashes(value);
                let said = |request: &(Moment, HashSet<u64>)| {
                    is_said_before(&request.0, &call.asked) && wanted.is_subset(&request.1)
                };
                self.requests.iter().any(said)
            };
            let is_named = !best.shared.is_empty() && best.shared.iter().all(asked);
            each(at as u32, best, is_named);
        }
    }
}

/// What stands around some values in a text; its beginning, if they stand in it in another dress.
fn around(text: &str, values: Option<&HashSet<&str>>) -> String {
    let low = text.to_ascii_lowercase();
    let mut places: Vec<(usize, usize)> = Vec::new();
    for value in values.into_iter().flatten() {
        let value = value.to_ascii_lowercase();
        let found = low.match_indices(&value).take(PLACES);
        places.extend(found.map(|(at, value)| (at.saturating_sub(AROUND), at + value.len() + AROUND)));
    }
    if places.is_empty() {
        places.push((0, 4 * AROUND));
    }
    places.sort_unstable();
    let mut out = String::new();
    let mut done = 0;
    for (from, until) in places {
        let (from, until) = (text.floor_char_boundary(from.max(done)), text.floor_char_boundary(until));
        if from < until {
            // A break, so that sentences of two places do not become one.
            out.push_str(if from > done { "\n\n" } else { "" });
            out.push_str(&text[from..until]);
            done = until;
        }
    }
    out
}

fn hashes(text: &str) -> HashSet<u64> {
    let mut list: Vec<Word> = Vec::new();
    words(text, &mut list);
    list.iter().map(|word| word.hash).collect()
}
