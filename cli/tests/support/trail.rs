//! A trail as a control plane keeps it, in memory.

use kya_core::Signer;
use kya_core::audit::export::{ExportWriter, Header, VERSION};
use kya_core::audit::merkle::{Frontier, NodeHash};
use kya_core::audit::{
    Canonical, ChainHash, Checkpoint, Filter, KeyNamed, Record, Timestamp, VerifierKey,
};
use serde_json::{Value, json};

pub const ORIGIN: &str = "kya.test/audit";

/// 2026-02-05T14:00:00Z, in microseconds.
pub const START: u64 = 1_770_300_000_000_000;

/// Records, each a second after the one before.
pub struct Trail {
    pub records: Vec<Value>,
    signer: Signer,
}

impl Trail {
    /// Begins with the name of its key.
    pub fn new() -> Self {
        let mut trail = Self { records: Vec::new(), signer: Signer::from_seed([7; 32]) };
        let key = trail.key().to_string();
        trail.add(&json!({ "type": "key", "key": key }));
        trail
    }

    /// One in which an agent was stopped while it acted: records 2 to 7.
    pub fn of_a_kill() -> Self {
        let mut trail = Self::new();
        trail.decision(1, "allow", 41, super::AGENT);
        trail.kill();
        trail.add(&from(
            2,
            json!({
                "type": "applied", "epoch": 1, "revision": 42, "in_flight": 0, "untracked": 0,
            }),
        ));
        trail.decision(3, "deny", 42, super::AGENT);
        trail.decision(4, "allow", 42, "agt_01JXMK9P2Q3R4S5T6V7W8X9Y00");
        trail
    }

    /// Of two records, the second of which replaces the key; and the key before.
    pub fn with_a_replaced_key() -> (Self, VerifierKey) {
        let old = Signer::from_seed([7; 32]);
        let mut trail = Self::new();
        let before = trail.key();
        trail.signer = Signer::from_seed([8; 32]);
        let named = KeyNamed::following(&trail.key(), &before, &old);
        let mut members = json!(named);
        members["type"] = json!("key");
        trail.add(&members);
        (trail, before)
    }

    /// Of two records.
    pub fn of_two() -> Self {
        let mut trail = Self::new();
        trail.decision(1, "allow", 41, super::AGENT);
        trail
    }

    /// The proof that record `seq` of two is in the tree: the leaf beside it.
    pub fn proof_of_two(&self, seq: usize) -> Value {
        assert_eq!(self.records.len(), 2);
        let other = Canonical::of(&self.records[2 - seq]).unwrap();
        let hashes = [NodeHash::leaf(other.as_bytes())];
        json!({ "of": seq, "size": 2, "hashes": hashes, "checkpoint": null })
    }

    pub fn key(&self) -> VerifierKey {
        VerifierKey::new(ORIGIN, self.signer.public_key()).unwrap()
    }

    /// Appends a record with these members.
    pub fn add(&mut self, members: &Value) {
        let seq = self.records.len() as u64 + 1;
        let time = Timestamp(START + seq * 1_000_000);
        let mut record = json!({ "seq": seq, "time": time, "recorded": time });
        record.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        // That it is one.
        serde_json::from_value::<Record>(record.clone()).unwrap();
        self.records.push(record);
    }

    pub fn decision(&mut self, number: u64, decision: &str, revision: u64, agent: &str) {
        let reason = (decision == "deny").then_some("agent_revoked");
        let mut members = json!({
            "type": "decision", "decision": decision, "agent_id": agent, "action": "pay",
            "epoch": 1, "revision": revision,
        });
        if let Some(reason) = reason {
            members["reason"] = json!(reason);
        }
        self.add(&from(number, members));
    }

    /// The agent is stopped at revision 42.
    pub fn kill(&mut self) {
        self.add(&json!({
            "type": "kill_activated", "kill_id": "kil_1", "epoch": 1, "revision": 42,
            "act": "agent.revoked", "subject": super::AGENT, "actor": "operator:ada",
            "in_flight": "abort",
        }));
        self.add(&json!({
            "type": "kill_scope", "kill_id": "kil_1", "agents": 1, "tokens": 1,
            "capability_tokens": 0, "agent_ids": [super::AGENT],
        }));
    }

    fn texts(&self) -> Vec<String> {
        self.records.iter().map(|it| Canonical::of(it).unwrap().into_string()).collect()
    }

    fn head(&self) -> (ChainHash, NodeHash) {
        let (mut chain, mut tree) = (ChainHash::START, Frontier::new());
        for text in self.texts() {
            chain = chain.next(text.as_bytes());
            tree.push(NodeHash::leaf(text.as_bytes())).unwrap();
        }
        (chain, tree.root())
    }

    /// The signed checkpoint over all of it.
    pub fn checkpoint(&self) -> String {
        let (chain, root) = self.head();
        let size = self.records.len() as u64;
        let time = Timestamp(START + 3_600_000_000);
        let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size, root, chain, time };
        checkpoint.sign(&self.signer).unwrap()
    }

    /// What the server answers about its newest checkpoint.
    pub fn newest_checkpoint(&self) -> Value {
        let (note, size) = (self.checkpoint(), self.records.len());
        json!({ "size": size, "signed_at": "2026-02-05T15:00:00.000Z", "note": note })
    }

    /// What the server answers about its keys.
    pub fn keys(&self) -> Value {
        json!({ "keys": [{ "seq": 1, "verifier_key": self.key(), "signs": true }] })
    }

    /// A record and its hash.
    pub fn line(&self, seq: u64) -> Value {
        let mut chain = ChainHash::START;
        for text in self.texts().iter().take(usize::try_from(seq).unwrap()) {
            chain = chain.next(text.as_bytes());
        }
        json!({ "hash": chain, "record": self.records[usize::try_from(seq).unwrap() - 1] })
    }

    /// An export of what matches.
    pub fn export(&self, filter: &Filter) -> String {
        let mut out = String::new();
        let last = self.records.len() as u64;
        let shown = (!filter.is_empty()).then(|| json!(filter));
        let header = Header {
            version: VERSION,
            origin: ORIGIN.to_owned(),
            first: 1,
            last,
            previous: ChainHash::START,
            filter: shown,
        };
        let mut writer = ExportWriter::new(header, &mut out).unwrap();
        let mut chain = ChainHash::START;
        for (text, record) in self.texts().iter().zip(&self.records) {
            chain = chain.next(text.as_bytes());
            let seq = writer.next();
            let read: Record = serde_json::from_value(record.clone()).unwrap();
            if filter.matches(&read) || record["type"] == "key" {
                writer.show(seq, chain, text, &mut out).unwrap();
            } else {
                writer.hide(seq, NodeHash::leaf(text.as_bytes()), chain).unwrap();
            }
        }
        writer.finish(&self.checkpoint(), vec![self.key()], &mut out).unwrap();
        out
    }

    /// All of it.
    pub fn whole(&self) -> String {
        self.export(&Filter::default())
    }
}

/// What worker 0 of `edge` reports as its event of this number.
pub fn from(number: u64, members: Value) -> Value {
    let mut all = json!({
        "proxy": "edge", "worker": 0, "instance": "00000000000000ff", "number": number,
    });
    all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    all
}
