//! Behaviour on a real etcd and kube-apiserver: one control plane for all tests, one namespace for each.
//!
//! The control plane's programs come from `hack/control-plane/install`, which looks at `KUBEBUILDER_ASSETS` first.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod bad_input;
mod crash;
mod gitops;
mod lifecycle;
mod process;
mod reveal;
mod secrets;
mod slots;
mod support;
mod tenant;

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;
use support::World;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    if arguments.list {
        return libtest_mimic::run(&arguments, all()).exit_code();
    }
    // Most of a test is waiting, so that more of them than there are cores can run at once.
    arguments.test_threads.get_or_insert(12);
    let world = World::start();
    let conclusion = libtest_mimic::run(&arguments, all());
    let leaks = world.leaks();
    for leak in &leaks {
        eprintln!("a token was found where none may be: {leak}");
    }
    world.stop();
    if leaks.is_empty() { conclusion.exit_code() } else { ExitCode::FAILURE }
}

fn all() -> Vec<Trial> {
    [
        lifecycle::trials(),
        slots::trials(),
        secrets::trials(),
        reveal::trials(),
        bad_input::trials(),
        crash::trials(),
        gitops::trials(),
        tenant::trials(),
        process::trials(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
