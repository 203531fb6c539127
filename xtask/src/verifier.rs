//! `cargo xtask verifier`: the verification of the audit trail for browsers and Node.
//!
//! What calls the WebAssembly is written by the library of wasm-bindgen, so nothing has to
//! be installed, and its version is that of `Cargo.lock`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use kya_envoy::Artifacts;
use sha2::{Digest, Sha256};
use wasm_bindgen_cli_support::Bindgen;

use crate::command::{self, cargo};
use crate::setup;

const TARGET: &str = "wasm32-unknown-unknown";
const NAME: &str = "kya_verifier";
/// The page, as the control plane looks for it beside its program.
const PAGE: &str = "kya-audit-verify.html";

/// Builds it into `target/verifier`: `kya-audit-verify.html`, which is all that a browser
/// needs, and `node/`.
pub(crate) fn run(artifacts: &Artifacts) -> Result<()> {
    setup::rust_target_of(artifacts, TARGET)?;
    let build = ["build", "-p", "kya-verifier", "--target", TARGET, "--profile", "filter"];
    command::run(&mut cargo(artifacts, &build))?;
    let target = artifacts.target();
    let wasm = target.join(TARGET).join("filter").join(format!("{NAME}.wasm"));
    let folder = target.join("verifier");

    bindgen(&wasm).nodejs(true)?.generate(folder.join("node"))?;
    let scratch = folder.join("page");
    bindgen(&wasm).no_modules(true)?.generate(&scratch)?;
    let page = page(&artifacts.root().join("verifier/page"), &scratch)?;
    let path = folder.join(PAGE);
    fs::write(&path, &page)?;
    // Where the programs are.
    for profile in ["debug", "release"].map(|it| target.join(it)).iter().filter(|it| it.is_dir()) {
        fs::write(profile.join(PAGE), &page)?;
    }
    eprintln!("{} has {} bytes", path.display(), page.len());
    Ok(())
}

fn bindgen(wasm: &Path) -> Bindgen {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(wasm).typescript(true);
    bindgen
}

/// One file with everything in it, which may run that and nothing else.
fn page(sources: &Path, built: &Path) -> Result<String> {
    let read = |path: PathBuf| {
        fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
    };
    let style = read(sources.join("page.css"))?;
    let script = read(sources.join("page.js"))?;
    let glue = read(built.join(format!("{NAME}.js")))?;
    let wasm = BASE64.encode(fs::read(built.join(format!("{NAME}_bg.wasm")))?);
    let hash = |text: &str| format!("'sha256-{}'", BASE64.encode(Sha256::digest(text)));
    let policy = format!(
        "default-src 'none'; script-src {} {} 'wasm-unsafe-eval'; style-src {}; img-src data:; base-uri 'none'; form-action 'none'",
        hash(&glue),
        hash(&script),
        hash(&style)
    );
    let mut page = read(sources.join("page.html"))?;
    for (place, content) in [
        ("{{csp}}", &policy),
        ("{{style}}", &style),
        ("{{wasm}}", &wasm),
        ("{{glue}}", &glue),
        ("{{script}}", &script),
    ] {
        let (before, after) = page.split_once(place).with_context(|| format!("no {place}"))?;
        page = [before, content, after].concat();
    }
    Ok(page)
}
