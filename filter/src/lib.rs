//! The filter: kya inside the proxy.
//!
//! Envoy makes one VM of this module for its main thread and one for each
//! worker. They share a small table of keys, and nothing else:
//!
//! - one of them **[leads](lead)**: it talks to the control plane, checks what
//!   arrives and writes it, still signed, into the **[cache]** that all VMs share;
//! - every VM that serves requests **[works](work)**: it checks the signatures
//!   again, keeps the decoded authority in its own memory, says which revision it
//!   decides by, and ends what is in flight when its agent is stopped;
//! - a **[request]** is decided by `kya_core::decide` on its headers;
//! - every decision, and what became of the request, is reported for the
//!   **[audit]** trail.
//!
//! All of that is written against the [`Host`](host::Host) trait and runs
//! natively in tests. `abi/` is the only folder that touches the proxy-wasm
//! ABI, and exists only for wasm32.
//!
//! Nothing here panics: a panic would take the worker's VM down and every
//! request on it. The lints below make that a rule.

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

#[cfg(any(target_arch = "wasm32", test))]
mod abi;
pub mod audit;
pub mod cache;
pub mod clock;
pub mod config;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod host;
pub mod lead;
pub mod metrics;
pub mod plugin;
pub mod request;
pub mod role;
pub mod vm;
pub mod work;

#[cfg(test)]
mod interleaving_tests;
#[cfg(test)]
mod testing;
