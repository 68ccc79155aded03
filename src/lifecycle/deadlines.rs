//! When something is due in a key's life, and when to look at the key again.

use super::{
    KeyView, OrganizationTerms,
    record::{Record, TokenState},
};
use crate::resources::{Duration, Retention};
use jiff::{SignedDuration, Timestamp};
use std::hash::{DefaultHasher, Hash, Hasher};

/// How far a wake-up may be moved so that many keys don't wake at one instant: this part of the time that the deadline
/// was away when it was set,
const JITTER_PART: i32 = 100;
/// but never more than this.
const MAX_JITTER: SignedDuration = SignedDuration::from_secs(10);

/// `time` plus `span`, at most the latest time that can be represented.
fn after(time: Timestamp, span: Duration) -> Timestamp {
    time.saturating_add(span.signed()).unwrap_or(Timestamp::MAX)
}

/// When a key that was first issued at `issued_at` stops working: as its spec says, and never later than the
/// organization's maxTTL allows. An end that has come stays, whatever the spec says since.
pub fn expiry(
    key: &KeyView<'_>,
    terms: &OrganizationTerms,
    issued_at: Timestamp,
    now: Timestamp,
) -> Option<Timestamp> {
    let past = key.status.and_then(|status| status.expires_at).filter(|end| *end <= now);
    if past.is_some() {
        return past;
    }
    let asked = key.spec.expires_at.or_else(|| key.spec.ttl.map(|ttl| after(issued_at, ttl)));
    let longest = terms.max_ttl.map(|longest| after(issued_at, longest));
    asked.into_iter().chain(longest).min()
}

/// When the current token is to be replaced; `None` if never, or not before the key's own end.
pub fn rotation(key: &KeyView<'_>, record: &Record, expiry: Option<Timestamp>) -> Option<Timestamp> {
    let current = record.current()?;
    let rotation = key.spec.rotation.as_ref()?;
    let by_hand = rotation.after.filter(|after| current.issued_at < *after);
    let by_schedule = rotation.every.map(|every| after(current.issued_at, every));
    let due = by_hand.into_iter().chain(by_schedule).min()?;
    expiry.is_none_or(|end| due < end).then_some(due)
}

/// When the plain token is to be taken out of the Secret; `None` if it isn't there or may stay.
pub fn scrub(key: &KeyView<'_>, terms: &OrganizationTerms, record: &Record) -> Option<Timestamp> {
    let window = key.retention() == Retention::Window && record.token == TokenState::Held;
    window.then(|| record.current()).flatten().map(|current| after(current.issued_at, terms.reveal_window))
}

/// The shortest warning that the time to `expiry` has fallen below.
pub fn warning(terms: &OrganizationTerms, expiry: Timestamp, now: Timestamp) -> Option<Duration> {
    let left = expiry.duration_since(now);
    terms.expiry_warnings.iter().rev().find(|warning| left <= warning.signed()).copied()
}

/// When to look at an issued key again: the first of its deadlines that lies ahead.
pub fn next(
    key: &KeyView<'_>,
    terms: &OrganizationTerms,
    record: &Record,
    expiry: Option<Timestamp>,
    now: Timestamp,
) -> Option<Timestamp> {
    let set_at = record.current().map_or(record.issued_at, |current| current.issued_at);
    let warnings = expiry.into_iter().flat_map(|end| {
        terms
            .expiry_warnings
            .iter()
            .map(move |warning| end.saturating_sub(warning.signed()).unwrap_or(Timestamp::MIN))
    });
    let overlaps = record.generations.iter().filter_map(|generation| generation.not_after);
    let may_coincide =
        expiry.into_iter().chain(rotation(key, record, expiry)).chain(warnings).chain(overlaps);
    may_coincide
        .filter(|deadline| *deadline > now)
        .map(|deadline| spread(key.uid, set_at, deadline))
        .chain(scrub(key, terms, record).filter(|deadline| *deadline > now))
        .min()
}

/// Moves a deadline a little later, by an amount that is always the same for one key.
fn spread(uid: &str, set_at: Timestamp, deadline: Timestamp) -> Timestamp {
    let room = (deadline.duration_since(set_at) / JITTER_PART).clamp(SignedDuration::ZERO, MAX_JITTER);
    let mut hasher = DefaultHasher::new();
    uid.hash(&mut hasher);
    let share = (hasher.finish() % 1000) as f64 / 1000.0;
    deadline.saturating_add(room.mul_f64(share)).unwrap_or(deadline)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lifecycle::issue::tests::{issued, key_with, seconds, terms},
        resources::Key,
    };
    use serde_json::json;

    #[test]
    fn the_earlier_of_what_the_key_asks_and_the_organization_allows() {
        let start = seconds(0);
        let strict = OrganizationTerms { max_ttl: Some(Duration::from_secs(100)), ..terms() };
        for (spec, terms, expected) in [
            (json!({}), terms(), None),
            (json!({"ttl": "60s"}), terms(), Some(seconds(60))),
            (json!({"expiresAt": seconds(50).to_string()}), terms(), Some(seconds(50))),
            (json!({}), strict.clone(), Some(seconds(100))),
            (json!({"ttl": "60s"}), strict.clone(), Some(seconds(60))),
            (json!({"expiresAt": seconds(500).to_string()}), strict, Some(seconds(100))),
        ] {
            let key = key_with(spec);
            assert_eq!(expiry(&KeyView::of(&key), &terms, start, start), expected, "{:?}", key.key_spec());
        }
    }

    #[test]
    fn an_end_that_has_come_stays() {
        let status = crate::resources::KeyStatus { expires_at: Some(seconds(10)), ..Default::default() };
        let key = key_with(json!({"ttl": "60s"})).with_status(status);
        let at = |now| expiry(&KeyView::of(&key), &terms(), seconds(0), seconds(now));
        assert_eq!(at(9), Some(seconds(60)));
        assert_eq!(at(10), Some(seconds(10)));
    }

    #[test]
    fn rotation_by_schedule_and_by_hand_but_not_past_the_end() {
        let record = issued(seconds(0));
        let due = |rotation, end| {
            let key = key_with(json!({ "rotation": rotation }));
            super::rotation(&KeyView::of(&key), &record, end)
        };
        assert_eq!(due(json!({"every": "60s"}), None), Some(seconds(60)));
        assert_eq!(due(json!({"every": "60s"}), Some(seconds(60))), None);
        assert_eq!(due(json!({"after": seconds(30).to_string()}), None), Some(seconds(30)));
        assert_eq!(due(json!({"after": seconds(0).to_string()}), None), None);
        assert_eq!(due(json!({"every": "20s", "after": seconds(30).to_string()}), None), Some(seconds(20)));
        assert_eq!(due(json!({"overlap": "1s"}), None), None);
    }

    #[test]
    fn the_shortest_warning_counts() {
        let terms = OrganizationTerms {
            expiry_warnings: vec![Duration::from_secs(70), Duration::from_secs(10)],
            ..terms()
        };
        let at = |now| warning(&terms, seconds(100), seconds(now));
        assert_eq!(at(29), None);
        assert_eq!(at(30), Some(Duration::from_secs(70)));
        assert_eq!(at(95), Some(Duration::from_secs(10)));
    }

    #[test]
    fn a_key_wakes_shortly_after_its_next_deadline() {
        let key = key_with(
            json!({"ttl": "1000s", "rotation": {"every": "200s"}, "secret": {"retention": "Persistent"}}),
        );
        let (view, record) = (KeyView::of(&key), issued(seconds(0)));
        let wake = |now| next(&view, &terms(), &record, Some(seconds(1000)), seconds(now)).unwrap();
        assert!((seconds(200)..seconds(203)).contains(&wake(0)), "{}", wake(0));
        assert!((seconds(1000)..seconds(1011)).contains(&wake(201)), "{}", wake(201));
        let window = key_with(json!({}));
        let wake = next(&KeyView::of(&window), &terms(), &record, None, seconds(0));
        assert_eq!(wake, Some(seconds(900)), "a scrub is never late by choice");
    }
}
