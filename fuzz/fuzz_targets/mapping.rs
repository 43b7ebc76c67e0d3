//! Mappings from the text of a configuration, and records for them; drafts for any log.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| calltrail_fuzz::mapping::check(data));

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let changed = if seed % 3 == 0 { 0 } else { calltrail_fuzz::mutate::change(data, size, max_size, seed) };
    if changed > 0 { changed } else { libfuzzer_sys::fuzzer_mutate(data, size, max_size) }
});
