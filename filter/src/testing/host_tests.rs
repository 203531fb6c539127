//! The proxy in memory refuses what Envoy refuses and crashes where it does.

use super::Standing::{Answered, Forwarded, Reset, Responding, Resumed, Waiting};
use super::*;
use crate::host::{ContextId, Host, Refused};
use crate::request::Flow;

const GONE: Result<(), Refused> = Err(Refused(2));

fn respond_to(host: &MemoryHost, context: ContextId) -> Result<(), Refused> {
    host.respond_to(context, 403, &[("retry-after", "1")], b"no", "kya_test")
}

fn arrived(host: &MemoryHost, flow: Flow) -> ContextId {
    let context = host.arrive(&[("a", "b")]);
    host.decided(flow);
    context
}

#[test]
fn a_request_that_waited_goes_on_and_is_answered_by_its_upstream() {
    let host = Proxy::new().host();
    let context = arrived(&host, Flow::Pause);
    assert_eq!(host.exchange(context).standing, Waiting);
    host.resume(context).unwrap();
    assert_eq!(host.exchange(context).standing, Resumed);
    host.response_started(context);
    assert_eq!(host.end(context).standing, Responding);
    assert_eq!(host.resume(context), GONE);
    assert_eq!(respond_to(&host, context), GONE);
    assert_eq!(host.reset_request(context), GONE);
}

#[test]
fn a_request_in_flight_is_answered_or_reset() {
    let host = Proxy::new().host();
    let [first, second, third] = [(); 3].map(|()| arrived(&host, Flow::Continue));
    assert_eq!(host.exchange(first).standing, Forwarded);
    respond_to(&host, first).unwrap();
    host.response_started(second);
    respond_to(&host, second).unwrap();
    host.reset_request(third).unwrap();
    host.response_started(first);
    let finished: Vec<_> =
        host.take_finished().into_iter().map(|(id, exchange)| (id, exchange.standing)).collect();
    assert_eq!(finished, [(first, Answered), (second, Reset), (third, Reset)]);
}

#[test]
fn no_other_request_is_answered_from_the_callback_of_one() {
    let host = Proxy::new().host();
    let other = arrived(&host, Flow::Continue);
    let context = host.arrive(&[]);
    assert_eq!(respond_to(&host, other), GONE);
    assert_eq!(respond_to(&host, context), GONE);
    host.reset_request(other).unwrap();
    host.respond(401, &[], b"", "kya_test").unwrap();
    host.decided(Flow::Stop);
    assert_eq!(host.exchange(context).standing, Answered);
    assert_eq!(host.request_headers(), Err(Refused(2)), "the proxy calls about no request");
}

#[test]
#[should_panic(expected = "answered or reset twice")]
fn a_second_answer_is_a_crash() {
    let host = Proxy::new().host();
    let context = arrived(&host, Flow::Continue);
    respond_to(&host, context).unwrap();
    let _ = host.reset_request(context);
}

#[test]
#[should_panic(expected = "did not wait")]
fn a_request_that_does_not_wait_cannot_go_on() {
    let host = Proxy::new().host();
    let context = arrived(&host, Flow::Continue);
    let _ = host.resume(context);
}

#[test]
fn a_call_is_answered_once_and_to_the_vm_that_made_it() {
    let proxy = Proxy::new();
    let (mut first, second) = (TestVm::new(&proxy), TestVm::new(&proxy));
    let headers = [(":method", "POST"), (":path", "/"), (":authority", "cp")];
    let id = first.host.http_call("cp", &headers, b"{}", 500).unwrap();
    let other = first.host.http_call("cp", &headers, b"", 500).unwrap();
    assert_ne!(id, other);
    assert_eq!(second.take_http_calls(), []);
    let calls = first.take_http_calls();
    assert_eq!((calls.len(), calls[0].id, calls[0].timeout_millis), (2, id, 500));
    assert_eq!((calls[0].body.as_slice(), &*calls[0].headers[":method"]), (&b"{}"[..], "POST"));
    assert_eq!(first.take_http_calls(), []);
    first.answer_http(id, 200, b"ok");
    first.fail_http(other);
    proxy.refuse("http_call");
    assert_eq!(first.host.http_call("cp", &headers, b"", 500), Err(Refused(10)));
}

#[test]
fn clocks_environment_metrics_and_metadata_are_the_proxys() {
    let proxy = Proxy::new();
    let (host, other) = (proxy.host(), proxy.host());
    let (wall, monotonic) = (host.now_nanos(), host.monotonic_nanos().unwrap());
    proxy.advance_nanos(10);
    proxy.set_back_nanos(7);
    assert_eq!((other.now_nanos(), other.monotonic_nanos()), (wall + 3, Some(monotonic + 10)));
    proxy.refuse("monotonic_nanos");
    assert_eq!(host.monotonic_nanos(), None);

    proxy.set_environment("KYA_TOKEN", "secret");
    assert_eq!(host.environment("KYA_TOKEN").as_deref(), Some("secret"));
    assert_eq!(host.environment("HOME"), None);

    let metric = |host: &MemoryHost| host.define_metric(crate::host::MetricKind::Gauge, "epoch");
    host.record_metric(metric(&host).unwrap(), 7);
    assert_eq!(other.metric(metric(&other).unwrap()), Ok(7));
    proxy.refuse("metric");
    assert_eq!(other.metric(metric(&other).unwrap()), Err(Refused(10)));
    proxy.allow("metric");
    assert_eq!(other.metric(metric(&other).unwrap()), Ok(7));

    host.open_stream("cp", "s", "m", &[("authorization", "Bearer x")]).unwrap();
    assert_eq!(proxy.stream_metadata(), [("authorization".into(), "Bearer x".into())]);
}

#[test]
fn what_the_filter_answered_is_over_when_the_vm_settles() {
    let proxy = Proxy::new();
    let mut vm = TestVm::new(&proxy);
    let (context, flow) = vm.begin(&[]);
    assert_eq!((flow, vm.exchange(context).standing), (Flow::Stop, Answered));
    assert_eq!(vm.settle().len(), 1);
    assert_eq!(vm.settle(), []);

    let context = vm.host.arrive(&[]);
    vm.host.decided(Flow::Continue);
    vm.upstream_responds(context);
    assert_eq!(vm.end(context).standing, Responding);
}
