//! Sessions out of the lake, whole and in the order of their time: what scoring and learning work on.
//!
//! One query gives requests, calls and results sorted by session; its batches are cut where a session ends and worked on on all cores, some thousand rows at a time.

use crate::call::{Bits, Capability, Outcome, PayloadState};
use crate::lineage::directive::{Idf, ToolText, Verbs};
use crate::query::{QueryError, Session};
use arrow::array::{Array as _, AsArray as _, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use futures::StreamExt as _;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Rows and bytes of payloads that are worked on together.
const MAX_ROWS: usize = 16_384;
const MAX_BYTES: usize = 64 << 20;
/// Tools whose words are kept.
const MAX_TOOLS: usize = 10_000;
/// Sessions that a query names one by one; of more, all are read and the others passed over.
const MAX_NAMED: usize = 1_000;

/// Which rows are calls that an agent made.
const CALLS: &str =
    "event_kind = 'call' AND method IN ('tools/call', 'resources/read', 'prompts/get') AND session_id IS NOT NULL";

/// What is known of the tools: for each name the longest description, whoever offered it.
const TOOLS: &str = "\
SELECT server, tool, first_value(description ORDER BY length(description) DESC, description) AS description,
    first_value(input_schema ORDER BY length(input_schema) DESC, input_schema) AS input_schema
FROM tools WHERE tool IS NOT NULL GROUP BY server, tool ORDER BY server, tool LIMIT 10000";

const TEXTS: [&str; 12] = [
    "session_id",
    "id",
    "agent",
    "client_name",
    "server",
    "tool",
    "text",
    "result",
    "capabilities",
    "outcome",
    "arguments_state",
    "result_state",
];
const NUMBERS: [&str; 5] = ["time", "time_end", "kind", "sent", "received"];

fn query(only: Option<&HashSet<String>>) -> String {
    let named = match only {
        Some(ids) if ids.len() <= MAX_NAMED => {
            let mut ids: Vec<String> = ids.iter().map(|id| format!("'{}'", id.replace('\'', "''"))).collect();
            ids.sort_unstable();
            format!(" AND session_id IN ({})", ids.join(","))
        }
        _ => String::new(),
    };
    format!(
        "SELECT * FROM (
    SELECT session_id, call_id AS id, CAST(time AS BIGINT) AS time, CAST(coalesce(time_end, time) AS BIGINT) AS time_end, 1 AS kind,
        agent, client_name, server, tool, arguments AS text, result_text AS result, array_to_string(capabilities, ' ') AS capabilities,
        outcome, arguments_state, result_state, arguments_bytes AS sent, result_bytes AS received, source_offset AS place
    FROM calls WHERE {CALLS}{named}
    UNION ALL
    SELECT session_id, prompt_id, CAST(time AS BIGINT), CAST(time AS BIGINT), 0, agent, client_name, NULL, NULL, text, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0
    FROM prompts WHERE session_id IS NOT NULL{named}
) ORDER BY session_id, time NULLS FIRST, kind, place, id"
    )
}

/// What a lake says of its tools.
#[derive(Default)]
pub struct Tools {
    known: HashMap<(Option<String>, String), Arc<ToolText>>,
    names: BTreeMap<String, Arc<str>>,
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
                tools.known.insert(key(at(0), name), Arc::new(ToolText::new(name, at(2), at(3), Idf::builtin())));
            }
        }
        Ok(tools)
    }

    fn get(&mut self, server: Option<&str>, tool: &str) -> Arc<ToolText> {
        if let Some(known) = self.known.get(&key(server, tool)) {
            return Arc::clone(known);
        }
        let made = Arc::new(ToolText::new(tool, None, None, Idf::builtin()));
        if self.known.len() < MAX_TOOLS {
            self.known.insert(key(server, tool), Arc::clone(&made));
        }
        made
    }

    fn name(&mut self, tool: &str) -> Arc<str> {
        if let Some(known) = self.names.get(tool) {
            return Arc::clone(known);
        }
        let made: Arc<str> = tool.into();
        if self.names.len() < MAX_TOOLS {
            self.names.insert(tool.to_owned(), Arc::clone(&made));
        }
        made
    }
}

/// A batch of rows with its columns at hand.
struct Columns {
    texts: Vec<StringArray>,
    numbers: Vec<Int64Array>,
}

/// One row of the log: a request of the user, or a call with its result.
pub(super) struct Row {
    columns: Arc<Columns>,
    at: usize,
    pub(super) tool: Option<Arc<ToolText>>,
    pub(super) name: Arc<str>,
}

impl Row {
    fn text(&self, column: usize) -> Option<&str> {
        let column = &self.columns.texts[column];
        column.is_valid(self.at).then(|| column.value(self.at))
    }
    fn number(&self, column: usize) -> Option<i64> {
        let column = &self.columns.numbers[column];
        column.is_valid(self.at).then(|| column.value(self.at))
    }
    pub(super) fn is_request(&self) -> bool {
        self.number(2) == Some(0)
    }
    pub(super) fn id(&self) -> &str {
        self.text(1).unwrap_or_default()
    }
    pub(super) fn agent(&self) -> Option<&str> {
        self.text(2).or_else(|| self.text(3))
    }
    pub(super) fn client(&self) -> Option<&str> {
        self.text(3)
    }
    pub(super) fn server(&self) -> Option<&str> {
        self.text(4)
    }
    /// Arguments of a call, or the request's text.
    pub(super) fn content(&self) -> &str {
        self.text(6).unwrap_or_default()
    }
    pub(super) fn result(&self) -> &str {
        self.text(7).unwrap_or_default()
    }
    pub(super) fn capabilities(&self) -> Bits {
        let mut bits = Bits::default();
        let names = self.text(8).unwrap_or_default();
        names.split(' ').filter_map(Capability::parse).for_each(|capability| bits.add(capability as u32));
        bits
    }
    pub(super) fn outcome(&self) -> Outcome {
        self.text(9).and_then(Outcome::parse).unwrap_or_default()
    }
    pub(super) fn states(&self) -> (PayloadState, PayloadState) {
        let of = |column| self.text(column).and_then(PayloadState::parse).unwrap_or_default();
        (of(10), of(11))
    }
    pub(super) fn time(&self) -> Option<i64> {
        self.number(0)
    }
    pub(super) fn time_end(&self) -> Option<i64> {
        self.number(1)
    }
    /// Bytes of arguments and of the result, if the log says.
    pub(super) fn bytes(&self) -> [Option<i64>; 2] {
        [3, 4].map(|column| self.number(column))
    }
}

/// A session as the lake has it.
pub(super) struct RawSession {
    pub(super) id: String,
    pub(super) rows: Vec<Row>,
}

/// Works on every session that the query session sees, or on those named; what comes out is handed on in the order of ids.
pub(super) async fn each_session<T: Send>(
    session: &Session,
    only: Option<&HashSet<String>>,
    tools: &mut Tools,
    work: impl Fn(&RawSession) -> T + Sync,
    mut take: impl FnMut(T),
) -> Result<(), QueryError> {
    let mut ready: Vec<RawSession> = Vec::new();
    let mut open: Option<RawSession> = None;
    let (mut waiting, mut bytes) = (0, 0);
    let mut stream = session.sql(&query(only)).await?;
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        let columns = Arc::new(Columns { texts: texts(&batch, &TEXTS)?, numbers: integers(&batch, &NUMBERS)? });
        drop(batch);
        for at in 0..columns.numbers[0].len() {
            let mut row = Row { columns: Arc::clone(&columns), at, tool: None, name: "".into() };
            let Some(id) = row.text(0) else { continue };
            if open.as_ref().is_none_or(|open| open.id != id) {
                let next = RawSession { id: id.to_owned(), rows: Vec::new() };
                ready.extend(open.replace(next).filter(|done| only.is_none_or(|only| only.contains(&done.id))));
            }
            if !row.is_request() {
                let name = row.text(5).unwrap_or_default();
                row.tool = Some(tools.get(row.server(), name));
                row.name = tools.name(row.text(5).unwrap_or_default());
            }
            waiting += 1;
            bytes += row.content().len() + row.result().len();
            if let Some(open) = &mut open {
                open.rows.push(row);
            }
        }
        if waiting >= MAX_ROWS || bytes >= MAX_BYTES {
            work_off(&mut ready, &work, &mut take);
            (waiting, bytes) = (0, 0);
        }
    }
    ready.extend(open.filter(|done| only.is_none_or(|only| only.contains(&done.id))));
    work_off(&mut ready, &work, &mut take);
    Ok(())
}

fn work_off<T: Send>(ready: &mut Vec<RawSession>, work: &(impl Fn(&RawSession) -> T + Sync), take: &mut impl FnMut(T)) {
    let done: Vec<T> = ready.par_iter().map(work).collect();
    ready.clear();
    done.into_iter().for_each(take);
}

/// Which rows each session with calls consists of, without their payloads: changes whenever one is added, completed or removed.
pub(super) async fn digests(session: &Session) -> Result<HashMap<String, u64>, QueryError> {
    let sql = format!(
        "SELECT session_id, call_id AS id, CAST(coalesce(time_end, time) AS BIGINT) AS time, result_bytes, outcome, result_state FROM calls WHERE {CALLS}
    UNION ALL SELECT session_id, prompt_id, CAST(time AS BIGINT), 0, NULL, NULL FROM prompts WHERE session_id IS NOT NULL"
    );
    // Requests alone are no session yet.
    let mut sums: HashMap<String, (u64, bool)> = HashMap::new();
    let mut stream = session.sql(&sql).await?;
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        let text = texts(&batch, &["session_id", "id", "outcome", "result_state"])?;
        let numbers = integers(&batch, &["time", "result_bytes"])?;
        for row in 0..batch.num_rows() {
            let at = |column: usize| if text[column].is_valid(row) { text[column].value(row) } else { "" };
            let number = |column: usize| if numbers[column].is_valid(row) { numbers[column].value(row) } else { -1 };
            let of_row = super::hash::name(&[at(1), at(2), at(3)]);
            let hash = super::hash::mix(of_row, super::hash::mix(number(0) as u64, number(1) as u64));
            let is_call = !at(2).is_empty();
            match sums.get_mut(at(0)) {
                Some((sum, calls)) => (*sum, *calls) = (sum.wrapping_add(hash), *calls || is_call),
                None => {
                    sums.insert(at(0).to_owned(), (hash, is_call));
                }
            }
        }
    }
    Ok(sums.into_iter().filter(|(_, (_, calls))| *calls).map(|(session, (sum, _))| (session, sum)).collect())
}

fn key(server: Option<&str>, tool: &str) -> (Option<String>, String) {
    (server.map(str::to_owned), tool.to_owned())
}

fn column(batch: &RecordBatch, name: &str, kind: &DataType) -> Result<arrow::array::ArrayRef, QueryError> {
    let Some(column) = batch.column_by_name(name) else {
        return Err(QueryError::Execution(format!("the query gives no column `{name}`")));
    };
    Ok(cast(column, kind)?)
}

pub(super) fn texts(batch: &RecordBatch, names: &[&str]) -> Result<Vec<StringArray>, QueryError> {
    names.iter().map(|name| Ok(column(batch, name, &DataType::Utf8)?.as_string::<i32>().clone())).collect()
}

pub(super) fn integers(batch: &RecordBatch, names: &[&str]) -> Result<Vec<Int64Array>, QueryError> {
    names.iter().map(|name| Ok(column(batch, name, &DataType::Int64)?.as_primitive::<Int64Type>().clone())).collect()
}
