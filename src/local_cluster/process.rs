//! One server process, which ends when its owner does.
//!
//! A server is a child of `guard.sh`, which holds a pipe from us. The kernel closes that pipe whichever way this
//! process ends, so nothing has to be caught, and nothing is `unsafe` (as `PR_SET_PDEATHSIG` would be, which macOS
//! doesn't have anyway). The guard has a process group of its own: Ctrl-C in the terminal is for us to handle.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::error::Error;

const GUARD: &str = include_str!("guard.sh");
/// How much of a log an error quotes.
const TAIL_LINES: usize = 15;

/// What to run, and where.
pub(super) struct Spec<'a> {
    /// As messages and the log file name it.
    pub name: &'static str,
    pub program: &'a Path,
    pub args: Vec<String>,
    /// Holds the log, and is the server's working directory.
    pub dir: &'a Path,
    /// Remove `dir` when the owner is gone.
    pub temporary: bool,
}

/// A running server. Dropping it ends the server too, in its own time.
pub(super) struct Process {
    name: &'static str,
    log: PathBuf,
    guard: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl Process {
    pub(super) fn spawn(spec: Spec<'_>) -> Result<Self, Error> {
        let log = spec.dir.join(format!("{}.log", spec.name));
        let mut guard =
            guard_command(&spec, &log).spawn().map_err(|source| Error::Spawn { name: spec.name, source })?;
        let (Some(stdin), Some(stdout)) = (guard.stdin.take(), guard.stdout.take()) else {
            let source = std::io::Error::other("the guard has no pipes");
            return Err(Error::Spawn { name: spec.name, source });
        };
        Ok(Self { name: spec.name, log, guard, stdin, stdout })
    }

    /// Waits until the server has ended by itself. Can be dropped and called again.
    pub(super) async fn ended(&mut self) -> Error {
        let mut answer = [0; 16];
        let read = self.stdout.read(&mut answer).await.unwrap_or_default();
        let code = match String::from_utf8_lossy(&answer[..read]).trim() {
            "" => "unknown".to_owned(),
            code => code.to_owned(),
        };
        Error::Ended { name: self.name, code, log: self.log.clone(), tail: self.tail() }
    }

    /// The server was given enough time and does not answer as it should.
    pub(super) fn not_ready(&self, seconds: u64, last: String) -> Error {
        Error::NotReady { name: self.name, seconds, last, log: self.log.clone(), tail: self.tail() }
    }

    /// Ends the server in an orderly way (TERM, then KILL after 6 s) and waits for it.
    pub(super) async fn stop(mut self) -> Result<(), Error> {
        let name = self.name;
        let failed = |source| Error::Stop { name, source };
        self.stdin.write_all(b"stop\nkeep\n").await.map_err(failed)?;
        self.guard.wait().await.map_err(failed)?;
        Ok(())
    }

    fn tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

/// The environment is left out: etcd takes every `ETCD_` variable for a flag.
fn guard_command(spec: &Spec<'_>, log: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", GUARD, "latchkey-guard"])
        .arg(log)
        .arg(if spec.temporary { spec.dir } else { Path::new("") })
        .arg(spec.program)
        .args(&spec.args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()))
        .current_dir(spec.dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0);
    command
}
