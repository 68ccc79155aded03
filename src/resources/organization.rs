//! Organization: who holds the limits. Cluster-scoped, so that a tenant cannot raise its own.

use super::Duration;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which namespaces belong to the organization, and what their keys may do at most.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[kube(
    group = "latchkey.dev", version = "v1alpha1", kind = "Organization", plural = "organizations",
    shortname = "lkorg", category = "latchkey", status = "OrganizationStatus", derive = "PartialEq",
    doc = "The holder of limits for the keys of its namespaces: how many management keys there may be, how long a key may live. The organization `default` takes every namespace that no other one selects.",
    validation = Rule::new("self.metadata.name.size() <= 63")
        .message("the name must have at most 63 characters"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Keys", type_ = "integer", json_path = ".status.managementKeys.held", description = "management keys that hold a slot"),
    printcolumn(name = "Limit", type_ = "integer", json_path = ".status.managementKeys.limit"),
    printcolumn(name = "Waiting", type_ = "integer", json_path = ".status.managementKeys.waiting"),
    printcolumn(name = "Namespaces", type_ = "integer", json_path = ".status.namespaces", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct OrganizationSpec {
    /// The organization's name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub display_name: Option<String>,
    /// The namespaces that belong to the organization. Absent: none, except for the organization `default`. An empty
    /// selector selects every namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "label_selector")]
    pub namespace_selector: Option<LabelSelector>,
    /// Whether the organization's management keys are accepted.
    #[serde(default, rename = "managementAPI", skip_serializing_if = "Option::is_none")]
    pub management_api: Option<ManagementApi>,
    /// How much the organization's keys may take at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// How long a token stays readable in a Secret with retention Window; 15m when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s')").message("must be at least 1s"))]
    pub reveal_window: Option<Duration>,
    /// How long before a key's expiry its Expiring condition and Events warn; 168h and 24h when absent, never when
    /// empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    #[x_kube(validation = Rule::new("self.all(w, duration(w) >= duration('1s'))").message("each must be at least 1s"))]
    pub expiry_warnings: Option<Vec<Duration>>,
    /// What is recorded beyond the changes of keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditPolicy>,
}

/// Whether management keys are accepted.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
pub struct ManagementApi {
    /// True when absent. False refuses the organization's management keys (OrganizationLocked) without losing them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// How much an organization's keys may take at most.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// How many management keys may be good at a time; 5 when absent. Lowering it revokes nothing: keys that hold a
    /// slot keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4096))]
    pub management_keys: Option<i64>,
    /// How long a key may live at most, counted from its first issue; unlimited when absent. Lowering it shortens the
    /// life of existing keys too.
    #[serde(default, rename = "maxTTL", skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s')").message("must be at least 1s"))]
    pub max_ttl: Option<Duration>,
}

/// What is recorded beyond the changes of keys.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct AuditPolicy {
    /// Whether calls of the Management API are recorded.
    #[serde(default, rename = "managementAPI", skip_serializing_if = "Option::is_none")]
    pub management_api: Option<ManagementApiAudit>,
}

/// Whether calls of the Management API are recorded.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManagementApiAudit {
    /// They are not recorded; the default.
    Omit,
    /// They are.
    Record,
}

/// What Latchkey knows of an organization.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct OrganizationStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many namespaces belong to the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<i64>,
    /// How many management keys hold a slot and how many wait for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub management_keys: Option<KeyCounts>,
    /// The management keys that hold a slot. A key that isn't listed here is refused everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<Slot>,
    /// What holds of the organization now; see docs/conditions.md.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// How many keys hold a slot and how many wait for one.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct KeyCounts {
    /// How many may hold one.
    pub limit: i64,
    /// How many do. More than the limit only after the limit was lowered.
    pub held: i64,
    /// How many wait.
    pub waiting: i64,
}

/// One key's place within the limit.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Namespace of the key.
    pub namespace: String,
    /// Name of the key.
    pub name: String,
    /// Uid of the key.
    pub uid: String,
    /// Since when the key holds the slot.
    pub since: Timestamp,
}

/// The schema of a LabelSelector with bounds and without the API machinery's long descriptions.
fn label_selector(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "properties": {
            "matchLabels": {
                "type": "object", "maxProperties": 32,
                "description": "Labels that a namespace must have.",
                "additionalProperties": {"type": "string", "maxLength": 63},
            },
            "matchExpressions": {
                "type": "array", "maxItems": 32,
                "description": "Requirements that a namespace's labels must meet, all of them.",
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": {"type": "string", "maxLength": 317, "description": "The label."},
                        "operator": {
                            "type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
                            "description": "How the label is compared.",
                        },
                        "values": {
                            "type": "array", "maxItems": 64, "items": {"type": "string", "maxLength": 63},
                            "description": "The values for In and NotIn.",
                        },
                    },
                },
            },
        },
    })
}
