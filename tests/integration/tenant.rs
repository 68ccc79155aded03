//! What somebody can't do who may edit the resources of one namespace and nothing else.

use crate::support::{Lab, lab::in_seconds, trial};
use k8s_openapi::api::{
    core::v1::Secret,
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use latchkey::resources::{ManagementKey, Organization};
use libtest_mimic::Trial;
use serde_json::json;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("a_tenant_stays_in_their_place", a_tenant_stays_in_their_place),
        trial("a_tenant_cannot_forge_a_digest", a_tenant_cannot_forge_a_digest),
    ]
}

/// A client that may edit keys, Users and Secrets of the lab's namespace.
async fn tenant(lab: &Lab) -> Client {
    let role = json!({"metadata": {"name": "tenant"}, "rules": [
        {"apiGroups": ["latchkey.dev"], "resources": ["managementkeys", "users"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]},
    ]});
    let binding = json!({"metadata": {"name": "tenant"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tenant"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": lab.name}]});
    let roles: Api<Role> = Api::namespaced(lab.client.clone(), &lab.name);
    roles.create(&PostParams::default(), &serde_json::from_value(role).unwrap()).await.unwrap();
    let bindings: Api<RoleBinding> = Api::namespaced(lab.client.clone(), &lab.name);
    bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
    let client = lab.world.client_of(&lab.name);
    let keys: Api<ManagementKey> = Api::namespaced(client.clone(), &lab.name);
    let may = || async { keys.list(&ListParams::default()).await.is_ok() };
    crate::support::eventually("the role is in force", may, |may| *may).await;
    client
}

fn forbidden<T>(result: kube::Result<T>) {
    match result {
        Err(kube::Error::Api(status)) if status.is_forbidden() => {}
        Err(other) => panic!("refused for another reason: {other}"),
        Ok(_) => panic!("it was let through"),
    }
}

async fn a_tenant_stays_in_their_place(lab: Lab) {
    lab.organization(json!({"limits": {"managementKeys": 1}})).await;
    lab.issue("mine", json!({})).await;
    lab.create("second", json!({})).await;
    lab.ready("second", "False", "LimitReached").await;
    let client = tenant(&lab).await;
    let merge = |patch| (PatchParams::default(), Patch::Merge(patch));

    let organizations: Api<Organization> = Api::all(client.clone());
    let (params, patch) = merge(json!({"spec": {"limits": {"managementKeys": 50}}}));
    forbidden(organizations.patch(&lab.name, &params, &patch).await);
    let (params, patch) = merge(json!({"status": {"slots": []}}));
    forbidden(organizations.patch_status(&lab.name, &params, &patch).await);
    let claim = json!({"metadata": {"name": "rival"}, "spec": {"namespaceSelector": {}}});
    forbidden(organizations.create(&PostParams::default(), &named(claim, "Organization")).await);

    let keys: Api<ManagementKey> = Api::namespaced(client.clone(), &lab.name);
    let (params, patch) = merge(json!({"status": {"expiresAt": in_seconds(99_999)}}));
    forbidden(keys.patch_status("mine", &params, &patch).await);
    // A status that comes along with a spec is ignored.
    let (params, patch) = merge(json!({"spec": {"description": "x"}, "status": {"tokenHint": "XXXX"}}));
    let after = keys.patch("mine", &params, &patch).await.unwrap();
    assert_ne!(after.status.unwrap().token_hint.as_deref(), Some("XXXX"));

    let elsewhere: Api<ManagementKey> = Api::namespaced(client.clone(), "default");
    forbidden(elsewhere.list(&ListParams::default()).await);
    forbidden(Api::<ManagementKey>::all(client.clone()).list(&ListParams::default()).await);
    forbidden(Api::<Secret>::namespaced(client, "default").list(&ListParams::default()).await);
}

/// A waiting key has no Secret yet, so a tenant who may write Secrets can put one in its place.
async fn a_tenant_cannot_forge_a_digest(lab: Lab) {
    lab.organization(json!({"limits": {"managementKeys": 1}})).await;
    lab.issue("first", json!({})).await;
    let waiting = lab.create("second", json!({})).await;
    lab.ready("second", "False", "LimitReached").await;
    let token = latchkey::token::Token::mint(
        latchkey::token::KeyKind::Management,
        latchkey::token::KeyId::mint().unwrap(),
    )
    .unwrap();
    let id = token.reveal()[6..18].to_owned();
    let record = json!({"id": id, "hint": token.hint(), "issuedAt": in_seconds(0), "token": "Held",
        "generations": [{"number": 1, "digest": token.digest().to_string(), "issuedAt": in_seconds(0)}]});
    let forged = json!({"metadata": {"name": "second", "labels": {"latchkey.dev/kind": "ManagementKey"},
        "annotations": {"latchkey.dev/key": "second", "latchkey.dev/record": record.to_string(),
            "latchkey.dev/seal": "0".repeat(64), "latchkey.dev/uid": waiting.metadata.uid}},
        "stringData": {"token": token.reveal(), "id": id}});
    let client = tenant(&lab).await;
    let secrets: Api<Secret> = Api::namespaced(client, &lab.name);
    secrets.create(&PostParams::default(), &serde_json::from_value(forged).unwrap()).await.unwrap();
    lab.delete("first").await;
    lab.ready("second", "False", "SecretConflict").await;
    assert_eq!(lab.door().await.try_token(token.reveal()).await, "UnknownToken");
}

fn named<K: serde::de::DeserializeOwned>(mut object: serde_json::Value, kind: &str) -> K {
    object["apiVersion"] = "latchkey.dev/v1alpha1".into();
    object["kind"] = kind.into();
    serde_json::from_value(object).unwrap()
}
