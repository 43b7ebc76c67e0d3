//! The flows of one session, found result by result.

use super::decode::Encoding;
use super::flow::{End, Flow, Kind};
use super::index::{CallText, Index, Moment, Use};
use super::scan::{Content, Hits, Scratch};
use crate::call::Text;
use std::collections::{BTreeMap, HashSet};

/// Tools whose results are named as sources of one value: the first result of each, by time.
const SOURCES: usize = 4;
/// Sources of one call's content.
const CONTENTS: usize = 6;
/// Calls of one tool that one value goes to; a project's id goes to a thousand.
const SAME_SINKS: usize = 16;
/// Values that one call takes from one other.
const SAME_PAIR: usize = 12;
/// Results that must hold a value, and their share of all, to make it nothing but the session's background.
const BACKGROUND: usize = 8;

/// A result that holds a value.
#[derive(Clone, Copy, Debug)]
struct Source {
    call: u32,
    encoding: Encoding,
}

/// What is known of a value so far.
#[derive(Debug, Default)]
struct ValueFound {
    /// The first result of each tool, of the first few tools.
    sources: Vec<Source>,
    results: u32,
    /// When a user's request first named it.
    asked_for: Option<Moment>,
}

/// A value in an argument that came from a result.
#[derive(Clone, Copy, Debug)]
struct Taken {
    value: usize,
    place: Use,
    encoding: Encoding,
    first_origin: bool,
}

/// A session whose results are still to be read, in any order.
pub struct Session {
    id: Text,
    index: Index,
    values: Vec<ValueFound>,
    contents: BTreeMap<u32, Vec<(u32, Content)>>,
    /// Bytes of each call's arguments that users' requests had said before.
    said: BTreeMap<u32, u64>,
    /// Bytes of the results that were read.
    result_bytes: BTreeMap<u32, u64>,
    results: usize,
    has_prompts: bool,
}

impl Session {
    /// A session with the arguments of its calls.
    pub fn new(id: Text, calls: Vec<CallText>) -> Self {
        let index = Index::new(calls);
        let mut values = Vec::new();
        values.resize_with(index.values.len(), ValueFound::default);
        Self {
            id,
            index,
            values,
            contents: BTreeMap::new(),
            said: BTreeMap::new(),
            result_bytes: BTreeMap::new(),
            results: 0,
            has_prompts: false,
        }
    }

    /// Reads the result of a call, once.
    pub fn result(&mut self, call_id: &str, text: &str, scratch: &mut Scratch) {
        let Some(source) = self.index.position(call_id) else { return };
        let Some(hits) = self.look(source, text, scratch) else { return };
        self.take(source, text.len(), hits);
    }

    /// What a result has in common with later arguments; `None` if nothing comes after it.
    pub(super) fn look(&self, source: u32, text: &str, scratch: &mut Scratch) -> Option<Hits> {
        let known = &self.index.calls[source as usize].known;
        if !self.index.goes_on_after(known) {
            return None;
        }
        Some(
            self.index
                .scan(text, scratch, &|sink| sink != source && known.is_before(&self.index.calls[sink as usize].asked)),
        )
    }

    fn take(&mut self, source: u32, bytes: usize, hits: Hits) {
        self.results += 1;
        if !hits.values.is_empty() || !hits.content.is_empty() {
            self.result_bytes.insert(source, bytes as u64);
        }
        for (value, encoding) in hits.values {
            let found = &mut self.values[value as usize];
            found.results += 1;
            add_source(&self.index, &mut found.sources, Source { call: source, encoding });
        }
        for content in hits.content {
            let known = self.contents.entry(content.sink).or_default();
            known.push((source, content));
            // The most, then the first.
            known.sort_by(|a, b| {
                let known = |source: u32| &self.index.calls[source as usize].known;
                (b.1.bytes, known(a.0), a.0).cmp(&(a.1.bytes, known(b.0), b.0))
            });
            known.truncate(CONTENTS);
        }
    }

    /// Reads what the user asked for.
    pub fn prompt(&mut self, at: &Moment, text: &str, scratch: &mut Scratch) {
        self.has_prompts = true;
        let hits = self.index.scan(text, scratch, &|sink| is_said_before(at, &self.index.calls[sink as usize].asked));
        for (value, _) in hits.values {
            let first = &mut self.values[value as usize].asked_for;
            if first.as_ref().is_none_or(|first| at < first) {
                *first = Some(at.clone());
            }
        }
        for content in hits.content {
            let said = self.said.entry(content.sink).or_default();
            *said = (*said).max(content.bytes);
        }
    }

    /// The session's flows, by sink, source, kind and place.
    pub fn finish(self) -> Vec<Flow> {
        let mut flows = self.value_flows();
        for (sink, contents) in &self.contents {
            for (source, content) in contents {
                let earlier = |(other, theirs): &(u32, Content)| {
                    theirs.bytes * 2 >= content.bytes
                        && self.index.calls[*other as usize].known.is_before(&self.index.calls[*source as usize].known)
                };
                let said = self.said.get(sink).copied().unwrap_or_default();
                flows.push(Flow {
                    encoding: Some(content.encoding),
                    sink_path: Some(self.index.views[content.view as usize].1.path.to_string()),
                    first_origin: !content.is_old && !contents.iter().any(earlier),
                    user_named: self.has_prompts.then_some(said * 2 >= content.bytes),
                    value_hash: Some(format!("{:016x}", content.least)),
                    ..self.flow(Kind::Content, *source, *sink, content.bytes)
                });
            }
        }
        flows.sort_by_cached_key(|flow| {
            let (from, to) = (&flow.source, &flow.sink);
            (
                to.time,
                to.call_id.clone(),
                from.time,
                from.call_id.clone(),
                flow.kind,
                flow.sink_path.clone(),
                flow.value_hash.clone(),
            )
        });
        flows
    }

    fn value_flows(&self) -> Vec<Flow> {
        let mut flows = Vec::new();
        // Of each pair of calls, the values with the places that they take.
        let mut pairs: BTreeMap<(u32, u32), Vec<Taken>> = BTreeMap::new();
        for (at, (value, found)) in self.index.values.iter().zip(&self.values).enumerate() {
            let is_background = found.results as usize >= BACKGROUND && found.results as usize * 2 > self.results;
            if found.sources.is_empty() || (is_background && !value.is_secret) {
                continue;
            }
            let calls = &self.index.calls;
            let first_said = value.uses.first().map(|first| &calls[first.call as usize].asked);
            let first_known = found.sources.iter().map(|source| &calls[source.call as usize].known).min();
            for source in &found.sources {
                let known = &calls[source.call as usize].known;
                // What an argument said before a result did, the result only repeats.
                let was_said = first_said.is_some_and(|said| !known.is_before(said));
                if was_said && !value.is_secret {
                    continue;
                }
                let is_first = !was_said && first_known == Some(known);
                let mut sinks: BTreeMap<(&Option<Text>, &Option<Text>), HashSet<u32>> = BTreeMap::new();
                for place in &value.uses {
                    let sink = &calls[place.call as usize];
                    if place.call == source.call || !known.is_before(&sink.asked) {
                        continue;
                    }
                    let same = sinks.entry((&sink.server, &sink.tool)).or_default();
                    if same.contains(&place.call) || same.len() < SAME_SINKS {
                        same.insert(place.call);
                        pairs.entry((source.call, place.call)).or_default().push(Taken {
                            value: at,
                            place: *place,
                            encoding: source.encoding,
                            first_origin: is_first,
                        });
                    }
                }
            }
        }
        for ((source, sink), mut values) in pairs {
            // Longer ones first: a URL's host is no flow of its own if the whole URL is one.
            values.sort_by_key(|Taken { value, place, .. }| {
                (place.view, std::cmp::Reverse(place.until - place.from), place.from, *value)
            });
            let mut taken: Vec<Use> = Vec::new();
            let mut ids = HashSet::new();
            for Taken { value: at, place, encoding, first_origin } in values {
                let value = &self.index.values[at];
                let (_, view) = &self.index.views[place.view as usize];
                let inside =
                    |known: &Use| known.view == place.view && known.from <= place.from && place.until <= known.until;
                if taken.iter().any(inside) || taken.len() >= SAME_PAIR || !ids.insert((value.hash, &view.path)) {
                    continue;
                }
                taken.push(place);
                let found = &self.values[at];
                let asked = &self.index.calls[sink as usize].asked;
                let text = if value.is_secret { format!("[{}]", value.text) } else { value.text.to_string() };
                let kind = if value.is_secret { Kind::Secret } else { Kind::Value };
                flows.push(Flow {
                    encoding: Some(view.encoding.over(encoding)),
                    sink_path: Some(view.path.to_string()),
                    first_origin,
                    user_named: self
                        .has_prompts
                        .then(|| found.asked_for.as_ref().is_some_and(|first| is_said_before(first, asked))),
                    value: Some(text),
                    value_hash: Some(format!("{:016x}", value.hash)),
                    ..self.flow(kind, source, sink, value.text.len() as u64)
                });
            }
        }
        flows
    }

    /// The columns that every kind has.
    fn flow(&self, kind: Kind, source: u32, sink: u32, bytes: u64) -> Flow {
        let end = |call: &CallText, time| End {
            call_id: call.call_id.clone(),
            time,
            server: call.server.clone(),
            tool: call.tool.clone(),
            capabilities: call.capabilities,
        };
        let (from, to) = (&self.index.calls[source as usize], &self.index.calls[sink as usize]);
        let share = |all: u64| if all == 0 { 0.0 } else { (bytes as f64 / all as f64).min(1.0) };
        Flow {
            session_id: self.id.clone(),
            agent: to.agent.clone(),
            kind,
            encoding: None,
            source: end(from, from.asked.time),
            sink: end(to, to.asked.time),
            sink_path: None,
            destination: self.index.destinations[sink as usize].clone(),
            bytes: bytes as i64,
            sink_share: share(to.arguments.as_ref().map_or(0, |text| text.len() as u64)),
            source_share: share(self.result_bytes.get(&source).copied().unwrap_or_default()),
            calls_between: (i64::from(sink) - i64::from(source) - 1).max(0),
            first_origin: false,
            user_named: None,
            value: None,
            value_hash: None,
            sentence: None,
            score: None,
        }
    }
}

/// Whether a request of the user was there when a call was made: of the same moment, the request came first.
fn is_said_before(prompt: &Moment, call: &Moment) -> bool {
    match (prompt.time, call.time) {
        (Some(prompt), Some(call)) => prompt <= call,
        // Without times the order is not known, and what the user named is no finding.
        _ => true,
    }
}

/// Keeps the first result of each tool, of the few tools that come first. The order of calling does not matter.
fn add_source(index: &Index, sources: &mut Vec<Source>, new: Source) {
    let call = |source: &Source| &index.calls[source.call as usize];
    let is_same = |known: &Source| (&call(known).server, &call(known).tool) == (&call(&new).server, &call(&new).tool);
    let key = |source: &Source| (call(source).known.clone(), source.call);
    match sources.iter_mut().find(|known| is_same(known)) {
        Some(known) => {
            if key(&new) < key(known) {
                *known = new;
            }
        }
        None => sources.push(new),
    }
    sources.sort_by_key(key);
    sources.truncate(SOURCES);
}
