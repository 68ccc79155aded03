//! What should be issued: the one decision about a key's token and its Secret.

use super::{
    KeyView, OrganizationTerms, OwnerState,
    conditions::Reason,
    deadlines,
    import::Refused,
    record::{self, Record, TokenState},
    standing::Refusal,
};
use crate::{
    policy::{AddressRanges, CallRules},
    resources::{Duration, Generation},
};
use jiff::Timestamp;

/// Whether a key holds one of its organization's slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It does.
    Held,
    /// Keys of its kind need none.
    NotNeeded,
    /// It does not; these keys do.
    Waiting {
        /// How many slots there are.
        limit: usize,
        /// The keys that hold them, as `namespace/name`.
        holders: Vec<String>,
    },
}

/// The Secret of the key's name, as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretView {
    /// There is none.
    Absent,
    /// There is one that isn't this key's.
    Foreign,
    /// It is this key's.
    Ours {
        /// The record that it carries, if its seal is right.
        record: Option<Record>,
        /// The digests of the tokens among its entries.
        tokens: Vec<String>,
    },
}

/// The token to import, as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportView {
    /// The Secret or its entry doesn't exist.
    Missing,
    /// It can't be taken over.
    Refused(Refused),
    /// It belongs to another key, named here.
    InUse(String),
    /// It can be taken over.
    Usable,
}

/// What to do about a key's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Issue {
    /// Issue nothing, for this reason.
    Withhold(Reason),
    /// Make a token. The generations of before stay good until they end.
    Mint {
        /// The issue of before; `None` for a key's first token.
        before: Option<Record>,
    },
    /// Take over the token to import, as the key's first.
    Import,
    /// Make no token: the Secret should carry this record, and hold the token only if the record says so.
    Keep(Record),
}

/// Why a key can't be issued whatever its organization's slots: these don't compete for one.
pub fn unfit(
    key: &KeyView<'_>,
    terms: &OrganizationTerms,
    owner: &OwnerState,
    now: Timestamp,
) -> Option<Reason> {
    if let Some(problem) = invalid(key) {
        return Some(Reason::InvalidSpec { problem });
    }
    if let Some(at) = key.spec.expires_at.filter(|at| *at <= now) {
        return Some(Reason::ExpiryInPast { at });
    }
    if let (Some((asked, lifetime)), Some(maximum)) = (lifetime(key), terms.max_ttl)
        && lifetime > maximum.signed()
    {
        return Some(Reason::TTLTooLong { asked, maximum, organization: terms.name.clone() });
    }
    match (owner, &key.spec.owner) {
        (OwnerState::NotFound | OwnerState::Deleted, Some(owner)) => {
            Some(Reason::OwnerNotFound { owner: owner.name.clone(), namespace: key.namespace.to_owned() })
        }
        _ => None,
    }
}

/// How long the key asks to live, in words and as a span. A time in `expiresAt` is measured from the key's creation.
fn lifetime(key: &KeyView<'_>) -> Option<(String, jiff::SignedDuration)> {
    let by_ttl = key.spec.ttl.map(|ttl| (ttl.to_string(), ttl.signed()));
    by_ttl.or_else(|| key.spec.expires_at.map(|at| (format!("until {at}"), at.duration_since(key.created))))
}

/// What of the spec can't be understood. The API server refuses most of it before; this holds for objects that were
/// stored by an older version.
pub fn invalid(key: &KeyView<'_>) -> Option<String> {
    let rules = key.spec.allow.iter().map(|rule| (&*rule.methods, &*rule.paths));
    let calls = CallRules::compile(rules).err().map(|error| error.to_string());
    calls.or_else(|| {
        AddressRanges::parse(key.spec.allowed_cidrs.iter().flatten()).err().map(|error| error.to_string())
    })
}

/// What the decision about a key's token is made from.
pub struct Found<'a> {
    /// The key.
    pub key: KeyView<'a>,
    /// Its organization's terms.
    pub terms: &'a OrganizationTerms,
    /// Its owner.
    pub owner: &'a OwnerState,
    /// Its slot.
    pub admission: &'a Admission,
    /// Its Secret.
    pub secret: &'a SecretView,
    /// The token to import, if the spec names one and nothing was issued yet.
    pub import: Option<&'a ImportView>,
}

/// Decides what to do about a key's token.
pub fn decide(found: &Found<'_>, now: Timestamp) -> Issue {
    match recorded(found.key, found.secret) {
        None => first(found, now),
        Some(record) => later(found, record.without_retired(now), now),
    }
}

/// What was issued before, from the key's status and its Secret.
pub fn recorded(key: KeyView<'_>, secret: &SecretView) -> Option<Record> {
    let from_secret = match secret {
        SecretView::Ours { record, .. } => record.clone(),
        SecretView::Absent | SecretView::Foreign => None,
    };
    record::reconcile(key.status.and_then(Record::from_status), from_secret)
}

fn first(found: &Found<'_>, now: Timestamp) -> Issue {
    let Found { key, terms, owner, admission, secret, import } = found;
    let secret_name = || key.secret_name().to_owned();
    if let Some(reason) = unfit(key, terms, owner, now) {
        return Issue::Withhold(reason);
    }
    if let Admission::Waiting { limit, holders } = admission {
        let organization = terms.name.clone();
        return Issue::Withhold(Reason::LimitReached {
            organization,
            limit: *limit,
            holders: holders.clone(),
        });
    }
    if terms.locks(key.kind) {
        return Issue::Withhold(Reason::OrganizationLocked { organization: terms.name.clone() });
    }
    // A Secret with our mark and a broken seal can't be told from one that somebody made to look like ours.
    if **secret != SecretView::Absent {
        return Issue::Withhold(Reason::SecretConflict { secret: secret_name() });
    }
    let Some(source) = &key.spec.import_from else {
        return Issue::Mint { before: None };
    };
    let (secret, entry) = (source.name.clone(), source.key.clone());
    match import {
        Some(ImportView::Usable) => Issue::Import,
        Some(ImportView::InUse(holder)) => {
            Issue::Withhold(Reason::TokenInUse { secret, holder: holder.clone() })
        }
        Some(ImportView::Refused(why)) => {
            Issue::Withhold(Reason::ImportRefused { secret, problem: why.to_string() })
        }
        Some(ImportView::Missing) | None => Issue::Withhold(Reason::ImportNotFound { secret, entry }),
    }
}

fn later(found: &Found<'_>, record: Record, now: Timestamp) -> Issue {
    let expiry = deadlines::expiry(&found.key, found.terms, record.issued_at, now);
    if may_rotate(found, expiry, now)
        && deadlines::rotation(&found.key, &record, expiry).is_some_and(|due| due <= now)
    {
        return Issue::Mint { before: Some(ended(&found.key, record, expiry, now)) };
    }
    let token = token_state(found, &record, now);
    Issue::Keep(Record { token, ..record })
}

/// A new token is made only for a key that can still be good, and only where it can be written down.
fn may_rotate(found: &Found<'_>, expiry: Option<Timestamp>, now: Timestamp) -> bool {
    let finished = final_refusal(&found.key).is_some()
        || expiry.is_some_and(|end| end <= now)
        || *found.owner == OwnerState::Deleted;
    !finished && !matches!(found.admission, Admission::Waiting { .. }) && *found.secret != SecretView::Foreign
}

/// The record as it is once its newest token is replaced: at most that one stays good, for the overlap and never past
/// the key's end.
fn ended(key: &KeyView<'_>, mut record: Record, expiry: Option<Timestamp>, now: Timestamp) -> Record {
    let overlap = now.saturating_add(key.overlap().signed()).unwrap_or(Timestamp::MAX);
    record.generations.truncate(1);
    for generation in &mut record.generations {
        generation.not_after = Some(expiry.map_or(overlap, |end| end.min(overlap)));
    }
    record
}

/// Where the current token is, or should be after this pass.
fn token_state(found: &Found<'_>, record: &Record, now: Timestamp) -> TokenState {
    let present = match found.secret {
        SecretView::Ours { tokens, .. } => {
            record.current().is_some_and(|current| tokens.contains(&current.digest))
        }
        SecretView::Absent | SecretView::Foreign => false,
    };
    let held = Record { token: TokenState::Held, ..record.clone() };
    let window_over = deadlines::scrub(&found.key, found.terms, &held).is_some_and(|due| due <= now);
    match (present, record.token) {
        (_, TokenState::Scrubbed) => TokenState::Scrubbed,
        _ if window_over => TokenState::Scrubbed,
        (true, _) => TokenState::Held,
        (false, _) => TokenState::Lost,
    }
}

/// The final refusal that a key's status records: it stays, whatever changed since.
pub fn final_refusal(key: &KeyView<'_>) -> Option<Refusal> {
    let ready = super::conditions::find(&key.status?.conditions, super::conditions::READY)?;
    let recorded = |refusal: &Refusal| ready.status == "False" && ready.reason == refusal.code();
    // A status can only be final for a key that was issued: a key whose owner isn't there yet waits for it.
    let issued = key.status.is_some_and(|status| !status.generations.is_empty());
    [Refusal::Expired, Refusal::OwnerDeleted].into_iter().find(recorded).filter(|_| issued)
}

/// The generation that a new token gets, after those of before.
pub fn next_generation(before: Option<&Record>, digest: String, now: Timestamp) -> Generation {
    let number = before.and_then(Record::current).map_or(1, |current| current.number + 1);
    Generation { number, digest, issued_at: now, not_after: None }
}

/// How soon to look again for something that no watch tells of, such as a foreign Secret.
pub const LOOK_AGAIN: Duration = Duration::from_secs(5);

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        lifecycle::conditions,
        resources::{Key, KeyStatus, ManagementKey},
        token::TokenDigest,
    };
    use serde_json::{Value, json};

    pub(crate) fn seconds(after_start: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + after_start).unwrap()
    }

    pub(crate) fn terms() -> OrganizationTerms {
        OrganizationTerms::of(&crate::resources::Organization::new("acme", Default::default()))
    }

    pub(crate) fn key_with(spec: Value) -> ManagementKey {
        let mut merged = json!({"allow": [{"methods": ["*"], "paths": ["/**"]}]});
        merged.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let mut key = ManagementKey::new("ci", serde_json::from_value(merged).unwrap());
        key.metadata.namespace = Some("acme-prod".into());
        key.metadata.uid = Some("uid-ci".into());
        key.metadata.generation = Some(1);
        key.metadata.creation_timestamp = Some(seconds(0).into());
        key
    }

    fn digest(number: i64) -> String {
        TokenDigest::of(&format!("token {number}")).to_string()
    }

    pub(crate) fn issued(at: Timestamp) -> Record {
        Record {
            id: "3fK9aZ81bQ0x".into(),
            hint: "a1B2".into(),
            issued_at: at,
            generations: vec![Generation { number: 1, digest: digest(1), issued_at: at, not_after: None }],
            token: TokenState::Held,
        }
    }

    fn ours(record: &Record) -> SecretView {
        SecretView::Ours {
            record: Some(record.clone()),
            tokens: vec![record.current().unwrap().digest.clone()],
        }
    }

    struct Case {
        key: ManagementKey,
        terms: OrganizationTerms,
        owner: OwnerState,
        admission: Admission,
        secret: SecretView,
        import: Option<ImportView>,
    }

    fn case(spec: Value) -> Case {
        Case {
            key: key_with(spec),
            terms: terms(),
            owner: OwnerState::None,
            admission: Admission::Held,
            secret: SecretView::Absent,
            import: None,
        }
    }

    impl Case {
        fn decide(&self, now: i64) -> Issue {
            let key = KeyView::of(&self.key);
            let found = Found {
                key,
                terms: &self.terms,
                owner: &self.owner,
                admission: &self.admission,
                secret: &self.secret,
                import: self.import.as_ref(),
            };
            decide(&found, seconds(now))
        }

        fn withheld(&self) -> &'static str {
            match self.decide(1) {
                Issue::Withhold(reason) => reason.code(),
                other => panic!("issued: {other:?}"),
            }
        }

        fn kept(&self, now: i64) -> TokenState {
            match self.decide(now) {
                Issue::Keep(record) => record.token,
                other => panic!("not kept: {other:?}"),
            }
        }

        fn with_record(self, record: &Record) -> Self {
            Self { secret: ours(record), ..self }
        }
    }

    #[test]
    fn a_key_with_a_slot_gets_its_first_token() {
        assert_eq!(case(json!({})).decide(1), Issue::Mint { before: None });
    }

    #[test]
    fn what_stands_in_the_way_is_named() {
        let waiting = Admission::Waiting { limit: 5, holders: vec![] };
        assert_eq!(Case { admission: waiting.clone(), ..case(json!({})) }.withheld(), "LimitReached");
        assert_eq!(Case { secret: SecretView::Foreign, ..case(json!({})) }.withheld(), "SecretConflict");
        let unsealed = SecretView::Ours { record: None, tokens: vec![] };
        assert_eq!(Case { secret: unsealed, ..case(json!({})) }.withheld(), "SecretConflict");
        let locked = OrganizationTerms { management_enabled: false, ..terms() };
        assert_eq!(Case { terms: locked, ..case(json!({})) }.withheld(), "OrganizationLocked");
        let strict = OrganizationTerms { max_ttl: Some(Duration::from_secs(10)), ..terms() };
        let long = case(json!({"ttl": "11s"}));
        assert_eq!(Case { terms: strict.clone(), admission: waiting, ..long }.withheld(), "TTLTooLong");
        let late = case(json!({"expiresAt": seconds(20).to_string()}));
        assert_eq!(Case { terms: strict, ..late }.withheld(), "TTLTooLong");
        assert_eq!(case(json!({"expiresAt": seconds(1).to_string()})).withheld(), "ExpiryInPast");
        assert_eq!(case(json!({"allowedCIDRs": ["ten"]})).withheld(), "InvalidSpec");
        assert_eq!(case(json!({"allow": [{"methods": ["GET"], "paths": ["x"]}]})).withheld(), "InvalidSpec");
        let owned = case(json!({"owner": {"name": "jane"}}));
        assert_eq!(Case { owner: OwnerState::NotFound, ..owned }.withheld(), "OwnerNotFound");
    }

    #[test]
    fn an_import_takes_a_usable_token_only() {
        let import = |view| Case {
            import: Some(view),
            ..case(json!({"importFrom": {"name": "old", "key": "token"}}))
        };
        assert_eq!(import(ImportView::Usable).decide(1), Issue::Import);
        assert_eq!(import(ImportView::Missing).withheld(), "ImportNotFound");
        assert_eq!(import(ImportView::Refused(Refused::TooWeak { bits: 9 })).withheld(), "ImportRefused");
        assert_eq!(import(ImportView::InUse("ns/other".into())).withheld(), "TokenInUse");
    }

    #[test]
    fn a_token_is_scrubbed_when_the_window_ends_and_a_persistent_one_never() {
        let record = issued(seconds(0));
        let window = case(json!({})).with_record(&record);
        assert_eq!((window.kept(899), window.kept(900)), (TokenState::Held, TokenState::Scrubbed));
        let persistent = case(json!({"secret": {"retention": "Persistent"}})).with_record(&record);
        assert_eq!(persistent.kept(1_000_000), TokenState::Held);
        let scrubbed = Record { token: TokenState::Scrubbed, ..record };
        assert_eq!(
            case(json!({"secret": {"retention": "Persistent"}})).with_record(&scrubbed).kept(0),
            TokenState::Scrubbed
        );
    }

    #[test]
    fn a_deleted_or_edited_secret_loses_the_token_and_mints_none() {
        let record = issued(seconds(0));
        let edited = SecretView::Ours { record: Some(record.clone()), tokens: vec![digest(9)] };
        assert_eq!(Case { secret: edited, ..case(json!({})) }.kept(1), TokenState::Lost);
        let mut deleted = case(json!({}));
        deleted.key = deleted.key.with_status(KeyStatus {
            id: Some(record.id.clone()),
            generations: record.generations.clone(),
            ..KeyStatus::default()
        });
        assert_eq!(deleted.kept(1), TokenState::Lost);
        assert_eq!(deleted.kept(900), TokenState::Scrubbed, "it would be gone by now anyway");
        deleted.secret = SecretView::Foreign;
        assert_eq!(deleted.kept(1), TokenState::Lost);
        deleted.secret = ours(&record);
        assert_eq!(deleted.kept(1), TokenState::Held, "a token that is back is good again");
    }

    #[test]
    fn a_rotation_keeps_the_old_token_for_the_overlap_and_never_past_the_end() {
        let rotated = |spec| match case(spec).with_record(&issued(seconds(0))).decide(60) {
            Issue::Mint { before: Some(before) } => before.generations[0].not_after.unwrap(),
            other => panic!("not rotated: {other:?}"),
        };
        assert_eq!(rotated(json!({"rotation": {"every": "60s", "overlap": "10s"}})), seconds(70));
        assert_eq!(rotated(json!({"rotation": {"every": "60s"}})), seconds(3660));
        assert_eq!(
            rotated(json!({"ttl": "65s", "rotation": {"every": "60s", "overlap": "10s"}})),
            seconds(65)
        );
        assert_eq!(
            rotated(json!({"rotation": {"after": seconds(30).to_string(), "overlap": "0s"}})),
            seconds(60)
        );
    }

    #[test]
    fn a_key_that_is_finished_waiting_or_without_its_secret_is_not_rotated() {
        let due =
            || case(json!({"ttl": "100s", "rotation": {"every": "60s"}})).with_record(&issued(seconds(0)));
        assert!(matches!(due().decide(60), Issue::Mint { .. }));
        assert!(matches!(due().decide(100), Issue::Keep(_)), "expired");
        let deleted = Case { owner: OwnerState::Deleted, ..due() };
        assert!(matches!(deleted.decide(60), Issue::Keep(_)), "owner deleted");
        let waiting = Case { admission: Admission::Waiting { limit: 0, holders: vec![] }, ..due() };
        assert!(matches!(waiting.decide(60), Issue::Keep(_)), "no slot");
    }

    #[test]
    fn a_recorded_end_is_final_even_if_the_spec_is_extended() {
        let mut extended = case(json!({"rotation": {"every": "60s"}})).with_record(&issued(seconds(0)));
        let at = seconds(10);
        let ready = conditions::condition(conditions::READY, false, &Reason::Expired { at }, None, at);
        extended.key = extended.key.with_status(KeyStatus {
            id: Some("3fK9aZ81bQ0x".into()),
            generations: issued(seconds(0)).generations,
            conditions: vec![ready],
            ..KeyStatus::default()
        });
        assert_eq!(final_refusal(&KeyView::of(&extended.key)), Some(Refusal::Expired));
        assert!(matches!(extended.decide(60), Issue::Keep(_)));
    }

    #[test]
    fn an_old_generation_goes_when_its_overlap_ends() {
        let mut record = issued(seconds(0));
        record
            .generations
            .insert(0, Generation { number: 2, digest: digest(2), issued_at: seconds(60), not_after: None });
        record.generations[1].not_after = Some(seconds(70));
        let case = case(json!({})).with_record(&record);
        let count = |now| match case.decide(now) {
            Issue::Keep(record) => record.generations.len(),
            other => panic!("not kept: {other:?}"),
        };
        assert_eq!((count(69), count(70)), (2, 1));
    }
}
