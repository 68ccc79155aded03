//! What a User says of the keys that they own.

use super::{cells::Cell, uid::Uid};
use crate::resources::User;

/// Flag of a User whose keys are refused.
const DISABLED: u8 = 1;

/// What keys need to know of a User. Nobody knows whether one that can't be decoded is disabled, so that it counts as
/// disabled.
pub(super) fn flags(user: Option<&User>) -> u8 {
    if user.is_none_or(|user| user.spec.disabled) { DISABLED } else { 0 }
}

/// What a User is to one key. The rule's home is [`crate::lifecycle::OwnerState::of`]; this is the same without
/// allocation, which a test holds it to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ownership {
    /// No User of this name was ever seen.
    pub(super) unknown: bool,
    /// The User is gone, and one that has the name now is somebody else.
    pub(super) deleted: bool,
    /// The User is disabled.
    pub(super) disabled: bool,
}

impl Ownership {
    /// What the User of this cell is to a key that has recorded `recorded` as its owner's uid.
    pub(super) fn of(cell: &Cell, recorded: Option<Uid>) -> Self {
        let user = cell.state();
        Self {
            unknown: !user.is_present() && recorded.is_none(),
            deleted: recorded.is_some_and(|recorded| !user.is(recorded)),
            disabled: user.has(DISABLED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lifecycle::{self, KeyView},
        resources::{KeySpec, KeyStatus, ManagementKey, OwnerReference, OwnerStatus},
        verifier::cells::Cells,
    };
    use kube::api::ObjectMeta;

    fn key(recorded: Option<&str>) -> ManagementKey {
        let name = "jane".to_owned();
        let mut key = ManagementKey::new("ci", KeySpec::default());
        key.spec.owner = Some(OwnerReference { name: name.clone() });
        let owner = recorded.map(|uid| OwnerStatus { name, uid: uid.into() });
        key.status = Some(KeyStatus { owner, ..KeyStatus::default() });
        key
    }

    fn judged(user: Option<(&str, bool)>, recorded: Option<&str>) -> Ownership {
        let mut users = Cells::default();
        if let Some((uid, disabled)) = user {
            let metadata =
                ObjectMeta { name: Some("jane".into()), uid: Some(uid.into()), ..ObjectMeta::default() };
            let cell = users.hear(&metadata).unwrap();
            cell.fill(&metadata, if disabled { DISABLED } else { 0 });
        }
        Ownership::of(&users.get("jane"), recorded.map(Uid::of))
    }

    #[test]
    fn the_rule_is_that_of_the_lifecycle() {
        for recorded in [None, Some("1"), Some("2")] {
            for user in [None, Some(("1", false)), Some(("1", true))] {
                let (owned, none) = (judged(user, recorded), Ownership::default());
                let expected = match lifecycle::OwnerState::of(&KeyView::of(&key(recorded)), user) {
                    lifecycle::OwnerState::NotFound => Ownership { unknown: true, ..none },
                    lifecycle::OwnerState::Deleted => Ownership { deleted: true, ..none },
                    lifecycle::OwnerState::Disabled { .. } => Ownership { disabled: true, ..none },
                    lifecycle::OwnerState::Active { .. } | lifecycle::OwnerState::None => none,
                };
                // A User who is somebody else may be disabled as well; the first refusal is the same.
                let first = Ownership { disabled: owned.disabled && !owned.deleted, ..owned };
                assert_eq!(first, expected, "{user:?} {recorded:?}");
            }
        }
    }
}
