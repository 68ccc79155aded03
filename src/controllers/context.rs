//! What all reconcilers share: the caches they read, and the API server they write to.

use super::{directory::Directory, queue::Trigger, registry::Registry, written::Written};
use crate::{
    cluster::events::Events,
    lifecycle::{OrganizationTerms, membership::Membership, record::Seal},
    resources::{GROUP, Key, Organization, Slot, User},
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
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
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
    pub(super) resolved_organizations: Mutex<HashMap<String, Arc<ResolvedOrganization>>>,
    pub(super) organization_trigger: Trigger<Organization>,
    pub(super) user_trigger: Trigger<User>,
}

/// An organization with what its many keys ask of it: worked out once for each of its versions.
pub(super) struct ResolvedOrganization {
    organization: Arc<Organization>,
    pub(super) terms: OrganizationTerms,
    holders: HashSet<String>,
}

impl ResolvedOrganization {
    fn of(organization: Arc<Organization>) -> Self {
        let terms = OrganizationTerms::of(&organization);
        let slots = organization.status.iter().flat_map(|status| &status.slots);
        let holders = slots.map(|slot| slot.uid.clone()).collect();
        Self { organization, terms, holders }
    }

    /// The slots, as last written.
    pub(super) fn slots(&self) -> &[Slot] {
        self.organization.status.as_ref().map_or(&[], |status| &status.slots)
    }

    /// Whether a key holds a slot.
    pub(super) fn is_holder(&self, uid: &str) -> bool {
        self.holders.contains(uid)
    }
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
    pub(super) fn organization(&self, name: &str) -> Option<Arc<ResolvedOrganization>> {
        let stored = self.organizations.get(&ObjectRef::new(name))?;
        let newest = self.written_organizations.fresher(stored);
        let mut resolved = self.resolved_organizations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = resolved.get(name).filter(|known| Arc::ptr_eq(&known.organization, &newest)) {
            return Some(Arc::clone(known));
        }
        let known = Arc::new(ResolvedOrganization::of(newest));
        resolved.insert(name.to_owned(), Arc::clone(&known));
        Some(known)
    }

    /// Forgets an organization that is gone.
    pub(super) fn forget_organization(&self, name: &str) {
        self.resolved_organizations.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
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
