//! Leading: of several controllers, the one that holds the Lease writes.

use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use std::time::Duration;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// How long a Lease is good without renewal, in seconds.
const DURATION: u64 = 15;
/// How long before its end it is renewed, in seconds.
const GRACE: u64 = 5;
/// The pause between two attempts to compete.
const PAUSE: Duration = Duration::from_millis(500);

/// Why nobody leads.
#[derive(Debug, thiserror::Error)]
#[error("taking Lease {namespace}/{name} failed: {source}")]
struct LeaseError {
    namespace: String,
    name: String,
    source: Box<LeaseManagerError>,
}

/// Competes for the Lease until `stop`, says through `leading` whether this process holds it, and gives it back in the
/// end.
///
/// `identity` must differ between processes that run at one time, and should stay the same over restarts of one process,
/// so that it needs not wait for its own Lease to run out.
pub async fn hold(
    client: &Client,
    namespace: &str,
    name: &str,
    identity: &str,
    leading: &watch::Sender<bool>,
    stop: &CancellationToken,
) {
    while !stop.is_cancelled() {
        match compete(client.clone(), namespace, name, identity).await {
            Ok((held, task)) => {
                pass_on(held, leading, stop).await;
                leading.send_replace(false);
                match task.await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => tracing::warn!(%error, "the Lease could not be held or given back"),
                    Err(error) => tracing::error!(%error, "the Lease's task failed"),
                }
            }
            Err(error) => {
                tracing::warn!(%error, "trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

type Task = JoinHandle<Result<LeaseManager, LeaseManagerError>>;

async fn compete(
    client: Client,
    namespace: &str,
    name: &str,
    identity: &str,
) -> Result<(watch::Receiver<bool>, Task), LeaseError> {
    let error =
        |source| LeaseError { namespace: namespace.into(), name: name.into(), source: Box::new(source) };
    let builder = LeaseManagerBuilder::new(client, name).with_namespace(namespace).with_identity(identity);
    let manager = builder.with_duration(DURATION).with_grace(GRACE).build().await.map_err(error)?;
    Ok(manager.watch().await)
}

/// Passes on whether the Lease is held until it can no longer be told. Dropping `held` gives the Lease back.
async fn pass_on(mut held: watch::Receiver<bool>, leading: &watch::Sender<bool>, stop: &CancellationToken) {
    loop {
        leading.send_replace(*held.borrow_and_update());
        tokio::select! {
            changed = held.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}
