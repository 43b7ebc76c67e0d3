//! What pairing keeps from one run to the next, and how it is written.

use super::Pairing;
use super::answered::Answered;
use super::connection::Lane;
use super::finished::Finished;
use super::half::{Entry, OpenKey};
use super::memory::SavedMemory;
use super::open::Open;
use crate::call::Text;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};

/// What outlives a run, as it is stored.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Saved {
    pub(super) open: Vec<(OpenKey, Entry)>,
    pub(super) lanes: Vec<((u64, Text), Lane)>,
    #[serde(flatten)]
    pub(super) memory: SavedMemory,
    #[serde(default)]
    pub(super) answered: Answered,
    #[serde(default)]
    pub(super) finished: Finished,
    pub(super) sequence: u64,
}

/// Written as a [`Saved`], for a later run. Nothing is copied, because it can be as large as all else in memory.
impl Serialize for Pairing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("open", &Each(|| self.open.saved()))?;
        map.serialize_entry("lanes", &Each(|| self.lanes.saved()))?;
        self.memory.serialize_into(&mut map)?;
        map.serialize_entry("answered", &self.answered)?;
        map.serialize_entry("finished", &self.finished)?;
        map.serialize_entry("sequence", &self.sequence)?;
        map.end()
    }
}

/// What an iterator gives, as a list.
pub(super) struct Each<F>(pub(super) F);

impl<F: Fn() -> I, I: IntoIterator<Item: Serialize>> Serialize for Each<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

impl Saved {
    /// Drops halves of before a day (days since the epoch); gives how many. What has no time stays.
    pub fn forget_before(&mut self, day: i32) -> usize {
        let mut open = Open::restore(std::mem::take(&mut self.open));
        let forgotten = open.forget_before(day);
        self.open = open.into_saved();
        forgotten
    }
}
