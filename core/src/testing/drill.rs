//! The evidence of a drill, for tests: whole, and whatever was asked for by names of
//! strangers.

use serde_json::{Value, json};

use super::audit::{ORIGIN, Trail, audit_signer, decision};
use crate::DenyReason;
use crate::audit::{
    Activated, Administered, Completed, Entry, Receipt, ReceiptFlights, ReceiptProxy,
    ReceiptWorker, Record, Scope,
};
use crate::drill::evidence::{Document, VERSION, check};
use crate::drill::in_flight::Ending;
use crate::drill::outcome::Outcome;
use crate::drill::raw::{RawParty, RawSample};
use crate::drill::samples::{Probe, measure};
use crate::drill::summary;

/// The drill.
pub const DRILL: &str = "drl_01KGQH0RN0EK57VYVZFXYZF3V1";
const CANARY: &str = "agt_01jkqz6v7m0000000000000000";
const EPOCH: u64 = 1_770_302_000_000;

/// What a drill is made of.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// How many samples; none if its server died.
    pub samples: usize,
    /// The parties, and whether each rejects at all.
    pub parties: Vec<(String, bool)>,
    /// Who asked for it.
    pub actor: String,
    /// The bound.
    pub p99_ms: Option<u32>,
    /// The sample of which the restoration is not shown.
    pub hidden_restoration: Option<usize>,
}

impl Default for Wanted {
    fn default() -> Self {
        let parties = ["payments", "search", "mail"].map(|it| (it.to_owned(), true)).to_vec();
        Self {
            samples: 5,
            parties,
            actor: "ada".to_owned(),
            p99_ms: Some(1000),
            hidden_restoration: None,
        }
    }
}

/// Probes of a party that rejects `settled` µs after the stop, if it does.
fn probes(settled: i64, rejects: bool) -> Vec<Probe> {
    let rejected = Outcome::Denied(DenyReason::AgentSuspended);
    (-20..60)
        .map(|n: i64| {
            let sent = n * 1_000 + 100;
            let outcome =
                if rejects && sent >= settled - 900 { rejected } else { Outcome::Allowed };
            Probe {
                due: n * 1_000,
                sent: Some(sent),
                answered: Some(sent + 900),
                ended: Some((sent + 950, Ending::Whole)),
                outcome,
            }
        })
        .collect()
}

fn sample(wanted: &Wanted, n: usize) -> RawSample {
    let i = i64::try_from(n).unwrap();
    let acknowledged_us = wanted.parties.iter().all(|it| it.1).then_some(9_250 + 777 * (i % 5));
    let party = |(place, (_, rejects)): (usize, &(String, bool))| {
        let place = i64::try_from(place).unwrap();
        let probes = probes(3_000 + 1_000 * ((place * 3 + i * 2) % 5), *rejects);
        RawParty { figures: measure(&probes, acknowledged_us), probes: Some(probes) }
    };
    let parties = wanted.parties.iter().enumerate().map(party).collect();
    RawSample { kill_id: Some(kill_id(n)), acknowledged_us, parties }
}

fn kill_id(n: usize) -> String {
    format!("kil_01KGQH0RN0EK57VYVZFXYZ{n:04}")
}

fn admin(actor: &str, act: &str, subject: &str, after: Value) -> Entry {
    Entry::Admin(Box::new(Administered {
        event: 1,
        epoch: EPOCH,
        revision: 40,
        actor: actor.to_owned(),
        address: Some("192.0.2.7".to_owned()),
        act: act.to_owned(),
        subject: subject.to_owned(),
        reason: (!act.starts_with("drill.")).then(|| format!("drill {DRILL}")),
        incident_id: None,
        before: None,
        after: Some(after),
    }))
}

/// What the control plane would have found in these samples.
fn result(wanted: &Wanted, samples: &[RawSample]) -> Value {
    if samples.is_empty() {
        return json!({ "passed": false, "failures": ["the server that ran it ended"] });
    }
    let figures: Vec<_> = samples.iter().map(RawSample::figures).collect();
    let mut failures = Vec::new();
    let mut result = serde_json::to_value(summary::of_all(&figures)).unwrap();
    let mut parties = Vec::new();
    for (place, (name, rejects)) in wanted.parties.iter().enumerate() {
        let cause =
            (!rejects).then(|| "it never rejected the canary: there is no filter".to_owned());
        failures.extend(cause.as_ref().map(|cause| format!("{name}: {cause}")));
        let mut party = serde_json::to_value(summary::of_party(&figures, place)).unwrap();
        party["name"] = json!(name);
        party["url"] = json!(format!("http://{name}.example:8080/health?a=1&b=<2>"));
        party["without_token"] = json!(if *rejects { "denied:token_missing" } else { "allowed" });
        party["cause"] = json!(cause);
        parties.push(party);
    }
    result["passed"] = json!(failures.is_empty());
    result["failures"] = json!(failures);
    result["canary"] = json!(CANARY);
    result["samples"] = json!(samples.len());
    result["relying_parties"] = json!(parties);
    result
}

/// The evidence of a drill, as it is made by `kya drill report`.
pub fn evidence(wanted: &Wanted) -> Document {
    let samples: Vec<_> = (0..wanted.samples).map(|n| sample(wanted, n)).collect();
    let result = result(wanted, &samples);
    let state = if result["passed"] == true { "passed" } else { "failed" };
    let parties: Vec<_> = wanted
        .parties
        .iter()
        .map(|(name, _)| json!({ "name": name, "url": format!("http://{name}.example:8080/health") }))
        .collect();
    let request = json!({
        "parties": parties, "samples": samples.len(), "rate": 1000, "act": "suspend",
        "selector": "env!=prod", "agent_id": null, "p99_ms": wanted.p99_ms,
    });
    let mut trail = Trail::of(4);
    let mut shown = vec![1];
    let mut add = |trail: &mut Trail, entry: Entry| {
        trail.append(entry);
        shown.push(trail.size());
        trail.size()
    };
    let actor = &*wanted.actor;
    let started = json!({ "state": "running", "request": request });
    add(&mut trail, admin(actor, "drill.started", DRILL, started));
    let mut receipts = Vec::new();
    for (n, _) in samples.iter().enumerate() {
        let revision = 50 + 2 * n as u64;
        add(&mut trail, admin(actor, "agent.suspended", CANARY, json!({})));
        let activated = add(&mut trail, Entry::KillActivated(activated(wanted, n, revision)));
        let scope = Scope {
            kill_id: kill_id(n),
            agents: 1,
            tokens: 1,
            capability_tokens: 0,
            actions: Vec::new(),
            agent_ids: vec![CANARY.to_owned()],
        };
        let scope = add(&mut trail, Entry::KillScope(scope));
        trail.append(decision(trail.size() + 1));
        let completed = Completed {
            kill_id: kill_id(n),
            workers: 2,
            applied: 2,
            in_flight: 1,
            committed: 0,
            rolled_back: 1,
            escalated: 0,
            open: 0,
            timed_out: false,
            cut_off: false,
            unknown: Vec::new(),
        };
        let completed = add(&mut trail, Entry::KillCompleted(completed));
        let restored = admin(actor, "agent.restored", CANARY, json!({}));
        if wanted.hidden_restoration == Some(n) {
            trail.append(restored);
        } else {
            add(&mut trail, restored);
        }
        let record: Record = serde_json::from_str(trail.record(activated).0).unwrap();
        receipts.push(receipt(wanted, n, (revision, &record), vec![activated, scope, completed]));
    }
    let digests: Vec<_> = samples.iter().map(|it| it.sha256().unwrap()).collect();
    let ended = json!({ "state": state, "result": result, "samples_sha256": digests });
    add(&mut trail, admin(actor, "drill.ended", DRILL, ended));
    trail.append(decision(trail.size() + 1));
    let export = trail.export_of(1, trail.size(), &[], |seq| shown.contains(&seq));
    let export = export.lines().map(str::to_owned).collect();
    let drill = json!({ "drill_id": DRILL });
    let mut document = Document { kya_drill_report: VERSION, drill, samples, receipts, export };
    let options = crate::audit::verify::Options {
        keys: vec![super::audit::audit_key(1)],
        ..Default::default()
    };
    let facts = check(&document, options).facts.expect("facts");
    document.drill = serde_json::to_value(facts).unwrap();
    // As it is read.
    Document::read(document.text().unwrap().as_bytes()).unwrap()
}

fn activated(wanted: &Wanted, n: usize, revision: u64) -> Activated {
    Activated {
        kill_id: kill_id(n),
        epoch: EPOCH,
        revision,
        act: "agent.suspended".to_owned(),
        subject: CANARY.to_owned(),
        actor: wanted.actor.clone(),
        role: Some("operator".to_owned()),
        address: Some("192.0.2.7".to_owned()),
        reason: Some(format!("drill {DRILL}")),
        incident_id: None,
        in_flight: "abort".to_owned(),
    }
}

fn receipt(wanted: &Wanted, n: usize, (revision, record): (u64, &Record), rows: Vec<u64>) -> Value {
    let worker = |worker| ReceiptWorker {
        worker,
        instance: "00f1e2d3c4b5a697".to_owned(),
        state: "done".to_owned(),
        acknowledged_after_us: Some(2_400),
        record: None,
    };
    let receipt = Receipt {
        origin: ORIGIN.to_owned(),
        kill_id: kill_id(n),
        act: "agent.suspended".to_owned(),
        subject: CANARY.to_owned(),
        actor: wanted.actor.clone(),
        role: Some("operator".to_owned()),
        reason: Some(format!("drill {DRILL}")),
        incident_id: None,
        committed_at: record.time,
        epoch: EPOCH,
        revision,
        issued_at: record.recorded,
        complete: true,
        workers_there: 2,
        acknowledged: 2,
        last_acknowledged_after_us: Some(2_400),
        proxies: vec![ReceiptProxy {
            proxy: "payments-1".to_owned(),
            acknowledged: true,
            workers: vec![worker(0), worker(1)],
        }],
        not_connected: Vec::new(),
        more_not_connected: false,
        in_flight: ReceiptFlights { requests: 1, rolled_back: 1, ..ReceiptFlights::default() },
        records: rows,
    };
    serde_json::to_value(receipt.sign(&audit_signer(1)).unwrap()).unwrap()
}
