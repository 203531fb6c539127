//! The rules of kya.
//!
//! Everything here is a pure function of its arguments: no I/O, no clock, no
//! randomness. `now` and random bytes come in, values go out. The crate builds
//! for `wasm32-wasip1`, where the filter uses it, and natively, where the
//! control plane and the tests do, so that both decide by the same code.
//!
//! Start at [`decide`]: it is the one decision function. [`Authority`] is the
//! state that it reads, [`SignedUpdate`](wire::SignedUpdate) how that state
//! travels, [`Verifier`] the only way to turn received bytes into a
//! [`VerifiedUpdate`].

// The filter runs this code: a panic would take a worker's VM down.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::string_slice
    )
)]

mod authority;
mod credential;
mod decision;
mod ids;
mod keys;
mod node;
#[cfg(test)]
mod testing;
mod time;
mod token;
mod update;
pub mod wire;

pub use authority::{AgentStatus, ApplyError, Authority, TokenGrant};
pub use credential::Credential;
pub use decision::{Decision, DenyReason, Request, decide};
pub use ids::{AgentId, Id, IdError, IdKind, PolicyId, TokenId};
pub use keys::{KeyError, KeyId, PublicKey, Signer};
pub use node::{NodeCredential, NodeCredentialDigest};
pub use time::{UnixMillis, UnixSeconds};
pub use token::{OpaqueToken, TokenDigest, TokenError};
pub use update::{
    Body, Nonce, Position, Revision, UpdateError, VerifiedUpdate, Verifier, sign_update,
};
