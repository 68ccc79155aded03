//! The index against a cluster that does its worst: watches that break off, lists that are begun again, deletions that
//! nobody hears of, and events that come late.

use super::*;
use proptest::{collection::vec, prelude::*};
use std::collections::{BTreeMap, BTreeSet};

const NAMES: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Somebody makes a key, or deletes the one of this name.
    Toggle(usize),
    /// Somebody suspends or resumes the key of this name.
    Suspend(usize),
    /// The watch tells the next event.
    Deliver,
    /// The watch breaks off and a list begins; what it had not told yet is lost.
    Restart,
    /// The list under way tells one object.
    List,
    /// The list under way tells all the rest and is complete.
    Complete,
    /// The last that was told of a deleted key is told again.
    Late(usize),
    /// An object can't be decoded; the watch says so.
    Unreadable(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..NAMES).prop_map(Step::Toggle),
        2 => (0..NAMES).prop_map(Step::Suspend),
        8 => Just(Step::Deliver),
        2 => Just(Step::Restart),
        4 => Just(Step::List),
        3 => Just(Step::Complete),
        2 => any::<usize>().prop_map(Step::Late),
        1 => (0..NAMES).prop_map(Step::Unreadable),
    ]
}

enum Event {
    Applied(ManagementKey),
    Unreadable(ObjectMeta),
    Deleted(ManagementKey),
}

/// What there really is, what the index was told, and what it has to know by that.
struct Cluster {
    keys: [Option<Issued>; NAMES],
    made: usize,
    /// Events of the watch that are under way. Without a watch there is a list.
    events: Vec<Event>,
    list: Option<Vec<ManagementKey>>,
    /// All tokens ever, with the uids of their keys.
    tokens: Vec<(String, Token)>,
    /// What was told of each key last, by uid, and whether it has become unreadable since.
    told: BTreeMap<String, (Option<ManagementKey>, bool)>,
    /// Uids that the index was told are gone, and the objects.
    gone: BTreeSet<String>,
    graves: Vec<ManagementKey>,
    listed: BTreeSet<String>,
    index: Index,
}

impl Cluster {
    fn new() -> Self {
        let index = Index::new();
        let slots: Vec<String> = (0..1000).map(|uid| uid.to_string()).collect();
        index.applied(&acme(&slots.iter().map(String::as_str).collect::<Vec<_>>()));
        Feed::<User>::complete(&index, at(0));
        Feed::<Organization>::complete(&index, at(0));
        Feed::<ManagementKey>::restart(&index);
        Self {
            keys: Default::default(),
            made: 0,
            events: Vec::new(),
            list: Some(Vec::new()),
            tokens: Vec::new(),
            told: BTreeMap::new(),
            gone: BTreeSet::new(),
            graves: Vec::new(),
            listed: BTreeSet::new(),
            index,
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Toggle(name) => self.toggle(name),
            Step::Suspend(name) => {
                if let Some(issued) = &mut self.keys[name] {
                    issued.key.spec.suspended ^= true;
                    self.events.push(Event::Applied(issued.key.clone()));
                }
            }
            Step::Unreadable(name) => {
                if let Some(issued) = &self.keys[name] {
                    self.events.push(Event::Unreadable(issued.key.metadata.clone()));
                }
            }
            Step::Deliver => self.deliver(),
            Step::Restart => self.restart(),
            Step::List => self.list_one(),
            Step::Complete => self.complete(),
            Step::Late(which) => {
                if !self.graves.is_empty() {
                    self.index.applied(&self.graves[which % self.graves.len()]);
                }
            }
        }
    }

    fn toggle(&mut self, name: usize) {
        if let Some(issued) = self.keys[name].take() {
            self.events.push(Event::Deleted(issued.key));
            return;
        }
        let uid = self.made.to_string();
        self.made += 1;
        let issued = issued(&format!("key-{name}"), &uid, json!({}));
        self.events.push(Event::Applied(issued.key.clone()));
        self.tokens.push((uid, Token::from_existing(issued.token.reveal().to_owned())));
        self.keys[name] = Some(issued);
    }

    fn deliver(&mut self) {
        if self.list.is_some() || self.events.is_empty() {
            return;
        }
        match self.events.remove(0) {
            Event::Applied(key) => self.tell(&key),
            Event::Unreadable(metadata) => {
                Feed::<ManagementKey>::unreadable(&self.index, &metadata);
                self.told.entry(metadata.uid.unwrap()).or_default().1 = true;
            }
            Event::Deleted(key) => {
                delete(&self.index, &key, at(0));
                self.bury(key.metadata.uid.as_deref().unwrap());
                self.graves.push(key);
            }
        }
    }

    fn tell(&mut self, key: &ManagementKey) {
        self.index.applied(key);
        let uid = key.metadata.uid.clone().unwrap();
        self.listed.insert(uid.clone());
        self.told.insert(uid, (Some(key.clone()), false));
    }

    fn bury(&mut self, uid: &str) {
        self.gone.insert(uid.to_owned());
        if let Some((Some(key), _)) = self.told.remove(uid) {
            self.graves.push(key);
        }
    }

    /// A list is a consistent picture of the moment at which it begins.
    fn restart(&mut self) {
        Feed::<ManagementKey>::restart(&self.index);
        self.list = Some(self.keys.iter().flatten().map(|issued| issued.key.clone()).collect());
        self.listed.clear();
        self.events.clear();
    }

    fn list_one(&mut self) {
        if let Some(key) = self.list.as_mut().and_then(Vec::pop) {
            self.tell(&key);
        }
    }

    fn complete(&mut self) {
        while self.list.as_ref().is_some_and(|list| !list.is_empty()) {
            self.list_one();
        }
        if self.list.take().is_some() {
            Feed::<ManagementKey>::complete(&self.index, at(0));
            let unlisted: Vec<_> =
                self.told.keys().filter(|uid| !self.listed.contains(*uid)).cloned().collect();
            unlisted.iter().for_each(|uid| self.bury(uid));
        }
    }

    /// What a key must get by what the index was told.
    fn expected(&self, uid: &str) -> Result<(), Denial> {
        if !self.index.is_complete() {
            return Err(Denial::NotReady);
        }
        match self.told.get(uid) {
            _ if self.gone.contains(uid) => Err(Denial::Revoked),
            None | Some((None, _)) => Err(Denial::UnknownToken),
            Some((Some(key), _)) if key.spec.suspended => Err(Denial::Suspended),
            Some((_, true)) => Err(Denial::EndpointNotAllowed),
            Some((_, false)) => Ok(()),
        }
    }

    fn verified(&self) -> BTreeSet<&str> {
        let good = |(_, token): &&(String, Token)| verify(&self.index, token).is_ok();
        self.tokens.iter().filter(good).map(|(uid, _)| uid.as_str()).collect()
    }
}

proptest! {
    #[test]
    fn the_index_knows_what_it_was_told_and_forgets_what_is_gone(steps in vec(step(), 0..150)) {
        let mut cluster = Cluster::new();
        for step in steps {
            cluster.apply(step);
            for (uid, token) in &cluster.tokens {
                let answer = verify(&cluster.index, token).map(drop);
                let mut expected = cluster.expected(uid);
                // A deleted key of which nothing was told is unknown rather than revoked.
                if expected == Err(Denial::Revoked) && answer == Err(Denial::UnknownToken) {
                    expected = answer;
                }
                prop_assert_eq!(answer, expected, "key {} after {:?}", uid, step);
            }
        }
        cluster.restart();
        cluster.complete();
        let truth: BTreeSet<&str> = cluster.keys.iter().flatten()
            .filter(|issued| !issued.key.spec.suspended)
            .map(Issued::uid)
            .collect();
        prop_assert_eq!(cluster.verified(), truth);
        let issued = cluster.keys.iter().flatten().count();
        prop_assert_eq!(cluster.index.len(), issued);
    }
}
