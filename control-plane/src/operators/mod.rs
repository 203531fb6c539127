//! Who may use the HTTP API, and for what.
//!
//! Every operator has a name, a [role](roles) and a key of its own, of which only the
//! digest is kept. [`OperatorAccess::authenticate`] is the one check of a key. It asks
//! the store each time and keeps nothing, so that a revocation counts from the very next
//! request. Where an issuer of OpenID Connect is configured, its tokens count, too
//! ([`oidc`]). The built-in operator `admin` has the key in the data directory.
//!
//! **Invariant.** What is done is done under the name of an [`Operator`], which only
//! that check makes, and which no other ever had or gets.

mod access;
mod buckets;
mod error;
mod names;
mod oidc;
mod roles;

pub use access::{Operator, OperatorAccess};
pub(crate) use error::seconds;
pub use error::{AuthError, OperatorError};
pub use names::{OperatorName, OperatorNameError};
pub use oidc::{Algorithm, Oidc, TokenRefusal};
pub use roles::{Permission, Role};
