//! `kya kill receipt` of a real control plane, and `kya kill verify` without any.

use std::path::{Path, PathBuf};

use kya_core::testing::audit::audit_key;

use crate::support::*;

/// With no server and no key to one.
fn verify(args: &[&str]) -> Ended {
    let mut command = command("http://127.0.0.1:1", &[&["kill", "verify"], args].concat());
    command.env_remove("KYA_TOKEN");
    end(command.spawn().unwrap())
}

fn written(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_verifies_offline_and_a_forged_one_does_not() {
    let real = Real::start().await;
    let agent = real.json(&["agent", "register", "--name", "payer"]).await;
    let agent = agent["agent_id"].as_str().unwrap().to_owned();
    let stopped = real.json(&["agent", "revoke", &agent, "--reason", "leak", "--wait", "0s"]).await;
    let kill = stopped["change"]["kill_id"].as_str().unwrap();
    let keys = real.json(&["audit", "keys"]).await;
    let key = keys["keys"][0]["verifier_key"].as_str().unwrap();

    let asked = ["-o", "json", "kill", "receipt", kill, "--wait", "20s", "--key", key];
    let got = real.kya(&asked).await;
    assert_eq!((got.code, got.err.as_str()), (0, ""), "{got:?}");
    assert_eq!(got.json()["receipt"]["records"].as_array().unwrap().len(), 3);
    // Nobody was there: that is nobody's acknowledgement, in any form.
    let ended = real.kya(&["kill", "receipt", kill]).await;
    assert!(ended.out.contains("Complete"), "{ended:?}");
    assert!(ended.out.contains("0 of 0 workers"), "{ended:?}");
    assert!(ended.err.contains("signature was not looked at"), "{ended:?}");
    // A key that has not signed it: it is not given out.
    let other = audit_key(9).to_string();
    let ended = real.kya(&["kill", "receipt", kill, "--key", &other]).await;
    assert_eq!((ended.code, ended.out.as_str()), (7, ""), "{ended:?}");
    real.server.shutdown().await;

    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), "receipt.json", &got.out);
    let file = file.to_str().unwrap();
    let ended = verify(&[file, "--key", key]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
    assert!(ended.out.contains(kill) && ended.out.contains("leak"), "{ended:?}");
    assert!(ended.out.ends_with(&format!("\nSigned by {key}.\n")), "{ended:?}");
    let ended = verify(&["-o", "json", file, "--key", key]);
    assert_eq!(ended.json()["receipt"]["complete"], false);

    let forged = got.out.replacen("\"complete\": false", "\"complete\": true", 1);
    assert_ne!(forged, got.out);
    let forged = written(folder.path(), "forged.json", &forged);
    let ended = verify(&[forged.to_str().unwrap(), "--key", key]);
    assert_eq!((ended.code, ended.out.as_str()), (7, ""), "{ended:?}");
    assert!(ended.err.contains("changed after it was signed"), "{ended:?}");
    let ended = verify(&[file, "--key", &other]);
    assert_eq!(ended.code, 7, "{ended:?}");
    assert!(ended.err.contains("kya audit keys"), "{ended:?}");
    let ended = verify(&["-o", "json", file, "--key", &other]);
    assert_eq!(ended.problem()["code"], "not_verified");
    assert_eq!(verify(&["no-such-file", "--key", key]).code, 2);
}
