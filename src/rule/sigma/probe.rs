//! What a detection item asks: its modifiers, and each of its values as a probe.
//!
//! Refusals say why: a modifier that were passed over in silence would make a rule that sees something else than its author meant.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rsigma_parser::{Modifier, SigmaString, SigmaValue, SpecialChar, StringPart};

/// Hyphens and what command lines take for one: slash, en dash, em dash, horizontal bar.
const DASHES: &str = "[-/\u{2013}\u{2014}\u{2015}]";

/// One question to a field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Probe {
    Text {
        how: How,
        cased: bool,
        operand: String,
    },
    /// A regular expression.
    Pattern(String),
    /// A network in CIDR notation.
    Network(String),
    /// `=`, `<`, … and a number, as SQL writes it.
    Number(&'static str, String),
    Is(bool),
    Null,
    /// A part of a moment, and its value.
    Part(&'static str, i64),
}

/// How a text is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum How {
    #[default]
    Equals,
    Contains,
    StartsWith,
    EndsWith,
}

/// The modifiers of an item, understood.
#[derive(Clone, Debug, Default)]
pub(super) struct Modifiers {
    pub(super) how: How,
    pub(super) cased: bool,
    pub(super) all: bool,
    pub(super) neq: bool,
    pub(super) exists: bool,
    pub(super) fieldref: bool,
    windash: bool,
    cidr: bool,
    /// Flags of the regular expression.
    regex: Option<String>,
    compare: Option<&'static str>,
    part: Option<&'static str>,
    wide: Option<Modifier>,
    base64: Option<Modifier>,
}

impl Modifiers {
    /// Reads the modifiers of a field.
    ///
    /// # Errors
    /// Those that are not supported or do not go together, and why.
    pub(super) fn of(modifiers: &[Modifier]) -> Result<Self, String> {
        let mut read = Self::default();
        let operators: Vec<&str> = modifiers.iter().filter_map(|modifier| operator(*modifier)).collect();
        let mut flags = String::new();
        for modifier in modifiers {
            match modifier {
                Modifier::Contains => read.how = How::Contains,
                Modifier::StartsWith => read.how = How::StartsWith,
                Modifier::EndsWith => read.how = How::EndsWith,
                // Its flags are read first.
                Modifier::Re => {}
                Modifier::Cidr => read.cidr = true,
                Modifier::Exists => read.exists = true,
                Modifier::FieldRef => read.fieldref = true,
                Modifier::Gt => read.compare = Some(">"),
                Modifier::Gte => read.compare = Some(">="),
                Modifier::Lt => read.compare = Some("<"),
                Modifier::Lte => read.compare = Some("<="),
                Modifier::Minute
                | Modifier::Hour
                | Modifier::Day
                | Modifier::Week
                | Modifier::Month
                | Modifier::Year => read.part = operator(*modifier),
                Modifier::IgnoreCase => flags.push('i'),
                Modifier::Multiline => flags.push('m'),
                Modifier::DotAll => flags.push('s'),
                Modifier::Cased => read.cased = true,
                Modifier::All => read.all = true,
                Modifier::Neq => read.neq = true,
                Modifier::WindAsh => read.windash = true,
                Modifier::Base64 | Modifier::Base64Offset => {
                    if read.base64.replace(*modifier).is_some() {
                        return Err("`base64` and `base64offset` do not go together".to_owned());
                    }
                }
                Modifier::Wide | Modifier::Utf16 | Modifier::Utf16be => {
                    if read.wide.replace(*modifier).is_some() {
                        return Err("`wide`, `utf16` and `utf16be` do not go together".to_owned());
                    }
                }
                Modifier::Expand => {
                    return Err("`expand` is not supported: its placeholders are filled in by a processing pipeline, \
                                which there is none of here; write the values into the rule"
                        .to_owned());
                }
            }
        }
        if operators.len() > 1 {
            return Err(format!("`{}` do not go together", operators.join("`, `")));
        }
        let other_than_text = operators.first().filter(|name| !["contains", "startswith", "endswith"].contains(name));
        if modifiers.contains(&Modifier::Re) {
            read.regex = Some(flags);
        } else if !flags.is_empty() {
            return Err("`i`, `m` and `s` are flags of `re`, which is missing".to_owned());
        }
        let transformed = read.windash || read.base64.is_some() || read.wide.is_some();
        if let Some(operator) = other_than_text.filter(|_| transformed) {
            return Err(format!("`{operator}` does not go with modifiers that encode or vary a text"));
        }
        if let Some(operator) = other_than_text.filter(|name| read.cased && **name != "re") {
            return Err(format!("`{operator}` does not go with `cased`"));
        }
        if read.wide.is_some() && read.base64.is_none() {
            return Err("`wide`, `utf16` and `utf16be` stand before `base64` or `base64offset`: \
                        logs are UTF-8, so UTF-16 is found in them only where it is encoded"
                .to_owned());
        }
        if read.windash && read.base64.is_some() {
            return Err("`windash` does not go with `base64` or `base64offset`".to_owned());
        }
        if read.neq && (read.exists || read.fieldref || read.compare.is_some() || read.all) {
            return Err("`neq` goes with one comparison of texts, numbers, booleans, patterns or networks".to_owned());
        }
        Ok(read)
    }

    /// What a value asks; a field answers if any of the probes does.
    ///
    /// # Errors
    /// The value does not fit the modifiers.
    pub(super) fn probes(&self, value: &SigmaValue) -> Result<Vec<Probe>, String> {
        if let Some(flags) = &self.regex {
            let SigmaValue::String(pattern) = value else { return Err(format!("`re` takes a text, not {value}")) };
            return Ok(vec![Probe::Pattern(checked(&flagged(flags, &pattern.original))?)]);
        }
        if self.cidr {
            let network = plain(value)?;
            return match crate::query::udf::parse_network(&network) {
                Some(_) => Ok(vec![Probe::Network(network)]),
                None => Err(format!("`{network}` is no network: write 10.0.0.0/8 or fd00::/8")),
            };
        }
        if let Some(operator) = self.compare {
            return Ok(vec![Probe::Number(operator, number(value)?)]);
        }
        if let Some(part) = self.part {
            let value = plain(value)?;
            let value = value.parse().map_err(|_| format!("`{part}` takes a whole number, not `{value}`"))?;
            return Ok(vec![Probe::Part(part, value)]);
        }
        let as_text = self.how != How::Equals || self.base64.is_some() || self.windash;
        match value {
            SigmaValue::String(text) => self.texts(text),
            SigmaValue::Null if as_text => Err("`null` is no text to look for".to_owned()),
            SigmaValue::Null => Ok(vec![Probe::Null]),
            SigmaValue::Integer(_) | SigmaValue::Float(_) if !as_text => Ok(vec![Probe::Number("=", number(value)?)]),
            SigmaValue::Bool(is) if !as_text => Ok(vec![Probe::Is(*is)]),
            other => self.texts(&SigmaString::from_raw(&other.to_string())),
        }
    }

    fn texts(&self, text: &SigmaString) -> Result<Vec<Probe>, String> {
        let probe = |how, operand| Probe::Text { how, cased: self.cased, operand };
        if let Some(encoding) = self.base64 {
            let Some(plain) = text.as_plain() else {
                return Err(format!(
                    "`{}`: a text with wildcards cannot be encoded; escape them as \\* and \\?",
                    text.original
                ));
            };
            if plain.is_empty() {
                return Err("an empty text cannot be looked for in base64".to_owned());
            }
            let bytes = match self.wide {
                None => plain.into_bytes(),
                Some(Modifier::Utf16be) => plain.encode_utf16().flat_map(u16::to_be_bytes).collect(),
                Some(Modifier::Utf16) => {
                    [0xff, 0xfe].into_iter().chain(plain.encode_utf16().flat_map(u16::to_le_bytes)).collect()
                }
                Some(_) => plain.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            };
            return Ok(match encoding {
                Modifier::Base64 => vec![probe(self.how, STANDARD.encode(bytes))],
                _ => offsets(&bytes).into_iter().map(|inner| probe(How::Contains, inner)).collect(),
            });
        }
        match text.as_plain() {
            Some(plain) if !self.windash => Ok(vec![probe(self.how, plain)]),
            _ => Ok(vec![Probe::Pattern(checked(&self.pattern(text))?)]),
        }
    }

    /// A text with wildcards as a regular expression.
    fn pattern(&self, text: &SigmaString) -> String {
        // A wildcard stands for line breaks too: payloads are full of them.
        let mut pattern = if self.cased { "(?s)".to_owned() } else { "(?is)".to_owned() };
        if matches!(self.how, How::Equals | How::StartsWith) {
            pattern.push('^');
        }
        for part in &text.parts {
            match part {
                StringPart::Special(SpecialChar::WildcardMulti) => pattern.push_str(".*"),
                StringPart::Special(SpecialChar::WildcardSingle) => pattern.push('.'),
                StringPart::Plain(plain) if self.windash => pattern.push_str(&with_dashes(plain)),
                StringPart::Plain(plain) => pattern.push_str(&regex::escape(plain)),
            }
        }
        if matches!(self.how, How::Equals | How::EndsWith) {
            pattern.push('$');
        }
        pattern
    }
}

/// A text in which each mark of an option stands for all of them. A slash is one in front of a word and behind none: `/enc`, not `a/b`.
fn with_dashes(text: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut pattern = String::new();
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let begins = !before.is_some_and(is_word) && chars.peek().copied().is_some_and(is_word);
        match c {
            '-' | '\u{2013}' | '\u{2014}' | '\u{2015}' => pattern.push_str(DASHES),
            '/' if begins => pattern.push_str(DASHES),
            _ => pattern.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
        before = Some(c);
    }
    pattern
}

/// The name of a modifier that says how a field is compared: an item has one at most.
fn operator(modifier: Modifier) -> Option<&'static str> {
    Some(match modifier {
        Modifier::Contains => "contains",
        Modifier::StartsWith => "startswith",
        Modifier::EndsWith => "endswith",
        Modifier::Re => "re",
        Modifier::Cidr => "cidr",
        Modifier::Exists => "exists",
        Modifier::FieldRef => "fieldref",
        Modifier::Gt => "gt",
        Modifier::Gte => "gte",
        Modifier::Lt => "lt",
        Modifier::Lte => "lte",
        Modifier::Minute => "minute",
        Modifier::Hour => "hour",
        Modifier::Day => "day",
        Modifier::Week => "week",
        Modifier::Month => "month",
        Modifier::Year => "year",
        _ => return None,
    })
}

/// What of the encoding of a text does not depend on what stands before and after it, for each place where it can begin.
fn offsets(bytes: &[u8]) -> Vec<String> {
    let inner = (0..3).map(|offset| {
        let padded: Vec<u8> = std::iter::repeat_n(0, offset).chain(bytes.iter().copied()).collect();
        let encoded = STANDARD.encode(&padded);
        let start = [0, 2, 3][offset];
        let end = encoded.len() - [0, 3, 2][padded.len() % 3];
        encoded.get(start..end).unwrap_or_default().to_owned()
    });
    inner.filter(|inner| !inner.is_empty()).collect()
}

fn flagged(flags: &str, pattern: &str) -> String {
    if flags.is_empty() { pattern.to_owned() } else { format!("(?{flags}){pattern}") }
}

fn checked(pattern: &str) -> Result<String, String> {
    match regex::Regex::new(pattern) {
        Ok(_) => Ok(pattern.to_owned()),
        Err(error) => {
            let text = error.to_string();
            let cause = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Err(format!("`{pattern}` is no regular expression that can be used here: {cause}"))
        }
    }
}

/// A value as a text without wildcards.
pub(super) fn plain(value: &SigmaValue) -> Result<String, String> {
    match value {
        SigmaValue::String(text) => {
            text.as_plain().ok_or_else(|| format!("`{}`: wildcards do not go with this modifier", text.original))
        }
        SigmaValue::Null => Err("`null` does not go with this modifier".to_owned()),
        other => Ok(other.to_string()),
    }
}

/// A number as SQL writes it.
fn number(value: &SigmaValue) -> Result<String, String> {
    if let SigmaValue::Integer(integer) = value {
        return Ok(integer.to_string());
    }
    let text = plain(value)?;
    match text.parse::<f64>() {
        Ok(float) if float.is_finite() => Ok(format!("{float:?}")),
        _ => Err(format!("`{text}` is no number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn probes(modifiers: &[Modifier], value: &str) -> Vec<Probe> {
        Modifiers::of(modifiers)
            .expect("go together")
            .probes(&SigmaValue::String(SigmaString::new(value)))
            .expect("fit")
    }

    proptest! {
        /// Whatever stands before and after it, an encoded text is found; its own text without base64 is not.
        #[test]
        fn a_text_is_found_wherever_it_begins_in_base64(
            before in prop::collection::vec(any::<u8>(), 0..7),
            text in "[ -~]{3,12}".prop_filter("no wildcards", |text| !text.contains(['*', '?', '\\'])),
            after in prop::collection::vec(any::<u8>(), 0..7),
        ) {
            for (wide, bytes) in [
                (None, text.clone().into_bytes()),
                (Some(Modifier::Wide), text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
                (Some(Modifier::Utf16be), text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
            ] {
                let whole = STANDARD.encode([before.as_slice(), &bytes, &after].concat());
                let modifiers: Vec<Modifier> = wide.into_iter().chain([Modifier::Base64Offset, Modifier::Contains, Modifier::Cased]).collect();
                let found = probes(&modifiers, &text).iter().any(|probe| {
                    matches!(probe, Probe::Text { how: How::Contains, operand, .. } if whole.contains(operand))
                });
                prop_assert!(found, "{modifiers:?} in {whole}");
            }
        }
    }

    #[test]
    fn patterns_and_encodings() {
        let pattern = |modifiers: &[Modifier], value| match probes(modifiers, value).remove(0) {
            Probe::Pattern(pattern) => pattern,
            other => panic!("{other:?}"),
        };
        assert_eq!(pattern(&[], r"a*b\*?.c"), r"(?is)^a.*b\*.\.c$");
        assert_eq!(pattern(&[Modifier::StartsWith, Modifier::Cased], "a*b"), "(?s)^a.*b");
        assert_eq!(pattern(&[Modifier::EndsWith], "a?b"), "(?is)a.b$");
        assert_eq!(pattern(&[Modifier::Contains], "a?b"), "(?is)a.b");
        let dashes = regex::Regex::new(&pattern(&[Modifier::WindAsh, Modifier::Contains], " -enc")).expect("compiles");
        assert!(dashes.is_match("x /ENC y") && dashes.is_match("x –enc y") && !dashes.is_match("x enc y"));
        assert_eq!(pattern(&[Modifier::WindAsh], "—a /b c/d"), "(?is)^[-/–—―]a [-/–—―]b c/d$");
        let text = |how, operand: &str| vec![Probe::Text { how, cased: false, operand: operand.to_owned() }];
        assert_eq!(probes(&[], r"C:\\a\b\*"), text(How::Equals, r"C:\a\b*"));
        assert_eq!(
            probes(&[Modifier::Utf16, Modifier::Base64, Modifier::Contains], "ab"),
            text(How::Contains, "//5hAGIA")
        );
        assert_eq!(probes(&[Modifier::Wide, Modifier::Base64], "ab"), text(How::Equals, "YQBiAA=="));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        use Modifier as M;
        for modifiers in [
            &[M::Expand][..],
            &[M::Contains, M::EndsWith],
            &[M::Wide],
            &[M::Base64, M::Base64Offset],
            &[M::Utf16, M::Wide, M::Base64],
            &[M::IgnoreCase],
            &[M::Re, M::Base64],
            &[M::Cidr, M::Cased],
            &[M::Neq, M::Exists],
        ] {
            assert!(Modifiers::of(modifiers).is_err(), "{modifiers:?}");
        }
        let refused = |modifiers: &[M], value: &str| {
            Modifiers::of(modifiers).expect("go together").probes(&SigmaValue::String(SigmaString::new(value))).is_err()
        };
        assert!(refused(&[M::Re], "(") && refused(&[M::Cidr], "10.0.0.0/99") && refused(&[M::Gt], "ten"));
        assert!(refused(&[M::Base64], "a*") && refused(&[M::Gt], "inf") && refused(&[M::Hour], "noon"));
    }
}
