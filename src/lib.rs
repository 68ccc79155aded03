//! Latchkey: API keys as Kubernetes resources.
//!
//! The binary `latchkey` is a thin shell over this library, so that tests and benchmarks use what it uses.
//! `docs/architecture.md` says what each module is for and what it must not know.

pub mod cli;
pub mod cluster;
pub mod controllers;
pub mod lifecycle;
pub mod local_cluster;
pub mod policy;
pub mod resources;
pub mod telemetry;
pub mod token;
pub mod verifier;
