//! A new token, while the old one stays good for the overlap.

use super::LIST_PROJECTS;
use crate::{
    cli::demo::{
        door::Call,
        seen::{Seen, StepError, expect, until},
        stage::{NAMESPACE, Stage, checked, say},
    },
    cluster::client::call,
    resources::KeyStatus,
};
use jiff::Timestamp;

/// `ci` may be used for one project, and the gateway has to say that it is the one.
const LIST_LOYALTY: Call = Call {
    project: Some("loyalty"),
    ..LIST_PROJECTS
};

pub(super) async fn rotate(stage: &Stage) -> Result<(), StepError> {
    say("\nA rotation is asked for by a time: a token older than that is replaced, once. The old token stays good for
the overlap, five seconds here, so that whoever uses it can change over.");
    let old = stage.take_token("OLD", "ci", "TOKEN").await?;
    let rotation = format!(
        r#"{{"spec":{{"rotation":{{"after":"{}","overlap":"5s"}}}}}}"#,
        Timestamp::now()
    );
    stage
        .kubectl(&[
            "patch", "mk", "ci", "-n", NAMESPACE, "--type", "merge", "-p", &rotation,
        ])
        .await?;
    let status = until_second_generation(stage).await?;
    let new = stage.take_token("NEW", "ci", "TOKEN").await?;
    stage.until_answer_is(&new, LIST_LOYALTY, "200").await?;
    let both = stage.door.ask(&old, LIST_LOYALTY).await?;
    expect(
        "answer to the old token during the overlap",
        "200",
        both.verdict(),
    )?;
    checked("the door accepts $OLD and $NEW");
    stage
        .kubectl(&["get", "mk", "ci", "-n", NAMESPACE, "-o", "wide"])
        .await?;
    stage
        .until_answer_is(&old, LIST_LOYALTY, "401 RotatedOut")
        .await?;
    let end = status.generations.get(1).and_then(|old| old.not_after);
    let late = Timestamp::now()
        .duration_since(end.unwrap_or_default())
        .as_millis();
    expect("whether the old token was good to its very end", true, late >= 0)?;
    stage.curl(&old, LIST_LOYALTY, "401 RotatedOut").await?;
    checked(&format!(
        "it was refused within {late} ms after the end that the status gives"
    ));
    stage.curl(&new, LIST_LOYALTY, "200").await.map(drop)
}

async fn until_second_generation(stage: &Stage) -> Result<KeyStatus, StepError> {
    until("tokens of key ci", "2, newest first", async || {
        let found = call("reading a key", stage.keys().get("ci")).await?;
        let status = found.status.unwrap_or_default();
        let numbers: Vec<_> = status
            .generations
            .iter()
            .map(|generation| generation.number)
            .collect();
        Ok(match numbers[..] {
            [2, 1] => Seen::Right(status),
            _ => Seen::Other(format!("generations {numbers:?}")),
        })
    })
    .await
}
