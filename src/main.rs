//! The `latchkey` binary.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    latchkey::cli::Cli::parse().execute()
}
