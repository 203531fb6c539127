//! What the documentation tells a reader to type, typed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kya_core::{PublicKey, Signer};
use serde_json::Value;

use crate::support::*;

/// The block of shell in a page that has this in it.
fn steps(page: &str, with: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(page);
    let text = fs::read_to_string(path).unwrap();
    let blocks = text.split("\n```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let found: Vec<_> = blocks.filter(|block| block.contains(with)).collect();
    let [block] = &*found else { panic!("{} blocks of {page} have {with}", found.len()) };
    (*block).to_owned()
}

#[test]
fn the_steps_that_make_an_agents_key_make_one() {
    let fake = Fake::start();
    fake.on("POST /v1/agents", 201, &agent("active"));
    let folder = tempfile::tempdir().unwrap();
    let program = PathBuf::from(env!("CARGO_BIN_EXE_kya"));
    let mut path = vec![program.parent().unwrap().to_owned()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let mut shell = Command::new("sh");
    shell.args(["-euc", &steps("docs/tokens.md", "genpkey")]).current_dir(folder.path());
    shell.env("PATH", std::env::join_paths(path).unwrap());
    shell.env("KYA_SERVER", &fake.url).env("KYA_TOKEN", ADMIN_KEY);
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = end(shell.spawn().expect("there is a shell"));
    assert_eq!(ended.code, 0, "{ended:?}");

    let jwk = fs::read_to_string(folder.path().join("payer.jwk")).unwrap();
    let jwk: Value = serde_json::from_str(&jwk).unwrap();
    assert_eq!((&jwk["kty"], &jwk["crv"]), (&"OKP".into(), &"Ed25519".into()));
    let [public, private] = ["x", "d"].map(|part| -> [u8; 32] {
        let bytes = URL_SAFE_NO_PAD.decode(jwk[part].as_str().unwrap()).unwrap();
        bytes.try_into().unwrap()
    });
    let signer = Signer::from_seed(private);
    assert_eq!(signer.public_key().to_bytes(), public, "x is not the key of d");
    // The half that was registered is that of the file.
    let sent = fake.seen()[0].body["public_key"].as_str().unwrap().parse::<PublicKey>().unwrap();
    assert_eq!(sent, signer.public_key());
}
