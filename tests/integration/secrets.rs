//! What happens to a key's Secret, whoever does it.

use crate::{
    lifecycle::make_secret,
    support::{
        Lab, eventually,
        lab::{condition, digest, in_seconds, message, number},
        trial,
    },
};
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("entries_labels_and_annotations", entries_labels_and_annotations),
        trial("a_deleted_secret_loses_the_token_not_the_key", a_deleted_secret_loses_the_token_not_the_key),
        trial("an_edited_secret_is_put_right", an_edited_secret_is_put_right),
        trial("an_edited_token_is_lost_not_believed", an_edited_token_is_lost_not_believed),
        trial("a_foreign_secret_is_never_overwritten", a_foreign_secret_is_never_overwritten),
        trial("a_deleted_key_takes_its_secret_along", a_deleted_key_takes_its_secret_along),
        trial("a_retained_secret_revives_nothing", a_retained_secret_revives_nothing),
        trial("a_waiting_key_goes_without_a_trace", a_waiting_key_goes_without_a_trace),
    ]
}

async fn patch_secret(lab: &Lab, name: &str, patch: Value) {
    lab.secrets.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}

async fn entries_labels_and_annotations(lab: Lab) {
    lab.organization(json!({})).await;
    let template = json!({
        "name": "mounted", "retention": "Persistent", "labels": {"app": "deploy"}, "annotations": {"note": "x"},
        "entries": {"TOKEN": "token", "ID": "id", "AUTH": "header"},
    });
    lab.create("ci", json!({ "secret": template })).await;
    let key = lab.active("ci").await;
    let token = lab.entry("mounted", "TOKEN").await.unwrap();
    assert_eq!(lab.entry("mounted", "AUTH").await.unwrap(), format!("Bearer {token}"));
    assert_eq!(lab.entry("mounted", "ID").await, key.status.unwrap().id);
    let secret = lab.secret("mounted").await.unwrap();
    assert_eq!((secret.labels()["app"].as_str(), secret.annotations()["note"].as_str()), ("deploy", "x"));
    lab.patch("ci", json!({"secret": {"entries": {"TOKEN": null, "AUTH": null, "KEY": "token"}, "labels": {"app": null}}})).await;
    eventually(
        "the entry has its new name",
        || lab.entry("mounted", "KEY"),
        |entry| entry.as_deref() == Some(&*token),
    )
    .await;
    let secret = lab.secret("mounted").await.unwrap();
    assert_eq!(secret.data.as_ref().unwrap().keys().collect::<Vec<_>>(), ["ID", "KEY"]);
    assert!(!secret.labels().contains_key("app"));
}

async fn a_deleted_secret_loses_the_token_not_the_key(lab: Lab) {
    lab.organization(json!({})).await;
    let token =
        lab.issue("ci", json!({"secret": {"retention": "Persistent"}, "rotation": {"overlap": "0s"}})).await;
    let before = digest(&lab.active("ci").await);
    lab.secrets.delete("ci", &DeleteParams::default()).await.unwrap();
    let lost = lab.ready("ci", "True", "TokenLost").await;
    assert_eq!((digest(&lost), number(&lost)), (before, 1), "no new token is made silently");
    assert_eq!(condition(&lost, "Issued").unwrap().0, "False");
    assert!(message(&lost).contains("spec.rotation.after"), "{}", message(&lost));
    assert_eq!(lab.token("ci").await, None);
    assert!(lab.entry("ci", "id").await.is_some(), "the Secret is back, with what can be restored");
    lab.door().await.says(&token, "Allowed").await;
    lab.event("ci", "TokenLost").await;
    lab.patch("ci", json!({"rotation": {"after": in_seconds(0)}})).await;
    lab.active("ci").await;
    let new = lab.token("ci").await.unwrap();
    lab.door().await.says(&new, "Allowed").await;
    lab.door().await.says(&token, "RotatedOut").await;
}

async fn an_edited_secret_is_put_right(lab: Lab) {
    lab.organization(json!({})).await;
    let token =
        lab.issue("ci", json!({"secret": {"retention": "Persistent", "labels": {"app": "deploy"}}})).await;
    let edit = json!({
        "metadata": {"labels": {"app": "edited"}, "annotations": {"latchkey.dev/record": "{}", "theirs": "kept"}},
        "stringData": {"extra": "x", "id": "other"},
    });
    patch_secret(&lab, "ci", edit).await;
    eventually("the extra entry is gone", || lab.entry("ci", "extra"), Option::is_none).await;
    let secret = lab.secret("ci").await.unwrap();
    assert_eq!(secret.labels()["app"], "deploy");
    assert_eq!(secret.annotations()["theirs"], "kept");
    assert_eq!(lab.token("ci").await.as_deref(), Some(token.as_str()));
    assert_eq!(lab.entry("ci", "id").await, lab.active("ci").await.status.unwrap().id);
    assert_eq!(number(&lab.active("ci").await), 1);
}

async fn an_edited_token_is_lost_not_believed(lab: Lab) {
    lab.organization(json!({})).await;
    let token = lab.issue("ci", json!({"secret": {"retention": "Persistent"}})).await;
    let other = lab.issue("other", json!({})).await;
    let forged = "lk_mk_forged".to_owned();
    patch_secret(&lab, "ci", json!({"stringData": {"token": forged}})).await;
    lab.ready("ci", "True", "TokenLost").await;
    assert_eq!(lab.token("ci").await, None);
    let door = lab.door().await;
    assert_ne!(door.try_token(&forged).await, "Allowed");
    assert_eq!(door.try_token(&token).await, "Allowed");
    // The record of another key means nothing on this one.
    let borrowed = lab.secret("other").await.unwrap().annotations().clone();
    let marks: serde_json::Map<_, _> = borrowed
        .into_iter()
        .filter(|(name, _)| !name.ends_with("/key"))
        .map(|(k, v)| (k, v.into()))
        .collect();
    patch_secret(&lab, "ci", json!({"metadata": {"annotations": marks}, "stringData": {"token": other}}))
        .await;
    eventually("the borrowed token is gone", || lab.token("ci"), Option::is_none).await;
    let answer = door.ask("GET", "/management/a", &[("x-api-key", &other)]).await.unwrap();
    assert_eq!(answer.header("x-latchkey-key"), format!("{}/other", lab.name));
}

async fn a_foreign_secret_is_never_overwritten(lab: Lab) {
    lab.organization(json!({})).await;
    make_secret(&lab, "ci", "password", "theirs").await;
    let before = lab.secret("ci").await.unwrap();
    lab.create("ci", json!({})).await;
    let key = lab.ready("ci", "False", "SecretConflict").await;
    assert!(message(&key).contains("won't be overwritten"), "{}", message(&key));
    assert!(key.status.unwrap().generations.is_empty(), "nothing was issued");
    assert_eq!(lab.secret("ci").await.unwrap(), before);
    lab.delete("ci").await;
    lab.gone("ci").await;
    assert_eq!(lab.secret("ci").await.unwrap(), before, "it isn't deleted with the key either");
    lab.create("ci", json!({})).await;
    lab.ready("ci", "False", "SecretConflict").await;
    lab.secrets.delete("ci", &DeleteParams::default()).await.unwrap();
    lab.active("ci").await;
}

async fn a_deleted_key_takes_its_secret_along(lab: Lab) {
    lab.organization(json!({})).await;
    let token = lab.issue("ci", json!({})).await;
    let door = lab.door().await;
    door.says(&token, "Allowed").await;
    lab.delete("ci").await;
    door.says(&token, "Revoked").await;
    lab.gone("ci").await;
    assert!(lab.secret("ci").await.is_none());
    let again = lab.issue("ci", json!({})).await;
    door.says(&again, "Allowed").await;
    assert_eq!(door.try_token(&token).await, "Revoked");
    // A key goes even if its Secret went first.
    lab.secrets.delete("ci", &DeleteParams::default()).await.unwrap();
    lab.delete("ci").await;
    lab.gone("ci").await;
    assert!(lab.secret("ci").await.is_none());
}

async fn a_retained_secret_revives_nothing(lab: Lab) {
    lab.organization(json!({})).await;
    let token =
        lab.issue("ci", json!({"secret": {"deletionPolicy": "Retain", "retention": "Persistent"}})).await;
    lab.delete("ci").await;
    lab.gone("ci").await;
    assert_eq!(lab.token("ci").await.as_deref(), Some(token.as_str()), "the Secret stays");
    lab.door().await.says(&token, "Revoked").await;
    lab.create("ci", json!({})).await;
    lab.ready("ci", "False", "SecretConflict").await;
    assert_eq!(lab.door().await.try_token(&token).await, "Revoked");
}

async fn a_waiting_key_goes_without_a_trace(lab: Lab) {
    lab.organization(json!({"limits": {"managementKeys": 0}})).await;
    lab.create("ci", json!({})).await;
    let key = lab.ready("ci", "False", "LimitReached").await;
    assert!(key.finalizers().is_empty(), "there is nothing to clean up");
    lab.delete("ci").await;
    lab.gone("ci").await;
}
