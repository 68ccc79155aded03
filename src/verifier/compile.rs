//! From a key as the API server has it to what a decision needs.

use super::{
    cells::{Cells, full_name},
    entry::{Entry, Needed, Owner, Rare, Slot},
    generation::Generation,
    interner::Interner,
    organization::Organizations,
    uid::Uid,
};
use crate::{
    lifecycle::{KeyView, issue::final_refusal},
    policy::{AddressRanges, CallRules},
    resources::{KeySpec, KeyStatus},
    token::KeyId,
};
use std::sync::Arc;

/// What entries share.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) organizations: Organizations,
    pub(super) users: Cells,
    rules: Interner<CallRules>,
}

impl Shared {
    /// Compiles a key. `None` if no token was issued for it.
    pub(super) fn compile(&mut self, key: &KeyView<'_>) -> Option<Entry> {
        let status = key.status?;
        let mut generations = status.generations.iter().filter_map(Generation::of);
        let current = generations.next()?;
        let needed = self.needed(key, status, current);
        Some(Entry {
            rare: self.rare(key, status, generations.collect()),
            needed,
            uid: Uid::of(key.uid),
            created: key.created,
            id: KeyId::parse(status.id.as_deref()?)?,
            imported: key.spec.import_from.is_some(),
            subject: format!("{}/{}", key.namespace, key.name).into(),
        })
    }

    fn needed(&mut self, key: &KeyView<'_>, status: &KeyStatus, current: Generation) -> Needed {
        let organization = status.organization.as_deref();
        let slots = &self.organizations;
        let holds = organization.is_some_and(|name| slots.holds_slot(name, Uid::of(key.uid)));
        Needed {
            current,
            organization: organization.map(|name| self.organizations.cells.get(name)),
            rules: self.rules(key.spec),
            expires_at: status.expires_at,
            slot: Slot::new(holds),
            kind: key.kind,
            suspended: key.spec.suspended,
            revoked: key.deleting,
            recorded: final_refusal(key),
        }
    }

    /// What few keys have; `None` for a key that has nothing of it.
    fn rare(&mut self, key: &KeyView<'_>, status: &KeyStatus, older: Vec<Generation>) -> Option<Box<Rare>> {
        let rare = Rare {
            older,
            owner: self.owner(key, status),
            ranges: ranges(key.spec),
            projects: key.spec.projects.iter().map(|project| project.as_str().into()).collect(),
            forgotten_at: None,
        };
        (!rare.is_empty()).then(|| Box::new(rare))
    }

    fn owner(&mut self, key: &KeyView<'_>, status: &KeyStatus) -> Option<Owner> {
        let name = &key.spec.owner.as_ref()?.name;
        let recorded = status.owner.as_ref().filter(|recorded| recorded.name == *name);
        Some(Owner {
            cell: self.users.get(&full_name(Some(key.namespace), name)),
            recorded: recorded.map(|recorded| Uid::of(&recorded.uid)),
        })
    }

    /// Compiles the allow-list. One that doesn't compile allows nothing.
    fn rules(&mut self, spec: &KeySpec) -> Arc<CallRules> {
        let Ok(text) = serde_json::to_string(&spec.allow) else {
            return Arc::default();
        };
        let rules = || spec.allow.iter().map(|rule| (&*rule.methods, &*rule.paths));
        self.rules.get(&text, || CallRules::compile(rules()).unwrap_or_default())
    }
}

/// Compiles the address ranges. A list that can't be read covers no address.
fn ranges(spec: &KeySpec) -> Option<AddressRanges> {
    let ranges = spec.allowed_cidrs.as_ref()?;
    Some(AddressRanges::parse(ranges).unwrap_or_default())
}
