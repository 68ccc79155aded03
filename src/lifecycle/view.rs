//! What the decisions are made from: a key with the terms of its organization and the state of its owner.

use crate::{
    resources::{
        DEFAULT_MANAGEMENT_KEY_LIMIT, Duration, Key, KeySpec, KeyStatus, Organization, Retention,
        SecretDeletionPolicy,
    },
    token::KeyKind,
};
use jiff::Timestamp;
use kube::ResourceExt;

const DEFAULT_REVEAL_WINDOW: Duration = Duration::from_secs(15 * 60);
const DEFAULT_EXPIRY_WARNINGS: [Duration; 2] =
    [Duration::from_secs(7 * 24 * 3600), Duration::from_secs(24 * 3600)];
const DEFAULT_OVERLAP: Duration = Duration::from_secs(3600);

/// A key of either kind, seen without its type.
#[derive(Clone, Copy, Debug)]
pub struct KeyView<'a> {
    /// Which kind of key it is.
    pub kind: KeyKind,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
    /// When it was created.
    pub created: Timestamp,
    /// The generation of its spec.
    pub generation: Option<i64>,
    /// Whether its deletion was asked for.
    pub deleting: bool,
    /// What the user asked for.
    pub spec: &'a KeySpec,
    /// What was last recorded.
    pub status: Option<&'a KeyStatus>,
    retention: Retention,
}

impl<'a> KeyView<'a> {
    /// Looks at a key that came from the API server.
    pub fn of<K: Key>(key: &'a K) -> Self {
        let meta = key.meta();
        Self {
            kind: K::KIND,
            namespace: meta.namespace.as_deref().unwrap_or_default(),
            name: meta.name.as_deref().unwrap_or_default(),
            uid: meta.uid.as_deref().unwrap_or_default(),
            created: key.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            generation: meta.generation,
            deleting: meta.deletion_timestamp.is_some(),
            spec: key.key_spec(),
            status: key.key_status(),
            retention: K::DEFAULT_RETENTION,
        }
    }

    /// Whether the status knows of a token.
    pub fn was_issued(&self) -> bool {
        self.status.is_some_and(|status| !status.generations.is_empty())
    }

    /// The name of the key's Secret.
    pub fn secret_name(&self) -> &'a str {
        self.spec.secret.as_ref().and_then(|secret| secret.name.as_deref()).unwrap_or(self.name)
    }

    /// How long the Secret holds the token.
    pub fn retention(&self) -> Retention {
        self.spec.secret.as_ref().and_then(|secret| secret.retention).unwrap_or(self.retention)
    }

    /// What becomes of the Secret with the key.
    pub fn deletion_policy(&self) -> SecretDeletionPolicy {
        let asked = self.spec.secret.as_ref().and_then(|secret| secret.deletion_policy);
        asked.unwrap_or(SecretDeletionPolicy::Delete)
    }

    /// How long an old token stays good after a rotation.
    pub fn overlap(&self) -> Duration {
        self.spec.rotation.as_ref().and_then(|rotation| rotation.overlap).unwrap_or(DEFAULT_OVERLAP)
    }
}

/// What an organization grants, with its defaults resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganizationTerms {
    /// Name of the organization.
    pub name: String,
    /// Whether its management keys are accepted.
    pub management_enabled: bool,
    /// How many management keys may be good at a time.
    pub management_keys: usize,
    /// How long a key may live, from its first issue.
    pub max_ttl: Option<Duration>,
    /// How long a Window-retained token stays readable.
    pub reveal_window: Duration,
    /// How long before expiry to warn, longest first.
    pub expiry_warnings: Vec<Duration>,
}

impl OrganizationTerms {
    /// Resolves the defaults of an organization.
    pub fn of(organization: &Organization) -> Self {
        let spec = &organization.spec;
        let limits = spec.limits.clone().unwrap_or_default();
        let mut expiry_warnings =
            spec.expiry_warnings.clone().unwrap_or_else(|| DEFAULT_EXPIRY_WARNINGS.to_vec());
        expiry_warnings.sort_unstable_by(|a, b| b.cmp(a));
        Self {
            name: organization.name_any(),
            management_enabled: spec.management_api.as_ref().and_then(|api| api.enabled).unwrap_or(true),
            management_keys: usize::try_from(limits.management_keys.unwrap_or(DEFAULT_MANAGEMENT_KEY_LIMIT))
                .unwrap_or_default(),
            max_ttl: limits.max_ttl,
            reveal_window: spec.reveal_window.unwrap_or(DEFAULT_REVEAL_WINDOW),
            expiry_warnings,
        }
    }

    /// Whether the organization refuses keys of this kind for now.
    pub fn locks(&self, kind: KeyKind) -> bool {
        kind == KeyKind::Management && !self.management_enabled
    }

    /// How many keys of this kind may be good at a time; `None` when there is no limit.
    pub fn limit(&self, kind: KeyKind) -> Option<usize> {
        match kind {
            KeyKind::Management => Some(self.management_keys),
            KeyKind::Api => None,
        }
    }
}

/// The state of a key's owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerState {
    /// The key names no owner.
    None,
    /// The owner's keys are accepted.
    Active {
        /// Uid of the User.
        uid: String,
    },
    /// The owner's keys are refused for now.
    Disabled {
        /// Uid of the User.
        uid: String,
    },
    /// No User of this name was ever seen by this key.
    NotFound,
    /// The User is gone; one that has the same name now is somebody else.
    Deleted,
}

impl OwnerState {
    /// Judges a key's owner from the User that has the owner's name now: its uid, and whether it is disabled.
    pub fn of(key: &KeyView<'_>, user: Option<(&str, bool)>) -> Self {
        let Some(owner) = &key.spec.owner else {
            return Self::None;
        };
        let seen = key.status.and_then(|status| status.owner.as_ref()).filter(|seen| seen.name == owner.name);
        match (user, seen) {
            (None, None) => Self::NotFound,
            (None, Some(_)) => Self::Deleted,
            (Some((uid, _)), Some(seen)) if seen.uid != uid => Self::Deleted,
            (Some((uid, true)), _) => Self::Disabled { uid: uid.to_owned() },
            (Some((uid, false)), _) => Self::Active { uid: uid.to_owned() },
        }
    }
}
