//! Scheduled drills, and which of them are overdue.

use serde::Serialize;

use super::{Look, problems};
use crate::drill;
use crate::store::StoreError;
use crate::store::schedules::ScheduleName;
use crate::time::UnixMicros;

/// Scheduled drills.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct DrillsStatus {
    /// Schedules that there are.
    schedules: usize,
    /// Of these, paused.
    paused: usize,
    /// Names of those whose drills are overdue.
    overdue: Vec<ScheduleName>,
    /// The schedule whose drill is due next, and when.
    next: Option<NextDrill>,
    /// When the last scheduled drill ended that passed.
    last_passed_at: Option<String>,
}

#[derive(Serialize, schemars::JsonSchema)]
struct NextDrill {
    schedule: ScheduleName,
    at: String,
}

impl DrillsStatus {
    pub(super) async fn look(look: &mut Look<'_>) -> Result<Self, StoreError> {
        let schedules = look.api.store.schedules().await?;
        let overdue: Vec<_> = schedules
            .iter()
            .filter_map(|it| drill::overdue_since(it, look.now).map(|since| (it, since)))
            .collect();
        look.problems.extend(problems::overdue(&overdue));
        let active = || schedules.iter().filter(|it| it.paused.is_none());
        let next = active()
            .min_by_key(|it| it.next)
            .map(|it| NextDrill { schedule: it.name.clone(), at: it.next.to_rfc3339() });
        let last_passed = schedules.iter().filter_map(|it| it.passed_at).max();
        Ok(Self {
            schedules: schedules.len(),
            paused: schedules.len().saturating_sub(active().count()),
            overdue: overdue.into_iter().map(|(it, _)| it.name.clone()).collect(),
            next,
            last_passed_at: last_passed.map(UnixMicros::to_rfc3339),
        })
    }
}
