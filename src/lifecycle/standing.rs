//! Whether a key is refused for what it is, whatever the call: one rule for its `Ready` condition and for the door.

use jiff::Timestamp;

/// Why a key is refused, whatever the call. In the order in which they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// The key is being deleted or gone.
    Revoked,
    /// The key is past its end.
    Expired,
    /// The key's owner was deleted.
    OwnerDeleted,
    /// The key is suspended.
    Suspended,
    /// The key's owner is disabled.
    OwnerDisabled,
    /// The key was given an owner who doesn't exist yet.
    OwnerNotFound,
    /// The organization refuses keys of this kind for now.
    OrganizationLocked,
    /// The key holds none of its organization's slots.
    LimitReached,
}

impl Refusal {
    /// The stable code, the same in conditions, headers, metrics and docs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Revoked => "Revoked",
            Self::Expired => "Expired",
            Self::OwnerDeleted => "OwnerDeleted",
            Self::Suspended => "Suspended",
            Self::OwnerDisabled => "OwnerDisabled",
            Self::OwnerNotFound => "OwnerNotFound",
            Self::OrganizationLocked => "OrganizationLocked",
            Self::LimitReached => "LimitReached",
        }
    }

    /// Whether nothing can make the key good again.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Revoked | Self::Expired | Self::OwnerDeleted)
    }
}

/// What a key is judged by, apart from the call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing {
    /// The key's deletion was asked for.
    pub revoked: bool,
    /// A final refusal that was recorded before; it stays, whatever changed since.
    pub recorded: Option<Refusal>,
    /// The key's end.
    pub expires_at: Option<Timestamp>,
    /// The key's owner is gone.
    pub owner_deleted: bool,
    /// The key is suspended.
    pub suspended: bool,
    /// The key's owner is disabled.
    pub owner_disabled: bool,
    /// The key names an owner who was never seen.
    pub owner_unknown: bool,
    /// The organization refuses keys of this kind, or is gone.
    pub locked: bool,
    /// The key needs a slot and holds none.
    pub slotless: bool,
}

impl Standing {
    /// The first reason to refuse the key at `now`, if there is one.
    pub fn refusal(&self, now: Timestamp) -> Option<Refusal> {
        if self.revoked {
            return Some(Refusal::Revoked);
        }
        if self.recorded.is_some() {
            return self.recorded;
        }
        [
            (self.expires_at.is_some_and(|end| end <= now), Refusal::Expired),
            (self.owner_deleted, Refusal::OwnerDeleted),
            (self.suspended, Refusal::Suspended),
            (self.owner_disabled, Refusal::OwnerDisabled),
            (self.owner_unknown, Refusal::OwnerNotFound),
            (self.locked, Refusal::OrganizationLocked),
            (self.slotless, Refusal::LimitReached),
        ]
        .into_iter()
        .find_map(|(holds, refusal)| holds.then_some(refusal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_with_nothing_against_it_is_good() {
        assert_eq!(Standing::default().refusal(Timestamp::UNIX_EPOCH), None);
    }

    #[test]
    fn expiry_counts_from_its_very_instant() {
        let end = Timestamp::UNIX_EPOCH;
        let standing = Standing { expires_at: Some(end), ..Standing::default() };
        assert_eq!(standing.refusal(end), Some(Refusal::Expired));
        assert_eq!(standing.refusal(end - jiff::SignedDuration::from_millis(1)), None);
    }

    #[test]
    fn what_is_final_comes_before_what_passes_and_stays() {
        let all = Standing {
            recorded: Some(Refusal::Expired),
            owner_deleted: true,
            suspended: true,
            ..Standing::default()
        };
        assert_eq!(all.refusal(Timestamp::UNIX_EPOCH), Some(Refusal::Expired));
        let revoked = Standing { revoked: true, ..all };
        assert_eq!(revoked.refusal(Timestamp::UNIX_EPOCH), Some(Refusal::Revoked));
    }
}
