use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use rcgen::{CertificateParams, KeyPair};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// TLS with so many handshakes at a time, each at most so long.
fn tls(handshakes: usize, time: Duration) -> (tempfile::TempDir, Tls) {
    let dir = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let cert = CertificateParams::new(vec!["x".to_owned()]).unwrap().self_signed(&key).unwrap();
    let files =
        TlsFiles { cert: dir.path().join("cert"), key: dir.path().join("key"), client_ca: None };
    std::fs::write(&files.cert, cert.pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    let metrics = Arc::new(Metrics::new().unwrap());
    let tls = Tls::load(Listener::Http, files, metrics).unwrap();
    (dir, Tls { handshakes: Places::new(handshakes), time, ..tls })
}

/// A client at one of the addresses of this machine, and the server's end.
async fn connect(listener: &TcpListener, from: &str) -> (TcpStream, TcpStream, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    let from: IpAddr = from.parse().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let client = socket.connect(listener.local_addr().unwrap());
    let (client, accepted) = tokio::join!(client, listener.accept());
    let (server, peer) = accepted.unwrap();
    (client.unwrap(), server, peer)
}

#[tokio::test]
async fn a_client_that_does_not_shake_hands_is_given_up() {
    let time = Duration::from_millis(100);
    let (_dir, tls) = tls(4, time);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let began = Instant::now();
    // One says nothing, the other begins and does not go on.
    for said in [&b""[..], &[22, 3, 1, 2, 0, 1]] {
        let (mut client, server, peer) = connect(&listener, "127.0.0.1").await;
        tokio::io::AsyncWriteExt::write_all(&mut client, said).await.unwrap();
        let refused = tls.accept(server, peer, |stream| stream).await.map(drop).unwrap_err();
        assert_eq!(refused.to_string(), "the handshake was not over in 100ms");
        let end = tokio::time::timeout(PATIENCE, client.read(&mut [0])).await;
        assert!(matches!(end.expect("an end"), Ok(0) | Err(_)));
    }
    assert!(began.elapsed() >= time * 2);
}

#[tokio::test]
async fn one_peer_has_at_most_half_of_the_handshakes() {
    let (_dir, tls) = tls(4, PATIENCE);
    let tls = Arc::new(tls);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..2 {
        let (client, server, peer) = connect(&listener, "127.0.0.2").await;
        let tls = Arc::clone(&tls);
        let waits = tokio::spawn(async move {
            tls.accept(server, peer, |stream| stream).await.map(drop).unwrap_err().to_string()
        });
        silent.push((client, waits));
    }
    while tls.handshakes.are_free() > 2 {
        tokio::task::yield_now().await;
    }
    let (_client, server, peer) = connect(&listener, "127.0.0.2").await;
    let refused = tls.accept(server, peer, |stream| stream).await.map(drop).unwrap_err();
    assert_eq!(refused.to_string(), "this peer has half of all handshakes");
    let (client, server, peer) = connect(&listener, "127.0.0.3").await;
    drop(client);
    let gone = tls.accept(server, peer, |stream| stream).await.map(drop).unwrap_err();
    assert_eq!(gone.to_string(), "it left without a word");
    for (client, waits) in silent {
        drop(client);
        assert_eq!(waits.await.unwrap(), "it left without a word");
    }
    assert_eq!(tls.handshakes.are_free(), 4);
}
