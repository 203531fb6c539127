//! What others in the same process can do to the filter: deny, or delay, and
//! never more.

use std::time::Duration;

use kya_core::OpaqueToken;
use kya_core::wire::SignedUpdate;
use kya_host_tests::kya::{ControlPlane, Sidecar, assert_denied, forged, token};
use kya_host_tests::{FailurePolicy, Outcome, VmName};
use prost::Message;

const WORKERS: usize = 2;

/// The keys that end so.
fn keys(sidecar: &Sidecar, ending: &str) -> Vec<Vec<u8>> {
    let data = sidecar.proxy.shared_data();
    data.keys().filter(|key| key.ends_with(ending.as_bytes())).map(<[u8]>::to_vec).collect()
}

fn allowed(outcomes: &[Outcome]) -> bool {
    outcomes.iter().any(|outcome| outcome.forwarded().is_some())
}

/// A sidecar in which agent 1 is revoked.
fn revoked() -> (ControlPlane, OpaqueToken, Sidecar) {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    sidecar.await_reports(&mut control, WORKERS);
    control.revoke(1);
    sidecar.push(&mut control);
    (control, token, sidecar)
}

#[test]
fn garbage_in_any_shared_key_never_allows_what_was_denied() {
    let (mut control, token, mut sidecar) = revoked();
    let data = sidecar.proxy.shared_data();
    let keys: Vec<_> = data.keys().map(<[u8]>::to_vec).collect();
    assert!(keys.len() > 3);
    for key in keys {
        for garbage in [&b""[..], b"garbage", &[0xff; 64], &[1; 29], &[0; 4096]] {
            sidecar.proxy.overwrite_shared_data(&key, garbage);
            assert!(!allowed(&sidecar.ask_all(&token)), "{}", String::from_utf8_lossy(&key));
        }
        sidecar.run(&mut control, Duration::from_secs(1));
        assert!(!allowed(&sidecar.ask_all(&token)), "{}", String::from_utf8_lossy(&key));
    }
}

#[test]
fn an_old_state_put_back_into_shared_data_brings_nobody_back() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    let before = sidecar.proxy.shared_data();
    control.revoke(1);
    sidecar.push(&mut control);
    assert!(!allowed(&sidecar.ask_all(&token)));
    for key in before.keys() {
        let (old, _) = before.get(key).unwrap();
        sidecar.proxy.overwrite_shared_data(key, old);
    }
    assert!(!allowed(&sidecar.ask_all(&token)));
    sidecar.run(&mut control, Duration::from_secs(1));
    assert!(!allowed(&sidecar.ask_all(&token)));
}

#[test]
fn a_forged_manifest_in_shared_data_is_not_believed_by_a_new_vm() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let before = control.manifest(&[0; 32]);
    control.revoke(1);
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    let genuine = control.manifest(&[0; 32]);
    let foreign = forged(&before);
    let disguised = SignedUpdate { key_id: genuine.key_id.clone(), ..foreign.clone() };
    let swapped = SignedUpdate { payload: before.payload, ..genuine };
    let [manifest] = keys(&sidecar, "/manifest/a").try_into().expect("the first place");
    for forged in [foreign, disguised, swapped] {
        sidecar.proxy.overwrite_shared_data(&manifest, &forged.encode_to_vec());
        sidecar.proxy.crash(VmName::Worker(0));
        sidecar.proxy.replace(VmName::Worker(0)).unwrap();
        assert_denied(&sidecar.ask(0, &token), 503, "unsynced");
    }
}

#[test]
fn a_chunk_that_somebody_wrote_over_denies_until_the_leader_has_put_it_right() {
    let (mut control, _) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    let token = token(2);
    // A worker that has not looked the token up before reads the chunk anew.
    let genuine = sidecar.proxy.shared_data();
    let chunks: Vec<_> = keys(&sidecar, "").into_iter().filter(|key| is_chunk(key)).collect();
    assert!(!chunks.is_empty());
    for key in &chunks {
        let (bytes, _) = genuine.get(key).unwrap();
        let mut torn = bytes.to_vec();
        // The last byte of an entry is the highest of its expiry.
        if let Some(last) = torn.last_mut() {
            *last ^= 0x80;
        }
        sidecar.proxy.overwrite_shared_data(key, &torn);
    }
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 503, "unsynced");
    }
    sidecar.run(&mut control, Duration::from_secs(3));
    assert!(allowed(&sidecar.ask_all(&token)));
}

/// A key that ends in `/c` and four characters holds a chunk.
fn is_chunk(key: &[u8]) -> bool {
    key.len() > 6 && key[key.len() - 6..].starts_with(b"/c")
}

#[test]
fn a_head_that_promises_what_is_not_there_denies_until_something_newer_is_reached() {
    let (mut control, _, mut sidecar) = revoked();
    control.register(2);
    let other = control.issue_token(2);
    sidecar.push(&mut control);
    let [head] = keys(&sidecar, "/head").try_into().expect("one key for the head");
    let data = sidecar.proxy.shared_data();
    let mut bytes = data.get(&head).unwrap().0.to_vec();
    // The revision, little-endian behind the layout and the epoch.
    bytes[9] += 100;
    sidecar.proxy.overwrite_shared_data(&head, &bytes);
    // Nobody raised the signal: workers see it at their next tick.
    sidecar.proxy.advance(Duration::from_millis(250));
    assert!(!allowed(&sidecar.ask_all(&other)));
    control.register(3);
    sidecar.push(&mut control);
    assert!(!allowed(&sidecar.ask_all(&other)), "what was promised may have been a denial");
    control.next_epoch();
    sidecar.lose_stream();
    sidecar.sync(&mut control);
    assert!(allowed(&sidecar.ask_all(&other)));
}

#[test]
fn with_fail_reload_a_crashed_worker_is_back_with_its_next_request() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let builder = Sidecar::builder(WORKERS).failure_policy(FailurePolicy::FailReload);
    let mut sidecar = Sidecar::with(builder, &control).unwrap();
    sidecar.sync(&mut control);
    sidecar.proxy.crash(VmName::Worker(0));
    assert!(sidecar.ask(0, &token).forwarded().is_some());
    sidecar.await_reports(&mut control, WORKERS);
}
