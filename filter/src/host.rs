//! The seam: everything the filter asks of the proxy that runs it.
//!
//! One implementation calls the proxy-wasm ABI (`abi/`), another keeps all of
//! it in memory for native tests. Every call that a proxy can refuse returns a
//! `Result`; none panics.

mod header_map;

use std::fmt;

use thiserror::Error;

pub use header_map::HeaderMap;

/// The proxy's status for a call that did not succeed
/// (proxy-wasm ABI 0.2.1, `proxy_status_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the proxy answered with status {0}")]
pub struct Refused(pub u32);

/// Why a conditional write of shared data did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WriteError {
    /// Somebody else wrote the key since it was read.
    #[error("the value was changed by another VM since it was read")]
    Changed,
    /// The proxy refused the write.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// A value of shared data and the number to overwrite exactly it with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedValue {
    /// The bytes; empty where a value was "removed" (keys cannot be).
    pub bytes: Vec<u8>,
    /// Compare-and-swap number of this value; never 0.
    pub cas: u32,
}

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Part of normal work, such as a connection made.
    Info,
    /// Something to look at; enforcement goes on.
    Warn,
    /// The filter cannot work as it is configured.
    Error,
}

/// What kind of number a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Is set.
    Gauge,
}

/// A metric of the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricId(pub u32);

/// A shared queue. A message to it wakes the VM that registered it last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueId(pub u32);

/// A gRPC stream that this VM opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamId(pub u32);

/// How a gRPC stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEnd {
    /// The gRPC status.
    pub status: u32,
    /// What the other side said about it; it may have said nothing.
    pub message: String,
}

impl StreamEnd {
    /// The end of a stream with the `grpc-message` that came with it, which is
    /// percent-encoded (gRPC over HTTP/2, "Responses"). What is kept is
    /// printable and of bounded length.
    pub fn new(status: u32, encoded: &[u8]) -> Self {
        const MAX_CHARS: usize = 256;
        let mut bytes = Vec::new();
        let mut rest = encoded;
        while let Some((byte, tail)) = rest.split_first() {
            let escaped = (*byte == b'%').then(|| tail.split_first_chunk()).flatten();
            match escaped.and_then(|(digits, tail)| Some((hex(*digits)?, tail))) {
                Some((byte, tail)) => {
                    bytes.push(byte);
                    rest = tail;
                }
                None => {
                    bytes.push(*byte);
                    rest = tail;
                }
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        let message = text.chars().filter(|char| !char.is_control()).take(MAX_CHARS).collect();
        Self { status, message }
    }
}

fn hex(digits: [u8; 2]) -> Option<u8> {
    let text = std::str::from_utf8(&digits).ok()?;
    let plain = digits.iter().all(u8::is_ascii_hexdigit);
    plain.then(|| u8::from_str_radix(text, 16).ok()).flatten()
}

impl fmt::Display for StreamEnd {
    /// The status by its name in the gRPC specification, and the message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 17] = [
            "OK",
            "CANCELLED",
            "UNKNOWN",
            "INVALID_ARGUMENT",
            "DEADLINE_EXCEEDED",
            "NOT_FOUND",
            "ALREADY_EXISTS",
            "PERMISSION_DENIED",
            "RESOURCE_EXHAUSTED",
            "FAILED_PRECONDITION",
            "ABORTED",
            "OUT_OF_RANGE",
            "UNIMPLEMENTED",
            "INTERNAL",
            "UNAVAILABLE",
            "DATA_LOSS",
            "UNAUTHENTICATED",
        ];
        let name = usize::try_from(self.status).ok().and_then(|status| NAMES.get(status));
        match name {
            Some(name) => f.write_str(name)?,
            None => write!(f, "gRPC status {}", self.status)?,
        }
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

/// One HTTP stream of this VM, as the ABI numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContextId(pub u32);

/// An HTTP call that this VM has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u32);

/// What an HTTP call was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// The whole body, at most [`MAX_BODY`] bytes.
    pub body: Vec<u8>,
}

/// Longest body that is taken of the response to an HTTP call: the largest
/// manifest (4.2 MiB, the hashes of 2^17 and 2^12 chunks) and what surrounds it. A
/// longer one counts as no response.
pub const MAX_BODY: usize = (4 << 20) + (256 << 10);

/// Most requests to resume, answer or reset in one callback of a VM. Envoy does
/// each when the callback is over, inside of what the one before it caused: at
/// 306 answers the stack of the VM is full, and all its requests fail (Envoy 1.36
/// and 1.40, with no other filter; resumed requests whose upstream cannot be
/// reached do the same).
pub const MAX_AT_ONCE: usize = 32;

/// Which fields of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fields {
    /// Its headers, with `:status`.
    Headers,
    /// Its trailers.
    Trailers,
}

/// What the filter asks of the proxy.
pub trait Host {
    /// Nanoseconds since 1970 by the proxy's wall clock; 0 if it shows none.
    fn now_nanos(&self) -> u64;
    /// Nanoseconds of a clock that is never set, comparable between the VMs of
    /// one proxy; `None` if the proxy shows none.
    fn monotonic_nanos(&self) -> Option<u64>;
    /// Fills `bytes` from the proxy's random source.
    fn random(&self, bytes: &mut [u8]) -> Result<(), Refused>;
    /// Writes a line to the proxy's log. Never give it a secret.
    fn log(&self, level: LogLevel, message: &str);
    /// A property of the proxy, by its path; `None` if it has none.
    fn property(&self, path: &[&str]) -> Option<Vec<u8>>;
    /// An environment variable that the proxy gives its VMs (Envoy:
    /// `vm_config.environment_variables`); `None` too if it is not UTF-8.
    fn environment(&self, name: &str) -> Option<String>;

    /// Reads shared data; `None` for a key that was never written.
    fn shared_data(&self, key: &str) -> Result<Option<SharedValue>, Refused>;
    /// Writes shared data, whatever is there.
    fn set_shared_data(&self, key: &str, value: &[u8]) -> Result<(), Refused>;
    /// Writes shared data if nobody did since `cas` was read.
    fn swap_shared_data(&self, key: &str, value: &[u8], cas: u32) -> Result<(), WriteError>;

    /// Makes a queue, or takes over the one of this name, and receives its
    /// wake-ups from now on.
    fn register_queue(&self, name: &str) -> Result<QueueId, Refused>;
    /// Puts a message into a queue and wakes its owner.
    fn enqueue(&self, queue: QueueId, message: &[u8]) -> Result<(), Refused>;
    /// Takes the oldest message out of a queue.
    fn dequeue(&self, queue: QueueId) -> Result<Option<Vec<u8>>, Refused>;

    /// Opens a bidirectional gRPC stream through a cluster of the proxy, with
    /// this initial metadata.
    fn open_stream(
        &self,
        cluster: &str,
        service: &str,
        method: &str,
        metadata: &[(&str, &str)],
    ) -> Result<StreamId, Refused>;
    /// Sends one message on a stream.
    fn send(&self, stream: StreamId, message: &[u8]) -> Result<(), Refused>;
    /// Ends a stream at once; no event follows.
    fn reset_stream(&self, stream: StreamId);

    /// Makes an HTTP call through a cluster of the proxy; `headers` hold the
    /// pseudo headers (`:method`, `:path`, `:authority`). Exactly one
    /// `http_response` of the VM follows a call that was made, whatever becomes
    /// of the request that caused it, and none follows one that was refused
    /// (Envoy refuses where the cluster has no healthy host, too). Envoy's own
    /// 503 and 504 stand for an upstream that was not reached or in time.
    fn http_call(
        &self,
        cluster: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        timeout_millis: u32,
    ) -> Result<CallId, Refused>;

    /// Makes a metric, or finds the one of this name.
    fn define_metric(&self, kind: MetricKind, name: &str) -> Result<MetricId, Refused>;
    /// Adds to a counter.
    fn increment_metric(&self, metric: MetricId, by: i64);
    /// Sets a gauge.
    fn record_metric(&self, metric: MetricId, value: u64);
    /// The value of a metric (Envoy: 0.1 us, the cheapest thing that all VMs see).
    fn metric(&self, metric: MetricId) -> Result<u64, Refused>;

    /// Every header of the current request, in order, duplicates included.
    fn request_headers(&self) -> Result<HeaderMap, Refused>;
    /// Removes every header of this name from the current request.
    fn remove_request_header(&self, name: &str) -> Result<(), Refused>;
    /// Adds a header to the current request.
    fn add_request_header(&self, name: &str, value: &str) -> Result<(), Refused>;
    /// Answers the current request in the upstream's place. At most once for
    /// each request. `details` shows in the proxy's access log.
    fn respond(
        &self,
        status: u32,
        headers: &[(&str, &str)],
        body: &[u8],
        details: &str,
    ) -> Result<(), Refused>;

    /// Shows every field of the response to the current request, in order, duplicates
    /// included.
    fn response_fields(
        &self,
        fields: Fields,
        show: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Refused>;
    /// A piece of the part of the body of the current request that is before the filter:
    /// at most `most` bytes from byte `start` on.
    fn request_body(&self, start: usize, most: usize) -> Result<Vec<u8>, Refused>;
    /// Sets a property of the current request, for the proxy's access log (Envoy: the
    /// filter state object of this name after `wasm.`).
    fn set_property(&self, name: &str, value: &[u8]) -> Result<(), Refused>;
    /// The plugin has nothing more to do, after it was told that it is over and had.
    fn finished(&self);

    /// Lets a request go on that was paused at its headers. May be called from
    /// any callback of this VM, once for each request, and for [`MAX_AT_ONCE`].
    fn resume(&self, context: ContextId) -> Result<(), Refused>;
    /// Runs `work` as if the proxy were calling about this request: header reads
    /// and writes and [`respond`](Self::respond) are about it. Refused where
    /// [`respond_to`](Self::respond_to) is, and if the request is over.
    fn within<T>(
        &self,
        context: ContextId,
        work: impl FnOnce() -> Result<T, Refused>,
    ) -> Result<T, Refused>;
    /// Answers a request of this VM as [`respond`](Self::respond) does, also at
    /// most once, but from a callback that is about no request: a tick, a queue,
    /// a stream, an HTTP response, and for [`MAX_AT_ONCE`] of them. From the
    /// callback of a request it is refused, since Envoy would hold that one for
    /// ever (its flag that a local response stops the request is one for the
    /// whole VM).
    fn respond_to(
        &self,
        context: ContextId,
        status: u32,
        headers: &[(&str, &str)],
        body: &[u8],
        details: &str,
    ) -> Result<(), Refused>;
    /// Ends a request, whatever it is doing, from any callback of this VM: its
    /// stream is reset. At most once, and for [`MAX_AT_ONCE`]. Over HTTP/1 the
    /// connection is closed; Envoy does that after its `delayed_close_timeout`,
    /// and nothing more is sent meanwhile.
    fn reset_request(&self, context: ContextId) -> Result<(), Refused>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_stream_reads_as_a_sentence() {
        for (status, encoded, expected) in [
            (3, &b"node_id%20is%20empty"[..], "INVALID_ARGUMENT: node_id is empty"),
            (14, b"", "UNAVAILABLE"),
            (99, b"", "gRPC status 99"),
            (2, b"100%", "UNKNOWN: 100%"),
            (2, b"%+1%zz%0a%00%e2%82%ac", "UNKNOWN: %+1%zz\u{20ac}"),
            (2, b"%ff", "UNKNOWN: \u{fffd}"),
        ] {
            assert_eq!(StreamEnd::new(status, encoded).to_string(), expected);
        }
        let long = StreamEnd::new(0, &[b'x'; 10_000]);
        assert_eq!(long.message.len(), 256);
    }
}
