//! Answers "may this token make this call, now?" on the request path.
//!
//! A watch feeds the [`Index`] with what there is, through [`Feed`]; [`decide`] reads it; the doors ([`router`]) put
//! gateways' questions into its words. A revocation holds from the moment its event is fed, an expiry from its very
//! instant by the clock that is passed in.
//!
//! What this room must not know: it never asks the API server or a database while a request waits, it knows no
//! controller, and it never sees a Secret. It denies whenever it isn't sure: before everything was listed, for what it
//! can't read, for what it has never heard of. One bad object never affects another key.

mod attributes;
mod cells;
mod claims;
mod compile;
mod credentials;
mod decision;
mod denial;
mod entry;
mod feed;
mod gateway;
mod generation;
mod http;
mod index;
mod interner;
mod metrics;
mod organization;
mod owner;
mod roll;
mod subscription;
mod uid;

pub use self::http::{DEFAULT_TRUSTED_PROXIES, DoorState, router};
pub use credentials::Credentials;
pub use decision::{Call, Decision, Grant, decide};
pub use denial::Denial;
pub use entry::Entry;
pub use feed::Feed;
pub use index::Index;
pub use metrics::{Decisions, Door, register_index};
pub use subscription::Subscription;

#[cfg(test)]
mod tests;
