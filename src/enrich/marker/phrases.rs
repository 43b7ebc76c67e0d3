//! Sentences that try to take over: "ignore all previous instructions" and its kin, in several languages.
//!
//! A vector search for a few stems, in a lower-case copy, decides whether a payload can hold any; in strings of
//! payloads that pass, the expressions run only around the stems. They work on bytes: with Unicode's idea of a word
//! the regex engine would fall back to its slow half on every text that is not ASCII.

use aho_corasick::{AhoCorasick, packed};
use regex::bytes::{Regex, RegexBuilder};
use std::sync::LazyLock;

/// How far around a stem a phrase may reach.
const BEFORE: usize = 140;
const AFTER: usize = 200;

/// A string without any of these holds no phrase. At most 32, of four bytes at least and with rare beginnings: that is
/// what the vector search is fast for. Other scripts are cut inside a character, where several words share a start.
const STEMS: &[&[u8]] = &[
    b"gnor",
    b"isregard",
    b"forget",
    b"verrid",
    b"nstruction",
    b"you are now",
    b"em prompt",
    b"t tell",
    b"t mention",
    b"t inform",
    b"t notify",
    b"before us",
    b"before call",
    b"mportant:",
    b"from now on",
    b"vergiss",
    b"missacht",
    b"oublie",
    b"pas compte",
    b"lvida",
    b"esque",
    b"sconsider",
    b"imentic",
    // 忽略 忽视 忽視, 无视, 無視, 忘记 忘記, 忘れ
    b"\xE5\xBF\xBD\xE7",
    b"\xE5\xBF\xBD\xE8",
    b"\xE6\x97\xA0\xE8",
    b"\xE7\x84\xA1\xE8",
    b"\xE5\xBF\x98\xE8",
    b"\xE5\xBF\x98\xE3",
    // игнорируй, забудь, 무시
    b"\xD0\xB3\xD0\xBD\xD0\xBE\xD1\x80",
    b"\xD0\xB0\xD0\xB1\xD1\x83\xD0\xB4",
    b"\xEB\xAC\xB4\xEC\x8B\x9C",
];

/// One expression per idea.
const PHRASES: &[&str] = &[
    // The order to drop what was said before.
    r"\b(?:ignor(?:e|ing)|disregard(?:ing)?|forget(?:ting)?|overrid(?:e|ing)|bypass)\b(?:\W+\w+){0,3}?\W+(?:previous|prior|preceding|above|earlier|foregoing|former|existing|original|initial|current|system|other|safety|your)\b(?:\W+\w+){0,3}?\W+(?:instruction|prompt|direction|directive|guideline|rule|command|order|context|message|task|constraint|polic|request)",
    r"\b(?:ignore|disregard|forget)\b\W+(?:(?:all|everything|anything|what|whatever)\b(?:\W+\w+){0,5}?\W+)?(?:the\W+)?(?:above|before(?: this)?|(?:was|were|been) (?:told|said|instructed))\b",
    r"\b(?:ignore|disregard|forget)\b\W+(?:all\W+)?(?:the\W+|your\W+|any\W+)?instructions\b",
    // New ones.
    r"\b(?:new|updated|revised|real|actual|additional|follow(?:ing)?(?: these)?)(?:\W+\w+)?\W+instructions?\b\s*(?::|\bare\b)",
    r"\byou are now (?:an?|the|in|acting|operating|no longer|free|going|required|my|to)\b",
    r"\bfrom now on,? (?:you|always|only|all|every)\b",
    r"\bsystem prompt\b",
    // Secrecy.
    r"\b(?:do not|don(?:'|’)t|never|must not|should not|without)\W+(?:(?:ever|explicitly)\W+)?(?:tell|mention|inform|notify|alert|reveal|disclose|show|let)(?:ing)?\b(?:\W+\w+){0,4}?\W+(?:users?|humans?|person|anyone|operator)\b",
    r"\b(?:do not|don(?:'|’)t|never|must not) mention (?:this|that|it|these|any|the)\b",
    // Conditions on the use of tools.
    r"\bimportant\b[^\n]{0,120}?\b(?:before|prior to|when(?:ever)?) (?:using|calling|invoking|running|you|any|answering|responding|proceeding)",
    r"\bbefore (?:using|calling|invoking|executing) (?:this|any|the|that|another|other)\b(?:\W+\w+){0,2}?\W+tools?\b",
    // German, French, Spanish, Portuguese, Italian.
    r"\b(?:ignorier\w*|vergiss|vergessen sie|missachte\w*)\b[^.\n]{0,50}?(?:anweisung|instruktion|vorgabe|regel|befehl|alles)",
    r"\b(?:ignore[rz]?|oublie[rz]?|(?:tiens|tenez) pas compte)\b[^.\n]{0,50}?(?:instruction|consigne|directive|règle|ordre)s?\b[^.\n]{0,20}?(?:précédent|antérieur|ci-dessus|initial|système|de)",
    r"\b(?:ignor[ae]|ignorar|olvid[ae]|olvidar|esque\w+|desconsider\w+|dimentic\w+|ignorate)\b[^.\n]{0,50}?(?:instruccion|instruc|instruç|istruzion|órdenes|ordenes|indicacion|reglas|regras|regole)",
    // Chinese, Japanese, Russian, Korean.
    r"(?:忽略|忽视|忽視|无视|無視|忘记|忘記)[^\n]{0,40}?(?:指令|指示|提示|说明|說明|规则|規則|命令|要求)",
    r"(?:指示|命令|プロンプト|ルール|指令)[^\n]{0,24}?(?:無視|忘れ)",
    r"(?:гнорируй|абудь)[^.\n]{0,100}?(?:нструкци|казани|равил|оманд)",
    r"(?:지시|명령|프롬프트|규칙)[^.\n]{0,24}?무시",
];

enum Searcher {
    Packed(packed::Searcher),
    /// On a machine without vector instructions.
    Plain(AhoCorasick),
}

static SEARCHER: LazyLock<Searcher> = LazyLock::new(|| {
    // Twice the buckets at half the stride: with two stems a bucket hardly anything is looked at in vain.
    match packed::Config::new().only_teddy_fat(Some(true)).builder().extend(STEMS).build() {
        Some(searcher) => Searcher::Packed(searcher),
        None => Searcher::Plain(AhoCorasick::new(STEMS).expect("a constant list of short literals")),
    }
});

static PHRASE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let any = PHRASES.iter().map(|phrase| format!("(?:{phrase})")).collect::<Vec<_>>().join("|");
    RegexBuilder::new(&any).case_insensitive(true).unicode(false).size_limit(64 << 20).build().ok()
});

/// Scratch space of [`find`].
#[derive(Debug, Default)]
pub(crate) struct Room {
    lower: Vec<u8>,
    stems: Vec<usize>,
}

/// Notes where stems stand. `lower` is scratch space.
pub(crate) fn stems(text: &str, lower: &mut Vec<u8>, found: &mut Vec<usize>) {
    lower.clear();
    lower.extend_from_slice(text.as_bytes());
    lower.make_ascii_lowercase();
    found.clear();
    match &*SEARCHER {
        Searcher::Packed(searcher) => found.extend(searcher.find_iter(lower.as_slice()).map(|hit| hit.start())),
        Searcher::Plain(searcher) => found.extend(searcher.find_iter(lower.as_slice()).map(|hit| hit.start())),
    }
}

/// Calls back with the byte positions of the phrases in a string. `room` is scratch space.
pub(crate) fn find(text: &str, room: &mut Room, mut found: impl FnMut(usize)) {
    let Some(phrase) = &*PHRASE else { return };
    stems(text, &mut room.lower, &mut room.stems);
    let mut searched = 0;
    for &stem in &room.stems {
        let end = text.len().min(stem + AFTER);
        let mut at = stem.saturating_sub(BEFORE).max(searched);
        while at <= stem
            && let Some(phrase) = phrase.find_at(&text.as_bytes()[..end], at)
        {
            at = phrase.end().max(at + 1);
            searched = at;
            found(phrase.start());
        }
        searched = searched.max(stem);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_expression_compiles() {
        assert!(super::PHRASE.is_some());
    }
}
