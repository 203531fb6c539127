//! The headers of a request, in the one block in which the proxy shows them.

use std::ops::Range;

/// Headers as the proxy holds them, in order, duplicates included: names in lower case,
/// values in whatever bytes the peer sent.
///
/// However many there are, they are two allocations: every request pays for this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderMap {
    bytes: Vec<u8>,
    /// Where in them each name and each value is.
    fields: Vec<[Range<usize>; 2]>,
}

impl HeaderMap {
    /// Those of which name and value are at these places of `bytes`; what is outside of
    /// them is empty.
    pub fn new(bytes: Vec<u8>, fields: Vec<[Range<usize>; 2]>) -> Self {
        Self { bytes, fields }
    }

    /// Each name with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let text = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        self.fields.iter().map(move |[name, value]| (text(name), text(value)))
    }
}

impl<'a> FromIterator<(&'a [u8], &'a [u8])> for HeaderMap {
    fn from_iter<T: IntoIterator<Item = (&'a [u8], &'a [u8])>>(fields: T) -> Self {
        let mut it = Self::default();
        for (name, value) in fields {
            let ranges = [name, value].map(|text| {
                let start = it.bytes.len();
                it.bytes.extend_from_slice(text);
                start..it.bytes.len()
            });
            it.fields.push(ranges);
        }
        it
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gathered_is_shown_in_order() {
        let fields = [(&b"a"[..], &b"1"[..]), (b"", b""), (b"a", b"2")];
        let map: HeaderMap = fields.into_iter().collect();
        assert_eq!(map.iter().collect::<Vec<_>>(), fields);
    }

    #[test]
    fn what_is_nowhere_is_empty() {
        let map = HeaderMap::new(b"ab".to_vec(), vec![[0..1, 1..9], [7..8, 1..2]]);
        assert_eq!(map.iter().collect::<Vec<_>>(), [(&b"a"[..], &b""[..]), (b"", b"b")]);
    }
}
