//! Wrong values for every argument of every command that the parser knows: exit 2, an error
//! that names the argument, and nothing sent.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::TcpListener;

use clap::{Arg, Command, CommandFactory, Parser};

use super::Cli;

const KEY: &str = "ed25519:MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
const ULID: &str = "01JXMK9P2Q3R4S5T6V7W8X9Y0Z";
const NOWHERE: &str = "/nonexistent/kya";

/// What an argument takes.
enum Kind {
    /// A flag.
    Nothing,
    /// One of these.
    Choice(Vec<String>),
    /// For people.
    Text,
    /// An id with this prefix.
    Id(&'static str),
    /// From this number on.
    Number(u32),
    /// Of a record in the audit trail.
    Seq,
    /// The id of a key that signs checkpoints.
    KeyId,
    Duration,
    Expiry,
    /// In the past, or how long ago.
    Moment,
    /// Of an operator.
    Act,
    /// That signs checkpoints, or a file with one.
    AuditKey,
    /// A file with a checkpoint: any that is there is refused, unless it holds one.
    Checkpoint,
    PublicKey,
    File,
    Principal,
    Policy,
    /// Of a node registration or an operator.
    PlainName,
    Label,
    Selector,
    Action,
    Service,
    Server,
    /// Where a drill sends its probes.
    Probe,
    Cron,
    Zone,
    /// A time that is not short.
    Interval,
    /// Whose key this is; it is never shown, and read elsewhere.
    Secret,
}

/// Every argument has a kind: who adds one says here which.
fn kind(command: &str, arg: &Arg) -> Kind {
    if !arg.get_action().takes_values() {
        return Kind::Nothing;
    }
    let choice: Vec<_> =
        arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if !choice.is_empty() {
        return Kind::Choice(choice);
    }
    match (command, arg.get_id().as_str()) {
        ("principal add", "name") => Kind::Principal,
        ("node add" | "node revoke" | "operator add" | "operator revoke", "name") => {
            Kind::PlainName
        }
        (command, "name") if command.starts_with("drill schedule ") => Kind::PlainName,
        ("drill schedule add", "cron") => Kind::Cron,
        ("drill schedule add", "time_zone") => Kind::Zone,
        ("drill schedule add", "every" | "window") => Kind::Interval,
        ("node list" | "operator list", "after") => Kind::PlainName,
        ("token list", "after") => Kind::Id("tok"),
        ("principal list", "after") => Kind::Id("prn"),
        ("policy list", "after") => Kind::Id("pol"),
        ("approval list" | "approval approve" | "approval reject", "id" | "after") => {
            Kind::Id("apr")
        }
        ("kill list" | "kill show" | "kill wait" | "kill receipt", "id" | "before") => {
            Kind::Id("kil")
        }
        ("drill list" | "drill show" | "drill stop" | "drill report", "id" | "before") => {
            Kind::Id("drl")
        }
        ("drill report", "from") => Kind::File,
        ("drill run" | "drill schedule add", "probes") => Kind::Probe,
        ("drill run" | "drill schedule add", "samples" | "rate") => Kind::Number(1),
        ("drill run" | "drill schedule add", "p99") => Kind::Duration,
        ("kill receipt" | "kill verify" | "drill report", "key") => Kind::AuditKey,
        ("kill list", "act" | "subject") => Kind::Text,
        (_, "id" | "agent" | "parent" | "after") => Kind::Id("agt"),
        (_, "token_id") => Kind::Id("tok"),
        (_, "name" | "reason" | "incident_id" | "node_id") => Kind::Text,
        (command, "key" | "keys") if command.starts_with("audit ") => Kind::AuditKey,
        (_, "checkpoints") => Kind::Checkpoint,
        (_, "since" | "until") => Kind::Moment,
        (_, "act") => Kind::Act,
        (_, "seq" | "whole_since" | "at" | "last") => Kind::Seq,
        (_, "kill") => Kind::Id("kil"),
        (_, "lost") => Kind::KeyId,
        ("audit tail", "lines") => Kind::Number(0),
        (_, "pubkey" | "pinned" | "key") => Kind::PublicKey,
        (_, "owner" | "principal") => Kind::Principal,
        (_, "policy") => Kind::Policy,
        (_, "labels") => Kind::Label,
        (_, "selector") => Kind::Selector,
        (_, "action" | "actions") => Kind::Action,
        (_, "service" | "services") => Kind::Service,
        (_, "if_version") => Kind::Number(0),
        (_, "limit" | "version" | "from" | "to" | "before") => Kind::Number(1),
        (_, "wait" | "ttl" | "expires_in" | "timeout" | "bound") => Kind::Duration,
        (_, "expires_at") => Kind::Expiry,
        (
            _,
            "file" | "files" | "out" | "path" | "token_file" | "ca_file" | "client_cert"
            | "client_key" | "probe_ca",
        ) => Kind::File,
        (_, "server") => Kind::Server,
        (_, "token") => Kind::Secret,
        (command, id) => panic!("say of which kind `{id}` of `kya {command}` is"),
    }
}

impl Kind {
    fn good(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Choice(choice) => choice[0].clone(),
            Self::Text => "a text — 支払".to_owned(),
            Self::Id(prefix) => format!("{prefix}_{ULID}"),
            Self::Number(_) | Self::Seq => "7".to_owned(),
            Self::KeyId => "5b1d5c4d".to_owned(),
            Self::Duration => "10s".to_owned(),
            Self::Moment => "2026-02-05T14:00:00Z".to_owned(),
            Self::Act => "agent.revoked".to_owned(),
            Self::AuditKey => audit_key(),
            Self::Checkpoint => checkpoint(),
            Self::Expiry => "2099-01-31T12:00:00Z".to_owned(),
            Self::PublicKey => KEY.to_owned(),
            Self::File => NOWHERE.to_owned(),
            Self::Principal => "alice@example.com".to_owned(),
            Self::Policy | Self::PlainName | Self::Service => "checkout".to_owned(),
            Self::Label | Self::Selector => "env=prod".to_owned(),
            Self::Action => "issue_refund".to_owned(),
            Self::Server => "http://127.0.0.1:7080".to_owned(),
            Self::Probe => "http://127.0.0.1:15001/work".to_owned(),
            Self::Cron => "0 9 1 1,4,7,10 *".to_owned(),
            Self::Zone => "Europe/Berlin".to_owned(),
            Self::Interval => "10m".to_owned(),
            Self::Secret => "a-key".to_owned(),
        }
    }

    fn bad(&self) -> Vec<String> {
        let of = |it: &[&str]| it.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let mut bad = match self {
            Self::Nothing | Self::Secret => return Vec::new(),
            // It is the file that is not there.
            Self::File => return of(&[NOWHERE]),
            Self::Choice(choice) => of(&["dead", &choice[0].to_uppercase(), &choice[0][1..]]),
            Self::Text => of(&[" ", "\t", "a\u{0}b", "a\u{9b}2Jb"]),
            Self::Id(prefix) => {
                let other = if *prefix == "agt" { "tok" } else { "agt" };
                vec![
                    ULID.to_owned(),
                    format!("{other}_{ULID}"),
                    format!("{prefix}_{}", ULID.to_lowercase()),
                    format!("{prefix}_{ULID}0"),
                    format!("{prefix}_{}", &ULID[1..]),
                    format!("{prefix}_{} ", &ULID[1..]),
                    format!("{prefix}_{}", ULID.replace('Z', "U")),
                    format!("{prefix}_8{}", &ULID[1..]),
                    // A Greek letter that looks like the last one.
                    format!("{prefix}_{}", ULID.replace('Z', "\u{396}")),
                    format!("{prefix}_../../fleet/halt"),
                ]
            }
            Self::Number(least) => {
                let mut bad = of(&["-1", "1.5", "1e3", "0x10", " 1", "\u{ff11}", "4294967296"]);
                bad.extend((*least > 0).then(|| "0".to_owned()));
                bad
            }
            Self::Seq => {
                of(&["0", "-1", "1.5", "1e3", "0x10", " 1", "\u{ff11}", "9007199254740992"])
            }
            Self::KeyId => of(&["5b1d5c4", "5B1D5C4D", "5b1d5c4dd", "5b1d5c4g", "kya+5b1d5c4d"]),
            Self::Duration => of(&["5", "-1s", "soon", "100000days", "\u{ff15}s", "1500us1"]),
            Self::Moment => of(&["2020-13-01T00:00:00Z", "yesterday", "9", "-1h", "100years"]),
            Self::Act => of(&["revoked", "agent.", ".revoked", "Agent.revoked", "agent revoked"]),
            Self::Checkpoint => of(&[NOWHERE, "/", "/dev/null", "Cargo.toml"]),
            Self::AuditKey => of(&["kya", "a+b+c", NOWHERE, KEY, "kya/audit+00000000+AQJ8"]),
            Self::Expiry => of(&["2020-01-01T00:00:00Z", "2099-13-01T00:00:00Z", "tomorrow", "9"]),
            Self::PublicKey => of(&["ed25519:AAAA", NOWHERE, "AAAA", "{}", "ssh-ed25519 AAAA"]),
            Self::Principal => of(&["Alice", "a@b@c", " alice", "alice ", "prn_x", "@a", "a@"]),
            Self::Policy => of(&["Checkout", " checkout", "pol_x", "a/b", "agt_01JX"]),
            Self::PlainName => of(&["a/b", "..", ".a", "a b", "a%2fb"]),
            Self::Label => of(&["env", "Env=x", "env=", "=x", "env=a,b", "env= a"]),
            Self::Selector => of(&["env=", "Env=x", "env=prod,", ",", "!env=x", "a b"]),
            Self::Action => of(&["*", "Pay", "pay,read", "pay ", "p%61y"]),
            Self::Service => of(&["*", "Shop", "a b", "shop,mail"]),
            Self::Server => of(&["localhost:7080", "ftp://kya", "http://me:pw@kya", "http://"]),
            Self::Cron => of(&["0 9 * *", "0 0 9 * * *", "@daily", "0 9 * * ?", "every day"]),
            Self::Zone => of(&["/etc", "../UTC", "Europe Berlin", "+1"]),
            Self::Interval => of(&["59s", "25h", "5", "-1m", "often", "1m 1ms"]),
            Self::Probe => of(&["/work", "ftp://kya/", "http://me:pw@kya/", "a b=http://kya/"]),
        };
        bad.extend(of(&["", "\u{1b}[2J", "a\nb", "\u{7}", &"x".repeat(10_000)]));
        if !matches!(self, Self::Text) {
            // It looks like what was meant.
            bad.push(self.good().replacen(['a', 'e', 'i', 'o', 'm', '1', '0', '7'], "\u{430}", 1));
        }
        bad
    }
}

fn audit_key() -> String {
    let key = kya_core::Signer::from_seed([7; 32]).public_key();
    kya_core::audit::VerifierKey::new("kya.test/audit", key).unwrap().to_string()
}

/// A file with a checkpoint, for as long as the tests run.
fn checkpoint() -> String {
    static FILE: std::sync::LazyLock<tempfile::NamedTempFile> = std::sync::LazyLock::new(|| {
        // A name of which something else can be made that looks like it.
        let file = tempfile::Builder::new().prefix("checkpoint-").tempfile().unwrap();
        let zeros = "0".repeat(64);
        let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let time = "2026-02-05T14:00:00.000000Z";
        let body = format!("kya.test/audit\n0\n{root}\nchain {zeros}\ntime {time}\n");
        let signer = kya_core::Signer::from_seed([7; 32]);
        let note = kya_core::audit::Note::sign(&body, "kya.test/audit", &signer).unwrap();
        std::fs::write(file.path(), note).unwrap();
        file
    });
    FILE.path().to_str().unwrap().to_owned()
}

/// An argument as it is given with a value: positional ones come last.
fn given(arg: &Arg, value: &str) -> (bool, Vec<String>) {
    match (arg.get_long(), arg.get_action().takes_values()) {
        (Some(long), true) => (false, vec![format!("--{long}={value}")]),
        (Some(long), false) => (false, vec![format!("--{long}")]),
        (None, _) => (true, vec![value.to_owned()]),
    }
}

/// A command line of `command` with these values.
fn line(command: &str, values: &[(&Arg, String)]) -> Vec<String> {
    let mut line = vec!["kya".to_owned()];
    line.extend(command.split(' ').map(str::to_owned));
    let all: Vec<_> = values.iter().map(|(arg, value)| given(arg, value)).collect();
    let of = |last: bool| all.iter().filter(move |it| it.0 == last).flat_map(|it| it.1.clone());
    line.extend(of(false));
    line.push("--".to_owned());
    line.extend(of(true));
    line
}

/// What must be given beside an argument for a command line to be right.
fn beside<'a>(command: &str, arg: &'a Arg, all: &[&'a Arg]) -> Vec<(&'a Arg, String)> {
    let good = |arg: &'a Arg| (arg, kind(command, arg).good());
    let others = all.iter().copied().filter(|other| other.get_id() != arg.get_id());
    let required: Vec<_> = others.clone().filter(|other| other.is_required_set()).collect();
    let candidates = std::iter::once(None).chain(others.map(Some));
    for more in candidates {
        let wanted = required.iter().copied().chain(more);
        let mut seen = Vec::new();
        for other in wanted {
            if !seen.iter().any(|(it, _): &(&Arg, String)| it.get_id() == other.get_id()) {
                seen.push(good(other));
            }
        }
        let whole: Vec<_> = seen.iter().cloned().chain([good(arg)]).collect();
        if Cli::try_parse_from(line(command, &whole)).is_ok() {
            return seen;
        }
    }
    panic!("`kya {command}` takes `{}` in no way", arg.get_id())
}

/// Every command that does something, with its name.
fn leaves<'a>(of: &'a Command, above: &str) -> Vec<(String, &'a Command)> {
    let mut found = Vec::new();
    for command in of.get_subcommands().filter(|command| command.get_name() != "help") {
        let name = format!("{above}{}", command.get_name());
        match leaves(command, &format!("{name} ")) {
            below if below.is_empty() => found.push((name, command)),
            below => found.extend(below),
        }
    }
    found
}

#[test]
fn a_wrong_value_of_any_argument_is_refused_by_its_name_and_nothing_is_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut all = Cli::command();
    all.build();
    let (mut tried, mut wrong) = (0, Vec::new());
    for (command, parser) in leaves(&all, "") {
        // Those of every command are tried with one.
        let arguments: Vec<_> = parser
            .get_arguments()
            .filter(|arg| command == "whoami" || !arg.is_global_set())
            .filter(|arg| arg.get_id() != "help")
            .collect();
        for &arg in &arguments {
            let kind = kind(&command, arg);
            let beside = beside(&command, arg, &arguments);
            let long = arg.get_long().map(|long| format!("--{long}"));
            let values = arg.get_value_names().unwrap_or_default();
            let name = long.unwrap_or_else(|| values[0].to_string());
            for bad in kind.bad() {
                let values: Vec<_> = beside.iter().cloned().chain([(arg, bad.clone())]).collect();
                let mut line = line(&command, &values);
                if arg.get_id() != "server" {
                    line.splice(1..1, ["--server".to_owned(), server.clone()]);
                }
                line.splice(1..1, ["--token".to_owned(), "a-key".to_owned()]);
                let (mut out, mut err) = (Vec::new(), Vec::new());
                let line: Vec<OsString> = line.into_iter().map(OsString::from).collect();
                let code = runtime.block_on(crate::run(line, &mut out, &mut err));
                let err = String::from_utf8(err).unwrap();
                let plain = err.chars().all(|it| it == '\n' || !it.is_control());
                let named = err.contains(&name) || err.contains(NOWHERE);
                if (code, out.len()) != (2, 0) || !plain || !named || err.len() > 2_000 {
                    let shown = |text: &str| text.chars().take(300).collect::<String>();
                    let (bad, err) = (shown(&bad), shown(&err));
                    wrong.push(format!("exit {code}: kya {command}, {name} {bad:?}: {err}"));
                }
                tried += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(tried > 1_000, "{tried}");
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "something was sent");
}
