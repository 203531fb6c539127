//! The program: it says where it listens, and ends when it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// For what takes milliseconds unless it is broken.
const PATIENCE: Duration = Duration::from_secs(20);

struct Payments {
    child: Child,
    address: String,
}

impl Payments {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kya-payments"))
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix("listening on ").expect(&line).trim().to_owned();
        Self { child, address }
    }

    fn ended(&mut self) -> ExitStatus {
        until("it ends", || self.child.try_wait().unwrap())
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }
}

fn until<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

impl Drop for Payments {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_ends_cleanly_on_a_signal() {
    for name in ["TERM", "INT"] {
        let mut payments = Payments::start();
        assert!(TcpStream::connect(&payments.address).is_ok());
        payments.signal(name);
        assert!(payments.ended().success(), "SIG{name}");
    }
}

#[test]
fn a_request_under_way_is_answered_before_it_ends() {
    let mut payments = Payments::start();
    let mut stream = TcpStream::connect(&payments.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "POST /v1/charges HTTP/1.1\r\nhost: payments\r\nexpect: 100-continue\r\n\
                content-type: application/json\r\nx-kya-agent-id: agt_X\r\ncontent-length: 32\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    // It asks for the body, so the request is under way.
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    payments.signal("TERM");
    // It takes no new connection once it has seen the signal.
    until("it takes no connection", || TcpStream::connect(&payments.address).err());
    stream.write_all(b"{\"amount\": 1, \"currency\": \"eur\"}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
    assert!(payments.ended().success());
}

#[test]
fn an_address_that_is_taken_is_an_error_that_names_it() {
    let payments = Payments::start();
    let output = Command::new(env!("CARGO_BIN_EXE_kya-payments"))
        .args(["--listen", &payments.address])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(said.contains(&format!("cannot listen on {}", payments.address)), "{said}");
}
