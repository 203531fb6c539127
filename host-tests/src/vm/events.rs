//! Events of a VM that are not about one of its requests.

use super::{AfterCall, Retirement, Trap, Vm};
use crate::abi::ROOT_CONTEXT;
use crate::callouts::CallAnswer;
use crate::grpc::StreamKey;

/// The status of a callout that came to nothing, and Envoy's word for it.
const BROKEN_CONNECTION: u32 = 11;
const RESET: &str = "reset";

/// What a trap that has been remembered said.
pub(crate) struct Trapped(pub(crate) String);

impl Vm {
    /// Runs something that calls the guest. A trap is remembered, and costs every
    /// request of the VM.
    pub(crate) fn guarded<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Trap>,
    ) -> Result<T, Trapped> {
        work(self).map_err(|trap| {
            let trapped = Trapped(trap.to_string());
            self.peek().process.lock().traps.push(trap);
            self.fail_streams();
            trapped
        })
    }

    /// As [`guarded`](Self::guarded), for a call that nobody waits for.
    fn notify(&mut self, work: impl FnOnce(&mut Self) -> Result<(), Trap>) {
        // It is remembered.
        let _ = self.guarded(work);
    }

    /// Does what host calls have put off until the guest returned.
    pub(crate) fn after_call(&mut self) -> Result<(), Trap> {
        while let Some(action) = self.state().after_call.pop_front() {
            match action {
                AfterCall::GrpcClose { context, id, grpc_status } => {
                    self.state().status = (grpc_status, String::new());
                    self.call(context, "proxy_on_grpc_close", &[context, id, grpc_status])?;
                }
                AfterCall::Continue { context, direction, inside } => {
                    self.resume(context, direction, inside)?;
                }
                AfterCall::Respond { context } => self.respond(context)?,
                AfterCall::Reset { context } => self.reset(context)?,
            }
        }
        Ok(())
    }

    /// Fires the timer now and starts it anew.
    pub(crate) fn tick(&mut self) {
        self.notify(|vm| vm.call(ROOT_CONTEXT, "proxy_on_tick", &[ROOT_CONTEXT]).map(drop));
        let now = self.peek().process.lock().clock.monotonic();
        if let Some(tick) = &mut self.state().tick {
            tick.due = now + tick.period;
        }
    }

    /// Tells the plugin that it is over.
    pub(crate) fn retire(&mut self) {
        self.state().retirement = Retirement::Asked;
        self.notify(|vm| {
            let answer = vm.call(ROOT_CONTEXT, "proxy_on_done", &[ROOT_CONTEXT])?;
            if answer != Some(0) {
                vm.state().retirement = Retirement::Done;
            }
            Ok(())
        });
    }

    /// When the timer is due, if the VM works and has one.
    pub(crate) fn tick_due(&self) -> Option<u64> {
        if self.failed() { None } else { self.peek().tick.map(|tick| tick.due) }
    }

    /// Delivers the oldest wake-up that the VM is owed; false when there is none.
    pub(crate) fn wake(&mut self) -> bool {
        if self.failed() {
            return false;
        }
        let serial = self.serial();
        let wake = self.peek().process.lock().queues.take_wake(serial);
        let Some(wake) = wake else { return false };
        let arguments = [wake.context, wake.queue];
        self.notify(|vm| vm.call(wake.context, "proxy_on_queue_ready", &arguments).map(drop));
        true
    }

    /// Delivers a gRPC message.
    pub(crate) fn grpc_message(&mut self, id: u32, message: &[u8]) {
        let length = u32::try_from(message.len()).expect("a message of less than 4 GiB");
        self.state().grpc_message = Some(message.to_vec());
        let arguments = [ROOT_CONTEXT, id, length];
        self.notify(|vm| {
            let called = vm.call_alone(ROOT_CONTEXT, "proxy_on_grpc_receive", &arguments);
            vm.state().grpc_message = None;
            called?;
            vm.after_call()
        });
    }

    /// Says that a gRPC stream is over.
    pub(crate) fn grpc_closed(&mut self, id: u32, grpc_status: u32) {
        self.state().status = (grpc_status, String::new());
        let arguments = [ROOT_CONTEXT, id, grpc_status];
        self.notify(|vm| vm.call(ROOT_CONTEXT, "proxy_on_grpc_close", &arguments).map(drop));
    }

    /// Delivers the answer to an HTTP callout, or (with `None`) says that there is
    /// none. It goes to the root context, whoever called.
    pub(crate) fn call_answered(&mut self, id: u32, answer: Option<CallAnswer>) {
        let count = |n: usize| u32::try_from(n).expect("an answer of less than 4 GiB");
        let arguments = match &answer {
            Some(answer) => {
                [ROOT_CONTEXT, id, count(answer.headers.len()), count(answer.body.len()), 0]
            }
            None => {
                self.state().status = (BROKEN_CONNECTION, RESET.to_owned());
                [ROOT_CONTEXT, id, 0, 0, 0]
            }
        };
        self.state().call_answer = answer;
        self.notify(|vm| {
            let called = vm.call_alone(ROOT_CONTEXT, "proxy_on_http_call_response", &arguments);
            let state = vm.state();
            state.call_answer = None;
            state.status.1.clear();
            called?;
            vm.after_call()
        });
    }

    /// True when this VM has the other end of the stream.
    pub(crate) fn owns(&self, stream: StreamKey) -> bool {
        self.serial() == stream.vm
    }
}
