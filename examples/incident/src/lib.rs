//! An incident from beginning to end: detect → suspend → investigate → restore, and
//! suspend → revoke → replace, beside it one action taken away and a policy rolled back.
//!
//! Every step of an operator is done by the real `kya`; what came of it is asked of the
//! real Envoys, by requests that every worker answers. The README says what each step
//! shows.

mod act;
mod cast;
mod evidence;
mod operator;
mod report;
mod stage;

pub use report::{Report, Step};

use kya_envoy::{Artifacts, Fleet, FleetOptions};

use report::Failed;
use stage::Stage;

/// Where what happens is told to a person, a line or more at a time.
pub type Say<'a> = &'a dyn Fn(&str);

/// Every step, in the order in which they are taken.
pub const STEPS: [&str; 15] = [
    "start",
    "register",
    "detect",
    "suspend",
    "drain",
    "investigate",
    "restore",
    "revoke_capability",
    "narrow_policy",
    "roll_back_policy",
    "suspend_again",
    "revoke",
    "replace",
    "evidence",
    "trail",
];

/// Goes through all of it. A step that fails is the last one.
pub async fn run(artifacts: &Artifacts, say: Say<'_>) -> Report {
    let mut report = Report::default();
    // What went wrong is in the report.
    let _: Result<(), Failed> = steps(&mut report, artifacts, say).await;
    report
}

async fn steps(report: &mut Report, artifacts: &Artifacts, say: Say<'_>) -> Result<(), Failed> {
    say("starting the control plane, the payments service and two Envoys …");
    let fleet = report.step("start", Fleet::start(artifacts, &FleetOptions::default())).await?;
    let mut stage = report.step("register", Stage::set(artifacts, fleet, say)).await?;
    report.step("detect", act::detect(&mut stage)).await?;
    let in_flight = report.step("suspend", act::suspend(&mut stage)).await?;
    report.step("drain", act::drain(&mut stage, in_flight)).await?;
    report.step("investigate", act::investigate(&stage)).await?;
    report.step("restore", act::restore(&mut stage)).await?;
    report.step("revoke_capability", act::revoke_capability(&mut stage)).await?;
    report.step("narrow_policy", act::narrow_policy(&mut stage)).await?;
    report.step("roll_back_policy", act::roll_back_policy(&mut stage)).await?;
    let in_flight = report.step("suspend_again", act::suspend(&mut stage)).await?;
    report.step("revoke", act::revoke(&mut stage, in_flight)).await?;
    let replacement = report.step("replace", act::replace(&mut stage)).await?;
    report.step("evidence", evidence::evidence(&stage)).await?;
    report.step("trail", act::trail(stage, replacement)).await
}
