//! Holding what is seen against what was expected.

use crate::cluster::client::CallError;
use std::{fmt::Display, time::Duration};
use tokio::time::{Instant, sleep};

/// The pause between two looks.
pub(super) const POLL: Duration = Duration::from_millis(50);
/// How long something may take to come about.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// Why a step did not show what it should.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum StepError {
    #[error("{what}: expected {expected}, saw {seen}")]
    Different { what: String, expected: String, seen: String },
    #[error("{what}: expected {expected} within {} s, last saw {seen}", LONGEST_WAIT.as_secs())]
    NotInTime { what: String, expected: String, seen: String },
    #[error("`{command}` failed: {problem}")]
    Command { command: String, problem: String },
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("asking the door failed: {0}")]
    Door(#[from] reqwest::Error),
    #[error(transparent)]
    Mint(#[from] crate::token::MintError),
}

/// One look at something.
pub(super) enum Seen<T> {
    /// It is as expected.
    Right(T),
    /// It isn't, or not yet.
    Other(String),
}

impl<T: Display> Seen<T> {
    /// Right if it is just what was expected.
    pub(super) fn equal(expected: &str, seen: T) -> Self {
        let text = seen.to_string();
        if text == expected { Self::Right(seen) } else { Self::Other(text) }
    }
}

/// Fails unless something is just as expected.
pub(super) fn expect(what: &str, expected: impl Display, seen: impl Display) -> Result<(), StepError> {
    let (expected, seen) = (expected.to_string(), seen.to_string());
    if expected == seen {
        return Ok(());
    }
    Err(StepError::Different { what: what.to_owned(), expected, seen })
}

/// Looks again and again until what is seen is as expected, for a bounded time.
pub(super) async fn until<T>(
    what: &str,
    expected: &str,
    look: impl AsyncFnMut() -> Result<Seen<T>, StepError>,
) -> Result<T, StepError> {
    until_every(POLL, what, expected, look).await
}

/// The same with another pause between two looks, where the time is to be taken.
pub(super) async fn until_every<T>(
    pause: Duration,
    what: &str,
    expected: &str,
    mut look: impl AsyncFnMut() -> Result<Seen<T>, StepError>,
) -> Result<T, StepError> {
    let begun = Instant::now();
    loop {
        let seen = match look().await? {
            Seen::Right(found) => return Ok(found),
            Seen::Other(seen) => seen,
        };
        if begun.elapsed() >= LONGEST_WAIT {
            return Err(StepError::NotInTime { what: what.to_owned(), expected: expected.to_owned(), seen });
        }
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_says_what_was_expected_and_seen() {
        assert!(expect("the answer", "200", 200).is_ok());
        let error = expect("the answer", "200", "403 Suspended").unwrap_err();
        assert_eq!(error.to_string(), "the answer: expected 200, saw 403 Suspended");
    }

    #[tokio::test]
    async fn looking_goes_on_until_it_is_right() {
        let mut looks = 0;
        let found = until("the third look", "3", async || {
            looks += 1;
            Ok(Seen::equal("3", looks))
        });
        assert_eq!(found.await.unwrap(), 3);
    }
}
