use serde_json::json;

use super::*;

const ORIGIN: &str = "kya.test/audit";

fn key(seed: u8, name: &str) -> (VerifierKey, Signer) {
    let signer = Signer::from_seed([seed; 32]);
    (VerifierKey::new(name, signer.public_key()).unwrap(), signer)
}

fn receipt() -> Receipt {
    let worker = |slot, after| ReceiptWorker {
        worker: slot,
        instance: format!("{slot:016x}"),
        state: "done".to_owned(),
        acknowledged_after_us: Some(after),
        record: Some(9),
    };
    Receipt {
        origin: ORIGIN.to_owned(),
        kill_id: "kil_01KGQH0RN0EK57VYVZFXYZF3V1".to_owned(),
        act: "agent.revoked".to_owned(),
        subject: "agt_1".to_owned(),
        actor: "oncall-anna".to_owned(),
        role: Some("operator".to_owned()),
        reason: Some("a \"quoted\" reason\nof two lines \u{20ac}".to_owned()),
        incident_id: None,
        committed_at: Timestamp(1_770_302_823_000_250),
        epoch: 1,
        revision: 17,
        issued_at: Timestamp(1_770_302_824_000_250),
        complete: true,
        workers_there: 2,
        acknowledged: 2,
        last_acknowledged_after_us: Some(6_100),
        proxies: vec![ReceiptProxy {
            proxy: "web-1".to_owned(),
            acknowledged: true,
            workers: vec![worker(0, 5_000), worker(1, 6_100)],
        }],
        not_connected: vec!["web-2".to_owned()],
        more_not_connected: false,
        in_flight: ReceiptFlights { requests: 1, escalated: 1, ..ReceiptFlights::default() },
        records: vec![7, 8, 12],
    }
}

/// As it is written into a file.
fn shown(signed: &SignedReceipt) -> Value {
    serde_json::to_value(signed).unwrap()
}

fn verified(shown: &Value, key: &VerifierKey) -> Result<Receipt, BadReceipt> {
    SignedReceipt::verify(shown.to_string().as_bytes(), key)
}

#[test]
fn a_receipt_is_read_as_it_was_signed_in_any_spelling() {
    let (key, signer) = key(7, ORIGIN);
    let signed = receipt().sign(&signer).unwrap();
    assert_eq!(verified(&shown(&signed), &key), Ok(receipt()));
    let pretty = serde_json::to_vec_pretty(&signed).unwrap();
    assert_eq!(SignedReceipt::verify(&pretty, &key), Ok(receipt()));
}

#[test]
fn whatever_is_changed_in_the_document_is_seen() {
    let (key, signer) = key(7, ORIGIN);
    let signed = shown(&receipt().sign(&signer).unwrap());
    for (pointer, to) in [
        ("/receipt/complete", json!(false)),
        ("/receipt/kill_id", json!("kil_other")),
        ("/receipt/actor", json!("somebody")),
        ("/receipt/reason", json!("a reason")),
        ("/receipt/issued_at", json!("2026-02-05T14:47:09.000250Z")),
        ("/receipt/proxies/0/workers/1/acknowledged_after_us", json!(6_101)),
        ("/receipt/proxies/0/workers/1/state", json!("lost")),
        ("/receipt/proxies", json!([])),
        ("/receipt/not_connected", json!([])),
        ("/receipt/in_flight/escalated", json!(0)),
        ("/receipt/records/2", json!(13)),
    ] {
        let mut forged = signed.clone();
        let place = forged.pointer_mut(pointer).unwrap();
        assert_ne!(*place, to, "{pointer} says that already");
        *place = to;
        assert_eq!(verified(&forged, &key), Err(BadReceipt::Changed), "{pointer}");
    }
    let mut forged = signed.clone();
    forged["receipt"]["approved_by"] = json!("nobody");
    assert_eq!(verified(&forged, &key), Err(BadReceipt::Changed));
    let mut forged = signed;
    forged["receipt"].as_object_mut().unwrap().remove("reason");
    assert_eq!(verified(&forged, &key), Err(BadReceipt::Changed));
}

#[test]
fn a_note_of_another_receipt_does_not_fit() {
    let (key, signer) = key(7, ORIGIN);
    let signed = receipt().sign(&signer).unwrap();
    let earlier = Receipt { complete: false, acknowledged: 1, ..receipt() }.sign(&signer).unwrap();
    let mixed = SignedReceipt { note: signed.note, ..earlier };
    assert_eq!(verified(&shown(&mixed), &key), Err(BadReceipt::Changed));
}

#[test]
fn nobody_else_signs_it() {
    let (own, signer) = key(7, ORIGIN);
    let (other, stranger) = key(8, ORIGIN);
    let forged = receipt().sign(&stranger).unwrap();
    assert_eq!(verified(&shown(&forged), &own), Err(BadReceipt::Key(Box::new(own.clone()))));
    assert_eq!(verified(&shown(&forged), &other), Ok(receipt()));
    // The same key under the name of another trail, on either side.
    let (renamed, _) = key(7, "kya.test/other");
    let signed = shown(&receipt().sign(&signer).unwrap());
    assert_eq!(verified(&signed, &renamed), Err(BadReceipt::Key(Box::new(renamed.clone()))));
    let mut moved = signed;
    moved["note"] = json!(
        Note::sign(
            &receipt().statement(&digest(&Canonical::text_of(&receipt()).unwrap())),
            "kya.test/other",
            &signer,
        )
        .unwrap()
    );
    assert_eq!(verified(&moved, &renamed), Err(BadReceipt::Changed));
}

#[test]
fn a_checkpoint_is_no_receipt_and_a_receipt_no_checkpoint() {
    use crate::audit::merkle::NodeHash;
    use crate::audit::{ChainHash, Checkpoint, SignedCheckpoint};
    let (key, signer) = key(7, ORIGIN);
    let (root, chain, time) = (NodeHash::leaf(b""), ChainHash::START, Timestamp(1));
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: 1, root, chain, time };
    let signed = receipt().sign(&signer).unwrap();
    assert!(SignedCheckpoint::parse(&signed.note).is_err());
    let mixed = SignedReceipt { note: checkpoint.sign(&signer).unwrap(), ..signed };
    assert_eq!(verified(&shown(&mixed), &key), Err(BadReceipt::Note));
}

#[test]
fn what_is_no_receipt_is_named() {
    let (key, signer) = key(7, ORIGIN);
    let signed = shown(&receipt().sign(&signer).unwrap());
    for text in ["", "[]", "null", r#"{"receipt": {}}"#, "{\"receipt\": {}, \"note\": \"\"}"] {
        let read = SignedReceipt::verify(text.as_bytes(), &key);
        assert!(matches!(read, Err(BadReceipt::Form(_))), "{text}: {read:?}");
    }
    let mut more = signed.clone();
    more["signed_by"] = json!("me");
    assert!(matches!(verified(&more, &key), Err(BadReceipt::Form(_))));
    let mut unsigned = signed;
    unsigned["note"] = json!("");
    assert_eq!(verified(&unsigned, &key), Err(BadReceipt::Note));
    let long = vec![b' '; MAX_RECEIPT_BYTES + 1];
    assert_eq!(SignedReceipt::verify(&long, &key), Err(BadReceipt::TooLong));
}

#[test]
fn a_member_that_stands_there_twice_is_refused() {
    let (key, signer) = key(7, ORIGIN);
    let signed = shown(&receipt().sign(&signer).unwrap()).to_string();
    assert!(SignedReceipt::verify(signed.as_bytes(), &key).is_ok());
    for (member, twice) in [
        ("\"complete\":true", "\"complete\":false,\"complete\":true"),
        ("\"receipt\":", "\"receipt\":{},\"receipt\":"),
        ("\"note\":", "\"note\":\"\",\"note\":"),
    ] {
        let forged = signed.replacen(member, twice, 1);
        assert_ne!(forged, signed, "{member}");
        let read = SignedReceipt::verify(forged.as_bytes(), &key);
        assert!(matches!(read, Err(BadReceipt::Form(_))), "{twice}: {read:?}");
    }
}
