//! What a call did, without its payloads: what the baseline of an agent is made of.
//!
//! Everything here is known of logs without payloads too, or is missing and says so. Names are hashes; those of destinations are kept for the words of a reason.

use super::hash;
use crate::call::{Outcome, PayloadState, Text};
use crate::lineage::directive::{Identifier, Kind};
use crate::source::json::Object;

/// Destinations of one call that count.
const MAX_DESTINATIONS: usize = 8;
/// Names of arguments that make its shape.
const MAX_KEYS: usize = 64;

/// One call.
#[derive(Clone, Debug, Default)]
pub(super) struct Act {
    /// Server and tool.
    pub(super) tool: u64,
    pub(super) server: u64,
    /// The names of its arguments.
    pub(super) shape: u64,
    /// Hosts and domains of e-mail addresses among its arguments, with their names.
    pub(super) destinations: Box<[(u64, Text)]>,
    /// ln(1 + bytes) of arguments and result.
    pub(super) sent: Option<f32>,
    pub(super) received: Option<f32>,
    pub(super) outcome: Outcome,
    pub(super) states: (PayloadState, PayloadState),
    /// The same tool with the same arguments as one of the calls just before.
    pub(super) repeats: bool,
    /// It sends, pays, deletes, changes or runs something.
    pub(super) acts: bool,
    /// Microseconds.
    pub(super) time: Option<i64>,
}

impl Act {
    /// The symbol that sequences are made of: the tool with the shape of its arguments.
    pub(super) fn symbol(&self) -> u64 {
        hash::mix(self.tool, self.shape)
    }
}

/// The names of an object's members, in any order; of what is no object 0.
pub(super) fn shape(arguments: &str) -> u64 {
    let Ok(object) = Object::parse(arguments) else { return 0 };
    let mut names: Vec<&str> = object.members().iter().take(MAX_KEYS).map(|(name, _)| name.as_ref()).collect();
    names.sort_unstable();
    if names.is_empty() { 0 } else { hash::name(&names) }
}

/// Where data could go: hosts of URLs and e-mail addresses.
pub(super) fn destinations(identifiers: &[Identifier]) -> Box<[(u64, Text)]> {
    let mut found: Vec<(u64, Text)> = Vec::new();
    for identifier in identifiers {
        let host = match identifier.kind {
            Kind::Email => identifier.value.rsplit('@').next(),
            Kind::Url => identifier.value.split(['/', '?', '#']).next(),
            _ => None,
        };
        let Some(host) = host.filter(|host| !host.is_empty()) else { continue };
        let hash = hash::name(&[host]);
        if found.len() < MAX_DESTINATIONS && !found.iter().any(|(known, _)| *known == hash) {
            found.push((hash, Text::from(host)));
        }
    }
    found.into_boxed_slice()
}

/// A session as the baseline sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct Acts {
    pub(super) session_id: String,
    pub(super) agent: u64,
    pub(super) client: u64,
    /// The kind of work, by how the session begins.
    pub(super) kind: u64,
    pub(super) calls: Vec<Act>,
}
