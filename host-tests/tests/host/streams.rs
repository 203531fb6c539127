//! gRPC streams with the test as the server.

use kya_host_tests::{Proxy, StreamFailure, VmName, abi::Status};

use crate::guests::started;

/// A tick opens a stream to cluster `a`, service `bc`, method `d` and says `xyz`.
/// Messages are echoed; `e` counts closes, `f` is the status of the last, `g` the
/// status of opening, `h` the closes that had come when opening returned.
const ECHO: &str = r#"
    (global $closes (mut i32) (i32.const 0))
    (func (export "proxy_on_tick") (param i32)
      (call $put (i32.const 6) (i32.const 1)
        (call $open (i32.const 0) (i32.const 1) (i32.const 1) (i32.const 2) (i32.const 3) (i32.const 1)
          (i32.const 0) (i32.const 0) (i32.const 1024)))
      (call $put (i32.const 7) (i32.const 1) (global.get $closes))
      (call $put (i32.const 8) (i32.const 1)
        (call $send (i32.load (i32.const 1024)) (i32.const 23) (i32.const 3) (i32.const 0))))
    (func (export "proxy_on_grpc_receive") (param i32 i32 i32)
      (drop (call $get_buffer (i32.const 5) (i32.const 0) (local.get 2) (i32.const 1028) (i32.const 1032)))
      (drop (call $send (local.get 1) (i32.load (i32.const 1028)) (i32.load (i32.const 1032)) (i32.const 0))))
    (func (export "proxy_on_grpc_close") (param i32 i32 i32)
      (global.set $closes (i32.add (global.get $closes) (i32.const 1)))
      (call $put (i32.const 4) (i32.const 1) (global.get $closes))
      (call $put (i32.const 5) (i32.const 1) (local.get 2)))"#;

fn opened() -> (Proxy, kya_host_tests::GrpcStream) {
    let mut proxy = started(ECHO);
    proxy.tick(VmName::Main);
    let stream = proxy.grpc_streams().remove(0);
    (proxy, stream)
}

#[test]
fn a_stream_is_seen_with_its_name_and_carries_messages_both_ways() {
    let (mut proxy, stream) = opened();
    assert_eq!(stream.vm, VmName::Main);
    let name = [&stream.cluster, &stream.service, &stream.method].map(String::as_str);
    assert_eq!(name, ["a", "bc", "d"]);
    assert_eq!(proxy.take_sent(stream.key), [b"xyz"]);
    assert!(proxy.send(stream.key, b"\x00\xff"));
    assert!(proxy.send(stream.key, b"more"));
    assert_eq!(proxy.take_sent(stream.key), [&b"\x00\xff"[..], b"more"]);
    assert!(proxy.take_sent(stream.key).is_empty());
}

#[test]
fn a_closed_stream_is_told_once_and_hears_nothing_more() {
    let (mut proxy, stream) = opened();
    proxy.close(stream.key, 14);
    proxy.close(stream.key, 13);
    assert_eq!((proxy.metric("e"), proxy.metric("f")), (1, 14));
    assert!(!proxy.send(stream.key, b"x"));
    assert!(proxy.grpc_streams().is_empty());
}

#[test]
fn streams_of_several_vms_are_apart_even_with_the_same_id() {
    let (mut proxy, main) = opened();
    proxy.tick(VmName::Worker(0));
    let streams = proxy.grpc_streams();
    assert_eq!(streams.len(), 2);
    assert_eq!(streams[0].id, streams[1].id);
    proxy.close(main.key, 0);
    assert_eq!(proxy.grpc_streams()[0].vm, VmName::Worker(0));
}

#[test]
fn opening_can_fail_by_its_status_alone() {
    let mut proxy = started(ECHO);
    proxy.fail_streams(Some(StreamFailure::Status(Status::ParseFailure)));
    proxy.tick(VmName::Main);
    assert_eq!((proxy.metric("g"), proxy.metric("e")), (4, 0));
    assert!(proxy.grpc_streams().is_empty());
    proxy.fail_streams(None);
    proxy.tick(VmName::Main);
    assert_eq!(proxy.grpc_streams().len(), 1);
}

#[test]
fn opening_can_fail_with_a_close_after_the_guest_returned() {
    let mut proxy = started(ECHO);
    proxy.fail_streams(Some(StreamFailure::CloseAfterCall { grpc_status: 14 }));
    proxy.tick(VmName::Main);
    assert_eq!(proxy.metric("g"), 10);
    assert_eq!(proxy.metric("h"), 0, "nothing came while the guest was opening");
    assert_eq!((proxy.metric("e"), proxy.metric("f")), (1, 14));
}

#[test]
fn opening_can_fail_with_a_close_inside_of_the_call() {
    let mut proxy = started(ECHO);
    proxy.fail_streams(Some(StreamFailure::CloseInsideCall { grpc_status: 14 }));
    proxy.tick(VmName::Main);
    assert_eq!((proxy.metric("g"), proxy.metric("h"), proxy.metric("e")), (10, 1, 1));
}

#[test]
fn sending_on_what_is_no_stream_is_an_error() {
    let mut proxy = started(ECHO);
    proxy.fail_streams(Some(StreamFailure::Status(Status::InternalFailure)));
    proxy.tick(VmName::Main);
    assert_eq!(proxy.metric("i"), 2, "0 is the id of no stream");
}

#[test]
fn a_crashed_vm_keeps_its_stream_silent_until_it_is_replaced() {
    let (mut proxy, stream) = opened();
    proxy.crash(VmName::Main);
    assert!(!proxy.send(stream.key, b"x"));
    assert_eq!(proxy.grpc_streams().len(), 1, "the server sees it as open");
    proxy.replace(VmName::Main).unwrap();
    assert!(proxy.grpc_streams().is_empty());
}
