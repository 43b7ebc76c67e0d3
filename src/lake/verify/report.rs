//! What a verification is asked, and what it says.

use crate::lake::link::Head;
use crate::lake::signature::PublicKey;
use serde::Serialize;
use std::collections::BTreeMap;

/// What to check beside the lake itself.
#[derive(Clone, Debug, Default)]
pub struct VerifyOptions {
    /// A head that was noted outside the lake.
    pub witness: Option<Witness>,
    /// Keys of which one must have signed each change, from the first signed one on.
    pub public_keys: Vec<PublicKey>,
}

/// A head that somebody kept outside the lake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    pub(super) number: Option<i64>,
    pub(super) hash: String,
}

impl Witness {
    /// Reads a witness: a digest, number and digest, or JSON of `lake info` or `lake verify`.
    ///
    /// # Errors
    /// What the text should have been.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            "a witness is the head's digest (64 hex digits), its number and digest, or the JSON of `lake info` or `lake verify`".to_owned()
        };
        let (number, hash) = match serde_json::from_str::<serde_json::Value>(text) {
            Ok(serde_json::Value::Object(object)) => {
                let head = object.get("head").and_then(serde_json::Value::as_object).unwrap_or(&object);
                let number = head.get("number").and_then(serde_json::Value::as_i64);
                (number, head.get("hash").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned())
            }
            _ => {
                // The lines that people see have words before them.
                let words: Vec<&str> = text.split_whitespace().collect();
                let number = words.len().checked_sub(2).and_then(|at| words[at].parse().ok());
                (number, words.last().copied().unwrap_or_default().to_owned())
            }
        };
        let is_digest = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
        is_digest.then(|| Self { number, hash: hash.to_ascii_lowercase() }).ok_or_else(wrong)
    }
}

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verification {
    pub verified: bool,
    /// The last link that could be checked.
    pub head: Option<Head>,
    /// The first link: what was before is in no chain.
    pub since: Option<Since>,
    /// Links.
    pub changes: u64,
    /// How many of them there are for each purpose.
    pub kinds: BTreeMap<String, u64>,
    /// Commits of the tables.
    pub commits: u64,
    pub data_files: u64,
    /// Of all files that were digested.
    pub bytes: u64,
    pub signatures: Signatures,
    /// The link that the witness is.
    pub witness: Option<Head>,
    /// Files of a writer that runs or was killed.
    pub left_over: Vec<String>,
    /// In the order of the chain, the first hundred.
    pub problems: Vec<Problem>,
    pub problems_total: usize,
    /// What the chain says of the sources.
    #[serde(skip)]
    pub sources: Option<String>,
}

/// Where a chain begins.
#[derive(Clone, Debug, Serialize)]
pub struct Since {
    pub number: i64,
    pub time: Option<String>,
}

/// Which changes are signed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Signatures {
    pub signed: u64,
    /// The first signed change.
    pub since: Option<i64>,
    /// Public keys that signed.
    pub keys: Vec<String>,
    /// Whether they were compared with a key of the user's.
    pub checked: bool,
}

/// One thing that is not as the chain says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The change that wrote the file.
    pub change: Option<i64>,
    /// Below the lake's folder.
    pub file: String,
    pub expected: String,
    pub found: String,
}

impl Problem {
    pub(super) fn new(change: i64, file: &str, expected: impl ToString, found: impl ToString) -> Self {
        Self { change: Some(change), file: file.to_owned(), expected: expected.to_string(), found: found.to_string() }
    }
}
