use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use super::*;

const LIMIT: Duration = Duration::from_secs(20);
/// Long enough to have arrived by, if it were to arrive.
const A_WHILE: Duration = Duration::from_millis(100);

/// A wire, and both ends of one connection over it.
struct Rig {
    wire: Wire,
    listener: TcpListener,
    proxy: TcpStream,
    server: TcpStream,
}

impl Rig {
    async fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let wire = Wire::start(listener.local_addr().unwrap()).await.unwrap();
        let proxy = TcpStream::connect(wire.address()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let mut rig = Self { wire, listener, proxy, server };
        rig.say(b"hello").await;
        assert_eq!(rig.hear(5).await, b"hello");
        rig
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.server.write_all(bytes).await.unwrap();
    }

    async fn hear(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        timeout(LIMIT, self.proxy.read_exact(&mut bytes)).await.unwrap().unwrap();
        bytes
    }

    /// What still arrives before the connection ends.
    async fn hear_to_the_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // It may end by a reset.
        let _ = timeout(LIMIT, self.proxy.read_to_end(&mut bytes)).await.unwrap();
        bytes
    }
}

#[tokio::test]
async fn a_cut_comes_after_so_many_bytes_of_what_was_said_since() {
    for count in [0, 1, 4] {
        let mut rig = Rig::new().await;
        rig.wire.set(Fault::CutAfter(count));
        rig.say(b"0123456789").await;
        assert_eq!(rig.hear_to_the_end().await, &b"0123456789"[..count as usize]);
        assert_eq!(rig.wire.ended_by_fault(), 1);
    }
}

#[tokio::test]
async fn cut_ends_what_is_there_and_not_what_comes() {
    let mut rig = Rig::new().await;
    rig.wire.cut();
    assert_eq!(rig.hear_to_the_end().await, b"");
    rig.proxy = TcpStream::connect(rig.wire.address()).await.unwrap();
    (rig.server, _) = rig.listener.accept().await.unwrap();
    rig.say(b"again").await;
    assert_eq!(rig.hear(5).await, b"again");
    assert_eq!(rig.wire.accepted(), 2);
}

#[tokio::test]
async fn garbage_begins_where_it_was_asked_for() {
    let mut rig = Rig::new().await;
    rig.wire.set(Fault::Garble(Towards::Proxy, 3));
    rig.say(b"good").await;
    rig.say(b"bad").await;
    let garbled = b"dbad".map(|byte| byte ^ 0x5a);
    assert_eq!(rig.hear(7).await, [b"goo", &garbled[..]].concat());

    rig.wire.set(Fault::Garble(Towards::ControlPlane, 0));
    rig.say(b"fine").await;
    assert_eq!(rig.hear(4).await, b"fine");
    rig.proxy.write_all(b"x").await.unwrap();
    assert_eq!(rig.server.read_u8().await.unwrap(), b'x' ^ 0x5a);
}

#[tokio::test]
async fn a_slow_wire_takes_its_time() {
    let mut rig = Rig::new().await;
    rig.wire.set(Fault::Slow(100));
    let start = Instant::now();
    rig.say(&[7; 50]).await;
    assert_eq!(rig.hear(50).await, [7; 50]);
    assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
}

#[tokio::test]
async fn what_was_swallowed_never_comes_and_nobody_is_told() {
    let mut rig = Rig::new().await;
    rig.wire.set(Fault::Swallow);
    rig.say(b"lost").await;
    tokio::time::sleep(A_WHILE).await;
    rig.wire.set(Fault::Pass);
    rig.say(b"lost too").await;
    rig.server.shutdown().await.unwrap();
    assert!(timeout(A_WHILE, rig.proxy.read_u8()).await.is_err(), "neither bytes nor an end");
}

#[tokio::test]
async fn a_tape_is_played_to_a_new_connection_in_the_order_of_the_first() {
    let mut rig = Rig::new().await;
    rig.proxy.write_all(b"?").await.unwrap();
    assert_eq!(rig.server.read_u8().await.unwrap(), b'?');
    rig.say(b"answer").await;
    assert_eq!(rig.hear(6).await, b"answer");
    rig.wire.keep_tape().unwrap();

    rig.wire.set(Fault::Replay);
    rig.proxy = TcpStream::connect(rig.wire.address()).await.unwrap();
    assert_eq!(rig.hear(5).await, b"hello");
    let asked = Instant::now();
    rig.proxy.write_all(b"!").await.unwrap();
    assert_eq!(rig.hear(6).await, b"answer");
    assert!(asked.elapsed() < Duration::from_secs(10));
    assert!(timeout(A_WHILE, rig.listener.accept()).await.is_err(), "the server is not asked");
}
