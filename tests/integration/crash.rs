//! The process is killed at every write of a reconcile, and started again: no token lost, none minted twice, no key stuck.

use crate::support::{
    Lab, eventually,
    lab::{condition, digest, in_seconds, number},
    operator::{Operator, Recipe},
    proxy::{Fault, Proxy},
    trial,
};
use kube::ResourceExt;
use latchkey::token::TokenDigest;
use libtest_mimic::Trial;
use serde_json::json;
use std::future::Future;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("killed_while_issuing", killed_while_issuing),
        trial("killed_while_rotating", killed_while_rotating),
        trial("killed_while_scrubbing", killed_while_scrubbing),
        trial("killed_while_deleting", killed_while_deleting),
    ]
}

/// More writes than any reconcile here makes.
const PLENTY: usize = 12;

/// Runs a move once for each of its writes, with the operator killed at that write, and once more after it. `begin` makes
/// the move due, `done` waits until it is complete, `check` looks at the outcome.
async fn at_every_write<B, D>(lab: &Lab, begin: impl Fn(String) -> B, done: impl Fn(String) -> D) -> usize
where
    B: Future<Output = ()>,
    D: Future<Output = ()>,
{
    let mut kills = 0;
    for carried_out in [false, true] {
        for at in 1..PLENTY {
            let name = format!("key-{at}-{}", if carried_out { "after" } else { "before" });
            let killed = killed_at(lab, Fault { at, carried_out }, &name, &begin, &done).await;
            kills += usize::from(killed);
            if !killed {
                assert!(at > 1, "the move makes no write");
                break;
            }
        }
    }
    kills
}

async fn killed_at<B, D>(
    lab: &Lab,
    fault: Fault,
    name: &str,
    begin: &impl Fn(String) -> B,
    done: &impl Fn(String) -> D,
) -> bool
where
    B: Future<Output = ()>,
    D: Future<Output = ()>,
{
    let proxy = Proxy::start(lab.client.clone(), fault).await;
    let user = format!("{}-{name}", lab.name);
    let args = ["--shard", &lab.name, "--leader-elect=false"];
    let recipe = Recipe::with_kubeconfig(lab.world, &user, &proxy.kubeconfig(), &args);
    let operator = recipe.start().await;
    begin(name.to_owned()).await;
    // A write that was carried out may complete the move before its answer is held back.
    tokio::select! {
        () = proxy.reached() => {}
        () = done(name.to_owned()) => {}
    }
    let killed = proxy.was_reached();
    operator.signal("KILL").await;
    drop(operator);
    if killed {
        let _again: Operator = lab.recipe(&format!("{name}-again")).start().await;
        done(name.to_owned()).await;
    }
    killed
}

/// The token in the Secret is the one whose digest counts.
async fn agrees(lab: &Lab, name: &str) {
    let key = lab.active(name).await;
    let token = lab.token(name).await.expect("a token");
    assert_eq!(TokenDigest::of(&token).to_string(), digest(&key), "{name}");
}

async fn killed_while_issuing(lab: Lab) {
    lab.sharded_organization(json!({"limits": {"managementKeys": 100}})).await;
    let begin = |name: String| {
        let lab = lab.clone();
        async move { drop(lab.create(&name, json!({"secret": {"retention": "Persistent"}})).await) }
    };
    let done = |name: String| {
        let lab = lab.clone();
        async move {
            let key = lab.active(&name).await;
            assert_eq!(number(&key), 1, "{name}: no token was minted twice");
            agrees(&lab, &name).await;
        }
    };
    let kills = at_every_write(&lab, begin, done).await;
    assert!(kills >= 8, "slot, finalizer, Secret and status, before and after each: {kills}");
}

async fn killed_while_rotating(lab: Lab) {
    lab.sharded_organization(json!({"limits": {"managementKeys": 100}})).await;
    let begin = |name: String| {
        let lab = lab.clone();
        async move {
            let spec = json!({"rotation": {"after": in_seconds(0)}, "secret": {"retention": "Persistent"}});
            drop(lab.patch(&name, spec).await);
        }
    };
    let done = |name: String| {
        let lab = lab.clone();
        async move {
            let key = lab.wait(&name, "the rotation", |key| number(key) >= 2).await;
            let generations = key.status.as_ref().unwrap().generations.clone();
            assert_eq!(
                (number(&key), generations.len()),
                (2, 2),
                "{name}: rotated once, and the old token is good"
            );
            agrees(&lab, &name).await;
        }
    };
    let kills = with_keys(&lab, begin, done).await;
    assert!(kills >= 4, "Secret and status, before and after each: {kills}");
}

async fn killed_while_scrubbing(lab: Lab) {
    lab.sharded_organization(json!({"limits": {"managementKeys": 100}})).await;
    // A key that was Persistent becomes a Window key whose window has long ended.
    lab.patch_organization(json!({"revealWindow": "1s"})).await;
    let begin = |name: String| {
        let lab = lab.clone();
        async move { drop(lab.patch(&name, json!({"secret": {"retention": "Window"}})).await) }
    };
    let done = |name: String| {
        let lab = lab.clone();
        async move {
            let scrubbed =
                |key: &_| condition(key, "Issued").is_some_and(|(_, reason, _)| reason == "TokenScrubbed");
            let key = lab.wait(&name, "the token is scrubbed", scrubbed).await;
            assert_eq!(number(&key), 1, "{name}");
            assert_eq!(lab.token(&name).await, None, "{name}");
        }
    };
    let kills = with_keys(&lab, begin, done).await;
    assert!(kills >= 4, "Secret and status, before and after each: {kills}");
}

async fn killed_while_deleting(lab: Lab) {
    lab.sharded_organization(json!({"limits": {"managementKeys": 100}})).await;
    let begin = |name: String| {
        let lab = lab.clone();
        async move { lab.delete(&name).await }
    };
    let done = |name: String| {
        let lab = lab.clone();
        async move {
            lab.gone(&name).await;
            assert!(lab.secret(&name).await.is_none(), "{name}");
            let slots = || async {
                let organization = lab.organizations.get(&lab.name).await.unwrap();
                organization.status.unwrap().slots.iter().any(|slot| slot.name == name)
            };
            eventually("the slot is free", slots, |held| !held).await;
        }
    };
    let kills = with_keys(&lab, begin, done).await;
    assert!(kills >= 4, "Secret and finalizer, before and after each: {kills}");
}

/// The same, with a key that was issued before the move begins.
async fn with_keys<B, D>(lab: &Lab, begin: impl Fn(String) -> B, done: impl Fn(String) -> D) -> usize
where
    B: Future<Output = ()>,
    D: Future<Output = ()>,
{
    {
        let _issuer = lab.recipe("issuer").start().await;
        for carried_out in ["before", "after"] {
            for at in 1..PLENTY {
                let name = format!("key-{at}-{carried_out}");
                lab.create(
                    &name,
                    json!({"secret": {"retention": "Persistent"}, "rotation": {"overlap": "1h"}}),
                )
                .await;
            }
        }
        for key in lab.all().await {
            lab.active(&key.name_any()).await;
        }
        let held = |o: &latchkey::resources::Organization| {
            o.status.as_ref().and_then(|s| s.management_keys).is_some_and(|counts| counts.waiting == 0)
        };
        lab.organization_is(&lab.name, "all hold a slot", held).await;
    }
    at_every_write(lab, begin, done).await
}
