//! Sessions out of the lake, whole and in the order of their time: what scoring and learning work on.
//!
//! All rows are read once, in whatever order they lie. A session is worked on when its last row has come; of those that are not whole yet so much is kept as fits a
//! bound. Sessions for which there is no room, and those that are larger than it, are read again afterwards, a few at a time. To sort all payloads of a lake by session
//! instead takes more memory than queries may have.

use super::rows::{CALLS, Columns, Row, Tools, integers, texts};
use crate::query::{QueryError, Session};
use arrow::array::Array as _;
use futures::StreamExt as _;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Bytes of rows of sessions that are not whole yet.
const MAX_PENDING: u64 = 160 << 20;
/// Bytes of rows of whole sessions that are worked on together, on all cores.
const MAX_READY: u64 = 32 << 20;
/// Rows and bytes of payloads of sessions that are read together a second time; one that has more is read alone.
const MAX_ROWS: u64 = 131_072;
const MAX_BYTES: u64 = 96 << 20;
/// Bytes that one payload counts for at most: more is not stored unless set otherwise.
const MAX_PAYLOAD: u64 = 64 << 10;
/// Bytes that a row takes without its payloads, about.
const ROW: u64 = 512;
/// Sessions that a query names one by one; of more, those between the first and the last are read and others passed over.
const MAX_NAMED: usize = 1_000;

/// A session as the lake has it.
pub(super) struct RawSession {
    pub(super) id: String,
    pub(super) rows: Vec<Row>,
}

/// Rows of a session, and bytes of payloads.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    rows: u64,
    bytes: u64,
}

impl Size {
    fn memory(self) -> u64 {
        self.bytes + self.rows * ROW
    }
}

/// The rows of some sessions; of all, if none are named.
fn query(ids: Option<&[&str]>) -> String {
    let quoted = |id: &&str| format!("'{}'", id.replace('\'', "''"));
    let which = match ids {
        None => "session_id IS NOT NULL".to_owned(),
        Some([first, .., last]) if ids.is_some_and(|ids| ids.len() > MAX_NAMED) => {
            format!("session_id BETWEEN {} AND {}", quoted(first), quoted(last))
        }
        Some(ids) => format!("session_id IN ({})", ids.iter().map(quoted).collect::<Vec<_>>().join(",")),
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
async fn sizes(session: &Session, only: Option<&HashSet<String>>) -> Result<BTreeMap<String, Size>, QueryError> {
    let sql = format!(
        "SELECT session_id, count(*) AS rows, CAST(sum(least(coalesce(arguments_bytes, 0), {MAX_PAYLOAD}) + least(coalesce(result_bytes, 0), {MAX_PAYLOAD})) AS BIGINT) AS bytes
    FROM calls WHERE {CALLS} GROUP BY session_id
    UNION ALL
    SELECT session_id, count(*), CAST(sum(length(text)) AS BIGINT) FROM prompts WHERE session_id IS NOT NULL GROUP BY session_id"
    );
    let mut sizes: BTreeMap<String, Size> = BTreeMap::new();
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
                size.rows += of(0).unwrap_or_default();
                size.bytes += of(1).unwrap_or_default();
            }
        }
    }
    Ok(sizes)
}

/// Sessions that are read together the second time, in the order of their ids.
fn parts(sizes: &BTreeMap<String, Size>) -> Vec<BTreeMap<String, Size>> {
    let mut parts: Vec<BTreeMap<String, Size>> = Vec::new();
    let mut whole = Size::default();
    for (id, size) in sizes {
        whole = Size { rows: whole.rows + size.rows, bytes: whole.bytes + size.bytes };
        match parts.last_mut().filter(|_| whole.rows <= MAX_ROWS && whole.bytes <= MAX_BYTES) {
            Some(part) => drop(part.insert(id.clone(), *size)),
            None => {
                parts.push(BTreeMap::from([(id.clone(), *size)]));
                whole = *size;
            }
        }
    }
    parts
}

/// Works on every session that the query session sees, or on those named, each once and in no order. Of more than `most_rows` rows the sessions with the last ids are
/// passed over; gives how many.
pub(super) async fn each_session<T: Send>(
    session: &Session,
    only: Option<&HashSet<String>>,
    most_rows: u64,
    tools: &mut Tools,
    work: impl Fn(&RawSession) -> T + Sync,
    mut take: impl FnMut(T),
) -> Result<u64, QueryError> {
    let mut sizes = sizes(session, only).await?;
    let mut rows = 0;
    let all = sizes.len();
    sizes.retain(|_, size| {
        rows += size.rows;
        rows <= most_rows
    });
    let passed_over = all - sizes.len();
    let is_whole_lake = only.is_none() && passed_over == 0;
    let again = read(session, sizes, is_whole_lake, MAX_PENDING, tools, &work, &mut take).await?;
    // None of a part is put off again.
    for part in parts(&again) {
        read(session, part, false, u64::MAX, tools, &work, &mut take).await?;
    }
    Ok(passed_over as u64)
}

/// A session of which some rows have come.
#[derive(Default)]
struct Pending {
    rows: Vec<Row>,
    bytes: u64,
}

/// Reads sessions and works on them; gives those for which there was no room.
async fn read<T: Send>(
    session: &Session,
    mut sizes: BTreeMap<String, Size>,
    is_whole_lake: bool,
    most_pending: u64,
    tools: &mut Tools,
    work: &(impl Fn(&RawSession) -> T + Sync),
    take: &mut impl FnMut(T),
) -> Result<BTreeMap<String, Size>, QueryError> {
    let mut again = BTreeMap::new();
    if most_pending < u64::MAX {
        again = sizes.extract_if(.., |_, size| size.memory() > most_pending / 2).collect();
    }
    if sizes.is_empty() {
        return Ok(again);
    }
    let ids: Vec<&str> = sizes.keys().map(String::as_str).collect();
    let sql = query((!is_whole_lake).then_some(&ids));
    let mut pending: HashMap<String, Pending> = HashMap::new();
    let mut pending_bytes = 0;
    let mut ready: Vec<RawSession> = Vec::new();
    let mut ready_bytes = 0;
    let mut stream = session.sql(&sql).await?;
    while let Some(batch) = stream.next().await {
        let columns = Columns::of(&batch?)?;
        let ids = columns.session_ids();
        let mut places: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for at in (0..ids.len()).filter(|at| ids.is_valid(*at) && sizes.contains_key(ids.value(*at))) {
            places.entry(ids.value(at)).or_default().push(at as u32);
        }
        for (id, places) in places {
            let rows = columns.rows(&places, tools)?;
            let bytes = rows.iter().map(|row| ROW + (row.content().len() + row.result().len()) as u64).sum::<u64>();
            let of_session = pending.entry(id.to_owned()).or_default();
            of_session.rows.extend(rows);
            of_session.bytes += bytes;
            pending_bytes += bytes;
            let is_whole = sizes.get(id).is_some_and(|size| of_session.rows.len() as u64 >= size.rows);
            if is_whole && let Some(whole) = pending.remove(id) {
                pending_bytes -= whole.bytes;
                ready_bytes += whole.bytes;
                ready.push(raw(id.to_owned(), whole.rows));
            }
        }
        if ready_bytes >= MAX_READY {
            work_off(&std::mem::take(&mut ready), work, take);
            ready_bytes = 0;
        }
        while pending_bytes > most_pending {
            // What has come of it takes the most room; its rows come once more.
            let largest = pending.iter().max_by_key(|(id, one)| (one.bytes, *id)).map(|(id, _)| id.clone());
            let Some(one) = largest.as_ref().and_then(|id| pending.remove(id)) else { break };
            pending_bytes -= one.bytes;
            again.extend(largest.and_then(|id| sizes.remove_entry(&id)));
        }
    }
    // None is left over while both queries see the same rows; if one is, what there is of it is worked on.
    ready.extend(pending.into_iter().map(|(id, one)| raw(id, one.rows)));
    work_off(&ready, work, take);
    Ok(again)
}

fn raw(id: String, mut rows: Vec<Row>) -> RawSession {
    rows.sort_by(|a, b| a.order().cmp(&b.order()));
    RawSession { id, rows }
}

fn work_off<T: Send>(ready: &[RawSession], work: &(impl Fn(&RawSession) -> T + Sync), take: &mut impl FnMut(T)) {
    let done: Vec<T> = ready.par_iter().map(work).collect();
    done.into_iter().for_each(take);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{Call, CallBatchBuilder, EventKind, calls_schema};
    use crate::lake::tables::table;
    use crate::query::SessionOptions;
    use datafusion::catalog::TableProvider;
    use datafusion::datasource::MemTable;
    use std::sync::Arc;

    /// Sessions whose calls lie among each other, in many batches.
    async fn session() -> Session {
        let batches = (0..40i64).map(|batch| {
            let mut builder = CallBatchBuilder::new("test", 0);
            for at in 0..500i64 {
                let number = batch * 500 + at;
                builder.append(&Call {
                    call_id: format!("c{number:05}").into(),
                    event_kind: EventKind::Call,
                    method: "tools/call".into(),
                    session_id: Some(format!("s{:02}", number * 7 % 23).into()),
                    time: Some((50_000 - number) * 1_000_000),
                    tool: Some("read".into()),
                    arguments: Some(format!("{{\"n\":{number}}}")),
                    arguments_bytes: Some(20),
                    result: Some("x".repeat(200)),
                    result_bytes: Some(200),
                    ..Call::default()
                });
            }
            builder.finish().expect("a batch")
        });
        let calls = MemTable::try_new(calls_schema(), vec![batches.collect()]).expect("a table");
        let prompts = table("prompts").expect("the table").schema();
        let prompts = MemTable::try_new(prompts, vec![Vec::new()]).expect("a table");
        let tables: Vec<(String, Arc<dyn TableProvider>)> =
            vec![("calls".to_owned(), Arc::new(calls)), ("prompts".to_owned(), Arc::new(prompts))];
        Session::new(tables, SessionOptions::default()).await.expect("a session")
    }

    /// The ids of each session's calls, and how many sessions had no room.
    async fn all(session: &Session, most_pending: u64) -> (Vec<(String, Vec<String>)>, usize) {
        let ids = |raw: &RawSession| (raw.id.clone(), raw.rows.iter().map(|row| row.id().to_owned()).collect());
        let mut found: Vec<(String, Vec<String>)> = Vec::new();
        let sizes = sizes(session, None).await.expect("sizes");
        let mut tools = Tools::default();
        let again = read(session, sizes, true, most_pending, &mut tools, &ids, &mut |one| found.push(one)).await;
        let again = again.expect("rows");
        for part in parts(&again) {
            read(session, part, false, u64::MAX, &mut tools, &ids, &mut |one| found.push(one)).await.expect("rows");
        }
        found.sort();
        (found, again.len())
    }

    #[tokio::test]
    async fn each_session_comes_once_and_in_order_however_little_room_there_is() {
        let session = session().await;
        let (expected, again) = all(&session, u64::MAX).await;
        assert_eq!((expected.len(), again), (23, 0));
        assert_eq!(expected.iter().map(|(_, calls)| calls.len()).sum::<usize>(), 20_000);
        // Later calls have earlier times.
        assert!(expected.iter().all(|(_, calls)| calls.is_sorted_by(|a, b| a > b)));
        for most_pending in [4 << 20, 1 << 20, 1] {
            let (found, again) = all(&session, most_pending).await;
            assert!(again > 0 && found == expected, "{most_pending}: {again} again");
        }
        let named = HashSet::from(["s03".to_owned(), "nobody".to_owned()]);
        let mut found = Vec::new();
        let mut tools = Tools::default();
        let work = |raw: &RawSession| (raw.id.clone(), raw.rows.len());
        let passed = each_session(&session, Some(&named), u64::MAX, &mut tools, work, |one| found.push(one)).await;
        assert_eq!((found, passed.expect("rows")), (vec![("s03".to_owned(), expected[3].1.len())], 0));
        let mut found = 0;
        let passed = each_session(&session, None, 2000, &mut tools, |raw| raw.rows.len(), |n| found += n).await;
        assert!(found <= 2000 && passed.expect("rows") == 21, "{found}");
    }

    #[test]
    fn what_is_read_again_is_read_together_up_to_a_bound_and_large_sessions_alone() {
        let sizes: BTreeMap<String, Size> = (0..3000)
            .map(|at| {
                let bytes = if at == 7 { 2 * MAX_BYTES } else { MAX_BYTES / 2000 };
                (format!("s{at:04}"), Size { rows: 100, bytes })
            })
            .collect();
        let parts = parts(&sizes);
        let ids: Vec<&String> = parts.iter().flat_map(BTreeMap::keys).collect();
        assert_eq!(ids, sizes.keys().collect::<Vec<_>>(), "each once, in order");
        assert!(parts.iter().any(|part| part.len() == 1 && part.contains_key("s0007")));
        for part in parts.iter().filter(|part| part.len() > 1) {
            let bytes: u64 = part.values().map(|size| size.bytes).sum();
            assert!(bytes <= MAX_BYTES && part.len() as u64 * 100 <= MAX_ROWS);
        }
    }
}
