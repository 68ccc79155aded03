//! Which objects of one kind there are, as a watch tells it.

use super::uid::Uid;
use std::collections::{HashMap, HashSet, VecDeque};

/// How many deleted uids are remembered, 16 bytes each. So many deletions later no event about one is under way.
const BURIED: usize = 1 << 20;

/// The objects of one kind that are there, each with a value, and the uids of those that are gone for good.
///
/// A list marks what it has, and only its completion removes what it hasn't. A list that is broken off and begun
/// again therefore loses nothing, and what was deleted while nobody watched is found.
pub(super) struct Roll<T> {
    present: HashMap<Uid, Present<T>>,
    list: u32,
    buried: Graveyard,
    complete: bool,
}

struct Present<T> {
    value: T,
    /// The number of the list that was under way, or was the last, when the object was heard of.
    list: u32,
}

#[derive(Default)]
struct Graveyard {
    uids: HashSet<Uid>,
    order: VecDeque<Uid>,
}

impl<T> Default for Roll<T> {
    fn default() -> Self {
        Self { present: HashMap::new(), list: 0, buried: Graveyard::default(), complete: false }
    }
}

impl<T> Roll<T> {
    /// A list begins. Nothing is taken away yet.
    pub(super) fn restart(&mut self) {
        self.list = self.list.wrapping_add(1);
    }

    /// Whether the object was deleted. Nothing that is heard of it later brings it back.
    pub(super) fn is_buried(&self, uid: Uid) -> bool {
        self.buried.uids.contains(&uid)
    }

    /// What is known of an object.
    pub(super) fn get(&self, uid: Uid) -> Option<&T> {
        self.present.get(&uid).map(|present| &present.value)
    }

    /// The object was heard of, and this is known of it now.
    pub(super) fn put(&mut self, uid: Uid, value: T) {
        let list = self.list;
        self.present.insert(uid, Present { value, list });
    }

    /// The object is gone for good. Tells what was known of it.
    pub(super) fn bury(&mut self, uid: Uid) -> Option<T> {
        self.buried.add(uid);
        self.present.remove(&uid).map(|present| present.value)
    }

    /// The list is complete: what it had not is gone for good. Tells what was known of those objects.
    pub(super) fn complete(&mut self) -> Vec<(Uid, T)> {
        self.complete = true;
        let list = self.list;
        let unlisted = self.present.extract_if(|_, present| present.list != list);
        unlisted
            .map(|(uid, present)| {
                self.buried.add(uid);
                (uid, present.value)
            })
            .collect()
    }

    /// Whether a list was ever completed.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }
}

impl Graveyard {
    fn add(&mut self, uid: Uid) {
        if !self.uids.insert(uid) {
            return;
        }
        self.order.push_back(uid);
        if self.order.len() > BURIED
            && let Some(oldest) = self.order.pop_front()
        {
            self.uids.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(number: u32) -> Uid {
        Uid::of(&number.to_string())
    }

    fn roll(numbers: impl IntoIterator<Item = u32>) -> Roll<u32> {
        let mut roll = Roll::default();
        roll.restart();
        for number in numbers {
            roll.put(uid(number), number);
        }
        roll.complete();
        roll
    }

    fn gone(roll: &mut Roll<u32>) -> Vec<u32> {
        roll.complete().into_iter().map(|(_, value)| value).collect()
    }

    #[test]
    fn only_a_complete_list_removes_and_what_it_removes_stays_away() {
        let mut roll = roll([1, 2]);
        roll.restart();
        roll.put(uid(1), 1);
        roll.restart();
        assert_eq!((roll.get(uid(1)), roll.get(uid(2))), (Some(&1), Some(&2)));
        roll.put(uid(2), 2);
        roll.put(uid(3), 3);
        assert_eq!(gone(&mut roll), [1]);
        assert!(roll.is_buried(uid(1)) && !roll.is_buried(uid(3)));
        assert!(gone(&mut roll).is_empty());
    }

    #[test]
    fn what_is_heard_of_while_a_list_is_under_way_counts_as_listed() {
        let mut roll = roll([1, 2]);
        roll.restart();
        roll.put(uid(3), 3);
        assert_eq!(roll.bury(uid(1)), Some(1));
        assert_eq!(gone(&mut roll), [2]);
        assert_eq!(roll.get(uid(3)), Some(&3));
    }

    #[test]
    fn the_memory_of_the_deleted_is_bounded() {
        let mut roll = Roll::<()>::default();
        for number in 0..=u32::try_from(BURIED).unwrap() {
            roll.bury(uid(number));
        }
        assert!(!roll.is_buried(uid(0)) && roll.is_buried(uid(1)));
        assert_eq!(roll.buried.uids.len(), BURIED);
    }
}
