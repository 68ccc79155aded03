//! What an organization says of its keys: whether it accepts them, and which hold a slot.

use super::{
    cells::{Cell, Cells},
    entry::Entry,
    uid::Uid,
};
use crate::{lifecycle::OrganizationTerms, resources::Organization, token::KeyKind};
use kube::api::ObjectMeta;
use std::{collections::HashMap, sync::Arc};

/// The organizations, and who holds their slots.
#[derive(Default)]
pub(super) struct Organizations {
    pub(super) cells: Cells,
    /// By name of the organization: uids of the keys that hold a slot, sorted.
    slots: HashMap<Box<str>, Box<[Uid]>>,
}

impl Organizations {
    /// Whether a key holds a slot of the organization of this name.
    pub(super) fn holds_slot(&self, organization: &str, key: Uid) -> bool {
        let slots = self.slots.get(organization);
        slots.is_some_and(|slots| slots.binary_search(&key).is_ok())
    }

    /// An organization was heard of, or that it can't be decoded. `find` finds the entry of a key.
    ///
    /// Whoever lost a slot is told before whoever got one, so that no more keys are good in between than before or
    /// after.
    pub(super) fn put<'a>(
        &mut self,
        metadata: &ObjectMeta,
        organization: Option<&Organization>,
        find: impl Fn(Uid) -> Option<&'a Arc<Entry>>,
    ) {
        let Some(cell) = self.cells.hear(metadata) else {
            return;
        };
        let slots = organization.map(slots).unwrap_or_default();
        self.dispossess(&cell, &slots, &find);
        cell.fill(metadata, organization.map_or(UNREADABLE, flags));
        tell(&cell, &slots, true, &find);
        self.slots.insert(cell.name().into(), slots);
    }

    /// An organization is gone.
    pub(super) fn remove<'a>(&mut self, metadata: &ObjectMeta, find: impl Fn(Uid) -> Option<&'a Arc<Entry>>) {
        if let Some(cell) = self.cells.remove(metadata) {
            self.clear(&cell, find);
        }
    }

    /// The list is complete: organizations that it hadn't are gone.
    pub(super) fn complete<'a>(&mut self, find: impl Fn(Uid) -> Option<&'a Arc<Entry>>) {
        for cell in self.cells.complete() {
            self.clear(&cell, &find);
        }
    }

    fn clear<'a>(&mut self, cell: &Arc<Cell>, find: impl Fn(Uid) -> Option<&'a Arc<Entry>>) {
        self.dispossess(cell, &[], find);
        self.slots.remove(cell.name());
    }

    /// Tells the keys that held a slot and aren't among those who do now.
    fn dispossess<'a>(&self, cell: &Arc<Cell>, now: &[Uid], find: impl Fn(Uid) -> Option<&'a Arc<Entry>>) {
        let before = self.slots.get(cell.name()).into_iter().flatten().copied();
        let lost: Vec<Uid> = before.filter(|uid| now.binary_search(uid).is_err()).collect();
        tell(cell, &lost, false, find);
    }
}

fn tell<'a>(cell: &Arc<Cell>, keys: &[Uid], holds: bool, find: impl Fn(Uid) -> Option<&'a Arc<Entry>>) {
    for entry in keys.iter().filter_map(|uid| find(*uid)).filter(|entry| entry.belongs_to(cell)) {
        entry.set_slot(holds);
    }
}

fn slots(organization: &Organization) -> Box<[Uid]> {
    let slots = organization.status.iter().flat_map(|status| &status.slots);
    let mut slots: Box<[Uid]> = slots.map(|slot| Uid::of(&slot.uid)).collect();
    slots.sort_unstable();
    slots
}

/// Nobody knows what an organization that can't be decoded accepts: nothing, then.
const UNREADABLE: u8 = locked(KeyKind::Management) | locked(KeyKind::Api);

fn flags(organization: &Organization) -> u8 {
    let terms = OrganizationTerms::of(organization);
    let flag = |kind| {
        let locks = if terms.locks(kind) { locked(kind) } else { 0 };
        let limits = if terms.limit(kind).is_some() { limited(kind) } else { 0 };
        locks | limits
    };
    flag(KeyKind::Management) | flag(KeyKind::Api)
}

const fn locked(kind: KeyKind) -> u8 {
    1 << kind as u8
}

const fn limited(kind: KeyKind) -> u8 {
    4 << kind as u8
}

/// What an organization says of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    /// The organization refuses keys of this kind, is gone, or can't be decoded.
    pub(super) locked: bool,
    /// The key needs a slot and holds none.
    pub(super) slotless: bool,
}

impl Membership {
    /// What the organization of this cell says of a key; none refuses every key.
    pub(super) fn of(cell: Option<&Cell>, kind: KeyKind, holds_slot: bool) -> Self {
        let present = cell.map(Cell::state).filter(|state| state.is_present());
        Self {
            locked: present.is_none_or(|state| state.has(locked(kind))),
            slotless: present.is_none_or(|state| state.has(limited(kind))) && !holds_slot,
        }
    }
}
