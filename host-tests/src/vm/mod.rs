//! One VM: an instance of the filter with a memory of its own.

mod ends;
mod events;
mod instance;
mod spent;
mod state;
mod streams;
mod trap;

pub(crate) use instance::{Vm, call_guest};
pub use spent::Spent;
pub(crate) use state::{AfterCall, Context, Retirement, VmSettings, VmState, grpc_stream_id};
pub use trap::{Cost, Trap};

use std::fmt;

/// Which VM of a process. A replaced VM has the name of the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VmName {
    /// Made to try a configuration, then dropped.
    Canary,
    /// The one of the main thread. It sees no requests.
    Main,
    /// The one of this worker thread, from 0.
    Worker(usize),
}

impl fmt::Display for VmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Canary => f.write_str("canary"),
            Self::Main => f.write_str("main"),
            Self::Worker(index) => write!(f, "worker {index}"),
        }
    }
}
