//! Test support for kya's own filter: where it is, and a control plane that the
//! test plays.

mod acting;
mod answers;
mod control_plane;
mod feeds;
mod filter;
pub mod instructions;
mod sidecar;

pub use acting::Presented;
pub use answers::{Denial, assert_allowed, assert_denied, bearer};
pub use control_plane::{ControlPlane, NODE_CREDENTIAL, altered, forged};
pub use filter::{filter, unmetered_filter};
pub use kya_core::testing::{agent_id, token};
pub use sidecar::Sidecar;
