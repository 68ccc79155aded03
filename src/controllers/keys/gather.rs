//! Reading what a key's decisions are made from: most of it from the caches, its Secret from the API server when needed.

use super::secret;
use crate::{
    cluster::client::call,
    controllers::{
        context::{KeyContext, ResolvedOrganization, Shared},
        error::Error,
    },
    lifecycle::{
        KeyView, OrganizationTerms, OwnerState,
        conditions::{self, Reason},
        import,
        issue::{self, Admission, Found, ImportView, Issue, SecretView},
        membership::Membership,
        record::{Record, TokenState},
        status,
    },
    resources::{Key, Organization},
    token::Token,
};
use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, ResourceExt, runtime::reflector::ObjectRef};

/// What a key finds around it.
pub(super) enum Surroundings {
    /// No organization has it, or several do, and it was never issued.
    Unowned(Reason),
    /// An organization's terms hold for it.
    Member(Box<Member>),
}

/// A key's place in its organization.
pub(super) struct Member {
    pub(super) membership: Membership,
    pub(super) terms: OrganizationTerms,
    pub(super) owner: OwnerState,
    /// `None` when there is a free slot that may still become the key's.
    pub(super) admission: Option<Admission>,
}

/// The key's Secret and the token to import, as read from the API server.
pub(super) struct Inspected {
    pub(super) view: SecretView,
    pub(super) secret: Option<Secret>,
    pub(super) import: Option<(ImportView, Option<Token>)>,
}

impl Member {
    /// Puts together what the decision about the token is made from.
    pub(super) fn found<'a>(
        &'a self,
        key: KeyView<'a>,
        admission: &'a Admission,
        read: &'a Inspected,
    ) -> Found<'a> {
        Found {
            key,
            terms: &self.terms,
            owner: &self.owner,
            admission,
            secret: &read.view,
            import: read.import.as_ref().map(|(view, _)| view),
        }
    }
}

/// Looks around a key; `None` when other controllers look after it.
pub(super) fn surroundings<K: Key>(key: &KeyView<'_>, context: &KeyContext<K>) -> Option<Surroundings> {
    let shared = &context.shared;
    let membership = shared.directory.membership(key.namespace);
    if !shared.looks_after_members(&membership) {
        return None;
    }
    // An issued key stays with the organization whose slot it holds until it is clear whose it is now.
    let recorded =
        key.status.and_then(|status| status.organization.clone().filter(|_| !status.generations.is_empty()));
    let name = match (&membership, recorded) {
        (Membership::Of(name), _) => name.clone(),
        (_, Some(recorded)) => recorded,
        _ => return status::unresolved(key, &membership).map(Surroundings::Unowned),
    };
    let organization = shared.organization(&name);
    let terms = organization.as_ref().map_or_else(|| gone(&name), |found| found.terms.clone());
    let admission = admission(key, &terms, organization.as_deref());
    let owner = owner_of(key, shared);
    Some(Surroundings::Member(Box::new(Member { membership, terms, owner, admission })))
}

/// The terms of an organization that is gone: its keys are refused.
fn gone(name: &str) -> OrganizationTerms {
    let terms = OrganizationTerms::of(&Organization::new(name, Default::default()));
    OrganizationTerms { management_enabled: false, ..terms }
}

/// The state of a key's owner, as the cache has it.
pub(in crate::controllers) fn owner_of(key: &KeyView<'_>, shared: &Shared) -> OwnerState {
    let user = key
        .spec
        .owner
        .as_ref()
        .and_then(|owner| shared.users.get(&ObjectRef::new(&owner.name).within(key.namespace)));
    let uid = user.as_ref().and_then(|user| user.uid());
    OwnerState::of(key, user.as_ref().zip(uid.as_deref()).map(|(user, uid)| (uid, user.spec.disabled)))
}

fn admission(
    key: &KeyView<'_>,
    terms: &OrganizationTerms,
    organization: Option<&ResolvedOrganization>,
) -> Option<Admission> {
    let Some(limit) = terms.limit(key.kind) else { return Some(Admission::NotNeeded) };
    if organization.is_some_and(|found| found.is_holder(key.uid)) {
        return Some(Admission::Held);
    }
    let slots = organization.map_or(&[][..], ResolvedOrganization::slots);
    let holders = || slots.iter().map(|slot| format!("{}/{}", slot.namespace, slot.name)).collect();
    // A key that was issued is refused at the door until it has a slot again, and says so.
    let refused = slots.len() >= limit || organization.is_none() || key.was_issued();
    refused.then(|| Admission::Waiting { limit, holders: holders() })
}

/// The record and the Secret's version of a key of which neither spec nor Secret has changed, and for whose token
/// nothing is due: the Secret need not be read.
pub(super) fn unchanged_record<K: Key>(
    key: &KeyView<'_>,
    context: &KeyContext<K>,
    member: &Member,
    now: Timestamp,
) -> Option<(Record, String)> {
    let status = key.status.filter(|status| status.observed_generation == key.generation)?;
    let version = status.secret_version()?.to_owned();
    let stored = context.shared.secrets.get(&ObjectRef::new(key.secret_name()).within(key.namespace))?;
    let record =
        Record::from_status(status).filter(|_| stored.resource_version().as_ref() == Some(&version))?;
    let tokens = match record.token {
        TokenState::Held => record.current().map(|current| current.digest.clone()).into_iter().collect(),
        TokenState::Scrubbed | TokenState::Lost => Vec::new(),
    };
    let view = SecretView::Ours { record: Some(record.clone()), tokens };
    let unknown = Admission::Waiting { limit: 0, holders: Vec::new() };
    let read = Inspected { view, secret: None, import: None };
    let admission = member.admission.as_ref().unwrap_or(&unknown);
    match issue::decide(&member.found(*key, admission, &read), now) {
        Issue::Keep(kept) if kept.token == record.token => Some((kept, version)),
        _ => None,
    }
}

/// Reads the key's Secret, and the token to import if the key needs one.
///
/// A Secret that nothing hints at is taken for absent unless `certain`: making it fails if it is there after all.
pub(super) async fn inspect<K: Key>(
    key: &KeyView<'_>,
    context: &KeyContext<K>,
    certain: bool,
) -> Result<Inspected, Error> {
    let secrets: Api<Secret> = Api::namespaced(context.shared.client.clone(), key.namespace);
    let marked =
        context.shared.secrets.get(&ObjectRef::new(key.secret_name()).within(key.namespace)).is_some();
    let secret = if certain || marked || key.was_issued() || met_foreign(key) {
        call("reading the key's Secret", secrets.get_opt(key.secret_name())).await?
    } else {
        None
    };
    let view =
        secret.as_ref().map_or(SecretView::Absent, |secret| secret::view(key, secret, &context.shared.seal));
    let import = match &key.spec.import_from {
        Some(source) if issue::recorded(*key, &view).is_none() => {
            let found = call("reading the Secret to import from", secrets.get_opt(&source.name)).await?;
            Some(import_view(key, context, found, &source.key))
        }
        _ => None,
    };
    Ok(Inspected { view, secret, import })
}

/// Whether somebody else's Secret was in the way when the key was last looked at.
fn met_foreign(key: &KeyView<'_>) -> bool {
    let issued = key.status.and_then(|status| conditions::find(&status.conditions, conditions::ISSUED));
    issued.is_some_and(|issued| issued.reason == "SecretConflict")
}

fn import_view<K: Key>(
    key: &KeyView<'_>,
    context: &KeyContext<K>,
    secret: Option<Secret>,
    entry: &str,
) -> (ImportView, Option<Token>) {
    let Some(ByteString(bytes)) = secret.and_then(|secret| secret.data?.remove(entry)) else {
        return (ImportView::Missing, None);
    };
    let token =
        Token::from_existing(String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned());
    let id = match import::check(&token) {
        Ok(id) => id.map(|id| id.to_string()),
        Err(why) => return (ImportView::Refused(why), None),
    };
    let digest = token.digest().to_string();
    let holder = context.keys.find(|other| {
        // A token that names another key's id would be taken for that key's.
        let named = id.is_some() && id == other.key_status().and_then(|status| status.id.clone());
        let held = named
            || other
                .key_status()
                .is_some_and(|status| status.generations.iter().any(|held| held.digest == digest));
        held && other.uid().as_deref() != Some(key.uid)
    });
    match holder {
        Some(other) => {
            let name = format!("{}/{}", other.namespace().unwrap_or_default(), other.name_any());
            (ImportView::InUse(name), None)
        }
        None => (ImportView::Usable, Some(token)),
    }
}
