//! Letting a deleted key go: its Secret first, then its finalizer. The slot is freed when the key is gone.

use super::{
    apply::{finalizer, set_finalizers},
    secret,
};
use crate::{
    cluster::client::call,
    controllers::{
        context::{KeyContext, as_latchkey},
        error::Error,
    },
    lifecycle::{KeyView, issue::SecretView},
    resources::{Key, SecretDeletionPolicy},
};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Preconditions},
    runtime::controller::Action,
};
use std::sync::Arc;

/// Cleans up after a key. Needs nothing of its namespace to be there any more.
pub(super) async fn finalize<K: Key>(key: &Arc<K>, context: &KeyContext<K>) -> Result<Action, Error> {
    if !key.finalizers().contains(&finalizer()) {
        return Ok(Action::await_change());
    }
    let view = KeyView::of(&**key);
    if !context.shared.looks_after_members(&context.shared.directory.membership(view.namespace)) {
        return Ok(Action::await_change());
    }
    release_secret(&view, context).await?;
    let rest: Vec<_> = key.finalizers().iter().filter(|name| **name != finalizer()).cloned().collect();
    match set_finalizers(&**key, context, &rest).await {
        Err(Error::Call(error)) if error.is_not_found() => {}
        other => drop(other?),
    }
    Ok(Action::await_change())
}

async fn release_secret<K: Key>(key: &KeyView<'_>, context: &KeyContext<K>) -> Result<(), Error> {
    let secrets: Api<Secret> = Api::namespaced(context.shared.client.clone(), key.namespace);
    let Some(found) = call("reading the key's Secret", secrets.get_opt(key.secret_name())).await? else {
        return Ok(());
    };
    if secret::view(key, &found, &context.shared.seal) == SecretView::Foreign {
        return Ok(());
    }
    let released = match key.deletion_policy() {
        SecretDeletionPolicy::Delete => {
            let as_read = Preconditions { uid: found.uid(), resource_version: found.resource_version() };
            let params = DeleteParams { preconditions: Some(as_read), ..DeleteParams::default() };
            call("deleting the key's Secret", secrets.delete(key.secret_name(), &params)).await.map(drop)
        }
        SecretDeletionPolicy::Retain => {
            let left = secret::abandoned(&found);
            call("releasing the key's Secret", secrets.replace(key.secret_name(), &as_latchkey(), &left))
                .await
                .map(drop)
        }
    };
    match released {
        Err(error) if error.is_not_found() => Ok(()),
        other => Ok(other?),
    }
}
