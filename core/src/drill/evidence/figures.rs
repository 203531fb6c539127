//! The figures of a drill once more, from its probes.

use serde::Serialize;
use serde_json::Value;

use super::check::Problem;
use super::member;
use crate::audit::Canonical;
use crate::drill::raw::RawSample;
use crate::drill::samples::measure;
use crate::drill::summary::{self, PartyFigures, Sample};

/// What of the figures is another than the samples say.
pub(super) fn differing(result: &Value, request: &Value, samples: &[RawSample]) -> Vec<Problem> {
    let names: Vec<_> = parties(request).collect();
    let mut problems = Vec::new();
    for (n, sample) in samples.iter().enumerate() {
        problems.extend(of_sample(n, sample, &names));
    }
    // A drill whose server died says nothing of figures.
    if samples.is_empty() && result.get("relying_parties").is_none() {
        problems.extend(verdict(result, request, &[], false));
        return problems;
    }
    let figures: Vec<Sample> = samples.iter().map(RawSample::figures).collect();
    problems.extend(members(result, &summary::of_all(&figures), "result"));
    let shown = result.get("relying_parties").and_then(Value::as_array);
    let shown = shown.map(Vec::as_slice).unwrap_or_default();
    if shown.len() != names.len() && !samples.is_empty() {
        let what = format!("{} parties, and {} were asked for", shown.len(), names.len());
        problems.push(Problem::new("figure", "result.relying_parties", what));
    }
    let mut at_fault = false;
    for (place, (party, name)) in shown.iter().zip(&names).enumerate() {
        let found = summary::of_party(&figures, place);
        at_fault |= is_at_fault(&found);
        let at = format!("result.relying_parties[{place}]");
        if party.get("name") != Some(&Value::from(*name)) {
            let what = format!("its name is not {name}, which was asked for");
            problems.push(Problem::new("figure", &at, what));
        }
        problems.extend(members(party, &found, &at));
    }
    problems.extend(verdict(result, request, &figures, at_fault));
    problems
}

/// The names of the parties that were asked for.
fn parties(request: &Value) -> impl Iterator<Item = &str> {
    let parties = request.get("parties").and_then(Value::as_array);
    parties.into_iter().flatten().map(|it| member(it, "name").as_str().unwrap_or_default())
}

fn of_sample(n: usize, sample: &RawSample, names: &[&str]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let sample_of = |place: usize| {
        let name = names.get(place).copied().unwrap_or("?");
        format!("sample {}, party {name}", n.saturating_add(1))
    };
    for (place, party) in sample.parties.iter().enumerate() {
        let Some(probes) = &party.probes else { continue };
        let found = measure(probes, sample.acknowledged_us);
        let shown = serde_json::to_value(&party.figures).unwrap_or_default();
        problems.extend(members(&shown, &found, &sample_of(place)));
    }
    if sample.parties.len() != names.len() {
        let what = format!("{} parties of {}", sample.parties.len(), names.len());
        problems.push(Problem::new("figure", &sample_of(0), what));
    }
    problems
}

/// Counts of probes, also of those that a drill does not keep.
const AT_LEAST: [&str; 4] = ["probes", "missed", "unanswered", "other"];

/// The members that are not as they were found.
fn members(shown: &Value, found: &impl Serialize, at: &str) -> Vec<Problem> {
    let Some(Value::Object(found)) = again(found) else { return Vec::new() };
    let differs = |(name, found): (&String, &Value)| {
        let shown = shown.get(name).unwrap_or(&Value::Null);
        // 12 and 12.0 are one number, and written as one.
        let same = Canonical::text_of(shown).ok() == Canonical::text_of(found).ok();
        let more = AT_LEAST.contains(&&**name) && shown.as_u64() >= found.as_u64();
        let what = || format!("the samples say {found}, and shown is {shown}");
        (!same && !more).then(|| Problem::new("figure", &format!("{at}.{name}"), what()))
    };
    found.iter().filter_map(differs).collect()
}

/// As it is read after it was written: what is shown was, too.
pub(super) fn again(value: &impl Serialize) -> Option<Value> {
    serde_json::from_str(&serde_json::to_string(value).ok()?).ok()
}

/// Whether a party with these figures is a failure.
fn is_at_fault(party: &PartyFigures) -> bool {
    party.measured == 0 || party.not_rejected > 0 || party.allowed_after_ack > 0
}

/// A drill that passed though its samples say otherwise.
fn verdict(result: &Value, request: &Value, figures: &[Sample], at_fault: bool) -> Option<Problem> {
    if result.get("passed") != Some(&Value::Bool(true)) {
        return None;
    }
    let bound = request.get("p99_ms").and_then(Value::as_f64);
    let last = summary::of_all(figures).last_rejection_ms;
    let late = match (bound, &last) {
        (Some(bound), Some(last)) => last.p99 > bound,
        (Some(_), None) => true,
        (None, _) => false,
    };
    let wrong = at_fault || late || figures.is_empty();
    let what = "the samples have a failure, and it says that the drill passed".to_owned();
    wrong.then(|| Problem::new("figure", "result.passed", what))
}
