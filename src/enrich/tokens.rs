//! Words of a text as keyed hashes: enough to tell whether the user named a value, without keeping a second copy of what was said.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Tokens kept of one text.
const MAX_TOKENS: usize = 512;

/// The distinct words of a text (letters, digits and what holds names and addresses together; lower case; three characters
/// and more) as 16 hex digits each, sorted.
pub fn hashed_tokens(text: &str, key: &[u8; 32]) -> Vec<String> {
    let inside = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | '/' | ':');
    let words = text.split(|c| !inside(c)).map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
    let mut tokens: Vec<String> = words
        .filter(|word| word.chars().nth(2).is_some())
        .take(MAX_TOKENS * 4)
        .map(|word| token(&word.to_lowercase(), key))
        .collect();
    tokens.sort();
    tokens.dedup();
    tokens.truncate(MAX_TOKENS);
    tokens
}

fn token(word: &str, key: &[u8; 32]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(word.as_bytes());
    mac.finalize().into_bytes().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
