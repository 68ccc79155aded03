//! Which key is served where several lay claim to the same id or the same token.

use super::{entry::Entry, uid::Uid};
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

/// Keys by what their bearers are found by. Reads take no lock; there must be one writer at a time.
pub(super) struct Claims<C> {
    served: papaya::HashMap<C, Arc<Entry>>,
    /// Keys whose claim another one holds. Nearly always empty.
    waiting: Mutex<HashMap<C, Vec<Arc<Entry>>>>,
}

impl<C: Hash + Eq + Copy> Default for Claims<C> {
    fn default() -> Self {
        Self { served: papaya::HashMap::new(), waiting: Mutex::default() }
    }
}

impl<C: Hash + Eq + Copy> Claims<C> {
    /// Looks at the key that is served for this claim, if there is one.
    pub(super) fn look<R>(&self, claim: C, look: impl FnOnce(Option<&Arc<Entry>>) -> R) -> R {
        look(self.served.pin().get(&claim))
    }

    /// Lays claim for a key, or renews what is known of it. Readers see either the entry of before or this one.
    pub(super) fn put(&self, claim: C, entry: &Arc<Entry>) {
        let served = self.served.pin();
        let holder = served.get(&claim).filter(|holder| holder.uid != entry.uid && !holder.is_tombstone());
        let Some(holder) = holder else {
            served.insert(claim, Arc::clone(entry));
            return;
        };
        let (first, second) = if entry.precedes(holder) { (entry, holder) } else { (holder, entry) };
        if !self.leave(claim, entry.uid) {
            tracing::warn!(
                served = first.subject(),
                refused = second.subject(),
                "two keys have the same id or token; the second is refused until the first is gone"
            );
        }
        self.wait(claim, second);
        served.insert(claim, Arc::clone(first));
    }

    /// Takes a key's claim back. If it was served, the next one in line is, or else `tombstone` if there is one.
    pub(super) fn withdraw(&self, claim: C, uid: Uid, tombstone: Option<&Arc<Entry>>) {
        let served = self.served.pin();
        if served.get(&claim).is_none_or(|holder| holder.uid != uid) {
            self.leave(claim, uid);
            return;
        }
        match self.next(claim).or_else(|| tombstone.cloned()) {
            Some(heir) => served.insert(claim, heir),
            None => served.remove(&claim),
        };
    }

    /// Removes exactly this entry, if it is the one that is served.
    pub(super) fn forget(&self, claim: C, entry: &Arc<Entry>) {
        // That another entry is served now is as good.
        let _ = self.served.pin().remove_if(&claim, |_, served| Arc::ptr_eq(served, entry));
    }

    fn wait(&self, claim: C, entry: &Arc<Entry>) {
        self.waiting().entry(claim).or_default().push(Arc::clone(entry));
    }

    /// Takes a key out of the line, and tells whether it stood there.
    fn leave(&self, claim: C, uid: Uid) -> bool {
        let mut waiting = self.waiting();
        let Some(line) = waiting.get_mut(&claim) else {
            return false;
        };
        let before = line.len();
        line.retain(|entry| entry.uid != uid);
        let left = line.len() < before;
        if line.is_empty() {
            waiting.remove(&claim);
        }
        left
    }

    fn next(&self, claim: C) -> Option<Arc<Entry>> {
        let line = self.waiting().get(&claim)?.clone();
        let first = line.into_iter().reduce(|a, b| if b.precedes(&a) { b } else { a })?;
        self.leave(claim, first.uid);
        Some(first)
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<C, Vec<Arc<Entry>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
