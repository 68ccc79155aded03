//! Who holds an organization's slots: those that hold one keep it, then the oldest by (creationTimestamp, uid).

use crate::resources::Slot;
use jiff::Timestamp;
use std::collections::HashSet;

/// A key that wants a slot, or holds one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Namespace of the key.
    pub namespace: String,
    /// Name of the key.
    pub name: String,
    /// Uid of the key.
    pub uid: String,
    /// When the key was created.
    pub created: Timestamp,
}

/// Who has a slot after an allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// The holders, those of before first.
    pub slots: Vec<Slot>,
    /// How many candidates got none.
    pub waiting: usize,
}

/// Allocates `limit` slots.
///
/// `held` is what the organization's status says; the result may replace it only if that status has not changed in
/// between. `released` are the uids of holders that are known to verify no more: gone from the API server, or final.
/// A holder keeps its slot until it is released, even above a lowered limit and even if it is no candidate: the list
/// of candidates may be older than the status.
pub fn allocate(
    limit: usize,
    held: &[Slot],
    released: &HashSet<String>,
    candidates: &[Candidate],
    now: Timestamp,
) -> Allocation {
    let mut slots: Vec<Slot> = held.iter().filter(|slot| !released.contains(&slot.uid)).cloned().collect();
    let holders: HashSet<&str> = slots.iter().map(|slot| slot.uid.as_str()).collect();
    let mut waiting: Vec<&Candidate> = candidates
        .iter()
        .filter(|candidate| !holders.contains(candidate.uid.as_str()) && !released.contains(&candidate.uid))
        .collect();
    waiting.sort_unstable_by(|a, b| (a.created, &a.uid).cmp(&(b.created, &b.uid)));
    let free = limit.saturating_sub(slots.len()).min(waiting.len());
    slots.extend(waiting.drain(..free).map(|candidate| Slot {
        namespace: candidate.namespace.clone(),
        name: candidate.name.clone(),
        uid: candidate.uid.clone(),
        since: now,
    }));
    Allocation { slots, waiting: waiting.len() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn candidate(number: usize) -> Candidate {
        Candidate {
            namespace: "ns".into(),
            name: format!("key-{number}"),
            uid: format!("uid-{number:03}"),
            created: Timestamp::from_second(number as i64 / 2).unwrap(),
        }
    }

    fn uids(slots: &[Slot]) -> Vec<&str> {
        slots.iter().map(|slot| slot.uid.as_str()).collect()
    }

    fn allocate_now(limit: usize, held: &[Slot], released: &[&str], candidates: &[Candidate]) -> Allocation {
        let released = released.iter().map(|uid| (*uid).to_owned()).collect();
        allocate(limit, held, &released, candidates, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn the_oldest_get_them_and_ties_go_by_uid() {
        let candidates: Vec<_> = [3, 1, 0, 2].map(candidate).into();
        let allocation = allocate_now(3, &[], &[], &candidates);
        assert_eq!(uids(&allocation.slots), ["uid-000", "uid-001", "uid-002"]);
        assert_eq!(allocation.waiting, 1);
    }

    #[test]
    fn a_holder_keeps_its_slot_above_a_lowered_limit_and_unseen() {
        let held = allocate_now(3, &[], &[], &[1, 2, 3].map(candidate)).slots;
        let allocation = allocate_now(1, &held, &[], &[candidate(0)]);
        assert_eq!(allocation.slots, held);
        assert_eq!(allocation.waiting, 1);
    }

    #[test]
    fn a_released_slot_goes_to_the_oldest_that_waits() {
        let candidates = [0, 1, 2].map(candidate);
        let held = allocate_now(1, &[], &[], &candidates).slots;
        let allocation = allocate_now(1, &held, &["uid-000"], &candidates);
        assert_eq!(uids(&allocation.slots), ["uid-001"]);
    }

    /// One step of a random schedule: what happens in the cluster, or what one of three controllers does.
    #[derive(Clone, Debug)]
    enum Step {
        Create,
        Delete(usize),
        Limit(usize),
        /// A controller refreshes what it knows of the keys.
        Observe(usize),
        /// A controller reads the organization and computes an allocation from its knowledge, which may be old.
        Decide(usize),
        /// A controller writes what it decided; refused if the organization changed since it read it.
        Write(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Create),
            2 => (0..40_usize).prop_map(Step::Delete),
            1 => (0..8_usize).prop_map(Step::Limit),
            4 => (0..3_usize).prop_map(Step::Observe),
            6 => (0..3_usize).prop_map(Step::Decide),
            6 => (0..3_usize).prop_map(Step::Write),
        ]
    }

    #[derive(Default)]
    struct Cluster {
        keys: Vec<Candidate>,
        created: usize,
        limit: usize,
        slots: Vec<Slot>,
        version: u64,
    }

    #[derive(Default, Clone)]
    struct Controller {
        known: Vec<Candidate>,
        decided: Option<(u64, Vec<Slot>)>,
    }

    impl Cluster {
        fn apply(&mut self, controllers: &mut [Controller; 3], step: &Step) {
            match *step {
                Step::Create => {
                    self.keys.push(candidate(self.created));
                    self.created += 1;
                }
                Step::Delete(which) if !self.keys.is_empty() => {
                    self.keys.remove(which % self.keys.len());
                }
                Step::Delete(_) => {}
                Step::Limit(limit) => {
                    self.limit = limit;
                    self.version += 1;
                }
                Step::Observe(who) => controllers[who].known = self.keys.clone(),
                Step::Decide(who) => {
                    let known = &controllers[who].known;
                    let unseen = self.slots.iter().filter(|slot| known.iter().all(|key| key.uid != slot.uid));
                    let gone = unseen.filter(|slot| self.keys.iter().all(|key| key.uid != slot.uid));
                    let released = gone.map(|slot| slot.uid.clone()).collect();
                    let allocation =
                        allocate(self.limit, &self.slots, &released, known, Timestamp::UNIX_EPOCH);
                    controllers[who].decided = Some((self.version, allocation.slots));
                }
                Step::Write(who) => {
                    if let Some((version, slots)) = controllers[who].decided.take()
                        && version == self.version
                    {
                        self.slots = slots;
                        self.version += 1;
                    }
                }
            }
        }

        fn verifying(&self) -> usize {
            self.slots.iter().filter(|slot| self.keys.iter().any(|key| key.uid == slot.uid)).count()
        }
    }

    proptest! {
        #[test]
        fn never_a_sixth(steps in vec(step(), 0..200)) {
            let mut cluster = Cluster { limit: 5, ..Cluster::default() };
            let mut controllers: [Controller; 3] = Default::default();
            for step in &steps {
                let before = cluster.slots.clone();
                let verifying_before = cluster.verifying();
                cluster.apply(&mut controllers, step);
                let verifying = cluster.verifying();
                prop_assert!(verifying <= cluster.limit.max(verifying_before), "{} keys verify after {:?}", verifying, step);
                for slot in &before {
                    let alive = cluster.keys.iter().any(|key| key.uid == slot.uid);
                    prop_assert!(!alive || cluster.slots.contains(slot), "{} lost its slot by {:?}", slot.uid, step);
                }
            }
            controllers[0].known = cluster.keys.clone();
            cluster.apply(&mut controllers, &Step::Decide(0));
            cluster.apply(&mut controllers, &Step::Write(0));
            prop_assert!(cluster.verifying() >= cluster.limit.min(cluster.keys.len()), "a slot stays unused");
        }
    }
}
