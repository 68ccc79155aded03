//! A new token, while the old one stays good for the overlap.

use super::LIST_PROJECTS;
use crate::{
    cli::demo::{
        door::{Bearer, Call},
        seen::{Seen, StepError, expect, until},
        stage::{Stage, checked, say},
    },
    cluster::client::call,
};
use jiff::{Timestamp, Unit};

/// `ci` may be used for one project, and the gateway has to say that it is the one.
const LIST_LOYALTY: Call = Call { project: Some("loyalty"), ..LIST_PROJECTS };

pub(super) async fn rotate(stage: &Stage) -> Result<(), StepError> {
    say(
        "\nA rotation is asked for by a time: a token older than that is replaced, once. The old token stays\n\
         good for the overlap, five seconds here, so that whoever uses it can change over.",
    );
    let old = stage.take_token("OLD", "ci", "TOKEN").await?;
    let now = Timestamp::now();
    let now = now.round(Unit::Millisecond).unwrap_or(now);
    let change = format!(r#"{{"spec":{{"rotation":{{"after":"{now}","overlap":"5s"}}}}}}"#);
    stage.kubectl(&format!("patch mk ci -n acme-prod --type merge -p {change}")).await?;
    let end = until_second_generation(stage).await?;
    let new = stage.take_token("NEW", "ci", "TOKEN").await?;
    stage.until_answer_is(&new, LIST_LOYALTY, "200").await?;
    let during = stage.door.ask(&old, LIST_LOYALTY).await?.verdict();
    expect("answer to the old token during the overlap", "200", during)?;
    checked("the door accepts $OLD and $NEW");
    stage.kubectl("get mk ci -n acme-prod -o wide").await?;
    rotated_out(stage, &old, end).await?;
    stage.curl(&new, LIST_LOYALTY, "200").await.map(drop)
}

/// Waits for the new token and tells when the old one ends.
async fn until_second_generation(stage: &Stage) -> Result<Timestamp, StepError> {
    let expected = "2 good until replaced, 1 good until a time";
    until("tokens of key ci", expected, async || {
        let found = call("reading a key", stage.keys().get("ci")).await?;
        let generations = found.status.unwrap_or_default().generations;
        let ends: Vec<_> = generations.iter().map(|one| (one.number, one.not_after)).collect();
        Ok(match ends[..] {
            [(2, None), (1, Some(end))] => Seen::Right(end),
            _ => Seen::Other(format!("{ends:?}")),
        })
    })
    .await
}

async fn rotated_out(stage: &Stage, old: &Bearer, end: Timestamp) -> Result<(), StepError> {
    stage.until_answer_is(old, LIST_LOYALTY, "401 RotatedOut").await?;
    let late = Timestamp::now().duration_since(end).as_millis();
    expect("whether the old token was good to its end", true, late >= 0)?;
    stage.curl(old, LIST_LOYALTY, "401 RotatedOut").await?;
    checked(&format!("$OLD was good until its notAfter, {end}; the refusal was seen {late} ms later"));
    Ok(())
}
