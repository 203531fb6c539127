//! Workers on threads of their own, under requests without a pause, while the main
//! thread applies a thousand revocations.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kya_core::OpaqueToken;
use kya_core::testing::{sealed, token};
use kya_core::wire::ProxyMessage;
use kya_core::wire::proxy_message::Message as Said;
use kya_host_tests::kya::{ControlPlane, Sidecar, assert_denied, bearer};
use kya_host_tests::{Outcome, Schedule, StreamKey, VmName, VmThread};
use prost::Message;

const WORKERS: usize = 3;
const REVOCATIONS: usize = 1_000;
/// Real time after which the machine is to blame.
const PATIENCE: Duration = Duration::from_secs(240);

/// The control plane in the thread of the leader.
struct Plane<'a> {
    control: ControlPlane,
    /// By which revision each token was revoked.
    revoked: &'a [AtomicU64],
    /// What each worker has acknowledged.
    acknowledged: &'a [AtomicU64],
    /// The newest revision that was sent, by stream.
    pushed: BTreeMap<StreamKey, u64>,
}

impl Plane<'_> {
    /// Pushes what is new, and answers what the leader has said.
    fn serve(&mut self, vm: &mut VmThread<'_>) {
        while vm.deliver_wake() {}
        for key in vm.grpc_streams() {
            if let Some(pushed) = self.pushed.get_mut(&key) {
                for revision in *pushed + 1..=self.control.revision() {
                    let delta = sealed(self.control.delta(revision).unwrap());
                    vm.send(key, &delta.encode_to_vec());
                }
                *pushed = self.control.revision();
            }
            for bytes in vm.take_sent(key) {
                let said = ProxyMessage::decode(&*bytes).unwrap().message.unwrap();
                if let Said::Workers(report) = &said {
                    for worker in &report.workers {
                        let slot = usize::try_from(worker.slot).unwrap();
                        self.acknowledged[slot].fetch_max(worker.revision, Ordering::SeqCst);
                    }
                }
                if matches!(said, Said::Hello(_) | Said::Resync(_)) {
                    self.pushed.insert(key, self.control.revision());
                }
                for answer in self.control.answer(&said) {
                    vm.send(key, &answer.encode_to_vec());
                }
            }
        }
    }

    fn beat(&mut self, vm: &mut VmThread<'_>) {
        for key in self.pushed.keys() {
            vm.send(*key, &sealed(self.control.heartbeat(b"")).encode_to_vec());
        }
    }

    /// Time passes, and with it a tick now and then.
    fn step(&mut self, vm: &mut VmThread<'_>, nth: usize) {
        vm.advance_clock(Duration::from_millis(5));
        self.control.unix_millis += 5;
        if nth.is_multiple_of(50) {
            vm.tick();
            self.beat(vm);
        }
        self.serve(vm);
    }

    /// Revokes one token after the other, and waits until every worker has said
    /// that it knows of all of them.
    fn revoke_all(mut self, vm: &mut VmThread<'_>, tokens: &[OpaqueToken]) {
        for (nth, token) in tokens.iter().enumerate() {
            self.control.revoke_token(token);
            self.revoked[nth].store(self.control.revision(), Ordering::SeqCst);
            self.step(vm, nth);
        }
        let (newest, started) = (self.control.revision(), Instant::now());
        for nth in 0.. {
            let all = |it: &AtomicU64| it.load(Ordering::SeqCst) == newest;
            if self.acknowledged.iter().all(all) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{:?} of {newest}", self.acknowledged);
            self.step(vm, nth);
            std::thread::yield_now();
        }
    }
}

/// What a worker has seen.
#[derive(Debug, Default)]
struct Seen {
    denied: usize,
    allowed: usize,
}

/// Requests without a pause: none is allowed whose token was revoked at a revision
/// that this worker has acknowledged, or that it has denied before.
fn hammer(
    vm: &mut VmThread<'_>,
    worker: usize,
    tokens: &[OpaqueToken],
    revoked: &[AtomicU64],
    acknowledged: &AtomicU64,
    done: &AtomicBool,
) -> Seen {
    let (mut seen, mut choice) = (Seen::default(), Schedule::seeded(worker as u64));
    let mut denied = vec![false; tokens.len()];
    let good = bearer(&token(2));
    let started = Instant::now();
    while !done.load(Ordering::SeqCst) {
        assert!(started.elapsed() < PATIENCE, "the leader is stuck");
        let nth = choice.pick(tokens.len());
        // Both are read before the request is sent.
        let known = acknowledged.load(Ordering::SeqCst);
        let at = revoked[nth].load(Ordering::SeqCst);
        let outcome = vm.request(&[("authorization", &bearer(&tokens[nth]))]);
        let allowed = outcome.forwarded().is_some();
        assert!(!(allowed && at <= known), "token {nth} of {at} at {known}: {outcome:?}");
        assert!(!(allowed && denied[nth]), "token {nth} came back");
        denied[nth] |= !allowed;
        seen.denied += usize::from(!allowed);
        seen.allowed += usize::from(allowed);
        let other = vm.request(&[("authorization", &good)]);
        assert!(matches!(other, Outcome::Forwarded { .. }), "nobody else is touched: {other:?}");
        if choice.pick(4) > 0 {
            vm.deliver_wake();
        }
        if choice.pick(64) == 0 {
            vm.tick();
        }
    }
    seen
}

#[test]
fn no_worker_allows_what_it_has_acknowledged_as_revoked() {
    let mut control = ControlPlane::default();
    let tokens = control.issue_tokens(1, REVOCATIONS);
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    sidecar.await_reports(&mut control, WORKERS);
    // Whose slot is whose: the one who does not hear a change does not report it.
    for worker in 0..WORKERS {
        sidecar.pause(VmName::Worker(worker));
        control.register(2);
        sidecar.push(&mut control);
        let newest = control.revision();
        let reported = sidecar.reported();
        let behind: Vec<_> = reported.iter().filter(|it| it.revision < newest).collect();
        assert_eq!(behind.iter().map(|it| it.slot as usize).collect::<Vec<_>>(), [worker]);
        sidecar.resume(VmName::Worker(worker));
        sidecar.await_reports(&mut control, WORKERS);
    }

    let revoked: Vec<_> = (0..REVOCATIONS).map(|_| AtomicU64::new(u64::MAX)).collect();
    let acknowledged: Vec<_> = (0..WORKERS).map(|_| AtomicU64::new(0)).collect();
    let done = AtomicBool::new(false);
    let pushed = BTreeMap::from([(sidecar.stream(), control.revision())]);
    let plane = Plane { control, revoked: &revoked, acknowledged: &acknowledged, pushed };
    let plane = Mutex::new(Some(plane));
    let seen = sidecar.proxy.in_threads(|vm| match vm.name() {
        VmName::Worker(n) => hammer(vm, n, &tokens, &revoked, &acknowledged[n], &done),
        _ => {
            // The workers are to end, whatever becomes of this.
            let _done = Done(&done);
            let plane = plane.lock().unwrap().take().unwrap();
            plane.revoke_all(vm, &tokens);
            Seen::default()
        }
    });
    println!("{seen:?}");
    for worker in &seen[1..] {
        assert!(worker.denied > 0 && worker.allowed > 0, "{worker:?}");
    }
    sidecar.proxy.run_until_idle();
    for token in &tokens {
        for outcome in sidecar.ask_all(token) {
            assert_denied(&outcome, 401, "token_revoked");
        }
    }
}

/// Says that all is done when it is dropped.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
