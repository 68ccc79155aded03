//! The parts of a key's spec and status that all kinds of keys share.

use super::Duration;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A User of the key's namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct OwnerReference {
    /// Name of the User.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
}

/// Endpoints that the key may call: every listed method on every listed path.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct AllowRule {
    /// HTTP methods in capitals; `*` for any.
    #[schemars(length(min = 1, max = 16), inner(length(max = 20)))]
    #[x_kube(validation = Rule::new("self.all(m, m.matches('^([A-Z]+|[*])$'))")
        .message("methods are words in capitals such as GET, or \"*\" for any"))]
    pub methods: Vec<String>,
    /// Path patterns: exact text; `*` for one segment; `**` as the last segment for the rest, which may be empty.
    #[schemars(length(min = 1, max = 64), inner(length(max = 256)))]
    #[x_kube(validation = Rule::new(r"self.all(p, p.matches('^(/([*]|[^/*?#[:cntrl:]\\\\]*))*(/[*][*])?$') && !p.contains('//') && !p.matches('/[.][.]?(/|$)') && p.size() > 0)")
        .message("a path pattern begins with /, has no empty, . or .. segment, no ?, # or backslash; * stands for one whole segment and ** for the rest, as the last segment only"))]
    pub paths: Vec<String>,
}

/// When and how the token is replaced by a new one.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[x_kube(validation = Rule::new("!has(self.every) || !has(self.overlap) || duration(self.overlap) <= duration(self.every)")
    .message("overlap must not be longer than every: no more than two tokens are good at a time"))]
pub struct Rotation {
    /// Rotate when the current token is this old, for example 168h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s')").message("must be at least 1s"))]
    pub every: Option<Duration>,
    /// How long the old token stays good after a rotation; 1h when absent, 0s ends it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Duration>,
    /// Rotate once if the current token was issued before this time. Set it to now to rotate by hand. Latchkey only
    /// compares it and never changes it, so it can stay in Git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Timestamp>,
}

/// The Secret that the token is written to.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct SecretTemplate {
    /// Name of the Secret; the key's own name when absent. It can't be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub name: Option<String>,
    /// How long the Secret holds the token. Window: until the organization's reveal window ends, for a person who
    /// copies it. Persistent: always, for a workload that mounts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// What happens to the Secret when the key is deleted: Delete (the default) or Retain. The token stops working in
    /// both cases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<SecretDeletionPolicy>,
    /// Data entries to write, by name: the token, the id, or the value of an Authorization header. Default: token and
    /// id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(validation = Rule::new("self.all(name, name.matches('^[-._a-zA-Z0-9]{1,253}$'))")
        .message("an entry's name consists of letters, digits, '-', '_' and '.'"))]
    pub entries: BTreeMap<String, EntrySource>,
    /// Labels to put on the Secret. Labels of latchkey.dev are reserved.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32), extend("additionalProperties" = {"type": "string", "maxLength": 63}))]
    #[x_kube(validation = Rule::new("self.all(name, name.size() <= 317 && !name.contains('latchkey.dev/'))")
        .message("labels of latchkey.dev are set by Latchkey itself"))]
    pub labels: BTreeMap<String, String>,
    /// Annotations to put on the Secret. Annotations of latchkey.dev are reserved.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32), extend("additionalProperties" = {"type": "string", "maxLength": 1024}))]
    #[x_kube(validation = Rule::new("self.all(name, name.size() <= 317 && !name.contains('latchkey.dev/'))")
        .message("annotations of latchkey.dev are set by Latchkey itself"))]
    pub annotations: BTreeMap<String, String>,
}

/// How long a Secret holds the plain token.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// Until the organization's reveal window ends.
    Window,
    /// For as long as the token is good.
    Persistent,
}

/// What happens to a Secret when its key is deleted.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretDeletionPolicy {
    /// It is deleted with the key.
    Delete,
    /// It stays, with a token that no longer works.
    Retain,
}

/// What a data entry of the Secret holds.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum EntrySource {
    /// The token.
    Token,
    /// The key's public id.
    Id,
    /// `Bearer` and the token, ready for an Authorization header.
    Header,
}

/// An entry of a Secret in the key's namespace that holds an existing token.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ImportSource {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Name of the entry.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// What Latchkey knows of a key.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct KeyStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The organization whose limits hold for this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// The public id: 12 base62 characters, kept over rotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Last four characters of the current token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_hint: Option<String>,
    /// The Secret that the token was written to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretReference>,
    /// The User who owns the key, as first seen: a User made later under the same name is somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerStatus>,
    /// Until when the Secret holds the token; absent for Persistent and once the token is scrubbed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reveal_until: Option<Timestamp>,
    /// When the key got its first token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_at: Option<Timestamp>,
    /// When the key stops working for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When the token will be replaced next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_rotation: Option<Timestamp>,
    /// The tokens that are good, newest first: the current one and, during an overlap, the one before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub generations: Vec<Generation>,
    /// What holds of the key now; see docs/conditions.md.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

impl KeyStatus {
    /// The version of its Secret that the key last wrote or checked.
    pub fn secret_version(&self) -> Option<&str> {
        self.secret_ref.as_ref()?.resource_version.as_deref()
    }
}

/// The Secret of a key.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct SecretReference {
    /// Its name.
    pub name: String,
    /// Its version when Latchkey last wrote or checked it; another version is looked at again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
}

/// A key's owner as first seen.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct OwnerStatus {
    /// Name of the User.
    pub name: String,
    /// Uid of the User.
    pub uid: String,
}

/// One issue of a token. Never the token itself.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Generation {
    /// 1 for the first token, one more for each rotation.
    pub number: i64,
    /// `sha256:` and the hex digest of the whole token.
    pub digest: String,
    /// When the token was made.
    pub issued_at: Timestamp,
    /// When the token stops working because a newer one replaced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
}
