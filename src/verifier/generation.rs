//! One issue of a key's token.

use crate::{resources, token::TokenDigest};
use jiff::Timestamp;

/// One issue of a key's token.
#[derive(Clone)]
pub(super) struct Generation {
    pub(super) digest: TokenDigest,
    pub(super) number: i64,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// No newer token has replaced it.
    Open,
    /// A newer one has, and this one is good until then.
    At(Timestamp),
    /// The key's status doesn't list it any more: it is over, whenever it was meant to end.
    Unlisted,
}

impl Generation {
    /// `None` if the digest can't be read, so that no token can be compared with it.
    pub(super) fn of(generation: &resources::Generation) -> Option<Self> {
        Some(Self {
            digest: TokenDigest::parse(&generation.digest)?,
            number: generation.number,
            end: generation.not_after.map_or(End::Open, End::At),
        })
    }

    /// The same, now that the key's status doesn't list it any more.
    pub(super) fn unlisted(&self) -> Self {
        Self { end: End::Unlisted, ..*self }
    }

    pub(super) fn is_listed(&self) -> bool {
        self.end != End::Unlisted
    }

    /// Whether a newer token has replaced this one.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        match self.end {
            End::Open => false,
            End::At(end) => end <= now,
            End::Unlisted => true,
        }
    }
}
