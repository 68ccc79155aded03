//! The durable record of a key's issue, kept as a sealed annotation of its Secret.
//!
//! A key's status can be rebuilt from the record. The seal is a MAC over the record and the key's kind, namespace and
//! name, so that whoever may edit Secrets still can't make Latchkey believe in a digest that it never issued.

use crate::{
    lifecycle::{KeyView, conditions},
    resources::{Generation, KeyStatus},
    token::{KeyId, TokenDigest},
};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

/// What was issued for a key, and where its token is now.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The key's public id.
    pub id: String,
    /// Last four characters of the current token.
    pub hint: String,
    /// When the first token was issued.
    pub issued_at: Timestamp,
    /// The tokens that are good, newest first.
    pub generations: Vec<Generation>,
    /// Where the current token is.
    pub token: TokenState,
}

/// Where the plain text of the current token is.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// In the Secret.
    Held,
    /// It was taken out of the Secret when the reveal window ended.
    Scrubbed,
    /// Somebody else deleted or changed it.
    Lost,
}

impl Record {
    /// The newest token's generation. A record without any isn't one.
    pub fn current(&self) -> Option<&Generation> {
        self.generations.first()
    }

    /// The digest of the newest token.
    pub fn digest(&self) -> Option<TokenDigest> {
        TokenDigest::parse(&self.current()?.digest)
    }

    /// The record without the generations whose overlap has ended.
    #[must_use]
    pub fn without_retired(mut self, now: Timestamp) -> Self {
        self.generations.retain(|generation| generation.not_after.is_none_or(|end| end > now));
        self
    }

    /// What a status says of a key's issue; `None` if it was never issued.
    pub fn from_status(status: &KeyStatus) -> Option<Self> {
        let current = status.generations.first()?;
        let issued =
            conditions::find(&status.conditions, conditions::ISSUED).map(|issued| issued.reason.as_str());
        Some(Self {
            id: status.id.clone()?,
            hint: status.token_hint.clone().unwrap_or_default(),
            issued_at: status.issued_at.unwrap_or(current.issued_at),
            generations: status.generations.clone(),
            token: match issued {
                Some("TokenScrubbed") => TokenState::Scrubbed,
                Some("TokenLost") => TokenState::Lost,
                _ => TokenState::Held,
            },
        })
    }

    fn is_sound(&self) -> bool {
        KeyId::parse(&self.id).is_some()
            && !self.generations.is_empty()
            && self.generations.iter().all(|generation| TokenDigest::parse(&generation.digest).is_some())
    }
}

/// Which of two accounts of a key's issue holds: the newer one. A Secret is written before the status, so after a crash
/// in between the Secret is ahead; a Secret that is behind was edited or restored by somebody else. Where the token is,
/// the Secret knows best.
pub fn reconcile(from_status: Option<Record>, from_secret: Option<Record>) -> Option<Record> {
    let number = |record: &Record| record.current().map(|generation| generation.number);
    match (from_status, from_secret) {
        (Some(status), Some(secret)) if number(&secret) > number(&status) => Some(secret),
        (Some(status), Some(secret)) if status.digest() == secret.digest() => {
            Some(Record { token: secret.token, ..status })
        }
        (Some(status), _) => Some(status),
        (None, secret) => secret,
    }
}

/// Length of the sealing key: one block of SHA-256.
pub const SEAL_LENGTH: usize = 64;

/// The key that records are sealed with.
#[derive(Clone)]
pub struct Seal(Zeroizing<[u8; SEAL_LENGTH]>);

impl Seal {
    /// Takes the sealing key.
    pub fn new(key: [u8; SEAL_LENGTH]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// Writes a record and its seal.
    pub fn close(&self, key: &KeyView<'_>, record: &Record) -> Result<(String, String), serde_json::Error> {
        let text = serde_json::to_string(record)?;
        let mac = self.mac(key, &text).finalize().into_bytes();
        let seal = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((text, seal))
    }

    /// Reads a record; `None` if it isn't the one that was sealed for this key.
    pub fn open(&self, key: &KeyView<'_>, text: &str, seal: &str) -> Option<Record> {
        let bytes: Vec<u8> = (0..seal.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(seal.get(at..at + 2)?, 16).ok())
            .collect::<Option<_>>()?;
        self.mac(key, text).verify_slice(&bytes).ok()?;
        serde_json::from_str::<Record>(text).ok().filter(Record::is_sound)
    }

    fn mac(&self, key: &KeyView<'_>, text: &str) -> Hmac<Sha256> {
        // Names can't hold a line feed, so that no two keys give the same text.
        let subject = format!("{}\n{}\n{}\n", key.kind.name(), key.namespace, key.name);
        Hmac::new((&*self.0).into()).chain_update(subject).chain_update(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::{KeySpec, ManagementKey};

    fn key(name: &str) -> ManagementKey {
        let mut key = ManagementKey::new(name, KeySpec::default());
        key.metadata.namespace = Some("ns".into());
        key
    }

    fn record(number: i64) -> Record {
        Record {
            id: "3fK9aZ81bQ0x".into(),
            hint: "a1B2".into(),
            issued_at: Timestamp::UNIX_EPOCH,
            generations: vec![Generation {
                number,
                digest: TokenDigest::of(&number.to_string()).to_string(),
                issued_at: Timestamp::UNIX_EPOCH,
                not_after: None,
            }],
            token: TokenState::Held,
        }
    }

    #[test]
    fn a_sealed_record_opens_only_for_its_key_unchanged() {
        let (seal, ci, other) = (Seal::new([7; SEAL_LENGTH]), key("ci"), key("other"));
        let (text, mac) = seal.close(&KeyView::of(&ci), &record(1)).unwrap();
        assert_eq!(seal.open(&KeyView::of(&ci), &text, &mac), Some(record(1)));
        assert_eq!(seal.open(&KeyView::of(&other), &text, &mac), None);
        assert_eq!(seal.open(&KeyView::of(&ci), &text.replace(":1,", ":2,"), &mac), None);
        assert_eq!(Seal::new([8; SEAL_LENGTH]).open(&KeyView::of(&ci), &text, &mac), None);
        for broken in ["", "zz", "é", &mac[1..], &mac[2..]] {
            assert_eq!(seal.open(&KeyView::of(&ci), &text, broken), None, "{broken:?}");
        }
    }

    #[test]
    fn the_newer_account_holds_and_the_status_where_they_are_equally_new() {
        let (one, two) = (record(1), record(2));
        assert_eq!(reconcile(Some(one.clone()), Some(two.clone())), Some(two.clone()));
        assert_eq!(reconcile(Some(two.clone()), Some(one.clone())), Some(two));
        let scrubbed = Record { hint: "ZZZZ".into(), token: TokenState::Scrubbed, ..one.clone() };
        let merged = Record { token: TokenState::Scrubbed, ..one.clone() };
        assert_eq!(reconcile(Some(one.clone()), Some(scrubbed)), Some(merged));
        assert_eq!(reconcile(None, Some(one.clone())), Some(one));
        assert_eq!(reconcile(None, None), None);
    }
}
