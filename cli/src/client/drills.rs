//! Calls about drills.

use kya_core::DrillId;
use serde_json::json;

use super::{Answer, Client, Query};
use crate::api::{Drill, Drills, NewDrill};
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
}
