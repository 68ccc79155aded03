//! How the index learns what there is: the events of a watch, one method each.

use super::{
    entry::Entry,
    index::{Index, Writer},
    owner,
    uid::Uid,
};
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
        self.write(|writer| writer.keys.of(K::KIND).restart());
    }

    fn applied(&self, key: &K) {
        let view = KeyView::of(key);
        self.write(|writer| {
            let compiled = writer.shared.compile(&view);
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
            let gone = writer.keys.of(K::KIND).bury(Uid::in_metadata(metadata));
            self.entomb(writer, gone.flatten().as_slice(), now);
        });
    }

    fn complete(&self, now: Timestamp) {
        self.write(|writer| {
            let gone = writer.keys.of(K::KIND).complete();
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
        self.write(|writer| writer.user(user.meta(), Some(user)));
    }

    fn unreadable(&self, metadata: &ObjectMeta) {
        self.write(|writer| writer.user(metadata, None));
    }

    fn deleted(&self, metadata: &ObjectMeta, _now: Timestamp) {
        self.write(|writer| {
            writer.shared.users.remove(metadata);
        });
    }

    fn complete(&self, _now: Timestamp) {
        self.write(|writer| {
            writer.shared.users.complete();
        });
    }
}

impl Feed<Organization> for Index {
    fn restart(&self) {
        self.write(|writer| writer.shared.organizations.cells.restart());
    }

    fn applied(&self, organization: &Organization) {
        self.write(|writer| writer.organization(organization.meta(), Some(organization)));
    }

    fn unreadable(&self, metadata: &ObjectMeta) {
        self.write(|writer| writer.organization(metadata, None));
    }

    fn deleted(&self, metadata: &ObjectMeta, _now: Timestamp) {
        self.write(|Writer { shared, keys, .. }| shared.organizations.remove(metadata, |uid| keys.find(uid)));
    }

    fn complete(&self, _now: Timestamp) {
        self.write(|Writer { shared, keys, .. }| shared.organizations.complete(|uid| keys.find(uid)));
    }
}

impl Writer {
    fn user(&mut self, metadata: &ObjectMeta, user: Option<&User>) {
        if let Some(cell) = self.shared.users.hear(metadata) {
            cell.fill(metadata, owner::flags(user));
        }
    }

    fn organization(&mut self, metadata: &ObjectMeta, organization: Option<&Organization>) {
        let Self { shared, keys, .. } = self;
        shared.organizations.put(metadata, organization, |uid| keys.find(uid));
    }
}
