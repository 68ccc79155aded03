//! Who is told of what: one watch per kind, whichever parts the process plays.

use crate::{
    cluster::watch::{self, Subscriber},
    controllers::{self, Subscriptions},
    resources::{ManagementKey, Organization, User},
    verifier::{Index, Subscription},
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Api, Client, api::PartialObjectMeta, runtime::watcher};
use std::sync::Arc;
use tokio::task::JoinSet;

type Subscribers<K> = Vec<Box<dyn Subscriber<K>>>;

/// The subscribers of each kind.
#[derive(Default)]
pub(super) struct Watches {
    organizations: Subscribers<Organization>,
    users: Subscribers<User>,
    management_keys: Subscribers<ManagementKey>,
    namespaces: Subscribers<PartialObjectMeta<Namespace>>,
    secrets: Subscribers<PartialObjectMeta<Secret>>,
}

impl Watches {
    /// The verifier is told of keys and of what they depend on, and before the controllers: a revocation comes first.
    pub(super) fn add_verifier(&mut self, index: &Arc<Index>) {
        let subscription = || Subscription::new(Arc::clone(index), Timestamp::now);
        self.organizations.push(Box::new(subscription()));
        self.users.push(Box::new(subscription()));
        self.management_keys.push(Box::new(subscription()));
    }

    /// The controllers are told of namespaces and of the keys' Secrets, too.
    pub(super) fn add_controllers(&mut self, subscriptions: Subscriptions) {
        self.organizations.push(subscriptions.organizations);
        self.users.push(subscriptions.users);
        self.management_keys.push(subscriptions.management_keys);
        self.namespaces.push(subscriptions.namespaces);
        self.secrets.push(subscriptions.secrets);
    }

    /// Starts a watch for each kind that somebody wants to be told of.
    pub(super) fn start(self, client: &Client) -> JoinSet<()> {
        let mut watches = JoinSet::new();
        watches.spawn(watch::follow(Api::all(client.clone()), self.organizations));
        watches.spawn(watch::follow(Api::all(client.clone()), self.users));
        watches.spawn(watch::follow(Api::all(client.clone()), self.management_keys));
        if !self.namespaces.is_empty() {
            let everything = watcher::Config::default();
            watches.spawn(watch::follow_metadata(Api::all(client.clone()), everything, self.namespaces));
        }
        if !self.secrets.is_empty() {
            let ours = watcher::Config::default().labels(&controllers::secrets_watched());
            watches.spawn(watch::follow_metadata(Api::all(client.clone()), ours, self.secrets));
        }
        watches
    }
}
