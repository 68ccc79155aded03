//! May this token make this call, now?

use super::{credentials::Credentials, denial::Denial, entry::Entry, index::Index};
use crate::{
    policy::{AddressRanges, CanonicalPath},
    token::{Shape, TokenDigest, recognise},
};
use jiff::Timestamp;
use std::{net::IpAddr, sync::Arc};

/// The call in question, as the gateway told it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The request target: path and query.
    pub target: &'a str,
    /// The caller's address; `None` if it isn't known.
    pub address: Option<IpAddr>,
    /// The project that the call is for, if the gateway said one.
    pub project: Option<&'a str>,
}

/// An allowed call.
pub struct Grant<'a> {
    /// The key that allows it.
    pub key: Arc<Entry>,
    /// The number of the token's generation.
    pub generation: i64,
    /// The project that the call is for, if it is known.
    pub project: Option<&'a str>,
}

/// The verifier's answer.
pub type Decision<'a> = Result<Grant<'a>, Denial>;

/// Decides at `now`. `presented` and `call` are what could be read of the request: `call` is `None` if the gateway did
/// not say what the call is.
///
/// Whether an id is unknown or a secret wrong makes no difference to the answer, and nothing is skipped that would
/// take time in the other case but the comparison itself.
pub fn decide<'a>(
    index: &Index,
    presented: Result<Credentials<'_>, Denial>,
    call: Option<&Call<'a>>,
    now: Timestamp,
) -> Decision<'a> {
    if !index.is_complete() {
        return Err(Denial::NotReady);
    }
    let (call, presented) = (call.ok_or(Denial::CallUnknown)?, presented?);
    let shape = recognise(presented.token);
    if shape == Shape::Broken {
        return Err(Denial::MalformedToken);
    }
    index.look(presented.token, shape, |key, digest| {
        // A string of no known shape can only be an imported token; any other one is none at all.
        let unknown = if shape == Shape::Foreign { Denial::MalformedToken } else { Denial::UnknownToken };
        let key = key.filter(|key| !key.is_forgotten(now)).ok_or(unknown)?;
        let generation = authenticate(key, presented.id, &digest, now)?;
        if let Some(refusal) = key.standing().refusal(now) {
            return Err(refusal.into());
        }
        permit(key, call)?;
        Ok(Grant { key: Arc::clone(key), generation, project: call.project })
    })
}

/// Which of the key's generations the token is.
fn authenticate(key: &Entry, id: Option<&str>, digest: &TokenDigest, now: Timestamp) -> Result<i64, Denial> {
    let generation = key.generation(digest).ok_or(Denial::UnknownToken)?;
    if id.is_some_and(|id| id != key.id().as_str()) {
        return Err(Denial::UnknownToken);
    }
    if generation.is_over(now) {
        return Err(Denial::RotatedOut);
    }
    Ok(generation.number)
}

/// Holds the call against the key's policy.
fn permit(key: &Entry, call: &Call<'_>) -> Result<(), Denial> {
    let path = CanonicalPath::of_target(call.target).map_err(|_| Denial::PathNotCanonical)?;
    if !key.rules().allow(call.method, &path) {
        return Err(Denial::EndpointNotAllowed);
    }
    let covers = |ranges: &AddressRanges| call.address.is_some_and(|address| ranges.contain(address));
    if !key.ranges().is_none_or(covers) {
        return Err(Denial::AddressNotAllowed);
    }
    let listed = |project: &str| key.projects().iter().any(|listed| **listed == *project);
    if !key.projects().is_empty() && !call.project.is_some_and(listed) {
        return Err(Denial::ProjectNotAllowed);
    }
    Ok(())
}
