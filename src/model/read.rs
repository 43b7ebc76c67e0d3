//! Sessions out of the lake, scored on their way: one pass in the order of sessions and time, one session in memory.

use super::features::SessionWatch;
use super::forest::Forest;
use super::planted::{RawCall, Sample};
use super::score::{Reason, explain, reasons, score};
use crate::call::{Bits, Capability};
use crate::lineage::directive::{Idf, ToolText, Verbs};
use crate::query::{QueryError, Session};
use arrow::array::{Array as _, AsArray as _, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use futures::StreamExt as _;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::rc::Rc;

/// Calls with a lower score are not worth a row.
const LEAST: f64 = 0.1;
/// Calls of one session that are kept, the worst.
const MAX_CALLS: usize = 50;
/// Results that wait for their time, in number and bytes; beyond, they are read early.
const MAX_WAITING: usize = 256;
const MAX_WAITING_BYTES: usize = 32 << 20;
/// Tools whose words are kept.
const MAX_TOOLS: usize = 10_000;

/// Requests, calls and results of all sessions, in order.
const ROWS: &str = "\
SELECT session_id, id, time, time_end, kind, agent, server, tool, text, result, capabilities FROM (
    SELECT session_id, call_id AS id, CAST(time AS BIGINT) AS time, CAST(coalesce(time_end, time) AS BIGINT) AS time_end, 1 AS kind,
        coalesce(agent, client_name) AS agent, server, tool, arguments AS text, result_text AS result,
        array_to_string(capabilities, ' ') AS capabilities, source_offset AS place
    FROM calls
    WHERE event_kind = 'call' AND method IN ('tools/call', 'resources/read', 'prompts/get') AND session_id IS NOT NULL
    UNION ALL
    SELECT session_id, prompt_id, CAST(time AS BIGINT), CAST(time AS BIGINT), 0,
        coalesce(agent, client_name), NULL, NULL, text, NULL, NULL, 0
    FROM prompts WHERE session_id IS NOT NULL
) ORDER BY session_id, time NULLS FIRST, kind, place, id";

/// What is known of the tools: for each name the longest description, whoever offered it.
const TOOLS: &str = "\
SELECT server, tool, first_value(description ORDER BY length(description) DESC, description) AS description,
    first_value(input_schema ORDER BY length(input_schema) DESC, input_schema) AS input_schema
FROM tools WHERE tool IS NOT NULL GROUP BY server, tool ORDER BY server, tool LIMIT 10000";

/// One call with its score.
#[derive(Clone, Debug)]
pub struct ScoredCall {
    pub call_id: String,
    /// Number of the call in its session, from 1.
    pub number: usize,
    pub tool: String,
    pub time: Option<i64>,
    pub score: f64,
    pub reasons: Vec<Reason>,
    pub message: String,
}

/// One session with its score, which is that of its worst call, and the calls to blame, the worst first.
#[derive(Clone, Debug)]
pub struct ScoredSession {
    pub session_id: String,
    pub agent: Option<String>,
    /// Its first call, in microseconds since the epoch.
    pub time: Option<i64>,
    pub calls: usize,
    pub score: f64,
    pub worst: Vec<ScoredCall>,
}

/// What one pass over the lake gave.
#[derive(Clone, Debug, Default)]
pub struct Scored {
    pub sessions: Vec<ScoredSession>,
    pub calls: u64,
    /// Sessions whose log has requests of the user.
    pub with_requests: u64,
    /// First and last time of the calls, in microseconds.
    pub times: Option<(i64, i64)>,
}

/// What a lake says of its tools.
#[derive(Default)]
pub struct Tools {
    known: HashMap<(Option<String>, String), Rc<ToolText>>,
    names: BTreeMap<String, Rc<str>>,
    /// Verbs that count as orders because tools are named by them.
    pub verbs: Verbs,
}

impl Tools {
    /// Reads the definitions.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub async fn read(session: &Session) -> Result<Self, QueryError> {
        let mut tools = Self::default();
        for batch in session.collect(TOOLS).await? {
            let columns = texts(&batch, &["server", "tool", "description", "input_schema"])?;
            for row in 0..batch.num_rows() {
                let at = |column: usize| columns[column].is_valid(row).then(|| columns[column].value(row));
                let Some(name) = at(1) else { continue };
                tools.verbs.add_tool(name);
                tools.known.insert(key(at(0), name), Rc::new(ToolText::new(name, at(2), at(3), Idf::builtin())));
            }
        }
        Ok(tools)
    }
}

/// Scores every session that the query session sees; a sample, if there is one, is offered each of them but those left out.
///
/// # Errors
/// The lake cannot be read.
pub async fn score_lake(
    session: &Session,
    tools: &mut Tools,
    forest: Option<&Forest>,
    mut sample: Option<(&mut Sample, &HashSet<String>)>,
) -> Result<Scored, QueryError> {
    let verbs = tools.verbs.clone();
    let mut scored = Scored::default();
    let mut open: Option<Open<'_>> = None;
    let mut rows = session.sql(ROWS).await?;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let text = texts(&batch, &["session_id", "id", "agent", "server", "tool", "text", "result", "capabilities"])?;
        let numbers = integers(&batch, &["time", "time_end", "kind"])?;
        for row in 0..batch.num_rows() {
            let at = |column: usize| text[column].is_valid(row).then(|| text[column].value(row));
            let number = |column: usize| numbers[column].is_valid(row).then(|| numbers[column].value(row));
            let Some(id) = at(0) else { continue };
            if open.as_ref().is_none_or(|open| open.session.session_id != id) {
                scored.close(open.take(), &mut sample);
                let keeps = sample.as_ref().is_some_and(|(_, without)| !without.contains(id));
                open = Some(Open::new(id, &verbs, forest, keeps));
            }
            let Some(open) = &mut open else { continue };
            let entry = Entry {
                id: at(1).unwrap_or_default(),
                agent: at(2),
                server: at(3),
                tool: at(4).unwrap_or_default(),
                text: at(5).unwrap_or_default(),
                result: at(6),
                capabilities: at(7).map_or_else(Bits::default, capabilities),
                time: number(0),
                time_end: number(1),
            };
            if number(2) == Some(0) { open.request(&entry) } else { open.call(&entry, tools) }
        }
    }
    scored.close(open, &mut sample);
    Ok(scored)
}

impl Scored {
    fn close(&mut self, open: Option<Open<'_>>, sample: &mut Option<(&mut Sample, &HashSet<String>)>) {
        let Some(mut open) = open else { return };
        open.rank();
        if let (Some(raw), Some((sample, _))) = (open.raw.take(), sample) {
            sample.offer(raw);
        }
        if open.session.calls == 0 {
            return;
        }
        self.calls += open.session.calls as u64;
        self.with_requests += u64::from(open.has_requests);
        for time in [open.session.time, open.last].into_iter().flatten() {
            let (first, last) = self.times.unwrap_or((time, time));
            self.times = Some((first.min(time), last.max(time)));
        }
        self.sessions.push(open.session);
    }
}

/// One row of the log.
struct Entry<'a> {
    id: &'a str,
    agent: Option<&'a str>,
    server: Option<&'a str>,
    tool: &'a str,
    text: &'a str,
    result: Option<&'a str>,
    capabilities: Bits,
    time: Option<i64>,
    time_end: Option<i64>,
}

/// The session that is being read.
struct Open<'a> {
    session: ScoredSession,
    watch: SessionWatch<'a>,
    has_requests: bool,
    last: Option<i64>,
    /// Names of the tools called so far, by number.
    names: Vec<Rc<str>>,
    waiting: BinaryHeap<Waiting>,
    waiting_bytes: usize,
    forest: Option<&'a Forest>,
    /// The session as it is, to learn from, while it is short enough.
    raw: Option<Vec<RawCall>>,
    raw_bytes: usize,
}

/// A result that has not arrived yet.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    /// The earliest first.
    at: std::cmp::Reverse<(i64, usize)>,
    text: String,
}

impl<'a> Open<'a> {
    fn new(id: &str, verbs: &'a Verbs, forest: Option<&'a Forest>, keeps: bool) -> Self {
        let session = ScoredSession {
            session_id: id.to_owned(),
            agent: None,
            time: None,
            calls: 0,
            score: 0.0,
            worst: Vec::new(),
        };
        Self {
            session,
            watch: SessionWatch::new(Idf::builtin(), verbs),
            has_requests: false,
            last: None,
            names: Vec::new(),
            waiting: BinaryHeap::new(),
            waiting_bytes: 0,
            forest,
            raw: keeps.then(Vec::new),
            raw_bytes: 0,
        }
    }

    fn request(&mut self, entry: &Entry<'_>) {
        self.has_requests = true;
        self.watch.request(entry.text);
        self.agent(entry.agent);
    }

    fn agent(&mut self, agent: Option<&str>) {
        if self.session.agent.is_none() {
            self.session.agent = agent.map(str::to_owned);
        }
    }

    fn call(&mut self, entry: &Entry<'_>, tools: &mut Tools) {
        self.agent(entry.agent);
        self.session.time = self.session.time.or(entry.time);
        self.last = entry.time.or(self.last);
        // A log without times has its order only: each result was there before the next call.
        self.arrived(entry.time.unwrap_or(i64::MAX));
        let tool = tools.get(entry.server, entry.tool);
        let (number, features) = self.watch.call(&tool, entry.text, entry.capabilities);
        self.session.calls += 1;
        let of_call = score(&features, self.forest);
        self.session.score = self.session.score.max(of_call);
        if of_call >= LEAST {
            let source = features
                .order
                .as_ref()
                .and_then(|order| self.names.get(order.source))
                .map_or("an earlier call", |name| name);
            self.session.worst.push(ScoredCall {
                call_id: entry.id.to_owned(),
                number: number + 1,
                tool: entry.tool.to_owned(),
                time: entry.time,
                score: of_call,
                reasons: reasons(&features, self.forest),
                message: explain(entry.tool, &features, source),
            });
            if self.session.worst.len() >= 2 * MAX_CALLS {
                self.rank();
            }
        }
        let name = tools.name(entry.tool);
        self.raw_bytes += entry.text.len() + entry.result.map_or(0, str::len);
        if !Sample::takes(number + 1, self.raw_bytes) {
            self.raw = None;
        } else if let Some(raw) = &mut self.raw {
            let (arguments, result) = (entry.text.to_owned(), entry.result.unwrap_or_default().to_owned());
            raw.push(RawCall { tool, name: Rc::clone(&name), arguments, result, capabilities: entry.capabilities });
        }
        self.names.push(name);
        if let Some(result) = entry.result.filter(|result| !result.is_empty()) {
            self.waiting_bytes += result.len();
            let at = std::cmp::Reverse((entry.time_end.unwrap_or(i64::MIN), number));
            self.waiting.push(Waiting { at, text: result.to_owned() });
            while self.waiting.len() > MAX_WAITING || self.waiting_bytes > MAX_WAITING_BYTES {
                self.next_arrives();
            }
        }
    }

    /// Reads the results that had arrived by a time.
    fn arrived(&mut self, by: i64) {
        while self.waiting.peek().is_some_and(|waiting| waiting.at.0.0 <= by) {
            self.next_arrives();
        }
    }

    fn next_arrives(&mut self) {
        if let Some(Waiting { at, text }) = self.waiting.pop() {
            self.waiting_bytes -= text.len();
            self.watch.result(at.0.1, &text);
        }
    }

    /// Keeps the worst calls; of equal ones the first.
    fn rank(&mut self) {
        self.session.worst.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.number.cmp(&b.number)));
        self.session.worst.truncate(MAX_CALLS);
    }
}

fn key(server: Option<&str>, tool: &str) -> (Option<String>, String) {
    (server.map(str::to_owned), tool.to_owned())
}

impl Tools {
    fn get(&mut self, server: Option<&str>, tool: &str) -> Rc<ToolText> {
        if let Some(known) = self.known.get(&key(server, tool)) {
            return Rc::clone(known);
        }
        let made = Rc::new(ToolText::new(tool, None, None, Idf::builtin()));
        if self.known.len() < MAX_TOOLS {
            self.known.insert(key(server, tool), Rc::clone(&made));
        }
        made
    }

    fn name(&mut self, tool: &str) -> Rc<str> {
        if let Some(known) = self.names.get(tool) {
            return Rc::clone(known);
        }
        let made: Rc<str> = tool.into();
        if self.names.len() < MAX_TOOLS {
            self.names.insert(tool.to_owned(), Rc::clone(&made));
        }
        made
    }
}

fn capabilities(names: &str) -> Bits {
    let mut bits = Bits::default();
    names.split(' ').filter_map(Capability::parse).for_each(|capability| bits.add(capability as u32));
    bits
}

fn column(batch: &RecordBatch, name: &str, kind: &DataType) -> Result<arrow::array::ArrayRef, QueryError> {
    let Some(column) = batch.column_by_name(name) else {
        return Err(QueryError::Execution(format!("the query gives no column `{name}`")));
    };
    Ok(cast(column, kind)?)
}

fn texts(batch: &RecordBatch, names: &[&str]) -> Result<Vec<StringArray>, QueryError> {
    names.iter().map(|name| Ok(column(batch, name, &DataType::Utf8)?.as_string::<i32>().clone())).collect()
}

fn integers(batch: &RecordBatch, names: &[&str]) -> Result<Vec<Int64Array>, QueryError> {
    names.iter().map(|name| Ok(column(batch, name, &DataType::Int64)?.as_primitive::<Int64Type>().clone())).collect()
}
