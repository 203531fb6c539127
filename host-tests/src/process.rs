//! What all VMs of a simulated process have in common.

use std::cell::RefCell;
use std::rc::Rc;

use crate::clock::Clock;
use crate::grpc::GrpcStreams;
use crate::log::LogLine;
use crate::metrics::Metrics;
use crate::random::Random;
use crate::shared_data::SharedData;
use crate::shared_queue::SharedQueues;

/// The state of a process outside of its VMs. Host calls borrow it for a moment
/// and never across a call into a guest.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) clock: Clock,
    pub(crate) shared_data: SharedData,
    pub(crate) queues: SharedQueues,
    pub(crate) metrics: Metrics,
    pub(crate) grpc: GrpcStreams,
    pub(crate) random: Random,
    pub(crate) log: Vec<LogLine>,
    /// What a guest did that no filter may do.
    pub(crate) violations: Vec<String>,
}

/// The process as each of its VMs holds it.
pub(crate) type SharedProcess = Rc<RefCell<Process>>;

impl Process {
    pub(crate) fn new(unix_nanos: u64, seed: u64) -> Self {
        Self {
            clock: Clock::starting_at(unix_nanos),
            shared_data: SharedData::default(),
            queues: SharedQueues::default(),
            metrics: Metrics::default(),
            grpc: GrpcStreams::default(),
            random: Random::from_seed(seed),
            log: Vec::new(),
            violations: Vec::new(),
        }
    }
}
