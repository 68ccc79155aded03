//! The Secret of a key: what it should be, and what one that is found means.

use crate::{
    controllers::context::mark,
    lifecycle::{
        KeyView,
        issue::SecretView,
        record::{Record, Seal},
    },
    resources::{EntrySource, Key},
    token::{Token, TokenDigest},
};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{ResourceExt, api::ObjectMeta, runtime::reflector::ObjectRef};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

const BEARER: &str = "Bearer ";

/// The label by which Secrets of ours are watched; its value is the kind of the key.
pub(in crate::controllers) fn kind_label() -> String {
    mark("kind")
}

fn key_annotation() -> String {
    mark("key")
}

fn record_annotation() -> String {
    mark("record")
}

fn seal_annotation() -> String {
    mark("seal")
}

fn template_annotation() -> String {
    mark("template")
}

/// The key that a Secret of ours belongs to, by its marks.
pub(in crate::controllers) fn key_of<K: Key>(secret: &impl ResourceExt) -> Option<ObjectRef<K>> {
    let kind = secret.labels().get(&kind_label())?;
    let name = secret.annotations().get(&key_annotation())?;
    (kind == K::KIND.name()).then(|| ObjectRef::new(name).within(&secret.namespace().unwrap_or_default()))
}

/// What a Secret means to a key: without our marks for just this key it is somebody else's.
pub(super) fn view(key: &KeyView<'_>, secret: &Secret, seal: &Seal) -> SecretView {
    let kind = secret.labels().get(&kind_label()).map(String::as_str);
    let name = secret.annotations().get(&key_annotation()).map(String::as_str);
    if kind != Some(key.kind.name()) || name != Some(key.name) {
        return SecretView::Foreign;
    }
    let annotation = |name: String| secret.annotations().get(&name);
    let record = annotation(record_annotation())
        .zip(annotation(seal_annotation()))
        .and_then(|(record, mac)| seal.open(key, record, mac));
    SecretView::Ours {
        record,
        tokens: tokens(secret).map(|text| TokenDigest::of(text).to_string()).collect(),
    }
}

/// The entry of a Secret that has a digest.
pub(super) fn token_with(secret: &Secret, digest: &str) -> Option<Token> {
    let text = tokens(secret).find(|text| TokenDigest::of(text).to_string() == digest)?;
    Some(Token::from_existing(text.to_owned()))
}

fn tokens(secret: &Secret) -> impl Iterator<Item = &str> {
    let entries =
        secret.data.iter().flatten().filter_map(|(_, ByteString(bytes))| std::str::from_utf8(bytes).ok());
    entries.map(|text| text.strip_prefix(BEARER).unwrap_or(text))
}

/// Names of the labels and annotations that came from the key's template, to take them away again.
#[derive(Serialize, Deserialize, Default, PartialEq)]
struct Template {
    labels: BTreeSet<String>,
    annotations: BTreeSet<String>,
}

/// The Secret as it should be. What others added to the metadata of the one that is there stays.
pub(super) fn desired(
    key: &KeyView<'_>,
    record: &Record,
    token: Option<&Token>,
    seal: &Seal,
    found: Option<&Secret>,
) -> Result<Secret, serde_json::Error> {
    let (text, mac) = seal.close(key, record)?;
    let asked = key.spec.secret.clone().unwrap_or_default();
    let template = Template {
        labels: asked.labels.keys().cloned().collect(),
        annotations: asked.annotations.keys().cloned().collect(),
    };
    let mut metadata = found.map_or_else(|| new_metadata(key), |found| found.metadata.clone());
    metadata.managed_fields = None;
    let mut labels = metadata.labels.take().unwrap_or_default();
    let mut annotations = metadata.annotations.take().unwrap_or_default();
    let before = annotations
        .remove(&template_annotation())
        .and_then(|text| serde_json::from_str::<Template>(&text).ok());
    let before = before.unwrap_or_default();
    labels.retain(|name, _| !before.labels.contains(name));
    annotations.retain(|name, _| !before.annotations.contains(name));
    labels.extend(asked.labels);
    labels.insert(kind_label(), key.kind.name().to_owned());
    annotations.extend(asked.annotations);
    annotations.extend([
        (key_annotation(), key.name.to_owned()),
        (record_annotation(), text),
        (seal_annotation(), mac),
    ]);
    if template != Template::default() {
        annotations.insert(template_annotation(), serde_json::to_string(&template)?);
    }
    metadata.labels = Some(labels);
    metadata.annotations = Some(annotations);
    let data = data(&asked.entries, record, token);
    Ok(Secret { metadata, data: Some(data), type_: Some("Opaque".to_owned()), ..Secret::default() })
}

fn new_metadata(key: &KeyView<'_>) -> ObjectMeta {
    ObjectMeta {
        name: Some(key.secret_name().to_owned()),
        namespace: Some(key.namespace.to_owned()),
        ..ObjectMeta::default()
    }
}

fn data(
    entries: &BTreeMap<String, EntrySource>,
    record: &Record,
    token: Option<&Token>,
) -> BTreeMap<String, ByteString> {
    let default = [("token".to_owned(), EntrySource::Token), ("id".to_owned(), EntrySource::Id)].into();
    let entries = if entries.is_empty() { &default } else { entries };
    let value = |source: &EntrySource| match source {
        EntrySource::Id => Some(record.id.clone()),
        EntrySource::Token => token.map(|token| token.reveal().to_owned()),
        EntrySource::Header => token.map(|token| format!("{BEARER}{}", token.reveal())),
    };
    let filled = entries
        .iter()
        .filter_map(|(name, source)| Some((name.clone(), ByteString(value(source)?.into_bytes()))));
    filled.collect()
}

/// Whether a Secret is as it should be.
pub(super) fn is_as_desired(found: &Secret, desired: &Secret) -> bool {
    found.data.as_ref().unwrap_or(&BTreeMap::new()) == desired.data.as_ref().unwrap_or(&BTreeMap::new())
        && found.labels() == desired.labels()
        && found.annotations() == desired.annotations()
}

/// A Secret that stays when its key is deleted: it keeps its entries and loses what makes it ours, so that a new key of
/// the same name can't take the dead token for its own.
pub(super) fn abandoned(found: &Secret) -> Secret {
    let mut secret = found.clone();
    secret.metadata.managed_fields = None;
    secret.labels_mut().remove(&kind_label());
    for name in [key_annotation(), record_annotation(), seal_annotation(), template_annotation()] {
        secret.annotations_mut().remove(&name);
    }
    secret.annotations_mut().insert(mark("revoked"), "true".to_owned());
    secret
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lifecycle::{
            issue::tests::{issued, key_with, seconds},
            record::SEAL_LENGTH,
        },
        token::{KeyId, KeyKind},
    };
    use serde_json::json;

    fn seal() -> Seal {
        Seal::new([7; SEAL_LENGTH])
    }

    fn issue() -> (Record, Token) {
        let token = Token::mint(KeyKind::Management, KeyId::parse("3fK9aZ81bQ0x").unwrap()).unwrap();
        let mut record = issued(seconds(0));
        record.generations[0].digest = token.digest().to_string();
        (record, token)
    }

    #[test]
    fn a_secret_means_what_was_written_to_it() {
        let (key, (record, token)) = (key_with(json!({})), issue());
        let secret = desired(&KeyView::of(&key), &record, Some(&token), &seal(), None).unwrap();
        let digest = token.digest().to_string();
        let expected = SecretView::Ours {
            record: Some(record),
            tokens: vec![TokenDigest::of("3fK9aZ81bQ0x").to_string(), digest.clone()],
        };
        assert_eq!(view(&KeyView::of(&key), &secret, &seal()), expected);
        assert!(token_with(&secret, &digest).is_some());
        let mut other = key.clone();
        other.metadata.name = Some("other".into());
        assert_eq!(view(&KeyView::of(&other), &secret, &seal()), SecretView::Foreign);
    }

    #[test]
    fn entries_hold_what_they_are_asked_to_and_no_token_once_it_is_gone() {
        let key = key_with(json!({"secret": {"entries": {"T": "token", "I": "id", "H": "header"}}}));
        let (record, token) = issue();
        let names = |token: Option<&Token>| {
            let secret = desired(&KeyView::of(&key), &record, token, &seal(), None).unwrap();
            secret.data.unwrap().into_keys().collect::<Vec<_>>()
        };
        assert_eq!(names(Some(&token)), ["H", "I", "T"]);
        assert_eq!(names(None), ["I"]);
        let secret = desired(&KeyView::of(&key), &record, Some(&token), &seal(), None).unwrap();
        assert!(secret.data.unwrap()["H"].0.starts_with(b"Bearer lk_mk_"));
    }

    #[test]
    fn the_template_is_followed_and_what_others_added_stays() {
        let (record, token) = issue();
        let make = |labels: serde_json::Value, found: Option<&Secret>| {
            let key = key_with(json!({"secret": {"labels": labels}}));
            desired(&KeyView::of(&key), &record, Some(&token), &seal(), found).unwrap()
        };
        let mut first = make(json!({"app": "a", "tier": "b"}), None);
        first.labels_mut().insert("theirs".into(), "x".into());
        let second = make(json!({"app": "c"}), Some(&first));
        let labels: Vec<_> = second.labels().iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(labels, ["app=c", "latchkey.dev/kind=ManagementKey", "theirs=x"]);
        assert!(is_as_desired(&second, &make(json!({"app": "c"}), Some(&second))));
        assert!(!is_as_desired(&first, &second));
    }

    #[test]
    fn an_abandoned_secret_is_nobodys() {
        let (key, (record, token)) = (key_with(json!({})), issue());
        let secret = desired(&KeyView::of(&key), &record, Some(&token), &seal(), None).unwrap();
        let left = abandoned(&secret);
        assert_eq!(view(&KeyView::of(&key), &left, &seal()), SecretView::Foreign);
        assert_eq!(left.data, secret.data);
    }
}
