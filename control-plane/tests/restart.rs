//! What a restart keeps, and what it begins anew.

use kya_control_plane::push::Limits;
use kya_core::Position;
use tonic::Code;

use crate::support::proxy::worker;
use crate::support::{ControlPlane, TestProxy, eventually};

#[tokio::test]
async fn a_restart_keeps_the_key_and_the_state_and_tells_open_streams() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    plane.api.issue(&agent).await;
    plane.api.revoke(&agent).await;
    let mut before: TestProxy = plane.proxy("sidecar").await;
    let (key, admin) = (plane.server.public_key, plane.api.key.clone());
    let plane = plane.restart().await;
    assert_eq!(before.hear().await.unwrap_err().code(), Code::Unavailable);
    assert_eq!((plane.server.public_key, &plane.api.key), (key, &admin));
    let mut after = plane.proxy("sidecar").await;
    assert_eq!(after.known(), before.known());
    assert_eq!(after.position().revision, before.position().revision);
    assert!(after.position().epoch > before.position().epoch);
    plane.api.register("next").await;
    let next = after.next().await.position();
    assert_eq!((next.epoch, next.revision.0), (after.position().epoch, 4));
    // What was committed before is acknowledged by who has what came after.
    after.report(&[0], true).await;
    let found = plane.api.get("/v1/revisions/3/acknowledgements?wait_ms=10000").await.expect(200);
    assert_eq!(found["complete"], true);
    after.say_workers(vec![worker(0, before.position().epoch, 3)], true).await;
    eventually("a worker of the epoch before is behind", async || {
        plane.api.nodes().await[0]["workers"][0]["behind"] == 1
    })
    .await;
}

#[tokio::test]
async fn after_a_backup_was_put_back_everything_is_later_than_what_was_pushed_before() {
    let plane = ControlPlane::start().await;
    let agents = [plane.api.register("one").await, plane.api.register("two").await];
    let (file, copy) = (plane.dir.path().join("kya.db"), plane.dir.path().join("copy"));
    plane.server.shutdown().await;
    std::fs::copy(&file, &copy).unwrap();

    let plane = ControlPlane::start_in(plane.dir, Limits::default()).await;
    let mut proxy = plane.proxy("sidecar").await;
    plane.api.revoke(&agents[0]).await;
    let newest_before = proxy.next().await.position();
    plane.server.shutdown().await;
    std::fs::copy(&copy, &file).unwrap();

    let plane = ControlPlane::start_in(plane.dir, Limits::default()).await;
    plane.api.revoke(&agents[1]).await;
    let fresh = plane.proxy("sidecar").await;
    assert_eq!(fresh.position().revision, newest_before.revision, "a revision for the second time");
    assert!(fresh.position() > newest_before);
    // Whoever has the first of the two has not acknowledged the second.
    let Position { epoch, revision } = newest_before;
    fresh.say_workers(vec![worker(0, epoch, revision.0), worker(1, epoch, revision.0)], true).await;
    fresh.report(&[1], false).await;
    let path = format!("/v1/revisions/{revision}/acknowledgements");
    eventually("one has acknowledged", async || {
        plane.api.get(&path).await.expect(200)["workers_acknowledged"] == 1
    })
    .await;
    assert_eq!(plane.api.get(&path).await.expect(200)["pending"][0]["slot"], 0);
}
