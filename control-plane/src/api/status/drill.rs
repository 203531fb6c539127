//! The last drill, in short.

use kya_core::DrillId;
use serde::Serialize;

use super::{Look, problems};
use crate::drill::LastDrills;
use crate::store::{DrillState, StoreError};

/// The last drill that has ended.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct LastDrill {
    drill_id: DrillId,
    /// `passed`, `failed` or `interrupted`.
    state: &'static str,
    ended_at: Option<String>,
    /// 99th percentile of the last rejection; `None` if nobody rejected.
    last_rejection_p99_ms: Option<f64>,
}

impl LastDrill {
    pub(super) async fn look(look: &mut Look<'_>) -> Result<Option<Self>, StoreError> {
        let LastDrills { ended, concluded, .. } = look.api.drills.last().await?;
        if let Some(failed) = concluded.filter(|drill| drill.state == DrillState::Failed) {
            look.problems.push(problems::drill(failed.id));
        }
        let Some(drill) = ended else { return Ok(None) };
        Ok(Some(Self {
            drill_id: drill.id,
            state: drill.state.name(),
            ended_at: drill.ended_at.map(|at| at.to_rfc3339()),
            last_rejection_p99_ms: drill.last_rejection_p99_ms(),
        }))
    }
}
