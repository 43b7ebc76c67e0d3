use super::*;
use crate::lake::sorted::conform;
use arrow::array::{ArrayRef, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema};
use std::sync::Arc;

const DAY: i64 = 86_400_000_000;

/// Adds one file to a table: rows of texts and times (days since the epoch); what is not given is NULL.
fn add(lake: &Lake, change: &mut Transaction, table: &'static str, texts: (&str, &[&str]), times: (&str, &[i64])) {
    let schema = Arc::new(Schema::new(vec![
        Field::new(texts.0, DataType::Utf8, true),
        Field::new(times.0, crate::call::utc_timestamp(), true),
    ]));
    let days = TimestampMicrosecondArray::from_iter_values(times.1.iter().map(|day| day * DAY)).with_timezone("UTC");
    let values: ArrayRef = Arc::new(StringArray::from(texts.1.to_vec()));
    let batch = RecordBatch::try_new(schema, vec![values, Arc::new(days)]).unwrap();
    let table = crate::lake::tables::table(table).unwrap();
    let batch = conform(&batch, &table.schema()).unwrap();
    let name = format!("part-{}", uuid::Uuid::new_v4().simple());
    let folder = lake.table_path(table.name);
    let file = data_file::write(&folder, &name, table.by_day.then_some(None), &[batch], 0).unwrap();
    change.add(table.name, file.add);
}

/// The texts of a column, over all files of a table.
async fn column(lake: &Lake, table: &str, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for add in lake.files(table).await.unwrap() {
        data_file::read(&lake.table_path(table), &add, &[name], |batch| {
            found.extend(texts(&batch, name).map(|text| text.unwrap_or("NULL").to_owned()));
            Ok(())
        })
        .unwrap();
    }
    found.sort();
    found
}

/// Rows without a day go by when they were read, and what belongs to a call goes with it; also from files of older versions.
#[tokio::test]
async fn rows_without_a_day_go_by_when_they_were_read() {
    let folder = tempfile::tempdir().unwrap();
    let patience = crate::lake::Patience::silent("test", std::time::Duration::ZERO);
    let lake = Lake::open_or_create(&folder.path().join("lake").to_str().unwrap().into(), &patience).await.unwrap();
    let _lock = lake.lock(&patience).await.unwrap();
    let mut change = Transaction::default();
    add(&lake, &mut change, "calls", ("call_id", &["old", "new"]), ("ingested_at", &[100, 300]));
    add(&lake, &mut change, "calls", ("call_id", &["older"]), ("ingested_at", &[10]));
    add(&lake, &mut change, "observables", ("call_id", &["old", "new", "gone before"]), ("time", &[0, 0, 0]));
    add(&lake, &mut change, "prompts", ("source_file", &["a.log", "b.log", "unknown.log"]), ("time", &[0, 0, 0]));
    add(&lake, &mut change, "rejects", ("reject_id", &["old", "new"]), ("ingested_at", &[199, 200]));
    add(&lake, &mut change, "sources", ("path", &["a.log", "b.log"]), ("last_read", &[100, 250]));
    change.commit(&lake).await.unwrap();
    // The first version of the calls' files lives on the disk only.
    let old = lake.files("calls").await.unwrap();
    let mut change = Transaction::default();
    add(&lake, &mut change, "calls", ("call_id", &["new", "old"]), ("ingested_at", &[300, 100]));
    old.iter().for_each(|add| change.remove("calls", add, 1));
    change.commit(&lake).await.unwrap();

    let before = NaiveDate::default() + chrono::Days::new(200);
    let options = RetainOptions { before, alerts: true, now_ms: 0 };
    let plan = Plan::new(&lake, options).await.unwrap();
    assert_eq!(plan.old_files().0, 2);
    let rows: Vec<_> = plan.parts().map(|part| (part.table, part.rows)).collect();
    assert_eq!(rows, [("calls", 1), ("observables", 2), ("prompts", 2), ("rejects", 1)]);
    plan.apply(&lake, None).await.unwrap();

    assert_eq!(column(&lake, "calls", "call_id").await, ["new"]);
    assert_eq!(column(&lake, "observables", "call_id").await, ["new"]);
    assert_eq!(column(&lake, "prompts", "source_file").await, ["b.log"]);
    assert_eq!(column(&lake, "rejects", "reject_id").await, ["new"]);
    assert_eq!(column(&lake, "sources", "path").await, ["a.log", "b.log"]);
    assert_eq!(lake.kept_from().unwrap(), Some(before));
    for table in ["calls", "observables", "prompts", "rejects"] {
        let on_disk =
            erase::removed_files(&lake, table).await.unwrap().iter().filter(|file| file.on_disk.is_some()).count();
        assert_eq!(on_disk, 0, "{table} has old files on the disk");
    }
    let again = Plan::new(&lake, options).await.unwrap();
    assert_eq!((again.parts().count(), again.old_files().0, again.identity.is_none()), (0, 0, true));
}
