use super::connection::garble;

/// Length (3 bytes), type, flags, stream (4): RFC 9113 section 4.1.
const HEADER: usize = 9;
const DATA: u8 = 0;

/// Follows the frames of one HTTP/2 direction, from its first byte on.
#[derive(Debug, Default)]
pub(super) struct Frames {
    header: Vec<u8>,
    /// Bytes of the payload that were seen, and that are to come.
    seen: u64,
    left: u64,
}

impl Frames {
    /// Goes on with `bytes`. With `keep`, garbles the payload of DATA frames in
    /// them from its byte number `keep` on.
    pub(super) fn walk(&mut self, bytes: &mut [u8], keep: Option<u64>) {
        for byte in bytes {
            if self.left == 0 {
                self.header.push(*byte);
                if let [a, b, c, _, _, _, _, _, _] = self.header[..] {
                    self.left = u64::from(u32::from_be_bytes([0, a, b, c]));
                    self.seen = 0;
                    // An empty payload is followed by a header at once.
                    if self.left == 0 {
                        self.header.clear();
                    }
                }
                continue;
            }
            let is_data = self.header.get(3) == Some(&DATA);
            if is_data && keep.is_some_and(|keep| self.seen >= keep) {
                garble(byte);
            }
            self.seen += 1;
            self.left -= 1;
            if self.left == 0 {
                self.header.clear();
            }
        }
        debug_assert!(self.header.len() <= HEADER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_be_bytes();
        let header = [length[1], length[2], length[3], kind, 0, 0, 0, 0, 1];
        [&header[..], payload].concat()
    }

    #[test]
    fn only_what_comes_late_in_data_frames_is_garbled_however_it_is_cut() {
        let sent = [
            frame(4, &[]),
            frame(1, b"headers"),
            frame(DATA, b"prefixmessage"),
            frame(DATA, b"pre"),
            frame(6, b"12345678"),
            frame(DATA, b"prefix!"),
        ]
        .concat();
        for size in 1..=sent.len() {
            let (mut frames, mut got) = (Frames::default(), sent.clone());
            got.chunks_mut(size).for_each(|chunk| frames.walk(chunk, Some(6)));
            let changed: Vec<u8> =
                got.iter().zip(&sent).filter(|(got, sent)| got != sent).map(|(_, s)| *s).collect();
            assert_eq!(changed, b"message!", "in pieces of {size}");
        }
    }

    #[test]
    fn without_a_limit_nothing_is_changed() {
        let sent = frame(DATA, b"message");
        let mut got = sent.clone();
        Frames::default().walk(&mut got, None);
        assert_eq!(got, sent);
    }
}
