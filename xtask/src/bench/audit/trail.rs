//! The trail as a file.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use kya_envoy::Api;

/// Writes all of the trail into a file, and returns how long that took, in seconds.
pub(super) async fn export(api: &Api, to: &Path) -> Result<f64> {
    let began = Instant::now();
    let url = format!("{}/v1/audit/export", api.base());
    let asked = reqwest::Client::new().get(url).bearer_auth(api.admin_key());
    let mut response = asked.send().await?.error_for_status()?;
    let mut file = BufWriter::with_capacity(1 << 20, File::create(to)?);
    while let Some(piece) = response.chunk().await? {
        file.write_all(&piece)?;
    }
    file.flush()?;
    Ok(began.elapsed().as_secs_f64())
}
