//! Five means five.

use crate::{
    cli::demo::{
        seen::{Seen, StepError, expect, until},
        stage::{NAMESPACE, Stage, checked, say},
    },
    cluster::client::call,
    lifecycle::conditions,
    resources::{ManagementKey, Organization},
};
use kube::Api;
use std::time::Instant;

const READY_MESSAGE: &str = r#"jsonpath={.status.conditions[?(@.type=="Ready")].message}"#;
const GET_KEYS: [&str; 4] = ["get", "mk", "-n", NAMESPACE];

pub(super) async fn limit(stage: &Stage) -> Result<(), StepError> {
    say(
        "\nThe organization lets five management keys be good at a time. Three more fill it; a sixth has to wait.",
    );
    stage.kubectl(&["apply", "-f", "demo/three-more.yaml"]).await?;
    until_held(stage, "5 of 5, 0 waiting").await?;
    stage.kubectl(&["apply", "-f", "demo/sixth.yaml"]).await?;
    stage
        .until_condition_is("sixth", conditions::READY, "False LimitReached")
        .await?;
    until_held(stage, "5 of 5, 1 waiting").await?;
    stage.kubectl(&GET_KEYS).await?;
    stage.kubectl(&["get", "organizations", "acme"]).await?;
    stage
        .kubectl(&["get", "mk", "sixth", "-n", NAMESPACE, "-o", READY_MESSAGE])
        .await?;
    names_the_holders(stage).await?;
    let secret = call("looking for a Secret", stage.secrets().get_opt("sixth")).await?;
    expect(
        "Secret of the waiting key",
        "none",
        secret.map_or("none", |_| "one"),
    )?;
    checked("the message names the five holders, and the waiting key has no Secret");
    admitted_by_itself(stage).await
}

async fn until_held(stage: &Stage, expected: &str) -> Result<(), StepError> {
    let organizations: Api<Organization> = Api::all(stage.client.clone());
    until("slots of organization acme", expected, async || {
        let found = call("reading an organization", organizations.get("acme")).await?;
        let counts = found
            .status
            .and_then(|status| status.management_keys)
            .unwrap_or_default();
        let seen = format!("{} of {}, {} waiting", counts.held, counts.limit, counts.waiting);
        Ok(Seen::equal(expected, seen))
    })
    .await
    .map(drop)
}

async fn names_the_holders(stage: &Stage) -> Result<(), StepError> {
    let sixth: ManagementKey = call("reading a key", stage.keys().get("sixth")).await?;
    let status = sixth.status.unwrap_or_default();
    let ready = conditions::find(&status.conditions, conditions::READY);
    let message = ready.map_or("", |condition| &condition.message);
    let holders = ["console", "ci", "reports", "support", "audit"];
    let unnamed = holders
        .iter()
        .filter(|name| !message.contains(&format!("{NAMESPACE}/{name}")));
    let unnamed: Vec<_> = unnamed.copied().collect();
    expect("holders that the message does not name", "", unnamed.join(", "))
}

async fn admitted_by_itself(stage: &Stage) -> Result<(), StepError> {
    say("\nDelete one of the five, and the waiting key gets its slot without being touched.");
    stage
        .kubectl(&["delete", "mk", "reports", "-n", NAMESPACE])
        .await?;
    let deleted = Instant::now();
    stage
        .until_condition_is("sixth", conditions::READY, "True Active")
        .await?;
    let took = deleted.elapsed().as_millis();
    checked(&format!("it was Ready within {took} ms after kubectl's return"));
    stage.kubectl(&GET_KEYS).await.map(drop)
}
