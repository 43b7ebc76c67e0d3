//! Sessions out of the lake, whole and in the order of their time: what scoring and learning work on.
//!
//! Some sessions at a time are read with their requests, calls and results, as many as fit a bound of payload, and worked on on all cores. To sort all payloads of a lake
//! by session instead takes more memory than queries may have.

use crate::call::{Bits, Capability, Outcome, PayloadState};
use crate::lineage::directive::{Idf, ToolText, Verbs};
use crate::query::{QueryError, Session};
use arrow::array::{Array as _, AsArray as _, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Int64Type};
use futures::StreamExt as _;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Rows and bytes of payloads that are read and worked on together; a session that has more is read alone.
const MAX_ROWS: u64 = 131_072;
const MAX_BYTES: u64 = 96 << 20;
/// Bytes that one payload counts for at most: more is not stored unless set otherwise.
const MAX_PAYLOAD: u64 = 64 << 10;
/// Tools whose words are kept.
const MAX_TOOLS: usize = 10_000;
/// Sessions that a query names one by one; of more, those between the first and the last are read and others passed over.
const MAX_NAMED: usize = 1_000;

/// Which rows are calls that an agent made.
const CALLS: &str =
    "event_kind = 'call' AND method IN ('tools/call', 'resources/read', 'prompts/get') AND session_id IS NOT NULL";

/// Every definition of every tool. The longest texts are picked here: to sort definitions takes the memory of all their schemas.
const TOOLS: &str = "SELECT server, tool, description, input_schema FROM tools WHERE tool IS NOT NULL";

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
const NUMBERS: [&str; 6] = ["time", "time_end", "kind", "sent", "received", "place"];

/// The rows of some sessions, `ids` in order.
fn query(ids: &[String], named: bool) -> String {
    let quoted = |id: &String| format!("'{}'", id.replace('\'', "''"));
    let which = match ids {
        [first, .., last] if !named => format!("session_id BETWEEN {} AND {}", quoted(first), quoted(last)),
        ids => format!("session_id IN ({})", ids.iter().map(quoted).collect::<Vec<_>>().join(",")),
    };
    format!(
        "SELECT session_id, call_id AS id, CAST(time AS BIGINT) AS time, CAST(coalesce(time_end, time) AS BIGINT) AS time_end, 1 AS kind,
        agent, client_name, server, tool, arguments AS text, result_text AS result, array_to_string(capabilities, ' ') AS capabilities,
        outcome, arguments_state, result_state, arguments_bytes AS sent, result_bytes AS received, source_offset AS place
    FROM calls WHERE {CALLS} AND {which}
    UNION ALL
    SELECT session_id, prompt_id, CAST(time AS BIGINT), CAST(time AS BIGINT), 0, agent, client_name, NULL, NULL, text, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0
    FROM prompts WHERE {which}"
    )
}

/// How many rows and bytes of payload each session has, of those named if any are.
async fn sizes(session: &Session, only: Option<&HashSet<String>>) -> Result<BTreeMap<String, (u64, u64)>, QueryError> {
    let sql = format!(
        "SELECT session_id, count(*) AS rows, CAST(sum(least(coalesce(arguments_bytes, 0), {MAX_PAYLOAD}) + least(coalesce(result_bytes, 0), {MAX_PAYLOAD})) AS BIGINT) AS bytes
    FROM calls WHERE {CALLS} GROUP BY session_id
    UNION ALL
    SELECT session_id, count(*), CAST(sum(length(text)) AS BIGINT) FROM prompts WHERE session_id IS NOT NULL GROUP BY session_id"
    );
    let mut sizes: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut stream = session.sql(&sql).await?;
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        let (ids, numbers) = (texts(&batch, &["session_id"])?, integers(&batch, &["rows", "bytes"])?);
        for row in 0..batch.num_rows() {
            let id = ids[0].value(row);
            if only.is_none_or(|only| only.contains(id)) {
                let of =
                    |column: usize| numbers[column].is_valid(row).then(|| numbers[column].value(row).unsigned_abs());
                let size = sizes.entry(id.to_owned()).or_default();
                size.0 += of(0).unwrap_or_default();
                size.1 += of(1).unwrap_or_default();
            }
        }
    }
    Ok(sizes)
}

/// Sessions that are read together, in the order of their ids.
fn parts(sizes: BTreeMap<String, (u64, u64)>, named: bool) -> Vec<Vec<String>> {
    let mut parts: Vec<Vec<String>> = Vec::new();
    let (mut rows, mut bytes) = (0, 0);
    for (id, (of_rows, of_bytes)) in sizes {
        (rows, bytes) = (rows + of_rows, bytes + of_bytes);
        let fits = |part: &Vec<String>| rows <= MAX_ROWS && bytes <= MAX_BYTES && (!named || part.len() < MAX_NAMED);
        match parts.last_mut().filter(|part| fits(part)) {
            Some(part) => part.push(id),
            None => {
                parts.push(vec![id]);
                (rows, bytes) = (of_rows, of_bytes);
            }
        }
    }
    parts
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
        // For each name the longest description, whoever of its server offered it, and the longest schema.
        let mut longest: BTreeMap<(Option<String>, String), [Option<String>; 2]> = BTreeMap::new();
        let mut stream = session.sql(TOOLS).await?;
        while let Some(batch) = stream.next().await {
            let columns = texts(&batch?, &["server", "tool", "description", "input_schema"])?;
            for row in 0..columns[1].len() {
                let at = |column: usize| columns[column].is_valid(row).then(|| columns[column].value(row));
                let Some(name) = at(1) else { continue };
                let known = longest.entry(key(at(0), name)).or_default();
                for (known, text) in known.iter_mut().zip([at(2), at(3)]) {
                    let rank = |text: &str| (text.chars().count(), std::cmp::Reverse(text.to_owned()));
                    if let Some(text) = text
                        && known.as_deref().is_none_or(|known| rank(known) < rank(text))
                    {
                        *known = Some(text.to_owned());
                    }
                }
            }
        }
        let mut tools = Self::default();
        for ((server, name), [description, schema]) in longest.into_iter().take(MAX_TOOLS) {
            tools.verbs.add_tool(&name);
            let text = ToolText::new(&name, description.as_deref(), schema.as_deref(), Idf::builtin());
            tools.known.insert((server, name), Arc::new(text));
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
    /// Where the row stands in its session: by time, without one first, requests before calls.
    fn order(&self) -> (Option<i64>, Option<i64>, bool, Option<i64>, &str) {
        let place = self.number(5);
        (self.time(), self.number(2), place.is_none(), place, self.id())
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
    let named = only.is_some_and(|only| only.len() <= MAX_NAMED);
    for part in parts(sizes(session, only).await?, named) {
        let mut sessions: BTreeMap<&str, Vec<Row>> = part.iter().map(|id| (id.as_str(), Vec::new())).collect();
        let mut stream = session.sql(&query(&part, named)).await?;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            let ids = texts(&batch, &["session_id"])?.swap_remove(0);
            // Others between the first and the last take no memory.
            let wanted: BooleanArray =
                ids.iter().map(|id| Some(id.is_some_and(|id| sessions.contains_key(id)))).collect();
            let batch = filter_record_batch(&batch, &wanted)?;
            let columns = Arc::new(Columns { texts: texts(&batch, &TEXTS)?, numbers: integers(&batch, &NUMBERS)? });
            for at in 0..batch.num_rows() {
                let mut row = Row { columns: Arc::clone(&columns), at, tool: None, name: "".into() };
                let Some(rows) = row.text(0).and_then(|id| sessions.get_mut(id)) else { continue };
                if !row.is_request() {
                    let name = row.text(5).unwrap_or_default();
                    let (tool, name) = (tools.get(row.server(), name), tools.name(name));
                    (row.tool, row.name) = (Some(tool), name);
                }
                rows.push(row);
            }
        }
        let sorted = sessions.into_iter().map(|(id, mut rows)| {
            rows.sort_by(|a, b| a.order().cmp(&b.order()));
            RawSession { id: id.to_owned(), rows }
        });
        work_off(&sorted.collect::<Vec<_>>(), &work, &mut take);
    }
    Ok(())
}

fn work_off<T: Send>(ready: &[RawSession], work: &(impl Fn(&RawSession) -> T + Sync), take: &mut impl FnMut(T)) {
    let done: Vec<T> = ready.par_iter().map(work).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_read_together_up_to_a_bound_and_large_ones_alone() {
        let sizes: BTreeMap<String, (u64, u64)> = (0..3000)
            .map(|at| (format!("s{at:04}"), if at == 7 { (10, 2 * MAX_BYTES) } else { (100, MAX_BYTES / 2000) }))
            .collect();
        for named in [false, true] {
            let parts = parts(sizes.clone(), named);
            assert_eq!(parts.concat(), sizes.keys().cloned().collect::<Vec<_>>(), "each once, in order");
            assert!(parts.contains(&vec!["s0007".to_owned()]));
            for part in parts.iter().filter(|part| part.len() > 1) {
                let bytes: u64 = part.iter().map(|id| sizes[id].1).sum();
                assert!(
                    bytes <= MAX_BYTES && part.len() as u64 * 100 <= MAX_ROWS && !(named && part.len() > MAX_NAMED)
                );
            }
        }
    }
}
