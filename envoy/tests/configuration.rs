//! The shipped bootstrap, and what Envoy makes of a wrong one.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Result, bail};
use kya_core::NodeCredential;
use kya_envoy::{Artifacts, Changes, Downed, RunDir, Sidecar, SidecarOptions};

fn options(artifacts: &Artifacts, dir: &RunDir) -> Result<SidecarOptions> {
    let absent = Downed::new(artifacts, dir.path())?;
    Ok(SidecarOptions {
        node_id: "sidecar-1".into(),
        workers: 2,
        // Nothing listens there; nothing is to be sent.
        upstream: SocketAddr::from(([127, 0, 0, 1], 9)),
        control_plane: absent.grpc(),
        control_plane_http: SocketAddr::from(([127, 0, 0, 1], 9)),
        // No node of any control plane.
        node_credential: NodeCredential::from_random([1; 32]).reveal().to_owned(),
        update_key: absent.public_key()?,
        changes: Changes::default(),
    })
}

#[test]
fn envoy_finds_no_fault_with_the_shipped_bootstrap() -> Result<()> {
    let artifacts = Artifacts::for_tests()?;
    let dir = RunDir::new(&artifacts)?;
    let options = options(&artifacts, &dir)?;
    let config = dir.path().join("envoy.yaml");
    let yaml = options.bootstrap(&artifacts)?.render_file(&artifacts.bootstrap())?;
    std::fs::write(&config, yaml)?;

    let output = Command::new(artifacts.envoy()?)
        .args(["--mode", "validate", "-c"])
        .arg(&config)
        .env("KYA_NODE_CREDENTIAL", &options.node_credential)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for complaint in ["deprecated", "[warning]", "[error]", "[critical]"] {
        assert!(!said.to_lowercase().contains(complaint), "{said}");
    }
    dir.remove()
}

#[tokio::test]
async fn envoy_does_not_start_with_a_filter_that_is_configured_wrongly() -> Result<()> {
    let artifacts = Artifacts::for_tests()?;
    let dir = RunDir::new(&artifacts)?;
    let options = options(&artifacts, &dir)?;
    let good = options.bootstrap(&artifacts)?.render_file(&artifacts.bootstrap())?;
    let key = format!(r#"["{}"]"#, options.update_key);
    let cases = [
        ("a key that is none", key.as_str(), r#"["ed25519:nonsense"]"#, "Ed25519"),
        ("no keys", &key, "[]", "update_keys"),
        (
            "no cluster",
            r#""control_plane_cluster": "kya_control_plane","#,
            "",
            "control_plane_cluster",
        ),
        ("a misspelt field", r#""update_keys":"#, r#""update_keyz":"#, "update_keyz"),
    ];
    for (case, right, wrong, named) in cases {
        assert!(good.contains(right), "{case} changes nothing");
        let yaml = good.replace(right, wrong);
        let started = Sidecar::start_with(&artifacts, &options, &yaml, dir.path()).await;
        let said = match started {
            Ok(_) => bail!("Envoy started with {case}"),
            Err(error) => format!("{error:#}"),
        };
        assert!(said.contains("ended with"), "{case}: {said}");
        assert!(said.contains(named), "the operator is told what is wrong with {case}: {said}");
    }
    dir.remove()
}
