//! The edge to the API server: connecting, watching, leading, telling.
//!
//! Everything here does IO and decides nothing about keys.

pub mod client;
pub mod events;
pub mod lease;
pub mod seal;
pub mod watch;
