//! What one VM sees of the proxy in memory.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use kya_core::wire;
use prost::Message;

use super::proxy::{Call, HttpCall, OpenStream, Queue, State};
use super::requests::{Exchange, Requests};
use crate::host::{
    CallId, ContextId, Fields, HeaderMap, Host, LogLevel, MetricId, MetricKind, QueueId, Refused,
    SharedValue, StreamId, WriteError,
};
use crate::request::Flow;

/// `NotFound` and `InternalFailure`.
const NOT_FOUND: Refused = Refused(1);
const INTERNAL_FAILURE: Refused = Refused(10);

/// The host of one VM.
#[derive(Clone)]
pub(crate) struct MemoryHost {
    state: Rc<State>,
    vm: usize,
    requests: Rc<RefCell<Requests>>,
}

impl MemoryHost {
    pub(super) fn new(state: Rc<State>, vm: usize) -> Self {
        Self { state, vm, requests: Rc::default() }
    }

    /// A request arrives: until [`decided`](Self::decided), the proxy is
    /// calling about it.
    pub(crate) fn arrive(&self, headers: &[(&str, &str)]) -> ContextId {
        let headers = headers.iter().map(|(n, v)| (n.as_bytes().into(), v.as_bytes().into()));
        self.requests.borrow_mut().arrive(headers.collect())
    }

    pub(crate) fn decided(&self, flow: Flow) {
        self.requests.borrow_mut().decided(flow);
    }

    pub(crate) fn response_started(&self, context: ContextId) {
        self.requests.borrow_mut().response_started(context);
    }

    /// Runs `work` while the proxy calls about a request.
    pub(crate) fn about<T>(&self, context: ContextId, work: impl FnOnce() -> T) -> T {
        self.requests.borrow_mut().call_about(context);
        let result = work();
        self.requests.borrow_mut().leave();
        result
    }

    /// Changes what the proxy knows of a request.
    pub(crate) fn change(&self, context: ContextId, change: impl FnOnce(&mut Exchange)) {
        change(self.requests.borrow_mut().get(context).expect("the request is over"));
    }

    pub(crate) fn exchange(&self, context: ContextId) -> Exchange {
        self.requests.borrow_mut().get(context).expect("the request is over").clone()
    }

    pub(crate) fn end(&self, context: ContextId) -> Exchange {
        self.requests.borrow_mut().end(context)
    }

    /// Those that the filter has answered or reset, as they stand.
    pub(crate) fn finished_requests(&self) -> Vec<(ContextId, Exchange)> {
        self.requests.borrow().finished()
    }

    pub(crate) fn take_finished(&self) -> Vec<(ContextId, Exchange)> {
        let finished = self.finished_requests();
        finished.iter().for_each(|(context, _)| drop(self.end(*context)));
        finished
    }

    /// Takes the HTTP calls that this VM has made since the last time.
    pub(crate) fn take_http_calls(&self) -> Vec<HttpCall> {
        let mut calls = self.state.calls.borrow_mut();
        let mine = calls.iter_mut().filter(|call| call.vm == self.vm && !call.taken);
        mine.map(|call| {
            call.taken = true;
            call.call.clone()
        })
        .collect()
    }

    /// A call of this VM is over.
    pub(crate) fn close_call(&self, id: CallId) {
        let mut calls = self.state.calls.borrow_mut();
        let call = calls.iter_mut().find(|call| call.call.id == id).expect("no such call");
        assert_eq!(call.vm, self.vm, "the call is another VM's");
        assert!(!call.answered, "a call was answered twice");
        call.answered = true;
    }

    /// Number of the VM that sees this.
    pub(crate) fn vm(&self) -> usize {
        self.vm
    }

    /// Whether something is in a queue that wakes this VM.
    pub(crate) fn has_mail(&self) -> bool {
        let queues = self.state.queues.borrow();
        queues.iter().any(|queue| queue.owner == self.vm && !queue.messages.is_empty())
    }

    fn check(&self, call: &'static str) -> Result<(), Refused> {
        assert!(!self.state.forbidden.borrow().contains(call), "the proxy does not survive {call}");
        if self.state.refusing.borrow().contains(call) { Err(INTERNAL_FAILURE) } else { Ok(()) }
    }
}

fn owned(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
}

impl Host for MemoryHost {
    fn now_nanos(&self) -> u64 {
        self.state.wall.get()
    }

    fn monotonic_nanos(&self) -> Option<u64> {
        self.check("monotonic_nanos").ok().map(|()| self.state.monotonic.get())
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Refused> {
        self.check("random")?;
        for byte in bytes {
            let next =
                self.state.randomness.get().wrapping_mul(6364136223846793005).wrapping_add(1);
            self.state.randomness.set(next);
            *byte = (next >> 56) as u8;
        }
        Ok(())
    }

    fn log(&self, _level: LogLevel, _message: &str) {}

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        if path == ["node", "id"] {
            return Some(b"sidecar-a".to_vec());
        }
        self.check("property").ok()?;
        let mut requests = self.requests.borrow_mut();
        requests.current().ok()?.properties.get(&path.join(".")).cloned()
    }

    fn environment(&self, name: &str) -> Option<String> {
        self.check("environment").ok()?;
        self.state.environment.borrow().get(name).cloned()
    }

    fn shared_data(&self, key: &str) -> Result<Option<SharedValue>, Refused> {
        self.check("shared_data")?;
        let data = self.state.data.borrow();
        Ok(data.get(key).map(|(bytes, cas)| SharedValue { bytes: bytes.clone(), cas: *cas }))
    }

    fn set_shared_data(&self, key: &str, value: &[u8]) -> Result<(), Refused> {
        self.check("set_shared_data")?;
        let mut data = self.state.data.borrow_mut();
        let cas = data.get(key).map_or(1, |(_, cas)| cas + 1);
        data.insert(key.to_owned(), (value.to_vec(), cas));
        Ok(())
    }

    fn swap_shared_data(&self, key: &str, value: &[u8], cas: u32) -> Result<(), WriteError> {
        let changed = self.state.data.borrow().get(key).is_some_and(|(_, held)| *held != cas);
        if changed { Err(WriteError::Changed) } else { Ok(self.set_shared_data(key, value)?) }
    }

    fn register_queue(&self, name: &str) -> Result<QueueId, Refused> {
        self.check("register_queue")?;
        let mut queues = self.state.queues.borrow_mut();
        let index = queues.iter().position(|queue| queue.name == name).unwrap_or_else(|| {
            let (name, messages) = (name.to_owned(), VecDeque::new());
            queues.push(Queue { name, owner: self.vm, messages });
            queues.len() - 1
        });
        queues[index].owner = self.vm;
        Ok(QueueId(index as u32))
    }

    fn enqueue(&self, queue: QueueId, message: &[u8]) -> Result<(), Refused> {
        self.check("enqueue")?;
        let mut queues = self.state.queues.borrow_mut();
        let queue = queues.get_mut(queue.0 as usize).ok_or(NOT_FOUND)?;
        queue.messages.push_back(message.to_vec());
        Ok(())
    }

    fn dequeue(&self, queue: QueueId) -> Result<Option<Vec<u8>>, Refused> {
        self.check("dequeue")?;
        let mut queues = self.state.queues.borrow_mut();
        let queue = queues.get_mut(queue.0 as usize).ok_or(NOT_FOUND)?;
        Ok(queue.messages.pop_front())
    }

    fn open_stream(
        &self,
        _cluster: &str,
        _service: &str,
        _method: &str,
        metadata: &[(&str, &str)],
    ) -> Result<StreamId, Refused> {
        self.check("open_stream")?;
        let mut streams = self.state.streams.borrow_mut();
        let (owner, metadata) = (self.vm, owned(metadata).collect());
        streams.push(OpenStream { owner, metadata, ..OpenStream::default() });
        Ok(StreamId(streams.len() as u32))
    }

    fn send(&self, stream: StreamId, message: &[u8]) -> Result<(), Refused> {
        self.check("send")?;
        let message = wire::ProxyMessage::decode(message).unwrap();
        self.state.streams.borrow_mut()[stream.0 as usize - 1].sent.push(message);
        Ok(())
    }

    fn reset_stream(&self, stream: StreamId) {
        self.state.streams.borrow_mut()[stream.0 as usize - 1].over = true;
    }

    fn http_call(
        &self,
        cluster: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        timeout_millis: u32,
    ) -> Result<CallId, Refused> {
        self.check("http_call")?;
        let mut calls = self.state.calls.borrow_mut();
        let id = CallId(calls.len() as u32 + 1);
        let headers = owned(headers).collect();
        let cluster = cluster.to_owned();
        let call = HttpCall { id, cluster, headers, body: body.into(), timeout_millis };
        for name in [":method", ":path", ":authority"] {
            assert!(call.headers.contains_key(name), "Envoy refuses a call without {name}");
        }
        calls.push(Call { vm: self.vm, call, taken: false, answered: false });
        Ok(id)
    }

    fn define_metric(&self, _: MetricKind, name: &str) -> Result<MetricId, Refused> {
        self.check("define_metric")?;
        let mut metrics = self.state.metrics.borrow_mut();
        let index = metrics.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            metrics.push((name.to_owned(), 0));
            metrics.len() - 1
        });
        Ok(MetricId(index as u32))
    }

    fn increment_metric(&self, metric: MetricId, by: i64) {
        let value = &mut self.state.metrics.borrow_mut()[metric.0 as usize].1;
        *value = value.wrapping_add_signed(by);
    }

    fn record_metric(&self, metric: MetricId, value: u64) {
        self.state.metrics.borrow_mut()[metric.0 as usize].1 = value;
    }

    fn metric(&self, metric: MetricId) -> Result<u64, Refused> {
        self.check("metric")?;
        let metrics = self.state.metrics.borrow();
        metrics.get(metric.0 as usize).map(|(_, value)| *value).ok_or(NOT_FOUND)
    }

    fn request_headers(&self) -> Result<HeaderMap, Refused> {
        self.check("request_headers")?;
        let mut requests = self.requests.borrow_mut();
        let headers = &requests.current()?.headers;
        Ok(headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect())
    }

    fn remove_request_header(&self, name: &str) -> Result<(), Refused> {
        self.check("remove_request_header")?;
        let mut requests = self.requests.borrow_mut();
        requests.current()?.headers.retain(|(known, _)| known != name.as_bytes());
        Ok(())
    }

    fn add_request_header(&self, name: &str, value: &str) -> Result<(), Refused> {
        self.check("add_request_header")?;
        self.requests.borrow_mut().current()?.headers.push((name.into(), value.into()));
        Ok(())
    }

    fn respond(
        &self,
        status: u32,
        headers: &[(&str, &str)],
        body: &[u8],
        _details: &str,
    ) -> Result<(), Refused> {
        self.check("respond")?;
        self.requests.borrow_mut().current()?.respond(status, headers, body);
        Ok(())
    }

    fn response_fields(
        &self,
        fields: Fields,
        show: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Refused> {
        self.check("response_fields")?;
        let exchange = self.requests.borrow_mut().current()?.clone();
        let shown = match fields {
            Fields::Headers => exchange.fields,
            Fields::Trailers => exchange.trailers,
        };
        shown.iter().for_each(|(name, value)| show(name, value));
        Ok(())
    }

    fn request_body(&self, start: usize, most: usize) -> Result<Vec<u8>, Refused> {
        self.check("request_body")?;
        let mut requests = self.requests.borrow_mut();
        let part = &requests.current()?.part;
        Ok(part.iter().skip(start).take(most).copied().collect())
    }

    fn set_property(&self, name: &str, value: &[u8]) -> Result<(), Refused> {
        self.check("set_property")?;
        self.requests.borrow_mut().current()?.set.insert(name.to_owned(), value.to_vec());
        Ok(())
    }

    fn finished(&self) {
        self.state.finished.borrow_mut().push(self.vm);
    }

    fn resume(&self, context: ContextId) -> Result<(), Refused> {
        self.check("resume")?;
        self.requests.borrow_mut().get(context)?.resume();
        Ok(())
    }

    fn within<T>(
        &self,
        context: ContextId,
        work: impl FnOnce() -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        self.check("within")?;
        self.requests.borrow_mut().enter(context)?;
        let outcome = work();
        self.requests.borrow_mut().leave();
        outcome
    }

    fn respond_to(
        &self,
        context: ContextId,
        status: u32,
        headers: &[(&str, &str)],
        body: &[u8],
        _details: &str,
    ) -> Result<(), Refused> {
        self.check("respond_to")?;
        self.requests.borrow_mut().other(context)?.respond(status, headers, body);
        Ok(())
    }

    fn reset_request(&self, context: ContextId) -> Result<(), Refused> {
        self.check("reset_request")?;
        self.requests.borrow_mut().get(context)?.reset();
        Ok(())
    }
}
