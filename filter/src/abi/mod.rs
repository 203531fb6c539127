//! The proxy-wasm ABI, version 0.2.1: `imports` is what the proxy offers,
//! `proxy` what the filter makes of it, `exports` what the proxy calls. Nothing
//! outside this folder knows it.
//!
//! Written by hand rather than with the `proxy-wasm` crate, whose host calls
//! panic on any status that they do not list (a gRPC client that cannot be made,
//! a header read in a late phase) and whose dispatcher panics on a context or a
//! callback that it does not expect. A panic costs a worker its VM and every
//! request on it. And one read of all headers, one of shared data and one of the
//! clock are all that a decision needs.
//!
//! Source: <https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1>.

mod contexts;
#[cfg(target_arch = "wasm32")]
mod effective;
#[cfg(target_arch = "wasm32")]
mod exports;
#[cfg(target_arch = "wasm32")]
mod handed;
#[cfg(target_arch = "wasm32")]
mod imports;
mod maps;
#[cfg(target_arch = "wasm32")]
mod proxy;
#[cfg(target_arch = "wasm32")]
mod wasi;
