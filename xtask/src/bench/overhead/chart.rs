//! Bars with intervals, as SVG.

use std::fmt::Write as _;

use super::stats::Estimate;

const WIDTH: f64 = 860.0;
const NAMES: f64 = 320.0;
const FIGURES: f64 = 70.0;
const TOP: f64 = 56.0;
const STEP: f64 = 26.0;
const BAR: f64 = 15.0;

/// A bar.
#[derive(Debug)]
pub(super) struct Bar {
    pub(super) what: String,
    pub(super) estimate: Estimate,
    /// Whether it is one of kya's.
    pub(super) ours: bool,
}

/// A picture of `bars`, from zero, of a quantity in `unit`. Colours are such that a page
/// may be light or dark.
pub(super) fn svg(title: &str, unit: &str, bars: &[Bar]) -> String {
    let most = bars.iter().map(|bar| bar.estimate.high).filter(|it| it.is_finite());
    let (step, top) = axis(most.fold(0.0, f64::max));
    let room = WIDTH - NAMES - FIGURES;
    let x = |value: f64| NAMES + value.clamp(0.0, top) / top * room;
    let height = TOP + STEP * bars.len() as f64 + 34.0;
    let bottom = height - 30.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\" role=\"img\">\n\
         <title>{title}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"26\" font-size=\"16\" font-weight=\"bold\" fill=\"#1a1a1a\">{}</text>\n",
        escaped(title),
        title = escaped(title),
    );
    // Writing into a string cannot fail.
    let mut tick = 0.0;
    while tick <= top * 1.0001 {
        let at = x(tick);
        let _ = writeln!(
            out,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{:.1}\" y2=\"{bottom:.1}\" stroke=\"#dddddd\"/>\n\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555555\">{}</text>",
            TOP - 8.0,
            bottom + 18.0,
            number(tick),
        );
        tick += step;
    }
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555555\">{}</text>",
        WIDTH - 8.0,
        TOP - 14.0,
        escaped(unit)
    );
    for (index, Bar { what, estimate, ours }) in bars.iter().enumerate() {
        let y = TOP + STEP * index as f64;
        let middle = y + BAR / 2.0;
        let colour = if *ours { "#1f6fb2" } else { "#9a9a9a" };
        let Estimate { value, low, high } = *estimate;
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#1a1a1a\">{}</text>\n\
             <rect x=\"{NAMES:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\n\
             <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\" \
             stroke=\"#1a1a1a\" stroke-width=\"1.5\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#1a1a1a\">{}</text>",
            NAMES - 10.0,
            middle + 4.5,
            escaped(what),
            x(value) - NAMES,
            x(low),
            x(high),
            x(high) + 8.0,
            middle + 4.5,
            number(value),
        );
    }
    out + "</svg>\n"
}

/// The distance of two marks, and the last of them: about six, of a round distance.
fn axis(most: f64) -> (f64, f64) {
    let rough = (most.max(0.001)) / 6.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|it| it * power).into_iter().find(|it| *it >= rough);
    let step = step.unwrap_or(power * 10.0);
    (step, (most / step).ceil().max(1.0) * step)
}

fn number(value: f64) -> String {
    let digits = if value.abs() >= 99.95 || (value.fract() == 0.0) { 0 } else { 1 };
    format!("{value:.digits$}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(what: &str, value: f64) -> Bar {
        let estimate = Estimate { value, low: value - 0.5, high: value + 0.5 };
        Bar { what: what.into(), estimate, ours: true }
    }

    fn width(drawn: &str, bar: usize) -> f64 {
        let widths = drawn.split("<rect x=").skip(1).map(|rest| {
            rest.split("width=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
        });
        widths.collect::<Vec<f64>>()[bar]
    }

    #[test]
    fn bars_are_as_long_as_their_values_from_zero() {
        let drawn = svg("CPU", "µs", &[bar("one", 10.0), bar("two", 20.0), bar("less", -3.0)]);
        assert!((width(&drawn, 1) / width(&drawn, 0) - 2.0).abs() < 0.01, "{drawn}");
        assert_eq!(width(&drawn, 2), 0.0);
    }

    #[test]
    fn marks_are_round_and_reach_the_largest() {
        assert_eq!(axis(113.0), (20.0, 120.0));
        assert_eq!(axis(9.6), (2.0, 10.0));
        assert_eq!(axis(0.0).1, axis(0.0).0);
    }

    #[test]
    fn what_would_be_markup_is_text() {
        let drawn = svg("a < b", "µs & more", &[bar("<script>", 1.0)]);
        assert!(drawn.contains("a &lt; b") && drawn.contains("&lt;script&gt;"));
        assert_eq!(drawn.matches("<svg").count(), 1);
        assert!(drawn.ends_with("</svg>\n"));
    }
}
