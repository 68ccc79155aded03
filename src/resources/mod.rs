//! The custom resources of `latchkey.dev/v1alpha1`, one file per kind.
//!
//! Types, schemas and validation rules only: knows no client, no runtime, no database.

mod duration;
mod key;
mod management_key;
mod organization;
mod user;

pub use duration::Duration;
pub use key::{
    AllowRule, EntrySource, Generation, ImportSource, KeyStatus, OwnerReference, OwnerStatus, Retention,
    Rotation, SecretDeletionPolicy, SecretReference, SecretTemplate,
};
pub use management_key::{KeySpec, ManagementKey};
pub use organization::{
    AuditPolicy, KeyCounts, Limits, ManagementApi, ManagementApiAudit, Organization, OrganizationSpec,
    OrganizationStatus, Slot,
};
pub use user::{User, UserSpec, UserState, UserStatus};

use crate::token::KeyKind;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde::{Serialize, de::DeserializeOwned};

/// The API group of all Latchkey resources, and the prefix of their labels and annotations.
pub const GROUP: &str = "latchkey.dev";

/// Limit of managementKeys that holds where an organization sets none.
pub const DEFAULT_MANAGEMENT_KEY_LIMIT: i64 = 5;

/// What the kinds of keys have in common, so that one lifecycle serves all of them.
pub trait Key:
    kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
    + Clone
    + std::fmt::Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// Which kind of key this is.
    const KIND: KeyKind;
    /// How long the token stays in the Secret where the key does not say.
    const DEFAULT_RETENTION: Retention;

    /// What the user asked for.
    fn key_spec(&self) -> &KeySpec;
    /// What Latchkey last recorded, if anything.
    fn key_status(&self) -> Option<&KeyStatus>;
    /// The same key with another status.
    #[must_use]
    fn with_status(&self, status: KeyStatus) -> Self;
}

/// All definitions, in the order in which they should be applied.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![Organization::crd(), User::crd(), ManagementKey::crd()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_and_string_is_bounded() {
        for crd in definitions() {
            let name = crd.metadata.name.clone().unwrap();
            let json = serde_json::to_value(&crd).unwrap();
            let schema = &json["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            unbounded(schema["properties"]["spec"].clone(), format!("{name}.spec"));
        }
    }

    fn unbounded(schema: serde_json::Value, path: String) {
        match schema["type"].as_str() {
            Some("array") => {
                assert!(schema.get("maxItems").is_some(), "{path} has no maxItems");
                unbounded(schema["items"].clone(), format!("{path}[]"));
            }
            Some("string") => {
                let bounded = schema.get("maxLength").is_some()
                    || schema.get("enum").is_some()
                    || schema["format"] == "date-time";
                assert!(bounded, "{path} has no maxLength");
            }
            _ => {
                for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                    unbounded(property.clone(), format!("{path}.{name}"));
                }
                if let Some(values) = schema.get("additionalProperties").filter(|v| v.is_object()) {
                    assert!(schema.get("maxProperties").is_some(), "{path} has no maxProperties");
                    unbounded(values.clone(), format!("{path}{{}}"));
                }
            }
        }
    }
}
