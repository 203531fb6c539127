#![doc = include_str!("../README.md")]

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
pub use vm::{Cost, Spent, Trap, VmName};
