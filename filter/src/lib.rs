//! The filter: kya inside the proxy.
//!
//! Envoy makes one VM of this module for its main thread and one for each
//! worker. They share a small table of keys, and nothing else:
//!
//! - one of them, the **[leader]**, holds the stream to the control plane,
//!   checks what arrives and writes it, still signed, into the
//!   **[cache]** that all VMs share;
//! - every VM that serves requests is a **[worker]**: it checks the
//!   signatures again, keeps the decoded authority in its own memory, and says
//!   which revision it decides by;
//! - a **[request]** is decided by `kya_core::decide` on its headers.
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

#[cfg(any(test, target_arch = "wasm32"))]
mod abi;
pub mod boot;
pub mod cache;
pub mod config;
pub mod headers;
pub mod host;
pub mod in_flight;
pub mod leader;
pub mod lease;
pub mod metrics;
pub mod records;
pub mod request;
pub mod retry;
pub mod roster;
pub mod stream;
pub mod vm;
pub mod worker;

#[cfg(test)]
mod interleaving_tests;
#[cfg(test)]
mod testing;
