//! How one gets in: what clients and proxies need to know to talk to a control
//! plane, and how the harness comes by it. Credentials and transport security
//! are here and nowhere else.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Client, RequestBuilder};

const TIMEOUT: Duration = Duration::from_secs(40);

/// A client of the HTTP API.
pub(crate) fn http_client() -> Result<Client> {
    Ok(Client::builder().timeout(TIMEOUT).build()?)
}

/// Where the HTTP API is.
pub(crate) fn http_base(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// `request` in the name of whoever holds `key`.
pub(crate) fn authenticated(request: RequestBuilder, key: &str) -> RequestBuilder {
    request.bearer_auth(key)
}

/// The admin key that a control plane has left in its data directory.
pub(crate) fn admin_key(data_dir: &Path) -> Result<String> {
    let key = fs::read_to_string(data_dir.join("admin.key"))
        .context("the control plane left no admin key")?;
    Ok(key.trim().to_owned())
}

/// The key whose signed updates the proxies of a control plane trust.
pub(crate) fn update_key(binary: &Path, data_dir: &Path) -> Result<String> {
    let output = Command::new(binary)
        .args(["public-key", "--create", "--data-dir"])
        .arg(data_dir)
        .output()
        .context("cannot run kya-control-plane public-key")?;
    if !output.status.success() {
        bail!("kya-control-plane public-key failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
