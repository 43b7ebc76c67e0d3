//! Other engines read the lake as it is: DuckDB with its Delta extension and Polars, installed by `tests/install.sh`, agree with
//! `query`, whatever the lake's keep has done to it.

use crate::common::{Place, sample_logs};
use std::path::PathBuf;
use std::process::Command;

/// Runs statements from standard input in both engines, one JSON array of rows a line to standard output.
const SCRIPT: &str = r#"
import json, re, sys
import duckdb, polars
from duckdb_extensions import import_extension
import_extension("delta")
lake, tables = sys.argv[1], sys.argv[2].split(",")
connection = duckdb.connect()
connection.load_extension("delta")
for table in tables:
    connection.execute(f"CREATE VIEW {table} AS SELECT * FROM delta_scan('{lake}/{table}')")
frames = polars.SQLContext({table: polars.scan_delta(f"{lake}/{table}") for table in tables})
def show(rows):
    print(json.dumps([[str(cell) for cell in row] for row in rows]))
for sql in sys.stdin.read().strip().split(";"):
    show(connection.sql(sql).fetchall())
    show(frames.execute(sql, eager=True).rows())
"#;

const TABLES: &str = "calls,observables,prompts,rejects,tool_definitions,connections,alerts,sources";

/// Counts, sums and joins that all three engines understand.
const STATEMENTS: &[&str] = &[
    "SELECT count(*) AS n, count(DISTINCT call_id) AS ids, sum(source_length) AS bytes, sum(result_bytes) AS results FROM calls",
    "SELECT method, outcome, count(*) AS n FROM calls GROUP BY method, outcome ORDER BY method, outcome",
    "SELECT count(*) AS n FROM calls WHERE day >= DATE '2026-11-11' AND time_end IS NOT NULL",
    "SELECT count(*) AS n, count(DISTINCT value) AS texts FROM observables",
    "SELECT c.source_format, o.type, count(*) AS n FROM calls c JOIN observables o ON o.call_id = c.call_id GROUP BY c.source_format, o.type ORDER BY c.source_format, o.type",
    "SELECT count(*) AS n, count(DISTINCT session_id) AS sessions FROM prompts",
    "SELECT count(*) AS n, sum(length) AS bytes FROM rejects",
    "SELECT count(*) AS n, sum(calls_total) AS calls FROM alerts",
    "SELECT sum(bytes) AS a, sum(bytes_calls) AS b, sum(bytes_rejected) AS c, sum(bytes_ignored) AS d FROM sources",
];

/// The interpreter of the test's virtual environment, if it has both engines.
pub(crate) fn python() -> Option<PathBuf> {
    // …/target/debug/calltrail
    let target = PathBuf::from(env!("CARGO_BIN_EXE_calltrail")).parent()?.parent()?.to_path_buf();
    let python = target.join("test-venv/bin/python");
    let loads = Command::new(&python)
        .args([
            "-c",
            "import polars, deltalake; from duckdb_extensions import import_extension; import_extension('delta')",
        ])
        .output()
        .is_ok_and(|output| output.status.success());
    if !loads {
        eprintln!("skipped: no DuckDB with its Delta extension, or no Polars; tests/install.sh installs them");
    }
    loads.then_some(python)
}

/// Demands that both engines give the rows of `query`; gives those.
#[track_caller]
pub(crate) fn assert_agree(place: &Place, python: &PathBuf, when: &str) -> Vec<Vec<Vec<String>>> {
    use std::io::Write as _;
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        .arg(place.lake())
        .arg(TABLES)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("python starts");
    child.stdin.take().expect("piped").write_all(STATEMENTS.join(";").as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{when}: {}", String::from_utf8_lossy(&output.stderr));
    let answers = String::from_utf8(output.stdout).expect("UTF-8");
    let answers: Vec<Vec<Vec<String>>> =
        answers.lines().map(|line| serde_json::from_str(line).expect("rows")).collect();
    assert_eq!(answers.len(), STATEMENTS.len() * 2);
    let cell = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => "None".to_owned(),
        other => other.to_string(),
    };
    let mut all = Vec::new();
    for (sql, theirs) in STATEMENTS.iter().zip(answers.chunks(2)) {
        let ours: Vec<Vec<String>> =
            place.rows(sql).iter().map(|row| row.as_object().expect("a row").values().map(cell).collect()).collect();
        assert!(!ours.is_empty() && ours == theirs[0], "{when}: {sql}\nours: {ours:?}\nDuckDB: {:?}", theirs[0]);
        assert!(ours == theirs[1], "{when}: {sql}\nours: {ours:?}\nPolars: {:?}", theirs[1]);
        all.push(ours);
    }
    all
}

#[test]
fn duckdb_and_polars_read_the_lake_as_it_is() {
    let Some(python) = python() else { return };
    let place = crate::keep::scattered();
    // One more commit, which rewrites nothing that an engine could miss or see twice.
    place.ingest(sample_logs().into_iter().rev());
    let ingested = assert_agree(&place, &python, "after ingest");
    place.run(0, ["lake", "compact"]);
    assert_eq!(assert_agree(&place, &python, "after compact"), ingested);
    place.run(0, ["lake", "retain", "--older-than", "2026-11-11", "--alerts"]);
    let retained = assert_agree(&place, &python, "after retain");
    assert!(retained != ingested && retained[2] == ingested[2], "the rows of the days that stay, and only those");
}
