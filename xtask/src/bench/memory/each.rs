//! What one agent, one capability token that was taken back, and one stream take of memory.

use anyhow::Result;
use kya_envoy::Artifacts;
use serde::Serialize;

use super::stage::{Contents, Stage};
use super::{Options, rounded};
use crate::bench::held;

/// Bytes of resident memory for each, over that without any. What was left out is null.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Each {
    /// Of Envoy, with so many agents that hold no tokens.
    agents: u32,
    bytes_per_agent: Option<f64>,
    /// Of the control plane, with the same.
    bytes_per_agent_control_plane: Option<f64>,
    /// Of Envoy, with so many capability tokens that were taken back, by their `jti`.
    revoked_jtis: u32,
    bytes_per_revoked_jti: Option<f64>,
    /// Of the control plane, with so many streams that are held open.
    streams: u16,
    bytes_per_stream: Option<f64>,
}

/// Memory of an Envoy and of its control plane.
type Both = (u64, u64);

/// Measures what is asked for, beside an Envoy and a control plane with an empty store.
pub(super) async fn measure(artifacts: &Artifacts, options: &Options, empty: Both) -> Result<Each> {
    let Options { agents, taken_back: revoked_jtis, streams, .. } = *options;
    let mut each = Each { agents, revoked_jtis, streams, ..Each::default() };
    if agents > 0 {
        eprintln!("an Envoy with {agents} agents");
        let full = memory(artifacts, options.workers, Contents::Agents(agents)).await?;
        each.bytes_per_agent = Some(share(empty.0, full.0, agents));
        each.bytes_per_agent_control_plane = Some(share(empty.1, full.1, agents));
    }
    if revoked_jtis > 0 {
        eprintln!("an Envoy with {revoked_jtis} capability tokens that were taken back");
        // What it costs that there is an issuer at all is not counted as that of a token.
        let none = memory(artifacts, options.workers, Contents::TakenBack(0)).await?;
        let full = memory(artifacts, options.workers, Contents::TakenBack(revoked_jtis)).await?;
        each.bytes_per_revoked_jti = Some(share(none.0, full.0, revoked_jtis));
    }
    if streams > 0 {
        let held = held::hold(artifacts, streams.into(), 0).await?;
        each.bytes_per_stream = Some(held.bytes_per_stream);
    }
    Ok(each)
}

async fn memory(artifacts: &Artifacts, workers: u16, contents: Contents) -> Result<Both> {
    let stage = Stage::start(artifacts, workers, contents).await?;
    let both = (stage.memory()?.resident, stage.control_plane_memory()?);
    stage.finish().await?;
    Ok(both)
}

/// What each of so many has added.
fn share(empty: u64, full: u64, count: u32) -> f64 {
    rounded(full.saturating_sub(empty) as f64 / f64::from(count))
}

impl Each {
    pub(super) fn print(&self) {
        let Self { agents, revoked_jtis, streams, .. } = self;
        for (of, place, count, bytes) in [
            ("agent", "Envoy", *agents, self.bytes_per_agent),
            ("agent", "the control plane", *agents, self.bytes_per_agent_control_plane),
            ("revoked capability token", "Envoy", *revoked_jtis, self.bytes_per_revoked_jti),
            ("stream", "the control plane", u32::from(*streams), self.bytes_per_stream),
        ] {
            if let Some(bytes) = bytes {
                println!("memory    {bytes:.1} bytes a {of} in {place}, with {count}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_what_was_added() {
        assert_eq!(share(1000, 4000, 4), 750.0);
        assert_eq!(share(4000, 1000, 4), 0.0);
    }

    #[test]
    fn what_was_left_out_is_null() {
        let each = Each { agents: 10, bytes_per_agent: Some(750.0), ..Each::default() };
        let json = serde_json::to_value(each).unwrap();
        assert_eq!(json["bytes_per_agent"], 750.0);
        for field in ["bytes_per_revoked_jti", "bytes_per_stream", "bytes_per_agent_control_plane"]
        {
            assert!(json.get(field).is_some_and(serde_json::Value::is_null), "{field}");
        }
    }
}
