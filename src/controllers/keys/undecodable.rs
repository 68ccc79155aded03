//! Saying on an object that it can't be decoded, without being able to decode it.

use crate::{
    cluster::client::{CallError, call},
    controllers::context::Shared,
    lifecycle::conditions::{self, Reason},
    resources::Key,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
};
use serde_json::json;
use std::sync::Arc;

/// Writes the `Ready` condition of a key that can't be decoded. The key is refused whether or not that succeeds.
pub(in crate::controllers) fn report<K: Key>(shared: Arc<Shared>, metadata: &ObjectMeta, problem: &str) {
    let (namespace, name) =
        (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default());
    tracing::error!(%namespace, %name, %problem, "a key can't be decoded and is refused");
    if !shared.looks_after_members(&shared.directory.membership(&namespace)) {
        return;
    }
    let reason = Reason::Undecodable { problem: problem.to_owned() };
    let condition =
        conditions::condition(conditions::READY, false, &reason, metadata.generation, shared.now());
    tokio::spawn(async move {
        let resource = ApiResource::erase::<K>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(shared.client.clone(), &namespace, &resource);
        if let Err(error) = write(&api, &name, &condition).await {
            tracing::warn!(%namespace, %name, %error, "the condition of an undecodable key could not be written");
        }
    });
}

async fn write(
    api: &Api<DynamicObject>,
    name: &str,
    condition: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition,
) -> Result<(), CallError> {
    let Some(found) = call("reading an undecodable key", api.get_opt(name)).await? else {
        return Ok(());
    };
    let mut all = found.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let said = all
        .iter()
        .any(|old| old["type"] == conditions::READY && old["message"] == condition.message.as_str());
    if said {
        return Ok(());
    }
    all.retain(|old| old["type"] != conditions::READY);
    all.push(json!(condition));
    let patch = json!({"metadata": {"resourceVersion": found.metadata.resource_version}, "status": {"conditions": all}});
    let params = PatchParams {
        field_manager: Some(crate::cluster::client::FIELD_MANAGER.into()),
        ..PatchParams::default()
    };
    call("writing the condition", api.patch_status(name, &params, &Patch::Merge(&patch))).await.map(drop)
}
