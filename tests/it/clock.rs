//! A clock that jumps, days ahead and back, between ingests and in the middle of one: the rows of an undisturbed run, and a lake
//! that verifies. libfaketime (installed by `tests/install.sh`) lies to the binary about the time.

use crate::common::{Place, Said, assert_same, copy_folder};
use crate::crash::capture;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

#[test]
fn a_clock_that_jumps_changes_no_row() {
    let Some(library) = glob::glob("/usr/lib/*/faketime/libfaketime.so.1").expect("a pattern").find_map(Result::ok)
    else {
        return eprintln!("no libfaketime: a clock that jumps is not tested");
    };
    let text = capture(900);
    let third = |n: usize| text[..text.len() * n / 3].rfind('\n').map_or(0, |at| at + 1);
    let home = Place::new();
    let log = home.write("logs/capture.jsonl", &text);
    let empty = home.path("empty-lake");
    let nothing = home.write("empty/nothing.txt", "nothing that is a log\n");
    home.command(["ingest".as_ref(), nothing.as_os_str()]).output().expect("the binary starts");
    copy_folder(&home.lake(), &empty);
    home.ingest([&log]);
    let mut expected = home.contents();

    std::fs::remove_dir_all(home.lake()).expect("removed");
    copy_folder(&empty, &home.lake());
    let offset = home.write("offset", "+0");
    for (part, jump) in ["+40d", "-400d"].into_iter().enumerate() {
        home.write("logs/capture.jsonl", &text[..third(part + 1)]);
        std::fs::write(&offset, jump).expect("written");
        let output = lied_to(ingest(&home, &log), &library, &offset).output().expect("the binary starts");
        Said::new(0, &output);
    }
    home.write("logs/capture.jsonl", &text);
    let mut child = lied_to(ingest(&home, &log), &library, &offset).spawn().expect("the binary starts");
    for jump in ["+1d", "-3h", "+9d", "-30d", "+2s"].iter().cycle() {
        // Replaced as a whole: the library must not read half a line.
        std::fs::rename(home.write("next", jump), &offset).expect("replaced");
        std::thread::sleep(Duration::from_millis(15));
        if child.try_wait().expect("status").is_some() {
            break;
        }
    }
    Said::new(0, &child.wait_with_output().expect("ended"));
    let days = home.one("SELECT count(DISTINCT CAST(ingested_at AS DATE)) FROM calls");
    assert!(days.as_i64() > Some(2), "the clock did not jump: {days} days");
    let mut found = home.contents();
    // The same bytes, read in other portions.
    found.remove("sources");
    expected.remove("sources");
    assert_same("a jumping clock", &expected, &found);
    home.assert_nothing_lost();
    home.run(0, ["lake", "verify"]);
}

fn ingest(home: &Place, log: &Path) -> Command {
    home.command(["ingest", "--commit-every", "64KiB"].map(AsRef::as_ref).into_iter().chain([log.as_os_str()]))
}

/// The wall clock of the command is off by what the file says, from one moment to the next.
fn lied_to(mut command: Command, library: &Path, offset: &Path) -> Command {
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", offset)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1");
    command
}
