//! Writing a decision: first the mark that there is something to clean up, then the Secret. The status comes last, so
//! that a digest counts only once its token is written down.

use super::{gather::Inspected, secret};
use crate::{
    cluster::client::call,
    controllers::{
        context::{KeyContext, as_latchkey},
        error::Error,
    },
    lifecycle::{
        KeyView, import,
        issue::{self, Issue, SecretView},
        record::{Record, TokenState},
    },
    resources::{GROUP, Key},
    token::{KeyId, Token},
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;
use std::sync::Arc;

/// A key whose Secret is as it should be.
pub(super) struct Applied<K> {
    pub(super) key: Arc<K>,
    pub(super) record: Record,
    /// The Secret's version; `None` if it isn't ours.
    pub(super) secret_version: Option<String>,
}

/// The finalizer of keys.
pub(super) fn finalizer() -> String {
    format!("{GROUP}/key")
}

/// Carries out a decision. `None` means that the Secret is no longer as it was read: decide again.
pub(super) async fn apply<K: Key>(
    key: &Arc<K>,
    context: &KeyContext<K>,
    decided: Issue,
    read: Inspected,
    now: Timestamp,
) -> Result<Option<Applied<K>>, Error> {
    let key = with_finalizer(key, context).await?;
    let view = KeyView::of(&*key);
    let (record, token) = match decided {
        Issue::Withhold(_) => return Ok(None),
        Issue::Mint { before } => mint(&view, before, now)?,
        Issue::Import => match read.import.and_then(|(_, token)| token) {
            Some(token) => (imported(&token, now)?, Some(token)),
            None => return Ok(None),
        },
        Issue::Keep(record) => {
            let held = record.current().filter(|_| record.token == TokenState::Held);
            let token = held
                .zip(read.secret.as_ref())
                .and_then(|(held, found)| secret::token_with(found, &held.digest));
            (record, token)
        }
    };
    if read.view == SecretView::Foreign {
        return Ok(Some(Applied { key, record, secret_version: None }));
    }
    let desired =
        secret::desired(&view, &record, token.as_ref(), &context.shared.seal, read.secret.as_ref())?;
    let version = write(&view, context, read.secret.as_ref(), &desired).await?;
    Ok(version.map(|version| Applied { key, record, secret_version: Some(version) }))
}

/// The key with the finalizer, which is written if it isn't there yet.
pub(super) async fn with_finalizer<K: Key>(key: &Arc<K>, context: &KeyContext<K>) -> Result<Arc<K>, Error> {
    if key.finalizers().contains(&finalizer()) {
        return Ok(Arc::clone(key));
    }
    let finalizers: Vec<_> = key.finalizers().iter().cloned().chain([finalizer()]).collect();
    set_finalizers(&**key, context, &finalizers).await.map(|key| context.written.remember(key))
}

/// Writes a key's finalizers if the key is still as it was read.
pub(super) async fn set_finalizers<K: Key>(
    key: &K,
    context: &KeyContext<K>,
    all: &[String],
) -> Result<K, Error> {
    let api: Api<K> = Api::namespaced(context.shared.client.clone(), &key.namespace().unwrap_or_default());
    let patch = json!({"metadata": {"resourceVersion": key.resource_version(), "finalizers": all}});
    let params = PatchParams {
        field_manager: Some(crate::cluster::client::FIELD_MANAGER.into()),
        ..PatchParams::default()
    };
    Ok(call("writing the key's finalizer", api.patch(&key.name_any(), &params, &Patch::Merge(&patch)))
        .await?)
}

fn mint(key: &KeyView<'_>, before: Option<Record>, now: Timestamp) -> Result<(Record, Option<Token>), Error> {
    let id = before.as_ref().and_then(|before| KeyId::parse(&before.id)).map_or_else(KeyId::mint, Ok)?;
    let token = Token::mint(key.kind, id)?;
    Ok((record_of(id, &token, before, now), Some(token)))
}

fn imported(token: &Token, now: Timestamp) -> Result<Record, Error> {
    let own = import::check(token).ok().flatten();
    let id = own.map_or_else(KeyId::mint, Ok)?;
    Ok(record_of(id, token, None, now))
}

fn record_of(id: KeyId, token: &Token, before: Option<Record>, now: Timestamp) -> Record {
    let newest = issue::next_generation(before.as_ref(), token.digest().to_string(), now);
    let issued_at = before.as_ref().map_or(now, |before| before.issued_at);
    let still_good = before.into_iter().flat_map(|before| before.without_retired(now).generations);
    Record {
        id: id.to_string(),
        hint: token.hint(),
        issued_at,
        generations: [newest].into_iter().chain(still_good).collect(),
        token: TokenState::Held,
    }
}

/// Makes or replaces the Secret unless it is as it should be; `None` if somebody else was faster.
async fn write<K: Key>(
    key: &KeyView<'_>,
    context: &KeyContext<K>,
    found: Option<&Secret>,
    desired: &Secret,
) -> Result<Option<String>, Error> {
    let secrets: Api<Secret> = Api::namespaced(context.shared.client.clone(), key.namespace);
    let written = match found {
        Some(found) if secret::is_as_desired(found, desired) => return Ok(found.resource_version()),
        Some(_) => {
            call("replacing the key's Secret", secrets.replace(key.secret_name(), &as_latchkey(), desired))
                .await
        }
        None => call("creating the key's Secret", secrets.create(&as_latchkey(), desired)).await,
    };
    match written {
        Ok(secret) => Ok(secret.resource_version()),
        Err(error) if error.is_conflict() || error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
