//! `kya audit verify`: what verifies, and every forgery that does not.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use kya_core::testing::audit::{Trail, audit_key, forgeries};
use serde_json::json;

use crate::support::*;

/// `kya audit verify`, with no server and no key to one.
fn verify(args: &[&str]) -> std::process::Command {
    let line = [&["audit", "verify"], args].concat();
    let mut command = command("http://127.0.0.1:1", &line);
    command.env_remove("KYA_TOKEN");
    command
}

fn verified(args: &[&str]) -> Ended {
    end(verify(args).spawn().unwrap())
}

fn written(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

#[test]
fn every_forgery_is_found_and_named_with_its_record() {
    let folder = tempfile::tempdir().unwrap();
    let key = written(folder.path(), "audit.pub", audit_key(1).to_string());
    for forgery in forgeries() {
        let file = written(folder.path(), "trail.jsonl", &forgery.file);
        let mut args = vec!["-o", "json", file.to_str().unwrap(), "--key", key.to_str().unwrap()];
        let kept =
            |(n, note): (usize, &String)| written(folder.path(), &format!("{n}.checkpoint"), note);
        let kept: Vec<_> = forgery.earlier.iter().enumerate().map(kept).collect();
        kept.iter().for_each(|it| args.extend(["--checkpoint", it.to_str().unwrap()]));
        let ended = verified(&args);
        assert_eq!(ended.code, 7, "{}: {ended:?}", forgery.name);
        let problem = ended.problem();
        let first = &problem["verification"]["report"]["problems"][0];
        let named = (first["kind"].as_str(), first["record"].as_u64());
        assert_eq!(named, (Some(forgery.kind), forgery.record), "{}: {problem:#}", forgery.name);
    }
}

#[test]
fn what_is_whole_and_what_is_partial_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let trail = Trail::of(12);
    let key = audit_key(1).to_string();
    let whole = written(folder.path(), "whole.jsonl", trail.export());
    let kept = written(folder.path(), "kept.checkpoint", trail.checkpoint(9));
    let args = [whole.to_str().unwrap(), "--key", &key, "--checkpoint", kept.to_str().unwrap()];
    let ended = verified(&args);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
    for part in ["records 1 to 12 are whole", "begins with the 9 records", "that you pinned"] {
        assert!(ended.out.contains(part), "{part}: {ended:?}");
    }
    assert!(!ended.out.contains('\u{1b}'), "no colour where nobody sees it: {ended:?}");
    let report = verified(&[&["-o", "json"], &args[..]].concat()).json();
    assert_eq!(report["verified"], true);
    assert_eq!(report["files"][0]["report"]["outcome"], "whole");

    let partial = trail.export_of(1, 12, &[], |seq| !(5..=8).contains(&seq));
    let partial = written(folder.path(), "partial.jsonl", partial);
    let ended = verified(&[partial.to_str().unwrap(), "--key", &key]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("Partial. Not shown: 5 to 8."), "{ended:?}");
    let since = |seq| verified(&[partial.to_str().unwrap(), "--key", &key, "--whole-since", seq]);
    assert_eq!(since("9").code, 0);
    let ended = since("8");
    assert_eq!(ended.code, 7, "{ended:?}");
    assert!(ended.err.contains("record 8") || ended.err.contains("records 8"), "{ended:?}");
}

#[test]
fn segments_are_verified_in_their_order_and_from_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let mut trail = Trail::of(10);
    let first = trail.export();
    trail.change_key(2);
    trail.grow(20);
    let second = trail.export_of(11, 20, &[], |_| true);
    let key = audit_key(1).to_string();
    let path = written(folder.path(), "first.jsonl", first);
    let run = |args: &[&str]| {
        let mut child = verify(args).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(second.as_bytes()).unwrap();
        end(child)
    };
    let ended = run(&[path.to_str().unwrap(), "-", "--key", &key]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("goes on from record 10"), "{ended:?}");
    let ended = run(&["-", path.to_str().unwrap(), "--key", &key]);
    assert_eq!(ended.code, 7, "{ended:?}");
    assert!(ended.err.contains("rollback"), "{ended:?}");
}

#[test]
fn a_wrong_command_line_is_no_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), "trail.jsonl", Trail::of(3).export());
    let (file, key) = (file.to_str().unwrap(), audit_key(1).to_string());
    let nothing = folder.path().join("nothing");
    for args in [
        &[file][..],
        &["--key", &key],
        &[file, "--key", "something"],
        &[nothing.to_str().unwrap(), "--key", &key],
        &[folder.path().to_str().unwrap(), "--key", &key],
        &[file, "--key", &key, "--checkpoint", file],
        &[file, "--key", &key, "--whole-since", "0"],
    ] {
        let ended = verified(args);
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{args:?}: {ended:?}");
    }
    // The key may come from the environment, as a script has it.
    let ended = end(verify(&[file]).env("KYA_AUDIT_KEY", &key).spawn().unwrap());
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(json!(ended.err), "");
}
