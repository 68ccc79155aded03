//! Which organization a namespace belongs to.

use crate::resources::Organization;
use kube::{
    ResourceExt,
    core::{Selector, SelectorExt},
};
use std::collections::BTreeMap;

/// The organization that takes every namespace no other one selects.
pub const DEFAULT_ORGANIZATION: &str = "default";

/// The answer to "whose namespace is this?".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    /// Exactly one organization claims it.
    Of(String),
    /// Several claim it, and nobody guesses.
    Contested(Vec<String>),
    /// None claims it.
    Unclaimed,
}

/// An organization's claim on namespaces, compiled from its selector.
#[derive(Clone, Debug)]
pub struct Claim {
    organization: String,
    extent: Extent,
}

#[derive(Clone, Debug)]
enum Extent {
    Selected(Selector),
    Rest,
    Nothing,
}

impl Claim {
    /// Compiles the claim of an organization. One whose selector can't be understood claims nothing.
    pub fn of(organization: &Organization) -> Result<Self, InvalidSelector> {
        let name = organization.name_any();
        let extent = match &organization.spec.namespace_selector {
            Some(selector) => Extent::Selected(
                Selector::try_from(selector.clone()).map_err(|error| InvalidSelector(error.to_string()))?,
            ),
            None if name == DEFAULT_ORGANIZATION => Extent::Rest,
            None => Extent::Nothing,
        };
        Ok(Self { organization: name, extent })
    }
}

/// A namespaceSelector that can't be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("namespaceSelector can't be understood: {0}")]
pub struct InvalidSelector(String);

/// Says whose a namespace with these labels is.
pub fn resolve<'a>(
    labels: &BTreeMap<String, String>,
    claims: impl IntoIterator<Item = &'a Claim>,
) -> Membership {
    let mut selecting = Vec::new();
    let mut rest = None;
    for claim in claims {
        match &claim.extent {
            Extent::Selected(selector) if selector.matches(labels) => {
                selecting.push(claim.organization.clone())
            }
            Extent::Rest => rest = Some(claim.organization.clone()),
            Extent::Selected(_) | Extent::Nothing => {}
        }
    }
    selecting.sort_unstable();
    match (selecting.len(), rest) {
        (0, None) => Membership::Unclaimed,
        (0, Some(rest)) => Membership::Of(rest),
        (1, _) => Membership::Of(selecting.swap_remove(0)),
        _ => Membership::Contested(selecting),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::OrganizationSpec;

    fn claim(name: &str, selector: Option<serde_json::Value>) -> Claim {
        let spec = serde_json::from_value::<OrganizationSpec>(match selector {
            Some(selector) => serde_json::json!({ "namespaceSelector": selector }),
            None => serde_json::json!({}),
        });
        Claim::of(&Organization::new(name, spec.unwrap())).unwrap()
    }

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn the_one_that_selects_has_it_and_default_takes_the_rest() {
        let claims = [
            claim("default", None),
            claim("acme", Some(serde_json::json!({"matchLabels": {"org": "acme"}}))),
        ];
        assert_eq!(resolve(&labels(&[("org", "acme")]), &claims), Membership::Of("acme".into()));
        assert_eq!(resolve(&labels(&[]), &claims), Membership::Of("default".into()));
        assert_eq!(resolve(&labels(&[]), &claims[1..]), Membership::Unclaimed);
    }

    #[test]
    fn two_that_select_leave_it_contested() {
        let everything = serde_json::json!({});
        let claims =
            [claim("b", Some(everything.clone())), claim("a", Some(everything)), claim("default", None)];
        assert_eq!(resolve(&labels(&[]), &claims), Membership::Contested(vec!["a".into(), "b".into()]));
    }

    #[test]
    fn an_organization_without_selector_claims_nothing() {
        assert_eq!(resolve(&labels(&[]), &[claim("acme", None)]), Membership::Unclaimed);
    }
}
