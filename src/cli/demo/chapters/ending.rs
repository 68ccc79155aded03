//! Taking a key away: for a while, for good, or only its token out of the cluster.

use super::LIST_PROJECTS;
use crate::{
    cli::demo::{
        door::Bearer,
        seen::{Seen, StepError, expect, until, until_every},
        stage::{NAMESPACE, Stage, checked, say},
    },
    cluster::client::call,
    lifecycle::conditions,
};
use kube::api::DeleteParams;
use std::time::{Duration, Instant};

const ISSUED_MESSAGE: &str = r#"jsonpath={.status.conditions[?(@.type=="Issued")].message}"#;

pub(super) async fn suspend(stage: &Stage, token: &Bearer) -> Result<(), StepError> {
    say("\nA suspended key is refused until it is resumed. It keeps its slot and its token.");
    patch(
        stage,
        &["mk", "console", "-n", NAMESPACE],
        r#"{"spec":{"suspended":true}}"#,
    )
    .await?;
    stage
        .until_answer_is(token, LIST_PROJECTS, "403 Suspended")
        .await?;
    stage.curl(token, LIST_PROJECTS, "403 Suspended").await?;
    patch(
        stage,
        &["mk", "console", "-n", NAMESPACE],
        r#"{"spec":{"suspended":false}}"#,
    )
    .await?;
    stage.until_answer_is(token, LIST_PROJECTS, "200").await?;
    checked("the same token is accepted again");
    Ok(())
}

pub(super) async fn revoke(stage: &Stage) -> Result<(), StepError> {
    say("\nA key is revoked by deleting it. The door hears of it by watch, not by a time-out: the time below is from the
API server's answer to the first refusal.");
    let token = stage.take_token("AUDIT", "audit", "token").await?;
    stage.until_answer_is(&token, LIST_PROJECTS, "200").await?;
    call(
        "deleting a key",
        stage.keys().delete("audit", &DeleteParams::default()),
    )
    .await?;
    let answered = Instant::now();
    until_every(
        Duration::from_millis(1),
        "answer to the token of a deleted key",
        "a refusal",
        async || {
            Ok(Seen::equal(
                "401 Revoked",
                stage.door.ask(&token, LIST_PROJECTS).await?.verdict(),
            ))
        },
    )
    .await?;
    let took = answered.elapsed();
    checked(&format!(
        "DELETE managementkeys/audit was answered; refused {:.1} ms later",
        took.as_secs_f64() * 1e3
    ));
    stage.curl(&token, LIST_PROJECTS, "401 Revoked").await?;
    until("Secret of the deleted key", "none", async || {
        let found = call("looking for a Secret", stage.secrets().get_opt("audit")).await?;
        Ok(Seen::equal("none", found.map_or("none", |_| "one")))
    })
    .await?;
    checked("its Secret is gone too");
    Ok(())
}

pub(super) async fn close_window(stage: &Stage, token: &Bearer) -> Result<(), StepError> {
    say("\nThe token of `console` was to be copied by a person. After the organization's reveal window it is taken out of
the cluster, and only its digest stays. Fifteen minutes are long for a demo:");
    patch(
        stage,
        &["organizations", "acme"],
        r#"{"spec":{"revealWindow":"1s"}}"#,
    )
    .await?;
    until("entries of Secret console", "id", async || {
        let found = call("reading a Secret", stage.secrets().get("console")).await?;
        let entries: Vec<_> = found.data.unwrap_or_default().into_keys().collect();
        Ok(Seen::equal("id", entries.join(", ")))
    })
    .await?;
    stage
        .until_condition_is("console", conditions::ISSUED, "True TokenScrubbed")
        .await?;
    stage
        .kubectl(&[
            "get",
            "secret",
            "console",
            "-n",
            NAMESPACE,
            "-o",
            "jsonpath={.data}",
        ])
        .await?;
    stage
        .kubectl(&["get", "mk", "console", "-n", NAMESPACE, "-o", ISSUED_MESSAGE])
        .await?;
    say("\nWhoever copied it goes on using it.");
    let answer = stage.curl(token, LIST_PROJECTS, "200").await?;
    expect(
        "header X-Latchkey-Key",
        "acme-prod/console",
        answer.header("x-latchkey-key"),
    )
}

async fn patch(stage: &Stage, object: &[&str], change: &str) -> Result<(), StepError> {
    let args = [&["patch"], object, &["--type", "merge", "-p", change]].concat();
    stage.kubectl(&args).await.map(drop)
}
