//! Installing, and declaring the first keys.

use crate::{
    cli::demo::{
        seen::{StepError, expect},
        stage::{Stage, checked, say},
    },
    lifecycle::conditions,
};

const APPLY: &str =
    "apply -f examples/organization.yaml -f examples/people.yaml -f examples/managementkey.yaml";

/// What has to be there before the operator starts.
pub(in crate::cli::demo) async fn install(stage: &Stage) -> Result<(), StepError> {
    say("\nOrganization, User and ManagementKey become kinds of this cluster. The operator keeps its own\n\
         objects, a Lease and the key that its records are sealed with, in a namespace of its own.");
    stage.install_crds().await?;
    stage.kubectl("wait --for condition=established crd --all --timeout 15s").await?;
    stage.kubectl("create namespace latchkey-system").await.map(drop)
}

pub(super) async fn declare(stage: &Stage) -> Result<(), StepError> {
    say("\nAn organization holds the limits, people own keys, and a key says what it may call and for how\n\
         long. Latchkey makes the tokens; nothing in these files is secret, so they can live in Git.");
    stage.kubectl(APPLY).await?;
    for key in ["console", "ci"] {
        stage.until_condition_is(key, conditions::READY, "True Active").await?;
    }
    stage.kubectl("get mk -n acme-prod").await?;
    checked("both keys are Ready; TOKEN shows the last four characters");
    apply_again(stage).await
}

async fn apply_again(stage: &Stage) -> Result<(), StepError> {
    say("\nApplying the same again changes nothing: Latchkey never writes to a spec.");
    let again = stage.kubectl(APPLY).await?;
    let changed: Vec<_> = again.lines().filter(|line| !line.ends_with(" unchanged")).collect();
    expect("what the second apply changed", "", changed.join("; "))
}
