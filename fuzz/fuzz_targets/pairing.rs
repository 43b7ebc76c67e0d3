//! Pairing of messages in any order.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| calltrail_fuzz::pairing::check(data));
