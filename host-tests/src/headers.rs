//! Header maps and their form in the ABI.

/// Headers in order. Names are lower case, as Envoy keeps them whatever the
/// client sent; values are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderMap(Vec<(String, Vec<u8>)>);

impl HeaderMap {
    /// The first value of `name`, in any case.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// Every value of `name`, in order.
    pub fn get_all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let name = name.to_ascii_lowercase();
        self.0.iter().filter(move |(key, _)| *key == name).map(|(_, value)| value.as_slice())
    }

    /// Every header in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// How many headers there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends a header.
    pub fn add(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.0.push((name.to_ascii_lowercase(), value.into()));
    }

    /// Removes every header of this name.
    pub fn remove(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        self.0.retain(|(key, _)| *key != name);
    }

    /// Leaves this one value of `name`.
    pub fn replace(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.remove(name);
        self.add(name, value);
    }

    /// Sum of the lengths of names and values, as Envoy counts a map's size.
    pub(crate) fn byte_size(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// The form of the ABI, little-endian: count, then the length of each name
    /// and value, then each name and value with a zero byte behind.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut out = u32::try_from(self.0.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
        for (name, value) in &self.0 {
            out.extend_from_slice(&length(name.as_bytes()));
            out.extend_from_slice(&length(value));
        }
        for (name, value) in &self.0 {
            out.extend_from_slice(name.as_bytes());
            out.push(0);
            out.extend_from_slice(value);
            out.push(0);
        }
        out
    }

    /// Reads the form of the ABI; `None` when the lengths lead outside of it.
    /// No bytes at all are an empty map.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let number = |at: usize| -> Option<usize> {
            let word = bytes.get(at..at.checked_add(4)?)?;
            usize::try_from(u32::from_le_bytes(word.try_into().ok()?)).ok()
        };
        let count = number(0)?;
        let mut at = count.checked_mul(8)?.checked_add(4)?;
        let mut take = |length: usize| -> Option<&[u8]> {
            let part = bytes.get(at..at.checked_add(length)?)?;
            at = at.checked_add(length)?.checked_add(1)?;
            Some(part)
        };
        let mut map = Self::default();
        for n in 0..count {
            let name = take(number(4 + n * 8)?)?;
            let name = std::str::from_utf8(name).ok()?;
            map.add(name, take(number(8 + n * 8)?)?);
        }
        Some(map)
    }
}

impl<'a, V: AsRef<[u8]> + ?Sized> FromIterator<(&'a str, &'a V)> for HeaderMap {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a V)>>(headers: I) -> Self {
        let mut map = Self::default();
        headers.into_iter().for_each(|(name, value)| map.add(name, value.as_ref()));
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_map_is_written_as_the_sdk_reads_it() {
        let map: HeaderMap = [(":method", "GET"), ("Powered-By", "x")].into_iter().collect();
        let expected: &[u8] =
            b"\x02\0\0\0\x07\0\0\0\x03\0\0\0\x0a\0\0\0\x01\0\0\0:method\0GET\0powered-by\0x\0";
        assert_eq!(map.encode(), expected);
        assert_eq!(HeaderMap::decode(expected), Some(map));
    }

    #[test]
    fn replacing_leaves_one_value_and_removing_leaves_none() {
        let mut map: HeaderMap = [("A", "1"), ("b", "2"), ("a", "3")].into_iter().collect();
        map.replace("a", "4");
        assert_eq!(map.get_all("A").collect::<Vec<_>>(), [b"4"]);
        map.remove("A");
        assert_eq!(map.get("a"), None);
        assert_eq!(map.len(), 1);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let _ = HeaderMap::decode(&bytes);
        }
    }
}
