//! Servers that are none, say nothing, or are elsewhere; and the key, which goes to no other.

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::json;

use crate::support::*;

#[test]
fn without_a_key_nothing_is_sent() {
    let fake = Fake::start();
    for key in [None, Some(""), Some("  \n"), Some("a\nb")] {
        let mut command = command(&fake.url, &["node", "list"]);
        command.env_remove("KYA_TOKEN");
        if let Some(key) = key {
            command.env("KYA_TOKEN", key);
        }
        let ended = end(command.spawn().unwrap());
        assert_eq!((ended.code, &*ended.out), (2, ""), "{key:?}");
        assert!(ended.err.contains("KYA_TOKEN"), "{ended:?}");
    }
    assert_eq!(fake.seen(), []);
}

#[test]
fn the_line_end_of_a_key_file_is_no_part_of_the_key() {
    let fake = willing();
    let mut command = command(&fake.url, &["node", "list"]);
    command.env("KYA_TOKEN", format!("{ADMIN_KEY}\n"));
    assert_eq!(end(command.spawn().unwrap()).code, 0);
}

#[test]
fn a_wrong_key_is_a_refusal_and_is_not_shown() {
    let fake = willing();
    for args in [&["node", "list"][..], &["--help"], &["agent", "revoke", "--help"], &["node"]] {
        let ended = kya(&fake.url, &[args, &["--token", "wr0ng-key"]].concat());
        assert!(!ended.out.contains("wr0ng-key") && !ended.err.contains("wr0ng-key"));
        let mut command = command(&fake.url, args);
        let ended = end(command.env("KYA_TOKEN", "wr0ng-key").spawn().unwrap());
        assert!(!ended.out.contains("wr0ng-key") && !ended.err.contains("wr0ng-key"));
    }
    let ended = kya(&fake.url, &["--token", "wr0ng-key", "node", "list"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("(401 unauthorized)\nhint: KYA_TOKEN must be"), "{ended:?}");
}

#[test]
fn a_name_from_the_server_cannot_rewrite_the_terminal() {
    let mut named = agent("active");
    named["name"] = json!("\u{1b}[2Jeverything is fine\r\n");
    let fake = Fake::start();
    fake.on(&format!("GET /v1/agents/{AGENT}"), 200, &named);
    let ended = kya(&fake.url, &["agent", "show", AGENT]);
    assert!(!ended.out.contains('\u{1b}') && !ended.out.contains('\r'), "{ended:?}");
    fake.otherwise(409, &problem(409, "conflict", "\u{1b}[2J").to_string());
    let ended = kya(&fake.url, &["agent", "show", AGENT]);
    assert!(!ended.err.contains('\u{1b}'), "{ended:?}");
}

#[test]
fn what_does_not_answer_as_a_control_plane_is_said_to_be_none() {
    let fake = Fake::start();
    for (status, body) in [
        (200, "<html>welcome</html>"),
        (200, "{}"),
        (200, ""),
        (302, ""),
        (502, "{\"error\":\"upstream\"}"),
    ] {
        fake.otherwise(status, body);
        let ended = kya(&fake.url, &["node", "list"]);
        assert_eq!((ended.code, &*ended.out), (1, ""), "{status} {body:?}");
        assert!(ended.err.contains("did not answer as a kya control plane"), "{ended:?}");
    }
    fake.otherwise(404, "page not found");
    let ended = kya(&fake.url, &["node", "list"]);
    assert_eq!((ended.code, &*ended.out), (1, ""));
    let said = format!("{} does not look like a kya control plane", fake.url);
    assert!(ended.err.contains(&said), "{ended:?}");
}

#[test]
fn who_asks_the_grpc_port_is_told_of_the_other_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let answers = std::thread::spawn(move || {
        for speaks_first in [true, false] {
            let (mut stream, _) = listener.accept().unwrap();
            if !speaks_first {
                assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
            }
            // The SETTINGS with which HTTP/2 begins.
            stream.write_all(b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x40").unwrap();
            // To the end, so that it is the client who hangs up.
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    for _ in 0..2 {
        let ended = kya(&server, &["agent", "revoke", AGENT, "--reason", "r"]);
        assert_eq!(ended.code, 3, "{ended:?}");
        assert!(ended.err.contains("is this the gRPC port (7081)?"), "{ended:?}");
        assert!(!ended.err.contains("is unknown"), "nobody understood the request: {ended:?}");
    }
    answers.join().unwrap();
}

#[test]
fn what_speaks_no_http_or_has_no_address_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let answers = std::thread::spawn(move || {
        // A TLS alert, then half an answer.
        for bytes in
            [&b"\x15\x03\x01\x00\x02\x02\x50"[..], b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"]
        {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(bytes).unwrap();
        }
    });
    assert_eq!(kya(&server, &["node", "list"]).code, 3);
    assert_eq!(kya(&server, &["node", "list"]).code, 3);
    answers.join().unwrap();
    assert_eq!(kya("http://kya.invalid", &["node", "list"]).code, 3);
}

#[test]
fn a_server_behind_a_path_is_asked_under_it() {
    let fake = Fake::start();
    fake.on("GET /behind/v1/nodes", 200, &nodes());
    for server in [format!("{}/behind", fake.url), format!("{}/behind/", fake.url)] {
        kya(&server, &["node", "list"]);
    }
    let lines: Vec<_> = fake.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(lines, ["GET /behind/v1/nodes?limit=1000"; 2]);
}

#[test]
fn proxy_variables_do_not_lead_the_admin_key_elsewhere() {
    let (fake, proxy) = (willing(), Fake::start());
    let mut command = command(&fake.url, &["node", "list"]);
    let ended = end(command.env("http_proxy", &proxy.url).spawn().unwrap());
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(proxy.seen(), []);
}
