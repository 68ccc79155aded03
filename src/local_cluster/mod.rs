//! A real etcd and a real kube-apiserver on this machine, for `latchkey demo`, the tests and the benchmarks.
//!
//! Only these two: no controller collects garbage, finishes deleting a namespace or runs a Pod. Storage is not
//! protected from other users of the machine, so this is no place for tokens that matter.
//!
//! What this room must not know: resources, the operator, how to read a command line.

mod access;
mod binaries;
mod error;
mod flags;
mod home;
mod pki;
mod process;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, Config};
use tokio::time::{sleep, timeout};

use access::Access;
pub use binaries::Binaries;
pub use error::Error;
use flags::Ports;
use home::Home;
use pki::Authority;
use process::{Process, Spec};

/// How often a start is tried when another program takes one of the ports first.
const ATTEMPTS: usize = 3;
/// How long the API server may take until it is ready; 4 s are usual.
const READY_SECONDS: u64 = 60;
const POLL: Duration = Duration::from_millis(100);
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// What a local control plane should be like.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where data, certificates and logs go. None: a directory that is removed at the end, however that comes.
    pub data_dir: Option<PathBuf>,
    /// Record every write (who, what, when) in [`LocalCluster::audit_log`].
    pub audit_log: bool,
}

/// A running control plane. It ends with [`stop`](Self::stop), and also when this is dropped or this process ends
/// in any way, `kill -9` included.
pub struct LocalCluster {
    binaries: Binaries,
    ports: Ports,
    url: http::Uri,
    dir: PathBuf,
    temporary: bool,
    audit_log: bool,
    authority: Authority,
    admin: Config,
    etcd: Process,
    apiserver: Option<Process>,
}

impl LocalCluster {
    /// Starts etcd and kube-apiserver on free ports and waits until the API server is ready.
    pub async fn start(binaries: &Binaries, options: Options) -> Result<Self, Error> {
        for attempt in 1..ATTEMPTS {
            match Self::start_once(binaries, &options).await {
                Err(error) if error.is_port_clash() => {
                    tracing::info!(attempt, "another program took a port first: starting again");
                }
                outcome => return outcome,
            }
        }
        Self::start_once(binaries, &options).await
    }

    async fn start_once(binaries: &Binaries, options: &Options) -> Result<Self, Error> {
        let mut cluster = Self::start_etcd(binaries, options)?;
        match cluster.start_apiserver().await {
            Ok(()) => Ok(cluster),
            Err(error) => {
                log_failure(cluster.stop().await);
                Err(error)
            }
        }
    }

    fn start_etcd(binaries: &Binaries, options: &Options) -> Result<Self, Error> {
        let home = Home::new(options.data_dir.as_deref())?;
        let ports = Ports::free()?;
        let url = url_of(ports)?;
        let authority = Authority::new()?;
        let admin = Access { url: &url, authority: &authority }.config("admin", Some("system:masters"))?;
        home.fill(&authority)?;
        let etcd = Process::spawn(Spec {
            name: "etcd",
            program: &binaries.etcd,
            args: flags::etcd(ports, home.path()),
            dir: home.path(),
            temporary: home.temporary(),
        })?;
        Ok(Self {
            binaries: binaries.clone(),
            ports,
            url,
            temporary: home.temporary(),
            dir: home.keep(),
            audit_log: options.audit_log,
            authority,
            admin,
            etcd,
            apiserver: None,
        })
    }

    /// Starts the API server again after [`stop_apiserver`](Self::stop_apiserver), with the same data, port and
    /// certificates, and waits until it is ready. Does nothing when it runs.
    pub async fn start_apiserver(&mut self) -> Result<(), Error> {
        if self.apiserver.is_some() {
            return Ok(());
        }
        // Kept before the first await: a server that is dropped takes a temporary directory with it.
        let apiserver = self.apiserver.insert(Process::spawn(Spec {
            name: "kube-apiserver",
            program: &self.binaries.kube_apiserver,
            args: flags::apiserver(self.ports, &self.dir, self.audit_log),
            dir: &self.dir,
            temporary: self.temporary,
        })?);
        let outcome = wait_until_ready(&self.admin, &mut self.etcd, apiserver).await;
        if outcome.is_err() {
            log_failure(self.stop_apiserver().await);
        }
        outcome
    }

    /// Takes the API server away; its data stays.
    pub async fn stop_apiserver(&mut self) -> Result<(), Error> {
        match self.apiserver.take() {
            Some(apiserver) => apiserver.stop().await,
            None => Ok(()),
        }
    }

    /// Ends both servers in an orderly way, the API server first, and removes the directory if it is a temporary
    /// one.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.stop_apiserver().await?;
        self.etcd.stop().await?;
        if !self.temporary {
            return Ok(());
        }
        let removed = tokio::fs::remove_dir_all(&self.dir).await;
        removed.map_err(|source| Error::Write { path: self.dir, source })
    }

    /// Client configuration of a user who may do everything.
    pub fn admin(&self) -> Config {
        self.admin.clone()
    }

    /// Client configuration of a user of that name, who may do what RBAC lets the user and the group do. One group
    /// at most, because that is what the certificate library can write; everyone is in `system:authenticated`.
    pub fn user(&self, name: &str, group: Option<&str>) -> Result<Config, Error> {
        self.access().config(name, group)
    }

    /// The same as [`user`](Self::user) in YAML, for kubectl and other programs.
    pub fn kubeconfig(&self, name: &str, group: Option<&str>) -> Result<String, Error> {
        self.access().kubeconfig(name, group)
    }

    fn access(&self) -> Access<'_> {
        Access { url: &self.url, authority: &self.authority }
    }

    /// The API server's address.
    pub fn url(&self) -> &http::Uri {
        &self.url
    }

    /// The address of etcd's client API, for what the API server would not let in.
    pub fn etcd_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.etcd)
    }

    /// The kubectl that belongs to this API server.
    pub fn kubectl(&self) -> &Path {
        &self.binaries.kubectl
    }

    /// Where data, certificates and logs are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The audit log, one JSON event a line, if one was asked for.
    pub fn audit_log(&self) -> Option<PathBuf> {
        self.audit_log.then(|| self.dir.join(flags::AUDIT_LOG_FILE))
    }
}

/// What led to this end is the better error to return.
fn log_failure(outcome: Result<(), Error>) {
    if let Err(error) = outcome {
        tracing::warn!(%error, "could not clean up after a failed start");
    }
}

fn url_of(ports: Ports) -> Result<http::Uri, Error> {
    let uri = http::Uri::builder().scheme("https").path_and_query("/");
    let uri = uri.authority(format!("127.0.0.1:{}", ports.apiserver)).build();
    uri.map_err(|error| Error::Kubeconfig { user: "admin".to_owned(), reason: error.to_string() })
}

/// A server that dies is noticed at once, and before anybody else who answers on its port is believed.
async fn wait_until_ready(admin: &Config, etcd: &mut Process, apiserver: &mut Process) -> Result<(), Error> {
    let client = Client::try_from(admin.clone()).map_err(|error| Error::Client(Box::new(error)))?;
    let mut last = String::from("it was never reached");
    tokio::select! {
        biased;
        error = etcd.ended() => Err(error),
        error = apiserver.ended() => Err(error),
        () = poll(&client, &mut last) => Ok(()),
        () = sleep(Duration::from_secs(READY_SECONDS)) => Err(apiserver.not_ready(READY_SECONDS, last)),
    }
}

async fn poll(client: &Client, last: &mut String) {
    loop {
        match timeout(PROBE_TIMEOUT, probe(client)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => *last = error.to_string(),
            Err(_) => *last = format!("no answer within {} s", PROBE_TIMEOUT.as_secs()),
        }
        sleep(POLL).await;
    }
}

/// Ready, and the namespace that every client expects is there: the API server makes it a little later.
async fn probe(client: &Client) -> Result<(), kube::Error> {
    let mut request = http::Request::new(Vec::new());
    *request.uri_mut() = http::Uri::from_static("/readyz");
    client.request_text(request).await?;
    Api::<Namespace>::all(client.clone()).get("default").await?;
    Ok(())
}
