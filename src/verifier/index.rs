//! All issued keys, ready to be decided on.

use super::{claims::Claims, compile::Shared, entry::Entry, roll::Roll, uid::Uid};
use crate::token::{KeyId, KeyKind, Shape, TokenDigest};
use jiff::{SignedDuration, Timestamp};
use kube::api::ObjectMeta;
use std::{
    collections::VecDeque,
    hash::{Hash, Hasher},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// How long the tokens of a deleted key answer `Revoked` before they are unknown.
const TOMBSTONE_AGE: SignedDuration = SignedDuration::from_mins(10);
/// How many deleted keys are kept for that at most.
const TOMBSTONES: usize = 100_000;

/// The keys that there are, with what they depend on. Decisions read it without taking a lock; what a watch tells goes
/// in through [`super::Feed`], one event at a time.
#[derive(Default)]
pub struct Index {
    by_id: Claims<KeyId>,
    by_digest: Claims<ImportedToken>,
    complete: AtomicBool,
    issued: AtomicUsize,
    writer: Mutex<Writer>,
}

/// What only the writer needs.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) shared: Shared,
    pub(super) keys: Keys,
    tombstones: VecDeque<(Timestamp, Arc<Entry>)>,
}

/// A token that was made elsewhere and names no id, by its digest. Equality takes constant time.
#[derive(Clone, Copy)]
struct ImportedToken(TokenDigest);

impl PartialEq for ImportedToken {
    fn eq(&self, other: &Self) -> bool {
        self.0.matches(&other.0)
    }
}

impl Eq for ImportedToken {}

impl Hash for ImportedToken {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// The keys of every kind. Those that have no token yet are on the roll without an entry.
#[derive(Default)]
pub(super) struct Keys {
    management: Roll<Option<Arc<Entry>>>,
    api: Roll<Option<Arc<Entry>>>,
}

impl Keys {
    pub(super) fn of(&mut self, kind: KeyKind) -> &mut Roll<Option<Arc<Entry>>> {
        match kind {
            KeyKind::Management => &mut self.management,
            KeyKind::Api => &mut self.api,
        }
    }

    pub(super) fn find(&self, uid: Uid) -> Option<&Arc<Entry>> {
        let key = self.management.get(uid).or_else(|| self.api.get(uid));
        key.and_then(Option::as_ref)
    }
}

impl Writer {
    /// Whether a list of every kind that is watched was completed.
    fn is_complete(&self) -> bool {
        let Shared { users, organizations, .. } = &self.shared;
        self.keys.management.is_complete() && users.is_complete() && organizations.cells.is_complete()
    }
}

impl Index {
    /// An index that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether every kind was listed completely once. Until then every call is denied.
    pub fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// How many issued keys there are.
    pub fn len(&self) -> usize {
        self.issued.load(Ordering::Relaxed)
    }

    /// Whether there is no issued key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Looks at the key that a token names by its shape, and at the token's digest. Whether it is that key's token
    /// remains to be compared.
    ///
    /// The key is fetched before the digest is computed, so that the one doesn't wait for the other.
    pub(super) fn look<R>(
        &self,
        token: &str,
        shape: Shape,
        look: impl FnOnce(Option<&Arc<Entry>>, TokenDigest) -> R,
    ) -> R {
        if let Shape::Latchkey(_, id) = shape {
            return self.by_id.look(id, |key| look(key, TokenDigest::of(token)));
        }
        let digest = TokenDigest::of(token);
        self.by_digest.look(ImportedToken(digest), |key| look(key, digest))
    }

    pub(super) fn write(&self, change: impl FnOnce(&mut Writer)) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut writer);
        self.complete.store(writer.is_complete(), Ordering::Release);
    }

    /// A key was heard of: makes what is known of it, given what was, and serves it.
    pub(super) fn put(
        &self,
        writer: &mut Writer,
        kind: KeyKind,
        metadata: &ObjectMeta,
        make: impl FnOnce(Option<&Entry>) -> Option<Entry>,
    ) {
        let uid = Uid::in_metadata(metadata);
        let roll = writer.keys.of(kind);
        if roll.is_buried(uid) {
            return;
        }
        let before = roll.get(uid).cloned().flatten();
        let after = make(before.as_deref()).map(Arc::new);
        match (&before, &after) {
            (_, Some(after)) => self.serve(before.as_deref(), after),
            (Some(before), None) => self.withdraw(before, None),
            (None, None) => {}
        }
        roll.put(uid, after);
    }

    /// Serves what is known of a key now. A claim that it had and still has is never empty in between.
    fn serve(&self, before: Option<&Entry>, after: &Arc<Entry>) {
        self.by_id.put(after.id(), after);
        for digest in after.digests() {
            self.by_digest.put(ImportedToken(digest), after);
        }
        let Some(before) = before else {
            self.issued.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if before.id() != after.id() {
            self.by_id.withdraw(before.id(), before.uid, None);
        }
        for digest in before.digests().filter(|old| after.digests().all(|new| new != *old)) {
            self.by_digest.withdraw(ImportedToken(digest), before.uid, None);
        }
    }

    fn withdraw(&self, entry: &Entry, tombstone: Option<&Arc<Entry>>) {
        self.issued.fetch_sub(1, Ordering::Relaxed);
        self.by_id.withdraw(entry.id(), entry.uid, tombstone);
        for digest in entry.digests() {
            self.by_digest.withdraw(ImportedToken(digest), entry.uid, tombstone);
        }
    }

    /// Keys are gone: their tokens answer `Revoked` for a while. Clears those away whose while is over.
    pub(super) fn entomb(&self, writer: &mut Writer, gone: &[Arc<Entry>], now: Timestamp) {
        let end = now.saturating_add(TOMBSTONE_AGE).unwrap_or(Timestamp::MAX);
        for entry in gone {
            let tombstone = Arc::new(entry.tombstone(end));
            self.withdraw(entry, Some(&tombstone));
            writer.tombstones.push_back((end, tombstone));
        }
        let surplus = writer.tombstones.len().saturating_sub(TOMBSTONES);
        let over = writer.tombstones.iter().take_while(|(end, _)| *end <= now).count();
        for (_, tombstone) in writer.tombstones.drain(..surplus.max(over)) {
            self.by_id.forget(tombstone.id(), &tombstone);
            for digest in tombstone.digests() {
                self.by_digest.forget(ImportedToken(digest), &tombstone);
            }
        }
    }
}
