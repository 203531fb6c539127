//! The examples of `docs/protocol.md`, byte for byte. What is expected here was
//! worked out in another language from the text of that page, RFC 8032 and FIPS
//! 180-4, and not by this crate.

use kya_core::{
    AgentId, Body, CapabilityId, Change, Image, Nonce, OpaqueToken, Position, PrincipalId,
    PublishedImage, Revision, Signer, Status, TokenTable, UnixMillis, UnixSeconds, UpdateError,
    Verifier, chunk_hash,
    jwt::{
        Actor, CapabilityError, CapabilityKeys, CapabilityVerifier, Claims, Presentation, Scope,
        Thumbprint, VerifiedCapability, check, jwks, mint,
    },
    records, sign_update, table,
    wire::{self, change::Change as Record},
};
use prost::Message;

const AGENT: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

const PUBLIC_KEY: &str = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c";
const DELTA: &str = "\
    0a0834750f98bd59fcfc\
    12402e0a4a8b3e05c231d66b3b294234aaac818f163850089ba30c8c7f0615d2e7e1\
    c9cfc5efaa2d154a5048ae926b47e02453160c710c8a1ea685e2eb9bdcba5d05\
    1a29080110071880c8e2e1c1332a1c0a1a1a180a100102030405060708090a0b0c0d0e0f10\
    120408031801";
const HEARTBEAT: &str = "\
    0a0834750f98bd59fcfc\
    1240cf598de7d35b4f20138822f31568be758db2142f4445b4bda5979cd781bb678f\
    9d723df7ba8c23cb33bbd217d2a41dbb8f2e5b7ea65660b6858ed84e6c6d4c04\
    1a2f080110071880c8e2e1c13332220a20000102030405060708090a0b0c0d0e0f\
    101112131415161718191a1b1c1d1e1f";
const MANIFEST: &str = "\
    0a0834750f98bd59fcfc\
    12402ca5caeab12e773b371f2e027bb9231e42d7fe41121ebbc44e083fbfb9f249e1\
    7cfcee67220fea6833e73b07f3e397fa4982fd9c585d28c3893dc2d2e0fb8c0f\
    1a71080110071880c8e2e1c13322640a20000102030405060708090a0b0c0d0e0f\
    101112131415161718191a1b1c1d1e1f\
    224068dc2e33c648e9c29ca6420d0d571c85701ab1d04ed6de9c32955d91759c5900\
    a4dbe21a244c5fb0e10838e2ce4c5235ad4ec457dfaf967031fc180e26e6b79d";

const TOKEN: &str = "at_1fJjkkpe9PiTw9KSulA8Ghct30vZz4HpdQ5c5b9cPF12goXvQ";
const DIGEST: &str = "54cceb5a2cbee7006a324e0f5d8bfb13301df868cd6a57d4d0bbcb9c831156fe";
const TOKEN_CHUNK: &str = "54cceb5a2cbee7006a324e0f5d8bfb1301000000800e8069901c8069";
const REVOKED_CHUNK: &str = "54cceb5a2cbee7006a324e0f5d8bfb1301000080800e8069901c8069";
const RECORD_CHUNK: &str = "\
    0a1a1a180a100102030405060708090a0b0c0d0e0f101204080118010a162a14080112\
    100102030405060708090a0b0c0d0e0f10";
const IMAGE: &str = "19690cabe87b54d153eabb198289191f2742c62c2a275c77647f90e76e6e8e08";

const CAPABILITY: &str = "\
    eyJhbGciOiJFZDI1NTE5IiwidHlwIjoiYXQrand0Iiwia2lkIjoiYVZCdGFwTGQxMVNVVktJTUdKZlB6T0VEdU4w\
    c1hjbXpKUU5WVC1fc0tFVSJ9.eyJpc3MiOiJodHRwczovL2t5YS5leGFtcGxlIiwic3ViIjoiYWd0XzAxMDgxRzg\
    xODYwVzQwSjJHQjFHNkdXM1JHIiwiYXVkIjoicGF5bWVudHMiLCJjbGllbnRfaWQiOiJhZ3RfMDEwODFHODE4NjB\
    XNDBKMkdCMUc2R1czUkciLCJleHAiOjE3NzAwMDM2MDAsImlhdCI6MTc3MDAwMDAwMCwibmJmIjoxNzcwMDAwMDA\
    wLCJqdGkiOiJjYXBfMEgyODlIODU4UDJXQzFKNkdWM0dFSFc3UzAiLCJzY29wZSI6InBheW1lbnRzLmNyZWF0ZSB\
    wYXltZW50cy5yZWFkIn0._cnG4Gw8QR7W_qpk0lLH32AASsJNpWH8IAOE-5aNgScqk3C3ug_GJY2UpJRqLSbv0qd\
    S2iTg1kxEwaRm6M1NAQ";
/// Made with PyJWT 2.15.1, of the claims of the example: `jwt.encode(claims, key,
/// algorithm="EdDSA", headers={"kid": …, "typ": "at+jwt"})`.
const BY_PYJWT: &str = "\
    eyJhbGciOiJFZERTQSIsImtpZCI6ImFWQnRhcExkMTFTVVZLSU1HSmZQek9FRHVOMHNYY216SlFOVlQtX3NLRVUi\
    LCJ0eXAiOiJhdCtqd3QifQ.eyJpc3MiOiJodHRwczovL2t5YS5leGFtcGxlIiwic3ViIjoiYWd0XzAxMDgxRzgxO\
    DYwVzQwSjJHQjFHNkdXM1JHIiwiYXVkIjoicGF5bWVudHMiLCJjbGllbnRfaWQiOiJhZ3RfMDEwODFHODE4NjBXN\
    DBKMkdCMUc2R1czUkciLCJleHAiOjE3NzAwMDM2MDAsImlhdCI6MTc3MDAwMDAwMCwibmJmIjoxNzcwMDAwMDAwL\
    CJqdGkiOiJjYXBfMEgyODlIODU4UDJXQzFKNkdWM0dFSFc3UzAiLCJzY29wZSI6InBheW1lbnRzLmNyZWF0ZSBwY\
    XltZW50cy5yZWFkIn0.ziSTj5q8SeGjDNhxfhjHOyGUcTFV5JQU71YX08BDWdv9DD8oywhNx4g6dagKsusRlrrD0\
    bTcxIhLFrzB8AkhAA";
/// Made with joserfc 1.8.0, with `alg` `Ed25519`, two services, two actors, a key and
/// a claim `txn`, which says nothing here.
const BY_JOSERFC: &str = "\
    eyJ0eXAiOiJhdCtqd3QiLCJraWQiOiJhVkJ0YXBMZDExU1VWS0lNR0pmUHpPRUR1TjBzWGNtekpRTlZULV9zS0VV\
    IiwiYWxnIjoiRWQyNTUxOSJ9.eyJpc3MiOiJodHRwczovL2t5YS5leGFtcGxlIiwic3ViIjoiYWd0XzAxMDgxRzg\
    xODYwVzQwSjJHQjFHNkdXM1JHIiwiYXVkIjpbInBheW1lbnRzIiwibGVkZ2VyIl0sImNsaWVudF9pZCI6ImFndF8\
    wMTA4MUc4MTg2MFc0MEoyR0IxRzZHVzNSRyIsImV4cCI6MTc3MDAwMzYwMCwiaWF0IjoxNzcwMDAwMDAwLCJuYmY\
    iOjE3NzAwMDAwMTAsImp0aSI6ImNhcF8wSDI4OUg4NThQMldDMUo2R1YzR0VIVzdTMCIsInNjb3BlIjoicGF5bWV\
    udHMuY3JlYXRlIHBheW1lbnRzLnJlYWQiLCJhY3QiOnsic3ViIjoiYWd0XzFINjhTSzhEOVA2V1czSkVIVjdHWUt\
    XRlQwIiwiYWN0Ijp7InN1YiI6InBybl8xMTQ4SEo4OTk2NFdNMkpBSEI1R1BKV0JTRyJ9fSwiY25mIjp7ImprdCI\
    6IjBaY09DT1JaTll5LURXcHFxMzBqWnlKR0hUTjBkMkhnbEJWM3VpZ3VBNEkifSwidHhuIjoiaWdub3JlZCJ9.8k\
    ALsjVMlY2JuRQD4LZ29QpTLUUZNO2xyoJ-RCfojHeGeLsrmDw6NjdyoikWA4p1i6c6lHb01qxQpwOjY2zECA";

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn nonce() -> Nonce {
    Nonce(std::array::from_fn(|at| at as u8))
}

fn signer() -> Signer {
    Signer::from_seed([1; 32])
}

fn update(body: wire::update::Body) -> wire::Update {
    wire::Update { epoch: 1, revision: 7, unix_millis: 1_770_000_000_000, body: Some(body) }
}

fn standing(status: wire::Status) -> Option<wire::Standing> {
    let in_flight = wire::InFlight::Abort.into();
    Some(wire::Standing { status: status.into(), not_before_unix_seconds: 0, in_flight })
}

fn agent(id: [u8; 16], status: wire::Status) -> Record {
    Record::Agent(wire::Agent { id: id.into(), standing: standing(status), ..Default::default() })
}

fn token(digest: [u8; 32], revoked: bool) -> Record {
    Record::Token(wire::Token {
        digest: digest.into(),
        grant: 1,
        issued_unix_seconds: 1_770_000_000,
        expires_unix_seconds: 1_770_003_600,
        revoked,
    })
}

fn image(of: impl IntoIterator<Item = Record>) -> PublishedImage {
    let mut image = Image::new();
    for record in of {
        image.apply(&wire::Change { change: Some(record) }).unwrap();
    }
    image.publish()
}

/// Signs as the example is signed, and believes the example.
fn is_the_example(hex: &str, body: wire::update::Body) -> Body {
    let signed = sign_update(&signer(), &update(body)).encode_to_vec();
    assert_eq!(signed, bytes(hex));
    let believed = Verifier::new([signer().public_key()]).verify(&bytes(hex)).unwrap();
    assert_eq!(believed.position(), Position { epoch: 1, revision: Revision(7) });
    assert_eq!(believed.issued(), UnixMillis(1_770_000_000_000));
    believed.body().clone()
}

#[test]
fn a_signed_delta_is_these_bytes() {
    assert_eq!(signer().public_key().to_bytes().to_vec(), bytes(PUBLIC_KEY));
    let change = Some(agent(AGENT, wire::Status::Revoked));
    let delta = wire::Delta { changes: vec![wire::Change { change }] };
    let body = is_the_example(DELTA, wire::update::Body::Delta(delta));
    let Body::Delta(changes) = body else { panic!("{body:?}") };
    let [Change::Agent(id, agent)] = changes[..] else { panic!("{changes:?}") };
    assert_eq!((id.to_bytes(), agent.standing.status), (AGENT, Status::Revoked));
}

#[test]
fn a_signed_heartbeat_that_answers_is_these_bytes() {
    let heartbeat = wire::Heartbeat { nonce: nonce().0.into() };
    let body = is_the_example(HEARTBEAT, wire::update::Body::Heartbeat(heartbeat));
    assert_eq!(body, Body::Heartbeat { nonce: Some(nonce()) });
}

#[test]
fn the_signature_is_over_the_prefix_and_the_payload() {
    let mut other = bytes(DELTA);
    *other.last_mut().unwrap() = 2;
    let verifier = Verifier::new([signer().public_key()]);
    assert_eq!(verifier.verify(&other), Err(UpdateError::BadSignature));
}

#[test]
fn a_token_its_digest_and_its_entry_are_these_bytes() {
    let opaque = OpaqueToken::from_random([7; 32]);
    assert_eq!(opaque.reveal(), TOKEN);
    assert_eq!(opaque.digest().0.to_vec(), bytes(DIGEST));
    for (revoked, expected) in [(false, TOKEN_CHUNK), (true, REVOKED_CHUNK)] {
        let published = image([token(opaque.digest().0, revoked)]);
        assert_eq!(**published.chunk(0).unwrap(), bytes(expected));
        let found = table::find(&bytes(expected), opaque.digest().fingerprint()).unwrap();
        assert_eq!((found.grant.get(), found.revoked), (1, revoked));
        assert_eq!((found.issued.0, found.expires.0), (1_770_000_000, 1_770_003_600));
    }
}

#[test]
fn a_manifest_and_its_chunks_are_these_bytes() {
    let published = image([
        token(OpaqueToken::from_random([7; 32]).digest().0, false),
        Record::Grant(wire::Grant { index: 1, agent_id: AGENT.into(), ..Default::default() }),
        agent(AGENT, wire::Status::Active),
    ]);
    let chunks: Vec<_> = (0..3).map(|index| published.chunk(index).map(|it| it.to_vec())).collect();
    assert_eq!(chunks, [Some(bytes(TOKEN_CHUNK)), Some(bytes(RECORD_CHUNK)), None]);
    assert_eq!(published.id().0.to_vec(), bytes(IMAGE));
    let manifest = published.manifest().to_wire(&nonce().0);
    assert_eq!((manifest.token_bits, manifest.record_bits), (0, 0));
    let hashes = [chunk_hash(&bytes(TOKEN_CHUNK)), chunk_hash(&bytes(RECORD_CHUNK))].concat();
    assert_eq!(manifest.chunk_hashes, hashes);
    let body = is_the_example(MANIFEST, wire::update::Body::Manifest(manifest));
    let expected = Body::Manifest { nonce: nonce(), manifest: published.manifest().clone() };
    assert_eq!(body, expected);
}

#[test]
fn a_token_is_in_the_chunk_of_its_leading_bits() {
    let digests: Vec<[u8; 32]> = (0..300u32).map(|n| chunk_hash(&n.to_le_bytes())).collect();
    let published = image(digests.iter().map(|digest| token(*digest, false)));
    let manifest = published.manifest();
    assert_eq!(manifest.to_wire(&[]).token_bits, 2, "300 tokens, of which 128 to a chunk");
    for digest in digests {
        let index = u32::from(digest[0] >> 6);
        let content = published.chunk(index).unwrap();
        let entries = content.chunks(table::ENTRY_BYTES);
        assert_eq!(entries.filter(|entry| entry[..16] == digest[..16]).count(), 1);
        assert!(manifest.fits(index, content));
    }
}

#[test]
fn a_record_is_in_the_chunk_of_the_last_bits_of_its_id() {
    let id = |n: u16| {
        let mut id = AGENT;
        id[14..].copy_from_slice(&n.to_be_bytes());
        id
    };
    let all = (0..300u16).map(|n| agent(id(n * 7), wire::Status::Active));
    let fleet = Record::Fleet(wire::Fleet { standing: standing(wire::Status::Active) });
    let published = image(all.chain([fleet]));
    let wire = published.manifest().to_wire(&[]);
    assert_eq!((wire.token_bits, wire.record_bits), (0, 1), "301 records, of which 256 to a chunk");
    for (chunk, index) in published.manifest().records().enumerate() {
        for record in records(published.chunk(index).unwrap()).unwrap() {
            match record {
                Change::Agent(id, _) => assert_eq!(usize::from(id.to_bytes()[15] & 1), chunk),
                Change::Fleet(_) => assert_eq!(chunk, 0),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// What a second implementation has to give for a token in no chunk.
#[test]
fn a_token_that_is_in_no_chunk_is_not_found() {
    let mut image = Image::new();
    let (one, other) = (OpaqueToken::from_random([7; 32]), OpaqueToken::from_random([8; 32]));
    image.apply(&wire::Change { change: Some(token(one.digest().0, false)) }).unwrap();
    let mut tokens = &image;
    assert!(TokenTable::find(&mut tokens, one.digest().fingerprint()).unwrap().is_some());
    assert_eq!(TokenTable::find(&mut tokens, other.digest().fingerprint()), Ok(None));
}

fn capability_signer() -> Signer {
    Signer::from_seed([2; 32])
}

fn capability_keys() -> CapabilityKeys {
    CapabilityKeys::new([capability_signer().public_key()]).unwrap()
}

/// What the example says.
fn capability_claims() -> Claims {
    Claims {
        issuer: "https://kya.example".into(),
        agent: AgentId::from_bytes(AGENT),
        subject: None,
        audience: vec!["payments".into()],
        issued: UnixSeconds(1_770_000_000),
        not_before: UnixSeconds(1_770_000_000),
        expires: UnixSeconds(1_770_003_600),
        id: CapabilityId::from_bytes(std::array::from_fn(|at| 0x11 + at as u8)),
        scope: Scope::parse("payments.create payments.read").unwrap(),
        actors: vec![],
        confirmation: None,
    }
}

fn believed(token: &str) -> VerifiedCapability {
    let verifier = CapabilityVerifier::new("https://kya.example", capability_keys()).unwrap();
    verifier.verify(token.as_bytes()).unwrap()
}

fn counts(token: &str, now: u64, proof: Option<Thumbprint>) -> Result<(), CapabilityError> {
    let presented = Presentation { now: UnixSeconds(now), service: "payments", proof };
    check(&believed(token), &presented)
}

#[test]
fn a_capability_token_is_these_bytes() {
    let token = mint(&capability_signer(), &capability_claims()).unwrap();
    assert_eq!(token.reveal(), CAPABILITY);
    assert_eq!(CAPABILITY.len(), 547);
    assert_eq!(believed(CAPABILITY).claims(), &capability_claims());
    assert_eq!(counts(CAPABILITY, 1_770_003_599, None), Ok(()));
    assert_eq!(counts(CAPABILITY, 1_770_003_600, None), Err(CapabilityError::Expired));
}

#[test]
fn the_page_shows_these_bytes() {
    let page: String = include_str!("../../docs/protocol.md").split_whitespace().collect();
    assert!(page.contains(CAPABILITY));
    assert!(page.contains(&jwks(&capability_keys())));
}

#[test]
fn a_capability_token_of_another_library_says_the_same() {
    assert_eq!(believed(BY_PYJWT).claims(), &capability_claims());
    assert_eq!(counts(BY_PYJWT, 1_770_000_000, None), Ok(()));
    let key = Thumbprint::parse("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I").unwrap();
    let full = Claims {
        audience: vec!["payments".into(), "ledger".into()],
        not_before: UnixSeconds(1_770_000_010),
        actors: vec![
            Actor::Agent(AgentId::from_bytes(std::array::from_fn(|at| 0x31 + at as u8))),
            Actor::Principal(PrincipalId::from_bytes(std::array::from_fn(|at| 0x21 + at as u8))),
        ],
        confirmation: Some(key),
        ..capability_claims()
    };
    assert_eq!(believed(BY_JOSERFC).claims(), &full);
    assert_eq!(counts(BY_JOSERFC, 1_770_000_010, Some(key)), Ok(()));
    assert_eq!(counts(BY_JOSERFC, 1_770_000_010, None), Err(CapabilityError::NoProof));
}
