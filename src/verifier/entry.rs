//! What the index holds of a key: all that a decision needs, compiled.

use super::{cells::Cell, generation::Generation, organization::Membership, owner::Ownership, uid::Uid};
use crate::{
    lifecycle::standing::{Refusal, Standing},
    policy::{AddressRanges, CallRules},
    token::{KeyId, KeyKind, TokenDigest},
};
use jiff::Timestamp;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// How many tokens of a key are known at most: the two that can be good, and the one before them, so that its bearer
/// hears that it was rotated out.
const KNOWN_TOKENS: usize = 3;

/// An issued key, as the verifier knows it.
#[derive(Clone)]
pub struct Entry {
    pub(super) needed: Needed,
    pub(super) rare: Option<Box<Rare>>,
    pub(super) uid: Uid,
    pub(super) created: Timestamp,
    pub(super) id: KeyId,
    /// Whether the key's first token was made elsewhere, so that it may be found by its digest only.
    pub(super) imported: bool,
    /// `namespace/name`
    pub(super) subject: Box<str>,
}

/// What every decision reads. It stands together, because with many keys most of the time goes into fetching it from
/// memory.
#[derive(Clone)]
pub(super) struct Needed {
    pub(super) current: Generation,
    pub(super) organization: Option<Arc<Cell>>,
    pub(super) rules: Arc<CallRules>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) slot: Slot,
    pub(super) kind: KeyKind,
    pub(super) suspended: bool,
    pub(super) revoked: bool,
    pub(super) recorded: Option<Refusal>,
}

/// What few keys have.
#[derive(Clone, Default)]
pub(super) struct Rare {
    pub(super) older: Vec<Generation>,
    pub(super) owner: Option<Owner>,
    pub(super) ranges: Option<AddressRanges>,
    pub(super) projects: Vec<Box<str>>,
    /// When a deleted key is to be unknown again.
    pub(super) forgotten_at: Option<Timestamp>,
}

/// The User who answers for a key.
#[derive(Clone)]
pub(super) struct Owner {
    pub(super) cell: Arc<Cell>,
    /// The User's uid as the key's status has it.
    pub(super) recorded: Option<Uid>,
}

/// Whether a key holds one of its organization's slots. The organization changes it in place.
pub(super) struct Slot(AtomicBool);

impl Slot {
    pub(super) fn new(held: bool) -> Self {
        Self(AtomicBool::new(held))
    }

    fn is_held(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Clone for Slot {
    fn clone(&self) -> Self {
        Self::new(self.is_held())
    }
}

impl Rare {
    pub(super) fn is_empty(&self) -> bool {
        let Self { older, owner, ranges, projects, forgotten_at } = self;
        let none = owner.is_none() && ranges.is_none() && forgotten_at.is_none();
        none && older.is_empty() && projects.is_empty()
    }
}

impl Entry {
    /// The key's public id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Which kind of key it is.
    pub fn kind(&self) -> KeyKind {
        self.needed.kind
    }

    /// `namespace/name` of the key.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Namespace of the key.
    pub fn namespace(&self) -> &str {
        self.subject.split_once('/').unwrap_or_default().0
    }

    /// Name of the key.
    pub fn name(&self) -> &str {
        self.subject.split_once('/').unwrap_or_default().1
    }

    /// Name of the key's organization; empty if it has none, in which case it is refused.
    pub fn organization(&self) -> &str {
        let organization = self.needed.organization.as_ref();
        organization.map_or("", |organization| organization.name())
    }

    /// The entry with what must not be forgotten of the one that it replaces: that the key is finished, and its tokens
    /// that are not listed any more.
    pub(super) fn after(mut self, before: &Self) -> Self {
        self.needed.revoked |= before.needed.revoked;
        self.needed.recorded = self.needed.recorded.or(before.needed.recorded);
        let room = KNOWN_TOKENS.saturating_sub(self.generations().count());
        let unlisted = before.generations().filter(|old| self.generation(&old.digest).is_none());
        let unlisted: Vec<Generation> = unlisted.take(room).map(Generation::unlisted).collect();
        if !unlisted.is_empty() {
            self.rare.get_or_insert_default().older.extend(unlisted);
        }
        self
    }

    /// The entry of a key that can't be decoded any more: nobody knows what it allows, so it allows nothing.
    pub(super) fn unreadable(&self) -> Self {
        let mut entry = self.clone();
        entry.needed.rules = Arc::default();
        entry
    }

    /// The entry of a key that is gone, known until `forgotten_at`.
    pub(super) fn tombstone(&self, forgotten_at: Timestamp) -> Self {
        let mut entry = self.clone();
        entry.needed.revoked = true;
        entry.rare.get_or_insert_default().forgotten_at = Some(forgotten_at);
        entry
    }

    pub(super) fn is_tombstone(&self) -> bool {
        self.rare().is_some_and(|rare| rare.forgotten_at.is_some())
    }

    /// Whether the key was deleted so long ago that it is unknown.
    pub(super) fn is_forgotten(&self, now: Timestamp) -> bool {
        let forgotten_at = self.rare().and_then(|rare| rare.forgotten_at);
        forgotten_at.is_some_and(|at| at <= now)
    }

    /// Whether this key is served where two have the same id or token. An id can be chosen by importing a token that
    /// names it, so that a key of which nothing was imported comes first; then the older one.
    pub(super) fn precedes(&self, other: &Self) -> bool {
        (self.imported, self.created, self.uid) < (other.imported, other.created, other.uid)
    }

    pub(super) fn belongs_to(&self, organization: &Arc<Cell>) -> bool {
        let own = self.needed.organization.as_ref();
        own.is_some_and(|own| Arc::ptr_eq(own, organization))
    }

    pub(super) fn set_slot(&self, held: bool) {
        self.needed.slot.0.store(held, Ordering::Release);
    }

    /// The digests by which the key is found: those of imported keys, whose tokens need not name an id.
    pub(super) fn digests(&self) -> impl Iterator<Item = TokenDigest> {
        let listed = self.generations().filter(|generation| self.imported && generation.is_listed());
        listed.map(|generation| generation.digest)
    }

    /// The generation of the token with this digest, however long ago it ended.
    pub(super) fn generation(&self, digest: &TokenDigest) -> Option<&Generation> {
        self.generations().find(|generation| generation.digest.matches(digest))
    }

    fn generations(&self) -> impl Iterator<Item = &Generation> {
        let older = self.rare().into_iter().flat_map(|rare| &rare.older);
        std::iter::once(&self.needed.current).chain(older)
    }

    /// What the key is judged by, apart from the call.
    pub(super) fn standing(&self) -> Standing {
        let needed = &self.needed;
        let owner = self.rare().and_then(|rare| rare.owner.as_ref());
        let owner = owner.map(|owner| Ownership::of(&owner.cell, owner.recorded)).unwrap_or_default();
        let membership = Membership::of(needed.organization.as_deref(), needed.kind, needed.slot.is_held());
        Standing {
            revoked: needed.revoked,
            recorded: needed.recorded,
            expires_at: needed.expires_at,
            owner_deleted: owner.deleted,
            suspended: needed.suspended,
            owner_disabled: owner.disabled,
            owner_unknown: owner.unknown,
            locked: membership.locked,
            slotless: membership.slotless,
        }
    }

    /// Which calls the key may make.
    pub(super) fn rules(&self) -> &CallRules {
        &self.needed.rules
    }

    /// Where calls may come from; `None` for anywhere.
    pub(super) fn ranges(&self) -> Option<&AddressRanges> {
        self.rare()?.ranges.as_ref()
    }

    /// Which projects the key may be used for; none listed for all.
    pub(super) fn projects(&self) -> &[Box<str>] {
        self.rare().map(|rare| &*rare.projects).unwrap_or_default()
    }

    fn rare(&self) -> Option<&Rare> {
        self.rare.as_deref()
    }
}
