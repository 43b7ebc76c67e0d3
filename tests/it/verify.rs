//! Tampering shows: whatever is done to a file of the lake, `lake verify` names it, and what a killed writer leaves is no tampering.

use crate::common::{Place, copy_folder, files, repository, sample_logs};
use calltrail::lake::{
    Lake, Location, Patience, Problem, PublicKey, Signer, State, Transaction, Verification, VerifyOptions, Witness,
    verify,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The key of RFC 8032, 7.1, test 1: known to everybody.
const PRIVATE_PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
const PUBLIC_PEM: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";

fn verification(lake: &Path, options: &VerifyOptions) -> Verification {
    verify(&location(lake), options).expect("a lake")
}

fn location(lake: &Path) -> Location {
    Location::new(lake.to_string_lossy(), Arc::default())
}

/// The first problem.
#[track_caller]
fn named(lake: &Path, what: &str) -> Problem {
    let found = verification(lake, &VerifyOptions::default());
    assert!(!found.verified, "{what}: verified");
    found.problems[0].clone()
}

#[track_caller]
fn assert_content(lake: &Path) -> Verification {
    let found = verification(lake, &VerifyOptions::default());
    assert!(found.verified, "{:?}", found.problems);
    found
}

/// Every file with its path below the lake, but the lock.
fn names(lake: &Path) -> Vec<String> {
    let name = |path: &Path| path.strip_prefix(lake).expect("below").to_string_lossy().into_owned();
    files(lake)
        .iter()
        .map(|path| name(path))
        .filter(|name| !["_calltrail/lock", "_calltrail/queue"].contains(&name.as_str()))
        .collect()
}

/// A lake of several ingests, alerts, and as many commits as make Delta write a checkpoint.
fn lake(home: &Place) {
    let logs = sample_logs();
    for logs in logs.chunks(logs.len() / 3 + 1) {
        home.ingest(logs);
    }
    home.run(0, ["detect", "--quiet", "--rule", "path_traversal"]);
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(async {
        let lake = Lake::open(&location(&home.lake())).expect("opens");
        let _lock = lake.lock(&Patience::silent("test", Duration::ZERO)).await.expect("free");
        let mut state: Value = serde_json::from_slice(&lake.state().expect("state")).expect("JSON");
        for n in 0..100 {
            state["sequence"] = n.into();
            let mut change = Transaction::default();
            change.set_state(State::of(&state).expect("packs"));
            change.commit(&lake).await.expect("commits");
        }
    });
}

/// A random number below `n`.
fn below(random: &mut u64, n: usize) -> usize {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*random >> 33) as usize % n
}

/// Files alike: one is tried like another.
fn kind_of(name: &str) -> &str {
    match name {
        _ if name.starts_with("_calltrail/chain/") => "link",
        _ if name.starts_with("_calltrail/") || name.ends_with("_last_checkpoint") => name,
        _ if name.contains("checkpoint") => "checkpoint",
        _ if name.contains("_delta_log") => "commit",
        _ => "data",
    }
}

#[test]
fn every_change_to_a_file_is_named() {
    let home = Place::new();
    lake(&home);
    let good = home.lake();
    let found = assert_content(&good);
    assert!(found.changes > 100 && found.data_files > 10 && found.left_over.is_empty(), "{found:?}");
    let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    names(&good).into_iter().for_each(|name| kinds.entry(kind_of(&name).to_owned()).or_default().push(name));
    assert!(kinds.len() >= 8, "{:?}", kinds.keys());
    let last_link = kinds["link"].last().expect("links").clone();

    let mut random = 0x9e37_79b9_7f4a_7c15 ^ u64::from(std::process::id());
    let copy = home.path("copy");
    copy_folder(&good, &copy);
    let read = |name: &str| std::fs::read(good.join(name)).expect("readable");
    let restore = |name: &str| std::fs::copy(good.join(name), copy.join(name)).expect("copied");
    for (kind, all) in &kinds {
        for round in 0..8 {
            let name = &all[below(&mut random, all.len())];
            let other = &all[below(&mut random, all.len())];
            let bytes = read(name);
            let mut touched = vec![name];
            let what = match round % 6 {
                0..=2 => {
                    let (at, bit) = (below(&mut random, bytes.len()), below(&mut random, 8));
                    let mut bytes = bytes.clone();
                    bytes[at] ^= 1 << bit;
                    std::fs::write(copy.join(name), bytes).expect("written");
                    format!("bit {bit} of byte {at} flipped")
                }
                3 => {
                    std::fs::remove_file(copy.join(name)).expect("removed");
                    "removed".to_owned()
                }
                4 => {
                    std::fs::write(copy.join(name), &bytes[..below(&mut random, bytes.len())]).expect("written");
                    "cut".to_owned()
                }
                _ if read(other) != bytes => {
                    std::fs::write(copy.join(name), read(other)).expect("written");
                    std::fs::write(copy.join(other), &bytes).expect("written");
                    touched.push(other);
                    format!("swapped with {other}")
                }
                _ => continue,
            };
            let problem = named(&copy, &format!("{kind}: {name}: {what}"));
            if *name == last_link && what == "removed" {
                // Without a witness the links do not show it, but the last change's files do.
                assert!(problem.file.ends_with("state.zst"), "{name} {what}: {problem:?}");
            } else {
                assert!(touched.contains(&&problem.file), "{name} {what}: {problem:?}");
            }
            touched.into_iter().for_each(|name| _ = restore(name));
        }
    }
    assert_content(&copy);

    // A commit is dropped, and those behind it close the gap.
    let commit = |version: usize| copy.join(format!("sources/_delta_log/{version:020}.json"));
    std::fs::remove_file(commit(50)).expect("removed");
    (51..60).for_each(|version| std::fs::rename(commit(version), commit(version - 1)).expect("renamed"));
    assert!(named(&copy, "a dropped commit").file.ends_with("00000000000000000050.json"));
    (50..60).for_each(|version| _ = restore(&format!("sources/_delta_log/{version:020}.json")));

    // The whole end of the chain is cut: only a witness shows where it ended, but the files of the lost changes are there.
    for link in &kinds["link"][60..] {
        std::fs::remove_file(copy.join(link)).expect("removed");
    }
    assert!(!named(&copy, "a cut chain").file.is_empty());
    kinds["link"].iter().for_each(|name| _ = restore(name));

    // A file that nobody wrote, a commit that nobody made.
    for name in [
        "notes.txt",
        "calls/day=2026-11-09/part.csv",
        "_calltrail/chain/x",
        "rejects/_delta_log/00000000000000000900.json",
    ] {
        std::fs::create_dir_all(copy.join(name).parent().expect("a folder")).expect("folder");
        std::fs::write(copy.join(name), "{}").expect("written");
        assert_eq!(named(&copy, name).file, name);
        std::fs::remove_file(copy.join(name)).expect("removed");
    }
    // What a killed writer leaves is no tampering.
    for name in
        ["calls/day=2026-11-09/part-x.parquet", "calls/_delta_log/00000000000000000900.json#1", "_calltrail/state.next"]
    {
        std::fs::create_dir_all(copy.join(name).parent().expect("a folder")).expect("folder");
        std::fs::write(copy.join(name), "{}").expect("written");
        assert_eq!(assert_content(&copy).left_over, [name]);
        std::fs::remove_file(copy.join(name)).expect("removed");
    }
}

#[test]
fn a_witness_and_a_signature_show_what_the_lake_alone_cannot() {
    let home = Place::new();
    let logs = sample_logs();
    let (first, second) = (home.path("first"), home.path("second"));
    home.ingest(&logs[..2]);
    copy_folder(&home.lake(), &first);
    let witness_file = home.path("witness.json");
    home.ingest(&logs[2..4]);
    copy_folder(&home.lake(), &second);
    std::fs::write(&witness_file, home.run(0, ["lake", "info", "--format", "json"]).stdout).expect("written");
    let json = |code: i32, args: &[&str]| -> Value {
        home.run(code, ["lake", "verify", "--format", "json"].iter().chain(args)).json()
    };
    let file = witness_file.to_string_lossy().into_owned();
    assert_eq!(json(0, &["--witness", &file])["witness"]["number"], 2);
    let hash = json(0, &[])["head"]["hash"].as_str().expect("a head").to_owned();
    home.ingest(&logs[4..6]);
    assert_eq!(json(0, &["--witness", &hash])["witness"]["number"], 2, "a later head does not hide it");

    // Everything is as it was before the second change.
    std::fs::remove_dir_all(home.lake()).expect("removed");
    copy_folder(&first, &home.lake());
    assert_eq!(json(0, &[])["head"]["number"], 1);
    let cut = json(1, &["--witness", &file]);
    assert!(cut["problems"][0]["found"].as_str().expect("text").contains("it was cut"), "{cut}");
    assert_eq!(json(1, &["--witness", &hash])["verified"], false);
    // Another change takes its place.
    home.ingest(&logs[6..8]);
    let rewritten = json(1, &["--witness", &file]);
    assert!(rewritten["problems"][0]["found"].as_str().expect("text").contains("rewritten"), "{rewritten}");
    home.run(2, ["lake", "verify", "--witness", "no-such-file"]);

    // Signed from the third change on.
    std::fs::remove_dir_all(home.lake()).expect("removed");
    copy_folder(&second, &home.lake());
    let key = home.write("key.pem", PRIVATE_PEM);
    home.write("calltrail.toml", format!("[chain]\nsigning_key = {:?}\n", key.to_string_lossy()));
    let public = home.write("public.pem", PUBLIC_PEM).to_string_lossy().into_owned();
    assert_eq!(json(1, &["--public-key", &public])["problems"][0]["found"], "no change is signed by it");
    home.ingest(&logs[4..6]);
    home.run(0, ["detect", "--quiet", "--rule", "path_traversal"]);
    let signed = json(0, &["--public-key", &public]);
    assert_eq!((&signed["signatures"]["since"], &signed["signatures"]["checked"]), (&3.into(), &true.into()));
    let other = Signer::parse(&"07".repeat(32)).expect("a seed").public_key();
    let options = VerifyOptions { public_keys: vec![other], ..VerifyOptions::default() };
    assert!(verification(&home.lake(), &options).problems[0].file.ends_with("0003.link"));
    // A writer without the key.
    home.write("calltrail.toml", "");
    let unsigned = home.run(0, ["ingest".as_ref(), logs[6].as_os_str()]);
    assert_eq!(unsigned.stderr.matches("--signing-key").count(), 1, "{}", unsigned.stderr);
    home.ingest(&logs[7..8]);
    let missing = json(1, &["--public-key", &public]);
    assert_eq!(missing["problems"][0]["found"], "no signature");
    json(0, &[]);
    home.write("calltrail.toml", format!("[chain]\nsigning_key = {public:?}\n"));
    let refused = home.run(2, ["detect", "--quiet"]);
    assert!(refused.stderr.contains("private key"), "{}", refused.stderr);
}

#[test]
fn keys_and_witnesses_are_read_as_people_write_them() {
    let key = PublicKey::parse(PUBLIC_PEM).expect("PEM");
    assert_eq!(PublicKey::parse(&format!("{key}\n")).expect("hex"), key);
    assert_eq!(Signer::parse(PRIVATE_PEM).expect("PEM").public_key(), key);
    assert!(PublicKey::parse(PRIVATE_PEM).expect_err("private").contains("private key"));
    assert!(Signer::parse("").is_err());
    let hash = "ab".repeat(32);
    let whole = Witness::parse(&format!("7 {hash}")).expect("number and digest");
    assert_eq!(Witness::parse(&format!("verified, head 7 {hash}\n")).expect("a line"), whole);
    assert_eq!(Witness::parse(&format!(r#"{{"head":{{"number":7,"hash":"{hash}"}}}}"#)).expect("JSON"), whole);
    for wrong in ["", "7", "abcd", "{}", &hash[1..]] {
        assert!(Witness::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_a_writer_had_begun_is_explained_and_finished_once() {
    let home = Place::new();
    let logs = sample_logs();
    home.ingest(&logs[..3]);
    // The link cannot be written, everything before it is.
    let obstacle = home.lake().join("_calltrail/chain/00000000000000000002.tmp");
    std::fs::create_dir(&obstacle).expect("folder");
    home.run(1, ["ingest".as_ref(), logs[3].as_os_str()]);
    let found = assert_content(&home.lake());
    assert!(found.left_over.iter().any(|name| name.ends_with("intent.json")), "{found:?}");
    assert_eq!(found.head.expect("a head").number, 1);
    std::fs::remove_dir(&obstacle).expect("removed");
    home.ingest(&logs[3..4]);
    let found = assert_content(&home.lake());
    assert!(found.left_over.is_empty(), "{found:?}");
    assert_eq!(found.changes, found.head.expect("a head").number as u64 + 1);
}

#[test]
fn a_lake_without_a_chain_gets_one_and_a_broken_one_is_not_continued() {
    let home = Place::new();
    let logs = sample_logs();
    home.ingest(&logs[..3]);
    home.ingest(&logs[3..6]);
    // As older versions wrote it.
    std::fs::remove_dir_all(home.lake().join("_calltrail/chain")).expect("removed");
    for commit in files(&home.lake()).iter().filter(|path| path.extension().is_some_and(|end| end == "json")) {
        let text = std::fs::read_to_string(commit).expect("text");
        let parts: Vec<&str> = text.split(r#""tags":{"#).collect();
        let rest = parts[1..].iter().map(|part| part.split_once('}').expect("its end").1);
        let text = rest.fold(parts[0].to_owned(), |text, part| text + r#""tags":null"# + part);
        std::fs::write(commit, text).expect("written");
    }
    assert!(named(&home.lake(), "no chain").found.starts_with("none"));
    let info = home.run(0, ["lake", "info"]).stdout;
    assert!(info.contains("no chain"), "{info}");
    home.ingest(&logs[6..8]);
    let found = assert_content(&home.lake());
    assert_eq!((found.since.expect("a start").number, found.changes), (2, 2));
    let data = names(&home.lake()).into_iter().find(|name| kind_of(name) == "data").expect("data");
    let bytes = std::fs::read(home.lake().join(&data)).expect("readable");
    std::fs::write(home.lake().join(&data), [&bytes[..], b" "].concat()).expect("written");
    assert_eq!(named(&home.lake(), "an older data file").file, data);
    std::fs::write(home.lake().join(&data), bytes).expect("written");

    std::fs::remove_file(home.lake().join("_calltrail/chain/00000000000000000003.link")).expect("removed");
    let refused = home.run(1, ["ingest".as_ref(), logs[9].as_os_str()]);
    assert!(refused.stderr.contains("lake verify"), "{}", refused.stderr);
}

#[test]
fn signatures_of_mcp_audit_are_judged_when_a_key_is_given() {
    let home = Place::new();
    let key = home.write("secret", "a sufficiently long test secret\n").to_string_lossy().into_owned();
    let log = repository("sample-logs/mcp_audit_signed/release_proxy.jsonl").to_string_lossy().into_owned();
    let said = home.run(0, ["ingest", "--format", "json", "--mcp-audit-key", &key, &log]);
    let (counts, expected) =
        (said.json()["signatures"].clone(), serde_json::json!({"verified": 18, "wrong": 1, "missing": 1}));
    assert_eq!(counts, expected);
    assert!(said.stderr.contains("1 records with a wrong signature"), "{}", said.stderr);
    let wrong = "SELECT source_line FROM calls WHERE array_has(parse_flags, 'signature_wrong')";
    assert_eq!(home.one(wrong), 18);
    home.write("empty", "\n");
    home.run(2, ["ingest", "--mcp-audit-key", "empty", &log]);
    let other = Place::new();
    let none = other.ingest([&log])["signatures"]["verified"].clone();
    assert_eq!((none, other.one(wrong)), (0.into(), Value::Null), "no key, no verdict");
}

/// The trace of a file that was changed must not leave the lake with the file.
#[test]
fn what_was_changed_before_it_was_replaced_or_removed_is_named_afterwards() {
    let place = crate::keep::scattered();
    let data = names(&place.lake()).into_iter().find(|name| name.starts_with("calls/day=2026-11-09/")).expect("a file");
    let path = place.lake().join(&data);
    let mut bytes = std::fs::read(&path).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    place.run(0, ["lake", "retain", "--older-than", "2026-11-12"]);
    assert!(!path.exists(), "its day is over");
    let problem = named(&place.lake(), "a file that was changed and removed");
    assert_eq!((problem.file, problem.found.contains("when change")), (data, true));

    let place = crate::keep::scattered();
    let state = "_calltrail/state.zst";
    std::fs::remove_file(place.lake().join(state)).expect("removed");
    place.ingest([place.write(
        "more.jsonl",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"x\"}}\n",
    )]);
    let problem = named(&place.lake(), "a state that was removed before it was replaced");
    assert_eq!(
        (problem.file.as_str(), problem.found.starts_with("no such file, when change")),
        (state, true),
        "{problem:?}"
    );
}
