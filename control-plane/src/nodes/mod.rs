//! Who may connect as a proxy.
//!
//! A proxy is let in by a bearer credential, of which only the digest is kept.
//! [`NodeAccess::authenticate`] is the one check: the stream and every other door
//! for proxies ask it, and hold the [`NodeIdentity`] that it gives for as long as
//! they serve. An identity ends at the instant at which its registration is
//! revoked or expires.
//!
//! **Invariant.** Nothing is sent to a proxy, and no authority is read for it,
//! before it is authenticated. There is no way to turn that off.

mod access;
mod elsewhere;
mod identity;
mod names;
mod sessions;

pub use crate::bearer::BearerError;
pub use access::{AccessError, NodeAccess};
pub use identity::NodeIdentity;
pub use names::{NodeName, NodeNameError, NodePattern, NodePatternError};
