//! The operator as a process: how it ends, how it begins again, how fast a deletion is heard of.

use crate::support::{
    Lab, eventually,
    lab::{is_ready, within},
    operator::Recipe,
    trial,
};
use kube::ResourceExt;
use libtest_mimic::Trial;
use serde_json::json;
use std::time::{Duration, Instant};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("it_ends_within_five_seconds", it_ends_within_five_seconds),
        trial("a_restart_writes_nothing", a_restart_writes_nothing),
        trial("another_takes_over", another_takes_over),
        trial("a_killed_leader_need_not_wait_for_its_lease", a_killed_leader_need_not_wait_for_its_lease),
        trial("metrics_and_health", metrics_and_health),
        trial("logs_can_be_json", logs_can_be_json),
        trial("a_deletion_is_heard_of_at_once", a_deletion_is_heard_of_at_once),
    ]
}

async fn it_ends_within_five_seconds(lab: Lab) {
    let mut operator = lab.sharded_organization(json!({})).await.start().await;
    lab.issue("ci", json!({})).await;
    // A connection that stays open must not hold it up.
    let _open = operator.door.try_token("x").await;
    operator.signal("TERM").await;
    let (code, took) = operator.ended().await;
    assert_eq!(code, "0");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

async fn a_restart_writes_nothing(lab: Lab) {
    let operator = lab.sharded_organization(json!({})).await.start().await;
    for number in 0..5 {
        lab.create(&format!("key-{number}"), json!({"ttl": "24h", "owner": null})).await;
    }
    for number in 0..5 {
        lab.active(&format!("key-{number}")).await;
    }
    let before: Vec<_> = lab.all().await.iter().map(ResourceExt::resource_version).collect();
    drop(operator);
    let again = lab.recipe("again").start().await;
    // The sixth waits, which the new operator can only say once it has been through the organization.
    lab.create("sixth", json!({})).await;
    lab.ready("sixth", "False", "LimitReached").await;
    let after: Vec<_> =
        lab.all().await.iter().filter(|key| is_ready(key)).map(ResourceExt::resource_version).collect();
    assert_eq!(before, after);
    let writes = lab.world.writes_by(&again.user);
    let others: Vec<_> = writes
        .iter()
        .filter(|write| !write.contains("/sixth/") && !write.contains("/organizations/"))
        .collect();
    assert!(others.iter().all(|write| write.contains("/events")), "{others:?}");
}

async fn another_takes_over(lab: Lab) {
    lab.sharded_organization(json!({})).await;
    let recipe = |which: &str| {
        Recipe::new(
            lab.world,
            &format!("{}-{which}", lab.name),
            &["--shard", &lab.name, "--namespace", &lab.name],
        )
    };
    let mut first = recipe("first").start().await;
    lab.issue("one", json!({})).await;
    let second = recipe("second").start().await;
    lab.issue("two", json!({})).await;
    assert!(lab.world.writes_by(&second.user).is_empty(), "only the holder of the Lease writes");
    first.signal("TERM").await;
    first.ended().await;
    within(Duration::from_secs(20), "the Lease was given back", lab.issue("three", json!({}))).await;
    assert!(!lab.world.writes_by(&second.user).is_empty());
}

async fn a_killed_leader_need_not_wait_for_its_lease(lab: Lab) {
    lab.sharded_organization(json!({})).await;
    let args = ["--shard", &lab.name, "--namespace", &lab.name];
    let recipe = Recipe::new(lab.world, &format!("{}-leader", lab.name), &args);
    let mut operator = recipe.start().await;
    lab.issue("one", json!({})).await;
    operator.signal("KILL").await;
    operator.ended().await;
    let _again = recipe.start().await;
    within(Duration::from_secs(5), "it leads again", lab.issue("two", json!({}))).await;
}

async fn metrics_and_health(lab: Lab) {
    lab.organization(json!({})).await;
    let token = lab.issue("ci", json!({})).await;
    let operator = lab.world.operator().await;
    operator.door.says(&token, "Allowed").await;
    let metrics = operator.metrics().await;
    assert!(metrics.contains("latchkey_decisions_total{"), "{metrics}");
    assert!(metrics.contains("Allowed"), "{metrics}");
    assert!(metrics.trim_end().ends_with("# EOF"));
    lab.world.saw(metrics);
    assert_eq!(operator.admin_answers("healthz").await, 200);
}

async fn logs_can_be_json(lab: Lab) {
    lab.sharded_organization(json!({})).await;
    let args = ["--shard", &lab.name, "--leader-elect=false", "--log-format", "json"];
    let recipe = Recipe::new(lab.world, &format!("{}-json", lab.name), &args);
    let mut operator = recipe.start().await;
    lab.issue("ci", json!({})).await;
    operator.signal("TERM").await;
    operator.ended().await;
    let log = recipe.log();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(lines.iter().any(|line| line["level"] == "INFO" && line["message"] == "reconciling"), "{log}");
}

async fn a_deletion_is_heard_of_at_once(lab: Lab) {
    const DELETIONS: usize = 200;
    lab.organization(json!({"limits": {"managementKeys": 300}})).await;
    for number in 0..DELETIONS {
        lab.create(&format!("key-{number}"), json!({})).await;
    }
    let door = lab.door().await;
    let mut times = Vec::with_capacity(DELETIONS);
    for number in 0..DELETIONS {
        let name = format!("key-{number}");
        lab.active(&name).await;
        let token = lab.token(&name).await.unwrap();
        door.says(&token, "Allowed").await;
        lab.delete(&name).await;
        let answered = Instant::now();
        while door.try_token(&token).await == "Allowed" {
            assert!(answered.elapsed() < Duration::from_secs(10), "{name} is still allowed");
        }
        times.push(answered.elapsed());
    }
    times.sort();
    eprintln!(
        "from the deletion's answer to the refusal: p50 {:?}, p99 {:?}",
        times[DELETIONS / 2],
        times[DELETIONS * 99 / 100]
    );
    eventually("all keys are gone", || lab.all(), Vec::is_empty).await;
}
