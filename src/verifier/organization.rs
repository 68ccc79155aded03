//! What an organization says of its keys.

use super::{cells::Cell, uid::Uid};
use crate::{lifecycle::OrganizationTerms, resources::Organization, token::KeyKind};

/// What keys need to know of an organization.
pub(super) struct OrganizationState {
    terms: OrganizationTerms,
    /// Uids of the keys that hold a slot, sorted.
    slots: Box<[Uid]>,
}

/// What an organization says of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    /// The organization refuses keys of this kind, is gone, or can't be understood.
    pub(super) locked: bool,
    /// The key needs a slot and holds none.
    pub(super) slotless: bool,
}

impl Membership {
    /// What holds for a key of which nobody knows the organization.
    pub(super) const NONE: Self = Self {
        locked: true,
        slotless: true,
    };
}

impl OrganizationState {
    pub(super) fn of(organization: &Organization) -> Self {
        let slots = organization.status.iter().flat_map(|status| &status.slots);
        let mut slots: Box<[Uid]> = slots.map(|slot| Uid::of(&slot.uid)).collect();
        slots.sort_unstable();
        Self {
            terms: OrganizationTerms::of(organization),
            slots,
        }
    }

    fn judge(&self, kind: KeyKind, key: Uid) -> Membership {
        Membership {
            locked: self.terms.locks(kind),
            slotless: self.terms.limit(kind).is_some() && self.slots.binary_search(&key).is_err(),
        }
    }
}

impl Cell<OrganizationState> {
    /// What the organization says of a key.
    pub(super) fn judge(&self, kind: KeyKind, key: Uid) -> Membership {
        let state = self.state();
        let known = state.as_ref().and_then(|state| state.known.as_ref());
        known.map_or(Membership::NONE, |known| known.judge(kind, key))
    }
}
