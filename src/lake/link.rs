//! One link of the chain of changes: what it says, and the text that it is on the disk.
//!
//! The text has two lines, or three where the head was signed: what the change did (JSON), the BLAKE3 of that line, the
//! signature. Every byte of it is fixed by what it says, so that no byte can be changed unseen. docs/lake.md has the format.

use super::signature::{PublicKey, Signer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Version of the format.
const FORMAT: u32 = 1;
/// Bytes of a link beyond which it is none of ours: some million files, named by the first link of an old lake.
pub(super) const MAX_BYTES: u64 = 1 << 30;

/// A digest of a whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileDigest {
    pub(super) bytes: u64,
    /// 64 lower-case hex digits.
    pub(super) blake3: String,
}

impl FileDigest {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len() as u64, blake3: blake3::hash(bytes).to_hex().to_string() }
    }
}

impl fmt::Display for FileDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes with BLAKE3 {}", self.bytes, self.blake3)
    }
}

/// What one change did to the lake's files.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Link {
    format: u32,
    /// Number of the change.
    pub(super) number: i64,
    /// Digest of the link before; `None`: the first one.
    pub(super) previous: Option<String>,
    /// When its last commit was made, RFC 3339.
    pub(super) time: Option<String>,
    /// Why: a kind, and its parameters.
    pub(super) purpose: serde_json::Value,
    program: String,
    /// Files that it wrote, below the lake's folder. The data files stand in the commits, which are among them.
    pub(super) files: BTreeMap<String, FileDigest>,
    /// Files that left the disk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) erased: Vec<String>,
    /// Files that it replaced or took rows from although they were not as the chain has them, as they were found; `None`: gone. Without this
    /// the change would take the only trace of it away.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) changed: BTreeMap<String, Option<FileDigest>>,
    /// One digest for the rows of `sources`, if the change may have written that table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sources: Option<String>,
    /// Public key of the signature, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signer: Option<String>,
}

/// The end of the chain, or any other place in it: what a witness keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub number: i64,
    pub hash: String,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.hash)
    }
}

impl Head {
    /// The text that is signed.
    fn signed_text(&self) -> String {
        format!("calltrail head {self}")
    }
}

/// A link with its digest and its signature, which fits.
#[derive(Clone, Debug)]
pub(super) struct Sealed {
    pub(super) link: Link,
    pub(super) hash: String,
    pub(super) signer: Option<PublicKey>,
}

impl Link {
    pub(super) fn new(number: i64, previous: Option<String>, purpose: serde_json::Value) -> Self {
        Self {
            format: FORMAT,
            number,
            previous,
            time: None,
            purpose,
            program: concat!("calltrail ", env!("CARGO_PKG_VERSION")).to_owned(),
            files: BTreeMap::new(),
            erased: Vec::new(),
            changed: BTreeMap::new(),
            sources: None,
            signer: None,
        }
    }

    /// The link as it is written.
    pub(super) fn seal(mut self, signer: Option<&Signer>) -> String {
        self.signer = signer.map(|signer| signer.public_key().to_string());
        let mut text = serde_json::to_string(&self).expect("a struct of texts and numbers is JSON");
        text.push('\n');
        let head = Head { number: self.number, hash: blake3::hash(text.as_bytes()).to_hex().to_string() };
        text.push_str(&head.hash);
        text.push('\n');
        if let Some(signer) = signer {
            text.push_str(&signer.sign(&head.signed_text()));
            text.push('\n');
        }
        text
    }

    /// What the change was for, in one word.
    pub(super) fn kind(&self) -> &str {
        self.purpose.get("kind").and_then(serde_json::Value::as_str).unwrap_or("unknown")
    }
}

impl Sealed {
    /// Reads a link; the error says what is wrong with it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let (body, rest) = lines.split_first().ok_or("it is empty")?;
        let hash = blake3::hash(body.as_bytes()).to_hex().to_string();
        let written = rest.first().and_then(|line| line.strip_suffix('\n')).unwrap_or_default();
        if written != hash {
            return Err(format!("its first line has BLAKE3 {hash}, its second says `{}`", start_of(written)));
        }
        let link: Link = serde_json::from_str(body).map_err(|cause| format!("it is no link: {cause}"))?;
        if link.format > FORMAT {
            return Err(format!("its format is {}, this program knows {FORMAT}: update calltrail", link.format));
        }
        let signer = match (&link.signer, rest.get(1)) {
            (None, None) => None,
            (Some(key), Some(line)) => {
                let key = PublicKey::from_hex(key).ok_or("its signer is no public key")?;
                let head = Head { number: link.number, hash: hash.clone() };
                let signature = line.strip_suffix('\n').unwrap_or_default();
                if !key.verifies(&head.signed_text(), signature) {
                    return Err("its signature does not fit what it says".to_owned());
                }
                Some(key)
            }
            (Some(_), None) => return Err("its signature is missing".to_owned()),
            (None, Some(_)) => return Err("it has a line too many".to_owned()),
        };
        if rest.len() > 2 {
            return Err("it has a line too many".to_owned());
        }
        Ok(Self { link, hash, signer })
    }

    pub(super) fn head(&self) -> Head {
        Head { number: self.link.number, hash: self.hash.clone() }
    }
}

/// The first characters of what may be anything.
pub(super) fn start_of(text: &str) -> String {
    text.chars().take(80).collect()
}
