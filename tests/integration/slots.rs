//! Five means five.

use crate::support::{
    Lab, eventually,
    lab::{condition, is_ready, message},
    trial,
};
use futures::{StreamExt, TryStreamExt, future::join_all};
use kube::{
    ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use libtest_mimic::Trial;
use serde_json::json;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("forty_keys_at_once_give_five", forty_keys_at_once_give_five),
        trial("two_controllers_without_a_leader", two_controllers_without_a_leader),
        trial("raising_and_lowering_the_limit", raising_and_lowering_the_limit),
        trial("an_expired_key_frees_its_slot", an_expired_key_frees_its_slot),
        trial("a_key_that_cannot_be_issued_takes_no_slot", a_key_that_cannot_be_issued_takes_no_slot),
    ]
}

async fn create_many(lab: &Lab, prefix: &str, count: usize) {
    join_all((0..count).map(|number| {
        let (lab, name) = (lab.clone(), format!("{prefix}-{number:02}"));
        async move { lab.create(&name, json!({})).await }
    }))
    .await;
}

/// Counts the ready keys of a namespace at every event, and remembers the most.
fn most_ready(lab: &Lab) -> Arc<AtomicUsize> {
    let most = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&most);
    let events = watcher(lab.keys.clone(), watcher::Config::default()).default_backoff();
    tokio::spawn(async move {
        let mut ready: HashMap<String, bool> = HashMap::new();
        let mut events = events.boxed();
        while let Ok(Some(event)) = events.try_next().await {
            match event {
                watcher::Event::Apply(key) | watcher::Event::InitApply(key) => {
                    let good = is_ready(&key) && key.metadata.deletion_timestamp.is_none();
                    ready.insert(key.name_any(), good);
                }
                watcher::Event::Delete(key) => drop(ready.remove(&key.name_any())),
                watcher::Event::Init | watcher::Event::InitDone => {}
            }
            seen.fetch_max(ready.values().filter(|ready| **ready).count(), Ordering::Relaxed);
        }
    });
    most
}

async fn settled(lab: &Lab, ready: usize, waiting: usize) {
    let count = || async {
        let keys = lab.all().await;
        let says = |reason: &str| {
            keys.iter().filter(|k| condition(k, "Ready").is_some_and(|(_, r, _)| r == reason)).count()
        };
        (says("Active"), says("LimitReached"))
    };
    eventually("the keys are settled", count, |found| *found == (ready, waiting)).await;
}

async fn forty_keys_at_once_give_five(lab: Lab) {
    lab.organization(json!({})).await;
    let most = most_ready(&lab);
    create_many(&lab, "key", 40).await;
    settled(&lab, 5, 35).await;
    let mut keys = lab.all().await;
    let holders: Vec<_> = keys.iter().filter(|key| is_ready(key)).map(ResourceExt::name_any).collect();
    for key in keys.iter().filter(|key| !is_ready(key)) {
        let text = message(key);
        assert!(holders.iter().all(|holder| text.contains(&format!("{}/{holder}", lab.name))), "{text}");
        assert!(lab.secret(&key.name_any()).await.is_none(), "a waiting key has no Secret");
        assert_eq!(condition(key, "Admitted").unwrap().0, "False");
    }
    let organization = lab
        .organization_is(&lab.name, "35 wait", |o| {
            o.status.as_ref().and_then(|s| s.management_keys).is_some_and(|counts| counts.waiting == 35)
        })
        .await;
    assert_eq!(organization.status.unwrap().slots.len(), 5);

    keys.retain(|key| !is_ready(key));
    keys.sort_by_key(|key| (key.creation_timestamp(), key.uid()));
    let oldest = keys[0].name_any();
    lab.delete(&holders[0]).await;
    lab.active(&oldest).await;
    settled(&lab, 5, 34).await;
    assert!(most.load(Ordering::Relaxed) <= 5, "{} were ready at once", most.load(Ordering::Relaxed));
}

async fn two_controllers_without_a_leader(lab: Lab) {
    let first = lab.sharded_organization(json!({})).await;
    let second = lab.recipe("second");
    let operators = [first.start().await, second.start().await];
    let most = most_ready(&lab);
    for round in 0..3 {
        create_many(&lab, &format!("round{round}"), 12).await;
        settled(&lab, 5, 7).await;
        let tokens = join_all(lab.all().await.iter().filter(|k| is_ready(k)).map(|k| lab.token_of(k))).await;
        for token in tokens {
            operators[0].door.says(&token, "Allowed").await;
            operators[1].door.says(&token, "Allowed").await;
        }
        for key in lab.all().await.iter().filter(|key| is_ready(key)).take(3) {
            lab.delete(&key.name_any()).await;
        }
        settled(&lab, 5, 4).await;
        let rest = lab.all().await;
        join_all(rest.iter().map(|key| lab.delete_and_wait(key))).await;
    }
    assert!(most.load(Ordering::Relaxed) <= 5, "{} were ready at once", most.load(Ordering::Relaxed));
}

async fn raising_and_lowering_the_limit(lab: Lab) {
    lab.organization(json!({"limits": {"managementKeys": 2}})).await;
    create_many(&lab, "key", 6).await;
    settled(&lab, 2, 4).await;
    lab.patch_organization(json!({"limits": {"managementKeys": 4}})).await;
    settled(&lab, 4, 2).await;
    lab.patch_organization(json!({"limits": {"managementKeys": 1}})).await;
    lab.organization_is(&lab.name, "the lower limit", |o| {
        o.status
            .as_ref()
            .and_then(|s| s.management_keys)
            .is_some_and(|counts| (counts.limit, counts.held) == (1, 4))
    })
    .await;
    settled(&lab, 4, 2).await;
    let keys = lab.all().await;
    let holders: Vec<_> = keys.iter().filter(|key| is_ready(key)).collect();
    join_all(holders.iter().take(3).map(|key| lab.delete_and_wait(key))).await;
    settled(&lab, 1, 2).await;
    join_all(holders.iter().skip(3).map(|key| lab.delete_and_wait(key))).await;
    settled(&lab, 1, 1).await;
}

async fn an_expired_key_frees_its_slot(lab: Lab) {
    lab.organization(json!({"limits": {"managementKeys": 1}})).await;
    lab.issue("short", json!({"ttl": "2s"})).await;
    lab.create("next", json!({})).await;
    lab.ready("next", "False", "LimitReached").await;
    lab.ready("short", "False", "Expired").await;
    lab.active("next").await;
}

async fn a_key_that_cannot_be_issued_takes_no_slot(lab: Lab) {
    lab.organization(json!({"limits": {"managementKeys": 1}})).await;
    lab.create("ownerless", json!({"owner": {"name": "nobody"}})).await;
    lab.ready("ownerless", "False", "OwnerNotFound").await;
    lab.issue("good", json!({})).await;
    lab.user("nobody").await;
    lab.ready("ownerless", "False", "LimitReached").await;
    lab.delete("good").await;
    lab.active("ownerless").await;
}
