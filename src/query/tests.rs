use super::*;
use crate::call::{Call, CallBatchBuilder, calls_schema};
use arrow::array::{AsArray as _, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Int64Type, Schema, TimeUnit};
use datafusion::datasource::MemTable;
use datafusion::physical_plan::displayable;
use futures::TryStreamExt as _;

fn calls(times: &[Option<i64>]) -> (String, Arc<dyn TableProvider>) {
    let mut builder = CallBatchBuilder::new("test", 0);
    for (at, time) in times.iter().enumerate() {
        let mut call = Call { time: time.map(|micros| micros * 1000), ..Call::default() };
        call.call_id = at.to_string().into();
        call.tool = Some("read".into());
        call.result = Some(r#"{"content":[{"type":"text","text":"hello"}]}"#.to_owned());
        builder.append(&call);
    }
    let batch = builder.finish().expect("a batch");
    ("calls".to_owned(), Arc::new(MemTable::try_new(calls_schema(), vec![vec![batch]]).expect("a table")))
}

async fn session(options: SessionOptions) -> Session {
    Session::new(vec![calls(&[Some(1_000_000), Some(2_000_000), None, Some(3_000_000)])], options)
        .await
        .expect("a session")
}

async fn number(session: &Session, sql: &str) -> i64 {
    let batches = session.collect(sql).await.expect(sql);
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

async fn refusal(session: &Session, sql: &str) -> String {
    match session.plan(sql, None).await {
        Ok(_) => panic!("accepted: {sql}"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn only_reading_is_allowed() {
    let session = session(SessionOptions::default()).await;
    for sql in [
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE TABLE x AS SELECT 1",
        "CREATE VIEW x AS SELECT 1",
        "DROP TABLE calls",
        "INSERT INTO calls SELECT * FROM calls",
        "DELETE FROM calls",
        "COPY calls TO '/tmp/x.parquet'",
        "COPY (SELECT 1) TO '/tmp/x.csv' STORED AS CSV",
        "SET datafusion.execution.batch_size = 1",
        "PREPARE p AS SELECT 1",
        "BEGIN TRANSACTION",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM \"file:///etc/passwd.csv\"",
        "SELECT 1; SELECT 2",
        "EXPLAIN ANALYZE INSERT INTO calls SELECT * FROM calls",
    ] {
        refusal(&session, sql).await;
    }
    for sql in ["SHOW TABLES", "DESCRIBE calls", "EXPLAIN SELECT * FROM calls", "SELECT now()"] {
        session.collect(sql).await.expect(sql);
    }
}

#[tokio::test]
async fn a_rule_has_no_clock_and_no_dice() {
    let session = session(SessionOptions::default()).await.for_rule(TimeRange::default()).await.expect("a session");
    for sql in [
        "SELECT now()",
        "SELECT current_timestamp",
        "SELECT current_date",
        "SELECT current_time",
        "SELECT random()",
        "SELECT uuid()",
    ] {
        let text = refusal(&session, sql).await;
        assert!(text.contains("not available in a rule"), "{sql}: {text}");
    }
    let state = session.context.state();
    let volatile =
        state.scalar_functions().values().filter(|f| f.signature().volatility != Volatility::Immutable).count();
    assert_eq!(volatile, 0);
}

#[tokio::test]
async fn the_range_limits_rows_with_a_time() {
    let all = session(SessionOptions::default()).await;
    assert_eq!(number(&all, "SELECT count(*) FROM calls").await, 4);
    for (since, until, expected) in
        [(Some(2_000_000), None, 3), (None, Some(2_000_000), 3), (Some(1_500_000), Some(2_500_000), 2)]
    {
        let limited = all.for_rule(TimeRange { since, until }).await.expect("a session");
        assert_eq!(number(&limited, "SELECT count(*) FROM calls").await, expected);
        assert_eq!(number(&limited, "SELECT count(*) FROM stored.calls").await, expected);
    }
}

/// A view computes `result_text`; nobody who does not ask for it may pay for it.
#[tokio::test]
async fn payloads_are_read_only_where_asked_for() {
    for range in [None, Some(TimeRange { since: Some(0), until: Some(5) })] {
        let session = session(SessionOptions { range, ..SessionOptions::default() }).await;
        for (sql, touches) in [
            ("SELECT count(*) FROM calls", false),
            ("SELECT tool FROM calls WHERE server = 'x'", false),
            ("SELECT tool FROM (SELECT * FROM calls) WHERE server = 'x'", false),
            ("SELECT result_text FROM calls", true),
        ] {
            let plan = session.plan(sql, None).await.expect(sql).create_physical_plan().await.expect(sql);
            let text = displayable(plan.as_ref()).indent(true).to_string();
            assert_eq!(text.contains("result_text(") || text.contains("arguments@"), touches, "{sql}\n{text}");
            let scan = plan_leaf(&plan);
            assert_eq!(scan.schema().column_with_name("result").is_some(), touches, "{sql}\n{text}");
        }
    }
}

fn plan_leaf(
    plan: &Arc<dyn datafusion::physical_plan::ExecutionPlan>,
) -> Arc<dyn datafusion::physical_plan::ExecutionPlan> {
    match plan.children().first() {
        Some(child) => plan_leaf(child),
        None => Arc::clone(plan),
    }
}

#[tokio::test]
async fn json_operators_give_text() {
    let session = session(SessionOptions::default()).await;
    let batches = session
        .collect("SELECT result->'content'->0->'text', result->'content' AS c FROM calls LIMIT 1")
        .await
        .expect("runs");
    assert!(batches[0].schema().fields().iter().all(|f| f.data_type() == &DataType::Utf8View));
}

#[tokio::test]
async fn parameters_are_values_not_text() {
    let session = session(SessionOptions::default()).await;
    let params =
        ParamValues::Map([("tool".to_owned(), datafusion::common::ScalarValue::from("read' OR '1'='1").into())].into());
    let rows = session
        .plan("SELECT * FROM calls WHERE tool = $tool", Some(params))
        .await
        .expect("plans")
        .count()
        .await
        .expect("runs");
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn errors_name_what_is_wrong() {
    let session = session(SessionOptions::default()).await;
    let text = refusal(&session, "SELECT toool FROM calls").await;
    assert!(text.contains("toool") && text.len() < 400, "{text}");
    assert!(refusal(&session, "SELEC 1").await.contains("SELEC"));
    let text = refusal(&session, "SELECT * FROM nothing").await;
    assert!(text.contains("nothing"), "{text}");
    let text = refusal(&session, "SELECT entropi('a')").await;
    assert!(text.contains("entropy"), "{text}");
}

#[tokio::test]
async fn too_much_memory_is_an_error_that_says_so() {
    let options = SessionOptions { memory_limit: Some(1 << 20), threads: Some(2), ..SessionOptions::default() };
    let session = Session::new(Vec::new(), options).await.expect("a session");
    let error = session.collect("SELECT array_agg(value) FROM range(1, 5000000)").await.expect_err("too large");
    assert!(matches!(error, QueryError::Memory(_)), "{error:?}");
    // A sort spills instead.
    assert_eq!(
        number(&session, "SELECT count(*) FROM (SELECT value FROM range(1, 300000) ORDER BY value % 1000)").await,
        299_999
    );
}

#[tokio::test]
async fn any_text_layout_will_do() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("time", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("url", DataType::Utf8, true),
    ]));
    let batch = RecordBatch::try_new(
        schema.clone(),
        vec![
            Arc::new(TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC")),
            Arc::new(StringArray::from(vec!["http://a.example/"])),
        ],
    )
    .expect("a batch");
    let table: Arc<dyn TableProvider> = Arc::new(MemTable::try_new(schema, vec![vec![batch]]).expect("a table"));
    let session = Session::new(vec![("t".to_owned(), table)], SessionOptions::default()).await.expect("a session");
    for layout in ["Utf8", "LargeUtf8", "Utf8View", "Dictionary(Int32, Utf8)"] {
        let sql = format!("SELECT count(*) FROM t WHERE host_of(arrow_cast(url, '{layout}')) = 'a.example'");
        assert_eq!(number(&session, &sql).await, 1, "{layout}");
    }
}

#[tokio::test]
async fn what_ran_out_of_memory_can_be_joined_by_sorting() {
    for (sort_joins, operator) in [(false, "HashJoinExec"), (true, "SortMergeJoinExec")] {
        let session = session(SessionOptions { sort_joins, threads: Some(2), ..SessionOptions::default() }).await;
        let sql = "SELECT count(*) FROM calls a JOIN calls b ON a.call_id = b.call_id";
        let plan = session.plan(sql, None).await.expect("a plan").create_physical_plan().await.expect("a plan");
        let text = displayable(plan.as_ref()).indent(false).to_string();
        assert!(text.contains(operator), "{text}");
        assert_eq!(number(&session, sql).await, 4);
    }
}

/// Rows of a rule's query, and the tables that it reads.
async fn ran(session: &Session, sql: &str, is_checked: bool) -> Result<(Vec<String>, Vec<String>), QueryError> {
    let params = ParamValues::Map(Default::default());
    let running = session.run_rule(sql, params, None, is_checked).await?;
    let batches: Vec<RecordBatch> = running.rows.try_collect().await?;
    let lines: Vec<String> = batches.iter().map(|batch| output::json_lines(batch).expect("rows")).collect();
    let mut rows: Vec<String> = lines.iter().flat_map(|lines| lines.lines().map(str::to_owned)).collect();
    rows.sort();
    Ok((rows, running.reads.into_iter().collect()))
}

#[tokio::test]
async fn a_query_that_ends_with_an_empty_step_gives_what_the_whole_gives() {
    let session = session(SessionOptions { deterministic: true, ..SessionOptions::default() }).await;
    let session = session.for_rule(TimeRange::default()).await.expect("a rule's session");
    let steps = "WITH none AS (SELECT call_id, time FROM calls WHERE tool = 'write'),
        some AS (SELECT call_id, time FROM calls WHERE tool = 'read' AND time IS NOT NULL),
        first AS (SELECT min(time) AS time, count(*) AS n FROM none)";
    for query in [
        "SELECT call_id FROM none",
        "SELECT s.call_id FROM some s JOIN none n ON n.call_id <> s.call_id",
        "SELECT s.call_id, n.time FROM some s LEFT JOIN none n ON n.call_id = s.call_id",
        "SELECT s.call_id FROM some s WHERE s.call_id NOT IN (SELECT call_id FROM none)",
        "SELECT call_id FROM some UNION ALL SELECT call_id FROM none",
        "SELECT n, time FROM first",
        "SELECT s.call_id, f.n FROM some s JOIN first f ON s.time > f.time OR f.n = 0",
        "SELECT call_id, count(*) AS n FROM none GROUP BY call_id",
        "SELECT count(*) AS n FROM none",
    ] {
        let sql = format!("{steps} {query}");
        let (checked, whole) =
            (ran(&session, &sql, true).await.expect(query), ran(&session, &sql, false).await.expect(query));
        assert_eq!(checked, whole, "{query}");
        assert_eq!(whole.1, ["calls"], "{query}");
    }
    let faulty = format!("{steps}, last AS (SELECT n.nowhere FROM none n) SELECT * FROM last");
    assert!(ran(&session, &faulty, false).await.is_err(), "what is wrong with a rule of the user's is told");
    assert_eq!(ran(&session, &faulty, true).await.expect("not planned so far").0, Vec::<String>::new());
}
