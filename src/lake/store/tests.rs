//! A lake in an object store: the lease, fencing, and changes that are finished by the next writer.

use super::*;
use crate::lake::verify::verify_store;
use crate::lake::{Lake, State, Transaction, VerifyOptions, data_file};
use arrow::array::{RecordBatch, StringArray, new_null_array};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt as _};
use std::time::Duration;

/// Short, so that the tests are.
const LEASE: Duration = Duration::from_millis(900);

fn bucket(memory: &Arc<InMemory>, lease: Duration) -> Store {
    let store: Arc<dyn ObjectStore> = Arc::clone(memory) as _;
    let url = url::Url::parse("s3://bucket/deep/lake/").unwrap();
    Store::Bucket(Arc::new(Bucket::over(Arc::clone(&store), store, url, lease).unwrap()))
}

/// Waits for this many leases.
fn patience(leases: u32) -> Patience<'static> {
    Patience::silent("test", LEASE * leases)
}

async fn lake(memory: &Arc<InMemory>) -> Lake {
    Lake::open_or_create_store(bucket(memory, LEASE), &patience(3)).await.unwrap()
}

/// A data file of `rejects` with this many rows.
fn rejects(lake: &Lake, name: &str, rows: usize) -> data_file::DataFile {
    let schema = crate::lake::tables::table("rejects").unwrap().schema();
    let mut columns: Vec<_> = schema.fields().iter().map(|field| new_null_array(field.data_type(), rows)).collect();
    columns[0] = Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("{name}{row}"))));
    let batch = RecordBatch::try_new(schema, columns).unwrap();
    data_file::write(&lake.table_path("rejects"), name, None, &[batch], 1).unwrap()
}

async fn rows(lake: &Lake) -> Vec<String> {
    use arrow::array::AsArray as _;
    let mut found = Vec::new();
    for file in lake.files("rejects").await.unwrap() {
        data_file::read(&lake.table_path("rejects"), &file, &["reject_id"], |batch| {
            found.extend(batch.column(0).as_string::<i32>().iter().flatten().map(str::to_owned));
            Ok(())
        })
        .unwrap();
    }
    found.sort();
    found
}

fn objects(store: &Store, part: &str) -> usize {
    store.list("").unwrap().iter().filter(|path| path.contains(part)).count()
}

#[tokio::test]
async fn a_change_in_an_object_store() {
    let memory = Arc::new(InMemory::new());
    let one = lake(&memory).await;
    assert_eq!(one.root(), PathBuf::from("s3://bucket/deep/lake"));
    let lock = one.lock(&patience(3)).await.unwrap();
    for (number, name) in ["a", "b"].into_iter().enumerate() {
        let mut transaction = Transaction::default();
        transaction.add("rejects", rejects(&one, name, 1).add);
        transaction.set_state(State::of(&number).unwrap());
        transaction.commit(&one).await.unwrap();
    }
    // The holder lives, whatever time passes.
    let two = lake(&memory).await;
    assert!(matches!(two.lock(&patience(2)).await, Err(LakeError::Locked { .. })));
    assert!(lock.is_wanted() && !lock.is_wanted());
    let turn = lock.turn();
    lock.release().unwrap();
    let lock = two.lock(&patience(3)).await.unwrap();
    assert_eq!(
        (two.key(), two.state().unwrap(), rows(&two).await),
        (one.key(), b"1".to_vec(), vec!["a0".into(), "b0".into()])
    );
    assert_eq!((objects(two.store(), "/state-"), objects(two.store(), "/intent-")), (1, 0));
    assert!(lock.follows(turn) && !lock.follows(turn - 1));
    lock.release().unwrap();

    // A file that nothing names is removed by the next writer, if its own did not end its turn in order.
    let lock = one.lock(&patience(3)).await.unwrap();
    rejects(&one, "stray", 1);
    drop(lock);
    assert_eq!(objects(one.store(), "stray"), 1);
    drop(two.lock(&patience(3)).await.unwrap());
    assert_eq!(objects(one.store(), "stray"), 0);
    assert_eq!(rows(&two).await.len(), 2);
}

#[tokio::test]
async fn tampering_shows_in_an_object_store() {
    let memory = Arc::new(InMemory::new());
    let one = lake(&memory).await;
    let lock = one.lock(&patience(3)).await.unwrap();
    let mut transaction = Transaction::default();
    transaction.add("rejects", rejects(&one, "a", 1).add);
    transaction.set_state(State::of(&1).unwrap());
    transaction.commit(&one).await.unwrap();
    // A change that is written down, and in one table so far.
    let mut begun = Transaction::default();
    begun.add("rejects", rejects(&one, "b", 1).add);
    begun.set_state(State::of(&2).unwrap());
    begun.write_down(&one).await.unwrap();
    begun.commit_one(&one, "rejects").await.unwrap();
    let verified = || verify_store(one.store(), &VerifyOptions::default()).unwrap();
    let found = verified();
    assert!(found.verified && found.head.unwrap().number == 1 && !found.left_over.is_empty(), "{:?}", found.problems);
    begun.finish(&one).await.unwrap();
    lock.release().unwrap();
    let found = verified();
    assert!(found.verified && found.head.unwrap().number == 2 && found.left_over.is_empty(), "{:?}", found.problems);

    let exempt = ["_calltrail/head.json", "_calltrail/wanted"];
    let paths = one.store().list("").unwrap();
    for path in paths.iter().filter(|path| !exempt.contains(&path.as_str())) {
        let whole = one.store().read(path).unwrap().unwrap();
        let mut changed = whole.clone();
        changed[whole.len() / 2] ^= 1;
        one.store().replace(path, &changed).unwrap();
        let named = verified().problems.first().map(|problem| problem.file.clone()).unwrap_or_default();
        let is_state = path.starts_with("_calltrail/state-") && named == "_calltrail/state.zst";
        assert!(named == *path || is_state, "{path} was changed, {named} was named");
        one.store().replace(path, &whole).unwrap();
    }
    assert!(paths.len() > 20 && verified().verified);
}

#[tokio::test]
async fn a_writer_that_was_paused_cannot_commit() {
    let memory = Arc::new(InMemory::new());
    let (slow, next) = (lake(&memory).await, lake(&memory).await);
    let lock = slow.lock(&patience(3)).await.unwrap();
    let Lock::Bucket(lease) = &lock else { panic!("a bucket has a lease") };
    lease.stop_renewing();
    let mut transaction = Transaction::default();
    transaction.add("rejects", rejects(&slow, "late", 1).add);

    let taken_over = next.lock(&patience(3)).await.unwrap();
    assert_eq!(objects(next.store(), "late"), 0, "what the paused one wrote was removed");
    assert!(matches!(transaction.commit(&slow).await, Err(LakeError::TakenOver(_))));
    drop(lock);
    let mut transaction = Transaction::default();
    transaction.add("rejects", rejects(&next, "new", 1).add);
    transaction.commit(&next).await.unwrap();
    drop(taken_over);
    assert_eq!(rows(&slow).await, ["new0"]);
    // What the paused one left behind is gone after the next turn.
    drop(slow.lock(&patience(3)).await.unwrap());
    assert_eq!((objects(slow.store(), "/state-"), objects(slow.store(), "/intent-")), (0, 0));
}

#[tokio::test]
async fn a_copy_of_a_folder_goes_on() {
    let memory = Arc::new(InMemory::new());
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_string_lossy().into_owned();
    let local = Lake::open_or_create(&place.as_str().into(), &patience(1)).await.unwrap();
    let lock = local.lock(&patience(1)).await.unwrap();
    let mut transaction = Transaction::default();
    transaction.add("rejects", rejects(&local, "a", 1).add);
    transaction.set_state(State::of(&"waiting").unwrap());
    transaction.commit(&local).await.unwrap();
    drop(lock);
    let copy = bucket(&memory, LEASE);
    for path in local.store().list("").unwrap() {
        copy.replace(&path, &local.store().read(&path).unwrap().unwrap()).unwrap();
    }
    let remote = lake(&memory).await;
    let lock = remote.lock(&patience(1)).await.unwrap();
    assert_eq!(
        (remote.key(), remote.state().unwrap(), rows(&remote).await),
        (local.key(), b"\"waiting\"".to_vec(), vec!["a0".to_owned()])
    );
    lock.release().unwrap();
}

#[tokio::test]
async fn a_change_whose_writer_died_is_finished_and_not_twice() {
    let memory = Arc::new(InMemory::new());
    let (dead, next) = (lake(&memory).await, lake(&memory).await);
    let lock = dead.lock(&patience(3)).await.unwrap();
    let Lock::Bucket(lease) = &lock else { panic!("a bucket has a lease") };
    lease.stop_renewing();
    let mut transaction = Transaction::default();
    transaction.add("rejects", rejects(&dead, "a", 2).add);
    transaction.set_state(State::of(&"waiting").unwrap());
    // It has happened, and one of the tables has it.
    transaction.write_down(&dead).await.unwrap();
    transaction.commit_one(&dead, "rejects").await.unwrap();

    let taken_over = next.lock(&patience(3)).await.unwrap();
    assert_eq!(rows(&next).await, ["a0", "a1"]);
    assert_eq!(next.state().unwrap(), b"\"waiting\"");
    // The dead one was only asleep, and goes on where it was: all is done and nothing is there twice. It can do no more.
    transaction.finish(&dead).await.unwrap();
    assert_eq!((rows(&next).await, next.state().unwrap()), (vec!["a0".into(), "a1".into()], b"\"waiting\"".to_vec()));
    let mut transaction = Transaction::default();
    transaction.add("rejects", rejects(&dead, "b", 1).add);
    assert!(matches!(transaction.commit(&dead).await, Err(LakeError::TakenOver(_))));
    drop((taken_over, lock));
}

#[test]
fn pieces_of_an_object() {
    let memory = Arc::new(InMemory::new());
    let Store::Bucket(bucket) = bucket(&memory, LEASE) else { panic!("a bucket") };
    let bytes: Vec<u8> = (0..5_000_003u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let whole = bytes::Bytes::from(bytes.clone());
    wait({
        let memory = Arc::clone(&memory);
        async move { memory.put(&"deep/lake/t/f".into(), whole.into()).await.unwrap() }
    })
    .unwrap();
    let table = TablePath::new(Store::Bucket(bucket), "t");
    use parquet::file::reader::{ChunkReader as _, Length as _};
    use std::io::Read as _;
    for whole in [true, false] {
        let reader = table.open("f", bytes.len() as i64, whole).unwrap();
        assert_eq!(reader.len(), bytes.len() as u64);
        for (start, length) in
            [(0, 10), (1 << 20, 1), ((1 << 20) - 3, 7), (100, 3 << 20), (4_999_999, 4), ((2 << 20) - 1, 1), (7, 0)]
        {
            let found = reader.get_bytes(start as u64, length).unwrap();
            assert!(found == bytes[start..start + length], "{start} {length}");
            let mut streamed = Vec::new();
            reader.get_read(start as u64).unwrap().take(length as u64).read_to_end(&mut streamed).unwrap();
            assert!(streamed == bytes[start..start + length], "stream {start} {length}");
        }
        assert!(reader.get_bytes(5_000_000, 4).is_err());
    }
}

#[test]
fn a_large_file_is_sent_in_parts() {
    use std::io::Write as _;
    let memory = Arc::new(InMemory::new());
    let table = TablePath::new(bucket(&memory, LEASE), "t");
    let draft = table.create("big").unwrap();
    let mut file = draft.file().unwrap();
    let bytes: Vec<u8> = (0..20_000_001u32).map(|at| (at >> 7) as u8).collect();
    file.write_all(&bytes).unwrap();
    assert_eq!(draft.finish(file).unwrap(), bytes.len() as u64);
    let Store::Bucket(bucket) = &table.store else { panic!("a bucket") };
    assert!(bucket.get("t/big").unwrap().unwrap().0 == bytes);
    // One that is given up leaves nothing.
    let draft = table.create("never").unwrap();
    let path = draft.path.clone();
    drop(draft);
    assert!(!path.exists() && !table.store.exists("t/never").unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_one_processs_until_it_ends_or_is_out_of_reach() {
    let memory = Arc::new(InMemory::new());
    let folder = tempfile::tempdir().unwrap();
    let in_folder = Store::Folder(folder.path().join("lake"));
    for (store, other) in [(bucket(&memory, LEASE), bucket(&memory, LEASE)), (in_folder.clone(), in_folder)] {
        let is_bucket = store.folder().is_none();
        let one = Lake::open_or_create_store(store, &patience(3)).await.unwrap();
        let two = Lake::open_or_create_store(other, &patience(3)).await.unwrap();
        let claim = one.claim("ship-a", "sink `a`", &patience(1)).await.unwrap();
        // Others may write to the lake, and claim other things.
        two.lock(&patience(1)).await.unwrap().release().unwrap();
        two.claim("ship-b", "sink `b`", &patience(1)).await.unwrap();
        let refused = two.claim("ship-a", "sink `a`", &patience(3)).await.unwrap_err();
        let (text, me) = (refused.to_string(), std::process::id().to_string());
        assert!(text.contains("sink `a`") && text.contains(&me), "{text}");
        assert!(claim.is_held());
        drop(claim);
        let claim = two.claim("ship-a", "sink `a`", &patience(1)).await.unwrap();
        assert!(claim.is_held());
        if is_bucket {
            let waiting = patience(5);
            let (_, taken) = tokio::join!(claim.pause(LEASE * 3), one.claim("ship-a", "sink `a`", &waiting));
            let taken = taken.unwrap();
            assert!(taken.is_held());
            tokio::time::sleep(LEASE).await;
            assert!(!claim.is_held() && taken.is_held(), "who was paused sees it, and does not take it back");
            drop(claim);
            assert!(one.claim("ship-a", "sink `a`", &patience(2)).await.is_err(), "nor gives it back");
        }
        assert!(verify_store(one.store(), &VerifyOptions::default()).unwrap().problems.is_empty());
    }
}

#[test]
fn an_object_that_was_cut_off_is_an_error() {
    use parquet::file::reader::ChunkReader as _;
    let memory = Arc::new(InMemory::new());
    let store = bucket(&memory, LEASE);
    store.replace("rejects/cut.parquet", &vec![0; 3 << 19]).unwrap();
    let reader = TablePath::new(store, "rejects").open("cut.parquet", 4 << 20, false).unwrap();
    assert!(reader.get_bytes(0, 100).is_ok());
    for (start, length) in [(7 << 18, 100), ((1 << 20) - 100, 1 << 19), (0, 4 << 20)] {
        assert!(reader.get_bytes(start, length).is_err(), "{length} bytes from {start}");
    }
}
