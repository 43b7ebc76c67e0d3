//! Values that are written in groups (`DE89 3704 0044`) and stand elsewhere without the gaps: accounts, cards, telephone numbers.

use super::words::Word;

/// Letters and digits of one group (`3704`, `NWBK`), and of all groups together: an account, a card, a phone number.
const GROUP: usize = 8;
const UNGROUPED: std::ops::RangeInclusive<usize> = 10..=40;
/// Digits among them at least.
const DIGITS: usize = 8;
/// Such runs of one text.
const RUNS: usize = 64;

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
