//! Each move of a key's life, seen in the resource and at the door.

use crate::support::{
    Lab, eventually,
    lab::{condition, digest, in_seconds, message, number},
    trial,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use latchkey::token::{KeyId, KeyKind, Token};
use libtest_mimic::Trial;
use serde_json::json;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("issue_and_call", issue_and_call),
        trial("every_header_that_carries_a_token", every_header_that_carries_a_token),
        trial("suspend_and_resume", suspend_and_resume),
        trial("expiry_is_final", expiry_is_final),
        trial("expiry_is_warned_of", expiry_is_warned_of),
        trial("rotation_by_hand", rotation_by_hand),
        trial("rotation_on_schedule", rotation_on_schedule),
        trial("rotation_ends_with_the_key", rotation_ends_with_the_key),
        trial("owner_disabled_enabled_deleted", owner_disabled_enabled_deleted),
        trial("organization_locked_and_unlocked", organization_locked_and_unlocked),
        trial("organization_deleted", organization_deleted),
        trial("an_existing_token_is_imported", an_existing_token_is_imported),
        trial("a_contested_namespace_is_nobodys", a_contested_namespace_is_nobodys),
        trial("the_default_organization_takes_the_rest", the_default_organization_takes_the_rest),
        trial("a_namespace_moves", a_namespace_moves),
        trial("addresses_and_projects", addresses_and_projects),
    ]
}

async fn issue_and_call(lab: Lab) {
    lab.organization(json!({})).await;
    let token = lab.issue("ci", json!({})).await;
    let key = lab.active("ci").await;
    let status = key.status.clone().unwrap();
    assert_eq!(status.token_hint.as_deref(), Some(&token[token.len() - 4..]));
    assert_eq!(status.organization.as_deref(), Some(lab.name.as_str()));
    assert_eq!(lab.entry("ci", "id").await, status.id);
    assert!(status.reveal_until.is_some());

    let door = lab.door().await;
    door.says(&token, "Allowed").await;
    let bearer = format!("Bearer {token}");
    let answer = door.ask("GET", "/management/v1/x?y=z", &[("authorization", &bearer)]).await.unwrap();
    assert_eq!(answer.header("x-latchkey-key"), format!("{}/ci", lab.name));
    assert_eq!(answer.header("x-latchkey-key-id"), status.id.unwrap());
    assert_eq!(answer.header("x-latchkey-kind"), "ManagementKey");
    assert_eq!(answer.header("x-latchkey-organization"), lab.name);
    assert!(!answer.header("x-latchkey-decision").is_empty());
    for (method, path, verdict) in [
        ("POST", "/management/v1", "EndpointNotAllowed"),
        ("GET", "/other", "EndpointNotAllowed"),
        ("GET", "/management/../other", "PathNotCanonical"),
    ] {
        let answer = door.ask(method, path, &[("authorization", &bearer)]).await.unwrap();
        assert_eq!((answer.status, answer.verdict().as_str()), (403, verdict), "{method} {path}");
    }
    let invented = "lk_mk_aaaaaaaaaaaa_".to_owned() + &"b".repeat(49);
    let answer = door.ask("GET", "/", &[("authorization", &format!("Bearer {invented}"))]).await.unwrap();
    assert_eq!((answer.status, answer.verdict().as_str()), (401, "MalformedToken"));
    let none = door.ask("GET", "/", &[]).await.unwrap();
    assert_eq!(
        (none.status, none.verdict().as_str(), none.header("www-authenticate")),
        (401, "NoToken", "Bearer")
    );
    let body: serde_json::Value = serde_json::from_str(&none.body).unwrap();
    assert_eq!(body["error"]["code"], "NoToken");
    assert!(body["error"]["message"].as_str().is_some_and(|text| !text.is_empty()));
    let unsaid = door.answer(door.request().header("authorization", &bearer)).await.unwrap();
    assert_eq!((unsaid.status, unsaid.verdict().as_str()), (400, "CallUnknown"));
}

async fn every_header_that_carries_a_token(lab: Lab) {
    lab.organization(json!({})).await;
    let token = lab.issue("ci", json!({})).await;
    let id = lab.entry("ci", "id").await.unwrap();
    let door = lab.door().await;
    door.says(&token, "Allowed").await;
    let (bearer, management) = (format!("Bearer {token}"), format!("ManagementKey-v1 {token}"));
    let other = token.replace("lk_mk_", "lk_ak_");
    for (headers, verdict) in [
        (vec![("authorization", bearer.as_str())], "Allowed"),
        (vec![("authorization", management.as_str())], "Allowed"),
        (vec![("x-api-key", token.as_str())], "Allowed"),
        (vec![("x-management-id", id.as_str()), ("x-management-token", token.as_str())], "Allowed"),
        (vec![("x-management-id", "000000000000"), ("x-management-token", token.as_str())], "UnknownToken"),
        (vec![("x-management-token", token.as_str())], "NoToken"),
        (vec![("x-management-id", id.as_str())], "NoToken"),
        (vec![("authorization", "Basic abc")], "NoToken"),
        (vec![("authorization", bearer.as_str()), ("x-api-key", token.as_str())], "Allowed"),
        (vec![("authorization", bearer.as_str()), ("x-api-key", other.as_str())], "MalformedToken"),
    ] {
        let answer = door.ask("GET", "/management/a", &headers).await.unwrap();
        assert_eq!(
            answer.verdict(),
            verdict,
            "{:?}",
            headers.iter().map(|(name, _)| name).collect::<Vec<_>>()
        );
    }
}

async fn suspend_and_resume(lab: Lab) {
    lab.organization(json!({})).await;
    let token = lab.issue("ci", json!({})).await;
    let before = digest(&lab.active("ci").await);
    let door = lab.door().await;
    door.says(&token, "Allowed").await;
    lab.patch("ci", json!({"suspended": true})).await;
    door.says(&token, "Suspended").await;
    lab.ready("ci", "False", "Suspended").await;
    lab.patch("ci", json!({"suspended": false})).await;
    assert_eq!(digest(&lab.active("ci").await), before);
    door.says(&token, "Allowed").await;
    lab.event("ci", "Suspended").await;
    lab.event("ci", "Resumed").await;
}

async fn expiry_is_final(lab: Lab) {
    lab.organization(json!({})).await;
    let token = lab.issue("ci", json!({"ttl": "2s"})).await;
    let door = lab.door().await;
    door.says(&token, "Allowed").await;
    door.says(&token, "Expired").await;
    let expired = lab.ready("ci", "False", "Expired").await;
    lab.patch("ci", json!({"ttl": "1h", "rotation": {"after": in_seconds(0)}})).await;
    let still = lab.ready("ci", "False", "Expired").await;
    assert_eq!(still.status.as_ref().unwrap().expires_at, expired.status.as_ref().unwrap().expires_at);
    assert_eq!(number(&still), 1, "an expired key is not rotated");
    assert!(message(&still).contains("can't be revived or rotated"), "{}", message(&still));
    assert_eq!(door.try_token(&token).await, "Expired");
    lab.event("ci", "Expired").await;
}

async fn expiry_is_warned_of(lab: Lab) {
    lab.organization(json!({"expiryWarnings": ["1h", "10m"]})).await;
    lab.issue("late", json!({"ttl": "2h"})).await;
    assert_eq!(condition(&lab.active("late").await, "Expiring"), None);
    lab.issue("soon", json!({"ttl": "603s"})).await;
    let first = condition(&lab.active("soon").await, "Expiring").expect("a warning");
    assert_eq!((first.0.as_str(), first.1.as_str()), ("True", "ExpiresSoon"));
    assert!(first.2.contains("in less than 1h"), "{}", first.2);
    let nearer = lab.wait("soon", "the nearer warning", |key| {
        condition(key, "Expiring").is_some_and(|(.., message)| message.contains("in less than 10m"))
    });
    nearer.await;
    assert!(lab.event("soon", "Expiring").await.contains("the key expires at"));
    lab.patch("soon", json!({"ttl": "2h"})).await;
    assert_eq!(condition(&lab.active("soon").await, "Expiring"), None);
}

async fn rotation_by_hand(lab: Lab) {
    lab.organization(json!({})).await;
    let old =
        lab.issue("ci", json!({"rotation": {"overlap": "3s"}, "secret": {"retention": "Persistent"}})).await;
    let id = lab.active("ci").await.status.unwrap().id;
    lab.patch("ci", json!({"rotation": {"after": in_seconds(0)}})).await;
    let rotated = lab.wait("ci", "a second token", |key| number(key) == 2).await;
    let status = rotated.status.clone().unwrap();
    assert_eq!(status.id, id, "the id stays");
    assert_eq!(status.generations.len(), 2);
    assert!(status.generations[1].not_after.is_some() && status.generations[0].not_after.is_none());
    let new = lab.token("ci").await.unwrap();
    assert_ne!(old, new);
    let door = lab.door().await;
    door.says(&new, "Allowed").await;
    assert_eq!(door.try_token(&old).await, "Allowed", "both are good during the overlap");
    door.says(&old, "RotatedOut").await;
    assert_eq!(door.try_token(&new).await, "Allowed");
    let after = lab.wait("ci", "one token", |key| key.status.as_ref().unwrap().generations.len() == 1).await;
    assert_eq!(number(&after), 2, "rotated once");
    lab.event("ci", "Rotated").await;
    lab.patch("ci", json!({"rotation": {"after": in_seconds(0), "overlap": "0s"}})).await;
    lab.wait("ci", "a third token", |key| number(key) == 3).await;
    door.says(&new, "RotatedOut").await;
}

async fn rotation_on_schedule(lab: Lab) {
    lab.organization(json!({})).await;
    lab.create("ci", json!({"rotation": {"every": "1s", "overlap": "1s"}})).await;
    let first = lab.wait("ci", "a token", |key| number(key) == 1).await;
    assert!(first.status.as_ref().unwrap().next_rotation.is_some());
    let third = lab.wait("ci", "a third token", |key| number(key) >= 3).await;
    assert_eq!(third.status.as_ref().unwrap().id, first.status.as_ref().unwrap().id);
    assert!(third.status.unwrap().generations.len() <= 2);
}

async fn rotation_ends_with_the_key(lab: Lab) {
    lab.organization(json!({})).await;
    let old = lab.issue("ci", json!({"ttl": "4s", "rotation": {"overlap": "1h"}})).await;
    lab.patch("ci", json!({"rotation": {"after": in_seconds(0)}})).await;
    let rotated = lab.wait("ci", "a second token", |key| number(key) == 2).await.status.unwrap();
    assert_eq!(rotated.generations[1].not_after, rotated.expires_at);
    let door = lab.door().await;
    lab.ready("ci", "False", "Expired").await;
    assert_ne!(door.try_token(&old).await, "Allowed");
}

async fn owner_disabled_enabled_deleted(lab: Lab) {
    lab.organization(json!({})).await;
    lab.user("jane").await;
    let token = lab.issue("ci", json!({"owner": {"name": "jane"}})).await;
    let door = lab.door().await;
    door.says(&token, "Allowed").await;
    let disable = |disabled: bool| {
        let users = lab.users.clone();
        let patch = json!({"spec": {"disabled": disabled}});
        async move { users.patch("jane", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap() }
    };
    disable(true).await;
    door.says(&token, "OwnerDisabled").await;
    lab.ready("ci", "False", "OwnerDisabled").await;
    disable(false).await;
    door.says(&token, "Allowed").await;
    lab.active("ci").await;
    lab.users.delete("jane", &DeleteParams::default()).await.unwrap();
    door.says(&token, "OwnerDeleted").await;
    lab.ready("ci", "False", "OwnerDeleted").await;
    lab.user("jane").await;
    lab.patch("ci", json!({"description": "looked at again"})).await;
    lab.ready("ci", "False", "OwnerDeleted").await;
    assert_eq!(door.try_token(&token).await, "OwnerDeleted", "a new User of the same name is somebody else");
}

async fn organization_locked_and_unlocked(lab: Lab) {
    lab.organization(json!({})).await;
    let token = lab.issue("ci", json!({})).await;
    let before = digest(&lab.active("ci").await);
    let door = lab.door().await;
    door.says(&token, "Allowed").await;
    lab.patch_organization(json!({"managementAPI": {"enabled": false}})).await;
    door.says(&token, "OrganizationLocked").await;
    lab.ready("ci", "False", "OrganizationLocked").await;
    lab.create("new", json!({})).await;
    lab.ready("new", "False", "OrganizationLocked").await;
    assert!(lab.secret("new").await.is_none());
    lab.patch_organization(json!({"managementAPI": {"enabled": true}})).await;
    assert_eq!(digest(&lab.active("ci").await), before);
    door.says(&token, "Allowed").await;
    lab.active("new").await;
}

async fn organization_deleted(lab: Lab) {
    lab.organization(json!({})).await;
    let token = lab.issue("ci", json!({})).await;
    let door = lab.door().await;
    door.says(&token, "Allowed").await;
    lab.organizations.delete(&lab.name, &DeleteParams::default()).await.unwrap();
    eventually("the key is refused", || door.try_token(&token), |said| said != "Allowed").await;
}

async fn an_existing_token_is_imported(lab: Lab) {
    lab.organization(json!({})).await;
    let token = "xai-9f86d081884c7d659a2feaa0c55ad015a3bf4f1b";
    lab.create("ci", json!({"importFrom": {"name": "old", "key": "value"}})).await;
    lab.ready("ci", "False", "ImportNotFound").await;
    make_secret(&lab, "old", "value", token).await;
    let key = lab.active("ci").await;
    assert_eq!(lab.token("ci").await.as_deref(), Some(token));
    let door = lab.door().await;
    door.says(token, "Allowed").await;
    assert_eq!(door.try_token("xai-9f86d081884c7d659a2feaa0c55ad015a3bf4f1c").await, "MalformedToken");
    lab.create("twin", json!({"importFrom": {"name": "old", "key": "value"}})).await;
    let twin = lab.ready("twin", "False", "TokenInUse").await;
    lab.delete("twin").await;
    lab.gone("twin").await;
    // A token of one's own making that names another key's id is refused, or it could be taken for that key's.
    let id = KeyId::parse(key.status.as_ref().unwrap().id.as_deref().unwrap()).unwrap();
    let made = Token::mint(KeyKind::Management, id).unwrap();
    make_secret(&lab, "made", "value", made.reveal()).await;
    lab.create("thief", json!({"importFrom": {"name": "made", "key": "value"}})).await;
    lab.ready("thief", "False", "TokenInUse").await;
    assert!(message(&twin).contains(&format!("{}/ci", lab.name)), "{}", message(&twin));
    lab.patch("ci", json!({"rotation": {"after": in_seconds(0), "overlap": "0s"}})).await;
    lab.wait("ci", "a token of our own", |key| number(key) == 2).await;
    eventually("the imported token is refused", || door.try_token(token), |said| said != "Allowed").await;
    let new = lab.token("ci").await.unwrap();
    door.says(&new, "Allowed").await;
    assert!(new.contains(key.status.unwrap().id.unwrap().as_str()));
}

pub async fn make_secret(lab: &Lab, name: &str, entry: &str, value: &str) {
    let secret = json!({"metadata": {"name": name}, "stringData": {entry: value}});
    lab.secrets.create(&Default::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
}

async fn a_contested_namespace_is_nobodys(lab: Lab) {
    lab.organization(json!({})).await;
    let token = lab.issue("before", json!({})).await;
    let rival = format!("{}-rival", lab.name);
    lab.make_organization(&rival, json!({}), json!({})).await;
    for organization in [&lab.name, &rival] {
        let conflict = lab
            .organization_is(organization, "a conflict", |found| {
                found
                    .status
                    .as_ref()
                    .is_some_and(|s| s.conditions.iter().any(|c| c.reason == "OrganizationConflict"))
            })
            .await;
        let text = &conflict.status.unwrap().conditions[0].message;
        assert!(text.contains(&lab.name) && text.contains(&rival), "{text}");
    }
    lab.create("after", json!({})).await;
    lab.ready("after", "False", "OrganizationConflict").await;
    assert!(lab.secret("after").await.is_none());
    lab.wait("before", "the conflict", |key| condition(key, "OrganizationResolved").is_some()).await;
    assert_eq!(lab.door().await.try_token(&token).await, "Allowed", "what was issued goes on as it was");
    lab.organizations.delete(&rival, &DeleteParams::default()).await.unwrap();
    lab.active("after").await;
    lab.wait("before", "no conflict", |key| condition(key, "OrganizationResolved").is_none()).await;
}

async fn the_default_organization_takes_the_rest(lab: Lab) {
    lab.world.operator().await;
    let token = lab.issue("ci", json!({})).await;
    let key = lab.active("ci").await;
    assert_eq!(key.status.unwrap().organization.as_deref(), Some("default"));
    lab.door().await.says(&token, "Allowed").await;
    lab.delete("ci").await;
    lab.gone("ci").await;
}

async fn a_namespace_moves(lab: Lab) {
    lab.organization(json!({"limits": {"managementKeys": 1}})).await;
    let token = lab.issue("ci", json!({})).await;
    let full = format!("{}-full", lab.name);
    let selector =
        json!({"namespaceSelector": {"matchLabels": {"org": full}}, "limits": {"managementKeys": 0}});
    lab.make_organization(&full, selector, json!({})).await;
    let namespaces: Api<Namespace> = Api::all(lab.client.clone());
    let relabel = |value: String| {
        let (namespaces, name) = (namespaces.clone(), lab.name.clone());
        let patch = json!({"metadata": {"labels": {"org": value}}});
        async move { namespaces.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap() }
    };
    relabel(full.clone()).await;
    lab.ready("ci", "False", "LimitReached").await;
    let door = lab.door().await;
    door.says(&token, "LimitReached").await;
    lab.organization_is(&lab.name, "its slot is free", |o| {
        o.status.as_ref().is_some_and(|s| s.slots.is_empty())
    })
    .await;
    relabel(lab.name.clone()).await;
    let back = lab.active("ci").await;
    assert_eq!(number(&back), 1);
    door.says(&token, "Allowed").await;
    assert!(back.resource_version().is_some());
}

async fn addresses_and_projects(lab: Lab) {
    lab.organization(json!({"limits": {"managementKeys": 9}})).await;
    let door = lab.door().await;
    let token = lab.issue("office", json!({"allowedCIDRs": ["203.0.113.0/24"]})).await;
    let bearer = format!("Bearer {token}");
    door.says(&token, "AddressNotAllowed").await;
    for (forwarded, verdict) in [
        ("203.0.113.9", "Allowed"),
        ("203.0.113.9, 198.51.100.1", "AddressNotAllowed"),
        ("198.51.100.1, 203.0.113.9", "Allowed"),
        ("nonsense", "AddressNotAllowed"),
    ] {
        let headers = [("authorization", bearer.as_str()), ("x-forwarded-for", forwarded)];
        assert_eq!(
            door.ask("GET", "/management/a", &headers).await.unwrap().verdict(),
            verdict,
            "{forwarded}"
        );
    }
    let token = lab.issue("scoped", json!({"projects": ["loyalty"]})).await;
    door.says(&token, "ProjectNotAllowed").await;
    let ask = |query: &'static str, header: &'static str| {
        let request = door.request_with(query);
        let request = request.bearer_auth(&token).header("x-forwarded-method", "GET");
        let request = request.header("x-forwarded-uri", "/management/a").header("x-latchkey-project", header);
        async move { door.answer(request).await.unwrap().verdict() }
    };
    assert_eq!(ask("project=loyalty", "").await, "Allowed");
    assert_eq!(ask("project=other", "loyalty").await, "ProjectNotAllowed");
    assert_eq!(ask("attributes=project", "loyalty").await, "Allowed");
    assert_eq!(
        ask("attributes=model", "loyalty").await,
        "ProjectNotAllowed",
        "a header that isn't listed is ignored"
    );
}
