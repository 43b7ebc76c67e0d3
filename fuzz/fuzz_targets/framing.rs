//! Framing, in any sizes of reads, broken off and resumed.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| calltrail_fuzz::framing::check(data));
