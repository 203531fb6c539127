//! The axis of a chart: milliseconds to points.

/// From so many times the least figure on, an axis is logarithmic.
const SPAN: f64 = 25.0;
/// Nothing is drawn as less than a microsecond.
const LEAST: f64 = 0.001;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    left: f64,
    right: f64,
    log: bool,
}

impl Scale {
    /// One on which all of these are.
    pub(super) fn of(figures: impl Iterator<Item = f64>, left: f64, right: f64) -> Self {
        let (mut least, mut most) = (f64::INFINITY, LEAST);
        for figure in figures.map(|it| it.max(LEAST)) {
            (least, most) = (least.min(figure), most.max(figure));
        }
        let least = least.min(most);
        if most / least < SPAN {
            let step = step(most);
            return Self { low: 0.0, high: (most / step).ceil() * step, left, right, log: false };
        }
        let (low, high) = (round_down(least), round_up(most));
        Self { low, high, left, right, log: true }
    }

    pub(super) fn is_log(&self) -> bool {
        self.log
    }

    /// Where a figure is.
    pub(super) fn at(&self, figure: f64) -> f64 {
        let share = match self.log {
            true => (figure.max(LEAST) / self.low).log10() / (self.high / self.low).log10(),
            false => (figure - self.low) / (self.high - self.low),
        };
        self.left + (self.right - self.left) * share.clamp(0.0, 1.0)
    }

    /// Figures that are named.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if !self.log {
            let step = step(self.high);
            let count = (self.high / step).round() as u32;
            return (0..=count).map(|n| tidy(f64::from(n) * step)).collect();
        }
        let mut ticks = Vec::new();
        for decade in -3i32..=6 {
            for part in [1.0, 2.0, 5.0] {
                let tick = tidy(part * 10f64.powi(decade));
                if tick >= self.low * 0.999 && tick <= self.high * 1.001 {
                    ticks.push(tick);
                }
            }
        }
        // So many that their names have room.
        if ticks.len() > 10 {
            ticks.retain(|tick| (tick.log10() - tick.log10().round()).abs() < 1e-9);
        }
        ticks
    }
}

/// 1, 2 or 5 times a power of ten, of which about five are in this.
fn step(most: f64) -> f64 {
    let rough = most / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let part = [1.0, 2.0, 5.0, 10.0].into_iter().find(|part| part * power >= rough * 0.999);
    tidy(part.unwrap_or(10.0) * power)
}

fn round_down(figure: f64) -> f64 {
    let power = 10f64.powf(figure.log10().floor());
    let part = [5.0, 2.0, 1.0].into_iter().find(|part| part * power <= figure);
    tidy(part.unwrap_or(1.0) * power)
}

fn round_up(figure: f64) -> f64 {
    let power = 10f64.powf(figure.log10().floor());
    let part = [1.0, 2.0, 5.0, 10.0].into_iter().find(|part| part * power >= figure * 0.999);
    tidy(part.unwrap_or(10.0) * power)
}

/// Without what is left over from a power that is no binary number.
fn tidy(figure: f64) -> f64 {
    (figure * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_that_are_near_each_other_are_on_a_linear_axis() {
        let scale = Scale::of([3.0, 14.2].into_iter(), 100.0, 200.0);
        assert!(!scale.is_log());
        assert_eq!(scale.ticks(), [0.0, 5.0, 10.0, 15.0]);
        assert_eq!((scale.at(0.0), scale.at(7.5), scale.at(15.0)), (100.0, 150.0, 200.0));
    }

    #[test]
    fn figures_that_span_are_on_a_logarithmic_one() {
        let scale = Scale::of([1.3, 90.0].into_iter(), 0.0, 100.0);
        assert!(scale.is_log());
        assert_eq!(scale.ticks(), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        assert!((scale.at(10.0) - 50.0).abs() < 1e-9);
        let wide = Scale::of([0.0, 60_000.0].into_iter(), 0.0, 100.0);
        assert!(wide.ticks().len() <= 10, "{:?}", wide.ticks());
        assert_eq!((wide.at(0.0), wide.at(-3.0), wide.at(1e9)), (0.0, 0.0, 100.0));
    }

    #[test]
    fn nothing_and_one_figure_have_an_axis() {
        for figures in [&[][..], &[0.0], &[7.0]] {
            let scale = Scale::of(figures.iter().copied(), 0.0, 100.0);
            let ticks = scale.ticks();
            assert!((2..=11).contains(&ticks.len()), "{ticks:?}");
            assert!(scale.at(figures.first().copied().unwrap_or(1.0)).is_finite());
        }
    }
}
