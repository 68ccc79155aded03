//! Saying what happens, and doing what a person would type.

use super::{
    DemoError,
    door::{Answer, Bearer, Call, Door},
    operator::{Addresses, Operator},
    seen::{Seen, StepError, expect, until},
};
use crate::{
    cluster::client::{self, call},
    lifecycle::conditions,
    local_cluster::LocalCluster,
    resources::ManagementKey,
    token::Token,
};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

/// The namespace that the walk is about.
const NAMESPACE: &str = "acme-prod";
/// How long one command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// Everything that the chapters act through.
pub(super) struct Stage {
    pub(super) client: Client,
    pub(super) door: Door,
    kubectl: PathBuf,
    dir: PathBuf,
}

impl Stage {
    pub(super) fn new(cluster: &LocalCluster, addresses: Addresses) -> Result<Self, DemoError> {
        Ok(Self {
            client: client::client(cluster.admin())?,
            door: Door::at(addresses.http).map_err(DemoError::Door)?,
            kubectl: cluster.kubectl().to_owned(),
            dir: cluster.dir().to_owned(),
        })
    }

    /// The keys of the walk.
    pub(super) fn keys(&self) -> Api<ManagementKey> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// The Secrets of the walk.
    pub(super) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Shows and runs kubectl, shows what it prints, and returns that. No argument may have a space in it.
    pub(super) async fn kubectl(&self, line: &str) -> Result<String, StepError> {
        let args: Vec<&str> = line.split_whitespace().collect();
        let shown: Vec<_> = args.iter().map(|arg| quoted(arg)).collect();
        command(&format!("kubectl {}", shown.join(" ")));
        let printed = self.run(&self.kubectl, &args, None).await?;
        output(&printed);
        Ok(printed)
    }

    /// The same with the CRDs that this binary prints as its input.
    pub(super) async fn install_crds(&self) -> Result<(), StepError> {
        let line = "latchkey crds | kubectl apply --server-side -f -";
        command(line);
        let own = std::env::current_exe().map_err(|error| failed(line, error))?;
        let crds = self.run(&own, &["crds"], None).await?;
        let apply = ["apply", "--server-side", "-f", "-"];
        output(&self.run(&self.kubectl, &apply, Some(&crds)).await?);
        Ok(())
    }

    async fn run(&self, program: &Path, args: &[&str], input: Option<&str>) -> Result<String, StepError> {
        let line = format!("{} {}", program.display(), args.join(" "));
        let mut child = self.command(program, args).spawn().map_err(|error| failed(&line, error))?;
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            stdin.write_all(input.as_bytes()).await.map_err(|error| failed(&line, error))?;
        }
        let ended = timeout(COMMAND_TIMEOUT, child.wait_with_output()).await;
        let ended = ended.map_err(|_| failed(&line, "it took too long"))?;
        let ended = ended.map_err(|error| failed(&line, error))?;
        let complaints = String::from_utf8_lossy(&ended.stderr);
        if !ended.status.success() {
            return Err(failed(&line, complaints.trim_end()));
        }
        Ok(format!("{}{complaints}", String::from_utf8_lossy(&ended.stdout)))
    }

    /// Nothing of the person's own kubectl is used or touched: neither its preferences nor its cache.
    fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .env("KUBECONFIG", self.dir.join("kubeconfig"))
            .env("KUBECACHEDIR", self.dir.join("kubectl-cache"))
            .env("KUBERC", "off")
            .current_dir(&self.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Waits until a key's condition speaks of its present spec and says this, such as `True Active`.
    pub(super) async fn until_condition_is(
        &self,
        key: &str,
        type_: &str,
        expected: &str,
    ) -> Result<(), StepError> {
        until(&format!("condition {type_} of key {key}"), expected, async || {
            let found = call("reading a key", self.keys().get_opt(key)).await?;
            Ok(Seen::equal(expected, condition(found.as_ref(), type_)))
        })
        .await
        .map(drop)
    }

    /// Takes a token from its Secret, as a person would, and checks that it is the key's newest.
    pub(super) async fn take_token(
        &self,
        variable: &'static str,
        key: &str,
        entry: &str,
    ) -> Result<Bearer, StepError> {
        let found = call("reading a key", self.keys().get(key)).await?;
        let status = found.status.unwrap_or_default();
        let secret = status.secret_ref.unwrap_or_default().name;
        command(&format!(
            "{variable}=$(kubectl get secret {secret} -n {NAMESPACE} -o jsonpath='{{.data.{entry}}}' | base64 -d)"
        ));
        let found = call("reading a Secret", self.secrets().get(&secret)).await?;
        let bytes = found.data.unwrap_or_default().remove(entry).unwrap_or_default().0;
        let token = Token::from_existing(String::from_utf8_lossy(&bytes).into_owned());
        let hint = status.token_hint.unwrap_or_default();
        expect("last characters of the token", &hint, token.hint())?;
        checked(&format!("${variable} ends in {hint}, as the key's status says"));
        Ok(Bearer { variable, token })
    }

    /// Shows the question and the door's answer, and checks the answer's status and reason.
    pub(super) async fn curl(
        &self,
        bearer: &Bearer,
        asked: Call,
        expected: &str,
    ) -> Result<Answer, StepError> {
        command(&self.door.curl(bearer, asked));
        let answer = self.door.ask(bearer, asked).await?;
        output(&answer.text());
        expect(&format!("answer to {} {}", asked.method, asked.path), expected, answer.verdict())?;
        Ok(answer)
    }

    /// Waits until the door answers this, such as `403 Suspended`.
    pub(super) async fn until_answer_is(
        &self,
        bearer: &Bearer,
        asked: Call,
        expected: &str,
    ) -> Result<(), StepError> {
        let what = format!("answer to {} {} with ${}", asked.method, asked.path, bearer.variable);
        until(&what, expected, async || {
            Ok(Seen::equal(expected, self.door.ask(bearer, asked).await?.verdict()))
        })
        .await
        .map(drop)
    }

    /// What can be done with all this once the walk is over.
    pub(super) fn standing_invitation(&self, operator: &Operator) -> String {
        format!(
            "\nIt stays up until Ctrl-C.\n\n  KUBECONFIG={}\n  the door:  {}\n  the log:   {}\n  kubectl:   {}",
            self.dir.join("kubeconfig").display(),
            self.door.url(),
            operator.log().display(),
            self.kubectl.display()
        )
    }
}

fn condition(key: Option<&ManagementKey>, type_: &str) -> String {
    let Some(key) = key else {
        return "no such key".to_owned();
    };
    let status = key.status.as_ref();
    let current = status.filter(|status| status.observed_generation == key.metadata.generation);
    let conditions = current.map_or(&[][..], |status| &status.conditions);
    conditions::find(conditions, type_).map_or_else(
        || "none for its present spec".to_owned(),
        |found| format!("{} {}", found.status, found.reason),
    )
}

fn failed(command: &str, problem: impl ToString) -> StepError {
    StepError::Command { command: command.to_owned(), problem: problem.to_string() }
}

/// An argument as a shell takes it. None of ours has a quote in it.
fn quoted(arg: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,".contains(c);
    if arg.chars().all(plain) { arg.to_owned() } else { format!("'{arg}'") }
}

/// Says something.
pub(super) fn say(text: &str) {
    // When nobody is left to read, the walk goes on: its end is the exit status.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Shows a command that could be typed.
pub(super) fn command(line: &str) {
    say(&format!("\n  $ {line}"));
}

/// Says what was found to hold.
pub(super) fn checked(what: &str) {
    say(&format!("  # {what}"));
}

fn output(text: &str) {
    for line in text.trim_end().lines() {
        say(format!("  {line}").trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_a_shell_takes_it() {
        assert_eq!(quoted("acme-prod"), "acme-prod");
        assert_eq!(quoted(r#"{"spec":{}}"#), r#"'{"spec":{}}'"#);
    }
}
