//! Calls that one record holds whole, perhaps after another one told of their beginning. What was begun when the program was ended
//! is a call without an answer.

use super::context::fill_from_half;
use super::half::OpenKey;
use super::{Pairing, Row, Scope, finish};
use crate::call::{Call, DurationSource, Observable, Text, TimeSource};
use crate::source::PairKey;

impl Pairing {
    /// A call that one record holds.
    pub(super) fn whole(
        &mut self,
        scope: &mut Scope<'_>,
        lane: Text,
        mut call: Box<Call>,
        observables: Vec<Observable>,
        identity: Option<[u8; 32]>,
        out: &mut Vec<Row>,
    ) {
        scope.source.fill_from_turn(&mut call, scope.mtime);
        let chain = finish::advance(scope, &call);
        let identity = finish::of_whole(&call, identity);
        let named = call.session_id.is_some()
            || call.trace_id.is_some()
            || scope.source.context(&call.source_format).session_id.is_some();
        let (lane, connection) = if named {
            (lane, 0)
        } else {
            // A gateway's record that names no session: who talks to what, until they are silent for long.
            let lane = finish::principal_lane(&lane, &call);
            let seed = || finish::seed(&call, identity, chain);
            let connection = self.lanes.for_request(scope, &lane, &call, seed, &self.options);
            (lane, connection)
        };
        self.finish(scope, &lane, connection, &mut call, identity, chain);
        out.push(Row::Call { call, observables });
    }

    /// The beginning of a call, which a later record may hold whole.
    pub(super) fn begins(
        &mut self,
        scope: &mut Scope<'_>,
        key: PairKey,
        mut call: Box<Call>,
        observables: Vec<Observable>,
        identity: Option<[u8; 32]>,
        out: &mut Vec<Row>,
    ) {
        let chain = finish::advance(scope, &call);
        // Now: when it is given up, another source may be the one that is read.
        scope.source.context(&call.source_format).fill(&mut call);
        let half = self.half(scope, call, observables, identity, chain);
        self.put_request(OpenKey::new(scope.stream, key), half, out);
    }

    /// A call that one record holds, of which another one may have told the beginning.
    pub(super) fn ends(
        &mut self,
        scope: &mut Scope<'_>,
        key: PairKey,
        call: Box<Call>,
        observables: Vec<Observable>,
        identity: Option<[u8; 32]>,
        out: &mut Vec<Row>,
    ) {
        let mut ended = self.half(scope, call, observables, identity, None);
        let key = OpenKey::new(scope.stream, key);
        let Some(begun) = self.open.take_request(&key, &ended, || self.lanes.of_any_connection(key.stream, &key.key))
        else {
            return self.whole(scope, ended.lane, ended.call, ended.observables, identity, out);
        };
        self.note_found(&key, &begun);
        finish::advance(scope, &ended.call);
        let call = &mut ended.call;
        call.response = Some(std::mem::replace(&mut call.source, begun.call.source));
        call.source_file.clone_from(&begun.call.source_file);
        let is_measured = call.duration_source == Some(DurationSource::Measured);
        if call.time.is_none() || (begun.call.time_source != TimeSource::FileMtime && !is_measured) {
            (call.time, call.time_source) = (begun.call.time, begun.call.time_source);
        }
        call.flags = call.flags.union(begun.call.flags);
        fill_from_half(call, &begun.call);
        self.finish(scope, &ended.lane, 0, call, begun.identity, begun.chain);
        out.extend(begun.row().filter(|row| row.call_id != call.call_id).map(Row::Retract));
        out.push(Row::Call { call: ended.call, observables: ended.observables });
    }
}
