//! What a key's status says, and what is worth telling when it changes.

use super::{
    KeyView, OrganizationTerms, OwnerState,
    conditions::{self, Reason},
    deadlines,
    issue::{self, Admission},
    membership::Membership,
    record::{Record, TokenState},
    standing::{Refusal, Standing},
};
use crate::resources::{KeyStatus, OwnerStatus, SecretReference};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// What the status of an issued key is made from.
pub struct Issued<'a> {
    /// The organization's terms.
    pub terms: &'a OrganizationTerms,
    /// The key's owner.
    pub owner: &'a OwnerState,
    /// The key's slot.
    pub admission: &'a Admission,
    /// The key's issue.
    pub record: &'a Record,
    /// The version of the Secret that was written or checked; `None` if there is none that is ours.
    pub secret_version: Option<String>,
    /// Whose the namespace is now.
    pub membership: &'a Membership,
}

/// The status of a key that was issued.
pub fn issued(key: &KeyView<'_>, found: &Issued<'_>, now: Timestamp) -> KeyStatus {
    let Issued { terms, record, owner, .. } = *found;
    let expires_at = deadlines::expiry(key, terms, record.issued_at, now);
    let refusal = standing(key, found, expires_at).refusal(now);
    let over = refusal.is_some_and(Refusal::is_final);
    let mut status = KeyStatus {
        observed_generation: key.generation,
        organization: Some(terms.name.clone()),
        id: Some(record.id.clone()),
        token_hint: Some(record.hint.clone()),
        secret_ref: Some(SecretReference {
            name: key.secret_name().to_owned(),
            resource_version: found.secret_version.clone(),
        }),
        owner: owner_status(key, owner),
        issued_at: Some(record.issued_at),
        reveal_until: deadlines::scrub(key, terms, record),
        expires_at,
        next_rotation: if over { None } else { deadlines::rotation(key, record, expires_at) },
        generations: record.generations.clone(),
        conditions: Vec::new(),
    };
    status.conditions = issued_conditions(key, found, &status, refusal, now);
    if let Some(before) = key.status {
        conditions::keep_transition_times(&mut status.conditions, &before.conditions);
    }
    status
}

/// The status of a key that has no token, and why.
pub fn withheld(
    key: &KeyView<'_>,
    organization: Option<&str>,
    admission: Option<&Admission>,
    reason: &Reason,
    now: Timestamp,
) -> KeyStatus {
    let condition =
        |type_, status, reason: &Reason| conditions::condition(type_, status, reason, key.generation, now);
    let admitted = match (admission, organization) {
        (Some(admission @ (Admission::Held | Admission::NotNeeded)), Some(organization)) => {
            condition(conditions::ADMITTED, true, &admitted(admission, organization))
        }
        _ => condition(conditions::ADMITTED, false, reason),
    };
    let mut conditions = vec![
        condition(conditions::READY, false, reason),
        admitted,
        condition(conditions::ISSUED, false, reason),
    ];
    if let Some(before) = key.status {
        conditions::keep_transition_times(&mut conditions, &before.conditions);
    }
    KeyStatus {
        observed_generation: key.generation,
        organization: organization.map(ToOwned::to_owned),
        conditions,
        ..KeyStatus::default()
    }
}

fn owner_status(key: &KeyView<'_>, owner: &OwnerState) -> Option<OwnerStatus> {
    let named = key.spec.owner.as_ref().map(|owner| owner.name.clone());
    match (named, owner) {
        (Some(name), OwnerState::Active { uid } | OwnerState::Disabled { uid }) => {
            Some(OwnerStatus { name, uid: uid.clone() })
        }
        // Who the owner was must stay known, or a new User of the same name would be taken for them.
        (Some(_), _) => key.status.and_then(|status| status.owner.clone()),
        (None, _) => {
            key.status.and_then(|status| status.owner.clone()).filter(|_| issue::final_refusal(key).is_some())
        }
    }
}

fn standing(key: &KeyView<'_>, found: &Issued<'_>, expires_at: Option<Timestamp>) -> Standing {
    Standing {
        revoked: key.deleting,
        recorded: issue::final_refusal(key),
        expires_at,
        owner_deleted: *found.owner == OwnerState::Deleted,
        suspended: key.spec.suspended,
        owner_disabled: matches!(found.owner, OwnerState::Disabled { .. }),
        owner_unknown: *found.owner == OwnerState::NotFound,
        locked: found.terms.locks(key.kind),
        slotless: matches!(found.admission, Admission::Waiting { .. }),
    }
}

fn issued_conditions(
    key: &KeyView<'_>,
    found: &Issued<'_>,
    status: &KeyStatus,
    refusal: Option<Refusal>,
    now: Timestamp,
) -> Vec<Condition> {
    let condition =
        |type_, status, reason: &Reason| conditions::condition(type_, status, reason, key.generation, now);
    let token = token_reason(key, found, status);
    let ready = match refusal {
        Some(refusal) => condition(conditions::READY, false, &refusal_reason(key, found, status, refusal)),
        None => match issue::invalid(key) {
            Some(problem) => condition(conditions::READY, false, &Reason::InvalidSpec { problem }),
            None if found.record.token == TokenState::Lost => condition(conditions::READY, true, &token),
            None => condition(conditions::READY, true, &Reason::Active),
        },
    };
    let slot = match (found.admission, refusal.is_some_and(Refusal::is_final)) {
        (Admission::Waiting { .. }, true) => Reason::SlotReleased { organization: found.terms.name.clone() },
        _ => admitted(found.admission, &found.terms.name),
    };
    let has_token = matches!(token, Reason::TokenInSecret { .. } | Reason::TokenScrubbed { .. });
    let mut conditions = vec![
        ready,
        condition(conditions::ADMITTED, !matches!(found.admission, Admission::Waiting { .. }), &slot),
        condition(conditions::ISSUED, has_token, &token),
    ];
    let expiring = status.expires_at.filter(|_| !refusal.is_some_and(Refusal::is_final));
    if let Some((at, warning)) = expiring.and_then(|at| Some((at, deadlines::warning(found.terms, at, now)?)))
    {
        conditions.push(condition(conditions::EXPIRING, true, &Reason::ExpiresSoon { at, warning }));
    }
    if let Some(reason) = unresolved(key, found.membership) {
        conditions.push(condition(conditions::ORGANIZATION_RESOLVED, false, &reason));
    }
    conditions
}

/// Why it isn't clear whose a key's namespace is.
pub fn unresolved(key: &KeyView<'_>, membership: &Membership) -> Option<Reason> {
    let namespace = key.namespace.to_owned();
    match membership {
        Membership::Of(_) => None,
        Membership::Contested(organizations) => {
            Some(Reason::OrganizationConflict { namespace, organizations: organizations.clone() })
        }
        Membership::Unclaimed => Some(Reason::NoOrganization { namespace }),
    }
}

fn token_reason(key: &KeyView<'_>, found: &Issued<'_>, status: &KeyStatus) -> Reason {
    let secret = key.secret_name().to_owned();
    match (found.record.token, &found.secret_version) {
        (TokenState::Scrubbed, _) => Reason::TokenScrubbed { secret },
        (TokenState::Held, _) => Reason::TokenInSecret { secret, until: status.reveal_until },
        (TokenState::Lost, Some(_)) => Reason::TokenLost { secret },
        (TokenState::Lost, None) => Reason::SecretConflict { secret },
    }
}

fn admitted(admission: &Admission, organization: &str) -> Reason {
    let organization = organization.to_owned();
    match admission {
        Admission::Held => Reason::SlotHeld { organization },
        Admission::NotNeeded => Reason::NoLimit { organization },
        Admission::Waiting { limit, holders } => {
            Reason::LimitReached { organization, limit: *limit, holders: holders.clone() }
        }
    }
}

fn refusal_reason(key: &KeyView<'_>, found: &Issued<'_>, status: &KeyStatus, refusal: Refusal) -> Reason {
    let named = key.spec.owner.as_ref().map(|owner| &owner.name);
    let owner =
        || named.or_else(|| status.owner.as_ref().map(|owner| &owner.name)).cloned().unwrap_or_default();
    match refusal {
        Refusal::Revoked => Reason::Revoked,
        Refusal::Expired => Reason::Expired { at: status.expires_at.unwrap_or(found.record.issued_at) },
        Refusal::OwnerDeleted => Reason::OwnerDeleted { owner: owner() },
        Refusal::Suspended => Reason::Suspended,
        Refusal::OwnerDisabled => Reason::OwnerDisabled { owner: owner() },
        Refusal::OwnerNotFound => {
            Reason::OwnerNotFound { owner: owner(), namespace: key.namespace.to_owned() }
        }
        Refusal::OrganizationLocked => Reason::OrganizationLocked { organization: found.terms.name.clone() },
        Refusal::LimitReached => admitted(found.admission, &found.terms.name),
    }
}

/// Something that happened to a key, told as a Kubernetes Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whether somebody should look at it.
    pub warning: bool,
    /// CamelCase word.
    pub reason: &'static str,
    /// What happened.
    pub note: String,
}

/// What happened between two statuses of a key.
pub fn notices(before: Option<&KeyStatus>, after: &KeyStatus) -> Vec<Notice> {
    let generation = |status: &KeyStatus| status.generations.first().map(|generation| generation.number);
    let mut notices = Vec::new();
    let old_generation = before.and_then(generation);
    match (old_generation, generation(after)) {
        (None, Some(number)) => {
            notices.push(normal("Issued", format!("token {number} was issued")));
        }
        (Some(old), Some(new)) if old != new => {
            notices.push(normal("Rotated", format!("token {new} was issued in place of token {old}")));
        }
        _ => {}
    }
    for type_ in
        [conditions::READY, conditions::ISSUED, conditions::EXPIRING, conditions::ORGANIZATION_RESOLVED]
    {
        let find = |status: &KeyStatus| conditions::find(&status.conditions, type_).cloned();
        let (old, new) = (before.and_then(find), find(after));
        if let Some(new) = new.filter(|new| told_of(type_, old.as_ref(), new)) {
            notices.push(from_condition(&new));
        }
    }
    notices
}

/// Whether a condition's change is news of its own: a new reason; for a warning of expiry, a nearer one too.
fn told_of(type_: &str, old: Option<&Condition>, new: &Condition) -> bool {
    let news = old.is_none_or(|old| old.reason != new.reason || old.status != new.status);
    match (type_, new.reason.as_str()) {
        (conditions::EXPIRING, _) => old.is_none_or(|old| old.message != new.message),
        (conditions::READY, "Active") => {
            news && old.is_some_and(|old| old.status == "False" && old.reason != "LimitReached")
        }
        (conditions::READY, "TokenLost") => false,
        (conditions::ISSUED, "TokenScrubbed" | "TokenLost" | "SecretConflict") => news,
        (conditions::ISSUED, _) => false,
        _ => news,
    }
}

fn from_condition(condition: &Condition) -> Notice {
    let (warning, reason) = match (condition.type_.as_str(), condition.reason.as_str()) {
        (conditions::READY, "Active") => (false, "Resumed"),
        (_, "TokenScrubbed") => (false, "TokenScrubbed"),
        (_, "TokenLost") => (true, "TokenLost"),
        (_, "SecretConflict") => (true, "SecretConflict"),
        (conditions::EXPIRING, _) => (true, "Expiring"),
        (_, "Expired") => (true, "Expired"),
        (_, "Suspended") => (false, "Suspended"),
        (_, "OwnerDisabled") => (true, "OwnerDisabled"),
        (_, "OwnerDeleted") => (true, "OwnerDeleted"),
        (_, "OrganizationLocked") => (true, "OrganizationLocked"),
        (_, "OwnerNotFound") => (true, "OwnerNotFound"),
        (_, "LimitReached") => (true, "LimitReached"),
        (_, "OrganizationConflict") => (true, "OrganizationConflict"),
        _ => (true, "NotIssued"),
    };
    Notice { warning, reason, note: condition.message.clone() }
}

fn normal(reason: &'static str, note: String) -> Notice {
    Notice { warning: false, reason, note }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lifecycle::issue::tests::{issued as record_at, key_with, seconds, terms},
        resources::{Key, ManagementKey},
    };
    use serde_json::json;

    struct Case {
        key: ManagementKey,
        terms: OrganizationTerms,
        owner: OwnerState,
        admission: Admission,
        record: Record,
        membership: Membership,
    }

    fn case(spec: serde_json::Value) -> Case {
        Case {
            key: key_with(spec),
            terms: terms(),
            owner: OwnerState::None,
            admission: Admission::Held,
            record: record_at(seconds(0)),
            membership: Membership::Of("acme".into()),
        }
    }

    impl Case {
        fn status(&self, now: i64) -> KeyStatus {
            let found = Issued {
                terms: &self.terms,
                owner: &self.owner,
                admission: &self.admission,
                record: &self.record,
                secret_version: Some("7".into()),
                membership: &self.membership,
            };
            issued(&KeyView::of(&self.key), &found, seconds(now))
        }

        fn ready(&self, now: i64) -> (String, String) {
            let ready = self.status(now).conditions.remove(0);
            (ready.status, ready.reason)
        }
    }

    fn said(pair: (&str, &str)) -> (String, String) {
        (pair.0.to_owned(), pair.1.to_owned())
    }

    #[test]
    fn ready_says_what_the_door_says() {
        assert_eq!(case(json!({})).ready(1), said(("True", "Active")));
        assert_eq!(case(json!({"suspended": true})).ready(1), said(("False", "Suspended")));
        assert_eq!(case(json!({"ttl": "10s"})).ready(9), said(("True", "Active")));
        assert_eq!(case(json!({"ttl": "10s"})).ready(10), said(("False", "Expired")));
        let disabled = OwnerState::Disabled { uid: "u".into() };
        assert_eq!(
            Case { owner: disabled, ..case(json!({"owner": {"name": "jane"}})) }.ready(1),
            said(("False", "OwnerDisabled"))
        );
        let locked = OrganizationTerms { management_enabled: false, ..terms() };
        assert_eq!(Case { terms: locked, ..case(json!({})) }.ready(1), said(("False", "OrganizationLocked")));
        let waiting = Admission::Waiting { limit: 5, holders: vec!["ns/a".into()] };
        assert_eq!(Case { admission: waiting, ..case(json!({})) }.ready(1), said(("False", "LimitReached")));
        let lost = Record { token: TokenState::Lost, ..record_at(seconds(0)) };
        assert_eq!(Case { record: lost, ..case(json!({})) }.ready(1), said(("True", "TokenLost")));
    }

    #[test]
    fn an_owner_who_was_deleted_stays_deleted() {
        let mut case = case(json!({"owner": {"name": "jane"}}));
        case.owner = OwnerState::Active { uid: "first".into() };
        case.key = case.key.with_status(case.status(1));
        case.owner = OwnerState::of(&KeyView::of(&case.key), Some(("second", false)));
        assert_eq!(case.ready(2), said(("False", "OwnerDeleted")));
        case.key = case.key.with_status(case.status(2));
        case.key.spec.owner = None;
        case.owner = OwnerState::None;
        assert_eq!(case.ready(3), said(("False", "OwnerDeleted")));
    }

    #[test]
    fn an_extension_after_the_end_revives_nothing() {
        let mut case = case(json!({"ttl": "10s"}));
        case.key = case.key.with_status(case.status(5));
        case.key.spec.ttl = Some(crate::resources::Duration::from_secs(1000));
        assert_eq!(case.ready(9), said(("True", "Active")), "extended in time");
        assert_eq!(case.ready(10), said(("False", "Expired")));
        case.key = case.key.with_status(case.status(10));
        assert_eq!(case.ready(11), said(("False", "Expired")));
        assert_eq!(case.status(11).expires_at, Some(seconds(10)));
    }

    #[test]
    fn the_same_again_changes_nothing_not_even_times() {
        let mut case = case(json!({"ttl": "24h"}));
        let first = case.status(1);
        case.key = case.key.with_status(first.clone());
        assert_eq!(case.status(500), first);
    }

    #[test]
    fn a_contested_namespace_shows_on_an_issued_key_that_goes_on_working() {
        let contested =
            Case { membership: Membership::Contested(vec!["a".into(), "b".into()]), ..case(json!({})) };
        let status = contested.status(1);
        assert_eq!(contested.ready(1), said(("True", "Active")));
        let shown = conditions::find(&status.conditions, conditions::ORGANIZATION_RESOLVED).unwrap();
        assert_eq!((shown.status.as_str(), shown.reason.as_str()), ("False", "OrganizationConflict"));
    }

    #[test]
    fn each_thing_that_happens_is_told_once() {
        let mut case =
            case(json!({"expiresAt": seconds(100_000).to_string(), "secret": {"retention": "Persistent"}}));
        let mut told = Vec::new();
        let mut step = |case: &mut Case, now| {
            let after = case.status(now);
            told.push(notices(case.key.status.as_ref(), &after).iter().map(|n| n.reason).collect::<Vec<_>>());
            case.key = case.key.with_status(after);
        };
        step(&mut case, 0);
        step(&mut case, 1);
        case.key.spec.suspended = true;
        step(&mut case, 2);
        case.key.spec.suspended = false;
        step(&mut case, 3);
        step(&mut case, 50_000);
        step(&mut case, 100_000);
        assert_eq!(
            told,
            [
                vec!["Issued", "Expiring"],
                vec![],
                vec!["Suspended"],
                vec!["Resumed"],
                vec!["Expiring"],
                vec!["Expired"]
            ]
        );
    }

    #[test]
    fn a_key_without_token_says_why_in_all_conditions() {
        let key = key_with(json!({}));
        let reason = Reason::NoOrganization { namespace: "acme-prod".into() };
        let status = withheld(&KeyView::of(&key), None, None, &reason, seconds(0));
        assert_eq!(status.conditions.len(), 3);
        assert!(status.conditions.iter().all(|c| c.status == "False" && c.reason == "NoOrganization"));
        assert!(status.generations.is_empty());
    }
}
