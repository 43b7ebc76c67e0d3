//! Tokens of a text: words in small letters without their endings, compound ones both whole and in parts, as hashes.
//!
//! English endings are taken off lightly (`sends`, `sending` and `send` are one token); other languages pass as they are.

use crate::lineage::words::is_unspaced;
use std::borrow::Cow;
use std::sync::LazyLock;

/// A token: a hash of its letters. Equal on every machine and in every version, because models and flows keep them.
pub type Token = u64;

/// Parts of one compound word that become tokens of their own.
const MAX_PARTS: usize = 24;

/// Longest word that is looked at; what is longer is data.
const MAX_WORD: usize = 256;

/// Words that say nothing about what a text is about.
const STOP: &[&str] = &[
    "a", "about", "above", "after", "again", "all", "also", "although", "am", "an", "and", "any", "are", "as", "at",
    "be", "because", "been", "before", "being", "below", "best", "between", "both", "but", "by", "can", "could",
    "dear", "did", "do", "does", "doing", "done", "down", "during", "each", "either", "else", "ever", "every", "few",
    "for", "from", "further", "had", "has", "have", "having", "he", "hello", "her", "here", "hers", "hi", "him", "his",
    "how", "however", "i", "if", "in", "into", "is", "it", "its", "just", "kindly", "may", "me", "might", "more",
    "most", "much", "must", "my", "neither", "no", "nor", "not", "of", "off", "on", "once", "only", "or", "other",
    "our", "ours", "out", "over", "own", "please", "quite", "rather", "regards", "same", "shall", "she", "should",
    "since", "so", "some", "such", "than", "thank", "thanks", "that", "the", "their", "them", "then", "there", "these",
    "they", "this", "those", "though", "through", "to", "too", "under", "until", "up", "upon", "us", "very", "was",
    "we", "were", "what", "when", "where", "whether", "which", "while", "who", "whom", "whose", "why", "will", "with",
    "within", "without", "would", "yes", "yet", "you", "your", "yours",
];

/// FNV-1a over 64 bits, its bits spread by the finaliser of MurmurHash3.
pub(crate) fn token(word: &[u8]) -> Token {
    let mut hash = word
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash
}

/// The stop words as numbers, which are compared faster than texts: every word of every result is looked up.
static STOP_NUMBERS: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let mut numbers: Vec<u64> = STOP.iter().map(|word| number(word)).collect();
    numbers.sort_unstable();
    numbers
});

/// A word of up to 8 bytes as a number.
fn number(word: &str) -> u64 {
    word.bytes().fold(0, |number, byte| number << 8 | u64::from(byte))
}

fn is_stop(word: &str) -> bool {
    word.len() <= 8 && STOP_NUMBERS.binary_search(&number(word)).is_ok()
}

/// The token of one plain word in small letters.
pub(crate) fn of_word(word: &str) -> Token {
    let (stem, ending) = stem(word);
    if ending.is_empty() {
        return token(stem.as_bytes());
    }
    let mut whole = [0; 64];
    let length = stem.len() + ending.len();
    match whole.get_mut(..length) {
        Some(room) => {
            room[..stem.len()].copy_from_slice(stem.as_bytes());
            room[stem.len()..].copy_from_slice(ending.as_bytes());
            token(room)
        }
        None => token(stem.as_bytes()),
    }
}

/// A word without its ending, and the letter that stands for what was cut off.
fn stem(word: &str) -> (&str, &'static str) {
    if word.len() < 4 || !word.is_ascii() {
        return (word, "");
    }
    let cut = |ending: &str, least: usize| word.strip_suffix(ending).filter(|rest| rest.len() >= least);
    if let Some(rest) = cut("ies", 2).or_else(|| cut("ied", 2)) {
        return (rest, "y");
    }
    if let Some(rest) = cut("ing", 3).or_else(|| cut("ed", 3)) {
        return (without_e(undoubled(rest)), "");
    }
    let sibilant = |rest: &&str| ["s", "x", "z", "ch", "sh"].iter().any(|end| rest.ends_with(end));
    if let Some(rest) = cut("es", 3).filter(sibilant) {
        return (without_e(rest), "");
    }
    let plural = cut("s", 3).filter(|rest| !["s", "u", "i"].iter().any(|end| rest.ends_with(end)));
    (without_e(plural.unwrap_or(word)), "")
}

/// `submitt` is `submit`; `call`, `pass` and `buzz` are doubled by themselves.
fn undoubled(word: &str) -> &str {
    match word.as_bytes() {
        [.., a, b] if a == b && word.len() > 3 && !matches!(b, b'l' | b's' | b'z' | b'e' | b'o') => {
            &word[..word.len() - 1]
        }
        _ => word,
    }
}

fn without_e(word: &str) -> &str {
    word.strip_suffix('e').filter(|rest| rest.len() >= 3).unwrap_or(word)
}

/// What a byte is to a word: nothing, part of it, or a sign that joins two parts.
const OUT: u8 = 0;
const LETTER: u8 = 1;
const JOIN: u8 = 2;
const CLASS: [u8; 256] = {
    let mut class = [OUT; 256];
    let mut byte = 0;
    while byte < 256 {
        class[byte] = match byte as u8 {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'#' | b'\'' | 0x80..=0xFF => LETTER,
            b'_' | b'@' | b'.' | b'-' | b'/' | b':' => JOIN,
            _ => OUT,
        };
        byte += 1;
    }
    class
};

/// Gives each token of a text in small letters, in order, repetitions included.
pub fn tokens(low: &str, mut give: impl FnMut(Token)) {
    let bytes = low.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if CLASS[usize::from(bytes[at])] == OUT {
            at += 1;
            continue;
        }
        let start = at;
        let (mut joined, mut foreign, mut digits) = (false, false, 0);
        loop {
            match bytes.get(at) {
                Some(b',') if thousands(bytes, at) => {}
                Some(byte) => match CLASS[usize::from(*byte)] {
                    OUT => break,
                    JOIN => joined = true,
                    _ => {
                        foreign |= *byte >= 0x80;
                        digits += usize::from(byte.is_ascii_digit());
                    }
                },
                None => break,
            }
            at += 1;
        }
        let word = &low[start..at];
        if foreign {
            // Signs of other scripts, such as dashes and quotes, part words too.
            word.split(|c: char| !c.is_ascii() && !c.is_alphanumeric())
                .for_each(|part| of_one_script(part, |part| one(part, true, digits > 0, &mut give)));
        } else {
            one(word, joined, digits > 0, &mut give);
        }
    }
}

/// Gives the parts of a word between which a script without spaces begins or ends: `发送到bob@firm.example`.
fn of_one_script(word: &str, mut give: impl FnMut(&str)) {
    let mut start = 0;
    let mut before = None;
    for (at, c) in word.char_indices() {
        let now = Some(is_unspaced(c));
        if before.is_some() && before != now {
            give(&word[start..at]);
            start = at;
        }
        before = now;
    }
    give(&word[start..]);
}

/// Whether the comma at `at` parts the thousands of a number.
fn thousands(bytes: &[u8], at: usize) -> bool {
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    at > 0 && digit(at - 1) && digit(at + 1) && digit(at + 2) && digit(at + 3) && !digit(at + 4)
}

fn one(word: &str, joined: bool, digits: bool, give: &mut impl FnMut(Token)) {
    let word = word.trim_matches(|c| matches!(c, '.' | ':' | '\'' | '-' | '#' | '/' | '+' | '_' | '@'));
    if word.is_empty() || word.len() > MAX_WORD {
        return;
    }
    if digits && word.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b',')) {
        return give(token(plain_number(word).as_bytes()));
    }
    let joins = |c: char| matches!(c, '_' | '@' | '.' | '/' | ':' | '-');
    if joined && word.contains(joins) {
        give(token(word.as_bytes()));
        let parts = word.split(joins).filter(|part| !part.is_empty() && !is_stop(part));
        parts.take(MAX_PARTS).for_each(|part| give(of_word(part)));
    } else if !is_stop(word) {
        give(of_word(word));
    }
}

/// A number without thousands' commas and zeros behind the point: `1,200.50` is `1200.5`.
pub(crate) fn plain_number(text: &str) -> Cow<'_, str> {
    let plain = if text.contains(',') { Cow::Owned(text.replace(',', "")) } else { Cow::Borrowed(text) };
    if plain.bytes().filter(|b| *b == b'.').count() != 1 {
        return plain;
    }
    let kept = plain.trim_end_matches('0').trim_end_matches('.').len();
    match plain {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..kept]),
        Cow::Owned(mut text) => {
            text.truncate(kept);
            Cow::Owned(text)
        }
    }
}

/// The words of a name in snake_case, kebab-case or camelCase, in small letters.
pub fn name_words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut previous = ' ';
    let mut chars = name.chars().take(MAX_WORD).peekable();
    while let Some(ch) = chars.next() {
        let capital =
            ch.is_uppercase() && (!previous.is_uppercase() || chars.peek().is_some_and(|next| next.is_lowercase()));
        let number =
            ch.is_ascii_digit() != previous.is_ascii_digit() && previous.is_alphanumeric() && ch.is_alphanumeric();
        if !ch.is_alphanumeric() || capital || number {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| ch.is_alphanumeric()) {
            word.extend(ch.to_lowercase());
        }
        previous = ch;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A character in small letters, as long as that takes as many bytes: places in the two texts stay the same.
pub(crate) fn lower(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    let mut small = c.to_lowercase();
    match (small.next(), small.next()) {
        (Some(one), None) if one.len_utf8() == c.len_utf8() => one,
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_words_are_sorted_for_the_search() {
        assert!(STOP.is_sorted());
    }

    #[test]
    fn forms_of_one_word_are_one_token() {
        for forms in [
            "send sends sending",
            "share shares shared sharing",
            "copy copies copied copying",
            "submit submits submitted submitting",
            "call calls called calling",
            "add adds added adding",
            "box boxes",
            "file files filed filing",
            "make makes making",
            "plan plans planned planning",
            "address addresses addressed",
            "process processes processing",
        ] {
            let tokens: Vec<Token> = forms.split(' ').map(of_word).collect();
            assert!(tokens.windows(2).all(|pair| pair[0] == pair[1]), "{forms}");
        }
        assert_ne!(of_word("status"), of_word("statu"));
        assert_ne!(of_word("pass"), of_word("pas"));
    }

    #[test]
    fn one_number_is_one_token_however_it_is_written() {
        let of = |text: &str| {
            let mut found = Vec::new();
            tokens(text, |t| found.push(t));
            found
        };
        assert_eq!(of("1,200.50"), of("1200.5"));
        assert_eq!(of("$12,000,000."), of("12000000"));
        assert_eq!(of("3,14"), [token(b"3"), token(b"14")]);
        assert_eq!(of("10.0.0.1"), [token(b"10.0.0.1")]);
        assert_eq!(
            of("caf\u{e9} \u{2014}rent\u{2014} \u{6771}\u{4eac}"),
            ["caf\u{e9}", "rent", "\u{6771}\u{4eac}"].map(of_word)
        );
    }

    #[test]
    fn compound_words_are_whole_and_in_parts() {
        let mut found = Vec::new();
        tokens("write to anna.berg@firm.example, the_reports/2024.", |t| found.push(t));
        let expected: Vec<Token> =
            [token(b"anna.berg@firm.example"), of_word("anna"), of_word("berg"), of_word("firm"), of_word("example")]
                .into();
        assert!(expected.iter().all(|t| found.contains(t)));
        assert!(
            found.contains(&of_word("reports")) && found.contains(&of_word("2024")) && !found.contains(&of_word("to"))
        );
    }
}
