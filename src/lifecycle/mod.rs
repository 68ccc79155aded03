//! The decisions of a key's life: pure functions of what is and the time.
//!
//! Knows no client, no runtime, no database, and no clock of its own: `now` is always passed in.

pub mod conditions;
pub mod deadlines;
pub mod import;
pub mod issue;
pub mod membership;
pub mod record;
pub mod slots;
pub mod standing;
pub mod status;
mod view;

pub use view::{KeyView, OrganizationTerms, OwnerState};
