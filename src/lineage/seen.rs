//! What a reader makes of a character: letters that nobody sees, or that only look like others, must not part a word or hide an order.
//!
//! A language model reads `s\u{200B}end`, `ｓｅｎｄ` and a text in tag characters as what they stand for, and its calls have the plain letters.

/// Letters of other scripts that look like Latin ones.
const ALIKE: &[(&str, &str)] = &[
    ("аеорсухіјѕһԁԛԝ", "aeopcyxijshdqw"),
    ("АВЕКМНОРСТХІЈЅ", "ABEKMHOPCTXIJS"),
    ("αονρι", "aovpi"),
    ("ΑΒΕΖΗΙΚΜΝΟΡΤΧ", "ABEZHIKMNOPTX"),
];

/// The character that one stands for; `None` of one that nobody sees.
pub(super) fn seen(c: char) -> Option<char> {
    match c {
        // Hardly any text has others.
        '\0'..='\u{AC}' => Some(c),
        // Tag characters are ASCII to a model (Unicode 16, section 23.9).
        '\u{E0020}'..='\u{E007E}' => char::from_u32(c as u32 - 0xE0000),
        '\u{AD}'
        | '\u{34F}'
        | '\u{61C}'
        | '\u{180E}'
        | '\u{200B}'..='\u{200F}'
        | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}'
        | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}'
        | '\u{E0000}'..='\u{E01EF}' => None,
        // Letters and digits of full width.
        '\u{FF10}'..='\u{FF19}' | '\u{FF21}'..='\u{FF3A}' | '\u{FF41}'..='\u{FF5A}' => {
            char::from_u32(c as u32 - 0xFEE0)
        }
        // Bold, italic and other alphabets of mathematics: thirteen times A to Z and a to z; and digits.
        '\u{1D400}'..='\u{1D6A3}' => {
            let at = (c as u32 - 0x1D400) % 52;
            char::from_u32(if at < 26 { 0x41 + at } else { 0x61 + at - 26 })
        }
        '\u{1D7CE}'..='\u{1D7FF}' => char::from_u32(0x30 + (c as u32 - 0x1D7CE) % 10),
        c => Some(c),
    }
}

/// The characters of a word as they are read. Between Latin letters, one that looks like a Latin one is taken for it.
pub(super) fn letters(word: &str) -> impl Iterator<Item = char> {
    let foreign = |c: char| !c.is_ascii() && c.is_alphabetic();
    let is_mixed = word.bytes().any(|b| b.is_ascii_alphabetic())
        && word.chars().filter_map(seen).all(|c| !foreign(c) || latin(c) != c);
    word.chars().filter_map(seen).map(move |c| if is_mixed && foreign(c) { latin(c) } else { c })
}

fn latin(c: char) -> char {
    let pair = |(other, latin): &(&str, &str)| other.chars().zip(latin.chars()).find(|(other, _)| *other == c);
    ALIKE.iter().find_map(pair).map_or(c, |(_, latin)| latin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_read_as_it_looks() {
        let tags: String = "send".chars().filter_map(|c| char::from_u32(c as u32 + 0xE0000)).collect();
        for word in ["send", "s\u{200B}e\u{2060}nd", "se\u{AD}nd", "ｓｅｎｄ", "𝐬𝐞𝐧𝐝", "𝘴𝘦𝘯𝘥", "ѕеnd", &tags]
        {
            assert_eq!(letters(word).collect::<String>(), "send", "{word:?}");
        }
        // Other languages stay what they are.
        for word in ["сору", "müller", "東京", "наука", "x²", "API-ключ", "é"] {
            assert_eq!(letters(word).collect::<String>(), word);
        }
        assert_eq!(letters("４７１1𝟗").collect::<String>(), "47119");
        assert!(ALIKE.iter().all(|(other, latin)| other.chars().count() == latin.len()));
    }
}
