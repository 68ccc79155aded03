//! What can go wrong in a reconcile.

use crate::{cluster::client::CallError, token::MintError};
use std::time::Duration;

/// The first pause after a failure; each further one doubles it,
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Why a reconcile did not finish. It is tried again; nothing that was written is lost.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call of the API server failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// No token could be made.
    #[error("making a token failed: {0}")]
    Mint(#[from] MintError),
    /// A record could not be written down.
    #[error("encoding the record failed: {0}")]
    Encode(#[from] serde_json::Error),
    /// The Secret changed each time that it was about to be written.
    #[error("Secret {0} changes too often to be written")]
    Unsettled(String),
}

impl Error {
    /// Whether it only means that a newer version of something exists, which the watch is about to bring.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Call(error) if error.is_conflict())
    }

    /// How long to wait after so many failures in a row.
    pub fn pause(failures: u32) -> Duration {
        FIRST_PAUSE
            .saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX))
            .min(LONGEST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let pauses: Vec<_> = [1, 2, 3, 10, 11, 40, u32::MAX].map(|n| Error::pause(n).as_millis()).into();
        assert_eq!(pauses, [100, 200, 400, 51_200, 60_000, 60_000, 60_000]);
    }
}
