//! The lake's keep: compaction changes no row, retention none of those that stay, and a process killed in between none at all.

use crate::common::{Contents, Place, assert_same, copy_folder, files, sample_logs};
use calltrail::call::SCHEMA_VERSION;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::OnceLock;

/// The sample logs in many small files, and the alerts on them: made once, a copy for each test.
pub(crate) fn scattered() -> Place {
    static LAKE: OnceLock<Place> = OnceLock::new();
    let made = LAKE.get_or_init(|| {
        let place = Place::new();
        for part in sample_logs().chunks(9) {
            place.ingest(part);
        }
        place.run(0, ["detect"]);
        place
    });
    copy_of(made)
}

/// Calls of two days, latest first. Each word of their payloads stands there so many times: once, they hardly compress, so that files
/// of any size can be had from few of them.
fn capture(calls: usize, repeats: usize) -> String {
    let mut text = String::new();
    let mut random = 1_u64;
    for call in (0..calls).rev() {
        let (day, minute, second) = (9 + call % 2, call / 60 % 60, call % 60);
        let time = format!("2026-11-{day:02}T{:02}:{minute:02}:{second:02}", 8 + call / 3600);
        let mut filler = String::new();
        for _ in 0..64 / repeats {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            filler.push_str(&format!("{random:016x}").repeat(repeats));
        }
        writeln!(text, r#"{{"timestamp":"{time}.000Z","direction":"client_to_server","message":{{"jsonrpc":"2.0","id":{call},"method":"tools/call","params":{{"name":"look_up","arguments":{{"shelf":{call},"url":"https://stock.example/{call}"}}}}}}}}"#).expect("memory");
        writeln!(text, r#"{{"timestamp":"{time}.400Z","direction":"server_to_client","message":{{"jsonrpc":"2.0","id":{call},"result":{{"content":[{{"type":"text","text":"{filler}"}}]}}}}}}"#).expect("memory");
    }
    text
}

/// The log as a file that nobody knows, with the same calls in it.
fn with_another_start(log: &Path) -> Vec<u8> {
    [b"\n", &std::fs::read(log).expect("a log")[..]].concat()
}

/// Delta versions of all tables.
fn versions(place: &Place) -> BTreeMap<String, i64> {
    let info = place.run(0, ["lake", "info", "--format", "json"]).json();
    let tables = info["tables"].as_array().expect("tables").iter();
    tables.map(|table| (table["name"].to_string(), table["version"].as_i64().expect("a version"))).collect()
}

fn data_files(place: &Place) -> usize {
    let is_data = |path: &&std::path::PathBuf| {
        path.extension().is_some_and(|end| end == "parquet")
            && !path.components().any(|part| part.as_os_str() == "_delta_log")
    };
    files(&place.lake()).iter().filter(is_data).count()
}

/// Actions of one kind in a table's Delta log, in order.
fn actions(place: &Place, table: &str, kind: &str) -> Vec<Value> {
    let log = place.lake().join(table).join("_delta_log");
    let commits = files(&log).into_iter().filter(|path| path.extension().is_some_and(|end| end == "json"));
    let lines = commits.flat_map(|path| crate::common::json_lines(&std::fs::read_to_string(path).expect("a commit")));
    lines.filter_map(|line| line.get(kind).cloned()).collect()
}

#[test]
fn compaction_changes_no_row() {
    let place = scattered();
    let before = place.contents();
    let old_files = data_files(&place);

    let plan = place.run(0, ["lake", "compact", "--dry-run", "--format", "json"]).json();
    assert!(plan["merged"]["merged_files"].as_u64() > Some(20), "{plan}");
    assert_eq!(data_files(&place), old_files, "a dry run writes nothing");

    let said = place.run(0, ["lake", "compact", "--format", "json"]).json();
    assert_eq!(said["merged"]["merged_files"], plan["merged"]["merged_files"]);
    assert!(said["files_after"].as_u64() < said["files_before"].as_u64(), "{said}");
    assert_same("after compaction", &before, &place.contents());
    place.run(0, ["lake", "verify"]);
    let adds = actions(&place, "calls", "add");
    let merged = adds.iter().filter(|add| add["dataChange"] == false).count();
    assert!(merged > 0 && merged < adds.len(), "who follows changes of rows sees none in a compaction");

    // Old versions stay readable until they are given up.
    assert!(data_files(&place) > old_files);
    let known = versions(&place);
    let again = place.run(0, ["lake", "compact", "--format", "json"]).json();
    assert_eq!(again["merged"]["merged_files"], 0, "{again}");
    assert_eq!(versions(&place), known, "nothing to merge, nothing committed");
    place.run(0, ["lake", "compact", "--vacuum-older-than", "1h"]);
    assert!(data_files(&place) > old_files, "nothing was replaced an hour ago");
    let vacuumed = place.run(0, ["lake", "compact", "--vacuum-older-than", "0s", "--format", "json"]).json();
    assert_eq!(data_files(&place) as u64, vacuumed["files_after"].as_u64().expect("files"));
    assert_same("after vacuum", &before, &place.contents());
    place.run(0, ["lake", "verify"]);

    // The lake goes on as if nothing had been: what is read again is known, rules see the same.
    assert_eq!(place.run(0, ["detect", "--format", "json"]).json()["new_alerts"], 0);
    let copy = place.write("copy/of.jsonl", with_another_start(&sample_logs()[0]));
    place.ingest([copy]);
    let after = place.contents();
    assert_eq!((&before["calls"], &before["observables"]), (&after["calls"], &after["observables"]));
}

#[test]
fn large_partitions_become_files_in_the_order_of_time() {
    let place = Place::new();
    let log = place.write("capture.jsonl", capture(4000, 1));
    let args = ["ingest", "--commit-every", "512KiB"].map(Into::into).into_iter().chain([log.into_os_string()]);
    place.run(0, args);
    let rows = "SELECT count(*) AS n, count(DISTINCT call_id) AS ids, sum(length(result)) AS bytes FROM calls";
    let before = place.rows(rows);
    // Readers see the one state or the other, and both have the same rows.
    let mut child =
        place.command(["lake", "compact", "--target-size", "1MiB", "--zstd-level", "3"]).spawn().expect("starts");
    let mut reads = 0;
    while child.try_wait().expect("status").is_none() || reads == 0 {
        assert_eq!(place.rows(rows), before);
        reads += 1;
    }
    assert!(child.wait().expect("ended").success());
    assert_eq!(place.rows(rows), before);

    let adds = actions(&place, "calls", "add");
    for day in ["2026-11-09", "2026-11-10"] {
        let merged = adds.iter().filter(|add| add["dataChange"] == false && add["partitionValues"]["day"] == day);
        let mut ranges: Vec<(String, String)> = merged
            .map(|add| {
                let stats: Value = serde_json::from_str(add["stats"].as_str().expect("statistics")).expect("JSON");
                (stats["minValues"]["time"].to_string(), stats["maxValues"]["time"].to_string())
            })
            .collect();
        ranges.sort();
        assert!(ranges.len() > 1, "a day of more than the target size has several files");
        assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0), "times of {day} overlap: {ranges:?}");
    }
    let again = place.run(0, ["lake", "compact", "--target-size", "1MiB", "--format", "json"]).json();
    assert_eq!(again["merged"]["merged_files"], 0, "{again}");
}

/// A file is to have its bytes on the disk, where they are far fewer than in memory: files that stay small would be merged for ever.
#[test]
fn what_packs_well_is_merged_once() {
    let place = Place::new();
    let log = place.write("capture.jsonl", capture(4000, 16));
    let args = ["ingest", "--commit-every", "512KiB"].map(Into::into).into_iter().chain([log.into_os_string()]);
    place.run(0, args);
    let rows = "SELECT count(*) AS n, count(DISTINCT call_id) AS ids, sum(length(result)) AS bytes FROM calls";
    let before = place.rows(rows);
    let compact = ["lake", "compact", "--target-size", "1MiB", "--format", "json"];
    let said = place.run(0, compact).json();
    assert!(said["merged"]["merged_files"].as_u64() > Some(0), "{said}");
    assert_eq!(place.rows(rows), before);
    assert_eq!(place.run(0, compact).json()["merged"]["merged_files"], 0);
}

/// Rows of the days that stay, of what `contents` gives.
fn since(contents: &Contents, day: &str) -> Contents {
    let mut kept = contents.clone();
    for table in ["calls", "observables", "prompts"] {
        let stays = |row: &String| {
            let row: Value = serde_json::from_str(row).expect("a row");
            row["day"].as_str().is_none_or(|at| at >= day)
        };
        kept.get_mut(table).expect("a table").retain(stays);
    }
    kept
}

#[test]
fn retention_leaves_what_is_younger_and_no_byte_of_the_rest() {
    const DAY: &str = "2026-11-11";
    let place = scattered();
    // Old versions hold the old rows too.
    place.run(0, ["lake", "compact"]);
    let before = place.contents();
    let alerts = place.one("SELECT count(*) FROM alerts");
    assert!(alerts.as_u64() > Some(10));
    let expected = since(&before, DAY);
    assert!(expected["calls"].len() > 20 && expected["calls"].len() + 20 < before["calls"].len());

    let flows = place.one(&format!("SELECT count(*) FROM flows WHERE day < DATE '{DAY}'")).as_u64().expect("a number");
    assert!(flows > 0);

    let plan = place.run(0, ["lake", "retain", "--older-than", DAY, "--dry-run", "--format", "json"]).json();
    assert_same("after a dry run", &before, &place.contents());
    let said = place.run(0, ["lake", "retain", "--older-than", DAY, "--format", "json"]).json();
    let gone: u64 =
        ["calls", "observables", "prompts"].iter().map(|t| (before[t].len() - expected[t].len()) as u64).sum();
    assert_eq!((&said["rows"], &said["parts"]), (&plan["rows"], &plan["parts"]));
    assert_eq!(said["rows"].as_u64(), Some(gone + flows), "{said}");
    assert!(said["old_files"].as_u64() > Some(0) && said["waiting"].as_u64() > Some(0), "{said}");
    assert_same("after retention", &expected, &place.contents());
    let kinds = place.run(0, ["lake", "verify", "--format", "json"]).json()["kinds"].clone();
    assert_eq!((&kinds["compact"], &kinds["retain"]), (&1.into(), &1.into()), "both are in the chain: {kinds}");
    assert_eq!(place.one("SELECT count(*) FROM alerts"), alerts, "alerts are evidence");
    let old = |path: &Path| {
        let path = path.to_string_lossy().into_owned();
        path.split("day=").nth(1).is_some_and(|rest| &rest[..10] < DAY)
    };
    assert!(files(&place.lake()).iter().all(|path| !old(path)), "files of old days are on the disk");

    let known = versions(&place);
    let again = place.run(0, ["lake", "retain", "--older-than", DAY, "--format", "json"]).json();
    assert_eq!([&again["rows"], &again["old_files"], &again["waiting"]], [&Value::from(0); 3]);
    assert_eq!(versions(&place), known, "nothing to remove, nothing committed");

    // With everything in another file that nobody knows, only what is young enough is looked at again.
    let log = crate::common::repository("sample-logs/toolhive_audit/vmcp_audit.jsonl");
    let copy = place.write("copy/vmcp.jsonl", with_another_start(&log));
    let summary = place.ingest([&copy]);
    assert!(summary["expired"].as_u64() > Some(0), "{summary}");
    let after = place.contents();
    for table in ["calls", "observables", "prompts"] {
        assert_eq!(after[table], expected[table], "{table}: old rows came back");
    }
    place.run(2, ["lake", "retain", "--older-than", "2999-01-01"]);

    place.run(0, ["lake", "retain", "--older-than", "2026-11-13", "--alerts"]);
    let left = "SELECT count(*) FILTER (WHERE last_seen < '2026-11-13') = 0 AND count(*) > 0 FROM alerts";
    assert_eq!(place.one(left), true);
}

#[test]
fn a_retention_that_was_broken_off_is_finished_by_the_next_writer() {
    let place = scattered();
    let expected = since(&place.contents(), "2026-11-12");
    let day = place.lake().join("calls/day=2026-11-09");
    let victim = files(&day).remove(0);
    // A folder in the place of a file cannot be removed as one: the run ends between the commit and the end of the removal.
    std::fs::remove_file(&victim).expect("removed");
    std::fs::create_dir(&victim).expect("made");
    let said = place.run(1, ["lake", "retain", "--older-than", "2026-11-12"]);
    assert!(said.stderr.contains("cannot remove"), "{}", said.stderr);
    assert_same("once it is written down it has happened", &expected, &place.contents());
    place.run(1, ["lake", "verify"]);
    std::fs::remove_dir(&victim).expect("removed");
    place.run(0, ["lake", "compact"]);
    assert!(!day.exists(), "the files are gone, and the folder with them");
    assert!(!place.lake().join("_calltrail/intent.json").exists());
    assert_same("after the next writer", &expected, &place.contents());
    // What was done to the file before it went is not forgotten; nothing else is wrong.
    let problems = place.run(1, ["lake", "verify", "--format", "json"]).json()["problems"].clone();
    assert_eq!(
        (problems.as_array().map(Vec::len), problems[0]["file"].as_str()),
        (Some(1), victim.strip_prefix(place.lake()).expect("below").to_str())
    );
}

#[test]
fn a_compaction_killed_at_any_instant_loses_nothing() {
    let place = scattered();
    let rows = "SELECT count(*) AS n, count(DISTINCT call_id) AS ids, sum(source_length) AS bytes FROM calls";
    let before = (place.rows(rows), place.contents());
    let started = std::time::Instant::now();
    let whole = {
        let copy = copy_of(&place);
        copy.run(0, ["lake", "compact"]);
        started.elapsed()
    };
    for round in 0..4_u32 {
        let copy = copy_of(&place);
        let mut child = copy.command(["lake", "compact"]).spawn().expect("starts");
        std::thread::sleep(whole.mul_f64(f64::from(round + 1) / 5.0));
        let _ = child.kill();
        child.wait().expect("ended");
        assert_eq!(copy.rows(rows), before.0, "killed in round {round}");
        copy.run(0, ["lake", "verify"]);
        copy.run(0, ["lake", "compact", "--vacuum-older-than", "0s"]);
        assert_eq!(copy.rows(rows), before.0, "finished in round {round}");
        copy.run(0, ["lake", "verify"]);
        if round == 1 {
            assert_same("finished", &before.1, &copy.contents());
        }
    }
}

/// Another place with the same lake.
fn copy_of(place: &Place) -> Place {
    let copy = Place::new();
    copy_folder(&place.lake(), &copy.lake());
    copy
}

/// Columns that the older lake of the test lacks, by table.
const NEW_COLUMNS: &[(&str, &[&str])] =
    &[("calls", &["approval", "capabilities", "ann_open_world"]), ("observables", &["origin"]), ("rejects", &["line"])];
/// A table that it lacks.
const NEW_TABLE: &str = "prompts";

/// Makes a lake what an older version would have left: columns and a table are missing, from the files and from the log.
fn make_older(place: &Place) {
    use parquet::arrow::{ArrowWriter, ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};
    for folder in [NEW_TABLE, "_calltrail/chain"] {
        std::fs::remove_dir_all(place.lake().join(folder)).expect("removed");
    }
    let mut sizes = BTreeMap::new();
    for (table, columns) in NEW_COLUMNS {
        let folder = place.lake().join(table);
        let is_data = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "parquet");
        for path in files(&folder).into_iter().filter(is_data) {
            let file = std::fs::File::open(&path).expect("a file");
            let builder = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
            let names = builder.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
            let left = (0..names.len()).filter(|at| !columns.contains(&names[*at].as_str()));
            let mask = ProjectionMask::roots(builder.parquet_schema(), left);
            let reader = builder.with_projection(mask).build().expect("Parquet");
            let batches = reader.collect::<Result<Vec<_>, _>>().expect("rows");
            let mut writer = ArrowWriter::try_new(Vec::new(), batches[0].schema(), None).expect("a writer");
            batches.iter().for_each(|batch| writer.write(batch).expect("rows"));
            let bytes = writer.into_inner().expect("Parquet");
            let relative = path.strip_prefix(&folder).expect("below the table").to_string_lossy().into_owned();
            sizes.insert(relative, bytes.len());
            std::fs::write(&path, bytes).expect("written");
        }
        for commit in files(&folder.join("_delta_log")) {
            let mut lines = String::new();
            for mut line in crate::common::json_lines(&std::fs::read_to_string(&commit).expect("a commit")) {
                if let Some(metadata) = line.get_mut("metaData") {
                    let text = metadata["schemaString"].as_str().expect("a schema");
                    let mut schema: Value = serde_json::from_str(text).expect("JSON");
                    let known = |field: &Value| !columns.iter().any(|name| field["name"] == *name);
                    schema["fields"].as_array_mut().expect("fields").retain(known);
                    metadata["schemaString"] = schema.to_string().into();
                }
                if let Some(add) = line.get_mut("add") {
                    add["size"] = sizes[add["path"].as_str().expect("a path")].into();
                    add["tags"] = Value::Null;
                }
                writeln!(lines, "{line}").expect("memory");
            }
            std::fs::write(&commit, lines).expect("written");
        }
    }
    let identity = place.lake().join("_calltrail/lake.json");
    let text = std::fs::read_to_string(&identity).expect("an identity");
    std::fs::write(identity, text.replace(&version(SCHEMA_VERSION), &version(0))).expect("written");
}

/// How `lake.json` says of which version it is.
fn version(number: i32) -> String {
    format!("\"schema_version\": {number}")
}

/// Rows without what an older version did not have.
fn as_older(contents: &Contents) -> Contents {
    let mut older = contents.clone();
    older.insert(NEW_TABLE, Vec::new());
    for (table, columns) in NEW_COLUMNS {
        for row in older.get_mut(table).expect("a table") {
            let mut values: Value = serde_json::from_str(row).expect("a row");
            columns.iter().for_each(|column| values[*column] = Value::Null);
            *row = values.to_string();
        }
    }
    older
}

#[test]
fn a_lake_of_an_older_version_is_read_and_brought_up_to_date() {
    let place = Place::new();
    let logs = sample_logs();
    let (first, later) = logs.split_at(logs.len() / 2);
    place.ingest(first);
    let expected = as_older(&place.contents());
    make_older(&place);
    // Who only reads changes nothing.
    let found = place.contents();
    assert_same("read as it is", &expected, &found);
    assert_eq!(place.one("SELECT count(*) FROM calls WHERE approval IS NULL"), expected["calls"].len());
    assert_eq!(actions(&place, "calls", "metaData").len(), 1);

    place.ingest(later);
    place.run(0, ["lake", "verify"]);
    assert_eq!(actions(&place, "calls", "metaData").len(), 2, "the columns are in the table's log now");
    assert_eq!(actions(&place, "connections", "metaData").len(), 1);
    let after = place.contents();
    assert!(after["calls"].len() > expected["calls"].len() && after[NEW_TABLE].len() > 1);
    let approvals = place.one("SELECT count(*) FROM calls WHERE approval IS NOT NULL");
    assert!(approvals.as_u64() > Some(0), "later calls have the new columns");
    if let Some(python) = crate::engines::python() {
        crate::engines::assert_agree(&place, &python, "after the upgrade");
    }
    place.run(0, ["lake", "compact"]);
    assert_same("after compaction", &after, &place.contents());
    place.run(0, ["detect"]);
    // A lake of a newer version is left alone.
    let identity = place.lake().join("_calltrail/lake.json");
    let text = std::fs::read_to_string(&identity).expect("an identity");
    std::fs::write(&identity, text.replace(&version(SCHEMA_VERSION), &version(SCHEMA_VERSION + 1))).expect("written");
    let refused = place.run(1, ["query", "SELECT 1"]);
    assert!(refused.stderr.contains("newer version"), "{}", refused.stderr);
}
