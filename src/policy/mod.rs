//! What a key may be used for: which calls, from which addresses.
//!
//! Pure rules over compiled patterns. Knows no client, no runtime, no resource.

mod addresses;
mod calls;
mod path;

pub use addresses::{AddressRanges, InvalidRange};
pub use calls::{CallRules, InvalidRules};
pub use path::{CanonicalPath, InvalidPattern, NotCanonical, PathPattern};
