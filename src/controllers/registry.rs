//! Which keys concern a namespace or a User, so that a change of one wakes just those.

use crate::resources::Key;
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

type Names = HashSet<String>;

/// Names of keys by namespace, and by namespace and owner.
#[derive(Default)]
pub(super) struct Registry(Mutex<Tables>);

#[derive(Default)]
struct Tables {
    by_namespace: HashMap<String, Names>,
    by_owner: HashMap<(String, String), Names>,
}

impl Registry {
    /// Takes a key in place of what it was before.
    pub(super) fn applied<K: Key>(&self, before: Option<&K>, after: &K) {
        let mut tables = self.lock();
        let namespace = after.namespace().unwrap_or_default();
        if before.is_none() {
            tables.by_namespace.entry(namespace.clone()).or_default().insert(after.name_any());
        }
        let (old, new) = (before.and_then(owner), owner(after));
        if old != new {
            tables.disown(&namespace, old, &after.name_any());
            if let Some(new) = new {
                tables.by_owner.entry((namespace, new.to_owned())).or_default().insert(after.name_any());
            }
        }
    }

    /// Takes away a key.
    pub(super) fn deleted<K: Key>(&self, before: &K) {
        let mut tables = self.lock();
        let namespace = before.namespace().unwrap_or_default();
        tables.disown(&namespace, owner(before), &before.name_any());
        if let Some(names) = tables.by_namespace.get_mut(&namespace) {
            names.remove(&before.name_any());
            if names.is_empty() {
                tables.by_namespace.remove(&namespace);
            }
        }
    }

    /// The keys of a namespace.
    pub(super) fn in_namespace<K: Key>(&self, namespace: &str) -> Vec<ObjectRef<K>> {
        references(self.lock().by_namespace.get(namespace), namespace)
    }

    /// The keys that a User owns.
    pub(super) fn owned_by<K: Key>(&self, namespace: &str, user: &str) -> Vec<ObjectRef<K>> {
        references(self.lock().by_owner.get(&(namespace.to_owned(), user.to_owned())), namespace)
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn disown(&mut self, namespace: &str, owner: Option<&str>, name: &str) {
        let Some(owner) = owner else { return };
        let place = (namespace.to_owned(), owner.to_owned());
        if let Some(names) = self.by_owner.get_mut(&place) {
            names.remove(name);
            if names.is_empty() {
                self.by_owner.remove(&place);
            }
        }
    }
}

fn owner<K: Key>(key: &K) -> Option<&str> {
    key.key_spec().owner.as_ref().map(|owner| owner.name.as_str())
}

fn references<K: Key>(names: Option<&Names>, namespace: &str) -> Vec<ObjectRef<K>> {
    names.into_iter().flatten().map(|name| ObjectRef::new(name).within(namespace)).collect()
}
