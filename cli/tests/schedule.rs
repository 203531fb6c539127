//! `kya drill schedule` and a real control plane.

use serde_json::{Value, json};

use crate::support::*;

const PROBE: &str = "payments=http://127.0.0.1:9/work";

async fn schedule(real: &Real, args: &[&str]) -> Ended {
    real.kya(&[&["drill", "schedule"], args].concat()).await
}

async fn json_of(real: &Real, args: &[&str]) -> Value {
    real.json(&[&["drill", "schedule"], args].concat()).await
}

fn has(ended: &Ended, parts: &[&str]) {
    assert_eq!(ended.code, 0, "{ended:?}");
    for part in parts {
        assert!(ended.out.contains(part), "no {part} in\n{}", ended.out);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_is_added_shown_paused_resumed_and_removed() {
    let real = Real::start().await;
    has(&schedule(&real, &["list"]).await, &["No drills are scheduled"]);
    has(&real.kya(&["drill", "list"]).await, &["No drills."]);
    let cron = ["--cron", "0 9 1 1,4,7,10 *", "--time-zone", "Europe/Berlin", "--window", "4h"];
    let args = [&["add", "quarterly"], &cron[..], &["--probe", PROBE, "--p99", "1s"]].concat();
    let added = schedule(&real, &args).await;
    has(&added, &["0 9 1 1,4,7,10 * Europe/Berlin", "4h", PROBE, "1000 ms", "by admin"]);
    let canary = json_of(&real, &["add", "canary", "--every", "5m", "--probe", PROBE]).await;
    assert_eq!((&canary["every_s"], &canary["drill"]["samples"]), (&json!(300), &json!(1)));

    let listed = schedule(&real, &["list"]).await;
    has(&listed, &["every 5m", "0 9 1 1,4,7,10 * Europe/Berlin"]);
    let names: Vec<_> = listed.out.lines().skip(1).map(|it| it.split(' ').next()).collect();
    assert_eq!(names, [Some("canary"), Some("quarterly")]);
    let names = json_of(&real, &["list"]).await;
    assert_eq!(names["schedules"][1]["name"], "quarterly");
    let status = real.kya(&["status"]).await;
    assert!(status.out.contains("2 schedules (0 paused), next canary at "), "{}", status.out);

    let why = ["--reason", "maintenance", "--incident-id", "CHG-7"];
    let paused = schedule(&real, &[&["pause", "canary"], &why[..]].concat()).await;
    assert_eq!((paused.code, &*paused.out), (0, "canary: paused\n"));
    let paused = schedule(&real, &["pause", "canary"]).await;
    assert_eq!((paused.code, &*paused.out), (0, "canary: paused already\n"));
    let shown = json_of(&real, &["show", "canary"]).await;
    assert_eq!((&shown["state"], &shown["next"]), (&json!("paused"), &json!([])));
    assert_eq!(shown["runs"], json!([]));
    has(&schedule(&real, &["show", "canary"]).await, &["paused", " by admin", "every 5m"]);
    let resumed = schedule(&real, &["resume", "canary"]).await;
    has(&resumed, &["canary: active\nNext: 2"]);
    let removed = schedule(&real, &["remove", "canary", "--reason", "enough"]).await;
    assert_eq!((removed.code, &*removed.out), (0, "canary: removed\n"));
    let gone = schedule(&real, &["show", "canary"]).await;
    assert_eq!(gone.code, 1, "{gone:?}");
    assert!(gone.err.contains("there is no schedule canary"), "{gone:?}");
    real.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_with_what_it_is_about() {
    let real = Real::start().await;
    let add = async |args: &[&str]| {
        schedule(&real, &[&["add", "x", "--probe", PROBE], args].concat()).await
    };
    for (args, code, part) in [
        (&["--cron", "0 9 * *"][..], 2, "4 fields"),
        (&["--cron", "0 25 * * *"], 1, "`cron`: hour: `25` is not within 0 to 23"),
        (&["--cron", "0 9 * * *", "--time-zone", "Mars/Base"], 1, "`time_zone`: `Mars/Base`"),
        (&["--cron", "0 9 * * *", "--every", "5m"], 2, "cannot be used with"),
        (&["--every", "5m", "--samples", "3"], 2, "cannot be used with"),
        (&["--every", "30s"], 2, "from 1m to 24h"),
        (&["--every", "5m", "--act", "revoke"], 1, "`drill.act`"),
        (&["--every", "5m", "--time-zone", "UTC"], 2, "cannot be used with"),
        (&[], 2, "--cron"),
        (&["--cron", "0 9 * * *", "--selector", "env=prod"], 1, "production"),
    ] {
        let ended = add(args).await;
        assert_eq!(ended.code, code, "{args:?}: {ended:?}");
        assert!(ended.err.contains(part), "{args:?}: {ended:?}");
    }
    assert_eq!(add(&["--cron", "0 9 * * *"]).await.code, 0);
    let taken = add(&["--cron", "0 9 * * *", "-o", "json"]).await;
    assert_eq!((taken.code, &taken.problem()["code"]), (1, &json!("conflict")));
    real.server.shutdown().await;
}
