//! Guests for the tests: a prelude, and what each test adds.

use kya_host_tests::{Program, Proxy, ProxyBuilder};

/// What every guest imports, its allocator, and its words:
/// `$put` sets the gauge of that name, `$count` adds one to it, `$say` logs.
const PRELUDE: &str = r#"
(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
(import "env" "proxy_set_tick_period_milliseconds" (func $set_tick (param i32) (result i32)))
(import "env" "proxy_get_current_time_nanoseconds" (func $get_time (param i32) (result i32)))
(import "env" "proxy_get_buffer_bytes" (func $get_buffer (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_get_property" (func $get_property (param i32 i32 i32 i32) (result i32)))
(import "env" "proxy_set_effective_context" (func $set_context (param i32) (result i32)))
(import "env" "proxy_get_header_map_pairs" (func $get_headers (param i32 i32 i32) (result i32)))
(import "env" "proxy_get_header_map_value" (func $get_header (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_add_header_map_value" (func $add_header (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_replace_header_map_value" (func $replace_header (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_remove_header_map_value" (func $remove_header (param i32 i32 i32) (result i32)))
(import "env" "proxy_send_local_response" (func $respond (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
(import "env" "proxy_close_stream" (func $close_stream (param i32) (result i32)))
(import "env" "proxy_get_shared_data" (func $get_data (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_set_shared_data" (func $set_data (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_register_shared_queue" (func $register (param i32 i32 i32) (result i32)))
(import "env" "proxy_resolve_shared_queue" (func $resolve (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_enqueue_shared_queue" (func $enqueue (param i32 i32 i32) (result i32)))
(import "env" "proxy_dequeue_shared_queue" (func $dequeue (param i32 i32 i32) (result i32)))
(import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
(import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
(import "env" "proxy_record_metric" (func $record (param i32 i64) (result i32)))
(import "env" "proxy_get_metric" (func $get_metric (param i32 i32) (result i32)))
(import "env" "proxy_http_call" (func $http_call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_get_status" (func $get_status (param i32 i32 i32) (result i32)))
(import "env" "proxy_set_buffer_bytes" (func $set_buffer (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_get_buffer_status" (func $buffer_status (param i32 i32 i32) (result i32)))
(import "env" "proxy_call_foreign_function" (func $foreign (param i32 i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_grpc_stream" (func $open (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_grpc_send" (func $send (param i32 i32 i32 i32) (result i32)))
(import "env" "proxy_grpc_cancel" (func $cancel (param i32) (result i32)))
(import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
(import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes (param i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
(memory (export "memory") 1)
(global $heap (mut i32) (i32.const 8192))
(func $id (param $name i32) (param $length i32) (result i32)
  (drop (call $define (i32.const 1) (local.get $name) (local.get $length) (i32.const 4088)))
  (i32.load (i32.const 4088)))
(func $put (param $name i32) (param $length i32) (param $value i32)
  (drop (call $record (call $id (local.get $name) (local.get $length))
    (i64.extend_i32_u (local.get $value)))))
(func $count (param $name i32) (param $length i32)
  (drop (call $increment (call $id (local.get $name) (local.get $length)) (i64.const 1))))
(func $say (param $text i32) (param $length i32)
  (drop (call $log (i32.const 2) (local.get $text) (local.get $length))))
(data (i32.const 0) "abcdefghijklmnopqrstuvwxyz")
"#;

const ALLOCATOR: &str = r#"
(func (export "proxy_on_memory_allocate") (param $n i32) (result i32)
  (global.get $heap)
  (global.set $heap (i32.add (global.get $heap) (local.get $n))))
"#;

/// A guest without an allocator. One-letter names are in its memory: `a` at 0, `b`
/// at 1 and so on; memory from 1024 to 4000 is for the test.
pub(crate) fn bare(body: &str) -> Program {
    let wasm = wat::parse_str(format!("(module {PRELUDE} {body})")).unwrap();
    Program::from_binary(&wasm).unwrap()
}

/// A guest with the allocator of the ABI.
pub(crate) fn guest(body: &str) -> ProxyBuilder {
    Proxy::builder(&bare(&format!("{ALLOCATOR} {body}")))
}

/// As [`guest`], started with two workers.
pub(crate) fn started(body: &str) -> Proxy {
    guest(body).start("configuration").unwrap()
}

/// A header map in the form of the ABI, as a data segment at `at`, and the two
/// numbers that lead to it.
pub(crate) fn map_at(at: usize, headers: &[(&str, &str)]) -> (String, String) {
    let number = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
    let mut bytes = number(headers.len()).to_vec();
    for (name, value) in headers {
        bytes.extend(number(name.len()));
        bytes.extend(number(value.len()));
    }
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend(text.as_bytes());
        bytes.push(0);
    }
    (data_at(at, &bytes), format!("(i32.const {at}) (i32.const {})", bytes.len()))
}

/// A text as a data segment at `at`, and the two numbers that lead to it.
pub(crate) fn text_at(at: usize, text: &str) -> (String, String) {
    (data_at(at, text.as_bytes()), format!("(i32.const {at}) (i32.const {})", text.len()))
}

fn data_at(at: usize, bytes: &[u8]) -> String {
    let escaped: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
    format!(r#"(data (i32.const {at}) "{escaped}")"#)
}

/// What the guests said, in one line.
pub(crate) fn said(proxy: &Proxy) -> String {
    proxy.log().into_iter().map(|line| line.text).collect::<Vec<_>>().join(" ")
}
