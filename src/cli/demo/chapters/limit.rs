//! Five means five.

use crate::{
    cli::demo::{
        seen::{Seen, StepError, expect, until},
        stage::{Stage, checked, say},
    },
    cluster::client::call,
    lifecycle::conditions,
    resources::Organization,
};
use kube::Api;
use std::time::Instant;

const HOLDERS: [&str; 5] = ["console", "ci", "reports", "support", "audit"];

pub(super) async fn limit(stage: &Stage) -> Result<(), StepError> {
    say("\nThe organization lets five management keys be good at a time. Three more fill it; a sixth waits.");
    stage.kubectl("apply -f demo/three-more.yaml").await?;
    until_slots_are(stage, "5 of 5, 0 waiting").await?;
    stage.kubectl("apply -f demo/sixth.yaml").await?;
    stage.until_condition_is("sixth", conditions::READY, "False LimitReached").await?;
    until_slots_are(stage, "5 of 5, 1 waiting").await?;
    stage.kubectl("get mk -n acme-prod").await?;
    stage.kubectl("get organizations acme").await?;
    names_the_holders(stage).await?;
    let secret = call("looking for a Secret", stage.secrets().get_opt("sixth")).await?;
    expect("Secret of the waiting key", "none", secret.map_or("none", |_| "one"))?;
    checked("the message names the five holders, and the waiting key has no Secret");
    admitted_by_itself(stage).await
}

async fn until_slots_are(stage: &Stage, expected: &str) -> Result<(), StepError> {
    let organizations: Api<Organization> = Api::all(stage.client.clone());
    until("slots of organization acme", expected, async || {
        let found = call("reading an organization", organizations.get("acme")).await?;
        let counts = found.status.and_then(|status| status.management_keys).unwrap_or_default();
        let seen = format!("{} of {}, {} waiting", counts.held, counts.limit, counts.waiting);
        Ok(Seen::equal(expected, seen))
    })
    .await
    .map(drop)
}

async fn names_the_holders(stage: &Stage) -> Result<(), StepError> {
    let message = stage
        .kubectl(r#"get mk sixth -n acme-prod -o jsonpath={.status.conditions[?(@.type=="Ready")].message}"#)
        .await?;
    let is_named = |holder: &&str| message.contains(&format!("acme-prod/{holder}"));
    let named: Vec<_> = HOLDERS.into_iter().filter(is_named).collect();
    expect("holders that the message names", HOLDERS.join(", "), named.join(", "))
}

async fn admitted_by_itself(stage: &Stage) -> Result<(), StepError> {
    say("\nDelete one of the five, and the waiting key gets its slot without being touched.");
    stage.kubectl("delete mk reports -n acme-prod").await?;
    let deleted = Instant::now();
    stage.until_condition_is("sixth", conditions::READY, "True Active").await?;
    let took = deleted.elapsed().as_millis();
    checked(&format!("key sixth was Ready at most {took} ms after kubectl's return"));
    stage.kubectl("get mk -n acme-prod").await.map(drop)
}
