//! The compiled filter reports what it decides, and what became of it.

use std::time::Duration;

use kya_core::audit::event::{Body, Decision, End, Happened};
use kya_core::audit::{Disposition, Verdict};
use kya_core::testing::{agent_id, token};
use kya_core::{InFlight, OpaqueToken};
use kya_host_tests::kya::{ControlPlane, Sidecar, assert_denied, bearer};
use kya_host_tests::{Fault, Outcome, VmName};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const SECOND: Duration = Duration::from_secs(1);
const PATH: &[u8] = b"/v1/enforcement/audit";

fn recording(control: &mut ControlPlane, audit: Value) -> Sidecar {
    let mut configuration = control.acting_configuration();
    configuration["audit"] = audit;
    let mut sidecar =
        Sidecar::configured(Sidecar::builder(1), configuration.to_string()).expect("it starts");
    sidecar.sync(control);
    sidecar.await_reports(control, 1);
    sidecar
}

fn decisions(control: &ControlPlane) -> Vec<Decision> {
    control.trail.decisions().cloned().collect()
}

/// How requests ended, in the order in which that was told.
fn ends(control: &ControlPlane) -> Vec<End> {
    let end = |happened: &Happened| match happened {
        Happened::Decision(decision) => decision.end.clone(),
        Happened::End { end, .. } => Some(end.clone()),
        _ => None,
    };
    control.trail.events().filter_map(|event| end(&event.happened)).collect()
}

fn headers(token: &OpaqueToken) -> [(&'static str, Vec<u8>); 1] {
    [("authorization", bearer(token).to_vec())]
}

fn begin(sidecar: &mut Sidecar, token: &OpaqueToken) -> kya_host_tests::InFlight {
    let headers = headers(token);
    sidecar.proxy.begin(0, &headers.each_ref().map(|(name, value)| (*name, value.as_slice())))
}

/// Whatever the sidecar has recorded is in the trail once, numbered without a gap.
fn assert_complete(sidecar: &Sidecar, control: &ControlPlane) {
    let recorded = sidecar.proxy.metric("kya.audit.recorded");
    assert_eq!(sidecar.proxy.metric("kya.audit.acknowledged"), recorded);
    assert_eq!(sidecar.proxy.metric("kya.audit.unacknowledged"), 0);
    assert_eq!(control.trail.events().count() as u64, recorded);
    assert!(control.trail.workers().all(|(_, worker)| worker.lost == 0));
}

#[test]
fn every_decision_is_in_the_trail_with_its_end() {
    let (mut control, known) = ControlPlane::with_an_agent();
    let mut sidecar = recording(&mut control, json!({}));
    sidecar.ask(0, &known);
    sidecar.ask(0, &token(7));
    let sent = vec![7u8; 100_000];
    let headers = headers(&known);
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_slice()));
    let request = sidecar.proxy.begin_with_body(0, &headers);
    for part in sent.chunks(30_000) {
        sidecar.proxy.client_sends(&request, part, false);
    }
    sidecar.proxy.client_sends(&request, b"", true);
    sidecar.proxy.upstream_answers(&request, 201, &[], false);
    sidecar.proxy.upstream_sends(&request, b"{}", true);
    assert_eq!(sidecar.proxy.at_upstream(&request).unwrap().body, sent, "it all went on");
    let _ = sidecar.proxy.finish(request);
    sidecar.run(&mut control, SECOND);
    let all = decisions(&control);
    let verdicts: Vec<_> = all.iter().map(|it| it.verdict).collect();
    assert_eq!(verdicts, [Verdict::Allow, Verdict::Deny, Verdict::Allow]);
    assert_eq!(all[0].agent, Some(agent_id(1)));
    assert_eq!(all[1].reason.as_deref(), Some("token_unknown"));
    let end = all[2].end.as_ref().unwrap();
    assert_eq!((end.disposition, end.status), (Disposition::Committed, Some(201)));
    let Body::Whole(hashed) = end.body else { panic!("{:?}", end.body) };
    assert_eq!(hashed.bytes, 100_000);
    assert_eq!(hashed.sha256[..], Sha256::digest(&sent)[..]);
    assert_complete(&sidecar, &control);
}

#[test]
fn the_proxys_own_log_can_say_what_was_decided() {
    let (mut control, known) = ControlPlane::with_an_agent();
    let mut sidecar = recording(&mut control, json!({}));
    let request = begin(&mut sidecar, &known);
    let said = sidecar.proxy.property_set(&request, "kya.decision").unwrap();
    let said = String::from_utf8(said).unwrap();
    assert!(said.starts_with(&format!("allow agent={} event=", agent_id(1))), "{said}");
    let _ = sidecar.proxy.finish(request);
    let denied = begin(&mut sidecar, &token(7));
    let said = sidecar.proxy.property_set(&denied, "kya.decision").unwrap();
    assert!(said.starts_with(b"deny reason=token_unknown event="));
    let _ = sidecar.proxy.finish(denied);
}

#[test]
fn a_kill_is_told_with_how_each_request_in_flight_ended() {
    let (mut control, killed) = ControlPlane::with_an_agent();
    let mut sidecar = recording(&mut control, json!({}));
    let waiting = begin(&mut sidecar, &killed);
    let streaming = begin(&mut sidecar, &killed);
    sidecar.proxy.upstream_answers(&streaming, 200, &[], false);
    sidecar.proxy.upstream_sends(&streaming, b"data: 1\n\n", false);
    let other = begin(&mut sidecar, &token(2));
    sidecar.run(&mut control, SECOND);
    control.revoke(1);
    sidecar.run(&mut control, SECOND);
    assert_denied(&sidecar.proxy.finish(waiting), 403, "agent_revoked");
    assert_eq!(sidecar.proxy.finish(streaming), Outcome::Reset);
    let revision = control.revision();
    let applied: Vec<_> = control
        .trail
        .events()
        .filter_map(|event| match event.happened {
            Happened::Applied(it) if it.position.revision.0 == revision => Some(it.in_flight),
            _ => None,
        })
        .collect();
    assert_eq!(applied, [2]);
    let concerned = control.trail.events().filter(|event| {
        matches!(event.happened, Happened::InFlight { ending: InFlight::Abort, .. })
    });
    assert_eq!(concerned.count(), 2);
    let cut = ends(&control);
    assert!(cut.iter().all(|end| end.disposition == Disposition::Escalated));
    let mut statuses: Vec<_> = cut.iter().map(|end| end.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [None, Some(200)], "what the gate answered is not the upstream's");
    assert!(ends(&control).iter().all(|end| end.cut.unwrap().revision.0 == revision));
    let _ = sidecar.proxy.finish(other);
    sidecar.run(&mut control, SECOND);
    assert_eq!(ends(&control).last().unwrap().disposition, Disposition::Committed);
    assert_complete(&sidecar, &control);
}

/// How often the control plane is told of a request that a state concerns and, after that,
/// how it ended.
#[track_caller]
fn assert_told_ends(control: &ControlPlane, requests: usize) {
    let mut told = 0;
    for event in control.trail.events() {
        let Happened::InFlight { decision: of, .. } = event.happened else { continue };
        told += 1;
        let ends = control.trail.events().filter(|it| {
            it.number > event.number
                && matches!(it.happened, Happened::End { decision, .. } if decision == of)
        });
        assert_eq!(ends.count(), 1, "{event:?}");
    }
    assert_eq!(told, requests);
}

fn time_out_batches(sidecar: &mut Sidecar) {
    for call in sidecar.proxy.http_calls() {
        if call.headers.get(":path") == Some(PATH) {
            sidecar.proxy.time_call_out(call.key);
        }
    }
}

#[test]
fn the_end_of_what_a_kill_concerns_is_told_after_it_however_batches_are_cut() {
    let (mut control, killed) = ControlPlane::with_an_agent();
    let mut sidecar = recording(&mut control, json!({}));
    sidecar.serves_calls = false;
    sidecar.ask(0, &token(7));
    sidecar.run(&mut control, SECOND);
    // A batch is under way, so nothing of this is sent when the kill comes, and it is more
    // than a batch.
    let waiting: Vec<_> = (0..3).map(|_| begin(&mut sidecar, &killed)).collect();
    for _ in 0..kya_core::audit::event::MAX_EVENTS {
        sidecar.ask(0, &token(7));
    }
    control.revoke(1);
    sidecar.run(&mut control, SECOND);
    time_out_batches(&mut sidecar);
    sidecar.serves_calls = true;
    sidecar.run(&mut control, 8 * SECOND);
    for request in waiting {
        assert_denied(&sidecar.proxy.finish(request), 403, "agent_revoked");
    }
    sidecar.run(&mut control, SECOND);
    assert_told_ends(&control, 3);
    assert_complete(&sidecar, &control);
}

#[test]
fn a_kill_reaches_the_trail_though_the_buffer_is_full_and_what_it_cannot_say_is_counted() {
    let (mut control, killed) = ControlPlane::with_an_agent();
    let mut sidecar = recording(&mut control, json!({ "buffer": 64, "on_full": "drop" }));
    let early: Vec<_> = (0..64).map(|_| begin(&mut sidecar, &killed)).collect();
    sidecar.run(&mut control, SECOND);
    sidecar.serves_calls = false;
    for _ in 0..64 {
        sidecar.ask(0, &token(7));
    }
    // Their ends take what room is left.
    for request in early {
        let _ = sidecar.proxy.finish(request);
    }
    let hit = begin(&mut sidecar, &killed);
    control.revoke(1);
    sidecar.run(&mut control, SECOND);
    assert_denied(&sidecar.proxy.finish(hit), 403, "agent_revoked");
    let position = control.revision();
    let applied = |control: &ControlPlane| {
        let of = |happened: &Happened| match happened {
            Happened::Applied(it) if it.position.revision.0 == position => Some(*it),
            _ => None,
        };
        control.trail.events().filter_map(|event| of(&event.happened)).collect::<Vec<_>>()
    };
    assert_eq!(applied(&control), []);
    time_out_batches(&mut sidecar);
    sidecar.serves_calls = true;
    sidecar.run(&mut control, 8 * SECOND);
    let [told] = applied(&control)[..] else { panic!("{:?}", applied(&control)) };
    assert_eq!((told.in_flight, told.untracked), (0, 1));
    assert_complete(&sidecar, &control);
}

#[test]
fn dispositions_are_by_what_was_seen() {
    let (mut control, known) = ControlPlane::with_an_agent();
    let mut sidecar = recording(&mut control, json!({}));
    let missing = begin(&mut sidecar, &known);
    sidecar.proxy.upstream_is_missing(&missing);
    let lost = begin(&mut sidecar, &known);
    sidecar.proxy.upstream_leaves(&lost);
    let left = begin(&mut sidecar, &known);
    sidecar.proxy.client_leaves(&left);
    let undone = begin(&mut sidecar, &known);
    let said: [(&str, &[u8]); 1] = [("x-kya-disposition", b"rolled_back")];
    sidecar.proxy.upstream_answers(&undone, 409, &said, true);
    let trailing = begin(&mut sidecar, &known);
    sidecar.proxy.upstream_answers(&trailing, 200, &[], false);
    sidecar.proxy.upstream_sends(&trailing, b"x", false);
    sidecar.proxy.upstream_sends_trailers(&trailing, &said);
    let whole = begin(&mut sidecar, &known);
    for request in [missing, lost, left, undone, trailing, whole] {
        let _ = sidecar.proxy.finish(request);
    }
    sidecar.run(&mut control, SECOND);
    use Disposition::{Committed, Escalated, RolledBack};
    let all: Vec<_> =
        decisions(&control).iter().map(|it| it.end.as_ref().unwrap().disposition).collect();
    assert_eq!(all, [RolledBack, Escalated, Escalated, RolledBack, RolledBack, Committed]);
}

#[test]
fn nothing_is_lost_while_nobody_answers_and_nothing_is_there_twice() {
    let (mut control, known) = ControlPlane::with_an_agent();
    let mut sidecar = recording(&mut control, json!({}));
    sidecar.serves_calls = false;
    for round in 0..20 {
        sidecar.ask(0, &known);
        sidecar.run(&mut control, SECOND / 4);
        for call in sidecar.proxy.http_calls() {
            if call.headers.get(":path") == Some(PATH) {
                // What arrives and is not answered was there all the same.
                if round % 2 == 0 {
                    control.trail.take(&call.body);
                }
                sidecar.proxy.time_call_out(call.key);
            }
        }
    }
    sidecar.serves_calls = true;
    sidecar.run(&mut control, 8 * SECOND);
    assert_eq!(decisions(&control).len(), 20);
    assert!(sidecar.proxy.metric("kya.audit.resent") > 0);
    assert_complete(&sidecar, &control);
}

#[test]
fn an_older_control_plane_is_named_in_the_log_and_a_full_buffer_denies() {
    let (mut control, known) = ControlPlane::with_an_agent();
    let mut sidecar = recording(&mut control, json!({ "buffer": 64, "on_full": "deny" }));
    sidecar.serves_calls = false;
    for _ in 0..64 {
        sidecar.ask(0, &known);
    }
    sidecar.run(&mut control, SECOND);
    for call in sidecar.proxy.http_calls() {
        sidecar.proxy.answer_call(call.key, 404, &[], b"");
    }
    assert_denied(&sidecar.ask(0, &known), 503, "audit_full");
    let log: Vec<_> = sidecar.proxy.log().iter().map(|line| line.text.clone()).collect();
    let says = |part: &str| log.iter().any(|line| line.contains(part));
    assert!(says("it has no /v1/enforcement/audit, so it is older than this filter"), "{log:#?}");
    assert!(says("the audit buffer is full (64 events): denying"), "{log:#?}");
    sidecar.serves_calls = true;
    sidecar.run(&mut control, 8 * SECOND);
    assert!(sidecar.ask(0, &known).forwarded().is_some(), "all is well again");
    sidecar.run(&mut control, SECOND);
    assert_complete(&sidecar, &control);
}

#[test]
fn a_plugin_that_goes_away_asks_for_the_time_to_send_what_is_left() {
    let (mut control, known) = ControlPlane::with_an_agent();
    let mut sidecar = recording(&mut control, json!({}));
    sidecar.ask(0, &known);
    let worker = VmName::Worker(0);
    sidecar.proxy.retire(worker);
    assert!(!sidecar.proxy.retired(worker));
    sidecar.run(&mut control, SECOND);
    assert!(sidecar.proxy.retired(worker));
    assert_eq!(decisions(&control).len(), 1);
    assert!(control.trail.workers().all(|(_, worker)| worker.closed));
    // One that never served has nothing to say.
    sidecar.proxy.retire(VmName::Main);
    assert!(sidecar.proxy.retired(VmName::Main));
}

#[test]
fn a_proxy_that_refuses_what_the_trail_needs_decides_all_the_same() {
    for call in ["proxy_set_property", "proxy_get_buffer_bytes", "proxy_get_property"] {
        let (mut control, known) = ControlPlane::with_an_agent();
        let mut sidecar = recording(&mut control, json!({}));
        sidecar.proxy.inject(Fault::on(call).in_vm(VmName::Worker(0))).unwrap();
        let headers = headers(&known);
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_slice()));
        let request = sidecar.proxy.begin_with_body(0, &headers);
        sidecar.proxy.client_sends(&request, b"abc", true);
        assert!(sidecar.proxy.finish(request).forwarded().is_some(), "{call}");
    }
}
