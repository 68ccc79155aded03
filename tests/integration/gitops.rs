//! Applying twice changes nothing, and at rest nothing is written.

use crate::support::{Lab, lab::versions, objects, trial};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Api, api::ListParams};
use latchkey::resources::{ManagementKey, Organization, User};
use libtest_mimic::Trial;
use serde_json::json;
use std::{collections::BTreeMap, path::Path, time::Duration};
use tokio::process::Command;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("every_example_applied_twice", every_example_applied_twice),
        trial("nothing_is_written_at_rest", nothing_is_written_at_rest),
        trial("the_definitions_apply_without_warnings", the_definitions_apply_without_warnings),
    ]
}

async fn kubectl(lab: &Lab, args: &[&str]) -> (String, String) {
    let kubeconfig = lab.world.folder().join("kubectl.kubeconfig");
    std::fs::write(&kubeconfig, lab.world.kubeconfig("kubectl")).unwrap();
    let mut command = Command::new(&lab.world.kubectl);
    let output = command.env("KUBECONFIG", &kubeconfig).args(args).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "kubectl {args:?}: {err}");
    (out, err)
}

fn examples() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    // In the order in which they refer to each other.
    ["organization", "people", "managementkey"]
        .map(|name| folder.join(name).with_extension("yaml").display().to_string())
        .join(",")
}

async fn every_example_applied_twice(lab: Lab) {
    lab.world.operator().await;
    let files = examples();
    let (out, err) = kubectl(&lab, &["apply", "-f", &files]).await;
    assert_eq!(err, "", "no warnings");
    assert!(out.contains("managementkey.latchkey.dev/ci created"), "{out}");
    let keys: Api<ManagementKey> = Api::namespaced(lab.client.clone(), "acme-prod");
    let secrets: Api<Secret> = Api::namespaced(lab.client.clone(), "acme-prod");
    let lab = Lab { keys, secrets, ..lab };
    lab.active("ci").await;
    lab.active("console").await;
    let organizations = lab.organizations.clone();
    crate::support::eventually(
        "both hold a slot",
        || async {
            organizations.get("acme").await.unwrap().status.and_then(|s| s.management_keys).map(|k| k.held)
        },
        |held| *held == Some(2),
    )
    .await;
    let before = snapshot(&lab).await;
    assert!(before.len() > 5, "{before:?}");
    let (out, _) = kubectl(&lab, &["apply", "-f", &files]).await;
    assert!(out.lines().all(|line| line.ends_with("unchanged")), "{out}");
    // A key made later is ready, so whatever the second apply had caused would have happened by now.
    lab.issue("marker", json!({})).await;
    lab.delete("marker").await;
    lab.gone("marker").await;
    let after: BTreeMap<_, _> = snapshot(&lab).await;
    let changed: Vec<_> =
        before.iter().filter(|(place, version)| after.get(*place) != Some(*version)).collect();
    assert!(changed.is_empty(), "{changed:?}");
    let (shown, _) = kubectl(&lab, &["get", "mk", "-n", "acme-prod"]).await;
    assert_eq!(columns(&shown), ["NAME", "READY", "REASON", "EXPIRES", "LAST USED", "TOKEN", "AGE"]);
    let (shown, _) = kubectl(&lab, &["get", "mk", "-n", "acme-prod", "-o", "wide"]).await;
    for more in ["SECRET", "ORGANIZATION", "GENERATION"] {
        assert!(columns(&shown).contains(&more), "{shown}");
    }
    let (shown, _) = kubectl(&lab, &["get", "latchkey", "-n", "acme-prod"]).await;
    for object in
        ["organization.latchkey.dev/acme", "user.latchkey.dev/jane", "managementkey.latchkey.dev/ci"]
    {
        assert!(shown.contains(object), "{shown}");
    }
}

/// The headings of a table of kubectl, which stand at least two spaces apart.
fn columns(table: &str) -> Vec<&str> {
    let headings = table.lines().next().unwrap_or_default().split("  ");
    headings.map(str::trim).filter(|heading| !heading.is_empty()).collect()
}

/// Versions of all that belongs to the examples, without the organization, whose slots the marker takes part in.
async fn snapshot(lab: &Lab) -> BTreeMap<String, String> {
    let users: Api<User> = Api::namespaced(lab.client.clone(), "acme-prod");
    let all = ListParams::default();
    let namespace: Api<Namespace> = Api::all(lab.client.clone());
    let mut found = versions(&lab.keys.list(&all).await.unwrap().items);
    found.extend(versions(&users.list(&all).await.unwrap().items));
    found.extend(
        versions(&lab.secrets.list(&all).await.unwrap().items)
            .into_iter()
            .map(|(n, v)| (format!("secret {n}"), v)),
    );
    found.extend(versions(&[namespace.get("acme-prod").await.unwrap()]));
    let organization: Organization = lab.organizations.get("acme").await.unwrap();
    found.push(("spec of acme".into(), organization.metadata.generation.unwrap().to_string()));
    found.into_iter().collect()
}

async fn nothing_is_written_at_rest(lab: Lab) {
    let recipe = lab.sharded_organization(json!({"limits": {"managementKeys": 3}})).await;
    let operator = recipe.start().await;
    lab.user("jane").await;
    lab.issue("persistent", json!({"secret": {"retention": "Persistent"}})).await;
    lab.issue("window", json!({"owner": {"name": "jane"}, "ttl": "720h", "rotation": {"every": "168h"}}))
        .await;
    lab.issue("suspended", json!({})).await;
    lab.patch("suspended", json!({"suspended": true})).await;
    lab.ready("suspended", "False", "Suspended").await;
    lab.create("waiting", json!({})).await;
    lab.ready("waiting", "False", "LimitReached").await;
    let waiting =
        |o: &Organization| o.status.as_ref().and_then(|s| s.management_keys).is_some_and(|k| k.waiting == 1);
    lab.organization_is(&lab.name, "one waits", waiting).await;
    lab.event("suspended", "Suspended").await;
    lab.event("waiting", "LimitReached").await;
    let before = lab.world.writes_by(&operator.user).len();
    let state =
        objects::all(&lab.client).await.into_iter().filter(|(place, _)| place.contains(&lab.name)).count();
    assert!(before > 0 && state > 5, "the audit log tells of writes");
    // What is awaited here is that nothing happens, for as long as it is said to.
    let rest = tokio::time::timeout(Duration::from_secs(30), std::future::pending::<()>());
    rest.await.unwrap_err();
    let writes = lab.world.writes_by(&operator.user);
    assert_eq!(writes.len(), before, "written at rest: {:#?}", &writes[before..]);
}

async fn the_definitions_apply_without_warnings(lab: Lab) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let files = folder.display().to_string();
    let (_, err) = kubectl(&lab, &["apply", "--server-side", "--force-conflicts", "-f", &files]).await;
    assert_eq!(err, "");
    let (explained, _) = kubectl(&lab, &["explain", "managementkey.spec.rotation"]).await;
    for (field, text) in [("every", "Rotate when the current token is this old"), ("after", "Set it to now")]
    {
        assert!(explained.contains(field) && explained.contains(text), "{explained}");
    }
}
