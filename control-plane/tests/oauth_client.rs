//! The OAuth surface as libraries speak it that nobody here wrote: Authlib and joserfc, of
//! the versions that `cargo xtask setup` installs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kya_control_plane::config::{Config, IssuerConfig};
use kya_control_plane::push::Limits;
use kya_core::Signer;
use serde_json::json;

use crate::support::ControlPlane;
use crate::support::api::Text;

/// An address that no other process uses: an issuer has to know its own beforehand.
fn own_address() -> SocketAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 64 | high & 63, middle, low)), 7080)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ordinary_libraries_get_verify_and_give_back_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let address = own_address();
    let issuer = format!("http://{address}");
    let config = Config {
        issuer: Some(IssuerConfig { name: issuer.clone(), max_lifetime: 3600 }),
        http_listen: address,
        ..Config::ephemeral(dir.path())
    };
    let plane = ControlPlane::start_as(config, dir, Limits::default()).await;
    let signer = Signer::from_seed([5; 32]);
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let x = encode(&signer.public_key().to_bytes());
    let body = json!({
        "name": "payer",
        "public_key": json!({ "kty": "OKP", "crv": "Ed25519", "x": x }).to_string(),
    });
    let agent = plane.api.post("/v1/agents", body).await.expect(201)["agent_id"].text();
    let d = encode(&signer.to_seed());
    let private = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "d": d }).to_string();

    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("oauth-client/bin/python");
    assert!(python.exists(), "there is no {}: run `cargo xtask setup`", python.display());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oauth_client.py");
    let mut command = Command::new(python);
    command.arg(script).args([&issuer, &agent, &private]);
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    assert_eq!(ran.stdout, b"ok\n", "{said}");
}
