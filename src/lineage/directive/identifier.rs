//! Identifiers in a text: values that name one thing and hardly occur by chance.

use super::trigrams::Trigrams;
use super::words::{Token, plain_number, token};
use crate::lineage::words::is_unspaced;
use memchr::memmem::Finder;
use std::collections::HashSet;
use std::sync::LazyLock;

/// What an identifier names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An e-mail address.
    Email,
    /// A URL or a domain, with its path.
    Url,
    /// A path or the name of a file.
    Path,
    /// Letters and digits, four and more.
    Id,
    /// A number of two and more digits that is neither a date nor a time.
    Number,
}

impl Kind {
    /// Whether data can go there.
    pub fn is_destination(self) -> bool {
        matches!(self, Self::Email | Self::Url | Self::Id)
    }
}

/// One identifier: as it stands in the text, in small letters, and without what may differ (scheme, `www.`, thousands' commas).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identifier {
    pub kind: Kind,
    pub written: String,
    pub value: String,
}

/// Identifiers of one text that are kept.
const MAX: usize = 64;
/// Longest identifier.
const MAX_LENGTH: usize = 512;

/// Top-level domains that make a name with a full stop an address. Country codes that are file endings as well are left out.
static TOP: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    "com org net io edu gov mil int co info biz me dev app ai uk de fr cn ru jp kr in br au ca us nl se no fi dk it es ch at be pl cz eu tv xyz site online \
     store shop tech cloud blog news live link click top club page web email example test local internal"
        .split_ascii_whitespace()
        .collect()
});

/// Cuts a text where no identifier goes on.
fn pieces(low: &str) -> impl Iterator<Item = &str> {
    low.split(|c: char| {
        c.is_whitespace()
            || matches!(
                c,
                '"' | '\''
                    | '<'
                    | '>'
                    | '('
                    | ')'
                    | '['
                    | ']'
                    | '{'
                    | '}'
                    | '|'
                    | '`'
                    | ';'
                    | '\\'
                    | '“'
                    | '”'
                    | '‘'
                    | '’'
            )
    })
    .map(|piece| piece.trim_matches(|c: char| matches!(c, '.' | ',' | ':' | '!' | '?' | '*' | '=' | '&' | '^')))
    .filter(|piece| (2..=MAX_LENGTH).contains(&piece.len()))
}

/// The distinct identifiers of a text in small letters, in order, at most 64.
pub fn identifiers(low: &str) -> Vec<Identifier> {
    let mut found: Vec<Identifier> = Vec::new();
    for piece in pieces(low) {
        // Lists without spaces: `a@x.example,b@x.example`; a number keeps its commas.
        let is_number = piece.bytes().all(|b| b.is_ascii_digit() || matches!(b, b',' | b'.' | b'$' | b'-'));
        let has_scheme = piece.contains("://");
        let parts: Vec<&str> = if is_number || has_scheme { vec![piece] } else { piece.split([',', '=']).collect() };
        for part in parts {
            if let Some((kind, value)) = classify(part)
                && found.len() < MAX
                && !found.iter().any(|known| known.kind == kind && known.value == value)
            {
                found.push(Identifier { kind, written: part.to_owned(), value });
            }
        }
    }
    found
}

fn classify(part: &str) -> Option<(Kind, String)> {
    let part = part.trim_matches(|c: char| matches!(c, '.' | ',' | ':' | '!' | '?' | '$' | '€' | '£' | '#'));
    let bytes = part.as_bytes();
    if bytes.len() < 2 || !bytes.iter().any(|b| b.is_ascii_digit() || matches!(b, b'.' | b'@' | b'/')) {
        return None;
    }
    if let Some((local, host)) = part.strip_prefix("mailto:").unwrap_or(part).split_once('@')
        && !local.is_empty()
        && is_host(host)
    {
        return Some((Kind::Email, format!("{local}@{host}")));
    }
    if let Some((scheme, rest)) = part.split_once("://") {
        let named =
            scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'.' | b'-')) && !scheme.is_empty();
        return (named && rest.len() > 2).then(|| (Kind::Url, canonical_url(rest)));
    }
    let host = part.split(['/', '?', '#', ':']).next().unwrap_or_default();
    if part.starts_with("www.") && is_host(host)
        || is_host(host) && host.rsplit('.').next().is_some_and(|top| TOP.contains(top)) && has_letter(host)
    {
        return Some((Kind::Url, canonical_url(part)));
    }
    if (part.starts_with('/') || part.starts_with("~/") || part.starts_with("./"))
        && bytes.iter().any(u8::is_ascii_alphanumeric)
    {
        return Some((Kind::Path, part.to_owned()));
    }
    if let Some((name, ending)) = part.rsplit_once('.')
        && !name.is_empty()
        && (2..=5).contains(&ending.len())
        && ending.bytes().all(|b| b.is_ascii_alphanumeric())
        && ending.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/') || b >= 0x80)
        && has_letter(name)
    {
        return Some((Kind::Path, part.to_owned()));
    }
    let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count();
    if digits == 0 || is_moment(part) {
        return None;
    }
    if bytes.iter().all(|b| b.is_ascii_digit() || matches!(b, b',' | b'.' | b'-')) {
        return (digits >= 2).then(|| (Kind::Number, plain_number(part.trim_start_matches('-')).into_owned()));
    }
    let plain = part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | '#'));
    (plain && part.len() >= 4 && has_letter(part) && !is_measure(part)).then(|| (Kind::Id, part.to_owned()))
}

fn has_letter(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_alphabetic())
}

fn is_host(host: &str) -> bool {
    let host = host.split(['/', ':', '?']).next().unwrap_or_default();
    host.contains('.')
        && host.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_') || b >= 0x80)
        })
}

fn canonical_url(text: &str) -> String {
    text.strip_prefix("www.")
        .unwrap_or(text)
        .trim_matches(|c| matches!(c, '.' | '/' | ',' | ':' | '!' | '?'))
        .to_owned()
}

/// Dates and times are everywhere: they identify nothing.
fn is_moment(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let date = digit(0)
        && digit(1)
        && digit(2)
        && digit(3)
        && matches!(bytes.get(4), Some(b'-' | b'/'))
        && digit(5)
        && digit(6);
    let day = digit(0)
        && (matches!(bytes.get(1), Some(b'/')) || digit(1) && matches!(bytes.get(2), Some(b'/')))
        && bytes.iter().filter(|b| **b == b'/').count() == 2;
    let time = digit(0) && (bytes.get(1) == Some(&b':') || digit(1) && bytes.get(2) == Some(&b':'));
    date || day || time
}

/// `21st`, `10am`, `500kg`.
fn is_measure(text: &str) -> bool {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    unit.len() < text.len()
        && matches!(
            unit,
            "st" | "nd"
                | "rd"
                | "th"
                | "am"
                | "pm"
                | "min"
                | "mins"
                | "h"
                | "hrs"
                | "kg"
                | "km"
                | "cm"
                | "mm"
                | "mb"
                | "gb"
                | "kb"
                | "ms"
                | "days"
                | "usd"
                | "eur"
        )
}

/// Whether a value stands in a text by itself, not inside a longer word or number.
pub(crate) fn stands_in(value: &str, text: &str) -> bool {
    value.len() <= text.len() && found_in(&Finder::new(value), value, text)
}

/// The same with a finder of the value that was made before.
pub(crate) fn found_in(finder: &Finder<'_>, value: &str, text: &str) -> bool {
    let bytes = text.as_bytes();
    let number = value.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b','));
    // A word goes on in letters and digits; not in curly quotes, nor in a script that has no spaces.
    let goes_on = |c: Option<char>| {
        c.is_some_and(|c| c.is_ascii_alphanumeric() || !c.is_ascii() && c.is_alphanumeric() && !is_unspaced(c))
    };
    let (opens, closes) = (goes_on(value.chars().next()), goes_on(value.chars().next_back()));
    !value.is_empty()
        && finder.find_iter(bytes).take(64).any(|start| {
            let end = start + value.len();
            let point = number && bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
            !(opens && goes_on(text[..start].chars().next_back())
                || closes && goes_on(text[end..].chars().next())
                || point)
        })
}

impl Identifier {
    /// The tokens that a text has where the identifier stands in it as a whole.
    pub fn tokens(&self) -> [Token; 2] {
        [token(self.written.as_bytes()), token(self.value.as_bytes())]
    }

    /// Whether the identifier stands in a text in small letters, however it is written there.
    pub fn stands_in(&self, low: &str) -> bool {
        Sought::new(self).stands_in(low)
    }
}

/// What finds an identifier in texts: made once, used for many of them.
pub(crate) struct Sought<'a> {
    identifier: &'a Identifier,
    value: Finder<'a>,
    /// As it was written, if that is something else.
    written: Option<Finder<'a>>,
    /// The other ways to write a number.
    numbers: Vec<(String, Finder<'static>)>,
    /// Of each of these ways.
    trigrams: Vec<Trigrams>,
}

impl<'a> Sought<'a> {
    pub(crate) fn new(identifier: &'a Identifier) -> Self {
        let Identifier { kind, value, written } = identifier;
        let mut numbers = Vec::new();
        if *kind == Kind::Number {
            let (whole, cents) = value.split_once('.').map_or((value.as_str(), ""), |(whole, cents)| (whole, cents));
            let ends: &[&str] = match cents.len() {
                0 => &["", ".0", ".00"],
                1 => &["", "0"],
                _ => &[""],
            };
            let point = if cents.is_empty() { "" } else { "." };
            let commas = (whole.len() > 3).then(|| with_commas(whole));
            for whole in [Some(whole), commas.as_deref()].into_iter().flatten() {
                numbers.extend(ends.iter().map(|end| {
                    let form = format!("{whole}{point}{cents}{end}");
                    let finder = Finder::new(&form).into_owned();
                    (form, finder)
                }));
            }
        }
        let is_other = written != value;
        let ways = [value, written].into_iter().chain(numbers.iter().map(|(form, _)| form));
        let trigrams = ways.map(|way| Trigrams::of(way)).collect();
        Self {
            identifier,
            value: Finder::new(value),
            written: is_other.then(|| Finder::new(written)),
            numbers,
            trigrams,
        }
    }

    /// Whether it may stand in a text of which no more is known.
    pub(super) fn may_stand_in(&self, text: &Trigrams) -> bool {
        self.trigrams.iter().any(|way| text.may_hold(way))
    }

    pub(crate) fn stands_in(&self, low: &str) -> bool {
        let Identifier { kind, value, written } = self.identifier;
        // The folder of a path is not the path.
        let is_in_longer = |at: usize| low.as_bytes().get(at + value.len()) == Some(&b'/');
        if *kind == Kind::Path && self.value.find_iter(low.as_bytes()).take(64).all(is_in_longer) {
            return false;
        }
        found_in(&self.value, value, low)
            || self.written.as_ref().is_some_and(|finder| found_in(finder, written, low))
            || self.numbers.iter().any(|(form, finder)| found_in(finder, form, low))
    }
}

fn with_commas(whole: &str) -> String {
    let mut out = String::with_capacity(whole.len() + whole.len() / 3);
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_of_each_kind_are_found_and_dates_are_not() {
        let text = "mail anna.b@firm.example, see https://www.files.example/a/b?x=1. or shop.example/cart and /srv/data/x.csv, report_v2.pdf, \
                    order a1234-b, 1,200.50 on 2026-03-01 at 10:30, the 21st, 12/03/2026, 7";
        let found: Vec<(Kind, String)> = identifiers(text).into_iter().map(|i| (i.kind, i.value)).collect();
        let expected = [
            (Kind::Email, "anna.b@firm.example"),
            (Kind::Url, "files.example/a/b?x=1"),
            (Kind::Url, "shop.example/cart"),
            (Kind::Path, "/srv/data/x.csv"),
            (Kind::Path, "report_v2.pdf"),
            (Kind::Id, "a1234-b"),
            (Kind::Number, "1200.5"),
        ];
        assert_eq!(found, expected.map(|(kind, value)| (kind, value.to_owned())));
    }

    #[test]
    fn a_value_stands_in_a_text_by_itself_only() {
        assert!(
            stands_in("100", "pay 100 now")
                && stands_in("100", "pay $100.")
                && !stands_in("100", "pay 1000 now")
                && !stands_in("100", "100.50")
        );
        let number = Identifier { kind: Kind::Number, written: "1200".into(), value: "1200".into() };
        assert!(
            number.stands_in("transfer 1,200 to")
                && number.stands_in("transfer 1200")
                && !number.stands_in("transfer 12000")
        );
        assert!(!stands_in("", "x"));
    }
}
