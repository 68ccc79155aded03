//! Reconciling: gather what is, let `lifecycle` decide, apply, write the status.
//!
//! Controllers never serve requests, and no rule about keys lives here. Only the holder of the Lease runs them; where
//! two believe that they hold it, every write still is safe: a slot or status changes only if nobody changed it in
//! between, and a Secret is only made where there is none.

mod caches;
mod context;
mod directory;
mod error;
mod keys;
mod organizations;
mod queue;
mod registry;
mod runtime;
mod users;
mod written;

pub use runtime::{Controllers, Options, Subscriptions, prepare, secrets_watched};
