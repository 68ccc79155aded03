//! Every condition that Latchkey sets: its types, its reasons, and the words a person reads.
//!
//! `docs/conditions.md` is generated from [`catalogue`], so that the page can't differ from what the code says.

use super::standing::Refusal;
use crate::resources::Duration;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The object works as declared. On keys: the key is accepted at the door.
pub const READY: &str = "Ready";
/// The key holds one of its organization's slots.
pub const ADMITTED: &str = "Admitted";
/// The key has a token.
pub const ISSUED: &str = "Issued";
/// The key's end is near. Present only then.
pub const EXPIRING: &str = "Expiring";
/// It is clear whose the key's namespace is. Present only on an issued key for which it is not.
pub const ORGANIZATION_RESOLVED: &str = "OrganizationResolved";

/// How many holders of slots a message names before it only counts them.
const NAMED_HOLDERS: usize = 8;

/// Why a condition is as it is, with what its message needs to say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are named after what they hold")]
pub enum Reason {
    /// The key is accepted.
    Active,
    /// The key is accepted, but its Secret lost the token.
    TokenLost { secret: String },
    /// The key is being deleted.
    Revoked,
    /// The key is past its end.
    Expired { at: Timestamp },
    /// The key's owner is gone.
    OwnerDeleted { owner: String },
    /// `spec.suspended` is true.
    Suspended,
    /// The key's owner is disabled.
    OwnerDisabled { owner: String },
    /// The organization refuses its management keys.
    OrganizationLocked { organization: String },
    /// All slots are held by other keys.
    LimitReached { organization: String, limit: usize, holders: Vec<String> },
    /// There is no such User yet.
    OwnerNotFound { owner: String, namespace: String },
    /// Several organizations select the namespace.
    OrganizationConflict { namespace: String, organizations: Vec<String> },
    /// No organization has the namespace.
    NoOrganization { namespace: String },
    /// Something in the spec can't be understood.
    InvalidSpec { problem: String },
    /// `spec.expiresAt` was past before the key was issued.
    ExpiryInPast { at: Timestamp },
    /// The key would live longer than the organization lets it.
    TTLTooLong { asked: String, maximum: Duration, organization: String },
    /// A Secret of the key's name exists and isn't this key's.
    SecretConflict { secret: String },
    /// The Secret or entry to import from isn't there.
    ImportNotFound { secret: String, entry: String },
    /// The token to import is too easy to guess, or can't be a token.
    ImportRefused { secret: String, problem: String },
    /// The token to import belongs to another key.
    TokenInUse { secret: String, holder: String },
    /// The key holds a slot.
    SlotHeld { organization: String },
    /// The key is refused for good, and gave its slot back.
    SlotReleased { organization: String },
    /// The organization doesn't limit keys of this kind.
    NoLimit { organization: String },
    /// The Secret holds the token.
    TokenInSecret { secret: String, until: Option<Timestamp> },
    /// The token was in the Secret and was taken out when the reveal window ended.
    TokenScrubbed { secret: String },
    /// The key's end is near.
    ExpiresSoon { at: Timestamp, warning: Duration },
    /// The organization limits its keys and has no conflict.
    Serving,
    /// `spec.managementAPI.enabled` is false.
    Locked,
    /// The User's keys are accepted.
    Accepted,
    /// The User's keys are refused.
    Disabled,
    /// The stored object can't be understood by this version.
    Undecodable { problem: String },
}

impl Reason {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::TokenLost { .. } => "TokenLost",
            Self::Revoked => Refusal::Revoked.code(),
            Self::Expired { .. } => Refusal::Expired.code(),
            Self::OwnerDeleted { .. } => Refusal::OwnerDeleted.code(),
            Self::Suspended => Refusal::Suspended.code(),
            Self::OwnerDisabled { .. } => Refusal::OwnerDisabled.code(),
            Self::OrganizationLocked { .. } => Refusal::OrganizationLocked.code(),
            Self::LimitReached { .. } => Refusal::LimitReached.code(),
            Self::OwnerNotFound { .. } => Refusal::OwnerNotFound.code(),
            Self::OrganizationConflict { .. } => "OrganizationConflict",
            Self::NoOrganization { .. } => "NoOrganization",
            Self::InvalidSpec { .. } => "InvalidSpec",
            Self::ExpiryInPast { .. } => "ExpiryInPast",
            Self::TTLTooLong { .. } => "TTLTooLong",
            Self::SecretConflict { .. } => "SecretConflict",
            Self::ImportNotFound { .. } => "ImportNotFound",
            Self::ImportRefused { .. } => "ImportRefused",
            Self::TokenInUse { .. } => "TokenInUse",
            Self::SlotHeld { .. } => "SlotHeld",
            Self::SlotReleased { .. } => "SlotReleased",
            Self::NoLimit { .. } => "NoLimit",
            Self::TokenInSecret { .. } => "TokenInSecret",
            Self::TokenScrubbed { .. } => "TokenScrubbed",
            Self::ExpiresSoon { .. } => "ExpiresSoon",
            Self::Serving => "Serving",
            Self::Locked => "Locked",
            Self::Accepted => "Active",
            Self::Disabled => "Disabled",
            Self::Undecodable { .. } => "Undecodable",
        }
    }

    /// What happened, to what, and what to do next.
    pub fn message(&self) -> String {
        match self {
            Self::Active => "the key is accepted".into(),
            Self::TokenLost { secret } => format!(
                "the key is accepted, but Secret {secret} was deleted or edited and its token can't be restored; \
                 whoever has the token can go on using it; set spec.rotation.after to now to issue a new one"
            ),
            Self::Revoked => "the key is being deleted and is refused".into(),
            Self::Expired { at } => format!(
                "the key expired at {at}; an expired key can't be revived or rotated: delete it and create a new one"
            ),
            Self::OwnerDeleted { owner } => format!(
                "User {owner}, who owned the key, was deleted; the key is refused for good: delete it and create one \
                 with another owner"
            ),
            Self::Suspended => {
                "the key is refused while spec.suspended is true; set it to false to resume".into()
            }
            Self::OwnerDisabled { owner } => {
                format!(
                    "the key is refused while its owner, User {owner}, is disabled; it resumes with the User"
                )
            }
            Self::OrganizationLocked { organization } => format!(
                "organization {organization} refuses its management keys; they resume when its \
                 spec.managementAPI.enabled is true again"
            ),
            Self::LimitReached { organization, limit, holders } => {
                limit_reached(organization, *limit, holders)
            }
            Self::OwnerNotFound { owner, namespace } => format!(
                "User {owner} doesn't exist in namespace {namespace}; create it, or change spec.owner; the key is \
                 issued as soon as the User exists"
            ),
            Self::OrganizationConflict { namespace, organizations } => format!(
                "namespace {namespace} is selected by several organizations ({}); change their namespaceSelectors so \
                 that one is left",
                organizations.join(", ")
            ),
            Self::NoOrganization { namespace } => format!(
                "no organization has namespace {namespace}; create one whose namespaceSelector selects it, or one \
                 named default"
            ),
            Self::InvalidSpec { problem } => format!("the spec can't be understood: {problem}; correct it"),
            Self::ExpiryInPast { at } => {
                format!(
                    "spec.expiresAt ({at}) is in the past, so no token was issued; set a time in the future"
                )
            }
            Self::TTLTooLong { asked, maximum, organization } => format!(
                "the key would live {asked}, but organization {organization} lets a key live {maximum} at most \
                 (limits.maxTTL); shorten spec.ttl or spec.expiresAt"
            ),
            Self::SecretConflict { secret } => format!(
                "a Secret {secret} exists that isn't this key's, and it won't be overwritten; delete or rename it, or \
                 create a key with another spec.secret.name"
            ),
            Self::ImportNotFound { secret, entry } => format!(
                "Secret {secret} or its entry {entry} doesn't exist, so there is no token to import; create it: \
                 Latchkey looks again every few seconds"
            ),
            Self::ImportRefused { secret, problem } => {
                format!(
                    "the token in Secret {secret} can't be imported: {problem}; import another one, or remove \
                 spec.importFrom in a new key to have one made"
                )
            }
            Self::TokenInUse { secret, holder } => format!(
                "the token in Secret {secret} already belongs to {holder}; one token can't be two keys: import \
                 another one"
            ),
            Self::SlotHeld { organization } => format!("the key holds a slot of organization {organization}"),
            Self::SlotReleased { organization } => {
                format!("the key is refused for good and gave its slot of organization {organization} back")
            }
            Self::NoLimit { organization } => {
                format!("organization {organization} doesn't limit keys of this kind")
            }
            Self::TokenInSecret { secret, until: Some(until) } => {
                format!("Secret {secret} holds the token until {until}; copy it before then")
            }
            Self::TokenInSecret { secret, until: None } => format!("Secret {secret} holds the token"),
            Self::TokenScrubbed { secret } => format!(
                "the token was taken out of Secret {secret} when the reveal window ended; it still works; set \
                 spec.rotation.after to now to issue a new one"
            ),
            Self::ExpiresSoon { at, warning } => {
                format!(
                    "the key expires at {at}, in less than {warning}; extend it before then, or create another one"
                )
            }
            Self::Serving => "the organization's keys are limited and accepted as declared".into(),
            Self::Locked => {
                "the organization's management keys are refused because spec.managementAPI.enabled is false"
                    .into()
            }
            Self::Accepted => "the User's keys are accepted".into(),
            Self::Disabled => "the User's keys are refused because spec.disabled is true".into(),
            Self::Undecodable { problem } => format!(
                "the stored object can't be understood by this version of Latchkey: {problem}; the key is refused; \
                 correct the object"
            ),
        }
    }

    /// The reason that a refusal at the door has in the `Ready` condition.
    pub fn is(&self, refusal: Refusal) -> bool {
        self.code() == refusal.code()
    }
}

fn limit_reached(organization: &str, limit: usize, holders: &[String]) -> String {
    let named = holders.iter().take(NAMED_HOLDERS).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match holders.len().saturating_sub(NAMED_HOLDERS) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let held = if holders.is_empty() { "none".to_owned() } else { format!("{named}{more}") };
    format!(
        "organization {organization} lets {limit} management keys be good at a time; the slots are held by: {held}; \
         delete one of them or raise limits.managementKeys; the oldest waiting key is admitted by itself"
    )
}

/// Makes a condition of a type and status.
pub fn condition(
    type_: &str,
    status: bool,
    reason: &Reason,
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    Condition {
        type_: type_.to_owned(),
        status: if status { "True" } else { "False" }.to_owned(),
        reason: reason.code().to_owned(),
        message: reason.message(),
        observed_generation: generation,
        last_transition_time: Time(now),
    }
}

/// Finds a condition by its type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Takes over the transition times of conditions whose status did not change.
pub fn keep_transition_times(new: &mut [Condition], old: &[Condition]) {
    for condition in new {
        if let Some(before) = find(old, &condition.type_).filter(|before| before.status == condition.status) {
            condition.last_transition_time = before.last_transition_time.clone();
        }
    }
}

/// One row of the documentation: where a reason appears, and what it says.
pub struct Entry {
    /// Kinds that have it.
    pub kinds: &'static str,
    /// Condition type.
    pub type_: &'static str,
    /// Condition status.
    pub status: bool,
    /// The reason, with placeholders for what differs.
    pub reason: Reason,
}

/// Every condition with every reason.
pub fn catalogue() -> Vec<Entry> {
    const KEY: &str = "ManagementKey";
    let s = |text: &str| text.to_owned();
    let time = Timestamp::constant(1_798_761_600, 0);
    let hour = Duration::from_secs(3600);
    let (secret, organization) = (|| s("ci-management-key"), || s("acme"));
    let conflict = || Reason::OrganizationConflict {
        namespace: s("acme-prod"),
        organizations: vec![s("acme"), s("beta")],
    };
    let limit = || Reason::LimitReached {
        organization: organization(),
        limit: 5,
        holders: vec![s("acme-prod/ci"), s("acme-prod/console")],
    };
    let unissued = [
        Reason::OwnerNotFound { owner: s("jane"), namespace: s("acme-prod") },
        conflict(),
        Reason::NoOrganization { namespace: s("acme-prod") },
        Reason::InvalidSpec {
            problem: s("path pattern \"/a//b\" must not have an empty segment in the middle"),
        },
        Reason::ExpiryInPast { at: time },
        Reason::TTLTooLong {
            asked: s("9000h"),
            maximum: Duration::from_secs(8760 * 3600),
            organization: organization(),
        },
        Reason::SecretConflict { secret: secret() },
        Reason::ImportNotFound { secret: s("old-key"), entry: s("token") },
        Reason::ImportRefused {
            secret: s("old-key"),
            problem: s("it has about 52 bits of entropy, and 128 are needed"),
        },
        Reason::TokenInUse { secret: s("old-key"), holder: s("acme-prod/ci") },
    ];
    let locked = || Reason::OrganizationLocked { organization: organization() };
    let mut entries = Vec::new();
    let mut add = |kinds, type_, status, reasons: Vec<Reason>| {
        entries.extend(reasons.into_iter().map(|reason| Entry { kinds, type_, status, reason }));
    };
    add(KEY, READY, true, vec![Reason::Active, Reason::TokenLost { secret: secret() }]);
    add(
        KEY,
        READY,
        false,
        vec![
            Reason::Revoked,
            Reason::Expired { at: time },
            Reason::OwnerDeleted { owner: s("jane") },
            Reason::Suspended,
            Reason::OwnerDisabled { owner: s("jane") },
            locked(),
            limit(),
        ],
    );
    add(KEY, READY, false, unissued.to_vec());
    add(
        KEY,
        READY,
        false,
        vec![Reason::Undecodable {
            problem: s("unknown variant `Forever`, expected `Window` or `Persistent`"),
        }],
    );
    add(
        KEY,
        ADMITTED,
        true,
        vec![
            Reason::SlotHeld { organization: organization() },
            Reason::NoLimit { organization: organization() },
        ],
    );
    add(
        KEY,
        ADMITTED,
        false,
        [vec![limit(), Reason::SlotReleased { organization: organization() }], unissued[..6].to_vec()]
            .concat(),
    );
    add(
        KEY,
        ISSUED,
        true,
        vec![
            Reason::TokenInSecret { secret: secret(), until: Some(time) },
            Reason::TokenInSecret { secret: secret(), until: None },
            Reason::TokenScrubbed { secret: secret() },
        ],
    );
    add(KEY, ISSUED, false, vec![Reason::TokenLost { secret: secret() }, limit(), locked()]);
    add(KEY, ISSUED, false, unissued.to_vec());
    add(KEY, EXPIRING, true, vec![Reason::ExpiresSoon { at: time, warning: hour }]);
    add(
        KEY,
        ORGANIZATION_RESOLVED,
        false,
        vec![conflict(), Reason::NoOrganization { namespace: s("acme-prod") }],
    );
    add("Organization", READY, true, vec![Reason::Serving, Reason::Locked]);
    add(
        "Organization",
        READY,
        false,
        vec![conflict(), Reason::InvalidSpec { problem: s("namespaceSelector can't be understood") }],
    );
    add("User", READY, true, vec![Reason::Accepted, Reason::Disabled]);
    entries
}
