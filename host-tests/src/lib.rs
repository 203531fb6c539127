//! A proxy-wasm host for tests: it runs a compiled filter as Envoy would, in one
//! thread, by a clock that the test moves, and in the same way every time.
//!
//! A [`Proxy`] is a simulated Envoy process. It runs a [`Program`], any module of
//! the proxy-wasm ABI 0.2.1, in several VMs: a canary that tries the configuration
//! and is dropped, one for the main thread, and one for each worker. The VMs
//! share data, queues, stats and the clock, each by Envoy's rules:
//!
//! ```
//! use std::time::Duration;
//! use kya_host_tests::{Program, Proxy};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A module that lets everything pass. Yours comes from `Program::from_file`.
//! let program = Program::from_binary(b"\0asm\x01\0\0\0")?;
//! let mut proxy = Proxy::builder(&program).workers(2).start("{}")?;
//! proxy.advance(Duration::from_secs(1));
//! let outcome = proxy.request(0, &[("authorization", b"Bearer x")]);
//! let upstream = outcome.forwarded().ok_or("it was not forwarded")?;
//! assert_eq!(upstream.get("authorization"), Some(&b"Bearer x"[..]));
//! # Ok(())
//! # }
//! ```
//!
//! - **Time and turns**: [`Proxy::advance`] fires ticks and delivers queue
//!   wake-ups; [`Proxy::set_order`] chooses who comes first.
//! - **Requests**: [`Proxy::request`], or [`Proxy::begin`] and [`Proxy::finish`]
//!   with other things in between.
//! - **gRPC**: the test is the server. [`Proxy::grpc_streams`],
//!   [`Proxy::take_sent`], [`Proxy::send`], [`Proxy::close`].
//! - **Faults**: [`Proxy::crash`], [`Proxy::replace`], [`Proxy::pause`],
//!   [`Proxy::lose_wakes`], [`Proxy::fail_streams`], [`Proxy::set_wall_clock`].
//! - **What came of it**: [`Outcome`], [`Proxy::metric`], [`Proxy::log`],
//!   [`Proxy::shared_data`].
//!
//! A guest that traps, or answers one request twice, fails the test when the
//! proxy is dropped, unless the test took the trap itself.
//!
//! What is not here yet answers `Unimplemented`: HTTP and unary gRPC callouts,
//! bodies, responses and trailers. Imports that the host does not know trap when
//! they are called.
//!
//! [`kya`] is what the tests of this project's own filter share.

pub mod abi;
mod callouts;
mod clock;
mod fault;
mod grpc;
mod headers;
mod hostcalls;
mod http;
pub mod kya;
mod log;
mod metrics;
mod process;
mod profile;
mod program;
mod proxy;
mod random;
mod shared_data;
mod shared_queue;
mod threads;
mod vm;

pub use callouts::{CallKey, HttpCall};
pub use fault::{Fault, UnknownHostCall, host_calls};
pub use grpc::{GrpcStream, StreamFailure, StreamKey};
pub use headers::HeaderMap;
pub use http::{LocalResponse, Message, Outcome, RequestState};
pub use log::{LogLine, LogSource};
pub use profile::Profile;
pub use program::{Program, ProgramError};
pub use proxy::{Event, FailurePolicy, InFlight, Proxy, ProxyBuilder, Schedule, StartError};
pub use shared_data::SharedData;
pub use threads::{ThreadRequest, VmThread};
pub use vm::{Cost, Trap, VmName};
