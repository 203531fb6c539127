//! `kya audit`: reading the trail, and proving that it is whole.

mod sealing;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use kya_core::AgentId;
use kya_core::audit::{Filter, RECORD_TYPES, SignedCheckpoint, Timestamp, Verdict, VerifierKey};

pub(crate) use self::sealing::{Archive, AuditKeysCommand, ProofOf};
use crate::values::{
    parse_act, parse_action, parse_audit_key, parse_bound, parse_checkpoint, parse_kill,
    parse_moment,
};

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Get the trail, or what of it is about an agent, a time, an action; and prove it whole
    #[command(after_help = "\
With --verify-chain the whole trail is fetched, every record is hashed again, and the result is
compared with the signed checkpoint at its end: nothing was edited, reordered, inserted, left out or
cut off. Only then is anything given out, so that whatever you get is proved; the verdict is on
stderr, and the exit code is 7 if the trail does not verify. What you asked for is picked out here
and not by the server, which therefore cannot hide a record from you. Without --verify-chain the
server picks, and `kya audit verify FILE` can still prove an export in jsonl.

Whom the proof trusts: the key that you pin with --key or KYA_AUDIT_KEY (`kya audit keys` shows it;
write it down when you set the control plane up). With none, the server is asked for its keys: that
finds what was changed by anybody but the server.

csv and cloudevents are for reading. They cannot be verified later; jsonl can.

Examples:
  kya audit export --agent agt_01JX… --since \"2026-02-05T14:00:00Z\" --verify-chain
  kya audit export --since 2h --decision deny --format csv --out denied.csv
  kya audit export --type admin,kill_activated --since 30days --verify-chain --out acts.jsonl
  kya audit export --verify-chain --checkpoint last-month.checkpoint --out trail.jsonl
  kya audit export --kill kil_01JX… --at 5120 --out kill.jsonl
  kya audit export --verify-chain --out trail.jsonl && kya audit check-kills trail.jsonl")]
    Export(Export),
    /// Show the newest records, and with -f each that comes
    #[command(after_help = "\
A lost connection is made again, and goes on after the last record that was shown. With `-o json`
each line is one record.

Examples:
  kya audit tail
  kya audit tail -f --agent agt_01JX… --decision deny
  kya audit tail -f --act agent.revoked
  kya -o json audit tail -f --type decision | jq -r '.record.action'")]
    Tail(Tail),
    /// Show one record, by its number
    #[command(after_help = "\
Examples:
  kya audit show 1042
  kya -o json audit show 1042 | jq .record")]
    Show {
        /// Number of the record in the trail, from 1
        #[arg(value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..1 << 53))]
        seq: u64,
    },
    /// Show the newest signed checkpoint: how long the trail is, and what it hashes to
    #[command(after_help = "\
Keep one in another place: a trail that is cut or replaced later does not agree with it any more
(--checkpoint FILE of `export` and `check-kills`). It is a signed note (C2SP signed-note, tlog-checkpoint).

Examples:
  kya audit checkpoint > /mnt/elsewhere/kya-$(date +%F).checkpoint
  kya audit checkpoint --key \"$(cat audit.pub)\"")]
    Checkpoint(Pinned),
    /// Prove that a record, or what an earlier checkpoint signed, is in the trail of the newest one
    #[command(after_help = "\
Of a record it fetches an inclusion proof (RFC 6962), hashes the record itself and follows the proof
to the root that the newest checkpoint signs. Of a checkpoint that you have kept it fetches a
consistency proof: that the trail still begins with the records that it was signed for, and that only
others came after them. Neither needs the rest of the trail. The exit code is 7 if they do not agree.

Examples:
  kya audit proof 1042
  kya audit proof 1042 --key kya.example/audit+5b1d5c4d+AQJ8…
  kya audit proof --checkpoint last-month.checkpoint --key audit.pub
  kya -o json audit proof 1042 > 1042.proof.json")]
    Proof(ProofOf),
    /// Seal the oldest part of the trail in a file, and have the server remove it
    #[command(after_help = "\
What is removed is everything up to the newest checkpoint, or up to the first one from --last on. It
is exported to FILE and verified; then the server makes the same export once more and compares, says
in a record what the segment's SHA-256 is, and removes the records. FILE is all that is left of them:
keep it in two places. Run it again with the same FILE after anything went wrong: it goes on where it
was, and archives nothing twice. It takes the role `admin`.

Examples:
  kya audit archive --out segment-1.jsonl --dry-run
  kya audit archive --out segment-1.jsonl --key audit.pub
  kya audit verify segment-1.jsonl now.jsonl --key audit.pub")]
    Archive(Archive),
    /// Show the keys that sign checkpoints, the first of which is the one to pin; and replace them
    #[command(after_help = "\
A key is written as a verifier key (C2SP signed-note): NAME+ID+BASE64. Whoever pins an old one
follows to the newer ones, since each is signed by the one before it, in the trail.

Examples:
  kya audit keys
  export KYA_AUDIT_KEY=$(kya -o json audit keys | jq -r '.keys[0].verifier_key')")]
    Keys {
        #[command(subcommand)]
        command: Option<AuditKeysCommand>,
    },
    /// Verify exports and reports of drills offline, by a key that you have pinned
    #[command(after_help = "\
Nothing is asked of any server and no key in the file is believed: it must be signed by the key that
you pin (`kya audit keys` shows it when you set the control plane up), or by one that follows from it
in the trail. What was edited, put in, taken out, moved, cut off or rewritten is named with the number
of its record. Files are given oldest first: each must go on from the one before, and a record that
says that a segment was archived must name its SHA-256.

An older export of the same trail verifies too: what it lacks, only a later checkpoint shows. Keep
them in another place (`kya audit checkpoint`) and give them with --checkpoint.

A FILE can also be the report of a drill (`kya drill report`), of any format: then its figures,
samples and receipts are checked, too, and that it shows what they say.

The exit code is 0 if everything that is shown is as it was signed, and the text says what is not
shown; 7 if not; 2 if a file cannot be read.

Examples:
  kya audit verify trail.jsonl --key kya.example/audit+5b1d5c4d+AQJ8…
  kya audit verify segment-1.jsonl segment-2.jsonl now.jsonl --key audit.pub --checkpoint may.checkpoint
  kya audit export | kya audit verify - --key audit.pub --whole-since 1042
  kya -o json audit verify trail.jsonl --key audit.pub | jq '.files[0].report.checkpoint'")]
    Verify(AuditVerify),
    /// Prove that nothing was allowed past a kill, or show what was
    #[command(after_help = "\
Every ALLOW of the trail is compared with every kill: of an agent, a token, a capability, a
principal, the fleet. It got past one if it was decided by a state that held the kill, or by a worker
that had said before that it had applied it, or (with --bound) later than that after the kill,
whatever a worker has said. What was put back counts again from there on. It says, too, what the
trail cannot know: workers that were lost before they had sent everything, events that were dropped.

The trail is verified first, as by `kya audit verify`. The exit code is 1 if anything was allowed
past a kill, and 7 if the trail does not verify.

Examples:
  kya audit check-kills                              # the trail of the server
  kya audit check-kills --since 24h --bound 1s       # the kills of the last day
  kya audit check-kills trail.jsonl --key \"$KEY\"     # an export, offline
  kya -o json audit check-kills | jq '.violations[].record'")]
    CheckKills(CheckKills),
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// What it is written as
    #[arg(long, value_enum, default_value = "jsonl", value_name = "FORMAT")]
    pub(crate) format: ExportFormat,
    /// Prove that the trail is whole before anything is given out
    #[arg(long)]
    pub(crate) verify_chain: bool,
    /// Put the checkpoint of this many records into it, so that whoever has kept that one can
    /// compare it where records around it are hidden. Can be given up to 16 times
    #[arg(long, value_name = "SIZE", value_parser = clap::value_parser!(u64).range(1..1 << 53))]
    pub(crate) at: Vec<u64>,
    #[command(flatten)]
    pub(crate) proving: Proving,
    /// Write to this file, which is there only when it is whole
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Tail {
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// Go on, and show each record that comes
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// How many of the newest records to begin with
    #[arg(short = 'n', long, default_value_t = 20, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub(crate) lines: u16,
}

#[derive(Debug, Args)]
pub(crate) struct CheckKills {
    /// Exports in jsonl, or none to ask the server; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Only kills from this time on: 2026-02-05T14:00:00Z, or how long ago, such as 2h
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub(crate) since: Option<Timestamp>,
    /// Report also what was allowed later than this after a kill, whatever its worker had
    /// heard; by the clocks of proxy and control plane
    #[arg(long, value_name = "TIME", value_parser = parse_bound)]
    pub(crate) bound: Option<Duration>,
    #[command(flatten)]
    pub(crate) proving: Proving,
}

#[derive(Debug, Args)]
pub(crate) struct AuditVerify {
    /// Exports in jsonl, oldest first, or reports of drills; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// A key whose signature counts: NAME+ID+BASE64, or a file with it. Can be given several times
    #[arg(long = "key", env = "KYA_AUDIT_KEY", value_name = "KEY|FILE", required = true)]
    #[arg(value_parser = parse_audit_key)]
    pub(crate) keys: Vec<VerifierKey>,
    /// A checkpoint that you have kept: the trail must begin with what it signed, or it was
    /// replaced or cut since. Can be given several times
    #[arg(long = "checkpoint", value_name = "FILE", value_parser = parse_checkpoint)]
    pub(crate) checkpoints: Vec<SignedCheckpoint>,
    /// No record from this number on may be hidden
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(u64).range(1..1 << 53))]
    pub(crate) whole_since: Option<u64>,
}

/// Whose signature counts.
#[derive(Debug, Args)]
pub(crate) struct Pinned {
    /// The key that must have signed it, itself or by a key that follows from it:
    /// NAME+ID+BASE64, or a file with it
    #[arg(long, env = "KYA_AUDIT_KEY", value_name = "KEY|FILE", value_parser = parse_audit_key)]
    pub(crate) key: Option<VerifierKey>,
}

/// By what a trail is verified.
#[derive(Debug, Args)]
pub(crate) struct Proving {
    #[command(flatten)]
    pub(crate) pinned: Pinned,
    /// A checkpoint that you have kept: the trail must begin with what it signed, or it was
    /// replaced or cut since. Can be given several times
    #[arg(long = "checkpoint", value_name = "FILE", value_parser = parse_checkpoint)]
    pub(crate) checkpoints: Vec<SignedCheckpoint>,
}

/// Which records.
#[derive(Debug, Args)]
pub(crate) struct FilterArgs {
    /// What is about this agent
    #[arg(long, value_name = "ID")]
    agent: Option<AgentId>,
    /// What happened from this time on: 2026-02-05T14:00:00Z, or how long ago, such as 2h
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    since: Option<Timestamp>,
    /// What happened before this time
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    until: Option<Timestamp>,
    /// Decisions on this action, and kills of it
    #[arg(long, value_name = "NAME", value_parser = parse_action)]
    action: Option<String>,
    /// Decisions of this kind
    #[arg(long, value_enum)]
    decision: Option<Decision>,
    /// Records of this type; several, separated by commas, where `kya` picks and not the
    /// server: in `tail`, and with --verify-chain
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(RECORD_TYPES))]
    types: Vec<String>,
    /// Acts of operators by this name, such as agent.revoked
    #[arg(long, value_name = "NAME", value_parser = parse_act)]
    act: Option<String>,
    /// The rows of this kill
    #[arg(long, value_name = "ID", value_parser = parse_kill)]
    kill: Option<String>,
}

impl FilterArgs {
    /// What was asked for, or why that can be nothing.
    pub(crate) fn filter(&self) -> Result<Filter, String> {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since >= until
        {
            return Err(format!("--since {since} is not before --until {until}: nothing is"));
        }
        Ok(Filter {
            agent: self.agent.map(|it| it.to_string()),
            since: self.since,
            until: self.until,
            action: self.action.clone(),
            decision: self.decision.map(Verdict::from),
            act: self.act.clone(),
            kill: self.kill.clone(),
            types: self.types.clone(),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Decision {
    /// It went on, as this agent's
    Allow,
    /// It was answered by the gate
    Deny,
    /// It went on without a decision
    Pass,
}

impl From<Decision> for Verdict {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Allow => Self::Allow,
            Decision::Deny => Self::Deny,
            Decision::Pass => Self::Pass,
        }
    }
}

/// What an export is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// One JSON document a line, which can be verified later
    Jsonl,
    /// For spreadsheets (RFC 4180)
    Csv,
    /// One CloudEvent 1.0 a line
    Cloudevents,
}

impl ExportFormat {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Cloudevents => "cloudevents",
        }
    }
}
