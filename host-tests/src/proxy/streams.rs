//! The other end of the gRPC streams that guests open.

use super::Proxy;
use crate::abi::ROOT_CONTEXT;
use crate::grpc::{GrpcStream, StreamFailure, StreamKey};
use crate::vm::{Vm, VmName};

impl Proxy {
    /// The open streams, oldest VM first.
    pub fn grpc_streams(&self) -> Vec<GrpcStream> {
        self.process.borrow().grpc.all()
    }

    /// Takes what the guest sent on a stream since the last time. The stream may
    /// be over.
    pub fn take_sent(&mut self, stream: StreamKey) -> Vec<Vec<u8>> {
        self.process.borrow_mut().grpc.take_sent(stream)
    }

    /// Delivers a message to the guest. Wake-ups that come of it wait.
    ///
    /// False when nobody received it: the stream is over, or its VM has failed.
    ///
    /// # Panics
    /// When the VM is paused.
    pub fn send(&mut self, stream: StreamKey, message: &[u8]) -> bool {
        let Some(vm) = self.receiver(stream) else { return false };
        let length = u32::try_from(message.len()).expect("a message of less than 4 GiB");
        self.vm_mut(vm).state().grpc_message = Some(message.to_vec());
        let arguments = [ROOT_CONTEXT, stream.id, length];
        self.call(vm, ROOT_CONTEXT, "proxy_on_grpc_receive", &arguments);
        self.vm_mut(vm).state().grpc_message = None;
        true
    }

    /// Closes a stream with a gRPC status (14 is "unavailable"), and tells the
    /// guest.
    pub fn close(&mut self, stream: StreamKey, grpc_status: u32) {
        let receiver = self.receiver(stream);
        // One that is over stays so.
        let _ = self.process.borrow_mut().grpc.remove(stream);
        if let Some(vm) = receiver {
            self.vm_mut(vm).state().grpc_status = (grpc_status, String::new());
            let arguments = [ROOT_CONTEXT, stream.id, grpc_status];
            self.call(vm, ROOT_CONTEXT, "proxy_on_grpc_close", &arguments);
        }
    }

    /// Makes every stream that is opened from now on fail, or (with `None`) not.
    pub fn fail_streams(&mut self, failure: Option<StreamFailure>) {
        self.process.borrow_mut().grpc.failure = failure;
    }

    /// The VM that hears what is sent on a stream.
    fn receiver(&self, stream: StreamKey) -> Option<VmName> {
        if !self.process.borrow().grpc.is_open(stream) {
            return None;
        }
        let vm = self.vms.iter().find(|vm| vm.serial() == stream.vm && !vm.failed())?;
        assert!(!self.paused.contains(&vm.name()), "{} is paused and hears nothing", vm.name());
        Some(Vm::name(vm))
    }
}
