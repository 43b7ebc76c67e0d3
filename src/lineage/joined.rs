//! Values that stand together otherwise in an argument than in a result: digits in groups or without gaps, and a value that is a
//! part of a longer word.

use super::index::ByHash;
use super::words::{Word, hash_bytes, sequence};

/// Letters and digits of one group (`3704`, `NWBK`), and of all groups together: an account, a card, a phone number.
const GROUP: usize = 8;
const UNGROUPED: std::ops::RangeInclusive<usize> = 10..=40;
/// Digits among them at least.
const DIGITS: usize = 8;
/// Such runs of one text.
const RUNS: usize = 64;

/// Bytes by which a part of a longer word is found; shorter values stand in long words by chance.
const PIECE: usize = 8;
/// Longer words that may hold one. What is longer still is encoded data.
const HOLDS: std::ops::RangeInclusive<usize> = PIECE + 2..=512;
/// Pieces of one call's arguments.
pub(super) const PIECES: usize = 4096;
/// Words that one piece is looked for in.
const SAME: u32 = 16;
/// Parts that one text is searched for.
const PARTS: usize = 256;

/// Runs of groups in a text without what lies between the groups.
pub(super) fn ungrouped(text: &str, words: &[Word]) -> Vec<String> {
    let bytes = text.as_bytes();
    let is_group = |word: &Word| {
        let group = &bytes[word.start as usize..word.end as usize];
        let digits = group.iter().filter(|byte| byte.is_ascii_digit()).count();
        let is_code = group.len() <= 4 && group.iter().all(u8::is_ascii_uppercase);
        group.len() <= GROUP && (digits * 2 >= group.len() || is_code)
    };
    let is_joined = |pair: &[Word]| {
        let gap = &bytes[pair[0].end as usize..pair[1].start as usize];
        matches!(gap, b" " | b"-" | b"." | b"\xc2\xa0")
    };
    let mut found = Vec::new();
    let mut start = 0;
    while start < words.len() && found.len() < RUNS {
        let mut end = start + 1;
        if words[start].len() <= GROUP && is_group(&words[start]) {
            while end < words.len() && is_joined(&words[end - 1..=end]) && is_group(&words[end]) {
                end += 1;
            }
        }
        if end - start >= 2 {
            let whole = &text[words[start].start as usize..words[end - 1].end as usize];
            let run: String = whole.chars().filter(char::is_ascii_alphanumeric).collect();
            let digits = run.bytes().filter(u8::is_ascii_digit).count();
            if UNGROUPED.contains(&run.len()) && digits >= DIGITS {
                found.push(run);
            }
        }
        start = end;
    }
    found
}

/// Where a long word of an argument stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    view: u32,
    word: u32,
    next: u32,
}

const NONE: u32 = u32::MAX;

/// Long words of a session's arguments, by every piece of them.
#[derive(Debug, Default)]
pub(super) struct Joined {
    places: Vec<Place>,
    /// The last place, and how many there are.
    last: ByHash<(u32, u32)>,
}

/// A word of a result that is a part of an argument's word.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub(super) view: u32,
    pub(super) text: String,
    pub(super) hash: u64,
}

impl Joined {
    /// Adds the words of a view; `left` counts the pieces that the call may still have.
    pub(super) fn add(&mut self, view: u32, text: &str, words: &[Word], left: &mut usize) {
        for (at, word) in words.iter().enumerate().filter(|(_, word)| HOLDS.contains(&word.len())) {
            let bytes = &text.as_bytes()[word.start as usize..word.end as usize];
            // A digest holds its own abbreviation, and long digests hold any short one by chance.
            if !has_digits(bytes) || bytes.iter().all(u8::is_ascii_hexdigit) || !bytes.is_ascii() {
                continue;
            }
            for piece in bytes.windows(PIECE) {
                if *left == 0 {
                    return;
                }
                *left -= 1;
                let (last, count) = self.last.entry(piece_hash(piece)).or_insert((NONE, 0));
                if *count < SAME {
                    self.places.push(Place { view, word: at as u32, next: *last });
                    *last = self.places.len() as u32 - 1;
                    *count += 1;
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Bytes of what is kept, about.
    pub(super) fn kept_bytes(&self) -> usize {
        self.places.len() * size_of::<Place>() + self.last.len() * 24
    }

    /// The words of a text that stand inside longer words of arguments. `word_of` gives the text of an argument's word, if it is one to
    /// look in.
    pub(super) fn parts<'v>(
        &self,
        text: &str,
        words: &[Word],
        word_of: &dyn Fn(u32, u32) -> Option<&'v str>,
        parts: &mut Vec<Part>,
    ) {
        for word in words.iter().filter(|word| (PIECE..=*HOLDS.end()).contains(&word.len())) {
            let bytes = &text.as_bytes()[word.start as usize..word.end as usize];
            if !bytes.is_ascii() || !has_digits(bytes) {
                continue;
            }
            let mut next = self.last.get(&piece_hash(&bytes[..PIECE])).map_or(NONE, |(last, _)| *last);
            while let Some(place) = self.places.get(next as usize) {
                next = place.next;
                let holds = |long: &str| {
                    long.len() > bytes.len()
                        && long.as_bytes().windows(bytes.len()).any(|w| w.eq_ignore_ascii_case(bytes))
                };
                if parts.len() < PARTS && word_of(place.view, place.word).is_some_and(holds) {
                    let part = Part {
                        view: place.view,
                        text: text[word.start as usize..word.end as usize].to_owned(),
                        hash: sequence(std::slice::from_ref(word)),
                    };
                    if !parts.contains(&part) {
                        parts.push(part);
                    }
                }
            }
        }
    }
}

/// An id has letters and digits, or is a number.
fn has_digits(bytes: &[u8]) -> bool {
    bytes.iter().filter(|byte| byte.is_ascii_digit()).take(2).count() == 2
}

fn piece_hash(piece: &[u8]) -> u64 {
    let mut lower = [0; PIECE];
    lower.copy_from_slice(piece);
    lower.make_ascii_lowercase();
    hash_bytes(&lower)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::words::words;

    #[test]
    fn groups_are_put_together() {
        let found = |text: &str| {
            let mut list = Vec::new();
            words(text, &mut list);
            ungrouped(text, &list)
        };
        for (text, expected) in [
            ("to DE89 3704 0044 0532 0130 00, please", "DE89370400440532013000"),
            ("GB29 NWBK 6016 1331 9268 19", "GB29NWBK60161331926819"),
            ("card 4111-1111-1111-1111.", "4111111111111111"),
            ("call +49 151 23456789 now", "4915123456789"),
        ] {
            assert_eq!(found(text), [expected], "{text}");
        }
        for text in ["2026-11-26", "see 12 of 40", "a 1 b 2 c 3", "", "one two three", "10.0.0.7"] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
        let table = (10..90).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(found(&table), [""; 0], "a table of numbers is no account");
    }
}
