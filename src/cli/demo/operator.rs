//! The operator of the demo: this same binary as a process of its own, which ends when the demo does.
//!
//! It runs under the guard of the local cluster's servers, so that it ends even if the demo is killed.

use super::seen::POLL;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::Instant,
};

const GUARD: &str = include_str!("../../local_cluster/guard.sh");
/// The namespace of the operator's own objects.
const NAMESPACE: &str = "latchkey-system";
const LOG: &str = "latchkey.log";
/// How long the operator may take until it is ready.
const READY: Duration = Duration::from_secs(30);
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// How much of the log an error quotes.
const TAIL_LINES: usize = 15;
/// What the operator may know of our environment. A LATCHKEY_ variable would change what is shown.
const PASSED_ON: [&str; 2] = ["PATH", "RUST_LOG"];

/// Why the operator does not run.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum OperatorError {
    #[error("could not find a free port on 127.0.0.1: {0}")]
    Ports(#[source] io::Error),
    #[error("could not start the operator: {0}")]
    Spawn(#[source] io::Error),
    #[error("the operator ended by itself; the end of its log:\n{tail}")]
    Ended { tail: String },
    #[error("the operator was not ready within {} s ({last}); the end of its log:\n{tail}", READY.as_secs())]
    NotReady { last: String, tail: String },
    #[error("could not end the operator in an orderly way: {0}; it ends with this process")]
    Stop(#[source] io::Error),
}

/// Where the operator listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    pub(super) http: SocketAddr,
    pub(super) admin: SocketAddr,
}

impl Addresses {
    /// Addresses that are free now; another program may be quicker than the operator.
    pub(super) fn free() -> Result<Self, OperatorError> {
        let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let addresses = || {
            let (http, admin) = (listen()?, listen()?);
            Ok(Self { http: http.local_addr()?, admin: admin.local_addr()? })
        };
        addresses().map_err(OperatorError::Ports)
    }

    fn flags(self) -> [String; 7] {
        let Self { http, admin } = self;
        ["run", "--namespace", NAMESPACE, "--http", &http.to_string(), "--admin", &admin.to_string()]
            .map(str::to_owned)
    }
}

/// How a person would start the operator.
pub(super) fn command_line(addresses: Addresses) -> String {
    format!("latchkey {} &", addresses.flags().join(" "))
}

/// The running operator. Dropping it ends the operator too.
pub(super) struct Operator {
    admin: SocketAddr,
    log: PathBuf,
    guard: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl Operator {
    /// Starts the operator with the kubeconfig in `dir`, and its log beside it.
    pub(super) fn start(dir: &Path, addresses: Addresses) -> Result<Self, OperatorError> {
        let log = dir.join(LOG);
        let program = std::env::current_exe().map_err(OperatorError::Spawn)?;
        let mut guard =
            guard_command(dir, &log, &program, addresses).spawn().map_err(OperatorError::Spawn)?;
        let (Some(stdin), Some(stdout)) = (guard.stdin.take(), guard.stdout.take()) else {
            return Err(OperatorError::Spawn(io::Error::other("its guard has no pipes")));
        };
        Ok(Self { admin: addresses.admin, log, guard, stdin, stdout })
    }

    /// Waits until the operator says that it is ready, and tells how long that took.
    pub(super) async fn ready(&mut self) -> Result<Duration, OperatorError> {
        let (begun, mut last) = (Instant::now(), "it was never reached".to_owned());
        let polled = poll(self.admin, &mut last);
        let outcome = tokio::select! {
            polled = tokio::time::timeout(READY, polled) => polled,
            ended = self.ended() => return Err(ended),
        };
        match outcome {
            Ok(()) => Ok(begun.elapsed()),
            Err(_) => Err(OperatorError::NotReady { last, tail: self.tail() }),
        }
    }

    /// Waits until the operator has ended by itself. Can be dropped and called again.
    pub(super) async fn ended(&mut self) -> OperatorError {
        // The guard writes one line when the operator has ended; what it says is in the log too.
        let _ = self.stdout.read(&mut [0; 16]).await;
        OperatorError::Ended { tail: self.tail() }
    }

    /// Ends the operator in an orderly way and waits for it.
    pub(super) async fn stop(mut self) -> Result<(), OperatorError> {
        self.stdin.write_all(b"stop\nkeep\n").await.map_err(OperatorError::Stop)?;
        self.guard.wait().await.map(drop).map_err(OperatorError::Stop)
    }

    /// The file that the operator logs to.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// The end of the log.
    pub(super) fn tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

/// A process group of its own: Ctrl-C in the terminal is for the demo to handle.
fn guard_command(dir: &Path, log: &Path, program: &Path, addresses: Addresses) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", GUARD, "latchkey-guard"])
        .arg(log)
        .arg("")
        .arg(program)
        .args(addresses.flags())
        .env_clear()
        .envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .env("NO_COLOR", "1")
        .env("KUBECONFIG", dir.join("kubeconfig"))
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0);
    command
}

async fn poll(admin: SocketAddr, last: &mut String) {
    loop {
        match probe(admin).await {
            Ok(answer) if answer.status().is_success() => return,
            Ok(answer) => *last = answer.text().await.unwrap_or_default().trim_end().to_owned(),
            Err(error) => *last = error.to_string(),
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn probe(admin: SocketAddr) -> reqwest::Result<reqwest::Response> {
    let client = reqwest::Client::builder().no_proxy().timeout(PROBE_TIMEOUT).build()?;
    client.get(format!("http://{admin}/readyz")).send().await
}
