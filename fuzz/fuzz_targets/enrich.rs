//! Enrichment of one payload with a planted secret.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| calltrail_fuzz::payload::check(data));
