//! The other end of the HTTP calls that guests make.

use super::Proxy;
use crate::callouts::{CallAnswer, CallKey, HttpCall};
use crate::headers::HeaderMap;
use crate::profile::Profile;

/// What Envoy's HTTP client answers in place of a server that did not in time, and
/// of one that could not be reached.
const TIMED_OUT: (u32, &str) = (504, "upstream request timeout");
const REFUSED: (u32, &str) = (
    503,
    "upstream connect error or disconnect/reset before headers. \
     reset reason: remote connection failure",
);

impl Proxy {
    /// The calls that wait for their answer, oldest VM first.
    pub fn http_calls(&self) -> Vec<HttpCall> {
        self.process.lock().calls.all().cloned().collect()
    }

    /// Answers a call. The guest is told at once, in its root context, whether or
    /// not the request that called is still there; so it is in Envoy. Wake-ups that
    /// come of it wait.
    ///
    /// False when nobody heard it: the call is over, or its VM has failed.
    ///
    /// # Panics
    /// When the VM is paused.
    pub fn answer_call(
        &mut self,
        call: CallKey,
        status: u32,
        headers: &[(&str, &[u8])],
        body: &[u8],
    ) -> bool {
        let headers: HeaderMap = headers.iter().copied().collect();
        self.end_call(call, Some(CallAnswer::new(status, headers, body)))
    }

    /// Resets a call: the guest is told of an answer without headers. Returns as
    /// [`answer_call`](Self::answer_call) does.
    ///
    /// # Panics
    /// When the VM is paused.
    pub fn fail_call(&mut self, call: CallKey) -> bool {
        self.end_call(call, None)
    }

    /// The server cannot be reached. Envoy answers 503 in its place; nginx as
    /// [`fail_call`](Self::fail_call). Returns as
    /// [`answer_call`](Self::answer_call) does.
    ///
    /// # Panics
    /// When the VM is paused.
    pub fn refuse_call(&mut self, call: CallKey) -> bool {
        self.end_call(call, self.made_up(REFUSED))
    }

    /// The call took longer than the guest wanted to wait. Envoy answers 504 in
    /// place of the server; nginx as [`fail_call`](Self::fail_call).
    /// [`advance`](Self::advance) does this when the time has come.
    ///
    /// # Panics
    /// When the VM is paused.
    pub fn time_call_out(&mut self, call: CallKey) -> bool {
        self.end_call(call, self.made_up(TIMED_OUT))
    }

    fn made_up(&self, (status, text): (u32, &str)) -> Option<CallAnswer> {
        match self.settings.profile {
            Profile::Envoy => Some(CallAnswer::of_the_proxy(status, text)),
            Profile::Nginx => None,
        }
    }

    fn end_call(&mut self, call: CallKey, answer: Option<CallAnswer>) -> bool {
        if !self.process.lock().calls.contains(call) {
            return false;
        }
        let vm = self.vms.iter_mut().find(|vm| vm.serial() == call.vm && !vm.failed());
        let Some(vm) = vm else { return false };
        assert!(!self.paused.contains(&vm.name()), "{} is paused and hears nothing", vm.name());
        self.process.lock().calls.remove(call);
        vm.call_answered(call.id, answer);
        true
    }
}
