//! Instruction markers: things in a text that speak to a language model, or that hide from a human reader.
//!
//! A marker is a feature and no verdict: documentation about prompts has them too. Structure is recognised here, at
//! the byte that opens it; sentences are recognised in [`phrases`].

pub(crate) mod phrases;

use std::ops::Range;

/// Words that make the name of a tag claim authority over the reader.
const AUTHORITY: &[&str] = &[
    "system",
    "instruction",
    "instructions",
    "important",
    "admin",
    "administrator",
    "developer",
    "assistant",
    "override",
    "prompt",
    "directive",
    "directives",
    "urgent",
    "critical",
    "attention",
    "mandatory",
    "priority",
    "policy",
    "reminder",
    "information",
];

/// Names of upper-case tags that HTML and XML documents have anyway.
const HTML: &[&str] = &[
    "HTML",
    "HEAD",
    "BODY",
    "TABLE",
    "TBODY",
    "THEAD",
    "TITLE",
    "SCRIPT",
    "STYLE",
    "FORM",
    "INPUT",
    "BUTTON",
    "SPAN",
    "FONT",
    "CENTER",
    "META",
    "LINK",
    "DOCTYPE",
    "CDATA",
    "IFRAME",
    "FRAME",
    "FRAMESET",
    "SELECT",
    "OPTION",
    "TEXTAREA",
    "LABEL",
    "STRONG",
    "CODE",
    "BLOCKQUOTE",
];

/// A section in capitals is closed within this many bytes.
const SECTION: usize = 8 << 10;

/// The marker that the `<` at `at` opens.
pub(crate) fn angle(text: &str, at: usize) -> Option<&'static str> {
    const TEMPLATES: &[&str] = &[
        "</s>",
        "<<SYS>>",
        "<</SYS>>",
        "<start_of_turn>",
        "<end_of_turn>",
        "<function_calls>",
        "<function_call>",
        "<tool_call>",
        "<tool_calls>",
        "<tool_response>",
        "<tool_result>",
        "<invoke name=",
        "<function_results>",
        "<function=",
        "<think>",
    ];
    let rest = &text.as_bytes()[at..];
    match *rest.get(1)? {
        b'!' => rest.starts_with(b"<!--").then_some("html_comment"),
        b'|' => {
            let name =
                rest[2..].iter().take(40).take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')).count();
            (name >= 2 && rest[2 + name..].starts_with(b"|>")).then_some("chat_template")
        }
        b'i' | b'I' if rest.len() > 5 && rest[..4].eq_ignore_ascii_case(b"<img") => {
            let tag = &rest[..rest.iter().take(1024).position(|b| *b == b'>')?];
            let source = memchr::memmem::find(tag, b"http")?;
            long_query(&tag[source..]).then_some("markdown_image_exfil")
        }
        _ if TEMPLATES.iter().any(|template| rest.starts_with(template.as_bytes())) => Some("chat_template"),
        _ => pseudo_tag(text, at).then_some("pseudo_tag"),
    }
}

/// An opening tag that claims authority: by a word of its name, or in capitals and closed again like a section.
fn pseudo_tag(text: &str, at: usize) -> bool {
    let rest = &text.as_bytes()[at + 1..];
    let length = rest
        .iter()
        .take(48)
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b' ' | b':'))
        .count();
    if length < 4 || !rest[0].is_ascii_alphabetic() || rest.get(length) != Some(&b'>') {
        return false;
    }
    let name = &text[at + 1..at + 1 + length];
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    if words.any(|word| AUTHORITY.iter().any(|authority| authority.eq_ignore_ascii_case(word))) {
        return true;
    }
    let capitals = name.bytes().all(|b| !b.is_ascii_lowercase()) && !HTML.contains(&name);
    // An opening tag alone is a placeholder of documentation: <API_KEY>.
    let near = &rest[..rest.len().min(SECTION)];
    capitals && memchr::memmem::find(near, format!("</{name}>").as_bytes()).is_some()
}

/// The marker that the `[` at `at` opens.
pub(crate) fn square(text: &str, at: usize) -> Option<&'static str> {
    const TEMPLATES: &[&str] =
        &["[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[TOOL_RESULTS]"];
    TEMPLATES.iter().any(|template| text.as_bytes()[at..].starts_with(template.as_bytes())).then_some("chat_template")
}

/// The start of a turn that ends with the colon at `colon`: `\n\nHuman:`, `### Instruction:`.
pub(crate) fn turn(text: &str, word: &Range<usize>) -> Option<usize> {
    let bytes = text.as_bytes();
    let name = &text[word.clone()];
    let before = |prefix: &[u8]| bytes[..word.start].ends_with(prefix).then(|| word.start - prefix.len());
    match name {
        "Human" | "Assistant" => before(b"\n\n"),
        "Instruction" | "Instructions" | "System" | "Response" | "User" => before(b"### "),
        _ => None,
    }
}

/// Whether the `!` at `at` opens a markdown image whose URL carries data.
pub(crate) fn image(text: &str, at: usize) -> bool {
    let rest = &text.as_bytes()[at..];
    let alt_end = rest.iter().take(512).position(|b| *b == b']');
    let target = alt_end.filter(|end| rest[*end..].starts_with(b"](")).map(|end| &rest[end + 2..]);
    target.is_some_and(|target| target.starts_with(b"http") && long_query(target))
}

/// Whether the URL at the start has a query that is more than a size or a version.
fn long_query(url: &[u8]) -> bool {
    let end = url
        .iter()
        .take(1024)
        .position(|b| b.is_ascii_whitespace() || matches!(b, b')' | b'"' | b'\'' | b'>'))
        .unwrap_or(url.len().min(1024));
    memchr::memchr(b'?', &url[..end]).is_some_and(|query| end - query > 32)
}

/// Whether the ESC (or C1 CSI) at `at` starts an escape sequence of a terminal.
pub(crate) fn ansi(bytes: &[u8], at: usize) -> bool {
    bytes[at] != 0x1B || matches!(bytes.get(at + 1), Some(b'[' | b']' | b'P' | b'_' | b'^' | b'(' | b'c' | b'7' | b'8'))
}

/// What a character that nobody sees is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unseen {
    /// Changes the direction of text.
    Bidi,
    /// A copy of ASCII that fonts do not show.
    Tag,
    /// Zero width, or a selector of variants: harmless alone, a code in runs.
    Zero,
}

/// What the character that starts at `at` is, with its length.
pub(crate) fn unseen(bytes: &[u8], at: usize) -> Option<(Unseen, usize)> {
    let rest = &bytes[at..];
    match *rest {
        [0xC2, 0xAD, ..] => Some((Unseen::Zero, 2)),
        [0xD8, 0x9C, ..] => Some((Unseen::Bidi, 2)),
        [0xE1, 0xA0, 0x8E, ..] | [0xE2, 0x80, 0x8B..=0x8F, ..] | [0xE2, 0x81, 0xA0..=0xA4, ..] => {
            Some((Unseen::Zero, 3))
        }
        [0xE2, 0x80, 0xAA..=0xAE, ..] | [0xE2, 0x81, 0xA6..=0xA9, ..] => Some((Unseen::Bidi, 3)),
        [0xEF, 0xB8, 0x80..=0x8F, ..] | [0xEF, 0xBB, 0xBF, ..] => Some((Unseen::Zero, 3)),
        [0xF3, 0xA0, 0x80..=0x81, _, ..] => Some((Unseen::Tag, 4)),
        [0xF3, 0xA0, 0x84..=0x87, _, ..] => Some((Unseen::Zero, 4)),
        _ => None,
    }
}

/// Reads the run of unseen characters at `at`: its end, and what it is a marker of.
pub(crate) fn unseen_run(bytes: &[u8], at: usize) -> (usize, Option<&'static str>) {
    let mut end = at;
    let (mut bidi, mut tags, mut zero) = (false, 0, 0);
    while let Some((kind, length)) = unseen(bytes, end) {
        match kind {
            Unseen::Bidi => bidi = true,
            Unseen::Tag => tags += 1,
            Unseen::Zero => zero += 1,
        }
        end += length;
    }
    // Flags of England, Scotland and Wales: a black flag, then its letters as tags.
    let flag = bytes[..at].ends_with("\u{1F3F4}".as_bytes()) && tags <= 7;
    // An emoji may be followed by a selector and a joiner; more is no emoji.
    let hidden = (tags > 0 && !flag) || zero > 2 || (zero == 2 && bytes[at..end] != *"\u{FE0F}\u{200D}".as_bytes());
    let kind = match (bidi, hidden) {
        (true, _) => Some("bidi"),
        (_, true) => Some("hidden_unicode"),
        _ => None,
    };
    (end.max(at + 1), kind)
}

/// Whether unseen characters stand inside a word of small letters. Soft hyphens do in every book, and long names of programs are
/// made to break before a capital.
pub(crate) fn parts_word(bytes: &[u8], start: usize, end: usize) -> bool {
    let small = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_lowercase);
    bytes[start] != 0xC2 && small(start.checked_sub(1)) && small(Some(end))
}
