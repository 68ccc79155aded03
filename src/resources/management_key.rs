//! ManagementKey: calls the Management API and back-office endpoints.

use super::{
    Duration, Key,
    key::{AllowRule, ImportSource, KeyStatus, OwnerReference, Retention, Rotation, SecretTemplate},
};
use crate::token::KeyKind;
use jiff::Timestamp;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// What a key may do, for how long, and where its token goes.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[kube(
    group = "latchkey.dev", version = "v1alpha1", kind = "ManagementKey", plural = "managementkeys",
    shortname = "mk", category = "latchkey", namespaced, status = "KeyStatus", derive = "PartialEq",
    doc = "A key for the Management API. Latchkey makes its token, writes it into a Secret, and has it checked at the gateway. At most five per organization, unless the organization says otherwise.",
    validation = Rule::new("self.metadata.name.size() <= 63")
        .message("the name must have at most 63 characters"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.expiresAt"),
    printcolumn(name = "Last Used", type_ = "date", json_path = ".status.usage.lastUsedAt"),
    printcolumn(name = "Token", type_ = "string", json_path = ".status.tokenHint", description = "last four characters"),
    printcolumn(name = "Secret", type_ = "string", json_path = ".status.secretRef.name", priority = 1),
    printcolumn(name = "Organization", type_ = "string", json_path = ".status.organization", priority = 1),
    printcolumn(name = "Generation", type_ = "integer", json_path = ".status.generations[0].number", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.ttl) && has(self.expiresAt))")
        .message("give either ttl or expiresAt, not both"),
    validation = Rule::new("has(self.importFrom) == has(oldSelf.importFrom) && (!has(self.importFrom) || self.importFrom == oldSelf.importFrom)")
        .message("importFrom can't be changed: the token was taken when the key was issued"),
    validation = Rule::new("(has(self.secret) && has(self.secret.name) ? self.secret.name : '') == (has(oldSelf.secret) && has(oldSelf.secret.name) ? oldSelf.secret.name : '')")
        .message("secret.name can't be changed: create a new key instead")
)]
pub struct KeySpec {
    /// What the key is for, in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub description: Option<String>,
    /// The User who answers for the key. While the User is disabled the key is refused; once the User is deleted it is
    /// refused for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerReference>,
    /// When the key stops working. An expired key can't be revived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// How long the key works, counted from its first issue; instead of expiresAt. For example 720h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s')").message("must be at least 1s"))]
    pub ttl: Option<Duration>,
    /// The projects that the key may be used for; all when absent or empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 253)))]
    pub projects: Vec<String>,
    /// The endpoints that the key may call. What is not listed is denied.
    #[schemars(length(min = 1, max = 64))]
    pub allow: Vec<AllowRule>,
    /// The address ranges that calls may come from, such as 10.0.0.0/8; any address when absent.
    #[serde(default, rename = "allowedCIDRs", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(max = 64)))]
    #[x_kube(validation = Rule::new("self.all(c, isCIDR(c))")
        .message("each entry must be an address range such as 10.0.0.0/8 or 2001:db8::/32"))]
    pub allowed_cidrs: Option<Vec<String>>,
    /// Refuse the key for as long as this is true.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// When the token is replaced by a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// The Secret that the token is written to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretTemplate>,
    /// Take an existing token from a Secret instead of making one. Read once; the token needs at least 128 bits of
    /// entropy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import_from: Option<ImportSource>,
}

impl Key for ManagementKey {
    const KIND: KeyKind = KeyKind::Management;
    const DEFAULT_RETENTION: Retention = Retention::Window;

    fn key_spec(&self) -> &KeySpec {
        &self.spec
    }

    fn key_status(&self) -> Option<&KeyStatus> {
        self.status.as_ref()
    }

    fn with_status(&self, status: KeyStatus) -> Self {
        Self { status: Some(status), ..self.clone() }
    }
}
