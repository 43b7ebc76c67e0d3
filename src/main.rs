//! The command line's entry: parse, run, exit code.

use std::process::ExitCode;

// Ingest takes and frees large buffers all the time; this allocator keeps freed pages instead of asking the kernel again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    calltrail::cli::main()
}
