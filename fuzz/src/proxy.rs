//! A proxy in memory. It keeps books on its requests, so that one that is ended
//! twice, or goes on after it was ended, shows.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use kya_filter::host::{
    CallId, ContextId, Fields, HeaderMap, Host, LogLevel, MetricId, MetricKind, QueueId, Refused,
    SharedValue, StreamId, WriteError,
};
use kya_filter::request::Flow;

const BAD_ARGUMENT: Refused = Refused(2);

/// What the VMs share.
#[derive(Debug, Default)]
pub struct State {
    /// By both clocks.
    pub nanos: u64,
    data: BTreeMap<String, (Vec<u8>, u32)>,
    queues: Vec<(String, VecDeque<Vec<u8>>)>,
    /// Every stream that was opened: by whom, and what was sent.
    pub streams: Vec<Stream>,
    /// Every call that was made.
    pub calls: Vec<Call>,
    metrics: Vec<(String, u64)>,
    random: u64,
    vms: usize,
}

#[derive(Debug)]
pub struct Stream {
    pub vm: usize,
    pub sent: Vec<Vec<u8>>,
    pub open: bool,
}

#[derive(Debug)]
pub struct Call {
    pub vm: usize,
    pub path: String,
    pub body: Vec<u8>,
    pub open: bool,
}

/// How a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Arriving,
    Waiting,
    Forwarded,
    Over,
}

/// What one VM sees.
#[derive(Debug, Clone)]
pub struct VmHost {
    pub state: Rc<RefCell<State>>,
    pub vm: usize,
    requests: Rc<RefCell<Requests>>,
}

#[derive(Debug, Default)]
struct Requests {
    live: BTreeMap<ContextId, (Standing, HeaderMap)>,
    current: Option<ContextId>,
    last: u32,
    forwarded: Vec<ContextId>,
    /// Bodies of answers.
    answers: Vec<(ContextId, Vec<u8>)>,
}

impl VmHost {
    /// The host of a new VM.
    pub fn new(state: &Rc<RefCell<State>>) -> Self {
        let vm = state.borrow().vms;
        state.borrow_mut().vms += 1;
        Self { state: state.clone(), vm, requests: Rc::default() }
    }

    /// A request arrives, and the VM is asked about it.
    pub fn arrive(
        &self,
        headers: &[(&str, &str)],
        ask: impl FnOnce(ContextId) -> Flow,
    ) -> ContextId {
        let context = {
            let mut requests = self.requests.borrow_mut();
            requests.last += 1;
            let context = ContextId(requests.last);
            let headers = headers.iter().map(|(n, v)| (n.as_bytes().into(), v.as_bytes().into()));
            requests.live.insert(context, (Standing::Arriving, headers.collect()));
            requests.current = Some(context);
            context
        };
        let flow = ask(context);
        let mut requests = self.requests.borrow_mut();
        requests.current = None;
        let standing = &mut requests.live.get_mut(&context).expect("it is live").0;
        match (*standing, flow) {
            (Standing::Arriving, Flow::Continue) => {
                *standing = Standing::Forwarded;
                requests.forwarded.push(context);
            }
            (Standing::Arriving, Flow::Pause | Flow::Stop) => *standing = Standing::Waiting,
            (Standing::Over, Flow::Stop) => {}
            other => panic!("a request is {other:?}"),
        }
        context
    }

    /// Takes the requests that went to the upstream.
    pub fn take_forwarded(&self) -> Vec<ContextId> {
        std::mem::take(&mut self.requests.borrow_mut().forwarded)
    }

    /// Takes the bodies of answers.
    pub fn take_answers(&self) -> Vec<(ContextId, Vec<u8>)> {
        std::mem::take(&mut self.requests.borrow_mut().answers)
    }

    /// Takes the requests that the filter has ended.
    pub fn take_over(&self) -> Vec<ContextId> {
        let over = |_: &ContextId, it: &mut (Standing, _)| it.0 == Standing::Over;
        self.requests.borrow_mut().live.extract_if(.., over).map(|(context, _)| context).collect()
    }

    /// One of the live requests.
    pub fn nth(&self, nth: usize) -> Option<ContextId> {
        let requests = self.requests.borrow();
        requests.live.keys().nth(nth % requests.live.len().max(1)).copied()
    }

    /// A client goes away. Whether it was still there.
    pub fn leave(&self, context: ContextId) -> bool {
        self.requests.borrow_mut().live.remove(&context).is_some()
    }

    fn current(&self) -> Result<ContextId, Refused> {
        self.requests.borrow().current.ok_or(BAD_ARGUMENT)
    }

    fn free(&self) -> Result<(), Refused> {
        if self.requests.borrow().current.is_some() { Err(BAD_ARGUMENT) } else { Ok(()) }
    }

    /// A request moves on, which it can do from one of these.
    fn step(&self, context: ContextId, from: &[Standing], to: Standing) -> Result<(), Refused> {
        let mut requests = self.requests.borrow_mut();
        let standing = &mut requests.live.get_mut(&context).ok_or(BAD_ARGUMENT)?.0;
        assert!(from.contains(standing), "a request that is {standing:?} becomes {to:?}");
        *standing = to;
        if to == Standing::Forwarded {
            requests.forwarded.push(context);
        }
        Ok(())
    }

    fn answer(&self, context: ContextId, body: &[u8]) -> Result<(), Refused> {
        let live = [Standing::Arriving, Standing::Waiting, Standing::Forwarded];
        self.step(context, &live, Standing::Over)?;
        self.requests.borrow_mut().answers.push((context, body.to_vec()));
        Ok(())
    }
}

impl Host for VmHost {
    fn now_nanos(&self) -> u64 {
        self.state.borrow().nanos
    }

    fn monotonic_nanos(&self) -> Option<u64> {
        Some(self.state.borrow().nanos)
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Refused> {
        let mut state = self.state.borrow_mut();
        for byte in bytes {
            state.random = state.random.wrapping_mul(6364136223846793005).wrapping_add(1);
            *byte = (state.random >> 56) as u8;
        }
        Ok(())
    }

    fn log(&self, _: LogLevel, message: &str) {
        assert!(message.len() < 4096, "a line of a log has no bound");
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        (path == ["node", "id"]).then(|| b"sidecar".to_vec())
    }

    fn environment(&self, _: &str) -> Option<String> {
        None
    }

    fn shared_data(&self, key: &str) -> Result<Option<SharedValue>, Refused> {
        let state = self.state.borrow();
        Ok(state.data.get(key).map(|(bytes, cas)| SharedValue { bytes: bytes.clone(), cas: *cas }))
    }

    fn set_shared_data(&self, key: &str, value: &[u8]) -> Result<(), Refused> {
        let mut state = self.state.borrow_mut();
        let cas = state.data.get(key).map_or(1, |(_, cas)| cas + 1);
        state.data.insert(key.to_owned(), (value.to_vec(), cas));
        Ok(())
    }

    fn swap_shared_data(&self, key: &str, value: &[u8], cas: u32) -> Result<(), WriteError> {
        let held = self.state.borrow().data.get(key).map(|(_, held)| *held);
        if held.is_some_and(|held| held != cas) {
            return Err(WriteError::Changed);
        }
        Ok(self.set_shared_data(key, value)?)
    }

    fn register_queue(&self, name: &str) -> Result<QueueId, Refused> {
        let queues = &mut self.state.borrow_mut().queues;
        let index = queues.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            queues.push((name.to_owned(), VecDeque::new()));
            queues.len() - 1
        });
        Ok(QueueId(index as u32))
    }

    fn enqueue(&self, queue: QueueId, message: &[u8]) -> Result<(), Refused> {
        let mut state = self.state.borrow_mut();
        let (_, queue) = state.queues.get_mut(queue.0 as usize).ok_or(BAD_ARGUMENT)?;
        queue.push_back(message.to_vec());
        Ok(())
    }

    fn dequeue(&self, queue: QueueId) -> Result<Option<Vec<u8>>, Refused> {
        let mut state = self.state.borrow_mut();
        let (_, queue) = state.queues.get_mut(queue.0 as usize).ok_or(BAD_ARGUMENT)?;
        Ok(queue.pop_front())
    }

    fn open_stream(
        &self,
        _: &str,
        _: &str,
        _: &str,
        _: &[(&str, &str)],
    ) -> Result<StreamId, Refused> {
        let streams = &mut self.state.borrow_mut().streams;
        streams.push(Stream { vm: self.vm, sent: vec![], open: true });
        Ok(StreamId(streams.len() as u32 - 1))
    }

    fn send(&self, stream: StreamId, message: &[u8]) -> Result<(), Refused> {
        let mut state = self.state.borrow_mut();
        let stream = state.streams.get_mut(stream.0 as usize).expect("it was opened");
        assert!(stream.open && stream.vm == self.vm, "somebody sends on what is not theirs");
        stream.sent.push(message.to_vec());
        Ok(())
    }

    fn reset_stream(&self, stream: StreamId) {
        let mut state = self.state.borrow_mut();
        let stream = state.streams.get_mut(stream.0 as usize).expect("it was opened");
        assert!(stream.open, "a stream ends twice");
        stream.open = false;
    }

    fn http_call(
        &self,
        _: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        _: u32,
    ) -> Result<CallId, Refused> {
        let path = headers.iter().find(|(name, _)| *name == ":path").expect("it has a path").1;
        let calls = &mut self.state.borrow_mut().calls;
        calls.push(Call { vm: self.vm, path: path.into(), body: body.into(), open: true });
        Ok(CallId(calls.len() as u32 - 1))
    }

    fn define_metric(&self, _: MetricKind, name: &str) -> Result<MetricId, Refused> {
        let metrics = &mut self.state.borrow_mut().metrics;
        let index = metrics.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            metrics.push((name.to_owned(), 0));
            metrics.len() - 1
        });
        Ok(MetricId(index as u32))
    }

    fn increment_metric(&self, metric: MetricId, by: i64) {
        let value = &mut self.state.borrow_mut().metrics[metric.0 as usize].1;
        *value = value.wrapping_add_signed(by);
    }

    fn record_metric(&self, metric: MetricId, value: u64) {
        self.state.borrow_mut().metrics[metric.0 as usize].1 = value;
    }

    fn metric(&self, metric: MetricId) -> Result<u64, Refused> {
        let state = self.state.borrow();
        state.metrics.get(metric.0 as usize).map(|it| it.1).ok_or(BAD_ARGUMENT)
    }

    fn request_headers(&self) -> Result<HeaderMap, Refused> {
        let current = self.current()?;
        Ok(self.requests.borrow().live.get(&current).ok_or(BAD_ARGUMENT)?.1.clone())
    }

    fn remove_request_header(&self, _: &str) -> Result<(), Refused> {
        self.current().map(drop)
    }

    fn add_request_header(&self, _: &str, _: &str) -> Result<(), Refused> {
        self.current().map(drop)
    }

    fn respond(&self, _: u32, _: &[(&str, &str)], body: &[u8], _: &str) -> Result<(), Refused> {
        self.answer(self.current()?, body)
    }

    fn response_fields(
        &self,
        _: Fields,
        show: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Refused> {
        self.current()?;
        show(b":status", b"200");
        Ok(())
    }

    fn request_body(&self, _: usize, _: usize) -> Result<Vec<u8>, Refused> {
        self.current().map(|_| Vec::new())
    }

    fn set_property(&self, _: &str, _: &[u8]) -> Result<(), Refused> {
        self.current().map(drop)
    }

    fn finished(&self) {}

    fn resume(&self, context: ContextId) -> Result<(), Refused> {
        self.step(context, &[Standing::Waiting], Standing::Forwarded)
    }

    fn within<T>(
        &self,
        context: ContextId,
        work: impl FnOnce() -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        self.free()?;
        if !self.requests.borrow().live.contains_key(&context) {
            return Err(BAD_ARGUMENT);
        }
        self.requests.borrow_mut().current = Some(context);
        let outcome = work();
        self.requests.borrow_mut().current = None;
        outcome
    }

    fn respond_to(
        &self,
        context: ContextId,
        _: u32,
        _: &[(&str, &str)],
        body: &[u8],
        _: &str,
    ) -> Result<(), Refused> {
        self.free()?;
        self.answer(context, body)
    }

    fn reset_request(&self, context: ContextId) -> Result<(), Refused> {
        let live = [Standing::Arriving, Standing::Waiting, Standing::Forwarded];
        self.step(context, &live, Standing::Over)
    }
}
