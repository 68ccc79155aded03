//! Reconciling organizations: who holds the slots, and what the status says.

use super::{
    caches::slots_changed,
    context::{KeyContext, Shared, as_latchkey},
    error::Error,
    keys::owner_of,
};
use crate::{
    cluster::client::call,
    lifecycle::{
        KeyView, OrganizationTerms,
        conditions::{self, Reason},
        issue,
        membership::{DEFAULT_ORGANIZATION, Membership},
        slots::{self, Candidate},
    },
    resources::{Key, KeyCounts, Organization, OrganizationSpec, OrganizationStatus, Slot},
    token::KeyKind,
};
use jiff::Timestamp;
use kube::{
    Api, Resource, ResourceExt,
    api::DynamicObject,
    core::ApiResource,
    runtime::{controller::Action, reflector::ObjectRef},
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// After a status with more slots than this was written, the next write waits, because it costs time to write so many:
/// claims are gathered into fewer writes, and at most a ninth of the time goes into them.
const SLOTS_WRITTEN_AT_ONCE: usize = 64;
/// How many times as long as the write the pause after it is.
const PAUSE_PER_WRITE: u32 = 8;

/// What reconciling organizations needs.
pub(super) struct OrganizationContext<K: Key> {
    pub(super) keys: Arc<KeyContext<K>>,
    /// When an organization's status may be written next.
    pub(super) pauses: Mutex<HashMap<String, Instant>>,
}

/// Allocates the slots of an organization and writes its status.
pub(super) async fn reconcile<K: Key>(
    stored: Arc<Organization>,
    context: Arc<OrganizationContext<K>>,
) -> Result<Action, Error> {
    let shared = &context.keys.shared;
    let organization = shared.written_organizations.fresher(stored);
    if !shared.is_ours(&organization) || organization.meta().deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    if let Some(wait) = context.pause(&organization.name_any()) {
        return Ok(Action::requeue(wait));
    }
    let now = shared.now();
    let status = next_status(&organization, &context.keys, now).await?;
    if organization.status.as_ref() == Some(&status) {
        return Ok(Action::await_change());
    }
    let begun = Instant::now();
    let changed = Organization { status: Some(status), ..(*organization).clone() };
    let api: Api<Organization> = Api::all(shared.client.clone());
    let name = organization.name_any();
    // The version that the allocation was made from goes along: if another controller was faster, this write fails.
    let answer =
        call("writing the organization's status", api.replace_status(&name, &as_latchkey(), &changed))
            .await?;
    let written = shared.written_organizations.remember(answer);
    context.pause_after(name, begun.elapsed(), held(&written).len());
    slots_changed(&context.keys, &written.name_any(), held(&organization), held(&written));
    Ok(Action::await_change())
}

impl<K: Key> OrganizationContext<K> {
    fn pause(&self, organization: &str) -> Option<Duration> {
        let pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        let left = pauses.get(organization)?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    fn pause_after(&self, organization: String, took: Duration, slots: usize) {
        if slots > SLOTS_WRITTEN_AT_ONCE {
            let until = Instant::now() + took * PAUSE_PER_WRITE;
            self.pauses.lock().unwrap_or_else(PoisonError::into_inner).insert(organization, until);
        }
    }
}

fn held(organization: &Organization) -> &[Slot] {
    organization.status.as_ref().map_or(&[], |status| &status.slots)
}

async fn next_status<K: Key>(
    organization: &Organization,
    keys: &KeyContext<K>,
    now: Timestamp,
) -> Result<OrganizationStatus, Error> {
    let terms = OrganizationTerms::of(organization);
    let namespaces = keys.shared.directory.namespaces(&terms.name);
    let candidates = candidates(&namespaces, &terms, keys, now);
    let released = released(held(organization), &terms.name, keys).await?;
    let allocation = slots::allocate(terms.management_keys, held(organization), &released, &candidates, now);
    let readiness = readiness(&terms, &keys.shared);
    let ready = matches!(readiness, Reason::Serving | Reason::Locked);
    let generation = organization.metadata.generation;
    let mut conditions = vec![conditions::condition(conditions::READY, ready, &readiness, generation, now)];
    if let Some(before) = &organization.status {
        conditions::keep_transition_times(&mut conditions, &before.conditions);
    }
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    Ok(OrganizationStatus {
        observed_generation: generation,
        namespaces: Some(count(namespaces.len())),
        management_keys: Some(KeyCounts {
            limit: count(terms.management_keys),
            held: count(allocation.slots.len()),
            waiting: count(allocation.waiting),
        }),
        slots: allocation.slots,
        conditions,
    })
}

fn readiness(terms: &OrganizationTerms, shared: &Shared) -> Reason {
    if let Some(problem) = shared.directory.invalid(&terms.name) {
        return Reason::InvalidSpec { problem: problem.to_string() };
    }
    match shared.directory.conflict(&terms.name) {
        Some((namespace, organizations)) => Reason::OrganizationConflict { namespace, organizations },
        None if terms.locks(KeyKind::Management) => Reason::Locked,
        None => Reason::Serving,
    }
}

/// The keys that compete for slots: those that were issued and aren't finished, and those that could be issued.
fn candidates<K: Key>(
    namespaces: &[String],
    terms: &OrganizationTerms,
    context: &KeyContext<K>,
    now: Timestamp,
) -> Vec<Candidate> {
    let references = namespaces.iter().flat_map(|namespace| context.registry.in_namespace::<K>(namespace));
    let keys = references
        .filter_map(|reference| context.keys.get(&reference))
        .map(|key| context.written.fresher(key));
    keys.filter(|key| competes(&KeyView::of(&**key), terms, context, now))
        .map(|key| Candidate {
            namespace: key.namespace().unwrap_or_default(),
            name: key.name_any(),
            uid: key.uid().unwrap_or_default(),
            created: KeyView::of(&*key).created,
        })
        .collect()
}

fn competes<K: Key>(
    key: &KeyView<'_>,
    terms: &OrganizationTerms,
    context: &KeyContext<K>,
    now: Timestamp,
) -> bool {
    if key.deleting || issue::final_refusal(key).is_some() {
        return false;
    }
    key.was_issued() || issue::unfit(key, terms, &owner_of(key, &context.shared), now).is_none()
}

/// The holders that verify no more: those that are finished for good, that belong to another organization now, or that
/// are gone. A key that the cache doesn't have may simply be newer than the cache, so the API server is asked.
async fn released<K: Key>(
    slots: &[Slot],
    organization: &str,
    context: &KeyContext<K>,
) -> Result<HashSet<String>, Error> {
    let mut released = HashSet::new();
    for slot in slots {
        let reference = ObjectRef::<K>::new(&slot.name).within(&slot.namespace);
        let known = context.keys.get(&reference).filter(|key| key.uid().as_deref() == Some(&slot.uid));
        let is_released = match known {
            Some(key) => {
                let elsewhere = matches!(context.shared.directory.membership(&slot.namespace),
                    Membership::Of(other) if other != organization);
                issue::final_refusal(&KeyView::of(&*key)).is_some() || elsewhere
            }
            None => is_gone::<K>(slot, &context.shared).await?,
        };
        if is_released {
            released.insert(slot.uid.clone());
        }
    }
    Ok(released)
}

async fn is_gone<K: Key>(slot: &Slot, shared: &Shared) -> Result<bool, Error> {
    let resource = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(shared.client.clone(), &slot.namespace, &resource);
    let found = call("looking for the holder of a slot", api.get_metadata_opt(&slot.name)).await?;
    Ok(found.is_none_or(|found| found.uid().as_deref() != Some(&slot.uid)))
}

/// Makes the organization that takes every namespace no other one selects, if there is none.
pub(super) async fn ensure_default(shared: &Shared) -> Result<(), Error> {
    if shared.organizations.get(&ObjectRef::new(DEFAULT_ORGANIZATION)).is_some() {
        return Ok(());
    }
    let api: Api<Organization> = Api::all(shared.client.clone());
    let organization = Organization::new(DEFAULT_ORGANIZATION, OrganizationSpec::default());
    match call("creating the default organization", api.create(&as_latchkey(), &organization)).await {
        Err(error) if error.is_conflict() => Ok(()),
        other => other.map(drop).map_err(Error::from),
    }
}
