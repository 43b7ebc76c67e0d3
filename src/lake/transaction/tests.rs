use super::*;
use crate::lake::{Location, Patience};
use std::time::Duration;

/// After a loss of power, what a change stands on must be there before the change is, and before what it is told by is removed.
#[tokio::test]
async fn names_are_synced_before_they_are_needed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("lake");
    let patience = Patience::silent("test", Duration::from_secs(60));
    let lake = Lake::open_or_create(&Location::from(&*root.to_string_lossy()), &patience).await.unwrap();
    let _lock = lake.lock(&patience).await.unwrap();
    let schema = tables::table("rejects").unwrap().schema();
    let batch = arrow::array::RecordBatch::new_empty(schema);
    let mut change = Transaction::default();
    for name in ["a", "b"] {
        let file =
            crate::lake::data_file::write(&lake.table_path("rejects"), name, None, std::slice::from_ref(&batch), 0);
        change.add("rejects", file.unwrap().add);
    }
    change.set_state(State::of(&"kept").unwrap());
    let synced = &crate::lake::store::folder::SYNCED;
    synced.take();
    change.commit(&lake).await.unwrap();
    let paths = synced.take().into_iter().map(|path| path.strip_prefix(&root).unwrap().display().to_string());
    let folders: Vec<String> = paths.filter(|path| !path.ends_with(".json")).collect();
    let expected =
        ["rejects", "_calltrail", "rejects/_delta_log", "sources/_delta_log", "_calltrail/chain", "_calltrail"];
    assert_eq!(folders, expected);
}

#[tokio::test]
async fn a_change_that_was_begun_and_is_written_down_no_more_is_not_taken_for_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::from(&*folder.path().join("lake").to_string_lossy());
    let patience = Patience::silent("test", Duration::from_secs(60));
    let lake = Lake::open_or_create(&location, &patience).await.unwrap();
    let _lock = lake.lock(&patience).await.unwrap();
    let change = || {
        let mut change = Transaction::default();
        change.tables.insert("rejects".to_owned(), Change::default());
        change
    };
    change().commit(&lake).await.unwrap();
    let mut begun = change();
    begun.write_down(&lake).await.unwrap();
    begun.commit_one(&lake, "rejects").await.unwrap();
    std::fs::remove_file(lake.root().join("_calltrail/intent.json")).unwrap();
    assert!(matches!(change().commit(&lake).await, Err(LakeError::Chain(_))));
    assert!(super::begun(&lake.store).unwrap().is_none(), "nothing of the refused change is written down");
}
