//! Lines out of pieces of any size.

use super::super::export::MAX_LINE_BYTES;

/// The beginning of a line that has not ended yet, at most [`MAX_LINE_BYTES`] of it and
/// the bytes that say that it is longer.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// Takes a piece, and gives each line that ends in it, without its line break. Of a
    /// line that is too long, only so much is given that this can be seen.
    pub(super) fn take(&mut self, piece: &[u8], mut each: impl FnMut(&[u8])) {
        let mut parts = piece.split(|byte| *byte == b'\n');
        let last = parts.next_back().unwrap_or_default();
        for part in parts {
            if self.begun.is_empty() {
                each(part);
            } else {
                self.keep(part);
                each(&self.begun);
                self.begun.clear();
            }
        }
        self.keep(last);
    }

    /// What stands after the last line break.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.begun)
    }

    fn keep(&mut self, part: &[u8]) {
        let room = (MAX_LINE_BYTES + 2).saturating_sub(self.begun.len());
        self.begun.extend_from_slice(part.get(..room).unwrap_or(part));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let (mut lines, mut all) = (Lines::default(), Vec::new());
        for piece in text.chunks(piece) {
            lines.take(piece, |line| all.push(line.to_vec()));
        }
        all.push(lines.rest());
        all
    }

    #[test]
    fn lines_are_the_same_whatever_the_pieces() {
        let text = b"one\n\nthree is longer\nfour";
        let expected: Vec<_> = text.split(|it| *it == b'\n').map(<[u8]>::to_vec).collect();
        for piece in 1..=text.len() {
            assert_eq!(lines(text, piece), expected, "{piece}");
        }
    }

    #[test]
    fn a_long_line_is_not_kept() {
        let mut text = vec![b'a'; 3 * MAX_LINE_BYTES];
        text.extend_from_slice(b"\nnext");
        let all = lines(&text, 4096);
        assert_eq!(all[0].len(), MAX_LINE_BYTES + 2);
        assert_eq!(all[1], b"next");
    }
}
