//! What is made of the rounds: what each variant adds, and how they compare.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::machine::Machine;
use super::measure::{Answers, Measured, Series};
use super::stats::{Estimate, median, of_median, of_ratio, spread};
use super::variants::{
    AUDITED, BASE, BASE_AGAIN, CAPABILITY, EXT_AUTHZ, NOOP, OPAQUE, OPAQUE_MOST, VARIANTS, Variant,
};
use super::wasm::{PIECES, REPEATS};

/// All of it, as it is printed and written.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) machine: Machine,
    pub(super) rounds: u32,
    pub(super) slice_ms: u64,
    /// How far two listeners without a filter are apart in 95 of 100 rounds, in
    /// microseconds of CPU at a request.
    pub(super) aa_spread_us: f64,
    /// The same of the median time to an answer.
    pub(super) aa_spread_latency_us: f64,
    /// Of what is added. One that is not known is left out.
    pub(super) ratios: BTreeMap<&'static str, f64>,
    /// Each with its 95 % interval; no upper end where what it is compared with may be
    /// nothing.
    pub(super) intervals: BTreeMap<&'static str, [Option<f64>; 2]>,
    /// What a ratio is to be at most.
    pub(super) targets: BTreeMap<&'static str, f64>,
    pub(super) variants: Vec<Row>,
    pub(super) latency_per_second: f64,
    pub(super) latency: Vec<Timed>,
    pub(super) pieces: Vec<PieceRow>,
    /// Events of the audit trail that found no room, of all the run.
    pub(super) audit_events_dropped: u64,
    /// CPU of Envoy at a request in each round, in microseconds, by which all of the above
    /// can be computed again.
    pub(super) cpu_us_by_round: BTreeMap<String, Vec<f64>>,
    /// The same of the median time to an answer.
    pub(super) latency_us_by_round: BTreeMap<&'static str, Vec<f64>>,
}

/// CPU of one variant.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// `direct` or `upstream`.
    pub(super) answers: &'static str,
    pub(super) cpu_us: f64,
    /// Over a listener without a filter.
    pub(super) added_us: Estimate,
    /// CPU of the processes that Envoy asks, at a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) others_us: Option<f64>,
    /// As fast as they were answered.
    pub(super) per_second: f64,
    /// Median time to an answer meanwhile.
    pub(super) busy_p50_us: f64,
}

/// Time to an answer, at one rate for all.
#[derive(Debug, Serialize)]
pub(super) struct Timed {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    /// CPU of Envoy at a request meanwhile. A worker that has nothing to do between two
    /// requests finds less of what it needs in its caches.
    pub(super) cpu_us: f64,
    /// Of the median, over a listener without a filter.
    pub(super) added_us: Estimate,
}

/// What one piece costs.
#[derive(Debug, Serialize)]
pub(super) struct PieceRow {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) nanoseconds: Estimate,
}

/// What each ratio is to be at most.
const TARGETS: [(&str, f64); 6] = [
    ("opaque_vs_noop", 2.0),
    ("opaque_vs_ext_authz", 0.2),
    ("latency_vs_ext_authz", 0.125),
    ("jwt_cached_vs_opaque", 1.3),
    ("tokens_1e7_vs_1e3", 1.2),
    ("audit_on_vs_off", 1.3),
];

impl Outcome {
    /// Of what was measured.
    pub(super) fn of(
        measured: &Measured,
        machine: Machine,
        rounds: u32,
        slice_ms: u64,
        audit_events_dropped: u64,
    ) -> Result<Self> {
        let closed = |answers, name| series(measured.closed.get(&(answers, name)), name);
        let cpu = |answers, name| Ok(&closed(answers, name)?.cpu_us);
        let time = |name| Ok(&series(measured.open.get(name), name)?.p50_us);
        let direct = |name| added(name, &|name| cpu(Answers::Direct, name));
        // Where the proxy answers by itself, the filter asks it besides, property by property,
        // how the upstream never came to see the request. Few requests are answered so.
        let upstream = |name| added(name, &|name| cpu(Answers::Upstream, name));
        let slower = |name| added(name, &time);
        let (mut ratios, mut intervals) = (BTreeMap::new(), BTreeMap::new());
        let mut compare = |name, above: Result<Vec<f64>>, below: Result<Vec<f64>>| {
            if let Some(Estimate { value, low, high }) =
                of_ratio(&above?, &below?).map(|it| it.rounded(3))
            {
                ratios.insert(name, value);
                intervals.insert(name, [low, high].map(|end| end.is_finite().then_some(end)));
            }
            anyhow::Ok(())
        };
        let cheapest = least(&direct)?;
        let quickest = least(&slower)?;
        compare("opaque_vs_noop", direct(OPAQUE), direct(NOOP))?;
        compare("opaque_vs_ext_authz", direct(OPAQUE), direct(cheapest))?;
        compare("latency_vs_ext_authz", slower(OPAQUE), slower(quickest))?;
        compare("jwt_cached_vs_opaque", direct(CAPABILITY), direct(OPAQUE))?;
        compare("tokens_1e7_vs_1e3", direct(OPAQUE_MOST), direct(OPAQUE))?;
        compare("audit_on_vs_off", upstream(AUDITED), upstream(OPAQUE))?;

        let apart = |one: &[f64], other: &[f64]| spread(one, other).map(|it| round(it, 2));
        Ok(Self {
            machine,
            rounds,
            slice_ms,
            aa_spread_us: apart(cpu(Answers::Direct, BASE)?, cpu(Answers::Direct, BASE_AGAIN)?)
                .context("no rounds")?,
            aa_spread_latency_us: apart(time(BASE)?, time(BASE_AGAIN)?).context("no rounds")?,
            ratios,
            intervals,
            targets: TARGETS.into(),
            variants: rows(measured)?,
            latency_per_second: measured.open_per_second,
            latency: timed(measured)?,
            pieces: pieces(measured)?,
            audit_events_dropped,
            cpu_us_by_round: by_round(measured),
            latency_us_by_round: measured
                .open
                .iter()
                .map(|(name, series)| (*name, series.p50_us.clone()))
                .collect(),
        })
    }

    /// Whether this ratio is what it is to be.
    pub(super) fn meets(&self, name: &str) -> Option<bool> {
        Some(self.ratios.get(name)? <= self.targets.get(name)?)
    }
}

fn series<'a>(found: Option<&'a Series>, name: &str) -> Result<&'a Series> {
    found.with_context(|| format!("{name} was not measured"))
}

/// In each round, what a variant has over the mean of the two that have no filter.
fn added<'a>(
    name: &'static str,
    of: &impl Fn(&'static str) -> Result<&'a Vec<f64>>,
) -> Result<Vec<f64>> {
    let (one, other) = (of(BASE)?, of(BASE_AGAIN)?);
    let base = one.iter().zip(other).map(|(one, other)| (one + other) / 2.0);
    Ok(of(name)?.iter().zip(base).map(|(with, without)| with - without).collect())
}

/// Which of the `ext_authz` servers adds least.
fn least(added: &impl Fn(&'static str) -> Result<Vec<f64>>) -> Result<&'static str> {
    let mut found: Option<(f64, &str)> = None;
    for name in EXT_AUTHZ {
        let median = median(&added(name)?).context("no rounds")?;
        if found.is_none_or(|(before, _)| median < before) {
            found = Some((median, name));
        }
    }
    Ok(found.context("there are servers")?.1)
}

fn rows(measured: &Measured) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (answers, said) in [(Answers::Direct, "direct"), (Answers::Upstream, "upstream")] {
        let cpu = |name| {
            let found = measured.closed.get(&(answers, name));
            series(found, name).map(|series| &series.cpu_us)
        };
        for Variant { name, what, .. } in VARIANTS {
            let Some(of) = measured.closed.get(&(answers, name)) else { continue };
            let middle = |values: &[f64]| median(values).context("no rounds");
            let others = middle(&of.others_us)?;
            rows.push(Row {
                name,
                what,
                answers: said,
                cpu_us: round(middle(&of.cpu_us)?, 2),
                added_us: of_median(&added(name, &cpu)?).context("no rounds")?.rounded(2),
                others_us: (others > 0.0).then(|| round(others, 2)),
                per_second: middle(&of.per_second)?.round(),
                busy_p50_us: round(middle(&of.p50_us)?, 1),
            });
        }
    }
    Ok(rows)
}

fn timed(measured: &Measured) -> Result<Vec<Timed>> {
    let time = |name| series(measured.open.get(name), name).map(|series| &series.p50_us);
    let timed = VARIANTS.iter().filter_map(|variant| {
        let of = measured.open.get(variant.name)?;
        Some((variant, of))
    });
    timed
        .map(|(Variant { name, what, .. }, of)| {
            Ok(Timed {
                name,
                what,
                p50_us: round(median(&of.p50_us).context("no rounds")?, 1),
                p99_us: round(median(&of.p99_us).context("no rounds")?, 1),
                cpu_us: round(median(&of.cpu_us).context("no rounds")?, 1),
                added_us: of_median(&added(name, &time)?).context("no rounds")?.rounded(1),
            })
        })
        .collect()
}

/// The slope between two numbers of repeats.
fn pieces(measured: &Measured) -> Result<Vec<PieceRow>> {
    let [few, many] = REPEATS;
    let row = |name: &'static str, what| {
        let of = |repeats| measured.pieces.get(&(name, repeats)).context("a piece");
        let between = of(many)?.iter().zip(of(few)?);
        let slopes: Vec<f64> =
            between.map(|(more, less)| (more - less) * 1000.0 / f64::from(many - few)).collect();
        let nanoseconds = of_median(&slopes).context("no rounds")?.rounded(0);
        Ok(PieceRow { name, what, nanoseconds })
    };
    PIECES.iter().map(|piece| row(piece.name, piece.what)).collect()
}

fn by_round(measured: &Measured) -> BTreeMap<String, Vec<f64>> {
    let name = |(answers, name): &(Answers, &str)| match answers {
        Answers::Direct => (*name).to_owned(),
        Answers::Upstream => format!("{name}/upstream"),
    };
    let rounded = |series: &Series| series.cpu_us.iter().map(|it| round(*it, 3)).collect();
    measured.closed.iter().map(|(key, series)| (name(key), rounded(series))).collect()
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
