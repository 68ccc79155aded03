//! Connecting to the API server, and calling it with a bound on the time.

use kube::{Client, Config};
use std::time::Duration;

/// The field manager of all that Latchkey writes.
pub const FIELD_MANAGER: &str = "latchkey";

/// How long one request may take. The client has no limit of its own, and a call that hangs would hold up a key.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What went wrong in a call of the API server.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The API server refused or could not be reached.
    #[error("{action} failed: {source}")]
    Refused {
        /// What was attempted.
        action: &'static str,
        /// The answer.
        source: Box<kube::Error>,
    },
    /// There was no answer in time.
    #[error("{action} got no answer within {} s", REQUEST_TIMEOUT.as_secs())]
    TimedOut {
        /// What was attempted.
        action: &'static str,
    },
}

impl CallError {
    /// Whether the object was changed by somebody else in between, or already exists.
    pub fn is_conflict(&self) -> bool {
        self.is(|status| status.is_conflict() || status.is_already_exists())
    }

    /// Whether the object isn't there.
    pub fn is_not_found(&self) -> bool {
        self.is(kube::core::Status::is_not_found)
    }

    fn is(&self, test: impl Fn(&kube::core::Status) -> bool) -> bool {
        matches!(self, Self::Refused { source, .. } if matches!(&**source, kube::Error::Api(status) if test(status)))
    }
}

/// Waits for a call, for a bounded time.
pub async fn call<T>(
    action: &'static str,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(CallError::Refused { action, source: Box::new(error) }),
        Err(_) => Err(CallError::TimedOut { action }),
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There is no usable configuration.
    #[error("no cluster to connect to: {0}; set KUBECONFIG, or run inside a cluster")]
    Config(#[source] Box<kube::config::InferConfigError>),
    /// The configuration is there and can't be used.
    #[error("the cluster configuration can't be used: {0}")]
    Client(#[source] Box<kube::Error>),
}

/// A client by the usual rules: `KUBECONFIG`, `~/.kube/config`, or the pod's service account.
pub async fn connect() -> Result<Client, ConnectError> {
    let config = Config::infer().await.map_err(|error| ConnectError::Config(Box::new(error)))?;
    client(config)
}

/// A client for a configuration. A failed request is repeated by whoever asked, who knows whether it still makes sense.
pub fn client(mut config: Config) -> Result<Client, ConnectError> {
    config.default_retry = false;
    Client::try_from(config).map_err(|error| ConnectError::Client(Box::new(error)))
}
