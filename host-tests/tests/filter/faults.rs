//! Every host call that the filter makes, going wrong: once, always, or with a
//! trap. Nothing that was revoked is allowed, no VM panics of itself, and when the
//! fault is over, all comes right.

use std::time::Duration;

use kya_core::OpaqueToken;
use kya_core::testing::token;
use kya_host_tests::abi::Status;
use kya_host_tests::kya::{ControlPlane, Sidecar, bearer, filter};
use kya_host_tests::{FailurePolicy, Fault, InFlight, Outcome, VmName, host_calls};
use serde_json::json;

const WORKERS: usize = 2;
/// Calls to `proxy_record_metric` tell workers that there is news. One that is
/// lost leaves them to their next wake-up or tick.
const SIGNAL: &str = "proxy_record_metric";

/// When the fault begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// Before the proxy starts.
    Start,
    /// In the middle of everything.
    Work,
}

/// The host calls that the filter makes and that can fail.
fn calls() -> Vec<String> {
    let bare = |name: &String| name.split_once('.').unwrap().1.to_owned();
    let imports: Vec<_> = filter().imports().iter().map(bare).collect();
    let (able, unable): (Vec<_>, Vec<_>) =
        imports.into_iter().partition(|name| host_calls().any(|known| known == name));
    assert_eq!(unable, ["proc_exit"], "the host has every call that the filter makes");
    assert!(able.len() > 25, "{able:?}");
    able
}

/// A proxy in trouble, and what it must not do.
struct Trouble {
    control: ControlPlane,
    sidecar: Sidecar,
    call: String,
    /// Of agent 3, who was revoked before the proxy started.
    long_revoked: OpaqueToken,
    /// The revision that revokes agent 1, once there is one.
    revoked_at: Option<u64>,
}

impl Trouble {
    /// `None` if the proxy refuses the plugin.
    fn begin(call: &str, at_start: Option<Fault>) -> Option<Self> {
        let mut control = ControlPlane::default();
        control.register(3);
        let long_revoked = control.issue_token(3);
        control.revoke(3);
        let mut configuration = control.configuration();
        configuration["fail_modes"] = json!({"unknown_token": "introspect"});
        let mut builder = Sidecar::builder(WORKERS).failure_policy(FailurePolicy::FailReload);
        if let Some(fault) = at_start {
            builder = builder.inject(fault).unwrap();
        }
        let sidecar = Sidecar::configured(builder, configuration.to_string()).ok()?;
        let call = call.to_owned();
        Some(Self { control, sidecar, call, long_revoked, revoked_at: None })
    }

    fn run(&mut self, millis: u64) {
        self.sidecar.run(&mut self.control, Duration::from_millis(millis));
    }

    /// Requests of everybody at every worker.
    fn ask(&mut self) {
        let unknown = OpaqueToken::from_random([200; 32]);
        for worker in 0..WORKERS {
            for token in [&token(1), &token(2), &self.long_revoked.clone(), &unknown] {
                let announced = self.sidecar.announced().map(|it| it.revision.0);
                let known = self.revoked_at.is_some_and(|it| Some(it) <= announced);
                let outcome = self.sidecar.ask(worker, token);
                let allowed = outcome.forwarded().is_some();
                let never = token.digest() == self.long_revoked.digest()
                    || token.digest() == unknown.digest()
                    || (known && token.digest() == kya_core::testing::token(1).digest());
                assert!(!(allowed && never), "{}: worker {worker}: {outcome:?}", self.call);
            }
        }
    }

    /// A request of agent 1 that waits, and one whose response has begun.
    fn in_flight(&mut self) -> [InFlight; 2] {
        let headers = bearer(&token(1));
        let mut begin = || self.sidecar.proxy.begin(0, &[("authorization", &headers)]);
        let (waits, streams) = (begin(), begin());
        if self.sidecar.proxy.at_upstream(&streams).is_some() {
            self.sidecar.proxy.upstream_answers(&streams, 200, &[], false);
        }
        [waits, streams]
    }

    /// A life with a revocation in it, and a worker that begins anew.
    fn live(&mut self) {
        self.run(1_500);
        self.ask();
        let in_flight = self.in_flight();
        self.control.revoke(1);
        self.revoked_at = Some(self.control.revision());
        self.sidecar.push(&mut self.control);
        if self.call == SIGNAL {
            self.sidecar.proxy.advance(Duration::from_millis(250));
        }
        self.ask();
        self.sidecar.proxy.crash(VmName::Worker(1));
        self.ask();
        self.sidecar.lose_all_streams();
        self.run(2_000);
        self.ask();
        for request in in_flight {
            let _ = self.sidecar.proxy.finish(request);
        }
    }

    /// The fault is over: everything comes right.
    fn recover(mut self) {
        self.sidecar.proxy.clear_faults();
        for vm in self.sidecar.proxy.vms() {
            if self.sidecar.proxy.failed(vm) {
                self.sidecar.proxy.replace(vm).unwrap();
            }
        }
        let newest = self.control.position;
        let call = self.call.clone();
        self.sidecar.run_until(&mut self.control, |sidecar| {
            let answer = |sidecar: &mut Sidecar, worker, n| match sidecar.ask(worker, &token(n)) {
                Outcome::Forwarded { .. } => 200,
                Outcome::LocalResponse(response) => response.status,
                other => panic!("{call}: {other:?}"),
            };
            sidecar.announced() == Some(newest)
                && (0..WORKERS).all(|worker| {
                    (answer(sidecar, worker, 1), answer(sidecar, worker, 2)) == (403, 200)
                })
        });
        self.ask();
    }
}

/// Whether the fault struck at all.
fn survives(call: &str, fault: Fault, from: From, traps: bool) -> bool {
    let at_start = (from == From::Start).then(|| fault.clone());
    // A plugin that is refused lets nothing pass.
    let Some(mut trouble) = Trouble::begin(call, at_start) else { return true };
    if from == From::Work {
        trouble.run(1_500);
        trouble.ask();
        trouble.sidecar.proxy.inject(fault.clone()).unwrap();
    }
    trouble.live();
    // One that strikes always stays.
    let struck = trouble.sidecar.proxy.pending_faults().is_empty();
    if traps {
        for trap in trouble.sidecar.proxy.take_traps() {
            assert!(trap.message.contains("injected"), "{call}: {trap}");
        }
    }
    trouble.recover();
    struck
}

/// Every call, at ever later moments, for as long as there are such moments.
fn at_every_moment(make: impl Fn(Fault) -> Fault, from: From, traps: bool) {
    let mut struck = 0;
    for call in calls() {
        for nth in [1, 2, 3, 5, 8, 13, 34, 89, 233] {
            if !survives(&call, make(Fault::on(&call).nth(nth)), from, traps) {
                break;
            }
            struck += 1;
        }
    }
    println!("{struck} faults");
    assert!(struck > 100, "{struck}");
}

#[test]
fn a_call_that_fails_once_at_the_start_does_no_harm() {
    at_every_moment(|fault| fault.status(Status::InternalFailure), From::Start, false);
}

#[test]
fn a_call_that_fails_once_later_does_no_harm() {
    at_every_moment(|fault| fault.status(Status::InternalFailure), From::Work, false);
}

#[test]
fn a_call_that_traps_costs_its_vm_and_nothing_else() {
    at_every_moment(Fault::trap, From::Work, true);
}

#[test]
fn a_call_that_always_fails_does_no_harm_whatever_it_answers() {
    for call in calls() {
        for status in [1, 2, 7, 8, 10, 12, 77] {
            survives(&call, Fault::on(&call).always().number(status), From::Work, false);
        }
        survives(&call, Fault::on(&call).always(), From::Start, false);
        survives(&call, Fault::on(&call).always().trap(), From::Work, true);
    }
}
