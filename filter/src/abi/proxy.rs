//! The proxy that runs this VM, as the filter sees it.

use super::imports::*;
use super::{effective, handed, maps, wasi};
use crate::host::{
    CallId, ContextId, Fields, HeaderMap, Host, LogLevel, MetricId, MetricKind, QueueId, Refused,
    SharedValue, StreamId, WriteError,
};

// Statuses (`proxy_status_t`).
const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const EMPTY: u32 = 7;
const CAS_MISMATCH: u32 = 8;

/// The compare-and-swap number with which Envoy writes whatever is there. To
/// ngx_wasm_module it says that nothing is: what is there must be read first.
const ANY: u32 = 0;
/// Attempts at writing while other VMs do.
const ATTEMPTS: usize = 8;

const BAD_ARGUMENT: Refused = Refused(2);
const PARSE_FAILURE: Refused = Refused(4);
const UNIMPLEMENTED: Refused = Refused(12);

// `proxy_header_map_type_t`.
const REQUEST_HEADERS: u32 = 0;
const RESPONSE_HEADERS: u32 = 2;
const RESPONSE_TRAILERS: u32 = 3;

/// `proxy_stream_type_t`: the request of an HTTP stream. To close it resets the
/// whole stream in Envoy, whatever it is doing (`decoder_callbacks_->resetStream`).
const HTTP_REQUEST: u32 = 0;

/// No gRPC status of our own: Envoy derives one from the HTTP status when the
/// request was gRPC.
const DERIVED_GRPC_STATUS: i32 = -1;

/// Asks to be ticked regularly.
pub(super) fn set_tick_period(millis: u32) -> Result<(), Refused> {
    // SAFETY: no pointers.
    check(unsafe { proxy_set_tick_period_milliseconds(millis) })
}

/// The proxy, to the plugin of one root context.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proxy {
    root: u32,
}

impl Proxy {
    pub(super) fn new(root: u32) -> Self {
        Self { root }
    }
}

// SAFETY of every call below: pointer and length come from one live slice that
// the proxy only reads during the call, or point to a local that it writes
// during the call. The proxy answers bad pointers with a status.
impl Host for Proxy {
    fn now_nanos(&self) -> u64 {
        let mut time = 0;
        unsafe { proxy_get_current_time_nanoseconds(&mut time) };
        time
    }

    fn monotonic_nanos(&self) -> Option<u64> {
        wasi::monotonic_nanos()
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Refused> {
        wasi::random(bytes)
    }

    fn log(&self, level: LogLevel, message: &str) {
        let level = match level {
            LogLevel::Info => 2,
            LogLevel::Warn => 3,
            LogLevel::Error => 4,
        };
        unsafe { proxy_log(level, message.as_ptr(), message.len()) };
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        let path = path.join("\0");
        let mut out = Returned::new();
        let status =
            unsafe { proxy_get_property(path.as_ptr(), path.len(), &mut out.data, &mut out.size) };
        (status == OK).then(|| out.take())
    }

    fn environment(&self, name: &str) -> Option<String> {
        wasi::environment(name)
    }

    fn shared_data(&self, key: &str) -> Result<Option<SharedValue>, Refused> {
        let mut out = Returned::new();
        let mut cas = 0;
        let status = unsafe {
            proxy_get_shared_data(key.as_ptr(), key.len(), &mut out.data, &mut out.size, &mut cas)
        };
        match status {
            OK => Ok(Some(SharedValue { bytes: out.take(), cas })),
            NOT_FOUND => Ok(None),
            status => Err(Refused(status)),
        }
    }

    fn set_shared_data(&self, key: &str, value: &[u8]) -> Result<(), Refused> {
        let mut cas = ANY;
        for _ in 0..ATTEMPTS {
            match self.swap_shared_data(key, value, cas) {
                Ok(()) => return Ok(()),
                Err(WriteError::Changed) => cas = self.shared_data(key)?.map_or(ANY, |it| it.cas),
                Err(WriteError::Refused(refused)) => return Err(refused),
            }
        }
        Err(Refused(CAS_MISMATCH))
    }

    fn swap_shared_data(&self, key: &str, value: &[u8], cas: u32) -> Result<(), WriteError> {
        let status = unsafe {
            proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas)
        };
        match status {
            CAS_MISMATCH => Err(WriteError::Changed),
            status => Ok(check(status)?),
        }
    }

    fn register_queue(&self, name: &str) -> Result<QueueId, Refused> {
        let mut queue = 0;
        check(unsafe { proxy_register_shared_queue(name.as_ptr(), name.len(), &mut queue) })?;
        Ok(QueueId(queue))
    }

    fn enqueue(&self, queue: QueueId, message: &[u8]) -> Result<(), Refused> {
        check(unsafe { proxy_enqueue_shared_queue(queue.0, message.as_ptr(), message.len()) })
    }

    fn dequeue(&self, queue: QueueId) -> Result<Option<Vec<u8>>, Refused> {
        let mut out = Returned::new();
        match unsafe { proxy_dequeue_shared_queue(queue.0, &mut out.data, &mut out.size) } {
            OK => Ok(Some(out.take())),
            EMPTY => Ok(None),
            status => Err(Refused(status)),
        }
    }

    fn open_stream(
        &self,
        cluster: &str,
        service: &str,
        method: &str,
        metadata: &[(&str, &str)],
    ) -> Result<StreamId, Refused> {
        let metadata = maps::write(metadata);
        let mut stream = 0;
        effective::within_root(self.root, || {
            check(unsafe {
                proxy_grpc_stream(
                    cluster.as_ptr(),
                    cluster.len(),
                    service.as_ptr(),
                    service.len(),
                    method.as_ptr(),
                    method.len(),
                    metadata.as_ptr(),
                    metadata.len(),
                    &mut stream,
                )
            })
        })?;
        Ok(StreamId(stream))
    }

    fn send(&self, stream: StreamId, message: &[u8]) -> Result<(), Refused> {
        effective::within_root(self.root, || {
            check(unsafe { proxy_grpc_send(stream.0, message.as_ptr(), message.len(), 0) })
        })
    }

    fn reset_stream(&self, stream: StreamId) {
        // One that is gone already is what was wanted.
        let _ = effective::within_root(self.root, || check(unsafe { proxy_grpc_cancel(stream.0) }));
    }

    fn http_call(
        &self,
        cluster: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        timeout_millis: u32,
    ) -> Result<CallId, Refused> {
        let headers = maps::write(headers);
        let trailers = maps::write(&[]);
        let mut call = 0;
        effective::within_root(self.root, || {
            check(unsafe {
                proxy_http_call(
                    cluster.as_ptr(),
                    cluster.len(),
                    headers.as_ptr(),
                    headers.len(),
                    body.as_ptr(),
                    body.len(),
                    trailers.as_ptr(),
                    trailers.len(),
                    timeout_millis,
                    &mut call,
                )
            })
        })?;
        Ok(CallId(call))
    }

    fn define_metric(&self, kind: MetricKind, name: &str) -> Result<MetricId, Refused> {
        let kind = match kind {
            MetricKind::Counter => 0,
            MetricKind::Gauge => 1,
        };
        let mut metric = 0;
        check(unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &mut metric) })?;
        Ok(MetricId(metric))
    }

    fn increment_metric(&self, metric: MetricId, by: i64) {
        unsafe { proxy_increment_metric(metric.0, by) };
    }

    fn record_metric(&self, metric: MetricId, value: u64) {
        unsafe { proxy_record_metric(metric.0, value) };
    }

    fn metric(&self, metric: MetricId) -> Result<u64, Refused> {
        let mut value = 0;
        check(unsafe { proxy_get_metric(metric.0, &mut value) })?;
        Ok(value)
    }

    fn request_headers(&self) -> Result<HeaderMap, Refused> {
        let mut out = Returned::new();
        check(unsafe {
            proxy_get_header_map_pairs(REQUEST_HEADERS, &mut out.data, &mut out.size)
        })?;
        // A map that cannot be read must not pass for an empty one.
        maps::read(out.take()).ok_or(PARSE_FAILURE)
    }

    fn remove_request_header(&self, name: &str) -> Result<(), Refused> {
        check(unsafe { proxy_remove_header_map_value(REQUEST_HEADERS, name.as_ptr(), name.len()) })
    }

    fn add_request_header(&self, name: &str, value: &str) -> Result<(), Refused> {
        check(unsafe {
            proxy_add_header_map_value(
                REQUEST_HEADERS,
                name.as_ptr(),
                name.len(),
                value.as_ptr(),
                value.len(),
            )
        })
    }

    fn respond(
        &self,
        status: u32,
        headers: &[(&str, &str)],
        body: &[u8],
        details: &str,
    ) -> Result<(), Refused> {
        let headers = maps::write(headers);
        check(unsafe {
            proxy_send_local_response(
                status,
                details.as_ptr(),
                details.len(),
                body.as_ptr(),
                body.len(),
                headers.as_ptr(),
                headers.len(),
                DERIVED_GRPC_STATUS,
            )
        })
    }

    fn response_fields(
        &self,
        fields: Fields,
        show: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Refused> {
        let map = match fields {
            Fields::Headers => RESPONSE_HEADERS,
            Fields::Trailers => RESPONSE_TRAILERS,
        };
        let mut out = Returned::new();
        check(unsafe { proxy_get_header_map_pairs(map, &mut out.data, &mut out.size) })?;
        maps::each(&out.take(), show).ok_or(PARSE_FAILURE)
    }

    fn request_body(&self, start: usize, most: usize) -> Result<Vec<u8>, Refused> {
        handed::request_body(start, most)
    }

    fn set_property(&self, name: &str, value: &[u8]) -> Result<(), Refused> {
        check(unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
    }

    fn finished(&self) {
        let _ = effective::within_root(self.root, || check(unsafe { proxy_done() }));
    }

    fn resume(&self, context: ContextId) -> Result<(), Refused> {
        effective::within(context.0, || check(unsafe { proxy_continue_stream(HTTP_REQUEST) }))
    }

    fn within<T>(
        &self,
        context: ContextId,
        work: impl FnOnce() -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        if !effective::is_current(self.root) {
            return Err(BAD_ARGUMENT);
        }
        effective::within(context.0, work)
    }

    fn respond_to(
        &self,
        context: ContextId,
        status: u32,
        headers: &[(&str, &str)],
        body: &[u8],
        details: &str,
    ) -> Result<(), Refused> {
        self.within(context, || self.respond(status, headers, body, details))
    }

    fn reset_request(&self, context: ContextId) -> Result<(), Refused> {
        // A host that cannot act for another context cannot reset a stream
        // either, and traps (ngx_wasm_module).
        if !effective::works() {
            return Err(UNIMPLEMENTED);
        }
        effective::within(context.0, || check(unsafe { proxy_close_stream(HTTP_REQUEST) }))
    }
}
