//! The reveal window: until it ends the token is in the Secret, and afterwards nowhere.

use crate::support::{
    Lab, eventually,
    lab::{condition, digest, in_seconds, number},
    objects, trial,
};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use libtest_mimic::Trial;
use serde_json::json;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("after_the_window_the_token_is_nowhere", after_the_window_the_token_is_nowhere),
        trial("a_wiped_status_is_rebuilt", a_wiped_status_is_rebuilt),
        trial("a_rotation_opens_the_window_again", a_rotation_opens_the_window_again),
    ]
}

/// Objects of any kind that hold a text, plainly or in base64.
async fn holders(lab: &Lab, token: &str) -> Vec<String> {
    let encoded = serde_json::to_string(&k8s_openapi::ByteString(token.as_bytes().to_vec())).unwrap();
    let encoded = encoded.trim_matches('"').trim_end_matches('=').to_owned();
    let all = objects::all(&lab.client).await;
    all.into_iter()
        .filter(|(_, text)| text.contains(token) || text.contains(&encoded))
        .map(|(place, _)| place)
        .collect()
}

async fn after_the_window_the_token_is_nowhere(lab: Lab) {
    let recipe = lab.sharded_organization(json!({"revealWindow": "15s"})).await;
    let operator = recipe.start().await;
    let token = lab.issue("ci", json!({})).await;
    assert_eq!(holders(&lab, &token).await, [format!("Secret {}/ci", lab.name)]);
    operator.door.says(&token, "Allowed").await;
    let scrubbed = lab
        .wait("ci", "the token is scrubbed", |key| {
            condition(key, "Issued").is_some_and(|(_, r, _)| r == "TokenScrubbed")
        })
        .await;
    assert!(scrubbed.status.as_ref().unwrap().reveal_until.is_none());
    assert_eq!(holders(&lab, &token).await, Vec::<String>::new());
    assert_eq!(operator.door.try_token(&token).await, "Allowed");
    assert_eq!(lab.entry("ci", "id").await, scrubbed.status.as_ref().unwrap().id);
    drop(operator);

    let again = lab.recipe("again").start().await;
    again.door.says(&token, "Allowed").await;
    // A key made after the restart is ready, so the operator has been through all of them.
    lab.issue("marker", json!({})).await;
    let key = lab.active("ci").await;
    assert_eq!(key.resource_version(), scrubbed.resource_version(), "a restart changes nothing");
}

async fn a_wiped_status_is_rebuilt(lab: Lab) {
    lab.organization(json!({})).await;
    let token = lab.issue("ci", json!({"secret": {"retention": "Persistent"}})).await;
    let before = lab.active("ci").await.status.unwrap();
    lab.keys
        .patch_status("ci", &PatchParams::default(), &Patch::Merge(&json!({"status": null})))
        .await
        .unwrap();
    let rebuilt = lab.active("ci").await.status.unwrap();
    assert_eq!(rebuilt.generations, before.generations);
    assert_eq!(
        (rebuilt.id, rebuilt.issued_at, rebuilt.token_hint),
        (before.id, before.issued_at, before.token_hint)
    );
    lab.door().await.says(&token, "Allowed").await;
    assert_eq!(lab.token("ci").await.as_deref(), Some(token.as_str()));
}

async fn a_rotation_opens_the_window_again(lab: Lab) {
    lab.organization(json!({"revealWindow": "2s"})).await;
    let old = lab.issue("ci", json!({})).await;
    eventually("the token is scrubbed", || lab.token("ci"), Option::is_none).await;
    lab.patch("ci", json!({"rotation": {"after": in_seconds(0)}})).await;
    let new = eventually("a new token", || lab.token("ci"), Option::is_some).await.unwrap();
    let rotated = lab.wait("ci", "the rotation", |key| number(key) == 2).await;
    assert!(digest(&rotated).starts_with("sha256:"));
    let door = lab.door().await;
    door.says(&new, "Allowed").await;
    assert_eq!(door.try_token(&old).await, "Allowed");
    eventually("the token is scrubbed", || lab.token("ci"), Option::is_none).await;
}
