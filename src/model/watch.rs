//! One session told as it happened: requests, calls, and each result when it had arrived.

use super::act::{Act, Acts, destinations, shape};
use super::features::{CallFeatures, SessionWatch};
use super::hash;
use super::rows::Row;
use super::sessions::RawSession;
use crate::call::Capability;
use crate::lineage::directive::{CallText, Idf, Verbs};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

/// Results that wait for their time, in number and bytes; beyond, they are read early.
const MAX_WAITING: usize = 256;
const MAX_WAITING_BYTES: usize = 32 << 20;
/// Calls before one that it may be a repetition of.
const REPEATS: usize = 4;

/// A session with the features of its calls.
pub(super) struct Watched<'a> {
    pub(super) agent: Option<&'a str>,
    pub(super) has_requests: bool,
    pub(super) calls: Vec<(&'a Row, CallFeatures)>,
    pub(super) acts: Acts,
}

/// Results that have not arrived yet, the earliest first.
#[derive(Default)]
struct Waiting<'a> {
    results: BinaryHeap<Reverse<(i64, usize, &'a str)>>,
    bytes: usize,
}

impl<'a> Waiting<'a> {
    fn add(&mut self, at: i64, call: usize, text: &'a str, watch: &mut SessionWatch<'_>) {
        self.bytes += text.len();
        self.results.push(Reverse((at, call, text)));
        while self.results.len() > MAX_WAITING || self.bytes > MAX_WAITING_BYTES {
            self.next_arrives(watch);
        }
    }

    /// Reads the results that had arrived by a time.
    fn arrived(&mut self, by: i64, watch: &mut SessionWatch<'_>) {
        while self.results.peek().is_some_and(|Reverse((at, ..))| *at <= by) {
            self.next_arrives(watch);
        }
    }

    fn next_arrives(&mut self, watch: &mut SessionWatch<'_>) {
        if let Some(Reverse((_, call, text))) = self.results.pop() {
            self.bytes -= text.len();
            watch.result(call, text);
        }
    }
}

/// Tells the session to a watch, call by call.
pub(super) fn watch<'a>(raw: &'a RawSession, verbs: &Verbs) -> Watched<'a> {
    let mut watch = SessionWatch::new(Idf::builtin(), verbs);
    let mut waiting = Waiting::default();
    let mut recent: VecDeque<u64> = VecDeque::new();
    let mut watched = Watched {
        agent: raw.rows.iter().find_map(Row::agent),
        has_requests: raw.rows.iter().any(Row::is_request),
        calls: Vec::with_capacity(raw.rows.len()),
        acts: Acts { session_id: raw.id.clone(), calls: Vec::with_capacity(raw.rows.len()), ..Acts::default() },
    };
    watched.acts.agent = hash::name(&[watched.agent.unwrap_or_default()]);
    watched.acts.client = hash::name(&[raw.rows.iter().find_map(Row::client).unwrap_or_default()]);
    watched.acts.kind = kind(raw);
    let text = |row: &Row| Some(CallText::read(Arc::clone(row.tool.as_ref()?), row.content(), Idf::builtin()));
    let texts: Vec<CallText> = raw.rows.iter().filter_map(text).collect();
    watch.expect(&texts);
    let mut texts = texts.into_iter();
    for row in &raw.rows {
        // One of each row with a tool.
        let Some(text) = row.tool.as_ref().and_then(|_| texts.next()) else {
            watch.request(row.content());
            continue;
        };
        // A log without times has its order only: each result was there before the next call.
        waiting.arrived(row.time().unwrap_or(i64::MAX), &mut watch);
        let (arguments, capabilities) = (row.content(), row.capabilities());
        let (number, features) = watch.call(text, capabilities);
        let repetition = hash::name(&[row.server().unwrap_or_default(), &row.name, arguments]);
        let size = |bytes: Option<i64>| bytes.map(|bytes| (bytes.max(0) as f32).ln_1p());
        let [sent, received] = row.bytes().map(size);
        watched.acts.calls.push(Act {
            tool: hash::name(&[row.server().unwrap_or_default(), &row.name]),
            server: hash::name(&[row.server().unwrap_or_default()]),
            shape: shape(arguments),
            destinations: destinations(&features.identifiers),
            sent,
            received,
            outcome: row.outcome(),
            states: row.states(),
            repeats: !arguments.is_empty() && recent.contains(&repetition),
            acts: Capability::ALL.iter().any(|(_, one)| ACTING.contains(one) && capabilities.has(*one as u32)),
            time: row.time(),
        });
        recent.push_back(repetition);
        if recent.len() > REPEATS {
            recent.pop_front();
        }
        watched.calls.push((row, features));
        let result = row.result();
        if !result.is_empty() {
            waiting.add(row.time_end().unwrap_or(i64::MIN), number, result, &mut watch);
        }
    }
    watched
}

/// The first request of the user, else the first call.
fn kind(raw: &RawSession) -> u64 {
    match raw.rows.iter().find(|row| row.is_request()).or(raw.rows.first()) {
        Some(row) => hash::name(&[row.server().unwrap_or_default(), &row.name, row.content()]),
        None => 0,
    }
}

/// Capabilities of a call that does something.
pub(super) const ACTING: [Capability; 5] =
    [Capability::Egress, Capability::Pays, Capability::Destructive, Capability::Writes, Capability::Executes];
