//! One VM under test, and what the proxy calls it about.

use kya_core::OpaqueToken;

use super::{Exchange, HttpCall, MemoryHost, Proxy, bearer, config, token};
use crate::config::Config;
use crate::host::{CallId, ContextId, HttpResponse};
use crate::request::Flow;
use crate::vm::Vm;

/// A VM and the host that it sees.
pub(crate) struct TestVm {
    pub(crate) vm: Vm<MemoryHost>,
    pub(crate) host: MemoryHost,
}

impl TestVm {
    pub(crate) fn new(proxy: &Proxy) -> Self {
        Self::with(proxy, config())
    }

    pub(crate) fn with(proxy: &Proxy, config: Config) -> Self {
        let host = proxy.host();
        Self { vm: Vm::new(host.clone(), config, None).unwrap(), host }
    }

    /// A request arrives, and stays live until [`end`](Self::end).
    pub(crate) fn begin(&mut self, headers: &[(&str, &str)]) -> (ContextId, Flow) {
        let context = self.host.arrive(headers);
        let flow = self.vm.request(context);
        self.host.decided(flow);
        (context, flow)
    }

    /// A request with this token arrives, and stays live until [`end`](Self::end).
    pub(crate) fn begin_with(&mut self, token: &OpaqueToken) -> (ContextId, Flow) {
        self.begin(&[("authorization", &bearer(token))])
    }

    /// What has become of a live request.
    pub(crate) fn exchange(&self, context: ContextId) -> Exchange {
        self.host.exchange(context)
    }

    /// The upstream's response to a request arrives.
    pub(crate) fn upstream_responds(&mut self, context: ContextId) {
        self.host.response_started(context);
        self.vm.response_started(context);
    }

    /// A request is over, for whatever reason. This is how it had come to stand.
    pub(crate) fn end(&mut self, context: ContextId) -> Exchange {
        let exchange = self.host.end(context);
        self.vm.request_ended(context);
        exchange
    }

    /// Does what Envoy does after each callback: what the filter answered goes
    /// out, past the filter, and with what it reset is over.
    pub(crate) fn settle(&mut self) -> Vec<(ContextId, Exchange)> {
        let finished = self.host.take_finished();
        for (context, exchange) in &finished {
            if exchange.standing == super::Standing::Answered {
                self.vm.response_started(*context);
            }
            self.vm.request_ended(*context);
        }
        finished
    }

    /// A request arrives; what was answered at once is over.
    pub(crate) fn request(&mut self, headers: &[(&str, &str)]) -> (Flow, Exchange) {
        let (context, flow) = self.begin(headers);
        let exchange = self.exchange(context);
        self.settle();
        (flow, exchange)
    }

    /// The status of the answer to a request with token `n`; 200 if forwarded.
    pub(crate) fn status_of(&mut self, n: u8) -> u32 {
        self.status_with(&token(n))
    }

    /// The status of the answer to a request with this token; 200 if forwarded.
    pub(crate) fn status_with(&mut self, token: &OpaqueToken) -> u32 {
        let (context, flow) = self.begin_with(token);
        let exchange = self.exchange(context);
        self.settle();
        if flow == Flow::Continue {
            self.end(context);
        }
        match (flow, exchange) {
            (Flow::Continue, Exchange { response: None, .. }) => 200,
            (Flow::Stop, Exchange { response: Some((status, ..)), .. }) => status,
            other => panic!("neither forwarded nor answered: {other:?}"),
        }
    }

    /// Takes the HTTP calls that this VM has made since the last time.
    pub(crate) fn take_http_calls(&self) -> Vec<HttpCall> {
        self.host.take_http_calls()
    }

    /// A call of this VM is answered.
    pub(crate) fn answer_http(&mut self, call: CallId, status: u16, body: &[u8]) {
        self.host.close_call(call);
        self.vm.http_response(call, Some(HttpResponse { status, body: body.into() }));
    }

    /// A call of this VM fails or runs out of time.
    pub(crate) fn fail_http(&mut self, call: CallId) {
        self.host.close_call(call);
        self.vm.http_response(call, None);
    }
}
