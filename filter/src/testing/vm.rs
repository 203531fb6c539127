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
        self.begin_as(headers, true)
    }

    /// The same, with a body to come.
    pub(crate) fn begin_with_body(&mut self, headers: &[(&str, &str)]) -> (ContextId, Flow) {
        self.begin_as(headers, false)
    }

    fn begin_as(&mut self, headers: &[(&str, &str)], end: bool) -> (ContextId, Flow) {
        let context = self.host.arrive(headers);
        // What Envoy shows of every request.
        self.host.change(context, |it| {
            it.properties.insert("response.flags".into(), vec![0; 8]);
        });
        let flow = self.vm.request(context, end);
        self.host.decided(flow);
        if flow == Flow::Continue {
            self.reaches_upstream(context);
        }
        (context, flow)
    }

    /// A request is on a connection to its upstream.
    pub(crate) fn reaches_upstream(&self, context: ContextId) {
        self.show(context, "upstream.address", b"10.0.0.1:80");
        self.show(context, "upstream.local_address", b"10.0.0.9:40000");
        self.show(context, "upstream.request_attempt_count", &1u64.to_le_bytes());
    }

    /// There is no upstream for a request.
    pub(crate) fn misses_upstream(&self, context: ContextId) {
        self.host.change(context, |it| {
            it.properties.remove("upstream.address");
            it.properties.remove("upstream.local_address");
            it.properties.remove("upstream.request_attempt_count");
        });
    }

    /// A request waits for a connection to its upstream.
    pub(crate) fn waits_for_upstream(&self, context: ContextId) {
        self.host.change(context, |it| drop(it.properties.remove("upstream.local_address")));
    }

    /// The proxy shows something of a request from now on.
    pub(crate) fn show(&self, context: ContextId, property: &str, value: &[u8]) {
        self.host.change(context, |it| {
            it.properties.insert(property.to_owned(), value.to_vec());
        });
    }

    /// A part of the body of a request arrives, the last one if `end`.
    pub(crate) fn client_sends(&mut self, context: ContextId, part: &[u8], end: bool) -> Flow {
        self.host.change(context, |it| it.part = part.to_vec());
        let vm = &mut self.vm;
        self.host.about(context, || vm.request_body(context, part.len(), end))
    }

    /// A request with this token arrives, and stays live until [`end`](Self::end).
    pub(crate) fn begin_with(&mut self, token: &OpaqueToken) -> (ContextId, Flow) {
        self.begin(&[("authorization", &bearer(token))])
    }

    /// What has become of a live request.
    pub(crate) fn exchange(&self, context: ContextId) -> Exchange {
        self.host.exchange(context)
    }

    /// The upstream's response to a request arrives, and goes on.
    pub(crate) fn upstream_responds(&mut self, context: ContextId) {
        self.upstream_answers(context, &[(":status", "200")], false);
    }

    /// The upstream's response to a request arrives, and nothing follows if `end`.
    pub(crate) fn upstream_answers(
        &mut self,
        context: ContextId,
        headers: &[(&str, &str)],
        end: bool,
    ) {
        self.show(context, "response.code_details", b"via_upstream");
        self.answers(context, headers, end);
    }

    /// Somebody answers, and nothing follows if `end`.
    pub(crate) fn answers(&mut self, context: ContextId, headers: &[(&str, &str)], end: bool) {
        let fields: Vec<_> =
            headers.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect();
        self.host.change(context, |it| it.fields = fields);
        self.host.response_started(context);
        let vm = &mut self.vm;
        self.host.about(context, || vm.response_started(context, end));
    }

    /// The last part of the response has come.
    pub(crate) fn upstream_ends(&mut self, context: ContextId) {
        let vm = &mut self.vm;
        self.host.about(context, || vm.response_ended(context));
    }

    /// A request is over, for whatever reason. This is how it had come to stand.
    pub(crate) fn end(&mut self, context: ContextId) -> Exchange {
        let vm = &mut self.vm;
        self.host.about(context, || vm.request_ended(context));
        self.host.end(context)
    }

    /// Does what Envoy does after each callback: what the filter answered goes
    /// out, past the filter, and with what it reset is over.
    pub(crate) fn settle(&mut self) -> Vec<(ContextId, Exchange)> {
        let finished = self.host.finished_requests();
        let vm = &mut self.vm;
        for (context, exchange) in &finished {
            self.host.about(*context, || {
                if exchange.standing == super::Standing::Answered {
                    vm.response_started(*context, false);
                }
                vm.request_ended(*context);
            });
            self.host.end(*context);
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
