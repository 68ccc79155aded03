//! The key that the Secrets' records are sealed with, kept in a Secret of Latchkey's own namespace.

use super::client::{CallError, FIELD_MANAGER, call};
use crate::lifecycle::record::{SEAL_LENGTH, Seal};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use rand::{TryRng, rngs::SysRng};
use zeroize::Zeroizing;

/// Name of the Secret. Back it up with the rest: without it a lost status can't be rebuilt from a key's Secret.
pub const SECRET_NAME: &str = "latchkey-seal";
const ENTRY: &str = "seal";

/// Why there is no sealing key.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The API server refused.
    #[error(transparent)]
    Call(#[from] CallError),
    /// No random bytes could be drawn.
    #[error("drawing random bytes from the operating system failed: {0}")]
    Random(#[from] rand::rngs::SysError),
    /// The Secret is there and doesn't hold a sealing key.
    #[error(
        "Secret {namespace}/{SECRET_NAME} holds no sealing key of {SEAL_LENGTH} bytes; restore it from a backup, \
        or delete it to have a new one made"
    )]
    Malformed {
        /// Where it was looked for.
        namespace: String,
    },
}

/// Reads the sealing key, or makes it if there is none. Of several processes that start at once, all get the same.
pub async fn load_or_create(client: &Client, namespace: &str) -> Result<Seal, SealError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found = match call("reading the sealing key", secrets.get_opt(SECRET_NAME)).await? {
        Some(found) => found,
        None => create(&secrets).await?,
    };
    let bytes =
        found.data.and_then(|mut data| data.remove(ENTRY)).map(|ByteString(bytes)| Zeroizing::new(bytes));
    let key = bytes.and_then(|bytes| <[u8; SEAL_LENGTH]>::try_from(bytes.as_slice()).ok());
    key.map(Seal::new).ok_or_else(|| SealError::Malformed { namespace: namespace.to_owned() })
}

async fn create(secrets: &Api<Secret>) -> Result<Secret, SealError> {
    let mut key = vec![0; SEAL_LENGTH];
    SysRng.try_fill_bytes(&mut key)?;
    let secret = Secret {
        metadata: ObjectMeta { name: Some(SECRET_NAME.into()), ..ObjectMeta::default() },
        data: Some([(ENTRY.to_owned(), ByteString(key))].into()),
        ..Secret::default()
    };
    let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
    match call("creating the sealing key", secrets.create(&params, &secret)).await {
        Err(error) if error.is_conflict() => {
            Ok(call("reading the sealing key", secrets.get(SECRET_NAME)).await?)
        }
        other => Ok(other?),
    }
}
