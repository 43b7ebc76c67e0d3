//! Hostile text made fit for a reader: what is invisible becomes visible, what is too long becomes short.
//!
//! Log text can carry terminal escapes, bidirectional overrides that swap what one reads, and characters that
//! a model reads and a human does not see. They are shown as escapes (`\x1b`, `\u{202e}`), never dropped:
//! that they are there is often the finding. Markup is not touched here; each report format escapes its own.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with every hidden character written out.
pub fn visible(text: &str) -> Cow<'_, str> {
    let Some(first) = first_hidden(text) else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for c in text[first..].chars() {
        // Writing to a String does not fail.
        let _ = match c {
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            c if !is_hidden(c) => out.write_char(c),
            c if (c as u32) < 0x100 => write!(out, "\\x{:02x}", c as u32),
            c => write!(out, "\\u{{{:x}}}", c as u32),
        };
    }
    Cow::Owned(out)
}

/// Whether a character controls the display or shows nothing: C0 and C1 controls, line and paragraph
/// separators, bidirectional controls, zero-width and filler characters, tag characters, variation selectors
/// (except U+FE0F, which nearly every emoji carries), private-use and unassigned characters of plane 14.
pub fn is_hidden(c: char) -> bool {
    if c < '\u{7f}' {
        return c < ' ';
    }
    matches!(c,
        '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0e}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Where the first hidden character stands. Plain text is passed over byte by byte.
pub(crate) fn first_hidden(text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        at += text.as_bytes()[at..].iter().position(|byte| !matches!(byte, b' '..=b'~'))?;
        let next = text[at..].chars().next()?;
        if is_hidden(next) {
            return Some(at);
        }
        at += next.len_utf8();
    }
}

/// JSON text with every hidden character as `\u`; it stands in string literals only, so the value is the same.
pub fn escape_json(json: String) -> String {
    // The newline between two lines is the one control character outside a literal.
    let must_escape = |c: char| c != '\n' && is_hidden(c);
    if !json.contains(must_escape) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        if must_escape(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String does not fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Cuts a text to at most `max` bytes plus a note of how much is missing, never inside a character.
pub fn shorten(text: &mut String, max: usize) {
    if text.len() <= max {
        return;
    }
    let end = text.floor_char_boundary(max);
    let missing = text.len() - end;
    text.truncate(end);
    // Writing to a String does not fail.
    let _ = write!(text, "… [{missing} bytes more]");
}
