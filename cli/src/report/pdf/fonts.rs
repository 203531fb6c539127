//! Fonts that every reader of PDFs has, and how wide their characters are.

use pdf_writer::Name;

/// Widths of ASCII from the space on, in thousandths of the size: Adobe's font metrics.
const REGULAR: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556,
    556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667,
    611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667,
    667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500,
    222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
];
const BOLD: [u16; 95] = [
    278, 333, 474, 556, 556, 889, 722, 238, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556,
    556, 556, 556, 556, 556, 556, 556, 333, 333, 584, 584, 584, 611, 975, 722, 722, 722, 722, 667,
    611, 778, 722, 278, 556, 722, 611, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667,
    667, 611, 333, 278, 333, 584, 556, 333, 556, 611, 556, 611, 556, 333, 611, 611, 278, 278, 556,
    278, 889, 611, 611, 611, 611, 389, 556, 333, 611, 556, 778, 556, 556, 500, 389, 280, 389, 584,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Font {
    Regular,
    Bold,
}

impl Font {
    pub(super) const ALL: [Self; 2] = [Self::Regular, Self::Bold];

    pub(super) fn base(self) -> &'static str {
        match self {
            Self::Regular => "Helvetica",
            Self::Bold => "Helvetica-Bold",
        }
    }

    /// What it is called on a page.
    pub(super) fn name(self) -> Name<'static> {
        match self {
            Self::Regular => Name(b"R"),
            Self::Bold => Name(b"B"),
        }
    }

    /// How wide a text in ASCII is.
    pub(super) fn width(self, text: &str, size: f32) -> f32 {
        let widths = match self {
            Self::Regular => &REGULAR,
            Self::Bold => &BOLD,
        };
        let width = |byte: u8| {
            let place = usize::from(byte.wrapping_sub(b' '));
            widths.get(place).copied().map_or(556.0, f32::from)
        };
        text.bytes().map(width).sum::<f32>() * size / 1000.0
    }

    /// The lines of a text that is at most so wide. A word that is wider is cut.
    pub(super) fn lines(self, text: &str, size: f32, most: f32) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = String::new();
        for word in text.split(' ') {
            let gap = if line.is_empty() { "" } else { " " };
            if self.width(&format!("{line}{gap}{word}"), size) <= most {
                line.push_str(gap);
                line.push_str(word);
                continue;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            for character in word.chars() {
                line.push(character);
                if line.len() > 1 && self.width(&line, size) > most {
                    line.pop();
                    lines.push(std::mem::take(&mut line));
                    line.push(character);
                }
            }
        }
        lines.push(line);
        lines
    }
}

/// A text in characters that these fonts have in every reader; others by their numbers.
pub(super) fn ascii(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            ' '..='~' => plain.push(character),
            other => plain.push_str(&format!("\\u{{{:x}}}", u32::from(other))),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_broken_where_it_is_too_wide() {
        assert_eq!(Font::Regular.width("AV", 1000.0), 1334.0);
        let lines = Font::Regular.lines("one two three four", 10.0, 40.0);
        assert_eq!(lines, ["one two", "three", "four"]);
        let long = Font::Regular.lines("kil_01KGQH0RN0EK57VYVZFXYZF3V1", 10.0, 60.0);
        assert!(long.len() > 2 && long.concat() == "kil_01KGQH0RN0EK57VYVZFXYZF3V1");
        assert!(long.iter().all(|it| Font::Regular.width(it, 10.0) <= 60.0), "{long:?}");
        assert_eq!(Font::Bold.lines("", 10.0, 40.0), [""]);
        // Even where nothing has room it comes to an end.
        assert_eq!(Font::Bold.lines("ab", 10.0, 1.0), ["a", "b"]);
    }

    #[test]
    fn what_the_fonts_lack_is_named() {
        assert_eq!(ascii("Zo\u{eb} (a)\\ \u{202e}x"), "Zo\\u{eb} (a)\\ \\u{202e}x");
    }
}
