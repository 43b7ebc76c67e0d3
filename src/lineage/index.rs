//! What the arguments of a session's calls hold, so that each result has to be read only once: identifying values by the hash of
//! their words, and hashes of every few words in a row of longer texts.

use super::decode::Encoding;
use super::joined::Joined;
use super::seen::seen;
use super::sink::{self, View};
use super::value;
use super::words::{ByHash, Word, sequence};
use crate::call::{Bits, Text};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Words in a row that one hash stands for. Five words of two texts agree by chance in phrases only; what counts as content is longer.
pub(super) const SHINGLE: usize = 5;
/// Values of one call's arguments that are followed.
const VALUES: usize = 64;
/// Places of one shingle that are kept: text that stands in more arguments than that is a form letter.
const PLACES: u32 = 32;
/// Calls in which one value is looked at as an argument.
const USES: usize = 4096;

/// When something was known or asked: by time, and within one file by place.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Microseconds since the epoch.
    pub time: Option<i64>,
    pub file: Arc<str>,
    pub offset: i64,
}

impl Moment {
    /// Whether this was before the other for certain. Clocks of two files are compared, places in them are not.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        let in_file = self.file == other.file && self.offset < other.offset;
        match (self.time, other.time) {
            (Some(this), Some(that)) => this < that || (this == that && in_file),
            _ => in_file,
        }
    }
}

/// One call of a session, without its result.
#[derive(Clone, Debug, Default)]
pub struct CallText {
    pub call_id: Text,
    pub agent: Option<Text>,
    /// When it was asked for.
    pub asked: Moment,
    /// When its result was known.
    pub known: Moment,
    pub server: Option<Text>,
    pub tool: Option<Text>,
    pub capabilities: Bits,
    /// As stored: JSON text.
    pub arguments: Option<String>,
    /// What names the user, the machine or the folder at work: no value of anybody else's.
    pub own: Vec<Text>,
}

/// The order of a session's calls.
pub(super) type Key = (Moment, Text);

impl CallText {
    pub(super) fn key(&self) -> Key {
        (self.asked.clone(), self.call_id.clone())
    }
}

/// A value that arguments hold.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) text: Box<str>,
    pub(super) hash: u64,
    pub(super) is_secret: bool,
    /// Where it stands, by the order of the calls.
    pub(super) uses: Vec<Use>,
    /// The next value with the same words and other punctuation.
    next: u32,
}

/// One place of a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    pub(super) call: u32,
    pub(super) view: u32,
    /// Range of the view's words.
    pub(super) from: u32,
    pub(super) until: u32,
}

/// Where a shingle stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) view: u32,
    pub(super) word: u32,
    next: u32,
}

#[derive(Clone, Copy, Debug)]
struct Places {
    last: u32,
    count: u32,
    /// The first call that has it.
    pub(super) first: u32,
}

const NONE: u32 = u32::MAX;

/// The arguments of a session.
pub(super) struct Index {
    /// In the order in which they were asked for.
    pub(super) calls: Vec<CallText>,
    by_id: HashMap<Text, u32, ahash::RandomState>,
    /// Each with its call.
    pub(super) views: Vec<(u32, View)>,
    pub(super) destinations: Vec<Option<String>>,
    pub(super) values: Vec<Value>,
    by_words: ByHash<u32>,
    /// Numbers of words that values which begin with a word have, one bit each.
    firsts: ByHash<u32>,
    places: Vec<Place>,
    shingles: ByHash<Places>,
    pub(super) joined: Joined,
    /// One bit for what may be in `firsts` or `shingles`.
    filter: Vec<u64>,
    /// Times of arguments, to tell whether a result comes before any.
    last_asked: Option<i64>,
}

impl Index {
    pub(super) fn new(mut calls: Vec<CallText>) -> Self {
        calls.sort_by(|a, b| (&a.asked, &a.call_id).cmp(&(&b.asked, &b.call_id)));
        // A call stands in the lake once; what a case writes twice must not hold itself.
        calls.dedup_by(|a, b| a.call_id == b.call_id);
        let mut index = Self {
            by_id: calls.iter().enumerate().map(|(at, call)| (call.call_id.clone(), at as u32)).collect(),
            destinations: vec![None; calls.len()],
            calls,
            views: Vec::new(),
            values: Vec::new(),
            by_words: ByHash::default(),
            firsts: ByHash::default(),
            places: Vec::new(),
            shingles: ByHash::default(),
            joined: Joined::default(),
            filter: Vec::new(),
            last_asked: None,
        };
        let mut own = HashSet::new();
        for call in &index.calls {
            for text in &call.own {
                let mut list = Vec::new();
                super::words::words(text, &mut list);
                own.insert(sequence(&list));
            }
        }
        for call in 0..index.calls.len() {
            index.add(call as u32, &own);
        }
        index.seal();
        index
    }

    fn add(&mut self, call: u32, own: &HashSet<u64>) {
        let Some(arguments) = self.calls[call as usize].arguments.take() else { return };
        let time = self.calls[call as usize].asked.time;
        self.last_asked = self.last_asked.max(time);
        let views = sink::views(&arguments);
        self.destinations[call as usize] = sink::destination(&views);
        let bytes = arguments.len();
        self.calls[call as usize].arguments = Some(arguments).filter(|_| bytes > 0);
        let (mut left, mut pieces) = (VALUES, super::joined::PIECES);
        for view in views {
            let at = self.views.len() as u32;
            let secrets = secrets(&view);
            let values = value::values(&view.text, &view.words, left);
            let values =
                values.into_iter().filter(|range| !secrets.iter().any(|s| s.start < range.end && range.start < s.end));
            for (range, is_secret) in
                secrets.iter().cloned().map(|range| (range, true)).chain(values.map(|range| (range, false)))
            {
                left = left.saturating_sub(1);
                self.add_value(call, at, &view, range, is_secret, own);
            }
            for word in 0..(view.words.len() + 1).saturating_sub(SHINGLE) {
                self.add_place(call, sequence(&view.words[word..word + SHINGLE]), at, word as u32);
            }
            self.joined.add(at, &view.text, &view.words, &mut pieces);
            self.views.push((call, view));
        }
    }

    fn add_value(
        &mut self,
        call: u32,
        at: u32,
        view: &View,
        range: std::ops::Range<usize>,
        is_secret: bool,
        own: &HashSet<u64>,
    ) {
        let list = &view.words[range.clone()];
        let hash = sequence(list);
        let Some(text) = value::core(&view.text, &view.words, &range).filter(|_| is_secret || !own.contains(&hash))
        else {
            return;
        };
        let head = self.by_words.get(&hash).copied().unwrap_or(NONE);
        let mut known = head;
        while let Some(value) = self.values.get(known as usize)
            && !same_letters(&value.text, text)
        {
            known = value.next;
        }
        if known == NONE {
            known = self.values.len() as u32;
            self.values.push(Value { text: text.into(), hash, is_secret, uses: Vec::new(), next: head });
            self.by_words.insert(hash, known);
        }
        let uses = &mut self.values[known as usize].uses;
        if uses.len() < USES {
            uses.push(Use { call, view: at, from: range.start as u32, until: range.end as u32 });
        }
        *self.firsts.entry(list[0].hash).or_default() |= 1 << list.len().min(31);
    }

    fn add_place(&mut self, call: u32, hash: u64, view: u32, word: u32) {
        let places = self.shingles.entry(hash).or_insert(Places { last: NONE, count: 0, first: call });
        if places.count < PLACES {
            self.places.push(Place { view, word, next: places.last });
            places.last = self.places.len() as u32 - 1;
            places.count += 1;
        }
    }

    fn seal(&mut self) {
        let bits = ((self.firsts.len() + self.shingles.len()) * 16).next_power_of_two().max(1024);
        let mut filter = vec![0u64; bits / 64];
        for hash in self.firsts.keys().chain(self.shingles.keys()) {
            let bit = *hash as usize & (bits - 1);
            filter[bit / 64] |= 1 << (bit % 64);
        }
        self.filter = filter;
    }

    fn may_have(&self, hash: u64) -> bool {
        let bit = hash as usize & (self.filter.len() * 64 - 1);
        self.filter[bit / 64] >> (bit % 64) & 1 == 1
    }

    /// The place of a call in the session.
    pub(super) fn position(&self, call_id: &str) -> Option<u32> {
        self.by_id.get(call_id).copied()
    }

    /// Bytes of what is kept, about: texts, words, values with their places, hashes.
    pub(super) fn kept_bytes(&self) -> usize {
        let views = self.views.iter().map(|(_, view)| view.text.len() + view.words.len() * size_of::<Word>() + 64);
        let calls =
            self.calls.iter().map(|call| call.arguments.as_ref().map_or(0, String::len) + size_of::<CallText>());
        let values = self.values.iter().map(|value| value.text.len() + value.uses.len() * size_of::<Use>() + 64);
        let tables = self.shingles.len() * 24 + self.places.len() * size_of::<Place>() + self.firsts.len() * 16;
        views.sum::<usize>()
            + calls.sum::<usize>()
            + values.sum::<usize>()
            + tables
            + self.joined.kept_bytes()
            + self.filter.len() * 8
    }

    /// Whether any arguments come after a moment, so that a result of then can go anywhere.
    pub(super) fn goes_on_after(&self, known: &Moment) -> bool {
        // Without a time only the place in a file tells, and that is not kept in order.
        known.time.is_none()
            || self.last_asked.is_none_or(|last| Some(last) >= known.time)
            || self.calls.iter().any(|call| call.asked.time.is_none())
    }

    /// The values that these words begin with, and how many words they have.
    pub(super) fn values_at(&self, words: &[Word], mut each: impl FnMut(u32, usize)) {
        let first = words[0].hash;
        let mut lengths = if self.may_have(first) { self.firsts.get(&first).copied().unwrap_or_default() } else { 0 };
        while lengths != 0 {
            let length = lengths.trailing_zeros() as usize;
            lengths &= lengths - 1;
            let Some(words) = words.get(..length) else { break };
            let mut value = self.by_words.get(&sequence(words)).copied().unwrap_or(NONE);
            while let Some(found) = self.values.get(value as usize) {
                each(value, length);
                value = found.next;
            }
        }
    }

    /// Whether an argument held these words as a value before something was known.
    pub(super) fn is_said_before(&self, hash: u64, known: &Moment) -> bool {
        let mut value = self.by_words.get(&hash).copied().unwrap_or(NONE);
        while let Some(found) = self.values.get(value as usize) {
            if found.uses.first().is_some_and(|first| !known.is_before(&self.calls[first.call as usize].asked)) {
                return true;
            }
            value = found.next;
        }
        false
    }

    /// Where a shingle stands, and the first call that has it.
    pub(super) fn places(&self, hash: u64) -> impl Iterator<Item = (Place, u32)> + '_ {
        let found = if self.may_have(hash) { self.shingles.get(&hash) } else { None };
        let mut next = found.map_or(NONE, |places| places.last);
        let first = found.map_or(NONE, |places| places.first);
        std::iter::from_fn(move || {
            let place = *self.places.get(next as usize)?;
            next = place.next;
            Some((place, first))
        })
    }
}

/// Whether two texts are the same but for case and white space.
pub(super) fn same_letters(a: &str, b: &str) -> bool {
    let letters = |text: &str| {
        text.chars().filter_map(seen).filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect::<String>()
    };
    a == b || a.eq_ignore_ascii_case(b) || letters(a) == letters(b)
}

/// Placeholders of secrets in a view: `[secret:TYPE:FINGERPRINT]`.
fn secrets(view: &View) -> Vec<std::ops::Range<usize>> {
    const OPENING: &str = "[secret:";
    let mut found = Vec::new();
    if view.encoding != Encoding::Verbatim && view.encoding != Encoding::Json {
        return found;
    }
    for (at, _) in view.text.match_indices(OPENING).take(16) {
        let Some(length) = view.text[at..].find(']') else { continue };
        let start = view.words.partition_point(|word| (word.start as usize) < at);
        let end = view.words.partition_point(|word| (word.end as usize) <= at + length);
        if end > start + 2 && end - start < 12 {
            found.push(start..end);
        }
    }
    found
}
