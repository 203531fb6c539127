use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn fingerprint(n: u16) -> Fingerprint {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&n.to_be_bytes());
    bytes[15] = n as u8;
    Fingerprint(bytes)
}

fn entry(grant: u32, expires: u64, revoked: bool) -> TokenEntry {
    TokenEntry {
        grant: GrantIndex::new(grant).unwrap(),
        issued: UnixSeconds(7),
        expires: UnixSeconds(expires),
        revoked,
    }
}

#[test]
fn an_index_that_would_touch_the_mark_of_revocation_is_none() {
    assert_eq!(GrantIndex::new(1 << 31), None);
    assert_eq!(GrantIndex::new((1 << 31) - 1).map(GrantIndex::get), Some((1 << 31) - 1));
}

#[test]
fn the_leading_bits_select_the_chunk() {
    let leading = Fingerprint([0xff; 16]);
    assert_eq!(leading.chunk(0), 0);
    assert_eq!(leading.chunk(1), 1);
    assert_eq!(leading.chunk(17), (1 << 17) - 1);
    assert_eq!(leading.chunk(u32::MAX), (1 << 17) - 1, "never beyond the last chunk");
    assert_eq!(fingerprint(0x0100).chunk(8), 1);
}

#[test]
fn the_layout_is_that_of_the_protocol() {
    let mut chunk = Vec::new();
    insert(&mut chunk, fingerprint(0x0102), &entry(0x0304, 0x0506, true));
    let mut expected = vec![1, 2];
    expected.extend([0; 13]);
    expected.extend([2, 4, 3, 0, 0x80, 7, 0, 0, 0, 6, 5, 0, 0]);
    assert_eq!(chunk, expected);
}

#[test]
fn a_cut_off_chunk_loses_its_last_entry_and_nothing_else() {
    let mut chunk = Vec::new();
    for n in 0..10 {
        insert(&mut chunk, fingerprint(n), &entry(n.into(), 9, false));
    }
    chunk.pop();
    assert_eq!(find(&chunk, fingerprint(9)), None);
    assert_eq!(find(&chunk, fingerprint(8)), Some(entry(8, 9, false)));
    assert_eq!(find(&[], fingerprint(8)), None);
}

#[test]
fn what_does_not_fit_into_a_second_of_32_bits_expires_at_its_end() {
    let mut chunk = Vec::new();
    insert(&mut chunk, fingerprint(1), &entry(1, u64::MAX, false));
    assert_eq!(find(&chunk, fingerprint(1)).unwrap().expires, UnixSeconds(u32::MAX.into()));
}

proptest! {
    #[test]
    fn a_chunk_is_a_map(
        writes in prop::collection::vec((0u16..40, 0u32..9, 0u64..20, any::<bool>()), 0..80),
        horizon in 0u64..20,
    ) {
        let (mut chunk, mut map) = (Vec::new(), BTreeMap::new());
        for (n, grant, expires, revoked) in writes {
            let token = entry(grant, expires, revoked);
            let new = insert(&mut chunk, fingerprint(n), &token);
            prop_assert_eq!(new, map.insert(fingerprint(n), token).is_none());
        }
        prop_assert_eq!(entries(&chunk).collect::<BTreeMap<_, _>>(), map.clone());
        prop_assert!(entries(&chunk).is_sorted_by_key(|(key, _)| key));
        let before = map.len();
        map.retain(|_, token| token.expires.0 >= horizon);
        prop_assert_eq!(forget_expired(&mut chunk, UnixSeconds(horizon)), before - map.len());
        for n in 0..40 {
            prop_assert_eq!(find(&chunk, fingerprint(n)), map.get(&fingerprint(n)).copied());
        }
    }

    #[test]
    fn no_bytes_make_the_search_panic(bytes: Vec<u8>, wanted: [u8; 16]) {
        let _ = find(&bytes, Fingerprint(wanted));
        let _ = entries(&bytes).count();
    }
}
