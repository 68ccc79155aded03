//! What keys depend on, apart from themselves: shared by all keys that name it and read at the moment of the decision,
//! so that a change holds for all of them at once.

use super::{interner::Interner, roll::Roll, uid::Uid};
use arc_swap::ArcSwapOption;
use kube::api::ObjectMeta;
use std::{borrow::Cow, sync::Arc};

/// An object by name, whether it exists or not. `T` is what keys need to know of it.
pub(super) struct Cell<T> {
    name: Box<str>,
    state: ArcSwapOption<State<T>>,
}

/// An object that exists.
pub(super) struct State<T> {
    pub(super) uid: Uid,
    /// Absent if the object can't be decoded.
    pub(super) known: Option<T>,
}

impl<T> Cell<T> {
    fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            state: ArcSwapOption::empty(),
        }
    }

    /// The object's name, with its namespace and a slash before it if it has one.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What the object is now; `None` if there is none of this name.
    pub(super) fn state(&self) -> arc_swap::Guard<Option<Arc<State<T>>>> {
        self.state.load()
    }

    /// The object of this uid is gone. Another one that has taken its name stays.
    fn clear(&self, uid: Uid) {
        if self.state.load().as_ref().is_some_and(|state| state.uid == uid) {
            self.state.store(None);
        }
    }
}

/// The cells of one kind of object.
pub(super) struct Cells<T> {
    by_name: Interner<Cell<T>>,
    roll: Roll<Arc<Cell<T>>>,
}

impl<T> Default for Cells<T> {
    fn default() -> Self {
        Self {
            by_name: Interner::default(),
            roll: Roll::default(),
        }
    }
}

impl<T> Cells<T> {
    /// The cell of this name.
    pub(super) fn get(&mut self, name: &str) -> Arc<Cell<T>> {
        self.by_name.get(name, || Cell::new(name))
    }

    pub(super) fn restart(&mut self) {
        self.roll.restart();
    }

    /// The object exists, and this is known of it: nothing if it can't be decoded.
    pub(super) fn put(&mut self, metadata: &ObjectMeta, known: Option<T>) {
        let uid = Uid::in_metadata(metadata);
        if self.roll.is_buried(uid) {
            return;
        }
        let name = metadata.name.as_deref().unwrap_or_default();
        let cell = self.get(&full_name(metadata.namespace.as_deref(), name));
        cell.state.store(Some(Arc::new(State { uid, known })));
        self.roll.put(uid, cell);
    }

    pub(super) fn remove(&mut self, metadata: &ObjectMeta) {
        let uid = Uid::in_metadata(metadata);
        if let Some(cell) = self.roll.bury(uid) {
            cell.clear(uid);
        }
    }

    pub(super) fn complete(&mut self) {
        for (uid, cell) in self.roll.complete() {
            cell.clear(uid);
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.roll.is_complete()
    }
}

/// The name of a cell. A slash can't be part of a namespace.
pub(super) fn full_name<'a>(namespace: Option<&str>, name: &'a str) -> Cow<'a, str> {
    match namespace {
        Some(namespace) => Cow::Owned(format!("{namespace}/{name}")),
        None => Cow::Borrowed(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, uid: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.into()),
            namespace: Some("ns".into()),
            uid: Some(uid.into()),
            ..ObjectMeta::default()
        }
    }

    fn known(cells: &mut Cells<u8>, name: &str) -> Option<u8> {
        let cell = cells.get(&format!("ns/{name}"));
        cell.state().as_ref().and_then(|state| state.known)
    }

    #[test]
    fn a_name_may_pass_to_another_object_but_not_back() {
        let mut cells = Cells::default();
        cells.put(&object("a", "1"), Some(1));
        cells.put(&object("a", "2"), Some(2));
        cells.remove(&object("a", "1"));
        assert_eq!(known(&mut cells, "a"), Some(2));
        cells.put(&object("a", "1"), Some(1));
        assert_eq!(known(&mut cells, "a"), Some(2));
        cells.remove(&object("a", "2"));
        assert_eq!(known(&mut cells, "a"), None);
    }

    #[test]
    fn a_complete_list_empties_the_cells_of_what_it_has_not() {
        let mut cells = Cells::default();
        cells.restart();
        cells.put(&object("a", "1"), Some(1));
        cells.put(&object("b", "2"), Some(2));
        cells.complete();
        cells.restart();
        cells.put(&object("b", "3"), Some(3));
        assert_eq!(known(&mut cells, "a"), Some(1));
        cells.complete();
        assert_eq!((known(&mut cells, "a"), known(&mut cells, "b")), (None, Some(3)));
    }
}
