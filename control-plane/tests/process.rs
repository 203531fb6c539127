//! The program itself: how it starts, ends, and comes back.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use kya_core::PublicKey;
use kya_core::Status;
use kya_core::wire::proxy_message::Message;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support;
use crate::support::proxy::{channel, hello, message};
use crate::support::{Api, PATIENCE, TestProxy};

/// A running program, killed when dropped.
struct Program {
    child: Child,
    api: Api,
    grpc: std::net::SocketAddr,
    credential: String,
    dir: PathBuf,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kya-control-plane"));
    command.args(arguments).env_clear();
    command
}

fn serve(dir: &Path) -> Command {
    let ports = ["--http-listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0"];
    let mut command = command(&["serve", "--data-dir", dir.to_str().unwrap()]);
    command.args(ports).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The same in a shell that was told this first.
fn limited(dir: &Path, first: &str) -> Command {
    let program = serve(dir);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{first} && exec \"$0\" \"$@\"")).arg(program.get_program());
    shell.args(program.get_args()).env_clear().stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

impl Program {
    async fn start(dir: &Path) -> Self {
        Self::spawn(serve(dir), dir).await
    }

    async fn spawn(mut command: Command, dir: &Path) -> Self {
        let mut child = command.spawn().unwrap();
        let file = dir.join("addresses.json");
        let began = Instant::now();
        let addresses: Value = loop {
            if let Ok(text) = std::fs::read_to_string(&file) {
                let addresses: Value = serde_json::from_str(&text).unwrap();
                // One that a killed program left is removed before long.
                if addresses["pid"] == child.id() {
                    break addresses;
                }
            }
            if let Some(status) = child.try_wait().unwrap() {
                let mut said = String::new();
                child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                panic!("it ended with {status}: {said}");
            }
            assert!(began.elapsed() < PATIENCE, "it never served");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let key = std::fs::read_to_string(dir.join("admin.key")).unwrap();
        let api = Api::new(addresses["http"].as_str().unwrap(), key.trim());
        let grpc = addresses["grpc"].as_str().unwrap().parse().unwrap();
        let credential = api.register_any_node().await;
        Self { child, api, grpc, credential, dir: dir.to_owned() }
    }

    fn public_key(&self) -> PublicKey {
        let text = std::fs::read_to_string(self.dir.join("signing.pub")).unwrap();
        text.trim().parse().unwrap()
    }

    async fn proxy(&self) -> TestProxy {
        let channel = channel(self.grpc).await;
        TestProxy::connect_over(channel, &self.credential, self.public_key(), hello("sidecar"))
            .await
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// How it ended, and what it wrote to standard output and error.
    async fn wait(mut self) -> (Option<i32>, String, String) {
        let began = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(began.elapsed() < PATIENCE, "it never ended"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let (mut out, mut err) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut err).unwrap();
        }
        (status.code(), out, err)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    command(arguments).envs(environment.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn data() -> (TempDir, PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("data");
    (temp, dir)
}

#[tokio::test]
async fn what_was_revoked_stays_revoked_when_the_program_is_killed_right_after() {
    let (_temp, dir) = data();
    let mut agents = Vec::new();
    for round in 0..3 {
        let mut program = Program::start(&dir).await;
        let agent = program.api.register(&format!("agent {round}")).await;
        program.api.issue(&agent).await;
        program.api.revoke(&agent).await;
        program.child.kill().unwrap();
        program.child.wait().unwrap();
        agents.push(agent);
    }
    let program = Program::start(&dir).await;
    for agent in &agents {
        let shown = program.api.get(&format!("/v1/agents/{agent}")).await.expect(200);
        assert_eq!(shown["status"], "revoked");
    }
    let mut proxy = program.proxy().await;
    proxy.next().await;
    assert_eq!(proxy.position().revision.0, 9);
    assert_eq!(proxy.known().agents.len(), 3);
    assert!(proxy.known().agents.values().all(|agent| agent.standing.status == Status::Revoked));
}

#[tokio::test]
async fn sigterm_ends_it_at_once_and_cleanly_with_a_stream_open() {
    let (_temp, dir) = data();
    for signal in ["-TERM", "-INT"] {
        let program = Program::start(&dir).await;
        let mut proxy = program.proxy().await;
        proxy.next().await;
        // An idle connection of the HTTP client is open too.
        program.api.get("/v1/nodes").await.expect(200);
        let began = Instant::now();
        program.signal(signal);
        assert_eq!(proxy.hear().await.unwrap_err().code(), tonic::Code::Unavailable);
        let (code, _, log) = program.wait().await;
        assert_eq!(code, Some(0), "{log}");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert!(!dir.join("addresses.json").exists());
        assert!(log.contains("stopped"), "{log}");
    }
}

#[tokio::test]
async fn the_admin_key_is_printed_at_the_first_start_and_never_again() {
    let (temp, dir) = data();
    let mut program = Program::start(&dir).await;
    let key = program.api.key.clone();
    let mut first_line = String::new();
    BufReader::new(program.child.stdout.as_mut().unwrap()).read_line(&mut first_line).unwrap();
    assert!(first_line.contains(&key), "{first_line}");
    let agent = program.api.register("payer").await;
    let token = program.api.issue(&agent).await["token"].as_str().unwrap().to_owned();
    let public_key = program.public_key();
    program.signal("-TERM");
    let (_, out, log) = program.wait().await;
    assert_eq!(out, "");
    assert!(log.contains(&public_key.to_string()), "{log}");

    let mut verbose = serve(&dir);
    verbose.env("KYA_LOG", "trace").env("KYA_LOG_FORMAT", "json");
    // A pipe that nobody reads would hold it up.
    let second_log = temp.path().join("log");
    verbose.stderr(std::fs::File::create(&second_log).unwrap());
    let program = Program::spawn(verbose, &dir).await;
    assert_eq!((&program.api.key, program.public_key()), (&key, public_key));
    program.api.post("/v1/tokens", json!({ "agent_id": agent })).await.expect(201);
    let credential = program.credential.clone();
    program.proxy().await.next().await;
    program.signal("-TERM");
    let (_, out, _) = program.wait().await;
    let second_log = std::fs::read_to_string(second_log).unwrap();
    assert!(second_log.contains("proxy connected"), "{second_log}");
    assert_eq!(out, "", "the key was printed again");
    for line in second_log.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "not JSON: {line}");
    }
    for secret in [&key["kya_admin_".len()..], &token[3..], &credential[3..]] {
        assert!(!log.contains(secret) && !second_log.contains(secret), "a secret was logged");
    }
}

#[tokio::test]
async fn the_data_directory_is_for_its_owner_alone() {
    let (_temp, dir) = data();
    let program = Program::start(&dir).await;
    program.api.register("payer").await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for file in ["admin.key", "signing.key", "kya.db"] {
        assert_eq!(mode(&dir.join(file)), 0o600, "{file}");
    }
    let seed = std::fs::read_to_string(dir.join("signing.key")).unwrap();
    assert_eq!((seed.lines().count(), seed.len()), (1, 45));
}

#[tokio::test]
async fn it_may_open_as_many_files_as_it_is_allowed_to() {
    let (_temp, dir) = data();
    let limited = limited(&dir, "ulimit -S -n 64");
    let program = Program::spawn(limited, &dir).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", program.child.id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let words: Vec<_> = files.split_whitespace().collect();
    assert_eq!(words[3], words[4], "soft and hard: {files}");
}

#[tokio::test]
async fn it_lives_through_a_lack_of_files() {
    let (_temp, dir) = data();
    let limited = limited(&dir, "ulimit -n 48");
    let program = Program::spawn(limited, &dir).await;
    let connect = || std::net::TcpStream::connect(program.grpc).unwrap();
    let hold: Vec<_> = (0..60).map(|_| connect()).collect();
    let descriptors = format!("/proc/{}/fd", program.child.id());
    let mut seen = 0;
    support::eventually("no file is left, and that for a while", async || {
        seen = if std::fs::read_dir(&descriptors).unwrap().count() >= 48 { seen + 1 } else { 0 };
        seen == 20
    })
    .await;
    drop(hold);
    let mut proxy = program.proxy().await;
    proxy.next().await;
    program.signal("-TERM");
    let (code, _, log) = program.wait().await;
    assert_eq!(code, Some(0), "{log}");
    let warnings = log.matches("cannot accept a connection").count();
    assert!((1..20).contains(&warnings), "{warnings} warnings");
}

#[tokio::test]
async fn a_second_program_on_the_same_data_is_refused() {
    let (_temp, dir) = data();
    let program = Program::start(&dir).await;
    let second = serve(&dir).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("another kya-control-plane is using"));
    program.api.register("still there").await;
    assert!(dir.join("addresses.json").exists());
}

#[tokio::test]
async fn a_key_that_others_can_read_keeps_it_from_starting() {
    let (_temp, dir) = data();
    drop(Program::start(&dir).await);
    for file in ["admin.key", "signing.key"] {
        let path = dir.join(file);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o604)).unwrap();
        let refused = serve(&dir).output().unwrap();
        assert_eq!(refused.status.code(), Some(1));
        let said = text(&refused.stderr);
        assert!(said.contains(file) && said.contains("chmod 600"), "{said}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let (_temp, dir) = data();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused =
        run(&["serve", "--data-dir", dir.to_str().unwrap(), "--http-listen", &address], &[]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains(&format!("cannot listen on {address}: ")), "{said}");
    assert_eq!(said.matches("os error").count(), 1, "{said}");
}

#[test]
fn validate_shows_what_is_effective_and_touches_nothing() {
    let (temp, dir) = data();
    let file = temp.path().join("kya.toml");
    std::fs::write(&file, "http_listen = \"127.0.0.1:1\"\ngrpc_listen = \"127.0.0.1:2\"").unwrap();
    let environment = [("KYA_CONFIG", file.to_str().unwrap()), ("KYA_GRPC_LISTEN", "127.0.0.1:3")];
    let flags = ["serve", "--validate", "--data-dir", dir.to_str().unwrap(), "--log", "debug"];
    let valid = run(&flags, &environment);
    assert_eq!(valid.status.code(), Some(0), "{}", text(&valid.stderr));
    let shown = text(&valid.stdout);
    for line in [
        "http_listen = \"127.0.0.1:1\"",
        "grpc_listen = \"127.0.0.1:3\"  # KYA_GRPC_LISTEN",
        "log = \"debug\"  # --log",
        "log_format = \"text\"  # default",
    ] {
        assert!(shown.contains(line), "no `{line}` in\n{shown}");
    }
    assert!(!dir.exists(), "--validate made the data directory");
}

#[test]
fn a_wrong_configuration_ends_with_2_and_every_mistake() {
    let (temp, dir) = data();
    let file = temp.path().join("kya.toml");
    std::fs::write(&file, "data_dirr = \"x\"").unwrap();
    let config = file.to_str().unwrap();
    let dir = dir.to_str().unwrap();
    let missing = temp.path().join("none.toml");
    let missing = missing.to_str().unwrap();
    let unknown_setting = &["serve", "--data-dir", dir, "--config", config][..];
    let no_file = &["serve", "--data-dir", dir, "--config", missing][..];
    let bad_address = &["serve", "--data-dir", dir, "--http-listen", "everywhere"][..];
    let in_the_clear = &["serve", "--data-dir", dir, "--grpc-listen", "0.0.0.0:0"][..];
    let no_key = &["serve", "--data-dir", dir, "--http-tls-cert", "c"][..];
    let no_dir = &["serve"][..];
    let unknown_flag = &["serve", "--port", "1"][..];
    for (arguments, complaint) in [
        (unknown_setting, "there is no setting `data_dirr`"),
        (no_file, "none.toml"),
        (bad_address, "--http-listen: `everywhere` is not an address and port"),
        (in_the_clear, "grpc_listen: 0.0.0.0:0 can be reached from other machines"),
        (no_key, "http_tls_key: is not set, and TLS needs it"),
        (no_dir, "data_dir: is not set: give --data-dir, KYA_DATA_DIR"),
        (unknown_flag, "--port"),
    ] {
        for validate in [true, false] {
            let mut arguments = arguments.to_vec();
            arguments.extend(validate.then_some("--validate"));
            let refused = run(&arguments, &[]);
            let said = text(&refused.stderr);
            assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {said}");
            assert!(said.contains(complaint), "{arguments:?}: {said}");
        }
    }
    let both = run(&["serve"], &[("KYA_LOG_FORMAT", "xml"), ("KYA_DRAIN_TIMEOUT", "soon")]);
    let said = text(&both.stderr);
    assert!(said.contains("KYA_LOG_FORMAT: `xml`") && said.contains("KYA_DRAIN_TIMEOUT: `soon`"));
}

#[test]
fn validate_tries_the_certificates() {
    let (temp, dir) = data();
    let missing = temp.path().join("tls.crt");
    let missing = missing.to_str().unwrap();
    let files = ["--grpc-tls-cert", missing, "--grpc-tls-key", missing];
    let serve = ["serve", "--validate", "--data-dir", dir.to_str().unwrap()];
    let refused = run(&[&serve[..], &files].concat(), &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("tls.crt: No such file"), "{refused:?}");
}

#[tokio::test]
async fn the_public_key_can_be_had_before_the_first_start() {
    let (_temp, dir) = data();
    let printed = run(&["public-key", "--create", "--data-dir", dir.to_str().unwrap()], &[]);
    let said = text(&printed.stderr);
    assert_eq!(printed.status.code(), Some(0), "{said}");
    assert!(said.contains("made the data directory") && said.contains("made a new signing key"));
    let key: PublicKey = text(&printed.stdout).trim().parse().unwrap();
    let program = Program::start(&dir).await;
    assert_eq!(program.public_key(), key);
    let again = run(&["public-key"], &[("KYA_DATA_DIR", dir.to_str().unwrap())]);
    assert_eq!((text(&again.stdout), text(&again.stderr)), (text(&printed.stdout), "".into()));
}

#[test]
fn the_public_key_of_a_mistyped_directory_is_not_made_up() {
    let (temp, dir) = data();
    let refused = run(&["public-key", "--data-dir", dir.to_str().unwrap()], &[]);
    let said = text(&refused.stderr);
    assert_eq!((refused.status.code(), &*text(&refused.stdout)), (Some(1), ""), "{said}");
    assert!(said.contains(&format!("there is no data directory {}: start", dir.display())));
    assert!(said.contains("--create") && !dir.exists(), "{said}");

    let there = temp.path().to_str().unwrap();
    let made = run(&["public-key", "--data-dir", there], &[]);
    assert_eq!(made.status.code(), Some(0));
    assert_eq!(text(&made.stderr), format!("made a new signing key in {there}\n"));
}

#[tokio::test]
async fn the_log_warns_of_what_a_proxy_did_wrong_and_not_of_one_that_left() {
    let (temp, dir) = data();
    let log = temp.path().join("log");
    let mut command = serve(&dir);
    command.stderr(std::fs::File::create(&log).unwrap());
    let program = Program::spawn(command, &dir).await;
    let (mut first, mut second) = (program.proxy().await, program.proxy().await);
    let (mut gone, mut again) = (program.proxy().await, program.proxy().await);
    for proxy in [&mut first, &mut second, &mut gone, &mut again] {
        proxy.next().await;
    }
    drop(gone);
    again.say.send(message(Message::Hello(hello("sidecar")))).await.unwrap();
    again.hear().await.unwrap_err();
    let lines = |part: &str| {
        let log = std::fs::read_to_string(&log).unwrap();
        log.lines().filter(|line| line.contains(part)).map(str::to_owned).collect::<Vec<_>>()
    };
    support::eventually("the namesake is noticed", async || {
        !lines("another proxy is connected as sidecar: give each Envoy its own node.id").is_empty()
    })
    .await;
    assert_eq!(lines("proxy disconnected").len(), 2);
    let warnings = lines("WARN");
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    let refusal = &warnings[0];
    for part in ["Hello is the first message, and only that", "InvalidArgument", "\"sidecar\""] {
        assert!(refusal.contains(part), "{refusal}");
    }
    assert!(!refusal.contains("MetadataMap"), "{refusal}");
}
