//! `latchkey demo`: a cluster, the operator and a walk through a key's life, on this machine.
//!
//! Every step is checked against what is really seen, so that a demo that ends well is a proof that the whole works.

mod chapters;
mod door;
mod operator;
mod seen;
mod stage;

use crate::{
    cluster::client::ConnectError,
    local_cluster::{self, Binaries, LocalCluster, Options},
};
use clap::{Args, builder::FalseyValueParser};
use operator::{Addresses, Operator, OperatorError};
use seen::StepError;
use stage::Stage;
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Flags of `latchkey demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Folder with etcd, kube-apiserver and kubectl, as hack/control-plane/install prints it.
    #[arg(long, env = "KUBEBUILDER_ASSETS", value_name = "DIR")]
    assets: PathBuf,
    /// End after the walk instead of staying up. The exit status is 0 only if every step showed what it should.
    #[arg(long, env = "DEMO_EXIT", value_parser = FalseyValueParser::new())]
    exit: bool,
}

/// Why the demo did not end well.
#[derive(Debug, thiserror::Error)]
pub(super) enum DemoError {
    #[error("starting the runtime failed: {0}")]
    Runtime(#[source] io::Error),
    #[error("signals can't be handled: {0}")]
    Signals(#[source] io::Error),
    #[error(transparent)]
    Cluster(#[from] local_cluster::Error),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Operator(#[from] OperatorError),
    #[error("could not write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("no HTTP client can be made: {0}")]
    Door(#[source] reqwest::Error),
    #[error("in \"{chapter}\": {source}")]
    Step { chapter: &'static str, source: StepError },
    #[error("interrupted before the walk was over")]
    Interrupted,
}

pub(super) fn demo(args: &DemoArgs) -> Result<(), DemoError> {
    let runtime = tokio::runtime::Runtime::new().map_err(DemoError::Runtime)?;
    let result = runtime.block_on(play(args));
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

/// What Ctrl-C and an orderly end from outside look like.
struct Interruption {
    interrupt: Signal,
    terminate: Signal,
}

impl Interruption {
    fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn heard(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

async fn play(args: &DemoArgs) -> Result<(), DemoError> {
    let mut interruption = Interruption::listen().map_err(DemoError::Signals)?;
    let cluster = tokio::select! {
        cluster = start_cluster(&args.assets) => cluster?,
        () = interruption.heard() => return Err(DemoError::Interrupted),
    };
    let result = with_cluster(args, &cluster, &mut interruption).await;
    let stopped = cluster.stop().await;
    result.and(stopped.map_err(DemoError::from))
}

async fn start_cluster(assets: &Path) -> Result<LocalCluster, DemoError> {
    stage::say("Starting etcd and kube-apiserver on this machine.");
    Ok(LocalCluster::start(&Binaries::locate(assets)?, Options::default()).await?)
}

async fn with_cluster(
    args: &DemoArgs,
    cluster: &LocalCluster,
    interruption: &mut Interruption,
) -> Result<(), DemoError> {
    let addresses = Addresses::free()?;
    let stage = set_stage(cluster, addresses)?;
    introduce(cluster);
    let mut operator = tokio::select! {
        operator = install(cluster, &stage, addresses) => operator?,
        () = interruption.heard() => return Err(DemoError::Interrupted),
    };
    let result = perform(args.exit, &stage, &mut operator, interruption).await;
    let stopped = operator.stop().await;
    result.and(stopped.map_err(DemoError::from))
}

/// Writes what the commands of the walk need into the cluster's folder, so that anybody can type them there.
fn set_stage(cluster: &LocalCluster, addresses: Addresses) -> Result<Stage, DemoError> {
    let kubeconfig = cluster.kubeconfig("admin", Some("system:masters"))?;
    write(&cluster.dir().join("kubeconfig"), &kubeconfig)?;
    for (name, content) in chapters::FILES {
        write(&cluster.dir().join(name), content)?;
    }
    Stage::new(cluster, addresses)
}

/// Writes a file that only its owner can read: the kubeconfig lets its reader do everything.
fn write(path: &Path, content: &str) -> Result<(), DemoError> {
    let failed = |source| DemoError::Write { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(path);
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(failed)?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(path);
    file.and_then(|mut file| io::Write::write_all(&mut file, content.as_bytes())).map_err(failed)
}

fn introduce(cluster: &LocalCluster) {
    let tools = cluster.kubectl().parent().unwrap_or(cluster.kubectl());
    stage::say(&format!(
        "\nAn API server without nodes answers at {}. To type along, in another terminal:\n\n  \
         $ cd {}\n  $ export KUBECONFIG=$PWD/kubeconfig PATH=$PATH:{}",
        cluster.url(),
        cluster.dir().display(),
        tools.display()
    ));
}

async fn install(cluster: &LocalCluster, stage: &Stage, addresses: Addresses) -> Result<Operator, DemoError> {
    chapters::chapter("1. Install", chapters::install(stage)).await?;
    stage::command(&operator::command_line(addresses));
    let mut operator = Operator::start(cluster.dir(), addresses)?;
    let took = operator.ready().await?;
    stage::checked(&format!("the operator was ready after {} ms", took.as_millis()));
    Ok(operator)
}

/// Walks, and stays up unless asked to end. The operator must not end by itself meanwhile.
async fn perform(
    exit: bool,
    stage: &Stage,
    operator: &mut Operator,
    interruption: &mut Interruption,
) -> Result<(), DemoError> {
    let mut interrupted = pin!(interruption.heard());
    let walked = tokio::select! {
        walked = chapters::walk(stage) => walked,
        ended = operator.ended() => return Err(ended.into()),
        () = &mut interrupted => return Err(DemoError::Interrupted),
    };
    match &walked {
        Ok(()) => stage::say("\nEvery step showed what it should."),
        Err(error) => {
            let log = operator.tail();
            stage::say(&format!("\nFAILED: {error}\n\nThe end of the operator's log:\n{log}"));
        }
    }
    if exit {
        return walked;
    }
    stage::say(&stage.standing_invitation(operator));
    tokio::select! {
        ended = operator.ended() => return Err(ended.into()),
        () = &mut interrupted => stage::say("\nStopping."),
    }
    walked
}
