//! What keys depend on, apart from themselves: shared by all keys that name it and read at the moment of the decision,
//! so that a change holds for all of them at once.

use super::{interner::Interner, roll::Roll, uid::Uid};
use kube::api::ObjectMeta;
use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// An object by name, whether it exists or not, with what keys need to know of it: one word, so that reading it takes
/// no lock and never sees half a change.
pub(super) struct Cell {
    name: Box<str>,
    state: AtomicU64,
}

/// What keys need to know of an object: up to seven flags, and which object it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct State(u64);

impl State {
    const ABSENT: Self = Self(0);
    const PRESENT: u8 = 1 << 7;
    const FLAGS: u64 = 0xff;

    fn new(uid: Uid, flags: u8) -> Self {
        Self(uid.low() & !Self::FLAGS | u64::from(Self::PRESENT | flags))
    }

    /// Whether there is an object of this name.
    pub(super) fn is_present(self) -> bool {
        self.has(Self::PRESENT)
    }

    /// Whether one of these flags is set.
    pub(super) fn has(self, flags: u8) -> bool {
        self.0 & u64::from(flags) != 0
    }

    /// Whether this is the object of that uid. 56 bits of it are compared: enough, since uids are random and nobody
    /// chooses them.
    pub(super) fn is(self, uid: Uid) -> bool {
        self.is_present() && (self.0 ^ uid.low()) & !Self::FLAGS == 0
    }
}

impl Cell {
    fn new(name: &str) -> Self {
        Self { name: name.into(), state: AtomicU64::new(State::ABSENT.0) }
    }

    /// The object's name, with its namespace and a slash before it if it has one.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What the object is now.
    pub(super) fn state(&self) -> State {
        State(self.state.load(Ordering::Acquire))
    }

    /// Says what keys need to know of the object that has the name now.
    pub(super) fn fill(&self, metadata: &ObjectMeta, flags: u8) {
        self.set(State::new(Uid::in_metadata(metadata), flags));
    }

    /// Empties the cell if it is this object's.
    fn empty(&self, uid: Uid) -> bool {
        let is = self.state().is(uid);
        if is {
            self.set(State::ABSENT);
        }
        is
    }

    fn set(&self, state: State) {
        self.state.store(state.0, Ordering::Release);
    }
}

/// The cells of one kind of object.
#[derive(Default)]
pub(super) struct Cells {
    by_name: Interner<Cell>,
    roll: Roll<Arc<Cell>>,
}

impl Cells {
    /// The cell of this name.
    pub(super) fn get(&mut self, name: &str) -> Arc<Cell> {
        self.by_name.get(name, || Cell::new(name))
    }

    pub(super) fn restart(&mut self) {
        self.roll.restart();
    }

    /// An object is heard of: its cell, which [`Cell::fill`] then fills. `None` if the object is gone for good.
    pub(super) fn hear(&mut self, metadata: &ObjectMeta) -> Option<Arc<Cell>> {
        let uid = Uid::in_metadata(metadata);
        if self.roll.is_buried(uid) {
            return None;
        }
        let name = metadata.name.as_deref().unwrap_or_default();
        let cell = self.get(&full_name(metadata.namespace.as_deref(), name));
        self.roll.put(uid, Arc::clone(&cell));
        Some(cell)
    }

    /// An object is gone. Tells its cell, unless another object has taken its name.
    pub(super) fn remove(&mut self, metadata: &ObjectMeta) -> Option<Arc<Cell>> {
        let uid = Uid::in_metadata(metadata);
        self.roll.bury(uid).filter(|cell| cell.empty(uid))
    }

    /// The list is complete: what it hadn't is gone. Tells the cells of those objects whose names nobody has taken.
    pub(super) fn complete(&mut self) -> Vec<Arc<Cell>> {
        let gone = self.roll.complete().into_iter();
        gone.filter_map(|(uid, cell)| cell.empty(uid).then_some(cell)).collect()
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

    fn put(cells: &mut Cells, name: &str, uid: &str) {
        let object = object(name, uid);
        if let Some(cell) = cells.hear(&object) {
            cell.fill(&object, 0);
        }
    }

    fn is(cells: &mut Cells, name: &str, uid: &str) -> bool {
        cells.get(&format!("ns/{name}")).state().is(Uid::of(uid))
    }

    #[test]
    fn a_name_may_pass_to_another_object_but_not_back() {
        let mut cells = Cells::default();
        put(&mut cells, "a", "1");
        put(&mut cells, "a", "2");
        assert!(cells.remove(&object("a", "1")).is_none());
        put(&mut cells, "a", "1");
        assert!(is(&mut cells, "a", "2"));
        assert!(cells.remove(&object("a", "2")).is_some());
        assert!(!cells.get("ns/a").state().is_present());
    }

    #[test]
    fn a_complete_list_empties_the_cells_of_what_it_has_not() {
        let mut cells = Cells::default();
        cells.restart();
        put(&mut cells, "a", "1");
        put(&mut cells, "b", "2");
        assert!(cells.complete().is_empty());
        cells.restart();
        put(&mut cells, "b", "3");
        assert!(is(&mut cells, "a", "1"));
        assert_eq!(cells.complete().len(), 1);
        assert!(!is(&mut cells, "a", "1") && is(&mut cells, "b", "3"));
    }

    #[test]
    fn flags_do_not_touch_the_uid() {
        let (uid, other) = (
            Uid::of("00000000-0000-0000-0000-0000000000ff"),
            Uid::of("00000000-0000-0000-0000-000000000100"),
        );
        for flags in 0..128 {
            let state = State::new(uid, flags);
            assert!(state.is(uid) && !state.is(other) && state.is_present());
            assert_eq!(state.has(3), flags & 3 != 0);
        }
        assert!(!State::ABSENT.is(uid) && !State::ABSENT.is_present());
    }
}
