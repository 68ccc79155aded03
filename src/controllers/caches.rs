//! From what changed to what is to be reconciled.

use super::{
    context::{KeyContext, Shared},
    keys::secret,
};
use crate::{
    cluster::watch::Change,
    lifecycle::{KeyView, issue, membership::Membership},
    resources::{Key, KeyStatus, Organization, Slot, User},
};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    ResourceExt,
    api::{ObjectMeta, PartialObjectMeta},
    runtime::reflector::ObjectRef,
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, MutexGuard, PoisonError},
};

/// A key changed: it is reconciled, and its organization if that could change who holds its slots.
pub(super) fn key_changed<K: Key>(context: &KeyContext<K>, change: Change<'_, K>) {
    match change {
        Change::Applied { before, after } => {
            context.registry.applied(before.as_deref(), &*after);
            undecodable(context).remove(&(namespace(&*after).to_owned(), after.name_any()));
            if !context.written.is_echo(&after) {
                context.trigger.one(ObjectRef::from_obj(&*after));
            }
            if before.is_none_or(|before| competes_differently(&*before, &*after)) {
                members_changed(&context.shared, &context.shared.directory.membership(namespace(&*after)));
            }
        }
        Change::Deleted { before } => {
            context.registry.deleted(&*before);
            context.written.forget(&ObjectRef::from_obj(&*before));
            members_changed(&context.shared, &context.shared.directory.membership(namespace(&*before)));
        }
        Change::Unreadable { metadata, problem } => {
            let place =
                (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default());
            undecodable(context).insert(place, (metadata.clone(), problem.to_owned()));
            if context.trigger.is_open() {
                super::keys::report_undecodable::<K>(Arc::clone(&context.shared), metadata, problem);
            }
        }
    }
}

/// Says on each key that can't be decoded that it can't be.
pub(super) fn report_all_undecodable<K: Key>(context: &KeyContext<K>) {
    for (metadata, problem) in undecodable(context).values() {
        super::keys::report_undecodable::<K>(Arc::clone(&context.shared), metadata, problem);
    }
}

fn undecodable<K: Key>(
    context: &KeyContext<K>,
) -> MutexGuard<'_, HashMap<(String, String), (ObjectMeta, String)>> {
    context.undecodable.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a change of a key can change who gets a slot.
fn competes_differently<K: Key>(before: &K, after: &K) -> bool {
    let (before, after) = (KeyView::of(before), KeyView::of(after));
    let final_refusal = |key: &KeyView<'_>| issue::final_refusal(key);
    before.uid != after.uid
        || before.generation != after.generation
        || before.deleting != after.deleting
        || final_refusal(&before) != final_refusal(&after)
}

/// An organization changed: so do the keys of the namespaces that it gained or lost, and those that its new terms or
/// slots concern.
pub(super) fn organization_changed<K: Key>(context: &KeyContext<K>, change: Change<'_, Organization>) {
    let shared = &context.shared;
    match change {
        Change::Applied { before, after } => {
            let moved = shared.directory.organization_applied(&after);
            memberships_changed(context, &moved);
            shared.organization_trigger.one(ObjectRef::from_obj(&*after));
            match before.filter(|before| before.metadata.generation == after.metadata.generation) {
                Some(before) => slots_changed(context, &after.name_any(), slots(&before), slots(&after)),
                None => context.trigger.all(all_keys(context, &after.name_any())),
            }
        }
        Change::Deleted { before } => {
            shared.written_organizations.forget(&ObjectRef::from_obj(&*before));
            shared.forget_organization(&before.name_any());
            let moved = shared.directory.organization_deleted(&before.name_any());
            memberships_changed(context, &moved);
        }
        Change::Unreadable { metadata, problem } => {
            tracing::error!(organization = ?metadata.name, %problem, "an Organization can't be decoded; its keys are refused");
        }
    }
}

fn slots(organization: &Organization) -> &[Slot] {
    organization.status.as_ref().map_or(&[], |status| &status.slots)
}

/// Wakes the keys that gained or lost a slot, and those that wait, because their message names the holders.
pub(super) fn slots_changed<K: Key>(
    context: &KeyContext<K>,
    organization: &str,
    before: &[Slot],
    after: &[Slot],
) {
    if before == after {
        return;
    }
    let uids = |slots: &[Slot]| slots.iter().map(|slot| slot.uid.clone()).collect::<HashSet<_>>();
    let (before, after) = (uids(before), uids(after));
    let concerned = all_keys(context, organization).into_iter().filter(|reference| {
        context
            .keys
            .get(reference)
            .and_then(|key| key.uid())
            .is_none_or(|uid| !(before.contains(&uid) && after.contains(&uid)))
    });
    context.trigger.all(concerned);
}

fn all_keys<K: Key>(context: &KeyContext<K>, organization: &str) -> Vec<ObjectRef<K>> {
    let namespaces = context.shared.directory.namespaces(organization);
    namespaces.iter().flat_map(|namespace| context.registry.in_namespace(namespace)).collect()
}

/// A namespace came, went, or has other labels.
pub(super) fn namespace_changed<K: Key>(
    context: &KeyContext<K>,
    change: Change<'_, PartialObjectMeta<Namespace>>,
) {
    let directory = &context.shared.directory;
    match change {
        Change::Applied { after, .. } => {
            if let Some((before, now)) = directory.namespace_applied(&after.name_any(), after.labels()) {
                context.trigger.all(context.registry.in_namespace(&after.name_any()));
                members_changed(&context.shared, &before);
                members_changed(&context.shared, &now);
            }
        }
        Change::Deleted { before } => {
            members_changed(&context.shared, &directory.namespace_deleted(&before.name_any()))
        }
        Change::Unreadable { .. } => {}
    }
}

/// A User changed: so do the keys that they own, and who competes for slots.
pub(super) fn user_changed<K: Key>(context: &KeyContext<K>, change: Change<'_, User>) {
    let user = match change {
        Change::Applied { after, .. } => {
            context.shared.user_trigger.one(ObjectRef::from_obj(&*after));
            after
        }
        Change::Deleted { before } => before,
        Change::Unreadable { metadata, problem } => {
            tracing::error!(namespace = ?metadata.namespace, user = ?metadata.name, %problem,
                "a User can't be decoded; the keys they own are refused");
            return;
        }
    };
    let owned = context.registry.owned_by(namespace(&*user), &user.name_any());
    if !owned.is_empty() {
        context.trigger.all(owned);
        members_changed(&context.shared, &context.shared.directory.membership(namespace(&*user)));
    }
}

/// A Secret of ours changed: its key looks at it, unless it is as the key left it.
pub(super) fn secret_changed<K: Key>(context: &KeyContext<K>, change: Change<'_, PartialObjectMeta<Secret>>) {
    let (secret, gone) = match change {
        Change::Applied { after, .. } => (after, false),
        Change::Deleted { before } => (before, true),
        Change::Unreadable { .. } => return,
    };
    let Some(reference) = secret::key_of::<K>(&*secret) else {
        return;
    };
    let known = context.keys.get(&reference).map(|key| context.written.fresher(key));
    let version = known.as_deref().and_then(K::key_status).and_then(KeyStatus::secret_version);
    if gone || version != secret.metadata.resource_version.as_deref() {
        context.trigger.one(reference);
    }
}

fn memberships_changed<K: Key>(context: &KeyContext<K>, namespaces: &[String]) {
    if namespaces.is_empty() {
        return;
    }
    for namespace in namespaces {
        context.trigger.all(context.registry.in_namespace(namespace));
    }
    // A conflict shows on every organization that has a part in it, and any of them may have lost a namespace.
    let organizations = context.shared.organizations.state();
    context.shared.organization_trigger.all(organizations.iter().map(|found| ObjectRef::from_obj(&**found)));
}

fn members_changed(shared: &Shared, membership: &Membership) {
    match membership {
        Membership::Of(organization) => shared.organization_trigger.one(ObjectRef::new(organization)),
        Membership::Contested(organizations) => {
            shared.organization_trigger.all(organizations.iter().map(|name| ObjectRef::new(name)));
        }
        Membership::Unclaimed => {}
    }
}

fn namespace<K: ResourceExt>(object: &K) -> &str {
    object.meta().namespace.as_deref().unwrap_or_default()
}
