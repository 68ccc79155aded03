//! Handing what a watch tells on to the index.

use super::{Feed, Index};
use crate::cluster::watch::{Event, Item, Subscriber};
use jiff::Timestamp;
use kube::Resource;
use std::sync::Arc;

/// An index that subscribes to watches.
pub struct Subscription {
    index: Arc<Index>,
    clock: fn() -> Timestamp,
}

impl Subscription {
    /// Feeds an index, with the clock that dates deletions.
    pub fn new(index: Arc<Index>, clock: fn() -> Timestamp) -> Self {
        Self { index, clock }
    }
}

impl<K> Subscriber<K> for Subscription
where
    K: Resource<DynamicType = ()>,
    Index: Feed<K>,
{
    fn on(&mut self, event: &Event<K>) {
        let feed: &dyn Feed<K> = &*self.index;
        match event {
            Event::Restarted => feed.restart(),
            Event::Listed(Item::Readable(object)) | Event::Applied(Item::Readable(object)) => {
                feed.applied(object)
            }
            Event::Listed(Item::Unreadable { metadata, .. })
            | Event::Applied(Item::Unreadable { metadata, .. }) => {
                feed.unreadable(metadata);
            }
            Event::Deleted(Item::Readable(object)) => feed.deleted(object.meta(), (self.clock)()),
            Event::Deleted(Item::Unreadable { metadata, .. }) => feed.deleted(metadata, (self.clock)()),
            Event::Complete => feed.complete((self.clock)()),
        }
    }
}
