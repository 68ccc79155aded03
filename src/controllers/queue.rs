//! What is to be reconciled, and the loop that does it.

use super::error::Error;
use futures::{Stream, StreamExt, TryFuture};
use kube::{
    Resource,
    runtime::{
        applier,
        controller::{self, Action},
        reflector::{ObjectRef, Store},
    },
};
use std::{
    collections::HashMap,
    convert::Infallible,
    fmt::Debug,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::mpsc;

/// How many objects of a kind are reconciled at once.
const CONCURRENCY: u16 = 32;

/// Where objects are named that should be reconciled. While nobody reconciles, names are dropped: who begins to
/// reconcile begins with everything.
pub(super) struct Trigger<K: Resource<DynamicType = ()>>(Mutex<Option<mpsc::UnboundedSender<ObjectRef<K>>>>);

impl<K: Resource<DynamicType = ()>> Default for Trigger<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Resource<DynamicType = ()>> Trigger<K> {
    /// Names an object.
    pub(super) fn one(&self, reference: ObjectRef<K>) {
        self.all([reference]);
    }

    /// Names objects. Naming one twice before it is its turn reconciles it once.
    pub(super) fn all(&self, references: impl IntoIterator<Item = ObjectRef<K>>) {
        if let Some(sender) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            references.into_iter().for_each(|reference| drop(sender.send(reference)));
        }
    }

    /// Whether somebody reconciles.
    pub(super) fn is_open(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Begins to collect names.
    fn open(&self) -> mpsc::UnboundedReceiver<ObjectRef<K>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }

    /// Ends the loop that takes the names, once what it has begun is done.
    pub(super) fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// How often each object failed in a row.
struct Failures<K: Resource<DynamicType = ()>>(Mutex<HashMap<ObjectRef<K>, u32>>);

/// Reconciles everything in the store, and then whatever is named, until the trigger is closed.
pub(super) async fn run<K, C, F>(
    store: Store<K>,
    trigger: &Trigger<K>,
    context: Arc<C>,
    reconcile: impl FnMut(Arc<K>, Arc<C>) -> F + Send,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    C: Send + Sync + 'static,
    F: TryFuture<Ok = Action, Error = Error> + Send + Unpin,
    ObjectRef<K>: Hash + Eq,
{
    let named = trigger.open();
    trigger.all(store.state().iter().map(|object| ObjectRef::from_obj(&**object)));
    let failures = Arc::new(Failures(Mutex::default()));
    let on_error = {
        let failures = Arc::clone(&failures);
        move |object: Arc<K>, error: &Error, _: Arc<C>| failures.after(ObjectRef::from_obj(&*object), error)
    };
    let config = controller::Config::default().concurrency(CONCURRENCY);
    let results = applier(reconcile, on_error, context, store, stream(named), config);
    results
        .for_each(|result| {
            match result {
                Ok((reference, _)) => failures.clear(&reference),
                Err(controller::Error::ObjectNotFound(reference)) => {
                    failures.clear(&reference.into_kind_unchecked(()))
                }
                Err(controller::Error::ReconcilerFailed(error, reference)) if error.is_conflict() => {
                    tracing::debug!(object = %reference, %error, "reconciling again");
                }
                Err(controller::Error::ReconcilerFailed(error, reference)) => {
                    tracing::warn!(object = %reference, %error, "reconcile failed and will be tried again");
                }
                Err(error) => tracing::error!(%error, "the reconcile loop failed"),
            }
            std::future::ready(())
        })
        .await;
}

fn stream<K: Resource<DynamicType = ()> + 'static>(
    mut named: mpsc::UnboundedReceiver<ObjectRef<K>>,
) -> impl Stream<Item = Result<ObjectRef<K>, Infallible>> {
    futures::stream::poll_fn(move |context| named.poll_recv(context)).map(Ok)
}

impl<K: Resource<DynamicType = ()>> Failures<K> {
    fn after(&self, reference: ObjectRef<K>, error: &Error) -> Action {
        // A conflict is no failure: the newer version is on its way, and the pause only covers a lost event.
        if error.is_conflict() {
            return Action::requeue(Error::pause(1));
        }
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(reference).or_default();
        *count = count.saturating_add(1);
        Action::requeue(Error::pause(*count))
    }

    fn clear(&self, reference: &ObjectRef<K>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(reference);
    }
}
