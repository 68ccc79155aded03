//! Installing, and declaring the first keys.

use crate::{
    cli::demo::{
        operator,
        seen::{StepError, expect},
        stage::{NAMESPACE, Stage, checked, say},
    },
    lifecycle::conditions,
};

const APPLY: [&str; 7] = [
    "apply",
    "-f",
    "examples/organization.yaml",
    "-f",
    "examples/people.yaml",
    "-f",
    "examples/managementkey.yaml",
];

/// What has to be there before the operator starts.
pub(in crate::cli::demo) async fn install(stage: &Stage) -> Result<(), StepError> {
    say("\nOrganization, User and ManagementKey become kinds of this cluster. The operator keeps its own objects, a
Lease and the key that its records are sealed with, in a namespace of its own.");
    stage.install_crds().await?;
    let established = [
        "wait",
        "--for",
        "condition=established",
        "crd",
        "--all",
        "--timeout",
        "15s",
    ];
    stage.kubectl(&established).await?;
    stage
        .kubectl(&["create", "namespace", operator::NAMESPACE])
        .await?;
    Ok(())
}

pub(super) async fn declare(stage: &Stage) -> Result<(), StepError> {
    say("\nAn organization holds the limits, people own keys, and a key says what it may call and for how long. The
tokens are made by Latchkey; nothing secret is in these files, so that they can live in Git.");
    stage.kubectl(&APPLY).await?;
    for key in ["console", "ci"] {
        stage
            .until_condition_is(key, conditions::READY, "True Active")
            .await?;
    }
    stage.kubectl(&["get", "mk", "-n", NAMESPACE]).await?;
    checked("both keys are Ready; Token shows the last four characters");
    say("\nApplying the same again changes nothing: Latchkey never writes to a spec.");
    let again = stage.kubectl(&APPLY).await?;
    let changed: Vec<_> = again
        .lines()
        .filter(|line| !line.ends_with(" unchanged"))
        .collect();
    expect("what the second apply changed", "", changed.join("; "))
}
