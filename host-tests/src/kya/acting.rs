//! Requests that do something: each is an action, by a token of either kind.

use kya_core::OpaqueToken;
use kya_core::testing::capabilities::route;

use super::{ControlPlane, Sidecar};
use crate::http::Outcome;
use crate::proxy::InFlight;

/// A token as it is sent.
pub trait Presented {
    /// Its bytes.
    fn bytes(&self) -> &[u8];
}

impl Presented for OpaqueToken {
    fn bytes(&self) -> &[u8] {
        self.reveal().as_bytes()
    }
}

impl Presented for str {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Presented for String {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Presented for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

impl Sidecar {
    /// A sidecar before a service that takes capability tokens and knows what some
    /// requests do, with everything that `control` has.
    ///
    /// # Panics
    /// When it does not start, or nothing can be told to its workers.
    #[track_caller]
    pub fn acting(control: &mut ControlPlane, workers: usize) -> Self {
        let configuration = control.acting_configuration().to_string();
        let sidecar = Self::configured(Self::builder(workers), configuration);
        let mut sidecar = sidecar.expect("the filter starts");
        sidecar.sync(control);
        sidecar.await_reports(control, workers);
        sidecar
    }

    /// A request for this action through this worker, to its end.
    pub fn act(
        &mut self,
        worker: usize,
        action: &str,
        token: &(impl Presented + ?Sized),
    ) -> Outcome {
        let request = self.begin_act(worker, action, token);
        self.proxy.finish(request)
    }

    /// A request for this action through this worker, which is in flight if it is
    /// allowed.
    pub fn begin_act(
        &mut self,
        worker: usize,
        action: &str,
        token: &(impl Presented + ?Sized),
    ) -> InFlight {
        let (method, path) = route(action);
        let bearer = [b"Bearer ", token.bytes()].concat();
        let headers = [
            (":method", method.as_bytes()),
            (":path", path.as_bytes()),
            ("authorization", bearer.as_slice()),
        ];
        self.proxy.begin(worker, &headers)
    }
}
