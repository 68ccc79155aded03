//! An operator: the real binary, as a process of its own.

use super::{PATIENCE, World, door::Door, eventually};
use std::{
    net::TcpListener,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

/// Runs the operator until the test process is gone, however it ends, and tells its pid and its exit code.
const GUARD: &str = r#"exec 3<&0 </dev/null; log=$1; shift; "$@" >>"$log" 2>&1 3<&- & pid=$!; echo "$pid"
(read -r _ <&3; kill -KILL "$pid") >/dev/null 2>&1 & wait "$pid"; echo "$?""#;

pub struct Operator {
    pub door: Door,
    pub user: String,
    pub pid: String,
    admin: String,
    lines: Lines<BufReader<ChildStdout>>,
    _guard: Child,
}

/// How an operator is started, so that it can be started again.
#[derive(Clone)]
pub struct Recipe {
    user: String,
    kubeconfig: PathBuf,
    args: Vec<String>,
    log: PathBuf,
    http: String,
    admin: String,
}

impl Recipe {
    pub fn new(world: &World, user: &str, args: &[&str]) -> Self {
        let kubeconfig = world.kubeconfig(user);
        Self::with_kubeconfig(world, user, &kubeconfig, args)
    }

    pub fn with_kubeconfig(world: &World, user: &str, kubeconfig: &str, args: &[&str]) -> Self {
        let place = world.folder().join(format!("{user}.kubeconfig"));
        std::fs::write(&place, kubeconfig).unwrap();
        let log = world.folder().join(format!("{user}.log"));
        world.remember_log(log.clone());
        Self {
            user: user.into(),
            kubeconfig: place,
            args: args.iter().map(|arg| (*arg).into()).collect(),
            log,
            http: free_address(),
            admin: free_address(),
        }
    }

    /// Starts the operator without waiting for anything.
    pub async fn spawn(&self) -> Operator {
        let Self { http, admin, .. } = self;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", GUARD, "guard"]).arg(&self.log).arg(binary());
        command.args(["run", "--http", http, "--admin", admin]).args(&self.args);
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env_remove("RUST_LOG")
            .env("RUST_LOG", "debug,hyper_util=info");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut guard = command.spawn().unwrap();
        let mut lines = BufReader::new(guard.stdout.take().unwrap()).lines();
        let pid = lines.next_line().await.unwrap().expect("a pid");
        Operator {
            door: Door::new(http),
            user: self.user.clone(),
            pid,
            admin: admin.clone(),
            lines,
            _guard: guard,
        }
    }

    /// What operators from this recipe have logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub async fn start(&self) -> Operator {
        let operator = self.spawn().await;
        operator.ready().await;
        operator
    }
}

impl Operator {
    pub async fn start(world: &World, user: &str, args: &[&str]) -> Self {
        Recipe::new(world, user, args).start().await
    }

    pub async fn ready(&self) {
        let ask = || async {
            reqwest::get(format!("http://{}/readyz", self.admin)).await.is_ok_and(|a| a.status() == 200)
        };
        eventually("the operator is ready", ask, |ready| *ready).await;
    }

    /// The status with which a path of the admin listener answers.
    pub async fn admin_answers(&self, path: &str) -> u16 {
        reqwest::get(format!("http://{}/{path}", self.admin)).await.unwrap().status().as_u16()
    }

    pub async fn metrics(&self) -> String {
        reqwest::get(format!("http://{}/metrics", self.admin)).await.unwrap().text().await.unwrap()
    }

    pub async fn signal(&self, name: &str) {
        Command::new("kill").args([&format!("-{name}"), &self.pid]).status().await.unwrap();
    }

    /// Waits for the operator's end: its exit code, and how long that took.
    pub async fn ended(&mut self) -> (String, Duration) {
        let begun = Instant::now();
        let code = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.expect("an end").unwrap();
        (code.unwrap_or_default(), begun.elapsed())
    }
}

fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_latchkey")
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
