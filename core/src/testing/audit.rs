//! An audit trail for tests, whole and forged. Native tests, those of the command line and
//! those of the browser go through the same table of forgeries.

mod forgeries;

use crate::Signer;
use crate::audit::export::{ExportWriter, Header, VERSION};
use crate::audit::merkle::{Frontier, NodeHash};
use crate::audit::{
    Administered, Archived, Canonical, ChainHash, Checkpoint, Decided, Entry, KeyNamed, Record,
    Source, Timestamp, Verdict, VerifierKey,
};

pub use forgeries::{Forgery, forgeries};

/// Which trail it is.
pub const ORIGIN: &str = "kya.test/audit";
/// When its first record was written: 2026-02-05T14:47:03Z.
pub const BEGIN: Timestamp = Timestamp(1_770_302_823_000_000);

/// The key number `n` by which checkpoints are signed.
pub fn audit_signer(n: u8) -> Signer {
    Signer::from_seed([0x40 | n; 32])
}

/// The same, as an auditor pins it.
pub fn audit_key(n: u8) -> VerifierKey {
    VerifierKey::new(ORIGIN, audit_signer(n).public_key()).unwrap()
}

/// A trail in memory.
#[derive(Debug, Clone)]
pub struct Trail {
    records: Vec<(String, ChainHash)>,
    /// The key that signs, and from which record on.
    signers: Vec<(u64, u8)>,
    tree: Frontier,
}

impl Trail {
    /// A trail of `size` records, which begins with the naming of key 1.
    pub fn of(size: u64) -> Self {
        let mut trail = Self { records: Vec::new(), signers: vec![(0, 1)], tree: Frontier::new() };
        trail.append(Entry::Key(KeyNamed::first(&audit_key(1))));
        trail.grow(size);
        trail
    }

    /// How many records there are.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Appends decisions and acts until there are `size` records.
    pub fn grow(&mut self, size: u64) {
        while self.size() < size {
            let seq = self.size() + 1;
            self.append(if seq.is_multiple_of(5) { act(seq) } else { decision(seq) });
        }
    }

    /// Appends this.
    pub fn append(&mut self, entry: Entry) {
        let seq = self.size() + 1;
        let time = Timestamp(BEGIN.0 + seq * 1_000);
        let record = Record { seq, time, recorded: Timestamp(time.0 + 40), entry };
        let text = Canonical::of(&record).unwrap().into_string();
        let before = self.records.last().map_or(ChainHash::START, |it| it.1);
        self.tree.push(NodeHash::leaf(text.as_bytes())).unwrap();
        self.records.push((text.clone(), before.next(text.as_bytes())));
    }

    /// Key `n` takes the place of the one that signs.
    pub fn change_key(&mut self, n: u8) {
        let old = self.signers.last().unwrap().1;
        let named = KeyNamed::following(&audit_key(n), &audit_key(old), &audit_signer(old));
        self.append(Entry::Key(named));
        self.signers.push((self.size(), n));
    }

    /// Key `n` is started because the one that signs is lost.
    pub fn recover_key(&mut self, n: u8) {
        let old = self.signers.last().unwrap().1;
        let named = KeyNamed::recovered(&audit_key(n), &audit_key(old));
        self.append(Entry::Key(named.by("operator:ada", "the disk is gone")));
        self.signers.push((self.size(), n));
    }

    /// Says that a file with this SHA-256 holds the records from `first` to `last`.
    pub fn archive(&mut self, first: u64, last: u64, sha256: &str) {
        let (sha256, actor) = (sha256.to_owned(), "operator:ada".to_owned());
        self.append(Entry::Archived(Archived { first, last, sha256, actor }));
    }

    /// Record `seq`, canonical, and its hash.
    pub fn record(&self, seq: u64) -> (&str, ChainHash) {
        match seq.checked_sub(1).and_then(|it| self.records.get(usize::try_from(it).unwrap())) {
            Some((text, hash)) => (text, *hash),
            None => ("", ChainHash::START),
        }
    }

    /// The head of the first `size` records.
    pub fn head(&self, size: u64) -> Checkpoint {
        let mut tree = Frontier::new();
        (1..=size).for_each(|seq| tree.push(self.leaf(seq)).unwrap());
        let (root, chain) = (tree.root(), self.record(size).1);
        let time = Timestamp(BEGIN.0 + size * 1_000 + 500);
        Checkpoint { origin: ORIGIN.to_owned(), size, root, chain, time }
    }

    /// The same, signed by the key that signed then.
    pub fn checkpoint(&self, size: u64) -> String {
        let signer = self.signers.iter().rev().find(|it| it.0 <= size).unwrap().1;
        self.head(size).sign(&audit_signer(signer)).unwrap()
    }

    /// All of it, in one file.
    pub fn export(&self) -> String {
        self.export_of(1, self.size(), &[], |_| true)
    }

    /// The records from `first` to `last` that are in `shown`, with further checkpoints of
    /// these sizes. What names a key is shown from the beginning.
    pub fn export_of(
        &self,
        first: u64,
        last: u64,
        checkpoints: &[u64],
        shown: impl Fn(u64) -> bool,
    ) -> String {
        let previous = self.record(first - 1).1;
        let origin = ORIGIN.to_owned();
        let header = Header { version: VERSION, origin, first, last, previous, filter: None };
        let mut out = String::new();
        let mut writer = ExportWriter::new(header, &mut out).unwrap();
        for seq in 1..=last {
            let (text, hash) = self.record(seq);
            let key = text.contains("\"type\":\"key\"");
            if if seq < first { key } else { shown(seq) } {
                writer.show(seq, hash, text, &mut out).unwrap();
            } else {
                writer.hide(seq, self.leaf(seq), hash).unwrap();
            }
            if checkpoints.contains(&seq) {
                writer.checkpoint(&self.checkpoint(seq), &mut out).unwrap();
            }
        }
        let keys = self.signers.iter().map(|it| audit_key(it.1)).collect();
        writer.finish(&self.checkpoint(last), keys, &mut out).unwrap();
        out
    }

    fn leaf(&self, seq: u64) -> NodeHash {
        NodeHash::leaf(self.record(seq).0.as_bytes())
    }
}

/// A decision as a proxy reports it.
pub fn decision(seq: u64) -> Entry {
    let allowed = !seq.is_multiple_of(3);
    Entry::Decision(Box::new(Decided {
        source: Source {
            proxy: "payments-1".to_owned(),
            worker: u32::try_from(seq % 2).unwrap(),
            instance: "00f1e2d3c4b5a697".to_owned(),
            number: seq,
        },
        decision: if allowed { Verdict::Allow } else { Verdict::Deny },
        reason: (!allowed).then(|| "agent_revoked".to_owned()),
        agent_id: Some("agt_01jkqz6v7m0000000000000000".to_owned()),
        principal_id: None,
        token_id: Some("tok_01jkqz6v7m0000000000000001".to_owned()),
        service: Some("payments".to_owned()),
        action: Some("charge.create".to_owned()),
        method: Some("POST".to_owned()),
        path_template: Some("/v1/charges".to_owned()),
        policy_id: Some("pol_01jkqz6v7m0000000000000002".to_owned()),
        policy_version: Some(3),
        epoch: Some(1_770_302_000_000),
        revision: Some(40 + seq),
        state_age_ms: Some(180),
        request_id: Some(format!("7d9e2c1a-0000-4000-8000-{seq:012}")),
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
        parent_span_id: Some("00f067aa0ba902b7".to_owned()),
        end: None,
    }))
}

fn act(seq: u64) -> Entry {
    Entry::Admin(Box::new(Administered {
        event: seq,
        epoch: 1_770_302_000_000,
        revision: 40 + seq,
        actor: "operator:ada".to_owned(),
        address: Some("192.0.2.7".to_owned()),
        act: "agent.revoked".to_owned(),
        subject: "agt_01jkqz6v7m0000000000000000".to_owned(),
        reason: Some("spends \u{20ac} 4200 a minute".to_owned()),
        incident_id: Some("INC-7".to_owned()),
        before: Some(serde_json::json!({"status": "active"})),
        after: Some(serde_json::json!({"status": "revoked"})),
    }))
}
