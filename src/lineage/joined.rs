//! Values of a result that are a part of a longer word of an argument.

use super::words::{ByHash, Word, hash_bytes, sequence};

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
