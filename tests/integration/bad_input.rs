//! Bad input: what a person is told, and that nobody else notices.

use crate::{
    lifecycle::make_secret,
    support::{
        Lab,
        lab::{condition, in_seconds, message},
        trial,
    },
};
use kube::api::{Patch, PatchParams};
use latchkey::policy::{AddressRanges, CallRules};
use libtest_mimic::Trial;
use serde_json::{Value, json};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("refused_by_the_api_server", refused_by_the_api_server),
        trial("the_api_server_and_latchkey_agree", the_api_server_and_latchkey_agree),
        trial("refused_by_a_condition", refused_by_a_condition),
        trial("what_cannot_change_cannot_be_changed", what_cannot_change_cannot_be_changed),
        trial("an_undecodable_key_harms_nobody", an_undecodable_key_harms_nobody),
    ]
}

fn allow(method: &str, path: &str) -> Value {
    json!({"allow": [{"methods": [method], "paths": [path]}]})
}

async fn refused_by_the_api_server(lab: Lab) {
    let long = "a".repeat(64);
    for (name, spec, said) in [
        (long.as_str(), json!({}), "at most 63 characters"),
        ("k", json!({"allow": []}), "should have at least 1 items"),
        ("k", json!({"allow": null}), "spec.allow"),
        ("k", allow("GET", "management"), "a path pattern begins with /"),
        ("k", allow("GET", "/a//b"), "a path pattern begins with /"),
        ("k", allow("get", "/a"), "words in capitals"),
        ("k", json!({"allowedCIDRs": ["10.0.0.0/33"]}), "address range such as 10.0.0.0/8"),
        ("k", json!({"allowedCIDRs": []}), "should have at least 1 items"),
        ("k", json!({"ttl": "1h", "expiresAt": in_seconds(60)}), "either ttl or expiresAt"),
        ("k", json!({"ttl": "soon"}), "spec.ttl"),
        ("k", json!({"ttl": "10ms"}), "at least 1s"),
        ("k", json!({"rotation": {"every": "1h", "overlap": "2h"}}), "overlap must not be longer than every"),
        ("k", json!({"secret": {"retention": "Forever"}}), "supported values: \"Window\", \"Persistent\""),
        ("k", json!({"secret": {"labels": {"latchkey.dev/kind": "x"}}}), "set by Latchkey itself"),
        ("k", json!({"secret": {"entries": {"a/b": "token"}}}), "an entry's name consists of"),
    ] {
        let full = json!({"apiVersion": "latchkey.dev/v1alpha1", "kind": "ManagementKey", "metadata": {"name": name},
            "spec": merged(spec.clone())});
        let keys = kube::Api::<kube::api::DynamicObject>::namespaced_with(
            lab.client.clone(),
            &lab.name,
            &kube::api::ApiResource::erase::<latchkey::resources::ManagementKey>(&()),
        );
        let refused = keys.create(&Default::default(), &serde_json::from_value(full).unwrap()).await;
        let error = refused.map(|_| ()).expect_err(&format!("{spec} was taken")).to_string();
        assert!(error.contains(said), "{spec}: {error}");
    }
}

fn merged(spec: Value) -> Value {
    let mut full = json!({"allow": [{"methods": ["GET"], "paths": ["/a"]}]});
    full.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    full
}

/// The rules stand twice, in CEL and in Rust; whatever one refuses the other has to refuse too.
async fn the_api_server_and_latchkey_agree(lab: Lab) {
    let paths = [
        "/", "/a", "/a/", "/*", "/**", "/a/*/b", "/a/**", "/a b", "/a%20b", "/a.b/..c", "/é", "a", "", "//",
        "/a//b", "/a/../b", "/.", "/..", "/a/.", "/a*", "/*a", "/**/a", "/a/***", "/a**", "/a?b", "/a#b",
        "/a\\b", "/a\nb", "/a\u{7f}",
    ];
    let dry_run = kube::api::PostParams { dry_run: true, ..Default::default() };
    let try_spec = |spec: Value| {
        let key = json!({"apiVersion": "latchkey.dev/v1alpha1", "kind": "ManagementKey", "metadata": {"name": "k"}, "spec": spec});
        let (keys, dry_run) = (lab.keys.clone(), dry_run.clone());
        async move { keys.create(&dry_run, &serde_json::from_value(key).unwrap()).await.is_ok() }
    };
    for path in paths {
        let ours = CallRules::compile([(&["GET".to_owned()][..], &[path.to_owned()][..])]).is_ok();
        assert_eq!(try_spec(allow("GET", path)).await, ours, "path {path:?}");
    }
    for method in ["GET", "*", "PROPFIND", "get", "", "G E", "**", "GET,PUT"] {
        let ours = CallRules::compile([(&[method.to_owned()][..], &["/a".to_owned()][..])]).is_ok();
        assert_eq!(try_spec(allow(method, "/a")).await, ours, "method {method:?}");
    }
    for range in
        ["10.0.0.0/8", "::1/128", "10.0.0.1/32", "10.0.0.0", "10.0.0.0/33", "ten", "", "2001:db8::/32"]
    {
        let ours = AddressRanges::parse([range]).is_ok();
        assert_eq!(try_spec(merged(json!({"allowedCIDRs": [range]}))).await, ours, "range {range:?}");
    }
}

async fn refused_by_a_condition(lab: Lab) {
    lab.organization(json!({"limits": {"maxTTL": "24h", "managementKeys": 20}})).await;
    make_secret(&lab, "taken", "x", "y").await;
    make_secret(&lab, "weak", "token", "password1").await;
    make_secret(&lab, "mistyped", "token", &format!("lk_mk_aaaaaaaaaaaa_{}", "b".repeat(49))).await;
    for (name, spec, reason, said) in [
        ("past", json!({"expiresAt": in_seconds(-60)}), "ExpiryInPast", "is in the past"),
        ("long", json!({"ttl": "25h"}), "TTLTooLong", "lets a key live 24h at most"),
        ("far", json!({"expiresAt": in_seconds(90_000)}), "TTLTooLong", "shorten spec.ttl or spec.expiresAt"),
        ("ownerless", json!({"owner": {"name": "nobody"}}), "OwnerNotFound", "User nobody doesn't exist"),
        ("taken", json!({}), "SecretConflict", "a Secret taken exists that isn't this key's"),
        ("weak2", json!({"importFrom": {"name": "weak", "key": "token"}}), "ImportRefused", "128 are needed"),
        (
            "typo",
            json!({"importFrom": {"name": "mistyped", "key": "token"}}),
            "ImportRefused",
            "checksum is wrong",
        ),
        (
            "nothing",
            json!({"importFrom": {"name": "none", "key": "token"}}),
            "ImportNotFound",
            "Secret none or its entry",
        ),
    ] {
        lab.create(name, spec).await;
        let key = lab.ready(name, "False", reason).await;
        assert!(message(&key).contains(said), "{name}: {}", message(&key));
        assert!(key.status.unwrap().generations.is_empty(), "{name} was issued");
    }
    // Each is mended by what its message says.
    lab.patch("past", json!({"expiresAt": in_seconds(60)})).await;
    lab.active("past").await;
    lab.patch("long", json!({"ttl": "23h"})).await;
    lab.active("long").await;
    lab.user("nobody").await;
    lab.active("ownerless").await;
}

async fn what_cannot_change_cannot_be_changed(lab: Lab) {
    lab.organization(json!({})).await;
    lab.issue("ci", json!({})).await;
    for (patch, said) in [
        (json!({"secret": {"name": "other"}}), "secret.name can't be changed"),
        (json!({"importFrom": {"name": "a", "key": "b"}}), "importFrom can't be changed"),
    ] {
        let patch = json!({ "spec": patch });
        let error = lab
            .keys
            .patch("ci", &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(said), "{error}");
    }
}

async fn an_undecodable_key_harms_nobody(lab: Lab) {
    lab.organization(json!({})).await;
    let token = lab.issue("broken", json!({})).await;
    let door = lab.door().await;
    door.says(&token, "Allowed").await;
    store_behind_the_api_servers_back(&lab, "broken").await;
    // The API server hears of it with the next change of the object.
    let labels = json!({"metadata": {"labels": {"touched": "yes"}}});
    let raw = kube::Api::<kube::api::DynamicObject>::namespaced_with(
        lab.client.clone(),
        &lab.name,
        &kube::api::ApiResource::erase::<latchkey::resources::ManagementKey>(&()),
    );
    raw.patch("broken", &PatchParams::default(), &Patch::Merge(&labels)).await.unwrap();
    crate::support::eventually(
        "the broken key is refused",
        || door.try_token(&token),
        |said| said != "Allowed",
    )
    .await;
    let good = lab.issue("good", json!({})).await;
    door.says(&good, "Allowed").await;
    let said = || async { raw.get("broken").await.unwrap().data["status"]["conditions"].to_string() };
    crate::support::eventually("the condition", said, |text| {
        text.contains("\"Undecodable\"") && text.contains("Forever")
    })
    .await;
    assert!(condition(&lab.active("good").await, "Ready").is_some());
    raw.delete("broken", &Default::default()).await.unwrap();
}

/// Writes a value that no version of the schema allows straight into etcd, as an older version might have stored it.
async fn store_behind_the_api_servers_back(lab: &Lab, name: &str) {
    let place = format!("/registry/latchkey.dev/managementkeys/{}/{name}", lab.name);
    let encode = |bytes: &[u8]| serde_json::to_value(k8s_openapi::ByteString(bytes.to_vec())).unwrap();
    let client = reqwest::Client::new();
    let call = |path: &str, body: Value| {
        let request = client.post(format!("{}{path}", lab.world.etcd_url())).body(body.to_string());
        async move { serde_json::from_str::<Value>(&request.send().await.unwrap().text().await.unwrap()).unwrap() }
    };
    let found = call("/v3/kv/range", json!({"key": encode(place.as_bytes())})).await;
    let k8s_openapi::ByteString(bytes) = serde_json::from_value(found["kvs"][0]["value"].clone()).unwrap();
    let mut object: Value = serde_json::from_slice(&bytes).unwrap();
    object["spec"]["secret"] = json!({"retention": "Forever"});
    let value = encode(object.to_string().as_bytes());
    call("/v3/kv/put", json!({"key": encode(place.as_bytes()), "value": value})).await;
}
