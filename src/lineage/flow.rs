//! What one flow is: one row of the table `flows`.

use super::decode::Encoding;
use crate::call::{Bits, Text};
use sha2::{Digest as _, Sha256};

/// What a flow is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Value,
    Content,
    Secret,
    Directive,
}

impl Kind {
    /// As the column `kind` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Content => "content",
            Self::Secret => "secret",
            Self::Directive => "directive",
        }
    }
}

/// One end of a flow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct End {
    pub call_id: Text,
    /// Microseconds since the epoch.
    pub time: Option<i64>,
    pub server: Option<Text>,
    pub tool: Option<Text>,
    pub capabilities: Bits,
}

/// One row of `flows`.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    pub session_id: Text,
    pub agent: Option<Text>,
    pub kind: Kind,
    pub encoding: Option<Encoding>,
    pub source: End,
    pub sink: End,
    pub sink_path: Option<String>,
    pub destination: Option<String>,
    pub bytes: i64,
    pub sink_share: f64,
    pub source_share: f64,
    pub calls_between: i64,
    pub first_origin: bool,
    pub user_named: Option<bool>,
    pub value: Option<String>,
    pub value_hash: Option<String>,
    pub sentence: Option<String>,
    pub score: Option<f64>,
}

impl Flow {
    /// The same for the same flow in every lake.
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        let parts = [
            Some(self.session_id.as_str()),
            Some(self.kind.as_str()),
            Some(self.source.call_id.as_str()),
            Some(self.sink.call_id.as_str()),
            self.sink_path.as_deref(),
            self.value_hash.as_deref(),
        ];
        for part in parts {
            hash.update(part.map_or(u64::MAX, |part| part.len() as u64).to_be_bytes());
            hash.update(part.unwrap_or_default());
        }
        let digest: [u8; 32] = hash.finalize().into();
        crate::call::hex(&digest)[..32].to_owned()
    }
}
