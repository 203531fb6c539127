//! Test support for kya's own filter: where it is, and a control plane that the
//! test plays.

mod answers;
mod control_plane;
mod filter;
mod sidecar;

pub use answers::{Denial, assert_allowed, assert_denied, bearer};
pub use control_plane::{ControlPlane, agent_id, altered};
pub use filter::filter;
pub use sidecar::Sidecar;
