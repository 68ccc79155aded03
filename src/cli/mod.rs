//! The command line: one file per command.

mod admin;
mod crds;
mod demo;
mod docs;
mod run;
mod watches;

pub use run::RunArgs;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// API keys as Kubernetes resources: issued, limited, rotated, expired, revoked, and checked at the gateway.
#[derive(Debug, Parser)]
#[command(name = "latchkey", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the operator: controllers and the door that gateways ask.
    Run(Box<RunArgs>),
    /// Show it all on this machine: a cluster, the operator, and a walk through a key's life.
    Demo(demo::DemoArgs),
    /// Print the custom resource definitions as YAML.
    Crds(crds::CrdsArgs),
    /// Write the pages of the documentation that are made from the code.
    Docs(docs::DocsArgs),
}

impl Cli {
    /// Carries out the command.
    pub fn execute(self) -> ExitCode {
        // Both the API server's client and others bring TLS; the provider is chosen once, before any of them.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let result = match self.command {
            Command::Run(args) => run::run(*args).map_err(|error| error.to_string()),
            Command::Demo(args) => demo::demo(&args).map_err(|error| error.to_string()),
            Command::Crds(args) => crds::crds(&args).map_err(|error| error.to_string()),
            Command::Docs(args) => docs::docs(&args).map_err(|error| error.to_string()),
        };
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("latchkey: {error}");
                ExitCode::FAILURE
            }
        }
    }
}
