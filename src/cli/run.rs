//! `latchkey run`: wiring, and an orderly end.

use super::{admin, watches::Watches};
use crate::{
    cluster::{client, lease},
    controllers::{self, Controllers, Subscriptions},
    policy::AddressRanges,
    telemetry::{self, LogFormat},
    verifier::{self, Decisions, DoorState, Index},
};
use clap::{ArgAction, Args, ValueEnum};
use jiff::Timestamp;
use kube::Client;
use prometheus_client::registry::Registry;
use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, signal::unix, sync::watch as flag, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// How long an orderly end may take; what isn't done by then is cut off.
const LONGEST_END: Duration = Duration::from_secs(4);
/// The pause between two attempts to begin.
const PAUSE: Duration = Duration::from_millis(500);

/// Parts of Latchkey that one process can play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Issues keys and writes statuses.
    Controller,
    /// Answers gateways.
    Verifier,
}

/// Flags of `latchkey run`.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Address of the HTTP listener, with the forward-auth door.
    #[arg(long, env = "LATCHKEY_HTTP", default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Address of the gRPC listener. Nothing is served there yet.
    #[arg(long, env = "LATCHKEY_GRPC", default_value = "127.0.0.1:8082")]
    grpc: SocketAddr,
    /// Address of the admin listener: /healthz, /readyz, /metrics.
    #[arg(long, env = "LATCHKEY_ADMIN", default_value = "127.0.0.1:8081")]
    admin: SocketAddr,
    /// Folder for data that outlives the process. Nothing is kept there yet: the cluster holds everything.
    #[arg(long, env = "LATCHKEY_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// The parts to play.
    #[arg(long, env = "LATCHKEY_ROLES", value_delimiter = ',', default_value = "controller,verifier")]
    roles: Vec<Role>,
    /// Whether controllers compete for a Lease. Without it several may run at once, which is safe but wasteful.
    #[arg(long, env = "LATCHKEY_LEADER_ELECT", default_value_t = true, action = ArgAction::Set,
        num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    leader_elect: bool,
    /// Namespace of Latchkey's own objects: the Lease and the sealing key. Default: the pod's, or the kubeconfig's.
    #[arg(long, env = "LATCHKEY_NAMESPACE")]
    namespace: Option<String>,
    /// Look after the organizations whose label latchkey.dev/shard has this value only, instead of those without one.
    #[arg(long, env = "LATCHKEY_SHARD")]
    shard: Option<String>,
    /// Whether to make the organization `default`, which takes every namespace that no other one selects.
    #[arg(long, env = "LATCHKEY_DEFAULT_ORGANIZATION", default_value_t = true, action = ArgAction::Set,
        num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    default_organization: bool,
    /// Address ranges of gateways whose X-Forwarded-For is believed.
    #[arg(
        long,
        env = "LATCHKEY_TRUSTED_PROXIES",
        value_delimiter = ',',
        default_value = "127.0.0.0/8,::1/128"
    )]
    trusted_proxies: Vec<String>,
    /// How log lines are written.
    #[arg(long, env = "LATCHKEY_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
}

/// Why the operator could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The runtime could not be started.
    #[error("starting the runtime failed: {0}")]
    Runtime(#[source] io::Error),
    /// An address can't be listened on.
    #[error("listening on {address} failed: {source}; is another process using it?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// There is no cluster.
    #[error(transparent)]
    Connect(#[from] client::ConnectError),
    /// Something in the flags can't be used.
    #[error("--trusted-proxies: {0}")]
    TrustedProxies(#[from] crate::policy::InvalidRange),
    /// There are no random bytes.
    #[error("drawing random bytes from the operating system failed: {0}")]
    Random(#[source] rand::rngs::SysError),
    /// A part that must go on ended.
    #[error("the {0} ended; the process ends with it, so that it is started anew")]
    PartEnded(&'static str),
}

pub(super) fn run(args: RunArgs) -> Result<(), RunError> {
    telemetry::start(args.log_format);
    let runtime = tokio::runtime::Runtime::new().map_err(RunError::Runtime)?;
    let result = runtime.block_on(async {
        let stop = CancellationToken::new();
        tokio::spawn(cancel_on_signal(stop.clone()));
        let client = client::connect().await?;
        serve(args, client, stop).await
    });
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

async fn cancel_on_signal(stop: CancellationToken) {
    let (Ok(mut term), Ok(mut interrupt)) =
        (unix::signal(unix::SignalKind::terminate()), unix::signal(unix::SignalKind::interrupt()))
    else {
        tracing::error!("signals can't be handled; end the process with SIGKILL");
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    stop.cancel();
}

/// Runs the operator until `stop` is cancelled or a part that must go on ends.
pub async fn serve(args: RunArgs, client: Client, stop: CancellationToken) -> Result<(), RunError> {
    let admin_listener = listen(args.admin).await?;
    let mut parts = Parts { tasks: JoinSet::new(), stop: stop.clone() };
    let mut checks: Vec<admin::Check> = Vec::new();
    let mut registry = Registry::default();
    let mut watches = Watches::default();
    if args.roles.contains(&Role::Verifier) {
        let listener = listen(args.http).await?;
        let index = Arc::new(Index::new());
        let door = door(&args, &index, &mut registry)?;
        parts.serve("HTTP listener", listener, verifier::router(Arc::new(door)));
        watches.add_verifier(&index);
        checks.push(("the verifier's index", Box::new(move || index.is_complete())));
    }
    let caches_ready = Arc::new(AtomicBool::new(!args.roles.contains(&Role::Controller)));
    let ready = Arc::clone(&caches_ready);
    checks.push(("the controllers' caches", Box::new(move || ready.load(Ordering::Relaxed))));
    parts.serve("admin listener", admin_listener, admin::router(checks, registry));
    parts.tasks.spawn(follow(args, client, watches, caches_ready, stop));
    parts.run().await
}

fn door(args: &RunArgs, index: &Arc<Index>, registry: &mut Registry) -> Result<DoorState, RunError> {
    let trusted = AddressRanges::parse(&args.trusted_proxies)?;
    verifier::register_index(registry, index);
    let decisions = Decisions::register(registry);
    DoorState::new(Arc::clone(index), trusted, decisions, Timestamp::now).map_err(RunError::Random)
}

/// Tasks without which the process has no purpose.
struct Parts {
    tasks: JoinSet<Result<(), RunError>>,
    stop: CancellationToken,
}

impl Parts {
    fn serve(&mut self, name: &'static str, listener: TcpListener, router: axum::Router) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let served = axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>());
            match served.with_graceful_shutdown(stop.clone().cancelled_owned()).await {
                Ok(()) if stop.is_cancelled() => Ok(()),
                _ => Err(RunError::PartEnded(name)),
            }
        });
    }

    /// Waits for the end of all, or of the first that should not have ended.
    async fn run(mut self) -> Result<(), RunError> {
        let mut result = Ok(());
        let first = self.tasks.join_next().await;
        if !self.stop.is_cancelled() {
            result = first.unwrap_or(Ok(Ok(()))).unwrap_or(Err(RunError::PartEnded("task")));
            self.stop.cancel();
        }
        let rest = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(LONGEST_END, rest).await.is_err() {
            tracing::warn!("not everything ended in time");
        }
        result
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, source })
}

/// Follows the API server, and reconciles if the controller's part is played.
async fn follow(
    args: RunArgs,
    client: Client,
    mut watches: Watches,
    caches_ready: Arc<AtomicBool>,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let namespace = args.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let mut controllers = None;
    if args.roles.contains(&Role::Controller) {
        let (prepared, subscriptions) = tokio::select! {
            prepared = prepare(&args, &client, &namespace) => prepared,
            () = stop.cancelled() => return Ok(()),
        };
        watches.add_controllers(subscriptions);
        controllers = Some(prepared);
    }
    let mut watches = watches.start(&client);
    let reconcile = async {
        match &controllers {
            Some(controllers) => {
                lead(&args, &client, &namespace, controllers, &caches_ready, stop.clone()).await
            }
            None => stop.cancelled().await,
        }
    };
    tokio::select! {
        () = reconcile => Ok(()),
        _ = watches.join_next() => Err(RunError::PartEnded("watch")),
    }
}

/// Makes the controllers, once the API server answers.
async fn prepare(args: &RunArgs, client: &Client, namespace: &str) -> (Controllers, Subscriptions) {
    loop {
        let options = controllers::Options {
            clock: Timestamp::now,
            namespace: namespace.to_owned(),
            shard: args.shard.clone(),
            default_organization: args.default_organization,
        };
        match controllers::prepare(client.clone(), options).await {
            Ok(prepared) => return prepared,
            Err(error) => tracing::warn!(%error, "the controllers can't begin yet; trying again"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Reconciles while this process leads, until it stops.
async fn lead(
    args: &RunArgs,
    client: &Client,
    namespace: &str,
    controllers: &Controllers,
    caches_ready: &AtomicBool,
    stop: CancellationToken,
) {
    if controllers.ready().await.is_err() {
        return;
    }
    caches_ready.store(true, Ordering::Relaxed);
    let (leading_sender, leading) = flag::channel(!args.leader_elect);
    let follow_lease = async {
        if args.leader_elect {
            lease::hold(client, namespace, &lease_name(args), &identity(args), &leading_sender, &stop).await;
        } else {
            stop.cancelled().await;
        }
        leading_sender.send_replace(false);
        drop(leading_sender);
    };
    futures::join!(controllers.lead(leading), follow_lease);
}

fn lease_name(args: &RunArgs) -> String {
    args.shard.as_ref().map_or_else(|| "latchkey".to_owned(), |shard| format!("latchkey-{shard}"))
}

/// The host and the admin address tell apart all processes that run at one time, and stay when one is restarted.
fn identity(args: &RunArgs) -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "localhost".to_owned());
    format!("{host}_{}", args.admin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Command;

    #[test]
    fn every_flag_has_its_environment_variable() {
        let command = RunArgs::augment_args(Command::new("run"));
        for flag in command.get_arguments() {
            let name = flag.get_long().unwrap().replace('-', "_").to_uppercase();
            assert_eq!(flag.get_env().unwrap().to_str(), Some(&*format!("LATCHKEY_{name}")));
        }
    }
}
