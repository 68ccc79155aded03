//! Keys, Users and organizations in any order, against the rules that the controllers judge by.

use super::*;
use crate::lifecycle::{KeyView, OrganizationTerms, OwnerState, standing::Standing};
use proptest::{collection::vec, prelude::*};
use std::collections::BTreeMap;

const KEYS: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    /// A key of this number is as given: its organization, whether it is owned, and which User it has recorded.
    Key(usize, usize, bool, Option<usize>),
    DeleteKey(usize),
    /// An organization is as given: which one of two, its how manieth of that name, whether it is open, who holds slots.
    Organization(usize, usize, bool, Vec<usize>),
    DeleteOrganization(usize, usize),
    /// The how manieth User of the name, and whether it is disabled.
    User(usize, bool),
    DeleteUser(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let recorded = prop::option::of(0..2usize);
    prop_oneof![
        4 => (0..KEYS, 0..2usize, any::<bool>(), recorded).prop_map(|(n, o, w, r)| Step::Key(n, o, w, r)),
        1 => (0..KEYS).prop_map(Step::DeleteKey),
        4 => (0..2usize, 0..3usize, prop::bool::weighted(0.8), vec(0..KEYS, 0..4))
            .prop_map(|(o, n, open, slots)| Step::Organization(o, n, open, slots)),
        1 => (0..2usize, 0..3usize).prop_map(|(o, n)| Step::DeleteOrganization(o, n)),
        2 => (0..2usize, any::<bool>()).prop_map(|(n, disabled)| Step::User(n, disabled)),
        1 => (0..2usize).prop_map(Step::DeleteUser),
    ]
}

/// What was told last, by names; uids of the deleted never come back.
struct Told {
    keys: Vec<Issued>,
    known: BTreeMap<usize, ManagementKey>,
    organizations: BTreeMap<String, Organization>,
    user: Option<User>,
    gone: Vec<String>,
    index: Index,
}

impl Told {
    fn new() -> Self {
        let index = Index::new();
        complete(&index);
        Self {
            keys: (0..KEYS).map(|n| issued(&format!("key-{n}"), &format!("k{n}"), json!({}))).collect(),
            known: BTreeMap::new(),
            organizations: BTreeMap::new(),
            user: None,
            gone: Vec::new(),
            index,
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Key(number, organization, owned, recorded) => {
                self.key(number, organization, owned, recorded)
            }
            Step::DeleteKey(number) => {
                delete(&self.index, &self.keys[number].key, at(0));
                self.known.remove(&number);
                self.gone.push(format!("k{number}"));
            }
            Step::Organization(which, number, open, slots) => {
                let organization = organization(which, number, open, &slots);
                self.index.applied(&organization);
                if self.is_there(organization.meta()) {
                    self.organizations.insert(format!("o{which}"), organization);
                }
            }
            Step::DeleteOrganization(which, number) => {
                let organization = organization(which, number, true, &[]);
                delete(&self.index, &organization, at(0));
                let uid = organization.metadata.uid.unwrap();
                self.organizations.retain(|_, told| told.metadata.uid.as_deref() != Some(&uid));
                self.gone.push(uid);
            }
            Step::User(number, disabled) => {
                let user = jane(&format!("u{number}"), disabled);
                self.index.applied(&user);
                if self.is_there(user.meta()) {
                    self.user = Some(user);
                }
            }
            Step::DeleteUser(number) => {
                let user = jane(&format!("u{number}"), false);
                delete(&self.index, &user, at(0));
                self.user.take_if(|told| told.metadata.uid == user.metadata.uid);
                self.gone.push(user.metadata.uid.unwrap());
            }
        }
    }

    fn key(&mut self, number: usize, organization: usize, owned: bool, recorded: Option<usize>) {
        let issued = &mut self.keys[number];
        issued.key.spec.owner = owned.then(|| serde_json::from_value(json!({"name": "jane"})).unwrap());
        let owner = recorded.map(|number| json!({"name": "jane", "uid": format!("u{number}")}));
        issued.set(json!({"organization": format!("o{organization}"), "owner": owner}));
        let key = issued.key.clone();
        self.index.applied(&key);
        if self.is_there(key.meta()) {
            self.known.insert(number, key);
        }
    }

    fn is_there(&self, metadata: &ObjectMeta) -> bool {
        !self.gone.contains(metadata.uid.as_ref().unwrap())
    }

    /// What the controllers would say of the key.
    fn expected(&self, key: &ManagementKey) -> Option<Denial> {
        let view = KeyView::of(key);
        let user = self.user.as_ref().map(|user| (user.metadata.uid.as_deref().unwrap(), user.spec.disabled));
        let owner = OwnerState::of(&view, user);
        let organization = self.organizations.get(view.status?.organization.as_deref()?);
        let terms = organization.map(OrganizationTerms::of);
        let slots =
            organization.and_then(|organization| organization.status.as_ref()).map(|status| &status.slots);
        let standing = Standing {
            owner_deleted: owner == OwnerState::Deleted,
            owner_unknown: owner == OwnerState::NotFound,
            owner_disabled: matches!(owner, OwnerState::Disabled { .. }),
            locked: terms.is_none_or(|terms| terms.locks(view.kind)),
            slotless: !slots.into_iter().flatten().any(|slot| slot.uid == view.uid),
            ..Standing::default()
        };
        standing.refusal(at(0)).map(Denial::from)
    }
}

fn organization(which: usize, number: usize, open: bool, slots: &[usize]) -> Organization {
    let slots: Vec<_> = slots.iter().map(|number| format!("k{number}")).collect();
    let mut organization = acme(&slots.iter().map(String::as_str).collect::<Vec<_>>());
    organization.metadata = metadata(None, &format!("o{which}"), &format!("o{which}-{number}"));
    organization.spec.management_api = Some(serde_json::from_value(json!({"enabled": open})).unwrap());
    organization
}

proptest! {
    #[test]
    fn keys_are_judged_as_the_controllers_judge_them(steps in vec(step(), 0..120)) {
        let mut told = Told::new();
        for step in steps {
            told.apply(step.clone());
            for (number, key) in &told.known {
                let answer = verify(&told.index, &told.keys[*number].token).err();
                prop_assert_eq!(answer, told.expected(key), "key {} after {:?}", number, step);
            }
        }
    }
}
