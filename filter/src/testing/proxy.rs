//! What the VMs of one proxy share, and what a test does to it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use kya_core::wire;

use super::MemoryHost;
use crate::host::{CallId, StreamId};

/// A proxy in memory: VMs that share data, queues, metrics and clocks. The test
/// moves time, and nothing happens by itself.
#[derive(Clone, Default)]
pub(crate) struct Proxy(pub(super) Rc<State>);

#[derive(Default)]
pub(super) struct State {
    pub(super) wall: Cell<u64>,
    pub(super) monotonic: Cell<u64>,
    pub(super) data: RefCell<BTreeMap<String, (Vec<u8>, u32)>>,
    pub(super) queues: RefCell<Vec<Queue>>,
    pub(super) streams: RefCell<Vec<OpenStream>>,
    pub(super) calls: RefCell<Vec<Call>>,
    pub(super) metrics: RefCell<Vec<(String, u64)>>,
    pub(super) environment: RefCell<BTreeMap<String, String>>,
    pub(super) randomness: Cell<u64>,
    /// Calls that the proxy refuses from now on.
    pub(super) refusing: RefCell<BTreeSet<&'static str>>,
    /// Calls that crash it from now on.
    pub(super) forbidden: RefCell<BTreeSet<&'static str>>,
    pub(super) vms: Cell<usize>,
    /// The VMs that have said that they have finished, by number.
    pub(super) finished: RefCell<Vec<usize>>,
}

/// A shared queue, and the VM that it wakes.
pub(super) struct Queue {
    pub(super) name: String,
    pub(super) owner: usize,
    pub(super) messages: VecDeque<Vec<u8>>,
}

#[derive(Default)]
pub(super) struct OpenStream {
    pub(super) owner: usize,
    pub(super) metadata: Vec<(String, String)>,
    pub(super) sent: Vec<wire::ProxyMessage>,
    /// It was reset from this side, or ended.
    pub(super) over: bool,
}

/// An HTTP call, from when it is made.
pub(super) struct Call {
    /// The VM that made it, and that alone is told of the response.
    pub(super) vm: usize,
    pub(super) call: HttpCall,
    pub(super) taken: bool,
    pub(super) answered: bool,
}

/// An HTTP call that a VM made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HttpCall {
    pub(crate) id: CallId,
    pub(crate) cluster: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout_millis: u32,
}

impl Proxy {
    pub(crate) fn new() -> Self {
        let proxy = Self::default();
        proxy.0.wall.set(1_000_000_000_000);
        proxy.0.monotonic.set(1_000_000_000);
        proxy
    }

    /// What a new VM sees.
    pub(crate) fn host(&self) -> MemoryHost {
        let vm = self.0.vms.get();
        self.0.vms.set(vm + 1);
        MemoryHost::new(self.0.clone(), vm)
    }

    /// Time passes, by both clocks.
    pub(crate) fn advance_nanos(&self, nanos: u64) {
        self.0.wall.set(self.0.wall.get() + nanos);
        self.0.monotonic.set(self.0.monotonic.get() + nanos);
    }

    /// Somebody sets the wall clock ahead.
    pub(crate) fn set_ahead_nanos(&self, nanos: u64) {
        self.0.wall.set(self.0.wall.get() + nanos);
    }

    /// Somebody sets the wall clock back.
    pub(crate) fn set_back_nanos(&self, nanos: u64) {
        self.0.wall.set(self.0.wall.get() - nanos);
    }

    /// From now on the proxy refuses the call of [`Host`](crate::host::Host) of
    /// this name; `monotonic_nanos` then shows no clock.
    pub(crate) fn refuse(&self, call: &'static str) {
        self.0.refusing.borrow_mut().insert(call);
    }

    /// Ends what [`refuse`](Self::refuse) began.
    pub(crate) fn allow(&self, call: &'static str) {
        self.0.refusing.borrow_mut().remove(call);
    }

    /// From now on this call is one that the proxy does not survive.
    pub(crate) fn forbid(&self, call: &'static str) {
        self.0.forbidden.borrow_mut().insert(call);
    }

    /// Writes shared data as another plugin of the same VM scope can.
    pub(crate) fn meddle(&self, key: &str, value: &[u8]) {
        let mut data = self.0.data.borrow_mut();
        let cas = data.get(key).map_or(1, |(_, cas)| cas + 1);
        data.insert(key.to_owned(), (value.to_vec(), cas));
    }

    /// What shared data holds, by key.
    pub(crate) fn data(&self) -> BTreeMap<String, Vec<u8>> {
        let data = self.0.data.borrow();
        data.iter().map(|(key, (bytes, _))| (key.clone(), bytes.clone())).collect()
    }

    pub(crate) fn set_environment(&self, name: &str, value: &str) {
        self.0.environment.borrow_mut().insert(name.into(), value.into());
    }

    pub(crate) fn metric(&self, name: &str) -> u64 {
        self.0.metrics.borrow().iter().find(|(known, _)| known == name).map_or(0, |(_, v)| *v)
    }

    /// The VMs that have said that they have finished.
    pub(crate) fn finished(&self) -> Vec<usize> {
        self.0.finished.borrow().clone()
    }

    /// The stream that was opened last, if it still is.
    pub(crate) fn stream(&self) -> Option<StreamId> {
        let streams = self.0.streams.borrow();
        streams.last().filter(|stream| !stream.over)?;
        Some(StreamId(streams.len() as u32))
    }

    /// How many streams were ever opened.
    pub(crate) fn streams_opened(&self) -> usize {
        self.0.streams.borrow().len()
    }

    /// How many messages wait in queues.
    pub(crate) fn queued(&self) -> usize {
        self.0.queues.borrow().iter().map(|queue| queue.messages.len()).sum()
    }

    /// The VM that opened a stream, if the stream is still open.
    pub(crate) fn owner_of(&self, stream: StreamId) -> Option<usize> {
        let streams = self.0.streams.borrow();
        streams.get(stream.0 as usize - 1).filter(|stream| !stream.over).map(|it| it.owner)
    }

    /// The connection of every stream is gone. Returns those that were open.
    pub(crate) fn end_streams(&self) -> Vec<(StreamId, usize)> {
        let mut streams = self.0.streams.borrow_mut();
        let open = streams.iter_mut().enumerate().filter(|(_, stream)| !stream.over);
        open.map(|(index, stream)| {
            stream.over = true;
            (StreamId(index as u32 + 1), stream.owner)
        })
        .collect()
    }

    /// The initial metadata of the stream that was opened last.
    pub(crate) fn stream_metadata(&self) -> Vec<(String, String)> {
        self.0.streams.borrow().last().map(|stream| stream.metadata.clone()).unwrap_or_default()
    }

    /// Takes what was sent on every stream that is still open.
    pub(crate) fn take_all_sent(&self) -> Vec<(StreamId, wire::proxy_message::Message)> {
        let mut streams = self.0.streams.borrow_mut();
        let open = streams.iter_mut().enumerate().filter(|(_, stream)| !stream.over);
        open.flat_map(|(index, stream)| {
            let id = StreamId(index as u32 + 1);
            std::mem::take(&mut stream.sent).into_iter().map(move |sent| (id, sent))
        })
        .filter_map(|(id, sent)| Some((id, sent.message?)))
        .collect()
    }
}
