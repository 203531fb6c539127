//! The other end of the gRPC streams that guests open.

use super::Proxy;
use crate::grpc::{GrpcStream, StreamFailure, StreamKey};
use crate::vm::Vm;

impl Proxy {
    /// The open streams, oldest VM first.
    pub fn grpc_streams(&self) -> Vec<GrpcStream> {
        self.process.lock().grpc.all()
    }

    /// Takes what the guest sent on a stream since the last time. The stream may
    /// be over.
    pub fn take_sent(&mut self, stream: StreamKey) -> Vec<Vec<u8>> {
        self.process.lock().grpc.take_sent(stream)
    }

    /// Delivers a message to the guest. Wake-ups that come of it wait.
    ///
    /// False when nobody received it: the stream is over, or its VM has failed.
    ///
    /// # Panics
    /// When the VM is paused.
    pub fn send(&mut self, stream: StreamKey, message: &[u8]) -> bool {
        let Some(vm) = self.receiver(stream) else { return false };
        vm.grpc_message(stream.id, message);
        true
    }

    /// Closes a stream with a gRPC status (14 is "unavailable"), and tells the
    /// guest.
    pub fn close(&mut self, stream: StreamKey, grpc_status: u32) {
        let process = self.process.clone();
        let receiver = self.receiver(stream);
        // One that is over stays so.
        let _ = process.lock().grpc.remove(stream);
        if let Some(vm) = receiver {
            vm.grpc_closed(stream.id, grpc_status);
        }
    }

    /// Makes every stream that is opened from now on fail, or (with `None`) not.
    pub fn fail_streams(&mut self, failure: Option<StreamFailure>) {
        self.process.lock().grpc.failure = failure;
    }

    /// The VM that hears what is sent on a stream.
    fn receiver(&mut self, stream: StreamKey) -> Option<&mut Vm> {
        if !self.process.lock().grpc.is_open(stream) {
            return None;
        }
        let vm = self.vms.iter_mut().find(|vm| vm.owns(stream) && !vm.failed())?;
        assert!(!self.paused.contains(&vm.name()), "{} is paused and hears nothing", vm.name());
        Some(vm)
    }
}
