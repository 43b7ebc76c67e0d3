//! Enrichment of 64 KiB of anything: time must not grow faster than size.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| calltrail_fuzz::payload::check_large(data));
