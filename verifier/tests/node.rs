//! The same in Node.

mod support;

use std::process::Command;

use kya_core::testing::audit::{Trail, audit_key, forgeries};

const SCRIPT: &str = "
const { Verification } = require(process.argv[1]);
const fs = require('node:fs');
const [key, file, ...notes] = process.argv.slice(2);
const verification = new Verification(key, notes.map((it) => fs.readFileSync(it, 'utf8')));
const bytes = fs.readFileSync(file);
for (let at = 0; at < bytes.length; at += 1000) verification.write(bytes.subarray(at, at + 1000));
process.stdout.write(verification.finish());
";

#[test]
fn node_says_the_same() {
    if Command::new("node").arg("--version").output().is_err() {
        eprintln!("there is no Node here: nothing was tested");
        return;
    }
    let package = support::built("node/kya_verifier.js");
    let folder = tempfile::tempdir().unwrap();
    let say = |content: &[u8], kept: &[String]| {
        let path = folder.path().join("trail.jsonl");
        std::fs::write(&path, content).unwrap();
        let mut node = Command::new("node");
        node.args(["-e", SCRIPT]).arg(&package).arg(audit_key(1).to_string()).arg(path);
        for (n, note) in kept.iter().enumerate() {
            let path = folder.path().join(format!("{n}.checkpoint"));
            std::fs::write(&path, note).unwrap();
            node.arg(path);
        }
        let output = node.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect(&said)
    };
    assert_eq!(say(Trail::of(12).export().as_bytes(), &[])["outcome"], "whole");
    for forgery in forgeries().into_iter().step_by(5) {
        let report = say(&forgery.file, &forgery.earlier);
        let first = &report["problems"][0];
        assert_eq!(first["kind"], forgery.kind, "{}: {report:#}", forgery.name);
        assert_eq!(first["record"].as_u64(), forgery.record, "{}: {report:#}", forgery.name);
    }
}
