//! Charts as lines, marks and words, for whatever draws them. What differs in color differs
//! in form, too.

use kya_core::drill::raw::RawSample;
use kya_core::drill::samples::Measured;
use kya_core::drill::summary::Totals;

use super::scale::Scale;

/// How wide every chart is, in points.
pub(super) const WIDTH: f64 = 640.0;
/// Space to the left and right of what is drawn.
const LEFT: f64 = 112.0;
const RIGHT: f64 = 24.0;
/// Marks of one line, at most: then it is a line alone.
const MARKED: usize = 60;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chart {
    pub(super) height: f64,
    /// What it shows, for whoever cannot see it.
    pub(super) label: String,
    pub(super) shapes: Vec<Shape>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    Line { points: Vec<(f64, f64)>, ink: Ink, width: f64, dashes: Dashes },
    Mark { at: (f64, f64), mark: Mark, ink: Ink },
    Text { at: (f64, f64), text: String, anchor: Anchor, bold: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    /// Words and axes.
    Dark,
    Faint,
    First,
    Last,
    Acknowledged,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dashes {
    None,
    Short,
    Long,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Hollow.
    Circle,
    /// Filled.
    Square,
    Cross,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Chart {
    /// The words of it that strangers may have chosen.
    pub(super) fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        self.shapes.iter_mut().filter_map(|shape| match shape {
            Shape::Text { text, .. } => Some(text),
            _ => None,
        })
    }

    fn line(&mut self, points: &[(f64, f64)], ink: Ink, width: f64, dashes: Dashes) {
        self.shapes.push(Shape::Line { points: points.to_vec(), ink, width, dashes });
    }

    fn mark(&mut self, at: (f64, f64), mark: Mark, ink: Ink) {
        self.shapes.push(Shape::Mark { at, mark, ink });
    }

    fn text(&mut self, at: (f64, f64), text: &str, anchor: Anchor, bold: bool) {
        self.shapes.push(Shape::Text { at, text: text.to_owned(), anchor, bold });
    }

    fn axis(&mut self, scale: &Scale, (top, bottom): (f64, f64)) {
        for tick in scale.ticks() {
            let x = scale.at(tick);
            self.line(&[(x, top), (x, bottom)], Ink::Faint, 0.5, Dashes::None);
            self.text((x, bottom + 13.0), &number(tick), Anchor::Middle, false);
        }
        self.line(&[(LEFT, bottom), (WIDTH - RIGHT, bottom)], Ink::Dark, 0.8, Dashes::None);
        let unit =
            if scale.is_log() { "ms since the stop (log scale)" } else { "ms since the stop" };
        self.text(((LEFT + WIDTH - RIGHT) / 2.0, bottom + 28.0), unit, Anchor::Middle, false);
    }

    /// What the marks mean, in a row.
    fn legend(&mut self, y: f64, entries: &[(Mark, Ink, Dashes, &str)]) {
        let mut x = LEFT;
        for (mark, ink, dashes, name) in entries {
            self.line(&[(x, y), (x + 26.0, y)], *ink, 1.4, *dashes);
            self.mark((x + 13.0, y), *mark, *ink);
            self.text((x + 32.0, y + 3.5), name, Anchor::Start, false);
            x += 52.0 + 5.6 * name.len() as f64;
        }
    }
}

fn number(tick: f64) -> String {
    if tick >= 1.0 || tick == 0.0 { format!("{tick:.0}") } else { format!("{tick}") }
}

fn first(party: &Measured) -> Option<f64> {
    party.first_rejection_us.map(millis)
}

fn last(party: &Measured) -> Option<f64> {
    party.settled_us.map(millis)
}

fn millis(micros: i64) -> f64 {
    micros as f64 / 1000.0
}

/// Which share of the samples was over by when; nothing if nobody rejected.
pub(super) fn distribution(
    samples: &[RawSample],
    totals: &Totals,
    bound: Option<f64>,
) -> Option<Chart> {
    const TOP: f64 = 92.0;
    const BOTTOM: f64 = 262.0;
    let all = |of: fn(&Measured) -> Option<f64>, pick: fn(f64, f64) -> f64| {
        let figures = |sample: &RawSample| {
            sample.parties.iter().filter_map(|party| of(&party.figures)).reduce(pick)
        };
        sorted(samples.iter().filter_map(figures))
    };
    let acknowledged = sorted(samples.iter().filter_map(|it| it.acknowledged_us.map(millis)));
    let (first, last) = (all(first, f64::min), all(last, f64::max));
    let percentiles = totals.last_rejection_ms.as_ref()?;
    let shown = first.iter().chain(&last).chain(&acknowledged).copied().chain(bound);
    let scale = Scale::of(shown, LEFT, WIDTH - RIGHT);
    let mut chart = Chart {
        height: 300.0,
        label: format!(
            "Distribution over {} samples. Last rejection: p50 {:.3} ms, p90 {:.3} ms, p99 {:.3} ms, largest {:.3} ms.",
            samples.len(),
            percentiles.p50,
            percentiles.p90,
            percentiles.p99,
            percentiles.max
        ),
        shapes: Vec::new(),
    };
    chart.legend(
        10.0,
        &[
            (Mark::Circle, Ink::First, Dashes::Short, "first rejection"),
            (Mark::Square, Ink::Last, Dashes::None, "last rejection"),
            (Mark::Cross, Ink::Acknowledged, Dashes::Long, "all workers acknowledged"),
        ],
    );
    let height = |share: f64| BOTTOM - (BOTTOM - TOP) * share;
    for percent in [0, 25, 50, 75, 100] {
        let y = height(f64::from(percent) / 100.0);
        chart.line(&[(LEFT, y), (WIDTH - RIGHT, y)], Ink::Faint, 0.5, Dashes::None);
        chart.text((LEFT - 8.0, y + 3.5), &format!("{percent} %"), Anchor::End, false);
    }
    chart.axis(&scale, (TOP, BOTTOM));
    chart.text((8.0, TOP - 8.0), "Share of the samples", Anchor::Start, false);
    // Each in a row of its own, so that no two of them can cover each other.
    let named = [
        ("p50", percentiles.p50),
        ("p90", percentiles.p90),
        ("p99", percentiles.p99),
        ("max", percentiles.max),
    ];
    for (row, (name, figure)) in (0u8..).zip(named) {
        let (x, y) = (scale.at(figure), 34.0 + 12.0 * f64::from(row));
        chart.line(&[(x, y + 3.0), (x, BOTTOM)], Ink::Last, 0.7, Dashes::Short);
        label(&mut chart, (x, y), &format!("{name} {figure:.3}"));
    }
    if let Some(bound) = bound {
        let x = scale.at(bound);
        chart.line(&[(x, 24.0), (x, BOTTOM)], Ink::Dark, 1.4, Dashes::Long);
        label(&mut chart, (x, 24.0), &format!("bound {bound:.0}"));
    }
    let lines = [
        (&first, Mark::Circle, Ink::First, Dashes::Short),
        (&acknowledged, Mark::Cross, Ink::Acknowledged, Dashes::Long),
        (&last, Mark::Square, Ink::Last, Dashes::None),
    ];
    for (figures, mark, ink, dashes) in lines {
        let mut share = 0.0;
        let mut points = Vec::with_capacity(2 * figures.len());
        for (n, figure) in (1u32..).zip(figures) {
            let x = scale.at(*figure);
            points.push((x, height(share)));
            // Of all samples: those in which nobody rejected keep it below 100 %.
            share = f64::from(n) / samples.len() as f64;
            points.push((x, height(share)));
        }
        chart.line(&points, ink, 1.4, dashes);
        if figures.len() <= MARKED {
            points.iter().skip(1).step_by(2).for_each(|at| chart.mark(*at, mark, ink));
        }
    }
    Some(chart)
}

/// Words beside a line, on the side where there is room.
fn label(chart: &mut Chart, (x, y): (f64, f64), text: &str) {
    match x > WIDTH - 120.0 {
        true => chart.text((x - 4.0, y + 3.0), text, Anchor::End, true),
        false => chart.text((x + 4.0, y + 3.0), text, Anchor::Start, true),
    }
}

/// Every sample of every party; nothing if nobody rejected.
pub(super) fn parties(samples: &[RawSample], names: &[String]) -> Option<Chart> {
    const TOP: f64 = 26.0;
    const ROW: f64 = 24.0;
    let of = |place: usize| {
        samples.iter().filter_map(move |it| it.parties.get(place)).map(|party| &party.figures)
    };
    let every = || (0..names.len()).flat_map(of);
    let shown = every().filter_map(first).chain(every().filter_map(last));
    shown.clone().next()?;
    let scale = Scale::of(shown, LEFT, WIDTH - RIGHT);
    let bottom = TOP + ROW * names.len() as f64;
    let mut chart = Chart {
        height: bottom + 36.0,
        label: format!("First and last rejection in each sample, of {} parties.", names.len()),
        shapes: Vec::new(),
    };
    chart.legend(
        10.0,
        &[
            (Mark::Circle, Ink::First, Dashes::Short, "first rejection"),
            (Mark::Square, Ink::Last, Dashes::None, "last rejection"),
        ],
    );
    chart.axis(&scale, (TOP, bottom));
    for (place, name) in names.iter().enumerate() {
        let y = TOP + ROW * (place as f64 + 0.5);
        let name: String = name.chars().take(18).collect();
        chart.text((LEFT - 8.0, y + 3.5), &name, Anchor::End, false);
        let edge = TOP + ROW * (place as f64 + 1.0);
        chart.line(&[(LEFT, edge), (WIDTH - RIGHT, edge)], Ink::Faint, 0.5, Dashes::None);
        dots(&mut chart, of(place).filter_map(first), y - 5.0, (Mark::Circle, Ink::First), &scale);
        dots(&mut chart, of(place).filter_map(last), y + 5.0, (Mark::Square, Ink::Last), &scale);
        let never = of(place).filter(|it| it.worked && it.settled_us.is_none()).count();
        if never > 0 {
            let text = format!("not rejected in {never}");
            chart.text((WIDTH - RIGHT - 2.0, y + 3.5), &text, Anchor::End, true);
        } else if !of(place).any(|it| it.worked) {
            chart.text((WIDTH - RIGHT - 2.0, y + 3.5), "never allowed", Anchor::End, true);
        }
    }
    Some(chart)
}

/// Marks in a row; two that would cover each other are one.
fn dots(
    chart: &mut Chart,
    figures: impl Iterator<Item = f64>,
    y: f64,
    (mark, ink): (Mark, Ink),
    scale: &Scale,
) {
    let mut places: Vec<_> = figures.map(|it| (scale.at(it) * 2.0).round() / 2.0).collect();
    places.sort_by(f64::total_cmp);
    places.dedup();
    places.into_iter().for_each(|x| chart.mark((x, y), mark, ink));
}

fn sorted(figures: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures
}
