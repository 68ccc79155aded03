//! How the index learns what there is: the events of a watch, one method each.

use super::{entry::Entry, index::Index, organization::OrganizationState, owner::OwnerState, uid::Uid};
use crate::{
    lifecycle::KeyView,
    resources::{Key, Organization, User},
};
use jiff::Timestamp;
use kube::{Resource, api::ObjectMeta};
use std::sync::Arc;

/// Tells the index what a watch of the kind `K` tells, in the watch's order. Nothing here waits for anything but other
/// events.
///
/// The lists must be consistent ones (`ListSemantic::MostRecent`, which is kube's default): an object that a complete
/// list doesn't have is taken for deleted, and what is deleted never comes back.
pub trait Feed<K> {
    /// A list begins (`Init`). What is known stays as it is.
    fn restart(&self);

    /// The object is as given, whether it was listed, created or changed (`InitApply`, `Apply`). It holds at once: a
    /// suspension need not wait for the end of a list.
    fn applied(&self, object: &K);

    /// The object was listed, created or changed, but can't be decoded. It is refused until it can be, and no other
    /// object is touched.
    fn unreadable(&self, metadata: &ObjectMeta);

    /// The object is gone (`Delete`).
    fn deleted(&self, metadata: &ObjectMeta, now: Timestamp);

    /// The list is complete (`InitDone`): what it didn't have is gone.
    fn complete(&self, now: Timestamp);
}

impl<K: Key> Feed<K> for Index {
    fn restart(&self) {
        self.write(|writer| writer.keys(K::KIND).restart());
    }

    fn applied(&self, key: &K) {
        let view = KeyView::of(key);
        self.write(|writer| {
            let compiled = Entry::of(&view, &mut writer.shared);
            self.put(writer, K::KIND, key.meta(), |before| match (compiled, before) {
                (Some(entry), Some(before)) => Some(entry.after(before)),
                (compiled, _) => compiled,
            });
        });
    }

    fn unreadable(&self, metadata: &ObjectMeta) {
        self.write(|writer| {
            self.put(writer, K::KIND, metadata, |before| before.map(Entry::unreadable));
        });
    }

    fn deleted(&self, metadata: &ObjectMeta, now: Timestamp) {
        self.write(|writer| {
            let gone = writer.keys(K::KIND).bury(Uid::in_metadata(metadata));
            self.entomb(writer, gone.flatten().as_slice(), now);
        });
    }

    fn complete(&self, now: Timestamp) {
        self.write(|writer| {
            let gone = writer.keys(K::KIND).complete();
            let gone: Vec<Arc<Entry>> = gone.into_iter().filter_map(|(_, entry)| entry).collect();
            self.entomb(writer, &gone, now);
        });
    }
}

impl Feed<User> for Index {
    fn restart(&self) {
        self.write(|writer| writer.shared.users.restart());
    }

    fn applied(&self, user: &User) {
        self.write(|writer| writer.shared.users.put(user.meta(), Some(OwnerState::of(user))));
    }

    fn unreadable(&self, metadata: &ObjectMeta) {
        self.write(|writer| writer.shared.users.put(metadata, None));
    }

    fn deleted(&self, metadata: &ObjectMeta, _now: Timestamp) {
        self.write(|writer| writer.shared.users.remove(metadata));
    }

    fn complete(&self, _now: Timestamp) {
        self.write(|writer| writer.shared.users.complete());
    }
}

impl Feed<Organization> for Index {
    fn restart(&self) {
        self.write(|writer| writer.shared.organizations.restart());
    }

    fn applied(&self, organization: &Organization) {
        let state = OrganizationState::of(organization);
        self.write(|writer| writer.shared.organizations.put(organization.meta(), Some(state)));
    }

    fn unreadable(&self, metadata: &ObjectMeta) {
        self.write(|writer| writer.shared.organizations.put(metadata, None));
    }

    fn deleted(&self, metadata: &ObjectMeta, _now: Timestamp) {
        self.write(|writer| writer.shared.organizations.remove(metadata));
    }

    fn complete(&self, _now: Timestamp) {
        self.write(|writer| writer.shared.organizations.complete());
    }
}
