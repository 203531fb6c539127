//! Which proxy is simulated.

/// The proxy whose behaviour is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Envoy, as of version 1.40.
    #[default]
    Envoy,
    /// nginx with `ngx_wasm_module`, as far as it differs in what a filter sees:
    ///
    /// - there are workers only: no canary and no VM of the main thread, and
    ///   every worker ticks;
    /// - shared data compares keys by their CRC-32 alone, and a write needs the
    ///   present number of the key, which is 0 for a key that does not exist;
    /// - queues hold items and wake nobody;
    /// - gRPC, `proxy_resolve_shared_queue`, `proxy_close_stream`, foreign
    ///   functions, a second tick period, an HTTP callout from anywhere but a
    ///   request's headers or body, a tick or the response of another callout,
    ///   and a local response from a tick trap;
    /// - a module with an import that the host does not know, of which
    ///   `proxy_get_log_level` is one, is not loaded;
    /// - a request header that was removed still reaches the upstream;
    /// - a trap costs its request (a 500) and those in the same VM; the next
    ///   request gets a new VM, whatever the failure policy.
    Nginx,
}

/// Imports that `ngx_wasm_module` knows and does not have.
const NGINX_UNIMPLEMENTED: [&str; 8] = [
    "proxy_grpc_stream",
    "proxy_grpc_call",
    "proxy_grpc_send",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_resolve_shared_queue",
    "proxy_close_stream",
    "proxy_call_foreign_function",
];

/// Imports that make `ngx_wasm_module` refuse a module.
const NGINX_UNKNOWN: [&str; 1] = ["proxy_get_log_level"];

impl Profile {
    /// True when calling this host function traps.
    pub(crate) fn traps_on(self, call: &str) -> bool {
        self == Self::Nginx && NGINX_UNIMPLEMENTED.contains(&call)
    }

    /// True when a module may import this function of `env`.
    pub(crate) fn knows(self, call: &str) -> bool {
        self == Self::Envoy || !NGINX_UNKNOWN.contains(&call)
    }
}
