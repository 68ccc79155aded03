//! A namespace and an organization of a test's own, and what tests do in them.

use super::{PATIENCE, World, door::Door, operator::Recipe};
use k8s_openapi::api::core::v1::{Event, Namespace, Secret};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    runtime::wait::await_condition,
};
use latchkey::resources::{ManagementKey, Organization, User};
use serde_json::{Value, json};
use std::{
    fmt::Debug,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

static COUNT: AtomicU32 = AtomicU32::new(0);

#[derive(Clone)]
pub struct Lab {
    pub world: &'static World,
    pub client: Client,
    /// Name of the namespace, of the organization, and of the shard if there is one.
    pub name: String,
    pub keys: Api<ManagementKey>,
    pub organizations: Api<Organization>,
    pub users: Api<User>,
    pub secrets: Api<Secret>,
}

impl Lab {
    /// Makes a namespace. Its organization comes with [`Lab::organization`].
    pub async fn open(world: &'static World, test: &str) -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let short: String = test.chars().filter(char::is_ascii_alphanumeric).take(20).collect();
        let name = format!("t{number}-{short}");
        let client = world.client.clone();
        let namespace =
            serde_json::from_value(json!({"metadata": {"name": name, "labels": {"org": name}}})).unwrap();
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        Self {
            world,
            keys: Api::namespaced(client.clone(), &name),
            organizations: Api::all(client.clone()),
            users: Api::namespaced(client.clone(), &name),
            secrets: Api::namespaced(client.clone(), &name),
            client,
            name,
        }
    }

    /// Makes the organization, looked after by the operator that all tests share.
    pub async fn organization(&self, spec: Value) {
        self.world.operator().await;
        self.make_organization(&self.name, spec, json!({})).await;
    }

    /// Makes the organization, looked after by the operators that the test starts from the recipe.
    pub async fn sharded_organization(&self, spec: Value) -> Recipe {
        self.make_organization(&self.name, spec, json!({"latchkey.dev/shard": self.name})).await;
        self.recipe("operator")
    }

    /// How to start an operator for this test's organization alone.
    pub fn recipe(&self, which: &str) -> Recipe {
        Recipe::new(
            self.world,
            &format!("{}-{which}", self.name),
            &["--shard", &self.name, "--leader-elect=false"],
        )
    }

    pub async fn make_organization(&self, name: &str, spec: Value, labels: Value) {
        let mut full = json!({"namespaceSelector": {"matchLabels": {"org": self.name}}});
        full.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let organization = json!({"metadata": {"name": name, "labels": labels}, "spec": full});
        let organization: Organization = typed(organization, "Organization");
        self.organizations.create(&PostParams::default(), &organization).await.unwrap();
    }

    pub async fn door(&self) -> &Door {
        &self.world.operator().await.door
    }

    pub async fn create(&self, name: &str, spec: Value) -> ManagementKey {
        self.try_create(name, spec).await.unwrap()
    }

    pub async fn try_create(&self, name: &str, spec: Value) -> kube::Result<ManagementKey> {
        let mut full = json!({"allow": [{"methods": ["GET"], "paths": ["/management/**"]}]});
        full.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let key = typed(json!({"metadata": {"name": name}, "spec": full}), "ManagementKey");
        self.keys.create(&PostParams::default(), &key).await
    }

    pub async fn user(&self, name: &str) {
        let user = typed(json!({"metadata": {"name": name}, "spec": {"email": "jane@example.com"}}), "User");
        self.users.create(&PostParams::default(), &user).await.unwrap();
    }

    pub async fn patch(&self, name: &str, spec: Value) -> ManagementKey {
        let patch = json!({ "spec": spec });
        self.keys.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap()
    }

    pub async fn patch_organization(&self, spec: Value) {
        let patch = json!({ "spec": spec });
        self.organizations.patch(&self.name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    pub async fn delete(&self, name: &str) {
        self.keys.delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Waits until a key is as wanted.
    pub async fn wait(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&ManagementKey) -> bool,
    ) -> ManagementKey {
        let wait =
            await_condition(self.keys.clone(), name, |key: Option<&ManagementKey>| key.is_some_and(&wanted));
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(key) => key.unwrap().unwrap(),
            Err(_) => panic!("{name}: {what}; it is {:#?}", self.keys.get(name).await.map(|key| key.status)),
        }
    }

    /// Waits until a key is gone.
    pub async fn gone(&self, name: &str) {
        let wait = await_condition(self.keys.clone(), name, |key: Option<&ManagementKey>| key.is_none());
        tokio::time::timeout(PATIENCE, wait).await.expect("the key is gone").unwrap();
    }

    /// Waits until a key's `Ready` condition has a status and reason that belong to its present spec.
    pub async fn ready(&self, name: &str, status: &str, reason: &str) -> ManagementKey {
        self.wait(name, &format!("Ready={status}, {reason}"), |key| {
            let current = key.status.as_ref().and_then(|s| s.observed_generation) == key.metadata.generation;
            current
                && condition(key, "Ready")
                    .is_some_and(|(s, r, _)| (s.as_str(), r.as_str()) == (status, reason))
        })
        .await
    }

    pub async fn active(&self, name: &str) -> ManagementKey {
        self.ready(name, "True", "Active").await
    }

    /// Creates a key, waits until it is active, and takes its token from the Secret.
    pub async fn issue(&self, name: &str, spec: Value) -> String {
        self.create(name, spec).await;
        self.active(name).await;
        self.token(name).await.expect("a token")
    }

    pub async fn secret(&self, name: &str) -> Option<Secret> {
        self.secrets.get_opt(name).await.unwrap()
    }

    /// The entry `token` of a Secret.
    pub async fn token(&self, secret: &str) -> Option<String> {
        self.entry(secret, "token").await
    }

    pub async fn entry(&self, secret: &str, entry: &str) -> Option<String> {
        let data = self.secret(secret).await?.data?;
        Some(String::from_utf8(data.get(entry)?.0.clone()).unwrap())
    }

    pub async fn all(&self) -> Vec<ManagementKey> {
        self.keys.list(&ListParams::default()).await.unwrap().items
    }

    /// Waits until the organization is as wanted.
    pub async fn organization_is(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&Organization) -> bool,
    ) -> Organization {
        let wait = await_condition(self.organizations.clone(), name, |o: Option<&Organization>| {
            o.is_some_and(&wanted)
        });
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(organization) => organization.unwrap().unwrap(),
            Err(_) => {
                panic!("{name}: {what}; it is {:#?}", self.organizations.get(name).await.map(|o| o.status))
            }
        }
    }

    /// Waits for an Event about an object of the namespace.
    pub async fn event(&self, object: &str, reason: &str) -> String {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.name);
        let fields = ListParams::default().fields(&format!("involvedObject.name={object},reason={reason}"));
        let ask = || async {
            events.list(&fields).await.unwrap().items.into_iter().find_map(|event| event.message)
        };
        let what = format!("an Event {reason} about {object}");
        super::eventually(&what, ask, Option::is_some).await.unwrap()
    }
}

/// Status, reason and message of a condition.
pub fn condition(key: &ManagementKey, type_: &str) -> Option<(String, String, String)> {
    let found = key.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == type_)?;
    Some((found.status.clone(), found.reason.clone(), found.message.clone()))
}

pub fn is_ready(key: &ManagementKey) -> bool {
    condition(key, "Ready").is_some_and(|(status, ..)| status == "True")
}

pub fn message(key: &ManagementKey) -> String {
    condition(key, "Ready").map(|(.., message)| message).unwrap_or_default()
}

pub fn digest(key: &ManagementKey) -> String {
    key.status.as_ref().unwrap().generations[0].digest.clone()
}

pub fn number(key: &ManagementKey) -> i64 {
    key.status
        .as_ref()
        .and_then(|status| status.generations.first())
        .map_or(0, |generation| generation.number)
}

/// A time so many seconds from now, as the API writes it.
pub fn in_seconds(seconds: i64) -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds)).to_string()
}

pub async fn within<T>(limit: Duration, what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, wait).await.unwrap_or_else(|_| panic!("not within {limit:?}: {what}"))
}

pub fn versions<K: ResourceExt>(objects: &[K]) -> Vec<(String, String)> {
    let mut versions: Vec<_> = objects
        .iter()
        .map(|object| (object.name_any(), object.resource_version().unwrap_or_default()))
        .collect();
    versions.sort();
    versions
}

fn typed<K: serde::de::DeserializeOwned + Debug>(mut object: Value, kind: &str) -> K {
    object["apiVersion"] = "latchkey.dev/v1alpha1".into();
    object["kind"] = kind.into();
    serde_json::from_value(object).unwrap()
}

impl Lab {
    pub async fn token_of(&self, key: &ManagementKey) -> String {
        self.token(&key.name_any()).await.expect("a token")
    }

    pub async fn delete_and_wait(&self, key: &ManagementKey) {
        self.delete(&key.name_any()).await;
        self.gone(&key.name_any()).await;
    }
}
