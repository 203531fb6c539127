//! What the proxy offers: every host call the filter makes, with its status as
//! a `Result`.

use crate::host::{
    Header, Host, LogLevel, MetricId, MetricKind, QueueId, Refused, SharedValue, StreamId,
    WriteError,
};

// Statuses (`proxy_status_t`).
const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const EMPTY: u32 = 7;
const CAS_MISMATCH: u32 = 8;

// `proxy_header_map_type_t`, `proxy_buffer_type_t`.
const REQUEST_HEADERS: u32 = 0;
const GRPC_RECEIVE_BUFFER: u32 = 5;
const PLUGIN_CONFIGURATION: u32 = 7;

/// No gRPC status of our own: Envoy derives one from the HTTP status when the
/// request was gRPC.
const DERIVED_GRPC_STATUS: i32 = -1;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        value: *mut *mut u8,
        value_size: *mut usize,
    ) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        length: usize,
        value: *mut *mut u8,
        value_size: *mut usize,
    ) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        value: *mut *mut u8,
        value_size: *mut usize,
        cas: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        cas: u32,
    ) -> u32;
    fn proxy_register_shared_queue(name: *const u8, name_size: usize, queue: *mut u32) -> u32;
    fn proxy_enqueue_shared_queue(queue: u32, value: *const u8, value_size: usize) -> u32;
    fn proxy_dequeue_shared_queue(queue: u32, value: *mut *mut u8, value_size: *mut usize) -> u32;
    fn proxy_grpc_stream(
        cluster: *const u8,
        cluster_size: usize,
        service: *const u8,
        service_size: usize,
        method: *const u8,
        method_size: usize,
        metadata: *const u8,
        metadata_size: usize,
        stream: *mut u32,
    ) -> u32;
    fn proxy_grpc_send(stream: u32, message: *const u8, size: usize, end_stream: u32) -> u32;
    fn proxy_grpc_cancel(stream: u32) -> u32;
    fn proxy_get_status(status: *mut u32, message: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, metric: *mut u32) -> u32;
    fn proxy_increment_metric(metric: u32, offset: i64) -> u32;
    fn proxy_record_metric(metric: u32, value: u64) -> u32;
    fn proxy_get_header_map_pairs(map: u32, value: *mut *mut u8, value_size: *mut usize) -> u32;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> u32;
    fn proxy_add_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
}

/// Proxies hand over memory that they had the guest allocate, through this.
/// Every block is a boxed slice, which is how [`Returned::take`] frees it.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    Box::into_raw(vec![0u8; size].into_boxed_slice()).cast()
}

/// A place for the proxy to return a block in.
struct Returned {
    data: *mut u8,
    size: usize,
}

impl Returned {
    fn new() -> Self {
        Self { data: std::ptr::null_mut(), size: 0 }
    }

    fn take(self) -> Vec<u8> {
        if self.data.is_null() {
            return Vec::new();
        }
        // SAFETY: the proxy returns a block that it got from
        // `proxy_on_memory_allocate`, with the size that it asked for, and
        // keeps no pointer to it (proxy-wasm ABI, "Memory ownership").
        unsafe { Vec::from_raw_parts(self.data, self.size, self.size) }
    }
}

fn check(status: u32) -> Result<(), Refused> {
    if status == OK { Ok(()) } else { Err(Refused(status)) }
}

/// The configuration of the plugin whose `proxy_on_configure` is running.
pub(super) fn plugin_configuration(size: usize) -> Result<Vec<u8>, Refused> {
    buffer(PLUGIN_CONFIGURATION, size)
}

/// The message of the `proxy_on_grpc_receive` that is running.
pub(super) fn stream_message(size: usize) -> Result<Vec<u8>, Refused> {
    buffer(GRPC_RECEIVE_BUFFER, size)
}

/// What the other side said in the `proxy_on_grpc_close` that is running.
pub(super) fn stream_end_message() -> Vec<u8> {
    let mut status = 0;
    let mut out = Returned::new();
    // SAFETY: all three out-pointers are valid for the call.
    let outcome = unsafe { proxy_get_status(&mut status, &mut out.data, &mut out.size) };
    if outcome == OK { out.take() } else { Vec::new() }
}

/// Asks to be ticked regularly.
pub(super) fn set_tick_period(millis: u32) -> Result<(), Refused> {
    // SAFETY: no pointers.
    check(unsafe { proxy_set_tick_period_milliseconds(millis) })
}

fn buffer(kind: u32, size: usize) -> Result<Vec<u8>, Refused> {
    if size == 0 {
        return Ok(Vec::new());
    }
    let mut out = Returned::new();
    // SAFETY: both out-pointers are valid for the call.
    check(unsafe { proxy_get_buffer_bytes(kind, 0, size, &mut out.data, &mut out.size) })?;
    Ok(out.take())
}

/// The proxy that runs this VM.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proxy;

// SAFETY of every call below: pointer and length come from one live slice that
// the proxy only reads during the call, or point to a local that it writes
// during the call. The proxy answers bad pointers with a status.
impl Host for Proxy {
    fn now_nanos(&self) -> u64 {
        let mut time = 0;
        unsafe { proxy_get_current_time_nanoseconds(&mut time) };
        time
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Refused> {
        wasi_random(bytes)
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
        check(unsafe {
            proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), 0)
        })
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

    fn open_stream(&self, cluster: &str, service: &str, method: &str) -> Result<StreamId, Refused> {
        // An empty header map: the count 0.
        let metadata = 0u32.to_le_bytes();
        let mut stream = 0;
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
        })?;
        Ok(StreamId(stream))
    }

    fn send(&self, stream: StreamId, message: &[u8]) -> Result<(), Refused> {
        check(unsafe { proxy_grpc_send(stream.0, message.as_ptr(), message.len(), 0) })
    }

    fn reset_stream(&self, stream: StreamId) {
        // One that is gone already is what was wanted.
        unsafe { proxy_grpc_cancel(stream.0) };
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

    fn request_headers(&self) -> Result<Vec<Header>, Refused> {
        let mut out = Returned::new();
        check(unsafe {
            proxy_get_header_map_pairs(REQUEST_HEADERS, &mut out.data, &mut out.size)
        })?;
        // A map that cannot be read must not pass for an empty one.
        const PARSE_FAILURE: Refused = Refused(4);
        read_map(&out.take()).ok_or(PARSE_FAILURE)
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
        let headers = write_map(headers);
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
}

/// A serialized header map: the number of pairs, then for each the lengths of
/// name and value, then each name and value with a zero byte after it. Numbers
/// are little-endian and have 32 bits.
fn write_map(pairs: &[(&str, &str)]) -> Vec<u8> {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = number(pairs.len()).to_vec();
    for (name, value) in pairs {
        bytes.extend_from_slice(&number(name.len()));
        bytes.extend_from_slice(&number(value.len()));
    }
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    bytes
}

fn read_map(bytes: &[u8]) -> Option<Vec<Header>> {
    let mut lengths = bytes;
    let count = take_length(&mut lengths)?;
    let mut texts = lengths.get(count.checked_mul(8)?..)?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let name = take_length(&mut lengths)?;
        let value = take_length(&mut lengths)?;
        pairs.push((take_text(&mut texts, name)?, take_text(&mut texts, value)?));
    }
    Some(pairs)
}

fn take_length(bytes: &mut &[u8]) -> Option<usize> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    usize::try_from(u32::from_le_bytes(*number)).ok()
}

fn take_text(bytes: &mut &[u8], length: usize) -> Option<Vec<u8>> {
    let (text, rest) = bytes.split_at_checked(length)?;
    let (_zero, rest) = rest.split_first()?;
    *bytes = rest;
    Some(text.to_vec())
}

/// WASI's random source, which proxies provide next to the ABI.
fn wasi_random(bytes: &mut [u8]) -> Result<(), Refused> {
    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        fn random_get(buffer: *mut u8, size: usize) -> u32;
    }
    check(unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) })
}
