//! W3C Trace Context: the ids of a `traceparent`
//! (<https://www.w3.org/TR/trace-context-1/#traceparent-header>).

/// The ids of a `traceparent`; neither is all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// The trace.
    pub id: [u8; 16],
    /// The span that the request came from.
    pub parent: [u8; 8],
}

impl Trace {
    /// Reads a `traceparent`. One of a version that is not known is read as far as it
    /// is like one of version 0, as section 4.3 asks; what is malformed is none.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (version, rest) = field::<2, 1>(text)?;
        let (id, rest) = field::<32, 16>(rest.strip_prefix(b"-")?)?;
        let (parent, rest) = field::<16, 8>(rest.strip_prefix(b"-")?)?;
        let (_flags, rest) = field::<2, 1>(rest.strip_prefix(b"-")?)?;
        let known = match version {
            [0] => rest.is_empty(),
            [0xff] => false,
            _ => rest.is_empty() || rest.starts_with(b"-"),
        };
        (known && id != [0; 16] && parent != [0; 8]).then_some(Self { id, parent })
    }
}

/// `D` lower-case hexadecimal digits as `N` bytes, and what follows.
fn field<const D: usize, const N: usize>(text: &[u8]) -> Option<([u8; N], &[u8])> {
    let (digits, rest) = text.split_first_chunk::<D>()?;
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)?.checked_shl(4)? | digit(*low)?;
    }
    Some((bytes, rest))
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => byte.checked_sub(b'0'),
        b'a'..=b'f' => byte.checked_sub(b'a')?.checked_add(10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_example_of_the_specification_is_read() {
        let trace = Trace::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(trace.id[..4], [0x4b, 0xf9, 0x2f, 0x35]);
        assert_eq!(trace.id[15], 0x36);
        assert_eq!(trace.parent, [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
    }

    #[test]
    fn a_later_version_may_go_on() {
        for text in [GOOD.replacen("00", "cc", 1), GOOD.replacen("00", "01", 1) + "-what-else"] {
            assert!(Trace::parse(text.as_bytes()).is_some(), "{text}");
        }
        for text in [GOOD.replacen("00", "01", 1) + "what", GOOD.to_owned() + "-what"] {
            assert_eq!(Trace::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_is_malformed_is_none() {
        for text in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
            "0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Trace::parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_id_is_read_as_it_was_written(id in any::<[u8; 16]>(), parent in any::<[u8; 8]>()) {
            prop_assume!(id != [0; 16] && parent != [0; 8]);
            let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
            let text = format!("00-{}-{}-00", hex(&id), hex(&parent));
            prop_assert_eq!(Trace::parse(text.as_bytes()), Some(Trace { id, parent }));
        }
    }
}
