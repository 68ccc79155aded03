//! `latchkey run`: wiring, and an orderly end.

use super::admin;
use crate::{
    cluster::{client, lease, watch},
    controllers::{self, Controllers, Subscriptions},
    resources::{ManagementKey, Organization, User},
    telemetry::{self, LogFormat},
};
use clap::{ArgAction, Args, ValueEnum};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Api, Client, api::PartialObjectMeta, core::DeserializeGuard, runtime::watcher};
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
    #[arg(
        long,
        env = "LATCHKEY_ROLES",
        value_delimiter = ',',
        default_value = "controller,verifier"
    )]
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
    let (Ok(mut term), Ok(mut interrupt)) = (
        unix::signal(unix::SignalKind::terminate()),
        unix::signal(unix::SignalKind::interrupt()),
    ) else {
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
    let mut parts = Parts {
        tasks: JoinSet::new(),
        stop: stop.clone(),
    };
    let controls = args.roles.contains(&Role::Controller);
    let caches_ready = Arc::new(AtomicBool::new(!controls));
    let mut checks: Vec<admin::Check> = Vec::new();
    let ready = Arc::clone(&caches_ready);
    checks.push((
        "the controllers' caches",
        Box::new(move || ready.load(Ordering::Relaxed)),
    ));
    let registry = Registry::with_prefix("latchkey");
    parts.serve("admin listener", admin_listener, admin::router(checks, registry));
    let begin = begin(args, client, caches_ready, stop.clone());
    parts.tasks.spawn(async move { begin.await });
    parts.run().await
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
            let served = axum::serve(
                listener,
                router.into_make_service_with_connect_info::<SocketAddr>(),
            );
            match served
                .with_graceful_shutdown(stop.clone().cancelled_owned())
                .await
            {
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
            result = first
                .unwrap_or(Ok(Ok(())))
                .unwrap_or(Err(RunError::PartEnded("task")));
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
    TcpListener::bind(address)
        .await
        .map_err(|source| RunError::Listen { address, source })
}

/// Starts the controllers and the watches, once the API server answers.
async fn begin(
    args: RunArgs,
    client: Client,
    caches_ready: Arc<AtomicBool>,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let namespace = args
        .namespace
        .clone()
        .unwrap_or_else(|| client.default_namespace().to_owned());
    let prepared = tokio::select! {
        prepared = prepare(&args, &client, &namespace) => prepared,
        () = stop.cancelled() => return Ok(()),
    };
    let (controllers, subscriptions) = prepared;
    let mut watches = watch_all(&client, subscriptions);
    let lead = lead(
        &args,
        &client,
        &namespace,
        &controllers,
        &caches_ready,
        stop.clone(),
    );
    tokio::select! {
        () = lead => Ok(()),
        _ = watches.join_next() => Err(RunError::PartEnded("watch")),
    }
}

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

fn watch_all(client: &Client, subscriptions: Subscriptions) -> JoinSet<()> {
    let Subscriptions {
        organizations,
        users,
        management_keys,
        namespaces,
        secrets,
    } = subscriptions;
    let mut watches = JoinSet::new();
    watches.spawn(watch::follow(
        Api::<DeserializeGuard<Organization>>::all(client.clone()),
        vec![organizations],
    ));
    watches.spawn(watch::follow(
        Api::<DeserializeGuard<User>>::all(client.clone()),
        vec![users],
    ));
    watches.spawn(watch::follow(
        Api::<DeserializeGuard<ManagementKey>>::all(client.clone()),
        vec![management_keys],
    ));
    let namespaces_api = Api::<PartialObjectMeta<Namespace>>::all(client.clone());
    watches.spawn(watch::follow_metadata(
        namespaces_api,
        watcher::Config::default(),
        vec![namespaces],
    ));
    let secrets_api = Api::<PartialObjectMeta<Secret>>::all(client.clone());
    let ours = watcher::Config::default().labels(&controllers::secrets_watched());
    watches.spawn(watch::follow_metadata(secrets_api, ours, vec![secrets]));
    watches
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
            lease::hold(
                client,
                namespace,
                &lease_name(args),
                &identity(args),
                &leading_sender,
                &stop,
            )
            .await;
        } else {
            stop.cancelled().await;
        }
        leading_sender.send_replace(false);
        drop(leading_sender);
    };
    futures::join!(controllers.lead(leading), follow_lease);
}

fn lease_name(args: &RunArgs) -> String {
    args.shard
        .as_ref()
        .map_or_else(|| "latchkey".to_owned(), |shard| format!("latchkey-{shard}"))
}

/// The host and the admin address tell apart all processes that run at one time, and stay when one is restarted.
fn identity(args: &RunArgs) -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "localhost".to_owned());
    format!("{host}_{}", args.admin)
}
