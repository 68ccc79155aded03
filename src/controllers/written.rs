//! What this process wrote last, for as long as the watch has not brought it yet.

use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The answers to our own writes. A store lags behind them by the time an event takes; deciding on what it says in
/// between would repeat work, and each repetition ends in a conflict.
pub(super) struct Written<K: Resource<DynamicType = ()>>(Mutex<HashMap<ObjectRef<K>, Arc<K>>>);

impl<K: Resource<DynamicType = ()>> Default for Written<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Resource<DynamicType = ()> + Clone> Written<K> {
    /// Remembers the answer to a write.
    pub(super) fn remember(&self, object: K) -> Arc<K> {
        let object = Arc::new(object);
        self.lock().insert(ObjectRef::from_obj(&*object), Arc::clone(&object));
        object
    }

    /// The newer of what the store holds and what was written.
    pub(super) fn fresher(&self, stored: Arc<K>) -> Arc<K> {
        let mut written = self.lock();
        let reference = ObjectRef::from_obj(&*stored);
        match written.get(&reference) {
            Some(ours) if ours.uid() == stored.uid() && version(&**ours) > version(&*stored) => {
                Arc::clone(ours)
            }
            Some(_) => {
                written.remove(&reference);
                stored
            }
            None => stored,
        }
    }

    /// Whether an event only brings what was written here, or what was there before that.
    pub(super) fn is_echo(&self, told: &K) -> bool {
        let mut written = self.lock();
        let reference = ObjectRef::from_obj(told);
        let Some(ours) = written.get(&reference).filter(|ours| ours.uid() == told.uid()) else {
            return false;
        };
        let (ours, told) = (version(&**ours), version(told));
        if ours <= told {
            written.remove(&reference);
        }
        ours >= told
    }

    /// Forgets an object that is gone.
    pub(super) fn forget(&self, reference: &ObjectRef<K>) {
        self.lock().remove(reference);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ObjectRef<K>, Arc<K>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resource versions of one resource can be compared as numbers (KEP-5504); one that is no number counts as oldest, so
/// that the store is believed.
fn version<K: Resource>(object: &K) -> u64 {
    object.resource_version().and_then(|version| version.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::{User, UserSpec};

    fn user(uid: &str, version: &str) -> User {
        let mut user = User::new("jane", UserSpec::default());
        user.metadata.uid = Some(uid.into());
        user.metadata.resource_version = Some(version.into());
        user
    }

    fn fresher(written: &Written<User>, uid: &str, version: &str) -> String {
        written.fresher(Arc::new(user(uid, version))).resource_version().unwrap()
    }

    #[test]
    fn what_we_wrote_counts_until_the_store_has_it() {
        let written = Written::default();
        written.remember(user("a", "10"));
        assert_eq!(fresher(&written, "a", "9"), "10");
        assert_eq!(fresher(&written, "a", "11"), "11");
        assert_eq!(fresher(&written, "a", "9"), "9", "it is forgotten once the store had a newer one");
    }

    #[test]
    fn an_echo_tells_nothing_new() {
        let written = Written::default();
        assert!(!written.is_echo(&user("a", "9")), "nothing was written");
        written.remember(user("a", "10"));
        assert!(written.is_echo(&user("a", "9")) && written.is_echo(&user("a", "10")));
        written.remember(user("a", "10"));
        assert!(!written.is_echo(&user("a", "11")));
        written.remember(user("a", "10"));
        assert!(!written.is_echo(&user("b", "9")));
    }

    #[test]
    fn another_object_of_the_same_name_is_another_object() {
        let written = Written::default();
        written.remember(user("a", "10"));
        assert_eq!(fresher(&written, "b", "9"), "9");
    }
}
