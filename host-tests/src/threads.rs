//! The VMs of a proxy on threads of their own.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use crate::grpc::StreamKey;
use crate::http::{Outcome, RequestState};
use crate::process::SharedProcess;
use crate::proxy::{Proxy, complete};
use crate::vm::{Vm, VmName};

/// One VM of a [`Proxy`], in the hands of its own thread: [`Proxy::in_threads`].
///
/// What it shares with the others is behind one lock, as in Envoy. Its requests, its
/// timer and its wake-ups are its own; the clock is everybody's.
pub struct VmThread<'a> {
    vm: &'a mut Vm,
    process: SharedProcess,
}

/// A request that a thread has begun. [`VmThread::finish`] ends it; one that is left
/// to itself stays in its VM.
#[derive(Debug)]
#[must_use = "a request ends with `VmThread::finish`"]
pub struct ThreadRequest(u32);

impl Proxy {
    /// Runs `work` once for each VM, each on an operating-system thread of its own,
    /// all at once, and returns when every one is done. What happens in which order
    /// is up to the machine: this is for what must hold in every order.
    ///
    /// Nobody delivers wake-ups or fires timers but `work` itself. Afterwards the
    /// proxy goes on in one thread, with whatever is still owed.
    ///
    /// ```
    /// use kya_host_tests::{Program, Proxy, VmName};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let program = Program::from_binary(b"\0asm\x01\0\0\0")?;
    /// let mut proxy = Proxy::builder(&program).workers(2).start("{}")?;
    /// let served = proxy.in_threads(|vm| match vm.name() {
    ///     VmName::Worker(_) => (0..10).filter(|_| vm.request(&[]).forwarded().is_some()).count(),
    ///     _ => 0,
    /// });
    /// assert_eq!(served, [0, 10, 10]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// When `work` panics in some thread, after all of them have ended.
    pub fn in_threads<T: Send>(&mut self, work: impl Fn(&mut VmThread<'_>) -> T + Sync) -> Vec<T> {
        let (process, vms) = self.parts();
        let start = Barrier::new(vms.len());
        let (work, start) = (&work, &start);
        let results: Vec<_> = thread::scope(|scope| {
            let running: Vec<_> = vms
                .iter_mut()
                .map(|vm| {
                    let mut thread = VmThread { vm, process: process.clone() };
                    scope.spawn(move || {
                        start.wait();
                        work(&mut thread)
                    })
                })
                .collect();
            running.into_iter().map(thread::ScopedJoinHandle::join).collect()
        });
        let ended = results
            .into_iter()
            .map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        ended.collect()
    }
}

impl VmThread<'_> {
    /// Which VM this is.
    pub fn name(&self) -> VmName {
        self.vm.name()
    }

    /// True when the VM trapped. It is not replaced while threads run.
    pub fn failed(&self) -> bool {
        self.vm.failed()
    }

    /// As [`Proxy::request`], in this VM.
    pub fn request(&mut self, headers: &[(&str, &[u8])]) -> Outcome {
        match self.begin(headers) {
            Some(request) => self.finish(request),
            None => Outcome::FailClosed,
        }
    }

    /// As [`Proxy::begin`], in this VM; `None` when it has failed.
    pub fn begin(&mut self, headers: &[(&str, &[u8])]) -> Option<ThreadRequest> {
        if self.failed() {
            return None;
        }
        Some(ThreadRequest(self.vm.begin(complete(headers), true)))
    }

    /// As [`Proxy::state`].
    pub fn state(&self, request: &ThreadRequest) -> RequestState {
        let stream = self.vm.peek().any_http(request.0);
        stream.map_or(RequestState::FailedClosed, |stream| stream.state())
    }

    /// As [`Proxy::finish`].
    pub fn finish(&mut self, request: ThreadRequest) -> Outcome {
        self.vm.finish(request.0).unwrap_or(Outcome::FailClosed)
    }

    /// Delivers the oldest wake-up that this VM is owed; false when there is none.
    pub fn deliver_wake(&mut self) -> bool {
        self.vm.wake()
    }

    /// Fires the timer of this VM now, unless it has failed.
    pub fn tick(&mut self) {
        if !self.failed() {
            self.vm.tick();
        }
    }

    /// Moves the clock of the whole process on.
    pub fn advance_clock(&mut self, duration: Duration) {
        self.process.lock().clock.advance(duration);
    }

    /// As [`Proxy::send`], when the stream is of this VM.
    pub fn send(&mut self, stream: StreamKey, message: &[u8]) -> bool {
        let mine = self.vm.owns(stream) && !self.failed();
        if !mine || !self.process.lock().grpc.is_open(stream) {
            return false;
        }
        self.vm.grpc_message(stream.id, message);
        true
    }

    /// The streams that this VM has open.
    pub fn grpc_streams(&self) -> Vec<StreamKey> {
        let all = self.process.lock().grpc.all();
        all.into_iter().map(|stream| stream.key).filter(|key| self.vm.owns(*key)).collect()
    }

    /// As [`Proxy::take_sent`].
    pub fn take_sent(&mut self, stream: StreamKey) -> Vec<Vec<u8>> {
        self.process.lock().grpc.take_sent(stream)
    }
}
