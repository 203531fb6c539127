//! What all VMs of a simulated process have in common.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::callouts::HttpCalls;
use crate::clock::Clock;
use crate::fault::{Effect, Fault, Faults};
use crate::grpc::GrpcStreams;
use crate::log::LogLine;
use crate::metrics::Metrics;
use crate::profile::Profile;
use crate::random::Random;
use crate::shared_data::SharedData;
use crate::shared_queue::SharedQueues;
use crate::vm::{Trap, VmName};

/// The state of a process outside of its VMs. Host calls lock it for a moment
/// and never across a call into a guest.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) clock: Clock,
    pub(crate) shared_data: SharedData,
    pub(crate) queues: SharedQueues,
    pub(crate) metrics: Metrics,
    pub(crate) grpc: GrpcStreams,
    pub(crate) calls: HttpCalls,
    pub(crate) random: Random,
    pub(crate) log: Vec<LogLine>,
    /// Traps that nobody has taken yet.
    pub(crate) traps: Vec<Trap>,
    /// What a guest did that no filter may do.
    pub(crate) violations: Vec<String>,
    faults: Faults,
}

/// The process as each of its VMs holds it: behind one lock, as Envoy guards its
/// shared data and queues.
#[derive(Debug, Clone)]
pub(crate) struct SharedProcess(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    process: Mutex<Process>,
    /// True while there are faults: host calls look before they lock.
    armed: AtomicBool,
}

impl SharedProcess {
    pub(crate) fn new(profile: Profile, unix_nanos: u64, seed: u64) -> Self {
        let process = Process {
            clock: Clock::starting_at(unix_nanos),
            shared_data: SharedData::new(profile),
            queues: SharedQueues::new(profile),
            metrics: Metrics::default(),
            grpc: GrpcStreams::default(),
            calls: HttpCalls::default(),
            random: Random::from_seed(seed),
            log: Vec::new(),
            traps: Vec::new(),
            violations: Vec::new(),
            faults: Faults::default(),
        };
        Self(Arc::new(Shared { process: Mutex::new(process), armed: AtomicBool::new(false) }))
    }

    /// A test thread that panicked leaves the state as it was between two calls.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Process> {
        self.0.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn inject(&self, fault: Fault) {
        self.lock().faults.add(fault);
        self.0.armed.store(true, Ordering::Release);
    }

    pub(crate) fn clear_faults(&self) {
        self.lock().faults = Faults::default();
        self.0.armed.store(false, Ordering::Release);
    }

    pub(crate) fn pending_faults(&self) -> Vec<Fault> {
        self.lock().faults.pending()
    }

    /// The fault that strikes this host call, if one does.
    pub(crate) fn fault(&self, call: &str, vm: VmName) -> Option<Effect> {
        if self.0.armed.load(Ordering::Acquire) {
            self.lock().faults.strike(call, vm)
        } else {
            None
        }
    }
}
