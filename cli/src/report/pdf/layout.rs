//! Blocks on pages of A4.

use pdf_writer::{Buf, Content as Drawing, Str};

use super::super::chart::{Anchor, Chart, Dashes, Ink, Mark, Shape, WIDTH as CHART_WIDTH};
use super::super::content::{Block, Content, Table};
use super::fonts::{Font, ascii};

pub(super) const WIDTH: f32 = 595.0;
pub(super) const HEIGHT: f32 = 842.0;
const LEFT: f32 = 48.0;
const TOP: f32 = 52.0;
const BOTTOM: f32 = 56.0;
const ROOM: f32 = WIDTH - 2.0 * LEFT;
const TEXT: f32 = 9.2;
const LEADING: f32 = 12.4;
const CELL: f32 = 6.9;
const CELL_LEADING: f32 = 8.8;
/// Between two columns.
const GAP: f32 = 5.0;

/// Pages as they are filled.
pub(super) struct Layout {
    done: Vec<Drawing>,
    page: Drawing,
    /// How far down the page is filled.
    y: f32,
    /// Stands at the foot of each.
    foot: String,
}

impl Layout {
    pub(super) fn of(content: &Content, title: &str) -> Self {
        let mut layout =
            Self { done: Vec::new(), page: Drawing::new(), y: TOP, foot: title.to_owned() };
        layout.head(content);
        content.blocks.iter().for_each(|it| layout.block(it));
        layout
    }

    /// The drawings of the pages.
    pub(super) fn finish(mut self) -> Vec<Buf> {
        self.done.push(self.page);
        let (count, foot) = (self.done.len(), self.foot);
        let finished = (1..).zip(self.done).map(|(n, mut page)| {
            text(&mut page, (LEFT, 30.0), Font::Regular, 7.5, &foot);
            let number = format!("{n} of {count}");
            let width = Font::Regular.width(&number, 7.5);
            text(&mut page, (WIDTH - LEFT - width, 30.0), Font::Regular, 7.5, &number);
            page.finish()
        });
        finished.collect()
    }

    /// Makes room for something so high.
    fn room(&mut self, height: f32) {
        if self.y + height > HEIGHT - BOTTOM && self.y > TOP {
            let full = std::mem::replace(&mut self.page, Drawing::new());
            self.done.push(full);
            self.y = TOP;
        }
    }

    /// Height above the foot of the page, which is how a PDF counts.
    fn up(&self, down: f32) -> f32 {
        HEIGHT - self.y - down
    }

    fn head(&mut self, content: &Content) {
        self.paragraph(&content.title, Font::Bold, 20.0, 26.0, 0.0);
        let foot = self.foot.clone();
        let id = foot.strip_prefix(&*content.title).unwrap_or_default().trim();
        self.paragraph(id, Font::Regular, TEXT, LEADING, 0.0);
        self.y += 8.0;
        let verdict = ascii(&content.verdict);
        let lines = Font::Bold.lines(&verdict, 11.0, ROOM - 20.0);
        let height = 14.0 * count(lines.len()) + 10.0;
        let (fill, edge) = match content.passed {
            true => ([0.93, 0.97, 0.95], [0.0, 0.4, 0.31]),
            false => ([0.99, 0.94, 0.93], [0.63, 0.11, 0.11]),
        };
        let bottom = self.up(height);
        rectangle(&mut self.page, (LEFT, bottom), (ROOM, height), fill);
        rectangle(&mut self.page, (LEFT, bottom), (4.0, height), edge);
        if !content.passed {
            rectangle(&mut self.page, (LEFT + 6.0, bottom), (1.5, height), edge);
        }
        for (n, line) in lines.iter().enumerate() {
            let at = (LEFT + 14.0, self.up(16.0 + 14.0 * count(n)));
            text(&mut self.page, at, Font::Bold, 11.0, line);
        }
        self.y += height + 12.0;
    }

    fn paragraph(&mut self, words: &str, font: Font, size: f32, leading: f32, indent: f32) {
        for line in font.lines(&ascii(words), size, ROOM - indent) {
            self.room(leading);
            let at = (LEFT + indent, self.up(size));
            text(&mut self.page, at, font, size, &line);
            self.y += leading;
        }
    }

    fn block(&mut self, block: &Block) {
        match block {
            Block::Heading(words) => {
                // Not alone at the end of a page.
                self.room(90.0);
                self.y += 12.0;
                let above = self.up(0.0);
                line(&mut self.page, &[(LEFT, above), (WIDTH - LEFT, above)], 0.5, FAINT);
                self.y += 6.0;
                self.paragraph(words, Font::Bold, 12.5, 18.0, 0.0);
            }
            Block::Text(words) => {
                self.paragraph(words, Font::Regular, TEXT, LEADING, 0.0);
                self.y += 4.0;
            }
            Block::Figures(pairs) => self.figures(pairs),
            Block::Pairs(pairs) => self.pairs(pairs),
            Block::Table(it) => self.table(it),
            Block::List(items) => {
                for item in items {
                    self.room(LEADING);
                    let at = (LEFT + 4.0, self.up(TEXT));
                    text(&mut self.page, at, Font::Regular, TEXT, "-");
                    self.paragraph(item, Font::Regular, TEXT, LEADING, 14.0);
                }
                self.y += 4.0;
            }
            Block::Chart(it) => self.chart(it),
        }
    }

    fn figures(&mut self, pairs: &[(&str, String)]) {
        const HIGH: f32 = 40.0;
        for row in pairs.chunks(3) {
            self.room(HIGH + 6.0);
            let width = (ROOM - 2.0 * 8.0) / 3.0;
            for (n, (name, value)) in row.iter().enumerate() {
                let x = LEFT + (width + 8.0) * count(n);
                let bottom = self.up(HIGH);
                self.page.set_stroke_rgb(0.8, 0.8, 0.8).set_line_width(0.6);
                self.page.rect(x, bottom, width, HIGH).stroke();
                let (above, below) = ((x + 8.0, self.up(13.0)), (x + 8.0, self.up(30.0)));
                text(&mut self.page, above, Font::Regular, 7.5, name);
                text(&mut self.page, below, Font::Bold, 13.0, &ascii(value));
            }
            self.y += HIGH + 6.0;
        }
    }

    fn pairs(&mut self, pairs: &[(&str, String)]) {
        const NAME: f32 = 142.0;
        for (name, value) in pairs {
            let lines = Font::Regular.lines(&ascii(value), TEXT, ROOM - NAME);
            // A value that is longer than a page goes on, on the next.
            self.room(LEADING * count(lines.len().min(4)));
            let at = (LEFT, self.up(TEXT));
            text(&mut self.page, at, Font::Bold, TEXT, name);
            for line in lines {
                self.room(LEADING);
                let at = (LEFT + NAME, self.up(TEXT));
                text(&mut self.page, at, Font::Regular, TEXT, &line);
                self.y += LEADING;
            }
            self.y += 1.5;
        }
        self.y += 4.0;
    }

    fn table(&mut self, table: &Table) {
        let shares: f32 = table.columns.iter().map(|it| it.1 as f32).sum();
        let room = ROOM - GAP * count(table.columns.len().saturating_sub(1));
        let widths: Vec<_> = table.columns.iter().map(|it| room * it.1 as f32 / shares).collect();
        let names: Vec<_> = table.columns.iter().map(|it| it.0.to_owned()).collect();
        self.row(&names, &widths, table, Font::Bold, 60.0);
        for cells in &table.rows {
            let before = self.done.len();
            let high = self.height(cells, &widths, Font::Regular);
            self.room(high);
            if self.done.len() > before {
                self.row(&names, &widths, table, Font::Bold, 0.0);
            }
            self.row(cells, &widths, table, Font::Regular, 0.0);
        }
        self.y += 8.0;
    }

    fn height(&self, cells: &[String], widths: &[f32], font: Font) -> f32 {
        let lines = |(cell, width): (&String, &f32)| font.lines(&ascii(cell), CELL, *width).len();
        let most = cells.iter().zip(widths).map(lines).max().unwrap_or(1);
        CELL_LEADING * count(most) + 5.0
    }

    fn row(&mut self, cells: &[String], widths: &[f32], table: &Table, font: Font, more: f32) {
        let height = self.height(cells, widths, font);
        self.room(height + more);
        let mut x = LEFT;
        for ((cell, width), (_, _, right)) in cells.iter().zip(widths).zip(&table.columns) {
            for (n, words) in font.lines(&ascii(cell), CELL, *width).iter().enumerate() {
                let shift = if *right { width - font.width(words, CELL) } else { 0.0 };
                let at = (x + shift, self.up(2.0 + CELL + CELL_LEADING * count(n)));
                text(&mut self.page, at, font, CELL, words);
            }
            x += width + GAP;
        }
        self.y += height;
        let (below, ink) = (self.up(0.0), if font == Font::Bold { DARK } else { FAINT });
        line(&mut self.page, &[(LEFT, below), (WIDTH - LEFT, below)], 0.5, ink);
    }

    fn chart(&mut self, chart: &Chart) {
        let factor = ROOM / CHART_WIDTH as f32;
        let height = chart.height as f32 * factor;
        // One that is higher than a page is made smaller.
        let fits = ((HEIGHT - TOP - BOTTOM - 10.0) / height).min(1.0);
        let (factor, height) = (factor * fits, height * fits);
        self.room(height + 10.0);
        self.y += 4.0;
        let top = self.up(0.0);
        // The last digit of a logarithm is not the same on every machine, and is not written.
        let round = |it: f32| (it * 100.0).round() / 100.0;
        let place =
            |(x, y): (f64, f64)| (round(LEFT + x as f32 * factor), round(top - y as f32 * factor));
        for shape in &chart.shapes {
            draw(&mut self.page, shape, &place, factor);
        }
        self.y += height + 6.0;
    }
}

const DARK: [f32; 3] = [0.1, 0.1, 0.1];
const FAINT: [f32; 3] = [0.85, 0.85, 0.85];

fn count(n: usize) -> f32 {
    n as f32
}

fn draw(page: &mut Drawing, shape: &Shape, place: &impl Fn((f64, f64)) -> (f32, f32), factor: f32) {
    match shape {
        Shape::Line { points, ink, width, dashes } => {
            let points: Vec<_> = points.iter().map(|at| place(*at)).collect();
            page.save_state();
            match dashes {
                Dashes::None => {}
                Dashes::Short => drop(page.set_dash_pattern([2.4, 1.6], 0.0)),
                Dashes::Long => drop(page.set_dash_pattern([6.4, 2.4], 0.0)),
            }
            line(page, &points, *width as f32 * factor, color(*ink));
            page.restore_state();
        }
        Shape::Mark { at, mark, ink } => {
            let ((x, y), [r, g, b], half) = (place(*at), color(*ink), 2.5 * factor);
            page.set_stroke_rgb(r, g, b).set_fill_rgb(r, g, b).set_line_width(1.2 * factor);
            match mark {
                Mark::Square => {
                    page.rect(x - half, y - half, 2.0 * half, 2.0 * half).fill_nonzero();
                }
                Mark::Cross => {
                    page.move_to(x - half, y - half).line_to(x + half, y + half);
                    page.move_to(x - half, y + half).line_to(x + half, y - half).stroke();
                }
                Mark::Circle => {
                    let bend = half * 0.5523;
                    page.set_fill_rgb(1.0, 1.0, 1.0).move_to(x + half, y);
                    page.cubic_to(x + half, y + bend, x + bend, y + half, x, y + half);
                    page.cubic_to(x - bend, y + half, x - half, y + bend, x - half, y);
                    page.cubic_to(x - half, y - bend, x - bend, y - half, x, y - half);
                    page.cubic_to(x + bend, y - half, x + half, y - bend, x + half, y);
                    page.close_fill_nonzero_and_stroke();
                }
            }
        }
        Shape::Text { at, text: words, anchor, bold } => {
            let font = if *bold { Font::Bold } else { Font::Regular };
            let (size, words) = (11.0 * factor, ascii(words));
            let ((x, y), width) = (place(*at), font.width(&words, size));
            let x = match anchor {
                Anchor::Start => x,
                Anchor::Middle => x - width / 2.0,
                Anchor::End => x - width,
            };
            text(page, (x, y), font, size, &words);
        }
    }
}

fn text(page: &mut Drawing, (x, y): (f32, f32), font: Font, size: f32, words: &str) {
    let [r, g, b] = DARK;
    page.set_fill_rgb(r, g, b).begin_text().set_font(font.name(), size);
    page.next_line(x, y).show(Str(words.as_bytes())).end_text();
}

fn line(page: &mut Drawing, points: &[(f32, f32)], width: f32, [r, g, b]: [f32; 3]) {
    let Some(((x, y), rest)) = points.split_first() else { return };
    page.set_stroke_rgb(r, g, b).set_line_width(width).move_to(*x, *y);
    for (x, y) in rest {
        page.line_to(*x, *y);
    }
    page.stroke();
}

fn rectangle(page: &mut Drawing, (x, y): (f32, f32), (w, h): (f32, f32), [r, g, b]: [f32; 3]) {
    page.set_fill_rgb(r, g, b).rect(x, y, w, h).fill_nonzero();
}

/// As on the page for browsers.
fn color(ink: Ink) -> [f32; 3] {
    match ink {
        Ink::Dark => DARK,
        Ink::Faint => FAINT,
        Ink::First => [0.0, 0.447, 0.698],
        Ink::Last => [0.722, 0.278, 0.0],
        Ink::Acknowledged => [0.333, 0.333, 0.333],
    }
}
