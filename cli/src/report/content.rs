//! What a report says, before it is a page of any kind.

mod recovery;

use kya_core::drill::evidence::{Document, Facts};
use kya_core::drill::summary::{PartyFigures, Percentiles, Totals};
use serde::Deserialize;
use serde_json::Value;

use self::recovery::{proofs, stops};
use super::chart::{self, Chart};
use super::words;
use crate::output::{or_dash, printable};

/// A part of a report.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Block {
    Heading(&'static str),
    Text(String),
    /// Figures to be seen first: what they are, and they.
    Figures(Vec<(&'static str, String)>),
    /// Names and values.
    Pairs(Vec<(&'static str, String)>),
    Table(Table),
    List(Vec<String>),
    Chart(Chart),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    /// Names, how wide each is among the others, and whether it has numbers.
    pub(super) columns: Vec<(&'static str, f64, bool)>,
    pub(super) rows: Vec<Vec<String>>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Content {
    pub(super) title: String,
    pub(super) passed: bool,
    pub(super) verdict: String,
    pub(super) blocks: Vec<Block>,
}

/// What was found, as far as it is shown. A drill that failed early has little of it.
#[derive(Debug, Deserialize)]
struct Found {
    #[serde(default)]
    passed: bool,
    #[serde(default)]
    failures: Vec<String>,
    canary: Option<String>,
    #[serde(flatten)]
    totals: Option<Totals>,
    #[serde(default)]
    relying_parties: Vec<Party>,
}

#[derive(Debug, Deserialize)]
struct Party {
    name: String,
    url: String,
    without_token: Option<String>,
    #[serde(flatten)]
    figures: PartyFigures,
}

impl Content {
    pub(super) fn of(document: &Document, facts: &Facts) -> Self {
        let read = Found::deserialize(&facts.result);
        let found = read.unwrap_or_else(|_| Found {
            passed: false,
            failures: vec!["what was found is not written as it should be".to_owned()],
            canary: None,
            totals: None,
            relying_parties: Vec::new(),
        });
        let passed = found.passed && facts.state == "passed";
        let mut blocks = vec![first(facts, &found)];
        blocks.extend(failures(&found));
        blocks.extend(scenario(facts, &found));
        blocks.extend(authority(facts));
        blocks.extend(measured(document, facts, &found));
        blocks.extend(parties(document, &found));
        blocks.extend(stops(facts));
        blocks.extend(proofs(document, facts));
        blocks.push(Block::Heading("What it speaks to"));
        blocks.push(Block::Text(words::MAPPING.to_owned()));
        blocks.push(Block::Table(Table {
            columns: vec![
                ("Clause", 2.6, false),
                ("What it asks", 4.2, false),
                ("What is here", 5.2, false),
            ],
            rows: words::CLAUSES.iter().map(|it| it.map(str::to_owned).to_vec()).collect(),
        }));
        blocks.push(Block::Heading("What it does not show"));
        blocks.push(Block::List(words::NOT_SHOWN.iter().map(|it| (*it).to_owned()).collect()));
        let verdict = match (passed, found.failures.len()) {
            (true, _) => format!(
                "Passed: every relying party rejected the canary in each of {} samples",
                document.samples.len()
            ),
            (false, 1) => format!("Not passed ({}): 1 finding", facts.state),
            (false, count) => format!("Not passed ({}): {count} findings", facts.state),
        };
        let content =
            Self { title: "Drill of the kill switch".to_owned(), passed, verdict, blocks };
        content.printable()
    }

    /// With no character that moves or hides others: names and reasons are of strangers.
    fn printable(mut self) -> Self {
        let all = |texts: &mut Vec<String>| texts.iter_mut().for_each(|it| *it = printable(it));
        self.verdict = printable(&self.verdict);
        for block in &mut self.blocks {
            match block {
                Block::Heading(_) => {}
                Block::Text(text) => *text = printable(text),
                Block::Figures(pairs) | Block::Pairs(pairs) => {
                    pairs.iter_mut().for_each(|(_, value)| *value = printable(value));
                }
                Block::Table(table) => table.rows.iter_mut().for_each(all),
                Block::List(items) => all(items),
                Block::Chart(chart) => chart.texts().for_each(|text| *text = printable(text)),
            }
        }
        self
    }
}

/// Milliseconds, to the microsecond that was measured.
fn ms(figure: f64) -> String {
    format!("{figure:.3}")
}

fn us(figure: Option<i64>) -> String {
    or_dash(figure.map(|it| ms(it as f64 / 1000.0)))
}

fn p99(of: Option<&Percentiles>) -> String {
    of.map_or_else(|| "-".to_owned(), |it| format!("{} ms", ms(it.p99)))
}

fn first(facts: &Facts, found: &Found) -> Block {
    let totals = found.totals.as_ref();
    Block::Figures(vec![
        ("Last rejection, p99", p99(totals.and_then(|it| it.last_rejection_ms.as_ref()))),
        ("First rejection, p99", p99(totals.and_then(|it| it.first_rejection_ms.as_ref()))),
        (
            "All workers acknowledged, p99",
            p99(totals.and_then(|it| it.receipt_complete_ms.as_ref())),
        ),
        ("Allowed after that", or_dash(totals.map(|it| it.allowed_after_ack))),
        ("Stops", facts.stops.len().to_string()),
        ("Relying parties", found.relying_parties.len().to_string()),
    ])
}

fn said(request: &Value, member: &str) -> String {
    match &request[member] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn scenario(facts: &Facts, found: &Found) -> [Block; 3] {
    let request = &facts.request;
    let act = match request["act"].as_str() {
        Some("revoke") => "revoke: each sample has a canary of its own, which is ended",
        _ => {
            "suspend: requests in flight are aborted, and the canary is restored after each sample"
        }
    };
    let bound = match request["p99_ms"].as_u64() {
        Some(bound) => format!("the 99th percentile of the last rejection is at most {bound} ms"),
        None => "none was set".to_owned(),
    };
    [
        Block::Heading("Scenario"),
        Block::Text(words::SCENARIO.to_owned()),
        Block::Pairs(vec![
            ("Drill", facts.drill_id.clone()),
            ("Act", act.to_owned()),
            ("Canary", or_dash(found.canary.clone())),
            ("Labels of the canary", said(request, "selector")),
            ("Samples asked for", said(request, "samples")),
            ("Probes a second, each party", said(request, "rate")),
            ("Bound", bound),
            ("Began", format!("{} (record {})", facts.started.time, facts.started.record)),
            ("Ended", format!("{} (record {})", facts.ended.time, facts.ended.record)),
        ]),
    ]
}

fn authority(facts: &Facts) -> [Block; 3] {
    let roles: Vec<_> = facts.stops.iter().filter_map(|stop| stop.role.clone()).collect();
    let first = facts.stops.first();
    [
        Block::Heading("Authority and trigger"),
        Block::Text(words::AUTHORITY.to_owned()),
        Block::Pairs(vec![
            ("Operator", facts.started.actor.clone()),
            ("Role at the stops", or_dash(roles.first().cloned())),
            ("From", or_dash(facts.started.address.clone())),
            ("Trigger", format!("drill.started, record {}", facts.started.record)),
            ("Reason of each stop", or_dash(first.and_then(|it| it.activated.reason.clone()))),
        ]),
    ]
}

fn measured(document: &Document, facts: &Facts, found: &Found) -> Vec<Block> {
    let Some(totals) = &found.totals else { return Vec::new() };
    let bound = facts.request["p99_ms"].as_f64();
    let row = |name: &str, of: &Option<Percentiles>| {
        let mut row = vec![name.to_owned()];
        match of {
            None => row.extend(["0", "-", "-", "-", "-"].map(str::to_owned)),
            Some(it) => {
                row.push(it.count.to_string());
                row.extend([it.p50, it.p90, it.p99, it.max].map(ms));
            }
        }
        row
    };
    let mut blocks =
        vec![Block::Heading("What was measured"), Block::Text(words::MEASURED.to_owned())];
    match chart::distribution(&document.samples, totals, bound) {
        Some(chart) => blocks.push(Block::Chart(chart)),
        None => blocks
            .push(Block::Text("Nobody rejected, so that there is nothing to draw.".to_owned())),
    }
    blocks.push(Block::Table(Table {
        columns: vec![
            ("Milliseconds since the stop", 4.0, false),
            ("Samples", 1.0, true),
            ("p50", 1.2, true),
            ("p90", 1.2, true),
            ("p99", 1.2, true),
            ("Max", 1.2, true),
        ],
        rows: vec![
            row("First rejection, of the first party", &totals.first_rejection_ms),
            row("Last rejection, of the last party", &totals.last_rejection_ms),
            row("All workers acknowledged", &totals.receipt_complete_ms),
        ],
    }));
    let (late, unheard) = (totals.allowed_after_ack, totals.unacknowledged);
    blocks.push(Block::Text(format!(
        "Requests that were allowed though they were sent after every worker had acknowledged the stop: {late}. Samples that not every connected worker acknowledged: {unheard}."
    )));
    blocks
}

fn parties(document: &Document, found: &Found) -> Vec<Block> {
    if found.relying_parties.is_empty() {
        return Vec::new();
    }
    let names: Vec<_> = found.relying_parties.iter().map(|party| party.name.clone()).collect();
    let p = |of: &Option<Percentiles>, pick: fn(&Percentiles) -> f64| {
        or_dash(of.as_ref().map(|it| ms(pick(it))))
    };
    let row = |party: &Party| {
        let it = &party.figures;
        vec![
            party.name.clone(),
            it.measured.to_string(),
            it.not_rejected.to_string(),
            p(&it.first_rejection_ms, |it| it.p50),
            p(&it.last_rejection_ms, |it| it.p50),
            p(&it.last_rejection_ms, |it| it.p90),
            p(&it.last_rejection_ms, |it| it.p99),
            p(&it.last_rejection_ms, |it| it.max),
            it.allowed_after_ack.to_string(),
            it.probes.to_string(),
            format!("{} / {} / {}", it.missed, it.unanswered, it.other),
        ]
    };
    let address = |party: &Party| {
        let answer = or_dash(party.without_token.clone());
        vec![party.name.clone(), party.url.clone(), answer]
    };
    let mut blocks =
        vec![Block::Heading("Relying parties"), Block::Text(words::PARTIES.to_owned())];
    blocks.extend(chart::parties(&document.samples, &names).map(Block::Chart));
    blocks.push(Block::Table(Table {
        columns: vec![
            ("Party", 2.4, false),
            ("Samples", 1.0, true),
            ("Not rej.", 1.0, true),
            ("First p50", 1.2, true),
            ("Last p50", 1.2, true),
            ("Last p90", 1.2, true),
            ("Last p99", 1.2, true),
            ("Last max", 1.2, true),
            ("After ack", 1.1, true),
            ("Probes", 1.1, true),
            ("Missed / no answer / other", 1.8, true),
        ],
        rows: found.relying_parties.iter().map(row).collect(),
    }));
    blocks.push(Block::Table(Table {
        columns: vec![
            ("Party", 2.4, false),
            ("Address", 6.0, false),
            ("Without a token it answers", 3.6, false),
        ],
        rows: found.relying_parties.iter().map(address).collect(),
    }));
    blocks
}

fn failures(found: &Found) -> [Block; 2] {
    let list = match found.failures.is_empty() {
        true => Block::Text("None.".to_owned()),
        false => Block::List(found.failures.clone()),
    };
    [Block::Heading("Findings"), list]
}
