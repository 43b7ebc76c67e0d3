//! How much a sentence reads like an order: the directive strength of a sentence, and the verb that it asks for.
//!
//! `1` it opens with a verb in its base form, once politeness and the like are passed over; `0.8` such a verb follows `you must`, `please` and their kind, or
//! it is a numbered step; `0.6` a clause after a comma or semicolon opens with one, or it says how something is done or may be done (`to pay, send … to`, `you can
//! write to …`), as every bill and manual does; `0.3` weaker signs: a statement of intent, something that must not be
//! done, a verb after `and`. An order is a sentence of at least [`STRICT`].

use super::other_languages as other;
use super::verbs::{Verbs, groups, is_determiner, may_be_verb};
use super::words::of_word;

/// From this strength on a sentence counts as an order.
pub const STRICT: f32 = 0.6;

/// Words that stand before the verb of an order.
const LEAD: &[&str] = &[
    "action",
    "additionally",
    "afterward",
    "afterwards",
    "agent",
    "ai",
    "also",
    "always",
    "and",
    "are",
    "assistant",
    "attention",
    "be",
    "before",
    "can",
    "could",
    "dear",
    "finally",
    "first",
    "firstly",
    "forget",
    "friend",
    "have",
    "hello",
    "hereby",
    "hey",
    "hi",
    "i",
    "immediately",
    "important",
    "instruction",
    "instructions",
    "just",
    "kindly",
    "last",
    "lastly",
    "let",
    "lets",
    "like",
    "make",
    "must",
    "need",
    "next",
    "note",
    "now",
    "ok",
    "okay",
    "or",
    "please",
    "quickly",
    "remember",
    "reminder",
    "required",
    "second",
    "secondly",
    "shall",
    "should",
    "simply",
    "so",
    "step",
    "sure",
    "system",
    "task",
    "team",
    "then",
    "therefore",
    "third",
    "thirdly",
    "to",
    "todo",
    "urgent",
    "urgently",
    "us",
    "want",
    "we",
    "will",
    "would",
    "you",
];

/// Phrases after which an order follows, as words.
const MODALS: &[&[&str]] = &[
    &["please"],
    &["kindly"],
    &["ensure"],
    &["ensure", "to"],
    &["make", "sure", "to"],
    &["make", "sure"],
    &["be", "sure", "to"],
    &["remember", "to"],
    &["forget", "to"],
    &["you", "must"],
    &["you", "should"],
    &["you", "need", "to"],
    &["you", "have", "to"],
    &["you", "are", "to"],
    &["you", "will", "need", "to"],
    &["could", "you"],
    &["can", "you"],
    &["would", "you"],
    &["will", "you"],
    &["need", "you", "to"],
    &["want", "you", "to"],
    &["ask", "you", "to"],
    &["like", "you", "to"],
    &["asked", "to"],
    &["required", "to"],
    &["have", "to"],
    &["need", "to"],
    &["needs", "to"],
    &["instructed", "to"],
    &["it", "is", "necessary", "to"],
    &["in", "order", "to"],
    &["advised", "to"],
    &["must", "now"],
    &["must", "first"],
];

/// What leaves it to the reader; a verb after them is offered and not asked for.
const OFFERS: &[&[&str]] = &[&["you", "can"], &["you", "may"]];

/// The words that those open with.
const MODAL_STARTS: &[&str] = &[
    "advised",
    "ask",
    "asked",
    "be",
    "can",
    "could",
    "ensure",
    "forget",
    "have",
    "in",
    "instructed",
    "it",
    "kindly",
    "like",
    "make",
    "must",
    "need",
    "needs",
    "please",
    "remember",
    "required",
    "want",
    "will",
    "would",
    "you",
];

/// Lengths, as bits, of those that open with each letter: nearly every word of a text is told by that.
const MODAL_LENGTHS: [u16; 26] = {
    let mut lengths = [0; 26];
    let mut at = 0;
    while at < MODAL_STARTS.len() {
        let word = MODAL_STARTS[at].as_bytes();
        lengths[(word[0] - b'a') as usize] |= 1 << word.len();
        at += 1;
    }
    lengths
};

fn may_start_modal(word: &str) -> bool {
    let first = word.bytes().next().unwrap_or_default().wrapping_sub(b'a');
    word.len() < 16 && MODAL_LENGTHS.get(usize::from(first)).is_some_and(|lengths| lengths >> word.len() & 1 == 1)
}

/// Words that a verb in its base form is not followed by: before them it is a noun.
const AFTER_NOUN: &[&str] =
    &["are", "can", "did", "does", "had", "has", "is", "may", "must", "of", "should", "was", "were", "will"];

/// The strength of a sentence, and the groups of like words of the verb in it that asks for something.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Strength {
    pub(crate) value: f32,
    pub(crate) groups: u16,
    /// Groups of the verbs that go on from it.
    pub(crate) more: u16,
}

/// The same before it is known whether it is the strongest reading: the verb by its place among the words.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    value: f32,
    verb: usize,
    /// It says how something is done; what stands further behind asks for no more.
    is_final: bool,
}

/// Words of a sentence that are looked at.
const MAX_WORDS: usize = 400;
/// Words that may stand before the verb.
const MAX_LEAD: usize = 12;

/// Judges sentences; keeps its room between them.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    words: Vec<(u32, u32)>,
}

impl Judge {
    /// How much a sentence, in small letters, reads like an order.
    pub(crate) fn strength(&mut self, low: &str, verbs: &Verbs) -> Strength {
        if let Some((value, groups)) = other::unspaced(low) {
            return Strength { value, groups, more: 0 };
        }
        self.words.clear();
        split(low, &mut self.words);
        if self.words.len() < 3 {
            return Strength::default();
        }
        let at = Sentence { low, words: &self.words, verbs };
        let best = at.best();
        if best.value < STRICT {
            return Strength { value: best.value, ..Strength::default() };
        }
        Strength { value: best.value, groups: groups(of_word(at.word(best.verb))), more: at.more(best.verb) }
    }
}

/// The words of a text: letters with apostrophes inside.
fn split(low: &str, words: &mut Vec<(u32, u32)>) {
    let bytes = low.as_bytes();
    let inside = |b: u8| b.is_ascii_lowercase() || b == b'\'' || b >= 0x80;
    let mut at = 0;
    while at < bytes.len() && words.len() < MAX_WORDS {
        if !(bytes[at].is_ascii_lowercase() || bytes[at] >= 0x80) {
            at += 1;
            continue;
        }
        let start = at;
        while at < bytes.len() && inside(bytes[at]) {
            at += 1;
        }
        // `e-mail` is one word.
        if at == start + 1 && bytes[start] == b'e' && bytes[at..].starts_with(b"-mail") {
            at += 5;
        }
        let end = start + low[start..at].trim_end_matches('\'').len();
        words.push((start as u32, end as u32));
    }
}

struct Sentence<'a> {
    low: &'a str,
    words: &'a [(u32, u32)],
    verbs: &'a Verbs,
}

impl<'a> Sentence<'a> {
    fn word(&self, at: usize) -> &'a str {
        self.words.get(at).map_or("", |(start, end)| &self.low[*start as usize..*end as usize])
    }

    /// What stands between a word and the one before it.
    fn gap(&self, at: usize) -> &'a str {
        let from = at.checked_sub(1).map_or(0, |before| self.words[before].1 as usize);
        &self.low[from..self.words[at].0 as usize]
    }

    fn found(&self, value: f32, at: usize) -> Found {
        Found { value, verb: at, is_final: false }
    }

    fn best(&self) -> Found {
        let opening = self.opening();
        if opening.value >= 1.0 || opening.is_final {
            return opening;
        }
        let modal = self.modal();
        let mut best = if modal.value > opening.value { modal } else { opening };
        if best.value < 0.8 {
            for other in [self.clause(), self.in_other_language()] {
                if other.value > best.value {
                    best = other;
                }
            }
        }
        best
    }

    /// Groups of the verbs that go on from one: `check the balance, then send half of it to …`.
    fn more(&self, verb: usize) -> u16 {
        let goes_on = |at: &usize| {
            let joins = matches!(self.word(at - 1), "and" | "then") || self.gap(*at).starts_with([',', ';']);
            // In a list of things, `and mail` is none.
            let has_object = self.words.get(at + 1).is_some_and(|next| next.0 == self.words[*at].1 + 1);
            joins && has_object && self.is_verb(*at)
        };
        (verb + 1..self.words.len()).filter(goes_on).fold(0, |all, at| all | groups(of_word(self.word(at))))
    }

    /// A sentence of another language that asks for something, and one of its verbs of action.
    fn in_other_language(&self) -> Found {
        let asks = (0..self.words.len()).any(|at| other::asks(self.word(at), self.word(at + 1)));
        let verb = (0..self.words.len()).find(|at| asks && other::is_verb(self.word(*at)));
        verb.map_or(Found::default(), |at| self.found(0.8, at))
    }

    /// Whether the word is used as a verb in its base form: it is one, and what follows does not make it a label or a noun.
    fn is_verb(&self, at: usize) -> bool {
        at < self.words.len() && self.verbs.is_base(self.word(at)) && self.used_as_verb(at)
    }

    fn used_as_verb(&self, at: usize) -> bool {
        let end = self.words[at].1 as usize;
        let joined = |b: &u8| {
            matches!(b, b':' | b'=' | b'_' | b'@' | b'/' | b'0'..=b'9') || *b == b'.' && end + 1 < self.low.len()
        };
        let label = self.low.as_bytes().get(end).is_some_and(joined) || self.low[end..].starts_with(" #");
        let before = self.low.as_bytes()[..self.words[at].0 as usize].last();
        !label
            && !before.is_some_and(|b| matches!(b, b'_' | b'@' | b'/' | b'.' | b'='))
            && (self.low[end..].starts_with(|c: char| c != ' ')
                || self.words.get(at + 1).is_none_or(|next| next.0 as usize != end + 1)
                || AFTER_NOUN.binary_search(&self.word(at + 1)).is_err())
    }

    /// Whether an unknown word is a verb because of where it stands: before an object, or after what asks for something.
    fn is_unknown_verb(&self, at: usize, asked: bool) -> bool {
        let next = self.word(at + 1);
        at < self.words.len()
            && may_be_verb(self.word(at))
            && (is_determiner(next) || asked)
            && !next.is_empty()
            && self.used_as_verb(at)
    }

    /// The sentence opens with its verb.
    fn opening(&self) -> Found {
        // `1.`, `2)` and `Step 3:` number orders; other digits in front make it something else.
        let mut at = 0;
        let numbered =
            self.low.trim_start_matches(|c: char| !c.is_alphanumeric()).starts_with(|c: char| c.is_ascii_digit())
                || self.word(0) == "step";
        let (mut first_person, mut second_person, mut polite, mut negated, mut purpose) =
            (false, false, false, false, false);
        while at < self.words.len().min(MAX_LEAD) {
            let gap = self.gap(at);
            let behind =
                gap.trim_start_matches(|c: char| !c.is_ascii_digit()).trim_start_matches(|c: char| c.is_ascii_digit());
            if gap.bytes().any(|b| b.is_ascii_digit())
                && !(at < 2 && matches!(behind.bytes().next(), Some(b'.' | b')' | b':')))
                || gap.contains(['@', '_', '/'])
            {
                return Found::default();
            }
            match self.word(at) {
                "i" | "we" | "i'll" | "we'll" | "i'm" | "i'd" => first_person = true,
                "you" => second_person = true,
                "please" | "kindly" | "must" | "should" => polite = true,
                "not" | "don't" | "never" | "cannot" | "can't" => negated = true,
                "do" if matches!(self.word(at + 1), "not" | "n't") => {}
                "forget" if negated => negated = false,
                "to" if at == 0 => purpose = true,
                word if LEAD.binary_search(&word).is_ok() && !self.opens_with(at) => {}
                word if other::leads(word) => {}
                _ => break,
            }
            at += 1;
        }
        let is_offer = at > 1 && self.word(at - 2) == "you" && matches!(self.word(at - 1), "can" | "may");
        let asked = polite || second_person && at > 1 && self.word(at - 1) == "to";
        if at >= self.words.len() || !(self.is_verb(at) || self.is_unknown_verb(at, asked)) {
            return Found::default();
        }
        let gap = self.gap(at);
        if gap.bytes().any(|b| b.is_ascii_digit()) && at > 2 {
            return Found::default();
        }
        // `I will send it` tells, `do not send it` asks for nothing to be done.
        let value = match (negated, first_person && !second_person && !polite) {
            (true, _) | (_, true) => 0.3,
            _ if purpose => return self.purpose(at),
            _ if is_offer => STRICT,
            _ if numbered => 0.8,
            _ => 1.0,
        };
        self.found(value, at)
    }

    /// `To pay the bill, please send 30 to …` says how it is done, `to go on, you must send …` asks.
    fn purpose(&self, from: usize) -> Found {
        let comma = (from + 1..self.words.len()).find(|at| self.gap(*at).starts_with(','));
        let main = comma.unwrap_or(self.words.len());
        let is_verb = |at: &usize| self.is_verb(*at);
        let verb = (main..self.words.len().min(main + 8)).find(is_verb).unwrap_or(from);
        // Nobody comes to a page for `to complete the task, send …`.
        let of_agents = |at| {
            let word = self.word(at);
            matches!(
                word,
                "task" | "tasks" | "request" | "instructions" | "continue" | "proceed" | "comply" | "assistant"
            )
        };
        let presses =
            |at| matches!(self.word(at), "must" | "need" | "have" | "required" | "immediately" | "urgently" | "now");
        let asks = (from..main).any(of_agents) || (main..verb).any(presses);
        let value = if asks { 1.0 } else { STRICT };
        Found { value, verb, is_final: true }
    }

    /// Whether a word that can stand before a verb is itself the verb here: `make the payment`, `need` never.
    fn opens_with(&self, at: usize) -> bool {
        match self.word(at) {
            "make" => self.word(at + 1) != "sure",
            "note" | "action" | "step" | "task" | "like" | "forget" | "let" => {
                is_determiner(self.word(at + 1)) && self.word(at + 1) != "us" && self.word(at + 1) != "me"
            }
            _ => false,
        }
    }

    /// A verb follows a phrase that asks for it.
    fn modal(&self) -> Found {
        for at in 0..self.words.len() {
            let word = self.word(at);
            if !may_start_modal(word) || MODAL_STARTS.binary_search(&word).is_err() {
                continue;
            }
            let fits = |phrase: &&&[&str]| phrase.iter().enumerate().all(|(i, word)| self.word(at + i) == *word);
            let value = if OFFERS.iter().any(|phrase| fits(&phrase)) { STRICT } else { 0.8 };
            let all = MODALS.iter().chain(OFFERS);
            let Some(length) = all.filter(fits).map(|phrase| phrase.len()).max() else { continue };
            let next = at + length;
            if self.word(next) == "not" || at > 0 && matches!(self.word(at - 1), "i" | "we") {
                continue;
            }
            if let Some(verb) = (next..next + 2).find(|verb| self.is_verb(*verb)) {
                return self.found(value, verb);
            }
            let asks = matches!(self.word(next - 1), "please" | "kindly" | "to" | "must" | "should");
            if asks && self.is_unknown_verb(next, true) {
                return self.found(value, next);
            }
        }
        Found::default()
    }

    /// A clause inside opens with a verb.
    fn clause(&self) -> Found {
        let mut best = Found::default();
        for at in 1..self.words.len() {
            let gap = self.gap(at);
            let mark = gap.trim_end().bytes().next_back();
            let value = match (mark, self.word(at - 1)) {
                (Some(b',' | b';' | b':'), _) if gap.ends_with(' ') => STRICT,
                (None, "please" | "kindly" | "must" | "should") => STRICT,
                (None, "and" | "then" | "to" | "or") | (Some(b'-'), _) => 0.3,
                _ if gap.contains(['–', '—']) => 0.3,
                _ => continue,
            };
            if value > best.value && self.is_verb(at) {
                best = self.found(value, at);
            }
            if best.value >= STRICT {
                break;
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_for_the_search() {
        assert!(AFTER_NOUN.is_sorted() && MODAL_STARTS.is_sorted());
        assert!(MODALS.iter().all(|phrase| MODAL_STARTS.contains(&phrase[0])));
        assert!(LEAD.is_sorted(), "{:?}", LEAD.windows(2).find(|pair| pair[0] > pair[1]));
    }

    #[test]
    fn orders_are_told_from_statements() {
        let cases = include_str!("strength.txt");
        let mut judge = Judge::default();
        for line in cases.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (range, sentence) = line.split_once(' ').expect("a range and a sentence");
            let (least, most) = range.split_once("..").expect("least..most");
            let found = judge.strength(&sentence.to_lowercase(), &Verbs::default());
            let (least, most): (f32, f32) = (least.parse().unwrap(), most.parse().unwrap());
            assert!((least..=most).contains(&found.value), "{found:?} for {sentence}");
        }
    }
}
