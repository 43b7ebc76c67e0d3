//! Another engine reads the lake as it is: DuckDB with its Delta extension, installed by `tests/install.sh`, agrees with `query`.

use crate::common::{Place, sample_logs};
use std::path::PathBuf;
use std::process::Command;

/// Reads statements from standard input, one JSON array of rows a line to standard output. `{table}` is a table of the lake.
const SCRIPT: &str = r#"
import json, re, sys
import duckdb
from duckdb_extensions import import_extension
import_extension("delta")
connection = duckdb.connect()
connection.load_extension("delta")
lake = sys.argv[1]
for sql in sys.stdin.read().strip().split(";"):
    sql = re.sub(r"\{(\w+)\}", lambda m: f"delta_scan('{lake}/{m.group(1)}')", sql)
    rows = connection.sql(sql).fetchall()
    print(json.dumps([[str(cell) for cell in row] for row in rows]))
"#;

const STATEMENTS: &[&str] = &[
    "SELECT count(*), count(DISTINCT call_id), sum(source_length), min(time_end IS NULL) FROM {calls}",
    "SELECT method, outcome, count(*) FROM {calls} GROUP BY method, outcome ORDER BY method, outcome",
    "SELECT count(*), count(DISTINCT value) FROM {observables}",
    "SELECT c.source_format, o.type, count(*) FROM {calls} c JOIN {observables} o ON o.call_id = c.call_id GROUP BY c.source_format, o.type ORDER BY c.source_format, o.type",
    "SELECT sum(bytes), sum(bytes_calls), sum(bytes_rejected), sum(bytes_ignored) FROM {sources}",
];

fn python() -> Option<PathBuf> {
    // …/target/debug/calltrail
    let target = PathBuf::from(env!("CARGO_BIN_EXE_calltrail")).parent()?.parent()?.to_path_buf();
    let python = target.join("test-venv/bin/python");
    let loads = Command::new(&python)
        .args(["-c", "from duckdb_extensions import import_extension; import_extension('delta')"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !loads {
        eprintln!("skipped: no DuckDB with its Delta extension; tests/install.sh installs it");
    }
    loads.then_some(python)
}

#[test]
fn duckdb_reads_the_lake_as_it_is() {
    use std::io::Write as _;
    let Some(python) = python() else { return };
    let place = Place::new();
    place.ingest(sample_logs());
    // A second commit rewrites nothing that an engine could miss or see twice.
    place.ingest(sample_logs().into_iter().rev());
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        .arg(place.lake())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("python starts");
    child.stdin.take().expect("piped").write_all(STATEMENTS.join(";").as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(answers.lines().count(), STATEMENTS.len());
    for (sql, answer) in STATEMENTS.iter().zip(answers.lines()) {
        let theirs: Vec<Vec<String>> = serde_json::from_str(answer).expect("rows");
        let ours = place.rows(&sql.replace(['{', '}'], ""));
        let cell = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Null => "None".to_owned(),
            serde_json::Value::Bool(value) => if *value { "True" } else { "False" }.to_owned(),
            other => other.to_string(),
        };
        let ours: Vec<Vec<String>> =
            ours.iter().map(|row| row.as_object().expect("a row").values().map(cell).collect()).collect();
        assert!(!ours.is_empty() && ours == theirs, "{sql}\nours: {ours:?}\ntheirs: {theirs:?}");
    }
}
