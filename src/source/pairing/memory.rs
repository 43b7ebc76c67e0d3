//! What pairing remembers beside open halves: conversations of traces, chains of round trips, spans that asked before, and the
//! user's requests of a source that counts them.

use super::context::Context;
use super::saved::Each;
use super::{SourceContext, finish};
use crate::call::{Call, Flag, Nanos, SessionSource, Text, TimeSource};
use crate::source::Turn;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Entries of each kind; they matter for minutes, not for months.
const MAX_REMEMBERED: usize = 50_000;
/// Requests of one source that are counted.
const MAX_TURNS: usize = 20_000;

/// What is remembered of all sources.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// trace id → conversation, agent.
    traces: HashMap<Text, (Text, Option<Text>), ahash::RandomState>,
    /// Digest of a `requestState` → first call of the chain and its next round trip.
    round_trips: HashMap<Text, (Text, i32), ahash::RandomState>,
    /// Spans that asked for something in a stream, and when they did so first.
    spans: HashMap<(u64, [u8; 32]), Nanos, ahash::RandomState>,
}

/// The same, as it is stored.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct SavedMemory {
    traces: Vec<(Text, (Text, Option<Text>))>,
    round_trips: Vec<(Text, (Text, i32))>,
    #[serde(default)]
    spans: Vec<((u64, [u8; 32]), Nanos)>,
}

impl Memory {
    pub(super) fn restore(saved: SavedMemory) -> Self {
        Self {
            traces: saved.traces.into_iter().collect(),
            round_trips: saved.round_trips.into_iter().collect(),
            spans: saved.spans.into_iter().collect(),
        }
    }

    /// Writes the members of [`SavedMemory`].
    pub(super) fn serialize_into<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("traces", &Each(|| self.traces.iter()))?;
        map.serialize_entry("round_trips", &Each(|| self.round_trips.iter()))?;
        map.serialize_entry("spans", &Each(|| self.spans.iter()))
    }

    pub(super) fn name_trace(&mut self, trace_id: Text, session_id: Text, agent: Option<Text>) {
        if self.traces.len() >= MAX_REMEMBERED {
            self.traces.clear();
        }
        self.traces.insert(trace_id, (session_id, agent));
    }

    /// The conversation of what is known by its trace only.
    pub(super) fn conversation(&self, session: Text) -> Text {
        self.traces.get(&session).map_or(session, |(conversation, _)| conversation.clone())
    }

    /// Gives a call that is known by its trace only the conversation of the trace.
    pub(super) fn resolve_trace(&self, call: &mut Call) {
        if call.session_source != SessionSource::Trace || call.session_id.is_none() {
            return;
        }
        if let Some((session, agent)) = call.trace_id.as_ref().and_then(|trace| self.traces.get(trace)) {
            call.session_id = Some(session.clone());
            call.session_source = SessionSource::Conversation;
            if let Some(agent) = agent {
                call.agent = Some(agent.clone());
            }
        }
    }

    /// Flags a request whose span has asked for the same before, at another time: its client hands the context of a whole turn
    /// to each call. The span then tells no call from another, once ids have started over.
    pub(super) fn note_span(&mut self, stream: u64, call: &mut Call) {
        let (Some(time), Some(span)) = (call.time, finish::calling_span(call)) else { return };
        if self.spans.len() >= MAX_REMEMBERED {
            self.spans.clear();
        }
        if *self.spans.entry((stream, span)).or_insert(time) != time {
            call.flag(Flag::SpanReused);
        }
    }

    /// Retries of a multi-round-trip request carry the state that the result before them handed out.
    pub(super) fn link_round_trips(&mut self, call: &mut Call) {
        let Some(more) = call.more.as_mut() else { return };
        let mut first = call.call_id.clone();
        let mut index = 0;
        if let Some((parent, next)) = more.request_state.as_ref().and_then(|state| self.round_trips.get(state)) {
            more.parent_call_id = Some(parent.clone());
            more.round_trip_index = *next;
            first = parent.clone();
            index = *next;
        }
        if let Some(state) = more.next_request_state.clone() {
            if self.round_trips.len() >= MAX_REMEMBERED {
                self.round_trips.clear();
            }
            self.round_trips.insert(state, (first, index + 1));
        }
    }
}

/// What is known of a source that says nothing of itself.
static NOTHING: LazyLock<Context> = LazyLock::new(Context::default);

impl SourceContext {
    /// What the source's records of this format say for all later ones.
    pub(super) fn context(&self, format: &str) -> &Context {
        self.contexts.iter().find(|context| context.source_format == format).unwrap_or(&NOTHING)
    }

    /// The same where no record of a format asks: of a file with several formats that is nothing.
    pub(super) fn only_context(&self) -> &Context {
        if let [only] = self.contexts.as_slice() { only } else { &NOTHING }
    }

    pub(super) fn add_context(&mut self, context: Context) {
        match self.contexts.iter_mut().find(|known| known.source_format == context.source_format) {
            Some(known) => known.overlay(context),
            None => self.contexts.push(context),
        }
    }

    /// The user's requests from this place on are these. A place behind the last one leaves a gap, as in the log's own language.
    pub(super) fn set_turns(&mut self, from: usize, turns: Vec<Turn>) {
        if from != usize::MAX {
            self.turns.resize_with(from.min(MAX_TURNS), Turn::default);
        }
        let room = MAX_TURNS - self.turns.len();
        self.turns.extend(turns.into_iter().take(room));
    }

    /// One of them is changed.
    pub(super) fn change_turn(&mut self, at: usize, turn: Turn) {
        if let Some(known) = self.turns.get_mut(at) {
            known.time = turn.time.or(known.time);
            known.model = turn.model.or_else(|| known.model.take());
        }
    }

    /// Fills a call from the request below which it stands. Its own time, if it has one, is the better one.
    pub(super) fn fill_from_turn(&self, call: &mut Call, mtime: Option<Nanos>) {
        let Some(at) = call.more.as_mut().and_then(|more| more.turn.take()) else { return };
        let turn = self.turns.get(at as usize);
        if call.time.is_none() {
            (call.time, call.time_source) = match turn.and_then(|turn| turn.time) {
                Some(time) => (Some(time), TimeSource::ResponseLine),
                // Without any its id still identifies it, however often the file is written anew.
                None => (mtime.filter(|_| call.tool_call_id.is_some()), TimeSource::FileMtime),
            };
        }
        if let Some(model) = turn.and_then(|turn| turn.model.clone()) {
            call.more().gen_ai_request_model.get_or_insert(model);
        }
    }
}
