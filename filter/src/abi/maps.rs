//! Header maps as the ABI passes them.

use crate::host::HeaderMap;

/// A serialized header map: the number of pairs, then for each the lengths of
/// name and value, then each name and value with a zero byte after it. Numbers
/// are little-endian and have 32 bits.
pub(super) fn write(pairs: &[(&str, &str)]) -> Vec<u8> {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = number(pairs.len()).to_vec();
    for (name, value) in pairs {
        bytes.extend_from_slice(&number(name.len()));
        bytes.extend_from_slice(&number(value.len()));
    }
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    bytes
}

/// Takes the block as it is: names and values stay where the proxy has put them.
pub(super) fn read(bytes: Vec<u8>) -> Option<HeaderMap> {
    let mut lengths = bytes.as_slice();
    let count = take_length(&mut lengths)?;
    let texts = lengths.get(count.checked_mul(8)?..)?;
    let mut at = bytes.len().checked_sub(texts.len())?;
    // A count that the block has no lengths for was refused above: this is at most twice as
    // much as the block.
    let mut fields = Vec::with_capacity(count);
    for _ in 0..count {
        let mut place = || {
            let end = at.checked_add(take_length(&mut lengths)?)?;
            (end < bytes.len()).then(|| std::mem::replace(&mut at, end.saturating_add(1))..end)
        };
        fields.push([place()?, place()?]);
    }
    Some(HeaderMap::new(bytes, fields))
}

/// Shows every pair; `None` if what follows the last is no map, or less than one.
pub(super) fn each(bytes: &[u8], show: &mut dyn FnMut(&[u8], &[u8])) -> Option<()> {
    let mut lengths = bytes;
    let count = take_length(&mut lengths)?;
    let mut texts = lengths.get(count.checked_mul(8)?..)?;
    for _ in 0..count {
        let name = take_length(&mut lengths)?;
        let value = take_length(&mut lengths)?;
        let name = take_text(&mut texts, name)?;
        show(name, take_text(&mut texts, value)?);
    }
    Some(())
}

fn take_length(bytes: &mut &[u8]) -> Option<usize> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    usize::try_from(u32::from_le_bytes(*number)).ok()
}

fn take_text<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (text, rest) = bytes.split_at_checked(length)?;
    let (_zero, rest) = rest.split_first()?;
    *bytes = rest;
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for pairs in [&[][..], &[(":path", "/"), ("empty", ""), ("a", "1"), ("a", "2")]] {
            let expected: Vec<_> =
                pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
            let map = read(write(pairs)).unwrap();
            assert_eq!(map.iter().collect::<Vec<_>>(), expected);
            let mut shown = 0;
            let mut compare = |name: &[u8], value: &[u8]| {
                assert_eq!((name, value), expected[shown]);
                shown += 1;
            };
            assert_eq!(each(&write(pairs), &mut compare), Some(()));
            assert_eq!(shown, expected.len());
        }
    }

    #[test]
    fn the_layout_is_that_of_the_specification() {
        let expected = b"\x01\0\0\0\x02\0\0\0\x03\0\0\0ab\0cde\0";
        assert_eq!(write(&[("ab", "cde")]), expected);
    }

    #[test]
    fn a_map_that_is_cut_off_is_no_map() {
        let whole = write(&[("name", "value"), ("other", "")]);
        for length in 0..whole.len() {
            assert_eq!(read(whole[..length].to_vec()), None, "{length} bytes");
            assert_eq!(each(&whole[..length], &mut |_, _| ()), None, "{length} bytes");
        }
        assert_eq!(read(vec![0xff; 64]), None);
        assert_eq!(each(&[0xff; 64], &mut |_, _| ()), None);
    }

    /// Lengths that lie: some fit, some end one byte early or late, some are huge.
    fn lying() -> impl Strategy<Value = Vec<u8>> {
        let length = prop_oneof![8 => 0..6u32, 1 => Just(u32::MAX), 1 => any::<u32>()];
        let count = prop_oneof![8 => 0..4u32, 1 => Just(u32::MAX / 8), 1 => any::<u32>()];
        let lengths = prop::collection::vec(length, 0..8);
        (count, lengths, prop::collection::vec(any::<u8>(), 0..24)).prop_map(
            |(count, lengths, texts)| {
                let numbers = std::iter::once(count).chain(lengths);
                numbers.flat_map(u32::to_le_bytes).chain(texts).collect()
            },
        )
    }

    proptest! {
        #[test]
        fn a_map_that_lies_is_none_or_is_the_same_to_both_readers(bytes in lying()) {
            let mut shown = Vec::new();
            let whole = each(&bytes, &mut |name, value| shown.push((name.to_vec(), value.to_vec())));
            let map = read(bytes);
            prop_assert_eq!(map.is_some(), whole.is_some());
            let Some(map) = map else { return Ok(()) };
            let kept: Vec<_> =
                map.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
            prop_assert_eq!(kept, shown);
        }
    }
}
