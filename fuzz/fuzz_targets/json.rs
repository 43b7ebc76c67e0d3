//! JSON: the walk, the members and the tape against serde_json.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| calltrail_fuzz::json::check(data));
