//! The flows of one session, found result by result.

use super::decode::Encoding;
use super::flow::{End, Flow, Kind};
use super::index::{CallText, Index, Key, Moment, Use};
use super::joined::Part;
use super::obeyed::{Read, has_effect};
use super::scan::{Content, Hits, Scratch};
use super::value;
use super::words::hash_bytes;
use crate::call::Text;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

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

/// Values of a session that stand inside longer words of arguments.
const PARTS: usize = 4096;

/// Last uses of a value among which a call that does something is looked for.
const LAST_USES: usize = 64;

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

/// What results and requests have in common with the session's arguments, as far as they were read.
#[derive(Default)]
struct Found {
    values: Vec<ValueFound>,
    contents: BTreeMap<u32, Vec<(u32, Content)>>,
    /// Values inside longer words, with the first result that has them.
    parts: BTreeMap<(u32, u64), (u32, Part)>,
    /// Such values that a request of the user named, and when first.
    parts_asked_for: BTreeMap<(u32, u64), Moment>,
    /// Bytes of each call's arguments that users' requests had said before.
    said: BTreeMap<u32, u64>,
    /// Bytes of the results that had something.
    result_bytes: BTreeMap<u32, u64>,
    /// Results that were read.
    results: usize,
    has_prompts: bool,
    /// What may hold orders.
    read: Read,
}

/// A session whose results are still to be read, in any order and on several threads.
pub struct Session {
    id: Text,
    index: Index,
    found: Mutex<Found>,
    /// Calls before this one are looked at as sources and for what they said, and their own flows are somebody else's.
    sinks_from: u32,
}

impl Session {
    /// A session with the arguments of its calls.
    pub fn new(id: Text, calls: Vec<CallText>) -> Self {
        Self::with_sinks_from(id, calls, None)
    }

    /// A part of a session: flows go to calls from this moment on.
    pub(super) fn with_sinks_from(id: Text, calls: Vec<CallText>, from: Option<&Key>) -> Self {
        let index = Index::new(calls);
        let mut found = Found::default();
        found.values.resize_with(index.values.len(), ValueFound::default);
        let sinks_from = from.map_or(0, |from| index.calls.partition_point(|call| call.key() < *from) as u32);
        Self { id, index, found: Mutex::new(found), sinks_from }
    }

    /// Reads the result of a call, once.
    pub fn result(&self, call_id: &str, text: &str, scratch: &mut Scratch) {
        let Some(source) = self.index.position(call_id) else { return };
        let known = &self.index.calls[source as usize].known;
        if !self.index.goes_on_after(known) {
            return;
        }
        let follows = |sink: u32| sink != source && known.is_before(&self.index.calls[sink as usize].asked);
        let hits = self.index.scan(text, scratch, &follows);
        let has_effect = |sink: u32| follows(sink) && has_effect(&self.index.calls[sink as usize]);
        let may_order = hits.values.iter().any(|(value, _)| {
            self.index.values[*value as usize].uses.iter().rev().take(LAST_USES).any(|place| has_effect(place.call))
        });
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if may_order {
            found.read.result(known, source, text);
        }
        self.take(&mut found, source, text.len(), hits);
    }

    fn take(&self, found: &mut Found, source: u32, bytes: usize, hits: Hits) {
        found.results += 1;
        if !hits.values.is_empty() || !hits.content.is_empty() || !hits.parts.is_empty() {
            found.result_bytes.insert(source, bytes as u64);
        }
        for (value, encoding) in hits.values {
            let found = &mut found.values[value as usize];
            found.results += 1;
            add_source(&self.index, &mut found.sources, Source { call: source, encoding });
        }
        for part in hits.parts.into_iter().filter(|part| self.index.views[part.view as usize].0 >= self.sinks_from) {
            let key = (part.view, part.hash);
            let known = |call: u32| (&self.index.calls[call as usize].known, call);
            let first = found.parts.entry(key).or_insert_with(|| (source, part.clone()));
            if known(source) < known(first.0) {
                *first = (source, part);
            }
            // By key, so that the order of reading does not matter.
            if found.parts.len() > PARTS {
                found.parts.pop_last();
            }
        }
        for content in hits.content.into_iter().filter(|content| content.sink >= self.sinks_from) {
            let known = found.contents.entry(content.sink).or_default();
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
    pub fn prompt(&self, at: &Moment, text: &str, scratch: &mut Scratch) {
        let hits = self.index.scan(text, scratch, &|sink| is_said_before(at, &self.index.calls[sink as usize].asked));
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.has_prompts = true;
        found.read.request(at, text);
        for (value, _) in hits.values {
            let first = &mut found.values[value as usize].asked_for;
            if first.as_ref().is_none_or(|first| at < first) {
                *first = Some(at.clone());
            }
        }
        for part in hits.parts {
            let first = found.parts_asked_for.entry((part.view, part.hash)).or_insert_with(|| at.clone());
            if *at < *first {
                *first = at.clone();
            }
        }
        for content in hits.content {
            let said = found.said.entry(content.sink).or_default();
            *said = (*said).max(content.bytes);
        }
    }

    /// Bytes of what is kept of the arguments, about.
    pub fn kept_bytes(&self) -> usize {
        self.index.kept_bytes()
    }

    /// The session's flows, by sink, source, kind and place.
    pub fn finish(self) -> Vec<Flow> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let mut flows = self.value_flows(&found);
        self.part_flows(&found, &mut flows);
        for (sink, contents) in &found.contents {
            for (source, content) in contents {
                let earlier = |(other, theirs): &(u32, Content)| {
                    theirs.bytes * 2 >= content.bytes
                        && self.index.calls[*other as usize].known.is_before(&self.index.calls[*source as usize].known)
                };
                let said = found.said.get(sink).copied().unwrap_or_default();
                flows.push(Flow {
                    encoding: Some(content.encoding),
                    sink_path: Some(self.index.views[content.view as usize].1.path.to_string()),
                    first_origin: !content.is_old && !contents.iter().any(earlier),
                    user_named: found.has_prompts.then_some(said * 2 >= content.bytes),
                    value_hash: Some(format!("{:016x}", content.least)),
                    ..self.flow(&found, Kind::Content, *source, *sink, content.bytes)
                });
            }
        }
        // Calls that do something, and where the values that they share with results came from.
        let mut pairs = BTreeSet::new();
        let mut near: HashMap<u32, HashSet<&str>> = HashMap::new();
        let values: Vec<(Text, Text, String)> = flows
            .iter()
            .filter_map(|flow| Some((flow.sink.call_id.clone(), flow.source.call_id.clone(), flow.value.clone()?)))
            .collect();
        for (sink, source, value) in &values {
            if let Some((sink, source)) = self.index.position(sink).zip(self.index.position(source))
                && has_effect(&self.index.calls[sink as usize])
            {
                pairs.insert((sink, source));
                near.entry(source).or_default().insert(value);
            }
        }
        found.read.obeyed(&self.index.calls, &pairs, &near, is_said_before, |sink, order, is_named| {
            let bytes = order.shared.iter().map(|value| value.len() as u64).sum();
            flows.push(Flow {
                first_origin: order.new_coverage > 0.0 || order.new_identifiers > 0,
                user_named: found.has_prompts.then_some(is_named),
                value_hash: Some(format!("{:016x}", hash_bytes(order.sentence.as_bytes()))),
                score: Some(order.score),
                sentence: Some(order.sentence),
                ..self.flow(&found, Kind::Directive, order.source as u32, sink, bytes)
            });
        });
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

    fn value_flows(&self, all: &Found) -> Vec<Flow> {
        let mut flows = Vec::new();
        // Of each pair of calls, the values with the places that they take.
        let mut pairs: BTreeMap<(u32, u32), Vec<Taken>> = BTreeMap::new();
        for (at, (value, found)) in self.index.values.iter().zip(&all.values).enumerate() {
            let is_background = found.results as usize >= BACKGROUND && found.results as usize * 2 > all.results;
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
                    if place.call == source.call || place.call < self.sinks_from || !known.is_before(&sink.asked) {
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
                // In groups and without them it is one value.
                let is_other_reading = |known: &Use| {
                    let (_, of) = &self.index.views[known.view as usize];
                    let text = value::core(&of.text, &of.words, &(known.from as usize..known.until as usize));
                    known.view != place.view
                        && of.path == view.path
                        && text.is_some_and(|text| is_same_run(text, &value.text))
                };
                if view.encoding == Encoding::Whitespace && taken.iter().any(is_other_reading) {
                    continue;
                }
                taken.push(place);
                let found = &all.values[at];
                let asked = &self.index.calls[sink as usize].asked;
                let text = if value.is_secret { format!("[{}]", value.text) } else { value.text.to_string() };
                let kind = if value.is_secret { Kind::Secret } else { Kind::Value };
                flows.push(Flow {
                    encoding: Some(view.encoding.over(encoding)),
                    sink_path: Some(view.path.to_string()),
                    first_origin,
                    user_named: all
                        .has_prompts
                        .then(|| found.asked_for.as_ref().is_some_and(|first| is_said_before(first, asked))),
                    value: Some(text),
                    value_hash: Some(format!("{:016x}", value.hash)),
                    ..self.flow(all, kind, source, sink, value.text.len() as u64)
                });
            }
        }
        flows
    }

    /// Values that stand inside longer words of arguments.
    fn part_flows(&self, all: &Found, flows: &mut Vec<Flow>) {
        let told: HashSet<(Text, String, String)> = flows
            .iter()
            .filter(|_| !all.parts.is_empty())
            .filter_map(|flow| {
                Some((flow.sink.call_id.clone(), flow.sink_path.clone()?, flow.value.as_ref()?.to_lowercase()))
            })
            .collect();
        for (key, (source, part)) in &all.parts {
            let (sink, view) = &self.index.views[part.view as usize];
            let known = &self.index.calls[*source as usize].known;
            let call_id = &self.index.calls[*sink as usize].call_id;
            let name = (call_id.clone(), view.path.to_string(), part.text.to_lowercase());
            if self.index.is_said_before(part.hash, known) || told.contains(&name) {
                continue;
            }
            let asked = &self.index.calls[*sink as usize].asked;
            let named = || all.parts_asked_for.get(key).is_some_and(|first| is_said_before(first, asked));
            flows.push(Flow {
                encoding: Some(view.encoding.over(Encoding::Concatenated)),
                sink_path: Some(view.path.to_string()),
                first_origin: true,
                user_named: all.has_prompts.then(named),
                value: Some(part.text.clone()),
                value_hash: Some(format!("{:016x}", part.hash)),
                ..self.flow(all, Kind::Value, *source, *sink, part.text.len() as u64)
            });
        }
    }

    /// The columns that every kind has.
    fn flow(&self, found: &Found, kind: Kind, source: u32, sink: u32, bytes: u64) -> Flow {
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
            source_share: share(found.result_bytes.get(&source).copied().unwrap_or_default()),
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

/// Whether two values have the same letters and digits in a row.
fn is_same_run(a: &str, b: &str) -> bool {
    let letters =
        |text: &str| text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    letters(a) == letters(b)
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
