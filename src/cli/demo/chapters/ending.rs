//! Taking a key away: for a while, for good, or only its token out of the cluster.

use super::LIST_PROJECTS;
use crate::{
    cli::demo::{
        door::Bearer,
        seen::{Seen, StepError, until, until_every},
        stage::{Stage, checked, say},
    },
    cluster::client::call,
    lifecycle::conditions,
};
use kube::api::DeleteParams;
use std::time::{Duration, Instant};

/// The pause between two calls where the time is taken.
const TIGHT: Duration = Duration::from_millis(1);

pub(super) async fn suspend(stage: &Stage, token: &Bearer) -> Result<(), StepError> {
    say("\nA suspended key is refused until it is resumed. It keeps its slot and its token.");
    stage.kubectl(r#"patch mk console -n acme-prod --type merge -p {"spec":{"suspended":true}}"#).await?;
    stage.until_answer_is(token, LIST_PROJECTS, "403 Suspended").await?;
    stage.curl(token, LIST_PROJECTS, "403 Suspended").await?;
    stage.kubectl(r#"patch mk console -n acme-prod --type merge -p {"spec":{"suspended":false}}"#).await?;
    stage.until_answer_is(token, LIST_PROJECTS, "200").await?;
    checked("the same token is accepted again");
    Ok(())
}

pub(super) async fn revoke(stage: &Stage) -> Result<(), StepError> {
    say(
        "\nA key is revoked by deleting it. The door hears of it by watch, not by a time-out. The demo sends\n\
         the DELETE itself here, to take the time from the API server's answer to the first refusal.",
    );
    let token = stage.take_token("AUDIT", "audit", "token").await?;
    stage.until_answer_is(&token, LIST_PROJECTS, "200").await?;
    let took = delete(stage, "audit", &token).await?;
    checked(&format!(
        "managementkeys/audit deleted; its token was refused {:.1} ms after the answer",
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

/// Deletes a key and tells how long its token was still accepted.
async fn delete(stage: &Stage, key: &str, token: &Bearer) -> Result<Duration, StepError> {
    let (what, expected) = ("answer to the token of a deleted key", "401 Revoked");
    let params = DeleteParams::default();
    call("deleting a key", stage.keys().delete(key, &params)).await?;
    let answered = Instant::now();
    until_every(TIGHT, what, expected, async || {
        let answer = stage.door.ask(token, LIST_PROJECTS).await?;
        Ok(Seen::equal(expected, answer.verdict()))
    })
    .await?;
    Ok(answered.elapsed())
}

pub(super) async fn close_window(stage: &Stage, token: &Bearer) -> Result<(), StepError> {
    say(
        "\nThe token of `console` is for a person to copy. After the organization's reveal window it is taken\n\
         out of the cluster, and only its digest stays. Fifteen minutes are long for a demo:",
    );
    stage.kubectl(r#"patch organizations acme --type merge -p {"spec":{"revealWindow":"1s"}}"#).await?;
    stage.until_condition_is("console", conditions::ISSUED, "True TokenScrubbed").await?;
    until("entries of Secret console", "id", async || {
        let found = call("reading a Secret", stage.secrets().get("console")).await?;
        let entries: Vec<_> = found.data.unwrap_or_default().into_keys().collect();
        Ok(Seen::equal("id", entries.join(", ")))
    })
    .await?;
    stage.kubectl("get secret console -n acme-prod -o jsonpath={.data}").await?;
    stage
        .kubectl(
            r#"get mk console -n acme-prod -o jsonpath={.status.conditions[?(@.type=="Issued")].message}"#,
        )
        .await?;
    say("\nWhoever copied it goes on using it.");
    stage.curl(token, LIST_PROJECTS, "200").await.map(drop)
}
