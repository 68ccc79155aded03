//! The uid of an object, in the sixteen bytes that it really has.

use kube::api::ObjectMeta;
use sha2::{Digest as _, Sha256};

const LENGTH: usize = 36;

/// The uid of an object of the API server. Ordered as its text is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Uid(u128);

impl Uid {
    /// Reads a uid. The API server hands out UUIDs; another text is taken by its hash, so that nothing depends on it.
    pub(super) fn of(text: &str) -> Self {
        Self(uuid(text).unwrap_or_else(|| hashed(text)))
    }

    /// The lower half.
    pub(super) fn low(self) -> u64 {
        self.0 as u64
    }

    /// Reads the uid of an object.
    pub(super) fn in_metadata(metadata: &ObjectMeta) -> Self {
        Self::of(metadata.uid.as_deref().unwrap_or_default())
    }
}

/// Reads a UUID in lower case. In capitals it would be another text, and no two texts may be one uid.
fn uuid(text: &str) -> Option<u128> {
    if text.len() != LENGTH {
        return None;
    }
    text.bytes().enumerate().try_fold(0, |uid, (place, byte)| match (place, byte) {
        (8 | 13 | 18 | 23, b'-') => Some(uid),
        (8 | 13 | 18 | 23, _) => None,
        (_, b'0'..=b'9') => Some(uid << 4 | u128::from(byte - b'0')),
        (_, b'a'..=b'f') => Some(uid << 4 | u128::from(byte - b'a' + 10)),
        _ => None,
    })
}

fn hashed(text: &str) -> u128 {
    Sha256::digest(text.as_bytes()).iter().take(16).fold(0, |uid, byte| uid << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_keeps_its_order() {
        let [low, high] = ["0fffffff-ffff-ffff-ffff-ffffffffffff", "a0000000-0000-0000-0000-000000000000"];
        assert!(Uid::of(low) < Uid::of(high));
        assert_eq!(uuid("00000000-0000-0000-0000-0000000000ff"), Some(255));
    }

    #[test]
    fn other_texts_are_told_apart() {
        let texts = [
            "",
            "uid-ci",
            "0000000000000000-0000-0000-000000000",
            "0fffffff-ffff-ffff-ffff-fffffffffffF",
            "0fffffff-ffff-ffff-ffff-ffffffffffff",
            "0fffffff-ffff-ffff-ffff-fffffffffffé",
        ];
        let uids: std::collections::BTreeSet<_> = texts.into_iter().map(Uid::of).collect();
        assert_eq!(uids.len(), texts.len());
    }
}
