//! Every format that a run knows, in the order in which they are asked: mappings that want to be first, the built-in
//! formats, the other mappings.

use super::Record;
use super::format::{FORMATS, LogFormat};
use super::mapping::Mapping;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// The formats of a run.
#[derive(Clone, Debug, Default)]
pub struct Formats {
    /// Mappings before the built-in formats, then those behind them.
    mappings: Vec<Mapping>,
    first: usize,
    /// What mcp-audit signs its entries with.
    audit_key: Option<AuditKey>,
}

/// A secret that two sides share.
#[derive(Clone)]
pub struct AuditKey(Vec<u8>);

impl AuditKey {
    /// The key as a file holds it: a line end behind it is none of it. `None`: there is nothing in it.
    pub fn of_file(mut bytes: Vec<u8>) -> Option<Self> {
        let length = bytes.trim_ascii_end().len();
        bytes.truncate(length);
        (!bytes.is_empty()).then_some(Self(bytes))
    }
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKey")
    }
}

impl Formats {
    /// The built-in formats and these mappings, which keep their order.
    pub fn new(mut mappings: Vec<Mapping>) -> Self {
        mappings.sort_by_key(|mapping| !mapping.first);
        let first = mappings.iter().filter(|mapping| mapping.first).count();
        Self { mappings, first, audit_key: None }
    }

    /// Has the signatures of mcp-audit entries checked with this key.
    #[must_use]
    pub fn with_audit_key(mut self, key: Option<AuditKey>) -> Self {
        self.audit_key = key;
        self
    }

    /// The key with which the signatures of mcp-audit entries are checked.
    pub fn audit_key(&self) -> Option<&[u8]> {
        self.audit_key.as_ref().map(|key| key.0.as_slice())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.mappings.len() + FORMATS.len()
    }

    /// The format with this number.
    pub fn get(&self, at: usize) -> Option<&dyn LogFormat> {
        match self.mapping(at) {
            Some(mapping) => Some(mapping),
            None => at.checked_sub(self.first).and_then(|at| FORMATS.get(at)).map(|format| *format as &dyn LogFormat),
        }
    }

    /// The mapping with this number, if it is one.
    pub fn mapping(&self, at: usize) -> Option<&Mapping> {
        if at < self.first {
            return self.mappings.get(at);
        }
        at.checked_sub(FORMATS.len()).filter(|at| *at >= self.first).and_then(|at| self.mappings.get(at))
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &dyn LogFormat> {
        (0..self.count()).filter_map(|at| self.get(at))
    }

    /// Number of the format with this id.
    pub fn named(&self, id: &str) -> Option<usize> {
        self.iter().position(|format| format.id() == id)
    }

    /// Number of the format that a record belongs to: the first that claims it. No record is claimed by two built-in formats, so
    /// `likely`, that of most records of the source, is asked before the others: two dozen questions cost more than reading a line.
    pub fn route(&self, record: &Record<'_>, likely: Option<usize>) -> Option<usize> {
        let first = &self.mappings[..self.first];
        let claimed = first.iter().position(|mapping| mapping.claims(record));
        let built_in = likely.filter(|at| self.mapping(*at).is_none());
        let claimed =
            claimed.or_else(|| built_in.filter(|at| self.get(*at).is_some_and(|format| format.claims(record))));
        let claimed = claimed.or_else(|| Some(self.first + FORMATS.iter().position(|format| format.claims(record))?));
        claimed.or_else(|| {
            let last = self.mappings[self.first..].iter().position(|mapping| mapping.claims(record))?;
            Some(self.first + FORMATS.len() + last)
        })
    }

    /// Number of the format that takes a record which nobody claims and no line of its source's format is.
    pub fn route_otherwise(&self, record: &Record<'_>) -> Option<usize> {
        Some(self.first + FORMATS.iter().position(|format| format.claims_otherwise(record))?)
    }

    /// Number of the mapping that a line of text belongs to, the built-in formats left out.
    pub fn route_to_mapping(&self, record: &Record<'_>) -> Option<usize> {
        (0..self.count()).find(|at| self.mapping(*at).is_some_and(|mapping| mapping.claims(record)))
    }

    /// Tells one set of formats from another: with another set, what was unknown may be known.
    pub fn fingerprint(&self) -> String {
        let ids: Vec<&str> = FORMATS.iter().map(|format| format.id()).collect();
        let text = format!("{} {ids:?} {:?}", env!("CARGO_PKG_VERSION"), self.mappings);
        let digest: [u8; 32] = Sha256::digest(text).into();
        crate::call::hex(&digest)[..16].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_formats_agree() {
        let mapping = |id: &str, first| Mapping {
            id: id.to_owned(),
            title: String::new(),
            first,
            shapes: Vec::new(),
            ignore: Vec::new(),
        };
        let formats = Formats::new(vec![mapping("last", false), mapping("first", true), mapping("later", false)]);
        let ids: Vec<&str> = formats.iter().map(|format| format.id()).collect();
        assert_eq!(ids.len(), FORMATS.len() + 3);
        assert_eq!((ids[0], &ids[ids.len() - 2..]), ("first", &["last", "later"][..]));
        for (at, id) in ids.iter().enumerate() {
            assert_eq!(formats.named(id), Some(at));
            assert_eq!(
                formats.mapping(at).map(|m| m.id.as_str()),
                (formats.get(at).map(|f| f.id())).filter(|_| { at == 0 || at > FORMATS.len() })
            );
        }
        assert!(formats.get(ids.len()).is_none());
    }
}
