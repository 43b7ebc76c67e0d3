//! A text as words: what all comparing stands on.
//!
//! A word is a run of letters and digits; its hash knows no case. White space, punctuation and JSON's escapes lie between words,
//! so the same text has the same words however often it was put into JSON strings, wrapped or indented. Scripts without spaces
//! have one word a character. Characters that nobody sees do not count.

use super::seen::seen;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// One word: where it stands, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) hash: u64,
}

impl Word {
    /// Its bytes in the text.
    pub(super) fn len(self) -> usize {
        (self.end - self.start) as usize
    }
}

/// Multiplier of wyhash's and rapidhash's mixing step.
const MIX: u64 = 0xa076_1d64_78bd_642f;
/// Upper-case letters become lower-case ones, digits stay.
const LOWER: u64 = 0x2020_2020_2020_2020;

/// Mixes two numbers into one, order matters.
pub(super) fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ b.rotate_left(23) ^ MIX) * u128::from(b ^ 0xe703_7ed1_a0b4_28db);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Keys are hashes already.
#[derive(Clone, Copy, Default)]
pub(super) struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = mix(self.0, u64::from(*byte)));
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// What is found by such hashes.
pub(super) type ByHash<T> = HashMap<u64, T, BuildHasherDefault<Plain>>;

/// Hash of a word of ASCII letters and digits.
fn hash_ascii(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let value = chunk.try_into().map_or(0, u64::from_le_bytes);
        hash = mix(hash, value | LOWER);
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        let value = rest.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(byte | 0x20));
        hash = mix(hash, value);
    }
    hash
}

/// Hash of any word that is not ASCII alone, already lower-case.
fn hash_other(word: &str) -> u64 {
    if word.is_ascii() { hash_ascii(word.as_bytes()) } else { mix(hash_ascii(word.as_bytes()), !0) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Between,
    Inside,
    Escape,
    Other,
}

static CLASSES: [Class; 256] = {
    let mut classes = [Class::Between; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => Class::Inside,
            b'\\' => Class::Escape,
            0x80.. => Class::Other,
            _ => Class::Between,
        };
        byte += 1;
    }
    classes
};

fn class(byte: u8) -> Class {
    CLASSES[usize::from(byte)]
}

/// Appends the words of a text, plain or inside JSON; texts above 4 GiB are not looked at.
pub(super) fn words(text: &str, out: &mut Vec<Word>) {
    if u32::try_from(text.len()).is_err() {
        return;
    }
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match class(bytes[at]) {
            Class::Between => at += 1,
            Class::Inside => {
                let start = at;
                while at < bytes.len() && class(bytes[at]) == Class::Inside {
                    at += 1;
                }
                let goes_on = match bytes.get(at).map(|byte| class(*byte)) {
                    Some(Class::Other) => true,
                    Some(Class::Escape) => unicode_escape(bytes, at).is_some(),
                    _ => false,
                };
                if goes_on {
                    at = mixed(text, start, out);
                } else {
                    out.push(Word { start: start as u32, end: at as u32, hash: hash_ascii(&bytes[start..at]) });
                }
            }
            Class::Escape if unicode_escape(bytes, at).is_some() => at = mixed(text, at, out),
            Class::Escape => at = after_escape(bytes, at),
            Class::Other => at = mixed(text, at, out),
        }
    }
}

/// The place after a run of backslashes and the letter that it escapes.
fn after_escape(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at) == Some(&b'\\') {
        at += 1;
    }
    at + usize::from(bytes.get(at).is_some_and(|byte| matches!(byte | 0x20, b'n' | b't' | b'r' | b'b' | b'f')))
}

/// The character that `\uXXXX` (with any number of backslashes) stands for, and where it ends.
fn unicode_escape(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    let unit = |mut at: usize| {
        let from = at;
        while bytes.get(at) == Some(&b'\\') {
            at += 1;
        }
        let digits = bytes.get(at + 1..at + 5).filter(|_| at > from && bytes.get(at) == Some(&b'u'))?;
        let digits = std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        Some((u32::from_str_radix(digits, 16).ok()?, at + 5))
    };
    let (high, end) = unit(at)?;
    if (0xD800..0xDC00).contains(&high) {
        let (low, end) = unit(end)?;
        let low = low.checked_sub(0xDC00).filter(|low| *low < 0x400)?;
        return Some((char::from_u32(0x10000 + ((high - 0xD800) << 10) + low)?, end));
    }
    Some((char::from_u32(high)?, end))
}

/// Whether a script writes words without spaces between them, so that each character is a word.
pub(super) fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}' | '\u{2E80}'..='\u{9FFF}'
        | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

/// Reads from a place where a word holds, or may hold, characters beyond ASCII; gives where it went on from.
fn mixed(text: &str, start: usize, out: &mut Vec<Word>) -> usize {
    let bytes = text.as_bytes();
    let mut word = String::new();
    let mut at = start;
    while at < bytes.len() {
        let (c, end) = match class(bytes[at]) {
            Class::Between => break,
            Class::Inside => (char::from(bytes[at]), at + 1),
            Class::Escape => match unicode_escape(bytes, at) {
                Some(found) => found,
                None => break,
            },
            Class::Other => match text[at..].chars().next() {
                Some(c) => (c, at + c.len_utf8()),
                None => break,
            },
        };
        let Some(c) = seen(c) else {
            // What nobody sees parts no word.
            if word.is_empty() {
                return end;
            }
            at = end;
            continue;
        };
        if !c.is_alphanumeric() {
            if word.is_empty() {
                return end;
            }
            break;
        }
        if is_unspaced(c) {
            if word.is_empty() {
                let mut buffer = [0; 4];
                out.push(Word { start: at as u32, end: end as u32, hash: hash_other(c.encode_utf8(&mut buffer)) });
                return end;
            }
            break;
        }
        word.extend(c.to_lowercase());
        at = end;
    }
    if word.is_empty() {
        // Nothing was taken: an escape that is none.
        return at.max(start + 1);
    }
    out.push(Word { start: start as u32, end: at as u32, hash: hash_other(&word) });
    at
}

/// Hash of any bytes; the same in every lake and on every machine.
pub(super) fn hash_bytes(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(bytes.len() as u64, |hash, chunk| {
        mix(hash, chunk.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    })
}

/// Hash of several words in a row.
pub(super) fn sequence(words: &[Word]) -> u64 {
    words.iter().fold(words.len() as u64, |hash, word| mix(hash, word.hash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hashes(text: &str) -> Vec<u64> {
        let mut out = Vec::new();
        words(text, &mut out);
        out.iter().map(|word| word.hash).collect()
    }

    #[test]
    fn one_text_has_the_same_words_in_every_dress() {
        let plain = "Grüße an Anna-Lena, C:\\new\\table: 12,50 € 東京 \u{1F600} naïve\nsecond line";
        let mut dressed = plain.to_owned();
        for _ in 0..3 {
            dressed = serde_json::to_string(&dressed).unwrap();
            assert_eq!(hashes(&dressed), hashes(plain), "{dressed}");
        }
        let ascii: String = plain
            .encode_utf16()
            .map(|unit| match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
                _ => format!("\\u{unit:04x}"),
            })
            .collect();
        assert_eq!(hashes(&ascii), hashes(plain));
        // A backslash is an escape's only as a character of its own.
        let simple = plain.replace('\\', " ");
        let tags: String = simple
            .chars()
            .map(|c| if c.is_ascii_graphic() || c == ' ' { char::from_u32(0xE0000 + u32::from(c)).unwrap() } else { c })
            .collect();
        assert_eq!(hashes(&tags), hashes(&simple));
        assert_eq!(hashes(&plain.to_uppercase().replace("GRÜSSE", "GRÜßE")), hashes(plain));
        assert_ne!(hashes("ab"), hashes("ba"));
        let hidden = "Ann\u{200B}a-L\u{AD}ena, \u{FEFF}4\u{2060}711 ｔｏ\u{200D} bob";
        assert_eq!(hashes(hidden), hashes("Anna-Lena, 4711 to bob"));
        assert_eq!(hashes(r"Ann\u200ba"), hashes("Anna"));
    }

    proptest! {
        #[test]
        fn any_text_has_words_in_order_that_lie_in_it(text in "\\PC{0,60}|[\\\\u0-9a-fn\u{e9}東]{0,40}") {
            let mut out = Vec::new();
            words(&text, &mut out);
            let mut last = 0;
            for word in out {
                prop_assert!(word.start >= last && word.end > word.start);
                prop_assert!(text.get(word.start as usize..word.end as usize).is_some());
                last = word.end;
            }
        }
    }
}
