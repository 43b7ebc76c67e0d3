//! Events → whole calls. The one stage of reading that is sequential and has a memory.
//!
//! Halves find each other by [`PairKey`]: a JSON-RPC id inside one lane of one stream, or an id that is unique by itself.
//! Ids start over with each connection, several connections may share a lane, requests may stay unanswered and responses may stand
//! before their requests. What is still open at the end of a run is kept (see [`Saved`]) and pairs with what
//! a later run reads.

mod announced;
mod answered;
mod connection;
mod context;
mod finish;
mod finished;
mod half;
mod memory;
mod open;
mod options;
mod room;
mod row;
mod saved;
mod tally;
mod undo;

pub use finish::{amend, amend_row, connection_key, prompt_id};
pub use half::RowRef;
pub use options::PairingOptions;
pub use row::{ConnectionInfo, Row};
pub use saved::Saved;
pub use undo::Undo;

use super::{Event, Id, PairKey, Turn};
use crate::call::{Call, Flag, Nanos, Observable, Outcome, Side, Text, TimeSource};
use answered::{Answered, digest_of_request};
use connection::Lanes;
use context::Context;
use finished::Finished;
use half::{Half, OpenKey};
use memory::Memory;
use open::{Complete, Open};
use serde::{Deserialize, Serialize};

/// One event with what enrichment found in its payload.
#[derive(Debug)]
pub struct Item {
    pub event: Event,
    pub observables: Vec<Observable>,
    /// Digest of the arguments (of a response: of the result) that does not depend on the lake; see `enrich`.
    pub identity: Option<[u8; 32]>,
    /// The format that read the record, as a number ([`crate::source::origin`]).
    pub origin: u64,
}

/// What pairing knows of the source it is reading. Kept with the source between runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceContext {
    /// Digest over the messages without a time, from the start of the stream: what tells such calls apart, whatever the
    /// file is called, however much it grew, and in whichever copy it is read.
    chain: [u8; 32],
    /// What fills empty columns of the source's later calls, one for each format in it.
    #[serde(default)]
    contexts: Vec<Context>,
    /// The user's requests, where the log counts them.
    #[serde(default)]
    turns: Vec<Turn>,
}

/// What the current record belongs to.
#[derive(Debug)]
pub struct Scope<'a> {
    /// Number of the source.
    pub number: u64,
    /// Number of the stream (a rotated file shares it with its other parts).
    pub stream: u64,
    /// Modification time of the file, for records without a time.
    pub mtime: Option<Nanos>,
    pub source: &'a mut SourceContext,
}

/// The pairing stage.
#[derive(Debug, Default)]
pub struct Pairing {
    options: PairingOptions,
    open: Open,
    lanes: Lanes,
    memory: Memory,
    answered: Answered,
    finished: Finished,
    /// What the record does that is being read, if that is to be noted.
    undo: Option<Undo>,
    /// Counts records; orders halves.
    sequence: u64,
    /// Records and bytes that turned out to be none of ours since [`Pairing::take_foreign`].
    foreign: (u64, u64),
}

impl Pairing {
    /// A pairing stage that goes on where an earlier one stopped.
    pub fn new(options: PairingOptions, saved: Saved) -> Self {
        Self {
            options,
            open: Open::restore(saved.open),
            lanes: Lanes::restore(saved.lanes),
            memory: Memory::restore(saved.memory),
            answered: saved.answered,
            finished: saved.finished,
            undo: None,
            sequence: saved.sequence,
            foreign: (0, 0),
        }
    }

    /// Takes one event; finished rows go to `out`.
    pub fn accept(&mut self, scope: &mut Scope<'_>, item: Item, out: &mut Vec<Row>) {
        self.sequence += 1;
        let Item { event, observables, identity, origin } = item;
        // Formats in one file have lanes of the same names, and know nothing of each other.
        let stream = scope.stream ^ origin;
        let scope = &mut Scope { number: scope.number, stream, mtime: scope.mtime, source: &mut *scope.source };
        match event {
            Event::Request { key, lane, call } => self.request(scope, key, &lane, call, observables, identity, out),
            Event::Response { key, lane, call, maybe_foreign } => {
                self.response(scope, key, &lane, call, observables, identity, maybe_foreign, out);
            }
            Event::Call { lane, call } => self.whole(scope, lane, call, observables, identity, out),
            Event::Begins { key, call } => self.begins(scope, key, call, observables, identity, out),
            Event::Ends { key, call } => self.ends(scope, key, call, observables, identity, out),
            Event::Amend { key, call } => self.amend(OpenKey::new(scope.stream, key), call, out),
            Event::Foreign { key } => {
                let dropped = self.open.foreign(OpenKey::new(scope.stream, key));
                self.count_foreign(dropped);
            }
            Event::Cancel { key, time, outcome } => self.cancel(&OpenKey::new(scope.stream, key), time, outcome, out),
            Event::Context { lane, whole_source, call } => {
                if whole_source {
                    scope.source.add_context((*call).into());
                } else {
                    self.lanes.context(scope.stream, &lane, *call);
                }
            }
            Event::Trace { trace_id, session_id, agent } => {
                self.memory.name_trace(trace_id, session_id, agent);
            }
            Event::Turns { from, turns } => scope.source.set_turns(from, turns),
            Event::Turn { at, turn } => scope.source.change_turn(at, turn),
            Event::Connection { lane, opens, .. } => {
                self.lanes.life_cycle(scope.stream, &lane, opens, self.sequence);
            }
            Event::Prompt(mut prompt) => {
                let context = scope.source.context(&prompt.source_format);
                prompt.session_id = prompt.session_id.take().or_else(|| context.session_id.clone());
                prompt.agent = prompt.agent.take().or_else(|| context.agent.clone());
                prompt.client_name = prompt.client_name.take().or_else(|| context.client_name.clone());
                out.push(Row::Prompt(prompt));
            }
            Event::Tools { lane, session, time, mut tools } => {
                if session.as_ref() == Some(&lane) {
                    // Agents tell their models of their tools at every request. A lane that is a session's has one agent.
                    tools.retain(|tool| !self.lanes.offers(scope.stream, &lane, tool));
                }
                for mut tool in tools {
                    let mut connection = self.lanes.offer(scope, &lane, &tool);
                    connection.session_id = session.clone().or(connection.session_id);
                    tool.server = tool.server.take().or_else(|| connection.server.clone());
                    out.push(Row::Tool { tool: Box::new(tool), time: time.or(scope.mtime), connection });
                }
                self.lanes.share_offer(scope.stream, &lane);
            }
            Event::Instructions { lane, session, server, time, text } => {
                let mut connection = self.lanes.info(scope, &lane);
                connection.session_id = session.or(connection.session_id);
                out.push(Row::Instructions { server, time: time.or(scope.mtime), text, connection });
            }
        }
        if self.is_full() {
            // As at the end of the source.
            let (number, stream, mtime) = (scope.number, scope.stream ^ origin, scope.mtime);
            self.evict(&mut Scope { number, stream, mtime, source: &mut *scope.source }, out);
        }
        if self.open.keys() > self.open.len() + self.options.max_open {
            self.open.forget_notes();
        }
    }

    /// What just came, as a half of a call on no lane.
    fn half(
        &self,
        scope: &Scope<'_>,
        call: Box<Call>,
        observables: Vec<Observable>,
        identity: Option<[u8; 32]>,
        chain: Option<[u8; 32]>,
    ) -> Half {
        Half {
            call,
            observables,
            identity,
            chain,
            lane: Text::default(),
            connection: 0,
            sequence: self.sequence,
            source: scope.number,
            published: None,
            published_time: None,
            maybe_foreign: false,
            digest: None,
            copy: false,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one event, taken apart once")]
    fn request(
        &mut self,
        scope: &mut Scope<'_>,
        key: Option<PairKey>,
        lane: &Text,
        mut call: Box<Call>,
        observables: Vec<Observable>,
        identity: Option<[u8; 32]>,
        out: &mut Vec<Row>,
    ) {
        let chain = finish::advance(scope, &call);
        self.memory.note_span(scope.stream, &mut call);
        if let Some(key @ PairKey::Global { .. }) = key {
            // The end of the source finds both halves. What lane and source say by then need not have held when the call was made.
            self.lanes.fill(scope.stream, lane, self.lanes.current(scope.stream, lane), &mut call);
            scope.source.context(&call.source_format).fill(&mut call);
            let half = Half { lane: lane.clone(), ..self.half(scope, call, observables, identity, chain) };
            self.put_request(OpenKey::new(scope.stream, key), half, out);
            return;
        }
        let seed = || finish::seed(&call, identity, chain);
        let connection = self.lanes.for_request(scope, lane, &call, seed, &self.options);
        let Some(key) = key else {
            self.finish(scope, lane, connection, &mut call, identity, chain);
            out.push(Row::Call { call, observables });
            return;
        };
        let digest = digest_of_request(scope.stream, lane, &call, identity);
        let half = self.half(scope, call, observables, identity, chain);
        let half = Half { lane: lane.clone(), connection, digest, copy: self.answered.knows(digest), ..half };
        let key = OpenKey::new(scope.stream, key);
        if let Some(response) = self.open.waiting_response(&key, &half) {
            self.note_found(&key, &response);
            // Which of two files is read first says nothing of the log.
            let flag = (half.source == response.source).then_some(Flag::ResponseBeforeRequest);
            self.pair(scope, half, response, flag, out);
        } else {
            self.put_request(key, half, out);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one event, taken apart once")]
    fn response(
        &mut self,
        scope: &mut Scope<'_>,
        key: PairKey,
        lane: &Text,
        call: Box<Call>,
        observables: Vec<Observable>,
        identity: Option<[u8; 32]>,
        maybe_foreign: bool,
        out: &mut Vec<Row>,
    ) {
        let chain = finish::advance(scope, &call);
        let key = OpenKey::new(scope.stream, key);
        let half = self.half(scope, call, observables, identity, chain);
        let connection = self.lanes.current(scope.stream, lane);
        let half = Half { lane: lane.clone(), connection, maybe_foreign, ..half };
        if let PairKey::Global { .. } = key.key {
            let put = self.open.put_response(key, half);
            self.count_foreign(put.foreign);
            return;
        }
        let alive = |key: &OpenKey| self.lanes.alive(scope.stream, lane, &key.key);
        let found = self.open.take_request(&key, &half, || alive(&key)).map(|request| (None, request)).or_else(|| {
            // Without a direction in the log the asking side was a guess.
            let other = key.other_side()?;
            let request = self.open.take_request(&other, &half, || alive(&other))?;
            Some((Some(other), request))
        });
        let found = found.or_else(|| {
            // A server names the session in its answer to `initialize`, which was asked before there was one.
            let before = key.before_session(&half.call)?;
            let waits = self.open.waits(&before, "initialize");
            let request = waits.then(|| {
                self.open.take_request(&before, &half, || self.lanes.of_any_connection(scope.stream, &before.key))
            })??;
            Some((Some(before), request))
        });
        match found {
            Some((other, request)) => {
                self.note_found(other.as_ref().unwrap_or(&key), &request);
                let flag = (request.nanos_after(&half) > 0).then_some(Flag::ResponseBeforeRequest);
                self.pair(scope, request, half, flag, out);
            }
            None => {
                if let Some(oldest) = self.open.put_response(key, half).given_up {
                    self.give_up(oldest, out);
                }
            }
        }
    }

    /// Both halves of a JSON-RPC call are there.
    fn pair(&mut self, scope: &mut Scope<'_>, request: Half, response: Half, flag: Option<Flag>, out: &mut Vec<Row>) {
        out.extend(response.row().map(Row::Retract));
        // The same response may wait as an orphan of another export, which began after the request.
        if let Some(orphan) = self.open.take_orphan(&response.call) {
            out.extend(orphan.row().map(Row::Retract));
        }
        let published = request.row();
        let Half { mut call, mut observables, identity, chain, lane, connection, digest, .. } = request;
        let another = digest.is_some_and(|request| self.answered.note(request, &response.call));
        self.note_answered(digest);
        let given_up = Some(call.outcome).filter(|outcome| matches!(outcome, Outcome::Cancelled | Outcome::Timeout));
        let session_lane = (call.method == "initialize" && response.lane != lane).then(|| response.lane.clone());
        finish::complete(&mut call, *response.call);
        if let Some(flag) = flag {
            call.flag(flag);
        }
        if let Some(outcome) = given_up {
            call.outcome = outcome;
            call.flag(Flag::LateResponse);
        }
        observables.extend(response.observables);
        if call.method == "initialize" || call.server_info_name.is_some() {
            self.lanes.identify(scope.stream, &lane, connection, &call);
            if let Some(lane) = session_lane {
                self.lanes.begin(scope.stream, &lane, &call);
            }
        }
        self.finish(scope, &lane, connection, &mut call, identity, chain);
        // What was learned since the request stood alone may have changed what it is told by. As a copy it had the id of the first, whose row stays.
        out.extend(published.filter(|row| row.call_id != call.call_id).map(Row::Retract));
        if another {
            call.call_id = finish::call_id_of_another(&call);
        }
        self.memory.link_round_trips(&mut call);
        out.push(Row::Call { call, observables });
    }

    /// Fills what the context knows and derives ids.
    fn finish(
        &mut self,
        scope: &Scope<'_>,
        lane: &Text,
        connection: u32,
        call: &mut Call,
        identity: Option<[u8; 32]>,
        chain: Option<[u8; 32]>,
    ) {
        self.lanes.fill(scope.stream, lane, connection, call);
        scope.source.context(&call.source_format).fill(call);
        self.lanes.name_session(scope.stream, lane, connection, call);
        if call.time.is_none() && call.time_end.is_none() {
            call.time = scope.mtime;
            call.time_source = TimeSource::FileMtime;
        } else if call.time.is_none() {
            call.time = call.time_end;
            call.time_source = TimeSource::ResponseLine;
        }
        self.resolve_trace(call);
        finish::defaults(call);
        call.call_id = finish::call_id(call, lane, identity, chain);
    }

    /// Gives a call that is known by its trace only the conversation of the trace. Also called just before rows are
    /// written, because the span that names the conversation ends last.
    pub fn resolve_trace(&self, call: &mut Call) {
        self.memory.resolve_trace(call);
    }

    /// The same for the session of tools that were offered.
    pub fn conversation(&self, session: Text) -> Text {
        self.memory.conversation(session)
    }

    /// The end of one source: calls that are paired by their own ids are complete now, and records without times can no
    /// longer be told apart by order.
    pub fn end_source(&mut self, scope: &mut Scope<'_>, out: &mut Vec<Row>) {
        self.end_source_but(scope, None, out);
    }

    /// The same, but the record at an offset may go on: the call of which it is a half becomes a row, and stays open.
    pub fn end_source_but(&mut self, scope: &mut Scope<'_>, offset: Option<i64>, out: &mut Vec<Row>) {
        for (stream, request, response) in self.open.take_untimed(scope.number) {
            let scope = &mut Scope { number: scope.number, stream, mtime: scope.mtime, source: &mut *scope.source };
            self.pair(scope, request, response, None, out);
        }
        for complete in self.open.take_complete(scope.number, u64::MAX, offset) {
            self.publish_global(scope, complete, out);
        }
        for complete in offset.map(|offset| self.open.complete_of(scope.number, offset)).unwrap_or_default() {
            let (key, sequence) = (complete.key.clone(), complete.request.sequence);
            let row = self.publish_global(scope, complete, out);
            self.open.published(&key, sequence, row);
        }
    }

    fn publish_global(
        &mut self,
        scope: &mut Scope<'_>,
        Complete { key, request, response, amend }: Complete,
        out: &mut Vec<Row>,
    ) -> RowRef {
        let published = [request.row(), response.row()];
        let Half { mut call, mut observables, identity, chain, lane, connection, .. } = request;
        finish::complete(&mut call, *response.call);
        observables.extend(response.observables);
        if let Some(amend) = amend {
            finish::amend(&mut call, *amend);
        }
        self.finish(scope, &lane, connection, &mut call, identity, chain);
        out.extend(published.into_iter().flatten().filter(|row| row.call_id != call.call_id).map(Row::Retract));
        let row = RowRef::of(&call);
        self.finished.note(&key, row.clone());
        out.push(Row::Call { call, observables });
        row
    }

    /// Records so far.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether a half up to this record waits that is not in the lake.
    pub fn has_unpublished(&self, until: u64) -> bool {
        self.open.has_unpublished(until)
    }

    /// The end of a run: publishes what is still open since the record `until` or longer, once. It stays open for later runs.
    pub fn end_run(&mut self, until: u64, out: &mut Vec<Row>) {
        let mut nowhere = SourceContext::default();
        for mut half in self.open.unpublished(until) {
            // The source's context was applied when the source ended; the stream is only needed for its connection.
            let scope = Scope { number: 0, stream: half.stream, mtime: half.mtime, source: &mut nowhere };
            half.as_row();
            let lane = half.lane.clone();
            self.finish(&scope, &lane, half.connection, &mut half.call, half.identity, half.chain);
            self.open.published(&half.key, half.sequence, RowRef::of(&half.call));
            out.push(Row::Call { call: half.call, observables: half.observables });
        }
    }

    /// Applies the source's context to its halves that stay open, so that they can be published without it.
    pub fn leave_source(&mut self, scope: &Scope<'_>) {
        self.open.each_of(scope.number, |half| {
            scope.source.context(&half.call.source_format).fill(&mut half.call);
            if half.call.time.is_none() && half.call.time_end.is_none() && scope.mtime.is_some() {
                half.call.time = scope.mtime;
                half.call.time_source = TimeSource::FileMtime;
            }
        });
    }

    fn count_foreign(&mut self, dropped: Option<i64>) {
        if let Some(bytes) = dropped {
            self.foreign.0 += 1;
            self.foreign.1 += bytes.unsigned_abs();
        }
    }

    /// Records (and their bytes) read since the last call that turned out to be no calls: results of built-in tools.
    pub fn take_foreign(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.foreign)
    }
}

impl PairKey {
    /// The same id, asked by the other side.
    fn other_side(&self) -> Option<Self> {
        match self {
            Self::JsonRpc { lane, side, id } => Some(Self::JsonRpc {
                lane: lane.clone(),
                side: match side {
                    Side::Client => Side::Server,
                    Side::Server => Side::Client,
                },
                id: Id { kind: id.kind, text: id.text.clone() },
            }),
            Self::Global { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
