//! The rules of kya.
//!
//! Everything here is a pure function of its arguments: no I/O, no clock, no
//! randomness. `now` and random bytes come in, values go out. The crate builds
//! for `wasm32-wasip1`, where the filter uses it, and natively, where the
//! control plane and the tests do, so that both decide by the same code.
//!
//! Start at [`decide`]: it is the one decision function. [`Authority`] and a
//! [`TokenTable`] are the state that it reads, [`Image`] the chunks in which that
//! state travels and [`Change`] one step of it,
//! [`SignedUpdate`](wire::SignedUpdate) what it travels in, [`Verifier`] the only
//! way to turn received bytes into a [`VerifiedUpdate`]. Tokens that say themselves
//! what they are good for are in [`jwt`].

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

pub mod action;
pub mod audit;
mod authority;
mod bearer;
mod change;
mod credential;
mod decision;
pub mod drill;
mod freshness;
mod grant;
pub mod headers;
mod ids;
mod image;
pub mod jwt;
mod key_forms;
mod key_ring;
mod keys;
mod manifest;
mod node;
mod operator;
mod path;
pub mod policy;
#[cfg(test)]
mod shorthand;
mod standing;
pub mod table;
#[cfg(any(test, feature = "testing"))]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "only tests run it, and are to fail"
)]
pub mod testing;
mod time;
mod token;
mod update;
pub mod wire;

pub use action::{ActionMap, ActionName};
pub use authority::{
    ApplyError, Authority, DRAIN_SECONDS, MAX_DELEGATION, PolicyMissing, PolicyUsed,
};
pub use bearer::{Bearer, Held};
pub use change::{Agent, Change, MAX_ACTION_BYTES, MAX_POLICY_BYTES};
pub use credential::{Credential, Source, subprotocols_without_credential};
pub use decision::{Decision, DenyReason, Moment, Request, Stop, TokenTable, Unreadable, decide};
pub use freshness::{Anchor, Freshness, Monotonic};
pub use grant::{Grant, MAX_GRANT_ACTIONS, MAX_GRANT_SERVICES, MAX_SERVICE_BYTES};
pub use ids::{
    AgentId, ApprovalId, CapabilityId, DrillId, Id, IdError, IdKind, KillId, PolicyId, PrincipalId,
    TokenId,
};
pub use image::{BadRecord, Image, PublishedImage};
pub use key_forms::{WrittenKey, WrittenKeyError};
pub use keys::{KeyError, KeyId, PublicKey, Signer};
pub use manifest::{ImageId, MAX_CHUNK_BYTES, Manifest, chunk_hash, records};
pub use node::{NodeCredential, NodeCredentialDigest};
pub use operator::{OperatorKey, OperatorKeyDigest};
pub use path::{PathError, exact as exact_path};
pub use policy::{Policy, PolicyDenied, PolicyDocument, PolicyName, PolicyVersion};
pub use standing::{Denied, InFlight, Standing, Status};
pub use table::{Fingerprint, GrantIndex, TokenEntry};
pub use time::{UnixMillis, UnixSeconds};
pub use token::{OpaqueToken, TokenDigest, TokenError};
pub use update::{
    Body, MAX_CHANGES, MAX_KEYS, Nonce, Position, Revision, UpdateError, VerifiedUpdate, Verifier,
    sign_update,
};

#[cfg(feature = "schema")]
mod schema;
