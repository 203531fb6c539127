//! The worked example of `docs/audit.md`.

#![cfg(feature = "testing")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use kya_core::audit::merkle::NodeHash;
use kya_core::audit::verify::{Options, Outcome, Verifier};
use kya_core::testing::audit::{Trail, audit_key};

const BEGIN: &str = "<!-- example -->\n";
const END: &str = "<!-- /example -->\n";

fn example() -> String {
    let trail = Trail::of(4);
    let export = trail.export_of(1, 4, &[], |seq| seq == 1 || seq == 4);
    let mut text = format!("The key to pin:\n\n```\n{}\n```\n\n", audit_key(1));
    text += "Hashes:\n\n| record | `hash_n` | leaf |\n|---|---|---|\n";
    for seq in 1..=4 {
        let (record, hash) = trail.record(seq);
        let leaf = NodeHash::leaf(record.as_bytes());
        writeln!(text, "| {seq} | `{hash}` | `{leaf}` |").unwrap();
    }
    let head = trail.head(4);
    writeln!(text, "\nThe root of the tree is `{}`. The checkpoint:\n", head.root).unwrap();
    writeln!(text, "```\n{}```\n\nThe file:\n\n```\n{export}```", trail.checkpoint(4)).unwrap();

    let mut verifier = Verifier::new(Options { keys: vec![audit_key(1)], ..Options::default() });
    verifier.write(export.as_bytes());
    assert_eq!(verifier.finish().outcome, Outcome::Partial);
    text
}

/// With `KYA_WRITE_EXAMPLE` set it is written there instead.
#[test]
fn the_documentation_has_the_worked_example() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/audit.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    if std::env::var_os("KYA_WRITE_EXAMPLE").is_some() {
        fs::write(&path, [before, BEGIN, &example(), END, after].concat()).unwrap();
        return;
    }
    assert_eq!(shown, example(), "run this test with KYA_WRITE_EXAMPLE=1");
}
