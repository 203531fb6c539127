use std::net::IpAddr;

use axum::body::Bytes;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);
/// More than the buffers of a connection take, on either side of it.
const LARGE: usize = 64 << 20;

async fn start(limits: Limits) -> SocketAddr {
    let large = Bytes::from(vec![0; LARGE]);
    let waits = async || {
        tokio::time::sleep(Duration::from_millis(600)).await;
        "at last"
    };
    let router = Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/large", get(async move || large))
        .route("/waits", get(waits));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, router, None, limits, CancellationToken::new()));
    address
}

/// A client at one of the addresses of this machine. It says `request`, and
/// does not read.
async fn client(server: SocketAddr, from: &str, request: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let from: IpAddr = from.parse().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut stream = socket.connect(server).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

fn ask(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: kya\r\n\r\n")
}

/// Reads until this text comes. False if the connection ends before.
async fn hears(stream: &mut TcpStream, text: &str) -> bool {
    let mut heard = Vec::new();
    let listen = async {
        while !String::from_utf8_lossy(&heard).contains(text) {
            match stream.read_buf(&mut heard).await {
                Ok(0) | Err(_) => return false,
                Ok(_) => {}
            }
        }
        true
    };
    timeout(PATIENCE, listen).await.expect("an answer or an end")
}

#[tokio::test]
async fn clients_that_do_not_read_do_not_keep_others_out() {
    let write = Duration::from_millis(200);
    let server = start(Limits { connections: 4, write, ..Limits::default() }).await;
    let mut deaf = Vec::new();
    for from in ["127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.3"] {
        deaf.push(client(server, from, &ask("/large")).await);
    }
    let mut other = client(server, "127.0.0.1", &ask("/healthz")).await;
    assert!(hears(&mut other, "ok").await);
}

#[tokio::test]
async fn clients_that_say_nothing_or_not_all_do_not_keep_others_out() {
    let head = Duration::from_millis(200);
    let server = start(Limits { connections: 4, head, ..Limits::default() }).await;
    let mut dumb = vec![client(server, "127.0.0.2", &ask("/healthz")).await];
    assert!(hears(&mut dumb[0], "ok").await);
    for (from, said) in [("127.0.0.2", "GET /"), ("127.0.0.3", ""), ("127.0.0.3", "")] {
        dumb.push(client(server, from, said).await);
    }
    let mut other = client(server, "127.0.0.1", &ask("/healthz")).await;
    assert!(hears(&mut other, "ok").await);
    for mut client in dumb {
        assert!(!hears(&mut client, "another answer").await);
    }
}

#[tokio::test]
async fn one_peer_does_not_get_all_places() {
    let server = start(Limits { connections: 4, ..Limits::default() }).await;
    let mut greedy = Vec::new();
    for _ in 0..2 {
        let mut client = client(server, "127.0.0.2", &ask("/healthz")).await;
        assert!(hears(&mut client, "ok").await);
        greedy.push(client);
    }
    let mut one_more = client(server, "127.0.0.2", "").await;
    assert!(!hears(&mut one_more, "anything").await);
    let mut other = client(server, "127.0.0.1", &ask("/healthz")).await;
    assert!(hears(&mut other, "ok").await);
}

#[tokio::test]
async fn an_answer_that_takes_long_or_is_long_is_not_cut_off() {
    let short = Duration::from_millis(200);
    let server = start(Limits { head: short, write: short, ..Limits::default() }).await;
    let mut waiting = client(server, "127.0.0.1", &ask("/waits")).await;
    assert!(hears(&mut waiting, "at last").await);
    let url = format!("http://{server}/large");
    let large = reqwest::get(url).await.unwrap().bytes().await.unwrap();
    assert_eq!(large.len(), LARGE);
}
