//! What it costs: work of a request and of a revocation, and memory of a worker,
//! whatever the number of tokens. Fuel is about one unit an instruction and the
//! same in every run, so that these are assertions and no benchmark.

use std::time::Duration;

use kya_core::OpaqueToken;
use kya_host_tests::VmName;
use kya_host_tests::kya::{ControlPlane, Sidecar, assert_allowed, assert_denied};

const WORKER: VmName = VmName::Worker(0);
const SMALL: usize = 1_000;
const LARGE: usize = 100_000;

/// Most that one request may cost: of a token that was not looked up before, from its
/// headers to its end, and recorded for the audit trail.
/// Measured: 40,900.
const DECISION: u64 = 55_000;
/// Most memory of a worker that serves 100,000 tokens. They lie in shared data;
/// the worker holds the manifest, 32 bytes a chunk.
const MEMORY: usize = 4 << 20;

/// A sidecar of one worker with so many tokens, and those.
fn loaded(count: usize) -> (ControlPlane, Sidecar, Vec<OpaqueToken>) {
    let mut control = ControlPlane::default();
    let tokens = control.issue_tokens(1, count);
    let mut sidecar = Sidecar::synced(&mut control, 1);
    sidecar.await_reports(&mut control, 1);
    (control, sidecar, tokens)
}

/// Fuel of a request with this token, which is allowed.
fn fuel(sidecar: &mut Sidecar, token: &OpaqueToken) -> u64 {
    let before = sidecar.proxy.fuel_spent(WORKER);
    assert_allowed(&sidecar.ask(0, token), 1);
    sidecar.proxy.fuel_spent(WORKER) - before
}

/// Mean and most of the fuel of requests, each with another token. Every chunk has
/// been looked into before: the first look hashes it.
fn fuels(control: &mut ControlPlane, sidecar: &mut Sidecar, tokens: &[OpaqueToken]) -> (u64, u64) {
    let step = tokens.len() / 250;
    // Ten for each chunk of a hundred, and none of those that are measured.
    for (index, token) in tokens.iter().skip(1).step_by(step.min(10)).enumerate() {
        fuel(sidecar, token);
        // What was recorded goes out now and then, and not while a request is measured.
        if index % 200 == 0 {
            sidecar.proxy.tick(WORKER);
            sidecar.serve(control);
        }
    }
    sidecar.proxy.tick(WORKER);
    sidecar.serve(control);
    let fuels: Vec<_> = tokens.iter().step_by(step).map(|it| fuel(sidecar, it)).collect();
    assert!(fuels.len() >= 200);
    (fuels.iter().sum::<u64>() / u64::try_from(fuels.len()).unwrap(), *fuels.iter().max().unwrap())
}

#[test]
fn what_it_costs_with_a_hundred_thousand_tokens_is_what_it_costs_with_a_thousand() {
    let (mut control, mut sidecar, tokens) = loaded(SMALL);
    let small = fuels(&mut control, &mut sidecar, &tokens);
    let (mut control, mut sidecar, tokens) = loaded(LARGE);
    let large = fuels(&mut control, &mut sidecar, &tokens);
    println!("fuel of a decision (mean, most): {SMALL} {small:?}, {LARGE} {large:?}");
    assert!(large.0.abs_diff(small.0) * 5 <= small.0, "{small:?} {large:?}");
    assert!(large.1 <= DECISION && small.1 <= DECISION, "{small:?} {large:?}");

    let memory = sidecar.proxy.vm_memory_bytes(WORKER);
    println!("memory with {LARGE} tokens: {memory}");
    assert!(memory <= MEMORY, "{memory} bytes");

    a_new_vm_loads_what_it_needs(&mut control, &mut sidecar, &tokens);
    a_revoked_agent_is_one_standing(&mut control, &mut sidecar, &tokens);
}

/// No call of a new worker or leader costs more than the state is worth.
fn a_new_vm_loads_what_it_needs(
    control: &mut ControlPlane,
    sidecar: &mut Sidecar,
    tokens: &[OpaqueToken],
) {
    sidecar.proxy.crash(WORKER);
    sidecar.proxy.replace(WORKER).unwrap();
    // Its first request loads what it decides by.
    assert_allowed(&sidecar.ask(0, &tokens[0]), 1);
    let worker = sidecar.proxy.costliest_call(WORKER).unwrap();
    sidecar.proxy.crash(VmName::Main);
    sidecar.proxy.replace(VmName::Main).unwrap();
    sidecar.run(control, Duration::from_secs(5));
    let leader = sidecar.proxy.costliest_call(VmName::Main).unwrap();
    println!("costliest call of a new worker {worker:?}, of a new leader {leader:?}");
    assert!(worker.fuel <= 20_000_000, "{worker:?}");
    assert!(leader.fuel <= 60_000_000, "{leader:?}");
}

/// Its tokens are not walked.
fn a_revoked_agent_is_one_standing(
    control: &mut ControlPlane,
    sidecar: &mut Sidecar,
    tokens: &[OpaqueToken],
) {
    sidecar.run(control, Duration::from_secs(2));
    let before = sidecar.proxy.fuel_spent(WORKER);
    control.revoke(1);
    sidecar.push(control);
    let revocation = sidecar.proxy.fuel_spent(WORKER) - before;
    println!("fuel of a revocation in a worker: {revocation}");
    assert!(revocation <= 3_000_000, "{revocation}");
    for token in tokens.iter().step_by(997) {
        assert_denied(&sidecar.ask(0, token), 403, "agent_revoked");
    }
}

#[test]
fn shared_data_holds_one_copy_of_a_token_whatever_the_number_of_changes() {
    let (mut control, mut sidecar, _) = loaded(20_000);
    let size = |sidecar: &Sidecar| {
        let data = sidecar.proxy.shared_data();
        data.keys().filter_map(|key| Some(data.get(key)?.0.len())).sum::<usize>()
    };
    let before = size(&sidecar);
    let keys = sidecar.proxy.shared_data().keys().count();
    // So many new ones that the base is replaced several times.
    for _ in 0..700 {
        control.issue_token(1);
        sidecar.run(&mut control, Duration::from_millis(20));
    }
    sidecar.run(&mut control, Duration::from_secs(10));
    let after = size(&sidecar);
    println!("shared data: {before} bytes in {keys} keys, then {after}");
    assert!(before / 20_000 <= 40, "{before} bytes");
    assert!(after <= before + before / 4, "{before} bytes, then {after}");
    assert!(sidecar.proxy.shared_data().keys().count() <= keys + 700);
}
