//! Rows out of the lake as scoring and learning see them: requests, calls with their results, and what is known of tools.

use crate::call::{Bits, Capability, Outcome, PayloadState};
use crate::lineage::directive::{Idf, ToolText, Verbs};
use crate::query::{QueryError, Session};
use arrow::array::{Array as _, AsArray as _, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Int64Type};
use futures::StreamExt as _;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Tools whose words are kept.
const MAX_TOOLS: usize = 10_000;
/// Which rows are calls that an agent made.
pub(super) const CALLS: &str =
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

/// Rows with their columns at hand.
pub(super) struct Columns {
    texts: Vec<StringArray>,
    numbers: Vec<Int64Array>,
}

impl Columns {
    pub(super) fn of(batch: &RecordBatch) -> Result<Self, QueryError> {
        Ok(Self { texts: texts(batch, &TEXTS)?, numbers: integers(batch, &NUMBERS)? })
    }

    pub(super) fn session_ids(&self) -> &StringArray {
        &self.texts[0]
    }

    /// Some of the rows, on their own: nothing else is kept in memory by them.
    pub(super) fn rows(&self, places: &[u32], tools: &mut Tools) -> Result<Vec<Row>, QueryError> {
        let places = UInt32Array::from(places.to_vec());
        let text = |column: &StringArray| Ok::<_, QueryError>(take(column, &places, None)?.as_string::<i32>().clone());
        let number =
            |column: &Int64Array| Ok::<_, QueryError>(take(column, &places, None)?.as_primitive::<Int64Type>().clone());
        let columns = Arc::new(Self {
            texts: self.texts.iter().map(text).collect::<Result<_, _>>()?,
            numbers: self.numbers.iter().map(number).collect::<Result<_, _>>()?,
        });
        Ok((0..places.len())
            .map(|at| {
                let mut row = Row { columns: Arc::clone(&columns), at, tool: None, name: "".into() };
                if !row.is_request() {
                    let name = row.text(5).unwrap_or_default();
                    let (tool, name) = (tools.get(row.server(), name), tools.name(name));
                    (row.tool, row.name) = (Some(tool), name);
                }
                row
            })
            .collect())
    }
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
    pub(super) fn order(&self) -> (Option<i64>, Option<i64>, bool, Option<i64>, &str) {
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
