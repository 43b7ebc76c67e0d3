//! A pattern over names: `*` is any text, `?` any one character, everything else itself, upper and lower case
//! kept apart. No character classes, so that a path or an address never has to be escaped.

use serde::{Deserialize, Serialize};

/// One pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Wildcard(String);

impl Wildcard {
    /// The pattern with this text; every text is one.
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    /// The pattern's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern says nothing of what it lets through: besides wildcards it has nothing but what parts names (`?*`, `*.*`, `*/*`, `*@*`).
    pub fn is_any(&self) -> bool {
        let parts = |c: char| c.is_ascii_punctuation() || c.is_whitespace();
        self.0.contains(['*', '?']) && self.0.chars().all(parts)
    }

    /// Whether the whole text fits. Takes time in proportion to pattern × text at worst, whatever the text.
    pub fn matches(&self, text: &str) -> bool {
        let (mut pattern, mut rest) = (self.0.as_str(), text);
        // Where to go on when the last `*` has to take one character more.
        let mut star: Option<(&str, &str)> = None;
        loop {
            let mut after_pattern = pattern.chars();
            let mut after_text = rest.chars();
            match (after_pattern.next(), after_text.next()) {
                (Some('*'), _) => {
                    pattern = after_pattern.as_str();
                    star = Some((pattern, rest));
                    continue;
                }
                (None, None) => return true,
                (Some(p), Some(t)) if p == '?' || p == t => {
                    (pattern, rest) = (after_pattern.as_str(), after_text.as_str());
                    continue;
                }
                _ => {}
            }
            let Some((resume, taken)) = star else { return false };
            let mut longer = taken.chars();
            if longer.next().is_none() {
                return false;
            }
            (pattern, rest) = (resume, longer.as_str());
            star = Some((resume, rest));
        }
    }
}

impl std::fmt::Display for Wildcard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
