//! What is said to be separable gives, share by share, the rows of the whole; what brings sessions together is not said to be.

use super::*;
use crate::call::{Call, CallBatchBuilder, calls_schema};
use crate::query::{SessionOptions, TimeRange};
use arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use datafusion::datasource::MemTable;

/// Calls of a dozen sessions and of none, what they name, and what users said. Call 7 has changed its session since its observables were written, and
/// two sessions share a call that only observables know.
fn tables() -> Vec<(String, Arc<dyn TableProvider>)> {
    let session_of = |call: usize| (!call.is_multiple_of(13)).then(|| format!("session {}", call % 13));
    let mut builder = CallBatchBuilder::new("test", 0);
    for at in 0..200_usize {
        let session = if at == 7 { Some("renamed".to_owned()) } else { session_of(at) };
        builder.append(&Call {
            call_id: format!("call {at}").into(),
            session_id: session.map(Into::into),
            time: Some(at as i64 * 1_000_000),
            agent: Some(format!("agent {}", at % 3).into()),
            tool: (at % 5 > 0).then(|| format!("tool {}", at % 5).into()),
            ..Call::default()
        });
    }
    let calls = builder.finish().expect("a batch");
    let texts = |rows: Vec<Option<String>>| Arc::new(StringViewArray::from_iter(rows)) as ArrayRef;
    let named = (0..400_usize).map(|at| at / 2).chain([900, 900]).enumerate();
    let (mut ids, mut sessions, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for (row, call) in named {
        ids.push(Some(format!("call {call}")));
        sessions.push(if call == 900 { Some(format!("session {}", row % 2 + 1)) } else { session_of(call) });
        values.push(Some(format!("value {}", row % 17)));
    }
    let observables = RecordBatch::try_from_iter([
        ("call_id", texts(ids)),
        ("session_id", texts(sessions)),
        ("value", texts(values)),
    ]);
    let prompts = RecordBatch::try_from_iter([
        ("session_id", texts((0..20).map(session_of).collect())),
        ("text", texts((0..20).map(|at| Some(format!("please {at}"))).collect())),
    ]);
    let servers = RecordBatch::try_from_iter([("tool", texts((0..4).map(|at| Some(format!("tool {at}"))).collect()))]);
    let table = |schema, batch| {
        Arc::new(MemTable::try_new(schema, vec![vec![batch]]).expect("a table")) as Arc<dyn TableProvider>
    };
    let mut tables = vec![("calls".to_owned(), table(calls_schema(), calls))];
    for (name, batch) in [("observables", observables), ("prompts", prompts), ("offered", servers)] {
        let batch = batch.expect("a batch");
        tables.push((name.to_owned(), table(batch.schema(), batch)));
    }
    tables
}

async fn rows(session: &Session, sql: &str) -> Vec<String> {
    let running = session.run_rule(sql, ParamValues::Map(HashMap::new()), None, true).await.expect(sql);
    let batches: Vec<RecordBatch> = running.rows.try_collect().await.expect(sql);
    let lines = batches.iter().map(|batch| crate::query::output::json_lines(batch).expect("rows"));
    lines.flat_map(|lines| lines.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Joins, groups and windows of sessions and calls, in the ways in which rules write them.
const SEPARABLE: &[&str] = &[
    "SELECT call_id, tool FROM calls WHERE tool = 'tool 3'",
    "SELECT session_id, count(*) AS n, min(call_id) AS first FROM calls GROUP BY session_id",
    "SELECT a.call_id, count(b.call_id) AS n FROM calls a JOIN calls b ON b.session_id = a.session_id AND b.time < a.time GROUP BY a.call_id",
    "SELECT a.call_id, o.value FROM calls a LEFT JOIN observables o ON o.call_id = a.call_id AND o.value < 'value 3'",
    // What a group has one of, is of its session too.
    "WITH one AS (SELECT o.call_id, min(o.session_id) AS session_id, min(o.value) AS value FROM observables o GROUP BY o.call_id)
     SELECT one.value, c.call_id FROM one JOIN calls c ON c.session_id = one.session_id AND c.time > TIMESTAMP '1970-01-01T00:00:00Z'",
    "SELECT call_id, row_number() OVER (PARTITION BY session_id ORDER BY time) AS nth FROM calls",
    "SELECT DISTINCT session_id, tool FROM calls",
    "SELECT c.call_id, count(q.session_id) AS asked FROM calls c LEFT JOIN prompts q ON q.session_id = c.session_id GROUP BY c.call_id",
    "SELECT c.session_id, o.tool FROM calls c JOIN offered o ON o.tool = c.tool",
    "SELECT c.call_id, o.tool FROM calls c LEFT JOIN offered o ON o.tool = c.tool",
    "SELECT call_id FROM calls WHERE session_id IN (SELECT session_id FROM prompts)",
    "SELECT call_id FROM calls WHERE call_id NOT IN (SELECT call_id FROM observables WHERE value = 'value 3')",
    "SELECT call_id FROM calls WHERE tool NOT IN (SELECT tool FROM offered)",
    "SELECT session_id, call_id FROM (SELECT session_id, call_id FROM calls UNION ALL SELECT session_id, call_id FROM observables)",
    "SELECT session_id, count(*) AS n FROM (SELECT session_id, call_id FROM calls UNION ALL SELECT session_id, call_id FROM observables) GROUP BY session_id",
    "SELECT session_id, ev['id'] AS id, count(*) AS n FROM (SELECT session_id, unnest(make_array(named_struct('id', call_id))) AS ev FROM calls) GROUP BY session_id, ev['id']",
    "SELECT a.call_id, b.call_id AS other FROM calls a JOIN calls b ON (a.session_id IS NOT DISTINCT FROM b.session_id) AND a.tool = b.tool",
];

/// Things of which a share does not know all.
const TOGETHER: &[&str] = &[
    "SELECT count(*) AS n FROM calls",
    "SELECT agent, count(*) AS n FROM calls GROUP BY agent",
    "SELECT a.call_id, b.call_id AS other FROM calls a JOIN calls b ON a.agent = b.agent",
    "SELECT call_id, row_number() OVER (PARTITION BY agent ORDER BY time) AS nth FROM calls",
    "SELECT call_id, row_number() OVER (ORDER BY time) AS nth FROM calls",
    "SELECT session_id, row_number() OVER (PARTITION BY session_id ORDER BY time) AS a, count(*) OVER (PARTITION BY agent) AS b FROM calls",
    "SELECT DISTINCT agent FROM calls",
    "SELECT agent, tool FROM calls ORDER BY time LIMIT 3",
    "SELECT call_id FROM calls WHERE agent IN (SELECT agent FROM calls WHERE tool = 'tool 1')",
    "SELECT call_id FROM calls WHERE session_id NOT IN (SELECT session_id FROM prompts)",
    "SELECT call_id FROM calls WHERE time = (SELECT max(time) FROM calls)",
    "SELECT tool FROM offered WHERE tool NOT IN (SELECT tool FROM calls WHERE tool IS NOT NULL)",
    "SELECT o.tool, c.call_id FROM offered o LEFT JOIN calls c ON c.tool = o.tool",
    "SELECT tool FROM offered",
    "SELECT tool FROM offered UNION ALL SELECT tool FROM calls",
    // A session of the name of a call is not that call's.
    "SELECT a.call_id FROM calls a JOIN observables b ON a.session_id = b.call_id",
    // What an outer join leaves empty is in every share.
    "SELECT q.session_id, count(*) AS n FROM calls c LEFT JOIN prompts q ON q.session_id = c.session_id GROUP BY q.session_id",
    "SELECT call_id, min(session_id) FILTER (WHERE tool = 'tool 1') AS s FROM calls GROUP BY call_id, agent HAVING count(*) > (SELECT count(*) FROM prompts)",
    "SELECT s, count(*) AS n FROM (SELECT call_id, min(session_id) FILTER (WHERE tool = 'tool 1') AS s FROM calls GROUP BY call_id) GROUP BY s",
];

#[tokio::test]
async fn the_rows_of_all_shares_are_those_of_the_whole() {
    for threads in [1, 3] {
        let options = SessionOptions { threads: Some(threads), ..SessionOptions::default() };
        let session = Session::new(tables(), options).await.expect("a session");
        let whole = session.for_rule(TimeRange::default()).await.expect("a session");
        for sql in SEPARABLE {
            let params = ParamValues::Map(HashMap::new());
            let shares = session.shares(&whole, sql, &params, 3).await.expect(sql);
            assert_eq!(shares.len(), 3, "{sql}");
            let mut found = Vec::new();
            let mut sizes = Vec::new();
            for share in shares {
                let part = session.for_share(TimeRange::default(), Some(share)).await.expect("a session");
                let some = rows(&part, sql).await;
                sizes.push(some.len());
                found.extend(some);
            }
            let mut expected = rows(&whole, sql).await;
            assert!(expected.len() > 1 && sizes.iter().filter(|size| **size > 0).count() > 1, "{sizes:?} {sql}");
            expected.sort();
            found.sort();
            assert_eq!(found, expected, "{sql}");
        }
    }
}

#[tokio::test]
async fn what_brings_sessions_together_has_no_shares() {
    let session = Session::new(tables(), SessionOptions::default()).await.expect("a session");
    let whole = session.for_rule(TimeRange::default()).await.expect("a session");
    for sql in TOGETHER {
        rows(&whole, sql).await;
        let shares = session.shares(&whole, sql, &ParamValues::Map(HashMap::new()), 3).await.expect(sql);
        assert!(shares.is_empty(), "{sql}");
    }
}

#[tokio::test]
async fn sessions_that_share_a_call_stay_together() {
    let session = Session::new(tables(), SessionOptions::default()).await.expect("a session");
    let together = Together::of(&session).await.expect("rows").expect("all have ids");
    let root = |session: &str| together.root(digest(session));
    assert_eq!(root("renamed"), root("session 7"));
    assert_eq!(root("session 1"), root("session 2"));
    assert_ne!(root("session 1"), root("session 3"));
}
