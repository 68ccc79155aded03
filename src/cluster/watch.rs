//! One watch per kind and process, told to several subscribers.

use backon::ExponentialBuilder;
use futures::{Stream, StreamExt};
use kube::{
    Api, Resource,
    api::PartialObjectMeta,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt,
        reflector::{ObjectRef, Store, store::Writer},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use std::{collections::HashMap, fmt::Debug, pin::pin, sync::Arc, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The longest pause between two attempts. Short, because every second of it is a second in which a revocation isn't
/// heard of; jitter keeps many processes from coming back at once.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// An object as it came from the API server.
#[derive(Clone, Debug)]
pub enum Item<K> {
    /// One that can be read.
    Readable(K),
    /// One that was stored by a version that allowed other things.
    Unreadable {
        /// Its metadata, which can always be read.
        metadata: Box<ObjectMeta>,
        /// Why the rest can't.
        problem: String,
    },
}

/// What a watch tells.
#[derive(Clone, Debug)]
pub enum Event<K> {
    /// A new list begins. What was known stays true until it is complete.
    Restarted,
    /// An object of the list.
    Listed(Item<K>),
    /// The list is complete: what isn't in it is gone.
    Complete,
    /// An object was made or changed.
    Applied(Item<K>),
    /// An object is gone.
    Deleted(Item<K>),
}

/// Somebody who wants to know.
pub trait Subscriber<K>: Send {
    /// Takes an event. Called in order, never concurrently.
    fn on(&mut self, event: &Event<K>);
}

/// Follows a kind whose objects are decoded, for ever.
pub async fn follow<K>(api: Api<DeserializeGuard<K>>, mut subscribers: Vec<Box<dyn Subscriber<K>>>)
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + 'static,
{
    // A list is a consistent one, kube's default: what it doesn't have is gone.
    let events = watcher(api, watcher::Config::default());
    tell(
        events,
        |guarded: DeserializeGuard<K>| match guarded.0 {
            Ok(object) => Item::Readable(object),
            Err(invalid) => {
                Item::Unreadable { metadata: Box::new(invalid.metadata), problem: invalid.error.to_string() }
            }
        },
        &mut subscribers,
    )
    .await;
}

/// Follows a kind of which only the metadata matters, for ever.
pub async fn follow_metadata<K>(
    api: Api<PartialObjectMeta<K>>,
    config: watcher::Config,
    mut subscribers: Vec<Box<dyn Subscriber<PartialObjectMeta<K>>>>,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + 'static,
{
    tell(watcher(api, config), Item::Readable, &mut subscribers).await;
}

async fn tell<W, K>(
    events: impl Stream<Item = watcher::Result<watcher::Event<W>>> + Send,
    read: impl Fn(W) -> Item<K>,
    subscribers: &mut [Box<dyn Subscriber<K>>],
) where
    W: Resource<DynamicType = ()> + Clone,
    K: Resource<DynamicType = ()>,
{
    let pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times();
    let mut events = pin!(events.backoff(watcher::ExponentialBackoff::from(pauses)));
    let read = |mut object: W| {
        object.meta_mut().managed_fields = None;
        read(object)
    };
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(watcher::Event::Init) => Event::Restarted,
            Ok(watcher::Event::InitApply(object)) => Event::Listed(read(object)),
            Ok(watcher::Event::InitDone) => Event::Complete,
            Ok(watcher::Event::Apply(object)) => Event::Applied(read(object)),
            Ok(watcher::Event::Delete(object)) => Event::Deleted(read(object)),
            Err(error) => {
                tracing::warn!(kind = %K::kind(&()), %error, "watch interrupted; {}", hint(&error));
                continue;
            }
        };
        subscribers.iter_mut().for_each(|subscriber| subscriber.on(&event));
    }
}

fn hint(error: &watcher::Error) -> &'static str {
    let code = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code,
        _ => 0,
    };
    match code {
        404 => "are the CRDs installed? `latchkey crds | kubectl apply --server-side -f -` installs them",
        403 => "grant `list` and `watch` on it",
        _ => "trying again",
    }
}

/// A change of what is known of a kind.
pub enum Change<'a, K> {
    /// An object is new or different.
    Applied {
        /// What it was.
        before: Option<Arc<K>>,
        /// What it is.
        after: Arc<K>,
    },
    /// An object is gone.
    Deleted {
        /// What it was.
        before: Arc<K>,
    },
    /// An object can't be read. If it could be before, `Deleted` comes first.
    Unreadable {
        /// Its metadata.
        metadata: &'a ObjectMeta,
        /// Why not.
        problem: &'a str,
    },
}

/// Keeps a store of a kind and tells each change with what was before.
pub struct Cache<K, F>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store: Store<K>,
    writer: Writer<K>,
    unreadable: Vec<(ObjectMeta, String)>,
    on_change: F,
}

impl<K, F> Cache<K, F>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
    F: FnMut(Change<'_, K>) + Send,
{
    /// An empty cache. Read it through a clone of the `store` that belongs to `writer`.
    pub fn new(writer: Writer<K>, on_change: F) -> Self {
        Self { store: writer.as_reader(), writer, unreadable: Vec::new(), on_change }
    }

    fn complete(&mut self) {
        let mut before: HashMap<_, _> =
            self.store.state().into_iter().map(|object| (ObjectRef::from_obj(&*object), object)).collect();
        self.writer.apply_watcher_event(&watcher::Event::InitDone);
        for after in self.store.state() {
            let before = before.remove(&ObjectRef::from_obj(&*after));
            (self.on_change)(Change::Applied { before, after });
        }
        for before in before.into_values() {
            (self.on_change)(Change::Deleted { before });
        }
        for (metadata, problem) in std::mem::take(&mut self.unreadable) {
            (self.on_change)(Change::Unreadable { metadata: &metadata, problem: &problem });
        }
    }

    fn applied(&mut self, object: &K) {
        let reference = ObjectRef::from_obj(object);
        let before = self.store.get(&reference);
        self.writer.apply_watcher_event(&watcher::Event::Apply(object.clone()));
        if let Some(after) = self.store.get(&reference) {
            (self.on_change)(Change::Applied { before, after });
        }
    }

    fn deleted(&mut self, metadata: &ObjectMeta) {
        let mut reference = ObjectRef::new(metadata.name.as_deref().unwrap_or_default());
        reference.namespace.clone_from(&metadata.namespace);
        if let Some(before) = self.store.get(&reference) {
            self.writer.apply_watcher_event(&watcher::Event::Delete((*before).clone()));
            (self.on_change)(Change::Deleted { before });
        }
    }
}

impl<K, F> Subscriber<K> for Cache<K, F>
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
    F: FnMut(Change<'_, K>) + Send,
{
    fn on(&mut self, event: &Event<K>) {
        match event {
            Event::Restarted => {
                self.unreadable.clear();
                self.writer.apply_watcher_event(&watcher::Event::Init);
            }
            Event::Listed(Item::Readable(object)) => {
                self.writer.apply_watcher_event(&watcher::Event::InitApply(object.clone()));
            }
            Event::Listed(Item::Unreadable { metadata, problem }) => {
                self.unreadable.push(((**metadata).clone(), problem.clone()));
            }
            Event::Complete => self.complete(),
            Event::Applied(Item::Readable(object)) => self.applied(object),
            Event::Applied(Item::Unreadable { metadata, problem }) => {
                self.deleted(metadata);
                (self.on_change)(Change::Unreadable { metadata, problem });
            }
            Event::Deleted(Item::Readable(object)) => self.deleted(object.meta()),
            Event::Deleted(Item::Unreadable { metadata, .. }) => self.deleted(metadata),
        }
    }
}
