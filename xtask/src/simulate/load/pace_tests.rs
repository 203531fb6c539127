use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use super::super::{Pace, Shown, Slice};
use super::*;

/// A server that answers each request after `delay`, on as many connections as come.
#[expect(clippy::disallowed_methods, reason = "it is slow on purpose, on threads of its own")]
fn server(delay: Duration, status: u16) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut buffer = [0; 1024];
                while stream.read(&mut buffer).is_ok_and(|count| count > 0) {
                    thread::sleep(delay);
                    let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 2\r\n\r\nok");
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            });
        }
    });
    address
}

fn prepared(address: &str, count: usize) -> (Vec<Connection>, Requests) {
    let slice = Slice {
        address: address.to_owned(),
        path: "/".into(),
        shown: Shown::One("x".into()),
        status: 200,
        pace: Pace::Closed { connections: count },
        millis: 1,
    };
    let mut requests = Requests::of(&slice).unwrap();
    requests.make_ready();
    ((0..count).map(|_| Connection::open(address).unwrap()).collect(), requests)
}

#[test]
fn a_closed_loop_sends_the_next_when_the_last_was_answered() {
    let (mut connections, mut requests) = prepared(&server(Duration::from_millis(10), 200), 2);
    let limit = Duration::from_millis(300);
    let loaded = closed(&mut connections, &mut requests, 200, limit).unwrap().loaded();
    // Two connections with 10 ms each: 60 at most.
    assert!((4..=60).contains(&loaded.requests), "{loaded:?}");
    assert!(loaded.p50_us >= 10_000.0 && loaded.seconds >= 0.3, "{loaded:?}");
}

/// Who waits for an answer before sending the next measures each at 10 ms; who asks every
/// millisecond and is served every ten waits longer and longer.
#[test]
fn an_open_loop_counts_from_when_a_request_was_to_be_sent() {
    let (mut connections, mut requests) = prepared(&server(Duration::from_millis(10), 200), 1);
    let limit = Duration::from_millis(200);
    let loaded = open(&mut connections, &mut requests, 200, limit, 1000.0).unwrap().loaded();
    assert!((120..=280).contains(&loaded.requests), "{loaded:?}");
    assert!(loaded.p50_us > 300_000.0, "{loaded:?}");
}

#[test]
fn another_status_ends_the_slice() {
    let (mut connections, mut requests) = prepared(&server(Duration::ZERO, 403), 1);
    let limit = Duration::from_secs(1);
    let error = closed(&mut connections, &mut requests, 200, limit).unwrap_err().to_string();
    assert_eq!(error, "answered 403, not 200");
}

#[test]
fn gaps_have_the_mean_and_the_spread_of_a_poisson_process() {
    let mut gaps = Gaps { state: 42, mean: 0.001 };
    let all: Vec<f64> = (0..100_000).map(|_| gaps.next().as_secs_f64()).collect();
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    let variance = all.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / all.len() as f64;
    assert!((mean / 0.001 - 1.0).abs() < 0.02, "{mean}");
    assert!((variance.sqrt() / 0.001 - 1.0).abs() < 0.03, "{variance}");
}
