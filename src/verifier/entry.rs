//! What the index holds of a key: all that a decision needs, compiled.

use super::{
    cells::{Cell, Cells, full_name},
    interner::Interner,
    organization::{Membership, OrganizationState},
    owner::{OwnerState, Ownership},
    uid::Uid,
};
use crate::{
    lifecycle::{
        KeyView,
        issue::final_refusal,
        standing::{Refusal, Standing},
    },
    policy::{AddressRanges, CallRules},
    resources::{self, KeySpec, KeyStatus},
    token::{KeyId, KeyKind, TokenDigest},
};
use jiff::Timestamp;
use std::sync::Arc;

/// How many tokens of a key are known at most: the two that can be good, and the one before them, so that its bearer
/// hears that it was rotated out.
const KNOWN_TOKENS: usize = 3;

/// An issued key, as the verifier knows it.
#[derive(Clone)]
pub struct Entry {
    pub(super) uid: Uid,
    created: Timestamp,
    id: KeyId,
    kind: KeyKind,
    /// Whether the key's first token was made elsewhere, so that it may be found by its digest only.
    imported: bool,
    suspended: bool,
    revoked: bool,
    recorded: Option<Refusal>,
    current: Generation,
    organization: Option<Arc<Cell<OrganizationState>>>,
    rules: Arc<CallRules>,
    expires_at: Option<Timestamp>,
    owner: Option<Box<Owner>>,
    ranges: Option<AddressRanges>,
    projects: Box<[Box<str>]>,
    older: Box<[Generation]>,
    /// When a deleted key is to be unknown again.
    forgotten_at: Option<Timestamp>,
    subject: Box<str>,
    namespace_length: usize,
}

#[derive(Clone)]
struct Owner {
    cell: Arc<Cell<OwnerState>>,
    recorded: Option<Uid>,
}

/// One issue of a key's token.
#[derive(Clone)]
pub(super) struct Generation {
    pub(super) number: i64,
    digest: TokenDigest,
    not_after: Option<Timestamp>,
}

/// What entries share.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) organizations: Cells<OrganizationState>,
    pub(super) users: Cells<OwnerState>,
    rules: Interner<CallRules>,
}

impl Entry {
    /// Compiles a key. `None` if no token was issued for it.
    pub(super) fn of(key: &KeyView<'_>, shared: &mut Shared) -> Option<Self> {
        let status = key.status?;
        let id = KeyId::parse(status.id.as_deref()?)?;
        let mut generations = status.generations.iter().filter_map(Generation::of);
        Some(Self {
            uid: Uid::of(key.uid),
            created: key.created,
            id,
            kind: key.kind,
            imported: key.spec.import_from.is_some(),
            suspended: key.spec.suspended,
            revoked: key.deleting,
            recorded: final_refusal(key),
            current: generations.next()?,
            older: generations.collect(),
            organization: organization(status, shared),
            rules: rules(key.spec, shared),
            expires_at: status.expires_at,
            owner: owner(key, status, shared),
            ranges: ranges(key.spec),
            projects: key
                .spec
                .projects
                .iter()
                .map(|project| project.as_str().into())
                .collect(),
            forgotten_at: None,
            subject: format!("{}/{}", key.namespace, key.name).into(),
            namespace_length: key.namespace.len(),
        })
    }

    /// The entry with what must not be forgotten of the one that it replaces: that the key is finished, and its tokens
    /// that are not listed any more.
    pub(super) fn after(mut self, before: &Self) -> Self {
        self.revoked |= before.revoked;
        self.recorded = self.recorded.or(before.recorded);
        let room = KNOWN_TOKENS.saturating_sub(self.generations().count());
        let unlisted = before
            .generations()
            .filter(|old| self.generation(&old.digest).is_none());
        let ended: Vec<Generation> = unlisted.take(room).map(Generation::ended).collect();
        if !ended.is_empty() {
            self.older = self.older.into_iter().chain(ended).collect();
        }
        self
    }

    /// The entry of a key that can't be decoded any more: nobody knows what it allows, so it allows nothing.
    pub(super) fn unreadable(&self) -> Self {
        Self {
            rules: Arc::default(),
            ..self.clone()
        }
    }

    /// The entry of a key that is gone, known until `forgotten_at`.
    pub(super) fn tombstone(&self, forgotten_at: Timestamp) -> Self {
        Self {
            revoked: true,
            forgotten_at: Some(forgotten_at),
            ..self.clone()
        }
    }

    /// The key's public id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Which kind of key it is.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// `namespace/name` of the key.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Namespace of the key.
    pub fn namespace(&self) -> &str {
        &self.subject[..self.namespace_length]
    }

    /// Name of the key.
    pub fn name(&self) -> &str {
        &self.subject[self.namespace_length + 1..]
    }

    /// Name of the key's organization; empty if it has none, in which case it is refused.
    pub fn organization(&self) -> &str {
        self.organization
            .as_ref()
            .map_or("", |organization| organization.name())
    }

    /// The digests by which the key is found: those of imported keys, whose tokens need not name an id.
    pub(super) fn digests(&self) -> impl Iterator<Item = TokenDigest> {
        let listed = self.generations().filter(|generation| generation.is_listed());
        listed
            .filter(|_| self.imported)
            .map(|generation| generation.digest)
    }

    /// The generation of the token with this digest, however long ago it ended.
    pub(super) fn generation(&self, digest: &TokenDigest) -> Option<&Generation> {
        self.generations()
            .find(|generation| generation.digest.matches(digest))
    }

    fn generations(&self) -> impl Iterator<Item = &Generation> {
        std::iter::once(&self.current).chain(&self.older)
    }

    /// Whether the key was deleted so long ago that it is unknown.
    pub(super) fn is_forgotten(&self, now: Timestamp) -> bool {
        self.forgotten_at.is_some_and(|at| at <= now)
    }

    pub(super) fn is_tombstone(&self) -> bool {
        self.forgotten_at.is_some()
    }

    /// Whether this key is served where two have the same id or token. An id can be chosen by importing a token that
    /// names it, so that a key of which nothing was imported comes first; then the older one.
    pub(super) fn precedes(&self, other: &Self) -> bool {
        (self.imported, self.created, self.uid) < (other.imported, other.created, other.uid)
    }

    /// What the key is judged by, apart from the call.
    pub(super) fn standing(&self) -> Standing {
        let owner = self
            .owner
            .as_ref()
            .map_or_else(Ownership::default, |owner| owner.cell.judge(owner.recorded));
        let organization = self.organization.as_ref();
        let membership = organization.map_or(Membership::NONE, |cell| cell.judge(self.kind, self.uid));
        Standing {
            revoked: self.revoked,
            recorded: self.recorded,
            expires_at: self.expires_at,
            owner_deleted: owner.deleted,
            suspended: self.suspended,
            owner_disabled: owner.disabled,
            owner_unknown: owner.unknown,
            locked: membership.locked,
            slotless: membership.slotless,
        }
    }

    /// Which calls the key may make.
    pub(super) fn rules(&self) -> &CallRules {
        &self.rules
    }

    /// Where calls may come from; `None` for anywhere.
    pub(super) fn ranges(&self) -> Option<&AddressRanges> {
        self.ranges.as_ref()
    }

    /// Which projects the key may be used for; none listed for all.
    pub(super) fn projects(&self) -> &[Box<str>] {
        &self.projects
    }
}

impl Generation {
    fn of(generation: &resources::Generation) -> Option<Self> {
        Some(Self {
            number: generation.number,
            digest: TokenDigest::parse(&generation.digest)?,
            not_after: generation.not_after,
        })
    }

    /// A token that the status doesn't list any more is over, whenever it was meant to end.
    fn ended(&self) -> Self {
        Self {
            not_after: Some(Timestamp::MIN),
            ..self.clone()
        }
    }

    fn is_listed(&self) -> bool {
        self.not_after != Some(Timestamp::MIN)
    }

    /// Whether a newer token has replaced this one.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.not_after.is_some_and(|end| end <= now)
    }
}

fn organization(status: &KeyStatus, shared: &mut Shared) -> Option<Arc<Cell<OrganizationState>>> {
    let name = status.organization.as_deref()?;
    Some(shared.organizations.get(&full_name(None, name)))
}

fn owner(key: &KeyView<'_>, status: &KeyStatus, shared: &mut Shared) -> Option<Box<Owner>> {
    let name = &key.spec.owner.as_ref()?.name;
    let cell = shared.users.get(&full_name(Some(key.namespace), name));
    let recorded = status.owner.as_ref().filter(|recorded| recorded.name == *name);
    let recorded = recorded.map(|recorded| Uid::of(&recorded.uid));
    Some(Box::new(Owner { cell, recorded }))
}

/// Compiles the allow-list. One that doesn't compile allows nothing.
fn rules(spec: &KeySpec, shared: &mut Shared) -> Arc<CallRules> {
    let Ok(text) = serde_json::to_string(&spec.allow) else {
        return Arc::default();
    };
    let rules = || spec.allow.iter().map(|rule| (&*rule.methods, &*rule.paths));
    shared
        .rules
        .get(&text, || CallRules::compile(rules()).unwrap_or_default())
}

/// Compiles the address ranges. A list that can't be read covers no address.
fn ranges(spec: &KeySpec) -> Option<AddressRanges> {
    let ranges = spec.allowed_cidrs.as_ref()?;
    Some(AddressRanges::parse(ranges).unwrap_or_default())
}
