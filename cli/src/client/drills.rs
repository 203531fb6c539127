//! Calls about drills.

use kya_core::DrillId;
use serde_json::json;

use super::{Answer, Client, Query};
use crate::api::{Drill, Drills, NewDrill, NewSchedule, Schedule, ScheduleChange, Schedules, Why};
use crate::error::Error;

impl Client {
    pub(crate) async fn begin_drill(&self, drill: &NewDrill<'_>) -> Result<Answer<Drill>, Error> {
        self.post(&["drills"], drill).await
    }

    pub(crate) async fn drills(&self, query: &Query<'_>) -> Result<Answer<Drills>, Error> {
        self.get(&["drills"], query).await
    }

    pub(crate) async fn drill(&self, id: DrillId, samples: bool) -> Result<Answer<Drill>, Error> {
        let query = [("samples", samples.then(|| "true".to_owned()))];
        self.get(&["drills", &id.to_string()], &query).await
    }

    pub(crate) async fn stop_drill(&self, id: DrillId) -> Result<Answer<Drill>, Error> {
        self.post(&["drills", &id.to_string(), "stop"], &json!({})).await
    }

    pub(crate) async fn add_schedule(
        &self,
        new: &NewSchedule<'_>,
    ) -> Result<Answer<Schedule>, Error> {
        self.post(&["drill-schedules"], new).await
    }

    pub(crate) async fn schedules(&self) -> Result<Answer<Schedules>, Error> {
        self.get(&["drill-schedules"], &[]).await
    }

    pub(crate) async fn schedule(&self, name: &str, limit: u32) -> Result<Answer<Schedule>, Error> {
        let query = [("limit", Some(limit.to_string()))];
        self.get(&["drill-schedules", name], &query).await
    }

    /// `action` is `pause`, `resume` or `remove`.
    pub(crate) async fn change_schedule(
        &self,
        name: &str,
        action: &str,
        why: &Why<'_>,
    ) -> Result<Answer<ScheduleChange>, Error> {
        self.post(&["drill-schedules", name, action], why).await
    }
}
