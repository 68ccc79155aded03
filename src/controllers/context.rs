//! What all reconcilers share: the caches they read, and the API server they write to.

use super::{directory::Directory, queue::Trigger, registry::Registry, written::Written};
use crate::{
    cluster::events::Events,
    lifecycle::{membership::Membership, record::Seal},
    resources::{GROUP, Key, Organization, User},
};
use jiff::{Timestamp, Unit};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Client, ResourceExt,
    api::{ObjectMeta, PartialObjectMeta, PostParams},
    runtime::{
        controller::Action,
        reflector::{ObjectRef, Store},
    },
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

/// The label of an Organization that gives it to the controllers started with `--shard` of the same value.
pub(super) const SHARD_LABEL: &str = "latchkey.dev/shard";

/// What does not depend on the kind of key.
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) clock: fn() -> Timestamp,
    pub(super) seal: Seal,
    pub(super) shard: Option<String>,
    pub(super) events: Events,
    pub(super) directory: Directory,
    pub(super) organizations: Store<Organization>,
    pub(super) users: Store<User>,
    pub(super) secrets: Store<PartialObjectMeta<Secret>>,
    pub(super) written_organizations: Written<Organization>,
    pub(super) organization_trigger: Trigger<Organization>,
    pub(super) user_trigger: Trigger<User>,
}

/// What belongs to one kind of key.
pub(super) struct KeyContext<K: Key> {
    pub(super) shared: Arc<Shared>,
    pub(super) keys: Store<K>,
    pub(super) registry: Registry,
    pub(super) written: Written<K>,
    pub(super) trigger: Trigger<K>,
    /// Keys that can't be decoded, by namespace and name, with what is known of them.
    pub(super) undecodable: Mutex<HashMap<(String, String), (ObjectMeta, String)>>,
}

impl Shared {
    /// The time, to the millisecond: as exact as statuses are.
    pub(super) fn now(&self) -> Timestamp {
        let now = (self.clock)();
        now.round(Unit::Millisecond).unwrap_or(now)
    }

    /// An organization in its newest version.
    pub(super) fn organization(&self, name: &str) -> Option<Arc<Organization>> {
        let stored = self.organizations.get(&ObjectRef::new(name))?;
        Some(self.written_organizations.fresher(stored))
    }

    /// Whether these controllers look after an organization.
    pub(super) fn looks_after(&self, organization: &str) -> bool {
        self.organizations.get(&ObjectRef::new(organization)).is_some_and(|found| self.is_ours(&found))
    }

    /// Whether an organization belongs to these controllers' shard.
    pub(super) fn is_ours(&self, organization: &Organization) -> bool {
        organization.labels().get(SHARD_LABEL) == self.shard.as_ref()
    }

    /// Whether these controllers look after the keys of a namespace. What nobody claims belongs to the controllers
    /// without shard, so that somebody says so.
    pub(super) fn looks_after_members(&self, membership: &Membership) -> bool {
        match membership {
            Membership::Of(organization) => self.looks_after(organization),
            Membership::Contested(organizations) => organizations.iter().any(|name| self.looks_after(name)),
            Membership::Unclaimed => self.shard.is_none(),
        }
    }

    /// Asks to look at an object again at a time.
    pub(super) fn wake(&self, at: Option<Timestamp>) -> Action {
        at.map_or_else(Action::await_change, |at| {
            let wait = at.duration_since(self.now());
            Action::requeue(Duration::try_from(wait).unwrap_or_default().max(Duration::from_millis(1)))
        })
    }
}

/// Parameters of a write.
pub(super) fn as_latchkey() -> PostParams {
    PostParams { field_manager: Some(crate::cluster::client::FIELD_MANAGER.into()), ..PostParams::default() }
}

/// A label or annotation of Latchkey.
pub(super) fn mark(name: &str) -> String {
    format!("{GROUP}/{name}")
}
