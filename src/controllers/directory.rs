//! Whose each namespace is, kept up to date from the organizations and namespaces that are watched.

use crate::{
    lifecycle::membership::{self, Claim, InvalidSelector, Membership},
    resources::Organization,
};
use kube::ResourceExt;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// Answers whose a namespace is, and which namespaces an organization has.
#[derive(Default)]
pub(super) struct Directory(RwLock<State>);

#[derive(Default)]
struct State {
    claims: BTreeMap<String, Claim>,
    invalid: BTreeMap<String, InvalidSelector>,
    labels: HashMap<String, BTreeMap<String, String>>,
    memberships: HashMap<String, Membership>,
    members: HashMap<String, HashSet<String>>,
}

impl Directory {
    /// Takes a new or changed organization, and names the namespaces whose membership that changes.
    pub(super) fn organization_applied(&self, organization: &Organization) -> Vec<String> {
        let mut state = self.write();
        let name = organization.name_any();
        state.claims.remove(&name);
        state.invalid.remove(&name);
        match Claim::of(organization) {
            Ok(claim) => drop(state.claims.insert(name, claim)),
            Err(error) => drop(state.invalid.insert(name, error)),
        }
        state.resolve_all()
    }

    /// Takes away an organization, and names the namespaces whose membership that changes.
    pub(super) fn organization_deleted(&self, name: &str) -> Vec<String> {
        let mut state = self.write();
        state.claims.remove(name);
        state.invalid.remove(name);
        state.resolve_all()
    }

    /// Takes a namespace with its labels, and tells the membership of before and after if it changed.
    pub(super) fn namespace_applied(
        &self,
        name: &str,
        labels: &BTreeMap<String, String>,
    ) -> Option<(Membership, Membership)> {
        let mut state = self.write();
        state.labels.insert(name.to_owned(), labels.clone());
        let before = state.membership(name);
        state.resolve(name).then(|| (before, state.membership(name)))
    }

    /// Takes away a namespace, and tells whose it was.
    pub(super) fn namespace_deleted(&self, name: &str) -> Membership {
        let mut state = self.write();
        let before = state.membership(name);
        state.labels.remove(name);
        state.set(name, None);
        before
    }

    /// Whose a namespace is.
    pub(super) fn membership(&self, namespace: &str) -> Membership {
        self.read().membership(namespace)
    }

    /// The namespaces that belong to an organization.
    pub(super) fn namespaces(&self, organization: &str) -> Vec<String> {
        self.read().members.get(organization).into_iter().flatten().cloned().collect()
    }

    /// Why an organization's selector can't be understood, if it can't.
    pub(super) fn invalid(&self, organization: &str) -> Option<InvalidSelector> {
        self.read().invalid.get(organization).cloned()
    }

    /// A namespace that the organization and others select, with all that do.
    pub(super) fn conflict(&self, organization: &str) -> Option<(String, Vec<String>)> {
        let state = self.read();
        let contested = state.memberships.iter().filter_map(|(namespace, membership)| match membership {
            Membership::Contested(organizations) if organizations.iter().any(|name| name == organization) => {
                Some((namespace, organizations))
            }
            _ => None,
        });
        contested.min().map(|(namespace, organizations)| (namespace.clone(), organizations.clone()))
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn membership(&self, namespace: &str) -> Membership {
        self.memberships.get(namespace).cloned().unwrap_or(Membership::Unclaimed)
    }

    fn resolve_all(&mut self) -> Vec<String> {
        let mut namespaces: Vec<String> = self.labels.keys().cloned().collect();
        namespaces.retain(|namespace| self.resolve(namespace));
        namespaces
    }

    /// Resolves a namespace anew and says whether that changed its membership.
    fn resolve(&mut self, namespace: &str) -> bool {
        let Some(labels) = self.labels.get(namespace) else {
            return false;
        };
        let membership = membership::resolve(labels, self.claims.values());
        if self.memberships.get(namespace) == Some(&membership) {
            return false;
        }
        self.set(namespace, Some(membership));
        true
    }

    fn set(&mut self, namespace: &str, membership: Option<Membership>) {
        if let Some(Membership::Of(organization)) = self.memberships.remove(namespace)
            && let Some(members) = self.members.get_mut(&organization)
        {
            members.remove(namespace);
        }
        let Some(membership) = membership else { return };
        if let Membership::Of(organization) = &membership {
            self.members.entry(organization.clone()).or_default().insert(namespace.to_owned());
        }
        self.memberships.insert(namespace.to_owned(), membership);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::OrganizationSpec;

    fn organization(name: &str, selected: &str) -> Organization {
        let spec: OrganizationSpec = serde_json::from_value(
            serde_json::json!({"namespaceSelector": {"matchLabels": {"org": selected}}}),
        )
        .unwrap();
        Organization::new(name, spec)
    }

    fn labels(value: &str) -> BTreeMap<String, String> {
        [("org".to_owned(), value.to_owned())].into()
    }

    #[test]
    fn memberships_follow_both_sides() {
        let directory = Directory::default();
        directory.namespace_applied("ns", &labels("acme"));
        assert_eq!(directory.membership("ns"), Membership::Unclaimed);
        assert_eq!(directory.organization_applied(&organization("acme", "acme")), ["ns"]);
        assert_eq!(directory.organization_applied(&organization("acme", "acme")), Vec::<String>::new());
        assert_eq!(directory.namespaces("acme"), ["ns"]);
        assert_eq!(directory.organization_applied(&organization("beta", "acme")), ["ns"]);
        assert_eq!(directory.conflict("acme").unwrap().1, ["acme", "beta"]);
        assert!(directory.namespaces("acme").is_empty());
        let (before, after) = directory.namespace_applied("ns", &labels("none")).unwrap();
        assert_eq!(
            (before, after),
            (Membership::Contested(vec!["acme".into(), "beta".into()]), Membership::Unclaimed)
        );
        directory.namespace_applied("ns", &labels("acme"));
        assert_eq!(directory.organization_deleted("beta"), ["ns"]);
        assert_eq!(directory.namespace_deleted("ns"), Membership::Of("acme".into()));
        assert!(directory.namespaces("acme").is_empty());
    }
}
