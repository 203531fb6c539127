//! The examples of records in `docs/protocol.md`, byte for byte. What is expected here
//! was worked out in another language from the text of that page, with the Ed25519 of
//! another library, and not by this crate.

use kya_core::{
    AgentId, Body, CapabilityId, Change, PolicyId, PrincipalId, Signer, Status, UnixSeconds,
    Verifier,
    jwt::{CapabilityKeys, CapabilityVerifier},
    sign_update,
    wire::{self, change::Change as Record},
};
use prost::Message;

/// Whose tokens count.
const ISSUER: &str = "\
    423a0a1368747470733a2f2f6b79612e6578616d706c6512208139770ea87d175f56a35466c34c7e\
    cccb8d8a91b4ee37a25df60f5b8fc9b39418901c";
/// What an agent may do.
const POLICY: &str = "\
    3a410a104142434445464748494a4b4c4d4e4f5010031a2b7b226e616d65223a22726566756e6473\
    222c22616c6c6f77223a5b2269737375655f726566756e64225d7d";
/// An agent with everything that can be said of one.
const AGENT_BELOW: &str = "\
    1a5a0a100102030405060708090a0b0c0d0e0f101204080218021a102122232425262728292a2b2c\
    2d2e2f3020a0d580cc062a104142434445464748494a4b4c4d4e4f5032103132333435363738393a\
    3b3c3d3e3f4038e49d80cc06";
/// A grant for one service and one action.
const LIMITED_GRANT: &str = "\
    2a2c080112100102030405060708090a0b0c0d0e0f101a087061796d656e7473220c69737375655f\
    726566756e64";
/// A capability token that was taken back.
const TAKEN_BACK: &str = "\
    4a180a101112131415161718191a1b1c1d1e1f201090b980cc06";
/// Of the delta with these five, at revision 7 of epoch 1.
const SIGNATURE: &str = "\
    4c171df0581151a41d15445114354a4baa78b4c401acb2b1864b9525d9eae5411e1ca7b61eee2886\
    b7b8be85aa19e805838a881c33b3a84b293ad7eda5995c03";

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// The 16 bytes that count up from this one.
fn id(first: u8) -> [u8; 16] {
    std::array::from_fn(|at| first + at as u8)
}

fn signer() -> Signer {
    Signer::from_seed([1; 32])
}

/// The records, beside the bytes that they are.
fn examples() -> [(&'static str, Record); 5] {
    let key = Signer::from_seed([2; 32]).public_key();
    let issuer = wire::Issuer {
        name: "https://kya.example".into(),
        keys: vec![key.to_bytes().into()],
        max_lifetime_seconds: 3_600,
    };
    let policy = wire::Policy {
        id: id(0x41).into(),
        version: 3,
        document: br#"{"name":"refunds","allow":["issue_refund"]}"#.into(),
    };
    let agent = wire::Agent {
        id: id(0x01).into(),
        standing: Some(wire::Standing {
            status: wire::Status::Suspended.into(),
            not_before_unix_seconds: 0,
            in_flight: wire::InFlight::Drain.into(),
        }),
        principal_id: id(0x21).into(),
        expires_unix_seconds: 1_770_007_200,
        policy_id: id(0x41).into(),
        parent_id: id(0x31).into(),
        suspended_unix_seconds: 1_770_000_100,
    };
    let grant = wire::Grant {
        index: 1,
        agent_id: id(0x01).into(),
        services: vec!["payments".into()],
        actions: vec!["issue_refund".into()],
    };
    let taken_back =
        wire::RevokedCapability { id: id(0x11).into(), expires_unix_seconds: 1_770_003_600 };
    [
        (ISSUER, Record::Issuer(issuer)),
        (POLICY, Record::Policy(policy)),
        (AGENT_BELOW, Record::Agent(agent)),
        (LIMITED_GRANT, Record::Grant(grant)),
        (TAKEN_BACK, Record::RevokedCapability(taken_back)),
    ]
}

fn read(hex: &str) -> Change {
    let change = wire::Change::decode(bytes(hex).as_slice()).unwrap();
    let [change] = <[Change; 1]>::try_from(Change::all_from_wire(&[change]).unwrap()).unwrap();
    change
}

#[test]
fn each_record_is_these_bytes() {
    for (hex, record) in examples() {
        let change = wire::Change { change: Some(record) };
        assert_eq!(change.encode_to_vec(), bytes(hex));
    }
}

#[test]
fn a_signed_delta_of_them_has_this_signature_and_is_believed() {
    let changes = examples().map(|(_, record)| wire::Change { change: Some(record) });
    let update = wire::Update {
        epoch: 1,
        revision: 7,
        unix_millis: 1_770_000_000_000,
        body: Some(wire::update::Body::Delta(wire::Delta { changes: changes.into() })),
    };
    let signed = sign_update(&signer(), &update);
    assert_eq!(signed.signature, bytes(SIGNATURE));
    let believed = Verifier::new([signer().public_key()]).verify(&signed.encode_to_vec()).unwrap();
    let Body::Delta(changes) = believed.body() else { panic!("{believed:?}") };
    let read: Vec<_> = examples().iter().map(|(hex, _)| read(hex)).collect();
    assert_eq!(changes, &read);
}

#[test]
fn each_is_read_to_its_last_field() {
    let Change::Issuer(Some(issuer)) = read(ISSUER) else { panic!() };
    let key = Signer::from_seed([2; 32]).public_key();
    let keys = CapabilityKeys::new([key]).unwrap();
    let expected = CapabilityVerifier::new("https://kya.example", keys).unwrap();
    assert_eq!(*issuer, expected.with_max_lifetime(3_600).unwrap());
    let Change::Policy(policy, version, document) = read(POLICY) else { panic!() };
    assert_eq!((policy, version.get()), (PolicyId::from_bytes(id(0x41)), 3));
    assert_eq!(document.permits(Some(&"issue_refund".parse().unwrap()), None), Ok(()));
    assert!(document.permits(Some(&"create_charge".parse().unwrap()), None).is_err());
    let Change::Agent(agent, said) = read(AGENT_BELOW) else { panic!() };
    assert_eq!(agent, AgentId::from_bytes(id(0x01)));
    assert_eq!(said.standing.status, Status::Suspended);
    assert_eq!(said.principal, Some(PrincipalId::from_bytes(id(0x21))));
    assert_eq!(said.expires, Some(UnixSeconds(1_770_007_200)));
    assert_eq!(said.policy, Some(PolicyId::from_bytes(id(0x41))));
    assert_eq!(said.parent, Some(AgentId::from_bytes(id(0x31))));
    assert_eq!(said.suspended, Some(UnixSeconds(1_770_000_100)));
    let Change::Grant(index, grant) = read(LIMITED_GRANT) else { panic!() };
    assert_eq!((index.get(), grant.agent()), (1, agent));
    assert!(grant.services().eq(["payments"]) && grant.actions().len() == 1);
    let Change::RevokedCapability(token, expires) = read(TAKEN_BACK) else { panic!() };
    assert_eq!(token, CapabilityId::from_bytes(id(0x11)));
    assert_eq!(expires, UnixSeconds(1_770_003_600));
}

#[test]
fn the_page_shows_these_bytes() {
    let page: String = include_str!("../../docs/protocol.md").split_whitespace().collect();
    for (hex, record) in examples() {
        assert!(page.contains(hex), "{record:?}");
    }
    assert!(page.contains(SIGNATURE));
}
