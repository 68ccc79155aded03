//! The verifier as a whole: what is fed, what is answered.

mod decisions;
mod doors;
mod index;
mod joins;
mod schedules;

use super::{Call, Credentials, Denial, Feed, Index, decide};
use crate::{
    resources::{ManagementKey, Organization, User},
    token::{KeyId, KeyKind, Token},
};
use jiff::Timestamp;
use kube::{Resource, api::ObjectMeta};
use serde_json::{Value, json};

/// So many seconds after some instant.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// An issued key of the organization acme, with its token.
struct Issued {
    key: ManagementKey,
    token: Token,
}

/// A key that allows everything, with its token's digest in its status.
fn issued(name: &str, uid: &str, spec: Value) -> Issued {
    let id = KeyId::mint().unwrap();
    let token = Token::mint(KeyKind::Management, id).unwrap();
    let mut key = unissued(name, uid, spec);
    key.status = Some(
        serde_json::from_value(json!({
            "organization": "acme",
            "id": id.as_str(),
            "generations": [generation(1, &token, None)],
        }))
        .unwrap(),
    );
    Issued { key, token }
}

fn unissued(name: &str, uid: &str, spec: Value) -> ManagementKey {
    let mut merged = json!({"allow": [{"methods": ["*"], "paths": ["/**"]}]});
    merged.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let mut key = ManagementKey::new(name, serde_json::from_value(merged).unwrap());
    key.metadata = metadata(Some("ns"), name, uid);
    key
}

fn generation(number: i64, token: &Token, not_after: Option<Timestamp>) -> Value {
    json!({"number": number, "digest": token.digest().to_string(), "issuedAt": at(0), "notAfter": not_after})
}

impl Issued {
    fn uid(&self) -> &str {
        self.key.metadata.uid.as_deref().unwrap()
    }

    fn id(&self) -> &str {
        self.key.status.as_ref().unwrap().id.as_deref().unwrap()
    }

    /// Changes the status by JSON.
    fn set(&mut self, status: Value) {
        let mut merged = serde_json::to_value(&self.key.status).unwrap();
        merged.as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
        self.key.status = Some(serde_json::from_value(merged).unwrap());
    }

    /// Another token for the same key.
    fn next_token(&self) -> Token {
        Token::mint(KeyKind::Management, KeyId::parse(self.id()).unwrap()).unwrap()
    }
}

fn metadata(namespace: Option<&str>, name: &str, uid: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.into()),
        namespace: namespace.map(ToOwned::to_owned),
        uid: Some(uid.into()),
        creation_timestamp: Some(at(0).into()),
        ..ObjectMeta::default()
    }
}

/// The organization acme, in which these keys hold slots.
fn acme(slots: &[&str]) -> Organization {
    let mut organization = Organization::new("acme", Default::default());
    organization.metadata = metadata(None, "acme", "uid-acme");
    let slot = |uid: &&str| json!({"namespace": "ns", "name": "any", "uid": uid, "since": at(0)});
    let slots: Vec<_> = slots.iter().map(slot).collect();
    organization.status = Some(serde_json::from_value(json!({"slots": slots})).unwrap());
    organization
}

fn jane(uid: &str, disabled: bool) -> User {
    let spec = json!({"email": "jane@example.com", "disabled": disabled});
    let mut user = User::new("jane", serde_json::from_value(spec).unwrap());
    user.metadata = metadata(Some("ns"), "jane", uid);
    user
}

/// A complete index with the organization acme, in which these keys hold slots.
fn index(keys: &[&Issued]) -> Index {
    let index = Index::new();
    let slots: Vec<_> = keys.iter().map(|issued| issued.uid()).collect();
    index.applied(&acme(&slots));
    for issued in keys {
        index.applied(&issued.key);
    }
    complete(&index);
    index
}

fn complete(index: &Index) {
    Feed::<ManagementKey>::complete(index, at(0));
    Feed::<User>::complete(index, at(0));
    Feed::<Organization>::complete(index, at(0));
}

fn delete<K: Resource>(index: &Index, object: &K, now: Timestamp)
where
    Index: Feed<K>,
{
    Feed::<K>::deleted(index, object.meta(), now);
}

const CALL: Call<'static> = Call { method: "GET", target: "/a", address: None, project: None };

/// What a token gets, with the name of the key or the reason.
fn ask(index: &Index, token: &Token, call: &Call<'_>, now: Timestamp) -> Result<String, Denial> {
    let credentials = Credentials { token: token.reveal(), id: None };
    decide(index, Ok(credentials), Some(call), now).map(|grant| grant.key.name().to_owned())
}

/// What a token gets for a harmless call at the beginning.
fn verify(index: &Index, token: &Token) -> Result<String, Denial> {
    ask(index, token, &CALL, at(0))
}
