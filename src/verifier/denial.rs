//! Why a call is denied: the stable codes, their statuses, and the words for the caller.

use crate::lifecycle::standing::Refusal;
use http::StatusCode;

/// Why a call is denied. In the order in which it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Denial {
    /// The index is not complete yet.
    NotReady,
    /// The gateway did not say what the call is.
    CallUnknown,
    /// The request carries no token.
    NoToken,
    /// What the request carries is no token, or several.
    MalformedToken,
    /// There is no such key, or it isn't its token. The two can't be told apart from outside.
    UnknownToken,
    /// A newer token has replaced this one.
    RotatedOut,
    /// The key was deleted a moment ago, or is being deleted.
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
    /// The organization refuses keys of this kind for now, or is gone.
    OrganizationLocked,
    /// The key holds none of its organization's slots.
    LimitReached,
    /// Gateway and upstream could read the path differently.
    PathNotCanonical,
    /// The key doesn't allow this method on this path.
    EndpointNotAllowed,
    /// The key may not be used from this address.
    AddressNotAllowed,
    /// The key may not be used for this project, or nobody said which one it is.
    ProjectNotAllowed,
}

impl Denial {
    /// All of them, in their order.
    pub const ALL: [Self; 18] = [
        Self::NotReady,
        Self::CallUnknown,
        Self::NoToken,
        Self::MalformedToken,
        Self::UnknownToken,
        Self::RotatedOut,
        Self::Revoked,
        Self::Expired,
        Self::OwnerDeleted,
        Self::Suspended,
        Self::OwnerDisabled,
        Self::OwnerNotFound,
        Self::OrganizationLocked,
        Self::LimitReached,
        Self::PathNotCanonical,
        Self::EndpointNotAllowed,
        Self::AddressNotAllowed,
        Self::ProjectNotAllowed,
    ];

    /// The stable code, the same in conditions, headers, metrics and docs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotReady => "NotReady",
            Self::CallUnknown => "CallUnknown",
            Self::NoToken => "NoToken",
            Self::MalformedToken => "MalformedToken",
            Self::UnknownToken => "UnknownToken",
            Self::RotatedOut => "RotatedOut",
            Self::Revoked => Refusal::Revoked.code(),
            Self::Expired => Refusal::Expired.code(),
            Self::OwnerDeleted => Refusal::OwnerDeleted.code(),
            Self::Suspended => Refusal::Suspended.code(),
            Self::OwnerDisabled => Refusal::OwnerDisabled.code(),
            Self::OwnerNotFound => Refusal::OwnerNotFound.code(),
            Self::OrganizationLocked => Refusal::OrganizationLocked.code(),
            Self::LimitReached => Refusal::LimitReached.code(),
            Self::PathNotCanonical => "PathNotCanonical",
            Self::EndpointNotAllowed => "EndpointNotAllowed",
            Self::AddressNotAllowed => "AddressNotAllowed",
            Self::ProjectNotAllowed => "ProjectNotAllowed",
        }
    }

    /// The HTTP status. 401: present another token. 403: this token won't do, and another call or a change of the key
    /// might.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Self::CallUnknown => StatusCode::BAD_REQUEST,
            Self::NoToken
            | Self::MalformedToken
            | Self::UnknownToken
            | Self::RotatedOut
            | Self::Revoked
            | Self::Expired => StatusCode::UNAUTHORIZED,
            Self::OwnerDeleted
            | Self::Suspended
            | Self::OwnerDisabled
            | Self::OwnerNotFound
            | Self::OrganizationLocked
            | Self::LimitReached
            | Self::PathNotCanonical
            | Self::EndpointNotAllowed
            | Self::AddressNotAllowed
            | Self::ProjectNotAllowed => StatusCode::FORBIDDEN,
        }
    }

    /// What happened and what to do, for the caller. It names nothing that the caller didn't send.
    pub const fn message(self) -> &'static str {
        match self {
            Self::NotReady => {
                "keys can't be checked yet, because they are still being read; try again in a moment"
            }
            Self::CallUnknown => {
                "the gateway did not say which call this is; set X-Forwarded-Method and X-Forwarded-Uri, or on \
                 /auth/nginx X-Original-Method, X-Original-URI and X-Real-IP, each exactly once"
            }
            Self::NoToken => {
                "the request carries no token; send one as Authorization: Bearer, X-API-Key, or X-Management-Id with \
                 X-Management-Token"
            }
            Self::MalformedToken => {
                "the request carries something that is no token, or two different tokens; send the token exactly as it \
                 was issued, and only that one"
            }
            Self::UnknownToken => {
                "no key has this token; check which key it is meant to be, or get a new one"
            }
            Self::RotatedOut => "a newer token of the same key has replaced this one; fetch the newer one",
            Self::Revoked => "the key was deleted; get another key",
            Self::Expired => "the key has expired and can't be revived; get another key",
            Self::OwnerDeleted => "the key's owner was deleted, and the key with them; get another key",
            Self::Suspended => "the key is suspended; ask whoever manages it to resume it",
            Self::OwnerDisabled => "the key's owner is disabled; the key resumes when its owner is enabled",
            Self::OwnerNotFound => "the key's owner doesn't exist yet; the key works once the owner does",
            Self::OrganizationLocked => {
                "the key's organization accepts no keys of this kind at present; ask whoever manages the organization"
            }
            Self::LimitReached => {
                "the key's organization has as many keys in use as it may; the key works once another one is deleted"
            }
            Self::PathNotCanonical => {
                "the path can be read in two ways: it has a . or .. segment, an empty segment, an encoded slash or \
                 backslash, or a control character; send it in its plain form"
            }
            Self::EndpointNotAllowed => {
                "the key doesn't allow this method on this path; use another key, or ask for it to be allowed"
            }
            Self::AddressNotAllowed => "the key may not be used from this address; call from an allowed one",
            Self::ProjectNotAllowed => {
                "the key may not be used for this project, or the gateway did not say which project the call is for"
            }
        }
    }
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Revoked => Self::Revoked,
            Refusal::Expired => Self::Expired,
            Refusal::OwnerDeleted => Self::OwnerDeleted,
            Refusal::Suspended => Self::Suspended,
            Refusal::OwnerDisabled => Self::OwnerDisabled,
            Refusal::OwnerNotFound => Self::OwnerNotFound,
            Refusal::OrganizationLocked => Self::OrganizationLocked,
            Refusal::LimitReached => Self::LimitReached,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_denial_has_its_own_place_and_code() {
        assert!(Denial::ALL.iter().enumerate().all(|(place, denial)| *denial as usize == place));
        let codes: BTreeSet<_> = Denial::ALL.map(Denial::code).into();
        assert_eq!(codes.len(), Denial::ALL.len());
    }

    #[test]
    fn a_refusal_keeps_its_code() {
        let refusals = [
            Refusal::Revoked,
            Refusal::Expired,
            Refusal::OwnerDeleted,
            Refusal::Suspended,
            Refusal::OwnerDisabled,
            Refusal::OwnerNotFound,
            Refusal::OrganizationLocked,
            Refusal::LimitReached,
        ];
        for refusal in refusals {
            assert_eq!(Denial::from(refusal).code(), refusal.code());
        }
    }
}
