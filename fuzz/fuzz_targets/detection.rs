//! Whose a record is, one a line, whatever is asked first.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| calltrail_fuzz::decode::check_detection(data));

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let changed = if seed % 3 == 0 { 0 } else { calltrail_fuzz::mutate::change(data, size, max_size, seed) };
    if changed > 0 { changed } else { libfuzzer_sys::fuzzer_mutate(data, size, max_size) }
});
