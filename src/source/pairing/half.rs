//! One half of a call, the key under which it waits, and what waits under one key.

use crate::call::{Call, EventKind, Flag, Nanos, Observable, Text, TimeSource};
use crate::source::PairKey;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// A pair key within one stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct OpenKey {
    /// 0 for ids that are unique wherever they stand.
    pub(super) stream: u64,
    pub(super) key: PairKey,
}

impl OpenKey {
    pub(super) fn new(stream: u64, key: PairKey) -> Self {
        let stream = if matches!(key, PairKey::Global { .. }) { 0 } else { stream };
        Self { stream, key }
    }

    /// The same id where the session that the answer to `initialize` names is not named yet.
    pub(super) fn before_session(&self, response: &Call) -> Option<Self> {
        let PairKey::JsonRpc { lane, side, id } = &self.key else { return None };
        let session = response.mcp_session_id.as_deref().filter(|_| response.method == "initialize")?;
        let parts: Vec<&str> = lane.split('|').filter(|part| *part != session).collect();
        let key = PairKey::JsonRpc { lane: parts.join("|").into(), side: *side, id: id.clone() };
        (key != self.key).then_some(Self { stream: self.stream, key })
    }

    /// The same id as the other side's request.
    pub(super) fn other_side(&self) -> Option<Self> {
        Some(Self { stream: self.stream, key: self.key.other_side()? })
    }
}

/// A row of the lake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowRef {
    pub call_id: Text,
    /// Its `time`; `None`: not known, or that of its file, which another view of the call corrects.
    pub time: Option<Nanos>,
}

impl RowRef {
    /// The row that a finished call becomes.
    pub(super) fn of(call: &Call) -> Self {
        let time = call.time.filter(|_| call.time_source != TimeSource::FileMtime);
        Self { call_id: call.call_id.clone(), time }
    }
}

/// One half of a call, enriched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Half {
    pub(super) call: Box<Call>,
    pub(super) observables: Vec<Observable>,
    pub(super) identity: Option<[u8; 32]>,
    pub(super) chain: Option<[u8; 32]>,
    pub(super) lane: Text,
    pub(super) connection: u32,
    pub(super) sequence: u64,
    /// Number of the source it came from.
    pub(super) source: u64,
    /// The id of the row under which the half stands in the lake.
    pub(super) published: Option<Text>,
    /// The row's time.
    #[serde(default)]
    pub(super) published_time: Option<Nanos>,
    pub(super) maybe_foreign: bool,
    /// Of a request: what tells it from others ([`super::answered`]).
    #[serde(default)]
    pub(super) digest: Option<u64>,
    /// The same request was answered before.
    #[serde(default)]
    pub(super) copy: bool,
}

impl Half {
    /// Bytes of what it carries.
    pub(super) fn weight(&self) -> usize {
        let payload = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let observables = size_of::<Observable>() * self.observables.len();
        payload(&self.call.arguments) + payload(&self.call.result) + observables
    }

    /// The row under which it stands in the lake.
    pub(super) fn row(&self) -> Option<RowRef> {
        Some(RowRef { call_id: self.published.clone()?, time: self.published_time })
    }

    /// By how much a response is stamped before this request.
    pub(super) fn nanos_after(&self, response: &Self) -> Nanos {
        let times = self.call.time.zip(response.call.time_end);
        times.map_or(0, |(asked, answered)| asked.saturating_sub(answered).max(0))
    }
}

/// All halves of one key.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) requests: VecDeque<Half>,
    pub(super) responses: VecDeque<Half>,
    pub(super) amend: Option<Box<Call>>,
    pub(super) foreign: bool,
}

impl Entry {
    /// Nothing waits: at most something is said about halves to come.
    pub(super) fn is_note(&self) -> bool {
        self.requests.is_empty() && self.responses.is_empty()
    }

    /// Both halves of a call with an id of its own are there.
    pub(super) fn is_complete(&self, key: &OpenKey) -> bool {
        matches!(key.key, PairKey::Global { .. }) && !self.requests.is_empty() && !self.responses.is_empty()
    }
}

/// A half that is about to be published.
pub(super) struct Unpublished {
    pub(super) key: OpenKey,
    pub(super) stream: u64,
    pub(super) call: Box<Call>,
    pub(super) observables: Vec<Observable>,
    pub(super) identity: Option<[u8; 32]>,
    pub(super) chain: Option<[u8; 32]>,
    pub(super) lane: Text,
    pub(super) connection: u32,
    pub(super) sequence: u64,
    pub(super) mtime: Option<Nanos>,
    pub(super) orphan: bool,
}

impl Unpublished {
    /// What a half becomes that waits no longer.
    pub(super) fn of(key: &OpenKey, half: Half, orphan: bool) -> Self {
        let Half { call, observables, identity, chain, lane, connection, sequence, .. } = half;
        Self {
            key: key.clone(),
            stream: key.stream,
            mtime: call.time,
            call,
            observables,
            identity,
            chain,
            lane,
            connection,
            sequence,
            orphan,
        }
    }

    /// Makes the half a row of its own: a response without a request says so, and not what it might answer.
    pub(super) fn as_row(&mut self) {
        if self.orphan {
            self.call.event_kind = EventKind::Orphan;
            self.call.flag(Flag::OrphanResponse);
            self.call.method = Text::default();
        }
    }
}
