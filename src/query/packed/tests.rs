//! Packed rows are the rows of the table.

use super::*;
use arrow::array::{ListBuilder, StringBuilder, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::datasource::MemTable;
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use datafusion::prelude::{SessionConfig, SessionContext};

/// More distinct sessions than keys, rows without a server, lists that are NULL or empty, and pieces that do not fit batches.
fn table() -> Arc<MemTable> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
    let schema = Arc::new(Schema::new(vec![
        Field::new("call_id", DataType::Utf8View, true),
        Field::new("time", time, true),
        Field::new("session_id", DataType::Utf8View, true),
        Field::new("server", DataType::Utf8View, true),
        Field::new("origin", DataType::Utf8View, true),
        Field::new("capabilities", list, true),
        Field::new("result", DataType::Utf8View, true),
        Field::new("agent", DataType::Utf8View, true),
        Field::new("digest", DataType::Utf8View, true),
    ]));
    let text = |rows: std::ops::Range<i64>, of: &dyn Fn(i64) -> Option<String>| {
        Arc::new(StringViewArray::from_iter(rows.map(of))) as ArrayRef
    };
    let batches = [0..5000, 5000..5001, 5001..5001, 5001..90_000i64].map(|rows| {
        let mut lists = ListBuilder::new(StringBuilder::new());
        for row in rows.clone() {
            match row % 4 {
                0 => lists.append_null(),
                1 => lists.append(true),
                two => {
                    lists.values().append_value(format!("capability {two}"));
                    lists.append(true);
                }
            }
        }
        RecordBatch::try_new(
            Arc::clone(&schema),
            vec![
                text(rows.clone(), &|row| Some(format!("{row:032x}"))),
                Arc::new(
                    TimestampMicrosecondArray::from_iter(rows.clone().map(|row| (row % 7 > 0).then_some(row)))
                        .with_timezone("UTC"),
                ),
                text(rows.clone(), &|row| Some(format!("session of some length {}", row % 80_000))),
                text(rows.clone(), &|row| (row % 5 > 0).then(|| format!("server {}", row % 11))),
                text(rows.clone(), &|row| Some(if row % 3 == 0 { "argument" } else { "result" }.to_owned())),
                Arc::new(lists.finish()),
                text(rows.clone(), &|row| Some(format!("result {row}"))),
                text(rows.clone(), &|_| Some("the only agent".to_owned())),
                // Digests, and in a later piece something else.
                text(rows, &|row| {
                    (row % 9 > 0).then(|| {
                        if row == 80_123 { "no digest".to_owned() } else { format!("{:064x}", row * 0x0123_4567) }
                    })
                }),
            ],
        )
        .unwrap()
    });
    Arc::new(MemTable::try_new(schema, vec![batches.to_vec()]).unwrap())
}

fn memory() -> Arc<dyn MemoryPool> {
    Arc::new(UnboundedMemoryPool::default())
}

async fn answer(table: Arc<dyn TableProvider>, sql: &str) -> (String, String) {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3));
    context.register_table("t", table).unwrap();
    let frame = context.sql(sql).await.unwrap();
    let plan = frame.clone().create_physical_plan().await.unwrap();
    let plan = datafusion::physical_plan::displayable(plan.as_ref()).indent(true).to_string();
    let rows = frame.collect().await.unwrap();
    (arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string(), plan)
}

#[tokio::test]
async fn what_is_packed_answers_as_the_table_does() {
    let columns = &["call_id", "time", "session_id", "server", "origin", "capabilities", "agent", "digest"];
    let all = Part { table: "t", columns, only: None, optional: None, share: 100 };
    let only = Part { only: Some(("origin", "argument")), ..all };
    // A megabyte and a half, with the ids four megabytes more.
    let columns = &["call_id", "time", "server", "capabilities"];
    let tight = Part { columns, optional: Some("call_id"), ..all };
    for (part, room, packed, sql) in [
        (
            all,
            ROOM,
            true,
            "SELECT call_id, time, session_id, server, capabilities FROM t WHERE server = 'server 3' ORDER BY call_id LIMIT 50",
        ),
        (
            all,
            ROOM,
            true,
            "SELECT server, count(*), count(time), min(time), count(DISTINCT session_id), count(capabilities) FROM t GROUP BY server ORDER BY server",
        ),
        (all, ROOM, true, "SELECT count(*), count(server) FROM t"),
        (all, ROOM, true, "SELECT count(*) FROM t a JOIN t b ON a.session_id = b.session_id AND a.call_id < b.call_id"),
        (all, ROOM, false, "SELECT min(result) FROM t WHERE server = 'server 3'"),
        (all, 1000, false, "SELECT count(*) FROM t WHERE server = 'server 3'"),
        (tight, 3 << 20, true, "SELECT server, count(*), min(time) FROM t GROUP BY server ORDER BY server"),
        (tight, 3 << 20, false, "SELECT max(call_id) FROM t"),
        (
            only,
            ROOM,
            true,
            "SELECT server, count(*), max(call_id) FROM t WHERE origin = 'argument' AND server < 'server 5' GROUP BY server ORDER BY server",
        ),
        // Conditions on keys and on others, alone and together, on NULL, on all rows and on none.
        (
            all,
            ROOM,
            true,
            "SELECT count(*), min(call_id), max(time) FROM t WHERE server IN ('server 2', 'server 7') AND origin = 'result' AND time > TIMESTAMP '1970-01-01T00:00:00.04Z'",
        ),
        (all, ROOM, true, "SELECT count(*), max(session_id) FROM t WHERE server IS NULL AND session_id LIKE '%77%'"),
        (
            all,
            ROOM,
            true,
            "SELECT count(*), max(call_id) FROM t WHERE array_has(capabilities, 'capability 3') IS NOT TRUE",
        ),
        (all, ROOM, true, "SELECT call_id FROM t WHERE server = 'server 12'"),
        (all, ROOM, true, "SELECT count(*), min(call_id) FROM t WHERE origin <> 'neither'"),
        (
            all,
            ROOM,
            true,
            "SELECT call_id, server FROM t WHERE server < origin ORDER BY time DESC NULLS LAST, call_id LIMIT 20",
        ),
        // A column with one value, and digests, of many rows and of few.
        (
            all,
            ROOM,
            true,
            "SELECT agent, server FROM t WHERE agent = 'the only agent' AND call_id LIKE '%00ff' ORDER BY server",
        ),
        (all, ROOM, true, "SELECT count(*) FROM t WHERE agent <> 'the only agent' OR agent IS NULL"),
        (all, ROOM, true, "SELECT count(*), count(digest), min(digest), max(digest) FROM t"),
        (all, ROOM, true, "SELECT call_id, digest FROM t WHERE call_id LIKE '%00ff' ORDER BY call_id"),
        (all, ROOM, true, "SELECT count(*), max(digest) FROM t WHERE digest LIKE '%d%' AND server = 'server 3'"),
        // A join tells the other side what it looks for.
        (
            all,
            ROOM,
            true,
            "SELECT b.server, count(*), max(b.call_id) FROM (SELECT DISTINCT session_id FROM t WHERE call_id LIKE '%00ff') a JOIN t b ON a.session_id = b.session_id GROUP BY b.server ORDER BY b.server",
        ),
        (only, ROOM, false, "SELECT origin, count(*) FROM t GROUP BY origin ORDER BY origin"),
        (only, ROOM, false, "SELECT count(*) FROM t WHERE origin = 'argument' OR server = 'server 1'"),
    ] {
        let (expected, _) = answer(table(), sql).await;
        let (found, plan) = answer(Arc::new(PackedTable::new(table(), [(part, room)], &memory())), sql).await;
        assert_eq!(plan.contains("PackedExec"), packed, "{sql}\n{plan}");
        assert_eq!(found, expected, "{sql}");
    }
}
